//! The network that is measured: three validators of the `local` preset, as `attune net up` starts them, in a folder of
//! their own and on free loopback ports. It is started and stopped by that very command, which stops what it started
//! and nothing else.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use anyhow::{bail, Context, Result};
use serde_json::Value;

/// One validator.
pub(super) struct Node {
    pub(super) name: String,
    /// Its WebSocket address.
    pub(super) url: String,
    pub(super) pid: u32,
    pub(super) log: PathBuf,
    /// Its command line.
    arguments: Vec<String>,
}

impl Node {
    /// The value of an option of its command line, as `--option=value` or in two words.
    pub(super) fn option(&self, name: &str) -> Option<&str> {
        let mut words = self.arguments.iter();
        while let Some(word) = words.next() {
            match word.strip_prefix(name).map(|rest| rest.strip_prefix('=')) {
                Some(Some(value)) => return Some(value),
                Some(None) if word == name => return words.next().map(String::as_str),
                _ => {}
            }
        }
        None
    }
}

/// A running network. Dropped, it is stopped and its data deleted.
pub(super) struct Network {
    attune: PathBuf,
    home: PathBuf,
    pub(super) nodes: Vec<Node>,
    is_up: bool,
}

impl Network {
    /// Starts a network in `home`, which must be empty, and waits until it finalizes blocks.
    pub(super) fn up(attune: &Path, home: &Path) -> Result<Self> {
        // From here on whatever was started is stopped, also if this function fails.
        let mut network =
            Self { attune: attune.to_owned(), home: home.to_owned(), nodes: Vec::new(), is_up: true };
        let output = network.attune(&["net", "up", "--workers", "0"])?;
        let status: Value =
            serde_json::from_slice(&output.stdout).context("reading what `attune net up` prints")?;
        for service in status["services"].as_array().context("`attune net up` lists no services")? {
            let text = |field: &str| service[field].as_str().map(str::to_owned);
            let node = || {
                let pid = u32::try_from(service["pid"].as_u64()?).ok()?;
                let words = fs::read(format!("/proc/{pid}/cmdline")).ok()?;
                let words =
                    words.split(|byte| *byte == 0).map(|word| String::from_utf8_lossy(word).into_owned());
                Some(Node {
                    name: text("name")?,
                    url: text("url")?,
                    pid,
                    log: text("log")?.into(),
                    arguments: words.collect(),
                })
            };
            network.nodes.push(node().with_context(|| format!("no running node is described by {service}"))?);
        }
        if network.nodes.len() < 2 {
            bail!("expected several validators, found {}", network.nodes.len());
        }
        Ok(network)
    }

    /// Stops the network and deletes its data.
    pub(super) fn down(mut self) -> Result<()> {
        self.stop()
    }

    fn stop(&mut self) -> Result<()> {
        if std::mem::take(&mut self.is_up) {
            self.attune(&["net", "down", "--delete"])?;
        }
        Ok(())
    }

    fn attune(&self, arguments: &[&str]) -> Result<Output> {
        let mut command = Command::new(&self.attune);
        command.arg("--home").arg(&self.home).args(["--output", "json"]).args(arguments);
        let output = command.output().with_context(|| {
            format!(
                "running {}; build it (`cargo build -p attune-client`) or name it with --attune",
                self.attune.display()
            )
        })?;
        if !output.status.success() {
            bail!(
                "`attune {}` failed: {}",
                arguments.join(" "),
                String::from_utf8_lossy(&output.stderr).trim()
            );
        }
        Ok(output)
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        if let Err(error) = self.stop() {
            eprintln!("the network in {} could not be stopped: {error:#}", self.home.display());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_read_in_one_word_and_in_two() {
        let words = ["node", "--rpc-port=12", "--pool-limit", "99", "--rpc-port-other=3"];
        let node = Node {
            name: "alice".into(),
            url: "ws://127.0.0.1:1".into(),
            pid: 1,
            log: "log".into(),
            arguments: words.map(String::from).to_vec(),
        };
        assert_eq!(node.option("--rpc-port"), Some("12"));
        assert_eq!(node.option("--pool-limit"), Some("99"));
        assert_eq!(node.option("--pool"), None);
    }
}
