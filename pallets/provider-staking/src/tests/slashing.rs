//! From a conviction to the money: slashes that wait, what they take, who gets it.

use attune_primitives::traits::Providers as ProvidersApi;
use frame_support::{
    assert_noop, assert_ok,
    traits::{
        fungible::{Inspect, Mutate},
        tokens::Preservation,
    },
};
use sp_arithmetic::Permill;
use sp_runtime::DispatchError;

use crate::{mock::*, *};

type Refused = Error<Test>;

fn root() -> RuntimeOrigin {
    frame_system::RawOrigin::Root.into()
}

fn issuance() -> u128 {
    <Balances as Inspect<AccountId>>::total_issuance()
}

#[test]
fn a_conviction_books_a_slash_and_takes_nothing() {
    ExtBuilder::build_and_execute(|| {
        register_alice(2_000);
        lock(1, 1_001);
        let issued = issuance();
        assert_eq!(Staking::slash_bond(&ALICE, 1, Permill::from_percent(20), &ZOE, 400), 201);
        assert_eq!((pool().self_bond, pool().locked, pool().bonds), (2_000, 201, 0));
        assert_eq!((held_in_pool(), issuance(), free(ZOE)), (2_000, issued, WEALTH));
        let booked = PendingSlashes::<Test>::get(ALICE, 0).expect("it was booked, qed");
        assert_eq!((booked.cause, booked.amount, booked.apply_at), (Cause::Job(1), 201, 1 + SLASH_DELAY));
        assert_eq!(booked.compensation, Some(Compensation { customer: ZOE, most: 400 }));
        assert!(events().contains(&Event::SlashBooked {
            provider: ALICE,
            slash: 0,
            cause: Cause::Job(1),
            amount: 201,
            apply_at: 1 + SLASH_DELAY
        }));
    });
}

#[test]
fn a_slash_is_applied_by_anyone_once_and_not_before_its_time() {
    ExtBuilder::build_and_execute(|| {
        register_alice(2_000);
        lock(1, 500);
        let id = book(1, Permill::one(), ZOE, 100);
        assert_noop!(Staking::apply_slash(signed(ALICE), ALICE, id), Refused::SlashNotDue);
        pass_blocks(SLASH_DELAY - 1);
        assert_noop!(Staking::apply_slash(signed(EVE), ALICE, id), Refused::SlashNotDue);
        pass_blocks(1);
        assert_noop!(Staking::apply_slash(signed(EVE), BOB, id), Refused::NoSuchSlash);
        assert_noop!(Staking::apply_slash(root(), ALICE, id), DispatchError::BadOrigin);
        assert_ok!(Staking::apply_slash(signed(EVE), ALICE, id));
        assert_eq!(last_taken(), Taken { from: [500, 0, 0, 0], to: [100, 0, 0, 400] });
        assert_eq!((pool().self_bond, pool().locked, pool().pending_slashes), (1_500, 0, 0));
        assert_noop!(Staking::apply_slash(signed(EVE), ALICE, id), Refused::NoSuchSlash);
    });
}

#[test]
fn governance_cancels_a_slash_until_its_time_and_nobody_else_does() {
    ExtBuilder::build_and_execute(|| {
        register_alice(2_000);
        lock(1, 500);
        lock(2, 300);
        let (first, second) = (book(1, Permill::one(), ZOE, 0), book(2, Permill::one(), ZOE, 0));
        for who in [ALICE, ZOE] {
            assert_noop!(Staking::cancel_slash(signed(who), ALICE, first), DispatchError::BadOrigin);
        }
        pass_blocks(SLASH_DELAY - 1);
        assert_ok!(Staking::cancel_slash(root(), ALICE, first));
        assert!(events().contains(&Event::SlashCancelled { provider: ALICE, slash: first, amount: 500 }));
        assert_eq!((pool().self_bond, pool().locked, pool().pending_slashes), (2_000, 300, 1));
        assert_noop!(Staking::cancel_slash(root(), ALICE, first), Refused::NoSuchSlash);
        pass_blocks(1);
        assert_noop!(Staking::cancel_slash(root(), ALICE, second), Refused::SlashDue);
        assert_noop!(Staking::apply_slash(signed(ZOE), ALICE, first), Refused::NoSuchSlash);
        assert_ok!(Staking::apply_slash(signed(ZOE), ALICE, second));
        assert_eq!(pool().self_bond, 1_700);
    });
}

