//! What the calls cost.
//!
//! The weights of `()` are made by hand: the database reads and writes of the most expensive path are counted (a
//! transfer reads and writes two accounts, a hold the account and its holds), and 25 microseconds are added for the
//! work itself. They are meant to be too high. `benchmarking.rs` has a benchmark for each call, to measure them on the
//! reference machine with frame-omni-bencher.

use frame_support::weights::{constants::ParityDbWeight, Weight};

/// Weight of each call.
pub trait WeightInfo {
    /// [`crate::Call::register`].
    fn register() -> Weight;
    /// [`crate::Call::set_profile`].
    fn set_profile() -> Weight;
    /// [`crate::Call::set_operator`].
    fn set_operator() -> Weight;
    /// [`crate::Call::lower_commission`].
    fn lower_commission() -> Weight;
    /// [`crate::Call::bond_more`].
    fn bond_more() -> Weight;
    /// [`crate::Call::unbond_self`].
    fn unbond_self() -> Weight;
    /// [`crate::Call::delegate`].
    fn delegate() -> Weight;
    /// [`crate::Call::undelegate`].
    fn undelegate() -> Weight;
    /// [`crate::Call::withdraw`].
    fn withdraw() -> Weight;
    /// [`crate::Call::claim_income`].
    fn claim_income() -> Weight;
    /// [`crate::Call::exit`].
    fn exit() -> Weight;
    /// [`crate::Call::evict`].
    fn evict() -> Weight;
    /// [`crate::Call::deregister`].
    fn deregister() -> Weight;
}

/// 25 microseconds, 4 KiB of proof for each read, and the database's `reads` and `writes`.
fn by_hand(reads: u64, writes: u64) -> Weight {
    Weight::from_parts(25_000_000, reads.saturating_mul(4_096))
        .saturating_add(ParityDbWeight::get().reads_writes(reads, writes))
}

impl WeightInfo for () {
    fn register() -> Weight {
        by_hand(11, 10)
    }
    fn set_profile() -> Weight {
        by_hand(1, 1)
    }
    fn set_operator() -> Weight {
        by_hand(3, 3)
    }
    fn lower_commission() -> Weight {
        by_hand(1, 1)
    }
    fn bond_more() -> Weight {
        by_hand(6, 4)
    }
    fn unbond_self() -> Weight {
        by_hand(2, 2)
    }
    fn delegate() -> Weight {
        by_hand(7, 6)
    }
    fn undelegate() -> Weight {
        by_hand(5, 5)
    }
    fn withdraw() -> Weight {
        by_hand(5, 5)
    }
    fn claim_income() -> Weight {
        by_hand(4, 4)
    }
    fn exit() -> Weight {
        by_hand(3, 3)
    }
    fn evict() -> Weight {
        by_hand(8, 7)
    }
    fn deregister() -> Weight {
        by_hand(7, 8)
    }
}
