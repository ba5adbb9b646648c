//! A runtime with this pallet, sessions, the list of candidates, and providers of straw.

use std::collections::BTreeMap;

use attune_primitives::{
    job::ArithmeticMode,
    provider::{Hardware, ProviderProfile, ProviderView},
    traits::{AuditOutcome, OnStakeChanged, Providers, Stakes},
    Balance, JobId,
};
use codec::Encode;
use frame_support::{
    assert_ok, derive_impl, parameter_types,
    traits::{
        fungible::{Inspect, Mutate},
        ConstU128, ConstU32, ConstU64, FindAuthor, Hooks,
    },
    weights::{Weight, WeightMeter},
};
use frame_system::EnsureRoot;
use pallet_session::{
    disabling::UpToLimitWithReEnablingDisablingStrategy, historical::NoteHistoricalRoot, PeriodicSessions,
    TestSessionHandler,
};
use sp_arithmetic::Permill;
use sp_runtime::{
    impl_opaque_keys, testing::UintAuthorityId, traits::ConvertInto, BuildStorage, ConsensusEngineId,
    DispatchError, DispatchResult, Perbill,
};
use sp_staking::{
    offence::{OffenceDetails, OnOffenceHandler},
    SessionIndex,
};

use crate::{self as pallet_validator_election, *};

type Block = frame_system::mocking::MockBlock<Test>;
pub(crate) type AccountId = u64;

frame_support::construct_runtime!(
    pub enum Test {
        System: frame_system,
        Balances: pallet_balances,
        Session: pallet_session,
        Historical: pallet_session::historical,
        Authorship: pallet_authorship,
        VoterList: pallet_bags_list,
        Election: pallet_validator_election,
    }
);

impl_opaque_keys! {
    pub struct Keys {
        pub dummy: UintAuthorityId,
    }
}

pub(crate) const EXISTENTIAL: Balance = 10;
/// Blocks, and slots, of a session.
pub(crate) const SESSION: u32 = 10;
/// Long enough that a session's pot is a number that one can read.
pub(crate) const SESSION_MILLIS: u64 = inflation::YEAR_MILLIS / 1_000;
pub(crate) const MAX_VALIDATORS: u32 = 4;
pub(crate) const MIN_VALIDATORS: u32 = 2;
pub(crate) const MIN_STAKE: Balance = 100;
pub(crate) const MAX_UNPAID: u32 = 3;
pub(crate) const HISTORY: SessionIndex = 6;
pub(crate) const BAR: SessionIndex = 4;
pub(crate) const INFLATION: Permill = Permill::from_percent(5);
pub(crate) const ISSUANCE: Balance = 1_000_000_000;
/// What a session mints if every slot has a provider's block: a thousandth of a year's 5 %.
pub(crate) const POT: Balance = 50_000;
/// The authorities of genesis.
pub(crate) const GENESIS: [AccountId; 3] = [101, 102, 103];
/// Owns all tokens.
pub(crate) const TREASURER: AccountId = 999;

#[derive_impl(frame_system::config_preludes::TestDefaultConfig)]
impl frame_system::Config for Test {
    type Block = Block;
    type AccountData = pallet_balances::AccountData<Balance>;
}

#[derive_impl(pallet_balances::config_preludes::TestDefaultConfig)]
impl pallet_balances::Config for Test {
    type Balance = Balance;
    type ExistentialDeposit = ConstU128<EXISTENTIAL>;
    type AccountStore = System;
}

impl pallet_session::Config for Test {
    type Currency = Balances;
    type DisablingStrategy = UpToLimitWithReEnablingDisablingStrategy;
    type KeyDeposit = ();
    type Keys = Keys;
    type NextSessionRotation = PeriodicSessions<ConstU64<10>, ConstU64<0>>;
    type RuntimeEvent = RuntimeEvent;
    type SessionHandler = TestSessionHandler;
    type SessionManager = NoteHistoricalRoot<Test, Election>;
    type ShouldEndSession = PeriodicSessions<ConstU64<10>, ConstU64<0>>;
    type ValidatorId = AccountId;
    type ValidatorIdOf = ConvertInto;
    type WeightInfo = ();
}

impl pallet_session::historical::Config for Test {
    type FullIdentification = ();
    type FullIdentificationOf = NoIdentification;
    type RuntimeEvent = RuntimeEvent;
}

impl pallet_authorship::Config for Test {
    type EventHandler = Election;
    type FindAuthor = GivenAuthor;
}

/// The author that the test has named.
pub struct GivenAuthor;

impl FindAuthor<AccountId> for GivenAuthor {
    fn find_author<'a, I: 'a + IntoIterator<Item = (ConsensusEngineId, &'a [u8])>>(
        _: I,
    ) -> Option<AccountId> {
        Author::get()
    }
}

