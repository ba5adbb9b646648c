//! What the calls of `audit_randomness` cost.
//!
//! Written by scripts/weights out of its benchmarks: don't edit. The median of 20 executions of the Wasm, on
//! AMD EPYC.

use core::marker::PhantomData;
use frame_support::weights::Weight;

use super::cost;

/// Measured weights, with the database of `T`.
pub struct Measured<T>(PhantomData<T>);

#[rustfmt::skip]
impl<T: frame_system::Config> crate::audit_randomness::WeightInfo for Measured<T> {
    fn collect() -> Weight { cost::<T>(13_289, 4, 2) }
    fn seal() -> Weight { cost::<T>(34_762, 8, 7) }
}
