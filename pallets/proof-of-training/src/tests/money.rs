//! Who is paid, who is counted, and what deposits do.

use attune_primitives::{
    machine::{Action, Failure, JobState, Phase},
    proof::Verdict,
    traits::ProofOfTraining,
};
use frame_support::{assert_noop, assert_ok, traits::fungible::InspectHold};

use crate::{mock::*, types::Stage, Error, Event, HoldReason, Models, OpenDisputes};

fn held(who: AccountId) -> u128 {
    Balances::balance_on_hold(&HoldReason::ModelDeposit.into(), &who)
}

fn answered(count: u32) -> Counts {
    Counts { answered: count, ..Default::default() }
}

fn overruled() -> Counts {
    Counts { overruled: 1, ..Default::default() }
}

fn missed() -> Counts {
    Counts { missed: 1, ..Default::default() }
}

/// Commits milestone 0, draws it, and lets the first round vote. Gives segment and auditors.
fn first_round(votes: &[Vote]) -> (u32, Vec<AccountId>) {
    commit_until(2);
    let segment = draw(0)[0];
    let auditors = waiting(segment);
    vote_all(segment, votes);
    (segment, auditors)
}

fn sorted(mut list: Vec<AccountId>) -> Vec<AccountId> {
    list.sort_unstable();
    list
}

#[test]
fn matching_auditors_are_paid_once_each_and_counted() {
    ExtBuilder::default().build_and_execute(|| {
        let (_, auditors) = first_round(&[Vote::Honest, Vote::Honest]);
        assert_eq!(Escrow::fees_paid(JOB), auditors);
        assert!(auditors.iter().all(|a| Staking::counts(*a) == answered(1)));
    });
}

#[test]
fn a_mismatch_draws_a_committee_of_others() {
    ExtBuilder::default().build_and_execute(|| {
        let (segment, first) = first_round(&[Vote::Honest, Vote::WrongRoot]);
        assert_eq!(Escrow::state(JOB), JobState::Disputed(Phase::Running));
        assert_eq!(stage(segment), Stage::Committing);
        let committee = waiting(segment);
        assert_eq!(committee.len(), usize::try_from(COMMITTEE).expect("small, qed"));
        assert!(committee.iter().all(|a| !first.contains(a) && *a != TRAINER && *a != CUSTOMER));
        assert!(Escrow::fees_paid(JOB).is_empty(), "nobody is paid before the decision");
    });
}

#[test]
fn two_thirds_against_end_the_job_and_pay_only_those_against() {
    ExtBuilder::default().build_and_execute(|| {
        let (segment, first) = first_round(&[Vote::Honest, Vote::WrongRoot]);
        let committee = waiting(segment);
        // 1 + 3 of 5 are against: 12 >= 10.
        vote_all(segment, &[Vote::WrongRoot, Vote::WrongTrace, Vote::Unavailable]);
        assert_eq!(Escrow::state(JOB), JobState::Failed(Failure::WrongResult));
        let mut against = committee.clone();
        against.push(first[1]);
        assert_eq!(sorted(Escrow::fees_paid(JOB)), sorted(against.clone()));
        assert!(against.iter().all(|a| Staking::counts(*a) == answered(1)));
        assert_eq!(Staking::counts(first[0]), overruled());
        System::assert_has_event(
            Event::ProviderCondemned { job: JOB, segment, against: 4, answered: 5 }.into(),
        );
    });
}

#[test]
fn below_two_thirds_the_provider_is_upheld_and_the_accuser_unpaid_and_counted() {
    ExtBuilder::default().build_and_execute(|| {
        let (segment, first) = first_round(&[Vote::Honest, Vote::WrongRoot]);
        let committee = waiting(segment);
        // 1 + 2 of 5 are against: 9 < 10.
        vote_all(segment, &[Vote::WrongRoot, Vote::WrongRoot, Vote::Honest]);
        assert_eq!(Escrow::state(JOB), JobState::Running);
        assert_eq!(stage(segment), Stage::Passed);
        assert_eq!(Jobs::get(JOB).expect("the job exists, qed").verified, vec![0]);
        assert_eq!(sorted(Escrow::fees_paid(JOB)), sorted(vec![first[0], committee[2]]));
        assert_eq!(Staking::counts(first[0]), answered(1));
        for accuser in [first[1], committee[0], committee[1]] {
            assert_eq!(Staking::counts(accuser), overruled());
        }
    });
}

