//! What pages are told is what the calls then do.

use attune_primitives::{
    job::{Assurance, MAX_MILESTONES, MAX_SEGMENTS},
    machine::JobState,
    page::{Page, MAX_LOOKUPS, MAX_PAGE},
    Balance, JobId,
};
use frame_support::{
    assert_noop, assert_ok,
    traits::{fungible::Mutate, tokens::Preservation},
};

use crate::{mock::*, *};

type Refused = Error<Test>;

const ALL: JobFilter<AccountId> = JobFilter { states: None, customer: None, provider: None };

fn of(states: JobStates) -> JobFilter<AccountId> {
    JobFilter { states: Some(states), ..ALL }
}

/// The ids of the first page.
fn listed(filter: JobFilter<AccountId>) -> Vec<JobId> {
    Escrow::jobs_page(filter, None, MAX_PAGE).items.iter().map(|info| info.job).collect()
}

fn info(id: JobId) -> JobInfo<AccountId> {
    Escrow::job_info(id).expect("the job is not pruned in this test, qed")
}

fn money(id: JobId) -> JobMoney<AccountId> {
    Escrow::job_money(id).expect("the job is not pruned in this test, qed")
}

/// A job of the sizes of `spec`.
fn shape() -> JobShape {
    let Assurance { samples, auditors } = spec().assurance;
    JobShape {
        max_price: MAX_PRICE,
        audit_fee: AUDIT_FEE,
        milestones: spec().milestones.iter().map(|m| m.segments).collect(),
        assurance: Assurance { samples, auditors },
    }
}

#[test]
fn of_a_job_that_nobody_knows_there_is_no_answer() {
    ExtBuilder::build_and_execute(|| {
        assert_eq!((Escrow::job_info(0), Escrow::job_money(0), Escrow::bids_of(0)), (None, None, vec![]));
        assert_eq!(Escrow::terms_of(0, 1), Err(TermsRefusal::UnknownJob));
        assert_eq!(Escrow::jobs_page(ALL, None, 10), Page::empty());
        assert_eq!(Escrow::owed_to(ALICE, None, 10), Page::empty());
        assert_eq!(Escrow::sponsorship_info(SPONSOR, CUSTOMER), None);
        assert_eq!(Escrow::sponsorships_by(SPONSOR, None, 10), Page::empty());
    });
}

#[test]
fn each_job_is_in_one_group_of_states() {
    ExtBuilder::build_and_execute(|| {
        let bidding = create_bidding();
        let open = create();
        let assigned = create_assigned();
        let running = create_running();
        let cancelled = create();
        assert_ok!(Escrow::cancel_job(signed(CUSTOMER), cancelled));
        assert_eq!(listed(of(JobStates::AwaitingProvider)), [open, bidding]);
        assert_eq!(listed(of(JobStates::InHand)), [running, assigned]);
        assert_eq!(listed(of(JobStates::Ended)), [cancelled]);
        assert_eq!(listed(ALL), [cancelled, running, assigned, open, bidding]);
        assert_eq!(listed(JobFilter { provider: Some(ALICE), ..ALL }), [running, assigned]);
        assert_eq!(listed(JobFilter { customer: Some(ZOE), ..ALL }), [] as [JobId; 0]);
    });
}

#[test]
fn pages_of_jobs_follow_each_other_newest_first_and_end() {
    ExtBuilder::build_and_execute(|| {
        let ids: Vec<JobId> = (0..5).map(|_| create()).collect();
        let page = |before, limit| {
            let page = Escrow::jobs_page(ALL, before, limit);
            (page.items.iter().map(|info| info.job).collect::<Vec<_>>(), page.next)
        };
        assert_eq!(page(None, 2), (vec![4, 3], Some(3)));
        assert_eq!(page(Some(3), 2), (vec![2, 1], Some(1)));
        assert_eq!(page(Some(1), 2), (vec![0], None));
        assert_eq!(page(Some(0), 2), (vec![], None));
        // Beyond the newest is the newest; a limit above the most is the most, and 0 counts as 1.
        assert_eq!(page(Some(JobId::MAX), 1), page(None, 0));
        assert_eq!(page(None, u32::MAX).0.len(), ids.len());
    });
}

#[test]
fn a_page_goes_on_where_a_bounded_number_of_gone_jobs_ends() {
    ExtBuilder::build_and_execute(|| {
        let oldest = create();
        NextJobId::<Test>::put(u64::from(MAX_LOOKUPS) + 10);
        let first = Escrow::jobs_page(ALL, None, 10);
        assert_eq!((first.items.len(), first.next), (0, Some(10)));
        let second = Escrow::jobs_page(ALL, first.next, 10);
        assert_eq!((second.items[0].job, second.next), (oldest, None));
    });
}

