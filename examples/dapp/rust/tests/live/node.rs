//! A development node as a process of its own, on free loopback ports. It ends with its handle.

use std::{
    env,
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::mpsc,
    thread,
    time::Duration,
};

/// The repository.
pub(crate) const REPOSITORY: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../..");

/// How long the node may take to start. Generous: the machine may be busy with other tests.
const PATIENCE: Duration = Duration::from_secs(180);

/// A running node.
pub(crate) struct Node {
    process: Child,
    url: String,
}

impl Node {
    /// Starts a node with a chain of its own, and waits for its RPC server.
    pub(crate) fn start() -> Self {
        let program = program();
        let mut process = Command::new(&program)
            .args(["--dev", "--tmp", "--port", "0", "--rpc-port", "0", "--no-prometheus", "--no-telemetry"])
            .args(["--no-mdns", "--max-runtime-instances", "2", "--unsafe-force-node-key-generation"])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("{}: {error}; build it with scripts/test", program.display()));
        let log = process.stderr.take().expect("stderr was asked for above; qed");
        let (found, address) = mpsc::channel();
        // Reads to the end, so that the node never waits for somebody to read its log.
        thread::spawn(move || {
            let mut lines = Vec::new();
            for line in BufReader::new(log).lines().map_while(Result::ok) {
                if let Some(rest) = line.split("Running JSON-RPC server: addr=").nth(1) {
                    let _ = found.send(rest.split(',').next().unwrap_or_default().to_owned());
                }
                lines.push(line);
            }
            // Shown by the test harness if the test fails.
            println!("{}", lines.join("\n"));
        });
        let mut node = Self { process, url: String::new() };
        match address.recv_timeout(PATIENCE) {
            Ok(address) => node.url = format!("ws://{address}"),
            Err(error) => panic!("the node's RPC server did not start: {error}"),
        }
        node
    }

    /// Where programs reach it.
    pub(crate) fn url(&self) -> &str {
        &self.url
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// The node's program: that of `ATTUNE_NODE`, as for the `attune` command, else the one beside the example's.
fn program() -> PathBuf {
    match env::var_os("ATTUNE_NODE") {
        Some(program) => program.into(),
        None => Path::new(env!("CARGO_BIN_EXE_attune-dapp-example")).with_file_name("attune-node"),
    }
}
