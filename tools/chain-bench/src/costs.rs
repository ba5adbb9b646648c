//! What calls cost as the chain grows.
//!
//! The state lies in a trie over an in-memory database, as a node's does over ParityDB: a call pays for the depth of the
//! trie, which grows with the logarithm of the state, and for nothing else that grows unless it should not. Every call is
//! made [`REPETITIONS`] times, each committed before the next; the time is the median of the dispatch alone, reads and
//! writes are the most of different keys, without those that every block touches anyway.

use std::time::{Duration, Instant};

use anyhow::{anyhow, bail, Context, Result};
use attune_primitives::{
    job::MAX_MILESTONES,
    traits::{JobEscrow as _, Providers as _},
};
use attune_runtime::{
    units::ATT, AllPalletsWithSystem, Balances, JobEscrow, ProviderStaking, Runtime, System,
};
use frame_support::{
    storage::transactional::TRANSACTION_LEVEL_KEY,
    traits::{fungible::Mutate, Get, WhitelistedStorageKeys},
};
use sc_client_db::bench::BenchmarkingState;
use serde_json::{json, Map, Value};
use sp_externalities::{set_and_run_with_externalities, Externalities};
use sp_runtime::{traits::BlakeTwo256, Permill};
use sp_state_machine::{backend::Backend, Ext, OverlayedChanges};

use crate::state::{self, Size};

/// How often each call is made. No more than there are milestones for in the fewest jobs, ten.
const REPETITIONS: u32 = 31;

/// The number of the other thing while one grows.
const FEW: u32 = 10;

/// What stays while one number grows.
const SMALL: Size = Size { delegators: FEW, jobs: FEW, elsewhere: 0 };

/// A call of the table: what has to be before it, and the call. Both get the number of the repetition and of the
/// provider's delegators.
struct Subject {
    name: &'static str,
    before: fn(u32, u32) -> Result<()>,
    call: fn(u32, u32) -> Result<()>,
}

const SUBJECTS: [Subject; 6] = [
    Subject { name: "delegate", before: fund_newcomer, call: delegate },
    Subject { name: "claim_income", before: earn, call: claim_income },
    // Once more for somebody who did before: with few delegators most repetitions are, and with many none would be.
    Subject { name: "undelegate", before: undelegate, call: undelegate },
    Subject { name: "apply_slash", before: convict, call: apply_slash },
    Subject { name: "settle", before: commit_milestones, call: settle },
    Subject { name: "create_job", before: |_, _| Ok(()), call: create_job },
];

fn fund_newcomer(repetition: u32, _: u32) -> Result<()> {
    state::fund(&crate::load::account("newcomer", repetition));
    Ok(())
}

fn delegate(repetition: u32, _: u32) -> Result<()> {
    let provider = state::provider(state::PROVIDER);
    let call = pallet_provider_staking::Call::delegate { provider, amount: 100 * ATT };
    state::call(crate::load::account("newcomer", repetition), call)
}

/// The provider's pool earns, as when a job pays.
fn earn(_: u32, _: u32) -> Result<()> {
    let provider = state::provider(state::PROVIDER);
    let income = 1_000_000 * ATT;
    Balances::mint_into(&ProviderStaking::pool_account(&provider), income)
        .and_then(|_| ProviderStaking::note_income(&provider, income, Permill::from_percent(10)))
        .map_err(|error| anyhow!("the pool could not earn: {error:?}"))
}

fn claim_income(repetition: u32, delegators: u32) -> Result<()> {
    let provider = state::provider(state::PROVIDER);
    let who = state::delegator(repetition % delegators);
    let before = Balances::free_balance(&who);
    state::call(who.clone(), pallet_provider_staking::Call::claim_income { provider })?;
    if Balances::free_balance(&who) <= before {
        bail!("a claim paid nothing");
    }
    Ok(())
}

fn undelegate(repetition: u32, delegators: u32) -> Result<()> {
    let provider = state::provider(state::PROVIDER);
    let who = state::delegator(repetition % delegators);
    let delegation = pallet_provider_staking::Delegations::<Runtime>::get(&provider, &who);
    let shares = delegation.context("the delegator has no delegation")?.shares / 50;
    state::call(who, pallet_provider_staking::Call::undelegate { provider, shares })
}

/// A slash is booked, and its delay passes.
fn convict(_: u32, _: u32) -> Result<()> {
    let provider = state::provider(state::PROVIDER);
    ProviderStaking::slash_for_offence(&provider, Permill::from_parts(100), None);
    let delay = <<Runtime as pallet_provider_staking::Config>::SlashDelay as Get<u32>>::get();
    System::set_block_number(System::block_number() + delay + 1);
    Ok(())
}

fn apply_slash(_: u32, _: u32) -> Result<()> {
    let next = pallet_provider_staking::NextSlashId::<Runtime>::get();
    let slash = next.checked_sub(1).context("no slash was booked")?;
    let provider = state::provider(state::PROVIDER);
    state::call(state::customer(), pallet_provider_staking::Call::apply_slash { provider, slash })
}

/// Job and milestone that a repetition settles.
fn milestone(repetition: u32) -> (u64, u32) {
    (u64::from(repetition / MAX_MILESTONES), repetition % MAX_MILESTONES)
}

fn commit_milestones(repetition: u32, _: u32) -> Result<()> {
    let (job, milestone) = milestone(repetition);
    JobEscrow::milestone_committed(job, milestone).map_err(|error| anyhow!("milestone_committed: {error:?}"))
}

