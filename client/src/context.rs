//! What every command has: the profile folder, the node, the way to print.

use std::{
    future::Future,
    io::{BufRead, IsTerminal, Write},
    time::Duration,
};

use anyhow::{bail, Context as _, Result};
use attune_chain_client::{Chain, Error, Submitter, View};

use crate::{
    account::{self, SignerOptions},
    cli::Global,
    net::NetRecord,
    output::Format,
    profile::Profile,
    progress::Progress,
};

/// Where a node of one's own usually listens.
const DEFAULT_NODE: &str = "ws://127.0.0.1:9944";

/// How often a reading at the best block is tried again.
const READ_TRIES: u32 = 5;

/// Reads at the best block, which knows what was sent a moment ago, while the finalized one is some seconds behind. A best
/// block can lose against another one, and its state is then thrown away under the reader's feet: the reading starts
/// again at the new best block.
///
/// # Errors
/// What `read` fails with, if trying again is no use.
pub async fn at_best<T, F: Future<Output = Result<T>>>(chain: &Chain, read: impl Fn(View) -> F) -> Result<T> {
    let mut tries = 1;
    loop {
        let found = match chain.best().await {
            Ok(view) => read(view).await,
            Err(error) => Err(error.into()),
        };
        match found {
            Err(error) if tries < READ_TRIES && is_transient(&error) => {
                tracing::debug!("reading again: {error:#}");
                tries += 1;
                tokio::time::sleep(Duration::from_millis(300)).await;
            }
            other => return other,
        }
    }
}

/// True if the node or the connection is at fault, so that the same request may succeed later.
pub fn is_transient(error: &anyhow::Error) -> bool {
    error.downcast_ref::<Error>().is_some_and(Error::is_transient)
}

/// What every command has.
#[derive(Clone, Debug)]
pub struct Context {
    /// The profile folder.
    pub profile: Profile,
    /// How results are printed.
    pub output: Format,
    /// How progress is shown.
    pub progress: Progress,
    node: Option<String>,
}

impl Context {
    /// From the options that every command takes.
    ///
    /// # Errors
    /// If there is no profile folder.
    pub fn new(global: Global) -> Result<Self> {
        Ok(Context {
            profile: Profile::open(global.home.as_deref())?,
            output: global.output,
            progress: Progress::detect(global.quiet || global.output == Format::Json),
            node: global.node,
        })
    }

    /// The node's address: as given, else the local network's, else this machine's usual one.
    ///
    /// # Errors
    /// If the local network's record cannot be read.
    pub fn node_url(&self) -> Result<String> {
        if let Some(url) = &self.node {
            return Ok(url.clone());
        }
        let record = NetRecord::read(&self.profile.net())?;
        let local = record.as_ref().and_then(|record| record.node_url());
        Ok(local.unwrap_or(DEFAULT_NODE).to_string())
    }

    /// Connects to the node.
    ///
    /// # Errors
    /// If nothing answers there, or the node runs a runtime that this program was not built for.
    pub async fn chain(&self) -> Result<Chain> {
        Ok(Chain::connect(&self.node_url()?).await?)
    }

    /// Connects to the node, ready to send transactions of the named account.
    ///
    /// # Errors
    /// As [`Context::chain`]; if the key cannot be opened; if it is a development key and the chain a live one.
    pub async fn submitter(&self, signer: &SignerOptions) -> Result<Submitter> {
        let account = account::signer(&self.profile, signer)?;
        Ok(Submitter::new(self.chain().await?, account)?)
    }

    /// Reads at the best block of a connection of its own; see [`at_best`].
    ///
    /// # Errors
    /// As [`Context::chain`] and [`at_best`].
    pub async fn read<T, F: Future<Output = Result<T>>>(&self, read: impl Fn(View) -> F) -> Result<T> {
        at_best(&self.chain().await?, read).await
    }

    /// Asks a question on the terminal; true for yes. `assumed` answers without asking.
    ///
    /// # Errors
    /// If there is no terminal to ask at.
    pub fn confirm(&self, question: &str, assumed: bool) -> Result<bool> {
        if assumed {
            return Ok(true);
        }
        if !std::io::stdin().is_terminal() {
            bail!("there is no terminal to ask {question:?} at; answer beforehand with --yes");
        }
        let mut stderr = std::io::stderr();
        write!(stderr, "{question} [y/N] ")
            .and_then(|()| stderr.flush())
            .context("asking on the terminal")?;
        let mut answer = String::new();
        std::io::stdin().lock().read_line(&mut answer).context("reading the answer")?;
        Ok(matches!(answer.trim().to_ascii_lowercase().as_str(), "y" | "yes"))
    }
}
