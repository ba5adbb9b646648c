//! A node as a process of its own, on free loopback ports, asked over JSON-RPC. It ends with its handle.

use serde_json::{json, Value};
use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpStream},
    process::{Child, Command, Stdio},
    sync::mpsc,
    thread,
    time::{Duration, Instant},
};

/// How long anything may take before a test gives up. Generous: the machine may be busy with other tests.
pub(crate) const PATIENCE: Duration = Duration::from_secs(180);

/// How often a condition is looked at.
const POLL: Duration = Duration::from_millis(200);

/// A running node.
pub(crate) struct Node {
    process: Child,
    rpc: SocketAddr,
}

impl Node {
    /// Starts a node with these arguments besides ports, and waits for its RPC server.
    pub(crate) fn start(arguments: &[&str]) -> Self {
        let mut process = Command::new(env!("CARGO_BIN_EXE_attune-node"))
            .args(arguments)
            .args(["--port", "0", "--rpc-port", "0", "--no-prometheus", "--no-telemetry", "--no-mdns"])
            .args(["--max-runtime-instances", "2", "--unsafe-force-node-key-generation"])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the node's binary can be started");
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
        let rpc = match address.recv_timeout(PATIENCE) {
            Ok(address) => address.parse().expect("the node logs a socket address"),
            Err(error) => {
                let _ = process.kill();
                panic!("the node's RPC server did not start: {error}");
            }
        };
        Self { process, rpc }
    }

    /// Calls a method and gives its result.
    pub(crate) fn call(&self, method: &str, params: Value) -> Value {
        let body = json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}).to_string();
        let mut connection = TcpStream::connect(self.rpc).expect("the node listens");
        connection.set_read_timeout(Some(PATIENCE)).expect("a timeout can be set");
        write!(
            connection,
            "POST / HTTP/1.1\r\nHost: {}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\
             Connection: close\r\n\r\n{body}",
            self.rpc,
            body.len()
        )
        .expect("the node takes the request");
        let mut answer = String::new();
        connection.read_to_string(&mut answer).expect("the node answers");
        let (_, body) = answer.split_once("\r\n\r\n").expect("an HTTP answer has a body");
        let mut answer: Value = serde_json::from_str(body).unwrap_or_else(|error| panic!("{error}: {body}"));
        assert!(answer.get("error").is_none(), "{method}: {answer}");
        answer["result"].take()
    }

    /// The number of a header; of the best one if no hash is given.
    fn number(&self, hash: Option<Value>) -> u64 {
        let header = self.call("chain_getHeader", json!(hash.into_iter().collect::<Vec<_>>()));
        let number = header["number"].as_str().expect("a header has a number");
        u64::from_str_radix(number.trim_start_matches("0x"), 16).expect("a number in hex")
    }

    /// The number of the best block.
    pub(crate) fn best(&self) -> u64 {
        self.number(None)
    }

    /// The number of the latest final block.
    pub(crate) fn finalized(&self) -> u64 {
        self.number(Some(self.call("chain_getFinalizedHead", json!([]))))
    }

    /// What is stored under a value's name at the best block, as SCALE bytes.
    pub(crate) fn stored(&self, pallet: &str, item: &str) -> Option<Vec<u8>> {
        let hash = |name: &str| hex(&sp_io::hashing::twox_128(name.as_bytes()));
        let key = format!("0x{}{}", hash(pallet), hash(item));
        self.call("state_getStorage", json!([key])).as_str().map(from_hex)
    }

    /// An address at which other nodes on this machine reach this one.
    pub(crate) fn address(&self) -> String {
        wait_for("a listen address on loopback", || {
            let addresses = self.call("system_localListenAddresses", json!([]));
            let mut addresses = addresses.as_array().expect("a list").iter().filter_map(Value::as_str);
            let is_loopback =
                |address: &&str| address.starts_with("/ip4/127.0.0.1/tcp/") && !address.contains("/ws");
            addresses.find(is_loopback).map(str::to_owned)
        })
    }

    /// Stops the node as an operator would, and waits until it has ended.
    pub(crate) fn stop(mut self) {
        let id = self.process.id().to_string();
        let sent = Command::new("kill").args(["-TERM", &id]).status().expect("kill can be started");
        assert!(sent.success());
        let status = wait_for("the node's end", || self.process.try_wait().expect("it is our child"));
        assert!(status.success(), "{status}");
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Looks again and again until there is something, or patience ends.
pub(crate) fn wait_for<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(start.elapsed() < PATIENCE, "waited {PATIENCE:?} in vain for {what}");
        thread::sleep(POLL);
    }
}

/// Waits until a condition holds.
pub(crate) fn wait_until(what: &str, mut holds: impl FnMut() -> bool) {
    wait_for(what, || holds().then_some(()));
}

/// Bytes in hex, without a prefix.
fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The bytes of hex digits after `0x`.
pub(crate) fn from_hex(text: &str) -> Vec<u8> {
    let digits = text.strip_prefix("0x").expect("the node prefixes hex");
    (0..digits.len() / 2)
        .map(|index| u8::from_str_radix(&digits[2 * index..2 * index + 2], 16).expect("hex digits"))
        .collect()
}
