//! Redelegation and its lien, and income that becomes stake.

use attune_primitives::traits::Providers as ProvidersApi;
use frame_support::{
    assert_noop, assert_ok,
    traits::{
        fungible::{InspectHold, Mutate},
        tokens::Preservation,
    },
};
use sp_arithmetic::Permill;

use crate::{mock::*, *};

type Refused = Error<Test>;

fn bobs(who: AccountId) -> Delegation<AccountId> {
    Delegations::<Test>::get(BOB, who).expect("it delegates to Bob in this test, qed")
}

fn bobs_pool() -> Pool {
    Pools::<Test>::get(BOB).expect("Bob is registered in this test, qed")
}

fn worth_at_bob(who: AccountId) -> u128 {
    bobs_pool().active.worth(bobs(who).shares).expect("nobody has more shares than there are, qed")
}

/// Alice and Bob, and Dave who moves `amount` of his stake from her to him.
fn moved(stake: u128, amount: u128) {
    register_alice(1_000);
    register_bob();
    delegate(DAVE, stake);
    let some = shares(DAVE) / stake * amount;
    assert_ok!(Staking::redelegate(signed(DAVE), ALICE, BOB, some));
}

#[test]
fn redelegated_stake_is_at_the_new_provider_at_once() {
    ExtBuilder::build_and_execute(|| {
        moved(5_000, 3_000);
        assert_eq!((worth(DAVE), worth_at_bob(DAVE)), (2_000, 3_000));
        assert_eq!((Staking::stake_of(&ALICE), Staking::stake_of(&BOB)), (3_000, 4_000));
        let held = Balances::balance_on_hold(&HoldReason::Pool.into(), &Staking::pool_account(&BOB));
        assert_eq!((held_in_pool(), held), (3_000, 4_000));
        assert_eq!((pool().moved, bobs(DAVE).lien.map(|lien| lien.until)), (3_000, Some(21)));
        assert!(matches!(
            events().last(),
            Some(Event::Redelegated {
                from: ALICE,
                to: BOB,
                delegator: DAVE,
                amount: 3_000,
                lien_until: 21,
                ..
            })
        ));
    });
}

#[test]
fn redelegation_is_refused_where_a_delegation_is() {
    ExtBuilder::build_and_execute(|| {
        register_alice(1_000);
        register_bob();
        delegate(DAVE, 1_000);
        let all = shares(DAVE);
        let go = |from, to, shares| Staking::redelegate(signed(DAVE), from, to, shares);
        assert_noop!(go(ALICE, BOB, 0), Refused::ZeroAmount);
        assert_noop!(go(ALICE, ALICE, all), Refused::SameProvider);
        assert_noop!(go(ALICE, DAVE, all), Refused::DelegationToSelf);
        assert_noop!(go(ALICE, EVE, all), Refused::NotAProvider);
        assert_noop!(go(BOB, ALICE, all), Refused::NotADelegator);
        assert_noop!(go(ALICE, BOB, all + 1), Refused::NotEnoughShares);
        assert_noop!(go(ALICE, BOB, all / 100), Refused::DelegationTooLow);
        assert_noop!(go(ALICE, BOB, all - all / 100), Refused::DelegationTooLow);
        assert_ok!(Staking::chill(signed(BOB)));
        assert_noop!(go(ALICE, BOB, all), Refused::NotActive);
        assert_ok!(Staking::unchill(signed(BOB)));
        // A provider may delegate to another one, but not bring it home as a delegation to itself.
        assert_ok!(Staking::delegate(signed(BOB), ALICE, 500));
        let his = shares(BOB);
        assert_noop!(Staking::redelegate(signed(BOB), ALICE, BOB, his), Refused::DelegationToSelf);
        assert_ok!(go(ALICE, BOB, all));
    });
}

#[test]
fn redelegation_pays_the_income_of_both_pools_first() {
    ExtBuilder::build_and_execute(|| {
        register_alice(1_000);
        register_bob();
        delegate(DAVE, 2_000);
        assert_ok!(Staking::delegate(signed(DAVE), BOB, 1_000));
        earn(3_000, Permill::zero());
        assert_ok!(Balances::mint_into(&Staking::pool_account(&BOB), 1_000));
        assert_ok!(Staking::note_income(&BOB, 1_000, Permill::zero()));
        assert_ok!(Staking::redelegate(signed(DAVE), ALICE, BOB, shares(DAVE) / 2));
        assert_eq!(free(DAVE), WEALTH - 3_000 + 2_000 + 500);
    });
}

#[test]
fn stake_that_covers_open_bonds_is_not_redelegated() {
    ExtBuilder::build_and_execute(|| {
        register_alice(1_000);
        register_bob();
        delegate(DAVE, 5_000);
        lock(1, 1_500);
        let all = shares(DAVE);
        assert_noop!(Staking::redelegate(signed(DAVE), ALICE, BOB, all), Refused::StakeBacksBonds);
        assert_noop!(Staking::redelegate(signed(DAVE), ALICE, BOB, all * 51 / 100), Refused::StakeBacksBonds);
        assert_ok!(Staking::redelegate(signed(DAVE), ALICE, BOB, all / 2));
        // What is left covers the bond.
        assert_eq!(convict(1, Permill::one(), ZOE, 0).from, [1_000, 0, 500, 0]);
    });
}

