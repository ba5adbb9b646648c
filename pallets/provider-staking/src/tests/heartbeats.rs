//! Who is asked for a heartbeat, what an answer takes, and what it costs not to give one.

use attune_primitives::{
    heartbeat::{is_drawn, payload},
    H256,
};
use frame_support::{
    assert_noop, assert_ok,
    dispatch::{GetDispatchInfo, Pays},
    traits::{fungible::Mutate, Authorize, Get},
    weights::{RuntimeDbWeight, Weight},
};
use frame_system::RawOrigin;
use sp_arithmetic::Permill;
use sp_runtime::{
    testing::TestSignature,
    transaction_validity::{InvalidTransaction, TransactionValidityError, ValidTransaction},
    DispatchError, StateVersion,
};

use crate::{mock::*, *};

type Refused = Error<Test>;
type DbWeight = <Test as frame_system::Config>::DbWeight;

/// Alice is registered, and asked in the period that has just begun.
fn asked() {
    run_to(1);
    register_alice(10_000);
    next_period();
    assert_eq!(Staking::due_period(&ALICE), Some(period()));
}

/// Alice was asked, and has not answered.
fn absent() {
    asked();
    next_period();
    assert!(presence().absent_since.is_some());
}

fn refused(reason: InvalidTransaction) -> Result<ValidTransaction, TransactionValidityError> {
    Err(reason.into())
}

fn root() -> Vec<u8> {
    sp_io::storage::root(StateVersion::V1)
}

fn unlocks() -> Vec<u32> {
    SelfUnbonding::<Test>::get(ALICE).into_iter().map(|chunk| chunk.unlock_at).collect()
}

// ---- who is asked

#[test]
fn a_provider_is_asked_from_the_first_full_period_on() {
    ExtBuilder::build_and_execute(|| {
        run_to(3);
        register_alice(10_000);
        assert_eq!(Staking::due_period(&ALICE), None, "it was no provider when the period began");
        next_period();
        assert_eq!(Staking::due_period(&ALICE), Some(1));
        assert_eq!(heartbeats(), (0, 0), "and it is not judged for the period before");
    });
}

#[test]
fn the_sample_is_the_one_of_the_primitives_and_stays_for_the_whole_period() {
    ExtBuilder::build_and_execute(|| {
        OneIn::set(6);
        run_to(1);
        register_alice(10_000);
        let mut asked = 0;
        for round in 0..60u8 {
            let randomness = H256::repeat_byte(round);
            Entropy::set(Some(randomness));
            next_period();
            let expected = is_drawn(&randomness, &ALICE, period(), 6);
            // What comes up in the middle of a period counts for the next one.
            Entropy::set(Some(H256::repeat_byte(99)));
            run_to(block() + PERIOD / 2);
            assert_eq!(Staking::due_period(&ALICE).is_some(), expected, "period {}", period());
            if expected {
                asked += 1;
                assert_ok!(alice_answers());
            }
        }
        assert!((3..25).contains(&asked), "{asked} of 60 is not about one in six");
        assert_eq!(heartbeats(), (asked, 0));
    });
}

#[test]
fn without_any_randomness_nobody_is_drawn_and_with_none_that_is_new_the_last_one_counts() {
    ExtBuilder::build_and_execute(|| {
        Entropy::set(None);
        run_to(1);
        register_alice(10_000);
        next_period();
        assert_eq!(Staking::due_period(&ALICE), None);
        let last = H256::repeat_byte(5);
        Entropy::set(Some(last));
        for _ in 0..3 {
            next_period();
            assert_eq!(CurrentPeriod::<Test>::get().and_then(|period| period.randomness), Some(last));
            assert_ok!(alice_answers());
        }
    });
}

#[test]
fn chilled_and_exiting_providers_are_not_asked() {
    ExtBuilder::build_and_execute(|| {
        asked();
        assert_ok!(Staking::chill(signed(ALICE)));
        assert_eq!(Staking::due_period(&ALICE), None);
        next_period();
        next_period();
        assert_eq!(heartbeats(), (0, 0));
        assert_ok!(Staking::unchill(signed(ALICE)));
        next_period();
        assert!(Staking::due_period(&ALICE).is_some());
        assert_ok!(alice_answers());
        assert_ok!(Staking::exit(signed(ALICE)));
        next_period();
        assert_eq!(Staking::due_period(&ALICE), None);
        next_period();
        assert_eq!(heartbeats(), (1, 0));
    });
}