#[test]
fn while_a_slash_is_pending_nobody_withdraws_who_was_bound_and_everybody_may_begin_to() {
    ExtBuilder::build_and_execute(|| {
        register_alice(5_000);
        register_bob();
        delegate(DAVE, 5_000);
        delegate(EVE, 5_000);
        undelegate_all(EVE);
        assert_ok!(Staking::unbond_self(signed(ALICE), 500));
        lock(1, 100);
        pass_blocks(UNBONDING_BLOCKS - 1);
        let id = book(1, Permill::one(), ZOE, 0);
        pass_blocks(1);
        for who in [EVE, ALICE] {
            assert_noop!(Staking::withdraw(signed(who), ALICE), Refused::SlashPending);
        }
        assert_noop!(Staking::delegate(signed(ZOE), ALICE, 1_000), Refused::SlashPending);
        let some = shares(DAVE) / 2;
        assert_noop!(Staking::redelegate(signed(DAVE), ALICE, BOB, some), Refused::SlashPending);
        assert_ok!(Staking::undelegate(signed(DAVE), ALICE, some));
        assert_ok!(Staking::unbond_self(signed(ALICE), 500));
        assert_ok!(Staking::bond_more(signed(ALICE), 300));
        pass_blocks(SLASH_DELAY);
        assert_ok!(Staking::apply_slash(signed(ZOE), ALICE, id));
        for who in [EVE, ALICE] {
            assert_ok!(Staking::withdraw(signed(who), ALICE));
        }
    });
}

#[test]
fn a_provider_with_a_pending_slash_may_exit_and_does_not_get_away() {
    ExtBuilder::build_and_execute(|| {
        register_alice(5_000);
        delegate(DAVE, 1_000);
        lock(1, 4_000);
        let id = book(1, Permill::one(), ZOE, 0);
        assert_ok!(Staking::exit(signed(ALICE)));
        pass_blocks(UNBONDING_BLOCKS);
        assert_ok!(Staking::evict(signed(ZOE), ALICE, DAVE));
        assert_noop!(Staking::withdraw(signed(ALICE), ALICE), Refused::SlashPending);
        assert_noop!(Staking::evict(signed(ZOE), ALICE, ALICE), Refused::SlashPending);
        assert_noop!(Staking::deregister(signed(ZOE), ALICE), Refused::SlashPending);
        assert_ok!(Staking::apply_slash(signed(ZOE), ALICE, id));
        assert_eq!(last_taken().from, [0, 4_000, 0, 0]);
        assert_ok!(Staking::evict(signed(ZOE), ALICE, ALICE));
        pass_blocks(UNBONDING_BLOCKS);
        assert_ok!(Staking::evict(signed(ZOE), ALICE, DAVE));
        assert_ok!(Staking::deregister(signed(ZOE), ALICE));
        assert_eq!((free(ALICE), free(DAVE)), (WEALTH - 4_000, WEALTH));
    });
}

#[test]
fn a_pending_slash_locks_like_a_bond() {
    ExtBuilder::build_and_execute(|| {
        register_alice(2_000);
        lock(1, 1_500);
        let id = book(1, Permill::from_percent(80), ZOE, 0);
        assert_noop!(Staking::lock_bond(&ALICE, 2, 801), Refused::NotEnoughStake);
        assert_noop!(Staking::unbond_self(signed(ALICE), 801), Refused::StakeBacksBonds);
        lock(2, 800);
        pass_blocks(SLASH_DELAY);
        assert_ok!(Staking::apply_slash(signed(ZOE), ALICE, id));
        assert_eq!((pool().self_bond, pool().locked), (800, 800));
    });
}

