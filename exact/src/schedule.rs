//! The learning rate of each step, in binary64 (SPEC.md, section 7).

use crate::real64::cos64;

/// How the learning rate moves after the warm-up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Schedule {
    /// Stays at its peak.
    Constant,
    /// Falls in a straight line to zero after the last step.
    Linear,
    /// Falls along half a cosine to zero after the last step.
    Cosine,
}

impl Schedule {
    /// The factor on the peak learning rate at optimizer step `step` (from 0) of `total`. During the first `warmup` steps it
    /// rises in a straight line from `1 / warmup` to 1: no step is lost at a rate of zero.
    pub fn factor(self, step: u64, warmup: u64, total: u64) -> f64 {
        if step < warmup {
            return (step + 1) as f64 / warmup as f64;
        }
        let progress = (step - warmup) as f64 / total.saturating_sub(warmup).max(1) as f64;
        let progress = if progress < 1.0 { progress } else { 1.0 };
        match self {
            Self::Constant => 1.0,
            Self::Linear => 1.0 - progress,
            Self::Cosine => 0.5 * (1.0 + cos64(progress * 0.5)),
        }
    }
}
