//! What was committed and audited, and the record that stays.

use attune_primitives::{
    proof::{SegmentCommitment, Verdict},
    BlockNumber, JobId,
};
use serde::Serialize;

use super::Record;
use crate::{json, AccountId, H256};

/// Where an audit stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum AuditStage {
    /// The auditors re-execute and commit to what they found.
    Committing,
    /// The provider opens its trace.
    Opening,
    /// The auditors who committed reveal.
    Revealing,
    /// The provider's segment stands.
    Passed,
}

/// One auditor's place in an audit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct SlotInfo {
    /// The provider that was drawn.
    pub auditor: AccountId,
    /// Its commitment to what it found.
    #[serde(with = "json::option_hash")]
    pub commitment: Option<H256>,
    /// What it revealed.
    #[serde(with = "json::verdict")]
    pub verdict: Option<Verdict>,
    /// Drawn for the committee, not for the first round.
    pub in_committee: bool,
    /// Did not answer in time.
    pub missed: bool,
}

/// The audit of one drawn segment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct AuditInfo {
    /// The job.
    pub job: JobId,
    /// The segment that is re-executed.
    pub segment: u32,
    /// The milestone that it belongs to.
    pub milestone: u32,
    /// Where it stands.
    pub stage: AuditStage,
    /// True once a committee decides.
    pub committee: bool,
    /// Last block of the stage.
    pub deadline: BlockNumber,
    /// How often auditors were drawn anew because none answered.
    pub redraws: u32,
    /// The provider's opened trace with its reported metrics folded in.
    #[serde(with = "json::option_hash")]
    pub trace: Option<H256>,
    /// Everyone drawn so far.
    pub slots: Vec<SlotInfo>,
}

impl AuditInfo {
    /// The slots that the current round waits for.
    pub fn waiting(&self) -> impl Iterator<Item = &SlotInfo> {
        self.slots.iter().filter(|slot| slot.in_committee == self.committee && !slot.missed)
    }

    /// An auditor's slot.
    pub fn slot(&self, auditor: &AccountId) -> Option<&SlotInfo> {
        self.slots.iter().find(|slot| slot.auditor == *auditor)
    }
}

/// What was drawn of one milestone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct DrawInfo {
    /// The milestone.
    pub milestone: u32,
    /// Block of the draw.
    pub drawn_at: BlockNumber,
    /// The drawn segments.
    pub segments: Vec<u32>,
}

/// The submitted result of a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct ResultInfo {
    /// Content address (BLAKE3 of the manifest) of the adapter.
    #[serde(with = "json::hash")]
    pub adapter: H256,
    /// Size of the adapter, in bytes.
    pub adapter_bytes: u64,
    /// Unix time of the submission, in milliseconds.
    pub submitted_at: u64,
}

/// A committed segment with its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct CommitmentInfo {
    /// The segment.
    pub segment: u32,
    /// What the provider committed to.
    #[serde(with = "json::commitment")]
    pub commitment: SegmentCommitment,
}

/// A training record.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct RecordInfo {
    /// The record.
    #[serde(with = "json::record")]
    pub record: Record,
}
