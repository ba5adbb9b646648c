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
    fn create_job() -> Weight { cost::<T>(317_973, 8, 6) }
    fn accept_job() -> Weight { cost::<T>(273_947, 8, 6) }
    fn start_job() -> Weight { cost::<T>(122_712, 3, 1) }
    fn decline_job() -> Weight { cost::<T>(544_310, 158, 162) }
    fn cancel_job() -> Weight { cost::<T>(651_620, 169, 174) }
    fn enforce_deadline() -> Weight { cost::<T>(1_095_720, 171, 174) }
    fn miss_milestone() -> Weight { cost::<T>(737_978, 174, 178) }
    fn end_bidding() -> Weight { cost::<T>(5_066_927, 534, 7) }
    fn claim_owed() -> Weight { cost::<T>(264_854, 8, 5) }
    fn prune_job() -> Weight { cost::<T>(204_213, 6, 4) }
    fn place_bid() -> Weight { cost::<T>(188_731, 6, 1) }
    fn withdraw_bid() -> Weight { cost::<T>(115_852, 3, 1) }
    fn top_up() -> Weight { cost::<T>(195_041, 4, 4) }
    fn sponsor() -> Weight { cost::<T>(77_575, 4, 4) }
    fn end_sponsorship() -> Weight { cost::<T>(149_863, 3, 3) }
}
