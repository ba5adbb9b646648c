//! The trainer by itself, without a chain: what benchmarks and interoperability checks run.

mod options;
mod train;

use std::{
    collections::BTreeMap,
    io::Write,
    path::{Path, PathBuf},
};

use anyhow::{bail, Context};
use attune_trainer::{
    compare,
    data::PackedData,
    dequantise::dequantise,
    evaluate::{held_out_loss, ExactEvaluation},
    files::{write_safetensors, TensorBytes},
    model::Model,
    parameters::{bytes, values},
    peft, Arithmetic, BaseFormat, DeviceChoice,
};
use clap::{Args, Parser, Subcommand, ValueEnum};
use options::{ArithmeticOptions, DeviceOption, Threads};
use serde_json::json;
use train::Train;

/// Trains, evaluates and inspects models on this machine, without a chain.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Trains an adapter on packed data.
    Train(Box<Train>),
    /// Measures the held-out loss of a model, or of model and adapter, on packed data.
    Evaluate(Evaluate),
    /// Writes the logits of one list of tokens, `[tokens, vocab]`, as libtorch's binary32 computes them.
    Logits(Logits),
    /// Adds an adapter into the weights of its model, in libtorch's binary32.
    Merge(Merge),
    /// Writes the base model as exact arithmetic sees it: its matrices in 8 or 4 bits, written as binary32.
    Dequantise(Dequantise),
    /// Trains small random models on the CPU and on a GPU, in exact arithmetic, and compares them to the last bit.
    Compare(Compare),
    /// Shows the full name of the arithmetic.
    Arithmetic(ArithmeticOptions),
}

#[derive(Args)]
struct Compare {
    #[command(flatten)]
    threads: Threads,
    /// The GPU: cuda, or cuda:N for GPU N from 0.
    #[arg(long, default_value_t = DeviceChoice::Cuda(0))]
    device: DeviceChoice,
}

#[derive(Args)]
struct Evaluate {
    #[command(flatten)]
    arithmetic: ArithmeticOptions,
    #[command(flatten)]
    device: DeviceOption,
    /// Hugging Face directory of the model.
    #[arg(long)]
    model: PathBuf,
    /// Adapter directory.
    #[arg(long)]
    adapter: Option<PathBuf>,
    /// Folder of packed data.
    #[arg(long)]
    data: PathBuf,
    /// Packed rows of one forward pass.
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u32).range(1..))]
    batch_rows: u32,
}

#[derive(Args)]
struct Logits {
    #[command(flatten)]
    threads: Threads,
    /// Hugging Face directory of the model.
    #[arg(long)]
    model: PathBuf,
    /// Adapter directory.
    #[arg(long)]
    adapter: Option<PathBuf>,
    /// Token ids, separated by commas.
    #[arg(long, value_delimiter = ',', required = true)]
    tokens: Vec<i64>,
    /// Write a safetensors file with one tensor `logits`; otherwise JSON goes to standard output.
    #[arg(long)]
    out: Option<PathBuf>,
}

#[derive(Args)]
struct Merge {
    #[command(flatten)]
    threads: Threads,
    /// Hugging Face directory of the base model.
    #[arg(long)]
    model: PathBuf,
    /// Adapter directory.
    #[arg(long)]
    adapter: PathBuf,
    /// Folder to write the merged model into; the tokenizer is copied along.
    #[arg(long)]
    out: PathBuf,
}

#[derive(Args)]
struct Dequantise {
    /// Hugging Face directory of the base model.
    #[arg(long)]
    model: PathBuf,
    /// How exact arithmetic holds it.
    #[arg(long, value_enum, default_value_t = BaseName::W8)]
    base: BaseName,
    /// Folder to write the model into; configuration and tokenizer are copied along.
    #[arg(long)]
    out: PathBuf,
}

#[derive(Clone, Copy, ValueEnum)]
enum BaseName {
    W8,
    W4,
}

fn main() -> anyhow::Result<()> {
    match Arguments::parse().command {
        Command::Train(train) => train.run(),
        Command::Evaluate(evaluate) => evaluate.run(),
        Command::Logits(logits) => logits.run(),
        Command::Merge(merge) => merge.run(),
        Command::Dequantise(Dequantise { model, base, out }) => {
            let base = match base {
                BaseName::W8 => BaseFormat::W8,
                BaseName::W4 => BaseFormat::W4,
            };
            Ok(dequantise(&model, base, &out)?)
        }
        Command::Compare(compare) => compare.run(),
        Command::Arithmetic(options) => {
            println!("{}", options.arithmetic()?);
            Ok(())
        }
    }
}

