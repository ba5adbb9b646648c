//! The record of a local network.

use std::{
    fs::{self, File},
    io::ErrorKind,
    path::{Path, PathBuf},
};

use anyhow::{bail, Context, Result};
use serde::{Deserialize, Serialize};

use super::process::ProcessId;
use crate::profile::{make_private_dir, write_whole};

/// Version of the record's layout.
const FORMAT: u32 = 1;

/// What a process is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Makes and finalizes blocks.
    Validator,
    /// Trains, audits and serves artifacts.
    Worker,
}

/// One process of the network.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Service {
    /// Its name, unique in the network: `alice`, `worker-1`.
    pub name: String,
    /// What it is for.
    pub role: Role,
    /// The program that runs it.
    pub program: PathBuf,
    /// Its arguments.
    pub args: Vec<String>,
    /// Its folder, with its data.
    pub folder: PathBuf,
    /// Its standard output and error.
    pub log: PathBuf,
    /// Where it is reached: `ws://…` of a node, `http://…` of a worker.
    pub url: String,
    /// The loopback ports that it listens on.
    pub ports: Vec<u16>,
    /// The account whose key a worker holds, as a development key's path.
    pub operator: Option<String>,
    /// The process that was started last; none if it was never started.
    pub process: Option<ProcessId>,
}

impl Service {
    /// True if its process runs.
    pub fn is_alive(&self) -> bool {
        self.process.as_ref().is_some_and(ProcessId::is_alive)
    }
}

/// What `net up` started.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct NetRecord {
    format: u32,
    /// The processes, validators first.
    pub services: Vec<Service>,
}

impl NetRecord {
    /// A record of these processes.
    pub fn new(services: Vec<Service>) -> Self {
        NetRecord { format: FORMAT, services }
    }

    /// Reads the record of the network in `folder`; `None` if there is none.
    ///
    /// # Errors
    /// If it cannot be read, or another version of this program wrote it.
    pub fn read(folder: &Path) -> Result<Option<Self>> {
        let path = path(folder);
        let bytes = match fs::read(&path) {
            Ok(bytes) => bytes,
            Err(e) if e.kind() == ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(e).with_context(|| format!("reading {}", path.display())),
        };
        let record: NetRecord = serde_json::from_slice(&bytes).with_context(|| {
            format!(
                "{} is not a record of `attune net up`; move it away and stop its processes by hand",
                path.display()
            )
        })?;
        if record.format != FORMAT {
            bail!(
                "{} has format {}, this program writes {FORMAT}; stop that network with the program that started it",
                path.display(),
                record.format
            );
        }
        Ok(Some(record))
    }

    /// Writes the record.
    ///
    /// # Errors
    /// If the disk is full or the folder cannot be written.
    pub fn write(&self, folder: &Path) -> Result<()> {
        let bytes = serde_json::to_vec_pretty(self).context("turning the network's record into JSON")?;
        write_whole(&path(folder), &bytes)
    }

    /// Processes of one role.
    pub fn of_role(&self, role: Role) -> impl Iterator<Item = &Service> {
        self.services.iter().filter(move |service| service.role == role)
    }

    /// Where the first validator that runs is reached.
    pub fn node_url(&self) -> Option<&str> {
        self.of_role(Role::Validator).find(|service| service.is_alive()).map(|service| service.url.as_str())
    }
}

fn path(folder: &Path) -> PathBuf {
    folder.join("record.json")
}

/// Takes the network's lock for as long as the file lives.
///
/// # Errors
/// If another command holds it.
pub(super) fn lock(folder: &Path) -> Result<File> {
    make_private_dir(folder)?;
    let path = folder.join("lock");
    let file = File::create(&path).with_context(|| format!("making {}", path.display()))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(fs::TryLockError::WouldBlock) => {
            bail!("another `attune net` command is at work on {}; wait until it is done", folder.display())
        }
        Err(fs::TryLockError::Error(e)) => Err(e).with_context(|| format!("locking {}", path.display())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_read_as_it_was_written() {
        let dir = tempfile::tempdir().unwrap();
        assert!(NetRecord::read(dir.path()).unwrap().is_none());
        let service = Service {
            name: "alice".into(),
            role: Role::Validator,
            program: "/bin/true".into(),
            args: vec!["--alice".into()],
            folder: dir.path().join("alice"),
            log: dir.path().join("alice/log"),
            url: "ws://127.0.0.1:1".into(),
            ports: vec![1],
            operator: None,
            process: None,
        };
        NetRecord::new(vec![service]).write(dir.path()).unwrap();
        let read = NetRecord::read(dir.path()).unwrap().unwrap();
        assert_eq!(read.services[0].args, ["--alice"]);
        assert_eq!(read.node_url(), None, "what does not run is not offered");
    }

    #[test]
    fn a_record_that_is_none_is_refused_by_its_path() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(path(dir.path()), "{").unwrap();
        assert!(format!("{:#}", NetRecord::read(dir.path()).unwrap_err()).contains("record.json"));
        fs::write(path(dir.path()), r#"{"format":99,"services":[]}"#).unwrap();
        assert!(NetRecord::read(dir.path()).unwrap_err().to_string().contains("format 99"));
    }

    #[test]
    fn two_commands_do_not_work_on_one_network_at_once() {
        let dir = tempfile::tempdir().unwrap();
        let held = lock(dir.path()).unwrap();
        assert!(lock(dir.path()).unwrap_err().to_string().contains("another `attune net` command"));
        drop(held);
        lock(dir.path()).unwrap();
    }
}
