//! Generators of proof-of-training's calls.

use crate::{
    accounts,
    calls::escrow::{job_at_work, worker},
    draw::Draw,
    view,
};
use attune_primitives::{
    machine::{JobState, Phase},
    proof::{SegmentCommitment, SegmentMetrics, Verdict},
    trace, JobId, ModelId, H256,
};
use attune_runtime::{AccountId, Runtime, RuntimeCall};
use codec::Encode;
use frame_support::BoundedVec;
use pallet_proof_of_training::{
    types::{ModelInfo, Stage},
    Audits, Call, CommittedAt, Draws, Models, NextModelId, Records,
};
use sp_io::hashing::blake2_256;

/// A model that the pallet takes; `artifact` tells it from others.
pub(crate) fn model_info(artifact: u8) -> ModelInfo {
    ModelInfo {
        name: BoundedVec::truncate_from(b"A model".to_vec()),
        architecture: BoundedVec::truncate_from(b"llama".to_vec()),
        parameters: 1_000,
        artifact: H256::repeat_byte(artifact),
        artifact_bytes: 1_000,
        tokenizer: H256::repeat_byte(2),
        licence: BoundedVec::truncate_from(b"Apache-2.0".to_vec()),
    }
}

/// One model, for the prepared state.
pub(super) fn a_model() -> Vec<(AccountId, RuntimeCall)> {
    vec![(accounts::account(accounts::MODEL_OWNER), Call::register_model { info: model_info(0) }.into())]
}

/// All segments of a plain job.
pub(super) fn a_trained_job(job: JobId) -> Vec<(AccountId, RuntimeCall)> {
    let commit = |segment| {
        let commitment = commitment_for(job, segment);
        (worker(), Call::commit_segment { job, segment, commitment }.into())
    };
    (0..4).map(commit).collect()
}

/// The draws of both milestones of a plain job.
pub(super) fn its_audits(job: JobId) -> Vec<(AccountId, RuntimeCall)> {
    let draw = |milestone| (worker(), Call::draw_audits { job, milestone }.into());
    (0..2).map(draw).collect()
}

pub(super) fn register_model(draw: &mut Draw<'_>) -> (AccountId, RuntimeCall) {
    let who = if draw.rarely(4) { draw.somebody() } else { accounts::account(accounts::MODEL_OWNER) };
    let mut info = model_info(draw.byte() % 16);
    match draw.byte() {
        0..=223 => {}
        224..=239 => info.parameters = 0,
        _ => info.name = BoundedVec::default(),
    }
    (who, Call::register_model { info }.into())
}

pub(super) fn remove_model(draw: &mut Draw<'_>) -> (AccountId, RuntimeCall) {
    let byte = draw.byte();
    let model = match byte {
        0..=247 => ModelId::from(byte) % NextModelId::<Runtime>::get().max(1),
        _ => ModelId::MAX,
    };
    let owner = Models::<Runtime>::get(model).map(|model| model.owner);
    let who = owner.unwrap_or_else(|| accounts::account(accounts::MODEL_OWNER));
    (who, Call::remove_model { model }.into())
}

/// What a provider commits to for a segment: its true trace.
pub(crate) fn commitment_for(job: JobId, segment: u32) -> SegmentCommitment {
    SegmentCommitment {
        state_root: H256(blake2_256(&(b"state", job, segment).encode())),
        trace_commitment: trace::commitment(view::trace_of(job, segment), &view::NONCE),
        checkpoint: H256::repeat_byte(3),
        checkpoint_bytes: 1_000,
        metrics: SegmentMetrics {
            train_loss_micro: 1_000_000,
            tokens: 100,
            held_out_loss_before_micro: Some(2_000_000),
            held_out_loss_micro: Some(1_000_000),
        },
    }
}

pub(super) fn commit_segment(draw: &mut Draw<'_>) -> (AccountId, RuntimeCall) {
    let runs = |state: &JobState| matches!(state, JobState::Running | JobState::Disputed(Phase::Running));
    let (job, who) = job_at_work(draw, runs);
    let next = attune_runtime::ProofOfTraining::segments_committed(job);
    let segment = match draw.byte() {
        0..=223 => next,
        224..=231 => next.wrapping_sub(1),
        232..=239 => next.saturating_add(1),
        _ => u32::MAX,
    };
    let mut commitment = commitment_for(job, segment);
    match draw.byte() {
        0..=223 => {}
        224..=239 => commitment.trace_commitment = H256::zero(),
        240..=247 => commitment.metrics = SegmentMetrics { tokens: u64::MAX, ..Default::default() },
        _ => commitment.metrics.held_out_loss_micro = None,
    }
    (who, Call::commit_segment { job, segment, commitment }.into())
}

