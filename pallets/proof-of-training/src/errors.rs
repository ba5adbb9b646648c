//! Why the pallet refuses a call: what was wrong, and what to change. A part of the `pallet` module.

use frame_support::pallet_macros::pallet_section;

/// The errors.
#[pallet_section]
mod errors {
    /// Why a call is refused.
    #[pallet::error]
    pub enum Error<T> {
        /// There is no model with this id.
        UnknownModel,
        /// A model with these files is registered already; use its id.
        ModelExists,
        /// A model needs a name, an architecture, parameters and files.
        IncompleteModel,
        /// No model id is left.
        TooManyModels,
        /// Only the account that registered the model can remove it.
        NotModelOwner,
        /// An open job uses the model; remove it once that job is closed.
        ModelInUse,
        /// More jobs use the model than can be counted.
        TooManyJobs,
        /// There is no job with this id.
        UnknownJob,
        /// The job is not running.
        JobNotRunning,
        /// The job is neither running, nor submitted, nor disputed, nor being cancelled: its audits are over.
        JobNotLive,
        /// The sender is not the operator key of a registered provider.
        NotOperator,
        /// The sender's provider is not the one that the job is assigned to.
        NotAssigned,
        /// The sender's provider is not drawn for this audit and round, or missed it.
        NotAuditor,
        /// The sender is not the customer.
        NotCustomer,
        /// The job has no such segment.
        UnknownSegment,
        /// Segments are committed in order; the next one is the number of those that are committed.
        NotNextSegment,
        /// The job has held-out rows: segment 0 needs the loss before training, a milestone's last segment the loss
        /// after it.
        HeldOutLossMissing,
        /// Not all segments are committed yet.
        SegmentsMissing,
        /// The adapter has no bytes.
        EmptyAdapter,
        /// Not all segments of the milestone are committed, or there is no such milestone.
        MilestoneNotCommitted,
        /// The milestone's audits are drawn already.
        AlreadyDrawn,
        /// No randomness yet from an epoch that began after the commitment was final; try again in the next epoch.
        RandomnessTooOld,
        /// No active provider computes in the job's arithmetic but its provider, its customer and its funder.
        NoEligibleAuditors,
        /// The audit has no room for further auditors.
        TooManySlots,
        /// The segment is not drawn.
        NotDrawn,
        /// The audit is in another stage.
        WrongStage,
        /// The deadline is over.
        TooLate,
        /// The deadline is not over yet.
        TooEarly,
        /// The auditor has committed already.
        AlreadyCommitted,
        /// The auditor has revealed already.
        AlreadyRevealed,
        /// The opened trace and nonce don't give the segment's trace commitment.
        TraceDiffers,
        /// The revealed root, trace and salt don't give the auditor's commitment.
        VerdictDiffers,
        /// The job lacks what its record needs: assignment, start, segments or result.
        RecordIncomplete,
        /// There is no record with this id.
        UnknownRecord,
    }
}
