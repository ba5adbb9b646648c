//! Delegation, unbonding, bonds, slashes and income.

use attune_primitives::traits::Providers as ProvidersApi;
use frame_support::{assert_noop, assert_ok};
use sp_arithmetic::Permill;

use crate::{mock::*, *};

type Refused = Error<Test>;

#[test]
fn delegators_own_shares_of_what_they_put_in() {
    ExtBuilder::build_and_execute(|| {
        register_alice(1_000);
        delegate(DAVE, 3_000);
        delegate(EVE, 1_000);
        delegate(DAVE, 500);
        assert_eq!((worth(DAVE), worth(EVE)), (3_500, 1_000));
        assert_eq!((pool().active.balance, pool().delegators), (4_500, 2));
        assert_eq!(held_in_pool(), 5_500);
    });
}

#[test]
fn a_delegation_has_a_least_amount_and_leaves_one() {
    ExtBuilder::build_and_execute(|| {
        register_alice(1_000);
        assert_noop!(Staking::delegate(signed(DAVE), ALICE, MIN_DELEGATION - 1), Refused::DelegationTooLow);
        delegate(DAVE, 2 * MIN_DELEGATION);
        let all = shares(DAVE);
        assert_noop!(Staking::undelegate(signed(DAVE), ALICE, all - 1), Refused::DelegationTooLow);
        assert_noop!(Staking::undelegate(signed(DAVE), ALICE, all + 1), Refused::NotEnoughShares);
        assert_noop!(Staking::undelegate(signed(DAVE), ALICE, 0), Refused::ZeroAmount);
        assert_noop!(Staking::undelegate(signed(EVE), ALICE, 1), Refused::NotADelegator);
        assert_ok!(Staking::undelegate(signed(DAVE), ALICE, all / 2));
        assert_eq!(worth(DAVE), MIN_DELEGATION);
    });
}

#[test]
fn a_provider_does_not_delegate_to_itself() {
    ExtBuilder::build_and_execute(|| {
        register_alice(1_000);
        assert_noop!(Staking::delegate(signed(ALICE), ALICE, 500), Refused::DelegationToSelf);
    });
}

#[test]
fn undelegated_stake_is_withdrawn_only_after_its_time() {
    ExtBuilder::build_and_execute(|| {
        register_alice(1_000);
        delegate(DAVE, 3_000);
        undelegate_all(DAVE);
        assert_eq!(pool().delegators, 0);
        assert_noop!(Staking::withdraw(signed(DAVE), ALICE), Refused::NothingToWithdraw);
        pass_blocks(UNBONDING_BLOCKS - 1);
        assert_noop!(Staking::withdraw(signed(DAVE), ALICE), Refused::NothingToWithdraw);
        pass_blocks(1);
        assert_ok!(Staking::withdraw(signed(DAVE), ALICE));
        assert_eq!(free(DAVE), WEALTH);
        assert_noop!(Staking::withdraw(signed(DAVE), ALICE), Refused::NothingToWithdraw);
    });
}

#[test]
fn what_is_not_yet_free_stays_when_the_rest_is_withdrawn() {
    ExtBuilder::build_and_execute(|| {
        register_alice(1_000);
        delegate(DAVE, 3_000);
        let third = shares(DAVE) / 3;
        assert_ok!(Staking::undelegate(signed(DAVE), ALICE, third));
        pass_blocks(5);
        assert_ok!(Staking::undelegate(signed(DAVE), ALICE, third));
        pass_blocks(UNBONDING_BLOCKS - 5);
        assert_ok!(Staking::withdraw(signed(DAVE), ALICE));
        assert_eq!(free(DAVE), WEALTH - 2_000);
        pass_blocks(5);
        assert_ok!(Staking::withdraw(signed(DAVE), ALICE));
        assert_eq!(free(DAVE), WEALTH - 1_000);
    });
}

#[test]
fn unbonding_entries_are_bounded_and_those_of_one_block_are_one() {
    ExtBuilder::build_and_execute(|| {
        register_alice(1_000);
        delegate(DAVE, 100_000);
        let part = shares(DAVE) / 100;
        for _ in 0..MAX_UNBONDING {
            assert_ok!(Staking::undelegate(signed(DAVE), ALICE, part));
            assert_ok!(Staking::undelegate(signed(DAVE), ALICE, part));
            pass_blocks(1);
        }
        assert_eq!(Unbonding::<Test>::get(ALICE, DAVE).len() as u32, MAX_UNBONDING);
        assert_noop!(Staking::undelegate(signed(DAVE), ALICE, part), Refused::TooManyUnbonding);
        pass_blocks(UNBONDING_BLOCKS - MAX_UNBONDING);
        assert_ok!(Staking::withdraw(signed(DAVE), ALICE));
        assert_ok!(Staking::undelegate(signed(DAVE), ALICE, part));
    });
}

#[test]
fn the_self_bond_can_fall_to_the_least_and_no_further() {
    ExtBuilder::build_and_execute(|| {
        register_alice(1_500);
        assert_noop!(Staking::unbond_self(signed(ALICE), 501), Refused::SelfBondTooLow);
        assert_noop!(Staking::unbond_self(signed(ALICE), 0), Refused::ZeroAmount);
        assert_ok!(Staking::unbond_self(signed(ALICE), 500));
        assert_ok!(Staking::bond_more(signed(ALICE), 200));
        assert_eq!((pool().self_bond, pool().self_unbonding), (1_200, 500));
        pass_blocks(UNBONDING_BLOCKS);
        assert_ok!(Staking::withdraw(signed(ALICE), ALICE));
        assert_eq!(held_in_pool(), 1_200);
    });
}

