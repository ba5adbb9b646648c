//! What the provider commits to: segments in order, milestones, the result.

use attune_primitives::{
    job::JobSpec,
    machine::{JobState, Phase},
    proof::SegmentCommitment,
    traits::{EpochRandomness, JobEscrow, JobView, Providers},
    JobId, H256,
};
use frame_support::{ensure, traits::UnixTime};
use sp_runtime::{traits::UniqueSaturatedInto, DispatchError, DispatchResult};

use crate::{
    types::TrainingResult, Commitments, CommittedAt, Config, Error, Event, Pallet, Results, SealsBefore,
};

impl<T: Config> Pallet<T> {
    /// Checks that `who` is the operator of the job's provider.
    pub(crate) fn ensure_provider(
        view: &JobView<T::AccountId>,
        who: &T::AccountId,
    ) -> Result<(), DispatchError> {
        let provider = T::Providers::provider_of_operator(who).ok_or(Error::<T>::NotOperator)?;
        let is_assigned = view.assignment.as_ref().is_some_and(|assignment| assignment.provider == provider);
        ensure!(is_assigned, Error::<T>::NotAssigned);
        Ok(())
    }

    pub(crate) fn do_commit_segment(
        who: &T::AccountId,
        job: JobId,
        segment: u32,
        commitment: SegmentCommitment,
    ) -> DispatchResult {
        let view = T::JobEscrow::job(job).ok_or(Error::<T>::UnknownJob)?;
        Self::ensure_provider(&view, who)?;
        ensure!(
            matches!(view.state, JobState::Running | JobState::Disputed(Phase::Running)),
            Error::<T>::JobNotRunning
        );
        let milestone = view.spec.milestone_of(segment).ok_or(Error::<T>::UnknownSegment)?;
        let next = Self::segments_committed(job);
        ensure!(segment == next, Error::<T>::NotNextSegment);
        let (_, end) = view.spec.milestone_segments(milestone).ok_or(Error::<T>::UnknownSegment)?;
        let is_last = next.checked_add(1) == Some(end);
        Self::ensure_held_out_losses(&view.spec, segment, is_last, &commitment)?;

        Commitments::<T>::try_append(job, commitment).map_err(|()| Error::<T>::UnknownSegment)?;
        Self::deposit_event(Event::SegmentCommitted {
            job,
            segment,
            state_root: commitment.state_root,
            metrics: commitment.metrics,
        });
        if is_last {
            CommittedAt::<T>::insert(job, milestone, Self::now());
            let seals = T::Randomness::seals();
            SealsBefore::<T>::try_mutate(job, |all| all.try_insert(milestone, seals))
                .map_err(|_| Error::<T>::UnknownSegment)?;
            T::JobEscrow::milestone_committed(job, milestone)?;
            Self::deposit_event(Event::MilestoneCommitted { job, milestone });
        }
        Ok(())
    }

    /// The held-out losses have their places: before training in segment 0, after training at each milestone's end.
    fn ensure_held_out_losses(
        spec: &JobSpec<T::AccountId>,
        segment: u32,
        is_last: bool,
        commitment: &SegmentCommitment,
    ) -> DispatchResult {
        let metrics = &commitment.metrics;
        let needed = spec.data.held_out_rows > 0;
        let has_before = !needed || segment > 0 || metrics.held_out_loss_before_micro.is_some();
        let has_after = !needed || !is_last || metrics.held_out_loss_micro.is_some();
        ensure!(has_before && has_after, Error::<T>::HeldOutLossMissing);
        Ok(())
    }

    pub(crate) fn do_submit_result(
        who: &T::AccountId,
        job: JobId,
        adapter: H256,
        adapter_bytes: u64,
    ) -> DispatchResult {
        let view = T::JobEscrow::job(job).ok_or(Error::<T>::UnknownJob)?;
        Self::ensure_provider(&view, who)?;
        ensure!(view.state == JobState::Running, Error::<T>::JobNotRunning);
        ensure!(Self::segments_committed(job) == view.spec.segments(), Error::<T>::SegmentsMissing);
        ensure!(adapter_bytes > 0, Error::<T>::EmptyAdapter);
        let submitted_at = T::UnixTime::now().as_millis().unique_saturated_into();
        Results::<T>::insert(job, TrainingResult { adapter, adapter_bytes, submitted_at });
        T::JobEscrow::submitted(job)?;
        Self::deposit_event(Event::ResultSubmitted { job, adapter, adapter_bytes });
        Ok(())
    }

    /// Number of segments that are committed, which is the index of the next one.
    pub fn segments_committed(job: JobId) -> u32 {
        Commitments::<T>::decode_len(job).and_then(|len| u32::try_from(len).ok()).unwrap_or(0)
    }
}
