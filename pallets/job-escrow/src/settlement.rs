//! The end of a job, and what proof-of-training asks of the escrow.

use attune_primitives::{
    machine::{self, Action, Failure, JobState, Party, Phase},
    traits::{JobEscrow, JobView, ProofOfTraining, Providers},
    Balance, JobId,
};
use frame_support::pallet_prelude::*;
use sp_arithmetic::Permill;

use crate::*;

impl<T: Config> Pallet<T> {
    /// Ends `job`, or its present attempt, by `action`.
    pub(crate) fn conclude(id: JobId, mut job: Job<T::AccountId>, action: Action) -> DispatchResult {
        let from = job.state;
        let failure = machine::failure(from, action, Self::facts(&job));
        Self::transition(&mut job, action)?;
        match (job.state, failure) {
            (JobState::Open, Some(failure)) => Self::reopen(id, from, job, failure),
            (state, _) if state.is_terminal() => Self::close(id, from, job, failure),
            _ => Err(Error::<T>::NotAllowedInState.into()),
        }
    }

    /// Settles the bond of `job`, which has just ended, refunds what is not paid, and tells proof-of-training.
    fn close(
        id: JobId,
        from: JobState,
        mut job: Job<T::AccountId>,
        failure: Option<Failure>,
    ) -> DispatchResult {
        let cost = Self::fees_in_vain(&job)?;
        Self::settle_bond(id, &job, failure, cost);
        Bids::<T>::remove(id);

        let left = job.escrow.checked_add(job.audit_budget).ok_or(Error::<T>::ArithmeticOverflow)?;
        job.escrow = 0;
        job.audit_budget = 0;
        Self::refund(id, &job, left)?;
        job.closed_at = Some(Self::now());

        Self::state_changed(id, from, &job);
        let view = job.view();
        Jobs::<T>::insert(id, job);
        T::Proof::on_closed(id, &view)
    }

    /// Frees or slashes the bond of an attempt that has just ended, by `failure` if it failed, and counts it for the
    /// provider's reputation. From a slash the funder gets back at most `cost`, what the attempt has cost in vain.
    pub(crate) fn settle_bond(id: JobId, job: &Job<T::AccountId>, failure: Option<Failure>, cost: Balance) {
        let Some(assignment) = &job.assignment else { return };
        let provider = &assignment.provider;
        let slashed_part = match failure {
            Some(failure) if failure.party() == Some(Party::Provider) => Some(match failure {
                Failure::MissedMilestone => T::MissedPart::get(),
                _ => Permill::one(),
            }),
            _ => None,
        };
        match slashed_part {
            Some(part) => {
                let amount = T::Providers::slash_bond(provider, id, part, &job.funder, cost);
                Self::slashed_event(id, provider.clone(), amount);
                T::Providers::note_job(provider, false);
            }
            None => {
                T::Providers::release_bond(provider, id);
                if job.state == JobState::Finalized {
                    T::Providers::note_job(provider, true);
                }
            }
        }
    }

    /// Stores `job`; ends it if it is being cancelled and the audits of all that is committed are over.
    fn store_or_end_cancelling(id: JobId, mut job: Job<T::AccountId>) -> DispatchResult {
        if job.state == JobState::Cancelling && !job.is_under_audit() {
            Self::pay_cancellation(id, &mut job)?;
            return Self::conclude(id, job, Action::AuditsOver);
        }
        Jobs::<T>::insert(id, job);
        Ok(())
    }

    /// The challenge window begins if the job is submitted and every milestone is paid.
    fn begin_challenge_window(job: &mut Job<T::AccountId>) -> DispatchResult {
        if job.all_verified() {
            match job.state {
                JobState::Submitted => job.deadline = Self::after(T::ChallengeWindow::get())?,
                JobState::Disputed(Phase::Submitted) => job.paused_blocks = T::ChallengeWindow::get(),
                _ => {}
            }
        }
        Ok(())
    }
}

