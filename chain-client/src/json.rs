//! How the types of `attune_primitives` look in JSON. One small module per type, for serde's `with`.

use attune_primitives::{
    job::{ArithmeticMode, BaseFormat, Method, Schedule},
    machine::{Failure, JobState},
    proof::{SegmentCommitment, SegmentMetrics, Verdict},
    provider::{Hardware, ProviderProfile},
};
use serde::{Serialize, Serializer};
use serde_json::{json, Value};

use crate::{
    types::{PaidTranche, Record, Spec},
    H256,
};

/// Text of bytes that their owner wrote; what is not UTF-8 shows as replacement characters.
pub fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// `0x` and 64 hex digits.
pub fn hex(hash: &H256) -> String {
    format!("0x{}", ::hex::encode(hash.0))
}

macro_rules! with {
    ($name:ident, $ty:ty, $to:expr) => {
        pub(crate) mod $name {
            use super::*;

            pub(crate) fn serialize<S: Serializer>(value: &$ty, serializer: S) -> Result<S::Ok, S::Error> {
                ($to)(value).serialize(serializer)
            }
        }
    };
}

with!(balance, u128, u128::to_string);
with!(hash, H256, hex);
with!(option_hash, Option<H256>, |value: &Option<H256>| value.as_ref().map(hex));
with!(verdict, Option<Verdict>, |value: &Option<Verdict>| value.map(verdict_name));
with!(hardware, Hardware, hardware_value);
with!(profile, ProviderProfile, profile_value);
with!(spec, Spec, spec_value);
with!(state, JobState, state_value);
with!(failure, Failure, |value: &Failure| format!("{value:?}"));
with!(commitment, SegmentCommitment, commitment_value);
with!(record, Record, record_value);
with!(tranches, Vec<PaidTranche>, |value: &Vec<PaidTranche>| {
    value.iter().map(tranche_value).collect::<Vec<_>>()
});
with!(metrics, SegmentMetrics, metrics_value);
with!(plain_verdict, Verdict, |value: &Verdict| verdict_name(*value));

/// `match`, `mismatch` or `unavailable`.
pub fn verdict_name(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Match => "match",
        Verdict::Mismatch => "mismatch",
        Verdict::Unavailable => "unavailable",
    }
}

/// `bidding`, `open`, `assigned`, `running`, `submitted`, `disputed`, `cancelling`, `finalized`, `cancelled`, `expired` or
/// `failed`.
pub fn state_name(state: JobState) -> &'static str {
    match state {
        JobState::Bidding => "bidding",
        JobState::Open => "open",
        JobState::Assigned => "assigned",
        JobState::Running => "running",
        JobState::Submitted => "submitted",
        JobState::Disputed(_) => "disputed",
        JobState::Cancelling => "cancelling",
        JobState::Finalized => "finalized",
        JobState::Cancelled => "cancelled",
        JobState::Expired => "expired",
        JobState::Failed(_) => "failed",
    }
}

/// A state with the reason and the party of a failure.
pub fn state_value(state: &JobState) -> Value {
    match state {
        JobState::Failed(failure) => json!({
            "name": "failed",
            "reason": format!("{failure:?}"),
            "party": failure.party().map(|party| format!("{party:?}").to_lowercase()),
        }),
        other => json!({ "name": state_name(*other) }),
    }
}

/// A machine.
pub fn hardware_value(hardware: &Hardware) -> Value {
    json!({
        "model": text(&hardware.model),
        "accelerators": hardware.accelerators,
        "memory_mib": hardware.memory_mib,
    })
}

/// A profile.
pub fn profile_value(profile: &ProviderProfile) -> Value {
    json!({
        "name": text(&profile.name),
        "endpoint": text(&profile.endpoint),
        "class": text(&profile.class),
        "exact_version": profile.exact_version,
        "hardware": hardware_value(&profile.hardware),
        "price_per_gpu_hour": profile.price_per_gpu_hour.to_string(),
        "tokens_per_second": profile.tokens_per_second,
    })
}

fn method_value(method: &Method) -> Value {
    let Method::Lora { rank, alpha, rank_stabilised } = method;
    json!({ "name": "lora", "rank": rank, "alpha": alpha, "rank_stabilised": rank_stabilised })
}

fn hyper_value(hyper: &attune_primitives::job::HyperParameters) -> Value {
    let schedule = match hyper.schedule {
        Schedule::Constant => "constant",
        Schedule::Linear => "linear",
        Schedule::Cosine => "cosine",
    };
    json!({
        "learning_rate_nano": hyper.learning_rate_nano,
        "schedule": schedule,
        "warmup_steps": hyper.warmup_steps,
        "micro_batch_rows": hyper.micro_batch_rows,
        "gradient_accumulation": hyper.gradient_accumulation,
        "max_gradient_norm_micro": hyper.max_gradient_norm_micro,
        "weight_decay_micro": hyper.weight_decay_micro,
        "beta1_micro": hyper.beta1_micro,
        "beta2_micro": hyper.beta2_micro,
        "epsilon_pico": hyper.epsilon_pico,
    })
}