#[test]
fn an_ended_job_has_no_deadline_but_a_block_from_which_it_is_prunable() {
    ExtBuilder::build_and_execute(|| {
        let id = create();
        assert_eq!((info(id).deadline, money(id).prunable_from), (Some(1 + OPEN_BLOCKS), None));
        assert_ok!(Escrow::cancel_job(signed(CUSTOMER), id));
        assert_eq!((info(id).deadline, info(id).closed_at), (None, Some(1)));
        assert_eq!(money(id).prunable_from, Some(1 + PRUNE_AFTER));
        pass_blocks(PRUNE_AFTER - 1);
        assert_noop!(Escrow::prune_job(signed(ZOE), id), Refused::NotPrunable);
        pass_blocks(1);
        assert_ok!(Escrow::prune_job(signed(ZOE), id));
        assert_eq!(Escrow::job_info(id), None);
    });
}

#[test]
fn the_most_that_may_be_asked_is_what_is_accepted() {
    ExtBuilder::build_and_execute(|| {
        let id = create();
        assert_ok!(Escrow::top_up(signed(CUSTOMER), id, 500, 0));
        let most = info(id).most.expect("the job waits for a provider, qed");
        assert_eq!(most, MAX_PRICE + 500);
        assert_eq!(Escrow::terms_of(id, most + 1), Err(TermsRefusal::Price { most }));
        assert_eq!(Escrow::terms_of(id, 0), Err(TermsRefusal::Price { most }));
        assert_noop!(Escrow::accept_job(signed(ALICE_KEY), id, most + 1), Refused::InvalidPrice);
        let terms = Escrow::terms_of(id, most).expect("it may be asked, qed");
        assert_ok!(Escrow::accept_job(signed(ALICE_KEY), id, most));
        let assignment = job(id).assignment.expect("it is assigned, qed");
        assert_eq!((terms.bond, terms.first_milestone), (assignment.bond, 0));
        assert_eq!((info(id).most, info(id).provider, info(id).price), (None, Some(ALICE), Some(most)));
        assert_eq!(Escrow::terms_of(id, 1), Err(TermsRefusal::NotAwaitingProvider));
    });
}

#[test]
fn after_a_handover_the_terms_are_those_of_the_rest() {
    ExtBuilder::build_and_execute(|| {
        let id = create_running();
        verify_next(id);
        pass_deadline(id);
        assert_ok!(Escrow::enforce_deadline(signed(ZOE), id));
        assert_eq!((state(id), info(id).handovers, info(id).provider), (JobState::Open, 1, None));
        let most = info(id).most.expect("the job waits for a provider, qed");
        assert_eq!(most, job(id).escrow);
        assert_eq!(Escrow::terms_of(id, most).map(|terms| terms.first_milestone), Ok(1));
    });
}

#[test]
fn a_quote_is_what_the_order_then_holds() {
    ExtBuilder::build_and_execute(|| {
        let quote = Escrow::quote(shape()).expect("the shape is that of a valid job, qed");
        let before = free(CUSTOMER);
        let id = create();
        assert_eq!(before - free(CUSTOMER), quote.on_hold);
        let books = money(id);
        assert_eq!(
            (quote.escrow, quote.audit_budget, quote.deposit),
            (books.escrow, books.audit_budget, books.deposit)
        );
        assert_eq!(Some(quote.needed), Escrow::cost_of(&spec()));
        assert_eq!(Escrow::terms_of(id, MAX_PRICE).map(|terms| terms.bond), Ok(quote.bond));
    });
}

#[test]
fn a_quote_is_refused_where_the_order_would_be() {
    ExtBuilder::build_and_execute(|| {
        let refused = |change: fn(&mut JobShape)| {
            let mut shape = shape();
            change(&mut shape);
            Escrow::quote(shape).expect_err("the shape is wrong")
        };
        assert_eq!(refused(|s| s.max_price = 0), ShapeRefusal::Price);
        assert_eq!(refused(|s| s.max_price = Balance::MAX), ShapeRefusal::Overflow);
        assert_eq!(refused(|s| s.audit_fee = 0), ShapeRefusal::AuditFee { least: MIN_AUDIT_FEE });
        let milestones = ShapeRefusal::Milestones { most: MAX_MILESTONES };
        assert_eq!(refused(|s| s.milestones.clear()), milestones);
        assert_eq!(refused(|s| s.milestones = vec![2; 17]), milestones);
        let segments = ShapeRefusal::Segments { most: MAX_SEGMENTS };
        assert_eq!(refused(|s| s.milestones = vec![0]), segments);
        assert_eq!(refused(|s| s.milestones = vec![MAX_SEGMENTS, 1]), segments);
        assert_eq!(refused(|s| s.milestones = vec![u32::MAX, 1]), segments);
        assert_eq!(refused(|s| s.assurance.samples = 3), segments);
        let assurance = ShapeRefusal::Assurance { samples: 8, auditors: 4 };
        assert_eq!(refused(|s| s.assurance.samples = 0), assurance);
        assert_eq!(refused(|s| s.assurance.auditors = 5), assurance);
    });
}

