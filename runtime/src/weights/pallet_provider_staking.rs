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
    fn register() -> Weight { cost::<T>(259_486, 15, 12) }
    fn set_profile() -> Weight { cost::<T>(21_512, 1, 1) }
    fn set_operator() -> Weight { cost::<T>(37_315, 5, 3) }
    fn set_commission() -> Weight { cost::<T>(24_867, 2, 1) }
    fn bond_more() -> Weight { cost::<T>(163_824, 11, 9) }
    fn unbond_self() -> Weight { cost::<T>(107_089, 11, 7) }
    fn delegate() -> Weight { cost::<T>(314_819, 13, 11) }
    fn undelegate() -> Weight { cost::<T>(456_669, 15, 12) }
    fn withdraw() -> Weight { cost::<T>(177_704, 5, 5) }
    fn claim_income() -> Weight { cost::<T>(101_672, 4, 4) }
    fn exit() -> Weight { cost::<T>(94_601, 10, 7) }
    fn evict() -> Weight { cost::<T>(288_409, 10, 7) }
    fn deregister() -> Weight { cost::<T>(308_599, 7, 7) }
    fn cancel_slash() -> Weight { cost::<T>(69_664, 2, 2) }
    fn apply_slash() -> Weight { cost::<T>(212_987, 12, 10) }
    fn claim_compensation() -> Weight { cost::<T>(104_025, 5, 5) }
    fn redelegate() -> Weight { cost::<T>(544_811, 25, 21) }
    fn settle_lien() -> Weight { cost::<T>(249_311, 13, 11) }
    fn set_auto_compound() -> Weight { cost::<T>(28_762, 1, 1) }
    fn compound() -> Weight { cost::<T>(332_965, 11, 9) }
    fn chill() -> Weight { cost::<T>(97_565, 7, 5) }
    fn unchill() -> Weight { cost::<T>(118_427, 8, 5) }
    fn heartbeat() -> Weight { cost::<T>(80_570, 4, 1) }
    fn authorize_heartbeat() -> Weight { cost::<T>(81_662, 4, 0) }
    fn turn_period() -> Weight { cost::<T>(22_303, 4, 2) }
    fn sweep() -> Weight { cost::<T>(11_207, 2, 1) }
    fn sweep_one() -> Weight { cost::<T>(18_587, 1, 1) }
    fn migrate_provider() -> Weight { cost::<T>(79_308, 8, 2) }
}
