//! Random sequences of calls by everyone keep the invariants.

use attune_primitives::machine::{Action as JobAction, Failure, JobState};
use frame_support::{assert_ok, traits::Hooks};
use proptest::prelude::*;

use crate::{mock::*, types::Stage, Audits, Draws};

/// One step of a random sequence. Numbers are taken modulo what there is to choose from, so that most steps do
/// something.
#[derive(Clone, Debug)]
enum Step {
    Commit,
    CommitAt(u32),
    Submit,
    Randomness(u8),
    Draw(u32),
    Vote { audit: usize, auditor: usize, vote: Vote },
    Open(usize),
    Reveal { audit: usize, auditor: usize, vote: Vote },
    RevealAll { audit: usize, all: bool },
    Round { audit: usize, votes: u8 },
    VoteAll { audit: usize, votes: u8 },
    Wait(u32),
    Enforce(usize),
    Toggle(u64, bool),
    Cancel,
    RequestCancel,
    PassDeadline,
    Fail(Failure),
    GoOn(u64),
}

fn vote() -> impl Strategy<Value = Vote> {
    prop_oneof![
        5 => Just(Vote::Honest),
        1 => Just(Vote::WrongRoot),
        1 => Just(Vote::WrongTrace),
        1 => Just(Vote::Unavailable),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        100 => Just(Step::Commit),
        10 => (0..9u32).prop_map(Step::CommitAt),
        20 => Just(Step::Submit),
        30 => any::<u8>().prop_map(Step::Randomness),
        60 => (0..4u32).prop_map(Step::Draw),
        40 => (any::<usize>(), any::<usize>(), vote())
            .prop_map(|(audit, auditor, vote)| Step::Vote { audit, auditor, vote }),
        60 => (any::<usize>(), votes()).prop_map(|(audit, votes)| Step::VoteAll { audit, votes }),
        60 => any::<usize>().prop_map(Step::Open),
        20 => (any::<usize>(), any::<usize>(), vote())
            .prop_map(|(audit, auditor, vote)| Step::Reveal { audit, auditor, vote }),
        60 => (any::<usize>(), any::<bool>()).prop_map(|(audit, all)| Step::RevealAll { audit, all }),
        60 => (any::<usize>(), votes()).prop_map(|(audit, votes)| Step::Round { audit, votes }),
        10 => (1..12u32).prop_map(Step::Wait),
        20 => any::<usize>().prop_map(Step::Enforce),
        10 => (20..28u64, any::<bool>()).prop_map(|(provider, active)| Step::Toggle(provider, active)),
        1 => Just(Step::Cancel),
        3 => Just(Step::RequestCancel),
        10 => Just(Step::PassDeadline),
        6 => prop_oneof![Just(Failure::WrongResult), Just(Failure::NoAuditors)].prop_map(Step::Fail),
        60 => (20..28u64).prop_map(Step::GoOn),
    ]
}

/// Who of the waiting votes falsely in [`Step::VoteAll`] and [`Step::Round`]: mostly nobody.
fn votes() -> impl Strategy<Value = u8> {
    prop_oneof![3 => Just(0u8), 2 => (0..8u8).prop_map(|bit| 1 << bit), 1 => any::<u8>()]
}

/// The segment of the `n`-th audit; of none, segment 0.
fn nth_audit(n: usize) -> u32 {
    let mut all: Vec<u32> = Audits::<Test>::iter_keys().map(|(_, segment)| segment).collect();
    all.sort_unstable();
    if all.is_empty() {
        0
    } else {
        all[n % all.len()]
    }
}

fn nth_slot(segment: u32, n: usize) -> AccountId {
    let slots = Audits::<Test>::get(JOB, segment).map(|audit| audit.slots).unwrap_or_default();
    if slots.is_empty() {
        20
    } else {
        slots[n % slots.len()].auditor
    }
}

fn all_waiting(segment: u32) -> Vec<AccountId> {
    let audit = Audits::<Test>::get(JOB, segment);
    audit.map(|audit| audit.waiting().map(|slot| slot.auditor).collect()).unwrap_or_default()
}

/// What `auditor` voted with in [`Step::VoteAll`] under `votes`: bit `auditor % 8` set is a false vote.
fn vote_by_bit(votes: u8, auditor: AccountId) -> Vote {
    if votes & (1u8 << (auditor % 8)) == 0 {
        Vote::Honest
    } else {
        Vote::WrongRoot
    }
}

/// Reveals what everyone waiting may have committed to; without `all`, honest votes only.
fn reveal_all(segment: u32, all: bool) {
    for auditor in all_waiting(segment) {
        if reveal_vote(segment, auditor, Vote::Honest).is_err() && all {
            let _ = reveal_vote(segment, auditor, Vote::WrongRoot);
        }
    }
}