#[test]
fn a_slash_takes_the_self_bond_first() {
    ExtBuilder::build_and_execute(|| {
        register_alice(2_000);
        delegate(DAVE, 1_000);
        lock(1, 1_500);
        let taken = convict(1, Permill::one(), ZOE, 400);
        assert_eq!(taken, Taken { from: [1_500, 0, 0, 0], to: [400, 0, 0, 1_100] });
        assert_eq!((pool().self_bond, worth(DAVE)), (500, 1_000));
        assert_eq!(free(ZOE), WEALTH + 400);
    });
}

#[test]
fn self_bond_on_its_way_out_is_the_second_to_be_slashed() {
    ExtBuilder::build_and_execute(|| {
        register_alice(4_000);
        delegate(DAVE, 10_000);
        lock(1, 3_200);
        for amount in [500, 1_000] {
            assert_ok!(Staking::unbond_self(signed(ALICE), amount));
            pass_blocks(1);
        }
        // 2,500 are left of the self-bond; of the 700 that are missing all come from what left last.
        let taken = convict(1, Permill::one(), ZOE, 0);
        assert_eq!(taken.from, [2_500, 700, 0, 0]);
        assert_eq!(worth(DAVE), 10_000);
        let left = SelfUnbonding::<Test>::get(ALICE).iter().map(|chunk| chunk.amount).collect::<Vec<_>>();
        assert_eq!((left, pool().self_unbonding), (vec![500, 300], 800));
        pass_blocks(UNBONDING_BLOCKS);
        assert_ok!(Staking::withdraw(signed(ALICE), ALICE));
        assert_eq!(held_in_pool(), 10_000);
    });
}

#[test]
fn a_slash_takes_active_and_unbonding_delegations_alike() {
    ExtBuilder::build_and_execute(|| {
        register_alice(1_000);
        delegate(DAVE, 3_000);
        delegate(EVE, 1_000);
        lock(1, 1_401);
        undelegate_all(EVE);
        let taken = convict(1, Permill::one(), ZOE, 0);
        assert_eq!(taken, Taken { from: [1_000, 0, 301, 100], to: [0, 0, 0, 1_401] });
        assert_eq!((pool().self_bond, worth(DAVE)), (0, 2_699));
        pass_blocks(UNBONDING_BLOCKS);
        assert_ok!(Staking::withdraw(signed(EVE), ALICE));
        assert_eq!(free(EVE), WEALTH - 100);
    });
}

#[test]
fn delegators_lose_at_most_the_cap_by_one_offence() {
    ExtBuilder::build_and_execute(|| {
        register_alice(1_000);
        delegate(DAVE, 3_000);
        delegate(EVE, 1_000);
        undelegate_all(EVE);
        let taken = offend(Permill::one(), None);
        assert_eq!(taken.from, [1_000, 0, 600, 200]);
        assert_eq!((worth(DAVE), pool().unbonding.balance), (2_400, 800));
        // By the next one, as much of what is left.
        let taken = offend(Permill::one(), None);
        assert_eq!(taken.from, [0, 0, 480, 160]);
    });
}

#[test]
fn an_offence_costs_a_part_of_the_whole_pool_and_the_provider_pays_first() {
    ExtBuilder::build_and_execute(|| {
        register_alice(1_000);
        delegate(DAVE, 9_000);
        let taken = offend(Permill::from_percent(10), None);
        assert_eq!(taken.from, [1_000, 0, 0, 0]);
        let taken = offend(Permill::from_parts(100_001), None);
        // 900.009, rounded up.
        assert_eq!(taken.from, [0, 0, 901, 0]);
        Staking::slash_for_offence(&BOB, Permill::one(), None);
        Staking::slash_for_offence(&ALICE, Permill::zero(), None);
        assert_eq!(PendingSlashes::<Test>::iter().count(), 0, "no pool, or no part: no slash");
    });
}

