//! What the calls of `pallet_proof_of_training` cost.
//!
//! Written by scripts/weights out of its benchmarks: don't edit. The median of 20 executions of the Wasm, on
//! AMD EPYC.

use core::marker::PhantomData;
use frame_support::weights::Weight;

use super::cost;

/// Measured weights, with the database of `T`.
pub struct Measured<T>(PhantomData<T>);

#[rustfmt::skip]
impl<T: frame_system::Config> pallet_proof_of_training::WeightInfo for Measured<T> {
    fn register_model() -> Weight { cost::<T>(79_719, 3, 4) }
    fn remove_model() -> Weight { cost::<T>(68_552, 2, 3) }
    fn commit_segment() -> Weight { cost::<T>(138_576, 5, 4) }
    fn submit_result() -> Weight { cost::<T>(127_760, 5, 2) }
    fn draw_audits() -> Weight { cost::<T>(4_631_630, 520, 9) }
    fn commit_verdict() -> Weight { cost::<T>(87_410, 4, 1) }
    fn open_trace() -> Weight { cost::<T>(120_690, 5, 1) }
    fn reveal_verdict() -> Weight { cost::<T>(4_874_582, 698, 188) }
    fn draw_committee() -> Weight { cost::<T>(4_523_019, 521, 3) }
    fn enforce_audit_deadline() -> Weight { cost::<T>(4_957_455, 695, 192) }
    fn redraw_auditors() -> Weight { cost::<T>(4_601_345, 519, 6) }
    fn remove_record() -> Weight { cost::<T>(25_408, 2, 1) }
}
