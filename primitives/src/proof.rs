//! What a provider commits to, what auditors find, and the record that outlives the job.

use bounded_collections::{BoundedVec, ConstU32};
use codec::{Decode, DecodeWithMemTracking, Encode, MaxEncodedLen};
use scale_info::TypeInfo;

use crate::{
    job::{ArithmeticMode, HyperParameters, Method, Theme, MAX_MILESTONES},
    provider::Hardware,
    Balance, BlockNumber, JobId, ModelId, H256,
};

/// Most audits that a record lists.
pub const MAX_AUDIT_ENTRIES: u32 = 256;

/// What the provider reports of a segment. Covered by the trace: a false report is a mismatch.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Encode, Decode, DecodeWithMemTracking, MaxEncodedLen, TypeInfo,
)]
pub struct SegmentMetrics {
    /// Mean training loss over the segment's steps, in millionths of a nat per token.
    pub train_loss_micro: u32,
    /// Tokens that the segment's steps saw (padding excluded).
    pub tokens: u64,
    /// Held-out loss before any training, in millionths of a nat per token; in segment 0 only.
    pub held_out_loss_before_micro: Option<u32>,
    /// Held-out loss at the end of the segment, in millionths of a nat per token; at the end of each milestone.
    pub held_out_loss_micro: Option<u32>,
}

/// A provider's commitment to one segment of training.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Encode, Decode, DecodeWithMemTracking, MaxEncodedLen, TypeInfo,
)]
pub struct SegmentCommitment {
    /// Root over {adapter, optimizer moments, step, counters} at the segment's end.
    pub state_root: H256,
    /// Hiding commitment to the trace T ([`crate::trace::commitment`]).
    pub trace_commitment: H256,
    /// Content address (BLAKE3) of the checkpoint at the segment's end; the next segment's auditors start from it.
    pub checkpoint: H256,
    /// Size of that checkpoint, in bytes.
    pub checkpoint_bytes: u64,
    /// What the provider reports of the segment.
    pub metrics: SegmentMetrics,
}

/// What an auditor found.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Encode, Decode, DecodeWithMemTracking, MaxEncodedLen, TypeInfo,
)]
pub enum Verdict {
    /// Re-execution gave the committed end root and trace.
    Match,
    /// Re-execution gave something else.
    Mismatch,
    /// The start checkpoint or an input could not be fetched from the provider. Revealed as a zero end root and a
    /// zero trace.
    Unavailable,
}

/// One audit as the record keeps it.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, DecodeWithMemTracking, MaxEncodedLen, TypeInfo)]
pub struct AuditEntry<AccountId> {
    /// The segment that was re-executed.
    pub segment: u32,
    /// The provider that re-executed it.
    pub auditor: AccountId,
    /// What it found; `None` if it was drawn and never answered.
    pub verdict: Option<Verdict>,
}

/// The milestones that one provider trained and was paid for. A job has several when it was handed over.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Encode, Decode, DecodeWithMemTracking, MaxEncodedLen, TypeInfo,
)]
pub struct Tranche<AccountId> {
    /// Who trained.
    pub provider: AccountId,
    /// Its first milestone, from 0.
    pub first_milestone: u32,
    /// Its last milestone.
    pub last_milestone: u32,
    /// What it was paid for them, in planck.
    pub paid: Balance,
    /// Unix time of its start, in milliseconds.
    pub started_at: u64,
}

/// The tranches of a job in the order of their milestones. Each has one at least, so there are never more.
pub type Tranches<AccountId> = BoundedVec<Tranche<AccountId>, ConstU32<MAX_MILESTONES>>;

/// What is known for ever about a finished training.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, DecodeWithMemTracking, MaxEncodedLen, TypeInfo)]
pub struct TrainingRecord<AccountId> {
    /// The job that made it.
    pub job: JobId,
    /// Who ordered and paid.
    pub customer: AccountId,
    /// Who trained, and finished where several did.
    pub provider: AccountId,
    /// Who trained which milestones, the finisher's last; together they are the whole job.
    pub tranches: Tranches<AccountId>,
    /// Unix time of the request, in milliseconds.
    pub requested_at: u64,
    /// Unix time of the first tranche's start, in milliseconds.
    pub started_at: u64,
    /// Unix time of the submission, in milliseconds.
    pub ended_at: u64,
    /// The finisher's machine, as advertised at assignment.
    pub hardware: Hardware,
    /// The finisher's price of a GPU hour at assignment, in planck.
    pub price_per_gpu_hour: Balance,
    /// What training cost, in planck: what all tranches were paid.
    pub price: Balance,
    /// Base model.
    pub model: ModelId,
    /// How it was tuned.
    pub method: Method,
    /// Optimizer and batch.
    pub hyper: HyperParameters,
    /// Arithmetic and execution class.
    pub mode: ArithmeticMode,
    /// What the training is about.
    pub theme: Theme,
    /// Hash of the whole specification.
    pub spec_hash: H256,
    /// Content address of the packed data set.
    pub data_root: H256,
    /// Optimizer steps.
    pub steps: u32,
    /// Tokens trained.
    pub tokens: u64,
    /// Held-out loss before training, in millionths of a nat per token.
    pub loss_before_micro: Option<u32>,
    /// Held-out loss after training, in millionths of a nat per token.
    pub loss_after_micro: Option<u32>,
    /// Merkle root over the SCALE encodings of the job's segment commitments, in order.
    pub trace_root: H256,
    /// State root after the last segment.
    pub final_state_root: H256,
    /// Content address (BLAKE3 of the manifest) of the adapter in PEFT layout.
    pub adapter: H256,
    /// Size of the adapter, in bytes.
    pub adapter_bytes: u64,
    /// Every audit and its verdict.
    pub audits: BoundedVec<AuditEntry<AccountId>, ConstU32<MAX_AUDIT_ENTRIES>>,
    /// Block of finalization.
    pub finalized_at: BlockNumber,
}