#[test]
fn whoever_comes_back_in_the_middle_of_a_period_is_not_judged_for_it() {
    ExtBuilder::build_and_execute(|| {
        asked();
        assert_ok!(alice_answers());
        assert_ok!(Staking::chill(signed(ALICE)));
        next_period();
        run_to(block() + 2);
        assert_ok!(Staking::unchill(signed(ALICE)));
        assert_eq!(Staking::due_period(&ALICE), None);
        next_period();
        assert_eq!(heartbeats(), (1, 0));
        assert_eq!(presence().absent_since, None);
    });
}

// ---- an answer

#[test]
fn an_answer_counts_and_is_valid_until_the_period_ends() {
    ExtBuilder::build_and_execute(|| {
        asked();
        run_to(block() + 3);
        let validity = alice_answers().expect("Alice is asked");
        assert_eq!(
            validity.longevity,
            u64::from(PERIOD - 3),
            "from this block to the last one of the period"
        );
        assert_eq!(validity.provides.len(), 1);
        assert!(validity.propagate && validity.requires.is_empty());
        assert_eq!(heartbeats(), (1, 0));
        assert!(events().contains(&Event::HeartbeatAnswered { provider: ALICE, period: 1 }));
        next_period();
        assert_eq!((heartbeats(), presence().absent_since), ((1, 0), None));
    });
}

#[test]
fn an_answer_is_good_in_the_first_block_of_a_period_and_in_the_last() {
    ExtBuilder::build_and_execute(|| {
        asked();
        assert_eq!(block() % PERIOD, 0);
        assert_ok!(alice_answers());
        run_to((period() + 2) * PERIOD - 1);
        assert_ok!(alice_answers());
        next_period();
        assert_eq!(heartbeats(), (2, 0));
    });
}

#[test]
fn a_heartbeat_pays_no_fee() {
    ExtBuilder::build_and_execute(|| {
        let call = RuntimeCall::Staking(heartbeat_by(ALICE_KEY, ALICE, 1));
        let info = call.get_dispatch_info();
        assert_eq!(info.pays_fee, Pays::No);
        assert!(call.weight_of_authorize().ref_time() > 0, "and to look at it is accounted for");
    });
}

// ---- what others would try

#[test]
fn somebody_elses_signature_is_no_heartbeat() {
    ExtBuilder::build_and_execute(|| {
        asked();
        for key in [ALICE, BOB_KEY, ZOE] {
            let forged = heartbeat_by(key, ALICE, period());
            assert_eq!(submit(forged), refused(InvalidTransaction::BadProof), "signed by {key}");
        }
        assert_eq!(heartbeats(), (0, 0));
    });
}

#[test]
fn one_providers_heartbeat_is_not_anothers() {
    ExtBuilder::build_and_execute(|| {
        asked();
        register_bob();
        next_period();
        let bobs = payload(&genesis(), &BOB, period());
        let signature = TestSignature(BOB_KEY, bobs);
        let call = Call::heartbeat { provider: ALICE, period: period(), signature };
        assert_eq!(submit(call), refused(InvalidTransaction::BadProof));
    });
}

#[test]
fn a_replayed_heartbeat_is_stale() {
    ExtBuilder::build_and_execute(|| {
        asked();
        let recorded = heartbeat_by(ALICE_KEY, ALICE, period());
        assert_ok!(submit(recorded.clone()));
        assert_eq!(submit(recorded.clone()), refused(InvalidTransaction::Stale), "in the same period");
        next_period();
        assert_eq!(submit(recorded), refused(InvalidTransaction::Stale), "in the next one");
        assert_eq!(heartbeats(), (1, 0));
    });
}

#[test]
fn a_recorded_signature_does_not_serve_for_another_period() {
    ExtBuilder::build_and_execute(|| {
        asked();
        let signature = TestSignature(ALICE_KEY, payload(&genesis(), &ALICE, period()));
        next_period();
        let call = Call::heartbeat { provider: ALICE, period: period(), signature };
        assert_eq!(submit(call), refused(InvalidTransaction::BadProof));
    });
}

#[test]
fn a_heartbeat_of_another_chain_is_refused() {
    ExtBuilder::build_and_execute(|| {
        asked();
        let signature = TestSignature(ALICE_KEY, payload(&[9; 32], &ALICE, period()));
        let call = Call::heartbeat { provider: ALICE, period: period(), signature };
        assert_eq!(submit(call), refused(InvalidTransaction::BadProof));
    });
}

