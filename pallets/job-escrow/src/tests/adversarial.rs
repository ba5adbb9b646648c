//! What somebody would try.

use attune_primitives::{
    machine::{Failure, JobState},
    traits::JobEscrow,
};
use frame_support::{
    assert_noop, assert_ok,
    traits::{fungible::Mutate, tokens::Preservation},
};

use crate::{mock::*, *};

type Refused = Error<Test>;

#[test]
fn escrowed_money_cannot_be_spent() {
    ExtBuilder::build_and_execute(|| {
        create();
        let all = free(CUSTOMER) + 1;
        assert!(<Balances as Mutate<_>>::transfer(&CUSTOMER, &ZOE, all, Preservation::Expendable).is_err());
        let rest = free(CUSTOMER) - EXISTENTIAL;
        assert_ok!(<Balances as Mutate<_>>::transfer(&CUSTOMER, &ZOE, rest, Preservation::Expendable));
    });
}

#[test]
fn a_customer_that_spent_everything_else_still_pays() {
    ExtBuilder::build_and_execute(|| {
        let id = create_submitted();
        let rest = free(CUSTOMER) - EXISTENTIAL;
        assert_ok!(<Balances as Mutate<_>>::transfer(&CUSTOMER, &ZOE, rest, Preservation::Expendable));
        for milestone in 0..3 {
            assert_ok!(Escrow::milestone_verified(id, milestone));
        }
        assert_eq!(income(ALICE), PRICE);
        pass_deadline(id);
        assert_ok!(Escrow::enforce_deadline(signed(ZOE), id));
        assert_eq!(free(CUSTOMER), EXISTENTIAL + AUDIT_BUDGET);
    });
}

#[test]
fn a_customer_cannot_cancel_at_the_last_block_and_enforce_for_a_better_end() {
    ExtBuilder::build_and_execute(|| {
        let id = create_running();
        pass_deadline(id);
        assert_noop!(Escrow::cancel_job(signed(CUSTOMER), id), Refused::DeadlineOver);
        assert_ok!(Escrow::enforce_deadline(signed(CUSTOMER), id));
        assert_eq!(state(id), JobState::Failed(Failure::MissedMilestone));
    });
}

#[test]
fn a_provider_cannot_decline_after_it_started() {
    ExtBuilder::build_and_execute(|| {
        let id = create_running();
        assert_noop!(Escrow::decline_job(signed(ALICE_KEY), id), Refused::NotAllowedInState);
    });
}

#[test]
fn a_deadline_cannot_be_pushed_twice() {
    ExtBuilder::build_and_execute(|| {
        let id = create_running();
        pass_deadline(id);
        assert_ok!(Escrow::enforce_deadline(signed(ZOE), id));
        let after = free(CUSTOMER);
        assert_noop!(Escrow::enforce_deadline(signed(ZOE), id), Refused::NotAllowedInState);
        assert_noop!(Escrow::fail(id, Failure::WrongResult), Refused::NotAllowedInState);
        assert_eq!(free(CUSTOMER), after);
    });
}

#[test]
fn a_closed_job_pays_no_auditor() {
    ExtBuilder::build_and_execute(|| {
        let id = create_running();
        assert_ok!(Escrow::cancel_job(signed(CUSTOMER), id));
        assert_noop!(Escrow::pay_auditor(id, &AUDITOR), Refused::NotAllowedInState);
        assert_noop!(Escrow::milestone_verified(id, 0), Refused::NotAllowedInState);
    });
}

#[test]
fn a_claim_pays_the_payee_whoever_makes_it() {
    ExtBuilder::build_and_execute(|| {
        let id = create_submitted();
        IncomeRefused::put(true);
        assert_ok!(Escrow::milestone_verified(id, 0));
        IncomeRefused::kill();
        for payee in [CUSTOMER, ZOE, ALICE_KEY] {
            assert_noop!(Escrow::claim_owed(signed(payee), id, payee), Refused::NothingOwed);
        }
        assert_noop!(Escrow::claim_owed(signed(ZOE), 99, ALICE), Refused::UnknownJob);
        assert_ok!(Escrow::claim_owed(signed(ZOE), id, ALICE));
        assert_eq!((income(ALICE), free(ZOE)), (3_333, WEALTH));
    });
}

#[test]
fn compensation_is_never_more_than_was_paid() {
    ExtBuilder::build_and_execute(|| {
        let id = create_running();
        assert_ok!(Escrow::fail(id, Failure::WrongResult));
        assert_eq!(free(CUSTOMER), WEALTH - DEPOSIT, "a customer gains nothing by a provider's failure");
    });
}
