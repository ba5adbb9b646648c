//! The arithmetic of rewards, without storage: what a session mints at most, and what a validator gets of it. All
//! amounts are in planck and rounded down.

use attune_primitives::Balance;
use sp_arithmetic::{helpers_128bit::multiply_by_rational_with_rounding, Permill, Rounding};

/// Milliseconds of a year of 365.25 days, for which a rate of inflation stands.
pub const YEAR_MILLIS: u64 = 31_557_600_000;

/// What a session of `session_millis` may mint if all its slots have blocks: its part of the year's inflation. `None`
/// if it doesn't fit, which takes sessions of many years.
pub fn session_pot(issuance: Balance, per_year: Permill, session_millis: u64) -> Option<Balance> {
    multiply_by_rational_with_rounding(
        per_year.mul_floor(issuance),
        session_millis.into(),
        YEAR_MILLIS.into(),
        Rounding::Down,
    )
}

/// The part of `pot` for `points` blocks of a session of `slots` slots; all of it for more blocks than slots. `None` if
/// there are no slots.
pub fn reward(pot: Balance, points: u32, slots: u32) -> Option<Balance> {
    multiply_by_rational_with_rounding(pot, points.min(slots).into(), slots.into(), Rounding::Down)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const ISSUANCE: Balance = 1_000_000_000 * 1_000_000_000_000;

    #[test]
    fn a_year_of_sessions_mints_the_years_inflation() {
        let ten_minutes = 600_000;
        let pot = session_pot(ISSUANCE, Permill::from_percent(5), ten_minutes).expect("a session is short");
        let sessions = u128::from(YEAR_MILLIS / ten_minutes);
        let year = Permill::from_percent(5) * ISSUANCE;
        assert!(pot * sessions <= year && year - pot * sessions < sessions);
    }

    #[test]
    fn no_inflation_mints_nothing() {
        assert_eq!(session_pot(ISSUANCE, Permill::zero(), 600_000), Some(0));
        assert_eq!(session_pot(0, Permill::one(), 600_000), Some(0));
    }

    #[test]
    fn a_session_without_slots_has_no_rewards() {
        assert_eq!(reward(100, 1, 0), None);
    }

    proptest! {
        #[test]
        fn rewards_of_all_validators_are_no_more_than_the_pot(
            pot in 0..u128::MAX,
            points in proptest::collection::vec(0..50u32, 0..20),
        ) {
            let slots = points.iter().sum::<u32>().max(1);
            let mut left = pot;
            for points in points {
                left = left.checked_sub(reward(pot, points, slots).expect("there are slots")).expect("within the pot");
            }
        }

        #[test]
        fn no_validator_gets_more_than_the_pot(pot in 0..u128::MAX, points: u32, slots in 1..1_000u32) {
            prop_assert!(reward(pot, points, slots).expect("there are slots") <= pot);
        }
    }
}
