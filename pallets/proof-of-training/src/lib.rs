//! # Proof of training
//!
//! The registry of base models, what providers commit to, the audits that check it, and the record that stays.
//!
//! ## Terms
//! * **Segment**: a run of optimizer steps, the unit of commitment and of audit. A **milestone** is a run of segments.
//! * **Trace**: the hash chain over what a segment's steps did. Whoever did not do the work does not know it.
//! * **Auditor**: a provider drawn to re-execute a segment. It acts through its operator key.
//! * **Committee**: the further auditors drawn when one of the first found a mismatch.
//!
//! ## Rules
//! 1. The assigned provider commits to the segments in order: the state after each, a hiding commitment to its trace,
//!    and its metrics. The last segment of a milestone tells job-escrow, which moves the deadline on.
//! 2. Once there is randomness from an epoch that began after the milestone's commitment (and at least
//!    `FinalityMargin` blocks after it), anyone can have the audits drawn, with the first such randomness, whenever
//!    it is done: the segments evenly, and the auditors of each by stake, among the active providers who compute in the job's arithmetic. The job's provider, its
//!    customer and whoever pays for it are never drawn.
//! 3. Auditors commit to what they found. When all have, or the deadline has passed and one has, the provider opens its
//!    trace; then the auditors reveal. Equal end root and trace are a match. The metrics that the provider reported are
//!    part of the trace that counts, so a false metric is a mismatch. An auditor that could not get the inputs reveals
//!    zeros, which counts against the provider.
//! 4. All match: the audit passes, its auditors are paid, and with the last audit of a milestone the milestone is
//!    verified. Otherwise the job is disputed and a committee is drawn, which commits and reveals likewise.
//! 5. Two thirds of all who answered, in both rounds, condemn the provider: [`Failure::WrongResult`]. Otherwise it is
//!    upheld. Fees go to those that the outcome bears out; the others are not paid and are counted. No further auditor
//!    to draw means that those who answered decide.
//! 6. A provider that does not open its trace in time loses ([`Failure::TraceNotOpened`]). Auditors that do not answer
//!    are counted. If none of a round answers, others are drawn, at most `MaxRedraws` times; then the job ends without
//!    fault ([`Failure::NoAuditors`]).
//! 7. A job that is handed over to another provider keeps what is verified and paid, a prefix of its milestones; the rest
//!    is dropped, with the audits that go on, and the next provider commits to it anew.
//! 8. A finalized job leaves a [`TrainingRecord`], which names the providers of its tranches. Every closed job's proofs
//!    are deleted at once; the record stays until its customer removes it, at the earliest `RecordRetention` blocks
//!    later.
//!
//! ## Limitations
//! * The committee works with the trace in the open, as do auditors who are redrawn after it was opened: a lazy
//!   member could vote "match" without working. Its vote must then agree with two thirds of the others to do harm.
//! * Segments follow from the randomness alone, auditors also from who is active with what stake when they are drawn. So
//!   others than the provider draw, too, some blocks after they can.
//! * The committee and the redrawn are drawn with the randomness of the moment; whoever reveals last can foresee them.
//! * Exact arithmetic is checked like class-exact arithmetic: a dispute ends in a committee's vote. It makes the
//!   committee's members many, and what they vote on the same everywhere; it doesn't replace them yet.
//! * Where few providers compute in an arithmetic the first round may be all there is, and one voice may decide.
//! * Auditors who committed are not paid when the provider never opens its trace: nothing shows that they worked.
//! * Whoever had a job before a handover may be drawn to audit the next provider's work.
//! * A record lists at most [`MAX_AUDIT_ENTRIES`] answers; events tell all.
//!
//! [`Failure::WrongResult`]: attune_primitives::machine::Failure::WrongResult
//! [`Failure::TraceNotOpened`]: attune_primitives::machine::Failure::TraceNotOpened
//! [`Failure::NoAuditors`]: attune_primitives::machine::Failure::NoAuditors
//! [`TrainingRecord`]: attune_primitives::proof::TrainingRecord
//! [`MAX_AUDIT_ENTRIES`]: attune_primitives::proof::MAX_AUDIT_ENTRIES
#![cfg_attr(not(feature = "std"), no_std)]
#![cfg_attr(not(test), deny(clippy::arithmetic_side_effects))]

