//! What the calls of Attune's pallets cost in this runtime: measured by `scripts/weights`, one file for each pallet.
//!
//! The time is that of the Wasm alone, in the state that costs the most; what the database takes is added by the number of
//! keys read and written. Sizes of storage proofs are left out: Attune is no parachain, and its blocks do not limit them.

pub mod audit_randomness;
pub mod pallet_job_escrow;
pub mod pallet_proof_of_training;
pub mod pallet_provider_staking;
pub mod pallet_validator_election;

use frame_support::{
    traits::Get,
    weights::{constants::WEIGHT_REF_TIME_PER_NANOS, Weight},
};

/// `nanos` nanoseconds, and the database's time for `reads` and `writes`.
fn cost<T: frame_system::Config>(nanos: u64, reads: u64, writes: u64) -> Weight {
    let time = nanos.saturating_mul(WEIGHT_REF_TIME_PER_NANOS);
    Weight::from_parts(time, 0).saturating_add(T::DbWeight::get().reads_writes(reads, writes))
}
