//! The training record, and the end of everything else: what [`ProofOfTraining`] does for job-escrow.

use attune_primitives::{
    hashing::blake2_256,
    job::{MAX_MILESTONES, MAX_SEGMENTS},
    machine::JobState,
    merkle,
    proof::TrainingRecord,
    traits::{Assignment, JobView, ProofOfTraining},
    JobId, ModelId, RecordId, H256,
};
use codec::Encode;
use frame_support::{ensure, traits::Get};
use sp_runtime::{DispatchError, DispatchResult};

use crate::{
    AuditLog, Audits, Commitments, CommittedAt, Config, Draws, Error, Event, Models, OpenDisputes, Pallet,
    Records, Results,
};

impl<T: Config> ProofOfTraining<T::AccountId> for Pallet<T> {
    fn model_exists(model: ModelId) -> bool {
        Models::<T>::contains_key(model)
    }

    fn on_created(id: JobId, model: ModelId) -> DispatchResult {
        Self::use_model(id, model)
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
        let Assignment { provider, price, hardware, price_per_gpu_hour, started_at, .. } =
            job.assignment.clone().ok_or(Error::<T>::RecordIncomplete)?;
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
            requested_at: job.requested_at,
            started_at: started_at.ok_or(Error::<T>::RecordIncomplete)?,
            ended_at: result.submitted_at,
            hardware,
            price_per_gpu_hour,
            price,
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
