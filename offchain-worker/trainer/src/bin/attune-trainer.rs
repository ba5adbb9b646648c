//! The trainer by itself, without a chain: what benchmarks and interoperability checks run.

use std::{
    collections::BTreeMap,
    io::Write,
    ops::ControlFlow,
    path::{Path, PathBuf},
    time::Instant,
};

use anyhow::{bail, Context};
use attune_trainer::{
    compare,
    data::PackedData,
    dequantise::dequantise,
    evaluate::{held_out_loss, ExactEvaluation},
    files::{write_safetensors, TensorBytes},
    lora::LoraConfig,
    model::Model,
    optimizer::AdamWConfig,
    parameters::{bytes, values},
    peft,
    schedule::Schedule,
    Arithmetic, BaseFormat, DeviceChoice, ExecutionClass, SegmentReport, Session, SessionInputs, TrainConfig,
};
use clap::{Args, Parser, Subcommand, ValueEnum};
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::json;

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

/// What to compute in.
#[derive(Args)]
struct ArithmeticOptions {
    /// ax1-w8 or ax1-w4 (exact, the same bits on every machine; eight- or four-bit base), float (libtorch's binary32), or an
    /// execution class such as cpu-torch2.11.0-avx2-t2-f32.
    #[arg(long, default_value = "ax1-w8")]
    arithmetic: String,
    #[command(flatten)]
    threads: Threads,
}

#[derive(Args, Clone, Copy)]
struct Threads {
    /// Threads. Exact arithmetic gives the same bits with any number of them.
    #[arg(long, default_value_t = 2)]
    threads: u32,
}

#[derive(Args)]
struct Compare {
    #[command(flatten)]
    threads: Threads,
    /// The GPU: cuda, or cuda:N for GPU N from 0.
    #[arg(long, default_value_t = DeviceChoice::Cuda(0))]
    device: DeviceChoice,
}

/// What to compute on.
#[derive(Args)]
struct DeviceOption {
    /// auto (the first GPU where exact arithmetic can use it, else the CPU), cpu, cuda, or cuda:N for GPU N from 0. Exact
    /// arithmetic gives the same bits on all of them; binary32 is computed on the CPU.
    #[arg(long, env = "ATTUNE_DEVICE", default_value_t)]
    device: DeviceChoice,
}

impl ArithmeticOptions {
    /// The arithmetic; libtorch is pinned to it where it computes.
    fn arithmetic(&self) -> anyhow::Result<Arithmetic> {
        let arithmetic = match self.arithmetic.as_str() {
            "float" => Arithmetic::Float(ExecutionClass::detect(self.threads.threads)?),
            name => name.parse()?,
        };
        if let Arithmetic::Float(class) = arithmetic {
            class.pin()?;
        }
        Ok(arithmetic)
    }

    fn count(&self) -> usize {
        self.threads.threads as usize
    }
}

impl Threads {
    /// Pins libtorch to this machine's class.
    fn pin(self) -> anyhow::Result<()> {
        Ok(ExecutionClass::detect(self.threads)?.pin()?)
    }
}

