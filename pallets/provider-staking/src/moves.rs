//! Stake that moves from one provider to another without unbonding. The one idea: it keeps answering for the old
//! provider. The old pool remembers what a delegated planck has survived there; a lien remembers that number as it was
//! at the move, and what it has fallen by since is what the moved stake still has to pay. Neither a slash nor a move
//! looks at anyone else.

use attune_primitives::Balance;
use frame_support::{
    pallet_prelude::*,
    storage::with_storage_layer,
    traits::{
        fungible::MutateHold,
        tokens::{Fortitude, Precision, Restriction},
    },
};
use sp_arithmetic::{helpers_128bit::multiply_by_rational_with_rounding, Rounding};

use crate::*;

impl<T: Config> Pallet<T> {
    pub(crate) fn do_redelegate(
        who: T::AccountId,
        from: T::AccountId,
        to: T::AccountId,
        shares: u128,
    ) -> DispatchResult {
        ensure!(shares > 0, Error::<T>::ZeroAmount);
        ensure!(from != to, Error::<T>::SameProvider);
        ensure!(who != to, Error::<T>::DelegationToSelf);
        Self::ensure_takes_stake(&to)?;

        // Each pool is written before the next is read: settling a lien on the way may change either.
        let mut old = Self::pool(&from)?;
        ensure!(old.pending_slashes == 0, Error::<T>::SlashPending);
        let (amount, shares_from) = Self::take_shares(&mut old, &from, &who, Some(shares))?;
        ensure!(amount >= T::MinDelegation::get(), Error::<T>::DelegationTooLow);
        ensure!(Self::is_covered(&old)?, Error::<T>::StakeBacksBonds);
        Pools::<T>::insert(&from, old);
        T::Currency::transfer_on_hold(
            &HoldReason::Pool.into(),
            &Self::pool_account_of(&from),
            &Self::pool_account_of(&to),
            amount,
            Precision::Exact,
            Restriction::OnHold,
            Fortitude::Force,
        )?;

        let mut new = Self::pool(&to)?;
        let mut delegation = Self::open_delegation(&mut new, &to, &who)?;
        ensure!(delegation.lien.is_none(), Error::<T>::LienOpen);
        let shares_to = Self::put_shares(&mut new, &mut delegation, amount)?;
        let mut old = Self::pool(&from)?;
        old.moved = old.moved.checked_add(amount).ok_or(Error::<T>::ArithmeticOverflow)?;
        let until =
            Self::now().checked_add(T::UnbondingBlocks::get()).ok_or(Error::<T>::ArithmeticOverflow)?;
        delegation.lien =
            Some(Lien { from: from.clone(), amount, shares: shares_to, survival: old.survival, until });
        Pools::<T>::insert(&from, old);
        Pools::<T>::insert(&to, new);
        Delegations::<T>::insert(&to, &who, delegation);
        Self::deposit_event(Event::Redelegated {
            from: from.clone(),
            to: to.clone(),
            delegator: who,
            amount,
            shares_from,
            shares_to,
            lien_until: until,
        });
        Self::tell_stake(&from);
        Self::tell_stake(&to);
        Ok(())
    }

    pub(crate) fn do_settle_lien(provider: T::AccountId, who: T::AccountId) -> DispatchResult {
        let mut pool = Self::pool(&provider)?;
        let mut delegation = Delegations::<T>::get(&provider, &who).ok_or(Error::<T>::NotADelegator)?;
        let before = delegation.lien.clone();
        ensure!(before.is_some(), Error::<T>::NoLien);
        Self::charge_lien(&mut pool, &provider, &who, &mut delegation)?;
        ensure!(delegation.lien != before, Error::<T>::LienOpen);
        if delegation.shares == 0 {
            Self::forget_delegation(&mut pool, &provider, &who)?;
        } else {
            Delegations::<T>::insert(&provider, &who, delegation);
        }
        Pools::<T>::insert(&provider, pool);
        Self::tell_stake(&provider);
        Ok(())
    }

    /// Charges a delegation what the slashes of its old provider cost it since the lien was last settled, and ends the
    /// lien if its time is over and no slash of that provider holds it. Writes the old pool; the caller writes the
    /// new one and the delegation, whose shares may be 0 then.
    pub(crate) fn charge_lien(
        pool: &mut Pool,
        provider: &T::AccountId,
        who: &T::AccountId,
        delegation: &mut Delegation<T::AccountId>,
    ) -> DispatchResult {
        let Some(mut lien) = delegation.lien.clone() else { return Ok(()) };
        let mut old = Self::pool(&lien.from)?;
        let lost = Self::lien_loss(&lien, &old).ok_or(Error::<T>::ArithmeticOverflow)?;
        if lost > 0 {
            Self::try_pay_income(pool, provider, who, delegation);
            let amount = pool.active.take(lost).ok_or(Error::<T>::ArithmeticOverflow)?;
            delegation.shares = delegation.shares.checked_sub(lost).ok_or(Error::<T>::ArithmeticOverflow)?;
            lien.shares = lien.shares.checked_sub(lost).ok_or(Error::<T>::ArithmeticOverflow)?;
            Self::sink_from_hold(provider, amount)?;
            Self::deposit_event(Event::LienCharged {
                from: lien.from.clone(),
                provider: provider.clone(),
                delegator: who.clone(),
                amount,
                shares: lost,
            });
        }
        lien.survival = old.survival;
        let over = Self::is_free(&lien.from, &old, lien.until);
        if over || lien.shares == 0 {
            old.moved = old.moved.checked_sub(lien.amount).ok_or(Error::<T>::ArithmeticOverflow)?;
            Pools::<T>::insert(&lien.from, old);
            delegation.lien = None;
            Self::deposit_event(Event::LienEnded {
                from: lien.from,
                provider: provider.clone(),
                delegator: who.clone(),
            });
        } else {
            delegation.lien = Some(lien);
        }
        Ok(())
    }

    /// The shares that a lien has to pay, rounded up.
    fn lien_loss(lien: &Lien<T::AccountId>, old: &Pool) -> Option<u128> {
        let fallen = lien.survival.checked_sub(old.survival)?;
        if fallen == 0 {
            return Some(0);
        }
        multiply_by_rational_with_rounding(lien.shares, fallen, lien.survival, Rounding::Up)
    }

    /// Pays a delegator its income if its account can receive it. If not, the charge goes on all the same: nobody
    /// escapes it by having no account.
    fn try_pay_income(
        pool: &mut Pool,
        provider: &T::AccountId,
        who: &T::AccountId,
        delegation: &mut Delegation<T::AccountId>,
    ) {
        let (mut paid_pool, mut paid) = (*pool, delegation.clone());
        let done =
            with_storage_layer(|| Self::pay_income(&mut paid_pool, provider, who, &mut paid).map(|_| ()));
        if done.is_ok() {
            *pool = paid_pool;
            *delegation = paid;
        }
    }

    /// What a delegator's lien on stake in the pool of `provider` has to pay by now, in planck; 0 if it has none.
    pub fn lien_due(provider: &T::AccountId, who: &T::AccountId) -> Balance {
        let pool = Pools::<T>::get(provider);
        let lien = Delegations::<T>::get(provider, who).and_then(|delegation| delegation.lien);
        pool.zip(lien)
            .and_then(|(pool, lien)| {
                let old = Pools::<T>::get(&lien.from)?;
                pool.active.worth(Self::lien_loss(&lien, &old)?)
            })
            .unwrap_or_default()
    }
}
