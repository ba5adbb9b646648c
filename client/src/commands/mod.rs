//! One file per command: its options, what it does, how it is printed.

use anyhow::Result;
use attune_chain_client::{Call, Included, Submitter, Wait, H256};
use serde::Serialize;

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
    let bar = match progress {
        Progress::Bars => progress.spinner(format!("waiting for {} to be final", call.name())),
        // Seconds of silence are no news to a log file.
        _ => Progress::Quiet.spinner(""),
    };
    let included = submitter.submit(call, Wait::Finalized).await;
    bar.finish_and_clear();
    Ok(included?)
}

/// How many transactions of one account wait for their blocks at a time.
const IN_FLIGHT: usize = 32;

/// As [`submit`] for several, which wait for their blocks together.
///
/// # Errors
/// As [`submit`], of the first that fails; the others may have succeeded.
pub async fn submit_all(progress: Progress, submitter: &Submitter, calls: &[Call]) -> Result<()> {
    if calls.is_empty() {
        return Ok(());
    }
    let bar = progress.spinner(format!("waiting for {} transactions to be final", calls.len()));
    for calls in calls.chunks(IN_FLIGHT) {
        let mut sent = Vec::with_capacity(calls.len());
        for call in calls {
            sent.push(submitter.send(call).await?);
        }
        for sent in sent {
            sent.wait(Wait::Finalized).await?;
        }
    }
    bar.finish_and_clear();
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
