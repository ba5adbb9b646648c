//! The shape of a model, its frozen weights, and where each matrix of the adapter lies in the flat vector.

use alloc::vec::Vec;
use core::ops::Range;

use crate::{
    attention::Heads,
    mantissa::NotFinite,
    real64::sqrt64,
    rotary::Llama3,
    weights::{quantise4, quantise8, Frozen},
};

/// The shape of a decoder of the Llama family.
#[derive(Clone, Debug, PartialEq)]
pub struct Shape {
    /// Rows of the embedding, V.
    pub vocabulary: usize,
    /// Width of the residual stream, H.
    pub hidden: usize,
    /// Width of the feed-forward part.
    pub intermediate: usize,
    /// Number of blocks.
    pub layers: usize,
    /// Query heads.
    pub heads: usize,
    /// Key and value heads; divides `heads`.
    pub kv_heads: usize,
    /// Width of one head; even.
    pub head_dim: usize,
    /// Added to the mean square in RMSNorm.
    pub norm_epsilon: f64,
    /// Base of the rotary frequencies.
    pub rope_theta: f64,
    /// Rotary scaling, if any.
    pub rope_scaling: Option<Llama3>,
}

impl Shape {
    /// Width of all query heads together.
    pub fn query_width(&self) -> usize {
        self.heads * self.head_dim
    }

    /// Width of all key heads together, and of all value heads.
    pub fn kv_width(&self) -> usize {
        self.kv_heads * self.head_dim
    }

    /// The heads alone.
    pub fn attention(&self) -> Heads {
        Heads { heads: self.heads, kv_heads: self.kv_heads, head_dim: self.head_dim }
    }

    /// eps as a binary32.
    pub fn epsilon(&self) -> f32 {
        self.norm_epsilon as f32
    }
}

/// One block of frozen weights.
#[derive(Clone, Debug, PartialEq)]
pub struct Block {
    /// `[H]`
    pub input_norm: Vec<f32>,
    /// q, k, v, `[query + 2 kv, H]`.
    pub qkv: Frozen,
    /// `[query + 2 kv]`, for shapes that have it (Qwen2).
    pub qkv_bias: Option<Vec<f32>>,
    /// `[H, query]`
    pub output: Frozen,
    /// `[H]`
    pub post_norm: Vec<f32>,
    /// gate, up, `[2 I, H]`.
    pub gate_up: Frozen,
    /// `[H, I]`
    pub down: Frozen,
}

/// Frozen weights.
#[derive(Clone, Debug, PartialEq)]
pub struct Model {
    /// Their shape.
    pub shape: Shape,
    /// `[V, H]`
    pub embedding: Frozen,
    /// In order.
    pub blocks: Vec<Block>,
    /// `[H]`
    pub final_norm: Vec<f32>,
    /// `[V, H]`; none if it is the embedding.
    pub head: Option<Frozen>,
}

impl Model {
    /// The output projection.
    pub fn head(&self) -> &Frozen {
        self.head.as_ref().unwrap_or(&self.embedding)
    }
}

/// How the matrices of the blocks are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Storage {
    /// 8 bits a weight.
    W8,
    /// 4 bits a weight.
    W4,
}

impl Storage {
    /// The frozen form of `weights` `[O, I]`.
    ///
    /// # Errors
    /// A weight is infinite or NaN.
    pub fn freeze(self, weights: &[f32], inputs: usize) -> Result<Frozen, NotFinite> {
        match self {
            Self::W8 => quantise8(weights, inputs),
            Self::W4 => Ok(quantise4(weights, inputs)?.unfold()),
        }
    }
}

/// A linear layer of a block that carries an adapter, in the flat order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Target {
    Q,
    K,
    V,
    O,
    Gate,
    Up,
    Down,
}

impl Target {
    /// All of them, in the flat order.
    pub const ALL: [Self; 7] = [Self::Q, Self::K, Self::V, Self::O, Self::Gate, Self::Up, Self::Down];

    /// Inputs and outputs of the layer.
    pub fn sizes(self, shape: &Shape) -> (usize, usize) {
        match self {
            Self::Q => (shape.hidden, shape.query_width()),
            Self::K | Self::V => (shape.hidden, shape.kv_width()),
            Self::O => (shape.query_width(), shape.hidden),
            Self::Gate | Self::Up => (shape.hidden, shape.intermediate),
            Self::Down => (shape.intermediate, shape.hidden),
        }
    }
}

/// Size and scale of an adapter.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Lora {
    /// r.
    pub rank: usize,
    /// Numerator of σ.
    pub alpha: f64,
    /// Divide by the root of the rank instead of the rank (Kalajdzievski 2023, arXiv:2312.03732).
    pub rank_stabilised: bool,
}

impl Lora {
    /// σ.
    pub fn sigma(&self) -> f32 {
        let rank = self.rank as f64;
        (self.alpha / if self.rank_stabilised { sqrt64(rank) } else { rank }) as f32
    }

    /// Where A `[r, in]` and B `[out, r]` of a layer lie in the flat adapter.
    pub fn place(&self, shape: &Shape, layer: usize, target: Target) -> (Range<usize>, Range<usize>) {
        let size = |target: Target| {
            let (inputs, outputs) = target.sizes(shape);
            (self.rank * inputs, self.rank * outputs)
        };
        let before = Target::ALL.iter().take_while(|other| **other != target);
        let before: usize = before.map(|other| size(*other).0 + size(*other).1).sum();
        let a = layer * self.block_len(shape) + before;
        let b = a + size(target).0;
        (a..b, b..b + size(target).1)
    }

    fn block_len(&self, shape: &Shape) -> usize {
        let sizes = Target::ALL.iter().map(|target| target.sizes(shape));
        sizes.map(|(inputs, outputs)| self.rank * (inputs + outputs)).sum()
    }

    /// Elements of the flat adapter.
    pub fn len(&self, shape: &Shape) -> usize {
        shape.layers * self.block_len(shape)
    }
}
