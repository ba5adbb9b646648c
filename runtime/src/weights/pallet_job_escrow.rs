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
    fn create_job() -> Weight { cost::<T>(275_690, 8, 6) }
    fn accept_job() -> Weight { cost::<T>(235_160, 8, 6) }
    fn start_job() -> Weight { cost::<T>(101_340, 3, 1) }
    fn decline_job() -> Weight { cost::<T>(503_769, 158, 163) }
    fn cancel_job() -> Weight { cost::<T>(630_919, 169, 175) }
    fn enforce_deadline() -> Weight { cost::<T>(1_110_893, 171, 175) }
    fn miss_milestone() -> Weight { cost::<T>(680_793, 175, 180) }
    fn end_bidding() -> Weight { cost::<T>(5_180_437, 534, 7) }
    fn claim_owed() -> Weight { cost::<T>(268_710, 8, 5) }
    fn prune_job() -> Weight { cost::<T>(191_765, 6, 4) }
    fn place_bid() -> Weight { cost::<T>(166_878, 6, 1) }
    fn withdraw_bid() -> Weight { cost::<T>(108_111, 3, 1) }
    fn top_up() -> Weight { cost::<T>(189_132, 4, 4) }
    fn sponsor() -> Weight { cost::<T>(91_957, 4, 4) }
    fn end_sponsorship() -> Weight { cost::<T>(146_989, 3, 3) }
}
