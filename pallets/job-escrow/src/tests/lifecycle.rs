//! How a job moves, and who may move it when.

use attune_primitives::{
    job::{ArithmeticMode, BaseFormat},
    machine::{Failure, JobState, Phase},
    traits::JobEscrow,
};
use frame_support::{assert_noop, assert_ok};

use crate::{mock::*, *};

type Refused = Error<Test>;

#[test]
fn a_job_runs_from_order_to_record() {
    ExtBuilder::build_and_execute(|| {
        let id = create();
        assert_eq!((state(id), job(id).deadline), (JobState::Open, 1 + OPEN_BLOCKS));
        pass_blocks(2);
        assert_ok!(Escrow::accept_job(signed(ALICE_KEY), id, PRICE));
        assert_eq!((state(id), job(id).deadline), (JobState::Assigned, 3 + START_BLOCKS));
        pass_blocks(1);
        assert_ok!(Escrow::start_job(signed(ALICE_KEY), id));
        assert_eq!((state(id), job(id).deadline), (JobState::Running, 4 + MILESTONE_BLOCKS));
        let started = job(id).assignment.and_then(|a| a.started_at);
        assert_eq!((job(id).requested_at, started), (2_000, Some(8_000)));
        for milestone in 0..3 {
            pass_blocks(5);
            assert_ok!(Escrow::milestone_committed(id, milestone));
            assert_eq!(u64::from(job(id).deadline), System::block_number() + u64::from(MILESTONE_BLOCKS));
        }
        assert_ok!(Escrow::submitted(id));
        assert_eq!((state(id), job(id).deadline), (JobState::Submitted, 19 + AUDIT_WINDOW));
        pass_blocks(10);
        for milestone in 0..3 {
            assert_ok!(Escrow::milestone_verified(id, milestone));
        }
        assert_eq!((state(id), job(id).deadline), (JobState::Submitted, 29 + CHALLENGE_WINDOW));
        pass_deadline(id);
        assert_ok!(Escrow::enforce_deadline(signed(ZOE), id));
        assert_eq!((state(id), closed_as(id)), (JobState::Finalized, Some(JobState::Finalized)));
        assert_eq!(reputation(ALICE), (1, 0));
    });
}

#[test]
fn every_step_is_told_with_the_states_around_it() {
    ExtBuilder::build_and_execute(|| {
        let id = create_verified();
        pass_deadline(id);
        assert_ok!(Escrow::enforce_deadline(signed(ZOE), id));
        let steps: Vec<_> = events()
            .into_iter()
            .filter_map(|event| match event {
                Event::StateChanged { from, to, .. } => Some((from, to)),
                _ => None,
            })
            .collect();
        let path =
            [JobState::Open, JobState::Assigned, JobState::Running, JobState::Submitted, JobState::Finalized];
        let expected: Vec<_> = path.windows(2).map(|w| (w[0], w[1])).collect();
        assert_eq!(steps, expected);
    });
}

#[test]
fn a_job_that_nobody_wants_expires() {
    ExtBuilder::build_and_execute(|| {
        let id = create();
        pass_blocks(OPEN_BLOCKS);
        assert_noop!(Escrow::enforce_deadline(signed(ZOE), id), Refused::DeadlineNotOver);
        pass_blocks(1);
        assert_noop!(Escrow::accept_job(signed(ALICE_KEY), id, PRICE), Refused::DeadlineOver);
        assert_ok!(Escrow::enforce_deadline(signed(ZOE), id));
        assert_eq!((state(id), closed_as(id)), (JobState::Expired, Some(JobState::Expired)));
        assert_eq!((escrowed(CUSTOMER), free(CUSTOMER)), (0, WEALTH - DEPOSIT));
    });
}

#[test]
fn a_provider_of_another_class_is_refused() {
    ExtBuilder::build_and_execute(|| {
        let id = create();
        assert_noop!(Escrow::accept_job(signed(BOB_KEY), id, PRICE), Refused::WrongArithmetic);
    });
}

#[test]
fn exact_arithmetic_is_for_all_who_compute_its_version() {
    ExtBuilder::build_and_execute(|| {
        let order = |version| {
            let mut exact = spec();
            exact.mode = ArithmeticMode::Exact { version, base: BaseFormat::W8 };
            let id = NextJobId::<Test>::get();
            assert_ok!(Escrow::create_job(signed(CUSTOMER), exact, None));
            id
        };
        let (first, second) = (order(1), order(2));
        assert_noop!(Escrow::accept_job(signed(BOB_KEY), first, PRICE), Refused::WrongArithmetic);
        assert_noop!(Escrow::accept_job(signed(ALICE_KEY), second, PRICE), Refused::WrongArithmetic);
        assert_ok!(Escrow::accept_job(signed(ALICE_KEY), first, PRICE));
    });
}

