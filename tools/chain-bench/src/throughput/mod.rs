//! How many transactions a network on one machine takes, and what keeps it from taking more.
//!
//! The network is that of `attune net up`: three validators of the `local` preset. A generator in this program sends
//! transactions, signed beforehand, to all three over WebSocket, and keeps as many under way as make some full blocks.
//! After a warm-up a window of fixed length is counted: only transactions that succeeded, in blocks that became final.
//! Nodes and generator share one machine, as they would on a developer's desk: figures of a network of many machines are
//! others, since there the three don't compete for cores, and messages take longer.

mod blocks;
mod feed;
mod network;
mod node_log;
mod report;
mod transactions;
mod usage;

use std::{
    collections::HashMap,
    future::Future,
    io::IsTerminal,
    path::PathBuf,
    time::{Duration, Instant},
};

use anyhow::{bail, ensure, Context, Result};
use attune_chain_client::{interruption, Chain};
use futures::future::try_join_all;
use serde_json::{json, Value};
use subxt_signer::sr25519::Keypair;

use blocks::{Cost, Limits};
use feed::Feeding;
use network::{Network, Node};
use report::{Ceiling, Window};
use transactions::Kind;
use usage::{Counters, Usage};

/// Sending begins so long before the window.
const WARM_UP: Duration = Duration::from_secs(10);
/// How often something is looked at in the window.
const SAMPLE_EVERY: Duration = Duration::from_secs(1);
/// How long the last block of a window may take to become final, and what was sent to get into blocks.
const PATIENCE: Duration = Duration::from_secs(90);
/// Full blocks under way. More than one, since transactions travel between nodes in bursts.
const BLOCKS_UNDER_WAY: u64 = 4;
/// Most transactions under way: half of what a pool keeps.
const MOST_UNDER_WAY: u64 = 4_096;
/// What a node's pool keeps, unless its command says otherwise (`sc-cli`).
const POOL_TRANSACTIONS: &str = "8192";
const POOL_KIB: &str = "20480";

/// What to measure.
pub(crate) struct Options {
    /// Length of a window.
    pub(crate) seconds: u64,
    /// Accounts that send.
    pub(crate) accounts: u32,
    /// The `attune` program.
    pub(crate) attune: Option<PathBuf>,
}

/// Starts a network, measures, shows the tables and stops the network.
///
/// # Errors
/// If a program is missing, the network does not come up, or the chain refuses what should prepare the measurement.
pub(crate) fn measure(options: &Options) -> Result<Value> {
    ensure!(options.accounts >= 2, "expected at least 2 accounts, found {}", options.accounts);
    ensure!(options.seconds >= 4, "expected a window of at least 4 seconds, found {}", options.seconds);
    let attune = match &options.attune {
        Some(path) => path.clone(),
        None => {
            std::env::current_exe().context("finding this program's own folder")?.with_file_name("attune")
        }
    };
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let home = tempfile::tempdir().context("making a folder for the network")?;
    let say = |text: &str| eprintln!("{text}");
    say("starting three validators of the preset `local`");
    let network = Network::up(&attune, home.path())?;
    let outcome = runtime.block_on(async {
        tokio::select! {
            outcome = on(&network, options) => outcome,
            // The network is stopped below, as after any other error.
            () = interruption() => bail!("interrupted"),
        }
    });
    say("stopping the network");
    let stopped = network.down();
    let figures = outcome?;
    stopped?;
    Ok(figures)
}

