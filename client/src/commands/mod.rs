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

/// Sends a transaction and waits for it to be in a block, with something to look at meanwhile.
///
/// # Errors
/// If the chain refuses it, or the node is lost.
pub async fn submit(progress: Progress, submitter: &Submitter, call: &Call, wait: Wait) -> Result<Included> {
    let what = match wait {
        Wait::InBlock => "to be in a block",
        Wait::Finalized => "to be final",
    };
    let bar = match progress {
        Progress::Bars => progress.spinner(format!("waiting for {} {what}", call.name())),
        // Two seconds of silence are no news to a log file.
        _ => Progress::Quiet.spinner(""),
    };
    let included = submitter.submit(call, wait).await;
    bar.finish_and_clear();
    Ok(included?)
}

/// Sends a transaction, waits for its block, and prints what it did.
///
/// # Errors
/// As [`submit`].
pub async fn send(context: &Context, submitter: &Submitter, call: &Call, done: String) -> Result<()> {
    let included = submit(context.progress, submitter, call, Wait::InBlock).await?;
    let done = Done { done, transaction: hex(&included.transaction), block: hex(&included.block) };
    context.output.print(&done, || done.done.clone())
}

/// A hash as `0x…`.
pub fn hex(hash: &H256) -> String {
    format!("0x{}", hex::encode(hash.0))
}
