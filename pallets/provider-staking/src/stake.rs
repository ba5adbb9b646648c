//! Stake comes in, turns to unbonding, and leaves after its time. The one idea: a slash changes a bucket's balance and
//! nobody's shares, so entries of owners only change by their owners' acts.

use attune_primitives::{Balance, BlockNumber};
use frame_support::{
    pallet_prelude::*,
    traits::{
        fungible::MutateHold,
        tokens::{Fortitude, Precision, Preservation, Restriction},
        ConstU32,
    },
};

use crate::*;

impl<T: Config> Pallet<T> {
    /// Moves `amount` from `from` to the pool account, under hold.
    pub(crate) fn stake_in(provider: &T::AccountId, from: &T::AccountId, amount: Balance) -> DispatchResult {
        T::Currency::transfer_and_hold(
            &HoldReason::Pool.into(),
            from,
            &Self::pool_account_of(provider),
            amount,
            Precision::Exact,
            Preservation::Preserve,
            Fortitude::Polite,
        )?;
        Ok(())
    }

    pub(crate) fn do_bond_more(who: T::AccountId, amount: Balance) -> DispatchResult {
        ensure!(amount > 0, Error::<T>::ZeroAmount);
        let mut pool = Self::pool(&who)?;
        // A chilled one may: it has to, to come back after a slash.
        let stored = Providers::<T>::get(&who).ok_or(Error::<T>::NotAProvider)?;
        ensure!(stored.status != Status::Exiting, Error::<T>::NotActive);
        Self::stake_in(&who, &who, amount)?;
        pool.self_bond = pool.self_bond.checked_add(amount).ok_or(Error::<T>::ArithmeticOverflow)?;
        Pools::<T>::insert(&who, pool);
        Self::tell_stake(&who);
        Self::deposit_event(Event::SelfBondAdded { provider: who, amount });
        Ok(())
    }

    pub(crate) fn do_unbond_self(who: T::AccountId, amount: Balance) -> DispatchResult {
        ensure!(amount > 0, Error::<T>::ZeroAmount);
        let mut pool = Self::pool(&who)?;
        pool.self_bond = pool.self_bond.checked_sub(amount).ok_or(Error::<T>::SelfBondTooLow)?;
        ensure!(pool.self_bond >= T::MinSelfBond::get(), Error::<T>::SelfBondTooLow);
        ensure!(Self::is_backed(&pool)?, Error::<T>::StakeBacksBonds);
        let unlock_at = Self::begin_self_unbonding(&mut pool, &who, amount)?;
        Pools::<T>::insert(&who, pool);
        Self::tell_stake(&who);
        Self::deposit_event(Event::SelfUnbonding { provider: who, amount, unlock_at });
        Ok(())
    }

    pub(crate) fn do_delegate(who: T::AccountId, provider: T::AccountId, amount: Balance) -> DispatchResult {
        ensure!(amount >= T::MinDelegation::get(), Error::<T>::DelegationTooLow);
        ensure!(who != provider, Error::<T>::DelegationToSelf);
        Self::ensure_takes_stake(&provider)?;
        let mut pool = Self::pool(&provider)?;
        let mut delegation = Self::open_delegation(&mut pool, &provider, &who)?;
        Self::stake_in(&provider, &who, amount)?;
        let shares = Self::put_shares(&mut pool, &mut delegation, amount)?;
        Delegations::<T>::insert(&provider, &who, delegation);
        Pools::<T>::insert(&provider, pool);
        Self::tell_stake(&provider);
        Self::deposit_event(Event::Delegated { provider, delegator: who, amount, shares });
        Ok(())
    }

    /// The delegation of `who`, with its income paid and its lien settled, or a new one without shares. To be called
    /// before new shares come in: they have no part in what was earned before, nor in what is to be paid for it.
    pub(crate) fn open_delegation(
        pool: &mut Pool,
        provider: &T::AccountId,
        who: &T::AccountId,
    ) -> Result<Delegation<T::AccountId>, DispatchError> {
        match Delegations::<T>::get(provider, who) {
            Some(mut delegation) => {
                Self::pay_income(pool, provider, who, &mut delegation)?;
                Self::charge_lien(pool, provider, who, &mut delegation)?;
                Ok(delegation)
            }
            None => {
                pool.delegators = pool.delegators.checked_add(1).ok_or(Error::<T>::ArithmeticOverflow)?;
                Ok(Delegation {
                    shares: 0,
                    income_checkpoint: pool.income_per_share,
                    auto_compound: false,
                    lien: None,
                })
            }
        }
    }