#[derive(Args)]
struct Train {
    #[command(flatten)]
    arithmetic: ArithmeticOptions,
    #[command(flatten)]
    device: DeviceOption,
    /// Hugging Face directory of the base model.
    #[arg(long)]
    model: PathBuf,
    /// Folder of packed data.
    #[arg(long)]
    data: PathBuf,
    /// Folder to write the adapter into, as peft loads it.
    #[arg(long)]
    out: Option<PathBuf>,
    /// Checkpoint file: written after each segment, and gone on from if it is there.
    #[arg(long)]
    checkpoint: Option<PathBuf>,
    /// Print a report as JSON on standard output.
    #[arg(long)]
    json: bool,
    /// Training configuration as JSON; the settings below are then ignored.
    #[arg(long)]
    config: Option<PathBuf>,
    /// Seed of the adapter's initial values.
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Rank of the adapter.
    #[arg(long, default_value_t = 16)]
    rank: u32,
    /// Numerator of the adapter's scale.
    #[arg(long, default_value_t = 32.0)]
    alpha: f64,
    /// Scale by the root of the rank.
    #[arg(long)]
    use_rslora: bool,
    /// Peak learning rate.
    #[arg(long, default_value_t = 2e-4)]
    learning_rate: f64,
    /// How the learning rate moves after the warm-up.
    #[arg(long, value_enum, default_value_t = ScheduleName::Cosine)]
    schedule: ScheduleName,
    /// Steps of linear warm-up.
    #[arg(long, default_value_t = 0)]
    warmup_steps: u64,
    /// Optimizer steps.
    #[arg(long, default_value_t = 10)]
    steps: u32,
    /// Packed rows of one forward pass.
    #[arg(long, default_value_t = 2)]
    micro_batch_size: u32,
    /// Forward passes per optimizer step.
    #[arg(long, default_value_t = 1)]
    gradient_accumulation_steps: u32,
    /// Largest global norm of the gradient; 0 for no clipping.
    #[arg(long, default_value_t = 1.0)]
    max_grad_norm: f64,
    /// Decoupled weight decay.
    #[arg(long, default_value_t = 0.0)]
    weight_decay: f64,
    /// Do not measure the held-out loss at the end.
    #[arg(long)]
    no_evaluation: bool,
}

#[derive(Clone, Copy, ValueEnum)]
enum ScheduleName {
    Constant,
    Linear,
    Cosine,
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

impl Train {
    fn config(&self, sequence_length: usize) -> anyhow::Result<TrainConfig> {
        if let Some(path) = &self.config {
            let text = std::fs::read(path).with_context(|| format!("reading {}", path.display()))?;
            return serde_json::from_slice(&text).with_context(|| format!("{}", path.display()));
        }
        Ok(TrainConfig {
            seed: self.seed,
            data_key: *blake3::hash(&self.seed.to_le_bytes()).as_bytes(),
            lora: LoraConfig { rank: self.rank, alpha: self.alpha, use_rslora: self.use_rslora },
            learning_rate: self.learning_rate,
            schedule: match self.schedule {
                ScheduleName::Constant => Schedule::Constant,
                ScheduleName::Linear => Schedule::Linear,
                ScheduleName::Cosine => Schedule::Cosine,
            },
            warmup_steps: self.warmup_steps,
            steps_per_segment: self.steps,
            segments: 1,
            micro_batch_size: self.micro_batch_size,
            gradient_accumulation_steps: self.gradient_accumulation_steps,
            max_grad_norm: self.max_grad_norm,
            adamw: AdamWConfig { beta1: 0.9, beta2: 0.999, epsilon: 1e-8, weight_decay: self.weight_decay },
            sequence_length: u32::try_from(sequence_length).context("the data's rows are too long")?,
            evaluate_after_segments: if self.no_evaluation { Vec::new() } else { vec![0] },
        })
    }

