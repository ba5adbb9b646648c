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
        allow_no_handover();
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
        allow_no_handover();
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
        assert_noop!(Escrow::pay_auditor(id, 0, &AUDITOR), Refused::NotAllowedInState);
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
        allow_no_handover();
        let id = create_running();
        assert_ok!(Escrow::fail(id, Failure::WrongResult));
        assert_eq!(free(CUSTOMER), WEALTH - DEPOSIT, "a customer gains nothing by a provider's failure");
    });
}

#[test]
fn deadline_pushed_by_a_stranger_moves_no_money_to_it() {
    ExtBuilder::build_and_execute(|| {
        let bidding = create_bidding();
        let ids =
            [bidding, create(), create_assigned(), create_running(), create_submitted(), create_cancelling()];
        let disputed = create_running();
        assert_ok!(Escrow::disputed(disputed));
        for id in ids.into_iter().chain([disputed]) {
            assert_noop!(Escrow::enforce_deadline(signed(ZOE), id), Refused::DeadlineNotOver);
        }
        for id in ids.into_iter().chain([disputed]) {
            let before = state(id);
            pass_deadline(id);
            assert_ok!(Escrow::enforce_deadline(signed(ZOE), id));
            assert_ne!(state(id), before);
        }
        assert_eq!(free(ZOE), WEALTH);
    });
}

/// Alice's stash and operator key, and Carol's, who have nothing to do with each other.
const PARTIES: [AccountId; 4] = [ALICE, ALICE_KEY, CAROL, CAROL_KEY];

fn is_alice(who: AccountId) -> bool {
    who == ALICE || who == ALICE_KEY
}

#[test]
fn self_dealing_is_refused_in_every_combination() {
    for customer in PARTIES {
        for sponsor in PARTIES.into_iter().map(Some).chain([None]) {
            if sponsor == Some(customer) {
                continue;
            }
            let own = is_alice(customer) || sponsor.is_some_and(is_alice);
            let expected = if own { Err(Refused::SelfDealing.into()) } else { Ok(()) };
            // By the first quote, by a bid, and by being chosen.
            for way in 0..3 {
                ExtBuilder::build_and_execute(|| {
                    for key in [ALICE_KEY, CAROL_KEY] {
                        assert_ok!(Balances::mint_into(&key, WEALTH));
                    }
                    if let Some(sponsor) = sponsor {
                        assert_ok!(Escrow::sponsor(signed(sponsor), customer, WEALTH, WEALTH, 100));
                    }
                    let mut order = spec();
                    order.timing.bidding_blocks = u32::from(way == 1);
                    order.provider = (way == 2).then_some(ALICE);
                    let created = transact(|| Escrow::create_job(signed(customer), order, sponsor));
                    let told = format!("{customer} for {sponsor:?}, way {way}");
                    if way == 2 {
                        assert_eq!(created, expected, "{told}");
                        return;
                    }
                    assert_ok!(created);
                    let taken = transact(|| match way {
                        0 => Escrow::accept_job(signed(ALICE_KEY), 0, PRICE),
                        _ => Escrow::place_bid(signed(ALICE_KEY), 0, PRICE),
                    });
                    assert_eq!(taken, expected, "{told}");
                });
            }
        }
    }
}

#[test]
fn an_operator_key_that_becomes_the_customers_does_not_win() {
    // Alice bids; then the customer becomes her operator key. In the mock a key is fixed, so the job's customer changes.
    ExtBuilder::build_and_execute(|| {
        let id = create_bidding();
        assert_ok!(Escrow::place_bid(signed(ALICE_KEY), id, 1_000));
        assert_ok!(Escrow::cancel_job(signed(CUSTOMER), id));
        assert_ok!(Balances::mint_into(&ALICE_KEY, WEALTH));
        let mut order = spec();
        order.timing.bidding_blocks = 1;
        assert_ok!(Escrow::create_job(signed(ALICE_KEY), order, None));
        let own = Bid { provider: ALICE, price: 1_000 };
        Bids::<Test>::mutate(id + 1, |bids| bids.try_push(own)).expect("one bid fits, qed");
        pass_deadline(id + 1);
        assert_ok!(Escrow::enforce_deadline(signed(ZOE), id + 1));
        assert_eq!((state(id + 1), Bonds::iter().count()), (JobState::Open, 0));
    });
}

#[test]
fn bids_spam_neither_grows_the_list_nor_shuts_a_better_bid_out() {
    ExtBuilder::build_and_execute(|| {
        let id = create_bidding();
        let keys = [ALICE_KEY, CAROL_KEY, AUDITOR + 10, DAVE_KEY];
        for (price, key) in (9_000..10_000u128).rev().zip(keys.into_iter().cycle()) {
            assert_ok!(Escrow::place_bid(signed(key), id, price));
            assert!(Bids::<Test>::get(id).len() <= keys.len());
        }
        assert_ok!(Escrow::place_bid(signed(EVE_KEY), id, 8_999));
        pass_deadline(id);
        assert_ok!(Escrow::enforce_deadline(signed(ZOE), id));
        let winner = job(id).assignment.expect("there are bids, qed");
        assert_eq!((winner.provider, winner.price), (EVE, 8_999));
        assert_eq!(Bids::<Test>::iter().count(), 0);
    });
}

