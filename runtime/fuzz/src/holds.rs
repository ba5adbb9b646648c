//! Every hold belongs to something in a pallet's books.
//!
//! The pallets' own `try_state` begins with their books, so it does not see a hold that nothing in them asks for any
//! more: money that nobody can free. Here it is the other way round: every entry of the balances' holds is looked up.

use crate::accounts;
use attune_primitives::Balance;
use attune_runtime::{
    genesis::accounts::VALIDATORS, AccountId, ProviderStaking, Runtime, RuntimeHoldReason as Reason,
};
use frame_support::traits::Get;
use pallet_job_escrow::HoldReason as Escrow;
use pallet_proof_of_training::HoldReason as Proof;
use pallet_provider_staking::HoldReason as Staking;
use pallet_session::HoldReason as Session;
use std::collections::BTreeMap;

/// What the books say is on hold: amounts by account and reason, in planck.
#[derive(Default)]
struct Books(BTreeMap<AccountId, Vec<(Reason, Balance)>>);

impl Books {
    fn add(&mut self, who: AccountId, reason: impl Into<Reason>, amount: Balance) -> Result<(), String> {
        let reason = reason.into();
        let entries = self.0.entry(who).or_default();
        match entries.iter_mut().find(|(known, _)| *known == reason) {
            Some((_, sum)) => *sum = sum.checked_add(amount).ok_or("a sum in the books overflows")?,
            None => entries.push((reason, amount)),
        }
        Ok(())
    }

    fn amount(&self, who: &AccountId, reason: &Reason) -> Balance {
        let entries = self.0.get(who).map(Vec::as_slice).unwrap_or_default();
        entries.iter().find(|(known, _)| known == reason).map_or(0, |(_, amount)| *amount)
    }
}

/// Checks that what is on hold, account by account and reason by reason, is what the books say, in both directions.
///
/// # Errors
/// Names the account, the reason and both amounts.
pub(crate) fn check() -> Result<(), String> {
    let books = books()?;
    for (who, holds) in pallet_balances::Holds::<Runtime>::iter() {
        for hold in &holds {
            compare(&who, &hold.id, hold.amount, books.amount(&who, &hold.id))?;
        }
    }
    for (who, entries) in &books.0 {
        let holds = pallet_balances::Holds::<Runtime>::get(who);
        for (reason, booked) in entries {
            let held = holds.iter().find(|hold| hold.id == *reason).map_or(0, |hold| hold.amount);
            compare(who, reason, held, *booked)?;
        }
    }
    Ok(())
}

fn compare(who: &AccountId, reason: &Reason, held: Balance, booked: Balance) -> Result<(), String> {
    if held == booked {
        return Ok(());
    }
    let who = accounts::name(who);
    Err(format!("{who} has {held} on hold for {reason:?}, the books say {booked}"))
}

fn books() -> Result<Books, String> {
    let mut books = Books::default();
    for (provider, pool) in pallet_provider_staking::Pools::<Runtime>::iter() {
        let stake = pool.total().and_then(|stake| stake.checked_add(pool.owed));
        let stake = stake.ok_or("what a pool has overflows")?;
        books.add(ProviderStaking::pool_account_of(&provider), Staking::Pool, stake)?;
    }
    for (provider, stored) in pallet_provider_staking::Providers::<Runtime>::iter() {
        books.add(provider, Staking::Deposit, stored.deposit)?;
    }
    for (id, job) in pallet_job_escrow::Jobs::<Runtime>::iter() {
        for part in [job.escrow, job.audit_budget] {
            books.add(job.funder.clone(), Escrow::Escrow, part)?;
        }
        for owed in pallet_job_escrow::Owed::<Runtime>::iter_prefix_values(id) {
            books.add(job.funder.clone(), Escrow::Escrow, owed)?;
        }
        books.add(job.funder, Escrow::Deposit, job.deposit)?;
    }
    for (sponsor, _, sponsorship) in pallet_job_escrow::Sponsorships::<Runtime>::iter() {
        books.add(sponsor, Escrow::Deposit, sponsorship.deposit)?;
    }
    for model in pallet_proof_of_training::Models::<Runtime>::iter_values() {
        books.add(model.owner, Proof::ModelDeposit, model.deposit)?;
    }
    for (who, _) in pallet_session::NextKeys::<Runtime>::iter() {
        // Session keys from genesis are without a deposit, until they are purged and set again.
        let held = pallet_balances::Holds::<Runtime>::get(&who);
        let has_none = !held.iter().any(|hold| hold.id == Session::Keys.into());
        if has_none && VALIDATORS.iter().any(|validator| AccountId::from(validator.stash) == who) {
            continue;
        }
        books.add(
            who,
            Session::Keys,
            <<Runtime as pallet_session::Config>::KeyDeposit as Get<Balance>>::get(),
        )?;
    }
    // Safe mode takes no deposits in this runtime: a hold for it belongs to nothing.
    Ok(books)
}
