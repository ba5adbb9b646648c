//! LoRA (Hu et al. 2021, arXiv:2106.09685) on all linear layers of the blocks: `W x + scale · B A x`, W frozen.
//!
//! A starts Kaiming-uniform as in `peft` (that is, uniform within ±1/√in), B at zero, so that an untrained adapter
//! changes nothing. The scale is alpha / rank, or alpha / √rank when rank-stabilised (Kalajdzievski 2023,
//! arXiv:2312.03732).

use serde::{Deserialize, Serialize};
use tch::Tensor;

use crate::{
    parameters::{tensor, Parameters, Slot},
    random,
    spec::ModelSpec,
    state::{slot_values, TrainState},
    Error, Result,
};

/// Largest rank.
pub const MAX_RANK: u32 = 1024;

/// The size and scale of an adapter.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LoraConfig {
    /// Inner dimension of the two matrices.
    pub rank: u32,
    /// Numerator of the scale.
    pub alpha: f64,
    /// Divide by the root of the rank instead of the rank.
    pub use_rslora: bool,
}

impl LoraConfig {
    /// What the adapter's output is multiplied by.
    pub fn scale(&self) -> f64 {
        let rank = f64::from(self.rank);
        self.alpha / if self.use_rslora { rank.sqrt() } else { rank }
    }

    /// Checks the ranges.
    ///
    /// # Errors
    /// What to change.
    pub fn validate(&self) -> Result<()> {
        if !(1..=MAX_RANK).contains(&self.rank) {
            return Err(Error::Config(format!("lora.rank is {}; expected 1 to {MAX_RANK}", self.rank)));
        }
        if !(self.alpha.is_finite() && self.alpha > 0.0) {
            return Err(Error::Config(format!("lora.alpha is {}; expected a number above 0", self.alpha)));
        }
        Ok(())
    }
}

/// A linear layer of a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(usize)]
pub enum Target {
    /// Query projection.
    Q,
    /// Key projection.
    K,
    /// Value projection.
    V,
    /// Output projection of the attention.
    O,
    /// Gate projection of the feed-forward part.
    Gate,
    /// Up projection of the feed-forward part.
    Up,
    /// Down projection of the feed-forward part.
    Down,
}

impl Target {
    /// All of them.
    pub const ALL: [Target; 7] =
        [Target::Q, Target::K, Target::V, Target::O, Target::Gate, Target::Up, Target::Down];

    /// The module's name in a Hugging Face model, as `target_modules` of `peft` has it.
    pub fn module(self) -> &'static str {
        match self {
            Target::Q => "q_proj",
            Target::K => "k_proj",
            Target::V => "v_proj",
            Target::O => "o_proj",
            Target::Gate => "gate_proj",
            Target::Up => "up_proj",
            Target::Down => "down_proj",
        }
    }

    /// Path of the module within block `layer`.
    pub fn path(self, layer: usize) -> String {
        let part = match self {
            Target::Q | Target::K | Target::V | Target::O => "self_attn",
            Target::Gate | Target::Up | Target::Down => "mlp",
        };
        format!("model.layers.{layer}.{part}.{}", self.module())
    }

    /// Width of the layer's input and of its output.
    pub fn sizes(self, spec: &ModelSpec) -> (i64, i64) {
        let (hidden, query, kv) = (spec.hidden_size, spec.query_size(), spec.kv_size());
        match self {
            Target::Q => (hidden, query),
            Target::K | Target::V => (hidden, kv),
            Target::O => (query, hidden),
            Target::Gate | Target::Up => (hidden, spec.intermediate_size),
            Target::Down => (spec.intermediate_size, hidden),
        }
    }

    /// Name of matrix `part` ("A" or "B") in a `peft` file.
    pub fn peft_name(self, layer: usize, part: &str) -> String {
        format!("base_model.model.{}.lora_{part}.weight", self.path(layer))
    }
}

/// Where each matrix of an adapter lies in a flat vector, sorted by name.
pub fn layout(spec: &ModelSpec, rank: u32) -> Vec<Slot> {
    let rank = i64::from(rank);
    let mut slots = Vec::new();
    for layer in 0..spec.layers as usize {
        for target in Target::ALL {
            let (input, output) = target.sizes(spec);
            for (part, shape) in [("A", [rank, input]), ("B", [output, rank])] {
                let (name, count) = (target.peft_name(layer, part), shape[0] * shape[1]);
                slots.push(Slot { name, shape: shape.to_vec(), offset: 0, count });
            }
        }
    }
    slots.sort_by(|left, right| left.name.cmp(&right.name));
    let mut offset = 0;
    for slot in &mut slots {
        slot.offset = offset;
        offset += slot.count;
    }
    slots
}

