//! Who is asked for a heartbeat, and what an answer takes.

use attune_primitives::{
    heartbeat::{is_drawn, payload},
    H256,
};
use frame_support::{
    assert_noop, assert_ok,
    dispatch::{GetDispatchInfo, Pays},
    traits::Authorize,
    weights::Weight,
};
use frame_system::RawOrigin;
use sp_runtime::{
    testing::TestSignature,
    transaction_validity::{InvalidTransaction, TransactionValidityError, ValidTransaction},
    DispatchError, StateVersion,
};

use crate::{mock::*, *};

type Refused = Error<Test>;

/// Alice is registered, and asked in the period that has just begun.
pub(super) fn asked() {
    run_to(1);
    register_alice(10_000);
    next_period();
    assert_eq!(Staking::due_period(&ALICE), Some(period()));
}

fn refused(reason: InvalidTransaction) -> Result<ValidTransaction, TransactionValidityError> {
    Err(reason.into())
}

fn root() -> Vec<u8> {
    sp_io::storage::root(StateVersion::V1)
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