#[test]
fn exactly_two_thirds_are_enough() {
    // Three vote in all: one in the first round, a committee of two.
    let few = [(20, 100), (21, 100), (22, 100)];
    ExtBuilder::default().auditors(&few).spec(spec(&[2, 2], 1, 1)).build_and_execute(|| {
        let (segment, _) = first_round(&[Vote::WrongRoot]);
        vote_all(segment, &[Vote::WrongRoot, Vote::Honest]);
        assert_eq!(Escrow::state(JOB), JobState::Failed(Failure::WrongResult));
    });
}

#[test]
fn unavailable_inputs_count_against_the_provider() {
    ExtBuilder::default().build_and_execute(|| {
        let (segment, first) = first_round(&[Vote::Unavailable, Vote::Unavailable]);
        assert_eq!(Escrow::state(JOB), JobState::Disputed(Phase::Running));
        System::assert_has_event(
            Event::VerdictRevealed { job: JOB, segment, auditor: first[0], verdict: Verdict::Unavailable }
                .into(),
        );
        vote_all(segment, &[Vote::Unavailable, Vote::Unavailable, Vote::Honest]);
        assert_eq!(Escrow::state(JOB), JobState::Failed(Failure::WrongResult));
    });
}

#[test]
fn a_false_metric_is_a_mismatch() {
    ExtBuilder::default().build_and_execute(|| {
        let mut rosy = honest(0);
        rosy.metrics.train_loss_micro = 1;
        let mut rosy_end = honest(1);
        rosy_end.metrics.held_out_loss_micro = Some(1);
        for (segment, commitment) in [(0, rosy), (1, rosy_end)] {
            assert_ok!(Proofs::commit_segment(signed(operator(TRAINER)), JOB, segment, commitment));
        }
        let segment = draw(0)[0];
        let auditors = waiting(segment);
        vote_all(segment, &[Vote::Honest, Vote::Honest]);
        System::assert_has_event(
            Event::VerdictRevealed { job: JOB, segment, auditor: auditors[0], verdict: Verdict::Mismatch }
                .into(),
        );
        vote_all(segment, &[Vote::Honest; 3]);
        assert_eq!(Escrow::state(JOB), JobState::Failed(Failure::WrongResult));
    });
}

#[test]
fn without_a_committee_those_who_answered_decide() {
    let two = [(20, 100), (21, 100)];
    ExtBuilder::default().auditors(&two).build_and_execute(|| {
        // One of two is less than two thirds.
        first_round(&[Vote::WrongRoot, Vote::Honest]);
        assert_eq!(Escrow::state(JOB), JobState::Running);
        assert_eq!(Jobs::get(JOB).expect("the job exists, qed").verified, vec![0]);
    });
    ExtBuilder::default().auditors(&two).build_and_execute(|| {
        let (_, auditors) = first_round(&[Vote::WrongRoot, Vote::WrongTrace]);
        assert_eq!(Escrow::state(JOB), JobState::Failed(Failure::WrongResult));
        assert_eq!(Escrow::fees_paid(JOB), auditors);
    });
}

#[test]
fn those_who_miss_are_unpaid_and_counted() {
    ExtBuilder::default().build_and_execute(|| {
        commit_until(2);
        let segment = draw(0)[0];
        let auditors = waiting(segment);
        assert_ok!(commit_vote(segment, auditors[0], Vote::Honest));
        time_out(segment);
        assert_eq!(stage(segment), Stage::Opening);
        assert_noop!(commit_vote(segment, auditors[1], Vote::Honest), Error::<Test>::WrongStage);
        assert_ok!(open(segment));
        assert_noop!(reveal_vote(segment, auditors[1], Vote::Honest), Error::<Test>::NotAuditor);
        assert_ok!(reveal_vote(segment, auditors[0], Vote::Honest));
        assert_eq!(stage(segment), Stage::Passed);
        assert_eq!(Escrow::fees_paid(JOB), vec![auditors[0]]);
        assert_eq!(Staking::counts(auditors[1]), missed());
    });
}