pub(super) fn submit_result(draw: &mut Draw<'_>) -> (AccountId, RuntimeCall) {
    let (job, who) = job_at_work(draw, |state| *state == JobState::Running);
    let adapter_bytes = if draw.rarely(16) { 0 } else { 1_000 };
    (who, Call::submit_result { job, adapter: H256::repeat_byte(4), adapter_bytes }.into())
}

pub(super) fn draw_audits(draw: &mut Draw<'_>) -> (AccountId, RuntimeCall) {
    let byte = draw.byte();
    let open = CommittedAt::<Runtime>::iter_keys()
        .filter(|(job, milestone)| !Draws::<Runtime>::contains_key(job, milestone))
        .collect::<Vec<_>>();
    let (job, milestone) = match open.len() {
        count if count > 0 && byte < 240 => open[usize::from(byte) % count],
        _ => (draw.job(|_| true), u32::from(byte % 4)),
    };
    (accounts::account(accounts::STRANGER), Call::draw_audits { job, milestone }.into())
}

/// A segment whose audit is in `stage`, if there is one.
fn audited(draw: &mut Draw<'_>, stage: Stage) -> (JobId, u32) {
    let byte = draw.byte();
    let fitting = Audits::<Runtime>::iter().filter(|(_, _, audit)| audit.stage == stage);
    let fitting: Vec<_> = fitting.map(|(job, segment, _)| (job, segment)).collect();
    match fitting.len() {
        count if count > 0 && byte < 240 => fitting[usize::from(byte) % count],
        _ => (draw.job(|_| true), u32::from(byte % 8)),
    }
}

/// Somebody who is asked for an answer on a segment, as provider.
fn auditor(draw: &mut Draw<'_>, job: JobId, segment: u32) -> AccountId {
    let byte = draw.byte();
    let waiting: Vec<_> = view::audit(job, segment)
        .map(|audit| view::waiting(&audit).map(|slot| slot.auditor.clone()).collect())
        .unwrap_or_default();
    match waiting.len() {
        0 => accounts::stash(byte),
        count => waiting[usize::from(byte) % count].clone(),
    }
}

pub(super) fn commit_verdict(draw: &mut Draw<'_>) -> (AccountId, RuntimeCall) {
    let (job, segment) = audited(draw, Stage::Committing);
    let auditor = auditor(draw, job, segment);
    let commitment = match draw.byte() {
        0..=127 => view::verdict_commitment(job, segment, &auditor, Verdict::Match),
        128..=199 => view::verdict_commitment(job, segment, &auditor, Verdict::Mismatch),
        200..=239 => view::verdict_commitment(job, segment, &auditor, Verdict::Unavailable),
        _ => H256::zero(),
    };
    (view::operator_of(&auditor), Call::commit_verdict { job, segment, commitment }.into())
}

pub(super) fn open_trace(draw: &mut Draw<'_>) -> (AccountId, RuntimeCall) {
    let (job, segment) = audited(draw, Stage::Opening);
    let who = view::assigned_operator(job).unwrap_or_else(|| accounts::operator(draw.byte()));
    let mut trace = view::trace_of(job, segment);
    if draw.rarely(16) {
        trace = H256::zero();
    }
    (who, Call::open_trace { job, segment, trace, nonce: view::NONCE }.into())
}

pub(super) fn reveal_verdict(draw: &mut Draw<'_>) -> (AccountId, RuntimeCall) {
    let (job, segment) = audited(draw, Stage::Revealing);
    let auditor = auditor(draw, job, segment);
    let audit = view::audit(job, segment);
    let slot = audit.as_ref().and_then(|audit| view::waiting(audit).find(|slot| slot.auditor == auditor));
    let (end_root, trace) = match slot {
        Some(slot) if !draw.rarely(16) => view::answer_of(job, segment, slot),
        _ => (H256::zero(), H256::repeat_byte(1)),
    };
    let call = Call::reveal_verdict { job, segment, end_root, trace, salt: view::SALT };
    (view::operator_of(&auditor), call.into())
}

pub(super) fn enforce_audit_deadline(draw: &mut Draw<'_>) -> (AccountId, RuntimeCall) {
    let now = crate::chain::now();
    let byte = draw.byte();
    let late = Audits::<Runtime>::iter()
        .filter(|(_, _, audit)| audit.stage != Stage::Passed && audit.deadline < now);
    let late: Vec<_> = late.map(|(job, segment, _)| (job, segment)).collect();
    let (job, segment) = match late.len() {
        count if count > 0 && byte < 240 => late[usize::from(byte) % count],
        _ => (draw.job(|_| true), u32::from(byte % 8)),
    };
    (accounts::account(accounts::STRANGER), Call::enforce_audit_deadline { job, segment }.into())
}

pub(super) fn remove_record(draw: &mut Draw<'_>) -> (AccountId, RuntimeCall) {
    let record = draw.job(Records::<Runtime>::contains_key);
    let who = Records::<Runtime>::get(record).map_or_else(|| accounts::customer(0), |record| record.customer);
    (who, Call::remove_record { record }.into())
}
