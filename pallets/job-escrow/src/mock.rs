//! A runtime with this pallet and balances. Provider staking and proof of training are stand-ins behind the same traits;
//! they keep what they are told in storage, so that a rolled back call rolls them back too.

#[cfg(feature = "runtime-benchmarks")]
mod bench;
mod jobs;
mod neighbours;

pub(crate) use jobs::*;
pub(crate) use neighbours::*;

use core::time::Duration;

use attune_primitives::{machine::JobState, traits::Providers, Balance, BlockNumber, JobId};
use frame_support::{
    assert_ok, derive_impl, parameter_types,
    storage::with_storage_layer,
    traits::{
        fungible::{Inspect, InspectHold},
        ConstU128, ConstU32, UnixTime,
    },
};
use frame_system::RawOrigin;
use sp_arithmetic::Permill;
use sp_runtime::{traits::IdentityLookup, BuildStorage, DispatchResult};

use crate::{self as pallet_job_escrow, *};

type Block = frame_system::mocking::MockBlock<Test>;
pub(crate) type AccountId = u64;

frame_support::construct_runtime!(
    pub enum Test {
        System: frame_system,
        Balances: pallet_balances,
        Escrow: pallet_job_escrow,
    }
);

#[derive_impl(frame_system::config_preludes::TestDefaultConfig)]
impl frame_system::Config for Test {
    type Block = Block;
    type AccountId = AccountId;
    type Lookup = IdentityLookup<AccountId>;
    type AccountData = pallet_balances::AccountData<Balance>;
}

#[derive_impl(pallet_balances::config_preludes::TestDefaultConfig)]
impl pallet_balances::Config for Test {
    type Balance = Balance;
    type ExistentialDeposit = ConstU128<EXISTENTIAL>;
    type AccountStore = System;
}

pub(crate) const EXISTENTIAL: Balance = 10;
pub(crate) const DEPOSIT: Balance = 100;
pub(crate) const MIN_AUDIT_FEE: Balance = 5;
pub(crate) const COMMITTEE_RESERVE: u32 = 3;
pub(crate) const MAX_PHASE_BLOCKS: BlockNumber = 1_000;
pub(crate) const AUDIT_WINDOW: BlockNumber = 50;
pub(crate) const CHALLENGE_WINDOW: BlockNumber = 30;
pub(crate) const DISPUTE_WINDOW: BlockNumber = 40;
pub(crate) const PRUNE_AFTER: BlockNumber = 100;
pub(crate) const SPONSORSHIP_DEPOSIT: Balance = 30;
pub(crate) const MAX_BIDS: u32 = 4;
/// What each of the accounts 1 to 9 and the two pools have.
pub(crate) const WEALTH: Balance = 1_000_000;
/// Stake that each provider can lock.
pub(crate) const STAKE: Balance = 50_000;

/// Orders jobs.
pub(crate) const CUSTOMER: AccountId = 1;
/// A provider of class `cpu-a`, and its operator key.
pub(crate) const ALICE: AccountId = 2;
pub(crate) const ALICE_KEY: AccountId = 12;
/// A provider of class `cpu-b`, and its operator key.
pub(crate) const BOB: AccountId = 3;
pub(crate) const BOB_KEY: AccountId = 13;
/// Another provider of class `cpu-a`, and its operator key.
pub(crate) const CAROL: AccountId = 4;
pub(crate) const CAROL_KEY: AccountId = 14;
/// Another provider of class `cpu-a`, which audits.
pub(crate) const AUDITOR: AccountId = 5;
/// Two more of class `cpu-a`, and their operator keys.
pub(crate) const DAVE: AccountId = 6;
pub(crate) const DAVE_KEY: AccountId = 16;
pub(crate) const EVE: AccountId = 7;
pub(crate) const EVE_KEY: AccountId = 17;
/// Pays for others.
pub(crate) const SPONSOR: AccountId = 8;
/// Somebody.
pub(crate) const ZOE: AccountId = 9;

parameter_types! {
    pub const MinBondShare: Permill = Permill::from_percent(10);
    pub const MissedPart: Permill = Permill::from_percent(20);
    pub const CancellationFee: Permill = Permill::from_percent(10);
    pub storage MaxHandovers: u32 = 2;
}

/// From now on a job that fails ends.
pub(crate) fn allow_no_handover() {
    MaxHandovers::set(&0);
}

