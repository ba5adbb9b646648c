//! What the first block holds, by preset.
//!
//! | preset | alias | validators | slot | epoch |
//! |---|---|---|---|---|
//! | `development` | `dev` | Alice | 1 s | 10 slots |
//! | `local_testnet` | `local` | Alice, Bob, Charlie | 2 s | 10 slots |
//! | `mainnet` | | none | 6 s | 100 slots |
//!
//! Providers take the validators' places when as many of them as there are validators have session keys and enough stake.
//!
//! `mainnet` holds constants alone: no account, no validator, no administrator. A network of value has its own, which the
//! node's `export-chain-spec --chain mainnet --genesis FILE` checks and adds (docs/launch.md); by itself it is a chain on
//! which nothing ever happens.
//!
//! The other two give every account of [`accounts::ACCOUNTS`] a million tokens, and make Alice the administrator. A
//! validator's account is its `//stash`; its consensus keys are derived from its name without the suffix, as
//! the node's `--alice` and so on put them into the keystore. The keys are public knowledge: neither of these two is
//! for a network that holds anything of value.

pub mod accounts;

use crate::{
    timing::{Windows, MAINNET_EPOCH_SLOTS, MAINNET_SLOT_MILLIS},
    units::ATT,
    AccountId, BabeConfig, Balance, BalancesConfig, RuntimeGenesisConfig, SessionConfig, SessionKeys,
    SudoConfig, TimingConfig, ValidatorElectionConfig,
};
use alloc::{string::ToString, vec, vec::Vec};
use frame_support::build_struct_json_patch;
use serde_json::Value;
use sp_consensus_babe::{AllowedSlots, BabeEpochConfiguration};
use sp_core::{crypto::UncheckedFrom, ed25519, sr25519};
use sp_genesis_builder::{PresetId, DEV_RUNTIME_PRESET, LOCAL_TESTNET_RUNTIME_PRESET};
use sp_runtime::Permill;

/// What each account of the table gets.
pub const ENDOWMENT: Balance = 1_000_000 * ATT;

/// Length of a slot of the `development` preset, in milliseconds.
pub const DEV_SLOT_MILLIS: u64 = 1_000;
/// Length of a slot of the `local_testnet` preset, in milliseconds.
pub const LOCAL_SLOT_MILLIS: u64 = 2_000;
/// Length of an epoch of both presets, in slots.
pub const TEST_EPOCH_SLOTS: u64 = 10;

/// Inflation in a year, for block rewards.
pub const INFLATION: Permill = Permill::from_percent(5);

/// How slots are claimed. A quarter of them by lot (primary), the others in turn (secondary), so that every slot
/// has an author; and with a VRF output in either case, so that every block adds to the randomness of audits.
pub const SLOT_CLAIMS: BabeEpochConfiguration =
    BabeEpochConfiguration { c: (1, 4), allowed_slots: AllowedSlots::PrimaryAndSecondaryVRFSlots };

/// The preset of a network of value, which has no accounts.
pub const MAINNET_PRESET: &str = "mainnet";

/// Fewest validators of a network of value: the fewest of which one may fail and GRANDPA go on.
pub const MAINNET_MIN_VALIDATORS: u32 = pallet_validator_election::DEFAULT_MIN_VALIDATORS;

/// The names under which [`preset`] has something, without aliases.
pub fn names() -> Vec<PresetId> {
    vec![DEV_RUNTIME_PRESET.into(), LOCAL_TESTNET_RUNTIME_PRESET.into(), MAINNET_PRESET.into()]
}

/// The named preset as a JSON patch over the default genesis, or nothing if there is none of that name.
pub fn preset(id: &PresetId) -> Option<Vec<u8>> {
    let patch = match id.as_str() {
        DEV_RUNTIME_PRESET | "dev" => patch(&["//Alice"], DEV_SLOT_MILLIS),
        LOCAL_TESTNET_RUNTIME_PRESET | "local" => {
            patch(&["//Alice", "//Bob", "//Charlie"], LOCAL_SLOT_MILLIS)
        }
        MAINNET_PRESET => constants_of_mainnet(),
        _ => return None,
    };
    Some(patch.to_string().into_bytes())
}

/// Genesis with the named validators and slots of this length.
fn patch(validators: &[&str], slot_millis: u64) -> Value {
    let keys = accounts::VALIDATORS
        .iter()
        .filter(|validator| validators.contains(&validator.name))
        .map(|validator| {
            let stash = AccountId::from(validator.stash);
            (stash.clone(), stash, session_keys(validator))
        })
        .collect::<Vec<_>>();
    let endowed = accounts::ACCOUNTS.iter().map(|(_, key)| (AccountId::from(*key), ENDOWMENT));
    build_struct_json_patch!(RuntimeGenesisConfig {
        timing: TimingConfig { slot_millis, epoch_slots: TEST_EPOCH_SLOTS, windows: Windows::TEST },
        balances: BalancesConfig { balances: endowed.collect::<Vec<_>>() },
        babe: BabeConfig { epoch_config: SLOT_CLAIMS },
        session: SessionConfig { keys },
        sudo: SudoConfig { key: Some(AccountId::from(accounts::ALICE)) },
        validator_election: ValidatorElectionConfig {
            inflation: INFLATION,
            // Not fewer than there were.
            min_validators: u32::try_from(validators.len()).ok(),
        },
    })
}

/// Genesis of a network of value, without its accounts.
fn constants_of_mainnet() -> Value {
    build_struct_json_patch!(RuntimeGenesisConfig {
        timing: TimingConfig {
            slot_millis: MAINNET_SLOT_MILLIS,
            epoch_slots: MAINNET_EPOCH_SLOTS,
            windows: Windows::MAINNET,
        },
        babe: BabeConfig { epoch_config: SLOT_CLAIMS },
        validator_election: ValidatorElectionConfig {
            inflation: INFLATION,
            min_validators: Some(MAINNET_MIN_VALIDATORS),
        },
    })
}

/// A validator's consensus keys.
fn session_keys(validator: &accounts::Validator) -> SessionKeys {
    SessionKeys {
        babe: sr25519::Public::unchecked_from(validator.babe).into(),
        grandpa: ed25519::Public::unchecked_from(validator.grandpa).into(),
    }
}
