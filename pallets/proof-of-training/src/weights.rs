//! What the calls cost.
//!
//! A runtime's weights are measured: scripts/weights runs the benchmarks of `benchmarking.rs`. Those of `()` are for tests
//! and made by hand: the database reads and writes of the longest path through each call, neighbours included, at the
//! cost of RocksDB, and 1 ms for every path's computing and decoding.

use frame_support::weights::{constants::RocksDbWeight, Weight};

/// Weights of this pallet's calls.
pub trait WeightInfo {
    /// Registers a model.
    fn register_model() -> Weight;
    /// Removes a model.
    fn remove_model() -> Weight;
    /// Commits the last segment of a milestone.
    fn commit_segment() -> Weight;
    /// Submits the result.
    fn submit_result() -> Weight;
    /// Draws the most segments from the most providers.
    fn draw_audits() -> Weight;
    /// The last auditor commits.
    fn commit_verdict() -> Weight;
    /// Opens a trace.
    fn open_trace() -> Weight;
    /// The last auditor reveals, nobody can be drawn for a committee, and the job ends.
    fn reveal_verdict() -> Weight;
    /// The last auditor reveals, and a committee is drawn.
    fn draw_committee() -> Weight;
    /// A deadline passed, nobody can be drawn any more, and the job ends.
    fn enforce_audit_deadline() -> Weight;
    /// A deadline passed, and other auditors are drawn.
    fn redraw_auditors() -> Weight;
    /// Removes a record.
    fn remove_record() -> Weight;
}

/// Providers that a draw reads, with their pools: twice 256, and the index.
const CANDIDATES: u64 = 513;
/// Reads and writes to pay an auditor: job, budget, two accounts, holds, pool, reputation.
const FEE: u64 = 12;
/// Auditors that one decision pays.
const FEES: u64 = 32;
/// Writes to end a job: 128 audits, 16 draws, 16 milestones, the other proofs, the record, escrow, bond and pool.
const CLOSING: u64 = 200;

fn cost(reads: u64, writes: u64) -> Weight {
    Weight::from_parts(1_000_000_000, 0).saturating_add(RocksDbWeight::get().reads_writes(reads, writes))
}

impl WeightInfo for () {
    fn register_model() -> Weight {
        cost(5, 6)
    }
    fn remove_model() -> Weight {
        cost(4, 5)
    }
    fn commit_segment() -> Weight {
        cost(8, 6)
    }
    fn submit_result() -> Weight {
        cost(8, 6)
    }
    fn draw_audits() -> Weight {
        cost(CANDIDATES.saturating_add(8), 12)
    }
    fn commit_verdict() -> Weight {
        cost(5, 3)
    }
    fn open_trace() -> Weight {
        cost(6, 3)
    }
    fn reveal_verdict() -> Weight {
        let reads = FEE.saturating_mul(FEES).saturating_add(CANDIDATES).saturating_add(CLOSING);
        cost(reads, FEE.saturating_mul(FEES).saturating_add(CLOSING))
    }
    fn draw_committee() -> Weight {
        cost(CANDIDATES.saturating_add(8), 12)
    }
    fn enforce_audit_deadline() -> Weight {
        Self::reveal_verdict()
    }
    fn redraw_auditors() -> Weight {
        cost(CANDIDATES.saturating_add(12), 12)
    }
    fn remove_record() -> Weight {
        cost(2, 2)
    }
}
