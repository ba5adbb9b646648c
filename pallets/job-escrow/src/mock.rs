//! A runtime with this pallet and balances. Provider staking and proof of training are stand-ins behind the same traits;
//! they keep what they are told in storage, so that a rolled back call rolls them back too.

#[cfg(feature = "runtime-benchmarks")]
mod bench;

use attune_primitives::{
    job::{
        ArithmeticMode, Assurance, DataSpec, ExecutionClass, HyperParameters, JobSpec, JobTiming, Method,
        Milestone, Schedule,
    },
    machine::JobState,
    provider::{Hardware, ProviderProfile, ProviderView},
    traits::{AuditOutcome, JobEscrow, JobView, ProofOfTraining, Providers},
    Balance, BlockNumber, JobId, ModelId, H256,
};
use core::time::Duration;
use frame_support::{
    assert_ok, derive_impl, parameter_types,
    storage::with_storage_layer,
    storage_alias,
    traits::{
        fungible::{Inspect, InspectHold, Mutate},
        tokens::{Fortitude, Precision, Preservation},
        ConstU128, ConstU32, UnixTime,
    },
    Blake2_128Concat,
};
use frame_system::RawOrigin;
use sp_arithmetic::Permill;
use sp_runtime::{traits::IdentityLookup, BuildStorage, DispatchError, DispatchResult};

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

/// Bonds by provider and job.
#[storage_alias]
pub(crate) type Bonds = StorageMap<Mock, Blake2_128Concat, (AccountId, JobId), Balance>;
/// Income that arrived for a provider.
#[storage_alias]
type Income = StorageMap<Mock, Blake2_128Concat, AccountId, Balance>;
/// Jobs that a provider finished and failed.
#[storage_alias]
type Reputation = StorageMap<Mock, Blake2_128Concat, AccountId, (u32, u32)>;
/// True while no income can be booked.
#[storage_alias]
pub(crate) type IncomeRefused = StorageValue<Mock, bool>;
/// The state in which proof of training was told that a job closed, and how often.
#[storage_alias]
type Closed = StorageMap<Mock, Blake2_128Concat, JobId, (JobState, u32)>;
/// True while no record can be written.
#[storage_alias]
pub(crate) type RecordRefused = StorageValue<Mock, bool>;

/// The milestones with which proof of training was told to go on after handovers.
#[storage_alias]
type HandedOver = StorageMap<Mock, Blake2_128Concat, JobId, Vec<u32>>;
/// Stakes other than [`STAKE`].
#[storage_alias]
pub(crate) type Stakes = StorageMap<Mock, Blake2_128Concat, AccountId, Balance>;
/// Providers that take no work.
#[storage_alias]
pub(crate) type Inactive = StorageMap<Mock, Blake2_128Concat, AccountId, ()>;
/// Providers that have left.
#[storage_alias]
pub(crate) type Gone = StorageMap<Mock, Blake2_128Concat, AccountId, ()>;

fn stake_of(provider: AccountId) -> Balance {
    Stakes::get(provider).unwrap_or(STAKE)
}

/// Stands in for provider staking: six providers, each with [`STAKE`].
#[allow(unreachable_pub, reason = "it stands in a public interface of the runtime")]
pub struct Registry;

fn text<S: frame_support::traits::Get<u32>>(text: &str) -> frame_support::BoundedVec<u8, S> {
    text.as_bytes().to_vec().try_into().expect("the texts of the mock are short, qed")
}

fn class_of(provider: AccountId) -> Option<ExecutionClass> {
    match provider {
        _ if Gone::contains_key(provider) => None,
        ALICE | CAROL | AUDITOR | DAVE | EVE => Some(text("cpu-a")),
        BOB => Some(text("cpu-b")),
        _ => None,
    }
}

impl Providers<AccountId> for Registry {
    fn provider_of_operator(operator: &AccountId) -> Option<AccountId> {
        operator.checked_sub(10).filter(|provider| class_of(*provider).is_some())
    }

    fn provider(provider: &AccountId) -> Option<ProviderView<AccountId>> {
        let profile = ProviderProfile {
            name: text("someone"),
            endpoint: text("http://127.0.0.1:1"),
            class: class_of(*provider)?,
            exact_version: u16::from(*provider != BOB),
            hardware: Hardware { model: text("EPYC"), accelerators: 0, memory_mib: 1 },
            price_per_gpu_hour: 7,
            tokens_per_second: 1,
        };
        Some(ProviderView { profile, commission: Permill::from_percent(5), operator: provider + 10 })
    }

