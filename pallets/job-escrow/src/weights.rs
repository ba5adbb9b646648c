//! What the calls cost.
//!
//! The weights of `()` are made by hand: the database reads and writes of the most expensive path are counted (a
//! transfer reads and writes two accounts, a hold the account and its holds), and 25 microseconds are added for the
//! work itself. They are meant to be too high until they are measured on the reference machine.

use frame_support::weights::{constants::ParityDbWeight, Weight};

/// Weight of each call.
pub trait WeightInfo {
    /// [`crate::Call::create_job`].
    fn create_job() -> Weight;
    /// [`crate::Call::accept_job`].
    fn accept_job() -> Weight;
    /// [`crate::Call::start_job`].
    fn start_job() -> Weight;
    /// Every call that can end a job: [`crate::Call::decline_job`], [`crate::Call::cancel_job`],
    /// [`crate::Call::enforce_deadline`]. Includes proof-of-training's part: the record, and as many audits and draws
    /// to delete as a job can have.
    fn close_job() -> Weight;
    /// [`crate::Call::claim_owed`].
    fn claim_owed() -> Weight;
    /// [`crate::Call::prune_job`].
    fn prune_job() -> Weight;
}

/// 25 microseconds, 4 KiB of proof for each read, and the database's `reads` and `writes`.
fn by_hand(reads: u64, writes: u64) -> Weight {
    Weight::from_parts(25_000_000, reads.saturating_mul(4_096))
        .saturating_add(ParityDbWeight::get().reads_writes(reads, writes))
}

impl WeightInfo for () {
    fn create_job() -> Weight {
        by_hand(6, 5)
    }
    fn accept_job() -> Weight {
        by_hand(9, 6)
    }
    fn start_job() -> Weight {
        by_hand(3, 1)
    }
    fn close_job() -> Weight {
        // Job, customer and holds, pool, bond, provider, pool account and holds: 12 and 10. The record, its log,
        // commitments and results: 6 and 6. Audits and their draws: 128 segments and 16 milestones.
        by_hand(165, 165)
    }
    fn claim_owed() -> Weight {
        by_hand(11, 9)
    }
    fn prune_job() -> Weight {
        by_hand(5, 4)
    }
}
