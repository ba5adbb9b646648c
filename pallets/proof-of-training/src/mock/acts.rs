//! What the parties of a test do, in as few words as possible.

use attune_primitives::{
    job::{ArithmeticMode, Assurance, ExecutionClass, JobSpec, Milestone},
    proof::{SegmentCommitment, SegmentMetrics},
    provider::Hardware,
    testing, trace, BlockNumber, JobId, H256,
};
use frame_support::assert_ok;
use sp_runtime::{DispatchResult, Permill};

use super::{AccountId, Beacon, Jobs, Proofs, RuntimeOrigin, System, Test, MARGIN};
use crate::{
    types::{ModelInfo, Stage},
    Audits, Draws,
};

pub(crate) fn hardware() -> Hardware {
    Hardware { model: b"CPU".to_vec().try_into().expect("3 < 64, qed"), accelerators: 0, memory_mib: 8_192 }
}

pub(crate) fn class() -> ExecutionClass {
    b"cpu-test".to_vec().try_into().expect("8 < 64, qed")
}

pub(crate) fn model_info(artifact: u64) -> ModelInfo {
    ModelInfo {
        name: b"toy".to_vec().try_into().expect("3 < 64, qed"),
        architecture: b"llama".to_vec().try_into().expect("5 < 32, qed"),
        parameters: 4_000_000,
        artifact: H256::from_low_u64_be(artifact),
        artifact_bytes: 12_000_000,
        tokenizer: H256::repeat_byte(9),
        licence: b"Apache-2.0".to_vec().try_into().expect("10 < 64, qed"),
    }
}

/// A specification of milestones with so many segments each.
pub(crate) fn spec(segments: &[u32], samples: u8, auditors: u8) -> JobSpec<AccountId> {
    let count = u32::try_from(segments.len()).expect("few milestones, qed");
    let share = Permill::from_rational(1u32, count);
    let rest = Permill::from_parts(1_000_000 - share.deconstruct() * (count - 1));
    let mut milestones: Vec<_> = segments.iter().map(|s| Milestone { segments: *s, share }).collect();
    milestones.last_mut().expect("there is a milestone, qed").share = rest;
    let mut spec = testing::job_spec(milestones);
    (spec.data.held_out_rows, spec.steps_per_segment) = (4, 10);
    spec.mode = ArithmeticMode::ClassExact { class: class() };
    spec.assurance = Assurance { samples, auditors };
    spec.theme = b"tests".to_vec().try_into().expect("5 < 64, qed");
    (spec.max_price, spec.audit_fee) = (1_000, 10);
    spec.timing.milestone_blocks = 50_000;
    spec
}

/// The trace, without metrics, that training segment `segment` gives.
pub(crate) fn true_trace(segment: u32) -> H256 {
    H256::from_low_u64_be(7_000 + u64::from(segment))
}

/// The nonce with which the provider hides it.
pub(crate) fn nonce(segment: u32) -> [u8; 32] {
    [u8::try_from(segment).expect("few segments, qed"); 32]
}

/// What an honest provider commits to.
pub(crate) fn honest(segment: u32) -> SegmentCommitment {
    SegmentCommitment {
        state_root: H256::from_low_u64_be(1_000 + u64::from(segment)),
        trace_commitment: trace::commitment(true_trace(segment), &nonce(segment)),
        checkpoint: H256::from_low_u64_be(2_000 + u64::from(segment)),
        checkpoint_bytes: 64,
        metrics: SegmentMetrics {
            train_loss_micro: 3_000_000 - segment,
            tokens: 640,
            held_out_loss_before_micro: (segment == 0).then_some(4_000_000),
            held_out_loss_micro: Some(3_500_000 - segment),
        },
    }
}

/// What an auditor says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Vote {
    /// What its own honest training gives.
    Honest,
    /// Another end root.
    WrongRoot,
    /// Another trace.
    WrongTrace,
    /// That it could not get the inputs.
    Unavailable,
}

/// End root and trace of a vote, and its salt.
pub(crate) fn vote_parts(segment: u32, vote: Vote) -> (H256, H256, [u8; 32]) {
    let own = honest(segment);
    let own_trace = trace::with_metrics(true_trace(segment), &own.metrics);
    let (root, trace) = match vote {
        Vote::Honest => (own.state_root, own_trace),
        Vote::WrongRoot => (H256::repeat_byte(66), own_trace),
        Vote::WrongTrace => (own.state_root, H256::repeat_byte(67)),
        Vote::Unavailable => (H256::zero(), H256::zero()),
    };
    (root, trace, [42; 32])
}

