//! What a training consists of between two steps, and its root.
//!
//! The state root is a Merkle root over canonical leaves: for each of {adapter tensor, first moment, second moment},
//! sorted by name, one leaf of (name, type, shape, little-endian bytes); then one leaf of the counters. Lengths
//! precede everything of variable length, so no two states share bytes.

use attune_primitives::{hashing::blake2_256, merkle, H256};

use crate::{
    lora::Adapter,
    optimizer::AdamW,
    parameters::{bytes, values, Slot},
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

/// The root over {adapter, optimizer moments, counters}.
pub fn root(adapter: &Adapter, optimizer: &AdamW, counters: &Counters) -> H256 {
    let slots = adapter.parameters().slots();
    let flats = [&optimizer.first, &optimizer.second, adapter.parameters().flat()].map(values);
    let mut leaves = Vec::with_capacity(slots.len() * 3 + 1);
    for (kind, flat) in KINDS.iter().zip(flats) {
        for slot in slots {
            let leaf = tensor_leaf(&format!("{kind}{}", slot.name), &slot.shape, slot_values(flat, slot));
            leaves.push(merkle::leaf_hash(&leaf));
        }
    }
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
    use crate::{lora::LoraConfig, optimizer::AdamWConfig, spec::ModelSpec};
    use serde_json::json;
    use tch::Tensor;

    fn state() -> (Adapter, AdamW, Counters) {
        let spec = ModelSpec::from_json(&json!({
            "architectures": ["LlamaForCausalLM"], "vocab_size": 8, "hidden_size": 4, "intermediate_size": 6,
            "num_hidden_layers": 1, "num_attention_heads": 2, "num_key_value_heads": 1,
        }))
        .unwrap();
        let adapter = Adapter::new(&spec, LoraConfig { rank: 2, alpha: 4.0, use_rslora: false }, 3).unwrap();
        let zeros = || adapter.parameters().zeros().unwrap();
        let adamw = AdamWConfig { beta1: 0.9, beta2: 0.999, epsilon: 1e-8, weight_decay: 0.0 };
        let optimizer = AdamW::new(adamw, zeros(), zeros());
        (adapter, optimizer, Counters { step: 1, tokens_seen: 2, tokens_trained: 3 })
    }

    /// Changes the last value of a vector by one unit in the last place.
    fn nudge(flat: &Tensor) {
        let last = flat.size()[0] - 1;
        let nudged = f32::from_bits(values(flat)[last as usize].to_bits() + 1);
        tch::no_grad(|| drop(flat.narrow(0, last, 1).fill_(f64::from(nudged))));
    }

    #[test]
    fn every_part_of_the_state_changes_the_root() {
        let (adapter, optimizer, counters) = state();
        let mut roots = vec![root(&adapter, &optimizer, &counters)];
        for changed in [
            Counters { step: 9, ..counters },
            Counters { tokens_seen: 9, ..counters },
            Counters { tokens_trained: 9, ..counters },
        ] {
            roots.push(root(&adapter, &optimizer, &changed));
        }
        for flat in [&optimizer.first, &optimizer.second, adapter.parameters().flat()] {
            nudge(flat);
            roots.push(root(&adapter, &optimizer, &counters));
        }
        let distinct: std::collections::BTreeSet<_> = roots.iter().collect();
        assert_eq!(distinct.len(), roots.len());
    }

    #[test]
    fn the_root_is_pinned() {
        let (adapter, optimizer, counters) = state();
        let found = format!("{:?}", root(&adapter, &optimizer, &counters));
        assert_eq!(found, PINNED, "the state root is part of the protocol: a change raises ENGINE_VERSION");
    }

    const PINNED: &str = "0x0e8f0380744142e70e312a6a999053d6a3c9d78d1945addbfcfca93970f505e9";
}