extern crate alloc;

mod audits;
#[cfg(feature = "runtime-benchmarks")]
pub mod benchmarking;
mod commitments;
mod draw;
mod due;
mod errors;
mod events;
#[cfg(any(test, feature = "std", feature = "try-runtime"))]
mod invariants;
#[cfg(test)]
mod mock;
mod models;
mod records;
#[cfg(test)]
mod tests;
pub mod types;
mod verdicts;
pub mod views;
pub mod weights;

pub use pallet::*;
pub use weights::WeightInfo;

use frame_support::pallet_macros::import_section;

/// The pallet's declarations: what it needs, stores, tells and offers.
#[import_section(events::events)]
#[import_section(errors::errors)]
#[frame_support::pallet]
pub mod pallet {
    use alloc::vec::Vec;

    use attune_primitives::{
        job::{MAX_AUDITORS, MAX_MILESTONES, MAX_SEGMENTS},
        page::Page,
        proof::{AuditEntry, SegmentCommitment, SegmentMetrics, TrainingRecord, Verdict, MAX_AUDIT_ENTRIES},
        traits::{EpochRandomness, JobEscrow, Providers},
        Balance, BlockNumber, JobId, ModelId, RecordId, H256,
    };
    use frame_support::{
        pallet_prelude::*,
        traits::{
            fungible::{Inspect, InspectHold, MutateHold},
            UnixTime,
        },
    };
    use frame_system::pallet_prelude::*;

    use crate::{
        types::{Audit, Draw, Model, ModelInfo, Stage, TrainingResult, MAX_SLOTS},
        views::{JobProgress, RecordFilter, RecordInfo, RegisteredModel},
        WeightInfo,
    };

    /// The layout of what is stored.
    const STORAGE_VERSION: StorageVersion = StorageVersion::new(1);

    /// The pallet.
    #[pallet::pallet]
    #[pallet::storage_version(STORAGE_VERSION)]
    pub struct Pallet<T>(_);

    /// What the pallet needs.
    #[pallet::config]
    pub trait Config: frame_system::Config<RuntimeEvent: From<Event<Self>>> {
        /// Money, for the deposits of models.
        type Currency: Inspect<Self::AccountId, Balance = Balance>
            + InspectHold<Self::AccountId, Reason = Self::RuntimeHoldReason>
            + MutateHold<Self::AccountId>;
        /// Reasons for holds.
        type RuntimeHoldReason: From<HoldReason>;
        /// Provider staking.
        type Providers: Providers<Self::AccountId>;
        /// Job escrow.
        type JobEscrow: JobEscrow<Self::AccountId>;
        /// Randomness for draws.
        type Randomness: EpochRandomness;
        /// The time, for records.
        type UnixTime: UnixTime;
        /// How long auditors may take to re-execute a segment and commit, in blocks.
        #[pallet::constant]
        type VerdictCommitBlocks: Get<BlockNumber>;
        /// How long the provider may take to open a trace, in blocks.
        #[pallet::constant]
        type OpenBlocks: Get<BlockNumber>;
        /// How long auditors may take to reveal, in blocks.
        #[pallet::constant]
        type RevealBlocks: Get<BlockNumber>;
        /// Blocks after which a commitment counts as final.
        #[pallet::constant]
        type FinalityMargin: Get<BlockNumber>;
        /// How often the auditors of one round are drawn anew when none answers.
        #[pallet::constant]
        type MaxRedraws: Get<u32>;
        /// Further auditors drawn for a dispute.
        #[pallet::constant]
        type CommitteeSize: Get<u32>;
        /// Deposit for a model, in planck.
        #[pallet::constant]
        type ModelDeposit: Get<Balance>;
        /// Blocks that a record stays at least.
        #[pallet::constant]
        type RecordRetention: Get<BlockNumber>;
        /// What the calls cost.
        type WeightInfo: WeightInfo;
        /// Sets up what benchmarks need of the neighbours.
        #[cfg(feature = "runtime-benchmarks")]
        type BenchmarkHelper: crate::benchmarking::BenchmarkHelper<Self::AccountId>;
    }

    /// Why this pallet holds money.
    #[pallet::composite_enum]
    pub enum HoldReason {
        /// The deposit of a registered model.
        ModelDeposit,
    }

