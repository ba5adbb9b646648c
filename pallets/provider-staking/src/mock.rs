//! A runtime with this pallet, balances, and nothing else.

use attune_primitives::{
    heartbeat::payload,
    provider::{Hardware, ProviderProfile},
    traits::{EpochRandomness, OnStakeChanged, Providers as ProvidersApi},
    Balance, BlockNumber, JobId, H256,
};
use frame_support::{
    assert_ok, derive_impl,
    migrations::MultiStepMigrator,
    parameter_types, storage_alias,
    traits::{
        fungible::{Inspect, InspectHold, Mutate},
        Authorize, ConstU128, ConstU32, Hooks,
    },
    weights::{Weight, WeightMeter},
    Blake2_128Concat, PalletId,
};
use frame_system::{EnsureRoot, RawOrigin};
use sp_arithmetic::Permill;
use sp_runtime::{
    testing::TestSignature,
    traits::{Dispatchable, IdentityLookup},
    transaction_validity::{TransactionSource, TransactionValidityError, ValidTransaction},
    BuildStorage,
};

use crate::{self as pallet_provider_staking, *};

type Block = frame_system::mocking::MockBlock<Test>;
pub(crate) type AccountId = u64;

frame_support::construct_runtime!(
    pub enum Test {
        System: frame_system,
        Balances: pallet_balances,
        Staking: pallet_provider_staking,
    }
);

#[derive_impl(frame_system::config_preludes::TestDefaultConfig)]
impl frame_system::Config for Test {
    type Block = Block;
    type AccountId = AccountId;
    type Lookup = IdentityLookup<AccountId>;
    type AccountData = pallet_balances::AccountData<Balance>;
    type MultiBlockMigrator = Migrator;
}

/// A migration that runs for as long as the test says.
pub struct Migrator;

impl MultiStepMigrator for Migrator {
    fn ongoing() -> bool {
        Migrating::get()
    }

    fn step() -> Weight {
        Weight::zero()
    }
}

#[derive_impl(pallet_balances::config_preludes::TestDefaultConfig)]
impl pallet_balances::Config for Test {
    type Balance = Balance;
    type ExistentialDeposit = ConstU128<EXISTENTIAL>;
    type AccountStore = System;
}

pub(crate) const EXISTENTIAL: Balance = 10;
pub(crate) const MIN_SELF_BOND: Balance = 1_000;
pub(crate) const MIN_DELEGATION: Balance = 100;
pub(crate) const AUTO_COMPOUND_MIN: Balance = 300;
pub(crate) const DEPOSIT: Balance = 50;
pub(crate) const UNBONDING_BLOCKS: u32 = 20;
pub(crate) const CONVICTION_BLOCKS: u32 = 12;
pub(crate) const SLASH_DELAY: u32 = 5;
pub(crate) const COMMISSION_RISE_DELAY: u32 = 25;
pub(crate) const MAX_PROVIDERS: u32 = 4;
/// Blocks of a period of heartbeats.
pub(crate) const PERIOD: u32 = 10;
pub(crate) const ABSENCE_LOCK: u32 = 7;
/// What each of the accounts 1 to 9 has.
pub(crate) const WEALTH: Balance = 1_000_000;

/// A provider, and its operator key.
pub(crate) const ALICE: AccountId = 1;
pub(crate) const ALICE_KEY: AccountId = 11;
/// Another provider.
pub(crate) const BOB: AccountId = 2;
pub(crate) const BOB_KEY: AccountId = 12;
/// Token holders.
pub(crate) const DAVE: AccountId = 4;
pub(crate) const EVE: AccountId = 5;
/// Somebody.
pub(crate) const ZOE: AccountId = 9;

parameter_types! {
    pub const StakingId: PalletId = PalletId(*b"att/stak");
    pub const LossCap: Permill = Permill::from_percent(20);
    pub const Reward: Permill = Permill::from_percent(5);
    pub const MaxRise: Permill = Permill::from_percent(10);
    pub static ConvictionTime: u32 = CONVICTION_BLOCKS;
    pub static RiseDelay: u32 = COMMISSION_RISE_DELAY;
    pub static RegistrySize: u32 = MAX_PROVIDERS;
    pub const RewardCut: Permill = Permill::from_percent(50);
    /// Everybody is asked in every period, unless a test says otherwise.
    pub static OneIn: u32 = 1;
    pub static Migrating: bool = false;
    /// The randomness of the next period.
    pub static Entropy: Option<H256> = Some(H256::repeat_byte(1));
}

