//! What the calls of `pallet_provider_staking` cost.
//!
//! Written by scripts/weights out of its benchmarks: don't edit. The median of 20 executions of the Wasm, on
//! AMD EPYC.

use core::marker::PhantomData;
use frame_support::weights::Weight;

use super::cost;

/// Measured weights, with the database of `T`.
pub struct Measured<T>(PhantomData<T>);

#[rustfmt::skip]
impl<T: frame_system::Config> pallet_provider_staking::WeightInfo for Measured<T> {
    fn register() -> Weight { cost::<T>(306_055, 14, 12) }
    fn set_profile() -> Weight { cost::<T>(19_950, 1, 1) }
    fn set_operator() -> Weight { cost::<T>(32_132, 4, 3) }
    fn set_commission() -> Weight { cost::<T>(21_382, 2, 1) }
    fn bond_more() -> Weight { cost::<T>(173_658, 11, 9) }
    fn unbond_self() -> Weight { cost::<T>(98_033, 10, 7) }
    fn delegate() -> Weight { cost::<T>(313_935, 13, 11) }
    fn undelegate() -> Weight { cost::<T>(254_488, 15, 12) }
    fn withdraw() -> Weight { cost::<T>(93_449, 5, 5) }
    fn claim_income() -> Weight { cost::<T>(89_633, 4, 4) }
    fn exit() -> Weight { cost::<T>(84_200, 9, 7) }
    fn evict() -> Weight { cost::<T>(173_708, 10, 7) }
    fn deregister() -> Weight { cost::<T>(165_246, 7, 7) }
    fn cancel_slash() -> Weight { cost::<T>(30_155, 2, 2) }
    fn apply_slash() -> Weight { cost::<T>(235_150, 12, 10) }
    fn claim_compensation() -> Weight { cost::<T>(97_755, 5, 5) }
    fn redelegate() -> Weight { cost::<T>(621_768, 25, 21) }
    fn settle_lien() -> Weight { cost::<T>(247_568, 13, 11) }
    fn set_auto_compound() -> Weight { cost::<T>(19_018, 1, 1) }
    fn compound() -> Weight { cost::<T>(183_511, 11, 9) }
    fn chill() -> Weight { cost::<T>(55_220, 6, 5) }
    fn unchill() -> Weight { cost::<T>(58_562, 7, 5) }
    fn heartbeat() -> Weight { cost::<T>(35_000, 3, 1) }
    fn authorize_heartbeat() -> Weight { cost::<T>(75_000, 4, 0) }
    fn turn_period() -> Weight { cost::<T>(25_000, 3, 2) }
    fn sweep() -> Weight { cost::<T>(25_000, 2, 1) }
    fn sweep_one() -> Weight { cost::<T>(30_000, 1, 1) }
    fn migrate_provider() -> Weight { cost::<T>(40_000, 4, 2) }
}
