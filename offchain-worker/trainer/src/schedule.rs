//! The learning rate of each step, as `exact/SPEC.md` has it for both engines: the C library's cosine may differ in its
//! last bit from one machine to the next.

use attune_exact::schedule as exact;
use serde::{Deserialize, Serialize};

/// How the learning rate moves after the warm-up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Schedule {
    /// Stays at its peak.
    Constant,
    /// Falls in a straight line to zero after the last step.
    Linear,
    /// Falls along half a cosine to zero after the last step.
    Cosine,
}

impl Schedule {
    /// The factor on the peak learning rate at optimizer step `step` (from 0) of `total`. During the first `warmup`
    /// steps it rises in a straight line, from `1 / warmup` to 1: no step is lost at a rate of zero.
    pub fn factor(self, step: u64, warmup: u64, total: u64) -> f64 {
        let schedule = match self {
            Schedule::Constant => exact::Schedule::Constant,
            Schedule::Linear => exact::Schedule::Linear,
            Schedule::Cosine => exact::Schedule::Cosine,
        };
        schedule.factor(step, warmup, total)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn warm_up_rises_to_the_peak_and_the_schedule_falls_from_it() {
        for schedule in [Schedule::Constant, Schedule::Linear, Schedule::Cosine] {
            assert_eq!(schedule.factor(0, 4, 12), 0.25);
            assert_eq!(schedule.factor(3, 4, 12), 1.0);
            assert_eq!(schedule.factor(4, 4, 12), 1.0);
        }
        assert_eq!(Schedule::Constant.factor(11, 4, 12), 1.0);
        assert_eq!(Schedule::Linear.factor(8, 4, 12), 0.5);
        assert!((Schedule::Cosine.factor(8, 4, 12) - 0.5).abs() < 1e-15);
        assert!(Schedule::Cosine.factor(11, 4, 12) < 0.05);
        assert_eq!(Schedule::Linear.factor(12, 4, 12), 0.0);
    }
}
