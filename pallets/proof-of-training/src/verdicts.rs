//! What the votes mean: an audit passes, is disputed, is upheld, or ends the job.
//!
//! Fees come from the customer's audit budget and are the same whatever the verdict; nobody who votes gains from a
//! slash. Fees are paid before the job is ended, because ending it returns the budget to the customer and clears all
//! that this pallet stores about it: nothing may be written after `JobEscrow::fail`. The same holds where the job is
//! handed over, which clears what the next provider makes anew.

use attune_primitives::{
    machine::Failure,
    proof::{AuditEntry, Verdict},
    traits::{AuditOutcome, JobEscrow, Providers},
    JobId,
};
use frame_support::traits::Get;
use sp_runtime::DispatchResult;

use crate::{
    audits::{AuditOf, ViewOf},
    types::{Round, Stage},
    AuditLog, Audits, Config, Draws, Event, OpenDisputes, Pallet,
};

impl<T: Config> Pallet<T> {
    /// Everyone who will answer in this round has answered, and at least one has.
    pub(crate) fn tally(job: JobId, segment: u32, view: &ViewOf<T>, audit: AuditOf<T>) -> DispatchResult {
        match audit.round {
            Round::First if audit.votes().against == 0 => {
                Self::settle_auditors(job, segment, &audit, false)?;
                Self::pass(job, segment, audit)
            }
            Round::First => Self::dispute(job, segment, view, audit),
            Round::Committee => Self::decide(job, segment, audit),
        }
    }

    /// Someone found a mismatch: a committee of further auditors decides; without any, those who answered do.
    fn dispute(job: JobId, segment: u32, view: &ViewOf<T>, mut audit: AuditOf<T>) -> DispatchResult {
        T::JobEscrow::disputed(job)?;
        OpenDisputes::<T>::mutate(job, |open| *open = open.saturating_add(1));
        audit.round = Round::Committee;
        audit.redraws = 0;
        let auditors = Self::draw_more(job, segment, view, &mut audit)?;
        let nobody = auditors.is_empty();
        Self::deposit_event(Event::CommitteeDrawn { job, segment, auditors });
        if nobody {
            return Self::decide(job, segment, audit);
        }
        Self::enter(job, segment, audit, Stage::Committing, T::VerdictCommitBlocks::get());
        Ok(())
    }

    /// Two thirds of all who answered condemn the provider; otherwise it is upheld.
    pub(crate) fn decide(job: JobId, segment: u32, audit: AuditOf<T>) -> DispatchResult {
        let votes = audit.votes();
        let (against, answered) = (votes.against, votes.answered);
        Self::settle_auditors(job, segment, &audit, votes.condemn())?;
        if votes.condemn() {
            Self::deposit_event(Event::ProviderCondemned { job, segment, against, answered });
            return T::JobEscrow::fail(job, Failure::WrongResult);
        }
        Self::deposit_event(Event::ProviderUpheld { job, segment, against, answered });
        let still_open = OpenDisputes::<T>::mutate(job, |open| {
            *open = open.saturating_sub(1);
            *open
        });
        if still_open == 0 {
            OpenDisputes::<T>::remove(job);
            T::JobEscrow::upheld(job)?;
        }
        Self::pass(job, segment, audit)
    }

    /// Logs and counts every answer; pays those that the outcome bears out.
    fn settle_auditors(job: JobId, segment: u32, audit: &AuditOf<T>, condemned: bool) -> DispatchResult {
        for slot in &audit.slots {
            let Some(verdict) = slot.verdict else { continue };
            let auditor = &slot.auditor;
            Self::log_audit(job, segment, auditor.clone(), Some(verdict));
            if (verdict != Verdict::Match) == condemned {
                T::Providers::note_audit(auditor, AuditOutcome::Answered);
                T::JobEscrow::pay_auditor(job, audit.milestone, auditor)?;
            } else {
                T::Providers::note_audit(auditor, AuditOutcome::Overruled);
                Self::deposit_event(Event::AuditorOverruled { job, segment, auditor: auditor.clone() });
            }
        }
        Ok(())
    }

    /// The segment stands; with the last one of its milestone, the milestone is verified. That may end a job which is being
    /// cancelled: nothing is written afterwards.
    fn pass(job: JobId, segment: u32, mut audit: AuditOf<T>) -> DispatchResult {
        let milestone = audit.milestone;
        audit.stage = Stage::Passed;
        Audits::<T>::insert(job, segment, audit);
        Self::deposit_event(Event::AuditPassed { job, milestone, segment });
        let all_passed = Draws::<T>::mutate(job, milestone, |draw| {
            draw.as_mut().is_some_and(|draw| {
                draw.pass(segment);
                draw.all_passed()
            })
        });
        if all_passed {
            T::JobEscrow::milestone_verified(job, milestone)?;
            Self::deposit_event(Event::MilestoneVerified { job, milestone });
        }
        Ok(())
    }

    /// Keeps an audit for the record. A log that is full keeps what it has; the events still tell the rest.
    pub(crate) fn log_audit(job: JobId, segment: u32, auditor: T::AccountId, verdict: Option<Verdict>) {
        let _ = AuditLog::<T>::try_append(job, AuditEntry { segment, auditor, verdict });
    }
}
