//! What is held, what is paid, and what goes back.

use attune_primitives::{
    machine::{Failure, JobState},
    traits::{JobEscrow, Providers},
};
use frame_support::{
    assert_noop, assert_ok,
    traits::{
        fungible::{InspectHold, Mutate},
        LockableCurrency, WithdrawReasons,
    },
};
use sp_arithmetic::Permill;

use crate::{mock::*, *};

type Refused = Error<Test>;

#[test]
fn creating_holds_price_audits_and_deposit() {
    ExtBuilder::build_and_execute(|| {
        let id = create();
        assert_eq!(escrowed(CUSTOMER), MAX_PRICE + AUDIT_BUDGET);
        assert_eq!(Balances::balance_on_hold(&HoldReason::Deposit.into(), &CUSTOMER), DEPOSIT);
        assert_eq!(free(CUSTOMER), WEALTH - MAX_PRICE - AUDIT_BUDGET - DEPOSIT);
        assert_eq!(
            events(),
            [Event::JobCreated {
                job: id,
                customer: CUSTOMER,
                funder: CUSTOMER,
                max_price: MAX_PRICE,
                audit_budget: AUDIT_BUDGET,
                state: JobState::Open,
                deadline: 1 + OPEN_BLOCKS
            }]
        );
    });
}

#[test]
fn a_price_above_the_balance_is_refused() {
    ExtBuilder::build_and_execute(|| {
        let most = WEALTH - AUDIT_BUDGET - DEPOSIT - EXISTENTIAL;
        let mut dear = spec();
        dear.max_price = most + 1;
        let result = transact(|| Escrow::create_job(signed(CUSTOMER), dear.clone(), None));
        assert_eq!(result, Err(Refused::InsufficientBalance.into()));
        assert_eq!((free(CUSTOMER), escrowed(CUSTOMER)), (WEALTH, 0));
        dear.max_price = most;
        assert_ok!(Escrow::create_job(signed(CUSTOMER), dear.clone(), None));
        dear.max_price = u128::MAX;
        assert_noop!(Escrow::create_job(signed(ZOE), dear, None), Refused::ArithmeticOverflow);
    });
}

#[test]
fn a_specification_that_breaks_a_rule_is_refused() {
    ExtBuilder::build_and_execute(|| {
        let refused = |change: fn(&mut attune_primitives::job::JobSpec<AccountId>), error: Refused| {
            let mut bad = spec();
            change(&mut bad);
            assert_noop!(Escrow::create_job(signed(CUSTOMER), bad, None), error);
        };
        refused(|s| s.milestones[0].segments = 0, Refused::InvalidSegments);
        refused(|s| s.milestones[0].share = Permill::from_percent(1), Refused::InvalidShares);
        refused(|s| s.assurance.auditors = 0, Refused::InvalidAssurance);
        refused(|s| s.assurance.samples = 3, Refused::SamplesAboveSegments);
        refused(|s| s.data.rows = 0, Refused::InvalidData);
        refused(
            |s| s.method = attune_primitives::job::Method::Lora { rank: 0, alpha: 1, rank_stabilised: false },
            Refused::InvalidMethod,
        );
        refused(|s| s.hyper.learning_rate_nano = 0, Refused::InvalidHyperParameters);
        refused(|s| s.timing.open_blocks = 0, Refused::InvalidTiming);
        refused(|s| s.timing.milestone_blocks = MAX_PHASE_BLOCKS + 1, Refused::InvalidTiming);
        refused(|s| s.max_price = 0, Refused::InvalidPrice);
        refused(|s| s.audit_fee = MIN_AUDIT_FEE - 1, Refused::AuditFeeTooLow);
        refused(|s| s.model = 1, Refused::UnknownModel);
        let classless = attune_primitives::job::ArithmeticMode::ClassExact { class: Default::default() };
        let mut bad = spec();
        bad.mode = classless;
        assert_noop!(Escrow::create_job(signed(CUSTOMER), bad, None), Refused::InvalidArithmetic);
    });
}

#[test]
fn accepting_freezes_the_price_and_returns_the_difference() {
    ExtBuilder::build_and_execute(|| {
        let id = create();
        for price in [0, MAX_PRICE + 1] {
            assert_noop!(Escrow::accept_job(signed(ALICE_KEY), id, price), Refused::InvalidPrice);
        }
        assert_ok!(Escrow::accept_job(signed(ALICE_KEY), id, 6_001));
        assert_eq!(escrowed(CUSTOMER), 6_001 + AUDIT_BUDGET);
        let assignment = job(id).assignment.expect("the job is assigned, qed");
        assert_eq!((assignment.provider, assignment.price, assignment.price_per_gpu_hour), (ALICE, 6_001, 7));
        assert_eq!(assignment.commission, Permill::from_percent(5));
        assert_noop!(Escrow::accept_job(signed(CAROL_KEY), id, 1), Refused::NotAllowedInState);
    });
}

