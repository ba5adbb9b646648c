//! Bonds of jobs. A bond moves no money: it is a claim on the pool, and the sum of the claims bounds what the pool may
//! take on and what may leave it.

use attune_primitives::{Balance, JobId};
use frame_support::{defensive, pallet_prelude::*};

use crate::*;

impl<T: Config> Pallet<T> {
    pub(crate) fn do_lock_bond(provider: &T::AccountId, job: JobId, amount: Balance) -> DispatchResult {
        let mut pool = Self::pool(provider)?;
        Self::ensure_active(provider)?;
        ensure!(pool.self_bond >= T::MinSelfBond::get(), Error::<T>::SelfBondTooLow);
        ensure!(!Bonds::<T>::contains_key(provider, job), Error::<T>::BondExists);
        pool.locked = pool.locked.checked_add(amount).ok_or(Error::<T>::ArithmeticOverflow)?;
        ensure!(Self::is_backed(&pool)?, Error::<T>::NotEnoughStake);
        pool.bonds = pool.bonds.checked_add(1).ok_or(Error::<T>::ArithmeticOverflow)?;
        Pools::<T>::insert(provider, pool);
        Bonds::<T>::insert(provider, job, amount);
        Self::deposit_event(Event::BondLocked { provider: provider.clone(), job, amount });
        Ok(())
    }

    /// True if the stake that is not leaving can answer for all bonds and pending slashes.
    pub(crate) fn is_backed(pool: &Pool) -> Result<bool, DispatchError> {
        let backing = pool.backing(T::DelegatorLossCap::get()).ok_or(Error::<T>::ArithmeticOverflow)?;
        Ok(backing >= pool.locked)
    }

    /// True if all that is in the pool can answer for all bonds and pending slashes.
    pub(crate) fn is_covered(pool: &Pool) -> Result<bool, DispatchError> {
        let coverage = pool.coverage(T::DelegatorLossCap::get()).ok_or(Error::<T>::ArithmeticOverflow)?;
        Ok(coverage >= pool.locked)
    }

    pub(crate) fn do_release_bond(provider: &T::AccountId, job: JobId) {
        if let Some(amount) = Self::free_bond(provider, job) {
            Self::deposit_event(Event::BondReleased { provider: provider.clone(), job, amount });
        }
    }

    /// Deletes a bond and returns it.
    pub(crate) fn free_bond(provider: &T::AccountId, job: JobId) -> Option<Balance> {
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
}