parameter_types! {
    pub static Author: Option<AccountId> = None;
    /// Stake, commission, and whether it takes work.
    pub static Pools: BTreeMap<AccountId, Straw> = BTreeMap::new();
    pub static Slashes: Vec<(AccountId, Permill, Option<AccountId>)> = Vec::new();
    pub static Incomes: Vec<(AccountId, Balance, Permill)> = Vec::new();
    pub static RefusesIncome: bool = false;
    /// Those that get a part of their rewards only.
    pub static Parts: BTreeMap<AccountId, Permill> = BTreeMap::new();
    pub const MaxInflation: Permill = Permill::from_percent(10);
    pub const BagThresholds: &'static [Balance] = &[200, 400, 800, 1_600];
}

/// A provider of straw.
#[allow(unreachable_pub, reason = "it stands in a public interface of the runtime")]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Straw {
    pub(crate) stake: Balance,
    pub(crate) takes_work: bool,
}

impl pallet_bags_list::Config for Test {
    type BagThresholds = BagThresholds;
    type MaxAutoRebagPerBlock = ();
    type RuntimeEvent = RuntimeEvent;
    type Score = Balance;
    type ScoreProvider = Election;
    type WeightInfo = ();
}

impl Config for Test {
    type BarSessions = ConstU32<BAR>;
    #[cfg(feature = "runtime-benchmarks")]
    type BenchmarkHelper = StrawProviders;
    type Currency = Balances;
    type GovernanceOrigin = EnsureRoot<AccountId>;
    type HistoryDepth = ConstU32<HISTORY>;
    type MaxInflation = MaxInflation;
    type MaxUnpaidSessions = ConstU32<MAX_UNPAID>;
    type MaxValidators = ConstU32<MAX_VALIDATORS>;
    type MinValidatorStake = ConstU128<MIN_STAKE>;
    type Providers = StrawProviders;
    type SessionMillis = ConstU64<SESSION_MILLIS>;
    type SessionSlots = ConstU64<10>;
    type Stakes = StrawProviders;
    type VoterList = VoterList;
    type WeightInfo = ();
}

/// The pools, as far as this pallet sees them.
pub struct StrawProviders;

impl Stakes<AccountId> for StrawProviders {
    fn stake(provider: &AccountId) -> Option<Balance> {
        Pools::get().get(provider).filter(|straw| straw.takes_work).map(|straw| straw.stake)
    }
    fn reward_part(provider: &AccountId) -> Permill {
        Parts::get().get(provider).copied().unwrap_or(Permill::one())
    }
}

impl Providers<AccountId> for StrawProviders {
    fn provider_of_operator(_: &AccountId) -> Option<AccountId> {
        None
    }
    fn provider(provider: &AccountId) -> Option<ProviderView<AccountId>> {
        Pools::get().contains_key(provider).then(|| ProviderView {
            profile: profile(),
            commission: Permill::from_percent(10),
            operator: *provider,
        })
    }
    fn active_for(_: &ArithmeticMode) -> Vec<(AccountId, Balance)> {
        Vec::new()
    }
    fn pool_account(provider: &AccountId) -> AccountId {
        pool_of(*provider)
    }
    fn lock_bond(_: &AccountId, _: JobId, _: Balance) -> DispatchResult {
        Ok(())
    }
    fn release_bond(_: &AccountId, _: JobId) {}
    fn slash_bond(_: &AccountId, _: JobId, _: Permill, _: &AccountId, _: Balance) -> Balance {
        0
    }
    fn note_income(provider: &AccountId, amount: Balance, commission: Permill) -> DispatchResult {
        if RefusesIncome::get() {
            return Err(DispatchError::Other("no income today"));
        }
        Incomes::mutate(|incomes| incomes.push((*provider, amount, commission)));
        Ok(())
    }
    fn slash_for_offence(provider: &AccountId, part: Permill, reporter: Option<&AccountId>) {
        Slashes::mutate(|slashes| slashes.push((*provider, part, reporter.copied())));
    }
    fn note_audit(_: &AccountId, _: AuditOutcome) {}
    fn note_job(_: &AccountId, _: bool) {}
}

#[cfg(feature = "runtime-benchmarks")]
impl crate::benchmarking::BenchmarkHelper<AccountId> for StrawProviders {
    fn provider() -> AccountId {
        set_stake(1, 1_000);
        1
    }
}

fn profile() -> ProviderProfile {
    ProviderProfile {
        name: Default::default(),
        endpoint: Default::default(),
        class: Default::default(),
        exact_version: 1,
        hardware: Hardware { model: Default::default(), accelerators: 0, memory_mib: 1 },
        price_per_gpu_hour: 1,
        tokens_per_second: 1,
    }
}

