//! The connection to a node.
//!
//! The one idea: a [`Chain`] outlives its node. The socket reconnects by itself, requests that were under way are
//! repeated by subxt's backend, and [`FinalizedBlocks`] subscribes again after a loss, so that a restarted node costs
//! its watchers some seconds and nothing else. It outlives the chain's runtime, too: each block is read by the metadata of
//! its own runtime, and a transaction is signed for the runtime that will execute it. What an upgrade has not changed works
//! on; what it has changed is refused by name ([`Error::Incompatible`]), until the program is of that release. Whoever reads state does so at a [`View`] of one block, so that what it
//! sees fits together.

use std::{sync::Arc, time::Duration};

use subxt::{
    backend::LegacyBackend,
    config::RpcConfigFor,
    rpcs::{
        client::{reconnecting_rpc_client::ExponentialBackoff, ReconnectingRpcClient, RpcClient},
        methods::LegacyRpcMethods,
    },
    OnlineClient, SubstrateConfig,
};

use crate::{
    api,
    error::{request, Error, Result},
    keys::Account,
    query::View,
    AccountId, H256,
};

/// How long [`Chain::connect`] waits for a node.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(8);
/// The longest pause between two attempts to reach a node that is away.
const MAX_RETRY_PAUSE: Duration = Duration::from_secs(5);

/// subxt's configuration of our chain.
pub type Config = SubstrateConfig;

/// Where new blocks come from, as the node tells it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChainIdentity {
    /// Name of the chain.
    pub name: String,
    /// `Development`, `Local` or `Live`.
    pub chain_type: String,
    /// Hash of the first block: names the chain.
    pub genesis: H256,
    /// Length of a slot, and so the least time between two blocks, in milliseconds.
    pub block_millis: u64,
    /// Length of an epoch, in slots.
    pub epoch_slots: u64,
}

/// A connection to a node of the chain. Cheap to clone.
#[derive(Clone)]
pub struct Chain {
    inner: Arc<Inner>,
}

struct Inner {
    url: String,
    client: OnlineClient<Config>,
    rpc: RpcClient,
    legacy: LegacyRpcMethods<RpcConfigFor<Config>>,
    identity: ChainIdentity,
}

impl std::fmt::Debug for Chain {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Chain").field("url", &self.inner.url).field("identity", &self.inner.identity).finish()
    }
}

impl Chain {
    /// Connects to a node. A runtime of this program's own version has to be the one that it was built for; of another
    /// version, only what differs is refused, when it is asked for.
    ///
    /// # Errors
    /// [`Error::Address`] for anything but `ws://` or `wss://`; [`Error::Unreachable`] if nothing answers within eight
    /// seconds; [`Error::Incompatible`].
    pub async fn connect(url: &str) -> Result<Self> {
        check_url(url)?;
        match tokio::time::timeout(CONNECT_TIMEOUT, Self::connect_when_there(url)).await {
            Ok(connected) => connected,
            Err(_) => Err(Error::Unreachable {
                url: url.to_owned(),
                reason: format!("no answer within {} s", CONNECT_TIMEOUT.as_secs()),
            }),
        }
    }

    /// As [`Chain::connect`], but waits for the node as long as it takes.
    ///
    /// # Errors
    /// [`Error::Address`], [`Error::Incompatible`].
    pub async fn connect_when_there(url: &str) -> Result<Self> {
        check_url(url)?;
        loop {
            match Self::open(url).await {
                // A node that is just starting takes connections before it answers everything.
                Err(error) if error.is_transient() => {
                    tracing::debug!(%error, "the node is not ready");
                    tokio::time::sleep(Duration::from_secs(1)).await;
                }
                other => return other,
            }
        }
    }

    async fn open(url: &str) -> Result<Self> {
        let unreachable = |reason: String| Error::Unreachable { url: url.to_owned(), reason };
        let socket = ReconnectingRpcClient::builder()
            .retry_policy(ExponentialBackoff::from_millis(50).max_delay(MAX_RETRY_PAUSE))
            .request_timeout(Duration::from_secs(30))
            .build(url)
            .await
            .map_err(|error| unreachable(error.to_string()))?;
        let rpc = RpcClient::new(socket);
        let legacy = LegacyRpcMethods::new(rpc.clone());
        // The legacy methods need no subscription that pins blocks, and take up again where they were after a loss.
        let backend: LegacyBackend<Config> = LegacyBackend::builder().build(rpc.clone());
        let client = OnlineClient::from_backend(Arc::new(backend))
            .await
            .map_err(|error| unreachable(subxt::Error::from(error).to_string()))?;
        let identity = identify(&client, &legacy).await?;
        Ok(Self { inner: Arc::new(Inner { url: url.to_owned(), client, rpc, legacy, identity }) })
    }

