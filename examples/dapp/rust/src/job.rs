//! What is ordered: a job's specification, and an entry of the model registry. Both are plain data.

use crate::attune::runtime_types::{
    attune_primitives::job::*, bounded_collections::bounded_vec::BoundedVec,
    pallet_proof_of_training::types::ModelInfo, sp_arithmetic::per_things::Permill,
};
use subxt::utils::AccountId32;

/// A job of one segment. A real one names the data set that its customer serves. Units are in the names: 1e-9, 1e-6, 1e-12.
pub(crate) fn small_job(model: u32, min_audit_fee: u128) -> JobSpec<AccountId32> {
    JobSpec {
        model,
        data: DataSpec {
            root: [7; 32].into(), // BLAKE3 of the packed data set's manifest
            bytes: 4_096,
            tokens: 1_024,
            rows: 8,
            held_out_rows: 0,
            sequence_length: 128,
        },
        method: Method::Lora { rank: 8, alpha: 16, rank_stabilised: false },
        hyper: HyperParameters {
            learning_rate_nano: 200_000, // 0.0002
            schedule: Schedule::Cosine,
            warmup_steps: 0,
            micro_batch_rows: 2,
            gradient_accumulation: 1,
            max_gradient_norm_micro: 1_000_000, // 1.0
            weight_decay_micro: 0,
            beta1_micro: 900_000,
            beta2_micro: 999_000,
            epsilon_pico: 10_000, // 1e-8
        },
        mode: ArithmeticMode::Exact { version: 1, base: BaseFormat::W8 },
        engine_version: 2,
        seed: 42,
        steps_per_segment: 4,
        milestones: BoundedVec(vec![Milestone { segments: 1, share: Permill(1_000_000) }]),
        assurance: Assurance { samples: 1, auditors: 1 },
        theme: BoundedVec(b"dApp example".to_vec()),
        max_price: 1_000_000_000_000, // 1 ATT
        audit_fee: min_audit_fee,
        timing: JobTiming { bidding_blocks: 0, open_blocks: 600, start_blocks: 600, milestone_blocks: 600 },
        provider: None,
    }
}

/// An entry without a model behind it: enough to order a job that is cancelled, not to train one.
pub(crate) fn placeholder_model() -> ModelInfo {
    ModelInfo {
        name: BoundedVec(b"dApp example (no weights)".to_vec()),
        architecture: BoundedVec(b"llama".to_vec()),
        parameters: 1,
        artifact: [8; 32].into(),
        artifact_bytes: 1,
        tokenizer: [9; 32].into(),
        licence: BoundedVec(b"CC0-1.0".to_vec()),
    }
}