impl Compare {
    fn run(&self) -> anyhow::Result<()> {
        let arithmetic = Arithmetic::Exact(BaseFormat::W8);
        let placement = self.device.place(arithmetic)?;
        if placement.gpu.is_none() {
            bail!("expected a GPU to compare with the CPU, found {placement}; name one with --device cuda:N");
        }
        let folder = std::env::temp_dir().join(format!("attune-compare-{}", std::process::id()));
        let compared = self.table(&folder);
        // What cannot be removed only takes up room.
        let _ = std::fs::remove_dir_all(&folder);
        match compared? {
            0 => Ok(()),
            count => bail!("{count} trainings differ on {}: do not train on it", placement.device()),
        }
    }

    /// Prints a line for each training; how many differ.
    fn table(&self, folder: &Path) -> anyhow::Result<usize> {
        let mut differ = 0;
        println!(
            "| training | steps | state root on the CPU | CPU, s | GPU, s | |\n|---|---:|---|---:|---:|---|"
        );
        for (index, case) in compare::cases().iter().enumerate() {
            let folder = folder.join(index.to_string());
            let found = case.compare(&folder, self.device, self.threads.threads as usize)?;
            let root = format!("{:?}", found.root);
            let verdict =
                found.difference.as_ref().map_or("same".to_string(), |what| format!("DIFFERS: {what}"));
            let seconds = [found.cpu, found.device].map(|elapsed| format!("{:.1}", elapsed.as_secs_f64()));
            println!("| {} | {} | {root} | {} | {verdict} |", case.name, found.steps, seconds.join(" | "));
            differ += usize::from(found.difference.is_some());
        }
        Ok(differ)
    }
}

fn load(
    model: &Path,
    adapter: Option<&Path>,
) -> anyhow::Result<(Model, Option<attune_trainer::lora::Adapter>)> {
    let model = Model::load(model)?;
    let adapter = adapter.map(|dir| peft::load(&model.spec, dir)).transpose()?;
    Ok((model, adapter))
}

impl Evaluate {
    fn run(&self) -> anyhow::Result<()> {
        let arithmetic = self.arithmetic.arithmetic()?;
        let data = PackedData::open(&self.data)?;
        let (found, placement) = match arithmetic {
            Arithmetic::Exact(base) => {
                let evaluation = ExactEvaluation {
                    model_dir: self.model.clone(),
                    adapter: self.adapter.clone(),
                    base,
                    batch_rows: self.batch_rows,
                    threads: self.arithmetic.count(),
                    device: self.device.device,
                };
                evaluation.held_out_loss(&data)?
            }
            Arithmetic::Float(_) => {
                let placement = self.device.device.place(arithmetic)?;
                let (model, adapter) = load(&self.model, self.adapter.as_deref())?;
                let rows = self.batch_rows as usize;
                (held_out_loss(&model, adapter.as_ref(), &data.held_out, rows)?, placement)
            }
        };
        eprintln!("evaluated on: {placement}");
        let Some(found) = found else {
            bail!("no token of the held-out part bears loss; pack the data with a held-out part");
        };
        let report = json!({
            "arithmetic": arithmetic.to_string(),
            "device": placement.to_string(),
            "loss": found.loss,
            "tokens": found.tokens,
            "perplexity": found.perplexity(),
        });
        println!("{report:#}");
        Ok(())
    }
}

impl Logits {
    fn run(&self) -> anyhow::Result<()> {
        self.threads.pin()?;
        let (model, adapter) = load(&self.model, self.adapter.as_deref())?;
        let logits = model.token_logits(&self.tokens, adapter.as_ref())?;
        let shape = logits.size();
        match &self.out {
            Some(path) => {
                let bytes = bytes(values(&logits));
                let tensor = TensorBytes { name: "logits", dtype: "F32", shape: &shape, bytes };
                write_safetensors(path, &BTreeMap::new(), &[tensor])?;
            }
            None => {
                let rows: Vec<&[f32]> = values(&logits).chunks(model.spec.vocab_size as usize).collect();
                let mut out = std::io::stdout().lock();
                serde_json::to_writer(&mut out, &json!({"shape": shape, "logits": rows}))?;
                writeln!(out)?;
            }
        }
        Ok(())
    }
}

impl Merge {
    fn run(&self) -> anyhow::Result<()> {
        self.threads.pin()?;
        let (model, adapter) = load(&self.model, Some(&self.adapter))?;
        let adapter = adapter.expect("an adapter was asked for above, qed");
        peft::export_merged(&model, &adapter, &self.out)?;
        for entry in std::fs::read_dir(&self.model)? {
            let entry = entry?;
            let name = entry.file_name();
            let is_weights = name.to_string_lossy().contains(".safetensors");
            if entry.file_type()?.is_file() && name != "config.json" && !is_weights {
                let to = self.out.join(&name);
                std::fs::copy(entry.path(), &to).with_context(|| format!("copying {}", to.display()))?;
            }
        }
        Ok(())
    }
}