impl<T: Config> JobEscrow<T::AccountId> for Pallet<T> {
    fn job(id: JobId) -> Option<JobView<T::AccountId>> {
        Jobs::<T>::get(id).map(|job| job.view())
    }

    fn milestone_committed(id: JobId, index: u32) -> DispatchResult {
        let mut job = Self::load(id)?;
        let exists = usize::try_from(index).is_ok_and(|index| index < job.spec.milestones.len());
        ensure!(exists && index == job.milestones_committed, Error::<T>::MilestoneOutOfOrder);
        let late = Self::now() > job.deadline;
        match job.state {
            JobState::Running | JobState::Disputed(Phase::Running) if late => {
                return Err(Error::<T>::DeadlineOver.into());
            }
            JobState::Running => {
                job.deadline = Self::after(job.spec.timing.milestone_blocks)?;
            }
            // Training goes on at the provider's own risk; its clock stands still meanwhile.
            JobState::Disputed(Phase::Running) => job.paused_blocks = job.spec.timing.milestone_blocks,
            _ => return Err(Error::<T>::NotAllowedInState.into()),
        }
        job.milestones_committed =
            job.milestones_committed.checked_add(1).ok_or(Error::<T>::ArithmeticOverflow)?;
        Jobs::<T>::insert(id, job);
        Ok(())
    }

    fn submitted(id: JobId) -> DispatchResult {
        let mut job = Self::load(id)?;
        let from = job.state;
        Self::transition(&mut job, Action::Submit)?;
        let all_committed = usize::try_from(job.milestones_committed) == Ok(job.spec.milestones.len());
        ensure!(all_committed, Error::<T>::NotAllCommitted);
        job.deadline = Self::after(T::AuditWindow::get())?;
        Self::begin_challenge_window(&mut job)?;
        Self::state_changed(id, from, &job);
        Jobs::<T>::insert(id, job);
        Ok(())
    }

    fn milestone_verified(id: JobId, index: u32) -> DispatchResult {
        let mut job = Self::load(id)?;
        ensure!(job.state.is_in_work(), Error::<T>::NotAllowedInState);
        let is_new = index < job.milestones_committed && !job.is_verified(index);
        ensure!(is_new, Error::<T>::MilestoneNotPayable);
        job.milestones_verified |= 1u32.checked_shl(index).ok_or(Error::<T>::MilestoneNotPayable)?;
        Self::pay_verified(id, &mut job)?;
        Self::begin_challenge_window(&mut job)?;
        Self::store_or_end_cancelling(id, job)
    }

    fn pay_auditor(id: JobId, milestone: u32, auditor: &T::AccountId) -> DispatchResult {
        let mut job = Self::load(id)?;
        ensure!(job.state.is_bonded(), Error::<T>::NotAllowedInState);
        Self::pay_audit(id, &mut job, milestone, auditor)?;
        Jobs::<T>::insert(id, job);
        Ok(())
    }

    fn disputed(id: JobId) -> DispatchResult {
        let mut job = Self::load(id)?;
        if matches!(job.state, JobState::Disputed(_)) {
            return Ok(());
        }
        let from = job.state;
        Self::transition(&mut job, Action::Dispute)?;
        // A deadline that was over, and that nobody had pushed, is over again after the dispute.
        job.paused_blocks = job.deadline.saturating_sub(Self::now());
        job.deadline = Self::after(T::DisputeWindow::get())?;
        Self::state_changed(id, from, &job);
        Jobs::<T>::insert(id, job);
        Ok(())
    }

    fn upheld(id: JobId) -> DispatchResult {
        let mut job = Self::load(id)?;
        let from = job.state;
        Self::transition(&mut job, Action::Uphold)?;
        job.deadline = Self::after(job.paused_blocks)?;
        job.paused_blocks = 0;
        Self::state_changed(id, from, &job);
        Self::store_or_end_cancelling(id, job)
    }

    fn fail(id: JobId, failure: Failure) -> DispatchResult {
        Self::conclude(id, Self::load(id)?, Action::Fail(failure))
    }
}
