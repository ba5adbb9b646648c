//! Whether the books agree with the money.
//!
//! Pools are as many as the registry holds, so one answer covers them all. Jobs are not bounded, and no total of their
//! escrow is kept: a counter would be one more write in every call that moves money, and a second truth that could differ
//! from the first. Each job's books are shown beside its funder's hold instead, page by page, and who wants the total
//! adds them up.

use super::{EscrowBooks, PoolBooks, Solvency};
use crate::{AccountId, Balance, Balances, JobEscrow, ProviderStaking, Runtime};
use alloc::vec::Vec;
use attune_primitives::{
    page::{newest_first, Page},
    JobId,
};
use frame_support::traits::fungible::InspectHold;
use pallet_job_escrow::{HoldReason as EscrowReason, NextJobId};
use pallet_provider_staking::{HoldReason as PoolReason, Pools, ProviderIds};

pub(crate) fn solvency() -> Solvency {
    let books: Vec<PoolBooks> = ProviderIds::<Runtime>::get().into_iter().filter_map(pool_books).collect();
    // What is too much for the arithmetic shows as the largest amount, and so as a difference.
    let sum = |of: fn(&PoolBooks) -> Balance| {
        books.iter().map(of).try_fold(0u128, |sum, amount| sum.checked_add(amount)).unwrap_or(Balance::MAX)
    };
    Solvency {
        issuance: Balances::total_issuance(),
        pools: u32::try_from(books.len()).unwrap_or(u32::MAX),
        booked: sum(|pool| pool.booked),
        held: sum(|pool| pool.held),
        unclaimed_income: sum(|pool| pool.unclaimed_income),
        differing: books
            .into_iter()
            .filter(|pool| pool.booked != pool.held || pool.free < pool.unclaimed_income)
            .collect(),
    }
}

fn pool_books(provider: AccountId) -> Option<PoolBooks> {
    let pool = Pools::<Runtime>::get(&provider)?;
    let account = ProviderStaking::pool_account_of(&provider);
    Some(PoolBooks {
        booked: pool.total().and_then(|stake| stake.checked_add(pool.owed)).unwrap_or(Balance::MAX),
        held: Balances::balance_on_hold(&PoolReason::Pool.into(), &account),
        unclaimed_income: pool.reserved_income,
        free: Balances::free_balance(&account),
        provider,
    })
}

pub(crate) fn escrow_books(before: Option<JobId>, limit: u32) -> Page<EscrowBooks, JobId> {
    let next = NextJobId::<Runtime>::get();
    newest_first(before.unwrap_or(next).min(next), limit, |job| {
        let money = JobEscrow::job_money(job)?;
        let parts = [money.escrow, money.audit_budget].into_iter();
        let booked = parts
            .chain(money.owed.iter().map(|(_, amount)| *amount))
            .try_fold(0u128, |sum, amount| sum.checked_add(amount));
        let held = |reason: EscrowReason| Balances::balance_on_hold(&reason.into(), &money.funder);
        Some(EscrowBooks {
            job,
            booked_escrow: booked.unwrap_or(Balance::MAX),
            booked_deposit: money.deposit,
            held_escrow: held(EscrowReason::Escrow),
            held_deposit: held(EscrowReason::Deposit),
            funder: money.funder,
        })
    })
}
