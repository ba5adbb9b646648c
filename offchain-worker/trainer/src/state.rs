//! What a training consists of between two steps, and its root.
//!
//! The state root is a Merkle root over canonical leaves: for each of {adapter tensor, first moment, second moment},
//! sorted by name, one leaf of (name, type, shape, little-endian bytes); then one leaf of the counters. Lengths
//! precede everything of variable length, so no two states share bytes.

use attune_primitives::{hashing::blake2_256, merkle, H256};

use crate::{
    lora::{self, LoraConfig},
    parameters::{bytes, Slot},
    spec::ModelSpec,
    Result,
};

/// Name prefixes of the three kinds of tensor, in the order in which they sort.
pub const KINDS: [&str; 3] = ["adamw.first/", "adamw.second/", "adapter/"];

/// How far a training has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Optimizer steps done.
    pub step: u64,
    /// Tokens seen, padding excluded.
    pub tokens_seen: u64,
    /// Loss-bearing tokens trained on.
    pub tokens_trained: u64,
}

/// The trained numbers, flat, in the order of the slots.
#[derive(Clone, Debug, PartialEq)]
pub struct TrainState {
    /// Where each tensor lies, sorted by name.
    pub slots: Vec<Slot>,
    /// The adapter's values.
    pub adapter: Vec<f32>,
    /// First moments.
    pub first: Vec<f32>,
    /// Second moments.
    pub second: Vec<f32>,
}

/// A [`TrainState`], wherever it lies.
#[derive(Clone, Copy)]
pub struct StateView<'a> {
    /// Where each tensor lies, sorted by name.
    pub slots: &'a [Slot],
    /// The adapter's values.
    pub adapter: &'a [f32],
    /// First moments.
    pub first: &'a [f32],
    /// Second moments.
    pub second: &'a [f32],
}

impl TrainState {
    /// The state before the first step: A from `seed`, B and the moments zero.
    ///
    /// # Errors
    /// A configuration out of range.
    pub fn new(spec: &ModelSpec, config: LoraConfig, seed: u64) -> Result<Self> {
        config.validate()?;
        let slots = lora::layout(spec, config.rank);
        let adapter = lora::initial_values(&slots, seed);
        let zeros = vec![0.0; adapter.len()];
        Ok(Self { slots, adapter, first: zeros.clone(), second: zeros })
    }

    /// The state as engines show theirs.
    pub fn view(&self) -> StateView<'_> {
        StateView { slots: &self.slots, adapter: &self.adapter, first: &self.first, second: &self.second }
    }
}

impl<'a> StateView<'a> {
    /// Its three vectors, in the order of [`KINDS`].
    pub(crate) fn flats(&self) -> [&'a [f32]; 3] {
        [self.first, self.second, self.adapter]
    }
}

/// The canonical bytes of one tensor's leaf.
fn tensor_leaf(name: &str, shape: &[i64], values: &[f32]) -> Vec<u8> {
    let mut leaf = Vec::with_capacity(64 + name.len() + shape.len() * 8 + values.len() * 4);
    leaf.extend_from_slice(&(name.len() as u64).to_le_bytes());
    leaf.extend_from_slice(name.as_bytes());
    leaf.extend_from_slice(b"F32\0");
    leaf.extend_from_slice(&(shape.len() as u64).to_le_bytes());
    shape.iter().for_each(|size| leaf.extend_from_slice(&size.to_le_bytes()));
    leaf.extend_from_slice(bytes(values));
    leaf
}

fn counters_leaf(counters: &Counters) -> Vec<u8> {
    let mut leaf = b"counters".to_vec();
    for value in [counters.step, counters.tokens_seen, counters.tokens_trained] {
        leaf.extend_from_slice(&value.to_le_bytes());
    }
    leaf
}

/// The values of one slot of a flat vector.
pub(crate) fn slot_values<'a>(flat: &'a [f32], slot: &Slot) -> &'a [f32] {
    &flat[slot.offset as usize..(slot.offset + slot.count) as usize]
}

/// The root over {adapter, optimizer moments, counters}. Its three parts are hashed beside each other.
pub fn root(state: StateView<'_>, counters: &Counters) -> H256 {
    let hash_part = |kind: &str, flat: &[f32]| -> Vec<H256> {
        let leaf =
            |slot: &Slot| tensor_leaf(&format!("{kind}{}", slot.name), &slot.shape, slot_values(flat, slot));
        state.slots.iter().map(|slot| merkle::leaf_hash(&leaf(slot))).collect()
    };
    let mut leaves = std::thread::scope(|scope| {
        let parts =
            KINDS.iter().zip(state.flats()).map(|(kind, flat)| scope.spawn(move || hash_part(kind, flat)));
        let parts: Vec<_> = parts.collect();
        parts
            .into_iter()
            .flat_map(|part| part.join().expect("hashing panics nowhere, qed"))
            .collect::<Vec<_>>()
    });
    leaves.push(merkle::leaf_hash(&counters_leaf(counters)));
    merkle::root(&leaves)
}

/// Hash of a gradient: BLAKE2b-256 over the little-endian bytes of all values, sorted by tensor name.
pub fn gradient_hash(gradient: &[f32]) -> H256 {
    blake2_256(bytes(gradient))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn state() -> (TrainState, Counters) {
        let spec = ModelSpec::from_json(&json!({
            "architectures": ["LlamaForCausalLM"], "vocab_size": 8, "hidden_size": 4, "intermediate_size": 6,
            "num_hidden_layers": 1, "num_attention_heads": 2, "num_key_value_heads": 1,
        }))
        .unwrap();
        let state = TrainState::new(&spec, LoraConfig { rank: 2, alpha: 4.0, use_rslora: false }, 3).unwrap();
        (state, Counters { step: 1, tokens_seen: 2, tokens_trained: 3 })
    }

    #[test]
    fn every_part_of_the_state_changes_the_root() {
        let (state, counters) = state();
        let mut roots = vec![root(state.view(), &counters)];
        for changed in [
            Counters { step: 9, ..counters },
            Counters { tokens_seen: 9, ..counters },
            Counters { tokens_trained: 9, ..counters },
        ] {
            roots.push(root(state.view(), &changed));
        }
        for part in 0..3 {
            let mut nudged = state.clone();
            let flat = [&mut nudged.first, &mut nudged.second, &mut nudged.adapter].into_iter().nth(part);
            let last = flat.unwrap().last_mut().unwrap();
            *last = f32::from_bits(last.to_bits() + 1);
            roots.push(root(nudged.view(), &counters));
        }
        let distinct: std::collections::BTreeSet<_> = roots.iter().collect();
        assert_eq!(distinct.len(), roots.len());
    }

    #[test]
    fn the_root_is_pinned() {
        let (state, counters) = state();
        let found = format!("{:?}", root(state.view(), &counters));
        assert_eq!(found, PINNED, "the state root is part of the protocol: a change raises ENGINE_VERSION");
    }

    const PINNED: &str = "0x0e8f0380744142e70e312a6a999053d6a3c9d78d1945addbfcfca93970f505e9";
}
