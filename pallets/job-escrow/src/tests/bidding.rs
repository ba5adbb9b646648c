//! The bidding window: who may bid, what is kept, who wins.

use attune_primitives::{machine::JobState, Balance, JobId};
use frame_support::{assert_noop, assert_ok};

use crate::{mock::*, *};

type Refused = Error<Test>;

fn bid(id: JobId, operator: AccountId, price: Balance) {
    assert_ok!(Escrow::place_bid(signed(operator), id, price));
}

fn end(id: JobId) {
    pass_deadline(id);
    assert_ok!(Escrow::enforce_deadline(signed(ZOE), id));
}

fn bids(id: JobId) -> Vec<(AccountId, Balance)> {
    Bids::<Test>::get(id).iter().map(|bid| (bid.provider, bid.price)).collect()
}

/// Who has the job, and at what price.
fn winner(id: JobId) -> Option<(AccountId, Balance)> {
    job(id).assignment.map(|assignment| (assignment.provider, assignment.price))
}

#[test]
fn the_lowest_bid_wins_at_the_end_of_the_window() {
    ExtBuilder::build_and_execute(|| {
        let id = create_bidding();
        assert_eq!((state(id), job(id).deadline), (JobState::Bidding, 1 + BIDDING_BLOCKS));
        bid(id, ALICE_KEY, 9_000);
        bid(id, CAROL_KEY, 8_000);
        bid(id, DAVE_KEY, 8_500);
        pass_blocks(BIDDING_BLOCKS);
        assert_noop!(Escrow::enforce_deadline(signed(ZOE), id), Refused::DeadlineNotOver);
        end(id);
        assert_eq!((state(id), winner(id)), (JobState::Assigned, Some((CAROL, 8_000))));
        assert_eq!(u64::from(job(id).deadline), System::block_number() + u64::from(START_BLOCKS));
        assert_eq!(escrowed(CUSTOMER), 8_000 + AUDIT_BUDGET);
        assert!(bids(id).is_empty());
        assert!(events().iter().any(|event| matches!(
            event,
            Event::StateChanged { from: JobState::Bidding, to: JobState::Assigned, .. }
        )));
    });
}

#[test]
fn equal_bids_are_decided_by_the_larger_stake_and_then_by_the_account() {
    for (stakes, expected) in
        [([STAKE, STAKE + 2, STAKE + 1], CAROL), ([STAKE, STAKE, STAKE], ALICE), ([1, 20_000, 20_000], CAROL)]
    {
        ExtBuilder::build_and_execute(|| {
            let id = create_bidding();
            for operator in [DAVE_KEY, CAROL_KEY, ALICE_KEY] {
                bid(id, operator, 8_000);
            }
            for (provider, stake) in [ALICE, CAROL, DAVE].into_iter().zip(stakes) {
                Stakes::insert(provider, stake);
            }
            end(id);
            assert_eq!(winner(id), Some((expected, 8_000)));
        });
    }
}

#[test]
fn bids_that_can_no_longer_be_kept_are_skipped() {
    ExtBuilder::build_and_execute(|| {
        let id = create_bidding();
        bid(id, ALICE_KEY, 1_000);
        bid(id, CAROL_KEY, 2_000);
        bid(id, DAVE_KEY, 3_000);
        bid(id, EVE_KEY, 4_000);
        Inactive::insert(ALICE, ());
        Gone::insert(CAROL, ());
        Stakes::insert(DAVE, 2_999);
        end(id);
        assert_eq!(winner(id), Some((EVE, 4_000)));
        assert_eq!(Bonds::iter().map(|((who, _), bond)| (who, bond)).collect::<Vec<_>>(), [(EVE, 4_000)]);
    });
}

#[test]
fn a_window_without_a_bid_that_stands_opens_the_job_for_the_first_quote() {
    for with_bid in [false, true] {
        ExtBuilder::build_and_execute(|| {
            let id = create_bidding();
            if with_bid {
                bid(id, ALICE_KEY, 1_000);
                Inactive::insert(ALICE, ());
            }
            end(id);
            assert_eq!((state(id), winner(id)), (JobState::Open, None));
            assert_eq!(u64::from(job(id).deadline), System::block_number() + u64::from(OPEN_BLOCKS));
            assert!(bids(id).is_empty());
            assert_ok!(Escrow::accept_job(signed(CAROL_KEY), id, PRICE));
        });
    }
}

#[test]
fn there_are_no_quotes_in_the_window_and_no_bids_outside_it() {
    ExtBuilder::build_and_execute(|| {
        let id = create_bidding();
        assert_noop!(Escrow::accept_job(signed(ALICE_KEY), id, PRICE), Refused::NotAllowedInState);
        bid(id, ALICE_KEY, 5_000);
        pass_deadline(id);
        assert_noop!(Escrow::place_bid(signed(CAROL_KEY), id, 1), Refused::DeadlineOver);
        assert_noop!(Escrow::withdraw_bid(signed(ALICE_KEY), id), Refused::DeadlineOver);
        let open = create();
        assert_noop!(Escrow::place_bid(signed(CAROL_KEY), open, 1), Refused::NotAllowedInState);
    });
}

