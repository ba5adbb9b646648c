//! `attune net up`.

use std::{
    path::{Path, PathBuf},
    process::{Child, Command},
    time::{Duration, Instant},
};

use anyhow::{bail, Context, Result};

use super::{
    down::stop_all,
    launch,
    ports::free_ports,
    record::{lock, NetRecord, Role, Service},
};
use crate::{
    profile::make_private_dir,
    progress::{say_above, Progress},
};

/// The validators of the `local` preset: name and the node's switch for its development keys.
const VALIDATORS: [&str; 3] = ["alice", "bob", "charlie"];
/// Most workers: the preset has operator keys for six providers.
pub(super) const MAX_WORKERS: usize = 6;
/// How long the validators may take until each has finalized a block.
const FINALITY_PATIENCE: Duration = Duration::from_secs(120);
/// How long a worker may take until it advertises itself; it measures its speed first.
const WORKER_PATIENCE: Duration = Duration::from_secs(120);

/// What to start.
#[derive(Clone, Debug)]
pub struct UpOptions {
    /// How many workers, 0 to [`MAX_WORKERS`].
    pub workers: usize,
    /// Threads that each worker trains with; of class-exact jobs, part of its execution class.
    pub threads: u32,
    /// The specification of the chain, which must have the `local` preset's accounts; that preset if none is given.
    pub chain: Option<PathBuf>,
    /// The node's program; looked for if none is given.
    pub node_program: Option<PathBuf>,
    /// The worker's program; looked for if none is given.
    pub worker_program: Option<PathBuf>,
}

/// What `up` found and did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// A network was made and started.
    Created,
    /// Some or all of its processes had ended and were started again.
    Resumed {
        /// How many were started.
        started: usize,
    },
    /// All of it was running.
    AlreadyRunning,
}

/// Starts the network in `folder`, or what is missing of it, and waits until it works: every validator finalizes, every
/// worker advertises itself. If anything fails or `interrupted` comes first, what this call started is stopped.
///
/// # Errors
/// If a program is not found, or a process does not become ready in time; the error shows the end of its log.
pub async fn up(
    folder: &Path,
    options: &UpOptions,
    progress: Progress,
    interrupted: impl std::future::Future<Output = ()>,
) -> Result<(NetRecord, Outcome)> {
    let _lock = lock(folder)?;
    let found = NetRecord::read(folder)?;
    let is_new = found.is_none();
    let mut record = match found {
        Some(record) => record,
        None => plan(folder, options)?,
    };
    let missing = record.services.iter().filter(|service| !service.is_alive()).count();
    if missing == 0 {
        return Ok((record, Outcome::AlreadyRunning));
    }
    let mut started = Started::default();
    let outcome = tokio::select! {
        outcome = start(folder, &mut record, &mut started, progress) => outcome,
        () = interrupted => Err(anyhow::anyhow!("interrupted; what was started is stopped again")),
    };
    if let Err(error) = outcome {
        let mine: Vec<&Service> =
            record.services.iter().filter(|s| started.names.contains(&s.name)).collect();
        let stopped = stop_all(&mine);
        started.reap();
        stopped.with_context(|| format!("stopping what was started, after: {error:#}"))?;
        return Err(error);
    }
    let outcome = if is_new { Outcome::Created } else { Outcome::Resumed { started: missing } };
    Ok((record, outcome))
}

/// What one call started, to be stopped if it fails.
#[derive(Default)]
struct Started {
    names: Vec<String>,
    children: Vec<Child>,
}

impl Started {
    fn reap(&mut self) {
        for child in &mut self.children {
            // It has been stopped; all that is left is its entry in the process table.
            let _ = child.wait();
        }
    }
}

async fn start(
    folder: &Path,
    record: &mut NetRecord,
    started: &mut Started,
    progress: Progress,
) -> Result<()> {
    for (role, words) in
        [(Role::Validator, "validators: waiting for finality"), (Role::Worker, "workers: waiting for them")]
    {
        let waiting: Vec<usize> = (0..record.services.len())
            .filter(|index| record.services[*index].role == role && !record.services[*index].is_alive())
            .collect();
        if waiting.is_empty() {
            continue;
        }
        let bar = progress.spinner(format!("{} {words}", waiting.len()));
        for index in &waiting {
            let service = &mut record.services[*index];
            started.names.push(service.name.clone());
            started.children.push(launch::spawn(service)?);
            // Recorded one by one, so that a kill between two of them leaves none unrecorded.
            record.write(folder)?;
        }
        let validators = record.of_role(Role::Validator).count();
        let waits = waiting.iter().map(|index| {
            let service = &record.services[*index];
            let bar = bar.clone();
            async move {
                match role {
                    Role::Validator => {
                        let deadline = Instant::now() + FINALITY_PATIENCE;
                        launch::wait_for_finality(service, validators > 1, deadline).await?;
                    }
                    Role::Worker => {
                        launch::wait_for_worker(service, Instant::now() + WORKER_PATIENCE).await?
                    }
                }
                say_above(progress, &bar, format!("  {} is ready at {}", service.name, service.url));
                anyhow::Ok(())
            }
        });
        futures::future::try_join_all(waits).await?;
        bar.finish_and_clear();
    }
    Ok(())
}

