//! Who becomes a validator, and what blocks are worth.
//!
//! **Seats.** A hundred, what consensus takes. A validator answers with at least [`MinValidatorStake`], ten times what a
//! provider of GPU time does: an equivocation among few validators costs most of the pool, and that has to hurt.
//!
//! **Inflation.** Genesis sets it, the administrator changes it, and [`MaxInflation`] is where even he ends. It pays for
//! blocks and nothing else; jobs are paid by their customers.

use crate::{
    configs::consensus::{HistorySessions, MaxAuthorities},
    timing::{EpochSlots, SlotMillis},
    units::ATT,
    weights, AccountId, Balance, Balances, ProviderStaking, Runtime, RuntimeEvent, ValidatorElection,
    VoterList,
};
use attune_primitives::traits::Stakes;
use frame_support::{
    parameter_types,
    traits::{ConstU32, Get},
};
use frame_system::EnsureRoot;
use sp_runtime::Permill;
use sp_staking::SessionIndex;

parameter_types! {
    /// Least stake of a validator: self-bond and delegations.
    pub const MinValidatorStake: Balance = 1_000 * ATT;
    /// Highest inflation in a year that anyone can set.
    pub const MaxInflation: Permill = Permill::from_percent(10);
    /// Thresholds of the bags of candidates.
    pub const BagThresholds: &'static [Balance] = &BAGS;
}

/// Thresholds of the bags: from the least self-bond upwards, each a tenth above the one before it, up to far more than
/// there are tokens. Within a bag the order is that of arrival, so a tenth is what the order can be wrong by.
const BAGS: [Balance; 200] = geometric(100 * ATT);

/// `first`, and then each a tenth above the one before it.
const fn geometric<const N: usize>(first: Balance) -> [Balance; N] {
    let mut bags = [first; N];
    let mut bag = 1;
    while bag < N {
        bags[bag] = bags[bag - 1] + bags[bag - 1] / 10;
        bag += 1;
    }
    bags
}

/// Length of a session in milliseconds: an epoch's slots.
pub struct SessionMillis;

impl Get<u64> for SessionMillis {
    fn get() -> u64 {
        SlotMillis::<Runtime>::get().saturating_mul(EpochSlots::<Runtime>::get())
    }
}

/// For how many sessions an offender is not elected: a fourteenth of the time for which offences can be proven, on
/// mainnet a day. Whose machine signs twice by mistake has that long to find out.
pub struct BarSessions;

impl Get<SessionIndex> for BarSessions {
    fn get() -> SessionIndex {
        HistorySessions::get().div_ceil(14)
    }
}

/// The stake of each provider that takes work, out of provider-staking's pools.
pub struct PoolStakes;

impl Stakes<AccountId> for PoolStakes {
    fn stake(provider: &AccountId) -> Option<Balance> {
        ProviderStaking::takes_work(provider).then(|| ProviderStaking::stake_of(provider))
    }

    fn reward_part(provider: &AccountId) -> Permill {
        ProviderStaking::reward_part(provider)
    }
}

impl pallet_bags_list::Config for Runtime {
    type BagThresholds = BagThresholds;
    /// Provider-staking tells of each change: nothing is to be put right afterwards.
    type MaxAutoRebagPerBlock = ConstU32<0>;
    type RuntimeEvent = RuntimeEvent;
    type Score = Balance;
    type ScoreProvider = ValidatorElection;
    type WeightInfo = pallet_bags_list::weights::SubstrateWeight<Runtime>;
}

impl pallet_validator_election::Config for Runtime {
    type BarSessions = BarSessions;
    #[cfg(feature = "runtime-benchmarks")]
    type BenchmarkHelper = crate::benchmarks::Neighbours;
    type Currency = Balances;
    type GovernanceOrigin = EnsureRoot<AccountId>;
    type HistoryDepth = HistorySessions;
    type MaxInflation = MaxInflation;
    /// Those of some hours on mainnet: rewards wait only while blocks are full.
    type MaxUnpaidSessions = ConstU32<16>;
    type MaxValidators = MaxAuthorities;
    type MinValidatorStake = MinValidatorStake;
    type Providers = ProviderStaking;
    type SessionMillis = SessionMillis;
    type SessionSlots = EpochSlots<Runtime>;
    type Stakes = PoolStakes;
    type VoterList = VoterList;
    type WeightInfo = weights::pallet_validator_election::Measured<Runtime>;
}