#[test]
fn bids_come_in_the_order_in_which_they_would_win() {
    ExtBuilder::build_and_execute(|| {
        let id = create_bidding();
        for (operator, price) in [(ALICE_KEY, 9_000), (CAROL_KEY, 8_000), (DAVE_KEY, 7_000)] {
            assert_ok!(Escrow::place_bid(signed(operator), id, price));
        }
        Inactive::insert(DAVE, ());
        let bid = |provider, price, stands| BidInfo { provider, price, stands };
        let found = Escrow::bids_of(id);
        assert_eq!(found, [bid(CAROL, 8_000, true), bid(ALICE, 9_000, true), bid(DAVE, 7_000, false)]);
        pass_deadline(id);
        assert_ok!(Escrow::enforce_deadline(signed(ZOE), id));
        assert_eq!(info(id).provider, Some(found[0].provider));
        assert_eq!(Escrow::bids_of(id), []);
    });
}

#[test]
fn what_is_owed_is_found_by_its_payee_until_it_is_paid() {
    ExtBuilder::build_and_execute(|| {
        let first = create_running();
        let second = create_running();
        IncomeRefused::put(true);
        verify_next(first);
        verify_next(second);
        let share = PRICE / 3;
        let owed = |job| OwedInfo { job, amount: share };
        assert_eq!(Escrow::owed_to(ALICE, None, 10).items, [owed(second), owed(first)]);
        assert_eq!(Escrow::owed_to(ALICE, None, 1).next, Some(second));
        assert_eq!(Escrow::owed_to(ALICE, Some(second), 1), Page { items: vec![owed(first)], next: None });
        assert_eq!(money(first).owed, [(ALICE, share)]);
        assert_eq!(Escrow::owed_to(ZOE, None, 10), Page::empty());
        IncomeRefused::put(false);
        assert_ok!(Escrow::claim_owed(signed(ZOE), first, ALICE));
        assert_eq!(Escrow::owed_to(ALICE, None, 10).items, [owed(second)]);
        assert_eq!(money(first).owed, []);
    });
}

#[test]
fn a_sponsorship_says_what_is_left_of_it_for_a_job() {
    ExtBuilder::build_and_execute(|| {
        let quote = Escrow::quote(shape()).expect("the shape is that of a valid job, qed");
        let whole = quote.on_hold;
        assert_ok!(Escrow::sponsor(signed(SPONSOR), CUSTOMER, whole * 2 - 1, whole, 10));
        let left = || {
            let found = Escrow::sponsorship_info(SPONSOR, CUSTOMER).expect("it was given above, qed");
            found.left_for_a_job
        };
        assert_eq!(left(), whole);
        assert_ok!(Escrow::create_job(signed(CUSTOMER), spec(), Some(SPONSOR)));
        assert_eq!(left(), whole - 1);
        let again = Escrow::create_job(signed(CUSTOMER), spec(), Some(SPONSOR));
        assert_noop!(again, Refused::SponsorExhausted);
        // The sponsor itself may go beyond its limit.
        assert_ok!(Escrow::top_up(signed(SPONSOR), 0, whole, 0));
        assert_eq!(left(), 0);
        assert_ok!(Escrow::sponsor(signed(SPONSOR), CUSTOMER, whole * 9, whole, 10));
        pass_blocks(10);
        assert_eq!(left(), 0, "it has expired");
    });
}

#[test]
fn pages_of_sponsorships_are_all_that_a_sponsor_gives() {
    ExtBuilder::build_and_execute(|| {
        for customer in 1..=5 {
            assert_ok!(Escrow::sponsor(signed(SPONSOR), customer, 10, 10, 10));
        }
        assert_ok!(Escrow::sponsor(signed(ZOE), 1, 10, 10, 10));
        let (mut found, mut after) = (Vec::new(), None);
        loop {
            let page = Escrow::sponsorships_by(SPONSOR, after, 2);
            assert!((1..=2).contains(&page.items.len()));
            found.extend(page.items.iter().map(|info| info.customer));
            after = page.next;
            if after.is_none() {
                break;
            }
        }
        found.sort();
        assert_eq!(found, [1, 2, 3, 4, 5]);
    });
}

#[test]
fn money_that_moved_on_is_in_the_answer() {
    ExtBuilder::build_and_execute(|| {
        let id = create_running();
        verify_next(id);
        let share = PRICE / 3;
        let books = money(id);
        assert_eq!((books.escrow, books.spent, books.funder), (PRICE - share, share, CUSTOMER));
        assert_eq!(escrowed(CUSTOMER), books.escrow + books.audit_budget);
        assert_eq!((info(id).milestones_committed, info(id).milestones_paid), (1, 1));
        // Somebody else's transfers change nothing of it.
        assert_ok!(<Balances as Mutate<_>>::transfer(&ZOE, &CUSTOMER, 5, Preservation::Preserve));
        assert_eq!(money(id), books);
    });
}