async fn on(network: &Network, options: &Options) -> Result<Value> {
    let chains = try_join_all(network.nodes.iter().map(|node| Chain::connect(&node.url))).await?;
    let chain = chains.first().context("the network has no node")?;
    let limits = Limits::of(chain, chain.finalized().await?.raw())?;
    let keys = transactions::keys(options.accounts)?;

    // Enough for the window, whatever a job weighs: no less than its base weight and extensions.
    let slots = (options.seconds + WARM_UP.as_secs()) * 1_000 / limits.slot_millis + 2;
    let jobs = rounds(&limits, limits.base * 5, slots, options.accounts);
    eprintln!("funding {} accounts and registering a model", keys.len());
    let model = transactions::prepare(chain, &keys, jobs).await?;

    let mut windows = Vec::new();
    let mut ceiling = None;
    for kind in [Kind::Transfer, Kind::CreateJob { model }] {
        let (window, cost) = measure_kind(network, &chains, options, &limits, &keys, kind, slots).await?;
        println!("{}", window.table());
        if kind == Kind::Transfer {
            ceiling = Some(Ceiling { cost, limits: limits.clone() });
        }
        windows.push(window.json());
    }
    let ceiling = ceiling.context("no transfers were measured")?;
    println!("{}", ceiling.table());
    Ok(json!({
        "preset": "local",
        "validators": network.nodes.len(),
        "accounts": options.accounts,
        "warm_up_seconds": WARM_UP.as_secs(),
        "windows": windows,
        "derived_ceiling": ceiling.json(),
    }))
}

/// Transactions of each account for `slots` full blocks and what is under way at the end.
fn rounds(limits: &Limits, weight: u64, slots: u64, accounts: u32) -> u64 {
    let of_block = limits.normal / weight.max(1);
    (of_block * slots + target(of_block)).div_ceil(accounts.into())
}

/// Transactions to keep under way where a block holds `of_block`.
fn target(of_block: u64) -> u64 {
    (of_block * BLOCKS_UNDER_WAY).clamp(1, MOST_UNDER_WAY)
}

async fn measure_kind(
    network: &Network,
    chains: &[Chain],
    options: &Options,
    limits: &Limits,
    keys: &[Keypair],
    kind: Kind,
    slots: u64,
) -> Result<(Window, Cost)> {
    let chain = chains.first().context("the network has no node")?;
    let view = chain.finalized().await?;
    let ids: Vec<_> = keys.iter().map(transactions::account).collect();
    let nonces = try_join_all(ids.iter().map(|id| chain.next_nonce(id))).await?;

    let sample = transactions::sign(view.raw(), kind, &keys[..2], &nonces, 1, 1)?;
    let sample = sample.first().and_then(|node| node.first()).context("nothing was signed")?;
    let cost = Cost::of(view.raw(), sample, &transactions::call_data(view.raw(), kind, keys)?).await?;
    let weight = cost.with_extensions + limits.base;
    let rounds = rounds(limits, weight, slots, options.accounts);
    let target = target(limits.normal / weight.max(1));

    eprintln!("{}: signing {rounds} of each of {} accounts", kind.name(), keys.len());
    let signed = transactions::sign(view.raw(), kind, keys, &nonces, rounds, chains.len())?;
    eprintln!("{}: sending; {} s of warm-up, then {} s", kind.name(), WARM_UP.as_secs(), options.seconds);
    let mut feeding = Feeding::start(chains, signed, target)?;
    let feed = feeding.feed.clone();
    tokio::time::sleep(WARM_UP).await;

    let mut pids: Vec<u32> = network.nodes.iter().map(|node| node.pid).collect();
    pids.push(std::process::id());
    let usage = Usage::now(&pids)?;
    let counted = counters(&network.nodes).await?;
    let before = feed.best_number().context("no block was seen in the warm-up")?;
    let end = Instant::now() + Duration::from_secs(options.seconds);
    let (mut under_way, mut waiting, mut ready) = (Vec::new(), Vec::new(), Vec::new());
    let mut progress = Progress::default();
    while Instant::now() < end {
        tokio::time::sleep(SAMPLE_EVERY.min(end - Instant::now())).await;
        feeding.check().await?;
        under_way.push(feed.under_way() as f64);
        waiting.push(feed.waiting() as f64);
        ready.extend(counters(&network.nodes).await?.iter().map(|counters| counters.ready));
        progress.show(|| {
            format!("{}: {} in blocks, {} under way", kind.name(), feed.included(), feed.under_way())
        });
    }
    progress.end();
    let last = feed.best_number().context("no block was seen")?;
    let cores = usage.until(&Usage::now(&pids)?);
    let (imported, seconds) = imports(&counted, &counters(&network.nodes).await?);
    let ran_out = feed.ran_out();

    eprintln!("{}: waiting until block {last} is final, and the pools are empty", kind.name());
    feeding.stop().await;
    wait_until("the window's blocks to be final", || async {
        Ok(feed.finalized_number().is_some_and(|number| number >= last))
    })
    .await?;
    wait_until("the pools to be empty", || async { Ok(feed.under_way() == 0) }).await?;
    feeding.check().await?;

    let mut proposals = HashMap::new();
    for node in &network.nodes {
        proposals
            .extend(node_log::proposals(&node.log).with_context(|| format!("what {} built", node.name))?);
    }
    let mut all = blocks::read(chain, before..=last, &proposals).await?;
    ensure!(all.len() > 1, "no block was made in {} s", options.seconds);
    let before = all.remove(0);
    let built = proposals.values().filter(|p| (before.number + 1..=last).contains(&p.number)).count();
    let known = all.iter().filter(|block| block.proposal.is_some()).count();
    let node = network.nodes.first().context("the network has no node")?;
    let pool_limits = [
        format!("{} transactions", node.option("--pool-limit").unwrap_or(POOL_TRANSACTIONS)),
        format!("{} KiB", node.option("--pool-kbytes").unwrap_or(POOL_KIB)),
    ];
    let finality = all.iter().filter_map(|block| feed.finality(block.number));
    let window = Window {
        kind: kind.name(),
        limits: limits.clone(),
        cost,
        lost_blocks: built.saturating_sub(known),
        finality_millis: finality.map(|delay| delay.as_secs_f64() * 1_000.0).collect(),
        before,
        blocks: all,
        under_way,
        waiting,
        ready,
        target,
        pool_limits,
        pool_full: feed.pool_full(),
        refused: feed.refused(),
        refusal: feed.refusal(),
        ran_out,
        import_millis: (imported > 0.0).then(|| seconds * 1_000.0 / imported),
        cores,
    };
    Ok((window, cost))
}

