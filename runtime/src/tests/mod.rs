//! Tests of the composition: each is named by the rule it holds.

mod election;
mod fees;
mod genesis;
mod heartbeats;
mod jobs;
mod metadata;
mod randomness;
mod timing;
mod weights;

use crate::{genesis::preset, Balance, RuntimeGenesisConfig};
use frame_support::genesis_builder_helper::{build_state, get_preset};
use serde_json::Value;
use sp_io::TestExternalities;

/// An endowed account's free balance at genesis.
const ENDOWMENT: Balance = crate::genesis::ENDOWMENT;

/// The full genesis of a preset: its patch merged into the default, as RFC 7386 says.
fn full_genesis(name: &str) -> Value {
    let default = get_preset::<RuntimeGenesisConfig>(&None, |_| None).expect("there is a default");
    let mut genesis = serde_json::from_slice(&default).expect("the default is JSON");
    let patch = preset(&name.into()).expect("the preset exists");
    merge(&mut genesis, serde_json::from_slice(&patch).expect("the preset is JSON"));
    genesis
}

/// Merges `patch` into `target`; a null deletes.
fn merge(target: &mut Value, patch: Value) {
    match (target, patch) {
        (Value::Object(target), Value::Object(patch)) => {
            for (key, value) in patch {
                if value.is_null() {
                    target.remove(&key);
                } else {
                    merge(target.entry(key).or_insert(Value::Null), value);
                }
            }
        }
        (target, patch) => *target = patch,
    }
}

/// A chain at its genesis block.
fn chain(name: &str) -> TestExternalities {
    let genesis = full_genesis(name).to_string().into_bytes();
    let mut externalities = TestExternalities::new_empty();
    externalities
        .execute_with(|| build_state::<RuntimeGenesisConfig>(genesis))
        .expect("the preset builds its state");
    externalities
}
