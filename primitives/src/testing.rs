//! A job's specification for tests and benchmarks, in one place: whoever needs one changes the fields that matter there.
//!
//! Not behind a feature: a feature that only tests ask for would compile this crate, and with it all that stand on it, once
//! for tests and once for programs. What nobody calls is in no program.

use alloc::vec::Vec;

use bounded_collections::BoundedVec;

use crate::{
    job::{
        ArithmeticMode, Assurance, BaseFormat, DataSpec, HyperParameters, JobSpec, JobTiming, Method,
        Milestone, Schedule,
    },
    H256,
};

/// A valid job with these milestones, whose shares have to add up to the whole: the smallest that there is, in exact
/// arithmetic, one audit for each milestone, for the first quote of at most 1,000,000 planck. Every phase lasts 100 blocks.
pub fn job_spec<AccountId>(milestones: impl IntoIterator<Item = Milestone>) -> JobSpec<AccountId> {
    JobSpec {
        model: 0,
        data: DataSpec {
            root: H256::repeat_byte(3),
            bytes: 1,
            tokens: 1,
            rows: 1,
            held_out_rows: 0,
            sequence_length: 1,
        },
        method: Method::Lora { rank: 1, alpha: 1, rank_stabilised: false },
        hyper: HyperParameters {
            learning_rate_nano: 1,
            schedule: Schedule::Constant,
            warmup_steps: 0,
            micro_batch_rows: 1,
            gradient_accumulation: 1,
            max_gradient_norm_micro: 0,
            weight_decay_micro: 0,
            beta1_micro: 0,
            beta2_micro: 0,
            epsilon_pico: 1,
        },
        mode: ArithmeticMode::Exact { version: 1, base: BaseFormat::W8 },
        engine_version: 1,
        seed: 1,
        steps_per_segment: 1,
        milestones: BoundedVec::truncate_from(milestones.into_iter().collect::<Vec<_>>()),
        assurance: Assurance { samples: 1, auditors: 1 },
        theme: Default::default(),
        max_price: 1_000_000,
        audit_fee: 1,
        timing: JobTiming { bidding_blocks: 0, open_blocks: 100, start_blocks: 100, milestone_blocks: 100 },
        provider: None,
    }
}

#[cfg(test)]
mod tests {
    use sp_arithmetic::Permill;

    use super::*;

    #[test]
    fn the_job_is_valid() {
        let half = Milestone { segments: 2, share: Permill::from_percent(50) };
        assert_eq!(job_spec::<u64>([half, half]).validate(), Ok(()));
    }
}
