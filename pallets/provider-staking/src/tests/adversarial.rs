//! What somebody would try.

use attune_primitives::traits::Providers as ProvidersApi;
use frame_support::{
    assert_noop, assert_ok,
    traits::{fungible::Mutate, tokens::Preservation},
};
use sp_arithmetic::Permill;

use crate::{mock::*, *};

type Refused = Error<Test>;

#[test]
fn a_first_depositor_cannot_inflate_shares() {
    ExtBuilder::build_and_execute(|| {
        register_alice(1_000);
        delegate(EVE, MIN_DELEGATION);
        // A gift to the pool account is no stake: it changes no share's price.
        let account = Staking::pool_account(&ALICE);
        assert_ok!(<Balances as Mutate<_>>::transfer(&EVE, &account, 500_000, Preservation::Preserve));
        // Nor can the attacker leave a single share behind to meet the victim with.
        assert_noop!(Staking::undelegate(signed(EVE), ALICE, shares(EVE) - 1), Refused::DelegationTooLow);
        delegate(DAVE, 10_007);
        assert_eq!(worth(DAVE), 10_007);
        undelegate_all(DAVE);
        pass_blocks(UNBONDING_BLOCKS);
        assert_ok!(Staking::withdraw(signed(DAVE), ALICE));
        assert_eq!(free(DAVE), WEALTH);
        assert_eq!(worth(EVE), MIN_DELEGATION);
    });
}

#[test]
fn rounding_cannot_be_farmed_by_going_in_and_out() {
    ExtBuilder::build_and_execute(|| {
        register_alice(1_000);
        delegate(DAVE, 100_003);
        slash(14_567);
        let before = worth(DAVE);
        for round in 0..30u128 {
            delegate(EVE, 100 + round * 7);
            let worth_in = worth(EVE);
            assert!(worth_in <= 100 + round * 7);
            undelegate_all(EVE);
            pass_blocks(UNBONDING_BLOCKS);
            assert_ok!(Staking::withdraw(signed(EVE), ALICE));
        }
        assert!(free(EVE) <= WEALTH, "{}", free(EVE));
        assert!(worth(DAVE) >= before);
    });
}

#[test]
fn a_flash_delegation_gets_nothing_of_earlier_income() {
    ExtBuilder::build_and_execute(|| {
        register_alice(1_000);
        delegate(DAVE, 1_000);
        earn(10_000, Permill::zero());
        delegate(EVE, 900_000);
        assert_eq!(Staking::pending_income(&ALICE, &EVE), 0);
        assert_noop!(Staking::claim_income(signed(EVE), ALICE), Refused::NothingToClaim);
        assert_eq!(Staking::pending_income(&ALICE, &DAVE), 5_000);
        undelegate_all(EVE);
        assert_eq!(free(EVE), WEALTH - 900_000);
    });
}

#[test]
fn leaving_before_a_slash_does_not_escape_it() {
    ExtBuilder::build_and_execute(|| {
        register_alice(1_000);
        delegate(DAVE, 5_000);
        lock(1, 2_000);
        undelegate_all(DAVE);
        pass_blocks(UNBONDING_BLOCKS);
        assert_noop!(Staking::withdraw(signed(DAVE), ALICE), Refused::StakeBacksBonds);
        let id = book(1, Permill::one(), ZOE, 0);
        assert_noop!(Staking::withdraw(signed(DAVE), ALICE), Refused::SlashPending);
        pass_blocks(SLASH_DELAY);
        assert_noop!(Staking::withdraw(signed(DAVE), ALICE), Refused::SlashPending);
        assert_ok!(Staking::apply_slash(signed(DAVE), ALICE, id));
        assert_ok!(Staking::withdraw(signed(DAVE), ALICE));
        assert_eq!(free(DAVE), WEALTH - 1_000);
    });
}

