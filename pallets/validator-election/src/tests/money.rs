//! What is minted, for whom, and what an offence costs.

use frame_support::{
    assert_ok,
    traits::{
        fungible::{Inspect, Mutate},
        tokens::{Fortitude, Precision, Preservation},
    },
    weights::Weight,
};
use frame_system::RawOrigin;
use pallet_session::Validators;
use sp_runtime::Perbill;

use crate::{mock::*, *};

/// A chain whose validators are the providers 1 and 2, in the first block of a session; nothing waits for payment.
fn with_two_validators() {
    candidate(1, 500);
    candidate(2, 900);
    sessions(3);
    Incomes::set(Vec::new());
    // What they have earned by now would make the pot an odd number.
    assert_ok!(Balances::burn_from(
        &TREASURER,
        issuance() - ISSUANCE,
        Preservation::Preserve,
        Precision::Exact,
        Fortitude::Polite,
    ));
}

/// The rest of the session: `shares` blocks by each of these. The first block was the session's first author's.
fn blocks_by(shares: &[(AccountId, u32)]) {
    for (who, blocks) in shares {
        (0..*blocks).for_each(|_| block(*who));
    }
}

fn pending() -> Vec<UnpaidSession> {
    Unpaid::<Test>::get().into_inner()
}

#[test]
fn a_session_mints_its_part_of_the_years_inflation_by_blocks() {
    ExtBuilder::build_and_execute(|| {
        with_two_validators();
        let first = Author::get().expect("a block was made");
        let before = issuance();
        let pools = [1, 2].map(|who| Balances::balance(&pool_of(who)));
        // Nine more blocks, and the first one of the next session, which ends this one.
        blocks_by(&[(1, 6), (2, 3), (1, 1)]);
        let mine = |who| u128::from(first == who);
        let (one, two) = (POT * (6 + mine(1)) / 10, POT * (3 + mine(2)) / 10);
        let commission = Permill::from_percent(10);
        let mut incomes = Incomes::get();
        incomes.sort_unstable();
        assert_eq!(incomes, [(1, one, commission), (2, two, commission)]);
        assert_eq!(issuance(), before + POT);
        assert_eq!([1, 2].map(|who| Balances::balance(&pool_of(who))), [pools[0] + one, pools[1] + two]);
        assert_eq!(pending(), []);
        assert_eq!(Points::<Test>::iter().count(), 1, "the next session has begun");
    });
}

#[test]
fn slots_without_a_block_mint_nothing() {
    ExtBuilder::build_and_execute(|| {
        with_two_validators();
        let _ = Points::<Test>::clear_prefix(3, u32::MAX, None);
        Points::<Test>::insert(3, 1, 4);
        let before = issuance();
        freeze_and_pay(3);
        assert_eq!(issuance() - before, POT * 4 / 10);
        assert!(events().contains(&Event::SessionPaid { session: 3, pot: POT, unminted: POT * 6 / 10 }));
    });
}

/// Ends the counting of a session and pays it, without a new session.
fn freeze_and_pay(session: u32) {
    Election::freeze(session);
    while !pending().is_empty() {
        Election::pay_one();
    }
}

#[test]
fn an_author_that_is_no_provider_earns_nothing_and_nothing_is_minted_for_it() {
    ExtBuilder::build_and_execute(|| {
        let before = issuance();
        sessions(3);
        assert_eq!(issuance(), before);
        assert_eq!(pending(), []);
        assert!(events().contains(&Event::SessionPaid { session: 1, pot: POT, unminted: POT }));
    });
}

#[test]
fn a_reward_that_the_pool_refuses_is_not_minted() {
    ExtBuilder::build_and_execute(|| {
        with_two_validators();
        RefusesIncome::set(true);
        let before = issuance();
        next_session();
        assert_eq!(issuance(), before);
        assert!(events().iter().any(|event| matches!(event, Event::RewardLost { validator: 1, .. })));
        assert_eq!(pending(), []);
    });
}

#[test]
fn what_an_absent_provider_does_not_get_is_not_minted_and_nobody_else_gets_it() {
    ExtBuilder::build_and_execute(|| {
        with_two_validators();
        let _ = Points::<Test>::clear_prefix(3, u32::MAX, None);
        Points::<Test>::insert(3, 1, 4);
        Points::<Test>::insert(3, 2, 6);
        Parts::set([(1, Permill::from_percent(30))].into());
        let before = issuance();
        freeze_and_pay(3);
        let (one, two) = (POT * 4 / 10 * 3 / 10, POT * 6 / 10);
        assert_eq!(issuance() - before, one + two);
        let mut incomes =
            Incomes::get().into_iter().map(|(who, amount, _)| (who, amount)).collect::<Vec<_>>();
        incomes.sort_unstable();
        assert_eq!(incomes, [(1, one), (2, two)]);
        let withheld = POT * 4 / 10 - one;
        assert!(events().contains(&Event::RewardWithheld { session: 3, validator: 1, withheld }));
        assert!(events().contains(&Event::SessionPaid { session: 3, pot: POT, unminted: withheld }));
        let told = events().iter().filter(|event| matches!(event, Event::RewardWithheld { .. })).count();
        assert_eq!(told, 1, "nothing is told of whoever gets all of its reward");
    });
}