#[test]
fn the_bond_follows_the_worst_milestone_between_its_bounds() {
    ExtBuilder::build_and_execute(|| {
        let bond = |segments: [u32; 3], samples| {
            let mut asked = spec();
            for (milestone, segments) in asked.milestones.iter_mut().zip(segments) {
                milestone.segments = segments;
            }
            asked.assurance.samples = samples;
            Escrow::bond(&asked, 0, 1_000)
        };
        assert_eq!(bond([2, 2, 2], 2), Some(100), "everything is drawn: the least bond");
        assert_eq!(bond([2, 2, 2], 1), Some(1_000), "one of two: the price");
        assert_eq!(bond([2, 3, 2], 2), Some(1_000 * 3 / 2 - 1_000), "the worst milestone counts");
        assert_eq!(bond([2, 9, 2], 1), Some(2_000), "one of nine: the largest bond");
    });
}

#[test]
fn a_provider_without_enough_free_stake_is_refused() {
    ExtBuilder::build_and_execute(|| {
        for _ in 0..5 {
            create_assigned();
        }
        let id = create();
        assert!(transact(|| Escrow::accept_job(signed(ALICE_KEY), id, PRICE)).is_err());
        assert_eq!(state(id), JobState::Open);
        assert_ok!(Escrow::accept_job(signed(CAROL_KEY), id, PRICE));
    });
}

#[test]
fn each_milestone_is_paid_once_and_to_the_pool() {
    ExtBuilder::build_and_execute(|| {
        let id = create_running();
        let pool = Registry::pool_account(&ALICE);
        assert_noop!(Escrow::milestone_verified(id, 0), Refused::MilestoneNotPayable);
        assert_ok!(Escrow::milestone_committed(id, 0));
        assert_ok!(Escrow::milestone_verified(id, 0));
        assert_eq!((income(ALICE), free(pool)), (3_333, WEALTH + 3_333));
        assert_noop!(Escrow::milestone_verified(id, 0), Refused::MilestoneNotPayable);
        assert_noop!(Escrow::milestone_verified(id, 1), Refused::MilestoneNotPayable);
        assert_noop!(Escrow::milestone_verified(id, 99), Refused::MilestoneNotPayable);
        assert_eq!(escrowed(CUSTOMER), PRICE - 3_333 + AUDIT_BUDGET);
    });
}

#[test]
fn a_milestone_is_paid_only_when_all_before_it_are_verified() {
    ExtBuilder::build_and_execute(|| {
        let id = create_submitted();
        assert_ok!(Escrow::milestone_verified(id, 2));
        assert_eq!((income(ALICE), job(id).milestones_paid), (0, 0));
        assert!(job(id).is_verified(2) && !job(id).is_paid(2));
        assert_noop!(Escrow::milestone_verified(id, 2), Refused::MilestoneNotPayable);
        assert_ok!(Escrow::milestone_verified(id, 0));
        assert_eq!((income(ALICE), job(id).milestones_paid), (3_333, 1));
        assert_ok!(Escrow::milestone_verified(id, 1));
        assert_eq!((income(ALICE), job(id).milestones_paid), (PRICE, 3));
        let paid: Vec<_> = events()
            .into_iter()
            .filter_map(|event| match event {
                Event::MilestonePaid { milestone, amount, .. } => Some((milestone, amount)),
                _ => None,
            })
            .collect();
        assert_eq!(paid, [(0, 3_333), (1, 3_333), (2, 3_334)]);
    });
}

#[test]
fn work_on_top_of_a_milestone_that_failed_is_not_paid() {
    ExtBuilder::build_and_execute(|| {
        allow_no_handover();
        let id = create_submitted();
        assert_ok!(Escrow::milestone_verified(id, 1));
        assert_ok!(Escrow::milestone_verified(id, 2));
        assert_ok!(Escrow::disputed(id));
        assert_ok!(Escrow::fail(id, Failure::WrongResult));
        assert_eq!((income(ALICE), free(CUSTOMER)), (0, WEALTH - DEPOSIT));
    });
}