#[test]
fn the_reporter_of_an_offence_gets_a_capped_reward_and_the_rest_is_burned() {
    ExtBuilder::build_and_execute(|| {
        register_alice(10_000);
        let issued = issuance();
        let taken = offend(Permill::from_percent(50), Some(ZOE));
        assert_eq!(taken, Taken { from: [5_000, 0, 0, 0], to: [0, 0, 250, 4_750] });
        assert_eq!((free(ZOE), issuance()), (WEALTH + 250, issued - 4_750));
        // The one that is slashed gets nothing, nor does an account that can't receive so little.
        assert_eq!(offend(Permill::from_percent(10), Some(ALICE)).to, [0, 0, 0, 500]);
        assert_eq!(offend(Permill::from_percent(1), Some(77)).to, [0, 0, 0, 45]);
    });
}

#[test]
fn two_slashes_of_one_pool_are_each_taken() {
    ExtBuilder::build_and_execute(|| {
        register_alice(1_000);
        delegate(DAVE, 5_000);
        lock(1, 1_200);
        lock(2, 800);
        // All that the pool can answer for is locked; both slashes find their whole amount.
        let ids = [book(1, Permill::one(), ZOE, 5_000), book(2, Permill::one(), ZOE, 5_000)];
        pass_blocks(SLASH_DELAY);
        // In either order.
        assert_ok!(Staking::apply_slash(signed(ZOE), ALICE, ids[1]));
        assert_eq!(last_taken().from, [800, 0, 0, 0]);
        assert_ok!(Staking::apply_slash(signed(ZOE), ALICE, ids[0]));
        assert_eq!(last_taken().from, [200, 0, 1_000, 0]);
        assert_eq!(free(ZOE), WEALTH + 1_000, "of the provider's own");
    });
}

#[test]
fn a_slash_larger_than_what_is_there_takes_what_is_there() {
    ExtBuilder::build_and_execute(|| {
        register_alice(1_000);
        delegate(DAVE, 1_000);
        lock(1, 1_200);
        offend(Permill::one(), None);
        assert_eq!(held_in_pool(), 800);
        let taken = convict(1, Permill::one(), ZOE, 10_000);
        assert_eq!(taken, Taken { from: [0, 0, 160, 0], to: [0, 0, 0, 160] });
        assert_eq!(pool().locked, 0);
    });
}

#[test]
fn an_unknown_bond_is_not_slashed() {
    ExtBuilder::build_and_execute(|| {
        register_alice(1_000);
        assert_eq!(Staking::slash_bond(&ALICE, 9, Permill::one(), &ZOE, 9), 0);
        assert_eq!(Staking::slash_bond(&BOB, 9, Permill::one(), &ZOE, 9), 0);
        lock(1, 100);
        assert_eq!(Staking::slash_bond(&ALICE, 1, Permill::zero(), &ZOE, 9), 0);
        assert_eq!((pool().locked, pool().pending_slashes), (0, 0));
    });
}

#[test]
fn what_a_customer_cannot_receive_is_owed_to_it() {
    ExtBuilder::build_and_execute(|| {
        register_alice(1_000);
        lock(1, 100);
        lock(2, 100);
        let nobody = 77;
        let taken = convict(1, Permill::one(), nobody, EXISTENTIAL - 1);
        assert_eq!(taken.to, [0, EXISTENTIAL - 1, 0, 100 - (EXISTENTIAL - 1)]);
        assert_eq!(pool().owed, EXISTENTIAL - 1);
        assert_noop!(Staking::claim_compensation(signed(ZOE), ALICE, nobody), Refused::StillUnpayable);
        assert_noop!(Staking::claim_compensation(signed(ZOE), ALICE, ZOE), Refused::NothingOwed);
        // With what the next slash leaves it, it can receive.
        convict(2, Permill::one(), nobody, EXISTENTIAL);
        assert_ok!(Staking::claim_compensation(signed(ZOE), ALICE, nobody));
        assert_eq!((free(nobody), pool().owed), (2 * EXISTENTIAL - 1, 0));
        assert_noop!(Staking::claim_compensation(signed(ZOE), ALICE, nobody), Refused::NothingOwed);
    });
}

#[test]
fn where_there_is_nothing_to_compensate_nothing_is_owed() {
    ExtBuilder::build_and_execute(|| {
        register_alice(1_000);
        lock(1, 100);
        let nobody = 77;
        assert_eq!(convict(1, Permill::one(), nobody, 0).to, [0, 0, 0, 100]);
        assert!(!OwedCompensation::<Test>::contains_key(ALICE, nobody));
    });
}

