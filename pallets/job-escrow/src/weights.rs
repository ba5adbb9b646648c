//! What the calls cost.
//!
//! A runtime's weights are measured: scripts/weights runs the benchmarks of `benchmarking.rs`. Those of `()` are for tests
//! and made by hand: the database reads and writes of the most expensive path are counted (a transfer reads and writes two
//! accounts, a hold the account and its holds), and 25 microseconds are added for the work itself.

use frame_support::weights::{constants::ParityDbWeight, Weight};

/// Weight of each call.
pub trait WeightInfo {
    /// [`crate::Call::create_job`], for a sponsor.
    fn create_job() -> Weight;
    /// [`crate::Call::accept_job`].
    fn accept_job() -> Weight;
    /// [`crate::Call::start_job`].
    fn start_job() -> Weight;
    /// [`crate::Call::decline_job`]: the job ends after handovers, with the proofs of all milestones but one.
    fn decline_job() -> Weight;
    /// [`crate::Call::cancel_job`]: a running job ends with a fee.
    fn cancel_job() -> Weight;
    /// [`crate::Call::enforce_deadline`]: the job is final, and its record is written.
    fn enforce_deadline() -> Weight;
    /// [`crate::Call::enforce_deadline`]: a milestone was missed, and the slash acts at once.
    fn miss_milestone() -> Weight;
    /// [`crate::Call::enforce_deadline`]: a bidding window is over, and every bid but the last is tried in vain.
    fn end_bidding() -> Weight;
    /// [`crate::Call::claim_owed`].
    fn claim_owed() -> Weight;
    /// [`crate::Call::prune_job`].
    fn prune_job() -> Weight;
    /// [`crate::Call::place_bid`]: the list is full.
    fn place_bid() -> Weight;
    /// [`crate::Call::withdraw_bid`].
    fn withdraw_bid() -> Weight;
    /// [`crate::Call::top_up`].
    fn top_up() -> Weight;
    /// [`crate::Call::sponsor`].
    fn sponsor() -> Weight;
    /// [`crate::Call::end_sponsorship`].
    fn end_sponsorship() -> Weight;
}

/// 25 microseconds, 4 KiB of proof for each read, and the database's `reads` and `writes`.
fn by_hand(reads: u64, writes: u64) -> Weight {
    Weight::from_parts(25_000_000, reads.saturating_mul(4_096))
        .saturating_add(ParityDbWeight::get().reads_writes(reads, writes))
}

/// Reads and writes to end an attempt, proof-of-training's part with it. Job, funder and holds, sponsorship, pool, bond,
/// provider, pool account and holds, bids: 15 and 13. The record, its log, commitments and results: 6 and 6. Audits
/// and their draws: 128 segments and 16 milestones, with the marks of the milestones 16 more.
const CLOSING: (u64, u64) = (181, 179);
/// Reads to rank bids: 256 providers with their pools, and the index.
const RANKING: u64 = 513;
/// Reads to try one bid: provider, pool, bond.
const BID: u64 = 4;
/// Most bids of a runtime that these weights are for.
const BIDS: u64 = 16;

impl WeightInfo for () {
    fn create_job() -> Weight {
        by_hand(8, 7)
    }
    fn accept_job() -> Weight {
        by_hand(10, 7)
    }
    fn start_job() -> Weight {
        by_hand(3, 1)
    }
    fn decline_job() -> Weight {
        by_hand(CLOSING.0, CLOSING.1)
    }
    fn cancel_job() -> Weight {
        by_hand(CLOSING.0, CLOSING.1)
    }
    fn enforce_deadline() -> Weight {
        by_hand(CLOSING.0, CLOSING.1)
    }
    // A slash that acts at once: pool, slash, its two counters, accounts and holds of pool and funder, and the list of
    // candidates.
    fn miss_milestone() -> Weight {
        by_hand(CLOSING.0.saturating_add(18), CLOSING.1.saturating_add(15))
    }
    fn end_bidding() -> Weight {
        by_hand(BID.saturating_mul(BIDS).saturating_add(RANKING).saturating_add(10), 8)
    }
    fn claim_owed() -> Weight {
        by_hand(11, 9)
    }
    fn prune_job() -> Weight {
        by_hand(6, 5)
    }
    fn place_bid() -> Weight {
        by_hand(8, 3)
    }
    fn withdraw_bid() -> Weight {
        by_hand(3, 1)
    }
    fn top_up() -> Weight {
        by_hand(4, 4)
    }
    fn sponsor() -> Weight {
        by_hand(4, 4)
    }
    fn end_sponsorship() -> Weight {
        by_hand(3, 3)
    }
}
