//! What is due: pushes that anyone may make, and that cost nothing if they do their work now.
//!
//! One idea: a push is free exactly when it succeeds, and its success ends what made it due. A second copy finds nothing
//! due and is charged. Each answer reads no more than the call reads anyway, so the calls' weights hold it.

use attune_primitives::Balance;
use frame_support::traits::Get;

use crate::*;

impl<T: Config> Pallet<T> {
    /// True if [`Call::apply_slash`] would apply the slash now.
    pub fn is_slash_due(provider: &T::AccountId, slash: SlashId) -> bool {
        PendingSlashes::<T>::get(provider, slash).is_some_and(|slash| Self::now() >= slash.apply_at)
    }

    /// True if [`Call::settle_lien`] would charge the delegation or end its lien now.
    pub fn is_lien_due(provider: &T::AccountId, delegator: &T::AccountId) -> bool {
        let lien = Delegations::<T>::get(provider, delegator).and_then(|delegation| delegation.lien);
        lien.is_some_and(|lien| {
            Pools::<T>::get(&lien.from).is_some_and(|old| {
                let is_over = Self::is_free(&lien.from, &old, lien.until);
                is_over || old.survival < lien.survival
            })
        })
    }

    /// True if [`Call::compound`] by `caller`, who is not the delegator, would turn income worth a free push into shares
    /// now.
    ///
    /// What a push moves is bound for [`Config::UnbondingBlocks`] afterwards, and only new income makes the same push due
    /// again. So however income is split among delegations, pools and blocks, there is at most one free push for each
    /// [`Config::AutoCompoundMin`] that delegators have earned and left in the pool.
    pub fn is_compound_due(caller: &T::AccountId, provider: &T::AccountId, delegator: &T::AccountId) -> bool {
        caller != delegator
            && Delegations::<T>::get(provider, delegator)
                .is_some_and(|delegation| Self::due_income(provider, delegation).is_some())
    }

    /// What somebody else's push of a delegation's income would turn into shares for nothing, in planck.
    pub(crate) fn due_income(
        provider: &T::AccountId,
        delegation: Delegation<T::AccountId>,
    ) -> Option<Balance> {
        if !delegation.auto_compound {
            return None;
        }
        let amount = Self::compounded(provider, delegation).ok()?.amount;
        (amount >= T::AutoCompoundMin::get()).then_some(amount)
    }

    /// True if [`Call::deregister`] would delete the provider now.
    pub fn is_deregistration_due(provider: &T::AccountId) -> bool {
        Self::deregistrable(provider).is_ok()
    }
}
