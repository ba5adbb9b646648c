//! What it costs not to answer, and how those who did not are found.

use frame_support::{
    assert_noop, assert_ok,
    traits::{fungible::Mutate, Get},
    weights::{RuntimeDbWeight, Weight},
};
use sp_arithmetic::Permill;

use super::heartbeats::asked;
use crate::{mock::*, *};

type Refused = Error<Test>;
type DbWeight = <Test as frame_system::Config>::DbWeight;

/// Alice was asked, and has not answered.
fn absent() {
    asked();
    next_period();
    assert!(presence().absent_since.is_some());
}

fn unlocks() -> Vec<u32> {
    SelfUnbonding::<Test>::get(ALICE).into_iter().map(|chunk| chunk.unlock_at).collect()
}

#[test]
fn whoever_does_not_answer_is_absent_once_the_period_is_over() {
    ExtBuilder::build_and_execute(|| {
        asked();
        run_to((period() + 1) * PERIOD - 1);
        assert_eq!(heartbeats(), (0, 0), "there is time until the last block");
        next_period();
        assert_eq!(heartbeats(), (0, 1));
        assert_eq!(presence().absent_since, Some(block()));
        let seen = events();
        assert!(seen.contains(&Event::HeartbeatMissed { provider: ALICE, period: 1 }));
        assert!(seen.contains(&Event::AbsenceBegun { provider: ALICE }));
    });
}

#[test]
fn an_absent_provider_is_asked_in_every_period_until_it_answers() {
    ExtBuilder::build_and_execute(|| {
        absent();
        let since = presence().absent_since;
        OneIn::set(u32::MAX);
        Entropy::set(None);
        for missed in 2..5 {
            assert_eq!(Staking::due_period(&ALICE), Some(period()));
            next_period();
            assert_eq!((heartbeats(), presence().absent_since), ((0, missed), since));
        }
        let begun = |event: &Event<Test>| *event == Event::AbsenceBegun { provider: ALICE };
        assert_eq!(events().iter().filter(|event| begun(event)).count(), 1, "it is one absence");
        assert_ok!(alice_answers());
        assert_eq!(presence(), Presence { due_from: period() + 1, absent_since: None });
        assert!(events().contains(&Event::AbsenceEnded { provider: ALICE }));
        next_period();
        assert_eq!(Staking::due_period(&ALICE), None);
        assert_eq!(heartbeats(), (1, 4));
    });
}

#[test]
fn absence_cuts_block_rewards_and_never_the_pay_for_jobs() {
    ExtBuilder::build_and_execute(|| {
        asked();
        assert_eq!(Staking::reward_part(&ALICE), Permill::one());
        next_period();
        assert_eq!(Staking::reward_part(&ALICE), Permill::from_percent(50));
        let before = free(ALICE);
        earn(1_000, Permill::zero());
        assert_eq!(free(ALICE), before + 1_000, "a job's price is paid in full");
        assert_ok!(alice_answers());
        assert_eq!(Staking::reward_part(&ALICE), Permill::one());
    });
}

#[test]
fn absence_takes_nothing_out_of_the_pool() {
    ExtBuilder::build_and_execute(|| {
        asked();
        delegate(DAVE, 5_000);
        let before = (held_in_pool(), pool(), Balances::total_issuance());
        (0..5).for_each(|_| next_period());
        assert_eq!(heartbeats(), (0, 5));
        assert_eq!((held_in_pool(), pool(), Balances::total_issuance()), before);
    });
}

#[test]
fn an_absent_providers_self_bond_is_locked_longer_and_its_delegators_stake_is_not() {
    ExtBuilder::build_and_execute(|| {
        asked();
        delegate(DAVE, 5_000);
        next_period();
        let now = block();
        assert_ok!(Staking::unbond_self(signed(ALICE), 500));
        undelegate_all(DAVE);
        assert_eq!(unlocks(), [now + UNBONDING_BLOCKS + ABSENCE_LOCK]);
        assert_eq!(Unbonding::<Test>::get(ALICE, DAVE)[0].unlock_at, now + UNBONDING_BLOCKS);
        pass_blocks(UNBONDING_BLOCKS + ABSENCE_LOCK - 1);
        assert_ok!(Staking::withdraw(signed(DAVE), ALICE));
        assert_noop!(Staking::withdraw(signed(ALICE), ALICE), Refused::NothingToWithdraw);
        pass_blocks(1);
        assert_ok!(Staking::withdraw(signed(ALICE), ALICE));
    });
}

