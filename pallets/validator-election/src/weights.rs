//! What the call and the pallet's part of hooks cost.
//!
//! A runtime's weights are measured: scripts/weights runs the benchmarks of `benchmarking.rs`. Those of `()` are for tests
//! and made by hand: the database reads and writes of the most expensive path are counted, and 25 microseconds are added
//! for the work itself.
//!
//! The election has no weight of its own: pallet-session books a whole block for the change of session, in which the
//! election happens.

use frame_support::weights::{constants::ParityDbWeight, Weight};

/// Weight of the call, and of each thing that a hook does.
pub trait WeightInfo {
    /// [`crate::Call::set_inflation`].
    fn set_inflation() -> Weight;
    /// To count the author of a block.
    fn note_author() -> Weight;
    /// To see whether anything is to be paid.
    fn poll() -> Weight;
    /// To pay one validator for one session, or to close one session.
    fn pay_one() -> Weight;
    /// To punish one offender.
    fn punish() -> Weight;
}

/// 25 microseconds, 4 KiB of proof for each read, and the database's `reads` and `writes`.
fn by_hand(reads: u64, writes: u64) -> Weight {
    Weight::from_parts(25_000_000, reads.saturating_mul(4_096))
        .saturating_add(ParityDbWeight::get().reads_writes(reads, writes))
}

impl WeightInfo for () {
    fn set_inflation() -> Weight {
        by_hand(0, 1)
    }
    fn note_author() -> Weight {
        by_hand(2, 1)
    }
    fn poll() -> Weight {
        by_hand(1, 0)
    }
    // The queue, the next points; the provider, and whether it is absent; then the income: its pool, and two transfers
    // with their accounts.
    fn pay_one() -> Weight {
        by_hand(11, 8)
    }
    // The part slashed so far, the bars, the session's validators and the disabled; then the slash: provider, pool, its
    // queue of slashes, holds and the accounts of pool and reporter, and the list of candidates (its node, two
    // neighbours, two bags).
    fn punish() -> Weight {
        by_hand(22, 18)
    }
}
