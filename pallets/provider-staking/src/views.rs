//! What a page asks about providers and stake, answered in one call: the answers of the view functions, and how they are
//! worked out. Nothing here changes anything, and nothing runs over more entries than a constant says.
//!
//! The one idea: a reader is not to repeat the pallet's arithmetic. What shares are worth, what can be claimed, when money
//! is free and what stands in its way come out of the functions that the calls use.

use alloc::vec::Vec;

use attune_primitives::{
    page::{page_size, Page, MAX_LOOKUPS},
    provider::ProviderProfile,
    Balance, BlockNumber,
};
use codec::{Decode, Encode};
use frame_support::traits::Get;
use scale_info::TypeInfo;
use sp_arithmetic::{helpers_128bit::multiply_by_rational_with_rounding, Permill, Rounding};

use crate::*;

/// How many shares [`PoolInfo::share_value`] is the worth of: those that one ATT (10^12 planck) buys in a new pool.
pub const SHARES_OF_ONE_ATT: u128 = 1_000_000_000_000_000;

/// A provider, as a page shows it. Amounts are in planck.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, TypeInfo)]
pub struct ProviderInfo<AccountId> {
    /// Its account.
    pub provider: AccountId,
    /// What it says about itself: name, endpoint, what it computes, GPUs, price of a GPU hour.
    pub profile: ProviderProfile,
    /// The worker's hot key.
    pub operator: AccountId,
    /// Whether it takes new work and new stake, by its own choice.
    pub status: Status,
    /// True if it may get new work: active, and with at least the least self-bond.
    pub takes_work: bool,
    /// True if it takes new delegations: active, and without a pending slash.
    pub takes_stake: bool,
    /// The commission of a job that is accepted now.
    pub commission: Permill,
    /// A rise of it that still waits.
    pub rise: Option<CommissionRise>,
    /// Its own stake.
    pub self_bond: Balance,
    /// Self-bond and delegations: what earns.
    pub stake: Balance,
    /// What of the stake answers for bonds and pending slashes by now.
    pub locked: Balance,
    /// The largest bond that a new job could have; 0 if it takes no work.
    pub bond_room: Balance,
    /// Jobs that it has in hand: its open bonds.
    pub open_jobs: u32,
    /// Number of pending slashes.
    pub pending_slashes: u32,
    /// Number of delegators.
    pub delegators: u32,
    /// What it has done so far.
    pub reputation: Reputation,
    /// Block of the registration.
    pub registered_at: BlockNumber,
}

/// The stake behind a provider. Amounts are in planck.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, TypeInfo)]
pub struct PoolInfo<AccountId> {
    /// The account on which all of it is on hold.
    pub account: AccountId,
    /// The provider's own stake, the first to be slashed.
    pub self_bond: Balance,
    /// What of it is on its way out.
    pub self_unbonding: Balance,
    /// The delegators' stake.
    pub delegated: Balance,
    /// What of the delegators' stake is on its way out.
    pub unbonding: Balance,
    /// All shares of the delegators' stake.
    pub shares: u128,
    /// What [`SHARES_OF_ONE_ATT`] of them are worth now, rounded down; one ATT in a new pool.
    pub share_value: Balance,
    /// Bonds of open jobs and pending slashes.
    pub locked: Balance,
    /// What new bonds can be locked on, with what is locked.
    pub backing: Balance,
    /// Number of open bonds.
    pub bonds: u32,
    /// Number of pending slashes.
    pub pending_slashes: u32,
    /// Compensation that customers could not receive yet.
    pub owed: Balance,
    /// Delegators' income that is not claimed yet, with the dust of its division.
    pub unclaimed_income: Balance,
    /// Number of delegators.
    pub delegators: u32,
}

/// What one delegator has with one provider. Amounts are in planck.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, TypeInfo)]
pub struct DelegationInfo<AccountId> {
    /// The provider.
    pub provider: AccountId,
    /// Its shares.
    pub shares: u128,
    /// What they are worth now, before the lien is charged.
    pub worth: Balance,
    /// What it can claim now.
    pub pending_income: Balance,
    /// True if anyone may turn the income into shares.
    pub auto_compound: bool,
    /// What a part of the shares still answers for in the pool that it came from.
    pub lien: Option<LienInfo<AccountId>>,
}