#[test]
fn self_bond_that_left_in_an_absence_does_not_hold_back_what_leaves_after_it() {
    ExtBuilder::build_and_execute(|| {
        absent();
        let now = block();
        assert_ok!(Staking::unbond_self(signed(ALICE), 500));
        assert_ok!(alice_answers());
        assert_ok!(Staking::unbond_self(signed(ALICE), 300));
        assert_eq!(unlocks(), [now + UNBONDING_BLOCKS, now + UNBONDING_BLOCKS + ABSENCE_LOCK]);
        pass_blocks(ABSENCE_LOCK);
        // What is unlocked in the same block is one entry, however it came to it.
        assert_ok!(Staking::unbond_self(signed(ALICE), 20));
        assert_eq!(
            SelfUnbonding::<Test>::get(ALICE).into_iter().map(|c| c.amount).collect::<Vec<_>>(),
            [300, 520]
        );
        assert_ok!(Staking::do_try_state());
        pass_blocks(UNBONDING_BLOCKS - ABSENCE_LOCK);
        let before = free(ALICE);
        assert_ok!(Staking::withdraw(signed(ALICE), ALICE));
        assert_eq!(free(ALICE), before + 300);
    });
}

#[test]
fn chilling_does_not_launder_an_absence() {
    ExtBuilder::build_and_execute(|| {
        absent();
        let since = presence().absent_since;
        assert_ok!(Staking::chill(signed(ALICE)));
        (0..3).for_each(|_| next_period());
        assert_eq!(presence().absent_since, since);
        assert_eq!(Staking::reward_part(&ALICE), Permill::from_percent(50));
        let now = block();
        assert_ok!(Staking::unbond_self(signed(ALICE), 500));
        assert_eq!(unlocks(), [now + UNBONDING_BLOCKS + ABSENCE_LOCK]);
        assert_ok!(Staking::unchill(signed(ALICE)));
        assert_eq!(presence().absent_since, since, "coming back is no answer");
        next_period();
        assert_ok!(alice_answers());
        assert_eq!(presence().absent_since, None);
    });
}

#[test]
fn chilling_before_the_sweep_comes_does_not_hide_that_a_heartbeat_was_missed() {
    ExtBuilder::build_and_execute(|| {
        asked();
        run_to_with((period() + 1) * PERIOD, Weight::zero());
        assert_ok!(Staking::chill(signed(ALICE)));
        assert_eq!(heartbeats(), (0, 1));
        run_to(block() + 1);
        assert_eq!(heartbeats(), (0, 1));
        assert!(presence().absent_since.is_some());
    });
}

#[test]
fn leaving_before_the_sweep_comes_does_not_shorten_the_lock() {
    ExtBuilder::build_and_execute(|| {
        asked();
        run_to_with((period() + 1) * PERIOD, Weight::zero());
        let now = block();
        assert_ok!(Staking::unbond_self(signed(ALICE), 500));
        assert_ok!(Staking::exit(signed(ALICE)));
        assert_eq!(unlocks(), [now + UNBONDING_BLOCKS + ABSENCE_LOCK]);
        assert_eq!(pool().self_bond, 0);
        assert_eq!(Staking::reward_part(&ALICE), Permill::from_percent(50));
    });
}

#[test]
fn an_answer_before_the_sweep_comes_does_not_undo_what_was_missed_before() {
    ExtBuilder::build_and_execute(|| {
        asked();
        run_to_with((period() + 1) * PERIOD, Weight::zero());
        assert_ok!(alice_answers());
        assert_eq!(heartbeats(), (1, 1));
        assert_eq!(presence().absent_since, None);
        run_to(block() + 1);
        assert_eq!(heartbeats(), (1, 1));
    });
}

// ---- the sweep

/// Registers providers 1,000, 1,001, ... with operators far above them.
pub(super) fn register_many(count: u64) -> Vec<AccountId> {
    RegistrySize::set(u32::try_from(count).expect("it is a small number, qed"));
    let all = (1_000..1_000 + count).collect::<Vec<_>>();
    for who in &all {
        assert_ok!(Balances::mint_into(who, 10_000));
        let (operator, bond) = (who + 1_000_000, MIN_SELF_BOND);
        assert_ok!(Staking::register(signed(*who), profile(), Permill::zero(), operator, bond));
    }
    all
}

fn missed(who: AccountId) -> u32 {
    Providers::<Test>::get(who).expect("it is registered, qed").reputation.heartbeats_missed
}

/// Weight for `count` providers in a block.
fn weight_for(count: u64) -> Weight {
    let reads = <DbWeight as Get<RuntimeDbWeight>>::get().reads(1);
    let one = <() as WeightInfo>::sweep_one();
    <() as WeightInfo>::sweep().saturating_add(reads).saturating_add(one.saturating_mul(count))
}

