//! The chain on which costs are measured: a provider with its delegators and its jobs, made by the runtime's own calls.

use anyhow::{anyhow, Context, Result};
use attune_runtime::{
    genesis::preset, units::ATT, AccountId, Balance, Balances, Runtime, RuntimeCall, RuntimeGenesisConfig,
    RuntimeOrigin, System,
};
use frame_support::{
    genesis_builder_helper::{build_state, get_preset},
    traits::{fungible::Mutate, Get},
};
use serde_json::Value;
use sp_core::storage::Storage;
use sp_runtime::{traits::Dispatchable, Permill};
use sp_state_machine::BasicExternalities;

use crate::load;

/// The provider whose delegators and jobs are counted.
pub(crate) const PROVIDER: u32 = 0;

/// What every account gets.
const WEALTH: Balance = 1_000_000 * ATT;

/// The account of provider `index`.
pub(crate) fn provider(index: u32) -> AccountId {
    load::account("provider", index)
}

/// The key that works for it.
pub(crate) fn operator(index: u32) -> AccountId {
    load::account("operator", index)
}

/// Another provider, whose delegators are no concern of the first one's.
const NEIGHBOUR: u32 = 1;

/// How many delegators and live jobs of the provider there are, and how many delegators of another one.
#[derive(Clone, Copy)]
pub(crate) struct Size {
    pub(crate) delegators: u32,
    pub(crate) jobs: u32,
    /// The control: they make the state as large as delegators of the provider itself would.
    pub(crate) elsewhere: u32,
}

/// The account of delegator `index`.
pub(crate) fn delegator(index: u32) -> AccountId {
    load::account("delegator", index)
}

/// Who orders the jobs.
pub(crate) fn customer() -> AccountId {
    load::account("customer", 0)
}

/// Gives `who` more than any call costs.
pub(crate) fn fund(who: &AccountId) {
    Balances::set_balance(who, WEALTH);
}

/// Dispatches `call` of `who`.
///
/// # Errors
/// If the runtime refuses it.
pub(crate) fn call(who: AccountId, call: impl Into<RuntimeCall>) -> Result<()> {
    let call = call.into();
    let outcome = call.clone().dispatch(RuntimeOrigin::signed(who));
    outcome.map(|_| ()).map_err(|error| anyhow!("{call:?}: {:?}", error.error))
}

/// The state with so many delegators and running jobs, and as many providers as there may be.
///
/// # Errors
/// If the runtime refuses one of the calls.
pub(crate) fn build(size: Size) -> Result<Storage> {
    let mut externalities = BasicExternalities::new_empty();
    externalities.execute_with(|| -> Result<()> {
        build_state::<RuntimeGenesisConfig>(genesis()?)
            .map_err(|error| anyhow!("the preset builds no state: {error}"))?;
        System::set_block_number(1);
        pallet_timestamp::Now::<Runtime>::put(1_700_000_000_000);
        add_providers(size.jobs)?;
        add_delegators(PROVIDER, size.delegators, delegator)?;
        add_delegators(NEIGHBOUR, size.elsewhere, |index| load::account("neighbour's delegator", index))?;
        add_jobs(size.jobs)?;
        System::reset_events();
        Ok(())
    })?;
    Ok(externalities.into_storages())
}

fn add_providers(jobs: u32) -> Result<()> {
    let most = <<Runtime as pallet_provider_staking::Config>::MaxProviders as Get<u32>>::get();
    for index in 0..most {
        fund(&provider(index));
        // A bond is at most ten times the price of one ATT. Above it, enough to be slashed.
        let self_bond =
            if index == PROVIDER { Balance::from(jobs) * 20 * ATT + 100_000 * ATT } else { 1_000 * ATT };
        let register = pallet_provider_staking::Call::register {
            profile: load::profile(),
            commission: Permill::from_percent(10),
            operator: operator(index),
            self_bond,
        };
        call(provider(index), register)?;
    }
    Ok(())
}

fn add_delegators(to: u32, count: u32, account: impl Fn(u32) -> AccountId) -> Result<()> {
    for index in 0..count {
        fund(&account(index));
        let delegate = pallet_provider_staking::Call::delegate { provider: provider(to), amount: 100 * ATT };
        call(account(index), delegate)?;
        forget_events(index);
    }
    Ok(())
}

fn add_jobs(jobs: u32) -> Result<()> {
    let owner = load::account("model owner", 0);
    fund(&owner);
    call(owner, pallet_proof_of_training::Call::register_model { info: load::model() })?;
    fund(&customer());
    for job in 0..jobs {
        add_running_job(u64::from(job))?;
        forget_events(job);
    }
    Ok(())
}

/// Job number `job`, which is the next one, running.
///
/// # Errors
/// If the runtime refuses it.
pub(crate) fn add_running_job(job: u64) -> Result<()> {
    let create = pallet_job_escrow::Call::create_job { spec: load::job(0), sponsor: None };
    call(customer(), create)?;
    call(operator(PROVIDER), pallet_job_escrow::Call::accept_job { job, price: ATT })?;
    call(operator(PROVIDER), pallet_job_escrow::Call::start_job { job })
}

/// Events belong to a block, and their list is rewritten with each.
fn forget_events(index: u32) {
    if index.is_multiple_of(100) {
        System::reset_events();
    }
}

/// The genesis of the preset `local_testnet`, as JSON.
fn genesis() -> Result<Vec<u8>> {
    let default =
        get_preset::<RuntimeGenesisConfig>(&None, |_| None).context("there is no default genesis")?;
    let patch = preset(&"local_testnet".into()).context("there is no preset local_testnet")?;
    let mut genesis = serde_json::from_slice(&default)?;
    merge(&mut genesis, serde_json::from_slice(&patch)?);
    Ok(genesis.to_string().into_bytes())
}

/// Merges `patch` into `target` (RFC 7386, but that nothing is deleted: presets don't).
fn merge(target: &mut Value, patch: Value) {
    match (target, patch) {
        (Value::Object(target), Value::Object(patch)) => {
            for (key, value) in patch {
                merge(target.entry(key).or_insert(Value::Null), value);
            }
        }
        (target, patch) => *target = patch,
    }
}
