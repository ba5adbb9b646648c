//! Situations for tests.

use attune_chain_client::{
    primitives::{job::*, H256},
    types::Spec,
};

/// An execution class.
pub(crate) const CLASS: &str = "cpu-torch2.11.0-avx2-t1-f32";

/// Half of the price, without a dependency on the arithmetic crate: its encoding is that of a `u32`.
fn half<T: codec::Decode>() -> T {
    T::decode(&mut &codec::Encode::encode(&500_000u32)[..]).expect("a share is a u32, qed")
}

/// Two milestones of two segments of five steps.
pub(crate) fn spec() -> Spec {
    let milestone = || Milestone { segments: 2, share: half() };
    JobSpec {
        model: 0,
        data: DataSpec {
            root: H256::repeat_byte(2),
            bytes: 1_000,
            tokens: 640,
            rows: 10,
            held_out_rows: 2,
            sequence_length: 64,
        },
        method: Method::Lora { rank: 8, alpha: 16, rank_stabilised: false },
        hyper: HyperParameters {
            learning_rate_nano: 2_000_000,
            schedule: Schedule::Cosine,
            warmup_steps: 3,
            micro_batch_rows: 2,
            gradient_accumulation: 3,
            max_gradient_norm_micro: 1_000_000,
            weight_decay_micro: 10_000,
            beta1_micro: 900_000,
            beta2_micro: 999_000,
            epsilon_pico: 10_000,
        },
        mode: ArithmeticMode::Exact { version: 1, base: BaseFormat::W8 },
        engine_version: 1,
        seed: 7,
        steps_per_segment: 5,
        milestones: vec![milestone(), milestone()].try_into().expect("fits, qed"),
        assurance: Assurance { samples: 1, auditors: 2 },
        theme: Default::default(),
        max_price: 10_000,
        audit_fee: 10,
        timing: JobTiming { bidding_blocks: 0, open_blocks: 100, start_blocks: 50, milestone_blocks: 100 },
        provider: None,
    }
}