#[test]
fn those_who_commit_and_do_not_reveal_are_unpaid_and_counted() {
    ExtBuilder::default().build_and_execute(|| {
        commit_until(2);
        let segment = draw(0)[0];
        let auditors = waiting(segment);
        for auditor in &auditors {
            assert_ok!(commit_vote(segment, *auditor, Vote::Honest));
        }
        assert_ok!(open(segment));
        assert_ok!(reveal_vote(segment, auditors[1], Vote::Honest));
        time_out(segment);
        assert_eq!(stage(segment), Stage::Passed);
        assert_eq!(Escrow::fees_paid(JOB), vec![auditors[1]]);
        assert_eq!(Staking::counts(auditors[0]), missed());
    });
}

#[test]
fn no_shows_are_redrawn_from_the_others_and_then_nobody_is_at_fault() {
    ExtBuilder::default().build_and_execute(|| {
        commit_until(2);
        let segment = draw(0)[0];
        let mut seen = waiting(segment);
        for _ in 0..REDRAWS {
            time_out(segment);
            assert_eq!(stage(segment), Stage::Committing);
            let fresh = waiting(segment);
            assert!(fresh.iter().all(|a| !seen.contains(a)), "a no-show is drawn again");
            seen.extend(fresh);
        }
        time_out(segment);
        assert_eq!(Escrow::state(JOB), JobState::Failed(Failure::NoAuditors));
        assert_eq!(seen.len(), 6);
        assert!(seen.iter().all(|a| Staking::counts(*a) == missed()));
        assert!(Escrow::fees_paid(JOB).is_empty());
    });
}

#[test]
fn a_first_round_that_nobody_else_can_answer_ends_without_fault() {
    ExtBuilder::default().auditors(&[(20, 100), (21, 100)]).build_and_execute(|| {
        commit_until(2);
        let segment = draw(0)[0];
        time_out(segment);
        assert_eq!(Escrow::state(JOB), JobState::Failed(Failure::NoAuditors));
    });
}

#[test]
fn the_redrawn_commit_and_reveal_even_after_the_trace_is_open() {
    ExtBuilder::default().build_and_execute(|| {
        commit_until(2);
        let segment = draw(0)[0];
        for auditor in waiting(segment) {
            assert_ok!(commit_vote(segment, auditor, Vote::Honest));
        }
        assert_ok!(open(segment));
        time_out(segment);
        assert_eq!(stage(segment), Stage::Committing);
        vote_all(segment, &[Vote::Honest, Vote::Honest]);
        assert_eq!(stage(segment), Stage::Passed);
    });
}

#[test]
fn an_absent_committee_is_redrawn_and_when_nobody_is_left_those_who_answered_decide() {
    // Trainer, two first auditors, and four others: a committee of three, then one, then nobody.
    let six = [(20, 100), (21, 100), (22, 100), (23, 100), (24, 100), (25, 100)];
    ExtBuilder::default().auditors(&six).build_and_execute(|| {
        let (segment, first) = first_round(&[Vote::WrongRoot, Vote::WrongRoot]);
        assert_eq!(waiting(segment).len(), 3);
        time_out(segment);
        assert_eq!(waiting(segment).len(), 1);
        time_out(segment);
        assert_eq!(Escrow::state(JOB), JobState::Failed(Failure::WrongResult));
        assert_eq!(Escrow::fees_paid(JOB), first);
    });
}

#[test]
fn a_committee_has_redraws_of_its_own() {
    let many: Vec<_> = (0..30u64).map(|i| (20 + i, 100)).collect();
    ExtBuilder::default().auditors(&many).build_and_execute(|| {
        commit_until(2);
        let segment = draw(0)[0];
        for _ in 0..REDRAWS {
            time_out(segment);
        }
        vote_all(segment, &[Vote::WrongRoot, Vote::Honest]);
        for _ in 0..REDRAWS {
            time_out(segment);
        }
        assert_eq!(stage(segment), Stage::Committing);
        vote_all(segment, &[Vote::Honest; 3]);
        assert_eq!(stage(segment), Stage::Passed);
    });
}

#[test]
fn no_round_takes_longer_than_the_longest() {
    ExtBuilder::default().build_and_execute(|| {
        commit_until(2);
        let segment = draw(0)[0];
        let drawn_at = now();
        // Everyone commits in the last block, the provider opens in the last block, nobody reveals; again and again.
        while Escrow::state(JOB) == JobState::Running {
            skip(COMMIT_BLOCKS);
            for auditor in waiting(segment) {
                assert_ok!(commit_vote(segment, auditor, Vote::Honest));
            }
            if stage(segment) == Stage::Opening {
                skip(OPEN_BLOCKS);
                assert_ok!(open(segment));
            }
            time_out(segment);
        }
        assert_eq!(Escrow::state(JOB), JobState::Failed(Failure::NoAuditors));
        assert!(now() - drawn_at <= Proofs::longest_round_blocks());
    });
}