#[test]
fn only_an_operator_key_accepts() {
    ExtBuilder::build_and_execute(|| {
        let id = create();
        for who in [ALICE, CUSTOMER, ZOE] {
            assert_noop!(Escrow::accept_job(signed(who), id, PRICE), Refused::NotAnOperator);
        }
    });
}

#[test]
fn the_customer_is_not_its_own_provider() {
    ExtBuilder::build_and_execute(|| {
        let id = NextJobId::<Test>::get();
        assert_ok!(Escrow::create_job(signed(ALICE), spec(), None));
        assert_noop!(Escrow::accept_job(signed(ALICE_KEY), id, PRICE), Refused::SelfDealing);
        let mut own = spec();
        own.provider = Some(ALICE);
        assert_noop!(Escrow::create_job(signed(ALICE), own, None), Refused::SelfDealing);
    });
}

#[test]
fn an_operator_key_does_not_accept_what_it_ordered() {
    ExtBuilder::build_and_execute(|| {
        use frame_support::traits::fungible::Mutate;
        assert_ok!(Balances::mint_into(&ALICE_KEY, WEALTH));
        let id = NextJobId::<Test>::get();
        assert_ok!(Escrow::create_job(signed(ALICE_KEY), spec(), None));
        assert_noop!(Escrow::accept_job(signed(ALICE_KEY), id, PRICE), Refused::SelfDealing);
    });
}

#[test]
fn only_the_chosen_provider_accepts() {
    ExtBuilder::build_and_execute(|| {
        let mut chosen = spec();
        chosen.provider = Some(CAROL);
        assert_ok!(Escrow::create_job(signed(CUSTOMER), chosen, None));
        assert_noop!(Escrow::accept_job(signed(ALICE_KEY), 0, PRICE), Refused::NotChosenProvider);
        assert_ok!(Escrow::accept_job(signed(CAROL_KEY), 0, PRICE));
    });
}

#[test]
fn a_chosen_provider_must_exist_and_be_of_the_class() {
    ExtBuilder::build_and_execute(|| {
        let mut chosen = spec();
        chosen.provider = Some(ZOE);
        assert_noop!(Escrow::create_job(signed(CUSTOMER), chosen.clone(), None), Refused::UnknownProvider);
        chosen.provider = Some(BOB);
        assert_noop!(Escrow::create_job(signed(CUSTOMER), chosen, None), Refused::WrongArithmetic);
    });
}

#[test]
fn only_the_assigned_provider_starts_or_declines() {
    ExtBuilder::build_and_execute(|| {
        allow_no_handover();
        let id = create_assigned();
        for (who, error) in [(CAROL_KEY, Refused::NotAssignedProvider), (ALICE, Refused::NotAnOperator)] {
            assert_noop!(Escrow::start_job(signed(who), id), error);
        }
        assert_noop!(Escrow::decline_job(signed(CAROL_KEY), id), Refused::NotAssignedProvider);
        assert_noop!(Escrow::decline_job(signed(CUSTOMER), id), Refused::NotAnOperator);
        assert_ok!(Escrow::decline_job(signed(ALICE_KEY), id));
        assert_eq!(state(id), JobState::Failed(Failure::InputsUnusable));
    });
}

#[test]
fn only_the_customer_cancels() {
    ExtBuilder::build_and_execute(|| {
        let id = create_assigned();
        for who in [ALICE, ALICE_KEY, ZOE] {
            assert_noop!(Escrow::cancel_job(signed(who), id), Refused::NotCustomer);
        }
    });
}

#[test]
fn milestones_are_committed_in_order_and_once() {
    ExtBuilder::build_and_execute(|| {
        let id = create_running();
        assert_noop!(Escrow::milestone_committed(id, 1), Refused::MilestoneOutOfOrder);
        assert_ok!(Escrow::milestone_committed(id, 0));
        assert_noop!(Escrow::milestone_committed(id, 0), Refused::MilestoneOutOfOrder);
        assert_noop!(Escrow::submitted(id), Refused::NotAllCommitted);
        assert_ok!(Escrow::milestone_committed(id, 1));
        assert_ok!(Escrow::milestone_committed(id, 2));
        assert_noop!(Escrow::milestone_committed(id, 3), Refused::MilestoneOutOfOrder);
        assert_ok!(Escrow::submitted(id));
    });
}

#[test]
fn after_the_deadline_nothing_is_committed_or_submitted() {
    ExtBuilder::build_and_execute(|| {
        let id = create_running();
        pass_deadline(id);
        assert_noop!(Escrow::milestone_committed(id, 0), Refused::DeadlineOver);
        let id = create_running();
        for milestone in 0..3 {
            assert_ok!(Escrow::milestone_committed(id, milestone));
        }
        pass_deadline(id);
        assert_noop!(Escrow::submitted(id), Refused::DeadlineOver);
    });
}

