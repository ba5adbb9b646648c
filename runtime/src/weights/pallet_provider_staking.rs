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
    fn register() -> Weight { cost::<T>(244_844, 13, 11) }
    fn set_profile() -> Weight { cost::<T>(19_950, 1, 1) }
    fn set_operator() -> Weight { cost::<T>(32_132, 4, 3) }
    fn set_commission() -> Weight { cost::<T>(21_382, 2, 1) }
    fn bond_more() -> Weight { cost::<T>(138_927, 9, 7) }
    fn unbond_self() -> Weight { cost::<T>(84_427, 9, 5) }
    fn delegate() -> Weight { cost::<T>(200_919, 8, 6) }
    fn undelegate() -> Weight { cost::<T>(162_873, 11, 8) }
    fn withdraw() -> Weight { cost::<T>(93_449, 5, 5) }
    fn claim_income() -> Weight { cost::<T>(89_633, 4, 4) }
    fn exit() -> Weight { cost::<T>(75_360, 9, 6) }
    fn evict() -> Weight { cost::<T>(138_967, 9, 6) }
    fn deregister() -> Weight { cost::<T>(165_246, 7, 7) }
    fn cancel_slash() -> Weight { cost::<T>(30_155, 2, 2) }
    fn apply_slash() -> Weight { cost::<T>(188_120, 11, 9) }
    fn claim_compensation() -> Weight { cost::<T>(97_755, 5, 5) }
    fn redelegate() -> Weight { cost::<T>(397_932, 18, 14) }
    fn settle_lien() -> Weight { cost::<T>(198_055, 11, 9) }
    fn set_auto_compound() -> Weight { cost::<T>(19_018, 1, 1) }
    fn compound() -> Weight { cost::<T>(146_809, 9, 7) }
    fn chill() -> Weight { cost::<T>(48_176, 6, 4) }
    fn unchill() -> Weight { cost::<T>(46_850, 6, 4) }
    fn heartbeat() -> Weight { cost::<T>(35_000, 3, 1) }
    fn authorize_heartbeat() -> Weight { cost::<T>(75_000, 4, 0) }
    fn turn_period() -> Weight { cost::<T>(25_000, 3, 2) }
    fn sweep() -> Weight { cost::<T>(25_000, 2, 1) }
    fn sweep_one() -> Weight { cost::<T>(30_000, 1, 1) }
    fn migrate_provider() -> Weight { cost::<T>(40_000, 4, 2) }
}