#[test]
fn the_milestone_that_is_paid_last_gets_the_remainder() {
    for order in [[0, 1, 2], [2, 1, 0], [1, 2, 0]] {
        ExtBuilder::build_and_execute(|| {
            let id = create_submitted();
            for milestone in order {
                assert_ok!(Escrow::milestone_verified(id, milestone));
            }
            assert_eq!((income(ALICE), job(id).escrow), (PRICE, 0));
        });
    }
}

#[test]
fn finalizing_returns_the_unused_audit_budget_and_the_bond() {
    ExtBuilder::build_and_execute(|| {
        let id = create_verified();
        for _ in 0..6 {
            assert_ok!(Escrow::pay_auditor(id, 0, &AUDITOR));
        }
        assert_eq!(Bonds::iter().count(), 1);
        pass_deadline(id);
        assert_ok!(Escrow::enforce_deadline(signed(ZOE), id));
        assert_eq!(income(AUDITOR), 6 * AUDIT_FEE);
        assert_eq!(free(CUSTOMER), WEALTH - DEPOSIT - PRICE - 6 * AUDIT_FEE);
        assert_eq!((escrowed(CUSTOMER), Bonds::iter().count()), (0, 0));
    });
}

#[test]
fn auditors_are_paid_until_the_budget_is_used_up() {
    ExtBuilder::build_and_execute(|| {
        let id = create_running();
        for _ in 0..20 {
            assert_ok!(Escrow::pay_auditor(id, 0, &AUDITOR));
        }
        assert_eq!(income(AUDITOR), AUDIT_BUDGET);
        assert_eq!((job(id).audit_budget, job(id).escrow), (0, PRICE), "training's money is not touched");
    });
}

#[test]
fn cancelling_before_the_start_costs_nothing() {
    for reach in [create, create_assigned] {
        ExtBuilder::build_and_execute(|| {
            let id = reach();
            assert_ok!(Escrow::cancel_job(signed(CUSTOMER), id));
            assert_eq!((state(id), closed_as(id)), (JobState::Cancelled, Some(JobState::Cancelled)));
            assert_eq!((free(CUSTOMER), escrowed(CUSTOMER)), (WEALTH - DEPOSIT, 0));
            assert_eq!((Bonds::iter().count(), reputation(ALICE)), (0, (0, 0)));
        });
    }
}

#[test]
fn cancelling_a_running_job_pays_matured_milestones_and_a_fee() {
    ExtBuilder::build_and_execute(|| {
        let id = create_running();
        assert_ok!(Escrow::milestone_committed(id, 0));
        assert_ok!(Escrow::milestone_verified(id, 0));
        assert_ok!(Escrow::cancel_job(signed(CUSTOMER), id));
        // 10 % of the 6,667 that are not paid.
        assert_eq!(income(ALICE), 3_333 + 666);
        assert_eq!(free(CUSTOMER), WEALTH - DEPOSIT - 3_333 - 666);
        assert_eq!((Bonds::iter().count(), escrowed(CUSTOMER)), (0, 0));
    });
}

#[test]
fn the_cancellation_fee_is_at_most_the_next_milestones_pay() {
    ExtBuilder::build_and_execute(|| {
        let mut skewed = spec();
        for (milestone, percent) in skewed.milestones.iter_mut().zip([1, 9, 90]) {
            milestone.share = Permill::from_percent(percent);
        }
        assert_ok!(Escrow::create_job(signed(CUSTOMER), skewed, None));
        assert_ok!(Escrow::accept_job(signed(ALICE_KEY), 0, PRICE));
        assert_ok!(Escrow::start_job(signed(ALICE_KEY), 0));
        assert_ok!(Escrow::cancel_job(signed(CUSTOMER), 0));
        assert_eq!(income(ALICE), 100, "1 % of the price, not 10 %");
    });
}

#[test]
fn cancelling_when_all_is_paid_costs_nothing_more() {
    ExtBuilder::build_and_execute(|| {
        let id = create_running();
        for milestone in 0..3 {
            assert_ok!(Escrow::milestone_committed(id, milestone));
            assert_ok!(Escrow::milestone_verified(id, milestone));
        }
        assert_ok!(Escrow::cancel_job(signed(CUSTOMER), id));
        assert_eq!((income(ALICE), free(CUSTOMER)), (PRICE, WEALTH - DEPOSIT - PRICE));
    });
}

