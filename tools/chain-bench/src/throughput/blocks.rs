//! What the chain allows a block, what a transaction weighs, and what is in the blocks of a window. Blocks are read after
//! the window, so that reading them costs nothing while the clock runs.

use std::collections::HashMap;

use anyhow::{ensure, Context, Result};
use attune_chain_client::{api, AtBlock, Chain};
use codec::{Compact, Decode, Encode};
use subxt::events::Phase;

use super::{
    feed::{is_transaction, rpc},
    node_log::Proposal,
};

/// What the runtime allows. Weights are execution times in picoseconds.
#[derive(Clone, Debug)]
pub(super) struct Limits {
    pub(super) slot_millis: u64,
    pub(super) epoch_slots: u64,
    /// All that a block may take, and of it the part of ordinary transactions.
    pub(super) block: u64,
    pub(super) normal: u64,
    /// What each transaction is charged besides its own weight.
    pub(super) base: u64,
    /// Bytes of ordinary transactions.
    pub(super) length: u64,
}

impl Limits {
    /// Those of the runtime at a block.
    pub(super) fn of(chain: &Chain, at: &AtBlock) -> Result<Self> {
        let weights = at.constants().entry(api::constants().system().block_weights())?;
        let length = at.constants().entry(api::constants().system().block_length())?;
        let normal = weights.per_class.normal;
        let total = normal.max_total.context("the runtime does not limit ordinary transactions")?;
        Ok(Self {
            slot_millis: chain.identity().block_millis,
            epoch_slots: chain.identity().epoch_slots,
            block: weights.max_block.ref_time,
            normal: total.ref_time,
            base: normal.base_extrinsic.ref_time,
            length: length.max.normal.into(),
        })
    }
}

/// What a transaction costs a block.
#[derive(Clone, Copy, Debug)]
pub(super) struct Cost {
    /// Declared weight of the call alone, in picoseconds.
    pub(super) call: u64,
    /// With the checks around it: signature's nonce, era, fee and so on.
    pub(super) with_extensions: u64,
    /// Bytes.
    pub(super) length: u64,
}

impl Cost {
    /// What the node says of an encoded transaction and its encoded call.
    pub(super) async fn of(at: &AtBlock, transaction: &[u8], call: &[u8]) -> Result<Self> {
        let weight = |api: &'static str, encoded: &[u8]| {
            let length = u32::try_from(transaction.len());
            let encoded = encoded.to_vec();
            async move {
                let parameters = [encoded, length?.encode()].concat();
                let answer = at.runtime_apis().call_raw(api, Some(&parameters)).await?;
                let (Compact(time), Compact(_size)) =
                    <(Compact<u64>, Compact<u64>)>::decode(&mut &answer[..])?;
                anyhow::Ok(time)
            }
        };
        Ok(Self {
            call: weight("TransactionPaymentCallApi_query_call_info", call).await?,
            with_extensions: weight("TransactionPaymentApi_query_info", transaction).await?,
            length: u64::try_from(transaction.len())?,
        })
    }
}

/// A final block.
#[derive(Clone, Debug)]
pub(super) struct Block {
    pub(super) number: u64,
    /// Unix time, as its author says.
    pub(super) millis: u64,
    pub(super) succeeded: u64,
    pub(super) failed: u64,
    /// Weights that it took, in picoseconds.
    pub(super) normal: u64,
    pub(super) mandatory: u64,
    /// Bytes of its transactions.
    pub(super) length: u64,
    /// What its author's log says of it.
    pub(super) proposal: Option<Proposal>,
}

/// The final blocks with these numbers.
///
/// # Errors
/// If the node does not have one, or its transactions and their results do not fit together.
pub(super) async fn read(
    chain: &Chain,
    numbers: std::ops::RangeInclusive<u64>,
    proposals: &HashMap<String, Proposal>,
) -> Result<Vec<Block>> {
    let rpc = rpc(chain);
    let mut blocks = Vec::new();
    for number in numbers {
        let hash = rpc.chain_get_block_hash(Some(number.into())).await?;
        let hash = hash.with_context(|| format!("the node has no block {number}"))?;
        let details =
            rpc.chain_get_block(Some(hash)).await?.with_context(|| format!("block {number} is gone"))?;
        let body: Vec<&[u8]> = details.block.extrinsics.iter().map(|bytes| &bytes.0[..]).collect();
        let view = chain.at(hash).await?;
        let weight =
            view.raw().storage().fetch(api::storage().system().block_weight(), ()).await?.decode()?;
        let (mut succeeded, mut failed) = (0, 0);
        for event in view.raw().events().fetch().await?.iter() {
            let event = event?;
            let Phase::ApplyExtrinsic(index) = event.phase() else { continue };
            let of_transaction = body.get(usize::try_from(index)?).is_some_and(|bytes| is_transaction(bytes));
            match (of_transaction, event.pallet_name(), event.event_name()) {
                (true, "System", "ExtrinsicSuccess") => succeeded += 1,
                (true, "System", "ExtrinsicFailed") => failed += 1,
                _ => {}
            }
        }
        let transactions = body.iter().filter(|bytes| is_transaction(bytes));
        let (count, length) =
            transactions.fold((0, 0), |(count, length), bytes| (count + 1, length + bytes.len()));
        ensure!(
            succeeded + failed == count,
            "block {number} has {count} transactions, but results of {}",
            succeeded + failed
        );
        blocks.push(Block {
            number,
            millis: view.timestamp().await?,
            succeeded,
            failed,
            normal: weight.normal.ref_time,
            mandatory: weight.mandatory.ref_time,
            length: u64::try_from(length)?,
            proposal: proposals.get(&format!("{hash:x}")).cloned(),
        });
    }
    Ok(blocks)
}
