//! What the hooks of [`crate::audit_randomness`] cost.

use frame_support::weights::Weight;

/// Weights of what the hooks do.
pub trait WeightInfo {
    /// What every block does: to look whether an epoch has begun, and at its end to take in its output.
    fn collect() -> Weight;
    /// What the first block of an epoch does beside: to seal the one before, and to forget what is too old.
    fn seal() -> Weight;
}