/// Randomness as the test has set it.
pub struct Randomness;

impl EpochRandomness for Randomness {
    fn latest() -> Option<(H256, BlockNumber)> {
        Entropy::get().map(|randomness| (randomness, 0))
    }

    fn seals() -> u32 {
        0
    }

    fn first_since(_: u32, _: BlockNumber, _: u32) -> Option<(H256, BlockNumber)> {
        Self::latest()
    }
}

/// What the pallet told last of each provider, and how often it told anything.
#[storage_alias]
type Told = StorageMap<Prefix, Blake2_128Concat, AccountId, Option<Balance>>;
#[storage_alias]
type TimesTold = StorageValue<Prefix, u32, frame_support::pallet_prelude::ValueQuery>;

/// Writes down what it is told.
pub struct Order;

impl OnStakeChanged<AccountId> for Order {
    fn stake_changed(provider: &AccountId, stake: Option<Balance>) {
        Told::insert(provider, stake);
        TimesTold::mutate(|times| *times += 1);
    }
}

/// How often the pallet has told a change of stake.
pub(crate) fn times_told() -> u32 {
    TimesTold::get()
}

/// What was told last of every provider is what holds now.
pub(crate) fn check_told() {
    for who in 1..=9 {
        let now = Staking::takes_work(&who).then(|| Staking::stake_of(&who));
        assert_eq!(Told::get(who).flatten(), now, "told of {who}, and what holds");
    }
}

impl Config for Test {
    type Currency = Balances;
    type RuntimeHoldReason = RuntimeHoldReason;
    type WeightInfo = ();
    type PalletId = StakingId;
    type MinSelfBond = ConstU128<MIN_SELF_BOND>;
    type MinDelegation = ConstU128<MIN_DELEGATION>;
    type AutoCompoundMin = ConstU128<AUTO_COMPOUND_MIN>;
    type MaxProviders = RegistrySize;
    type UnbondingBlocks = ConstU32<UNBONDING_BLOCKS>;
    type ConvictionBlocks = ConvictionTime;
    type SlashDelay = ConstU32<SLASH_DELAY>;
    type SlashCancelOrigin = EnsureRoot<AccountId>;
    type SlashSink = ();
    type DelegatorLossCap = LossCap;
    type ReporterReward = Reward;
    type CommissionRiseDelay = RiseDelay;
    type MaxCommissionRise = MaxRise;
    type OnStakeChanged = Order;
    type ProviderDeposit = ConstU128<DEPOSIT>;
    type Randomness = Randomness;
    type HeartbeatSignature = TestSignature;
    type HeartbeatPeriod = ConstU32<PERIOD>;
    type HeartbeatOneIn = OneIn;
    type AbsenceRewardCut = RewardCut;
    type AbsenceLock = ConstU32<ABSENCE_LOCK>;
    #[cfg(feature = "runtime-benchmarks")]
    type BenchmarkHelper = Signers;
}

/// Signs for the account that it is asked to sign for.
#[cfg(feature = "runtime-benchmarks")]
pub struct Signers;

#[cfg(feature = "runtime-benchmarks")]
impl crate::benchmarking::BenchmarkHelper<AccountId, TestSignature> for Signers {
    fn operator() -> AccountId {
        ALICE_KEY
    }
    fn sign(message: &[u8]) -> TestSignature {
        TestSignature(ALICE_KEY, message.to_vec())
    }
}

/// An externality in which accounts 1 to 9 have [`WEALTH`].
pub(crate) fn new_test_ext() -> sp_io::TestExternalities {
    let mut storage = frame_system::GenesisConfig::<Test>::default()
        .build_storage()
        .expect("the default genesis of the system has nothing that could fail, qed");
    pallet_balances::GenesisConfig::<Test> {
        balances: (1..=9).map(|who| (who, WEALTH)).collect(),
        ..Default::default()
    }
    .assimilate_storage(&mut storage)
    .expect("every balance is above the existential deposit and no account stands twice, qed");
    OneIn::set(1);
    RegistrySize::set(MAX_PROVIDERS);
    Entropy::set(Some(H256::repeat_byte(1)));
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
            assert_ok!(Staking::do_try_state());
            check_told();
        });
    }
}