pub(crate) const CUSTOMER: AccountId = 1;
pub(crate) const STRANGER: AccountId = 99;
/// The provider that trains.
pub(crate) const TRAINER: AccountId = 10;
pub(crate) const JOB: JobId = 5;

/// The operator key of a provider made by [`ExtBuilder`].
pub(crate) fn operator(provider: AccountId) -> AccountId {
    provider + 1_000
}

pub(crate) fn signed(who: AccountId) -> RuntimeOrigin {
    RuntimeOrigin::signed(who)
}

pub(crate) fn now() -> BlockNumber {
    System::block_number()
}

pub(crate) fn skip(blocks: BlockNumber) {
    System::set_block_number(now() + blocks);
}

/// Who has the job now; [`TRAINER`] if nobody has.
pub(crate) fn trainer() -> AccountId {
    Jobs::get(JOB).and_then(|job| job.assignment).map_or(TRAINER, |assignment| assignment.provider)
}

pub(crate) fn commit(segment: u32) -> DispatchResult {
    Proofs::commit_segment(signed(operator(trainer())), JOB, segment, honest(segment))
}

/// Commits to all segments up to `end`.
pub(crate) fn commit_until(end: u32) {
    for segment in Proofs::segments_committed(JOB)..end {
        assert_ok!(commit(segment));
    }
}

/// Commits to all segments and submits.
pub(crate) fn submit() {
    commit_until(Jobs::get(JOB).expect("the job exists, qed").spec.segments());
    assert_ok!(Proofs::submit_result(signed(operator(trainer())), JOB, H256::repeat_byte(3), 77));
}

/// Gives randomness that any commitment made so far may be drawn with.
pub(crate) fn fresh_randomness(byte: u8) {
    skip(MARGIN + 1);
    Beacon::set(H256::repeat_byte(byte), now());
}

/// Draws the audits of a committed milestone and gives the segments.
pub(crate) fn draw(milestone: u32) -> Vec<u32> {
    fresh_randomness(u8::try_from(milestone).expect("few milestones, qed") + 1);
    assert_ok!(Proofs::draw_audits(signed(STRANGER), JOB, milestone));
    Draws::<Test>::get(JOB, milestone).expect("it was drawn, qed").segments.to_vec()
}

pub(crate) fn stage(segment: u32) -> Stage {
    Audits::<Test>::get(JOB, segment).expect("the segment is drawn, qed").stage
}

/// Whom the current round of a segment waits for.
pub(crate) fn waiting(segment: u32) -> Vec<AccountId> {
    let audit = Audits::<Test>::get(JOB, segment).expect("the segment is drawn, qed");
    audit.waiting().map(|slot| slot.auditor).collect()
}

pub(crate) fn commit_vote(segment: u32, auditor: AccountId, vote: Vote) -> DispatchResult {
    let (root, found, salt) = vote_parts(segment, vote);
    let commitment = trace::verdict_commitment(root, found, &auditor, &salt);
    Proofs::commit_verdict(signed(operator(auditor)), JOB, segment, commitment)
}

pub(crate) fn reveal_vote(segment: u32, auditor: AccountId, vote: Vote) -> DispatchResult {
    let (root, found, salt) = vote_parts(segment, vote);
    Proofs::reveal_verdict(signed(operator(auditor)), JOB, segment, root, found, salt)
}

pub(crate) fn open(segment: u32) -> DispatchResult {
    Proofs::open_trace(signed(operator(trainer())), JOB, segment, true_trace(segment), nonce(segment))
}

/// Lets everyone of the current round vote, the n-th waiting auditor as `votes[n]`.
pub(crate) fn vote_all(segment: u32, votes: &[Vote]) {
    let auditors = waiting(segment);
    assert_eq!(auditors.len(), votes.len(), "one vote for each auditor");
    for (auditor, vote) in auditors.iter().zip(votes) {
        assert_ok!(commit_vote(segment, *auditor, *vote));
    }
    if stage(segment) == Stage::Opening {
        assert_ok!(open(segment));
    }
    for (auditor, vote) in auditors.iter().zip(votes) {
        assert_ok!(reveal_vote(segment, *auditor, *vote));
    }
}

pub(crate) fn enforce(segment: u32) -> DispatchResult {
    Proofs::enforce_audit_deadline(signed(STRANGER), JOB, segment)
}

/// Lets the current stage's deadline pass and ends the stage.
pub(crate) fn time_out(segment: u32) {
    let deadline = Audits::<Test>::get(JOB, segment).expect("the segment is drawn, qed").deadline;
    System::set_block_number(deadline + 1);
    assert_ok!(enforce(segment));
}
