//! The learning rate of each step, from additions, multiplications and divisions only: the C library's cosine may
//! differ in its last bit from one machine to the next.

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
        if step < warmup {
            return (step + 1) as f64 / warmup as f64;
        }
        let progress = (step - warmup) as f64 / total.saturating_sub(warmup).max(1) as f64;
        match self {
            Schedule::Constant => 1.0,
            Schedule::Linear => (1.0 - progress).max(0.0),
            Schedule::Cosine => 0.5 * (1.0 + cosine_of_half_turns(progress.min(1.0))),
        }
    }
}

/// cos(π x) for x in 0..=1, as sin(π (1/2 − x)) by its Taylor series; within 1e-15.
fn cosine_of_half_turns(x: f64) -> f64 {
    let y = std::f64::consts::PI * (0.5 - x);
    let square = y * y;
    let (mut term, mut sum) = (y, y);
    for n in 1..14u32 {
        let n = f64::from(2 * n);
        term = -term * square / (n * (n + 1.0));
        sum += term;
    }
    sum
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cosine_is_the_cosine() {
        for i in 0..=1000 {
            let x = f64::from(i) / 1000.0;
            let expected = (std::f64::consts::PI * x).cos();
            assert!((cosine_of_half_turns(x) - expected).abs() < 1e-14, "at {x}");
        }
    }

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
