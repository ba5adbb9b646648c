//! From one provider to the next. An attempt that failed is undone down to the last milestone that was verified and
//! paid; what is unpaid of the price is the most that the next provider may ask for the rest.
//!
//! The customer never pays more than it escrowed: where the failed attempt has used up fees that the rest of the
//! audits need, they come out of the escrow. What the provider at fault is slashed for is what the attempt has cost
//! in vain; milestones that were verified and paid keep their value.

use attune_primitives::{
    machine::{Failure, JobState},
    proof::Tranche,
    traits::ProofOfTraining,
    Balance, JobId,
};
use frame_support::pallet_prelude::*;

use crate::*;

impl<T: Config> Pallet<T> {
    /// What a handover would move from the escrow into the audit budget, so that first-round audits of what remains are
    /// covered; `None` if no other provider may go on. A provider that the customer chose is not replaced: the
    /// customer has trusted nobody else with its data.
    pub(crate) fn handover_shortfall(job: &Job<T::AccountId>) -> Option<Balance> {
        if job.handovers >= T::MaxHandovers::get() || job.spec.provider.is_some() || job.all_verified() {
            return None;
        }
        let audits = Balance::from(job.spec.audits_from(job.milestones_paid));
        let needed = job.spec.audit_fee.checked_mul(audits)?;
        let shortfall = needed.checked_sub(needed.min(job.audit_budget))?;
        (shortfall < job.escrow).then_some(shortfall)
    }

    /// Opens `job`, which has just come back from `from` because of `failure`, to other providers. It is open for the first
    /// quote even if it began with a bidding window: checkpoints wait for whoever goes on, and don't wait for ever.
    pub(crate) fn reopen(
        id: JobId,
        from: JobState,
        mut job: Job<T::AccountId>,
        failure: Failure,
    ) -> DispatchResult {
        let shortfall = Self::handover_shortfall(&job).ok_or(Error::<T>::NotAllowedInState)?;
        let assignment = Self::assignment(&job)?;
        let first = job.milestones_paid;
        let in_vain = Self::fees_in_vain(&job)?;
        Self::settle_bond(id, &job, Some(failure), in_vain);

        if let Some(last_milestone) = first.checked_sub(1).filter(|last| *last >= assignment.first_milestone)
        {
            let paid = assignment.price.checked_sub(job.escrow).ok_or(Error::<T>::ArithmeticOverflow)?;
            let tranche = Tranche {
                provider: assignment.provider.clone(),
                first_milestone: assignment.first_milestone,
                last_milestone,
                paid,
                started_at: assignment.started_at.unwrap_or_default(),
            };
            job.tranches.try_push(tranche).map_err(|_| Error::<T>::NotAllowedInState)?;
        }
        if failure.excludes_provider() {
            let former = assignment.provider.clone();
            job.excluded.try_push(former).map_err(|_| Error::<T>::NotAllowedInState)?;
        }
        job.escrow = job.escrow.checked_sub(shortfall).ok_or(Error::<T>::ArithmeticOverflow)?;
        job.audit_budget = job.audit_budget.checked_add(shortfall).ok_or(Error::<T>::ArithmeticOverflow)?;
        job.handovers = job.handovers.checked_add(1).ok_or(Error::<T>::ArithmeticOverflow)?;
        job.assignment = None;
        job.milestones_committed = first;
        job.milestones_verified =
            (0..first).filter_map(|i| 1u32.checked_shl(i)).fold(0, |all, bit| all | bit);
        for fees in job.audit_fees.iter_mut().skip(usize::try_from(first).unwrap_or(usize::MAX)) {
            *fees = 0;
        }
        job.spent_before = job.spent;
        job.paused_blocks = 0;
        job.deadline = Self::after(job.spec.timing.open_blocks)?;

        Self::deposit_event(Event::HandedOver {
            job: id,
            provider: assignment.provider,
            failure,
            first_milestone: first,
            max_price: job.escrow,
            audit_budget: job.audit_budget,
            deadline: job.deadline,
        });
        Self::state_changed(id, from, &job);
        let view = job.view();
        Jobs::<T>::insert(id, job);
        T::Proof::on_handover(id, &view, first)
    }

    /// Audit fees that were paid for milestones which are not verified. What a slash compensates: paid milestones keep
    /// their value.
    pub(crate) fn fees_in_vain(job: &Job<T::AccountId>) -> Result<Balance, DispatchError> {
        let dropped = job.audit_fees.iter().skip(usize::try_from(job.milestones_paid).unwrap_or(usize::MAX));
        let sum = dropped.copied().try_fold(0u128, |sum: Balance, fees| sum.checked_add(fees));
        sum.ok_or_else(|| Error::<T>::ArithmeticOverflow.into())
    }
}
