//! What is put on the chain: a model, providers and jobs.

use attune_primitives::{
    hashing::blake2_256,
    job::{JobSpec, Milestone, MAX_MILESTONES},
    provider::{Hardware, ProviderProfile},
    testing, H256,
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
    let milestone = Milestone { segments: 2, share: Permill::from_parts(1_000_000 / MAX_MILESTONES) };
    let mut job = testing::job_spec((0..MAX_MILESTONES).map(|_| milestone));
    job.model = model;
    job.theme = BoundedVec::truncate_from(b"Customer support, airline".to_vec());
    (job.max_price, job.audit_fee) = (ATT, 10 * MILLI_ATT);
    (job.timing.open_blocks, job.timing.start_blocks, job.timing.milestone_blocks) = (3_000, 3_000, 3_000);
    job
}
