//! What the owner of a worker sets: flags, or a TOML file with the same names.

use std::{net::SocketAddr, path::PathBuf};

use anyhow::{bail, Context, Result};
use attune_chain_client::{keys, primitives::Balance, Account};
use attune_trainer::{class::InstructionSet, DeviceChoice, ExecutionClass};
use clap::Args;
use serde::Deserialize;

/// Default address of the node.
const NODE: &str = "ws://127.0.0.1:9944";
/// Default address to serve on: loopback, and a free port.
const BIND: &str = "127.0.0.1:0";
/// Default threads, of exact arithmetic and of the execution class.
const THREADS: u32 = 2;

/// Settings as given; a flag wins over the file.
#[derive(Args, Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct Settings {
    /// TOML file with any of the settings below.
    #[arg(long, value_name = "FILE")]
    #[serde(skip)]
    pub config: Option<PathBuf>,
    /// Address of a node, ws:// or wss:// [default: ws://127.0.0.1:9944].
    #[arg(long, value_name = "URL")]
    pub node: Option<String>,
    /// Folder of the worker's files: jobs, artifacts, endpoint.
    #[arg(long, value_name = "FOLDER")]
    pub base_dir: Option<PathBuf>,
    /// Key file of the operator key; its passphrase comes from ATTUNE_PASSPHRASE or the terminal.
    #[arg(long, value_name = "FILE", conflicts_with = "dev_key")]
    pub key_file: Option<PathBuf>,
    /// A well-known development key such as //Alice//operator, for development and local chains only.
    #[arg(long, value_name = "URI")]
    pub dev_key: Option<String>,
    /// Address to serve HTTP on; port 0 takes a free one, which is written to <base-dir>/endpoint
    /// [default: 127.0.0.1:0].
    #[arg(long, value_name = "HOST:PORT")]
    pub bind: Option<SocketAddr>,
    /// URL under which others reach this worker [default: http:// and the address served on].
    #[arg(long, value_name = "URL")]
    pub public_url: Option<String>,
    /// Threads to train with [default: 2]. Exact arithmetic gives the same bits with any number of them; of class-exact
    /// jobs they name the execution class.
    #[arg(long, value_name = "N")]
    pub threads: Option<u32>,
    /// The whole execution class of class-exact jobs, such as cpu-torch2.11.0-avx2-t2-f32 [default: avx2 with
    /// --threads]; its threads are those of exact arithmetic, too.
    #[arg(long, value_name = "CLASS", conflicts_with = "threads")]
    pub class: Option<String>,
    /// Where jobs in exact arithmetic are trained and audited: auto (the first GPU that can be used, else the CPU), cpu, cuda,
    /// or cuda:N for GPU N from 0 [default: auto]. Every device gives the same bits. Class-exact jobs run on the CPU.
    #[arg(long, value_name = "DEVICE", env = "ATTUNE_DEVICE")]
    pub device: Option<DeviceChoice>,
    /// Never ask for less than this for a job, in planck [default: 0].
    #[arg(long, value_name = "PLANCK")]
    pub price_floor: Option<u64>,
    /// Most jobs to train at a time; 0 to audit only [default: 1].
    #[arg(long, value_name = "N")]
    pub max_jobs: Option<u32>,
    /// Don't push passed deadlines of jobs that this worker is no party to.
    #[arg(long)]
    pub only_own_deadlines: bool,
}

impl Settings {
    /// These settings, completed by those of the file that they name.
    ///
    /// # Errors
    /// If the file cannot be read or has a setting that does not exist.
    pub fn with_file(self) -> Result<Self> {
        let Some(path) = &self.config else { return Ok(self) };
        let text = std::fs::read_to_string(path)
            .with_context(|| format!("expected a settings file at {}", path.display()))?;
        let file: Self = toml::from_str(&text).with_context(|| {
            format!(
                "expected settings in TOML, as `attune-worker run --help` names them, in {}",
                path.display()
            )
        })?;
        Ok(Self {
            node: self.node.or(file.node),
            base_dir: self.base_dir.or(file.base_dir),
            // A key on the command line replaces either kind of key in the file.
            key_file: self.key_file.clone().or(if self.dev_key.is_some() { None } else { file.key_file }),
            dev_key: self.dev_key.or(if self.key_file.is_some() { None } else { file.dev_key }),
            bind: self.bind.or(file.bind),
            public_url: self.public_url.or(file.public_url),
            class: self.class.or(if self.threads.is_some() { None } else { file.class }),
            threads: self.threads.or(file.threads),
            device: self.device.or(file.device),
            price_floor: self.price_floor.or(file.price_floor),
            max_jobs: self.max_jobs.or(file.max_jobs),
            only_own_deadlines: self.only_own_deadlines || file.only_own_deadlines,
            config: self.config,
        })
    }

    /// The device that is asked for.
    pub fn device(&self) -> DeviceChoice {
        self.device.unwrap_or_default()
    }