#[test]
fn a_committee_that_never_comes_ends_the_job_without_fault() {
    let many: Vec<_> = (0..20u64).map(|i| (20 + i, 100)).collect();
    ExtBuilder::default().auditors(&many).build_and_execute(|| {
        let (segment, _) = first_round(&[Vote::WrongRoot, Vote::Honest]);
        for _ in 0..=REDRAWS {
            assert!(matches!(Escrow::state(JOB), JobState::Disputed(_)));
            time_out(segment);
        }
        assert_eq!(Escrow::state(JOB), JobState::Failed(Failure::NoAuditors));
    });
}

#[test]
fn two_disputes_of_a_job_are_both_decided_before_it_goes_on() {
    ExtBuilder::default().build_and_execute(|| {
        submit();
        let segments = [draw(0)[0], draw(1)[0]];
        for segment in segments {
            vote_all(segment, &[Vote::Honest, Vote::WrongRoot]);
        }
        assert_eq!(OpenDisputes::<Test>::get(JOB), 2);
        vote_all(segments[0], &[Vote::Honest; 3]);
        assert_eq!(Escrow::state(JOB), JobState::Disputed(Phase::Submitted));
        assert_eq!(OpenDisputes::<Test>::get(JOB), 1);
        vote_all(segments[1], &[Vote::Honest; 3]);
        assert_eq!(Escrow::state(JOB), JobState::Submitted);
        assert_eq!(OpenDisputes::<Test>::iter().count(), 0);
        assert_eq!(Jobs::get(JOB).expect("the job exists, qed").verified, vec![0, 1]);
    });
}

#[test]
fn a_model_holds_its_deposit_until_it_is_removed() {
    ExtBuilder::default().build_and_execute(|| {
        assert_ok!(Proofs::register_model(signed(CUSTOMER), model_info(2)));
        assert_eq!(held(CUSTOMER), DEPOSIT);
        assert_ok!(Proofs::remove_model(signed(CUSTOMER), 1));
        assert_eq!(held(CUSTOMER), 0);
        assert!(!Proofs::model_exists(1));
        assert_ok!(Proofs::register_model(signed(CUSTOMER), model_info(2)));
        assert!(Proofs::model_exists(2), "an id is never used again");
    });
}

#[test]
fn a_model_needs_its_deposit() {
    ExtBuilder::default().build_and_execute(|| {
        assert_ok!(Proofs::register_model(signed(2), model_info(2)));
        assert!(Proofs::register_model(signed(2), model_info(3)).is_err());
        assert_eq!(held(2), DEPOSIT);
        assert_eq!(Models::<Test>::iter().count(), 2);
    });
}

#[test]
fn a_model_is_registered_once_and_whole() {
    ExtBuilder::default().build_and_execute(|| {
        assert_noop!(Proofs::register_model(signed(CUSTOMER), model_info(1)), Error::<Test>::ModelExists);
        let mut nameless = model_info(2);
        nameless.name = Default::default();
        assert_noop!(Proofs::register_model(signed(CUSTOMER), nameless), Error::<Test>::IncompleteModel);
        let mut empty = model_info(2);
        empty.artifact_bytes = 0;
        assert_noop!(Proofs::register_model(signed(CUSTOMER), empty), Error::<Test>::IncompleteModel);
    });
}

#[test]
fn a_model_in_use_stays_until_its_last_job_is_closed() {
    ExtBuilder::default().build_and_execute(|| {
        Escrow::start(JOB + 1, CUSTOMER, TRAINER, spec(&[2], 1, 1));
        assert_noop!(Proofs::remove_model(signed(STRANGER), 0), Error::<Test>::ModelInUse);
        assert_ok!(Escrow::act(JOB, Action::Cancel));
        assert_noop!(Proofs::remove_model(signed(STRANGER), 0), Error::<Test>::ModelInUse);
        assert_ok!(Escrow::act(JOB + 1, Action::Cancel));
        assert_ok!(Proofs::remove_model(signed(STRANGER), 0));
        assert_noop!(Proofs::on_created(JOB + 2, 0), Error::<Test>::UnknownModel);
    });
}
