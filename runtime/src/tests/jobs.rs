//! A job through the real pallets together: escrow, staking and proof of training as this runtime composes them.

mod pages;

use super::chain;
use crate::{
    configs::attune::SponsorshipDeposit,
    genesis::accounts::ACCOUNTS,
    units::{ATT, MILLI_ATT},
    AccountId, AuditRandomness, Balance, Balances, BlockNumber, JobEscrow, ProofOfTraining, ProviderStaking,
    Runtime, RuntimeEvent, RuntimeOrigin, System,
};
use attune_primitives::{
    job::{JobSpec, JobTiming, Milestone},
    machine::{Failure, JobState, Phase},
    proof::{SegmentCommitment, SegmentMetrics, TrainingRecord},
    provider::{Hardware, ProviderProfile},
    testing, trace, H256,
};
use frame_support::{assert_noop, assert_ok, traits::fungible::InspectHold, BoundedVec};
use pallet_job_escrow::{Error as EscrowError, HoldReason, Jobs, Sponsorships};
use pallet_proof_of_training::{types::ModelInfo, Audits, Commitments, Draws, Records};
use sp_runtime::Permill;

const PROVIDERS: [&str; 6] =
    ["//Provider1", "//Provider2", "//Provider3", "//Provider4", "//Provider5", "//Provider6"];
pub(super) const JOB: u64 = 0;
const MAX_PRICE: Balance = 9 * ATT;
const AUDIT_FEE: Balance = 20 * MILLI_ATT;

pub(super) fn account(name: &str) -> AccountId {
    let found = ACCOUNTS.iter().find(|(known, _)| *known == name);
    found.expect("the presets know the account").1.into()
}

pub(super) fn signed(name: &str) -> RuntimeOrigin {
    RuntimeOrigin::signed(account(name))
}

/// A provider's operator key.
pub(super) fn key(provider: &str) -> RuntimeOrigin {
    signed(&format!("{provider}//operator"))
}

/// Six providers who compute exact arithmetic, and a model.
pub(super) fn set_up() {
    System::set_block_number(1);
    for provider in PROVIDERS {
        let profile = ProviderProfile {
            name: BoundedVec::truncate_from(provider.as_bytes().to_vec()),
            endpoint: BoundedVec::truncate_from(b"http://127.0.0.1:1".to_vec()),
            class: BoundedVec::truncate_from(b"cpu".to_vec()),
            exact_version: 1,
            hardware: Hardware {
                model: BoundedVec::truncate_from(b"CPU".to_vec()),
                accelerators: 0,
                memory_mib: 1,
            },
            price_per_gpu_hour: ATT,
            tokens_per_second: 1,
        };
        let operator = account(&format!("{provider}//operator"));
        let bond = 200 * ATT;
        assert_ok!(ProviderStaking::register(signed(provider), profile, Permill::zero(), operator, bond));
    }
    let model = ModelInfo {
        name: BoundedVec::truncate_from(b"toy".to_vec()),
        architecture: BoundedVec::truncate_from(b"llama".to_vec()),
        parameters: 1,
        artifact: H256::repeat_byte(1),
        artifact_bytes: 1,
        tokenizer: H256::repeat_byte(2),
        licence: Default::default(),
    };
    assert_ok!(ProofOfTraining::register_model(signed("//Dave"), model));
}

/// Three milestones of two segments, with a bidding window.
pub(super) fn spec() -> JobSpec<AccountId> {
    let milestone = |percent| Milestone { segments: 2, share: Permill::from_percent(percent) };
    let mut spec = testing::job_spec([20, 30, 50].map(milestone));
    (spec.max_price, spec.audit_fee) = (MAX_PRICE, AUDIT_FEE);
    spec.timing = JobTiming { bidding_blocks: 5, open_blocks: 50, start_blocks: 50, milestone_blocks: 500 };
    spec
}

fn now() -> BlockNumber {
    System::block_number()
}

fn state() -> JobState {
    Jobs::<Runtime>::get(JOB).expect("the job is not pruned in this test").state
}

/// A stranger pushes the job's deadline once it is over.
fn push() {
    System::set_block_number(Jobs::<Runtime>::get(JOB).expect("there is a job").deadline + 1);
    assert_ok!(JobEscrow::enforce_deadline(signed("//Eve"), JOB));
}