#[test]
fn a_reward_that_is_cut_to_nothing_is_no_reward() {
    ExtBuilder::build_and_execute(|| {
        with_two_validators();
        Parts::set([(1, Permill::zero()), (2, Permill::zero())].into());
        let before = issuance();
        next_session();
        assert_eq!((issuance(), Incomes::get()), (before, Vec::new()));
        assert_eq!(pending(), []);
    });
}

#[test]
fn without_inflation_nothing_is_counted_or_minted() {
    ExtBuilder::build_and_execute(|| {
        with_two_validators();
        assert_ok!(Election::set_inflation(RawOrigin::Root.into(), Permill::zero()));
        let before = issuance();
        sessions(2);
        assert_eq!(issuance(), before);
        assert_eq!((Counted::<Test>::get(), Points::<Test>::iter().count()), (None, 0));
        assert_ok!(Election::set_inflation(RawOrigin::Root.into(), INFLATION));
        sessions(2);
        assert!(issuance() > before);
    });
}

#[test]
fn rewards_wait_for_weight_and_are_paid_one_validator_at_a_time() {
    ExtBuilder::build_and_execute(|| {
        with_two_validators();
        let weights = |count: u64| {
            <() as WeightInfo>::poll().saturating_add(<() as WeightInfo>::pay_one().saturating_mul(count))
        };
        let short = Weight::from_parts(weights(1).ref_time() - 1, weights(1).proof_size());
        for who in [1, 2, 1, 2, 1, 2, 1, 2, 1, 2] {
            block_with_weight(who, Weight::zero());
        }
        assert_eq!((Incomes::get().len(), pending().len()), (0, 1));
        block_with_weight(1, short);
        assert_eq!(Incomes::get().len(), 0);
        block_with_weight(1, weights(1));
        assert_eq!((Incomes::get().len(), pending().len()), (1, 1));
        block_with_weight(1, weights(1));
        assert_eq!((Incomes::get().len(), pending().len()), (2, 1));
        block_with_weight(1, weights(1));
        assert_eq!((Incomes::get().len(), pending().len()), (2, 0));
    });
}

#[test]
fn a_block_pays_only_so_many_however_much_room_it_has() {
    ExtBuilder::build_and_execute(|| {
        let authors = u64::from(MAX_PAYMENTS_PER_BLOCK) + 1;
        (1..=authors).for_each(|who| Points::<Test>::insert(0, who, 1));
        Election::freeze(0);
        block(GENESIS[0]);
        assert_eq!(Points::<Test>::iter_prefix(0).count(), 1);
        block(GENESIS[0]);
        assert_eq!((Points::<Test>::iter_prefix(0).count(), pending().len()), (0, 0));
    });
}

#[test]
fn what_is_paid_late_is_what_was_frozen() {
    ExtBuilder::build_and_execute(|| {
        with_two_validators();
        for who in [1, 2, 1, 2, 1, 2, 1, 2, 1, 2] {
            block_with_weight(who, Weight::zero());
        }
        assert_ok!(Election::set_inflation(RawOrigin::Root.into(), MaxInflation::get()));
        let before = issuance();
        block(1);
        assert_eq!(issuance() - before, POT);
    });
}

#[test]
fn a_session_that_begins_with_a_full_queue_is_not_rewarded() {
    ExtBuilder::build_and_execute(|| {
        with_two_validators();
        for _ in 0..(MAX_UNPAID + 2) * SESSION {
            block_with_weight(1, Weight::zero());
        }
        let queued = pending().iter().map(|unpaid| unpaid.session).collect::<Vec<_>>();
        assert_eq!(queued, [3, 4, 5]);
        assert!(events().contains(&Event::SessionUnrewarded { session: 6 }));
        assert!(events().contains(&Event::SessionUnrewarded { session: 7 }));
        assert_eq!(Counted::<Test>::get(), None);
        let before = issuance();
        sessions(2);
        assert_eq!(pending(), []);
        let whole: u128 = Incomes::get().iter().map(|(_, reward, _)| reward).sum();
        assert_eq!(issuance() - before, whole);
        assert!(whole <= POT * u128::from(MAX_UNPAID + 1) * 11 / 10 && whole >= POT * u128::from(MAX_UNPAID));
    });
}

