//! What the presets put into the first block.

use super::{chain, full_genesis, ENDOWMENT};
use crate::{
    configs::money::ExistentialDeposit,
    genesis::{
        accounts::{ACCOUNTS, ALICE, VALIDATORS},
        names, preset, INFLATION, MAINNET_PRESET,
    },
    timing::Windows,
    AccountId, Babe, Balances, Grandpa, Runtime, Session, System, Timing, Treasury,
};
use frame_support::traits::Get;
use sp_core::{ed25519, sr25519, Pair};
use std::collections::BTreeSet;

#[test]
fn every_account_of_the_table_is_what_its_path_derives() {
    for (path, key) in ACCOUNTS {
        let pair = sr25519::Pair::from_string(path, None).expect("the path is valid");
        assert_eq!(pair.public().0, key, "{path}");
    }
    for validator in VALIDATORS {
        let derive =
            |path: &str| sr25519::Pair::from_string(path, None).expect("the path is valid").public().0;
        let grandpa = ed25519::Pair::from_string(validator.name, None).expect("the path is valid");
        assert_eq!(derive(validator.name), validator.babe, "{}", validator.name);
        assert_eq!(derive(&format!("{}//stash", validator.name)), validator.stash, "{}", validator.name);
        assert_eq!(grandpa.public().0, validator.grandpa, "{}", validator.name);
    }
    assert_eq!(ALICE, ACCOUNTS[0].1);
}

#[test]
fn no_account_is_twice_in_the_table() {
    let paths = ACCOUNTS.iter().map(|(path, _)| *path).collect::<BTreeSet<_>>();
    let keys = ACCOUNTS.iter().map(|(_, key)| *key).collect::<BTreeSet<_>>();
    assert_eq!((paths.len(), keys.len()), (ACCOUNTS.len(), ACCOUNTS.len()));
}

#[test]
fn a_test_preset_endows_every_account_and_keeps_the_treasury_alive() {
    for name in ["development", "local_testnet"] {
        chain(name).execute_with(|| {
            for (path, key) in ACCOUNTS {
                assert_eq!(Balances::free_balance(AccountId::from(key)), ENDOWMENT, "{name}: {path}");
            }
            let count = u128::try_from(ACCOUNTS.len()).expect("the table is small");
            let treasury = Balances::free_balance(Treasury::account_id());
            assert_eq!(treasury, ExistentialDeposit::get(), "{name}: the smallest fee can arrive");
            let issuance = pallet_balances::TotalIssuance::<Runtime>::get();
            assert_eq!(issuance, ENDOWMENT * count + treasury, "{name}");
            assert_eq!(pallet_sudo::Key::<Runtime>::get(), Some(ALICE.into()), "{name}");
        });
    }
}

#[test]
fn a_preset_has_the_same_validators_in_session_babe_and_grandpa() {
    for (name, count) in [("development", 1), ("local_testnet", 3)] {
        chain(name).execute_with(|| {
            let expected = &VALIDATORS[..count];
            let stashes =
                expected.iter().map(|validator| AccountId::from(validator.stash)).collect::<Vec<_>>();
            assert_eq!(Session::validators(), stashes, "{name}");
            let babe = Babe::authorities().into_iter().map(|(id, _)| id.into_inner().0);
            assert!(babe.eq(expected.iter().map(|validator| validator.babe)), "{name}");
            let grandpa = Grandpa::grandpa_authorities().into_iter().map(|(id, _)| id.into_inner().0);
            assert!(grandpa.eq(expected.iter().map(|validator| validator.grandpa)), "{name}");
            for stash in &stashes {
                assert_eq!(System::providers(stash), 1, "{name}: the endowment alone keeps the account");
            }
        });
    }
}

#[test]
fn an_alias_names_the_same_preset() {
    for (alias, name) in [("dev", "development"), ("local", "local_testnet")] {
        assert_eq!(preset(&alias.into()), preset(&name.into()));
    }
    assert_eq!(preset(&"mainet".into()), None);
}

#[test]
fn the_mainnet_preset_has_the_constants_of_a_public_network_and_nobodys_keys() {
    chain(MAINNET_PRESET).execute_with(|| {
        assert_eq!(Babe::slot_duration(), 6_000);
        assert_eq!(<Runtime as pallet_babe::Config>::EpochDuration::get(), 100);
        assert_eq!(Timing::windows(), Windows::MAINNET);
        assert_eq!(pallet_validator_election::Inflation::<Runtime>::get(), INFLATION);
        assert_eq!(pallet_validator_election::MinValidators::<Runtime>::get(), 4);
        assert_eq!(pallet_sudo::Key::<Runtime>::get(), None);
        assert!(Session::validators().is_empty() && Babe::authorities().is_empty());
        // The treasury's account alone.
        assert_eq!(pallet_balances::TotalIssuance::<Runtime>::get(), ExistentialDeposit::get());
        assert_eq!(frame_system::Account::<Runtime>::iter().count(), 1);
    });
}

#[test]
fn a_preset_is_the_same_bytes_each_time_and_the_same_state_after_its_json_was_read_and_written() {
    for name in names() {
        assert_eq!(preset(&name), preset(&name));
        let genesis = full_genesis(&name);
        let again: crate::RuntimeGenesisConfig =
            serde_json::from_str(&genesis.to_string()).expect("the full genesis can be read");
        assert_eq!(serde_json::to_value(&again).expect("and written"), genesis, "{name}");
        let root = |mut externalities: sp_io::TestExternalities| {
            externalities.execute_with(|| sp_io::storage::root(sp_runtime::StateVersion::V1))
        };
        assert_eq!(root(chain(&name)), root(chain(&name)), "{name}");
    }
}
