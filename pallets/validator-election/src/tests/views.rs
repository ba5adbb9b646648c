//! What pages are told of validators is what the election then does.

use frame_support::assert_ok;
use sp_arithmetic::{Perbill, Permill};

use crate::{mock::*, *};

#[test]
fn validators_come_with_their_stake_and_their_blocks() {
    ExtBuilder::build_and_execute(|| {
        candidate(1, 500);
        candidate(2, 900);
        sessions(2);
        block(1);
        block(1);
        let points = |who| Points::<Test>::get(Counted::<Test>::get().expect("it is rewarded, qed"), who);
        let info = |validator, stake| ValidatorInfo {
            validator,
            stake: Some(stake),
            points: Some(points(validator)),
            disabled: false,
        };
        assert_eq!(Election::validators(), [info(1, 500), info(2, 900)]);
        assert!(points(1) >= 2);
        chill(2);
        assert_eq!(Election::validators()[1].stake, None);
    });
}

#[test]
fn an_offender_is_shown_as_disabled_and_as_barred() {
    ExtBuilder::build_and_execute(|| {
        candidate(1, 500);
        candidate(2, 900);
        candidate(3, 900);
        candidate(4, 900);
        sessions(2);
        offence(&[2], Perbill::from_percent(10), 2);
        let disabled: Vec<_> = Election::validators().iter().map(|info| info.disabled).collect();
        assert_eq!(disabled, [false, true, false, false]);
        assert_eq!(Election::election_info().barred, [Bar { offender: 2, until: 2 + BAR }]);
        assert!(Election::next_election().elected.iter().all(|candidate| candidate.provider != 2));
    });
}

#[test]
fn without_inflation_no_blocks_are_counted() {
    ExtBuilder::build_and_execute(|| {
        assert_ok!(Election::set_inflation(frame_system::RawOrigin::Root.into(), Permill::zero()));
        next_session();
        assert!(Election::validators().iter().all(|info| info.points.is_none()));
        assert_eq!(Election::election_info().inflation, Permill::zero());
    });
}

#[test]
fn the_next_election_is_what_the_session_after_the_next_gets() {
    ExtBuilder::build_and_execute(|| {
        candidate(1, 500);
        assert!(!Election::next_election().is_enough);
        candidate(3, 700);
        candidate(2, 900);
        candidate(4, MIN_STAKE - 1);
        let next = Election::next_election();
        let order: Vec<_> = next.elected.iter().map(|found| (found.provider, found.stake)).collect();
        assert_eq!((order, next.is_enough), (vec![(2, 900), (3, 700), (1, 500)], true));
        assert_eq!(next.session, Election::election_info().session + 2);
        sessions(2);
        assert_eq!((Session::current_index(), Session::validators()), (next.session, vec![1, 2, 3]));
    });
}

#[test]
fn sessions_that_wait_for_payment_are_shown() {
    ExtBuilder::build_and_execute(|| {
        candidate(1, 500);
        candidate(2, 900);
        sessions(2);
        assert_eq!(Election::election_info().unpaid, Unpaid::<Test>::get().into_inner());
        let info = Election::election_info();
        assert_eq!(
            (info.seats, info.min_validators, info.min_stake),
            (MAX_VALIDATORS, MIN_VALIDATORS, MIN_STAKE)
        );
        assert_eq!((info.inflation, info.session), (INFLATION, 2));
    });
}