#[test]
fn bonds_lock_at_most_what_one_slash_could_take_of_the_stake_that_stays() {
    ExtBuilder::build_and_execute(|| {
        register_alice(1_000);
        // A fifth of these 2,500 counts.
        delegate(DAVE, 2_500);
        delegate(EVE, 300);
        undelegate_all(EVE);
        assert_noop!(Staking::lock_bond(&ALICE, 1, 1_501), Refused::NotEnoughStake);
        lock(1, 1_000);
        assert_noop!(Staking::lock_bond(&ALICE, 2, 501), Refused::NotEnoughStake);
        lock(2, 500);
        assert_noop!(Staking::lock_bond(&ALICE, 2, 0), Refused::BondExists);
        assert_noop!(Staking::lock_bond(&ALICE, 3, 1), Refused::NotEnoughStake);
        assert_noop!(Staking::lock_bond(&BOB, 3, 1), Refused::NotAProvider);
        Staking::release_bond(&ALICE, 1);
        assert_eq!((pool().locked, pool().bonds), (500, 1));
        Staking::release_bond(&ALICE, 1);
        Staking::release_bond(&BOB, 1);
        assert_eq!((pool().locked, pool().bonds), (500, 1), "freeing twice does nothing");
    });
}

#[test]
fn stake_that_backs_open_bonds_does_not_leave() {
    ExtBuilder::build_and_execute(|| {
        register_alice(1_000);
        delegate(DAVE, 5_000);
        lock(1, 1_800);
        assert_ok!(Staking::bond_more(signed(ALICE), 300));
        assert_noop!(Staking::unbond_self(signed(ALICE), 301), Refused::SelfBondTooLow);
        undelegate_all(DAVE);
        assert_noop!(Staking::unbond_self(signed(ALICE), 1), Refused::StakeBacksBonds);
        pass_blocks(UNBONDING_BLOCKS);
        assert_noop!(Staking::withdraw(signed(DAVE), ALICE), Refused::StakeBacksBonds);
        Staking::release_bond(&ALICE, 1);
        assert_ok!(Staking::withdraw(signed(DAVE), ALICE));
        assert_eq!(free(DAVE), WEALTH);
    });
}

#[test]
fn income_is_split_by_commission_and_stake() {
    ExtBuilder::build_and_execute(|| {
        register_alice(1_000);
        delegate(DAVE, 2_000);
        delegate(EVE, 1_000);
        let before = free(ALICE);
        earn(10_000, Permill::from_percent(20));
        // 2,000 commission; of 8,000 a quarter for the self-bond, a half for Dave, a quarter for Eve.
        assert_eq!(free(ALICE) - before, 2_000 + 2_000);
        assert_eq!(Staking::pending_income(&ALICE, &DAVE), 4_000);
        assert_eq!(Staking::pending_income(&ALICE, &EVE), 2_000);
        assert_ok!(Staking::claim_income(signed(DAVE), ALICE));
        assert_eq!(free(DAVE), WEALTH - 2_000 + 4_000);
        assert_noop!(Staking::claim_income(signed(DAVE), ALICE), Refused::NothingToClaim);
        assert_noop!(Staking::claim_income(signed(ZOE), ALICE), Refused::NotADelegator);
    });
}

#[test]
fn without_delegators_the_provider_earns_all() {
    ExtBuilder::build_and_execute(|| {
        register_alice(1_000);
        let before = free(ALICE);
        earn(777, Permill::zero());
        assert_eq!(free(ALICE) - before, 777);
    });
}

#[test]
fn unbonding_stake_earns_nothing() {
    ExtBuilder::build_and_execute(|| {
        register_alice(1_000);
        delegate(DAVE, 1_000);
        undelegate_all(DAVE);
        let before = free(ALICE);
        earn(500, Permill::zero());
        assert_eq!(free(ALICE) - before, 500);
    });
}

#[test]
fn income_of_strange_amounts_never_pays_more_than_came() {
    ExtBuilder::build_and_execute(|| {
        register_alice(1_003);
        delegate(DAVE, 997);
        delegate(EVE, 331);
        let before = free(ALICE) + free(DAVE) + free(EVE);
        let mut came = 0;
        for amount in [1, 2, 3, 7, 11, 101, 997, 10_007] {
            earn(amount, Permill::from_parts(123_457));
            came += amount;
        }
        assert_ok!(Staking::claim_income(signed(DAVE), ALICE));
        assert_ok!(Staking::claim_income(signed(EVE), ALICE));
        let got = free(ALICE) + free(DAVE) + free(EVE) - before;
        assert!(got <= came, "{got} of {came}");
        assert!(came - got <= 16, "the dust is at most a planck per payee and payment: {got} of {came}");
        assert_eq!(free(Staking::pool_account(&ALICE)), EXISTENTIAL + came - got);
    });
}

#[test]
fn changing_a_delegation_pays_its_income_first() {
    ExtBuilder::build_and_execute(|| {
        register_alice(1_000);
        delegate(DAVE, 1_000);
        earn(1_000, Permill::zero());
        delegate(DAVE, 2_000);
        assert_eq!(free(DAVE), WEALTH - 3_000 + 500);
        earn(1_000, Permill::zero());
        assert_ok!(Staking::undelegate(signed(DAVE), ALICE, shares(DAVE) / 2));
        assert_eq!(free(DAVE), WEALTH - 3_000 + 500 + 750);
        assert_eq!(Staking::pending_income(&ALICE, &DAVE), 0);
    });
}

#[test]
fn income_for_an_unknown_provider_is_refused() {
    ExtBuilder::build_and_execute(|| {
        assert_noop!(Staking::note_income(&ALICE, 5, Permill::zero()), Refused::NotAProvider);
    });
}
