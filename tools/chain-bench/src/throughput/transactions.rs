//! The transactions that are sent: made and signed before the clock runs, so that the generator's share of the machine
//! while it runs is sending alone.

use anyhow::{ensure, Context, Result};
use attune_chain_client::{
    api, calls, types::NewModel, Account, AccountId, AtBlock, Chain, Config, Submitter, Wait,
};
use attune_primitives::{hashing::blake2_256, ModelId, H256};
use attune_runtime::units::{ATT, MILLI_ATT};
use futures::future::try_join_all;
use subxt::{config::DefaultExtrinsicParamsBuilder, transactions::Payload, utils::MultiAddress};
use subxt_signer::sr25519::Keypair;

use crate::load;

/// The endowed account that pays for everything.
const FUNDER: &str = "//Customer";
/// Of its million tokens, what the accounts may get.
const PURSE: u128 = 900_000 * ATT;
/// Transfers in one batch: some hundredths of a block.
const BATCH: usize = 50;
/// What each account gets for fees and for what it sends.
const ALLOWANCE: u128 = 20 * ATT;
/// What a job of [`load::job`] puts on hold, with some to spare: price, deposit, and fees of its audits.
const JOB_COST: u128 = 4 * ATT;

/// What is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// `transfer_keep_alive` from each account to the next.
    Transfer,
    /// `create_job` of a registered model, with as many milestones as there may be.
    CreateJob { model: ModelId },
}

impl Kind {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Transfer => "transfers",
            Self::CreateJob { .. } => "job creations",
        }
    }
}

/// The keys of `count` accounts. Anyone can compute them: they are for a network that lives for minutes.
pub(super) fn keys(count: u32) -> Result<Vec<Keypair>> {
    let seed = |index| blake2_256(format!("attune/chain-bench/sender/{index}").as_bytes()).to_fixed_bytes();
    (0..count).map(|index| Keypair::from_secret_key(seed(index)).context("making a key")).collect()
}

pub(super) fn account(key: &Keypair) -> AccountId {
    AccountId(key.public_key().0)
}

/// Registers the model that jobs are for, and gives every account what `jobs` of them cost it.
///
/// # Errors
/// If the purse is too small for that, or the chain refuses.
pub(super) async fn prepare(chain: &Chain, keys: &[Keypair], jobs: u64) -> Result<ModelId> {
    let share = ALLOWANCE + u128::from(jobs) * JOB_COST;
    let total = share * keys.len() as u128;
    ensure!(
        total <= PURSE,
        "expected {} accounts to need at most {} ATT, found {}; ask for fewer accounts or seconds",
        keys.len(),
        PURSE / ATT,
        total / ATT
    );
    let funder = Submitter::new(chain.clone(), Account::dev(FUNDER)?)?;
    let model = NewModel {
        name: "bench".into(),
        architecture: "llama".into(),
        parameters: 1,
        artifact: H256::repeat_byte(0xbe),
        artifact_bytes: 1,
        tokenizer: H256::repeat_byte(2),
        licence: String::new(),
    };
    let mut sent = vec![funder.send(&calls::register_model(model)).await?];
    for part in keys.chunks(BATCH) {
        let transfers = part.iter().map(|key| {
            api::runtime_types::attune_runtime::composition::RuntimeCall::Balances(
                api::balances::Call::transfer_keep_alive {
                    dest: MultiAddress::Id(account(key)),
                    value: share,
                },
            )
        });
        let batch = api::transactions().utility().batch_all(transfers.collect());
        sent.push(funder.send(&attune_chain_client::Call::new(batch)).await?);
    }
    try_join_all(sent.into_iter().map(|sent| sent.wait(Wait::Finalized))).await?;
    let models = chain.finalized().await?.models().await?;
    Ok(models.last().context("the model that was registered is not there")?.id)
}

/// The call alone, encoded: of the first account.
pub(super) fn call_data(at: &AtBlock, kind: Kind, keys: &[Keypair]) -> Result<Vec<u8>> {
    let to = keys.get(1).context("two accounts are needed at least")?;
    Ok(match kind {
        Kind::Transfer => at.transactions().call_data(&transfer(to))?,
        Kind::CreateJob { model } => at.transactions().call_data(&create_job(model))?,
    })
}