impl Config for Test {
    type Currency = Balances;
    type RuntimeHoldReason = RuntimeHoldReason;
    type WeightInfo = ();
    type Providers = Registry;
    type Proof = Verifier;
    type UnixTime = Clock;
    type JobDeposit = ConstU128<DEPOSIT>;
    type MinAuditFee = ConstU128<MIN_AUDIT_FEE>;
    type CommitteeReserve = ConstU32<COMMITTEE_RESERVE>;
    type MinBondShare = MinBondShare;
    type MaxBondMultiple = ConstU32<2>;
    type MissedPart = MissedPart;
    type CancellationFee = CancellationFee;
    type MaxPhaseBlocks = ConstU32<MAX_PHASE_BLOCKS>;
    type AuditWindow = ConstU32<AUDIT_WINDOW>;
    type ChallengeWindow = ConstU32<CHALLENGE_WINDOW>;
    type DisputeWindow = ConstU32<DISPUTE_WINDOW>;
    type PruneAfter = ConstU32<PRUNE_AFTER>;
    type MaxHandovers = MaxHandovers;
    type MaxBids = ConstU32<MAX_BIDS>;
    type SponsorshipDeposit = ConstU128<SPONSORSHIP_DEPOSIT>;
    #[cfg(feature = "runtime-benchmarks")]
    type BenchmarkHelper = bench::Bench;
}

/// Two seconds a block.
#[allow(unreachable_pub, reason = "it stands in a public interface of the runtime")]
pub struct Clock;

impl UnixTime for Clock {
    fn now() -> Duration {
        Duration::from_secs(System::block_number() * 2)
    }
}

/// An externality in which accounts 1 to 9 and the pools have [`WEALTH`].
pub(crate) fn new_test_ext() -> sp_io::TestExternalities {
    let mut storage = frame_system::GenesisConfig::<Test>::default()
        .build_storage()
        .expect("the default genesis of the system has nothing that could fail, qed");
    let pools = [ALICE, BOB, CAROL, AUDITOR, DAVE, EVE].map(|provider| Registry::pool_account(&provider));
    pallet_balances::GenesisConfig::<Test> {
        balances: (1..=9).chain(pools).map(|who| (who, WEALTH)).collect(),
        ..Default::default()
    }
    .assimilate_storage(&mut storage)
    .expect("every balance is above the existential deposit and no account stands twice, qed");
    let mut ext = sp_io::TestExternalities::new(storage);
    ext.execute_with(|| System::set_block_number(1));
    ext
}

/// Builds the externality, and checks the books after the test.
pub(crate) struct ExtBuilder;

impl ExtBuilder {
    pub(crate) fn build_and_execute(test: impl FnOnce()) {
        new_test_ext().execute_with(|| {
            test();
            assert_ok!(Escrow::do_try_state());
            check_bonds();
        });
    }
}

/// Every live assigned job has exactly its bond locked, and no other job has one.
pub(crate) fn check_bonds() {
    let live = |id| Jobs::<Test>::get(id).filter(|job| job.state.is_bonded()).and_then(|job| job.assignment);
    for ((provider, id), bond) in Bonds::iter() {
        let assignment = live(id).expect("a bond belongs to a live job");
        assert_eq!((assignment.provider, assignment.bond), (provider, bond));
    }
    let bonded = Jobs::<Test>::iter().filter(|(_, job)| job.state.is_bonded()).count();
    assert_eq!(bonded, Bonds::iter().count(), "a live assigned job without a bond");
}

pub(crate) fn signed(who: AccountId) -> RuntimeOrigin {
    RawOrigin::Signed(who).into()
}

/// Runs `act` as a transaction: a refusal changes nothing.
pub(crate) fn transact(act: impl FnOnce() -> DispatchResult) -> DispatchResult {
    with_storage_layer(act)
}

pub(crate) fn job(id: JobId) -> Job<AccountId> {
    Jobs::<Test>::get(id).expect("the job is not pruned in this test, qed")
}

pub(crate) fn state(id: JobId) -> JobState {
    job(id).state
}

pub(crate) fn free(who: AccountId) -> Balance {
    Balances::balance(&who)
}

pub(crate) fn escrowed(who: AccountId) -> Balance {
    Balances::balance_on_hold(&HoldReason::Escrow.into(), &who)
}

pub(crate) fn pass_blocks(blocks: BlockNumber) {
    System::set_block_number(System::block_number() + u64::from(blocks));
}

/// The first block after the deadline of the job's state.
pub(crate) fn pass_deadline(id: JobId) {
    System::set_block_number((u64::from(job(id).deadline) + 1).max(System::block_number()));
}

/// The events of this pallet so far.
pub(crate) fn events() -> Vec<Event<Test>> {
    System::events()
        .into_iter()
        .filter_map(|record| match record.event {
            RuntimeEvent::Escrow(event) => Some(event),
            _ => None,
        })
        .collect()
}
