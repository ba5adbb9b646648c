//! Who pays for somebody else, how much, and until when; and what the funder adds later.

use attune_primitives::{
    job::JobSpec,
    machine::{Failure, JobState},
    traits::JobEscrow,
    Balance, JobId,
};
use frame_support::{assert_noop, assert_ok, traits::fungible::InspectHold};

use crate::{mock::*, *};

type Refused = Error<Test>;

/// What a job of [`spec`] holds when it is created.
const WHOLE: Balance = MAX_PRICE + AUDIT_BUDGET + DEPOSIT;
const EXPIRES: u32 = 500;

/// [`SPONSOR`] pays for [`CUSTOMER`].
fn sponsor(limit: Balance, per_job: Balance) {
    assert_ok!(Escrow::sponsor(signed(SPONSOR), CUSTOMER, limit, per_job, EXPIRES));
}

fn sponsored(spec: JobSpec<AccountId>) -> JobId {
    let id = NextJobId::<Test>::get();
    assert_ok!(Escrow::create_job(signed(CUSTOMER), spec, Some(SPONSOR)));
    id
}

fn used() -> Balance {
    Sponsorships::<Test>::get(SPONSOR, CUSTOMER).expect("the sponsorship exists in this test, qed").used
}

fn deposits(who: AccountId) -> Balance {
    Balances::balance_on_hold(&HoldReason::Deposit.into(), &who)
}

#[test]
fn everything_that_a_sponsored_job_holds_is_the_sponsors() {
    ExtBuilder::build_and_execute(|| {
        sponsor(50_000, 20_000);
        let id = sponsored(spec());
        assert_eq!((job(id).customer, job(id).funder), (CUSTOMER, SPONSOR));
        assert_eq!(free(CUSTOMER), WEALTH);
        assert_eq!(escrowed(SPONSOR), MAX_PRICE + AUDIT_BUDGET);
        assert_eq!(deposits(SPONSOR), DEPOSIT + SPONSORSHIP_DEPOSIT);
        assert_eq!(used(), WHOLE);
        take(id, ALICE_KEY, PRICE);
        assert_eq!(used(), WHOLE - 1, "what the price leaves of the maximum makes room again");
        for _ in 0..3 {
            verify_next(id);
        }
        assert_ok!(Escrow::submitted(id));
        pass_deadline(id);
        assert_ok!(Escrow::enforce_deadline(signed(ZOE), id));
        assert_eq!((income(ALICE), escrowed(SPONSOR)), (PRICE, 0));
        assert_eq!(used(), PRICE + DEPOSIT);
        pass_blocks(PRUNE_AFTER);
        assert_ok!(Escrow::prune_job(signed(ZOE), id));
        assert_eq!((used(), deposits(SPONSOR)), (PRICE, SPONSORSHIP_DEPOSIT));
        assert_eq!((free(SPONSOR), free(CUSTOMER)), (WEALTH - PRICE - SPONSORSHIP_DEPOSIT, WEALTH));
    });
}

#[test]
fn a_sponsor_pays_no_more_than_it_said() {
    ExtBuilder::build_and_execute(|| {
        let create = || Escrow::create_job(signed(CUSTOMER), spec(), Some(SPONSOR));
        assert_noop!(create(), Refused::NotSponsored);
        sponsor(2 * WHOLE - 1, WHOLE - 1);
        assert_noop!(create(), Refused::AboveSponsorsJobLimit);
        sponsor(2 * WHOLE - 1, WHOLE);
        assert_ok!(create());
        assert_noop!(create(), Refused::SponsorExhausted);
        // The other's sponsorship is not its own.
        assert_noop!(Escrow::create_job(signed(ZOE), spec(), Some(SPONSOR)), Refused::NotSponsored);
        assert_noop!(Escrow::create_job(signed(SPONSOR), spec(), Some(SPONSOR)), Refused::NotSponsored);
        sponsor(2 * WHOLE, WHOLE);
        assert_ok!(create());
        assert_noop!(create(), Refused::SponsorExhausted);
        assert_ok!(Escrow::cancel_job(signed(CUSTOMER), 0));
        assert_noop!(create(), Refused::SponsorExhausted);
        pass_blocks(PRUNE_AFTER);
        assert_ok!(Escrow::prune_job(signed(ZOE), 0));
        assert_ok!(create());
    });
}

