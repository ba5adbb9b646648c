//! Measures Attune's chain: what calls cost as it grows, and how many of them a network takes.
//!
//! In the room `tools/` stand programs for those who work on Attune, which no user runs. `scripts/bench chain` runs this
//! one.
//!
//! - [`costs`]: calls of the real runtime, natively, on a state of so many delegators and jobs: time, reads and writes.
//! - [`throughput`]: transfers and job creations on three real nodes, per second and per block, and what limits them.

mod costs;
mod load;
mod state;
mod throughput;

use std::{fs, path::PathBuf};

use anyhow::{Context, Result};
use clap::{Parser, ValueEnum};
use serde_json::{json, Value};

/// Measures Attune's chain: what calls cost as it grows, and how many of them a network on this machine takes.
#[derive(Parser)]
#[command(name = "scripts/bench chain")]
struct Options {
    /// Measure only this [default: both]
    #[arg(long, value_enum)]
    only: Option<Part>,
    /// Write the figures to this file, as JSON
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Costs: numbers of delegators of one provider
    #[arg(long, value_name = "N,N,...", value_delimiter = ',', default_values_t = [10, 100, 1_000, 10_000, 100_000])]
    delegators: Vec<u32>,
    /// Costs: numbers of live jobs of the same provider
    #[arg(long, value_name = "N,N,...", value_delimiter = ',', default_values_t = [10, 100, 1_000, 10_000])]
    jobs: Vec<u32>,
    /// Throughput: length of each window, in seconds, after 10 s of warm-up
    #[arg(long, default_value_t = 60)]
    seconds: u64,
    /// Throughput: how many accounts send
    #[arg(long, default_value_t = 600)]
    accounts: u32,
    /// Throughput: the `attune` program that starts the network [default: beside this one]
    #[arg(long, value_name = "PATH")]
    attune: Option<PathBuf>,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Part {
    /// What calls cost with more and more delegators and jobs
    Costs,
    /// How many transfers and job creations three validators on this machine take
    Throughput,
}

fn main() -> Result<()> {
    let options = Options::parse();
    let mut figures = json!({ "machine": machine() });
    let wants = |part| options.only.is_none_or(|only| only == part);
    // First, while the machine has done nothing else.
    if wants(Part::Throughput) {
        figures["throughput"] = throughput::measure(&throughput::Options {
            seconds: options.seconds,
            accounts: options.accounts,
            attune: options.attune,
        })?;
    }
    if wants(Part::Costs) {
        figures["costs"] = costs::measure(&options.delegators, &options.jobs)?;
    }
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