/// The account of a provider's pool.
pub(crate) fn pool_of(provider: AccountId) -> AccountId {
    provider + 10_000
}

/// An externality with the authorities of genesis, and inflation.
pub(crate) fn new_test_ext() -> sp_io::TestExternalities {
    let mut storage = frame_system::GenesisConfig::<Test>::default()
        .build_storage()
        .expect("the default genesis of the system has nothing that could fail, qed");
    pallet_balances::GenesisConfig::<Test> { balances: vec![(TREASURER, ISSUANCE)], ..Default::default() }
        .assimilate_storage(&mut storage)
        .expect("the balance is above the existential deposit, qed");
    pallet_session::GenesisConfig::<Test> {
        keys: GENESIS.iter().map(|who| (*who, *who, keys(*who))).collect(),
        ..Default::default()
    }
    .assimilate_storage(&mut storage)
    .expect("no key stands twice, qed");
    pallet_validator_election::GenesisConfig::<Test> {
        inflation: INFLATION,
        min_validators: Some(MIN_VALIDATORS),
        ..Default::default()
    }
    .assimilate_storage(&mut storage)
    .expect("the inflation is below its cap, qed");
    Pools::set(BTreeMap::new());
    Slashes::set(Vec::new());
    Incomes::set(Vec::new());
    RefusesIncome::set(false);
    Parts::set(BTreeMap::new());
    Author::set(None);
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
            assert_ok!(Election::do_try_state());
        });
    }
}

fn keys(who: AccountId) -> Keys {
    Keys { dummy: UintAuthorityId(who) }
}

/// Registers session keys of an account.
pub(crate) fn set_keys(who: AccountId) {
    set_key(who, who);
}

/// Registers, or changes, the session key of an account.
pub(crate) fn set_key(who: AccountId, key: u64) {
    System::inc_providers(&who);
    let mut keys = keys(key);
    let proof = keys.create_ownership_proof(&who.encode()).expect("keys of tests are their own secrets, qed");
    assert_ok!(Session::set_keys(RuntimeOrigin::signed(who), keys, proof.encode()));
}

/// A provider registers, or its stake changes.
pub(crate) fn set_stake(who: AccountId, stake: Balance) {
    Pools::mutate(|pools| pools.insert(who, Straw { stake, takes_work: true }));
    if Balances::balance(&pool_of(who)) == 0 {
        assert_ok!(Balances::mint_into(&pool_of(who), EXISTENTIAL));
    }
    Election::stake_changed(&who, StrawProviders::stake(&who));
}

/// A provider takes no work any more.
pub(crate) fn chill(who: AccountId) {
    Pools::mutate(|pools| {
        pools.entry(who).and_modify(|straw| straw.takes_work = false);
    });
    Election::stake_changed(&who, None);
}

/// A provider with keys.
pub(crate) fn candidate(who: AccountId, stake: Balance) {
    set_stake(who, stake);
    set_keys(who);
}

/// One block of `author`'s, with as much weight as `limit` for housekeeping.
pub(crate) fn block_with_weight(author: AccountId, limit: Weight) {
    let number = System::block_number() + 1;
    System::set_block_number(number);
    Author::set(Some(author));
    Session::on_initialize(number);
    Authorship::on_initialize(number);
    Election::on_poll(number, &mut WeightMeter::with_limit(limit));
    Authorship::on_finalize(number);
    assert_ok!(Election::do_try_state());
}

/// One block of `author`'s.
pub(crate) fn block(author: AccountId) {
    block_with_weight(author, Weight::MAX);
}

/// Blocks by the session's validators in turn, until the first block of the next session.
pub(crate) fn next_session() {
    let session = Session::current_index();
    while Session::current_index() == session {
        let validators = Session::validators();
        let turn =
            usize::try_from(System::block_number()).expect("the block is young, qed") % validators.len();
        block(validators[turn]);
    }
}

pub(crate) fn sessions(count: u32) {
    (0..count).for_each(|_| next_session());
}

/// An offence of these validators, reported by 7.
pub(crate) fn offence(offenders: &[AccountId], fraction: Perbill, session: SessionIndex) {
    let details = offenders
        .iter()
        .map(|who| OffenceDetails { offender: (*who, ()), reporters: vec![7] })
        .collect::<Vec<_>>();
    Election::on_offence(&details, &vec![fraction; details.len()], session);
}

pub(crate) fn issuance() -> Balance {
    Balances::total_issuance()
}

/// The events of this pallet so far.
pub(crate) fn events() -> Vec<Event<Test>> {
    System::events()
        .into_iter()
        .filter_map(|record| match record.event {
            RuntimeEvent::Election(event) => Some(event),
            _ => None,
        })
        .collect()
}
