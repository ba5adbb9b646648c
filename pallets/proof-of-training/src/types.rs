//! What the pallet stores: models, drawn audits and their slots.
//!
//! An [`Audit`] is one drawn segment. It goes through `Committing → Opening → Revealing → Passed`; a mismatch sends it
//! through `Committing → Revealing` once more, with a committee. Each stage but the last has one deadline.

use attune_primitives::{job::MAX_SAMPLES, proof::Verdict, provider::Name, Balance, BlockNumber, H256};
use codec::{Decode, DecodeWithMemTracking, Encode, MaxEncodedLen};
use frame_support::{traits::ConstU32, BoundedVec};
use scale_info::TypeInfo;

/// Most slots of one audit: first round, committee, and every redraw of both. `integrity_test` checks that the
/// runtime's constants fit.
pub const MAX_SLOTS: u32 = 64;

/// Family of a model's architecture, such as `llama` (ASCII, at most 32 bytes).
pub type Architecture = BoundedVec<u8, ConstU32<32>>;
/// Licence of a model, as an SPDX expression where there is one (at most 64 bytes).
pub type Licence = BoundedVec<u8, ConstU32<64>>;

/// What the owner of a base model says about it.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, DecodeWithMemTracking, MaxEncodedLen, TypeInfo)]
pub struct ModelInfo {
    /// Name shown to customers.
    pub name: Name,
    /// Family of its architecture.
    pub architecture: Architecture,
    /// Number of parameters.
    pub parameters: u64,
    /// Content address (BLAKE3 of the manifest) of the model's files.
    pub artifact: H256,
    /// Size of the model's files, in bytes.
    pub artifact_bytes: u64,
    /// Content address (BLAKE3) of its tokenizer.
    pub tokenizer: H256,
    /// Licence of the weights.
    pub licence: Licence,
}

/// A registered base model.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, DecodeWithMemTracking, MaxEncodedLen, TypeInfo)]
pub struct Model<AccountId> {
    /// What its owner says about it.
    pub info: ModelInfo,
    /// Who registered it.
    pub owner: AccountId,
    /// Deposit held on the owner's account, in planck.
    pub deposit: Balance,
    /// Jobs that use it and are not closed.
    pub live_jobs: u32,
}

/// The submitted result of a job.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Encode, Decode, DecodeWithMemTracking, MaxEncodedLen, TypeInfo,
)]
pub struct TrainingResult {
    /// Content address (BLAKE3 of the manifest) of the adapter.
    pub adapter: H256,
    /// Size of the adapter, in bytes.
    pub adapter_bytes: u64,
    /// Unix time of the submission, in milliseconds.
    pub submitted_at: u64,
}

/// What was drawn of one milestone.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, DecodeWithMemTracking, MaxEncodedLen, TypeInfo)]
pub struct Draw {
    /// Block of the draw.
    pub drawn_at: BlockNumber,
    /// Bit `i` is set once the audit of `segments[i]` passed.
    pub passed: u32,
    /// The drawn segments, rising.
    pub segments: BoundedVec<u32, ConstU32<{ MAX_SAMPLES as u32 }>>,
}

impl Draw {
    /// Marks the audit of `segment` as passed.
    pub(crate) fn pass(&mut self, segment: u32) {
        for (bit, drawn) in self.segments.iter().enumerate() {
            if *drawn == segment {
                self.passed |= mask(bit);
            }
        }
    }

    /// True if the audit of `segment` is marked as passed.
    #[cfg(any(test, feature = "std", feature = "try-runtime"))]
    pub(crate) fn has_passed(&self, segment: u32) -> bool {
        self.segments.iter().position(|s| *s == segment).is_some_and(|bit| self.passed & mask(bit) != 0)
    }

    /// True once every drawn segment passed.
    pub fn all_passed(&self) -> bool {
        (0..self.segments.len()).all(|bit| self.passed & mask(bit) != 0)
    }
}

/// The bit of a place; none for a place beyond the bitmap.
fn mask(place: usize) -> u32 {
    u32::try_from(place).ok().and_then(|place| 1u32.checked_shl(place)).unwrap_or(0)
}

/// Where an audit stands.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Encode, Decode, DecodeWithMemTracking, MaxEncodedLen, TypeInfo,
)]
pub enum Stage {
    /// The round's auditors re-execute and commit to what they found.
    Committing,
    /// The provider opens its trace.
    Opening,
    /// The auditors who committed reveal.
    Revealing,
    /// The provider's segment stands.
    Passed,
}

/// Who decides.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Encode, Decode, DecodeWithMemTracking, MaxEncodedLen, TypeInfo,
)]
pub enum Round {
    /// The auditors drawn with the milestone.
    First,
    /// Further auditors, drawn because one of the first found a mismatch.
    Committee,
}

/// One auditor's place in an audit.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, DecodeWithMemTracking, MaxEncodedLen, TypeInfo)]
pub struct Slot<AccountId> {
    /// The provider that was drawn.
    pub auditor: AccountId,
    /// Its commitment to what it found.
    pub commitment: Option<H256>,
    /// What it revealed.
    pub verdict: Option<Verdict>,
    /// Drawn for the committee, not for the first round.
    pub in_committee: bool,
    /// Did not answer in time; stays so that it is not drawn again.
    pub missed: bool,
}

impl<AccountId> Slot<AccountId> {
    /// An empty place for `auditor`.
    pub(crate) fn new(auditor: AccountId, round: Round) -> Self {
        Self {
            auditor,
            commitment: None,
            verdict: None,
            in_committee: round == Round::Committee,
            missed: false,
        }
    }
}

/// The audit of one drawn segment.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, DecodeWithMemTracking, MaxEncodedLen, TypeInfo)]
#[scale_info(skip_type_params(AccountId))]
pub struct Audit<AccountId> {
    /// The milestone that the segment belongs to.
    pub milestone: u32,
    /// Where the audit stands.
    pub stage: Stage,
    /// Who decides.
    pub round: Round,
    /// Last block of the stage; without meaning once passed.
    pub deadline: BlockNumber,
    /// How often the auditors of this round were drawn anew because none answered.
    pub redraws: u32,
    /// The provider's opened trace with its reported metrics folded in.
    pub trace: Option<H256>,
    /// Everyone drawn so far, in the order of the draws.
    pub slots: BoundedVec<Slot<AccountId>, ConstU32<MAX_SLOTS>>,
}

/// Votes on a segment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Votes {
    /// Everyone who revealed.
    pub answered: u32,
    /// Those among them who found a mismatch, or could not get the inputs from the provider.
    pub against: u32,
}

impl Votes {
    /// True if at least two thirds of those who answered are against the provider.
    pub fn condemn(self) -> bool {
        self.answered > 0 && self.against.saturating_mul(3) >= self.answered.saturating_mul(2)
    }
}

impl<AccountId> Audit<AccountId> {
    /// The slots that the current round waits for.
    pub(crate) fn waiting(&self) -> impl Iterator<Item = &Slot<AccountId>> {
        let in_committee = self.round == Round::Committee;
        self.slots.iter().filter(move |slot| slot.in_committee == in_committee && !slot.missed)
    }

    /// Counts the votes of all rounds.
    pub fn votes(&self) -> Votes {
        self.slots.iter().filter_map(|slot| slot.verdict).fold(Votes::default(), |votes, verdict| Votes {
            answered: votes.answered.saturating_add(1),
            against: votes.against.saturating_add(u32::from(verdict != Verdict::Match)),
        })
    }
}
