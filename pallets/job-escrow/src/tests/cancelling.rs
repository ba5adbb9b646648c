//! Calling a job off while work that is committed is under audit.

use attune_primitives::{
    machine::{Failure, JobState, Phase},
    traits::{JobEscrow, Providers},
};
use frame_support::{assert_noop, assert_ok};

use crate::{mock::*, *};

type Refused = Error<Test>;

#[test]
fn work_under_audit_cannot_be_cancelled_away() {
    ExtBuilder::build_and_execute(|| {
        let id = create_cancelling();
        assert_eq!(job(id).deadline, 1 + AUDIT_WINDOW);
        assert_noop!(Escrow::milestone_committed(id, 1), Refused::NotAllowedInState);
        assert_noop!(Escrow::submitted(id), Refused::NotAllowedInState);
        assert_noop!(Escrow::cancel_job(signed(CUSTOMER), id), Refused::AlreadyCalledOff);
        assert_eq!(closed_as(id), None);
        assert_ok!(Escrow::milestone_verified(id, 0));
        assert_eq!((state(id), closed_as(id)), (JobState::Cancelled, Some(JobState::Cancelled)));
        // What was committed, and 10 % of the 6,667 that were not.
        assert_eq!(income(ALICE), 3_333 + 666);
        assert_eq!((free(CUSTOMER), escrowed(CUSTOMER)), (WEALTH - DEPOSIT - 3_999, 0));
        assert_eq!((Bonds::iter().count(), reputation(ALICE)), (0, (0, 0)));
    });
}

#[test]
fn a_job_is_cancelled_only_when_all_that_is_committed_is_decided() {
    ExtBuilder::build_and_execute(|| {
        let id = create_running();
        for milestone in 0..3 {
            assert_ok!(Escrow::milestone_committed(id, milestone));
        }
        assert_ok!(Escrow::cancel_job(signed(CUSTOMER), id));
        for milestone in [2, 0] {
            assert_ok!(Escrow::milestone_verified(id, milestone));
            assert_eq!(state(id), JobState::Cancelling);
        }
        assert_ok!(Escrow::milestone_verified(id, 1));
        assert_eq!((state(id), income(ALICE)), (JobState::Cancelled, PRICE));
    });
}

#[test]
fn a_cancellation_comes_at_the_latest_with_its_deadline() {
    ExtBuilder::build_and_execute(|| {
        let id = create_cancelling();
        pass_deadline(id);
        assert_ok!(Escrow::enforce_deadline(signed(ZOE), id));
        assert_eq!(state(id), JobState::Cancelled);
        assert_eq!(income(ALICE), 1_000, "the fee, and nothing for what nobody verified");
        assert_eq!((free(CUSTOMER), Bonds::iter().count()), (WEALTH - DEPOSIT - 1_000, 0));
    });
}

#[test]
fn an_upheld_provider_is_paid_and_the_job_cancelled() {
    ExtBuilder::build_and_execute(|| {
        let id = create_cancelling();
        pass_blocks(10);
        assert_ok!(Escrow::disputed(id));
        assert_eq!(
            (state(id), job(id).deadline),
            (JobState::Disputed(Phase::Cancelling), 11 + DISPUTE_WINDOW)
        );
        assert_noop!(Escrow::cancel_job(signed(CUSTOMER), id), Refused::AlreadyCalledOff);
        assert_noop!(Escrow::milestone_committed(id, 1), Refused::NotAllowedInState);
        pass_blocks(5);
        assert_ok!(Escrow::upheld(id));
        assert_eq!((state(id), job(id).deadline), (JobState::Cancelling, 16 + AUDIT_WINDOW - 10));
        assert_ok!(Escrow::milestone_verified(id, 0));
        assert_eq!((state(id), income(ALICE)), (JobState::Cancelled, 3_999));
    });
}

#[test]
fn audits_that_end_during_a_dispute_cancel_the_job_with_its_end() {
    ExtBuilder::build_and_execute(|| {
        let id = create_cancelling();
        assert_ok!(Escrow::disputed(id));
        assert_ok!(Escrow::milestone_verified(id, 0));
        assert_eq!(state(id), JobState::Disputed(Phase::Cancelling));
        assert_ok!(Escrow::upheld(id));
        assert_eq!((state(id), income(ALICE)), (JobState::Cancelled, 3_999));
    });
}

#[test]
fn a_called_off_job_that_fails_goes_to_nobody_else() {
    for (failure, slashed) in
        [(Failure::WrongResult, PRICE), (Failure::TraceNotOpened, PRICE), (Failure::NoAuditors, 0)]
    {
        ExtBuilder::build_and_execute(|| {
            let id = create_cancelling();
            assert_ok!(Escrow::pay_auditor(id, 0, &AUDITOR));
            assert_ok!(Escrow::disputed(id));
            assert_ok!(Escrow::fail(id, failure));
            assert_eq!((state(id), income(ALICE)), (JobState::Failed(failure), 0));
            assert_eq!(free(Registry::pool_account(&ALICE)), WEALTH - slashed);
            let compensated = if slashed > 0 { AUDIT_FEE } else { 0 };
            assert_eq!(free(CUSTOMER), WEALTH - DEPOSIT - AUDIT_FEE + compensated);
        });
    }
}

#[test]
fn a_dispute_over_called_off_work_that_does_not_end_blames_nobody() {
    ExtBuilder::build_and_execute(|| {
        let id = create_cancelling();
        assert_ok!(Escrow::disputed(id));
        pass_deadline(id);
        assert_ok!(Escrow::enforce_deadline(signed(ZOE), id));
        assert_eq!(state(id), JobState::Failed(Failure::AuditsUnfinished));
        assert_eq!((income(ALICE), free(Registry::pool_account(&ALICE))), (0, WEALTH));
    });
}

#[test]
fn a_refused_cancellation_says_why() {
    ExtBuilder::build_and_execute(|| {
        let submitted = create_submitted();
        assert_noop!(Escrow::cancel_job(signed(CUSTOMER), submitted), Refused::CannotCancelSubmitted);
        assert_ok!(Escrow::disputed(submitted));
        assert_noop!(Escrow::cancel_job(signed(CUSTOMER), submitted), Refused::CannotCancelDisputed);
        let running = create_running();
        assert_ok!(Escrow::disputed(running));
        assert_noop!(Escrow::cancel_job(signed(CUSTOMER), running), Refused::CannotCancelDisputed);
        let ended = create();
        assert_ok!(Escrow::cancel_job(signed(CUSTOMER), ended));
        assert_noop!(Escrow::cancel_job(signed(CUSTOMER), ended), Refused::JobEnded);
    });
}