/// What redelegated stake still answers for. Amounts are in planck.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, TypeInfo)]
pub struct LienInfo<AccountId> {
    /// The old provider.
    pub from: AccountId,
    /// What was moved, at its worth then.
    pub amount: Balance,
    /// The shares that answer, and can't leave before the lien ends.
    pub shares: u128,
    /// What the old provider's slashes have made it owe by now.
    pub due: Balance,
    /// First block at which it can end.
    pub until: BlockNumber,
    /// Slashes of the old provider that are pending: it can't end before they are applied or cancelled.
    pub pending_slashes: u32,
    /// True if its time is over and no slash is in its way: `settle_lien` ends it.
    pub can_end: bool,
}

/// A delegation with something that anyone may push for nothing. Amounts are in planck.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, TypeInfo)]
pub struct DueDelegation<AccountId> {
    /// The delegator.
    pub delegator: AccountId,
    /// Income that `compound` by somebody else turns into shares; 0 if that is not due.
    pub income: Balance,
    /// True if `settle_lien` charges the delegation or ends its lien.
    pub lien: bool,
}

/// Stake on its way out, and when it is free. Amounts are in planck.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, TypeInfo)]
pub struct UnbondingClock {
    /// The parts, in the order in which they become free; at most [`MAX_UNBONDING`].
    pub chunks: Vec<UnbondingPart>,
    /// What of it a withdrawal would pay now if nothing kept it back.
    pub due: Balance,
    /// What keeps a withdrawal back now, also of what is not due yet; `None` if nothing does.
    pub obstacle: Option<Obstacle>,
}

/// A part of what is on its way out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode, TypeInfo)]
pub struct UnbondingPart {
    /// What it is worth now, in planck; a slash may still lower it.
    pub worth: Balance,
    /// First block at which it can be withdrawn.
    pub unlock_at: BlockNumber,
    /// Blocks until then; 0 if it is over.
    pub blocks_left: BlockNumber,
}

/// What keeps a withdrawal back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode, TypeInfo)]
pub enum Obstacle {
    /// Slashes of the pool are pending. The last of them can be applied, by anyone, from this block on.
    SlashPending {
        /// The block.
        until: BlockNumber,
    },
    /// What would be left doesn't cover the bonds of open jobs. They end by their jobs' deadlines.
    BacksBonds,
}

/// A slash that waits for its time.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, TypeInfo)]
pub struct SlashInfo<AccountId> {
    /// Its number.
    pub slash: SlashId,
    /// What it is for, what it takes, who gets a part of it, and the first block at which it can be applied.
    pub pending: PendingSlash<AccountId>,
    /// True if anyone may apply it now, and nobody can cancel it any more.
    pub is_due: bool,
}

/// What a delegation would buy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode, TypeInfo)]
pub struct DelegationPreview {
    /// The shares.
    pub shares: u128,
    /// What they would be worth right afterwards, in planck: what was paid for them but for rounding.
    pub worth: Balance,
}

/// Why a delegation would be refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode, TypeInfo)]
pub enum DelegationRefusal {
    /// The account is no provider.
    NotAProvider,
    /// The provider takes no new stake: it is chilled, or exits.
    NotActive,
    /// A slash of the pool is pending: those who come now would pay for what they were not there for.
    SlashPending,
    /// The amount is too small.
    TooLow {
        /// The least that can be delegated, in planck.
        least: Balance,
    },
    /// The amount is more than the token's arithmetic holds.
    TooHigh,
}

impl<T: Config> Pallet<T> {
    pub(crate) fn view_provider(provider: T::AccountId) -> Option<ProviderInfo<T::AccountId>> {
        let stored = Providers::<T>::get(&provider)?;
        let pool = Pools::<T>::get(&provider)?;
        let now = Self::now();
        let takes_work = stored.status == Status::Active && pool.self_bond >= T::MinSelfBond::get();
        let backing = pool.backing(T::DelegatorLossCap::get()).unwrap_or_default();
        let room = backing.checked_sub(pool.locked).filter(|_| takes_work);
        Some(ProviderInfo {
            commission: stored.commission_at(now),
            rise: stored.rise.filter(|rise| rise.from_block > now),
            provider,
            profile: stored.profile,
            operator: stored.operator,
            status: stored.status,
            takes_work,
            takes_stake: stored.status == Status::Active && pool.pending_slashes == 0,
            self_bond: pool.self_bond,
            stake: pool.stake().unwrap_or_default(),
            locked: pool.locked,
            bond_room: room.unwrap_or_default(),
            open_jobs: pool.bonds,
            pending_slashes: pool.pending_slashes,
            delegators: pool.delegators,
            reputation: stored.reputation,
            registered_at: stored.registered_at,
        })
    }