#[test]
fn a_block_belongs_to_the_session_that_it_opens() {
    ExtBuilder::build_and_execute(|| {
        with_two_validators();
        while !(System::block_number() + 1).is_multiple_of(10) {
            block(1);
        }
        Incomes::set(Vec::new());
        block(2);
        assert_eq!(Session::current_index(), 4);
        assert_eq!(Points::<Test>::get(4, 2), 1);
    });
}

#[test]
fn an_offence_slashes_the_pool_disables_and_bars_the_offender() {
    ExtBuilder::build_and_execute(|| {
        for who in 1..=4 {
            candidate(who, 500);
        }
        sessions(2);
        let session = Session::current_index();
        offence(&[2], Perbill::from_percent(56), session);
        assert_eq!(Slashes::get(), [(2, Permill::from_percent(56), Some(7))]);
        assert_eq!(Session::disabled_validators(), [1], "2 is the second validator");
        let until = session + BAR;
        assert_eq!(
            events()[events().len() - 2..],
            [
                Event::OffenderSlashed { offender: 2, session, part: Permill::from_percent(56) },
                Event::OffenderBarred { offender: 2, until },
            ]
        );
        sessions(2);
        assert_eq!(Session::validators(), [1, 3, 4]);
        assert_eq!(Session::disabled_validators(), Vec::<u32>::new());
        while Session::current_index() < until {
            assert_eq!(Session::validators(), [1, 3, 4]);
            next_session();
        }
        assert_eq!(
            Session::validators(),
            [1, 2, 3, 4],
            "elected again for the session at which the bar ends"
        );
        assert!(Barred::<Test>::get().is_empty());
    });
}

#[test]
fn a_validator_without_a_pool_is_disabled_and_nothing_is_slashed() {
    ExtBuilder::build_and_execute(|| {
        Validators::<Test>::put([101, 102, 103, 104].to_vec());
        offence(&[102], Perbill::from_percent(100), 0);
        assert_eq!(Slashes::get(), []);
        assert_eq!(Session::disabled_validators(), [1]);
        let part = Permill::one();
        assert!(events().contains(&Event::OffenderWithoutPool { offender: 102, session: 0, part }));
    });
}

#[test]
fn more_offenders_at_once_cost_each_of_them_more_and_none_of_them_twice() {
    ExtBuilder::build_and_execute(|| {
        for who in 1..=4 {
            candidate(who, 500);
        }
        sessions(2);
        offence(&[1], Perbill::from_percent(25), 2);
        offence(&[1, 2], Perbill::from_percent(100), 2);
        let (quarter, rest) = (Permill::from_percent(25), Permill::from_percent(75));
        assert_eq!(Slashes::get(), [(1, quarter, Some(7)), (1, rest, Some(7)), (2, Permill::one(), Some(7))]);
    });
}

#[test]
fn several_offences_in_one_session_cost_what_the_worst_costs_and_in_two_sessions_both() {
    ExtBuilder::build_and_execute(|| {
        candidate(1, 500);
        candidate(2, 500);
        sessions(3);
        let part = Permill::from_percent(30);
        offence(&[1], Perbill::from_percent(30), 2);
        offence(&[1], Perbill::from_percent(30), 2);
        offence(&[1], Perbill::from_percent(10), 2);
        assert_eq!(Slashes::get(), [(1, part, Some(7))]);
        offence(&[1], Perbill::from_percent(30), 3);
        assert_eq!(Slashes::get(), [(1, part, Some(7)), (1, part, Some(7))]);
    });
}

#[test]
fn what_offences_cost_is_forgotten_with_the_history() {
    ExtBuilder::build_and_execute(|| {
        candidate(1, 500);
        candidate(2, 500);
        sessions(3);
        offence(&[1], Perbill::from_percent(30), 3);
        sessions(HISTORY);
        assert_eq!(SlashedParts::<Test>::iter().count(), 1);
        next_session();
        assert_eq!(SlashedParts::<Test>::iter().count(), 0);
    });
}

#[test]
fn who_has_to_stay_is_enabled_again_when_its_bar_is_over() {
    ExtBuilder::build_and_execute(|| {
        for who in 1..=4 {
            candidate(who, 500);
        }
        MinValidators::<Test>::put(4);
        sessions(2);
        offence(&[2], Perbill::from_percent(56), 2);
        sessions(3);
        assert_eq!(Session::validators(), [1, 2, 3, 4], "three are not enough");
        assert_eq!(Session::disabled_validators(), [1]);
        sessions(2);
        assert_eq!(Session::disabled_validators(), Vec::<u32>::new());
    });
}