#[test]
fn a_vanished_provider_is_slashed_in_part_by_a_strangers_push() {
    ExtBuilder::build_and_execute(|| {
        allow_no_handover();
        let id = create_running();
        assert_ok!(Escrow::milestone_committed(id, 0));
        assert_ok!(Escrow::milestone_verified(id, 0));
        assert_ok!(Escrow::pay_auditor(id, 1, &AUDITOR));
        let pool = Registry::pool_account(&ALICE);
        pass_deadline(id);
        assert_ok!(Escrow::enforce_deadline(signed(ZOE), id));
        assert_eq!(state(id), JobState::Failed(Failure::MissedMilestone));
        // A fifth of the bond of 10,000; of it the customer gets the fee that it paid in vain.
        assert_eq!(free(pool), WEALTH + 3_333 - 2_000);
        assert_eq!(free(CUSTOMER), WEALTH - DEPOSIT - 3_333);
        assert_eq!((reputation(ALICE), escrowed(CUSTOMER)), ((0, 1), 0));
        assert!(events().contains(&Event::BondSlashed { job: id, provider: ALICE, amount: 2_000 }));
    });
}

#[test]
fn a_wrong_result_costs_the_whole_bond_and_the_customer_comes_first() {
    ExtBuilder::build_and_execute(|| {
        allow_no_handover();
        let id = create_submitted();
        assert_ok!(Escrow::milestone_verified(id, 0));
        assert_ok!(Escrow::pay_auditor(id, 1, &AUDITOR));
        assert_ok!(Escrow::disputed(id));
        assert_ok!(Escrow::fail(id, Failure::WrongResult));
        assert_eq!(closed_as(id), Some(JobState::Failed(Failure::WrongResult)));
        // The customer has back all but what is verified and paid; the rest of the bond is burned.
        assert_eq!(free(CUSTOMER), WEALTH - DEPOSIT - 3_333);
        assert!(events().contains(&Event::BondSlashed { job: id, provider: ALICE, amount: PRICE }));
        assert_eq!((reputation(ALICE), escrowed(CUSTOMER)), ((0, 1), 0));
    });
}

#[test]
fn a_trace_that_is_not_opened_costs_the_whole_bond() {
    ExtBuilder::build_and_execute(|| {
        allow_no_handover();
        let id = create_running();
        assert_ok!(Escrow::fail(id, Failure::TraceNotOpened));
        let slashed = Event::BondSlashed { job: id, provider: ALICE, amount: PRICE };
        assert!(events().contains(&slashed));
    });
}

#[test]
fn a_failure_that_is_nobodys_fault_slashes_nobody() {
    for failure in [Failure::NoAuditors, Failure::AuditsUnfinished] {
        ExtBuilder::build_and_execute(|| {
            allow_no_handover();
            let id = create_submitted();
            assert_ok!(Escrow::fail(id, failure));
            assert_eq!((free(CUSTOMER), escrowed(CUSTOMER)), (WEALTH - DEPOSIT, 0));
            assert_eq!(free(Registry::pool_account(&ALICE)), WEALTH);
            assert_eq!((Bonds::iter().count(), reputation(ALICE)), (0, (0, 0)));
        });
    }
}

#[test]
fn a_provider_that_does_not_start_costs_nobody_anything() {
    ExtBuilder::build_and_execute(|| {
        allow_no_handover();
        let id = create_assigned();
        pass_deadline(id);
        assert_ok!(Escrow::enforce_deadline(signed(ZOE), id));
        assert_eq!(state(id), JobState::Failed(Failure::NotStarted));
        assert_eq!((free(CUSTOMER), free(Registry::pool_account(&ALICE))), (WEALTH - DEPOSIT, WEALTH));
    });
}

