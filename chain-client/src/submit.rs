//! Sending transactions.
//!
//! The one idea: **one account sends one transaction at a time**. A [`Submitter`] holds its account's turn while it
//! asks for the nonce, signs and hands the transaction to the pool, so that nonces neither collide nor leave gaps;
//! waiting for the block happens outside the turn. A transaction lives for [`MORTAL_BLOCKS`] blocks: one that got lost
//! cannot come back days later.
//!
//! A transaction whose nonce was taken meanwhile (by another program with the same key) never got into the pool, so it
//! is signed again. So is one that was refused because the chain is being upgraded: it was signed for the runtime of the
//! latest finalized block, and the best block may have the next one already. One that did get into the pool is never sent again from here: whether to do so is the caller's
//! question to the chain's state.

use std::{sync::Arc, time::Duration};

use subxt::{
    client::OnlineClientAtBlockImpl,
    config::DefaultExtrinsicParamsBuilder,
    error::{ExtrinsicError, TransactionEventsError},
    ext::{
        scale_encode::{EncodeAsFields, FieldIter},
        scale_type_resolver::TypeResolver,
    },
    extrinsics::ExtrinsicEvents,
    transactions::{Payload, StaticPayload, TransactionProgress, TransactionStatus, TransactionsClient},
    utils::MultiSignature,
};
use tokio::sync::Mutex;

use crate::{
    connection::{Chain, Config},
    error::{request, Error, Result},
    events::{self, ChainEvent},
    keys::Account,
    rejection::Rejection,
    AccountId, H256,
};

/// How long a transaction stays valid, in blocks.
pub const MORTAL_BLOCKS: u64 = 64;
const NONCE_ATTEMPTS: u32 = 5;
/// How long a transaction waits, after an upgrade of the chain's runtime, until the upgrade is final.
const UPGRADE_PATIENCE: Duration = Duration::from_secs(120);

/// What to wait for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wait {
    /// A best block holds the transaction. It may still be replaced.
    InBlock,
    /// A finalized block holds the transaction: it stays.
    Finalized,
}

type TransactionsAt = TransactionsClient<Config, OnlineClientAtBlockImpl<Config>>;
type Encoder = dyn Fn(&TransactionsAt) -> std::result::Result<Vec<u8>, ExtrinsicError> + Send + Sync;

/// A call to send: what the functions of [`crate::calls`] make.
#[derive(Clone)]
pub struct Call {
    pallet: String,
    call: String,
    encode: Arc<Encoder>,
}

impl std::fmt::Debug for Call {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Call").field(&self.name()).finish()
    }
}

impl Call {
    /// From a payload that subxt's generated code made. It is encoded, and compared with the node's metadata, when it
    /// is sent.
    pub fn new(payload: impl Payload + Send + Sync + 'static) -> Self {
        let (pallet, call) = (payload.pallet_name().to_owned(), payload.call_name().to_owned());
        let encode = move |at: &TransactionsAt| {
            at.validate(&payload)?;
            at.call_data(&payload)
        };
        Self { pallet, call, encode: Arc::new(encode) }
    }

    /// Pallet and call, such as `JobEscrow.create_job`.
    pub fn name(&self) -> String {
        format!("{}.{}", self.pallet, self.call)
    }

    fn encoded(&self, at: &TransactionsAt) -> Result<StaticPayload<EncodedFields>> {
        const INDEX_BYTES: usize = 2;
        let bytes = (self.encode)(at).map_err(request("an encoded call"))?;
        let fields = bytes.get(INDEX_BYTES..).unwrap_or_default().to_vec();
        Ok(StaticPayload::new(self.pallet.clone(), self.call.clone(), EncodedFields(fields)))
    }
}

/// A call's arguments, encoded already.
struct EncodedFields(Vec<u8>);

impl EncodeAsFields for EncodedFields {
    fn encode_as_fields_to<R: TypeResolver>(
        &self,
        _fields: &mut dyn FieldIter<'_, R::TypeId>,
        _types: &R,
        out: &mut Vec<u8>,
    ) -> std::result::Result<(), subxt::ext::scale_encode::Error> {
        out.extend_from_slice(&self.0);
        Ok(())
    }
}

/// A transaction that succeeded.
#[derive(Debug)]
pub struct Included {
    /// The block that holds it.
    pub block: H256,
    /// Its hash.
    pub transaction: H256,
    events: ExtrinsicEvents<Config>,
}

