//! Who becomes a validator, and when.

use attune_primitives::traits::OnStakeChanged;
use frame_election_provider_support::SortedListProvider;
use frame_support::{assert_noop, assert_ok};
use frame_system::RawOrigin;
use pallet_session::historical::HistoricalSessions;

use crate::{mock::*, *};

fn listed() -> Vec<(AccountId, u128)> {
    VoterList::iter()
        .map(|who| (who, VoterList::get_score(&who).expect("who is listed has a score")))
        .collect()
}

#[test]
fn a_provider_is_listed_with_its_stake_from_registration_to_exit() {
    ExtBuilder::build_and_execute(|| {
        set_stake(1, 500);
        assert_eq!(listed(), [(1, 500)]);
        set_stake(2, 5_000);
        assert_eq!(listed(), [(2, 5_000), (1, 500)]);
        set_stake(1, 50_000);
        set_stake(1, 50_000);
        assert_eq!(VoterList::get_score(&1), Ok(50_000));
        chill(2);
        chill(2);
        assert_eq!(listed(), [(1, 50_000)]);
        set_stake(2, 5_000);
        assert_eq!(listed().len(), 2);
        Election::stake_changed(&3, None);
        assert_eq!(listed().len(), 2);
    });
}

#[test]
fn anyone_may_put_a_wrong_score_right() {
    ExtBuilder::build_and_execute(|| {
        set_stake(1, 500);
        Pools::mutate(|pools| pools.insert(1, Straw { stake: 5_000, takes_work: true }));
        assert_ok!(VoterList::rebag(RawOrigin::Signed(9).into(), 1));
        assert_eq!(listed(), [(1, 5_000)]);
    });
}

#[test]
fn providers_with_keys_and_stake_become_validators_two_sessions_later() {
    ExtBuilder::build_and_execute(|| {
        candidate(1, 500);
        candidate(2, 900);
        next_session();
        assert_eq!(Session::validators(), GENESIS);
        next_session();
        assert_eq!(Session::validators(), [1, 2]);
        assert!(events().contains(&Event::Elected { session: 2, validators: 2 }));
    });
}

#[test]
fn the_largest_stakes_are_elected_and_equal_ones_by_account() {
    ExtBuilder::build_and_execute(|| {
        for (who, stake) in [(6, 300), (5, 300), (4, 5_000), (3, 300), (2, 700), (1, 200)] {
            candidate(who, stake);
        }
        sessions(2);
        assert_eq!(
            Session::validators(),
            [2, 3, 4, 5],
            "MaxValidators of them, in the order of their accounts"
        );
        set_stake(6, 301);
        sessions(2);
        assert_eq!(Session::validators(), [2, 3, 4, 6]);
    });
}

#[test]
fn without_keys_or_with_too_little_stake_a_provider_is_not_elected() {
    ExtBuilder::build_and_execute(|| {
        candidate(1, 500);
        candidate(2, 500);
        set_stake(3, 9_000);
        candidate(4, MIN_STAKE - 1);
        candidate(5, MIN_STAKE);
        sessions(2);
        assert_eq!(Session::validators(), [1, 2, 5]);
        set_keys(3);
        sessions(2);
        assert_eq!(Session::validators(), [1, 2, 3, 5]);
    });
}

#[test]
fn the_genesis_authorities_go_on_until_there_are_enough_candidates() {
    ExtBuilder::build_and_execute(|| {
        sessions(3);
        assert_eq!(Session::validators(), GENESIS);
        assert!(!events().iter().any(|event| matches!(event, Event::TooFewCandidates { .. })));
        candidate(1, 500);
        sessions(3);
        assert_eq!(Session::validators(), GENESIS);
        assert!(events().contains(&Event::TooFewCandidates { session: 7, eligible: 1 }));
        candidate(2, 500);
        sessions(2);
        assert_eq!(Session::validators(), [1, 2]);
    });
}

#[test]
fn who_is_chilled_or_purges_its_keys_leaves_with_the_next_election() {
    ExtBuilder::build_and_execute(|| {
        for who in 1..=4 {
            candidate(who, 500);
        }
        sessions(2);
        assert_eq!(Session::validators(), [1, 2, 3, 4]);
        chill(1);
        assert_ok!(Session::purge_keys(RawOrigin::Signed(2).into()));
        sessions(2);
        assert_eq!(Session::validators(), [3, 4]);
    });
}

#[test]
fn when_too_many_leave_the_last_set_stays() {
    ExtBuilder::build_and_execute(|| {
        candidate(1, 500);
        candidate(2, 500);
        sessions(2);
        chill(1);
        chill(2);
        sessions(3);
        assert_eq!(Session::validators(), [1, 2]);
    });
}

#[test]
fn the_same_validators_with_the_same_keys_are_no_new_set() {
    ExtBuilder::build_and_execute(|| {
        candidate(1, 500);
        candidate(2, 900);
        sessions(4);
        assert!(!pallet_session::QueuedChanged::<Test>::get());
        set_stake(1, 5_000);
        next_session();
        assert!(!pallet_session::QueuedChanged::<Test>::get(), "their order doesn't count");
        set_key(1, 77);
        next_session();
        assert!(pallet_session::QueuedChanged::<Test>::get());
        next_session();
        assert!(!pallet_session::QueuedChanged::<Test>::get());
    });
}

#[test]
fn an_authority_of_genesis_can_change_its_key() {
    ExtBuilder::build_and_execute(|| {
        sessions(3);
        let root = HistoricalSessions::<Test>::get(4);
        set_key(101, 77);
        sessions(2);
        assert_eq!(Session::validators(), GENESIS);
        assert_ne!(HistoricalSessions::<Test>::get(5), root, "its root has the key that counts");
    });
}

#[test]
fn each_session_but_the_first_two_has_a_root_for_as_long_as_the_history_goes() {
    ExtBuilder::build_and_execute(|| {
        sessions(HISTORY + 4);
        let mut kept = HistoricalSessions::<Test>::iter_keys().collect::<Vec<_>>();
        kept.sort_unstable();
        assert_eq!(kept, (4..=HISTORY + 5).collect::<Vec<_>>());
    });
}

#[test]
fn only_governance_sets_the_inflation_and_not_above_its_cap() {
    ExtBuilder::build_and_execute(|| {
        let cap = MaxInflation::get();
        assert_ok!(Election::set_inflation(RawOrigin::Root.into(), cap));
        assert_eq!(Inflation::<Test>::get(), cap);
        assert!(events().contains(&Event::InflationSet { before: INFLATION, after: cap }));
        let above = Permill::from_parts(cap.deconstruct() + 1);
        assert_noop!(Election::set_inflation(RawOrigin::Root.into(), above), Error::<Test>::AboveCap);
        assert_noop!(
            Election::set_inflation(RawOrigin::Signed(1).into(), cap),
            sp_runtime::DispatchError::BadOrigin
        );
        assert_noop!(
            Election::set_inflation(RawOrigin::None.into(), cap),
            sp_runtime::DispatchError::BadOrigin
        );
    });
}