fn mode_value(mode: &ArithmeticMode) -> Value {
    match mode {
        ArithmeticMode::ClassExact { class } => json!({ "name": "class_exact", "class": text(class) }),
        ArithmeticMode::Exact { version, base } => {
            let base = match base {
                BaseFormat::W8 => "w8",
                BaseFormat::W4 => "w4",
            };
            json!({ "name": "exact", "version": version, "base": base })
        }
    }
}

/// A specification.
pub fn spec_value(spec: &Spec) -> Value {
    let milestones: Vec<Value> = spec
        .milestones
        .iter()
        .map(|m| json!({ "segments": m.segments, "share_ppm": m.share.deconstruct() }))
        .collect();
    json!({
        "hash": hex(&spec.hash()),
        "model": spec.model,
        "data": {
            "root": hex(&spec.data.root),
            "bytes": spec.data.bytes,
            "tokens": spec.data.tokens,
            "rows": spec.data.rows,
            "held_out_rows": spec.data.held_out_rows,
            "sequence_length": spec.data.sequence_length,
        },
        "method": method_value(&spec.method),
        "hyper": hyper_value(&spec.hyper),
        "mode": mode_value(&spec.mode),
        "engine_version": spec.engine_version,
        "seed": spec.seed,
        "steps_per_segment": spec.steps_per_segment,
        "milestones": milestones,
        "assurance": { "samples": spec.assurance.samples, "auditors": spec.assurance.auditors },
        "theme": text(&spec.theme),
        "max_price": spec.max_price.to_string(),
        "audit_fee": spec.audit_fee.to_string(),
        "timing": {
            "bidding_blocks": spec.timing.bidding_blocks,
            "open_blocks": spec.timing.open_blocks,
            "start_blocks": spec.timing.start_blocks,
            "milestone_blocks": spec.timing.milestone_blocks,
        },
        "provider": spec.provider,
    })
}

/// What a provider reported of a segment.
pub fn metrics_value(metrics: &SegmentMetrics) -> Value {
    json!({
        "train_loss_micro": metrics.train_loss_micro,
        "tokens": metrics.tokens,
        "held_out_loss_before_micro": metrics.held_out_loss_before_micro,
        "held_out_loss_micro": metrics.held_out_loss_micro,
    })
}

/// A commitment to a segment.
pub fn commitment_value(commitment: &SegmentCommitment) -> Value {
    json!({
        "state_root": hex(&commitment.state_root),
        "trace_commitment": hex(&commitment.trace_commitment),
        "checkpoint": hex(&commitment.checkpoint),
        "checkpoint_bytes": commitment.checkpoint_bytes,
        "metrics": metrics_value(&commitment.metrics),
    })
}

/// What one provider trained of a job, and what it was paid.
pub fn tranche_value(tranche: &PaidTranche) -> Value {
    json!({
        "provider": tranche.provider,
        "first_milestone": tranche.first_milestone,
        "last_milestone": tranche.last_milestone,
        "paid": tranche.paid.to_string(),
        "started_at": tranche.started_at,
    })
}

/// A training record.
pub fn record_value(record: &Record) -> Value {
    let audits: Vec<Value> = record
        .audits
        .iter()
        .map(|entry| {
            json!({
                "segment": entry.segment,
                "auditor": entry.auditor,
                "verdict": entry.verdict.map(verdict_name),
            })
        })
        .collect();
    json!({
        "job": record.job,
        "customer": record.customer,
        "provider": record.provider,
        "tranches": record.tranches.iter().map(tranche_value).collect::<Vec<_>>(),
        "requested_at": record.requested_at,
        "started_at": record.started_at,
        "ended_at": record.ended_at,
        "hardware": hardware_value(&record.hardware),
        "price_per_gpu_hour": record.price_per_gpu_hour.to_string(),
        "price": record.price.to_string(),
        "model": record.model,
        "method": method_value(&record.method),
        "hyper": hyper_value(&record.hyper),
        "mode": mode_value(&record.mode),
        "theme": text(&record.theme),
        "spec_hash": hex(&record.spec_hash),
        "data_root": hex(&record.data_root),
        "steps": record.steps,
        "tokens": record.tokens,
        "loss_before_micro": record.loss_before_micro,
        "loss_after_micro": record.loss_after_micro,
        "trace_root": hex(&record.trace_root),
        "final_state_root": hex(&record.final_state_root),
        "adapter": hex(&record.adapter),
        "adapter_bytes": record.adapter_bytes,
        "audits": audits,
        "finalized_at": record.finalized_at,
    })
}