/// A milestone has passed its audits: it is paid out of the escrow into the pool, and is the delegators' income.
fn settle(repetition: u32, _: u32) -> Result<()> {
    let (job, milestone) = milestone(repetition);
    frame_support::storage::with_storage_layer(|| JobEscrow::milestone_verified(job, milestone))
        .map_err(|error| anyhow!("milestone_verified: {error:?}"))
}

fn create_job(_: u32, _: u32) -> Result<()> {
    let call = pallet_job_escrow::Call::create_job { spec: crate::load::job(0), sponsor: None };
    state::call(state::customer(), call)
}

/// What one call costs on one state.
struct Cost {
    time: Duration,
    reads: u32,
    writes: u32,
}

type State = BenchmarkingState<BlakeTwo256>;

/// Runs `with` on `state` and commits what it wrote; gives the time that it took.
fn on(state: &State, with: impl FnOnce() -> Result<()>) -> Result<Duration> {
    let mut overlay = OverlayedChanges::<BlakeTwo256>::default();
    let mut externalities = Ext::new(&mut overlay, state, None);
    let (outcome, time) = set_and_run_with_externalities(&mut externalities, || {
        let started = Instant::now();
        let outcome = with();
        (outcome, started.elapsed())
    });
    externalities.commit();
    outcome.map(|()| time)
}

fn cost(state: &State, subject: &Subject, delegators: u32) -> Result<Cost> {
    let (mut times, mut reads, mut writes) = (Vec::new(), 0, 0);
    for repetition in 0..REPETITIONS {
        on(state, || {
            System::reset_events();
            (subject.before)(repetition, delegators)
        })?;
        state.reset_read_write_count();
        times.push(on(state, || (subject.call)(repetition, delegators))?);
        let (read, _, written, _) = state.read_write_count();
        (reads, writes) = (reads.max(read), writes.max(written));
    }
    times.sort_unstable();
    let time = *times.get(times.len() / 2).context("nothing was repeated")?;
    Ok(Cost { time, reads, writes })
}

/// Measures every call on states of these sizes, and shows the table.
///
/// # Errors
/// If a state can't be made or the runtime refuses a call.
pub(crate) fn measure(delegators: &[u32], jobs: &[u32]) -> Result<Value> {
    let by_delegators = series("delegators", delegators, |many| Size { delegators: many, ..SMALL })?;
    let by_elsewhere = series("elsewhere", delegators, |many| Size { elsewhere: many, ..SMALL })?;
    let by_jobs = series("live jobs", jobs, |many| Size { jobs: many, ..SMALL })?;
    Ok(json!({
        "repetitions": REPETITIONS,
        "by_delegators": by_delegators,
        "by_delegators_elsewhere": by_elsewhere,
        "by_jobs": by_jobs,
    }))
}

/// A row for each size. Delegators elsewhere are the control: they make the trie as large as delegators of the provider
/// do, so that what a call costs more for the one than for the other is what it costs for its own delegators.
fn series(name: &str, counts: &[u32], size: impl Fn(u32) -> Size) -> Result<Vec<Value>> {
    println!("\n{name:>12}  {}", SUBJECTS.map(|subject| format!("{:>21}", subject.name)).join(""));
    let mut rows = Vec::new();
    for count in counts {
        let size = size(*count);
        if *count < FEW {
            bail!("expected at least {FEW} {name}, found {count}");
        }
        let started = Instant::now();
        let storage = state::build(size)?;
        let keys = storage.top.len();
        let state = State::new(storage, None, false, true).map_err(|error| anyhow!("no state: {error}"))?;
        let mut known = AllPalletsWithSystem::whitelisted_storage_keys();
        // How deep calls are nested: in memory only.
        known.push(TRANSACTION_LEVEL_KEY.to_vec().into());
        state.set_whitelist(known);
        let made = started.elapsed();
        let mut calls = Map::new();
        let mut line = format!("{count:>12}  ");
        for subject in &SUBJECTS {
            let Cost { time, reads, writes } = cost(&state, subject, size.delegators)
                .with_context(|| format!("{} with {count} {name}", subject.name))?;
            let micros = time.as_nanos() as f64 / 1_000.0;
            line += &format!("{:>21}", format!("{micros:.0} µs {reads:>3} r {writes:>2} w"));
            calls.insert(
                subject.name.into(),
                json!({ "microseconds": micros, "reads": reads, "writes": writes }),
            );
        }
        println!("{line}   ({keys} keys, made in {:.1} s)", made.as_secs_f64());
        let Size { delegators, jobs, elsewhere } = size;
        rows.push(json!({
            "delegators": delegators, "jobs": jobs, "delegators_elsewhere": elsewhere, "keys": keys, "calls": calls,
        }));
    }
    Ok(rows)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_call_touches_more_storage_with_more_delegators() {
        let rows = series("delegators", &[10, 300], |many| Size { delegators: many, ..SMALL })
            .expect("the runtime takes the calls");
        let keys =
            |row: usize, name: &str, what: &str| rows[row]["calls"][name][what].as_u64().expect("a count");
        for Subject { name, .. } in &SUBJECTS {
            for what in ["reads", "writes"] {
                let (few, many) = (keys(0, name, what), keys(1, name, what));
                // A pool whose stake enters another bag touches that bag, too.
                assert!(
                    few > 0 && many <= few + 4,
                    "{name}: {few} {what} with 10 delegators, {many} with 300"
                );
            }
        }
    }
}
