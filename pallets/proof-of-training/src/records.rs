//! The training record, and the end of everything else: what [`ProofOfTraining`] does for job-escrow.

use attune_primitives::{
    hashing::blake2_256,
    job::{MAX_MILESTONES, MAX_SEGMENTS},
    machine::JobState,
    merkle,
    proof::{TrainingRecord, Tranche},
    traits::{Assignment, JobView, ProofOfTraining},
    Balance, JobId, ModelId, RecordId, H256,
};
use codec::Encode;
use frame_support::{ensure, traits::Get};
use sp_runtime::{DispatchError, DispatchResult};

use crate::{
    AuditLog, Audits, Commitments, CommittedAt, Config, Draws, Error, Event, Models, OpenDisputes, Pallet,
    Records, Results, SealsBefore,
};

impl<T: Config> ProofOfTraining<T::AccountId> for Pallet<T> {
    fn model_exists(model: ModelId) -> bool {
        Models::<T>::contains_key(model)
    }

    fn on_created(id: JobId, model: ModelId) -> DispatchResult {
        Self::use_model(id, model)
    }

    fn on_handover(id: JobId, job: &JobView<T::AccountId>, first: u32) -> DispatchResult {
        let (segment, _) = job.spec.milestone_segments(first).ok_or(Error::<T>::UnknownSegment)?;
        let kept = usize::try_from(segment).map_err(|_| Error::<T>::UnknownSegment)?;
        if kept == 0 {
            Commitments::<T>::remove(id);
            AuditLog::<T>::remove(id);
        } else {
            Commitments::<T>::mutate_extant(id, |commitments| commitments.truncate(kept));
            AuditLog::<T>::mutate_extant(id, |log| log.retain(|entry| entry.segment < segment));
        }
        SealsBefore::<T>::mutate_exists(id, |slot| {
            *slot = slot.take().and_then(|mut seals| {
                seals.retain(|milestone, _| *milestone < first);
                (!seals.is_empty()).then_some(seals)
            });
        });
        Results::<T>::remove(id);
        OpenDisputes::<T>::remove(id);
        // At most as many turns as a job has milestones, and in all as many audits as it has samples.
        for milestone in first..u32::try_from(job.spec.milestones.len()).unwrap_or(first) {
            CommittedAt::<T>::remove(id, milestone);
            let drawn = Draws::<T>::take(id, milestone).map(|draw| draw.segments).unwrap_or_default();
            for segment in drawn {
                Audits::<T>::remove(id, segment);
            }
        }
        Self::deposit_event(Event::ProofsDropped { job: id, milestone: first, segment });
        Ok(())
    }

    fn on_closed(id: JobId, job: &JobView<T::AccountId>) -> Result<(), DispatchError> {
        if job.state == JobState::Finalized {
            Self::write_record(id, job)?;
        }
        Self::free_model(job.spec.model);
        Self::clear_proofs(id);
        Ok(())
    }
}

impl<T: Config> Pallet<T> {
    fn write_record(id: JobId, job: &JobView<T::AccountId>) -> DispatchResult {
        let Assignment { provider, first_milestone, price, hardware, price_per_gpu_hour, started_at, .. } =
            job.assignment.clone().ok_or(Error::<T>::RecordIncomplete)?;
        let milestones =
            u32::try_from(job.spec.milestones.len()).map_err(|_| Error::<T>::RecordIncomplete)?;
        let mut tranches = job.tranches.clone();
        let last = Tranche {
            provider: provider.clone(),
            first_milestone,
            last_milestone: milestones.checked_sub(1).ok_or(Error::<T>::RecordIncomplete)?,
            paid: price,
            started_at: started_at.ok_or(Error::<T>::RecordIncomplete)?,
        };
        tranches.try_push(last).map_err(|_| Error::<T>::RecordIncomplete)?;
        let price = tranches.iter().try_fold(0u128, |sum: Balance, tranche| sum.checked_add(tranche.paid));
        let started_at = tranches.first().map(|tranche| tranche.started_at);
        let result = Results::<T>::get(id).ok_or(Error::<T>::RecordIncomplete)?;
        let commitments = Commitments::<T>::get(id);
        let first = commitments.first().ok_or(Error::<T>::RecordIncomplete)?;
        let last = commitments.last().ok_or(Error::<T>::RecordIncomplete)?;
        let leaves: alloc::vec::Vec<H256> =
            commitments.iter().map(|commitment| merkle::leaf_hash(&commitment.encode())).collect();
        let spec = &job.spec;
        let record = TrainingRecord {
            job: id,
            customer: job.customer.clone(),
            provider: provider.clone(),
            tranches,
            requested_at: job.requested_at,
            started_at: started_at.ok_or(Error::<T>::RecordIncomplete)?,
            ended_at: result.submitted_at,
            hardware,
            price_per_gpu_hour,
            price: price.ok_or(Error::<T>::RecordIncomplete)?,
            model: spec.model,
            method: spec.method,
            hyper: spec.hyper,
            mode: spec.mode.clone(),
            theme: spec.theme.clone(),
            spec_hash: blake2_256(&spec.encode()),
            data_root: spec.data.root,
            // Counts, not money: a job so large that they overflow ends with the largest count, not without a record.
            steps: spec.segments().saturating_mul(spec.steps_per_segment),
            tokens: commitments.iter().fold(0u64, |sum, c| sum.saturating_add(c.metrics.tokens)),
            loss_before_micro: first.metrics.held_out_loss_before_micro,
            loss_after_micro: last.metrics.held_out_loss_micro,
            trace_root: merkle::root(&leaves),
            final_state_root: last.state_root,
            adapter: result.adapter,
            adapter_bytes: result.adapter_bytes,
            audits: AuditLog::<T>::get(id),
            finalized_at: Self::now(),
        };
        Records::<T>::insert(id, record);
        Self::deposit_event(Event::RecordCreated { record: id, customer: job.customer.clone(), provider });
        Ok(())
    }

    /// Removes all that is stored about a job's proof, but its record. Bounded by the number of segments.
    fn clear_proofs(id: JobId) {
        Commitments::<T>::remove(id);
        SealsBefore::<T>::remove(id);
        Results::<T>::remove(id);
        AuditLog::<T>::remove(id);
        OpenDisputes::<T>::remove(id);
        // The limits are the most that a job can have, so nothing is left for a second call.
        let _ = CommittedAt::<T>::clear_prefix(id, MAX_MILESTONES, None);
        let _ = Draws::<T>::clear_prefix(id, MAX_MILESTONES, None);
        let _ = Audits::<T>::clear_prefix(id, MAX_SEGMENTS, None);
    }

    pub(crate) fn do_remove_record(who: &T::AccountId, id: RecordId) -> DispatchResult {
        let record = Records::<T>::get(id).ok_or(Error::<T>::UnknownRecord)?;
        ensure!(record.customer == *who, Error::<T>::NotCustomer);
        let kept_until = record.finalized_at.saturating_add(T::RecordRetention::get());
        ensure!(Self::now() > kept_until, Error::<T>::TooEarly);
        Records::<T>::remove(id);
        Self::deposit_event(Event::RecordRemoved { record: id });
        Ok(())
    }
}