    fn active_for(mode: &ArithmeticMode) -> Vec<(AccountId, Balance)> {
        let able = |id: &AccountId| Self::provider(id).is_some_and(|view| view.profile.computes(mode));
        let active = (1..10).filter(|id| !Inactive::contains_key(id));
        active.filter(able).map(|id| (id, stake_of(id))).collect()
    }

    fn pool_account(provider: &AccountId) -> AccountId {
        provider + 1_000
    }

    fn lock_bond(provider: &AccountId, job: JobId, amount: Balance) -> DispatchResult {
        let locked: Balance =
            Bonds::iter().filter(|((who, _), _)| who == provider).map(|(_, bond)| bond).sum();
        if Inactive::contains_key(provider) {
            return Err(DispatchError::Other("the provider takes no work"));
        }
        if locked + amount > stake_of(*provider) {
            return Err(DispatchError::Other("the stake is too low"));
        }
        Bonds::insert((*provider, job), amount);
        Ok(())
    }

    fn release_bond(provider: &AccountId, job: JobId) {
        Bonds::remove((*provider, job));
    }

    fn slash_bond(
        provider: &AccountId,
        job: JobId,
        part: Permill,
        customer: &AccountId,
        compensation: Balance,
    ) -> Balance {
        let taken = part.mul_ceil(Bonds::take((*provider, job)).unwrap_or_default());
        let compensated = taken.min(compensation);
        let pool = Self::pool_account(provider);
        assert_ok!(<Balances as Mutate<_>>::transfer(&pool, customer, compensated, Preservation::Preserve));
        let burned = taken - compensated;
        assert_ok!(Balances::burn_from(
            &pool,
            burned,
            Preservation::Preserve,
            Precision::Exact,
            Fortitude::Force
        ));
        taken
    }

    fn slash_for_offence(_: &AccountId, _: Permill, _: Option<&AccountId>) {}

    fn note_income(provider: &AccountId, amount: Balance, commission: Permill) -> DispatchResult {
        if class_of(*provider).is_none() {
            return Err(DispatchError::Other("no such provider"));
        }
        assert_eq!(commission, Permill::from_percent(5), "the commission of the assignment");
        if IncomeRefused::get().unwrap_or_default() {
            return Err(DispatchError::Other("no income can be booked"));
        }
        Income::mutate(provider, |sum| *sum = Some(sum.unwrap_or_default() + amount));
        Ok(())
    }

    fn note_audit(_: &AccountId, _: AuditOutcome) {}

    fn note_job(provider: &AccountId, finished: bool) {
        let (yes, no) = reputation(*provider);
        Reputation::insert(provider, if finished { (yes + 1, no) } else { (yes, no + 1) });
    }
}

/// Stands in for proof of training: one model.
#[allow(unreachable_pub, reason = "it stands in a public interface of the runtime")]
pub struct Verifier;

impl ProofOfTraining<AccountId> for Verifier {
    fn model_exists(model: ModelId) -> bool {
        model == 0
    }

    fn on_handover(id: JobId, job: &JobView<AccountId>, first: u32) -> DispatchResult {
        assert_eq!((job.state, job.assignment.is_none()), (JobState::Open, true));
        assert_eq!(Escrow::job(id).as_ref(), Some(job), "the job is stored before it is told");
        HandedOver::append(id, first);
        Ok(())
    }