    /// Buys shares for `amount`, which is on hold on the pool account already. Returns them.
    pub(crate) fn put_shares(
        pool: &mut Pool,
        delegation: &mut Delegation<T::AccountId>,
        amount: Balance,
    ) -> Result<u128, DispatchError> {
        let shares = pool.active.put(amount).ok_or(Error::<T>::ArithmeticOverflow)?;
        ensure!(shares > 0, Error::<T>::DelegationTooLow);
        delegation.shares = delegation.shares.checked_add(shares).ok_or(Error::<T>::ArithmeticOverflow)?;
        Ok(shares)
    }

    pub(crate) fn do_undelegate(who: T::AccountId, provider: T::AccountId, shares: u128) -> DispatchResult {
        ensure!(shares > 0, Error::<T>::ZeroAmount);
        let mut pool = Self::pool(&provider)?;
        Self::undelegate_shares(&mut pool, &provider, &who, Some(shares))?;
        Pools::<T>::insert(&provider, pool);
        Self::tell_stake(&provider);
        Ok(())
    }

    /// Takes `shares` (all if `None`) out of a delegation and the active bucket, after paying its income and settling
    /// its lien. Returns what they were worth, and the shares.
    pub(crate) fn take_shares(
        pool: &mut Pool,
        provider: &T::AccountId,
        who: &T::AccountId,
        shares: Option<u128>,
    ) -> Result<(Balance, u128), DispatchError> {
        let mut delegation = Delegations::<T>::get(provider, who).ok_or(Error::<T>::NotADelegator)?;
        Self::pay_income(pool, provider, who, &mut delegation)?;
        Self::charge_lien(pool, provider, who, &mut delegation)?;
        let shares = shares.unwrap_or(delegation.shares);
        let left = delegation.shares.checked_sub(shares).ok_or(Error::<T>::NotEnoughShares)?;
        let bound = delegation.lien.as_ref().map_or(0, |lien| lien.shares);
        ensure!(left >= bound, Error::<T>::LienOpen);
        let amount = pool.active.take(shares).ok_or(Error::<T>::ArithmeticOverflow)?;
        if left == 0 {
            Self::forget_delegation(pool, provider, who)?;
        } else {
            let worth = pool.active.worth(left).ok_or(Error::<T>::ArithmeticOverflow)?;
            ensure!(worth >= T::MinDelegation::get(), Error::<T>::DelegationTooLow);
            delegation.shares = left;
            Delegations::<T>::insert(provider, who, delegation);
        }
        Ok((amount, shares))
    }

    /// Deletes a delegation without shares.
    pub(crate) fn forget_delegation(
        pool: &mut Pool,
        provider: &T::AccountId,
        who: &T::AccountId,
    ) -> DispatchResult {
        pool.delegators = pool.delegators.checked_sub(1).ok_or(Error::<T>::ArithmeticOverflow)?;
        Delegations::<T>::remove(provider, who);
        Ok(())
    }

    /// Moves `shares` of a delegation (all of it if `None`) to unbonding.
    fn undelegate_shares(
        pool: &mut Pool,
        provider: &T::AccountId,
        who: &T::AccountId,
        shares: Option<u128>,
    ) -> DispatchResult {
        let (amount, shares) = Self::take_shares(pool, provider, who, shares)?;
        let unlock_at = Self::begin_unbonding(pool, provider, who, amount)?;
        Self::deposit_event(Event::Undelegated {
            provider: provider.clone(),
            delegator: who.clone(),
            amount,
            shares,
            unlock_at,
        });
        Ok(())
    }

