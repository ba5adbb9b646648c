//! From one provider to the next: where it goes on, for how much, and what the one before pays.

use attune_primitives::{
    machine::{Failure, JobState},
    proof::Tranche,
    traits::{JobEscrow, Providers},
    JobId,
};
use frame_support::{assert_noop, assert_ok};

use crate::{mock::*, *};

type Refused = Error<Test>;

/// Alice has verified milestone 0 at a third of [`PRICE`], and its audits cost two fees; she then misses milestone 1, of
/// which one fee was paid.
fn missed_after_one() -> JobId {
    let id = create_running();
    verify_next(id);
    assert_ok!(Escrow::milestone_committed(id, 1));
    for milestone in [0, 0, 1] {
        assert_ok!(Escrow::pay_auditor(id, milestone, &AUDITOR));
    }
    pass_deadline(id);
    assert_ok!(Escrow::enforce_deadline(signed(ZOE), id));
    id
}

/// Lets the job's provider miss its deadline.
fn miss(id: JobId) {
    pass_deadline(id);
    assert_ok!(Escrow::enforce_deadline(signed(ZOE), id));
}

fn finish(id: JobId) {
    while !job(id).all_verified() {
        verify_next(id);
    }
    assert_ok!(Escrow::submitted(id));
    miss(id);
    assert_eq!(state(id), JobState::Finalized);
}

#[test]
fn another_provider_goes_on_after_the_last_paid_milestone() {
    ExtBuilder::build_and_execute(|| {
        let id = missed_after_one();
        let open = job(id);
        assert_eq!((open.state, open.assignment.as_ref()), (JobState::Open, None));
        assert_eq!(u64::from(open.deadline), System::block_number() + u64::from(OPEN_BLOCKS));
        assert_eq!((open.milestones_committed, open.milestones_verified, open.milestones_paid), (1, 1, 1));
        assert_eq!((open.escrow, open.audit_budget), (PRICE - 3_333, AUDIT_BUDGET - 3 * AUDIT_FEE));
        assert_eq!(handed_over(id), [1]);
        let tranche = Tranche {
            provider: ALICE,
            first_milestone: 0,
            last_milestone: 0,
            paid: 3_333,
            started_at: 2_000,
        };
        assert_eq!(open.tranches.to_vec(), [tranche]);

        assert_noop!(Escrow::accept_job(signed(CAROL_KEY), id, 6_668), Refused::InvalidPrice);
        take(id, CAROL_KEY, 6_000);
        let assignment = job(id).assignment.expect("Carol has the job, qed");
        assert_eq!((assignment.first_milestone, assignment.price, assignment.bond), (1, 6_000, 6_000));
        verify_next(id);
        assert_eq!(income(CAROL), 2_999, "333,333 of the 666,667 that are left, rounded down");
        finish(id);
        assert_eq!((income(ALICE), income(CAROL), escrowed(CUSTOMER)), (3_333, 6_000, 0));
        // The fee that was paid in vain is compensated out of Alice's slash.
        assert_eq!(free(CUSTOMER), WEALTH - DEPOSIT - 9_333 - 2 * AUDIT_FEE);
        assert_eq!((reputation(ALICE), reputation(CAROL)), ((0, 1), (1, 0)));
    });
}

#[test]
fn paid_milestones_keep_their_value_and_are_not_compensated() {
    ExtBuilder::build_and_execute(|| {
        let id = missed_after_one();
        let expected = Event::BondSlashed { job: id, provider: ALICE, amount: 2_000 };
        assert!(events().contains(&expected), "{:?}", events());
        assert!(events().contains(&Event::HandedOver {
            job: id,
            provider: ALICE,
            failure: Failure::MissedMilestone,
            first_milestone: 1,
            max_price: 6_667,
            audit_budget: AUDIT_BUDGET - 3 * AUDIT_FEE,
            deadline: job(id).deadline,
        }));
        let paid_out = 3_333 + 3 * AUDIT_FEE;
        let compensated = free(CUSTOMER) + DEPOSIT + escrowed(CUSTOMER) + paid_out - WEALTH;
        assert_eq!(compensated, AUDIT_FEE, "the fee of the attempt's audit, not the milestone");
        assert_eq!(Bonds::iter().count(), 0);
    });
}

#[test]
fn a_convicted_provider_loses_all_of_its_bond_and_the_customer_gets_what_was_in_vain() {
    ExtBuilder::build_and_execute(|| {
        let id = create_submitted();
        for milestone in [0, 2] {
            assert_ok!(Escrow::milestone_verified(id, milestone));
            assert_ok!(Escrow::pay_auditor(id, milestone, &AUDITOR));
        }
        assert_ok!(Escrow::disputed(id));
        assert_ok!(Escrow::fail(id, Failure::WrongResult));
        assert_eq!((state(id), handed_over(id)), (JobState::Open, vec![1]));
        // Milestone 2 was verified, but on top of work that was not.
        assert_eq!((job(id).milestones_verified, job(id).milestones_paid), (1, 1));
        assert_eq!(free(Registry::pool_account(&ALICE)), WEALTH + 3_333 - PRICE);
        assert_eq!(free(CUSTOMER), WEALTH - DEPOSIT - MAX_PRICE - AUDIT_BUDGET + 1 + AUDIT_FEE);
        take(id, CAROL_KEY, 6_667);
        finish(id);
    });
}

