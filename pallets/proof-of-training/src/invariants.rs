//! What holds between any two calls. `do_try_state` runs after every test, while fuzzing, and under try-runtime.

use alloc::collections::{BTreeMap, BTreeSet};

use attune_primitives::{machine::JobState, traits::JobEscrow, JobId};
use frame_support::{ensure, traits::fungible::InspectHold};
use sp_runtime::TryRuntimeError;

use crate::{
    audits::{AuditOf, ViewOf},
    types::{Round, Stage},
    AuditLog, Audits, Commitments, CommittedAt, Config, Draws, HoldReason, ModelByArtifact, Models,
    NextModelId, OpenDisputes, Pallet, Records, Results, SealsBefore,
};

impl<T: Config> Pallet<T> {
    /// Checks all invariants.
    ///
    /// # Errors
    /// Names the first one that is broken.
    pub fn do_try_state() -> Result<(), TryRuntimeError> {
        Self::check_models()?;
        Self::check_closed_jobs_left_nothing()?;
        Self::check_commitments()?;
        Self::check_draws()?;
        Self::check_audits()?;
        Self::check_disputes()?;
        Self::check_records()
    }

    /// Every model has one index entry, an id below the next one, and its deposit on hold.
    fn check_models() -> Result<(), TryRuntimeError> {
        let mut deposits = BTreeMap::<T::AccountId, u128>::new();
        for (id, model) in Models::<T>::iter() {
            ensure!(id < NextModelId::<T>::get(), "a model's id was not handed out");
            ensure!(
                ModelByArtifact::<T>::get(model.info.artifact) == Some(id),
                "a model is not in the index"
            );
            let sum = deposits.entry(model.owner).or_default();
            *sum = sum.checked_add(model.deposit).ok_or("the deposits of an owner overflow")?;
        }
        ensure!(ModelByArtifact::<T>::iter().count() == Models::<T>::iter().count(), "the index has strays");
        for (owner, sum) in deposits {
            let held = T::Currency::balance_on_hold(&HoldReason::ModelDeposit.into(), &owner);
            ensure!(held == sum, "the deposits of an owner differ from its hold");
        }
        Ok(())
    }

    /// Only jobs that are in work have proofs; one that waits for its next provider, or for that one's start, has those of
    /// the tranches before.
    fn check_closed_jobs_left_nothing() -> Result<(), TryRuntimeError> {
        let jobs: BTreeSet<JobId> = Commitments::<T>::iter_keys()
            .chain(Results::<T>::iter_keys())
            .chain(OpenDisputes::<T>::iter_keys())
            .chain(AuditLog::<T>::iter_keys())
            .chain(CommittedAt::<T>::iter_keys().map(|(job, _)| job))
            .chain(Draws::<T>::iter_keys().map(|(job, _)| job))
            .chain(Audits::<T>::iter_keys().map(|(job, _)| job))
            .collect();
        for job in jobs {
            let view = Self::view(job)?;
            if view.state.is_in_work() {
                continue;
            }
            ensure!(!view.state.is_terminal(), "a job that is not live has proofs");
            let kept = view.tranches.last().ok_or("a job that nobody has worked on has proofs")?;
            let (_, end) = view.spec.milestone_segments(kept.last_milestone).ok_or("an unknown tranche")?;
            ensure!(Self::segments_committed(job) == end, "more than the tranches is kept, or less");
            ensure!(!Results::<T>::contains_key(job), "a job that is handed over has a result");
            let passed = Audits::<T>::iter_prefix(job).all(|(_, audit)| audit.stage == Stage::Passed);
            ensure!(passed, "an audit of a job that is handed over goes on");
            let logged = AuditLog::<T>::get(job).iter().all(|entry| entry.segment < end);
            ensure!(logged, "an audit of dropped work is in the log");
        }
        Ok(())
    }

    /// Commitments are bounded by the specification; exactly the full milestones are marked; a result has them all.
    fn check_commitments() -> Result<(), TryRuntimeError> {
        for job in Commitments::<T>::iter_keys() {
            let spec = Self::view(job)?.spec;
            let committed = Self::segments_committed(job);
            ensure!(committed <= spec.segments(), "more segments are committed than the job has");
            for milestone in 0u32..u32::try_from(spec.milestones.len()).unwrap_or(u32::MAX) {
                let (_, end) = spec.milestone_segments(milestone).ok_or("a milestone has no segments")?;
                ensure!(
                    CommittedAt::<T>::contains_key(job, milestone) == (committed >= end),
                    "the mark of a milestone differs from its segments"
                );
            }
        }
        for (job, seals) in SealsBefore::<T>::iter() {
            ensure!(!seals.is_empty(), "a job notes seals of no milestone");
            let is_committed = |milestone: &u32| CommittedAt::<T>::contains_key(job, milestone);
            ensure!(seals.keys().all(is_committed), "a milestone notes seals, but no commitment");
        }
        for job in Results::<T>::iter_keys() {
            let all = Self::view(job)?.spec.segments();
            ensure!(Self::segments_committed(job) == all, "a job has a result, but not all segments");
        }
        Ok(())
    }