const NONCE: [u8; 32] = [4; 32];
const SALT: [u8; 32] = [5; 32];

fn root(segment: u32) -> H256 {
    H256::from_low_u64_be(100 + u64::from(segment))
}

fn metrics() -> SegmentMetrics {
    SegmentMetrics { tokens: 10, ..Default::default() }
}

pub(super) fn commit(provider: &str, segments: core::ops::Range<u32>) {
    for segment in segments {
        let commitment = SegmentCommitment {
            state_root: root(segment),
            trace_commitment: trace::commitment(H256::repeat_byte(7), &NONCE),
            checkpoint: H256::repeat_byte(8),
            checkpoint_bytes: 1,
            metrics: metrics(),
        };
        assert_ok!(ProofOfTraining::commit_segment(key(provider), JOB, segment, commitment));
    }
}

/// Lets everyone whom the audit of `segment` waits for find the committed end root, or another one.
fn vote(provider: &str, segment: u32, is_match: bool) {
    let auditors: Vec<AccountId> = {
        let audit = Audits::<Runtime>::get(JOB, segment).expect("the segment is drawn");
        audit.slots.iter().filter(|slot| slot.verdict.is_none()).map(|slot| slot.auditor.clone()).collect()
    };
    let found = if is_match { root(segment) } else { H256::repeat_byte(66) };
    let trace = trace::with_metrics(H256::repeat_byte(7), &metrics());
    let operator = |auditor: &AccountId| {
        let name = PROVIDERS.into_iter().find(|name| account(name) == *auditor);
        key(name.expect("only providers are drawn"))
    };
    for auditor in &auditors {
        let commitment = trace::verdict_commitment(found, trace, auditor, &SALT);
        assert_ok!(ProofOfTraining::commit_verdict(operator(auditor), JOB, segment, commitment));
    }
    if Audits::<Runtime>::get(JOB, segment).is_some_and(|audit| audit.trace.is_none()) {
        assert_ok!(ProofOfTraining::open_trace(key(provider), JOB, segment, H256::repeat_byte(7), NONCE));
    }
    for auditor in &auditors {
        assert_ok!(ProofOfTraining::reveal_verdict(operator(auditor), JOB, segment, found, trace, SALT));
    }
}

/// Draws a milestone's audit with randomness from after its commitment and gives the segment.
pub(super) fn draw(milestone: u32) -> u32 {
    System::set_block_number(now() + 10);
    AuditRandomness::remember(H256::repeat_byte(9), now());
    assert_ok!(ProofOfTraining::draw_audits(signed("//Eve"), JOB, milestone));
    Draws::<Runtime>::get(JOB, milestone).expect("it is drawn").segments[0]
}

/// Commits, draws and passes milestone `milestone`.
fn verify(provider: &str, milestone: u32) {
    commit(provider, 2 * milestone..2 * milestone + 2);
    let segment = draw(milestone);
    vote(provider, segment, true);
}

fn on_hold(name: &str, reason: HoldReason) -> Balance {
    Balances::balance_on_hold(&reason.into(), &account(name))
}