    /// Id of the next model.
    #[pallet::storage]
    pub type NextModelId<T: Config> = StorageValue<_, ModelId, ValueQuery>;

    /// Base models. Their owner removes them once no open job uses them.
    #[pallet::storage]
    pub type Models<T: Config> = StorageMap<_, Twox64Concat, ModelId, Model<T::AccountId>>;

    /// The model with given files, so that none is registered twice. Goes with the model.
    #[pallet::storage]
    pub type ModelByArtifact<T: Config> = StorageMap<_, Blake2_128Concat, H256, ModelId>;

    /// What the provider committed to, by segment. Goes when the job is closed, as all that follows but [`Records`].
    #[pallet::storage]
    pub type Commitments<T: Config> =
        StorageMap<_, Twox64Concat, JobId, BoundedVec<SegmentCommitment, ConstU32<MAX_SEGMENTS>>, ValueQuery>;

    /// The submitted result of a job.
    #[pallet::storage]
    pub type Results<T: Config> = StorageMap<_, Twox64Concat, JobId, TrainingResult>;

    /// The block in which all segments of a milestone were committed; draws wait for randomness from after it.
    #[pallet::storage]
    pub type CommittedAt<T: Config> =
        StorageDoubleMap<_, Twox64Concat, JobId, Twox64Concat, u32, BlockNumber>;

    /// How many seals of audit randomness there were when a job's milestones were committed: where the search for the one
    /// that each is drawn with begins. Milestones that an earlier runtime took in are missing. Goes with [`Commitments`].
    #[pallet::storage]
    pub type SealsBefore<T: Config> =
        StorageMap<_, Twox64Concat, JobId, BoundedBTreeMap<u32, u32, ConstU32<MAX_MILESTONES>>, ValueQuery>;

    /// What was drawn of a milestone.
    #[pallet::storage]
    pub type Draws<T: Config> = StorageDoubleMap<_, Twox64Concat, JobId, Twox64Concat, u32, Draw>;

    /// The audit of a drawn segment.
    #[pallet::storage]
    pub type Audits<T: Config> =
        StorageDoubleMap<_, Twox64Concat, JobId, Twox64Concat, u32, Audit<T::AccountId>>;

    /// Audits of a job that a committee is deciding; the job is upheld when the last one is.
    #[pallet::storage]
    pub type OpenDisputes<T: Config> = StorageMap<_, Twox64Concat, JobId, u32, ValueQuery>;

    /// Every answer and every missing one, for the record.
    #[pallet::storage]
    pub type AuditLog<T: Config> = StorageMap<
        _,
        Twox64Concat,
        JobId,
        BoundedVec<AuditEntry<T::AccountId>, ConstU32<MAX_AUDIT_ENTRIES>>,
        ValueQuery,
    >;

    /// The record of a finalized job. Its customer removes it once it may.
    #[pallet::storage]
    pub type Records<T: Config> = StorageMap<_, Twox64Concat, RecordId, TrainingRecord<T::AccountId>>;

    #[pallet::hooks]
    impl<T: Config> Hooks<BlockNumberFor<T>> for Pallet<T> {
        fn integrity_test() {
            let rounds = u64::from(T::MaxRedraws::get()).saturating_add(1);
            let drawn = u64::from(MAX_AUDITORS).saturating_add(u64::from(T::CommitteeSize::get()));
            assert!(
                rounds.saturating_mul(drawn) <= u64::from(MAX_SLOTS),
                "(MAX_AUDITORS + CommitteeSize) * (MaxRedraws + 1) must be at most MAX_SLOTS = {MAX_SLOTS}"
            );
            assert!(T::CommitteeSize::get() > 0, "CommitteeSize must not be 0");
        }

        #[cfg(feature = "try-runtime")]
        fn try_state(_: BlockNumberFor<T>) -> Result<(), sp_runtime::TryRuntimeError> {
            Self::do_try_state()
        }
    }

    impl<T: Config> Pallet<T> {
        /// The most blocks that one audit's round can take when every stage runs into its deadline and every redraw is
        /// used. Job-escrow's windows for audits and disputes must be longer.
        pub fn longest_round_blocks() -> BlockNumber {
            let stages = [T::VerdictCommitBlocks::get(), T::OpenBlocks::get(), T::RevealBlocks::get()];
            // One more block for each stage, in which its passed deadline is enforced.
            let once =
                stages.into_iter().fold(0u32, |sum, blocks| sum.saturating_add(blocks).saturating_add(1));
            once.saturating_mul(T::MaxRedraws::get().saturating_add(1))
        }
    }