#[test]
fn a_provider_has_one_bid_and_can_only_lower_it() {
    ExtBuilder::build_and_execute(|| {
        let id = create_bidding();
        bid(id, ALICE_KEY, 5_000);
        for price in [5_000, 5_001] {
            assert_noop!(Escrow::place_bid(signed(ALICE_KEY), id, price), Refused::BidNotLower);
        }
        bid(id, ALICE_KEY, 4_999);
        assert_eq!(bids(id), [(ALICE, 4_999)]);
        assert_ok!(Escrow::withdraw_bid(signed(ALICE_KEY), id));
        assert_noop!(Escrow::withdraw_bid(signed(ALICE_KEY), id), Refused::NoSuchBid);
        bid(id, ALICE_KEY, 6_000);
        assert_eq!(bids(id), [(ALICE, 6_000)]);
    });
}

#[test]
fn a_full_list_drops_its_worst_bid_for_a_better_one() {
    ExtBuilder::build_and_execute(|| {
        let id = create_bidding();
        for (operator, price) in
            [(ALICE_KEY, 5_000), (CAROL_KEY, 7_000), (AUDITOR + 10, 7_000), (DAVE_KEY, 6_000)]
        {
            bid(id, operator, price);
        }
        assert_eq!(bids(id).len(), usize::try_from(MAX_BIDS).expect("small, qed"));
        assert_noop!(Escrow::place_bid(signed(EVE_KEY), id, 7_000), Refused::BidsFull);
        bid(id, EVE_KEY, 6_999);
        // Of two equally bad ones the later goes.
        assert_eq!(bids(id), [(ALICE, 5_000), (CAROL, 7_000), (DAVE, 6_000), (EVE, 6_999)]);
        assert!(events().contains(&Event::BidDropped { job: id, provider: AUDITOR, price: 7_000 }));
        // Who is in the list may lower its bid even when the list is full.
        bid(id, CAROL_KEY, 6_500);
        assert_noop!(Escrow::place_bid(signed(AUDITOR + 10), id, 6_999), Refused::BidsFull);
    });
}

#[test]
fn a_bid_is_within_the_maximum_and_stands_on_free_stake() {
    ExtBuilder::build_and_execute(|| {
        let id = create_bidding();
        for price in [0, MAX_PRICE + 1] {
            assert_noop!(Escrow::place_bid(signed(ALICE_KEY), id, price), Refused::InvalidPrice);
        }
        Stakes::insert(ALICE, 4_999);
        assert!(transact(|| Escrow::place_bid(signed(ALICE_KEY), id, 5_000)).is_err());
        bid(id, ALICE_KEY, 4_999);
        assert_eq!(Bonds::iter().count(), 0, "a bid locks nothing");
        assert_noop!(Escrow::place_bid(signed(BOB_KEY), id, 1), Refused::WrongArithmetic);
        for who in [ALICE, CUSTOMER, ZOE] {
            assert_noop!(Escrow::place_bid(signed(who), id, 1), Refused::NotAnOperator);
            assert_noop!(Escrow::withdraw_bid(signed(who), id), Refused::NotAnOperator);
        }
    });
}

#[test]
fn the_maximum_can_be_raised_while_providers_bid() {
    ExtBuilder::build_and_execute(|| {
        let id = create_bidding();
        assert_ok!(Escrow::top_up(signed(CUSTOMER), id, 999, 0));
        bid(id, ALICE_KEY, MAX_PRICE + 999);
        end(id);
        assert_eq!(winner(id), Some((ALICE, MAX_PRICE + 999)));
    });
}

#[test]
fn cancelling_in_the_window_costs_nothing_and_drops_the_bids() {
    ExtBuilder::build_and_execute(|| {
        let id = create_bidding();
        bid(id, ALICE_KEY, 5_000);
        assert_ok!(Escrow::cancel_job(signed(CUSTOMER), id));
        assert_eq!((state(id), closed_as(id)), (JobState::Cancelled, Some(JobState::Cancelled)));
        assert_eq!((free(CUSTOMER), Bids::<Test>::iter().count()), (WEALTH - DEPOSIT, 0));
    });
}

#[test]
fn a_chosen_provider_does_not_bid() {
    ExtBuilder::build_and_execute(|| {
        let mut chosen = spec();
        chosen.provider = Some(ALICE);
        chosen.timing.bidding_blocks = BIDDING_BLOCKS;
        assert_noop!(Escrow::create_job(signed(CUSTOMER), chosen, None), Refused::InvalidTiming);
        let mut long = spec();
        long.timing.bidding_blocks = MAX_PHASE_BLOCKS + 1;
        assert_noop!(Escrow::create_job(signed(CUSTOMER), long, None), Refused::InvalidTiming);
    });
}