    pub(crate) fn view_providers(
        from: Option<T::AccountId>,
        limit: u32,
    ) -> Page<ProviderInfo<T::AccountId>, T::AccountId> {
        let ids = ProviderIds::<T>::get();
        // A provider that has left since the page before: the list goes on with whoever comes after it.
        let start = from.map_or(0, |from| ids.binary_search(&from).unwrap_or_else(|after| after));
        let mut rest = ids.into_iter().skip(start);
        let items = rest.by_ref().take(page_size(limit)).filter_map(Self::view_provider).collect();
        Page { items, next: rest.next() }
    }

    pub(crate) fn view_pool(provider: &T::AccountId) -> Option<PoolInfo<T::AccountId>> {
        let pool = Pools::<T>::get(provider)?;
        Some(PoolInfo {
            account: Self::pool_account_of(provider),
            self_bond: pool.self_bond,
            self_unbonding: pool.self_unbonding,
            delegated: pool.active.balance,
            unbonding: pool.unbonding.balance,
            shares: pool.active.shares,
            share_value: share_value(&pool.active).unwrap_or_default(),
            locked: pool.locked,
            backing: pool.backing(T::DelegatorLossCap::get()).unwrap_or_default(),
            bonds: pool.bonds,
            pending_slashes: pool.pending_slashes,
            owed: pool.owed,
            unclaimed_income: pool.reserved_income,
            delegators: pool.delegators,
        })
    }

    pub(crate) fn view_delegation(
        provider: &T::AccountId,
        delegator: &T::AccountId,
    ) -> Option<DelegationInfo<T::AccountId>> {
        let delegation = Delegations::<T>::get(provider, delegator)?;
        let pool = Pools::<T>::get(provider)?;
        let due = Self::lien_due(provider, delegator);
        let lien = delegation.lien.map(|lien| {
            let old = Pools::<T>::get(&lien.from);
            LienInfo {
                can_end: old.as_ref().is_some_and(|old| Self::is_free(&lien.from, old, lien.until)),
                from: lien.from,
                amount: lien.amount,
                shares: lien.shares,
                due,
                until: lien.until,
                pending_slashes: old.map_or(0, |old| old.pending_slashes),
            }
        });
        Some(DelegationInfo {
            provider: provider.clone(),
            shares: delegation.shares,
            worth: pool.active.worth(delegation.shares).unwrap_or_default(),
            pending_income: Self::pending_income(provider, delegator),
            auto_compound: delegation.auto_compound,
            lien,
        })
    }

    pub(crate) fn view_due_delegations(
        provider: &T::AccountId,
        from: Option<T::AccountId>,
        limit: u32,
    ) -> Page<DueDelegation<T::AccountId>, T::AccountId> {
        // A delegator that has left since the page before still has a place in the order of storage.
        let first =
            from.iter().filter_map(|from| Some((from.clone(), Delegations::<T>::get(provider, from)?)));
        let rest = match &from {
            Some(from) => {
                let place = Delegations::<T>::hashed_key_for(provider, from);
                Delegations::<T>::iter_prefix_from(provider, place)
            }
            None => Delegations::<T>::iter_prefix(provider),
        };
        let most = usize::try_from(MAX_LOOKUPS).unwrap_or(usize::MAX);
        let mut items = Vec::new();
        for (looked_at, (delegator, delegation)) in first.chain(rest).enumerate() {
            if looked_at >= most || items.len() >= page_size(limit) {
                return Page { items, next: Some(delegator) };
            }
            let lien = delegation.lien.is_some() && Self::is_lien_due(provider, &delegator);
            let income = Self::due_income(provider, delegation).unwrap_or_default();
            if income > 0 || lien {
                items.push(DueDelegation { delegator, income, lien });
            }
        }
        Page { items, next: None }
    }