    #[pallet::call]
    impl<T: Config> Pallet<T> {
        /// Registers a base model. Holds `ModelDeposit` on the sender's account until the model is removed.
        ///
        /// # Errors
        /// `IncompleteModel`, `ModelExists`; or the deposit cannot be held.
        #[pallet::call_index(0)]
        #[pallet::weight(T::WeightInfo::register_model())]
        pub fn register_model(origin: OriginFor<T>, info: ModelInfo) -> DispatchResult {
            Self::do_register_model(ensure_signed(origin)?, info)
        }

        /// Removes a base model that no open job uses, and returns its deposit. By its owner.
        ///
        /// # Errors
        /// `UnknownModel`, `NotModelOwner`, `ModelInUse`.
        #[pallet::call_index(1)]
        #[pallet::weight(T::WeightInfo::remove_model())]
        pub fn remove_model(origin: OriginFor<T>, model: ModelId) -> DispatchResult {
            Self::do_remove_model(&ensure_signed(origin)?, model)
        }

        /// Commits to the next segment. By the operator of the assigned provider.
        ///
        /// # Errors
        /// `UnknownJob`, `NotOperator`, `NotAssigned`, `JobNotRunning`, `UnknownSegment`, `NotNextSegment`,
        /// `HeldOutLossMissing`; or job-escrow refuses the milestone, as after its deadline.
        #[pallet::call_index(2)]
        #[pallet::weight(T::WeightInfo::commit_segment())]
        pub fn commit_segment(
            origin: OriginFor<T>,
            job: JobId,
            segment: u32,
            commitment: SegmentCommitment,
        ) -> DispatchResult {
            Self::do_commit_segment(&ensure_signed(origin)?, job, segment, commitment)
        }

        /// Names the adapter that the training made, after the last segment. By the operator of the assigned provider.
        ///
        /// # Errors
        /// `UnknownJob`, `NotOperator`, `NotAssigned`, `JobNotRunning`, `SegmentsMissing`, `EmptyAdapter`; or
        /// job-escrow refuses, as after the deadline.
        #[pallet::call_index(3)]
        #[pallet::weight(T::WeightInfo::submit_result())]
        pub fn submit_result(
            origin: OriginFor<T>,
            job: JobId,
            adapter: H256,
            adapter_bytes: u64,
        ) -> DispatchResult {
            Self::do_submit_result(&ensure_signed(origin)?, job, adapter, adapter_bytes)
        }