pub(crate) fn signed(who: AccountId) -> RuntimeOrigin {
    RawOrigin::Signed(who).into()
}

pub(crate) fn profile() -> ProviderProfile {
    let bytes = |text: &str| text.as_bytes().to_vec();
    ProviderProfile {
        name: bytes("Alice's garage").try_into().expect("the name is short, qed"),
        endpoint: bytes("http://127.0.0.1:9000").try_into().expect("the endpoint is short, qed"),
        class: bytes("cpu-a").try_into().expect("the class is short, qed"),
        exact_version: 1,
        hardware: Hardware {
            model: bytes("EPYC").try_into().expect("the model is short, qed"),
            accelerators: 0,
            memory_mib: 1,
        },
        price_per_gpu_hour: 5,
        tokens_per_second: 100,
    }
}

/// Alice registers with `self_bond` and a commission of 10 %.
pub(crate) fn register_alice(self_bond: Balance) {
    assert_ok!(Staking::register(signed(ALICE), profile(), Permill::from_percent(10), ALICE_KEY, self_bond));
}

pub(crate) fn register_bob() {
    assert_ok!(Staking::register(signed(BOB), profile(), Permill::zero(), BOB_KEY, MIN_SELF_BOND));
}

pub(crate) fn delegate(who: AccountId, amount: Balance) {
    assert_ok!(Staking::delegate(signed(who), ALICE, amount));
}

pub(crate) fn undelegate_all(who: AccountId) {
    assert_ok!(Staking::undelegate(signed(who), ALICE, shares(who)));
}

/// Income of `amount` arrives for Alice, as job-escrow sends it.
pub(crate) fn earn(amount: Balance, commission: Permill) {
    assert_ok!(Balances::mint_into(&Staking::pool_account(&ALICE), amount));
    assert_ok!(Staking::note_income(&ALICE, amount, commission));
}

pub(crate) fn lock(job: JobId, amount: Balance) {
    assert_ok!(Staking::lock_bond(&ALICE, job, amount));
}

/// Convicts Alice for a job and returns the number of the slash.
pub(crate) fn book(job: JobId, part: Permill, customer: AccountId, compensation: Balance) -> SlashId {
    let id = NextSlashId::<Test>::get();
    assert!(Staking::slash_bond(&ALICE, job, part, &customer, compensation) > 0);
    id
}

/// Convicts Alice for a job, waits, and applies the slash: whatever is taken from her pool.
pub(crate) fn convict(job: JobId, part: Permill, customer: AccountId, compensation: Balance) -> Taken {
    let id = book(job, part, customer, compensation);
    pass_blocks(SLASH_DELAY);
    assert_ok!(Staking::apply_slash(signed(ZOE), ALICE, id));
    last_taken()
}

/// Convicts Alice of an offence, waits, and applies the slash.
pub(crate) fn offend(part: Permill, reporter: Option<AccountId>) -> Taken {
    let id = NextSlashId::<Test>::get();
    Staking::slash_for_offence(&ALICE, part, reporter.as_ref());
    pass_blocks(SLASH_DELAY);
    assert_ok!(Staking::apply_slash(signed(ZOE), ALICE, id));
    last_taken()
}

/// Slashes the whole bond of a job that has been locked for this alone.
pub(crate) fn slash(amount: Balance) {
    let job = 1_000_000;
    assert_ok!(Staking::lock_bond(&ALICE, job, amount));
    convict(job, Permill::one(), ZOE, 0);
}

/// What a slash took, and where it went.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Taken {
    /// From the self-bond, the self-bond on its way out, active and unbonding delegations.
    pub(crate) from: [Balance; 4],
    /// To the customer, owed to the customer, to the reporter, to the sink.
    pub(crate) to: [Balance; 4],
}

