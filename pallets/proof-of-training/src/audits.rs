//! The life of an audit: drawn, committed to, opened, revealed.
//!
//! One idea: the provider's trace stays hidden until the auditors of the first round have committed to what they found,
//! so none of them can copy it. A stage ends early when everyone it waits for has acted; otherwise anyone may end it
//! after its deadline. What the votes mean is in `verdicts.rs`.

use alloc::vec::Vec;

use attune_primitives::{
    machine::Failure,
    proof::Verdict,
    trace,
    traits::{AuditOutcome, EpochRandomness, JobEscrow, JobView, Providers},
    Balance, BlockNumber, JobId, H256,
};
use frame_support::{ensure, traits::Get, BoundedVec};
use sp_runtime::{traits::UniqueSaturatedInto, DispatchError, DispatchResult};

use crate::{
    draw::{self, Purpose},
    types::{Audit, Draw, Round, Slot, Stage},
    Audits, Commitments, CommittedAt, Config, Draws, Error, Event, Pallet, SealsBefore,
};

/// An audit as the storage holds it.
pub(crate) type AuditOf<T> = Audit<<T as frame_system::Config>::AccountId>;
/// A job as the storage's owner shows it.
pub(crate) type ViewOf<T> = JobView<<T as frame_system::Config>::AccountId>;

/// Providers that can be drawn, with their stake.
type Candidates<T> = Vec<(<T as frame_system::Config>::AccountId, Balance)>;

impl<T: Config> Pallet<T> {
    /// This block's number.
    pub(crate) fn now() -> BlockNumber {
        frame_system::Pallet::<T>::block_number().unique_saturated_into()
    }

    /// A job whose audits can go on.
    fn live_job(job: JobId) -> Result<ViewOf<T>, DispatchError> {
        let view = T::JobEscrow::job(job).ok_or(Error::<T>::UnknownJob)?;
        ensure!(view.state.is_in_work(), Error::<T>::JobNotLive);
        Ok(view)
    }

    /// An audit in `stage` whose deadline is not over, with its job.
    fn audit_in(job: JobId, segment: u32, stage: Stage) -> Result<(ViewOf<T>, AuditOf<T>), DispatchError> {
        let view = Self::live_job(job)?;
        let audit = Audits::<T>::get(job, segment).ok_or(Error::<T>::NotDrawn)?;
        ensure!(audit.stage == stage, Error::<T>::WrongStage);
        ensure!(Self::now() <= audit.deadline, Error::<T>::TooLate);
        Ok((view, audit))
    }