#[test]
fn handover_chain_of_accomplices_costs_the_customer_no_more_than_it_escrowed() {
    ExtBuilder::build_and_execute(|| {
        let id = create();
        let whole = MAX_PRICE + AUDIT_BUDGET;
        for (key, provider) in [(ALICE_KEY, ALICE), (CAROL_KEY, CAROL), (DAVE_KEY, DAVE)] {
            let asked = job(id).escrow;
            take(id, key, asked);
            // Each lets as much be audited as there is money for, and never finishes a milestone.
            for _ in 0..20 {
                assert_ok!(Escrow::pay_auditor(id, 0, &AUDITOR));
            }
            pass_deadline(id);
            assert_ok!(Escrow::enforce_deadline(signed(ZOE), id));
            assert_eq!(income(provider), 0);
            let given = WEALTH - DEPOSIT - free(CUSTOMER);
            assert!(given <= whole, "{given} of {whole}");
        }
        assert!(state(id).is_terminal());
        // Each was slashed for the fees that were paid in vain.
        assert_eq!((free(CUSTOMER), escrowed(CUSTOMER)), (WEALTH - DEPOSIT, 0));
    });
}

#[test]
fn sponsor_exhausted_by_one_customer_pays_for_no_further_job_and_keeps_its_other_customers() {
    ExtBuilder::build_and_execute(|| {
        let one = MAX_PRICE + AUDIT_BUDGET + DEPOSIT;
        for customer in [CUSTOMER, ZOE] {
            assert_ok!(Escrow::sponsor(signed(SPONSOR), customer, one, one, 100));
        }
        let create = |customer| Escrow::create_job(signed(customer), spec(), Some(SPONSOR));
        assert_ok!(create(CUSTOMER));
        assert_noop!(create(CUSTOMER), Refused::SponsorExhausted);
        assert_ok!(create(ZOE));
    });
}

#[test]
fn funder_frozen_after_creating_still_pays_and_gets_its_rest_back() {
    use frame_support::traits::{LockableCurrency, WithdrawReasons};

    for sponsored in [false, true] {
        ExtBuilder::build_and_execute(|| {
            assert_ok!(Escrow::sponsor(signed(SPONSOR), CUSTOMER, WEALTH, WEALTH, 100));
            let funder = if sponsored { SPONSOR } else { CUSTOMER };
            let before = free(funder);
            assert_ok!(Escrow::create_job(signed(CUSTOMER), spec(), sponsored.then_some(SPONSOR)));
            Balances::set_lock(*b"anything", &funder, WEALTH, WithdrawReasons::all());
            take(0, ALICE_KEY, PRICE);
            verify_next(0);
            assert_ok!(Escrow::pay_auditor(0, 0, &AUDITOR));
            assert_ok!(Escrow::cancel_job(signed(CUSTOMER), 0));
            let paid = 3_333 + 666 + AUDIT_FEE;
            assert_eq!(income(ALICE) + income(AUDITOR), paid);
            pass_blocks(PRUNE_AFTER);
            assert_ok!(Escrow::prune_job(signed(ZOE), 0));
            assert_eq!((free(funder), escrowed(funder)), (before - paid, 0));
        });
    }
}

#[test]
fn funder_reaped_but_for_its_holds_still_pays_and_can_claim_its_rest() {
    ExtBuilder::build_and_execute(|| {
        assert_ok!(Escrow::sponsor(signed(SPONSOR), CUSTOMER, WEALTH, WEALTH, 100));
        assert_ok!(Escrow::create_job(signed(CUSTOMER), spec(), Some(SPONSOR)));
        take(0, ALICE_KEY, MAX_PRICE);
        // Another provider reference lets the free balance go to nothing beside the holds.
        System::inc_providers(&SPONSOR);
        let rest = free(SPONSOR);
        assert_ok!(<Balances as Mutate<_>>::transfer(&SPONSOR, &ZOE, rest, Preservation::Expendable));
        assert_eq!(free(SPONSOR), 0);
        for _ in 0..3 {
            verify_next(0);
        }
        for _ in 0..14 {
            assert_ok!(Escrow::pay_auditor(0, 0, &AUDITOR));
        }
        assert_ok!(Escrow::submitted(0));
        pass_deadline(0);
        assert_ok!(Escrow::enforce_deadline(signed(ZOE), 0));
        assert_eq!((income(ALICE), income(AUDITOR)), (MAX_PRICE, 14 * AUDIT_FEE));
        assert_eq!((free(SPONSOR), state(0)), (AUDIT_FEE, JobState::Finalized));
        pass_blocks(PRUNE_AFTER);
        assert_ok!(Escrow::prune_job(signed(ZOE), 0));
        assert_ok!(Escrow::end_sponsorship(signed(ZOE), SPONSOR, CUSTOMER));
        assert_eq!(free(SPONSOR), AUDIT_FEE + DEPOSIT + SPONSORSHIP_DEPOSIT);
    });
}

#[test]
fn payee_below_the_existential_deposit_is_owed_through_handover_and_end() {
    ExtBuilder::build_and_execute(|| {
        let mut cheap = spec();
        cheap.audit_fee = MIN_AUDIT_FEE;
        let id = order(cheap);
        take(id, ALICE_KEY, PRICE);
        let nobody = 77;
        assert_ok!(Escrow::pay_auditor(id, 0, &nobody));
        pass_deadline(id);
        assert_ok!(Escrow::enforce_deadline(signed(ZOE), id));
        assert_eq!(state(id), JobState::Open);
        assert_noop!(Escrow::claim_owed(signed(ZOE), id, nobody), Refused::StillUnpayable);
        take(id, CAROL_KEY, 5_000);
        assert_ok!(Escrow::pay_auditor(id, 0, &nobody));
        // Now it is as much as an account needs.
        assert_eq!(Owed::<Test>::get(id, nobody), EXISTENTIAL);
        assert_ok!(Escrow::cancel_job(signed(CUSTOMER), id));
        assert_ok!(Escrow::claim_owed(signed(ZOE), id, nobody));
        assert_eq!((free(nobody), escrowed(CUSTOMER)), (EXISTENTIAL, 0));
    });
}