impl Included {
    /// What it caused, as far as [`ChainEvent`] knows it.
    ///
    /// # Errors
    /// [`Error::Decode`].
    pub fn events(&self) -> Result<Vec<ChainEvent>> {
        events::decode_all(self.events.iter())
    }

    /// The events as subxt gives them.
    pub fn raw_events(&self) -> &ExtrinsicEvents<Config> {
        &self.events
    }
}

/// A transaction that the node's pool has taken.
pub struct Sent {
    call: String,
    progress: TransactionProgress<Config, OnlineClientAtBlockImpl<Config>>,
}

impl std::fmt::Debug for Sent {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sent")
            .field("call", &self.call)
            .field("hash", &self.progress.extrinsic_hash())
            .finish()
    }
}

impl Sent {
    /// Waits until the transaction is where `wait` says and has succeeded.
    ///
    /// # Errors
    /// [`Error::Rejected`] if the chain executed and refused it; [`Error::FateUnknown`] if the node was lost meanwhile
    /// or dropped it.
    pub async fn wait(mut self, wait: Wait) -> Result<Included> {
        let lost = |reason: String| Error::FateUnknown { call: self.call.clone(), reason };
        while let Some(status) = self.progress.next().await {
            let in_block = match status.map_err(|error| lost(error.to_string()))? {
                TransactionStatus::InBestBlock(block) if wait == Wait::InBlock => block,
                TransactionStatus::InFinalizedBlock(block) => block,
                TransactionStatus::Invalid { message }
                | TransactionStatus::Dropped { message }
                | TransactionStatus::Error { message } => return Err(lost(message)),
                _ => continue,
            };
            let (block, transaction) = (in_block.block_hash(), in_block.extrinsic_hash());
            return match in_block.wait_for_success().await {
                Ok(events) => Ok(Included { block, transaction, events }),
                Err(TransactionEventsError::ExtrinsicFailed(error)) => {
                    Err(Error::Rejected(Rejection::from_dispatch(&self.call, &error)))
                }
                Err(error) => Err(lost(error.to_string())),
            };
        }
        Err(lost("the node stopped telling about it".into()))
    }
}

/// Sends transactions of one account. Clones share the account's turn; make one submitter for each account.
#[derive(Clone, Debug)]
pub struct Submitter {
    chain: Chain,
    account: Account,
    turn: Arc<Mutex<()>>,
}

impl Submitter {
    /// For this account on this chain.
    ///
    /// # Errors
    /// [`Error::DevKey`] for a development key on a chain that is neither a development nor a local one.
    pub fn new(chain: Chain, account: Account) -> Result<Self> {
        chain.check_dev_key(&account)?;
        Ok(Self { chain, account, turn: Arc::new(Mutex::new(())) })
    }

    /// The account.
    pub fn account(&self) -> &Account {
        &self.account
    }

    /// The account's id.
    pub fn id(&self) -> AccountId {
        self.account.id()
    }

    /// The chain.
    pub fn chain(&self) -> &Chain {
        &self.chain
    }

    /// Signs, sends, and waits until the transaction is where `wait` says and has succeeded.
    ///
    /// # Errors
    /// [`Error::Rejected`] if the chain executed and refused it; [`Error::Refused`] if no block will take it;
    /// [`Error::FateUnknown`] if the node was lost meanwhile; [`Error::Request`].
    pub async fn submit(&self, call: &Call, wait: Wait) -> Result<Included> {
        self.send(call).await?.wait(wait).await
    }

    /// Signs and sends, and gives back what waits for the block. Transactions go into blocks in the order in which
    /// they were sent, so that a caller can send a second one that builds on the first before the first is in a block.
    ///
    /// # Errors
    /// As [`Submitter::submit`], but [`Error::Rejected`].
    pub async fn send(&self, call: &Call) -> Result<Sent> {
        let progress = self.hand_over(call).await?;
        Ok(Sent { call: call.name(), progress })
    }

    /// The fee that the call would cost now, in planck.
    ///
    /// # Errors
    /// [`Error::Request`].
    pub async fn fee(&self, call: &Call) -> Result<u128> {
        let at = self.chain.client().at_current_block().await.map_err(request("the finalized block"))?;
        let params = DefaultExtrinsicParamsBuilder::<Config>::new().build();
        let signed = at
            .transactions()
            .create_signed(&call.encoded(&at.transactions())?, self.account.keypair(), params)
            .await
            .map_err(request("a signed transaction"))?;
        signed.partial_fee_estimate().await.map_err(request("a fee estimate"))
    }