#[test]
fn moved_stake_loses_the_part_that_it_would_have_lost_by_staying() {
    ExtBuilder::build_and_execute(|| {
        moved(5_000, 3_000);
        delegate(EVE, 1_000);
        // The whole stake with what was moved: 1,000 own, 3,000 here, 3,000 there. The rest of a half falls on 6,000.
        let taken = offend(Permill::from_percent(25), None);
        assert_eq!(taken.from, [1_000, 0, 375, 0]);
        assert_eq!((worth(EVE), Staking::lien_due(&BOB, &DAVE)), (875, 375));
        assert_ok!(Staking::settle_lien(signed(ZOE), BOB, DAVE));
        assert_eq!(worth_at_bob(DAVE), 2_625);
        assert!(events().iter().any(|event| matches!(
            event,
            Event::LienCharged { from: ALICE, provider: BOB, delegator: DAVE, amount: 375, .. }
        )));
        assert_noop!(Staking::settle_lien(signed(ZOE), BOB, DAVE), Refused::LienOpen);
    });
}

#[test]
fn a_jobs_slash_costs_moved_stake_the_same_part_as_stake_that_stayed() {
    ExtBuilder::build_and_execute(|| {
        moved(5_000, 3_000);
        delegate(EVE, 1_000);
        lock(1, 1_300);
        assert_eq!(convict(1, Permill::one(), ZOE, 1_300).from, [1_000, 0, 300, 0]);
        assert_eq!((worth(EVE), free(ZOE)), (900, WEALTH + 1_000));
        assert_ok!(Staking::settle_lien(signed(ZOE), BOB, DAVE));
        assert_eq!(worth_at_bob(DAVE), 2_700);
    });
}

#[test]
fn stake_with_a_lien_stays_until_its_time_is_over() {
    ExtBuilder::build_and_execute(|| {
        moved(5_000, 3_000);
        assert_ok!(Staking::delegate(signed(DAVE), BOB, 500));
        let (bound, all) = (bobs(DAVE).lien.map(|lien| lien.shares).unwrap_or_default(), bobs(DAVE).shares);
        assert_noop!(Staking::undelegate(signed(DAVE), BOB, all - bound + 1), Refused::LienOpen);
        assert_ok!(Staking::undelegate(signed(DAVE), BOB, all - bound));
        pass_blocks(UNBONDING_BLOCKS - 1);
        assert_noop!(Staking::undelegate(signed(DAVE), BOB, bound), Refused::LienOpen);
        pass_blocks(1);
        // No other call is needed.
        assert_ok!(Staking::undelegate(signed(DAVE), BOB, bound));
        assert_eq!(pool().moved, 0);
    });
}

#[test]
fn a_lien_outlasts_its_time_while_a_slash_is_pending() {
    ExtBuilder::build_and_execute(|| {
        moved(5_000, 3_000);
        pass_blocks(UNBONDING_BLOCKS - 1);
        Staking::slash_for_offence(&ALICE, Permill::one(), None);
        pass_blocks(SLASH_DELAY);
        let all = bobs(DAVE).shares;
        assert_noop!(Staking::undelegate(signed(DAVE), BOB, all), Refused::LienOpen);
        assert_noop!(Staking::settle_lien(signed(ZOE), BOB, DAVE), Refused::LienOpen);
        assert_ok!(Staking::apply_slash(signed(ZOE), ALICE, 0));
        assert_ok!(Staking::settle_lien(signed(ZOE), BOB, DAVE));
        assert_eq!((worth_at_bob(DAVE), bobs(DAVE).lien, pool().moved), (2_400, None, 0));
        assert_noop!(Staking::settle_lien(signed(ZOE), BOB, DAVE), Refused::NoLien);
        assert_noop!(Staking::settle_lien(signed(ZOE), BOB, EVE), Refused::NotADelegator);
    });
}

#[test]
fn the_old_provider_is_not_deleted_while_stake_answers_for_it() {
    ExtBuilder::build_and_execute(|| {
        register_alice(1_000);
        register_bob();
        delegate(DAVE, 1_000);
        assert_ok!(Staking::exit(signed(ALICE)));
        pass_blocks(UNBONDING_BLOCKS);
        assert_ok!(Staking::withdraw(signed(ALICE), ALICE));
        // One can still leave an exiting provider for another.
        assert_ok!(Staking::redelegate(signed(DAVE), ALICE, BOB, shares(DAVE)));
        assert_noop!(Staking::deregister(signed(ZOE), ALICE), Refused::LienOpen);
        // Nor is the new one emptied of it.
        assert_ok!(Staking::exit(signed(BOB)));
        assert_noop!(Staking::evict(signed(ZOE), BOB, DAVE), Refused::LienOpen);
        pass_blocks(UNBONDING_BLOCKS);
        assert_ok!(Staking::evict(signed(ZOE), BOB, DAVE));
        assert_ok!(Staking::deregister(signed(ZOE), ALICE));
    });
}

