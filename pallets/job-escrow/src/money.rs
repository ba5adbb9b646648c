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
    /// Releases `amount` of the escrow to the funder. If its account can't receive so little (its free balance is gone,
    /// and the amount is below the existential deposit), it is owed like any payee, so that the job can end.
    pub(crate) fn refund(id: JobId, job: &Job<T::AccountId>, amount: Balance) -> DispatchResult {
        if amount == 0 {
            return Ok(());
        }
        Self::credit_sponsor(job, amount);
        if with_storage_layer(|| Self::release(&job.funder, amount)).is_err() {
            return Self::owe(id, &job.funder, amount);
        }
        Self::deposit_event(Event::Refunded { job: id, funder: job.funder.clone(), amount });
        Ok(())
    }

    fn release(funder: &T::AccountId, amount: Balance) -> DispatchResult {
        T::Currency::release(&HoldReason::Escrow.into(), funder, amount, Precision::Exact).map(|_| ())
    }

    /// Records that `amount`, which stays on the funder's hold, belongs to `payee`.
    fn owe(id: JobId, payee: &T::AccountId, amount: Balance) -> DispatchResult {
        Owed::<T>::try_mutate(id, payee, |owed| {
            *owed = owed.checked_add(amount).ok_or(Error::<T>::ArithmeticOverflow)?;
            Ok::<_, DispatchError>(())
        })?;
        Self::deposit_event(Event::PaymentOwed { job: id, payee: payee.clone(), amount });
        Ok(())
    }

    /// Moves `amount` from the funder's hold to the provider's pool, to be shared with `commission`. Forced, so that a
    /// freeze of the funder's own can't block the payee.
    fn pay_pool(
        funder: &T::AccountId,
        provider: &T::AccountId,
        amount: Balance,
        commission: Permill,
    ) -> DispatchResult {
        with_storage_layer(|| {
            Self::move_held(funder, &T::Providers::pool_account(provider), amount)?;
            T::Providers::note_income(provider, amount, commission)
        })
    }

    fn move_held(funder: &T::AccountId, payee: &T::AccountId, amount: Balance) -> DispatchResult {
        T::Currency::transfer_on_hold(
            &HoldReason::Escrow.into(),
            funder,
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
        if Self::pay_pool(&job.funder, provider, amount, commission).is_err() {
            Self::owe(id, provider, amount)?;
        }
        Ok(())
    }

    pub(crate) fn assignment(job: &Job<T::AccountId>) -> Result<Assignment<T::AccountId>, DispatchError> {
        job.assignment.clone().ok_or_else(|| Error::<T>::NotAllowedInState.into())
    }

    /// Pays every milestone that is verified and has none before it that is not. The milestone that completes the job
    /// gets all that is left, so that rounding leaves nothing behind.
    pub(crate) fn pay_verified(id: JobId, job: &mut Job<T::AccountId>) -> DispatchResult {
        // At most as many turns as a job has milestones: each pays one.
        while job.is_verified(job.milestones_paid) {
            let milestone = job.milestones_paid;
            let Assignment { provider, price, commission, first_milestone, .. } = Self::assignment(job)?;
            job.milestones_paid = milestone.checked_add(1).ok_or(Error::<T>::ArithmeticOverflow)?;
            let share = job.spec.pay_of(milestone, first_milestone, price);
            let amount = match share {
                _ if job.all_verified() => job.escrow,
                Some(share) => share,
                None => return Err(Error::<T>::MilestoneNotPayable.into()),
            };
            job.escrow = job.escrow.checked_sub(amount).ok_or(Error::<T>::ArithmeticOverflow)?;
            Self::pay(id, job, &provider, amount, commission)?;
            Self::deposit_event(Event::MilestonePaid { job: id, milestone, provider, amount });
        }
        Ok(())
    }

    /// Pays the provider of a job that the customer has called off while it ran.
    pub(crate) fn pay_cancellation(id: JobId, job: &mut Job<T::AccountId>) -> DispatchResult {
        let Assignment { provider, price, commission, first_milestone, .. } = Self::assignment(job)?;
        let next_share = job.spec.pay_of(job.milestones_paid, first_milestone, price).unwrap_or_default();
        let amount = T::CancellationFee::get().mul_floor(job.escrow).min(next_share).min(job.escrow);
        job.escrow = job.escrow.checked_sub(amount).ok_or(Error::<T>::ArithmeticOverflow)?;
        Self::pay(id, job, &provider, amount, commission)?;
        Self::deposit_event(Event::CancellationPaid { job: id, provider, amount });
        Ok(())
    }

    /// Pays one audit fee for `milestone`, or what is left of the budget.
    pub(crate) fn pay_audit(
        id: JobId,
        job: &mut Job<T::AccountId>,
        milestone: u32,
        auditor: &T::AccountId,
    ) -> DispatchResult {
        let amount = job.spec.audit_fee.min(job.audit_budget);
        let place = usize::try_from(milestone).map_err(|_| Error::<T>::MilestoneNotPayable)?;
        let fees = job.audit_fees.get_mut(place).ok_or(Error::<T>::MilestoneNotPayable)?;
        *fees = fees.checked_add(amount).ok_or(Error::<T>::ArithmeticOverflow)?;
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
            _ if payee == job.funder => Self::release(&payee, amount),
            Some(view) => {
                let assigned = job.assignment.as_ref().filter(|a| a.provider == payee);
                let commission = assigned.map_or(view.commission, |a| a.commission);
                Self::pay_pool(&job.funder, &payee, amount, commission)
            }
            // Its pool is gone, and with it the delegators: the provider's own account is what is left of the payee.
            None => Self::move_held(&job.funder, &payee, amount),
        };
        paid.map_err(|_| Error::<T>::StillUnpayable)?;
        Self::deposit_event(Event::OwedPaid { job: id, payee, amount });
        Ok(())
    }
}
