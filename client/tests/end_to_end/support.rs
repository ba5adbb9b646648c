//! What the tests share: a real network in a folder of its own, driven by the `attune` command alone.

#![allow(unreachable_pub)]

use std::{
    io::Read,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
    sync::{
        atomic::{AtomicBool, Ordering},
        Arc,
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};

use rustix::process::{kill_process, Pid, Signal};
use serde_json::Value;

/// How long any command may take, whole trainings included.
const PATIENCE: Duration = Duration::from_secs(900);

/// One token, in planck.
pub const ATT: u128 = 1_000_000_000_000;

/// The shipped base model.
pub fn base_model() -> PathBuf {
    repository().join("models/attune-base")
}

/// The first `rows` rows of a file of the example data set, written to `dir`.
pub fn rows_of(name: &str, rows: usize, dir: &Path) -> PathBuf {
    let source = repository().join("examples/wordnet-categories").join(name);
    let text = std::fs::read_to_string(&source).unwrap_or_else(|e| panic!("{}: {e}", source.display()));
    let lines: Vec<&str> = text.lines().take(rows).collect();
    assert_eq!(lines.len(), rows, "{name} has fewer rows");
    let path = dir.join(name);
    std::fs::write(&path, lines.join("\n")).unwrap();
    path
}

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("the client lies in the repository, qed")
        .to_path_buf()
}

/// A profile folder, and the `attune` command in it.
pub struct Profile {
    folder: tempfile::TempDir,
}

impl Profile {
    pub fn new() -> Self {
        Profile { folder: tempfile::tempdir().unwrap() }
    }

    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_attune"));
        command
            .args(args)
            .env("ATTUNE_HOME", self.path())
            .env_remove("ATTUNE_NODE_URL")
            .env_remove("ATTUNE_ACCOUNT");
        command
    }

    /// Runs a command to its end; fails if it has none within [`PATIENCE`].
    pub fn run(&self, args: &[&str]) -> Output {
        let mut child = self
            .command(args)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        // Read beside it, so that a full pipe does not hold it up.
        let (stdout, stderr) = (drain(child.stdout.take().unwrap()), drain(child.stderr.take().unwrap()));
        let deadline = Instant::now() + PATIENCE;
        let status = loop {
            match child.try_wait().unwrap() {
                Some(status) => break status,
                None if Instant::now() > deadline => {
                    child.kill().unwrap();
                    let said = String::from_utf8_lossy(&stderr.join().unwrap()).into_owned();
                    panic!("attune {args:?} did not end within {} s:\n{said}", PATIENCE.as_secs());
                }
                None => std::thread::sleep(Duration::from_millis(20)),
            }
        };
        Output { status, stdout: stdout.join().unwrap(), stderr: stderr.join().unwrap() }
    }

    /// Runs a command that must succeed; gives its stdout.
    pub fn ok(&self, args: &[&str]) -> String {
        let output = self.run(args);
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "attune {args:?} failed ({}):\n{stderr}", output.status);
        String::from_utf8(output.stdout).unwrap()
    }

    /// Runs a command that must succeed; gives its result.
    pub fn json(&self, args: &[&str]) -> Value {
        let args: Vec<&str> = ["--output", "json"].iter().chain(args).copied().collect();
        let text = self.ok(&args);
        serde_json::from_str(&text)
            .unwrap_or_else(|e| panic!("attune {args:?} printed no JSON ({e}): {text}"))
    }

    /// Runs a command that must fail with exit code 1; gives its stderr.
    pub fn fails(&self, args: &[&str]) -> String {
        let output = self.run(args);
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(1), "attune {args:?} should have failed:\n{stderr}");
        stderr
    }

    /// Everything that an account owns: what is free and what is held, in planck.
    pub fn total(&self, account: &str) -> u128 {
        let balance = self.json(&["balance", account]);
        planck(&balance["free"]) + planck(&balance["held"])
    }

    /// The address of an account.
    pub fn address(&self, account: &str) -> String {
        self.ok(&["keys", "address", account]).trim().to_string()
    }
}

/// Reads a pipe to its end.
fn drain(mut pipe: impl Read + Send + 'static) -> JoinHandle<Vec<u8>> {
    std::thread::spawn(move || {
        let mut read = Vec::new();
        pipe.read_to_end(&mut read).unwrap();
        read
    })
}

/// An amount in JSON.
pub fn planck(value: &Value) -> u128 {
    value.as_str().and_then(|text| text.parse().ok()).unwrap_or_else(|| panic!("{value} is no amount"))
}

/// A process that gets little time, see [`Network::slow_down`].
pub struct SlowedDown(Arc<AtomicBool>);

impl Drop for SlowedDown {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// A local network that is stopped and deleted with this.
pub struct Network {
    pub profile: Profile,
}

impl Network {
    /// Three validators and so many workers, each with one thread.
    pub fn up(workers: usize) -> Self {
        let network = Network { profile: Profile::new() };
        network.profile.ok(&["net", "up", "--workers", &workers.to_string(), "--threads", "1"]);
        network
    }

    /// Registers the providers of workers 1 to `workers`, and the base model, all at the same time: each waits for its
    /// block to be final.
    pub fn with_providers(workers: usize) -> Self {
        let network = Network::up(workers);
        std::thread::scope(|scope| {
            for number in 1..=workers {
                let network = &network;
                scope.spawn(move || network.register(number));
            }
            network.add_base_model();
        });
        network
    }

