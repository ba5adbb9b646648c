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
    fn create_job() -> Weight { cost::<T>(308_639, 8, 6) }
    fn accept_job() -> Weight { cost::<T>(255_511, 8, 6) }
    fn start_job() -> Weight { cost::<T>(123_854, 3, 1) }
    fn decline_job() -> Weight { cost::<T>(1_000_000, 158, 162) }
    fn cancel_job() -> Weight { cost::<T>(723_977, 169, 174) }
    fn enforce_deadline() -> Weight { cost::<T>(1_160_947, 171, 174) }
    fn miss_milestone() -> Weight { cost::<T>(1_200_000, 174, 178) }
    fn end_bidding() -> Weight { cost::<T>(9_531_359, 534, 7) }
    fn claim_owed() -> Weight { cost::<T>(303_682, 8, 5) }
    fn prune_job() -> Weight { cost::<T>(211_415, 6, 4) }
    fn place_bid() -> Weight { cost::<T>(212_265, 6, 1) }
    fn withdraw_bid() -> Weight { cost::<T>(121_381, 3, 1) }
    fn top_up() -> Weight { cost::<T>(199_988, 4, 4) }
    fn sponsor() -> Weight { cost::<T>(78_547, 4, 4) }
    fn end_sponsorship() -> Weight { cost::<T>(203_212, 3, 3) }
}