    /// Draws are of committed milestones; drawn segments are distinct, lie in theirs, and have one audit each, whose
    /// bit tells if it passed.
    fn check_draws() -> Result<(), TryRuntimeError> {
        let mut drawn = 0usize;
        for (job, milestone, draw) in Draws::<T>::iter() {
            let spec = Self::view(job)?.spec;
            ensure!(
                CommittedAt::<T>::contains_key(job, milestone),
                "a milestone was drawn before it was full"
            );
            let (first, end) = spec.milestone_segments(milestone).ok_or("an unknown milestone was drawn")?;
            ensure!(draw.segments.windows(2).all(|pair| pair[0] < pair[1]), "drawn segments are not rising");
            ensure!(
                draw.segments.len() == usize::from(spec.assurance.samples),
                "too few segments were drawn"
            );
            ensure!(
                u64::from(draw.passed) < 1u64.checked_shl(spec.assurance.samples.into()).unwrap_or(0),
                "the bitmap of a draw is too long"
            );
            for segment in draw.segments.iter().copied() {
                ensure!((first..end).contains(&segment), "a drawn segment lies outside its milestone");
                let audit = Audits::<T>::get(job, segment).ok_or("a drawn segment has no audit")?;
                ensure!(audit.milestone == milestone, "an audit names another milestone");
                ensure!(
                    (audit.stage == Stage::Passed) == draw.has_passed(segment),
                    "a bit of a draw is wrong"
                );
                drawn = drawn.saturating_add(1);
            }
        }
        ensure!(drawn == Audits::<T>::iter_keys().count(), "an audit was not drawn");
        Ok(())
    }

    /// Each audit that goes on waits for somebody until one deadline; its slots are distinct and fit its stage.
    fn check_audits() -> Result<(), TryRuntimeError> {
        for (job, _, audit) in Audits::<T>::iter() {
            let view = Self::view(job)?;
            Self::check_slots(&view, &audit)?;
            if audit.stage == Stage::Passed {
                continue;
            }
            ensure!(audit.deadline > 0, "an audit has no deadline");
            ensure!(audit.waiting().next().is_some(), "an audit waits for nobody");
            let all_committed = audit.waiting().all(|slot| slot.commitment.is_some());
            let fits = match audit.stage {
                Stage::Committing => !all_committed,
                Stage::Opening => all_committed && audit.trace.is_none() && audit.round == Round::First,
                Stage::Revealing => {
                    all_committed
                        && audit.trace.is_some()
                        && audit.waiting().any(|slot| slot.verdict.is_none())
                }
                Stage::Passed => true,
            };
            ensure!(fits, "an audit does not fit its stage");
            ensure!(audit.round == Round::First || audit.trace.is_some(), "a committee has no open trace");
        }
        Ok(())
    }

    fn check_slots(view: &ViewOf<T>, audit: &AuditOf<T>) -> Result<(), TryRuntimeError> {
        // Audits of an earlier tranche are over; whoever trains now may have been among their auditors.
        let current = view.assignment.as_ref().filter(|a| audit.milestone >= a.first_milestone);
        let provider = current.map(|assignment| &assignment.provider);
        let mut seen = BTreeSet::new();
        for slot in &audit.slots {
            ensure!(seen.insert(&slot.auditor), "an auditor has two slots");
            ensure!(Some(&slot.auditor) != provider, "the provider audits itself");
            ensure!(slot.auditor != view.customer, "the customer audits its own job");
            ensure!(slot.auditor != view.funder, "whoever pays audits its own job");
            ensure!(slot.verdict.is_none() || slot.commitment.is_some(), "a verdict without a commitment");
            ensure!(slot.verdict.is_none() || !slot.missed, "an auditor that missed has a verdict");
            ensure!(audit.round == Round::Committee || !slot.in_committee, "a committee in the first round");
        }
        Ok(())
    }

    /// The count of open disputes is that of audits before a committee, and a job with one is disputed.
    fn check_disputes() -> Result<(), TryRuntimeError> {
        let mut open = BTreeMap::<JobId, u32>::new();
        for (job, _, audit) in Audits::<T>::iter() {
            if audit.round == Round::Committee && audit.stage != Stage::Passed {
                let count = open.entry(job).or_default();
                *count = count.saturating_add(1);
            }
        }
        let counted: BTreeMap<JobId, u32> = OpenDisputes::<T>::iter().collect();
        ensure!(counted == open, "the count of open disputes is wrong");
        for job in open.into_keys() {
            ensure!(matches!(Self::view(job)?.state, JobState::Disputed(_)), "a disputed job goes on");
        }
        Ok(())
    }

    /// A record is filed under its job, which is not live any more.
    fn check_records() -> Result<(), TryRuntimeError> {
        for (id, record) in Records::<T>::iter() {
            ensure!(record.job == id, "a record is filed under another id");
            ensure!(
                T::JobEscrow::job(id).is_none_or(|job| job.state == JobState::Finalized),
                "a job that is not finalized has a record"
            );
        }
        Ok(())
    }

    fn view(job: JobId) -> Result<ViewOf<T>, TryRuntimeError> {
        T::JobEscrow::job(job).ok_or_else(|| "an unknown job has proofs".into())
    }
}
