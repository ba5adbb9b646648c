//! Income that becomes stake by itself: somebody else's push is free of fees exactly when it does its work, and worth it.

use attune_primitives::{
    page::{Page, MAX_LOOKUPS, MAX_PAGE},
    traits::Providers as _,
    Balance,
};
use frame_support::{
    assert_noop, assert_ok,
    dispatch::CheckIfFeeless,
    traits::fungible::{Inspect, Mutate},
};
use sp_arithmetic::Permill;

use crate::{mock::*, *};

type Refused = Error<Test>;

/// True if the transaction costs `caller` nothing now.
fn is_free(caller: AccountId, who: AccountId) -> bool {
    RuntimeCall::Staking(Call::compound { provider: ALICE, delegator: who }).is_feeless(&signed(caller))
}

/// Alice and Dave have the same stake, and Dave wants his income compounded: of each `earn` half is his.
fn set_up() {
    register_alice(1_000);
    delegate(DAVE, 1_000);
    assert_ok!(Staking::set_auto_compound(signed(DAVE), ALICE, true));
}

fn earn_for_dave(amount: Balance) {
    let before = Staking::pending_income(&ALICE, &DAVE);
    earn(2 * amount, Permill::zero());
    assert_eq!(Staking::pending_income(&ALICE, &DAVE), before + amount);
}

fn due(from: Option<AccountId>, limit: u32) -> Page<DueDelegation<AccountId>, AccountId> {
    Staking::due_delegations(ALICE, from, limit)
}

#[test]
fn a_push_by_somebody_else_is_free_from_the_least_income_on() {
    ExtBuilder::build_and_execute(|| {
        set_up();
        assert!(!is_free(ZOE, DAVE), "there is nothing yet");
        earn_for_dave(AUTO_COMPOUND_MIN - 1);
        assert!(!is_free(ZOE, DAVE));
        // It can be done, for a fee.
        assert_ok!(frame_support::storage::with_transaction(|| {
            let done = Staking::compound(signed(ZOE), ALICE, DAVE);
            sp_runtime::TransactionOutcome::Rollback(done)
        }));
        earn_for_dave(1);
        assert!(is_free(ZOE, DAVE));
    });
}

#[test]
fn who_serves_itself_pays() {
    ExtBuilder::build_and_execute(|| {
        set_up();
        earn_for_dave(AUTO_COMPOUND_MIN);
        assert!(is_free(ZOE, DAVE) && is_free(ALICE, DAVE) && is_free(ALICE_KEY, DAVE));
        assert!(!is_free(DAVE, DAVE));
        assert_ok!(Staking::compound(signed(DAVE), ALICE, DAVE));
    });
}

#[test]
fn a_push_that_nobody_asked_for_is_not_free() {
    ExtBuilder::build_and_execute(|| {
        set_up();
        earn_for_dave(AUTO_COMPOUND_MIN);
        assert_ok!(Staking::set_auto_compound(signed(DAVE), ALICE, false));
        assert!(!is_free(ZOE, DAVE));
        assert!(!is_free(ZOE, EVE), "nor for who has no delegation");
        assert!(
            !RuntimeCall::Staking(Call::compound { provider: BOB, delegator: DAVE }).is_feeless(&signed(ZOE))
        );
        for origin in [frame_system::RawOrigin::Root.into(), frame_system::RawOrigin::None.into()] {
            let call = RuntimeCall::Staking(Call::compound { provider: ALICE, delegator: DAVE });
            assert!(!call.is_feeless(&origin));
        }
    });
}

#[test]
fn success_ends_what_made_it_free() {
    ExtBuilder::build_and_execute(|| {
        set_up();
        earn_for_dave(1_000);
        assert!(is_free(ZOE, DAVE));
        assert_ok!(Staking::compound(signed(ZOE), ALICE, DAVE));
        assert_eq!(worth(DAVE), 2_000);
        assert!(!is_free(ZOE, DAVE));
        assert_noop!(Staking::compound(signed(ZOE), ALICE, DAVE), Refused::IncomeTooLow);
        earn(10, Permill::zero());
        assert!(!is_free(ZOE, DAVE), "the next planck doesn't make it free again");
    });
}

#[test]
fn what_would_be_refused_is_not_free() {
    ExtBuilder::build_and_execute(|| {
        set_up();
        earn_for_dave(AUTO_COMPOUND_MIN);
        assert_ok!(Staking::chill(signed(ALICE)));
        assert!(!is_free(ZOE, DAVE));
        assert_eq!(due(None, 10).items, []);
        assert_noop!(Staking::compound(signed(ZOE), ALICE, DAVE), Refused::NotActive);
        assert_ok!(Staking::unchill(signed(ALICE)));
        Staking::slash_for_offence(&ALICE, Permill::from_percent(1), None);
        assert!(!is_free(ZOE, DAVE));
        assert_noop!(Staking::compound(signed(ZOE), ALICE, DAVE), Refused::SlashPending);
        assert_ok!(Staking::cancel_slash(frame_system::RawOrigin::Root.into(), ALICE, 0));
        assert!(is_free(ZOE, DAVE));
        assert_ok!(Staking::compound(signed(ZOE), ALICE, DAVE));
    });
}

