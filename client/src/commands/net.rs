//! `attune net`: a local network on this machine.

use std::path::PathBuf;

use anyhow::{bail, Context as _, Result};
use attune_chain_client::interruption;
use clap::{Args, Subcommand};
use serde::Serialize;

use crate::{
    context::Context,
    net::{self, logs, rpc, NetRecord, Role, UpOptions},
    output::{Format, Table},
};

/// `attune net …`
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Start three validators and some workers, and wait until they work; goes on with the data of the last time
    Up(Up),
    /// Stop exactly what `net up` started
    Down(Down),
    /// Show what runs, how far each node is, and where it is reached
    Status,
    /// Show the end of a process's log
    Logs(Logs),
}

/// Options of `net up`.
#[derive(Debug, Args)]
pub struct Up {
    /// How many workers to start (0 to 6)
    #[arg(long, default_value_t = 3)]
    workers: usize,
    /// Threads of each worker; of class-exact jobs, part of its execution class
    #[arg(long, default_value_t = 2)]
    threads: u32,
    /// Begin with this chain specification in place of the preset `local`, whose accounts it must have: for instance the
    /// same network with another runtime (`attune-node export-chain-spec --chain local --runtime FILE`)
    #[arg(long, value_name = "FILE")]
    chain: Option<PathBuf>,
    /// The node's program [default: beside this one, or on the PATH]
    #[arg(long, value_name = "PATH")]
    node_program: Option<PathBuf>,
    /// The worker's program [default: beside this one, or on the PATH]
    #[arg(long, value_name = "PATH")]
    worker_program: Option<PathBuf>,
}

/// Options of `net down`.
#[derive(Debug, Args)]
pub struct Down {
    /// Delete the network's chain, its workers' data and all logs too
    #[arg(long)]
    delete: bool,
}

/// Options of `net logs`.
#[derive(Debug, Args)]
pub struct Logs {
    /// Whose log: alice, bob, charlie, worker-1 and so on
    name: String,
    /// How many lines of its end
    #[arg(long, short = 'n', default_value_t = 40)]
    lines: usize,
}

/// What `net up` and `net status` print.
#[derive(Debug, Serialize)]
struct Status {
    running: bool,
    folder: PathBuf,
    node_rpc: Option<String>,
    services: Vec<ServiceStatus>,
}

#[derive(Debug, Serialize)]
struct ServiceStatus {
    name: String,
    role: Role,
    running: bool,
    pid: Option<i32>,
    url: String,
    operator: Option<String>,
    height: Option<rpc::Height>,
    log: PathBuf,
}

/// Runs `attune net …`.
pub async fn run(context: &Context, command: Command) -> Result<()> {
    match command {
        Command::Up(options) => up(context, options).await,
        Command::Down(options) => down(context, &options),
        Command::Status => status(context).await,
        Command::Logs(options) => show_log(context, &options),
    }
}

async fn up(context: &Context, options: Up) -> Result<()> {
    let options = UpOptions {
        workers: options.workers,
        threads: options.threads,
        chain: options.chain,
        node_program: options.node_program,
        worker_program: options.worker_program,
    };
    let folder = context.profile.net();
    let (record, outcome) = net::up(&folder, &options, context.progress, interruption()).await?;
    let what = match outcome {
        net::Outcome::Created => "The network is up.".to_string(),
        net::Outcome::Resumed { started } => {
            format!("The network is up; {started} of its processes were started again, with the data that they had.")
        }
        net::Outcome::AlreadyRunning => "The network is already running; nothing was started.".to_string(),
    };
    context.progress.say(what);
    print_status(context, Some(record)).await
}

fn down(context: &Context, options: &Down) -> Result<()> {
    let done = net::down(&context.profile.net(), options.delete)?;
    context.output.print(&done, || {
        let stopped = match done.stopped.as_slice() {
            [] => "Nothing was running.".to_string(),
            names => format!("Stopped {}.", names.join(", ")),
        };
        let deleted = if done.deleted { " Its data is deleted." } else { "" };
        format!("{stopped}{deleted}")
    })
}

async fn status(context: &Context) -> Result<()> {
    print_status(context, NetRecord::read(&context.profile.net())?).await
}

async fn print_status(context: &Context, record: Option<NetRecord>) -> Result<()> {
    let mut services = Vec::new();
    for service in record.iter().flat_map(|record| &record.services) {
        let running = service.is_alive();
        let height = match service.role {
            Role::Validator if running => rpc::height(&service.url).await.ok(),
            _ => None,
        };
        services.push(ServiceStatus {
            name: service.name.clone(),
            role: service.role,
            running,
            pid: service.process.as_ref().filter(|_| running).map(|process| process.pid),
            url: service.url.clone(),
            operator: service.operator.clone(),
            height,
            log: service.log.clone(),
        });
    }
    let status = Status {
        running: !services.is_empty() && services.iter().all(|service| service.running),
        folder: context.profile.net(),
        node_rpc: record.as_ref().and_then(|record| record.node_url().map(str::to_string)),
        services,
    };
    context.output.print(&status, || status.render())
}

impl Status {
    fn render(&self) -> String {
        let mut table = Table::new(&["name", "process", "reached at", "block", "final", "peers"]);
        for service in &self.services {
            let process = service.pid.map_or("not running".into(), |pid| pid.to_string());
            let of = |part: fn(&rpc::Height) -> u32| {
                service.height.as_ref().map_or(String::new(), |h| part(h).to_string())
            };
            let numbers = [of(|h| h.best), of(|h| h.finalized), of(|h| h.peers)];
            let cells = [service.name.clone(), process, service.url.clone()];
            table.row(cells.into_iter().chain(numbers).collect());
        }
        table.render("There is no local network. `attune net up` starts one.")
    }
}

fn show_log(context: &Context, options: &Logs) -> Result<()> {
    let folder = context.profile.net();
    let record =
        NetRecord::read(&folder)?.context("there is no local network; `attune net up` starts one")?;
    let Some(service) = record.services.iter().find(|service| service.name == options.name) else {
        let names: Vec<&str> = record.services.iter().map(|service| service.name.as_str()).collect();
        bail!("{:?} is none of this network's processes: {}", options.name, names.join(", "));
    };
    let text = logs::tail(&service.log, options.lines)?;
    Format::Table.print(&text, || text.clone())
}