    fn run(&self) -> anyhow::Result<()> {
        let arithmetic = self.arithmetic.arithmetic()?;
        let data = PackedData::open(&self.data)?;
        let config = self.config(data.sequence_length)?;
        let row_tokens = data.sequence_length as u64;
        drop(data);
        let inputs = SessionInputs {
            model_dir: self.model.clone(),
            data_dir: self.data.clone(),
            config,
            arithmetic,
            threads: self.arithmetic.count(),
            device: self.device.device,
        };
        let mut session = match self.checkpoint.as_deref().filter(|path| path.exists()) {
            Some(path) => Session::resume(&inputs, path)?,
            None => Session::start(&inputs)?,
        };
        eprintln!("training on: {}", session.placement());
        let style = ProgressStyle::with_template("{bar:30} {pos}/{len} steps, {msg}, {eta} left")
            .expect("the template is fixed and valid, qed");
        let bar = ProgressBar::new(inputs.config.total_steps()).with_style(style);
        bar.set_position(session.counters().step);
        bar.reset_eta();
        let started = Instant::now();
        let (mut losses, mut segments, mut step_seconds) = (Vec::new(), Vec::new(), Vec::new());
        let mut hash_seconds = 0.0;
        while session.segment() < inputs.config.segments {
            let mut last = Instant::now();
            let report = session.run_segment(&mut |step| {
                losses.push(step.loss);
                hash_seconds += step.hashing.as_secs_f64();
                step_seconds.push(last.elapsed().as_secs_f64());
                last = Instant::now();
                bar.set_position(step.step);
                bar.set_message(format!("loss {:.4}, {:.0} tokens/s", step.loss, step.tokens_per_second));
                ControlFlow::Continue(())
            })?;
            if let Some(path) = &self.checkpoint {
                session.save_checkpoint(path)?;
            }
            segments.push(segment_json(&report));
        }
        bar.finish();
        if let Some(dir) = &self.out {
            session.export_peft(dir, &self.model.display().to_string())?;
        }
        let rows = inputs.config.rows_per_step();
        // The first step of a process also pays for memory that later ones reuse.
        let steady = step_seconds.get(1..).filter(|rest| !rest.is_empty()).unwrap_or(&step_seconds);
        let per_step = steady.iter().sum::<f64>() / steady.len().max(1) as f64;
        let report = json!({
            "arithmetic": arithmetic.to_string(),
            "device": session.placement().to_string(),
            "seconds": started.elapsed().as_secs_f64(),
            "steps": session.counters().step,
            "tokens_seen": session.counters().tokens_seen,
            "tokens_trained": session.counters().tokens_trained,
            "step_seconds": step_seconds,
            "hash_share": hash_seconds / step_seconds.iter().sum::<f64>(),
            "positions_per_second": (rows * row_tokens) as f64 / per_step,
            "peak_rss_bytes": peak_rss_bytes(),
            "losses": losses,
            "segments": segments,
            "state_root": format!("{:?}", session.state_root()?),
        });
        if self.json {
            println!("{report:#}");
        } else {
            println!("{}", summary(&report));
        }
        Ok(())
    }
}

fn segment_json(report: &SegmentReport) -> serde_json::Value {
    json!({
        "segment": report.segment,
        "start_root": format!("{:?}", report.start_root),
        "end_root": format!("{:?}", report.end_root),
        "trace": format!("{:?}", report.trace),
        "train_loss": report.train_loss,
        "tokens": report.metrics.tokens,
        "tokens_trained": report.tokens_trained,
        "held_out_loss_before_micro": report.metrics.held_out_loss_before_micro,
        "held_out_loss_micro": report.metrics.held_out_loss_micro,
        "seconds": report.elapsed.as_secs_f64(),
    })
}

fn summary(report: &serde_json::Value) -> String {
    let last =
        |name: &str| report["segments"].as_array().and_then(|all| all.last()).map(|last| last[name].clone());
    format!(
        "{} steps in {:.1} s, {:.0} positions/s, peak memory {:.0} MB, training loss {}, state root {}",
        report["steps"],
        report["seconds"].as_f64().unwrap_or_default(),
        report["positions_per_second"].as_f64().unwrap_or_default(),
        report["peak_rss_bytes"].as_f64().unwrap_or_default() / 1e6,
        last("train_loss").unwrap_or_default(),
        report["state_root"].as_str().unwrap_or_default()
    )
}

/// The most memory that this process has held.
fn peak_rss_bytes() -> u64 {
    // SAFETY: getrusage only writes into the struct that it is given, for which all zeros is a valid value.
    let usage = unsafe {
        let mut usage: libc::rusage = std::mem::zeroed();
        libc::getrusage(libc::RUSAGE_SELF, &mut usage);
        usage
    };
    u64::try_from(usage.ru_maxrss).unwrap_or_default() * 1024
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
