//! What the first block holds, by preset.
//!
//! | preset | alias | validators | slot | epoch |
//! |---|---|---|---|---|
//! | `development` | `dev` | Alice | 1 s | 10 slots |
//! | `local_testnet` | `local` | Alice, Bob, Charlie | 2 s | 10 slots |
//!
//! Providers take the validators' places when as many of them as there are validators have session keys and enough stake.
//!
//! Both give every account of [`accounts::ACCOUNTS`] a million tokens, and make Alice the administrator. A
//! validator's account is its `//stash`; its consensus keys are derived from its name without the suffix, as
//! the node's `--alice` and so on put them into the keystore. The keys are public knowledge: neither preset is
//! for a network that holds anything of value.

pub mod accounts;

use crate::{
    timing::Windows, units::ATT, AccountId, BabeConfig, Balance, BalancesConfig, RuntimeGenesisConfig,
    SessionConfig, SessionKeys, SudoConfig, TimingConfig, ValidatorElectionConfig,
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

/// The names under which [`preset`] has something, without aliases.
pub fn names() -> Vec<PresetId> {
    vec![DEV_RUNTIME_PRESET.into(), LOCAL_TESTNET_RUNTIME_PRESET.into()]
}

/// The named preset as a JSON patch over the default genesis, or nothing if there is none of that name.
pub fn preset(id: &PresetId) -> Option<Vec<u8>> {
    let patch = match id.as_str() {
        DEV_RUNTIME_PRESET | "dev" => patch(&["//Alice"], DEV_SLOT_MILLIS),
        LOCAL_TESTNET_RUNTIME_PRESET | "local" => {
            patch(&["//Alice", "//Bob", "//Charlie"], LOCAL_SLOT_MILLIS)
        }
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

/// A validator's consensus keys.
fn session_keys(validator: &accounts::Validator) -> SessionKeys {
    SessionKeys {
        babe: sr25519::Public::unchecked_from(validator.babe).into(),
        grandpa: ed25519::Public::unchecked_from(validator.grandpa).into(),
    }
}