#[test]
fn a_provider_that_failed_may_not_take_the_job_again() {
    ExtBuilder::build_and_execute(|| {
        let id = missed_after_one();
        assert_noop!(Escrow::accept_job(signed(ALICE_KEY), id, 1), Refused::ProviderExcluded);
        let running = create_running();
        assert_ok!(Escrow::fail(running, Failure::TraceNotOpened));
        assert_noop!(Escrow::accept_job(signed(ALICE_KEY), running, 1), Refused::ProviderExcluded);
        let other = create();
        assert_ok!(Escrow::accept_job(signed(ALICE_KEY), other, 1));
    });
}

#[test]
fn a_job_that_was_given_up_before_its_start_goes_to_another_and_costs_nobody_anything() {
    ExtBuilder::build_and_execute(|| {
        let id = create_assigned();
        assert_ok!(Escrow::decline_job(signed(ALICE_KEY), id));
        assert_eq!(state(id), JobState::Open);
        assert_noop!(Escrow::accept_job(signed(ALICE_KEY), id, PRICE), Refused::ProviderExcluded);
        assert_ok!(Escrow::accept_job(signed(CAROL_KEY), id, PRICE));
        miss(id);
        assert_eq!((state(id), job(id).excluded.to_vec()), (JobState::Open, vec![ALICE, CAROL]));
        assert_eq!((reputation(ALICE), reputation(CAROL)), ((0, 0), (0, 0)));
        assert_eq!(free(Registry::pool_account(&CAROL)), WEALTH);
        assert_eq!(job(id).tranches.len(), 0);
        assert_eq!(escrowed(CUSTOMER), PRICE + AUDIT_BUDGET);
    });
}

#[test]
fn where_nobody_is_at_fault_the_same_provider_may_go_on() {
    for failure in [Failure::NoAuditors, Failure::AuditsUnfinished] {
        ExtBuilder::build_and_execute(|| {
            let id = create_running();
            verify_next(id);
            assert_ok!(Escrow::milestone_committed(id, 1));
            assert_ok!(Escrow::fail(id, failure));
            assert_eq!((state(id), Bonds::iter().count()), (JobState::Open, 0));
            assert_eq!(free(Registry::pool_account(&ALICE)), WEALTH + 3_333, "nothing is slashed");
            take(id, ALICE_KEY, 6_667);
            finish(id);
            assert_eq!((income(ALICE), reputation(ALICE)), (PRICE, (1, 0)));
        });
    }
}

#[test]
fn audits_that_do_not_end_reopen_the_job() {
    ExtBuilder::build_and_execute(|| {
        let id = create_submitted();
        miss(id);
        assert_eq!((state(id), handed_over(id)), (JobState::Open, vec![0]));
        assert_eq!((job(id).milestones_committed, job(id).escrow), (0, PRICE));
        take(id, ALICE_KEY, PRICE);
        assert_ok!(Escrow::disputed(id));
        miss(id);
        assert_eq!(state(id), JobState::Open);
    });
}

#[test]
fn a_job_is_handed_over_only_so_often() {
    ExtBuilder::build_and_execute(|| {
        let id = create_running();
        verify_next(id);
        miss(id);
        take(id, CAROL_KEY, 6_667);
        verify_next(id);
        miss(id);
        assert_eq!(handed_over(id), [1, 2]);
        let left = job(id).escrow;
        take(id, DAVE_KEY, left);
        assert_ok!(Escrow::pay_auditor(id, 2, &AUDITOR));
        miss(id);
        assert_eq!(state(id), JobState::Failed(Failure::MissedMilestone));
        assert_eq!(closed_as(id), Some(JobState::Failed(Failure::MissedMilestone)));
        // Three thirds of the price but for what Dave did not earn; each got a fifth of its bond slashed.
        let paid = PRICE - left;
        assert_eq!((income(ALICE) + income(CAROL), income(DAVE)), (paid, 0));
        let in_vain = AUDIT_FEE;
        assert_eq!(free(CUSTOMER), WEALTH - DEPOSIT - paid - AUDIT_FEE + in_vain);
        assert_eq!(escrowed(CUSTOMER), 0);
    });
}