    /// The execution class that is asked for; its threads are those of exact arithmetic, too.
    ///
    /// # Errors
    /// If this machine cannot run it.
    pub fn execution_class(&self) -> Result<ExecutionClass> {
        let class = match &self.class {
            Some(name) => name.parse()?,
            None => ExecutionClass::new(InstructionSet::Avx2, self.threads.unwrap_or(THREADS))?,
        };
        class.check_machine()?;
        Ok(class)
    }

    /// Everything that a running worker needs; asks for the passphrase of a key file.
    ///
    /// # Errors
    /// A setting that is missing, or a key that cannot be opened.
    pub fn complete(self) -> Result<WorkerConfig> {
        let class = self.execution_class()?;
        let Some(base_dir) = self.base_dir else {
            bail!("expected --base-dir FOLDER for the worker's files, found none; name a folder");
        };
        let account = match (&self.key_file, &self.dev_key) {
            (Some(_), Some(_)) => {
                bail!("expected one operator key, found key-file and dev-key; remove one of them")
            }
            (Some(path), None) => {
                let passphrase = keys::passphrase(&format!("Passphrase of {}", path.display()))?;
                keys::unlock_file(path, &passphrase)?
            }
            (None, Some(uri)) => Account::dev(uri)?,
            (None, None) => bail!("expected the operator key, found none; name it with --key-file FILE"),
        };
        Ok(WorkerConfig {
            node: self.node.unwrap_or_else(|| NODE.to_owned()),
            base_dir,
            account,
            bind: self.bind.unwrap_or_else(|| BIND.parse().expect("the default address is one; qed")),
            public_url: self.public_url,
            class: class.to_string(),
            price_floor: Balance::from(self.price_floor.unwrap_or(0)),
            max_jobs: self.max_jobs.unwrap_or(1),
            push_others: !self.only_own_deadlines,
        })
    }
}

/// Everything that a running worker needs.
#[derive(Clone, Debug)]
pub struct WorkerConfig {
    /// Address of the node.
    pub node: String,
    /// Folder of the worker's files.
    pub base_dir: PathBuf,
    /// The operator key.
    pub account: Account,
    /// Address to serve on.
    pub bind: SocketAddr,
    /// URL under which others reach this worker; from the address served on if `None`.
    pub public_url: Option<String>,
    /// The execution class that the trainer is pinned to, for class-exact jobs.
    pub class: String,
    /// Never asks for less than this for a job, in planck.
    pub price_floor: Balance,
    /// Most jobs that it trains at a time.
    pub max_jobs: u32,
    /// Whether to push passed deadlines of jobs that it is no party to.
    pub push_others: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flag_wins_over_the_file_and_a_misspelt_setting_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("worker.toml");
        std::fs::write(&path, "node = \"ws://127.0.0.1:1\"\nprice-floor = 7\nkey-file = \"k.json\"\n")
            .unwrap();
        let flags = Settings {
            config: Some(path.clone()),
            node: Some("ws://127.0.0.1:2".into()),
            dev_key: Some("//Alice".into()),
            ..Settings::default()
        };
        let found = flags.with_file().unwrap();
        assert_eq!((found.node.as_deref(), found.price_floor), (Some("ws://127.0.0.1:2"), Some(7)));
        assert_eq!((found.dev_key.as_deref(), found.key_file), (Some("//Alice"), None));
        std::fs::write(&path, "prize-floor = 7\n").unwrap();
        let error = Settings { config: Some(path), ..Settings::default() }.with_file().unwrap_err();
        assert!(format!("{error:#}").contains("prize-floor"), "{error:#}");
    }

    #[test]
    fn the_device_is_named_in_the_file_or_by_a_flag_and_is_auto_if_it_is_not() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("worker.toml");
        let settings = |text: &str, device| {
            std::fs::write(&path, text).unwrap();
            Settings { config: Some(path.clone()), device, ..Settings::default() }.with_file()
        };
        assert_eq!(settings("", None).unwrap().device(), DeviceChoice::Auto);
        assert_eq!(settings("device = \"cuda:1\"", None).unwrap().device(), DeviceChoice::Cuda(1));
        let flag = Some(DeviceChoice::Cpu);
        assert_eq!(settings("device = \"cuda:1\"", flag).unwrap().device(), DeviceChoice::Cpu);
        let error = format!("{:#}", settings("device = \"gpu\"", None).unwrap_err());
        assert!(error.contains("expected auto, cpu, cuda or a GPU such as cuda:1, found \"gpu\""), "{error}");
    }

    #[test]
    fn a_missing_folder_or_key_is_named() {
        let settings = Settings { dev_key: Some("//Alice".into()), ..Settings::default() };
        assert!(settings.clone().complete().unwrap_err().to_string().contains("--base-dir"));
        let settings = Settings { base_dir: Some("b".into()), ..Settings::default() };
        assert!(settings.complete().unwrap_err().to_string().contains("--key-file"));
    }
}
