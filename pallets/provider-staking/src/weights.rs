//! What the calls cost.
//!
//! A runtime's weights are measured: scripts/weights runs the benchmarks of `benchmarking.rs`. Those of `()` are for tests
//! and made by hand: the database reads and writes of the most expensive path are counted (a transfer reads and writes two
//! accounts, a hold the account and its holds), and 25 microseconds are added for the work itself.

use frame_support::weights::{constants::ParityDbWeight, Weight};

/// Weight of each call.
pub trait WeightInfo {
    /// [`crate::Call::register`].
    fn register() -> Weight;
    /// [`crate::Call::set_profile`].
    fn set_profile() -> Weight;
    /// [`crate::Call::set_operator`].
    fn set_operator() -> Weight;
    /// [`crate::Call::set_commission`].
    fn set_commission() -> Weight;
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
    /// [`crate::Call::cancel_slash`].
    fn cancel_slash() -> Weight;
    /// [`crate::Call::apply_slash`].
    fn apply_slash() -> Weight;
    /// [`crate::Call::claim_compensation`].
    fn claim_compensation() -> Weight;
    /// [`crate::Call::redelegate`].
    fn redelegate() -> Weight;
    /// [`crate::Call::settle_lien`].
    fn settle_lien() -> Weight;
    /// [`crate::Call::set_auto_compound`].
    fn set_auto_compound() -> Weight;
    /// [`crate::Call::compound`].
    fn compound() -> Weight;
    /// [`crate::Call::chill`].
    fn chill() -> Weight;
    /// [`crate::Call::unchill`].
    fn unchill() -> Weight;
    /// [`crate::Call::heartbeat`].
    fn heartbeat() -> Weight;
    /// To find out that a heartbeat is valid.
    fn authorize_heartbeat() -> Weight;
    /// Every block: whether a period of heartbeats begins, and whether there are transactions.
    fn begin_block() -> Weight;
    /// A block without transactions, beside.
    fn note_stop() -> Weight;
    /// The first block of a period of heartbeats, beside.
    fn turn_period() -> Weight;
    /// A block in which a period of heartbeats is swept, without the providers that are looked at.
    fn sweep() -> Weight;
    /// One provider that is looked at, and marked.
    fn sweep_one() -> Weight;
    /// One provider that [`crate::migrations::v2`] translates, and the end of that migration.
    fn migrate_provider() -> Weight;
}

/// 25 microseconds, 4 KiB of proof for each read, and the database's `reads` and `writes`.
fn by_hand(reads: u64, writes: u64) -> Weight {
    Weight::from_parts(25_000_000, reads.saturating_mul(4_096))
        .saturating_add(ParityDbWeight::get().reads_writes(reads, writes))
}

/// The same for a call that changes `providers` providers' stake: each is looked up (provider and pool), and moved in a
/// sorted list of bags (its node, two neighbours at the old place, the last of the new one, and two bags).
fn by_hand_and_told(reads: u64, writes: u64, providers: u64) -> Weight {
    by_hand(
        reads.saturating_add(providers.saturating_mul(8)),
        writes.saturating_add(providers.saturating_mul(6)),
    )
}

impl WeightInfo for () {
    fn register() -> Weight {
        by_hand_and_told(11, 10, 1)
    }
    fn set_profile() -> Weight {
        by_hand(1, 1)
    }
    fn set_operator() -> Weight {
        by_hand(4, 3)
    }
    fn set_commission() -> Weight {
        by_hand(1, 1)
    }
    fn bond_more() -> Weight {
        by_hand_and_told(6, 4, 1)
    }
    fn unbond_self() -> Weight {
        by_hand_and_told(4, 2, 1)
    }
    // A lien that is settled on the way reads and writes the old pool, and takes from the hold.
    fn delegate() -> Weight {
        by_hand_and_told(8, 7, 1)
    }
    fn undelegate() -> Weight {
        by_hand_and_told(7, 7, 1)
    }
    fn withdraw() -> Weight {
        by_hand(5, 5)
    }
    fn claim_income() -> Weight {
        by_hand(4, 4)
    }
    fn exit() -> Weight {
        by_hand_and_told(4, 3, 1)
    }
    fn evict() -> Weight {
        by_hand_and_told(10, 9, 1)
    }
    fn deregister() -> Weight {
        by_hand_and_told(7, 8, 1)
    }
    fn cancel_slash() -> Weight {
        by_hand(2, 2)
    }
    fn apply_slash() -> Weight {
        by_hand_and_told(10, 9, 1)
    }
    fn claim_compensation() -> Weight {
        by_hand(5, 5)
    }
    fn redelegate() -> Weight {
        by_hand_and_told(13, 12, 2)
    }
    fn settle_lien() -> Weight {
        by_hand_and_told(7, 7, 1)
    }
    fn set_auto_compound() -> Weight {
        by_hand(1, 1)
    }
    fn compound() -> Weight {
        by_hand_and_told(5, 4, 1)
    }
    fn chill() -> Weight {
        by_hand_and_told(2, 1, 1)
    }
    fn unchill() -> Weight {
        by_hand_and_told(1, 1, 1)
    }
    fn heartbeat() -> Weight {
        by_hand(3, 1)
    }
    // To verify a signature takes twice as long as the rest.
    fn authorize_heartbeat() -> Weight {
        by_hand(4, 0).saturating_add(Weight::from_parts(50_000_000, 0))
    }
    fn begin_block() -> Weight {
        by_hand(2, 0)
    }
    fn note_stop() -> Weight {
        by_hand(0, 1)
    }
    fn turn_period() -> Weight {
        by_hand(3, 2)
    }
    fn sweep() -> Weight {
        by_hand(2, 1)
    }
    fn sweep_one() -> Weight {
        by_hand(1, 1)
    }
    // Its key, what is stored, and the version; both are written.
    fn migrate_provider() -> Weight {
        by_hand(4, 2)
    }
}