/// The flat values of an untrained adapter: A from `seed`, B zero.
pub fn initial_values(slots: &[Slot], seed: u64) -> Vec<f32> {
    let mut flat = Vec::new();
    for slot in slots {
        let count = slot.count as usize;
        if slot.name.ends_with("lora_B.weight") {
            flat.resize(flat.len() + count, 0.0);
        } else {
            let bound = 1.0 / (slot.shape[1] as f32).sqrt();
            flat.extend(random::uniform(seed, &slot.name, count, bound));
        }
    }
    flat
}

/// The two matrices at one linear layer; views of the adapter's parameters.
pub struct LowRank {
    /// `[rank, in]`
    pub a: Tensor,
    /// `[out, rank]`
    pub b: Tensor,
}

/// The matrices of one block.
pub struct LayerAdapter([LowRank; 7]);

impl LayerAdapter {
    /// Those at `target`.
    pub fn get(&self, target: Target) -> &LowRank {
        &self.0[target as usize]
    }
}

/// An adapter for a model of one shape.
pub struct Adapter {
    config: LoraConfig,
    parameters: Parameters,
    layers: Vec<LayerAdapter>,
}

impl Adapter {
    /// An untrained adapter: A from `seed`, B zero.
    ///
    /// # Errors
    /// A configuration out of range.
    pub fn new(spec: &ModelSpec, config: LoraConfig, seed: u64) -> Result<Self> {
        Self::from_state(spec, config, &TrainState::new(spec, config, seed)?)
    }

    /// The adapter of a training's state.
    ///
    /// # Errors
    /// A state of another shape.
    pub fn from_state(spec: &ModelSpec, config: LoraConfig, state: &TrainState) -> Result<Self> {
        Self::from_parts(spec, config, |name, shape| {
            let slot = state.slots.binary_search_by(|slot| slot.name.as_str().cmp(name)).ok();
            let slot = slot.map(|place| &state.slots[place]).filter(|slot| slot.shape == shape);
            let slot =
                slot.ok_or_else(|| Error::Config(format!("the state has no {name} of shape {shape:?}")))?;
            Ok(tensor(slot_values(&state.adapter, slot))?.f_reshape(shape)?)
        })
    }

    /// An adapter whose tensors are asked for by their `peft` names and shapes.
    ///
    /// # Errors
    /// A configuration out of range, or whatever `tensor` returns.
    pub fn from_parts(
        spec: &ModelSpec,
        config: LoraConfig,
        tensor: impl Fn(&str, &[i64]) -> Result<Tensor>,
    ) -> Result<Self> {
        config.validate()?;
        let mut initial = Vec::new();
        for slot in layout(spec, config.rank) {
            let values = tensor(&slot.name, &slot.shape)?;
            initial.push((slot.name, values));
        }
        let parameters = Parameters::new(initial)?;
        let layers = layers_of(spec.layers, |name| parameters.leaf(name).map(Tensor::shallow_clone));
        Ok(Self { config, parameters, layers })
    }

    /// Size and scale.
    pub fn config(&self) -> &LoraConfig {
        &self.config
    }

    /// What the output is multiplied by.
    pub fn scale(&self) -> f64 {
        self.config.scale()
    }

    /// The trainable values, by their `peft` names.
    pub fn parameters(&self) -> &Parameters {
        &self.parameters
    }

    /// Views of another flat vector of the parameters' size, such as their gradient, as the matrices of each block.
    ///
    /// # Errors
    /// A vector of another size.
    pub fn views(&self, flat: &Tensor) -> Result<Vec<LayerAdapter>> {
        let slots = self.parameters.slots();
        let mut views = std::collections::BTreeMap::new();
        for slot in slots {
            let view = flat.f_narrow(0, slot.offset, slot.count)?.f_view(&slot.shape[..])?;
            views.insert(slot.name.as_str(), view);
        }
        Ok(layers_of(self.layers.len() as i64, |name| views.remove(name)))
    }

    /// The matrices of block `index`.
    pub fn layer(&self, index: usize) -> &LayerAdapter {
        &self.layers[index]
    }
}

/// The matrices of all blocks, each asked for once by its `peft` name.
fn layers_of(layers: i64, mut matrix: impl FnMut(&str) -> Option<Tensor>) -> Vec<LayerAdapter> {
    let mut matrix = |layer, target: Target, part| {
        matrix(&target.peft_name(layer, part))
            .expect("every matrix of every block is among the parameters, qed")
    };
    let mut low_rank =
        |layer, target| LowRank { a: matrix(layer, target, "A"), b: matrix(layer, target, "B") };
    (0..layers as usize)
        .map(|layer| LayerAdapter(Target::ALL.map(|target| low_rank(layer, target))))
        .collect()
}
