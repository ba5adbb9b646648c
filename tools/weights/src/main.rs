//! Measures what the calls of Attune's pallets cost, and writes it as code.
//!
//! In the room `tools/` stand programs for those who work on Attune, which no user runs.
//!
//! `scripts/weights` builds the runtime with its benchmarks, as Wasm, and runs this program on it: each benchmark is
//! executed as a node executes blocks, on a state that its own setup has made. Time is the median of the repetitions in
//! an in-memory database; reads and writes are counted once each key, in a second state that follows them. The file that
//! comes out adds what ParityDB takes for them.
//!
//! ## Limitations
//!
//! Benchmarks with components (a bound that varies) are refused: the pallets' benchmarks measure the worst case of every
//! bound. Sizes of storage proofs are not measured: Attune is no parachain.

mod measure;
mod render;

use std::{collections::BTreeMap, fs, path::PathBuf};

use anyhow::{bail, Context, Result};
use clap::Parser;

/// Measures the weights of the runtime's calls.
#[derive(Parser)]
struct Options {
    /// The runtime as Wasm, built with the feature `runtime-benchmarks`.
    #[arg(long)]
    runtime: PathBuf,
    /// How often each benchmark is repeated.
    #[arg(long, default_value_t = 20)]
    repeat: u32,
    /// The folder of the weight files.
    #[arg(long)]
    folder: PathBuf,
    /// Write nothing; say what differs from the files.
    #[arg(long)]
    check: bool,
    /// What the check calls different, in percent of the time in the file.
    #[arg(long, default_value_t = 50)]
    tolerance: u64,
}

fn main() -> Result<()> {
    let options = Options::parse();
    let code = fs::read(&options.runtime)
        .with_context(|| format!("can't read the runtime {}", options.runtime.display()))?;
    let measured = measure::all(&code, options.repeat)?;
    if options.check {
        return check(&options, &measured);
    }
    for (pallet, costs) in &measured {
        let path = options.folder.join(format!("{pallet}.rs"));
        let text = render::file(pallet, costs, options.repeat);
        fs::write(&path, text).with_context(|| format!("can't write {}", path.display()))?;
        println!("{}", path.display());
    }
    Ok(())
}

/// Compares what was measured with the files. Reads and writes are exact; times vary from machine to machine.
fn check(options: &Options, measured: &BTreeMap<String, Vec<render::Cost>>) -> Result<()> {
    let (mut wrong, mut moved) = (0, 0);
    for (pallet, costs) in measured {
        let path = options.folder.join(format!("{pallet}.rs"));
        let text = fs::read_to_string(&path).with_context(|| {
            format!("there are no weights of {pallet} in {}: run scripts/weights", path.display())
        })?;
        let known = render::parse(&text)?;
        for now in costs {
            let Some(then) = known.iter().find(|then| then.name == now.name) else {
                println!("{pallet}::{}: has no weight", now.name);
                wrong += 1;
                continue;
            };
            if (now.reads, now.writes) != (then.reads, then.writes) {
                println!(
                    "{pallet}::{}: {} reads and {} writes, the file says {} and {}",
                    now.name, now.reads, now.writes, then.reads, then.writes
                );
                wrong += 1;
            }
            let percent = now.nanos.abs_diff(then.nanos).saturating_mul(100) / then.nanos.max(1);
            if percent > options.tolerance {
                println!("{pallet}::{}: {} ns, the file says {} ns", now.name, now.nanos, then.nanos);
                moved += 1;
            }
        }
        for gone in known.iter().filter(|then| costs.iter().all(|now| now.name != then.name)) {
            println!("{pallet}::{}: has a weight and no benchmark", gone.name);
            wrong += 1;
        }
    }
    println!("{moved} of the times moved by more than {} %", options.tolerance);
    if wrong > 0 {
        bail!("{wrong} weights are not those of the code: run scripts/weights");
    }
    Ok(())
}
