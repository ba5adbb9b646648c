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
    fn register_model() -> Weight { cost::<T>(77_926, 3, 4) }
    fn remove_model() -> Weight { cost::<T>(65_658, 2, 3) }
    fn commit_segment() -> Weight { cost::<T>(147_048, 5, 4) }
    fn submit_result() -> Weight { cost::<T>(127_460, 5, 2) }
    fn draw_audits() -> Weight { cost::<T>(4_797_717, 520, 9) }
    fn commit_verdict() -> Weight { cost::<T>(113_178, 4, 1) }
    fn open_trace() -> Weight { cost::<T>(149_623, 5, 1) }
    fn reveal_verdict() -> Weight { cost::<T>(4_962_332, 698, 188) }
    fn draw_committee() -> Weight { cost::<T>(4_627_954, 521, 3) }
    fn enforce_audit_deadline() -> Weight { cost::<T>(4_976_604, 695, 192) }
    fn redraw_auditors() -> Weight { cost::<T>(4_692_170, 519, 6) }
    fn remove_record() -> Weight { cost::<T>(22_694, 2, 1) }
}