    pub(crate) fn view_unbonding(provider: &T::AccountId, owner: &T::AccountId) -> Option<UnbondingClock> {
        let mut pool = Pools::<T>::get(provider)?;
        let now = Self::now();
        let part = |worth, unlock_at: BlockNumber| UnbondingPart {
            worth,
            unlock_at,
            blocks_left: unlock_at.saturating_sub(now),
        };
        // Of the provider's own stake any slash holds all.
        let oldest =
            Self::oldest_slash(provider, &pool).map(|booked| if owner == provider { 0 } else { booked });
        let free_until = oldest.map_or(now, |booked| booked.min(now));
        let is_over = |unlock_at: BlockNumber| unlock_at <= free_until;
        // What is due is taken off this copy of the pool as a withdrawal would, to see whether it may leave.
        let (chunks, due) = if owner == provider {
            let chunks = SelfUnbonding::<T>::get(provider);
            let mut due = chunks.iter().filter(|chunk| is_over(chunk.unlock_at));
            let due = due.try_fold(0u128, |sum, chunk| sum.checked_add(chunk.amount))?;
            pool.self_unbonding = pool.self_unbonding.checked_sub(due)?;
            (chunks.iter().map(|chunk| part(chunk.amount, chunk.unlock_at)).collect::<Vec<_>>(), due)
        } else {
            let chunks = Unbonding::<T>::get(provider, owner);
            let worth = |shares| pool.unbonding.worth(shares).unwrap_or_default();
            let parts = chunks.iter().map(|chunk| part(worth(chunk.shares), chunk.unlock_at)).collect();
            let mut due = chunks.iter().filter(|chunk| is_over(chunk.unlock_at));
            let due = due.try_fold(0u128, |sum, chunk| sum.checked_add(chunk.shares))?;
            (parts, pool.unbonding.take(due)?)
        };
        let last = chunks.iter().map(|chunk| chunk.unlock_at).max().unwrap_or_default();
        let obstacle = if oldest.is_some_and(|booked| booked < last) {
            let queue = SlashQueue::<T>::get(provider);
            let is_later = |slash: SlashId| {
                owner != provider && queue.iter().any(|queued| queued.id == slash && queued.booked >= last)
            };
            let holding = Self::view_slashes(provider).into_iter().filter(|info| !is_later(info.slash));
            let until = holding.map(|info| info.pending.apply_at).max();
            Some(Obstacle::SlashPending { until: until.unwrap_or(now) })
        } else {
            (due > 0 && !Self::is_covered(&pool).unwrap_or(false)).then_some(Obstacle::BacksBonds)
        };
        Some(UnbondingClock { chunks, due, obstacle })
    }

    pub(crate) fn view_slashes(provider: &T::AccountId) -> Vec<SlashInfo<T::AccountId>> {
        let now = Self::now();
        let most = usize::try_from(MAX_PENDING_SLASHES).unwrap_or(usize::MAX);
        let mut found: Vec<_> = PendingSlashes::<T>::iter_prefix(provider)
            .take(most)
            .map(|(slash, pending)| SlashInfo { slash, is_due: now >= pending.apply_at, pending })
            .collect();
        found.sort_by_key(|info| info.slash);
        found
    }

    pub(crate) fn view_preview(
        provider: &T::AccountId,
        amount: Balance,
    ) -> Result<DelegationPreview, DelegationRefusal> {
        let stored = Providers::<T>::get(provider).ok_or(DelegationRefusal::NotAProvider)?;
        let mut pool = Pools::<T>::get(provider).ok_or(DelegationRefusal::NotAProvider)?;
        if stored.status != Status::Active {
            return Err(DelegationRefusal::NotActive);
        }
        if pool.pending_slashes > 0 {
            return Err(DelegationRefusal::SlashPending);
        }
        let least = T::MinDelegation::get();
        let shares = pool.active.put(amount).ok_or(DelegationRefusal::TooHigh)?;
        if amount < least || shares == 0 {
            return Err(DelegationRefusal::TooLow { least });
        }
        let worth = pool.active.worth(shares).ok_or(DelegationRefusal::TooHigh)?;
        Ok(DelegationPreview { shares, worth })
    }
}

/// What [`SHARES_OF_ONE_ATT`] of a bucket are worth, whether or not there are so many.
fn share_value(bucket: &Bucket) -> Option<Balance> {
    let shares = bucket.shares.checked_add(VIRTUAL_SHARES)?;
    let balance = bucket.balance.checked_add(VIRTUAL_BALANCE)?;
    multiply_by_rational_with_rounding(SHARES_OF_ONE_ATT, balance, shares, Rounding::Down)
}
