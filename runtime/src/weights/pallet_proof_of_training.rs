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
    fn register_model() -> Weight { cost::<T>(77_144, 3, 4) }
    fn remove_model() -> Weight { cost::<T>(66_228, 2, 3) }
    fn commit_segment() -> Weight { cost::<T>(144_715, 3, 3) }
    fn submit_result() -> Weight { cost::<T>(148_441, 5, 2) }
    fn draw_audits() -> Weight { cost::<T>(4_925_047, 519, 9) }
    fn commit_verdict() -> Weight { cost::<T>(138_677, 4, 1) }
    fn open_trace() -> Weight { cost::<T>(185_806, 5, 1) }
    fn reveal_verdict() -> Weight { cost::<T>(5_343_799, 697, 186) }
    fn draw_committee() -> Weight { cost::<T>(5_123_522, 521, 3) }
    fn enforce_audit_deadline() -> Weight { cost::<T>(5_658_608, 694, 190) }
    fn redraw_auditors() -> Weight { cost::<T>(4_954_440, 519, 6) }
    fn remove_record() -> Weight { cost::<T>(31_757, 2, 1) }
}