#[test]
fn a_pool_slashed_to_nothing_locks_nobody_in() {
    ExtBuilder::build_and_execute(|| {
        register_alice(1_000);
        let fortune = 10_000_000_000_000;
        assert_ok!(<Balances as Mutate<_>>::mint_into(&DAVE, fortune));
        delegate(DAVE, fortune);
        assert_ok!(Staking::undelegate(signed(DAVE), ALICE, shares(DAVE) / 2));
        delegate(EVE, 1_000);
        earn(1_000, Permill::zero());
        // A fifth each time: nothing but offence after offence gets there.
        let mut slashes = 0;
        while Providers::<Test>::get(ALICE).is_some_and(|p| p.status == Status::Active) {
            offend(Permill::one(), None);
            slashes += 1;
        }
        assert!((60..70).contains(&slashes), "{slashes}");
        assert!(events().contains(&Event::ExitBegun { provider: ALICE, ruined: true }));
        assert!(held_in_pool() < fortune / 1_000_000 + 10, "{}", held_in_pool());
        assert_noop!(Staking::delegate(signed(ZOE), ALICE, 1_000), Refused::NotActive);
        // The income from before the slash is still theirs.
        let due = Staking::pending_income(&ALICE, &EVE);
        let before = free(EVE);
        undelegate_all(EVE);
        assert_eq!(free(EVE), before + due);
        undelegate_all(DAVE);
        pass_blocks(UNBONDING_BLOCKS);
        assert_ok!(Staking::withdraw(signed(DAVE), ALICE));
        if Unbonding::<Test>::contains_key(ALICE, EVE) {
            assert_ok!(Staking::withdraw(signed(EVE), ALICE));
        }
        assert_ok!(Staking::deregister(signed(ZOE), ALICE));
    });
}

#[test]
fn a_dead_delegator_cannot_keep_a_pool_alive() {
    ExtBuilder::build_and_execute(|| {
        register_alice(1_000);
        delegate(DAVE, 1_000);
        // Dave leaves the chain but for its stake.
        assert_ok!(<Balances as Mutate<_>>::transfer(&DAVE, &ZOE, free(DAVE), Preservation::Expendable));
        assert_eq!(free(DAVE), 0);
        assert_ok!(Staking::exit(signed(ALICE)));
        assert_ok!(Staking::evict(signed(ALICE), ALICE, DAVE));
        pass_blocks(UNBONDING_BLOCKS);
        assert_ok!(Staking::evict(signed(ALICE), ALICE, DAVE));
        assert_ok!(Staking::withdraw(signed(ALICE), ALICE));
        assert_ok!(Staking::deregister(signed(ALICE), ALICE));
        assert_eq!((free(ALICE), free(DAVE)), (WEALTH, 1_000));
    });
}

#[test]
fn a_provider_cannot_pull_its_self_bond_from_under_its_bonds() {
    ExtBuilder::build_and_execute(|| {
        register_alice(5_000);
        lock(1, 4_000);
        assert_noop!(Staking::unbond_self(signed(ALICE), 1_001), Refused::StakeBacksBonds);
        assert_ok!(Staking::unbond_self(signed(ALICE), 1_000));
    });
}

#[test]
fn a_gift_to_the_pool_account_is_nobodys_stake_and_goes_to_the_provider_in_the_end() {
    ExtBuilder::build_and_execute(|| {
        register_alice(1_000);
        let account = Staking::pool_account(&ALICE);
        assert_ok!(<Balances as Mutate<_>>::transfer(&ZOE, &account, 123, Preservation::Preserve));
        assert_eq!(Staking::stake_of(&ALICE), 1_000);
        assert_ok!(Staking::exit(signed(ALICE)));
        pass_blocks(UNBONDING_BLOCKS);
        assert_ok!(Staking::withdraw(signed(ALICE), ALICE));
        assert_ok!(Staking::deregister(signed(ALICE), ALICE));
        assert_eq!(free(ALICE), WEALTH + 123);
    });
}

#[test]
fn pool_accounts_of_two_providers_differ() {
    ExtBuilder::build_and_execute(|| {
        assert_ne!(Staking::pool_account(&ALICE), Staking::pool_account(&BOB));
    });
}