    /// Puts `amount`, which has just left the self-bond, to what is on its way out. Returns the first block at which it
    /// can be withdrawn: later than a delegator's if the provider is absent.
    pub(crate) fn begin_self_unbonding(
        pool: &mut Pool,
        provider: &T::AccountId,
        amount: Balance,
    ) -> Result<BlockNumber, DispatchError> {
        let absence = if Self::is_absent(provider) { T::AbsenceLock::get() } else { 0 };
        let unlock_at = Self::now()
            .checked_add(T::UnbondingBlocks::get())
            .and_then(|at| at.checked_add(absence))
            .ok_or(Error::<T>::ArithmeticOverflow)?;
        pool.self_unbonding =
            pool.self_unbonding.checked_add(amount).ok_or(Error::<T>::ArithmeticOverflow)?;
        // What left while the provider was absent may be locked longer than what leaves now.
        SelfUnbonding::<T>::try_mutate(provider, |chunks| {
            match chunks.binary_search_by_key(&unlock_at, |chunk| chunk.unlock_at) {
                Ok(place) => {
                    let same = chunks.get_mut(place).ok_or(Error::<T>::ArithmeticOverflow)?;
                    same.amount = same.amount.checked_add(amount).ok_or(Error::<T>::ArithmeticOverflow)?;
                    Ok(())
                }
                Err(place) => chunks
                    .try_insert(place, SelfChunk { amount, unlock_at })
                    .map_err(|_| Error::<T>::TooManyUnbonding),
            }
        })?;
        Ok(unlock_at)
    }

    /// Puts `amount`, which has just left the active bucket, into the unbonding one. Returns the first block at which it
    /// can be withdrawn.
    fn begin_unbonding(
        pool: &mut Pool,
        provider: &T::AccountId,
        owner: &T::AccountId,
        amount: Balance,
    ) -> Result<BlockNumber, DispatchError> {
        let unlock_at =
            Self::now().checked_add(T::UnbondingBlocks::get()).ok_or(Error::<T>::ArithmeticOverflow)?;
        let shares = pool.unbonding.put(amount).ok_or(Error::<T>::ArithmeticOverflow)?;
        if shares == 0 {
            return Ok(unlock_at);
        }
        Unbonding::<T>::try_mutate(provider, owner, |chunks| {
            match chunks.last_mut().filter(|last| last.unlock_at == unlock_at) {
                Some(last) => {
                    last.shares = last.shares.checked_add(shares).ok_or(Error::<T>::ArithmeticOverflow)?;
                    Ok(())
                }
                None => chunks
                    .try_push(UnbondingChunk { shares, unlock_at })
                    .map_err(|_| Error::<T>::TooManyUnbonding),
            }
        })?;
        Ok(unlock_at)
    }

    pub(crate) fn do_withdraw(who: T::AccountId, provider: T::AccountId) -> DispatchResult {
        let mut pool = Self::pool(&provider)?;
        let paid = Self::pay_unbonded(&mut pool, &provider, &who)?;
        ensure!(paid, Self::why_nothing(&provider, &who, Error::<T>::NothingToWithdraw));
        Pools::<T>::insert(&provider, pool);
        Ok(())
    }

    /// Why `owner` gets nothing out: a slash holds what is due, or there is nothing, which is `nothing`.
    fn why_nothing(provider: &T::AccountId, owner: &T::AccountId, nothing: Error<T>) -> Error<T> {
        let first = if owner == provider {
            SelfUnbonding::<T>::get(provider).first().map(|chunk| chunk.unlock_at)
        } else {
            Unbonding::<T>::get(provider, owner).first().map(|chunk| chunk.unlock_at)
        };
        match first.is_some_and(|unlock_at| unlock_at <= Self::now()) {
            true => Error::<T>::SlashPending,
            false => nothing,
        }
    }

