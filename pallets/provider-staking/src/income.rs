//! Income is shared by one accumulator: the income of a share since the pool began. A delegator's part is the growth
//! since its checkpoint times its shares, so neither a payment nor a claim looks at anyone else.

use attune_primitives::Balance;
use frame_support::{
    pallet_prelude::*,
    traits::{
        fungible::{Mutate, MutateHold},
        tokens::Preservation,
    },
};
use sp_arithmetic::{helpers_128bit::multiply_by_rational_with_rounding, Permill, Rounding};

use crate::*;

impl<T: Config> Pallet<T> {
    /// What `who` can claim of the income of `provider`'s pool, in planck.
    pub fn pending_income(provider: &T::AccountId, who: &T::AccountId) -> Balance {
        let pool = Pools::<T>::get(provider);
        let delegation = Delegations::<T>::get(provider, who);
        pool.zip(delegation)
            .and_then(|(pool, own)| pool.income_since(own.shares, own.income_checkpoint))
            .unwrap_or_default()
    }

    pub(crate) fn do_note_income(
        provider: &T::AccountId,
        amount: Balance,
        commission: Permill,
    ) -> DispatchResult {
        let mut pool = Self::pool(provider)?;
        let to_delegators =
            Self::delegators_part(&pool, amount, commission).ok_or(Error::<T>::ArithmeticOverflow)?;
        if to_delegators > 0 {
            let growth = multiply_by_rational_with_rounding(
                to_delegators,
                INCOME_SCALE,
                pool.active.shares,
                Rounding::Down,
            );
            pool.income_per_share = growth
                .and_then(|growth| pool.income_per_share.checked_add(growth))
                .ok_or(Error::<T>::ArithmeticOverflow)?;
            pool.reserved_income =
                pool.reserved_income.checked_add(to_delegators).ok_or(Error::<T>::ArithmeticOverflow)?;
            Pools::<T>::insert(provider, pool);
        }
        let to_provider = amount.checked_sub(to_delegators).ok_or(Error::<T>::ArithmeticOverflow)?;
        T::Currency::transfer(
            &Self::pool_account_of(provider),
            provider,
            to_provider,
            Preservation::Preserve,
        )?;
        Self::deposit_event(Event::IncomeShared { provider: provider.clone(), to_provider, to_delegators });
        Ok(())
    }

    /// The delegators' part of an income of `amount`: by stake, of what the commission leaves, rounded down.
    fn delegators_part(pool: &Pool, amount: Balance, commission: Permill) -> Option<Balance> {
        if pool.active.balance == 0 {
            return Some(0);
        }
        let shared = amount.checked_sub(commission.mul_floor(amount))?;
        multiply_by_rational_with_rounding(shared, pool.active.balance, pool.stake()?, Rounding::Down)
    }

    /// Takes what a delegator has earned off the books, moves its checkpoint on, and returns it.
    fn take_income(
        pool: &mut Pool,
        delegation: &mut Delegation<T::AccountId>,
    ) -> Result<Balance, DispatchError> {
        let amount = pool
            .income_since(delegation.shares, delegation.income_checkpoint)
            .ok_or(Error::<T>::ArithmeticOverflow)?;
        delegation.income_checkpoint = pool.income_per_share;
        pool.reserved_income =
            pool.reserved_income.checked_sub(amount).ok_or(Error::<T>::ArithmeticOverflow)?;
        Ok(amount)
    }

    /// Pays a delegator what it has earned and moves its checkpoint on. Returns what it paid.
    pub(crate) fn pay_income(
        pool: &mut Pool,
        provider: &T::AccountId,
        who: &T::AccountId,
        delegation: &mut Delegation<T::AccountId>,
    ) -> Result<Balance, DispatchError> {
        let amount = Self::take_income(pool, delegation)?;
        if amount > 0 {
            T::Currency::transfer(&Self::pool_account_of(provider), who, amount, Preservation::Preserve)?;
            Self::deposit_event(Event::IncomeClaimed {
                provider: provider.clone(),
                delegator: who.clone(),
                amount,
            });
        }
        Ok(amount)
    }

    pub(crate) fn do_claim_income(who: T::AccountId, provider: T::AccountId) -> DispatchResult {
        let mut pool = Self::pool(&provider)?;
        let mut delegation = Delegations::<T>::get(&provider, &who).ok_or(Error::<T>::NotADelegator)?;
        let paid = Self::pay_income(&mut pool, &provider, &who, &mut delegation)?;
        ensure!(paid > 0, Error::<T>::NothingToClaim);
        Delegations::<T>::insert(&provider, &who, delegation);
        Pools::<T>::insert(&provider, pool);
        Ok(())
    }

    pub(crate) fn do_set_auto_compound(
        who: T::AccountId,
        provider: T::AccountId,
        enabled: bool,
    ) -> DispatchResult {
        Delegations::<T>::try_mutate(&provider, &who, |slot| {
            slot.as_mut().ok_or(Error::<T>::NotADelegator)?.auto_compound = enabled;
            Ok::<_, DispatchError>(())
        })?;
        Self::deposit_event(Event::AutoCompoundSet { provider, delegator: who, enabled });
        Ok(())
    }

    /// Turns a delegator's income into shares. The money is on the pool account already; it only goes on hold.
    pub(crate) fn do_compound(
        caller: T::AccountId,
        provider: T::AccountId,
        who: T::AccountId,
    ) -> DispatchResult {
        let delegation = Delegations::<T>::get(&provider, &who).ok_or(Error::<T>::NotADelegator)?;
        ensure!(caller == who || delegation.auto_compound, Error::<T>::NotAutoCompound);
        let Compounded { pool, delegation, amount, shares } = Self::compounded(&provider, delegation)?;
        T::Currency::hold(&HoldReason::Pool.into(), &Self::pool_account_of(&provider), amount)?;
        Delegations::<T>::insert(&provider, &who, delegation);
        Pools::<T>::insert(&provider, pool);
        Self::tell_stake(&provider);
        Self::deposit_event(Event::IncomeCompounded { provider, delegator: who, amount, shares });
        Ok(())
    }

    /// What a delegation and its pool are once its income is shares; writes nothing. The call and whoever asks whether it
    /// is due find the same, so that a push that is free never fails.
    pub(crate) fn compounded(
        provider: &T::AccountId,
        mut delegation: Delegation<T::AccountId>,
    ) -> Result<Compounded<T::AccountId>, DispatchError> {
        Self::ensure_takes_stake(provider)?;
        let mut pool = Self::pool(provider)?;
        let amount = Self::take_income(&mut pool, &mut delegation)?;
        ensure!(amount >= T::MinDelegation::get(), Error::<T>::IncomeTooLow);
        let shares = Self::put_shares(&mut pool, &mut delegation, amount)?;
        Ok(Compounded { pool, delegation, amount, shares })
    }
}

/// What [`Pallet::compounded`] finds.
pub(crate) struct Compounded<AccountId> {
    /// The pool with the income as stake.
    pool: Pool,
    /// The delegation with the shares.
    delegation: Delegation<AccountId>,
    /// The income, in planck.
    pub(crate) amount: Balance,
    /// The shares that it bought.
    shares: u128,
}