#[test]
fn a_pool_that_owes_compensation_is_not_deleted() {
    ExtBuilder::build_and_execute(|| {
        register_alice(1_000);
        lock(1, 100);
        let nobody = 77;
        convict(1, Permill::one(), nobody, 5);
        assert_ok!(Staking::exit(signed(ALICE)));
        pass_blocks(UNBONDING_BLOCKS);
        assert_ok!(Staking::withdraw(signed(ALICE), ALICE));
        assert_noop!(Staking::deregister(signed(ZOE), ALICE), Refused::CompensationOwed);
        assert_ok!(<Balances as Mutate<_>>::transfer(&ZOE, &nobody, EXISTENTIAL, Preservation::Preserve));
        assert_ok!(Staking::claim_compensation(signed(ZOE), ALICE, nobody));
        assert_ok!(Staking::deregister(signed(ZOE), ALICE));
        assert_eq!((free(nobody), free(ALICE)), (EXISTENTIAL + 5, WEALTH - 100));
    });
}

#[test]
fn a_slash_burns_from_the_issuance_what_nobody_gets() {
    ExtBuilder::build_and_execute(|| {
        register_alice(1_000);
        let before = issuance();
        lock(1, 300);
        convict(1, Permill::one(), ZOE, 100);
        assert_eq!(issuance(), before - 200);
    });
}

#[test]
fn beyond_the_bound_a_slash_acts_at_once_and_none_is_lost() {
    ExtBuilder::build_and_execute(|| {
        register_alice(10_000);
        let jobs = u64::from(MAX_PENDING_SLASHES) + 2;
        for job in 0..jobs {
            lock(job, 100);
        }
        for job in 0..jobs {
            assert_eq!(Staking::slash_bond(&ALICE, job, Permill::one(), &ZOE, 60), 100);
        }
        assert_eq!(pool().pending_slashes, MAX_PENDING_SLASHES);
        assert_eq!((pool().self_bond, free(ZOE)), (9_800, WEALTH + 120));
        pass_blocks(SLASH_DELAY);
        for (id, _) in PendingSlashes::<Test>::iter_prefix(ALICE).collect::<Vec<_>>() {
            assert_ok!(Staking::apply_slash(signed(ZOE), ALICE, id));
        }
        assert_eq!((pool().self_bond, pool().locked), (10_000 - 100 * u128::from(jobs), 0));
    });
}

#[test]
fn windows_in_which_stake_could_leave_before_its_slash_are_refused() {
    use frame_support::traits::Hooks;
    let check = || <Staking as Hooks<u64>>::integrity_test();
    new_test_ext().execute_with(|| {
        check();
        ConvictionTime::set(UNBONDING_BLOCKS - SLASH_DELAY - 1);
        check();
        ConvictionTime::set(UNBONDING_BLOCKS - SLASH_DELAY);
        assert!(std::panic::catch_unwind(check).is_err());
        ConvictionTime::set(CONVICTION_BLOCKS);
        RiseDelay::set(UNBONDING_BLOCKS + 1);
        check();
        RiseDelay::set(UNBONDING_BLOCKS);
        assert!(std::panic::catch_unwind(check).is_err());
    });
}

#[test]
fn a_slash_that_nobody_applies_does_not_run_away() {
    ExtBuilder::build_and_execute(|| {
        register_alice(5_000);
        delegate(DAVE, 1_000);
        lock(1, 500);
        let id = book(1, Permill::one(), ZOE, 500);
        undelegate_all(DAVE);
        pass_blocks(50 * UNBONDING_BLOCKS);
        assert_noop!(Staking::withdraw(signed(DAVE), ALICE), Refused::SlashPending);
        assert_ok!(Staking::apply_slash(signed(DAVE), ALICE, id));
        assert_ok!(Staking::withdraw(signed(DAVE), ALICE));
        assert_eq!((free(DAVE), free(ZOE)), (WEALTH, WEALTH + 500));
    });
}
