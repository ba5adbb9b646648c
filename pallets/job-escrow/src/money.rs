//! Payments and refunds out of the escrow. Each moves what the books say, never more; a payee that can't receive is owed.

use attune_primitives::{
    traits::{Assignment, Providers},
    Balance, JobId,
};
use frame_support::{
    pallet_prelude::*,
    storage::with_storage_layer,
    traits::{
        fungible::MutateHold,
        tokens::{Fortitude, Precision, Restriction},
    },
};
use sp_arithmetic::Permill;

use crate::*;

impl<T: Config> Pallet<T> {
    /// Releases `amount` of the escrow to the customer. If its account can't receive so little (its free balance is gone,
    /// and the amount is below the existential deposit), it is owed like any payee, so that the job can end.
    pub(crate) fn refund(id: JobId, customer: &T::AccountId, amount: Balance) -> DispatchResult {
        if amount == 0 {
            return Ok(());
        }
        if with_storage_layer(|| Self::release(customer, amount)).is_err() {
            return Self::owe(id, customer, amount);
        }
        Self::deposit_event(Event::Refunded { job: id, customer: customer.clone(), amount });
        Ok(())
    }

    fn release(customer: &T::AccountId, amount: Balance) -> DispatchResult {
        T::Currency::release(&HoldReason::Escrow.into(), customer, amount, Precision::Exact).map(|_| ())
    }

    /// Records that `amount`, which stays on the customer's hold, belongs to `payee`.
    fn owe(id: JobId, payee: &T::AccountId, amount: Balance) -> DispatchResult {
        Owed::<T>::try_mutate(id, payee, |owed| {
            *owed = owed.checked_add(amount).ok_or(Error::<T>::ArithmeticOverflow)?;
            Ok::<_, DispatchError>(())
        })?;
        Self::deposit_event(Event::PaymentOwed { job: id, payee: payee.clone(), amount });
        Ok(())
    }

    /// Moves `amount` from the customer's hold to the provider's pool, to be shared with `commission`. Forced, so that a
    /// freeze of the customer's own can't block the payee.
    fn pay_pool(
        customer: &T::AccountId,
        provider: &T::AccountId,
        amount: Balance,
        commission: Permill,
    ) -> DispatchResult {
        with_storage_layer(|| {
            Self::move_held(customer, &T::Providers::pool_account(provider), amount)?;
            T::Providers::note_income(provider, amount, commission)
        })
    }

    fn move_held(customer: &T::AccountId, payee: &T::AccountId, amount: Balance) -> DispatchResult {
        T::Currency::transfer_on_hold(
            &HoldReason::Escrow.into(),
            customer,
            payee,
            amount,
            Precision::Exact,
            Restriction::Free,
            Fortitude::Force,
        )
        .map(|_| ())
    }

    /// Pays `provider`, or records that it is owed. The caller has taken `amount` out of the job's books.
    fn pay(
        id: JobId,
        job: &mut Job<T::AccountId>,
        provider: &T::AccountId,
        amount: Balance,
        commission: Permill,
    ) -> DispatchResult {
        if amount == 0 {
            return Ok(());
        }
        job.spent = job.spent.checked_add(amount).ok_or(Error::<T>::ArithmeticOverflow)?;
        if Self::pay_pool(&job.customer, provider, amount, commission).is_err() {
            Self::owe(id, provider, amount)?;
        }
        Ok(())
    }

    fn assignment(job: &Job<T::AccountId>) -> Result<Assignment<T::AccountId>, DispatchError> {
        job.assignment.clone().ok_or_else(|| Error::<T>::NotAllowedInState.into())
    }

    /// Pays milestone `index` and marks it paid. The milestone that completes the job gets all that is left, so that
    /// rounding leaves nothing behind.
    pub(crate) fn pay_milestone(id: JobId, job: &mut Job<T::AccountId>, index: u32) -> DispatchResult {
        let milestone = usize::try_from(index).ok().and_then(|i| job.spec.milestones.get(i).copied());
        let milestone = milestone.ok_or(Error::<T>::MilestoneNotPayable)?;
        ensure!(index < job.milestones_committed && !job.is_paid(index), Error::<T>::MilestoneNotPayable);
        let bit = 1u32.checked_shl(index).ok_or(Error::<T>::MilestoneNotPayable)?;
        job.milestones_paid |= bit;

        let Assignment { provider, price, commission, .. } = Self::assignment(job)?;
        let amount = if job.all_verified() { job.escrow } else { milestone.share.mul_floor(price) };
        job.escrow = job.escrow.checked_sub(amount).ok_or(Error::<T>::ArithmeticOverflow)?;
        Self::pay(id, job, &provider, amount, commission)?;
        Self::deposit_event(Event::MilestonePaid { job: id, milestone: index, provider, amount });
        Ok(())
    }

    /// Pays the provider of a job that the customer cancels while it runs.
    pub(crate) fn pay_cancellation(id: JobId, job: &mut Job<T::AccountId>) -> DispatchResult {
        let Assignment { provider, price, commission, .. } = Self::assignment(job)?;
        let milestones = job.spec.milestones.iter().enumerate();
        let next_share = milestones
            .filter(|(index, _)| u32::try_from(*index).is_ok_and(|i| !job.is_paid(i)))
            .map(|(_, milestone)| milestone.share.mul_floor(price))
            .next()
            .unwrap_or_default();
        let amount = T::CancellationFee::get().mul_floor(job.escrow).min(next_share).min(job.escrow);
        job.escrow = job.escrow.checked_sub(amount).ok_or(Error::<T>::ArithmeticOverflow)?;
        Self::pay(id, job, &provider, amount, commission)?;
        Self::deposit_event(Event::CancellationPaid { job: id, provider, amount });
        Ok(())
    }

    /// Pays one audit fee, or what is left of the budget.
    pub(crate) fn pay_audit(
        id: JobId,
        job: &mut Job<T::AccountId>,
        auditor: &T::AccountId,
    ) -> DispatchResult {
        let amount = job.spec.audit_fee.min(job.audit_budget);
        job.audit_budget = job.audit_budget.checked_sub(amount).ok_or(Error::<T>::ArithmeticOverflow)?;
        let commission = T::Providers::provider(auditor).map_or(Permill::zero(), |view| view.commission);
        Self::pay(id, job, auditor, amount, commission)?;
        Self::deposit_event(Event::AuditorPaid { job: id, auditor: auditor.clone(), amount });
        Ok(())
    }

    pub(crate) fn do_claim_owed(id: JobId, payee: T::AccountId) -> DispatchResult {
        let job = Self::load(id)?;
        let amount = Owed::<T>::take(id, &payee);
        ensure!(amount > 0, Error::<T>::NothingOwed);
        let paid = match T::Providers::provider(&payee) {
            _ if payee == job.customer => Self::release(&payee, amount),
            Some(view) => {
                let assigned = job.assignment.as_ref().filter(|a| a.provider == payee);
                let commission = assigned.map_or(view.commission, |a| a.commission);
                Self::pay_pool(&job.customer, &payee, amount, commission)
            }
            // Its pool is gone, and with it the delegators: the provider's own account is what is left of the payee.
            None => Self::move_held(&job.customer, &payee, amount),
        };
        paid.map_err(|_| Error::<T>::StillUnpayable)?;
        Self::deposit_event(Event::OwedPaid { job: id, payee, amount });
        Ok(())
    }
}
