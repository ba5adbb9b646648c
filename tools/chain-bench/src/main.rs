//! Measures Attune's chain: what calls cost as it grows.
//!
//! In the room `tools/` stand programs for those who work on Attune, which no user runs. `scripts/bench chain` runs this
//! one.
//!
//! - `costs`: calls of the real runtime, natively, on a state of so many delegators and jobs: time, reads and writes.

mod costs;
mod load;
mod state;

use std::{fs, path::PathBuf};

use anyhow::{Context, Result};
use clap::{Parser, Subcommand};
use serde_json::{json, Value};

/// Measures Attune's chain.
#[derive(Parser)]
struct Options {
    #[command(subcommand)]
    what: What,
    /// Write the figures to this file, as JSON.
    #[arg(long, global = true)]
    json: Option<PathBuf>,
}

#[derive(Subcommand)]
enum What {
    /// What calls cost with more and more delegators and jobs.
    Costs {
        /// Numbers of delegators of one provider.
        #[arg(long, value_delimiter = ',', default_values_t = [10, 100, 1_000, 10_000, 100_000])]
        delegators: Vec<u32>,
        /// Numbers of live jobs of the same provider.
        #[arg(long, value_delimiter = ',', default_values_t = [10, 100, 1_000, 10_000])]
        jobs: Vec<u32>,
    },
}

fn main() -> Result<()> {
    let options = Options::parse();
    let figures: Value = match options.what {
        What::Costs { delegators, jobs } => costs::measure(&delegators, &jobs)?,
    };
    if let Some(path) = options.json {
        let text = serde_json::to_string_pretty(&figures)?;
        fs::write(&path, text + "\n").with_context(|| format!("can't write {}", path.display()))?;
    }
    Ok(())
}

/// The machine and what else runs on it: figures mean little without.
fn machine() -> Value {
    let read = |path| fs::read_to_string(path).unwrap_or_default();
    let info = read("/proc/cpuinfo");
    let cpu = info.lines().find_map(|line| line.strip_prefix("model name")?.split_once(':'));
    let load = read("/proc/loadavg").split(' ').next().and_then(|load| load.parse::<f64>().ok());
    json!({
        "cpu": cpu.map(|(_, name)| name.trim()),
        "cores": std::thread::available_parallelism().ok().map(std::num::NonZero::get),
        "load": load,
    })
}