        /// Draws the segments of a committed milestone and their auditors. By anyone.
        ///
        /// # Errors
        /// `UnknownJob`, `JobNotLive`, `MilestoneNotCommitted`, `AlreadyDrawn`, `RandomnessTooOld`,
        /// `NoEligibleAuditors`.
        #[pallet::call_index(4)]
        #[pallet::weight(T::WeightInfo::draw_audits()
            .saturating_add(T::DbWeight::get().reads(Pallet::<T>::seals_searched().into())))]
        pub fn draw_audits(origin: OriginFor<T>, job: JobId, milestone: u32) -> DispatchResultWithPostInfo {
            ensure_signed(origin)?;
            Self::do_draw_audits(job, milestone)?;
            Ok(Pays::No.into())
        }

        /// Commits to what re-execution found: `attune_primitives::trace::verdict_commitment` of the end root, the
        /// trace with the auditor's own metrics folded in, the auditor's provider account and a salt. By the
        /// operator of a drawn auditor.
        ///
        /// # Errors
        /// `UnknownJob`, `JobNotLive`, `NotDrawn`, `WrongStage`, `TooLate`, `NotOperator`, `NotAuditor`,
        /// `AlreadyCommitted`.
        #[pallet::call_index(5)]
        #[pallet::weight(T::WeightInfo::commit_verdict())]
        pub fn commit_verdict(
            origin: OriginFor<T>,
            job: JobId,
            segment: u32,
            commitment: H256,
        ) -> DispatchResult {
            Self::do_commit_verdict(&ensure_signed(origin)?, job, segment, commitment)
        }

        /// Opens the trace of a drawn segment: T before the metrics are folded in, and the nonce of its commitment.
        /// By the operator of the assigned provider.
        ///
        /// # Errors
        /// `UnknownJob`, `JobNotLive`, `NotDrawn`, `WrongStage`, `TooLate`, `NotOperator`, `NotAssigned`,
        /// `TraceDiffers`.
        #[pallet::call_index(6)]
        #[pallet::weight(T::WeightInfo::open_trace())]
        pub fn open_trace(
            origin: OriginFor<T>,
            job: JobId,
            segment: u32,
            trace: H256,
            nonce: [u8; 32],
        ) -> DispatchResult {
            Self::do_open_trace(&ensure_signed(origin)?, job, segment, trace, &nonce)
        }

        /// Reveals what was committed to; end root and trace are zero if the inputs could not be fetched. The last one
        /// to reveal causes the count. By the operator of a drawn auditor.
        ///
        /// # Errors
        /// `UnknownJob`, `JobNotLive`, `NotDrawn`, `WrongStage`, `TooLate`, `NotOperator`, `NotAuditor`,
        /// `AlreadyRevealed`, `VerdictDiffers`.
        #[pallet::call_index(7)]
        #[pallet::weight(T::WeightInfo::reveal_verdict().max(T::WeightInfo::draw_committee()))]
        pub fn reveal_verdict(
            origin: OriginFor<T>,
            job: JobId,
            segment: u32,
            end_root: H256,
            trace: H256,
            salt: [u8; 32],
        ) -> DispatchResult {
            Self::do_reveal_verdict(&ensure_signed(origin)?, job, segment, end_root, trace, &salt)
        }

        /// Ends a stage whose deadline is over. By anyone, free of fees then.
        ///
        /// # Errors
        /// `UnknownJob`, `JobNotLive`, `NotDrawn`, `WrongStage`, `TooEarly`.
        #[pallet::call_index(8)]
        #[pallet::weight(T::WeightInfo::enforce_audit_deadline().max(T::WeightInfo::redraw_auditors()))]
        #[pallet::feeless_if(|_: &OriginFor<T>, job: &JobId, segment: &u32| -> bool {
            Pallet::<T>::is_audit_deadline_due(*job, *segment)
        })]
        pub fn enforce_audit_deadline(origin: OriginFor<T>, job: JobId, segment: u32) -> DispatchResult {
            ensure_signed(origin)?;
            Self::do_enforce_audit_deadline(job, segment)
        }

        /// Removes a record that was kept long enough. By its customer.
        ///
        /// # Errors
        /// `UnknownRecord`, `NotCustomer`, `TooEarly`.
        #[pallet::call_index(9)]
        #[pallet::weight(T::WeightInfo::remove_record())]
        pub fn remove_record(origin: OriginFor<T>, record: RecordId) -> DispatchResult {
            Self::do_remove_record(&ensure_signed(origin)?, record)
        }
    }

    #[pallet::view_functions]
    impl<T: Config> Pallet<T> {
        /// Base models, newest first, with ids below `before` (all if `None`), at most `limit` and at most 50. Go on with
        /// the answer's `next` until it is `None`.
        pub fn models_page(
            before: Option<ModelId>,
            limit: u32,
        ) -> Page<RegisteredModel<T::AccountId>, ModelId> {
            Self::view_models(before, limit)
        }

        /// How far the training of a job is: commitments, milestones, audits and who has answered. `None` if there is no
        /// such job.
        pub fn job_progress(job: JobId) -> Option<JobProgress<T::AccountId>> {
            Self::view_progress(job)
        }

        /// A training record, all of it. Its id is that of its job.
        pub fn record(record: RecordId) -> Option<TrainingRecord<T::AccountId>> {
            Records::<T>::get(record)
        }

        /// The records that fit `filter`, newest first, with ids below `before`, at most `limit` and at most 50. Begin with
        /// `JobEscrow.NextJobId`, and go on with the answer's `next` until it is `None`; a page may be empty before that.
        pub fn records_page(
            filter: RecordFilter<T::AccountId>,
            before: RecordId,
            limit: u32,
        ) -> Page<RecordInfo<T::AccountId>, RecordId> {
            Self::view_records(&filter, before, limit)
        }
    }
}
