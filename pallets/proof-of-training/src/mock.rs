//! A runtime with this pallet, for tests.

mod acts;
#[cfg(feature = "runtime-benchmarks")]
mod bench;
mod neighbours;

use attune_primitives::{job::JobSpec, Balance, BlockNumber};
use frame_support::{
    assert_ok, construct_runtime, derive_impl, pallet_prelude::*, parameter_types, traits::ConstU128,
};
use sp_runtime::BuildStorage;

pub(crate) use acts::*;
pub(crate) use neighbours::*;

pub(crate) type AccountId = u64;

construct_runtime!(
    pub enum Test {
        System: frame_system,
        Balances: pallet_balances,
        Proofs: crate,
    }
);

#[derive_impl(frame_system::config_preludes::TestDefaultConfig)]
impl frame_system::Config for Test {
    type Block = frame_system::mocking::MockBlockU32<Test>;
    type AccountData = pallet_balances::AccountData<Balance>;
}

parameter_types! {
    pub const ExistentialDeposit: Balance = 10;
    pub storage FinalityMargin: BlockNumber = MARGIN;
}

#[derive_impl(pallet_balances::config_preludes::TestDefaultConfig)]
impl pallet_balances::Config for Test {
    type AccountStore = System;
    type Balance = Balance;
    type ExistentialDeposit = ExistentialDeposit;
}

pub(crate) const COMMIT_BLOCKS: BlockNumber = 10;
pub(crate) const OPEN_BLOCKS: BlockNumber = 5;
pub(crate) const REVEAL_BLOCKS: BlockNumber = 6;
/// [`FinalityMargin`] where a test does not set it.
pub(crate) const MARGIN: BlockNumber = 3;
pub(crate) const REDRAWS: u32 = 2;
pub(crate) const COMMITTEE: u32 = 3;
pub(crate) const DEPOSIT: Balance = 100;
pub(crate) const RETENTION: BlockNumber = 50;

impl crate::Config for Test {
    type Currency = Balances;
    type RuntimeHoldReason = RuntimeHoldReason;
    type Providers = Staking;
    type JobEscrow = Escrow;
    type Randomness = Beacon;
    type UnixTime = Clock;
    type VerdictCommitBlocks = ConstU32<COMMIT_BLOCKS>;
    type OpenBlocks = ConstU32<OPEN_BLOCKS>;
    type RevealBlocks = ConstU32<REVEAL_BLOCKS>;
    type FinalityMargin = FinalityMargin;
    type MaxRedraws = ConstU32<REDRAWS>;
    type CommitteeSize = ConstU32<COMMITTEE>;
    type ModelDeposit = ConstU128<DEPOSIT>;
    type RecordRetention = ConstU32<RETENTION>;
    type WeightInfo = ();
    #[cfg(feature = "runtime-benchmarks")]
    type BenchmarkHelper = bench::Bench;
}

/// Puts a test into a chain with a customer, a trainer and auditors, and checks the invariants after it.
pub(crate) struct ExtBuilder {
    providers: Vec<(AccountId, Balance)>,
    spec: Option<JobSpec<AccountId>>,
}

impl Default for ExtBuilder {
    fn default() -> Self {
        let auditors = (0..8u64).map(|i| (20 + i, 100));
        Self { providers: auditors.collect(), spec: Some(spec(&[2, 2], 1, 2)) }
    }
}

impl ExtBuilder {
    /// The only providers besides the trainer, with their stake.
    pub(crate) fn auditors(mut self, auditors: &[(AccountId, Balance)]) -> Self {
        self.providers = auditors.to_vec();
        self
    }

    pub(crate) fn spec(mut self, spec: JobSpec<AccountId>) -> Self {
        self.spec = Some(spec);
        self
    }

    /// A chain without model and job.
    #[cfg(feature = "runtime-benchmarks")]
    pub(crate) fn without_job(mut self) -> Self {
        self.spec = None;
        self
    }

    pub(crate) fn build(self) -> sp_io::TestExternalities {
        let mut storage = frame_system::GenesisConfig::<Test>::default()
            .build_storage()
            .expect("the genesis is valid, qed");
        pallet_balances::GenesisConfig::<Test> {
            balances: vec![(CUSTOMER, 10_000), (STRANGER, 10_000), (2, 150)],
            ..Default::default()
        }
        .assimilate_storage(&mut storage)
        .expect("the balances are valid, qed");
        let mut ext = sp_io::TestExternalities::new(storage);
        ext.execute_with(|| {
            System::set_block_number(1);
            Staking::add(TRAINER, operator(TRAINER), &class(), 1_000);
            for (provider, stake) in &self.providers {
                Staking::add(*provider, operator(*provider), &class(), *stake);
            }
            if let Some(spec) = self.spec {
                assert_ok!(Proofs::register_model(signed(STRANGER), model_info(1)));
                Escrow::start(JOB, CUSTOMER, TRAINER, spec);
            }
        });
        ext
    }

    pub(crate) fn build_and_execute(self, test: impl FnOnce()) {
        self.build().execute_with(|| {
            test();
            assert_ok!(Proofs::do_try_state());
        });
    }
}