#[test]
fn a_sweep_takes_as_much_weight_as_it_is_given_and_goes_on_where_it_stopped() {
    ExtBuilder::build_and_execute(|| {
        run_to(1);
        let all = register_many(30);
        next_period();
        run_to_with(PERIOD * 2 - 1, Weight::MAX);
        for done in [0, 7, 14, 21, 28, 30] {
            assert_eq!(all.iter().filter(|who| missed(**who) == 1).count(), done);
            run_to_with(block() + 1, weight_for(7));
        }
        assert!(!Sweeping::<Test>::exists(), "it is over");
    });
}

#[test]
fn a_sweep_looks_at_a_bounded_number_of_providers_in_a_block() {
    ExtBuilder::build_and_execute(|| {
        run_to(1);
        let all = register_many(200);
        next_period();
        next_period();
        let most = usize::try_from(MAX_SWEPT_PER_BLOCK).expect("it is small, qed");
        assert_eq!(all.iter().filter(|who| missed(**who) == 1).count(), most);
        run_to(block() + 3);
        assert_eq!(all.iter().filter(|who| missed(**who) == 1).count(), 200);
    });
}

#[test]
fn thousands_of_providers_and_little_weight_leave_some_unjudged_and_nothing_broken() {
    ExtBuilder::build_and_execute(|| {
        run_to(1);
        let all = register_many(3_000);
        next_period();
        for round in 1..4u32 {
            run_to_with((period() + 1) * PERIOD, weight_for(20));
            assert_ok!(Staking::do_try_state());
            // The sweep of the period before was cut short when this one began.
            if round > 1 {
                assert!(events().contains(&Event::HeartbeatsUnjudged { period: period() - 2 }));
            }
        }
        run_to_with((period() + 1) * PERIOD - 1, weight_for(20));
        let judged = all.iter().filter(|who| missed(**who) > 0).count();
        assert_eq!(judged, 20 * 10, "those whom each sweep has reached, and each of them for every period");
        assert!(all[..200].iter().all(|who| missed(*who) == 3));
        assert!(all[200..]
            .iter()
            .all(|who| Providers::<Test>::get(who).is_some_and(|p| p.presence.absent_since.is_none())));
    });
}

#[test]
fn providers_that_come_and_go_while_a_sweep_runs_are_neither_skipped_nor_judged_twice() {
    ExtBuilder::build_and_execute(|| {
        run_to(1);
        let all = register_many(12);
        RegistrySize::set(13);
        next_period();
        run_to_with(PERIOD * 2, weight_for(5));
        // One comes before the cursor, and the one that it stands on leaves.
        register_alice(10_000);
        let gone = all[4];
        assert_eq!(Sweeping::<Test>::get().and_then(|sweep| sweep.cursor), Some(gone));
        assert_ok!(Staking::exit(signed(gone)));
        run_to_with(block() + 2, weight_for(5));
        for who in &all {
            assert_eq!(missed(*who), 1, "provider {who}");
        }
        assert_eq!(heartbeats(), (0, 0));
    });
}

/// As while a migration runs, when there are no transactions either.
#[test]
fn a_period_without_any_housekeeping_is_not_judged() {
    ExtBuilder::build_and_execute(|| {
        asked();
        let stopped = period() + 1;
        run_to(stopped * PERIOD - 1);
        run_to_with((stopped + 1) * PERIOD, Weight::zero());
        run_to((stopped + 2) * PERIOD - 1);
        for unjudged in [stopped - 1, stopped] {
            assert!(events().contains(&Event::HeartbeatsUnjudged { period: unjudged }));
        }
        assert_eq!(heartbeats(), (0, 0));
        next_period();
        assert_eq!(heartbeats(), (0, 1), "then it goes on as before");
    });
}

#[test]
fn nobody_is_judged_for_a_period_in_part_of_which_the_chain_stood_still() {
    for more in 0..5 {
        ExtBuilder::build_and_execute(|| {
            asked();
            let first = period();
            run_to(first * PERIOD + PERIOD / 2);
            // From the middle of one period to the middle of one that is so many later.
            let last = first + more;
            Migrating::set(true);
            run_to_with(last * PERIOD + PERIOD / 2 + 1, Weight::zero());
            Migrating::set(false);
            run_to((last + 2) * PERIOD - 1);
            for unjudged in first..=last {
                let told = Event::HeartbeatsUnjudged { period: unjudged };
                assert!(events().contains(&told), "{unjudged}, of {first} to {last}");
            }
            assert_eq!(heartbeats(), (0, 0), "a stop over the ends of {more} periods");
            next_period();
            assert_eq!(heartbeats(), (0, 1), "then it goes on as before");
        });
    }
}