    /// Pays `owner` all of its stake whose time is over and which no pending slash holds. False if there is none. Of the
    /// provider's own stake any slash holds all: were it gone when the slash acts, the delegators would pay its part.
    fn pay_unbonded(
        pool: &mut Pool,
        provider: &T::AccountId,
        owner: &T::AccountId,
    ) -> Result<bool, DispatchError> {
        let due = if owner != provider {
            let until = Self::free_until(provider, pool);
            Self::take_due_shares(pool, provider, owner, until)?
        } else if pool.pending_slashes == 0 {
            Self::take_due_self_bond(pool, provider)?
        } else {
            None
        };
        let Some(amount) = due else { return Ok(false) };
        if amount > 0 {
            ensure!(Self::is_covered(pool)?, Error::<T>::StakeBacksBonds);
            T::Currency::transfer_on_hold(
                &HoldReason::Pool.into(),
                &Self::pool_account_of(provider),
                owner,
                amount,
                Precision::Exact,
                Restriction::Free,
                Fortitude::Force,
            )?;
        }
        Self::deposit_event(Event::Withdrawn { provider: provider.clone(), owner: owner.clone(), amount });
        Ok(true)
    }

    /// A delegator's stake that unlocks up to this block is free.
    pub(crate) fn free_until(provider: &T::AccountId, pool: &Pool) -> BlockNumber {
        let now = Self::now();
        Self::oldest_slash(provider, pool).map_or(now, |booked| booked.min(now))
    }

    /// Takes a delegator's chunks that unlock up to block `until` off the books. Returns what they are worth; `None` if
    /// there are none.
    fn take_due_shares(
        pool: &mut Pool,
        provider: &T::AccountId,
        owner: &T::AccountId,
        until: BlockNumber,
    ) -> Result<Option<Balance>, DispatchError> {
        let mut chunks = Unbonding::<T>::get(provider, owner);
        let mut shares = 0u128;
        for chunk in chunks.iter().filter(|chunk| chunk.unlock_at <= until) {
            shares = shares.checked_add(chunk.shares).ok_or(Error::<T>::ArithmeticOverflow)?;
        }
        if shares == 0 {
            return Ok(None);
        }
        chunks.retain(|chunk| chunk.unlock_at > until);
        if chunks.is_empty() {
            Unbonding::<T>::remove(provider, owner);
        } else {
            Unbonding::<T>::insert(provider, owner, chunks);
        }
        pool.unbonding.take(shares).map(Some).ok_or(Error::<T>::ArithmeticOverflow.into())
    }

    /// The same for the provider's own stake, up to now.
    fn take_due_self_bond(
        pool: &mut Pool,
        provider: &T::AccountId,
    ) -> Result<Option<Balance>, DispatchError> {
        let now = Self::now();
        let mut chunks = SelfUnbonding::<T>::get(provider);
        let mut amount: Balance = 0;
        for chunk in chunks.iter().filter(|chunk| chunk.unlock_at <= now) {
            amount = amount.checked_add(chunk.amount).ok_or(Error::<T>::ArithmeticOverflow)?;
        }
        if amount == 0 {
            return Ok(None);
        }
        chunks.retain(|chunk| chunk.unlock_at > now);
        Self::store_self_chunks(provider, chunks);
        pool.self_unbonding =
            pool.self_unbonding.checked_sub(amount).ok_or(Error::<T>::ArithmeticOverflow)?;
        Ok(Some(amount))
    }

    pub(crate) fn store_self_chunks(
        provider: &T::AccountId,
        chunks: BoundedVec<SelfChunk, ConstU32<MAX_UNBONDING>>,
    ) {
        if chunks.is_empty() {
            SelfUnbonding::<T>::remove(provider);
        } else {
            SelfUnbonding::<T>::insert(provider, chunks);
        }
    }

    pub(crate) fn do_evict(provider: T::AccountId, owner: T::AccountId) -> DispatchResult {
        let stored = Providers::<T>::get(&provider).ok_or(Error::<T>::NotAProvider)?;
        ensure!(stored.status == Status::Exiting, Error::<T>::NotExiting);
        let mut pool = Self::pool(&provider)?;
        // First out, then in: a matured chunk makes room for the new one. What a slash holds stays, but the delegation
        // still begins to leave.
        let delegates = Delegations::<T>::contains_key(&provider, &owner);
        let paid = Self::pay_unbonded(&mut pool, &provider, &owner)?;
        if delegates {
            Self::undelegate_shares(&mut pool, &provider, &owner, None)?;
        }
        ensure!(paid || delegates, Self::why_nothing(&provider, &owner, Error::<T>::NothingToEvict));
        Pools::<T>::insert(&provider, pool);
        Self::tell_stake(&provider);
        Ok(())
    }
}