    /// The node's address.
    pub fn url(&self) -> &str {
        &self.inner.url
    }

    /// What chain this is.
    pub fn identity(&self) -> &ChainIdentity {
        &self.inner.identity
    }

    /// subxt's client, for what this crate has no function for.
    pub fn client(&self) -> &OnlineClient<Config> {
        &self.inner.client
    }

    /// The raw RPC client, for what this crate has no function for.
    pub fn rpc(&self) -> &RpcClient {
        &self.inner.rpc
    }

    /// Refuses a well-known development key on a chain whose type is not `Development` or `Local`.
    ///
    /// # Errors
    /// [`Error::DevKey`].
    pub fn check_dev_key(&self, account: &Account) -> Result<()> {
        let identity = self.identity();
        let is_harmless = matches!(identity.chain_type.as_str(), "Development" | "Local");
        if account.is_dev() && !is_harmless {
            return Err(Error::DevKey {
                chain: identity.name.clone(),
                chain_type: identity.chain_type.clone(),
                key: account.name().to_owned(),
            });
        }
        Ok(())
    }

    /// The state at the latest finalized block.
    ///
    /// # Errors
    /// [`Error::Request`].
    pub async fn finalized(&self) -> Result<View> {
        let at = self.inner.client.at_current_block().await.map_err(request("the finalized block"))?;
        Ok(View::new(self.clone(), at))
    }

    /// The state at the best block, which may still be replaced by another.
    ///
    /// # Errors
    /// [`Error::Request`].
    pub async fn best(&self) -> Result<View> {
        let hash = self.inner.legacy.chain_get_block_hash(None).await.map_err(request("the best block"))?;
        let hash = hash
            .ok_or_else(|| Error::Request { what: "the best block", reason: "the node has none".into() })?;
        self.at(hash).await
    }

    /// The state at a block.
    ///
    /// # Errors
    /// [`Error::Request`], also if the node does not know the block or has pruned its state.
    pub async fn at(&self, block: H256) -> Result<View> {
        let at = self.inner.client.at_block(block).await.map_err(request("a block"))?;
        Ok(View::new(self.clone(), at))
    }

    /// The finalized blocks from now on, across losses of the node.
    pub fn finalized_blocks(&self) -> FinalizedBlocks {
        FinalizedBlocks { chain: self.clone(), stream: None, last: None }
    }

    /// The next nonce of an account, transactions in the node's pool included.
    ///
    /// # Errors
    /// [`Error::Request`].
    pub async fn next_nonce(&self, account: &AccountId) -> Result<u64> {
        self.inner.legacy.system_account_next_index(account).await.map_err(request("the next nonce"))
    }

    /// True if every transaction of the account that the node knows is in a finalized block. A program that starts
    /// waits for this before it sends anything, as it may have been killed with a transaction under way.
    ///
    /// # Errors
    /// [`Error::Request`].
    pub async fn is_settled(&self, account: &AccountId) -> Result<bool> {
        let finalized = self.inner.client.at_current_block().await.map_err(request("the finalized block"))?;
        let nonce = finalized.transactions().account_nonce(account).await.map_err(request("the nonce"))?;
        Ok(self.next_nonce(account).await? == nonce)
    }
}

/// A stream of finalized blocks that survives its node.
pub struct FinalizedBlocks {
    chain: Chain,
    stream: Option<subxt::client::Blocks<Config>>,
    last: Option<u64>,
}

