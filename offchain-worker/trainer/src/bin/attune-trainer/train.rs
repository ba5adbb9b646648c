//! `attune-trainer train`.

use std::{ops::ControlFlow, path::PathBuf, time::Instant};

use anyhow::Context;
use attune_trainer::{
    data::PackedData, lora::LoraConfig, optimizer::AdamWConfig, schedule::Schedule, SegmentReport, Session,
    SessionInputs, TrainConfig,
};
use clap::{Args, ValueEnum};
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::json;

use crate::options::{ArithmeticOptions, DeviceOption};

#[derive(Args)]
pub(crate) struct Train {
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

    pub(crate) fn run(&self) -> anyhow::Result<()> {
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
        // Into the trace, into roots, and into all of the segments but held-out losses.
        let (mut trace_seconds, mut root_seconds, mut segment_seconds) = (0.0, 0.0, 0.0);
        while session.segment() < inputs.config.segments {
            let mut last = Instant::now();
            let report = session.run_segment(&mut |step| {
                losses.push(step.loss);
                trace_seconds += step.hashing.as_secs_f64();
                step_seconds.push(last.elapsed().as_secs_f64());
                last = Instant::now();
                bar.set_position(step.step);
                bar.set_message(format!("loss {:.4}, {:.0} tokens/s", step.loss, step.tokens_per_second));
                ControlFlow::Continue(())
            })?;
            if let Some(path) = &self.checkpoint {
                session.save_checkpoint(path)?;
            }
            root_seconds += report.rooting.as_secs_f64();
            segment_seconds += (report.elapsed - report.evaluating).as_secs_f64();
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
            "trace_share": trace_seconds / segment_seconds,
            "root_share": root_seconds / segment_seconds,
            "hash_share": (trace_seconds + root_seconds) / segment_seconds,
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
