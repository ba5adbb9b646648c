//! Stake comes in, turns to unbonding, and leaves after its time. The one idea: a slash changes a bucket's balance and
//! nobody's shares, so entries of owners only change by their owners' acts.

use attune_primitives::{Balance, BlockNumber};
use frame_support::{
    pallet_prelude::*,
    traits::{
        fungible::MutateHold,
        tokens::{Fortitude, Precision, Preservation, Restriction},
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
        Self::ensure_active(&who)?;
        Self::stake_in(&who, &who, amount)?;
        pool.self_bond = pool.self_bond.checked_add(amount).ok_or(Error::<T>::ArithmeticOverflow)?;
        Pools::<T>::insert(&who, pool);
        Self::deposit_event(Event::SelfBondAdded { provider: who, amount });
        Ok(())
    }

    pub(crate) fn do_unbond_self(who: T::AccountId, amount: Balance) -> DispatchResult {
        ensure!(amount > 0, Error::<T>::ZeroAmount);
        let mut pool = Self::pool(&who)?;
        pool.self_bond = pool.self_bond.checked_sub(amount).ok_or(Error::<T>::SelfBondTooLow)?;
        ensure!(pool.self_bond >= T::MinSelfBond::get(), Error::<T>::SelfBondTooLow);
        let stake = pool.stake().ok_or(Error::<T>::ArithmeticOverflow)?;
        ensure!(stake >= pool.locked, Error::<T>::StakeBacksBonds);
        let unlock_at = Self::begin_unbonding(&mut pool, &who, &who, amount)?;
        Pools::<T>::insert(&who, pool);
        Self::deposit_event(Event::SelfUnbonding { provider: who, amount, unlock_at });
        Ok(())
    }

    pub(crate) fn do_delegate(who: T::AccountId, provider: T::AccountId, amount: Balance) -> DispatchResult {
        ensure!(amount >= T::MinDelegation::get(), Error::<T>::DelegationTooLow);
        ensure!(who != provider, Error::<T>::DelegationToSelf);
        let mut pool = Self::pool(&provider)?;
        Self::ensure_active(&provider)?;
        let mut delegation = Delegations::<T>::get(&provider, &who);
        // Before the new shares come in: they have no part in what was earned before.
        Self::pay_income(&mut pool, &provider, &who, delegation.as_mut())?;
        Self::stake_in(&provider, &who, amount)?;
        let shares = pool.active.put(amount).ok_or(Error::<T>::ArithmeticOverflow)?;
        ensure!(shares > 0, Error::<T>::DelegationTooLow);

        let delegation = match delegation {
            Some(mut old) => {
                old.shares = old.shares.checked_add(shares).ok_or(Error::<T>::ArithmeticOverflow)?;
                old
            }
            None => {
                pool.delegators = pool.delegators.checked_add(1).ok_or(Error::<T>::ArithmeticOverflow)?;
                Delegation { shares, income_checkpoint: pool.income_per_share }
            }
        };
        Delegations::<T>::insert(&provider, &who, delegation);
        Pools::<T>::insert(&provider, pool);
        Self::deposit_event(Event::Delegated { provider, delegator: who, amount, shares });
        Ok(())
    }

    pub(crate) fn do_undelegate(who: T::AccountId, provider: T::AccountId, shares: u128) -> DispatchResult {
        ensure!(shares > 0, Error::<T>::ZeroAmount);
        let mut pool = Self::pool(&provider)?;
        Self::take_delegation(&mut pool, &provider, &who, Some(shares))?;
        Pools::<T>::insert(&provider, pool);
        Ok(())
    }

    /// Moves `shares` of a delegation (all of it if `None`) to unbonding, after paying its income.
    fn take_delegation(
        pool: &mut Pool,
        provider: &T::AccountId,
        who: &T::AccountId,
        shares: Option<u128>,
    ) -> DispatchResult {
        let mut delegation = Delegations::<T>::get(provider, who).ok_or(Error::<T>::NotADelegator)?;
        let shares = shares.unwrap_or(delegation.shares);
        let left = delegation.shares.checked_sub(shares).ok_or(Error::<T>::NotEnoughShares)?;
        Self::pay_income(pool, provider, who, Some(&mut delegation))?;
        let amount = pool.active.take(shares).ok_or(Error::<T>::ArithmeticOverflow)?;
        if left == 0 {
            pool.delegators = pool.delegators.checked_sub(1).ok_or(Error::<T>::ArithmeticOverflow)?;
            Delegations::<T>::remove(provider, who);
        } else {
            let worth = pool.active.worth(left).ok_or(Error::<T>::ArithmeticOverflow)?;
            ensure!(worth >= T::MinDelegation::get(), Error::<T>::DelegationTooLow);
            delegation.shares = left;
            Delegations::<T>::insert(provider, who, delegation);
        }
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

    /// Puts `amount`, which has just left the self-bond or the active bucket, into the unbonding one. Returns the first
    /// block at which it can be withdrawn.
    pub(crate) fn begin_unbonding(
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
        ensure!(Self::pay_unbonded(&mut pool, &provider, &who)?, Error::<T>::NothingToWithdraw);
        Pools::<T>::insert(&provider, pool);
        Ok(())
    }

    /// Pays `owner` all of its chunks whose time is over. False if there are none.
    fn pay_unbonded(
        pool: &mut Pool,
        provider: &T::AccountId,
        owner: &T::AccountId,
    ) -> Result<bool, DispatchError> {
        let now = Self::now();
        let mut chunks = Unbonding::<T>::get(provider, owner);
        let mut shares = 0u128;
        for chunk in chunks.iter().filter(|chunk| chunk.unlock_at <= now) {
            shares = shares.checked_add(chunk.shares).ok_or(Error::<T>::ArithmeticOverflow)?;
        }
        if shares == 0 {
            return Ok(false);
        }
        chunks.retain(|chunk| chunk.unlock_at > now);
        if chunks.is_empty() {
            Unbonding::<T>::remove(provider, owner);
        } else {
            Unbonding::<T>::insert(provider, owner, chunks);
        }

        let amount = pool.unbonding.take(shares).ok_or(Error::<T>::ArithmeticOverflow)?;
        if amount > 0 {
            let total = pool.total().ok_or(Error::<T>::ArithmeticOverflow)?;
            ensure!(total >= pool.locked, Error::<T>::StakeBacksBonds);
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

    pub(crate) fn do_evict(provider: T::AccountId, owner: T::AccountId) -> DispatchResult {
        let mut pool = Self::pool(&provider)?;
        ensure!(Self::ensure_active(&provider).is_err(), Error::<T>::NotExiting);
        // First out, then in: a matured chunk makes room for the new one.
        let paid = Self::pay_unbonded(&mut pool, &provider, &owner)?;
        let delegates = Delegations::<T>::contains_key(&provider, &owner);
        if delegates {
            Self::take_delegation(&mut pool, &provider, &owner, None)?;
        }
        ensure!(paid || delegates, Error::<T>::NothingToEvict);
        Pools::<T>::insert(&provider, pool);
        Ok(())
    }
}