#[test]
fn a_slash_of_the_new_provider_and_one_of_the_old_are_both_paid() {
    ExtBuilder::build_and_execute(|| {
        moved(5_000, 5_000);
        Staking::slash_for_offence(&BOB, Permill::one(), None);
        pass_blocks(SLASH_DELAY);
        assert_ok!(Staking::apply_slash(signed(ZOE), BOB, 0));
        assert_eq!(worth_at_bob(DAVE), 4_000);
        offend(Permill::one(), None);
        assert_eq!(worth_at_bob(DAVE), 4_000, "nobody has charged the lien yet");
        assert_ok!(Staking::settle_lien(signed(ZOE), BOB, DAVE));
        assert_eq!(worth_at_bob(DAVE), 3_200);
    });
}

#[test]
fn a_dead_account_does_not_escape_its_lien() {
    ExtBuilder::build_and_execute(|| {
        moved(5_000, 3_000);
        assert_ok!(Balances::mint_into(&Staking::pool_account(&BOB), 8));
        assert_ok!(Staking::note_income(&BOB, 8, Permill::zero()));
        assert_ok!(<Balances as Mutate<_>>::transfer(&DAVE, &ZOE, free(DAVE), Preservation::Expendable));
        offend(Permill::one(), None);
        assert_eq!(Staking::pending_income(&BOB, &DAVE), 6);
        assert_ok!(Staking::settle_lien(signed(ZOE), BOB, DAVE));
        assert_eq!((worth_at_bob(DAVE), free(DAVE)), (2_400, 0));
        // What it could not receive stays claimable for the shares that are left.
        assert_eq!(Staking::pending_income(&BOB, &DAVE), 4);
    });
}

#[test]
fn income_becomes_shares() {
    ExtBuilder::build_and_execute(|| {
        register_alice(1_000);
        delegate(DAVE, 1_000);
        delegate(EVE, 2_000);
        earn(4_000, Permill::zero());
        let before = free(DAVE);
        assert_ok!(Staking::compound(signed(DAVE), ALICE, DAVE));
        assert_eq!((worth(DAVE), worth(EVE), free(DAVE)), (2_000, 2_000, before));
        assert_eq!((Staking::pending_income(&ALICE, &DAVE), held_in_pool()), (0, 5_000));
        assert_eq!(Staking::pending_income(&ALICE, &EVE), 2_000, "nobody else's");
        assert!(matches!(
            events().last(),
            Some(Event::IncomeCompounded { provider: ALICE, delegator: DAVE, amount: 1_000, .. })
        ));
    });
}

#[test]
fn others_compound_only_with_the_delegators_leave() {
    ExtBuilder::build_and_execute(|| {
        register_alice(1_000);
        delegate(DAVE, 1_000);
        earn(1_000, Permill::zero());
        assert_noop!(Staking::compound(signed(ZOE), ALICE, DAVE), Refused::NotAutoCompound);
        assert_noop!(Staking::set_auto_compound(signed(ZOE), ALICE, true), Refused::NotADelegator);
        assert_ok!(Staking::set_auto_compound(signed(DAVE), ALICE, true));
        assert_ok!(Staking::compound(signed(ZOE), ALICE, DAVE));
        assert_eq!(worth(DAVE), 1_500);
        earn(1_000, Permill::zero());
        assert_ok!(Staking::set_auto_compound(signed(DAVE), ALICE, false));
        assert_noop!(Staking::compound(signed(ZOE), ALICE, DAVE), Refused::NotAutoCompound);
    });
}

#[test]
fn income_is_compounded_from_the_least_delegation_on_where_new_stake_is_taken() {
    ExtBuilder::build_and_execute(|| {
        register_alice(1_000);
        delegate(DAVE, 1_000);
        earn(2 * MIN_DELEGATION - 2, Permill::zero());
        assert_noop!(Staking::compound(signed(DAVE), ALICE, DAVE), Refused::IncomeTooLow);
        earn(2, Permill::zero());
        assert_ok!(Staking::chill(signed(ALICE)));
        assert_noop!(Staking::compound(signed(DAVE), ALICE, DAVE), Refused::NotActive);
        assert_ok!(Staking::unchill(signed(ALICE)));
        Staking::slash_for_offence(&ALICE, Permill::from_percent(1), None);
        assert_noop!(Staking::compound(signed(DAVE), ALICE, DAVE), Refused::SlashPending);
        assert_ok!(Staking::cancel_slash(frame_system::RawOrigin::Root.into(), ALICE, 0));
        assert_ok!(Staking::compound(signed(DAVE), ALICE, DAVE));
        assert_eq!(worth(DAVE), 1_000 + MIN_DELEGATION);
    });
}
