//! What the calls of `pallet_job_escrow` cost.
//!
//! Written by scripts/weights out of its benchmarks: don't edit. The median of 20 executions of the Wasm, on
//! AMD EPYC.

use core::marker::PhantomData;
use frame_support::weights::Weight;

use super::cost;

/// Measured weights, with the database of `T`.
pub struct Measured<T>(PhantomData<T>);

#[rustfmt::skip]
impl<T: frame_system::Config> pallet_job_escrow::WeightInfo for Measured<T> {
    fn create_job() -> Weight { cost::<T>(268_339, 8, 6) }
    fn accept_job() -> Weight { cost::<T>(230_913, 8, 6) }
    fn start_job() -> Weight { cost::<T>(85_637, 3, 1) }
    fn decline_job() -> Weight { cost::<T>(464_330, 158, 163) }
    fn cancel_job() -> Weight { cost::<T>(584_329, 169, 175) }
    fn enforce_deadline() -> Weight { cost::<T>(1_060_167, 171, 175) }
    fn miss_milestone() -> Weight { cost::<T>(652_210, 175, 180) }
    fn end_bidding() -> Weight { cost::<T>(4_929_022, 534, 7) }
    fn claim_owed() -> Weight { cost::<T>(252_465, 8, 5) }
    fn prune_job() -> Weight { cost::<T>(178_866, 6, 4) }
    fn place_bid() -> Weight { cost::<T>(127_189, 6, 1) }
    fn withdraw_bid() -> Weight { cost::<T>(73_219, 3, 1) }
    fn top_up() -> Weight { cost::<T>(164_184, 4, 4) }
    fn sponsor() -> Weight { cost::<T>(77_495, 4, 4) }
    fn end_sponsorship() -> Weight { cost::<T>(123_533, 3, 3) }
}
