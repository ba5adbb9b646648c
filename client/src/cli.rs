//! The grammar of the command line, and which command runs what.

use std::{path::PathBuf, process::ExitCode};

use anyhow::{Context as _, Result};
use clap::{Args, Parser, Subcommand};
use serde::Serialize;

use crate::{
    commands::{
        balance, chat, data, eval, export, jobs, keys, models, net, providers, records, slashes, sponsor,
        stake, train, transfer,
    },
    context::Context,
    output::Format,
};

/// Fine-tune language models on a network of providers, and check what they did.
#[derive(Debug, Parser)]
#[command(name = "attune", version, max_term_width = 110, arg_required_else_help = true)]
pub struct Cli {
    /// What every command takes.
    #[command(flatten)]
    pub global: Global,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// Options of every command.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Everywhere")]
pub struct Global {
    /// Profile folder with keys, models and the local network [default: ~/.local/share/attune]
    #[arg(long, value_name = "DIR", env = "ATTUNE_HOME", global = true)]
    pub home: Option<PathBuf>,
    /// The node to talk to [default: the local network of `attune net up`, else ws://127.0.0.1:9944]
    #[arg(long, value_name = "URL", env = "ATTUNE_NODE_URL", global = true)]
    pub node: Option<String>,
    /// How results are printed on stdout
    #[arg(long, value_enum, default_value = "table", global = true)]
    pub output: Format,
    /// Say nothing but results and errors
    #[arg(long, short, global = true)]
    pub quiet: bool,
    /// Log what the program does inside, on stderr (also by RUST_LOG)
    #[arg(long, short, global = true)]
    pub verbose: bool,
}

/// What `attune` can do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Make, import and list keys
    #[command(subcommand)]
    Keys(keys::Command),
    /// Start and stop a local network on this machine
    #[command(subcommand)]
    Net(net::Command),
    /// List providers; register and run one
    #[command(subcommand)]
    Providers(providers::Command),
    /// Delegate tokens to providers, move them, and take income and stake back
    #[command(subcommand)]
    Stake(stake::Command),
    /// List slashes that wait; carry one out; take compensation that is owed
    #[command(subcommand)]
    Slashes(slashes::Command),
    /// List base models; register one
    #[command(subcommand)]
    Models(models::Command),
    /// Check a data set before paying, and pack it
    #[command(subcommand)]
    Data(data::Command),
    /// Fine-tune a model: shows price and time, asks, then follows the job
    Train(Box<train::Options>),
    /// List, show, watch, top up and cancel jobs
    #[command(subcommand)]
    Jobs(jobs::Command),
    /// Pay for somebody else's jobs, within limits
    #[command(subcommand)]
    Sponsor(sponsor::Command),
    /// List and show training records
    #[command(subcommand)]
    Records(records::Command),
    /// Fetch a job's adapter, in the layout that PEFT reads
    Export(export::Options),
    /// Measure loss and exact match on a data set, without and with an adapter
    Eval(eval::Options),
    /// Ask a base model and its tuned form the same question
    Chat(chat::Options),
    /// Show an account's balance: free, and held for what
    Balance(balance::Options),
    /// Send tokens
    Transfer(transfer::Options),
}

/// Reads the command line, runs it, prints what went wrong.
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    let output = cli.global.output;
    start_logging(cli.global.verbose);
    match run(cli) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            print_error(output, &error);
            ExitCode::FAILURE
        }
    }
}

fn run(cli: Cli) -> Result<()> {
    let context = Context::new(cli.global)?;
    // What computes rather than talks runs without an async runtime: libtorch wants its environment settled while the
    // process has a single thread.
    match cli.command {
        Command::Data(command) => data::run(&context, command),
        Command::Eval(options) => eval::run(&context, options),
        Command::Chat(options) => chat::run(&context, options),
        talks => {
            let runtime = tokio::runtime::Runtime::new().context("starting the async runtime")?;
            let done = runtime.block_on(talk(&context, talks));
            // A blocked read of the terminal must not keep the program from ending.
            runtime.shutdown_background();
            done
        }
    }
}

async fn talk(context: &Context, command: Command) -> Result<()> {
    match command {
        Command::Keys(command) => keys::run(context, command),
        Command::Net(command) => net::run(context, command).await,
        Command::Providers(command) => providers::run(context, command).await,
        Command::Stake(command) => stake::run(context, command).await,
        Command::Slashes(command) => slashes::run(context, command).await,
        Command::Sponsor(command) => sponsor::run(context, command).await,
        Command::Models(command) => models::run(context, command).await,
        Command::Train(options) => train::run(context, *options).await,
        Command::Jobs(command) => jobs::run(context, command).await,
        Command::Records(command) => records::run(context, command).await,
        Command::Export(options) => export::run(context, options).await,
        Command::Balance(options) => balance::run(context, options).await,
        Command::Transfer(options) => transfer::run(context, options).await,
        Command::Data(command) => data::run(context, command),
        Command::Eval(options) => eval::run(context, options),
        Command::Chat(options) => chat::run(context, options),
    }
}

fn start_logging(verbose: bool) {
    let fallback = if verbose { "info,attune=debug" } else { "error" };
    let filter = tracing_subscriber::EnvFilter::try_from_default_env()
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new(fallback));
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();
}

#[derive(Serialize)]
struct ErrorReport {
    error: String,
    causes: Vec<String>,
}

fn print_error(output: Format, error: &anyhow::Error) {
    match output {
        Format::Table => eprintln!("error: {error:#}"),
        Format::Json => {
            let causes = error.chain().skip(1).map(ToString::to_string).collect();
            let report = ErrorReport { error: error.to_string(), causes };
            // Two strings always have a JSON form; if they had none, the plain text still says what happened.
            eprintln!("{}", serde_json::to_string(&report).unwrap_or_else(|_| format!("{error:#}")));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn what_moves_money_wants_to_know_how_much_and_between_whom() {
        let parsed = |line: &str| {
            let words = format!("attune {line} --dev-key //Alice");
            Cli::try_parse_from(words.split(' ')).map(drop).map_err(|error| error.to_string())
        };
        for line in [
            "jobs top-up 3 --training 1 --audits 2",
            "jobs top-up 3 --audits 2",
            "stake redelegate --from //Provider1 --to //Provider2 --all",
            "stake redelegate --from //Provider1 --to //Provider2 --amount 5",
            "sponsor end --customer //Customer",
            "sponsor end --customer //Customer --sponsor //Customer2",
            "stake compound //Provider1 --auto off",
            "slashes apply //Provider1 4",
        ] {
            assert_eq!(parsed(line), Ok(()), "{line}");
        }
        for (line, part) in [
            ("jobs top-up 3", "<--training <ATT>|--audits <ATT>>"),
            ("jobs top-up 3 --training 0", "is nothing"),
            ("stake redelegate --from a --to b", "<--amount <ATT>|--all>"),
            ("stake redelegate --from a --to b --amount 5 --all", "cannot be used with"),
            ("sponsor end", "<--customer <ACCOUNT>|--sponsor <ACCOUNT>>"),
            ("sponsor add //Customer --limit 5 --blocks 0", "--blocks"),
        ] {
            let error = parsed(line).expect_err(line);
            assert!(error.contains(part), "expected {part:?} in {error:?}");
        }
    }
}
