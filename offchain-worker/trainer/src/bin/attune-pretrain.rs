//! Trains a small base model from nothing and writes it in Hugging Face layout.

use std::path::PathBuf;

use anyhow::Context;
use attune_trainer::{
    class::{ExecutionClass, InstructionSet},
    data::PackedData,
    pretrain::{PretrainConfig, Pretraining},
    spec::ModelSpec,
};
use clap::Parser;
use indicatif::{ProgressBar, ProgressStyle};

/// Trains a small base model from nothing on packed text, and writes config.json and model.safetensors (bfloat16).
#[derive(Parser)]
#[command(version)]
struct Arguments {
    /// Folder whose config.json describes the model's shape; tokenizer files are copied from it.
    #[arg(long)]
    model: PathBuf,
    /// Folder of packed data.
    #[arg(long)]
    data: PathBuf,
    /// Folder to write the model into.
    #[arg(long)]
    out: PathBuf,
    /// Optimizer steps.
    #[arg(long)]
    steps: u64,
    /// Packed rows per step.
    #[arg(long, default_value_t = 8)]
    batch_rows: usize,
    /// Peak learning rate.
    #[arg(long, default_value_t = 1e-3)]
    learning_rate: f64,
    /// Steps of linear warm-up.
    #[arg(long, default_value_t = 100)]
    warmup_steps: u64,
    /// Decoupled weight decay.
    #[arg(long, default_value_t = 0.1)]
    weight_decay: f64,
    /// Largest global norm of the gradient.
    #[arg(long, default_value_t = 1.0)]
    max_grad_norm: f64,
    /// Seed of the initial values and of the data order.
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Threads.
    #[arg(long, default_value_t = 2)]
    threads: u32,
    /// Use AVX-512 kernels where the processor has them.
    #[arg(long)]
    avx512: bool,
    /// Write the model and measure the held-out loss every so many steps as well as at the end; 0 for at the end only.
    #[arg(long, default_value_t = 500)]
    save_every: u64,
}

/// What a model folder holds besides weights and config.json, as far as it is there.
const COPIED: [&str; 5] = [
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "generation_config.json",
    "chat_template.jinja",
];

fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let set = if arguments.avx512 { InstructionSet::Avx512 } else { InstructionSet::Avx2 };
    ExecutionClass::new(set, arguments.threads)?.pin()?;
    let spec = ModelSpec::read(&arguments.model)?;
    let data = PackedData::open(&arguments.data)?;
    std::fs::create_dir_all(&arguments.out)
        .with_context(|| format!("creating {}", arguments.out.display()))?;
    for name in COPIED {
        let (from, to) = (arguments.model.join(name), arguments.out.join(name));
        if from.exists() && from != to {
            std::fs::copy(&from, &to).with_context(|| format!("copying {}", from.display()))?;
        }
    }
    let config = PretrainConfig {
        seed: arguments.seed,
        steps: arguments.steps,
        warmup_steps: arguments.warmup_steps,
        batch_rows: arguments.batch_rows,
        learning_rate: arguments.learning_rate,
        weight_decay: arguments.weight_decay,
        max_grad_norm: arguments.max_grad_norm,
    };
    eprintln!(
        "{:.2} million parameters, {} rows of {} tokens, {} steps of {} rows",
        spec.parameters() as f64 / 1e6,
        data.train.rows,
        data.sequence_length,
        config.steps,
        config.batch_rows
    );
    let mut training = Pretraining::new(spec, config)?;
    let bar = ProgressBar::new(arguments.steps).with_style(
        ProgressStyle::with_template("{bar:30} {pos}/{len} steps, {msg}, {eta} left")
            .expect("the template is fixed and valid, qed"),
    );
    let say = |training: &Pretraining, step: u64, loss: f64| -> attune_trainer::Result<()> {
        let held_out = training.held_out_loss(&data)?;
        let held_out =
            held_out.map_or("none held out".to_string(), |loss| format!("held-out loss {loss:.4}"));
        bar.suspend(|| println!("step {step}: training loss {loss:.4}, {held_out}"));
        Ok(())
    };
    let mut average = None;
    training.train(&data, |training, report| {
        let mean = average.map_or(report.loss, |mean: f64| 0.98 * mean + 0.02 * report.loss);
        average = Some(mean);
        bar.set_position(report.step);
        bar.set_message(format!(
            "loss {mean:.4}, rate {:.2e}, {:.0} tokens/s",
            report.learning_rate, report.tokens_per_second
        ));
        let due = arguments.save_every > 0 && report.step % arguments.save_every == 0;
        if due && report.step < report.total_steps {
            training.save(&arguments.out)?;
            say(training, report.step, mean)?;
        }
        Ok(true)
    })?;
    training.save(&arguments.out)?;
    say(&training, arguments.steps, average.unwrap_or(f64::NAN))?;
    bar.finish();
    Ok(())
}