#[test]
fn a_sponsor_without_money_is_not_helped_by_its_limit() {
    ExtBuilder::build_and_execute(|| {
        sponsor(Balance::MAX, Balance::MAX);
        let mut dear = spec();
        dear.max_price = WEALTH;
        let create = || transact(|| Escrow::create_job(signed(CUSTOMER), dear.clone(), Some(SPONSOR)));
        assert_eq!(create(), Err(Refused::InsufficientBalance.into()));
        assert_eq!(used(), 0);
    });
}

#[test]
fn a_sponsorship_lasts_until_its_last_block() {
    ExtBuilder::build_and_execute(|| {
        sponsor(100_000, 100_000);
        System::set_block_number(EXPIRES.into());
        sponsored(spec());
        pass_blocks(1);
        let late = Escrow::create_job(signed(CUSTOMER), spec(), Some(SPONSOR));
        assert_noop!(late, Refused::SponsorshipExpired);
        let expired = Escrow::sponsor(signed(SPONSOR), CUSTOMER, 1, 1, EXPIRES);
        assert_noop!(expired, Refused::SponsorshipExpired);
        assert_ok!(Escrow::sponsor(signed(SPONSOR), CUSTOMER, 100_000, 100_000, EXPIRES + 1));
        sponsored(spec());
    });
}

#[test]
fn changing_a_sponsorship_keeps_what_is_used_and_takes_one_deposit() {
    ExtBuilder::build_and_execute(|| {
        sponsor(100_000, 100_000);
        sponsored(spec());
        sponsor(WHOLE, 1);
        assert_eq!((used(), deposits(SPONSOR)), (WHOLE, DEPOSIT + SPONSORSHIP_DEPOSIT));
        assert_noop!(Escrow::sponsor(signed(SPONSOR), SPONSOR, 1, 1, EXPIRES), Refused::OwnSponsor);
    });
}

#[test]
fn a_sponsorship_is_ended_by_the_sponsor_by_the_customer_or_by_anyone_once_expired() {
    let end = |who| Escrow::end_sponsorship(signed(who), SPONSOR, CUSTOMER);
    for (who, early) in [(SPONSOR, true), (CUSTOMER, true), (ZOE, false)] {
        ExtBuilder::build_and_execute(|| {
            sponsor(1, 1);
            if early {
                assert_ok!(end(who));
            } else {
                System::set_block_number(EXPIRES.into());
                assert_noop!(end(who), Refused::NotYourSponsorship);
                pass_blocks(1);
                assert_ok!(end(who));
            }
            assert_eq!((deposits(SPONSOR), free(SPONSOR)), (0, WEALTH));
            assert_noop!(end(who), Refused::NotSponsored);
        });
    }
}

#[test]
fn an_ended_sponsorship_leaves_its_jobs_alone() {
    ExtBuilder::build_and_execute(|| {
        sponsor(100_000, 100_000);
        let id = sponsored(spec());
        assert_ok!(Escrow::end_sponsorship(signed(SPONSOR), SPONSOR, CUSTOMER));
        take(id, ALICE_KEY, PRICE);
        verify_next(id);
        assert_eq!((income(ALICE), free(CUSTOMER)), (3_333, WEALTH));
        // A new sponsorship of the same two is not credited with what the old one's job gives back.
        sponsor(100_000, 100_000);
        let second = sponsored(spec());
        assert_ok!(Escrow::cancel_job(signed(CUSTOMER), id));
        assert_eq!(used(), WHOLE);
        assert_ok!(Escrow::cancel_job(signed(CUSTOMER), second));
        assert_eq!(used(), DEPOSIT);
    });
}

