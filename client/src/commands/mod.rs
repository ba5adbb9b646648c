//! One file per command: its options, what it does, how it is printed.

use std::time::Duration;

use anyhow::{bail, Result};
use attune_chain_client::{Call, Included, Sent, Submitter, Wait, H256};
use serde::Serialize;
use tokio::time::timeout;

use crate::{context::Context, progress::Progress};

pub mod balance;
pub mod chat;
pub mod data;
pub mod eval;
pub mod export;
pub mod jobs;
pub mod keys;
pub mod models;
pub mod net;
pub mod providers;
pub mod records;
pub mod slashes;
pub mod sponsor;
pub mod stake;
pub mod train;
pub mod transfer;

/// A transaction that went through, as commands print it.
#[derive(Debug, Serialize)]
pub struct Done {
    /// What it did.
    pub done: String,
    /// Its hash.
    pub transaction: String,
    /// The block that holds it.
    pub block: String,
}

/// Sends a transaction and waits until it is final, with something to look at meanwhile. What a command reports must
/// stay true, and the next command, of whatever account, must find it: a block that is merely the best one may lose
/// against another, and takes its transactions with it.
///
/// # Errors
/// If the chain refuses it, or the node is lost.
pub async fn submit(progress: Progress, submitter: &Submitter, call: &Call) -> Result<Included> {
    let sent = submitter.send(call).await?;
    until_final(progress, &call.name(), sent).await
}

/// Waits until a transaction is final, and neither in silence nor without an end.
async fn until_final(progress: Progress, name: &str, sent: Sent) -> Result<Included> {
    let what = format!("waiting for {name} to be final");
    let bar = match progress {
        Progress::Bars => progress.spinner(&what),
        // Seconds of silence are no news to a log file.
        _ => Progress::Quiet.spinner(""),
    };
    let mut waiting = std::pin::pin!(sent.wait(Wait::Finalized));
    let ended = match timeout(USUAL_FINALITY, &mut waiting).await {
        Ok(ended) => Some(ended),
        Err(_) => {
            if progress == Progress::Lines {
                progress.say(&what);
            }
            timeout(PATIENCE, waiting).await.ok()
        }
    };
    bar.finish_and_clear();
    let Some(ended) = ended else {
        bail!(
            "{name} was handed to the node, but is not final after {} s: perhaps too few validators run, or blocks are full. It \
             may still act: don't send it again before you have looked whether it did",
            (USUAL_FINALITY + PATIENCE).as_secs()
        );
    };
    Ok(ended?)
}

/// Within this time a transaction usually is final.
const USUAL_FINALITY: Duration = Duration::from_secs(30);
/// How much longer a command waits. A transaction that is in no block by then will not be in any: it was valid for
/// 64 blocks.
const PATIENCE: Duration = Duration::from_secs(400);

/// How many transactions of one account wait for their blocks at a time.
const IN_FLIGHT: usize = 32;

/// As [`submit`] for several, which wait for their blocks together.
///
/// # Errors
/// As [`submit`], of the first that fails; the others may have succeeded.
pub async fn submit_all(progress: Progress, submitter: &Submitter, calls: &[Call]) -> Result<()> {
    for calls in calls.chunks(IN_FLIGHT) {
        let mut sent = Vec::with_capacity(calls.len());
        for call in calls {
            sent.push((call.name(), submitter.send(call).await?));
        }
        for (name, sent) in sent {
            until_final(progress, &name, sent).await?;
        }
    }
    Ok(())
}

/// Sends a transaction, waits until it is final, and prints what it did.
///
/// # Errors
/// As [`submit`].
pub async fn send(context: &Context, submitter: &Submitter, call: &Call, done: String) -> Result<()> {
    let included = submit(context.progress, submitter, call).await?;
    let done = Done { done, transaction: hex(&included.transaction), block: hex(&included.block) };
    context.output.print(&done, || done.done.clone())
}

/// A hash as `0x…`.
pub fn hex(hash: &H256) -> String {
    format!("0x{}", hex::encode(hash.0))
}