    async fn hand_over(
        &self,
        call: &Call,
    ) -> Result<TransactionProgress<Config, OnlineClientAtBlockImpl<Config>>> {
        let _turn = self.turn.lock().await;
        let mut attempt = 1;
        let give_up_at = tokio::time::Instant::now() + UPGRADE_PATIENCE;
        loop {
            // Signed against a finalized block, which no reorganisation can take away.
            let at = self.chain.client().at_current_block().await.map_err(request("the finalized block"))?;
            let nonce = self.chain.next_nonce(&self.id()).await?;
            let params =
                DefaultExtrinsicParamsBuilder::<Config>::new().nonce(nonce).mortal(MORTAL_BLOCKS).build();
            let signed = at
                .transactions()
                .create_signed(&call.encoded(&at.transactions())?, self.account.keypair(), params)
                .await
                .map_err(request("a signed transaction"))?;
            match signed.submit_and_watch().await {
                Ok(progress) => {
                    tracing::debug!(call = call.name(), nonce, hash = ?progress.extrinsic_hash(), "sent");
                    return Ok(progress);
                }
                Err(error) if attempt < NONCE_ATTEMPTS && is_nonce_taken(&error) => {
                    tracing::debug!(call = call.name(), nonce, %error, "the nonce was taken; signing again");
                    attempt += 1;
                    tokio::time::sleep(Duration::from_millis(300)).await;
                }
                Err(error)
                    if full_text(&error).contains("bad signature")
                        && tokio::time::Instant::now() < give_up_at
                        && self.chain.best().await?.spec_version() != at.spec_version() =>
                {
                    tracing::debug!(
                        call = call.name(),
                        "the chain is being upgraded; signing again once that is final"
                    );
                    tokio::time::sleep(Duration::from_secs(1)).await;
                }
                Err(error) => return Err(refusal(call, &error)),
            }
        }
    }
}

/// Sends a call that the chain itself authorises by what stands in it, such as a signature among its arguments: a general
/// transaction (version 5), which nobody signs as a whole, which has no nonce and for which nobody pays.
///
/// # Errors
/// [`Error::Refused`] if the chain does not authorise it, or has it already; [`Error::FateUnknown`] if the node was lost
/// meanwhile; [`Error::Request`].
pub async fn send_authorised(chain: &Chain, call: &Call) -> Result<Sent> {
    let at = chain.client().at_current_block().await.map_err(request("the finalized block"))?;
    let transactions = at.transactions();
    let payload = call.encoded(&transactions)?;
    let mut general = transactions
        .create_v5_signable_offline(&payload, DefaultExtrinsicParamsBuilder::<Config>::new().build())
        .map_err(request("a general transaction"))?;
    // The runtime has no extension that carries a signature: these two are for one, and are written nowhere.
    let (nobody, nothing) = (AccountId([0; 32]), MultiSignature::Sr25519([0; 64]));
    let encoded = general
        .sign_with_account_and_signature(&nobody, &nothing)
        .map_err(request("a general transaction"))?;
    let progress = encoded.submit_and_watch().await.map_err(|error| refusal(call, &error))?;
    tracing::debug!(call = call.name(), hash = ?progress.extrinsic_hash(), "sent");
    Ok(Sent { call: call.name(), progress })
}

/// True if the pool says that the nonce is behind, or that it holds another transaction with it.
fn is_nonce_taken(error: &ExtrinsicError) -> bool {
    let text = full_text(error);
    ["outdated", "Stale", "Priority is too low", "already imported", "Already Imported", "too low priority"]
        .iter()
        .any(|part| text.contains(part))
}

fn refusal(call: &Call, error: &ExtrinsicError) -> Error {
    let reason = full_text(error);
    let fix = if reason.contains("pay some fees") || reason.contains("Payment") {
        "put enough on the account to pay the fee"
    } else if reason.contains("call is not expected") {
        "the administrator has stopped this call for now (docs/economy.md); try again when it is allowed"
    } else if reason.contains("disconnected") || reason.contains("connection") || reason.contains("reconnect")
    {
        return Error::FateUnknown { call: call.name(), reason };
    } else {
        "check the account and the node's log"
    };
    Error::Refused { call: call.name(), reason, fix }
}

/// An error with its causes, which subxt's wrappers leave out.
fn full_text(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text.push_str(": ");
            text.push_str(&cause_text);
        }
        source = cause.source();
    }
    text
}
