//! What the calls of `pallet_validator_election` cost.
//!
//! Written by scripts/weights out of its benchmarks: don't edit. The median of 20 executions of the Wasm, on
//! AMD EPYC.

use core::marker::PhantomData;
use frame_support::weights::Weight;

use super::cost;

/// Measured weights, with the database of `T`.
pub struct Measured<T>(PhantomData<T>);

#[rustfmt::skip]
impl<T: frame_system::Config> pallet_validator_election::WeightInfo for Measured<T> {
    fn set_inflation() -> Weight { cost::<T>(9_544, 1, 1) }
    fn note_author() -> Weight { cost::<T>(9_744, 2, 1) }
    fn poll() -> Weight { cost::<T>(3_475, 1, 0) }
    fn pay_one() -> Weight { cost::<T>(144_685, 8, 5) }
    fn punish() -> Weight { cost::<T>(363_320, 20, 15) }
}