    fn on_closed(id: JobId, job: &JobView<AccountId>) -> Result<(), DispatchError> {
        assert!(job.state.is_terminal());
        assert_eq!(Escrow::job(id).as_ref(), Some(job), "the job is stored before it is told");
        if RecordRefused::get().unwrap_or_default() {
            return Err(DispatchError::Other("no record can be written"));
        }
        let times = Closed::get(id).map(|(_, times)| times).unwrap_or_default();
        Closed::insert(id, (job.state, times + 1));
        Ok(())
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

/// Maximum price of [`spec`].
pub(crate) const MAX_PRICE: Balance = 10_001;
/// Audit fee of [`spec`].
pub(crate) const AUDIT_FEE: Balance = 50;
/// Audit budget of [`spec`]: 1 sample, 2 auditors and 3 in reserve, for each of 3 milestones.
pub(crate) const AUDIT_BUDGET: Balance = 15 * AUDIT_FEE;
/// Deadlines of [`spec`].
pub(crate) const BIDDING_BLOCKS: BlockNumber = 8;
pub(crate) const OPEN_BLOCKS: BlockNumber = 10;
pub(crate) const START_BLOCKS: BlockNumber = 15;
pub(crate) const MILESTONE_BLOCKS: BlockNumber = 20;

/// Three milestones of two segments, each for a third.
pub(crate) fn spec() -> JobSpec<AccountId> {
    let milestone = |parts| Milestone { segments: 2, share: Permill::from_parts(parts) };
    JobSpec {
        model: 0,
        data: DataSpec {
            root: H256::repeat_byte(1),
            bytes: 1_000,
            tokens: 500,
            rows: 10,
            held_out_rows: 2,
            sequence_length: 64,
        },
        method: Method::Lora { rank: 8, alpha: 16, rank_stabilised: false },
        hyper: HyperParameters {
            learning_rate_nano: 1_000_000,
            schedule: Schedule::Constant,
            warmup_steps: 0,
            micro_batch_rows: 1,
            gradient_accumulation: 1,
            max_gradient_norm_micro: 0,
            weight_decay_micro: 0,
            beta1_micro: 900_000,
            beta2_micro: 999_000,
            epsilon_pico: 10_000,
        },
        mode: ArithmeticMode::ClassExact { class: text("cpu-a") },
        engine_version: 1,
        seed: 7,
        steps_per_segment: 5,
        milestones: vec![milestone(333_333), milestone(333_333), milestone(333_334)]
            .try_into()
            .expect("three milestones fit, qed"),
        assurance: Assurance { samples: 1, auditors: 2 },
        theme: text("tests"),
        max_price: MAX_PRICE,
        audit_fee: AUDIT_FEE,
        timing: JobTiming {
            bidding_blocks: 0,
            open_blocks: OPEN_BLOCKS,
            start_blocks: START_BLOCKS,
            milestone_blocks: MILESTONE_BLOCKS,
        },
        provider: None,
    }
}

/// Price at which the helpers below accept.
pub(crate) const PRICE: Balance = 10_000;

/// Orders [`spec`].
pub(crate) fn create() -> JobId {
    order(spec())
}

/// Orders `spec` for [`CUSTOMER`].
pub(crate) fn order(spec: JobSpec<AccountId>) -> JobId {
    let id = NextJobId::<Test>::get();
    assert_ok!(Escrow::create_job(signed(CUSTOMER), spec, None));
    id
}

/// A job with a bidding window.
pub(crate) fn create_bidding() -> JobId {
    let mut spec = spec();
    spec.timing.bidding_blocks = BIDDING_BLOCKS;
    order(spec)
}

/// Lets the provider of `operator` take job `id` at `price` and start it.
pub(crate) fn take(id: JobId, operator: AccountId, price: Balance) {
    assert_ok!(Escrow::accept_job(signed(operator), id, price));
    assert_ok!(Escrow::start_job(signed(operator), id));
}

/// Lets the next milestone be committed and verified.
pub(crate) fn verify_next(id: JobId) {
    let milestone = job(id).milestones_committed;
    assert_ok!(Escrow::milestone_committed(id, milestone));
    assert_ok!(Escrow::milestone_verified(id, milestone));
}

/// A running job that the customer has called off while milestone 0 is under audit.
pub(crate) fn create_cancelling() -> JobId {
    let id = create_running();
    assert_ok!(Escrow::milestone_committed(id, 0));
    assert_ok!(Escrow::cancel_job(signed(CUSTOMER), id));
    assert_eq!(state(id), JobState::Cancelling);
    id
}

/// An assigned job.
pub(crate) fn create_assigned() -> JobId {
    let id = create();
    assert_ok!(Escrow::accept_job(signed(ALICE_KEY), id, PRICE));
    id
}

/// A running job.
pub(crate) fn create_running() -> JobId {
    let id = create_assigned();
    assert_ok!(Escrow::start_job(signed(ALICE_KEY), id));
    id
}

/// A submitted job with nothing verified.
pub(crate) fn create_submitted() -> JobId {
    let id = create_running();
    for milestone in 0..3 {
        assert_ok!(Escrow::milestone_committed(id, milestone));
    }
    assert_ok!(Escrow::submitted(id));
    id
}

/// A submitted job with everything verified.
pub(crate) fn create_verified() -> JobId {
    let id = create_submitted();
    for milestone in 0..3 {
        assert_ok!(Escrow::milestone_verified(id, milestone));
    }
    id
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

pub(crate) fn income(provider: AccountId) -> Balance {
    Income::get(provider).unwrap_or_default()
}

/// Finished and failed jobs.
pub(crate) fn reputation(provider: AccountId) -> (u32, u32) {
    Reputation::get(provider).unwrap_or_default()
}

/// The milestones with which proof of training was told to go on.
pub(crate) fn handed_over(id: JobId) -> Vec<u32> {
    HandedOver::get(id).unwrap_or_default()
}

/// The terminal state that proof of training was told, exactly once.
pub(crate) fn closed_as(id: JobId) -> Option<JobState> {
    let (state, times) = Closed::get(id)?;
    assert_eq!(times, 1, "a job closes once");
    Some(state)
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