#[test]
fn what_is_paid_stays_paid_in_the_last_attempt_too() {
    ExtBuilder::build_and_execute(|| {
        MaxHandovers::set(&1);
        let id = create_running();
        verify_next(id);
        miss(id);
        take(id, CAROL_KEY, 6_667);
        verify_next(id);
        assert_ok!(Escrow::fail(id, Failure::WrongResult));
        let earned = income(CAROL);
        assert!(state(id).is_terminal() && earned > 0);
        assert!(events().contains(&Event::BondSlashed { job: id, provider: CAROL, amount: 6_667 }));
        // Were Carol's pay given back out of her bond, who is its own customer could take its delegators' stake that way.
        assert_eq!(free(CUSTOMER), WEALTH - DEPOSIT - income(ALICE) - earned);
    });
}

#[test]
fn a_shortfall_of_the_audit_budget_comes_out_of_the_escrow() {
    ExtBuilder::build_and_execute(|| {
        let id = create_running();
        for _ in 0..15 {
            assert_ok!(Escrow::pay_auditor(id, 0, &AUDITOR));
        }
        let before = escrowed(CUSTOMER);
        assert_eq!((job(id).audit_budget, before), (0, PRICE));
        miss(id);
        // Three milestones of one sample and two auditors.
        assert_eq!((job(id).audit_budget, job(id).escrow), (6 * AUDIT_FEE, PRICE - 6 * AUDIT_FEE));
        assert_eq!(escrowed(CUSTOMER), before, "the customer pays no more than it escrowed");
        assert_eq!(free(CUSTOMER), WEALTH - DEPOSIT - PRICE - AUDIT_BUDGET + 15 * AUDIT_FEE);
    });
}

#[test]
fn a_job_whose_escrow_the_audits_would_use_up_ends() {
    for (price, expected) in
        [(6 * AUDIT_FEE, JobState::Failed(Failure::MissedMilestone)), (6 * AUDIT_FEE + 1, JobState::Open)]
    {
        ExtBuilder::build_and_execute(|| {
            let id = create();
            take(id, ALICE_KEY, price);
            for _ in 0..15 {
                assert_ok!(Escrow::pay_auditor(id, 0, &AUDITOR));
            }
            miss(id);
            assert_eq!(state(id), expected);
        });
    }
}

#[test]
fn a_provider_that_the_customer_chose_is_not_replaced() {
    ExtBuilder::build_and_execute(|| {
        let mut chosen = spec();
        chosen.provider = Some(ALICE);
        let id = order(chosen);
        take(id, ALICE_KEY, PRICE);
        miss(id);
        assert_eq!(state(id), JobState::Failed(Failure::MissedMilestone));
        assert!(handed_over(id).is_empty());
    });
}

#[test]
fn a_job_with_nothing_left_to_train_is_not_handed_over() {
    ExtBuilder::build_and_execute(|| {
        let id = create_running();
        for _ in 0..3 {
            verify_next(id);
        }
        miss(id);
        assert_eq!(state(id), JobState::Failed(Failure::MissedMilestone));
        let verified = create_verified();
        assert_ok!(Escrow::fail(verified, Failure::WrongResult));
        assert_eq!(state(verified), JobState::Failed(Failure::WrongResult));
    });
}

#[test]
fn a_reopened_job_can_be_sweetened_cancelled_or_left_to_expire() {
    ExtBuilder::build_and_execute(|| {
        let id = missed_after_one();
        assert_ok!(Escrow::top_up(signed(CUSTOMER), id, 1_000, 0));
        assert_ok!(Escrow::accept_job(signed(CAROL_KEY), id, 7_667));
        let left = missed_after_one();
        miss(left);
        assert_eq!(state(left), JobState::Expired);
        let cancelled = missed_after_one();
        let before = free(CUSTOMER) + escrowed(CUSTOMER);
        assert_ok!(Escrow::cancel_job(signed(CUSTOMER), cancelled));
        assert_eq!((state(cancelled), free(CUSTOMER) + escrowed(CUSTOMER)), (JobState::Cancelled, before));
    });
}

#[test]
fn a_job_that_began_with_bids_reopens_for_the_first_quote() {
    ExtBuilder::build_and_execute(|| {
        let id = create_bidding();
        assert_ok!(Escrow::place_bid(signed(ALICE_KEY), id, 9_000));
        miss(id);
        assert_ok!(Escrow::start_job(signed(ALICE_KEY), id));
        miss(id);
        assert_eq!(state(id), JobState::Open);
        assert_ok!(Escrow::accept_job(signed(CAROL_KEY), id, 9_000));
    });
}

#[test]
fn a_cancellation_after_a_handover_costs_a_part_of_what_is_left() {
    ExtBuilder::build_and_execute(|| {
        let id = missed_after_one();
        take(id, CAROL_KEY, 6_000);
        assert_ok!(Escrow::cancel_job(signed(CUSTOMER), id));
        assert_eq!(income(CAROL), 600);
    });
}
