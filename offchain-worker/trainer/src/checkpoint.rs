//! Checkpoints: one safetensors file with canonical bytes, from which training goes on bit for bit.
//!
//! A checkpoint says to which training it belongs (a fingerprint of model shape, configuration and engine version) and
//! what its own state root is; both are checked before a single value is used.

use std::{collections::BTreeMap, path::Path};

use crate::{
    config::TrainConfig,
    files::{self, TensorBytes},
    lora,
    parameters::bytes,
    spec::ModelSpec,
    state::{self, slot_values, Counters, StateView, TrainState, KINDS},
    weights::WeightFile,
    Arithmetic, Error, Result, ENGINE_VERSION,
};
use attune_primitives::{hashing::blake2_256, H256};

const FORMAT: &str = "attune-checkpoint-2";

/// What a checkpoint must belong to.
pub struct Owner<'a> {
    /// The model's shape.
    pub spec: &'a ModelSpec,
    /// The configuration.
    pub config: &'a TrainConfig,
    /// The arithmetic.
    pub arithmetic: Arithmetic,
    /// Hash of the base model's weights, see [`crate::weights::Weights::hash`].
    pub base: H256,
}

impl Owner<'_> {
    /// Hash of everything that the checkpoint depends on besides the weights, which have a hash of their own, and the data,
    /// which the caller knows by theirs.
    pub fn fingerprint(&self) -> H256 {
        let config = serde_json::to_string(self.config).expect("a configuration is always JSON, qed");
        let spec = self.spec.to_json("float32").to_string();
        blake2_256(format!("attune fingerprint {ENGINE_VERSION}\n{spec}\n{config}").as_bytes())
    }

    fn metadata(&self, counters: &Counters, root: H256) -> BTreeMap<String, String> {
        BTreeMap::from(
            [
                ("arithmetic", self.arithmetic.to_string()),
                ("base", hex::encode(self.base)),
                ("fingerprint", hex::encode(self.fingerprint())),
                ("format", FORMAT.to_string()),
                ("state_root", hex::encode(root)),
                ("step", counters.step.to_string()),
                ("tokens_seen", counters.tokens_seen.to_string()),
                ("tokens_trained", counters.tokens_trained.to_string()),
            ]
            .map(|(key, value)| (key.to_string(), value)),
        )
    }
}

/// Writes a checkpoint of the state with this root. A full disk leaves the former file at `path` as it was.
///
/// # Errors
/// A file that cannot be written.
pub fn save(
    path: &Path,
    owner: &Owner<'_>,
    state: StateView<'_>,
    counters: &Counters,
    root: H256,
) -> Result<()> {
    let metadata = owner.metadata(counters, root);
    let names: Vec<[String; 3]> =
        state.slots.iter().map(|slot| KINDS.map(|kind| kind.to_string() + &slot.name)).collect();
    let mut tensors = Vec::with_capacity(state.slots.len() * 3);
    for (slot, names) in state.slots.iter().zip(&names) {
        for (name, flat) in names.iter().zip(state.flats()) {
            let bytes = bytes(slot_values(flat, slot));
            tensors.push(TensorBytes { name, dtype: "F32", shape: &slot.shape, bytes });
        }
    }
    files::write_safetensors(path, &metadata, &tensors)
}

/// Reads a checkpoint: the state, how far it has come, and its root.
///
/// # Errors
/// It is damaged, or belongs to another training or arithmetic (the error names both sides), or its values do not have
/// the state root that it claims.
pub fn load(path: &Path, owner: &Owner<'_>) -> Result<(TrainState, Counters, H256)> {
    let refuse = |reason: String| Error::Checkpoint { path: path.to_path_buf(), reason };
    let file = WeightFile::open(path)?;
    let metadata = file.metadata()?;
    let entry = |key: &str| metadata.get(key).map_or("nothing", String::as_str);
    let ours = hex::encode(owner.fingerprint());
    let (arithmetic, base) = (owner.arithmetic.to_string(), hex::encode(owner.base));
    for (what, key, expected) in [
        ("format", "format", FORMAT),
        ("arithmetic", "arithmetic", arithmetic.as_str()),
        ("base model", "base", base.as_str()),
        ("fingerprint of model shape, configuration and engine", "fingerprint", ours.as_str()),
    ] {
        if entry(key) != expected {
            let found = entry(key);
            return Err(refuse(format!("its {what} is {found}, this training's is {expected}")));
        }
    }
    let number = |key: &str| {
        let found = entry(key);
        found.parse::<u64>().map_err(|_| refuse(format!("its {key} is {found}, expected a whole number")))
    };
    let counters = Counters {
        step: number("step")?,
        tokens_seen: number("tokens_seen")?,
        tokens_trained: number("tokens_trained")?,
    };
    let slots = lora::layout(owner.spec, owner.config.lora.rank);
    let flat = |kind: &str| -> Result<Vec<f32>> {
        let mut values = Vec::new();
        for slot in &slots {
            values.append(&mut file.values(&format!("{kind}{}", slot.name), &slot.shape)?);
        }
        Ok(values)
    };
    let [first, second, adapter] = KINDS.map(flat);
    let state = TrainState { adapter: adapter?, first: first?, second: second?, slots };
    let root = state::root(state.view(), &counters);
    let (claimed, found) = (entry("state_root"), hex::encode(root));
    if claimed != found {
        return Err(refuse(format!(
            "it claims the state root {claimed}, its values have {found}: it is damaged"
        )));
    }
    Ok((state, counters, root))
}