/// How far a window is: one line that changes in a terminal, elsewhere a line now and then.
#[derive(Default)]
struct Progress {
    shown: u32,
}

impl Progress {
    /// Of so many looks one is told where there is no terminal.
    const ONE_OF: u32 = 15;

    fn show(&mut self, text: impl FnOnce() -> String) {
        self.shown = self.shown.wrapping_add(1);
        if std::io::stderr().is_terminal() {
            eprint!("\r{}   ", text());
        } else if self.shown.is_multiple_of(Self::ONE_OF) {
            eprintln!("{}", text());
        }
    }

    fn end(&self) {
        if std::io::stderr().is_terminal() {
            eprintln!();
        }
    }
}

async fn counters(nodes: &[Node]) -> Result<Vec<Counters>> {
    try_join_all(nodes.iter().map(Counters::of)).await
}

/// Blocks that the nodes imported between two looks, and the seconds that this took them.
fn imports(before: &[Counters], after: &[Counters]) -> (f64, f64) {
    let differences = before
        .iter()
        .zip(after)
        .map(|(before, after)| (after.imported.0 - before.imported.0, after.imported.1 - before.imported.1));
    differences.fold((0.0, 0.0), |sum, difference| (sum.0 + difference.0, sum.1 + difference.1))
}

/// Looks twice a second whether `is_so`.
async fn wait_until<F: Future<Output = Result<bool>>>(what: &str, is_so: impl Fn() -> F) -> Result<()> {
    let end = Instant::now() + PATIENCE;
    while !is_so().await? {
        if Instant::now() >= end {
            bail!("waited {} s for {what}", PATIENCE.as_secs());
        }
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    Ok(())
}