#[test]
fn a_sponsored_job_is_bid_for_handed_over_after_a_conviction_and_finished_by_another() {
    chain("development").execute_with(|| {
        set_up();
        let before = Balances::free_balance(account("//Bob"));
        assert_ok!(JobEscrow::sponsor(signed("//Bob"), account("//Customer"), 20 * ATT, 20 * ATT, 1_000));
        assert_ok!(JobEscrow::create_job(signed("//Customer"), spec(), Some(account("//Bob"))));
        assert_ok!(JobEscrow::place_bid(key("//Provider1"), JOB, 6 * ATT));
        assert_ok!(JobEscrow::place_bid(key("//Provider2"), JOB, 8 * ATT));
        push();
        assert_eq!(state(), JobState::Assigned);
        assert_ok!(JobEscrow::start_job(key("//Provider1"), JOB));

        verify("//Provider1", 0);
        commit("//Provider1", 2..4);
        let segment = draw(1);
        vote("//Provider1", segment, false);
        assert_eq!(state(), JobState::Disputed(Phase::Running));
        vote("//Provider1", segment, false);

        // A fifth of six is paid; the rest is open to the others, from the third segment on.
        assert_eq!(state(), JobState::Open);
        let open = Jobs::<Runtime>::get(JOB).expect("the job is open");
        assert_eq!((open.escrow, open.milestones_paid), (6 * ATT - 1_200 * MILLI_ATT, 1));
        assert_eq!(Commitments::<Runtime>::get(JOB).len(), 2);
        assert!(System::events().iter().any(|record| matches!(
            record.event,
            RuntimeEvent::JobEscrow(pallet_job_escrow::Event::HandedOver {
                failure: Failure::WrongResult,
                first_milestone: 1,
                ..
            })
        )));
        let again = JobEscrow::accept_job(key("//Provider1"), JOB, ATT);
        assert_noop!(again, EscrowError::<Runtime>::ProviderExcluded);
        assert_ok!(JobEscrow::accept_job(key("//Provider2"), JOB, 4 * ATT));
        assert_ok!(JobEscrow::start_job(key("//Provider2"), JOB));
        verify("//Provider2", 1);
        verify("//Provider2", 2);
        assert_ok!(ProofOfTraining::submit_result(key("//Provider2"), JOB, H256::repeat_byte(3), 77));
        push();
        assert_eq!(state(), JobState::Finalized);

        let TrainingRecord { provider, price, tranches, customer, .. } =
            Records::<Runtime>::get(JOB).expect("a finalized job leaves a record");
        assert_eq!((customer, provider), (account("//Customer"), account("//Provider2")));
        assert_eq!(price, 5_200 * MILLI_ATT);
        let parts: Vec<_> = tranches.iter().map(|t| (t.first_milestone, t.last_milestone, t.paid)).collect();
        assert_eq!(parts, [(0, 0, 1_200 * MILLI_ATT), (1, 2, 4 * ATT)]);

        let prune_at = now() + 100_000;
        System::set_block_number(prune_at);
        assert_ok!(JobEscrow::prune_job(signed("//Eve"), JOB));
        // What is left of the limit is what was not spent: the price, and one fee for each milestone and for the dispute.
        let sponsorship = Sponsorships::<Runtime>::get(account("//Bob"), account("//Customer"));
        let used = sponsorship.expect("nobody has ended it").used;
        assert!((price..price + 9 * AUDIT_FEE).contains(&used), "{used}");
        assert_ok!(JobEscrow::end_sponsorship(signed("//Eve"), account("//Bob"), account("//Customer")));
        assert_eq!((on_hold("//Bob", HoldReason::Escrow), on_hold("//Bob", HoldReason::Deposit)), (0, 0));
        // Compensation for fees in vain comes out of the slash, at once or once it is applied.
        let given = before - Balances::free_balance(account("//Bob"));
        assert!(given <= used && given >= price, "{given} of {used}");
    });
}

#[test]
fn a_job_that_is_called_off_under_audit_ends_with_the_audit() {
    chain("development").execute_with(|| {
        set_up();
        let mut quoted = spec();
        quoted.timing.bidding_blocks = 0;
        assert_ok!(JobEscrow::create_job(signed("//Customer"), quoted, None));
        assert_ok!(JobEscrow::accept_job(key("//Provider1"), JOB, 5 * ATT));
        assert_ok!(JobEscrow::start_job(key("//Provider1"), JOB));
        commit("//Provider1", 0..2);
        assert_ok!(JobEscrow::cancel_job(signed("//Customer"), JOB));
        assert_eq!(state(), JobState::Cancelling);
        let segment = draw(0);
        vote("//Provider1", segment, true);
        assert_eq!(state(), JobState::Cancelled);
        assert_eq!(on_hold("//Customer", HoldReason::Escrow), 0);
        assert_eq!(Commitments::<Runtime>::iter().count() + Audits::<Runtime>::iter().count(), 0);
    });
}

#[test]
fn a_sponsorship_has_a_deposit() {
    chain("development").execute_with(|| {
        assert_ok!(JobEscrow::sponsor(signed("//Bob"), account("//Customer"), 1, 1, 10));
        assert_eq!(on_hold("//Bob", HoldReason::Deposit), SponsorshipDeposit::get());
    });
}