impl FinalizedBlocks {
    /// The next finalized block, in order and without gaps while the node keeps their state; after a loss of the node
    /// it goes on where it was, or at the latest finalized block if that is more than 256 blocks later.
    ///
    /// Waits as long as it takes; a loss is logged.
    pub async fn next(&mut self) -> View {
        loop {
            match self.try_next().await {
                Ok(Some(view)) => return view,
                Ok(None) => {}
                Err(error) => {
                    tracing::warn!(%error, "lost the stream of finalized blocks; subscribing again");
                    self.stream = None;
                    tokio::time::sleep(Duration::from_secs(1)).await;
                }
            }
        }
    }

    async fn try_next(&mut self) -> Result<Option<View>> {
        const WHAT: &str = "the stream of finalized blocks";
        if self.stream.is_none() {
            let opened = self.chain.client().stream_blocks().await.map_err(request(WHAT))?;
            self.stream = Some(opened);
        }
        let Some(stream) = self.stream.as_mut() else { return Ok(None) };
        let Some(next) = stream.next().await else {
            self.stream = None;
            return Err(Error::Request { what: WHAT, reason: "it ended".into() });
        };
        let block = next.map_err(request(WHAT))?;
        // The backend fills gaps; after a new subscription a block may come again.
        if self.last.is_some_and(|last| block.number() <= last) {
            return Ok(None);
        }
        let at = block.at().await.map_err(request("a finalized block"))?;
        self.last = Some(block.number());
        Ok(Some(View::new(self.chain.clone(), at)))
    }
}

fn check_url(url: &str) -> Result<()> {
    let refuse = |reason| Error::Address { found: url.to_owned(), reason };
    let (scheme, rest) = url.split_once("://").ok_or_else(|| refuse("it has no scheme"))?;
    let host = rest.split(['/', '?']).next().unwrap_or_default();
    if host.is_empty() {
        return Err(refuse("it names no host"));
    }
    let name = host.rsplit_once(':').map_or(host, |(name, _)| name).trim_matches(['[', ']']);
    match scheme {
        "wss" => Ok(()),
        "ws" => {
            if !matches!(name, "localhost" | "::1") && !name.starts_with("127.") {
                tracing::warn!(
                    url,
                    "ws:// to another machine: whoever is on the way can read and change answers"
                );
            }
            Ok(())
        }
        _ => Err(refuse("its scheme is neither ws nor wss")),
    }
}

async fn identify(
    client: &OnlineClient<Config>,
    legacy: &LegacyRpcMethods<RpcConfigFor<Config>>,
) -> Result<ChainIdentity> {
    let at = client.at_current_block().await.map_err(request("the finalized block"))?;
    let (ours, found) = (crate::BUILT_FOR_SPEC_VERSION, at.spec_version());
    if !api::is_codegen_valid_for(at.metadata_ref()) {
        if found == ours {
            return Err(Error::Incompatible {
                ours: ours.to_string(),
                found: format!("a different interface at version {found}"),
            });
        }
        tracing::warn!(
            ours,
            found,
            "the chain's runtime is of another version than this program; what differs between them will be refused"
        );
    }
    let what = "the chain's name and type";
    let babe = at
        .runtime_apis()
        .call(api::runtime_apis().babe_api().configuration())
        .await
        .map_err(request("BABE's configuration"))?;
    Ok(ChainIdentity {
        name: legacy.system_chain().await.map_err(request(what))?,
        chain_type: legacy.system_chain_type().await.map_err(request(what))?,
        genesis: client.genesis_hash(),
        block_millis: babe.slot_duration,
        epoch_slots: babe.epoch_length,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_websocket_addresses_are_taken() {
        for good in ["ws://127.0.0.1:9944", "ws://localhost:1", "ws://[::1]:9944", "wss://node.example/path"]
        {
            assert!(check_url(good).is_ok(), "{good}");
        }
        for bad in ["127.0.0.1:9944", "http://127.0.0.1:9944", "ws://", "wss:///x"] {
            assert!(matches!(check_url(bad), Err(Error::Address { .. })), "{bad}");
        }
    }

    #[tokio::test]
    async fn a_node_that_is_not_there_is_named_in_the_error() {
        // Port 9 (discard) on loopback: nothing listens there on a sane machine, and if something does, it is no node.
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("ws://{}", listener.local_addr().unwrap());
        drop(listener);
        let error = Chain::connect(&url).await.unwrap_err();
        assert!(matches!(&error, Error::Unreachable { url: named, .. } if *named == url), "{error}");
    }
}