/// Runs a step. Refusals are fine: what matters is that they leave nothing behind.
fn run(step: Step) {
    let trainer = signed(operator(trainer()));
    match step {
        Step::Commit => {
            let _ = commit(Proofs::segments_committed(JOB));
        }
        Step::CommitAt(segment) => {
            let _ = commit(segment);
        }
        Step::Submit => {
            let _ = Proofs::submit_result(trainer, JOB, Default::default(), 1);
        }
        Step::Randomness(byte) => fresh_randomness(byte),
        Step::Draw(milestone) => {
            let _ = Proofs::draw_audits(signed(STRANGER), JOB, milestone);
        }
        Step::Vote { audit, auditor, vote } => {
            let segment = nth_audit(audit);
            let _ = commit_vote(segment, nth_slot(segment, auditor), vote);
        }
        Step::VoteAll { audit, votes } => {
            let segment = nth_audit(audit);
            for auditor in all_waiting(segment) {
                let _ = commit_vote(segment, auditor, vote_by_bit(votes, auditor));
            }
        }
        Step::Open(audit) => {
            let _ = open(nth_audit(audit));
        }
        Step::Reveal { audit, auditor, vote } => {
            let segment = nth_audit(audit);
            let _ = reveal_vote(segment, nth_slot(segment, auditor), vote);
        }
        Step::RevealAll { audit, all } => reveal_all(nth_audit(audit), all),
        Step::Round { audit, votes } => {
            let segment = nth_audit(audit);
            for auditor in all_waiting(segment) {
                let _ = commit_vote(segment, auditor, vote_by_bit(votes, auditor));
            }
            let _ = open(segment);
            reveal_all(segment, true);
        }
        Step::Wait(blocks) => skip(blocks),
        Step::Enforce(audit) => {
            let _ = enforce(nth_audit(audit));
        }
        Step::Toggle(provider, active) => Staking::set_active(provider, active),
        Step::Cancel => {
            let _ = Escrow::act(JOB, JobAction::Cancel);
        }
        Step::RequestCancel => {
            // Only where it leaves the job live: a job that is called off at once is of no interest here.
            if Jobs::get(JOB).is_some_and(|job| job.committed > 0 && job.verified.is_empty()) {
                let _ = Escrow::act(JOB, JobAction::Cancel);
            }
        }
        Step::Fail(failure) => {
            let _ = Escrow::act(JOB, JobAction::Fail(failure));
        }
        Step::GoOn(provider) => {
            if Escrow::state(JOB) == JobState::Open {
                Escrow::go_on(JOB, provider);
            }
        }
        Step::PassDeadline => {
            let job = Jobs::get(JOB).expect("the job exists, qed");
            if job.state.is_in_work() && job.verified.len() == job.spec.milestones.len() && now() > 1 {
                Escrow::pass_deadline(JOB);
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn random_calls_keep_the_invariants(
        steps in prop::collection::vec(step(), 1..160),
        samples in 1..=2u8,
        auditors in 1..=3u8,
        reopens in any::<bool>(),
    ) {
        ExtBuilder::default().spec(spec(&[2, 3, 2], samples, auditors)).build_and_execute(|| {
            Reopens::put(reopens);
            for step in steps {
                let told = format!("{step:?}");
                // A call that fails is rolled back, as in a block.
                run(step);
                if let Err(error) = Proofs::do_try_state() {
                    panic!("after {told}: {error:?}");
                }
            }
        });
    }
}

#[test]
fn the_constants_fit_the_bounds() {
    ExtBuilder::default().build_and_execute(|| {
        <Proofs as Hooks<u32>>::integrity_test();
    });
}

#[test]
fn the_checks_find_a_wrong_bit_a_stray_audit_and_a_second_slot() {
    let broken = |breaking: fn(u32)| {
        ExtBuilder::default().build().execute_with(|| {
            commit_until(2);
            let segment = draw(0)[0];
            assert_ok!(Proofs::do_try_state());
            breaking(segment);
            Proofs::do_try_state().is_err()
        })
    };
    assert!(broken(|_| Draws::<Test>::mutate(JOB, 0, |draw| {
        draw.as_mut().expect("it was drawn, qed").passed = 1;
    })));
    assert!(broken(|segment| {
        let audit = Audits::<Test>::get(JOB, segment).expect("it is drawn, qed");
        Audits::<Test>::insert(JOB, 1 - segment, audit);
    }));
    assert!(broken(|segment| Audits::<Test>::mutate(JOB, segment, |audit| {
        let slots = &mut audit.as_mut().expect("it is drawn, qed").slots;
        slots[1].auditor = slots[0].auditor;
    })));
    assert!(broken(|segment| Audits::<Test>::mutate(JOB, segment, |audit| {
        audit.as_mut().expect("it is drawn, qed").stage = Stage::Revealing;
    })));
    assert!(broken(|_| Jobs::mutate(JOB, |job| {
        job.as_mut().expect("it exists, qed").state = attune_primitives::machine::JobState::Cancelled;
    })));
}
