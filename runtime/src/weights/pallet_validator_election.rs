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
    fn set_inflation() -> Weight { cost::<T>(9_875, 1, 1) }
    fn note_author() -> Weight { cost::<T>(9_785, 2, 1) }
    fn poll() -> Weight { cost::<T>(3_455, 1, 0) }
    fn pay_one() -> Weight { cost::<T>(145_106, 8, 5) }
    fn punish() -> Weight { cost::<T>(364_622, 20, 15) }
}
