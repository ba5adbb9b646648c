//! `attune-worker`: see the library's documentation.

use std::{process::ExitCode, sync::Arc};

use anyhow::{Context, Result};
use attune_chain_client::interruption;
use attune_worker::{advert::speed, engine::Trainer, gpu, torch::TorchTrainer, Settings, Worker};
use clap::{Parser, Subcommand, ValueEnum};

/// Trains, audits and serves artifacts for a provider of the Attune network.
#[derive(Parser)]
#[command(version)]
struct Cli {
    /// How log lines look.
    #[arg(long, global = true, value_enum, default_value_t = LogFormat::Text)]
    log_format: LogFormat,
    #[command(subcommand)]
    command: Command,
}

#[derive(Clone, Copy, ValueEnum)]
enum LogFormat {
    /// Lines for people.
    Text,
    /// One JSON object per line.
    Json,
}

#[derive(Subcommand)]
enum Command {
    /// Run until interrupted.
    Run(Settings),
    /// Show the machine, what arithmetic it computes and the measured speed, and whether the node answers.
    Check(Settings),
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    start_logging(cli.log_format);
    match run(cli.command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// `RUST_LOG` chooses what is logged; by default the worker's own news and everybody's warnings.
fn start_logging(format: LogFormat) {
    let filter = tracing_subscriber::EnvFilter::try_from_default_env()
        .unwrap_or_else(|_| "warn,attune_worker=info,attune_chain_client=info,attune_store=info".into());
    let lines = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    match format {
        LogFormat::Text => lines.init(),
        LogFormat::Json => lines.json().init(),
    }
}

fn run(command: Command) -> Result<()> {
    match command {
        Command::Run(settings) => {
            let settings = settings.with_file()?;
            // libtorch reads its environment once: the class comes before anything else, and before any thread.
            let trainer = TorchTrainer::pin(settings.execution_class()?)?.on(settings.device())?;
            tracing::info!(
                device = %trainer.placement(),
                "jobs in exact arithmetic are trained here, class-exact ones on the CPU"
            );
            let config = settings.complete()?;
            std::fs::create_dir_all(&config.base_dir)
                .with_context(|| format!("expected to make {}", config.base_dir.display()))?;
            let tokens_per_second =
                speed(&config.base_dir, &trainer).context("expected to measure the speed")?;
            tracing::info!(class = %trainer.class(), tokens_per_second, "measured in exact arithmetic");
            runtime()?.block_on(async {
                let worker = Worker::set_up(config, Arc::new(trainer), tokens_per_second).await?;
                worker.run(interruption()).await
            })
        }
        Command::Check(settings) => check(settings.with_file()?),
    }
}

fn runtime() -> Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .context("expected threads for the network")
}

fn check(settings: Settings) -> Result<()> {
    let class = settings.execution_class()?;
    let trainer = TorchTrainer::pin(class)?.on(settings.device())?;
    let machine = trainer.machine();
    println!(
        "machine            {} ({} accelerators, {} MiB)",
        machine.model, machine.accelerators, machine.memory_mib
    );
    for gpu in gpu::gpus().iter().flat_map(|gpus| &gpus.devices) {
        println!("GPU                {}, {} MiB", gpu.name, gpu.memory_mib);
    }
    println!("trains on          {}", trainer.placement());
    println!(
        "arithmetic         exact, version {} (AX-{0}), with {} threads",
        attune_trainer::arithmetic::EXACT_VERSION,
        class.threads()
    );
    println!("execution class    {class} (for class-exact jobs, on the CPU)");
    println!("engine version     {}", attune_trainer::ENGINE_VERSION);
    let folder = match &settings.base_dir {
        Some(folder) => folder.clone(),
        None => std::env::temp_dir().join(format!("attune-worker-check-{}", std::process::id())),
    };
    std::fs::create_dir_all(&folder).with_context(|| format!("expected to make {}", folder.display()))?;
    let measured = speed(&folder, &trainer);
    if settings.base_dir.is_none() {
        let _ = std::fs::remove_dir_all(&folder);
    }
    println!(
        "tokens per second  {} (reference load, exact arithmetic)",
        measured.context("expected to measure the speed")?
    );
    let url = settings.node.unwrap_or_else(|| "ws://127.0.0.1:9944".to_owned());
    let chain = runtime()?.block_on(attune_chain_client::Chain::connect(&url))?;
    let identity = chain.identity();
    println!(
        "node               {url}: {} ({}), {} ms slots",
        identity.name, identity.chain_type, identity.block_millis
    );
    Ok(())
}
