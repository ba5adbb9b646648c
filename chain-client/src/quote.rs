//! What a job takes, and what a provider asks for it. Plain functions, so that the worker that quotes and the client that
//! estimates say the same.

use attune_primitives::{odds, provider::ProviderProfile, Balance};

use crate::types::{Constants, Spec};

const SECONDS_PER_HOUR: u128 = 3_600;

/// Optimizer steps of the whole job.
pub fn steps(spec: &Spec) -> u64 {
    u64::from(spec.segments()).saturating_mul(u64::from(spec.steps_per_segment))
}

/// Tokens (padding included) that the whole job's steps read.
pub fn tokens(spec: &Spec) -> u64 {
    let rows =
        u64::from(spec.hyper.micro_batch_rows).saturating_mul(u64::from(spec.hyper.gradient_accumulation));
    steps(spec).saturating_mul(rows).saturating_mul(u64::from(spec.data.sequence_length))
}

/// Seconds that the training takes at a speed, rounded up; `None` if the speed is 0.
pub fn seconds(spec: &Spec, tokens_per_second: u32) -> Option<u64> {
    let speed = u64::from(tokens_per_second);
    (speed > 0).then(|| tokens(spec).div_ceil(speed))
}

/// Tokens that the steps of milestone `first` and of those after it read.
fn tokens_from(spec: &Spec, first: u32) -> u64 {
    let done = spec.milestone_segments(first).map_or(0, |(start, _)| start);
    let all = u64::from(spec.segments()).max(1);
    tokens(spec) / all * all.saturating_sub(u64::from(done))
}

/// What a provider asks for milestone `first` of a job and those after it, in planck: its price per GPU hour, times its
/// accelerators (one where there is none), times the hours that they take by its own measurement; rounded up, at least
/// `floor`. `None` if it has not measured its speed.
pub fn price(spec: &Spec, first: u32, profile: &ProviderProfile, floor: Balance) -> Option<Balance> {
    let speed = u128::from(profile.tokens_per_second);
    let gpus = u128::from(profile.hardware.accelerators.max(1));
    let per_hour = profile.price_per_gpu_hour.saturating_mul(gpus);
    let tokens_per_hour = speed.checked_mul(SECONDS_PER_HOUR).filter(|t| *t > 0)?;
    let price = per_hour.saturating_mul(u128::from(tokens_from(spec, first))).div_ceil(tokens_per_hour);
    Some(price.max(floor).max(1))
}

/// The bond that a provider locks for milestone `first` of a job and those after it at `price`, in planck, as job-escrow
/// computes it: what the odds of the worst of them ask for, within the runtime's bounds. `None` on overflow.
pub fn bond(spec: &Spec, first: u32, price: Balance, constants: &Constants) -> Option<Balance> {
    const WHOLE: Balance = 1_000_000;
    let remaining = spec.milestones.iter().skip(usize::try_from(first).ok()?);
    let segments = remaining.map(|milestone| milestone.segments).max()?;
    let asked = odds::required_bond(price, segments, u32::from(spec.assurance.samples))?;
    let least = price.checked_mul(Balance::from(constants.min_bond_share_ppm))?.div_ceil(WHOLE);
    let most = price.checked_mul(Balance::from(constants.max_bond_multiple))?;
    Some(asked.max(least).min(most))
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use attune_primitives::{job::Milestone, provider::Hardware, testing};

    /// A small valid specification.
    pub(crate) fn spec() -> Spec {
        let mut spec: Spec = testing::job_spec([Milestone { segments: 4, share: whole() }]);
        (spec.data.sequence_length, spec.steps_per_segment) = (100, 5);
        (spec.hyper.micro_batch_rows, spec.hyper.gradient_accumulation) = (2, 3);
        spec
    }

    /// The whole price, without a dependency on the arithmetic crate: its encoding is that of a `u32`.
    fn whole<T: codec::Decode>() -> T {
        T::decode(&mut &codec::Encode::encode(&1_000_000u32)[..]).unwrap()
    }

    fn profile(price_per_gpu_hour: u128, tokens_per_second: u32, accelerators: u16) -> ProviderProfile {
        ProviderProfile {
            name: Default::default(),
            endpoint: Default::default(),
            class: Default::default(),
            exact_version: 1,
            hardware: Hardware { model: Default::default(), accelerators, memory_mib: 1 },
            price_per_gpu_hour,
            tokens_per_second,
        }
    }

    #[test]
    fn tokens_are_steps_times_rows_times_length() {
        assert_eq!((steps(&spec()), tokens(&spec())), (20, 20 * 6 * 100));
        assert_eq!(seconds(&spec(), 7), Some(12_000u64.div_ceil(7)));
        assert_eq!(seconds(&spec(), 0), None);
    }

    #[test]
    fn a_bond_is_what_the_odds_ask_for_within_its_bounds() {
        let constants = |min_bond_share_ppm, max_bond_multiple| Constants {
            min_bond_share_ppm,
            max_bond_multiple,
            ..Constants::default()
        };
        // One of four segments is drawn: the bond is three prices.
        assert_eq!(bond(&spec(), 0, 100, &constants(500_000, 10)), Some(300));
        assert_eq!(bond(&spec(), 0, 100, &constants(500_000, 2)), Some(200));
        assert_eq!(bond(&spec(), 0, 101, &constants(3_500_000, 10)), Some(354));
        assert_eq!(bond(&spec(), 0, u128::MAX, &constants(500_000, 10)), None);
    }

    #[test]
    fn a_price_is_the_hours_at_the_providers_rate_and_never_below_the_floor() {
        // 12,000 tokens at 10 tokens/s are 1,200 s, a third of an hour.
        assert_eq!(price(&spec(), 0, &profile(3_000, 10, 0), 0), Some(1_000));
        assert_eq!(price(&spec(), 0, &profile(3_000, 10, 2), 0), Some(2_000));
        assert_eq!(price(&spec(), 0, &profile(3_000, 10, 0), 5_000), Some(5_000));
        assert_eq!(price(&spec(), 0, &profile(0, 10, 0), 0), Some(1));
        assert_eq!(price(&spec(), 0, &profile(3_000, 0, 0), 5_000), None);
    }

    #[test]
    fn what_is_left_after_a_handover_costs_its_part_of_the_whole() {
        let mut halves = spec();
        let half = codec::Decode::decode(&mut &codec::Encode::encode(&500_000u32)[..]).unwrap();
        halves.milestones =
            vec![Milestone { segments: 3, share: half }, Milestone { segments: 1, share: half }]
                .try_into()
                .unwrap();
        let profile = profile(3_000, 10, 0);
        assert_eq!(price(&halves, 0, &profile, 0), Some(1_000));
        assert_eq!(price(&halves, 1, &profile, 0), Some(250));
    }
}