#[test]
fn a_payee_that_cannot_receive_is_owed_and_paid_later() {
    ExtBuilder::build_and_execute(|| {
        let mut cheap = spec();
        cheap.audit_fee = MIN_AUDIT_FEE;
        assert_ok!(Escrow::create_job(signed(CUSTOMER), cheap, None));
        assert_ok!(Escrow::accept_job(signed(ALICE_KEY), 0, PRICE));
        let nobody = 77;
        // Not a provider any more, and below the existential deposit of an account that doesn't exist.
        assert_ok!(Escrow::pay_auditor(0, 0, &nobody));
        assert_eq!(Owed::<Test>::get(0, nobody), MIN_AUDIT_FEE);
        assert_ok!(Escrow::cancel_job(signed(CUSTOMER), 0));
        assert_eq!(escrowed(CUSTOMER), MIN_AUDIT_FEE, "what is owed is not refunded");
        assert_eq!(
            transact(|| Escrow::claim_owed(signed(ZOE), 0, nobody)),
            Err(Refused::StillUnpayable.into())
        );
        assert_eq!(Owed::<Test>::get(0, nobody), MIN_AUDIT_FEE);
        pass_blocks(PRUNE_AFTER);
        assert_noop!(Escrow::prune_job(signed(ZOE), 0), Refused::NotPrunable);
        assert_ok!(Balances::mint_into(&nobody, EXISTENTIAL));
        assert_ok!(Escrow::claim_owed(signed(ZOE), 0, nobody));
        assert_eq!((free(nobody), escrowed(CUSTOMER)), (EXISTENTIAL + MIN_AUDIT_FEE, 0));
        assert_noop!(Escrow::claim_owed(signed(nobody), 0, nobody), Refused::NothingOwed);
        assert_ok!(Escrow::prune_job(signed(ZOE), 0));
    });
}

#[test]
fn income_that_cannot_be_booked_is_owed_to_the_provider() {
    ExtBuilder::build_and_execute(|| {
        let id = create_submitted();
        IncomeRefused::put(true);
        for milestone in 0..3 {
            assert_ok!(Escrow::milestone_verified(id, milestone));
        }
        assert_eq!(free(Registry::pool_account(&ALICE)), WEALTH, "the transfer is undone with the booking");
        assert_eq!(Owed::<Test>::get(id, ALICE), PRICE);
        pass_deadline(id);
        assert_ok!(Escrow::enforce_deadline(signed(ZOE), id));
        assert_eq!((state(id), escrowed(CUSTOMER)), (JobState::Finalized, PRICE));
        IncomeRefused::kill();
        assert_ok!(Escrow::claim_owed(signed(ZOE), id, ALICE));
        assert_eq!((income(ALICE), escrowed(CUSTOMER)), (PRICE, 0));
    });
}

#[test]
fn a_refund_that_the_customers_account_cannot_take_is_owed_to_it() {
    ExtBuilder::build_and_execute(|| {
        let mut cheap = spec();
        cheap.max_price = 3;
        cheap.audit_fee = MIN_AUDIT_FEE;
        assert_ok!(Escrow::create_job(signed(CUSTOMER), cheap, None));
        assert_ok!(Escrow::accept_job(signed(ALICE_KEY), 0, 3));
        for _ in 0..15 {
            assert_ok!(Escrow::pay_auditor(0, 0, &AUDITOR));
        }
        // Another provider reference lets the free balance go to nothing beside the holds.
        System::inc_providers(&CUSTOMER);
        let rest = free(CUSTOMER);
        assert_ok!(<Balances as Mutate<_>>::transfer(
            &CUSTOMER,
            &ZOE,
            rest,
            frame_support::traits::tokens::Preservation::Expendable
        ));
        assert_eq!(free(CUSTOMER), 0);
        assert_ok!(Escrow::cancel_job(signed(CUSTOMER), 0));
        assert_eq!((state(0), Owed::<Test>::get(0, CUSTOMER)), (JobState::Cancelled, 3));
        assert_ok!(Balances::mint_into(&CUSTOMER, EXISTENTIAL));
        assert_ok!(Escrow::claim_owed(signed(ZOE), 0, CUSTOMER));
        assert_eq!((free(CUSTOMER), escrowed(CUSTOMER)), (EXISTENTIAL + 3, 0));
    });
}

#[test]
fn a_customers_freeze_does_not_stop_a_payment() {
    ExtBuilder::build_and_execute(|| {
        let id = create_submitted();
        Balances::set_lock(*b"customer", &CUSTOMER, WEALTH, WithdrawReasons::all());
        assert_ok!(Escrow::pay_auditor(id, 0, &AUDITOR));
        assert_ok!(Escrow::milestone_verified(id, 0));
        assert_eq!((income(AUDITOR), income(ALICE)), (AUDIT_FEE, 3_333));
    });
}

#[test]
fn jobs_of_one_customer_do_not_mix() {
    ExtBuilder::build_and_execute(|| {
        allow_no_handover();
        let (first, second) = (create_running(), create_running());
        assert_ok!(Escrow::fail(first, Failure::WrongResult));
        assert_eq!(escrowed(CUSTOMER), PRICE + AUDIT_BUDGET);
        assert_eq!(job(second).escrow, PRICE);
        assert_eq!(Bonds::iter().count(), 1);
    });
}