    /// The status of a process.
    pub fn service(&self, name: &str) -> Value {
        let status = self.profile.json(&["net", "status"]);
        let services = status["services"].as_array().unwrap();
        services
            .iter()
            .find(|service| service["name"] == name)
            .cloned()
            .unwrap_or_else(|| panic!("no {name}"))
    }

    /// Ends a process at once, as a power cut would.
    pub fn kill(&self, name: &str) {
        let pid =
            self.service(name)["pid"].as_i64().unwrap_or_else(|| panic!("{name} does not run")).to_string();
        assert!(Command::new("kill").args(["-9", &pid]).status().unwrap().success());
        wait_until(&format!("{name} to end"), Duration::from_secs(10), || {
            self.service(name)["running"] == Value::Bool(false)
        });
    }

    /// Gives a process some hundredths of its time from now on: a machine that is busy with something else. Until what is
    /// given back is dropped.
    pub fn slow_down(&self, name: &str) -> SlowedDown {
        let pid = self.service(name)["pid"].as_i64().and_then(|pid| Pid::from_raw(pid.try_into().ok()?));
        let pid = pid.unwrap_or_else(|| panic!("{name} does not run"));
        let is_over = Arc::new(AtomicBool::new(false));
        let seen = is_over.clone();
        std::thread::spawn(move || {
            while !seen.load(Ordering::Relaxed) {
                for (signal, pause_millis) in [(Signal::STOP, 1_400), (Signal::CONT, 100)] {
                    if kill_process(pid, signal).is_err() {
                        return;
                    }
                    std::thread::sleep(Duration::from_millis(pause_millis));
                }
            }
        });
        SlowedDown(is_over)
    }

    /// A counter of a worker, as Prometheus would read it.
    pub fn counter(&self, worker: &str, name: &str) -> u64 {
        let url = self.service(worker)["url"].as_str().unwrap().to_string() + "/metrics";
        let text = tokio::runtime::Runtime::new()
            .unwrap()
            .block_on(async { reqwest::get(&url).await.unwrap().text().await.unwrap() });
        let line = text.lines().find_map(|line| line.strip_prefix(&format!("attune_worker_{name} ")));
        line.and_then(|value| value.parse().ok()).unwrap_or_else(|| panic!("no {name} in\n{text}"))
    }

    /// Registers a provider with the worker of the same number.
    pub fn register(&self, number: usize) {
        let url = self.service(&format!("worker-{number}"))["url"].as_str().unwrap().to_string();
        self.register_at(number, &url);
    }

    /// Registers a provider with the worker at `url`.
    pub fn register_at(&self, number: usize, url: &str) {
        let (name, key) = (format!("provider {number}"), format!("//Provider{number}"));
        let stake =
            ["--self-bond", "1000", "--commission", "10", "--price-per-hour", "60", "--dev-key", &key];
        let args = ["providers", "register", "--worker", url, "--name", &name];
        self.profile.ok(&[&args[..], &stake[..]].concat());
    }

    /// Registers the shipped base model; every job here is about it.
    pub fn add_base_model(&self) {
        let base = base_model().display().to_string();
        let terms = ["--name", "base", "--licence", "Apache-2.0", "--dev-key", "//Customer"];
        self.profile.ok(&[&["models", "add", &base][..], &terms[..]].concat());
    }

    /// The slashes of a provider that wait for their time.
    pub fn pending_slashes(&self, provider: &str) -> Vec<Value> {
        self.profile.json(&["slashes", "list", provider]).as_array().unwrap().clone()
    }

    /// Waits until every slash of a provider is carried out. Nobody here does it: the workers of other providers do.
    pub fn wait_for_slashes(&self, provider: &str) {
        wait_until(&format!("the slashes of {provider}"), Duration::from_secs(200), || {
            self.pending_slashes(provider).is_empty()
        });
    }

    /// The job in its present state.
    pub fn job(&self, id: u64) -> Value {
        self.profile.json(&["jobs", "show", &id.to_string()])
    }

    /// Waits until the job's state has this name.
    pub fn wait_for_state(&self, id: u64, state: &str, patience: Duration) {
        wait_until(&format!("job {id} to be {state}"), patience, || {
            self.job(id)["job"]["state"]["name"] == state
        });
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        if std::thread::panicking() {
            for service in ["alice", "worker-1", "worker-2", "worker-3"] {
                let log = self.profile.run(&["net", "logs", service, "-n", "25"]);
                eprintln!("--- {service}\n{}", String::from_utf8_lossy(&log.stdout));
            }
        }
        let output = self.profile.run(&["net", "down", "--delete"]);
        if !output.status.success() {
            eprintln!("the network was not stopped: {}", String::from_utf8_lossy(&output.stderr));
        }
    }
}

/// Looks again and again until `is_so`; panics after `patience`.
pub fn wait_until(what: &str, patience: Duration, is_so: impl Fn() -> bool) {
    let deadline = Instant::now() + patience;
    while !is_so() {
        assert!(Instant::now() < deadline, "waited {} s for {what}", patience.as_secs());
        std::thread::sleep(Duration::from_millis(300));
    }
}