#[test]
fn compensation_goes_to_the_sponsor_and_makes_no_room() {
    ExtBuilder::build_and_execute(|| {
        allow_no_handover();
        sponsor(100_000, 100_000);
        let id = sponsored(spec());
        take(id, ALICE_KEY, PRICE);
        assert_ok!(Escrow::pay_auditor(id, 0, &AUDITOR));
        assert_ok!(Escrow::fail(id, Failure::WrongResult));
        assert_eq!(free(SPONSOR), WEALTH - DEPOSIT - SPONSORSHIP_DEPOSIT);
        assert_eq!((free(CUSTOMER), used()), (WEALTH, AUDIT_FEE + DEPOSIT));
    });
}

#[test]
fn only_the_customer_cancels_and_the_sponsor_gets_the_money_back() {
    ExtBuilder::build_and_execute(|| {
        sponsor(100_000, 100_000);
        let id = sponsored(spec());
        assert_noop!(Escrow::cancel_job(signed(SPONSOR), id), Refused::NotCustomer);
        assert_ok!(Escrow::cancel_job(signed(CUSTOMER), id));
        assert_eq!((escrowed(SPONSOR), free(CUSTOMER)), (0, WEALTH));
        assert!(events().contains(&Event::Refunded {
            job: id,
            funder: SPONSOR,
            amount: MAX_PRICE + AUDIT_BUDGET
        }));
    });
}

#[test]
fn the_funder_raises_the_maximum_while_nobody_is_assigned() {
    ExtBuilder::build_and_execute(|| {
        let id = create();
        assert_noop!(Escrow::top_up(signed(ZOE), id, 1, 1), Refused::NotFunder);
        assert_noop!(Escrow::top_up(signed(CUSTOMER), id, 0, 0), Refused::NothingToAdd);
        assert_noop!(Escrow::top_up(signed(CUSTOMER), id, Balance::MAX, 1), Refused::ArithmeticOverflow);
        let too_much = transact(|| Escrow::top_up(signed(CUSTOMER), id, WEALTH, 0));
        assert_eq!(too_much, Err(Refused::InsufficientBalance.into()));
        assert_ok!(Escrow::top_up(signed(CUSTOMER), id, 500, 70));
        assert_eq!((job(id).escrow, job(id).audit_budget), (MAX_PRICE + 500, AUDIT_BUDGET + 70));
        assert_eq!(escrowed(CUSTOMER), MAX_PRICE + AUDIT_BUDGET + 570);
        take(id, ALICE_KEY, MAX_PRICE + 500);
        assert_noop!(Escrow::top_up(signed(CUSTOMER), id, 1, 1), Refused::PriceIsFrozen);
        assert_ok!(Escrow::top_up(signed(CUSTOMER), id, 0, 30));
        assert_eq!(job(id).audit_budget, AUDIT_BUDGET + 100);
        pass_deadline(id);
        assert_noop!(Escrow::top_up(signed(CUSTOMER), id, 0, 30), Refused::DeadlineOver);
        let ended = create();
        assert_ok!(Escrow::cancel_job(signed(CUSTOMER), ended));
        assert_noop!(Escrow::top_up(signed(CUSTOMER), ended, 0, 1), Refused::JobEnded);
    });
}

#[test]
fn what_a_sponsor_adds_counts_and_comes_back() {
    ExtBuilder::build_and_execute(|| {
        sponsor(WHOLE, WHOLE);
        let id = sponsored(spec());
        assert_noop!(Escrow::top_up(signed(CUSTOMER), id, 1, 0), Refused::NotFunder);
        assert_ok!(Escrow::top_up(signed(SPONSOR), id, 500, 70));
        assert_eq!((used(), escrowed(SPONSOR)), (WHOLE + 570, MAX_PRICE + AUDIT_BUDGET + 570));
        assert_ok!(Escrow::cancel_job(signed(CUSTOMER), id));
        assert_eq!((state(id), used(), escrowed(SPONSOR)), (JobState::Cancelled, DEPOSIT, 0));
    });
}
