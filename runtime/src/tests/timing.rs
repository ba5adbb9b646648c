//! Slots and epochs come from genesis.

use super::{chain, full_genesis};
use crate::{timing::Windows, Babe, Block, ProofOfTraining, Runtime, RuntimeGenesisConfig, Timing};
use frame_support::{genesis_builder_helper::build_state, traits::Get};
use sp_consensus_babe::{runtime_decl_for_babe_api::BabeApiV2, AllowedSlots};
use sp_io::TestExternalities;

#[test]
fn babe_and_the_timestamp_take_the_lengths_of_the_preset() {
    for (name, slot_millis) in [("development", 1_000), ("local_testnet", 2_000)] {
        chain(name).execute_with(|| {
            assert_eq!(<Runtime as pallet_timestamp::Config>::MinimumPeriod::get(), slot_millis / 2);
            assert_eq!(<Runtime as pallet_babe::Config>::ExpectedBlockTime::get(), slot_millis);
            assert_eq!(<Runtime as pallet_babe::Config>::EpochDuration::get(), 10);
            assert_eq!(Babe::slot_duration(), slot_millis);
        });
    }
}

#[test]
fn the_node_reads_the_lengths_through_the_runtime_api_at_genesis() {
    for (name, slot_millis, validators) in [("development", 1_000, 1), ("local_testnet", 2_000, 3)] {
        chain(name).execute_with(|| {
            let config = <Runtime as BabeApiV2<Block>>::configuration();
            assert_eq!((config.slot_duration, config.epoch_length), (slot_millis, 10));
            assert_eq!(config.authorities.len(), validators);
            assert_eq!(config.allowed_slots, AllowedSlots::PrimaryAndSecondaryVRFSlots);
        });
    }
}

#[test]
fn without_a_preset_the_lengths_are_those_of_mainnet() {
    TestExternalities::new_empty().execute_with(|| {
        assert_eq!(<Runtime as pallet_babe::Config>::ExpectedBlockTime::get(), 6_000);
        assert_eq!(<Runtime as pallet_babe::Config>::EpochDuration::get(), 100);
    });
}

#[test]
fn lengths_that_consensus_cannot_live_with_are_refused() {
    for (field, value) in [("slotMillis", 0), ("slotMillis", 999), ("epochSlots", 3)] {
        let mut genesis = full_genesis("development");
        genesis["timing"][field] = value.into();
        let refused = std::panic::catch_unwind(|| {
            TestExternalities::new_empty()
                .execute_with(|| build_state::<RuntimeGenesisConfig>(genesis.to_string().into_bytes()))
        });
        assert!(refused.is_err(), "{field} = {value}");
    }
}

#[test]
fn deadlines_come_from_genesis() {
    chain("development").execute_with(|| assert_eq!(Timing::windows(), Windows::TEST));
    TestExternalities::new_empty().execute_with(|| assert_eq!(Timing::windows(), Windows::MAINNET));
}

#[test]
fn deadlines_under_which_stake_could_leave_before_its_slash_are_refused() {
    for (field, value) in
        [("unbonding", 1_230), ("slashDelay", 290), ("slashDelay", 0), ("audit", 459), ("dispute", 459)]
    {
        let mut genesis = full_genesis("development");
        genesis["timing"]["windows"][field] = value.into();
        let refused = std::panic::catch_unwind(|| {
            TestExternalities::new_empty()
                .execute_with(|| build_state::<RuntimeGenesisConfig>(genesis.to_string().into_bytes()))
        });
        assert!(refused.is_err(), "{field} = {value}");
    }
}

#[test]
fn where_there_is_no_chain_the_lengths_are_those_of_mainnet() {
    assert_eq!(<Runtime as pallet_babe::Config>::EpochDuration::get(), 100);
    assert_eq!(<Runtime as pallet_timestamp::Config>::MinimumPeriod::get(), 3_000);
    assert_eq!(Timing::windows(), Windows::MAINNET);
}

#[test]
fn audits_and_disputes_leave_time_for_their_longest_round() {
    let check = || {
        let windows = Timing::windows();
        let longest = ProofOfTraining::longest_round_blocks();
        assert!(windows.audit > longest && windows.dispute > longest, "{windows:?}: {longest}");
    };
    chain("development").execute_with(check);
    chain("local_testnet").execute_with(check);
    check();
}