    /// The slot that the operator `who` acts for in the current round.
    fn slot_of<'a>(
        audit: &'a mut AuditOf<T>,
        who: &T::AccountId,
    ) -> Result<&'a mut Slot<T::AccountId>, DispatchError> {
        let auditor = T::Providers::provider_of_operator(who).ok_or(Error::<T>::NotOperator)?;
        let in_committee = audit.round == Round::Committee;
        audit
            .slots
            .iter_mut()
            .find(|slot| slot.auditor == auditor && slot.in_committee == in_committee && !slot.missed)
            .ok_or_else(|| Error::<T>::NotAuditor.into())
    }

    pub(crate) fn do_draw_audits(job: JobId, milestone: u32) -> DispatchResult {
        let view = Self::live_job(job)?;
        let committed_at = CommittedAt::<T>::get(job, milestone).ok_or(Error::<T>::MilestoneNotCommitted)?;
        ensure!(!Draws::<T>::contains_key(job, milestone), Error::<T>::AlreadyDrawn);
        let randomness = Self::randomness_for(job, milestone, committed_at)?;
        let (first, end) =
            view.spec.milestone_segments(milestone).ok_or(Error::<T>::MilestoneNotCommitted)?;
        let seed = draw::seed(randomness, job, Purpose::Segments { milestone });
        let segments = draw::segments(&seed, first, end, view.spec.assurance.samples);
        let candidates = Self::candidates(&view, &[]);
        ensure!(candidates.iter().any(|(_, stake)| *stake > 0), Error::<T>::NoEligibleAuditors);

        let deadline = Self::now().saturating_add(T::VerdictCommitBlocks::get());
        let mut auditors = Vec::new();
        for segment in segments.iter().copied() {
            let purpose = Purpose::Auditors { segment, in_committee: false, redraws: 0 };
            let seed = draw::seed(randomness, job, purpose);
            let drawn = draw::weighted(&seed, candidates.clone(), u32::from(view.spec.assurance.auditors));
            auditors.extend(drawn.iter().map(|auditor| (segment, auditor.clone())));
            let slots = drawn.into_iter().map(|auditor| Slot::new(auditor, Round::First)).collect::<Vec<_>>();
            let audit = Audit {
                milestone,
                stage: Stage::Committing,
                round: Round::First,
                deadline,
                redraws: 0,
                trace: None,
                slots: BoundedVec::try_from(slots).map_err(|_| Error::<T>::TooManySlots)?,
            };
            Audits::<T>::insert(job, segment, audit);
        }
        let bounded = BoundedVec::try_from(segments.clone()).map_err(|_| Error::<T>::TooManySlots)?;
        Draws::<T>::insert(job, milestone, Draw { drawn_at: Self::now(), passed: 0, segments: bounded });
        Self::deposit_event(Event::AuditsDrawn { job, milestone, segments, auditors, deadline });
        Ok(())
    }

    /// The randomness that a milestone is drawn with: of the first epoch that began after the commitment, and when it was
    /// final. Whoever has it drawn, and whenever: could one wait for another epoch, the provider would wait for one that
    /// misses what it has faked.
    fn randomness_for(job: JobId, milestone: u32, committed_at: BlockNumber) -> Result<H256, DispatchError> {
        let wait = T::FinalityMargin::get().max(1);
        let since = committed_at.checked_add(wait).ok_or(Error::<T>::RandomnessTooOld)?;
        let found = match SealsBefore::<T>::get(job).get(&milestone) {
            Some(seals) => T::Randomness::first_since(*seals, since, Self::seals_searched()),
            // Committed to under a runtime that did not note it.
            None => T::Randomness::latest().filter(|(_, epoch_start)| *epoch_start >= since),
        };
        Ok(found.ok_or(Error::<T>::RandomnessTooOld)?.0)
    }

    /// Of how many seals the one that a milestone is drawn with can be: that of the epoch in which it was committed, those
    /// of epochs that began before that was final, of which each has a block at least, and one more.
    pub(crate) fn seals_searched() -> u32 {
        T::FinalityMargin::get().saturating_add(2)
    }

    /// Active providers who compute in the job's arithmetic, without its provider, its customer, its funder, and those who
    /// have a slot already. What is slashed compensates the funder: it must not decide.
    fn candidates(view: &ViewOf<T>, slots: &[Slot<T::AccountId>]) -> Candidates<T> {
        let trained = view.assignment.as_ref().map(|assignment| assignment.provider.clone());
        let paying = [&view.customer, &view.funder];
        let of_paying = paying.map(T::Providers::provider_of_operator);
        let mut candidates = T::Providers::active_for(&view.spec.mode);
        candidates.retain(|(candidate, _)| {
            !paying.contains(&candidate)
                && of_paying.iter().all(|provider| provider.as_ref() != Some(candidate))
                && trained.as_ref() != Some(candidate)
                && slots.iter().all(|slot| slot.auditor != *candidate)
        });
        candidates
    }

    /// Draws auditors for the current round of `audit` into further slots. Gives those drawn; none if nobody is left.
    pub(crate) fn draw_more(
        job: JobId,
        segment: u32,
        view: &ViewOf<T>,
        audit: &mut AuditOf<T>,
    ) -> Result<Vec<T::AccountId>, DispatchError> {
        let (randomness, _) = T::Randomness::latest().ok_or(Error::<T>::RandomnessTooOld)?;
        let (in_committee, count) = match audit.round {
            Round::First => (false, u32::from(view.spec.assurance.auditors)),
            Round::Committee => (true, T::CommitteeSize::get()),
        };
        let seed =
            draw::seed(randomness, job, Purpose::Auditors { segment, in_committee, redraws: audit.redraws });
        let drawn = draw::weighted(&seed, Self::candidates(view, &audit.slots), count);
        for auditor in &drawn {
            let slot = Slot::new(auditor.clone(), audit.round);
            audit.slots.try_push(slot).map_err(|_| Error::<T>::TooManySlots)?;
        }
        Ok(drawn)
    }

    /// Stores `audit` in its next stage, which lasts `blocks`.
    pub(crate) fn enter(job: JobId, segment: u32, mut audit: AuditOf<T>, stage: Stage, blocks: BlockNumber) {
        let from = audit.stage;
        audit.stage = stage;
        audit.deadline = Self::now().saturating_add(blocks);
        let deadline = audit.deadline;
        Audits::<T>::insert(job, segment, audit);
        Self::deposit_event(Event::AuditMoved { job, segment, from, to: stage, deadline });
    }

    pub(crate) fn do_commit_verdict(
        who: &T::AccountId,
        job: JobId,
        segment: u32,
        commitment: H256,
    ) -> DispatchResult {
        let (_, mut audit) = Self::audit_in(job, segment, Stage::Committing)?;
        let slot = Self::slot_of(&mut audit, who)?;
        ensure!(slot.commitment.is_none(), Error::<T>::AlreadyCommitted);
        // Equal commitments of two auditors are not refused here: whoever saw one in the pool could then shut its
        // maker out. A copy is worthless, because a commitment is bound to its auditor's account.
        slot.commitment = Some(commitment);
        let auditor = slot.auditor.clone();
        Self::deposit_event(Event::VerdictCommitted { job, segment, auditor, commitment });
        if audit.waiting().all(|slot| slot.commitment.is_some()) {
            Self::end_commit_stage(job, segment, audit);
        } else {
            Audits::<T>::insert(job, segment, audit);
        }
        Ok(())
    }

    /// Everyone whom the round waits for has committed: the trace is opened, or if it is open already, the verdicts.
    fn end_commit_stage(job: JobId, segment: u32, audit: AuditOf<T>) {
        if audit.trace.is_some() {
            Self::enter(job, segment, audit, Stage::Revealing, T::RevealBlocks::get());
        } else {
            Self::enter(job, segment, audit, Stage::Opening, T::OpenBlocks::get());
        }
    }

    pub(crate) fn do_open_trace(
        who: &T::AccountId,
        job: JobId,
        segment: u32,
        opened: H256,
        nonce: &[u8; 32],
    ) -> DispatchResult {
        let (view, mut audit) = Self::audit_in(job, segment, Stage::Opening)?;
        Self::ensure_provider(&view, who)?;
        let (trace_commitment, metrics) = Self::committed(job, segment, |c| (c.trace_commitment, c.metrics))?;
        ensure!(trace::commitment(opened, nonce) == trace_commitment, Error::<T>::TraceDiffers);
        let folded = trace::with_metrics(opened, &metrics);
        audit.trace = Some(folded);
        Self::deposit_event(Event::TraceOpened { job, segment, trace: folded });
        Self::enter(job, segment, audit, Stage::Revealing, T::RevealBlocks::get());
        Ok(())
    }

    pub(crate) fn do_reveal_verdict(
        who: &T::AccountId,
        job: JobId,
        segment: u32,
        end_root: H256,
        trace: H256,
        salt: &[u8; 32],
    ) -> DispatchResult {
        let (view, mut audit) = Self::audit_in(job, segment, Stage::Revealing)?;
        let state_root = Self::committed(job, segment, |c| c.state_root)?;
        let opened = audit.trace;
        let slot = Self::slot_of(&mut audit, who)?;
        ensure!(slot.verdict.is_none(), Error::<T>::AlreadyRevealed);
        let commitment = trace::verdict_commitment(end_root, trace, &slot.auditor, salt);
        ensure!(slot.commitment == Some(commitment), Error::<T>::VerdictDiffers);
        let verdict = if end_root.is_zero() && trace.is_zero() {
            Verdict::Unavailable
        } else if end_root == state_root && Some(trace) == opened {
            Verdict::Match
        } else {
            Verdict::Mismatch
        };
        slot.verdict = Some(verdict);
        let auditor = slot.auditor.clone();
        Self::deposit_event(Event::VerdictRevealed { job, segment, auditor, verdict });
        if audit.waiting().all(|slot| slot.verdict.is_some()) {
            Self::tally(job, segment, &view, audit)
        } else {
            Audits::<T>::insert(job, segment, audit);
            Ok(())
        }
    }

    /// A part of what the provider committed to for `segment`.
    fn committed<R>(
        job: JobId,
        segment: u32,
        part: impl FnOnce(&attune_primitives::proof::SegmentCommitment) -> R,
    ) -> Result<R, DispatchError> {
        let index = usize::try_from(segment).map_err(|_| Error::<T>::UnknownSegment)?;
        let commitments = Commitments::<T>::get(job);
        Ok(part(commitments.get(index).ok_or(Error::<T>::UnknownSegment)?))
    }

    /// An audit in a stage whose deadline is over, with its job.
    pub(crate) fn audit_past_deadline(
        job: JobId,
        segment: u32,
    ) -> Result<(ViewOf<T>, AuditOf<T>), DispatchError> {
        let view = Self::live_job(job)?;
        let audit = Audits::<T>::get(job, segment).ok_or(Error::<T>::NotDrawn)?;
        ensure!(audit.stage != Stage::Passed, Error::<T>::WrongStage);
        ensure!(Self::now() > audit.deadline, Error::<T>::TooEarly);
        Ok((view, audit))
    }

    pub(crate) fn do_enforce_audit_deadline(job: JobId, segment: u32) -> DispatchResult {
        let (view, mut audit) = Self::audit_past_deadline(job, segment)?;
        match audit.stage {
            Stage::Passed => Ok(()),
            Stage::Opening => {
                Self::deposit_event(Event::TraceMissed { job, segment });
                T::JobEscrow::fail(job, Failure::TraceNotOpened)
            }
            Stage::Committing => {
                Self::mark_missed(job, segment, &mut audit, |slot| slot.commitment.is_none());
                if audit.waiting().next().is_some() {
                    Self::end_commit_stage(job, segment, audit);
                    Ok(())
                } else {
                    Self::redraw(job, segment, &view, audit)
                }
            }
            Stage::Revealing => {
                Self::mark_missed(job, segment, &mut audit, |slot| slot.verdict.is_none());
                if audit.waiting().next().is_some() {
                    Self::tally(job, segment, &view, audit)
                } else {
                    Self::redraw(job, segment, &view, audit)
                }
            }
        }
    }

    /// Marks and counts those of the current round who did not answer.
    fn mark_missed(
        job: JobId,
        segment: u32,
        audit: &mut AuditOf<T>,
        is_missing: impl Fn(&Slot<T::AccountId>) -> bool,
    ) {
        let in_committee = audit.round == Round::Committee;
        let current = audit.slots.iter_mut().filter(|slot| slot.in_committee == in_committee && !slot.missed);
        for slot in current.filter(|slot| is_missing(slot)) {
            slot.missed = true;
            let auditor = slot.auditor.clone();
            T::Providers::note_audit(&auditor, AuditOutcome::Missed);
            Self::log_audit(job, segment, auditor.clone(), None);
            Self::deposit_event(Event::AuditorMissed { job, segment, auditor });
        }
    }

    /// Nobody of the round answered: draws others, as often as allowed and as long as there are any. If nobody can
    /// answer, the first round ends the job without fault; a dispute is then decided by those who did answer.
    fn redraw(job: JobId, segment: u32, view: &ViewOf<T>, mut audit: AuditOf<T>) -> DispatchResult {
        if audit.redraws >= T::MaxRedraws::get() {
            Self::deposit_event(Event::AuditorsExhausted { job, segment });
            return T::JobEscrow::fail(job, Failure::NoAuditors);
        }
        audit.redraws = audit.redraws.saturating_add(1);
        let auditors = Self::draw_more(job, segment, view, &mut audit)?;
        if auditors.is_empty() {
            return match audit.round {
                Round::Committee => Self::decide(job, segment, audit),
                Round::First => {
                    Self::deposit_event(Event::AuditorsExhausted { job, segment });
                    T::JobEscrow::fail(job, Failure::NoAuditors)
                }
            };
        }
        Self::deposit_event(Event::AuditorsRedrawn { job, segment, auditors, redraws: audit.redraws });
        Self::enter(job, segment, audit, Stage::Committing, T::VerdictCommitBlocks::get());
        Ok(())
    }
}
