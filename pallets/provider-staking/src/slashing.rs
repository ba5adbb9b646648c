//! Bonds of jobs, and what happens to them. A bond moves no money: it is a claim on the pool, and the sum of the claims
//! bounds what the pool may take on and what may leave it.

use attune_primitives::{traits::Slashed, Balance, JobId};
use frame_support::{
    defensive,
    pallet_prelude::*,
    storage::with_storage_layer,
    traits::{
        fungible::MutateHold,
        tokens::{Fortitude, Precision, Restriction},
    },
};
use sp_arithmetic::{helpers_128bit::multiply_by_rational_with_rounding, Permill, Rounding};

use crate::*;

/// What a slash takes from each part of a pool.
struct Cut {
    self_bond: Balance,
    active: Balance,
    unbonding: Balance,
}

impl<T: Config> Pallet<T> {
    pub(crate) fn do_lock_bond(provider: &T::AccountId, job: JobId, amount: Balance) -> DispatchResult {
        let mut pool = Self::pool(provider)?;
        Self::ensure_active(provider)?;
        ensure!(pool.self_bond >= T::MinSelfBond::get(), Error::<T>::SelfBondTooLow);
        ensure!(!Bonds::<T>::contains_key(provider, job), Error::<T>::BondExists);
        let locked = pool.locked.checked_add(amount).ok_or(Error::<T>::ArithmeticOverflow)?;
        let stake = pool.stake().ok_or(Error::<T>::ArithmeticOverflow)?;
        ensure!(stake >= locked, Error::<T>::NotEnoughStake);
        pool.locked = locked;
        pool.bonds = pool.bonds.checked_add(1).ok_or(Error::<T>::ArithmeticOverflow)?;
        Pools::<T>::insert(provider, pool);
        Bonds::<T>::insert(provider, job, amount);
        Self::deposit_event(Event::BondLocked { provider: provider.clone(), job, amount });
        Ok(())
    }

    pub(crate) fn do_release_bond(provider: &T::AccountId, job: JobId) {
        if let Some(amount) = Self::free_bond(provider, job) {
            Self::deposit_event(Event::BondReleased { provider: provider.clone(), job, amount });
        }
    }

    /// Deletes a bond and returns it.
    fn free_bond(provider: &T::AccountId, job: JobId) -> Option<Balance> {
        let bond = Bonds::<T>::take(provider, job)?;
        Pools::<T>::mutate(provider, |slot| {
            let freed = slot.as_mut().and_then(|pool| {
                pool.locked = pool.locked.checked_sub(bond)?;
                pool.bonds = pool.bonds.checked_sub(1)?;
                Some(())
            });
            if freed.is_none() {
                defensive!("a pool's locked sum and count are those of its bonds");
            }
        });
        Some(bond)
    }

    pub(crate) fn do_slash_bond(
        provider: &T::AccountId,
        job: JobId,
        part: Permill,
        customer: &T::AccountId,
        compensation: Balance,
    ) -> Slashed {
        let Some(bond) = Self::free_bond(provider, job) else { return Slashed::default() };
        let wanted = part.mul_ceil(bond);
        with_storage_layer(|| Self::try_slash(provider, job, wanted, customer, compensation)).unwrap_or_else(
            |_| {
                defensive!("what is in the pool's books is on hold, and can be taken");
                Slashed::default()
            },
        )
    }

    /// Takes up to `wanted` out of the pool, pays up to `compensation` of it to `customer` and burns the rest.
    fn try_slash(
        provider: &T::AccountId,
        job: JobId,
        wanted: Balance,
        customer: &T::AccountId,
        compensation: Balance,
    ) -> Result<Slashed, DispatchError> {
        let mut pool = Self::pool(provider)?;
        let cut = Self::cut(&mut pool, wanted).ok_or(Error::<T>::ArithmeticOverflow)?;
        let taken = cut
            .self_bond
            .checked_add(cut.active)
            .and_then(|sum| sum.checked_add(cut.unbonding))
            .ok_or(Error::<T>::ArithmeticOverflow)?;
        Pools::<T>::insert(provider, pool);

        let account = Self::pool_account_of(provider);
        let reason = HoldReason::Pool.into();
        // A customer that can't receive gets nothing; its part is burned, and the slash still stands.
        let compensated = with_storage_layer(|| {
            T::Currency::transfer_on_hold(
                &reason,
                &account,
                customer,
                taken.min(compensation),
                Precision::Exact,
                Restriction::Free,
                Fortitude::Force,
            )
        })
        .unwrap_or_default();
        let rest = taken.checked_sub(compensated).ok_or(Error::<T>::ArithmeticOverflow)?;
        let burned = T::Currency::burn_held(&reason, &account, rest, Precision::Exact, Fortitude::Force)?;

        Self::deposit_event(Event::Slashed {
            provider: provider.clone(),
            job,
            from_self_bond: cut.self_bond,
            from_active: cut.active,
            from_unbonding: cut.unbonding,
            compensated,
            burned,
        });
        Self::close_if_ruined(provider, &pool)?;
        Ok(Slashed { taken, compensated, burned })
    }

    /// Takes up to `wanted` out of the books: the self-bond first, then active and unbonding stake in proportion.
    fn cut(pool: &mut Pool, wanted: Balance) -> Option<Cut> {
        let self_bond = wanted.min(pool.self_bond);
        let delegated = pool.active.balance.checked_add(pool.unbonding.balance)?;
        let rest = wanted.checked_sub(self_bond)?.min(delegated);
        let active = match delegated {
            0 => 0,
            _ => multiply_by_rational_with_rounding(rest, pool.active.balance, delegated, Rounding::Up)?,
        };
        let unbonding = rest.checked_sub(active)?;
        pool.self_bond = pool.self_bond.checked_sub(self_bond)?;
        pool.active.balance = pool.active.balance.checked_sub(active)?;
        pool.unbonding.balance = pool.unbonding.balance.checked_sub(unbonding)?;
        Some(Cut { self_bond, active, unbonding })
    }

    fn close_if_ruined(provider: &T::AccountId, pool: &Pool) -> DispatchResult {
        if !pool.active.is_ruined() && !pool.unbonding.is_ruined() {
            return Ok(());
        }
        Self::change(provider, |stored| {
            if stored.status == Status::Active {
                stored.status = Status::Exiting;
                Self::deposit_event(Event::ExitBegun { provider: provider.clone(), ruined: true });
            }
            Ok(())
        })
    }
}
