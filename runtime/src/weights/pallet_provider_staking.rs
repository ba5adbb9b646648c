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
    fn register() -> Weight { cost::<T>(263_782, 15, 12) }
    fn set_profile() -> Weight { cost::<T>(21_011, 1, 1) }
    fn set_operator() -> Weight { cost::<T>(37_546, 5, 3) }
    fn set_commission() -> Weight { cost::<T>(25_138, 2, 1) }
    fn bond_more() -> Weight { cost::<T>(165_706, 11, 9) }
    fn unbond_self() -> Weight { cost::<T>(107_901, 11, 7) }
    fn delegate() -> Weight { cost::<T>(300_527, 14, 11) }
    fn undelegate() -> Weight { cost::<T>(257_553, 16, 12) }
    fn withdraw() -> Weight { cost::<T>(104_486, 6, 5) }
    fn claim_income() -> Weight { cost::<T>(95_242, 4, 4) }
    fn exit() -> Weight { cost::<T>(90_074, 10, 7) }
    fn evict() -> Weight { cost::<T>(272_776, 12, 7) }
    fn deregister() -> Weight { cost::<T>(173_639, 7, 7) }
    fn cancel_slash() -> Weight { cost::<T>(43_615, 3, 3) }
    fn apply_slash() -> Weight { cost::<T>(203_243, 13, 11) }
    fn claim_compensation() -> Weight { cost::<T>(96_003, 5, 5) }
    fn redelegate() -> Weight { cost::<T>(528_716, 27, 21) }
    fn settle_lien() -> Weight { cost::<T>(247_868, 14, 11) }
    fn set_auto_compound() -> Weight { cost::<T>(21_412, 1, 1) }
    fn compound() -> Weight { cost::<T>(199_737, 11, 9) }
    fn chill() -> Weight { cost::<T>(65_837, 7, 5) }
    fn unchill() -> Weight { cost::<T>(71_496, 8, 5) }
    fn heartbeat() -> Weight { cost::<T>(42_914, 4, 1) }
    fn authorize_heartbeat() -> Weight { cost::<T>(86_268, 5, 0) }
    fn begin_block() -> Weight { cost::<T>(10_115, 3, 0) }
    fn note_stop() -> Weight { cost::<T>(5_448, 1, 1) }
    fn turn_period() -> Weight { cost::<T>(21_953, 5, 2) }
    fn sweep() -> Weight { cost::<T>(10_466, 2, 1) }
    fn sweep_one() -> Weight { cost::<T>(16_685, 1, 1) }
    fn migrate_provider() -> Weight { cost::<T>(76_504, 8, 2) }
}