/// Draws up a new network: folders, ports, keys of the nodes, commands.
fn plan(folder: &Path, options: &UpOptions) -> Result<NetRecord> {
    if options.workers > MAX_WORKERS {
        bail!("{} workers: the local preset has keys for {MAX_WORKERS} at most", options.workers);
    }
    let node = program("attune-node", "ATTUNE_NODE", options.node_program.as_deref())?;
    let worker = match options.workers {
        0 => PathBuf::new(),
        _ => program("attune-worker", "ATTUNE_WORKER", options.worker_program.as_deref())?,
    };
    let ports = free_ports(VALIDATORS.len() * 3 + options.workers)?;
    let (node_ports, worker_ports) = ports.split_at(VALIDATORS.len() * 3);
    let mut peers = Vec::new();
    for name in VALIDATORS {
        let folder = folder.join(name);
        make_private_dir(&folder)?;
        peers.push(make_node_key(&node, &folder.join("node-key"))?);
    }
    let address = |index: usize| format!("/ip4/127.0.0.1/tcp/{}/p2p/{}", node_ports[index * 3], peers[index]);
    let chain = match &options.chain {
        Some(file) if file.is_file() => {
            std::path::absolute(file).with_context(|| format!("resolving {}", file.display()))?
        }
        Some(file) => bail!("there is no chain specification at {}", file.display()),
        None => "local".into(),
    };
    let mut services = Vec::new();
    for (index, name) in VALIDATORS.iter().enumerate() {
        let others: Vec<String> =
            (0..VALIDATORS.len()).filter(|other| *other != index).map(address).collect();
        let ports = &node_ports[index * 3..index * 3 + 3];
        services.push(validator(folder, &node, &chain, name, ports, &others));
    }
    for (index, port) in worker_ports.iter().enumerate() {
        let node_url = services[index % VALIDATORS.len()].url.clone();
        services.push(worker_service(folder, &worker, index + 1, *port, &node_url, options));
    }
    Ok(NetRecord::new(services))
}

fn validator(
    folder: &Path,
    program: &Path,
    chain: &Path,
    name: &str,
    ports: &[u16],
    others: &[String],
) -> Service {
    let folder = folder.join(name);
    let [p2p, rpc, metrics] = [ports[0], ports[1], ports[2]];
    let mut args: Vec<String> = vec![
        format!("--chain={}", chain.display()),
        format!("--{name}"),
        "--base-path".into(),
        folder.join("data").display().to_string(),
        "--node-key-file".into(),
        folder.join("node-key").display().to_string(),
        format!("--listen-addr=/ip4/127.0.0.1/tcp/{p2p}"),
        format!("--rpc-port={rpc}"),
        format!("--prometheus-port={metrics}"),
        "--no-telemetry".into(),
        "--no-mdns".into(),
    ];
    args.push("--bootnodes".into());
    args.extend(others.iter().cloned());
    Service {
        name: name.into(),
        role: Role::Validator,
        program: program.into(),
        args,
        log: folder.join("log"),
        folder,
        url: format!("ws://127.0.0.1:{rpc}"),
        ports: ports.to_vec(),
        operator: None,
        process: None,
    }
}

fn worker_service(
    folder: &Path,
    program: &Path,
    number: usize,
    port: u16,
    node_url: &str,
    options: &UpOptions,
) -> Service {
    let name = format!("worker-{number}");
    let folder = folder.join(&name);
    let operator = format!("//Provider{number}//operator");
    let args = vec![
        "run".into(),
        "--node".into(),
        node_url.into(),
        "--base-dir".into(),
        folder.join("data").display().to_string(),
        "--dev-key".into(),
        operator.clone(),
        "--bind".into(),
        format!("127.0.0.1:{port}"),
        "--threads".into(),
        options.threads.to_string(),
    ];
    Service {
        name,
        role: Role::Worker,
        program: program.into(),
        args,
        log: folder.join("log"),
        folder,
        url: format!("http://127.0.0.1:{port}"),
        ports: vec![port],
        operator: Some(operator),
        process: None,
    }
}

/// Makes a node's network key, unless it is there, and gives its peer id.
fn make_node_key(node: &Path, file: &Path) -> Result<String> {
    let verb = if file.exists() { "inspect-node-key" } else { "generate-node-key" };
    let mut command = Command::new(node);
    command.args(["key", verb, "--file"]).arg(file);
    let output = command.output().with_context(|| format!("running {} key {verb}", node.display()))?;
    // Making a key prints the peer id on stderr, looking at one prints it on stdout.
    let printed = [&output.stdout, &output.stderr].map(|bytes| String::from_utf8_lossy(bytes).into_owned());
    let is_peer_id = |word: &&str| word.starts_with("12D3Koo") && word.len() == 52;
    let peer = printed.iter().flat_map(|text| text.split_ascii_whitespace()).find(is_peer_id);
    match peer {
        Some(peer) if output.status.success() => Ok(peer.to_string()),
        _ => bail!("`{} key {verb}` gave no peer id: {}{}", node.display(), printed[0], printed[1]),
    }
}

/// Finds a program: as given, by the environment, beside this one, or on the PATH.
fn program(name: &str, variable: &str, given: Option<&Path>) -> Result<PathBuf> {
    let named = given.map(Path::to_path_buf).or_else(|| std::env::var_os(variable).map(PathBuf::from));
    if let Some(path) = named {
        if path.is_file() {
            return std::path::absolute(&path).with_context(|| format!("resolving {}", path.display()));
        }
        bail!("{name}: there is no program at {}", path.display());
    }
    let this = std::env::current_exe().context("finding this program's own folder")?;
    // Tests lie in a folder below the programs.
    let beside = this.ancestors().skip(1).take(2).map(Path::to_path_buf);
    let on_path =
        std::env::var_os("PATH").map(|p| std::env::split_paths(&p).collect::<Vec<_>>()).unwrap_or_default();
    let mut candidates = beside.chain(on_path).map(|dir| dir.join(name));
    candidates.find(|path| path.is_file()).with_context(|| {
        format!(
            "the program {name} was not found beside {} nor on the PATH; build it (`cargo build -p {name}`) or name it \
             with {variable}=PATH",
            this.display()
        )
    })
}
