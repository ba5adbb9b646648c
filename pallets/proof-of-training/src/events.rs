//! What the pallet tells the world. A part of the `pallet` module.

use frame_support::pallet_macros::pallet_section;

/// The events.
#[pallet_section]
mod events {
    /// What happened.
    #[pallet::event]
    #[pallet::generate_deposit(pub(crate) fn deposit_event)]
    pub enum Event<T: Config> {
        /// A base model was registered.
        ModelRegistered {
            /// The model.
            model: ModelId,
            /// Who registered it.
            owner: T::AccountId,
            /// Content address of its files.
            artifact: H256,
        },
        /// A base model was removed and its deposit returned.
        ModelRemoved {
            /// The model.
            model: ModelId,
            /// Who had registered it.
            owner: T::AccountId,
        },
        /// The provider committed to a segment.
        SegmentCommitted {
            /// The job.
            job: JobId,
            /// The segment.
            segment: u32,
            /// State root after it.
            state_root: H256,
            /// What the provider reports of it.
            metrics: SegmentMetrics,
        },
        /// The last segment of a milestone was committed.
        MilestoneCommitted {
            /// The job.
            job: JobId,
            /// The milestone.
            milestone: u32,
        },
        /// The provider submitted the adapter.
        ResultSubmitted {
            /// The job.
            job: JobId,
            /// Content address of the adapter.
            adapter: H256,
            /// Its size, in bytes.
            adapter_bytes: u64,
        },
        /// Segments and auditors of a milestone were drawn; the audits start as `Committing`.
        AuditsDrawn {
            /// The job.
            job: JobId,
            /// The milestone.
            milestone: u32,
            /// The drawn segments.
            segments: Vec<u32>,
            /// Each drawn segment's auditors.
            auditors: Vec<(u32, T::AccountId)>,
            /// Last block to commit to a verdict.
            deadline: BlockNumber,
        },
        /// An auditor committed to its verdict.
        VerdictCommitted {
            /// The job.
            job: JobId,
            /// The segment.
            segment: u32,
            /// The auditor.
            auditor: T::AccountId,
            /// Its commitment.
            commitment: H256,
        },
        /// An audit moved on.
        AuditMoved {
            /// The job.
            job: JobId,
            /// The segment.
            segment: u32,
            /// The stage that it left.
            from: Stage,
            /// The stage that it entered.
            to: Stage,
            /// Last block of the stage that it entered.
            deadline: BlockNumber,
        },
        /// The provider opened a trace.
        TraceOpened {
            /// The job.
            job: JobId,
            /// The segment.
            segment: u32,
            /// The trace with the reported metrics folded in.
            trace: H256,
        },
        /// The provider did not open a trace in time; the job ends.
        TraceMissed {
            /// The job.
            job: JobId,
            /// The segment.
            segment: u32,
        },
        /// An auditor revealed its verdict.
        VerdictRevealed {
            /// The job.
            job: JobId,
            /// The segment.
            segment: u32,
            /// The auditor.
            auditor: T::AccountId,
            /// What it found.
            verdict: Verdict,
        },
        /// An auditor did not answer in time.
        AuditorMissed {
            /// The job.
            job: JobId,
            /// The segment.
            segment: u32,
            /// The auditor.
            auditor: T::AccountId,
        },
        /// Nobody answered; others were drawn.
        AuditorsRedrawn {
            /// The job.
            job: JobId,
            /// The segment.
            segment: u32,
            /// Those drawn now.
            auditors: Vec<T::AccountId>,
            /// How often this round was redrawn.
            redraws: u32,
        },
        /// Nobody answered and nobody else can be drawn; the job ends without fault.
        AuditorsExhausted {
            /// The job.
            job: JobId,
            /// The segment.
            segment: u32,
        },
        /// An auditor found a mismatch: the job is disputed and a committee decides, or those who answered if it is
        /// empty.
        CommitteeDrawn {
            /// The job.
            job: JobId,
            /// The segment.
            segment: u32,
            /// The committee.
            auditors: Vec<T::AccountId>,
        },
        /// The votes condemned the provider; the job ends.
        ProviderCondemned {
            /// The job.
            job: JobId,
            /// The segment.
            segment: u32,
            /// Votes against the provider.
            against: u32,
            /// All votes.
            answered: u32,
        },
        /// The votes upheld the provider.
        ProviderUpheld {
            /// The job.
            job: JobId,
            /// The segment.
            segment: u32,
            /// Votes against the provider.
            against: u32,
            /// All votes.
            answered: u32,
        },
        /// An auditor's verdict was overruled; it is not paid.
        AuditorOverruled {
            /// The job.
            job: JobId,
            /// The segment.
            segment: u32,
            /// The auditor.
            auditor: T::AccountId,
        },
        /// A segment's audit passed.
        AuditPassed {
            /// The job.
            job: JobId,
            /// The milestone.
            milestone: u32,
            /// The segment.
            segment: u32,
        },
        /// All audits of a milestone passed.
        MilestoneVerified {
            /// The job.
            job: JobId,
            /// The milestone.
            milestone: u32,
        },
        /// A job was handed over: what was committed, drawn and found from a milestone on is dropped. The next provider
        /// begins with that milestone's first segment, from the checkpoint of the segment before it.
        ProofsDropped {
            /// The job.
            job: JobId,
            /// The first milestone that is trained again.
            milestone: u32,
            /// Its first segment.
            segment: u32,
        },
        /// A job was finalized and recorded.
        RecordCreated {
            /// The record.
            record: RecordId,
            /// Who ordered the training.
            customer: T::AccountId,
            /// Who trained.
            provider: T::AccountId,
        },
        /// A record was removed by its customer.
        RecordRemoved {
            /// The record.
            record: RecordId,
        },
    }
}
