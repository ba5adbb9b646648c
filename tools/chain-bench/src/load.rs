//! What is put on the chain: a model, providers and jobs.

use attune_primitives::{
    hashing::blake2_256,
    job::{
        ArithmeticMode, Assurance, BaseFormat, DataSpec, HyperParameters, JobSpec, JobTiming, Method,
        Milestone, Schedule, MAX_MILESTONES,
    },
    provider::{Hardware, ProviderProfile},
    H256,
};
use attune_runtime::{
    units::{ATT, MILLI_ATT},
    AccountId,
};
use frame_support::BoundedVec;
use pallet_proof_of_training::types::ModelInfo;
use sp_runtime::Permill;

/// Account `index` of a kind. Nobody has its key: nothing is signed here.
pub(crate) fn account(kind: &str, index: u32) -> AccountId {
    AccountId::from(blake2_256(format!("attune/chain-bench/{kind}/{index}").as_bytes()).to_fixed_bytes())
}

/// The model that jobs are for.
pub(crate) fn model() -> ModelInfo {
    ModelInfo {
        name: BoundedVec::truncate_from(b"bench".to_vec()),
        architecture: BoundedVec::truncate_from(b"llama".to_vec()),
        parameters: 1,
        artifact: H256::repeat_byte(0xbe),
        artifact_bytes: 1,
        tokenizer: H256::repeat_byte(2),
        licence: BoundedVec::default(),
    }
}

/// A provider that computes exact arithmetic.
pub(crate) fn profile() -> ProviderProfile {
    ProviderProfile {
        name: BoundedVec::truncate_from(b"bench".to_vec()),
        endpoint: BoundedVec::truncate_from(b"http://127.0.0.1:1".to_vec()),
        class: BoundedVec::truncate_from(b"cpu".to_vec()),
        exact_version: 1,
        hardware: Hardware {
            model: BoundedVec::truncate_from(b"CPU".to_vec()),
            accelerators: 0,
            memory_mib: 1,
        },
        price_per_gpu_hour: ATT,
        tokens_per_second: 1,
    }
}

/// A job of as many milestones as there may be, with a theme of usual length.
pub(crate) fn job<Account>(model: u32) -> JobSpec<Account> {
    let share = Permill::from_parts(1_000_000 / MAX_MILESTONES);
    JobSpec {
        model,
        data: DataSpec {
            root: H256::repeat_byte(3),
            bytes: 1_000_000,
            tokens: 100_000,
            rows: 1_000,
            held_out_rows: 0,
            sequence_length: 128,
        },
        method: Method::Lora { rank: 16, alpha: 32, rank_stabilised: false },
        hyper: HyperParameters {
            learning_rate_nano: 1_000_000,
            schedule: Schedule::Cosine,
            warmup_steps: 0,
            micro_batch_rows: 1,
            gradient_accumulation: 1,
            max_gradient_norm_micro: 0,
            weight_decay_micro: 0,
            beta1_micro: 900_000,
            beta2_micro: 999_000,
            epsilon_pico: 1,
        },
        mode: ArithmeticMode::Exact { version: 1, base: BaseFormat::W8 },
        engine_version: 1,
        seed: 1,
        steps_per_segment: 1,
        milestones: BoundedVec::truncate_from(vec![
            Milestone { segments: 2, share };
            usize::try_from(MAX_MILESTONES).unwrap_or_default()
        ]),
        assurance: Assurance { samples: 1, auditors: 1 },
        theme: BoundedVec::truncate_from(b"Customer support, airline".to_vec()),
        max_price: ATT,
        audit_fee: 10 * MILLI_ATT,
        timing: JobTiming {
            bidding_blocks: 0,
            open_blocks: 3_000,
            start_blocks: 3_000,
            milestone_blocks: 3_000,
        },
        provider: None,
    }
}