#[test]
fn a_heartbeat_that_nobody_asked_for_is_refused() {
    ExtBuilder::build_and_execute(|| {
        OneIn::set(u32::MAX);
        run_to(1);
        register_alice(10_000);
        next_period();
        let unasked = || refused(InvalidTransaction::Custom(NOT_ASKED));
        assert_eq!(alice_answers(), unasked());
        assert_eq!(submit(heartbeat_by(ZOE, ZOE, period())), unasked(), "an account that is no provider");
        assert_noop!(
            Staking::heartbeat(RawOrigin::Authorized.into(), ALICE, 1, TestSignature(ALICE_KEY, vec![])),
            Refused::NotAsked
        );
    });
}

#[test]
fn a_heartbeat_for_the_wrong_period_is_refused() {
    ExtBuilder::build_and_execute(|| {
        asked();
        next_period();
        let beat = |period| submit(heartbeat_by(ALICE_KEY, ALICE, period));
        assert_eq!(beat(period() - 1), refused(InvalidTransaction::Stale));
        assert_eq!(beat(period() + 1), refused(InvalidTransaction::Future));
        assert_eq!(beat(u32::MAX), refused(InvalidTransaction::Future));
        assert_ok!(beat(period()));
    });
}

/// A node looks at a transaction as if it were in the block after its best one, whose first hooks have not run.
#[test]
fn before_a_periods_first_block_its_heartbeats_are_early_and_those_of_the_one_before_late() {
    ExtBuilder::build_and_execute(|| {
        asked();
        let ending = period();
        System::set_block_number(u64::from((ending + 1) * PERIOD));
        assert_eq!(submit(heartbeat_by(ALICE_KEY, ALICE, ending)), refused(InvalidTransaction::Stale));
        assert_eq!(submit(heartbeat_by(ALICE_KEY, ALICE, ending + 1)), refused(InvalidTransaction::Future));
        assert_eq!(Staking::due_period(&ALICE), None);
    });
}

#[test]
fn an_operator_rotated_in_the_middle_of_a_period_ends_the_asking_for_it() {
    ExtBuilder::build_and_execute(|| {
        asked();
        assert_ok!(Staking::set_operator(signed(ALICE), 77));
        let this = period();
        assert_eq!(submit(heartbeat_by(ALICE_KEY, ALICE, this)), refused(InvalidTransaction::Stale));
        assert_eq!(submit(heartbeat_by(77, ALICE, this)), refused(InvalidTransaction::Stale));
        next_period();
        assert_eq!((heartbeats(), presence().absent_since), ((0, 0), None), "not judged for it either");
        assert_eq!(alice_answers(), refused(InvalidTransaction::BadProof), "the old key is nobody's");
        assert_ok!(submit(heartbeat_by(77, ALICE, period())));
    });
}

#[test]
fn an_operator_rotated_after_a_period_does_not_hide_that_it_was_missed() {
    ExtBuilder::build_and_execute(|| {
        asked();
        // The first block of the next period, before the sweep.
        run_to_with((period() + 1) * PERIOD, Weight::zero());
        assert_ok!(Staking::set_operator(signed(ALICE), 77));
        assert_eq!(heartbeats(), (0, 1));
        assert!(presence().absent_since.is_some());
        run_to(block() + 1);
        assert_eq!(heartbeats(), (0, 1), "the sweep does not count it again");
    });
}

#[test]
fn a_flood_of_wrong_heartbeats_leaves_the_state_as_it_is() {
    ExtBuilder::build_and_execute(|| {
        asked();
        let before = root();
        for nonsense in 0..1_000u32 {
            let who = AccountId::from(nonsense % 20);
            let signature = TestSignature(ALICE_KEY, nonsense.to_le_bytes().to_vec());
            let call = Call::heartbeat { provider: who, period: nonsense % 7, signature };
            assert!(submit(call).is_err());
        }
        assert_eq!(root(), before);
        assert_ok!(alice_answers());
    });
}

#[test]
fn only_an_authorised_transaction_is_a_heartbeat() {
    ExtBuilder::build_and_execute(|| {
        asked();
        let signature = TestSignature(ALICE_KEY, payload(&genesis(), &ALICE, period()));
        for origin in
            [RawOrigin::Root, RawOrigin::None, RawOrigin::Signed(ALICE), RawOrigin::Signed(ALICE_KEY)]
        {
            assert_noop!(
                Staking::heartbeat(origin.into(), ALICE, period(), signature.clone()),
                DispatchError::BadOrigin
            );
        }
    });
}

// ---- absence

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