/// The slash that was applied last.
pub(crate) fn last_taken() -> Taken {
    let taken = events().into_iter().rev().find_map(|event| match event {
        Event::Slashed {
            from_self_bond,
            from_self_unbonding,
            from_active,
            from_unbonding,
            compensated,
            owed,
            rewarded,
            remainder,
            ..
        } => Some(Taken {
            from: [from_self_bond, from_self_unbonding, from_active, from_unbonding],
            to: [compensated, owed, rewarded, remainder],
        }),
        _ => None,
    });
    let taken = taken.expect("a slash was applied in this test, qed");
    let (from, to) = (taken.from.iter().sum::<Balance>(), taken.to.iter().sum::<Balance>());
    assert_eq!(from, to, "all that is taken goes somewhere");
    taken
}

pub(crate) fn pool() -> Pool {
    Pools::<Test>::get(ALICE).expect("Alice is registered in this test, qed")
}

pub(crate) fn shares(who: AccountId) -> u128 {
    Delegations::<Test>::get(ALICE, who).map(|d| d.shares).unwrap_or_default()
}

/// What a delegator's active stake is worth.
pub(crate) fn worth(who: AccountId) -> Balance {
    pool().active.worth(shares(who)).expect("nobody has more shares than there are, qed")
}

pub(crate) fn free(who: AccountId) -> Balance {
    Balances::balance(&who)
}

pub(crate) fn held_in_pool() -> Balance {
    Balances::balance_on_hold(&HoldReason::Pool.into(), &Staking::pool_account(&ALICE))
}

pub(crate) fn pass_blocks(blocks: u32) {
    System::set_block_number(System::block_number() + u64::from(blocks));
}

/// The events of this pallet so far.
pub(crate) fn events() -> Vec<Event<Test>> {
    System::events()
        .into_iter()
        .filter_map(|record| match record.event {
            RuntimeEvent::Staking(event) => Some(event),
            _ => None,
        })
        .collect()
}

pub(crate) fn block() -> u32 {
    u32::try_from(System::block_number()).expect("the block is young, qed")
}

/// The number of the period of this block.
pub(crate) fn period() -> u32 {
    block() / PERIOD
}

/// The blocks up to and with `last`, with as much weight as `limit` for housekeeping in each.
pub(crate) fn run_to_with(last: u32, limit: Weight) {
    while System::block_number() < u64::from(last) {
        let number = System::block_number() + 1;
        System::set_block_number(number);
        Staking::on_initialize(number);
        Staking::on_poll(number, &mut WeightMeter::with_limit(limit));
    }
}

pub(crate) fn run_to(last: u32) {
    run_to_with(last, Weight::MAX);
}

/// The first block of the next period. The period before it is swept.
pub(crate) fn next_period() {
    run_to((period() + 1) * PERIOD);
}

/// The hash of this chain's genesis block.
pub(crate) fn genesis() -> [u8; 32] {
    System::block_hash(0).0
}

/// The heartbeat of `provider`, signed by `key` for this chain.
pub(crate) fn heartbeat_by(key: AccountId, provider: AccountId, period: u32) -> Call<Test> {
    let signature = TestSignature(key, payload(&genesis(), &provider, period));
    Call::heartbeat { provider, period, signature }
}

/// What the chain makes of a heartbeat: it is authorised, and then dispatched.
pub(crate) fn submit(call: Call<Test>) -> Result<ValidTransaction, TransactionValidityError> {
    let call = RuntimeCall::Staking(call);
    let validity = call.authorize(TransactionSource::External).expect("heartbeats are authorised, qed")?.0;
    assert_ok!(call.dispatch(RawOrigin::Authorized.into()));
    Ok(validity)
}

/// Alice's worker answers in the period that runs.
pub(crate) fn alice_answers() -> Result<ValidTransaction, TransactionValidityError> {
    submit(heartbeat_by(ALICE_KEY, ALICE, period()))
}

pub(crate) fn presence() -> Presence {
    Providers::<Test>::get(ALICE).expect("Alice is registered in this test, qed").presence
}

/// Heartbeats that Alice has answered, and missed.
pub(crate) fn heartbeats() -> (u32, u32) {
    let seen = Providers::<Test>::get(ALICE).expect("Alice is registered in this test, qed").reputation;
    (seen.heartbeats_answered, seen.heartbeats_missed)
}