#[test]
fn a_job_verified_before_its_submission_waits_for_challenges_at_once() {
    ExtBuilder::build_and_execute(|| {
        let id = create_running();
        for milestone in 0..3 {
            assert_ok!(Escrow::milestone_committed(id, milestone));
            assert_ok!(Escrow::milestone_verified(id, milestone));
        }
        assert_ok!(Escrow::submitted(id));
        assert_eq!(job(id).deadline, 1 + CHALLENGE_WINDOW);
    });
}

#[test]
fn a_dispute_stops_the_clock() {
    ExtBuilder::build_and_execute(|| {
        let id = create_running();
        pass_blocks(5);
        assert_ok!(Escrow::disputed(id));
        assert_eq!((state(id), job(id).deadline), (JobState::Disputed(Phase::Running), 6 + DISPUTE_WINDOW));
        pass_blocks(30);
        assert_ok!(Escrow::disputed(id));
        assert_eq!(job(id).deadline, 6 + DISPUTE_WINDOW, "a second mismatch gives no more time");
        assert_ok!(Escrow::upheld(id));
        assert_eq!((state(id), job(id).deadline), (JobState::Running, 36 + MILESTONE_BLOCKS - 5));
        assert_noop!(Escrow::upheld(id), Refused::NotAllowedInState);
    });
}

#[test]
fn a_dispute_after_the_deadline_leaves_no_time() {
    ExtBuilder::build_and_execute(|| {
        allow_no_handover();
        let id = create_running();
        pass_deadline(id);
        assert_ok!(Escrow::disputed(id));
        assert_ok!(Escrow::upheld(id));
        pass_blocks(1);
        assert_ok!(Escrow::enforce_deadline(signed(ZOE), id));
        assert_eq!(state(id), JobState::Failed(Failure::MissedMilestone));
    });
}

#[test]
fn a_milestone_committed_in_a_dispute_has_its_whole_time_after_it() {
    ExtBuilder::build_and_execute(|| {
        let id = create_running();
        assert_ok!(Escrow::milestone_committed(id, 0));
        pass_blocks(15);
        assert_ok!(Escrow::disputed(id));
        assert_ok!(Escrow::milestone_committed(id, 1));
        assert_eq!(job(id).deadline, 16 + DISPUTE_WINDOW);
        assert_ok!(Escrow::upheld(id));
        assert_eq!(job(id).deadline, 16 + MILESTONE_BLOCKS);
    });
}

#[test]
fn a_dispute_that_does_not_end_blames_nobody() {
    ExtBuilder::build_and_execute(|| {
        allow_no_handover();
        let id = create_submitted();
        assert_ok!(Escrow::disputed(id));
        pass_deadline(id);
        assert_ok!(Escrow::enforce_deadline(signed(ZOE), id));
        assert_eq!(state(id), JobState::Failed(Failure::AuditsUnfinished));
        assert_eq!((reputation(ALICE), free(CUSTOMER)), ((0, 0), WEALTH - DEPOSIT));
    });
}

#[test]
fn verification_during_a_dispute_gives_the_whole_challenge_window() {
    ExtBuilder::build_and_execute(|| {
        let id = create_submitted();
        assert_ok!(Escrow::milestone_verified(id, 0));
        assert_ok!(Escrow::milestone_verified(id, 2));
        assert_ok!(Escrow::disputed(id));
        assert_ok!(Escrow::milestone_verified(id, 1));
        assert_ok!(Escrow::upheld(id));
        assert_eq!((state(id), job(id).deadline), (JobState::Submitted, 1 + CHALLENGE_WINDOW));
    });
}

#[test]
fn a_terminal_job_only_waits_to_be_pruned() {
    ExtBuilder::build_and_execute(|| {
        let id = create();
        assert_ok!(Escrow::cancel_job(signed(CUSTOMER), id));
        pass_blocks(PRUNE_AFTER - 1);
        assert_noop!(Escrow::prune_job(signed(ZOE), id), Refused::NotPrunable);
        pass_blocks(1);
        assert_ok!(Escrow::prune_job(signed(ZOE), id));
        assert_eq!(free(CUSTOMER), WEALTH, "the deposit is back");
        assert_noop!(Escrow::prune_job(signed(ZOE), id), Refused::UnknownJob);
        assert_eq!(create(), id + 1, "an id is never used again");
    });
}

#[test]
fn a_record_that_cannot_be_written_keeps_the_job_as_it_was() {
    ExtBuilder::build_and_execute(|| {
        let id = create_verified();
        pass_deadline(id);
        RecordRefused::put(true);
        let before = job(id);
        let push = || transact(|| Escrow::enforce_deadline(signed(ZOE), id));
        assert!(push().is_err());
        assert_eq!(job(id), before);
        RecordRefused::kill();
        assert_ok!(push());
    });
}