/// A pool that earns in every block: who pushes whenever it is free gets no more free pushes than the income pays for, in
/// however many delegations it comes.
#[test]
fn income_in_every_block_makes_no_more_free_pushes_than_it_is_worth() {
    ExtBuilder::build_and_execute(|| {
        set_up();
        let delegators = [DAVE, EVE, 6, 7];
        for who in &delegators[1..] {
            delegate(*who, 1_000);
            assert_ok!(Staking::set_auto_compound(signed(*who), ALICE, true));
        }
        let (mut free_pushes, mut earned) = (0u128, 0);
        for _ in 0..500 {
            pass_blocks(1);
            earn(100, Permill::zero());
            earned += 100;
            for who in delegators {
                if is_free(ZOE, who) {
                    assert_ok!(Staking::compound(signed(ZOE), ALICE, who));
                    free_pushes += 1;
                }
            }
        }
        assert!(free_pushes > 100, "each has been pushed many times: {free_pushes}");
        assert!(free_pushes <= earned / AUTO_COMPOUND_MIN, "{free_pushes} for {earned}");
    });
}

#[test]
fn what_a_free_push_moved_is_bound_for_the_time_of_unbonding() {
    ExtBuilder::build_and_execute(|| {
        set_up();
        earn_for_dave(1_000);
        let before = free(DAVE);
        assert_ok!(Staking::compound(signed(ZOE), ALICE, DAVE));
        undelegate_all(DAVE);
        pass_blocks(UNBONDING_BLOCKS - 1);
        assert_noop!(Staking::withdraw(signed(DAVE), ALICE), Refused::NothingToWithdraw);
        pass_blocks(1);
        assert_ok!(Staking::withdraw(signed(DAVE), ALICE));
        assert_eq!(free(DAVE), before + 2_000);
    });
}

#[test]
fn the_list_of_what_is_due_names_income_and_liens() {
    ExtBuilder::build_and_execute(|| {
        set_up();
        delegate(EVE, 1_000);
        register_bob();
        assert_ok!(Staking::delegate(signed(6), BOB, 1_000));
        let moved = Delegations::<Test>::get(BOB, 6).map(|delegation| delegation.shares).unwrap_or_default();
        assert_ok!(Staking::redelegate(signed(6), BOB, ALICE, moved));
        assert_eq!(due(None, 10), Page::empty());
        assert_eq!(Staking::due_delegations(ZOE, None, 10), Page::empty(), "of no provider");

        earn(4 * AUTO_COMPOUND_MIN, Permill::zero());
        let income = DueDelegation { delegator: DAVE, income: AUTO_COMPOUND_MIN, lien: false };
        assert_eq!(due(None, 10).items, std::slice::from_ref(&income), "Eve asked for nothing");

        pass_blocks(UNBONDING_BLOCKS);
        let lien = DueDelegation { delegator: 6, income: 0, lien: true };
        let mut found = due(None, 10).items;
        found.sort_by_key(|due| due.delegator);
        assert_eq!(found, [income, lien]);

        // What is done is not on it any more.
        assert_ok!(Staking::settle_lien(signed(ZOE), ALICE, 6));
        assert_ok!(Staking::compound(signed(ZOE), ALICE, DAVE));
        assert_eq!(due(None, 10), Page::empty());
    });
}

#[test]
fn the_list_of_what_is_due_comes_in_pages_that_look_at_a_bounded_number() {
    ExtBuilder::build_and_execute(|| {
        set_up();
        let others = 1_000..1_000 + u64::from(MAX_LOOKUPS) + 20;
        for who in others.clone() {
            assert_ok!(Balances::mint_into(&who, MIN_DELEGATION + Balances::minimum_balance()));
            delegate(who, MIN_DELEGATION);
        }
        let asks = others.clone().filter(|who| who % 5 == 0).collect::<Vec<_>>();
        for who in &asks {
            assert_ok!(Staking::set_auto_compound(signed(*who), ALICE, true));
        }
        let all = |limit: u32| {
            let (mut found, mut pages, mut next) = (Vec::new(), 0, None);
            loop {
                let page = due(next, limit);
                assert!(page.items.len() <= usize::try_from(limit.min(MAX_PAGE)).unwrap());
                found.extend(page.items.into_iter().map(|due| due.delegator));
                pages += 1;
                next = page.next;
                if next.is_none() {
                    found.sort_unstable();
                    return (found, pages);
                }
            }
        };
        assert_eq!(all(10), (vec![], 2), "nothing is due, and more are there than one answer looks at");
        // Of the whole stake of 54,000 Dave has 1,000, and each of the others 100.
        let stake = Staking::stake_of(&ALICE);
        earn(stake * AUTO_COMPOUND_MIN / MIN_DELEGATION + stake, Permill::zero());
        let mut expected = asks.clone();
        expected.insert(0, DAVE);
        assert_eq!(all(10).0, expected, "each once");
        assert_eq!(all(u32::MAX).0, expected);

        // Where the first of a page has left, the list goes on with whoever comes after it.
        let first = due(None, 1);
        let second = first.next.expect("there are more");
        let rest = due(Some(second), MAX_PAGE).items;
        assert_ok!(Staking::undelegate(signed(second), ALICE, shares(second)));
        let without = due(Some(second), MAX_PAGE).items;
        let left = |due: &DueDelegation<AccountId>| due.delegator != second;
        assert!(rest.into_iter().filter(left).all(|due| without.contains(&due)));
    });
}
