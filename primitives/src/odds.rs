//! How likely a cheat is caught, and the bond that makes cheating not pay.
//!
//! Of `n` segments, `c` are cheated and `s` are drawn without replacement. The chance that at least one cheated
//! segment is drawn is `p = 1 − C(n−c, s) / C(n, s)` (hypergeometric). Laziness must not pay: what a provider stands to
//! lose, its bond and the price, must be at least its saving over `p`: `bond + price ≥ cost / p`.
//!
//! Sampling bounds what a lazy provider gains. It cannot stop one poisoned segment whose value lies outside the job;
//! that is what the challenge window is for.

use sp_arithmetic::{helpers_128bit::multiply_by_rational_with_rounding, PerThing, Perquintill, Rounding};

use crate::Balance;

/// Chance of catching a cheat of `cheated` segments among `segments`, of which `samples` are drawn. 0 cheated or 0
/// drawn gives 0; a `cheated` or `samples` above `segments` counts as all of them. Rounded down at each factor's
/// complement, so the true chance is never below the result by more than `samples` quintillionths.
pub fn catch_probability(segments: u32, cheated: u32, samples: u32) -> Perquintill {
    let (cheated, samples) = (cheated.min(segments), samples.min(segments));
    // C(n−c, s) / C(n, s) = Π over i < s of (n−c−i) / (n−i).
    let mut missed = Perquintill::one();
    for i in 0..samples {
        let clean_left = segments.saturating_sub(cheated).saturating_sub(i);
        let left = segments.saturating_sub(i);
        missed = missed
            * Perquintill::from_rational_with_rounding(u64::from(clean_left), u64::from(left), Rounding::Up)
                .unwrap_or(Perquintill::one());
    }
    Perquintill::one() - missed
}

/// Smallest bond for which cheating on a single segment of a milestone does not pay even a provider whose whole cost
/// is the price: `price / p − price` with `p = s / n` for the milestone with the worst odds, rounded up.
/// `segments` and `samples` are those of that milestone; `None` if nothing is drawn or the result overflows.
pub fn required_bond(price: Balance, segments: u32, samples: u32) -> Option<Balance> {
    let samples = samples.min(segments);
    if samples == 0 {
        return None;
    }
    let total =
        multiply_by_rational_with_rounding(price, u128::from(segments), u128::from(samples), Rounding::Up)?;
    total.checked_sub(price)
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec::Vec;

    fn binomial(n: u64, k: u64) -> f64 {
        if k > n {
            return 0.0;
        }
        (0..k).map(|i| (n - i) as f64 / (k - i) as f64).product()
    }

    #[test]
    fn the_chance_is_the_hypergeometric_formula() {
        for n in 1..=20u32 {
            for c in 0..=n {
                for s in 0..=n {
                    let expected = 1.0 - binomial((n - c).into(), s.into()) / binomial(n.into(), s.into());
                    let found = catch_probability(n, c, s).deconstruct() as f64 / 1e18;
                    assert!((expected - found).abs() < 1e-12, "n={n} c={c} s={s}: {expected} and {found}");
                }
            }
        }
    }

    #[test]
    fn more_samples_never_lower_the_chance() {
        let chances: Vec<_> = (0..=10).map(|s| catch_probability(10, 2, s)).collect();
        assert!(chances.windows(2).all(|w| w[0] <= w[1]));
    }

    #[test]
    fn bond_and_price_outweigh_the_saving_over_the_chance() {
        for n in 1..=64u32 {
            for s in 1..=n {
                let price = 1_000_003u128;
                let bond = required_bond(price, n, s).expect("samples are drawn and nothing overflows, qed");
                // (bond + price) * s / n >= price
                assert!((bond + price) * u128::from(s) >= price * u128::from(n));
            }
        }
    }

    #[test]
    fn nothing_drawn_has_no_bond() {
        assert_eq!(required_bond(100, 4, 0), None);
    }
}
