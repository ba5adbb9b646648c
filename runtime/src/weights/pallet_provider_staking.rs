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
    fn register() -> Weight { cost::<T>(261_459, 15, 12) }
    fn set_profile() -> Weight { cost::<T>(22_043, 1, 1) }
    fn set_operator() -> Weight { cost::<T>(37_456, 5, 3) }
    fn set_commission() -> Weight { cost::<T>(25_498, 2, 1) }
    fn bond_more() -> Weight { cost::<T>(168_140, 11, 9) }
    fn unbond_self() -> Weight { cost::<T>(109_282, 11, 7) }
    fn delegate() -> Weight { cost::<T>(309_821, 14, 11) }
    fn undelegate() -> Weight { cost::<T>(272_455, 16, 12) }
    fn withdraw() -> Weight { cost::<T>(110_054, 6, 5) }
    fn claim_income() -> Weight { cost::<T>(99_188, 4, 4) }
    fn exit() -> Weight { cost::<T>(91_917, 10, 7) }
    fn evict() -> Weight { cost::<T>(297_082, 12, 7) }
    fn deregister() -> Weight { cost::<T>(175_151, 7, 7) }
    fn cancel_slash() -> Weight { cost::<T>(44_466, 3, 3) }
    fn apply_slash() -> Weight { cost::<T>(213_448, 13, 11) }
    fn claim_compensation() -> Weight { cost::<T>(95_101, 5, 5) }
    fn redelegate() -> Weight { cost::<T>(545_842, 27, 21) }
    fn settle_lien() -> Weight { cost::<T>(251_344, 14, 11) }
    fn set_auto_compound() -> Weight { cost::<T>(33_340, 1, 1) }
    fn compound() -> Weight { cost::<T>(212_737, 11, 9) }
    fn chill() -> Weight { cost::<T>(64_266, 7, 5) }
    fn unchill() -> Weight { cost::<T>(95_582, 8, 5) }
    fn heartbeat() -> Weight { cost::<T>(41_542, 4, 1) }
    fn authorize_heartbeat() -> Weight { cost::<T>(83_654, 5, 0) }
    fn begin_block() -> Weight { cost::<T>(8_000, 2, 0) }
    fn note_stop() -> Weight { cost::<T>(4_000, 0, 1) }
    fn turn_period() -> Weight { cost::<T>(22_954, 5, 2) }
    fn sweep() -> Weight { cost::<T>(11_206, 2, 1) }
    fn sweep_one() -> Weight { cost::<T>(17_476, 1, 1) }
    fn migrate_provider() -> Weight { cost::<T>(78_266, 8, 2) }
}
