//! What somebody might try.

use frame_support::{assert_noop, assert_ok};
use frame_system::RawOrigin;
use sp_runtime::Perbill;

use crate::{mock::*, *};

#[test]
fn a_crowd_without_keys_does_not_keep_others_from_being_elected() {
    ExtBuilder::build_and_execute(|| {
        // As many as fit into what an election looks at, less the seats.
        let crowd = MAX_VALIDATORS * (CANDIDATES_PER_SEAT - 1);
        for who in 0..u64::from(crowd) {
            set_stake(1_000 + who, 1_000_000);
        }
        for who in 1..=u64::from(MAX_VALIDATORS) {
            candidate(who, 500);
        }
        sessions(2);
        assert_eq!(Session::validators(), [1, 2, 3, 4]);
    });
}

#[test]
fn an_election_looks_at_a_bounded_number_of_candidates() {
    ExtBuilder::build_and_execute(|| {
        for who in 0..u64::from(MAX_VALIDATORS * CANDIDATES_PER_SEAT) {
            set_stake(1_000 + who, 1_000_000);
        }
        candidate(1, 500);
        candidate(2, 500);
        sessions(2);
        assert_eq!(Session::validators(), GENESIS, "nobody with keys is among those that are looked at");
    });
}

#[test]
fn one_rich_provider_alone_does_not_take_the_chain_over() {
    ExtBuilder::build_and_execute(|| {
        candidate(1, 1_000_000_000);
        sessions(4);
        assert_eq!(Session::validators(), GENESIS);
    });
}

#[test]
fn when_all_validators_purge_their_keys_whoever_can_be_elected_is() {
    ExtBuilder::build_and_execute(|| {
        candidate(1, 500);
        for authority in GENESIS {
            assert_ok!(Session::purge_keys(RawOrigin::Signed(authority).into()));
        }
        sessions(2);
        assert_eq!(Session::validators(), [1]);
    });
}

#[test]
fn to_stop_and_register_anew_lifts_no_bar() {
    ExtBuilder::build_and_execute(|| {
        for who in 1..=4 {
            candidate(who, 500);
        }
        sessions(2);
        offence(&[2], Perbill::from_percent(56), 2);
        chill(2);
        Pools::mutate(|pools| pools.remove(&2));
        assert_ok!(Session::purge_keys(RawOrigin::Signed(2).into()));
        candidate(2, 50_000);
        sessions(2);
        assert_eq!(Session::validators(), [1, 3, 4]);
    });
}

#[test]
fn the_list_of_bars_is_bounded_and_the_oldest_gives_way() {
    ExtBuilder::build_and_execute(|| {
        for who in 1..=u64::from(MAX_VALIDATORS) {
            offence(&[who], Perbill::from_percent(1), 0);
            offence(&[who], Perbill::from_percent(2), 0);
        }
        sessions(1);
        offence(&[50], Perbill::from_percent(1), 0);
        let barred = Barred::<Test>::get().into_iter().map(|bar| bar.offender).collect::<Vec<_>>();
        assert_eq!(barred, [2, 3, 4, 50]);
    });
}

#[test]
fn a_provider_that_left_before_it_is_paid_gets_nothing_minted() {
    ExtBuilder::build_and_execute(|| {
        candidate(1, 500);
        candidate(2, 900);
        sessions(3);
        let before = issuance();
        for _ in 0..SESSION {
            block_with_weight(1, frame_support::weights::Weight::zero());
        }
        chill(1);
        Pools::mutate(|pools| pools.remove(&1));
        let others = Points::<Test>::get(3, 2);
        block(2);
        assert_eq!(issuance() - before, POT * u128::from(others) / 10);
    });
}

#[test]
fn blocks_beyond_the_slots_mint_no_more_than_the_pot() {
    ExtBuilder::build_and_execute(|| {
        set_stake(1, 500);
        Points::<Test>::insert(0, 1, 1_000);
        let before = issuance();
        Election::freeze(0);
        Election::pay_one();
        assert_eq!(issuance() - before, POT);
        Election::pay_one();
        assert!(Unpaid::<Test>::get().is_empty());
    });
}

#[test]
fn a_session_is_frozen_once() {
    ExtBuilder::build_and_execute(|| {
        Election::freeze(0);
        Election::freeze(0);
        Election::freeze(1);
        assert_eq!(Unpaid::<Test>::get().len(), 1);
    });
}

#[test]
fn the_list_cannot_be_made_to_hold_somebody_without_stake() {
    ExtBuilder::build_and_execute(|| {
        assert!(VoterList::rebag(RawOrigin::Signed(9).into(), 9).is_err());
        set_stake(1, 500);
        chill(1);
        assert!(VoterList::rebag(RawOrigin::Signed(9).into(), 1).is_err());
    });
}

#[test]
fn no_call_gets_inflation_past_the_cap() {
    ExtBuilder::build_and_execute(|| {
        for parts in [100_001, 500_000, 1_000_000] {
            assert_noop!(
                Election::set_inflation(RawOrigin::Root.into(), Permill::from_parts(parts)),
                Error::<Test>::AboveCap
            );
        }
    });
}

#[test]
fn a_genesis_that_breaks_the_rules_is_refused() {
    use sp_runtime::BuildStorage;
    let refused = |inflation: u32, min_validators: u32| {
        std::panic::catch_unwind(|| {
            GenesisConfig::<Test> {
                inflation: Permill::from_parts(inflation),
                min_validators: Some(min_validators),
                ..Default::default()
            }
            .build_storage()
        })
        .is_err()
    };
    assert!(!refused(100_000, MAX_VALIDATORS));
    assert!(refused(100_001, MAX_VALIDATORS));
    assert!(refused(0, 0));
    assert!(refused(0, MAX_VALIDATORS + 1));
}