/// `rounds` transactions of every account, signed on all cores, by the node that they go to; each node's in the order in
/// which they are to be sent. All of an account's go to one node, so that none overtakes another.
pub(super) fn sign(
    at: &AtBlock,
    kind: Kind,
    keys: &[Keypair],
    nonces: &[u64],
    rounds: u64,
    nodes: usize,
) -> Result<Vec<Vec<Vec<u8>>>> {
    // Once, not for each: the runtime is the one that these calls were generated for.
    match kind {
        Kind::Transfer => at.transactions().validate(
            &api::transactions().balances().transfer_keep_alive(MultiAddress::Id(AccountId([0; 32])), 0),
        )?,
        Kind::CreateJob { model } => at
            .transactions()
            .validate(&api::transactions().job_escrow().create_job(load::job(model).into(), None))?,
    }
    let of_account = |index: usize| -> Result<Vec<Vec<u8>>> {
        let (key, to) = (&keys[index], &keys[(index + 1) % keys.len()]);
        let signed = |nonce: u64| match kind {
            Kind::Transfer => sign_one(at, &transfer(to), key, nonce),
            Kind::CreateJob { model } => sign_one(at, &create_job(model), key, nonce),
        };
        (0..rounds).map(|round| signed(nonces[index] + round)).collect()
    };
    let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let indices: Vec<usize> = (0..keys.len()).collect();
    let signed: Vec<Vec<Vec<u8>>> = std::thread::scope(|scope| {
        let parts = indices.chunks(keys.len().div_ceil(threads).max(1));
        let threads: Vec<_> = parts
            .map(|part| {
                scope.spawn(move || part.iter().map(|index| of_account(*index)).collect::<Result<Vec<_>>>())
            })
            .collect();
        let join = |thread: std::thread::ScopedJoinHandle<'_, Result<Vec<_>>>| {
            thread.join().unwrap_or_else(|_| Err(anyhow::anyhow!("a thread that signs panicked")))
        };
        threads.into_iter().map(join).collect::<Result<Vec<_>>>()
    })?
    .into_iter()
    .flatten()
    .collect();
    Ok(by_node(signed, nodes))
}

/// Deals accounts out to the nodes, and puts each node's transactions into rounds.
fn by_node(of_accounts: Vec<Vec<Vec<u8>>>, nodes: usize) -> Vec<Vec<Vec<u8>>> {
    let mut dealt: Vec<Vec<std::vec::IntoIter<Vec<u8>>>> = (0..nodes).map(|_| Vec::new()).collect();
    for (index, of_account) in of_accounts.into_iter().enumerate() {
        dealt[index % nodes].push(of_account.into_iter());
    }
    let rounds = |mut accounts: Vec<std::vec::IntoIter<Vec<u8>>>| {
        let mut ordered = Vec::new();
        loop {
            let before = ordered.len();
            ordered.extend(accounts.iter_mut().filter_map(Iterator::next));
            if ordered.len() == before {
                return ordered;
            }
        }
    };
    dealt.into_iter().map(rounds).collect()
}

fn transfer(to: &Keypair) -> impl Payload {
    let to = MultiAddress::Id(account(to));
    api::transactions().balances().transfer_keep_alive(to, MILLI_ATT).unvalidated()
}

fn create_job(model: ModelId) -> impl Payload {
    api::transactions().job_escrow().create_job(load::job(model).into(), None).unvalidated()
}

/// A transaction without end of life: it may lie signed until its turn comes.
fn sign_one(at: &AtBlock, call: &impl Payload, key: &Keypair, nonce: u64) -> Result<Vec<u8>> {
    let params = DefaultExtrinsicParamsBuilder::<Config>::new().nonce(nonce).immortal().build();
    let signed = at.transactions().create_signable_offline(call, params)?.sign(key)?;
    Ok(signed.into_encoded())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_account_stays_with_its_node_and_in_order() {
        let accounts = (0..3u8).map(|account| (0..2u8).map(|round| vec![account, round]).collect()).collect();
        assert_eq!(
            by_node(accounts, 2),
            [vec![vec![0, 0], vec![2, 0], vec![0, 1], vec![2, 1]], vec![vec![1, 0], vec![1, 1]]]
        );
    }

    #[test]
    fn accounts_differ_and_are_the_same_every_time() {
        let accounts = |count| keys(count).expect("keys").iter().map(account).collect::<Vec<_>>();
        let (few, more) = (accounts(2), accounts(3));
        assert_eq!(few[..], more[..2]);
        assert!(more[0] != more[1] && more[1] != more[2] && more[0] != more[2]);
    }
}
