//! The forward and the backward pass of one sequence: operators in the order of the specification's section 9.
//!
//! Everything that an operator makes is kept in public fields, so that another implementation can be compared operator by
//! operator.

use alloc::{vec, vec::Vec};

use crate::{
    activation, attention,
    attention::add,
    element,
    fault::{At, Backward as Back, Forward as Fore, Operator},
    loss,
    model::{Block, Lora, Model, Target},
    norm,
    projection::{self, Group, LowRank},
    rotary::{self, Rotary},
    step::Sequence,
    weights::Frozen,
};

/// What the forward pass of a block makes; T tokens.
#[derive(Clone, Debug, PartialEq)]
pub struct BlockForward {
    /// The block's input, `[T, H]`.
    pub x: Vec<f32>,
    /// Of x.
    pub input_norm: norm::Forward,
    /// `y` is q, k, v side by side, before rotation.
    pub qkv: projection::Forward,
    /// Rotated queries `[T, query]`.
    pub q: Vec<f32>,
    /// Rotated keys `[T, kv]`.
    pub k: Vec<f32>,
    /// Values `[T, kv]`.
    pub v: Vec<f32>,
    /// Of q, k, v.
    pub attention: attention::Forward,
    /// Output projection.
    pub output: projection::Forward,
    /// x + output, `[T, H]`.
    pub middle: Vec<f32>,
    /// Of middle.
    pub post_norm: norm::Forward,
    /// `y` is gate and up side by side.
    pub gate_up: projection::Forward,
    /// `[T, I]`
    pub act: Vec<f32>,
    /// Down projection.
    pub down: projection::Forward,
}

/// What the forward pass of a sequence makes.
#[derive(Clone, Debug, PartialEq)]
pub struct SequenceForward {
    /// The rotary table.
    pub rotary: Rotary,
    /// In order.
    pub blocks: Vec<BlockForward>,
    /// The last block's output at the loss-bearing tokens, `[n, H]`.
    pub last: Vec<f32>,
    /// Of `last`.
    pub final_norm: norm::Forward,
    /// At the loss-bearing tokens.
    pub loss: loss::Forward,
}

/// What the backward pass of a block makes.
#[derive(Clone, Debug, PartialEq)]
pub struct BlockBackward {
    /// Down projection.
    pub down: projection::Backward,
    /// Gradient of gate and up, `[T, 2 I]`.
    pub dgate_up: Vec<f32>,
    /// Gate and up projection.
    pub gate_up: projection::Backward,
    /// Gradient of the residual stream between the block's halves, `[T, H]`.
    pub dmiddle: Vec<f32>,
    /// Output projection.
    pub output: projection::Backward,
    /// Of rotated queries and keys, and of values.
    pub attention: attention::Backward,
    /// Gradient of q, k, v side by side, before rotation.
    pub dqkv: Vec<f32>,
    /// Query, key, value projection.
    pub qkv: projection::Backward,
    /// Gradient of the block's input, `[T, H]`; none for the first block.
    pub dx: Option<Vec<f32>>,
}

/// The gradient of one sequence.
#[derive(Clone, Debug, PartialEq)]
pub struct Gradient {
    /// In the order of the adapter.
    pub flat: Vec<f32>,
    /// Gradient of the last block's output, `[T, H]`.
    pub dlast: Vec<f32>,
    /// In the order of the blocks.
    pub blocks: Vec<BlockBackward>,
}

/// Columns `first..first + count` of `x`, whose rows have `width`.
pub fn columns(x: &[f32], width: usize, first: usize, count: usize) -> Vec<f32> {
    x.chunks(width).flat_map(|row| row[first..first + count].iter().copied()).collect()
}

/// Tables side by side; each comes with its width.
pub fn side_by_side(parts: &[(&[f32], usize)]) -> Vec<f32> {
    let rows = parts[0].0.len() / parts[0].1;
    let row = |t: usize| parts.iter().flat_map(move |(x, width)| x[t * width..(t + 1) * width].iter());
    (0..rows).flat_map(row).copied().collect()
}

/// Rows of the embedding, `[T, H]`.
pub fn embed(embedding: &Frozen, tokens: &[u32]) -> Vec<f32> {
    let mut x = Vec::with_capacity(tokens.len() * embedding.inputs);
    for token in tokens {
        let row = embedding.row(*token as usize);
        x.extend(row.values.iter().map(|q| element::embedded(*q, row.scale)));
    }
    x
}

const QKV: [Target; 3] = [Target::Q, Target::K, Target::V];
const GATE_UP: [Target; 2] = [Target::Gate, Target::Up];

/// A model with an adapter.
struct Adapted<'a> {
    model: &'a Model,
    lora: &'a Lora,
    adapter: &'a [f32],
}

impl<'a> Adapted<'a> {
    fn parts(&self, layer: usize, targets: &[Target]) -> Vec<LowRank<'a>> {
        let part = |target: &Target| {
            let (a, b) = self.lora.place(&self.model.shape, layer, *target);
            LowRank { a: &self.adapter[a], b: &self.adapter[b] }
        };
        targets.iter().map(part).collect()
    }

    fn group<'p>(&self, weight: &'p Frozen, bias: Option<&'p [f32]>, parts: &'p [LowRank<'p>]) -> Group<'p> {
        Group { weight, bias, parts, rank: self.lora.rank, sigma: self.lora.sigma() }
    }

    fn block_forward(
        &self,
        layer: usize,
        x: Vec<f32>,
        rotary: &Rotary,
        documents: &[u32],
    ) -> Result<BlockForward, Operator> {
        let (shape, block) = (&self.model.shape, &self.model.blocks[layer]);
        let at = |operator| Operator::Forward(layer as u32, operator);
        let input_norm = norm::forward(&x, &block.input_norm, shape.epsilon()).at(at(Fore::InputNorm))?;
        let parts = self.parts(layer, &QKV);
        let group = self.group(&block.qkv, block.qkv_bias.as_deref(), &parts);
        let qkv = projection::forward(&group, &input_norm.y).at(at(Fore::Qkv))?;
        let (query, kv) = (shape.query_width(), shape.kv_width());
        let width = query + 2 * kv;
        let q = rotary.rotate(&columns(&qkv.y, width, 0, query));
        let k = rotary.rotate(&columns(&qkv.y, width, query, kv));
        let v = columns(&qkv.y, width, query + kv, kv);
        let attention =
            attention::forward(&shape.attention(), &q, &k, &v, documents).at(at(Fore::Attention))?;
        let parts = self.parts(layer, &[Target::O]);
        let output = projection::forward(&self.group(&block.output, None, &parts), &attention.output)
            .at(at(Fore::Output))?;
        let middle = add(&x, &output.y);
        let post_norm = norm::forward(&middle, &block.post_norm, shape.epsilon()).at(at(Fore::PostNorm))?;
        let parts = self.parts(layer, &GATE_UP);
        let gate_up = projection::forward(&self.group(&block.gate_up, None, &parts), &post_norm.y)
            .at(at(Fore::GateUp))?;
        let act = activation::forward(&gate_up.y, shape.intermediate);
        let parts = self.parts(layer, &[Target::Down]);
        let down = projection::forward(&self.group(&block.down, None, &parts), &act).at(at(Fore::Down))?;
        Ok(BlockForward {
            x,
            input_norm,
            qkv,
            q,
            k,
            v,
            attention,
            output,
            middle,
            post_norm,
            gate_up,
            act,
            down,
        })
    }

    fn block_backward(
        &self,
        layer: usize,
        saved: &BlockForward,
        rotary: &Rotary,
        documents: &[u32],
        dy: &[f32],
    ) -> Result<BlockBackward, Operator> {
        let (shape, block) = (&self.model.shape, &self.model.blocks[layer]);
        let at = |operator| Operator::Backward(layer as u32, operator);
        let parts = self.parts(layer, &[Target::Down]);
        let group = self.group(&block.down, None, &parts);
        let down =
            projection::backward(&group, &saved.down.x, &saved.down.low, dy, true).at(at(Back::Down))?;
        let dgate_up = activation::backward(&saved.gate_up.y, asked(&down.dx), shape.intermediate);
        let parts = self.parts(layer, &GATE_UP);
        let group = self.group(&block.gate_up, None, &parts);
        let (x, low) = (&saved.gate_up.x, &saved.gate_up.low);
        let gate_up = projection::backward(&group, x, low, &dgate_up, true).at(at(Back::GateUp))?;
        let dnorm = norm::backward(asked(&gate_up.dx), &saved.middle, &block.post_norm, &saved.post_norm);
        let dmiddle = add(&dnorm.at(at(Back::PostNorm))?, dy);
        let parts = self.parts(layer, &[Target::O]);
        let group = self.group(&block.output, None, &parts);
        let (x, low) = (&saved.output.x, &saved.output.low);
        let output = projection::backward(&group, x, low, &dmiddle, true).at(at(Back::Output))?;
        let qkv = (&saved.q[..], &saved.k[..], &saved.v[..]);
        let doutput = asked(&output.dx);
        let attention = attention::backward(&shape.attention(), qkv, documents, &saved.attention, doutput)
            .at(at(Back::Attention))?;
        let (dq, dk) = (rotary.rotate_back(&attention.dq), rotary.rotate_back(&attention.dk));
        let (query, kv) = (shape.query_width(), shape.kv_width());
        let dqkv = side_by_side(&[(&dq, query), (&dk, kv), (&attention.dv, kv)]);
        let (qkv, dx) = self.input_backward(layer, block, saved, &dqkv, &dmiddle)?;
        Ok(BlockBackward { down, dgate_up, gate_up, dmiddle, output, attention, dqkv, qkv, dx })
    }

    /// The query, key, value projection and the input norm, backwards.
    fn input_backward(
        &self,
        layer: usize,
        block: &Block,
        saved: &BlockForward,
        dqkv: &[f32],
        dmiddle: &[f32],
    ) -> Result<(projection::Backward, Option<Vec<f32>>), Operator> {
        let at = |operator| Operator::Backward(layer as u32, operator);
        let parts = self.parts(layer, &QKV);
        let group = self.group(&block.qkv, block.qkv_bias.as_deref(), &parts);
        let (x, low) = (&saved.qkv.x, &saved.qkv.low);
        let qkv = projection::backward(&group, x, low, dqkv, layer > 0).at(at(Back::Qkv))?;
        let Some(dnormed) = &qkv.dx else { return Ok((qkv, None)) };
        let dnorm = norm::backward(dnormed, &saved.x, &block.input_norm, &saved.input_norm);
        let dx = add(&dnorm.at(at(Back::InputNorm))?, dmiddle);
        Ok((qkv, Some(dx)))
    }

    /// Puts the gradients of one projection group into their places.
    fn put(&self, flat: &mut [f32], layer: usize, targets: &[Target], made: &projection::Backward) {
        for (part, target) in targets.iter().enumerate() {
            let (a, b) = self.lora.place(&self.model.shape, layer, *target);
            flat[a].copy_from_slice(&made.da[part]);
            flat[b].copy_from_slice(&made.db[part]);
        }
    }
}

fn asked(dx: &Option<Vec<f32>>) -> &[f32] {
    dx.as_deref().expect("the gradient of the input was asked for, qed")
}

/// The forward pass of `sequence`.
///
/// # Errors
/// The first operator with a check that failed.
pub fn forward(
    model: &Model,
    lora: &Lora,
    adapter: &[f32],
    sequence: &Sequence,
) -> Result<SequenceForward, Operator> {
    let (shape, adapted) = (&model.shape, Adapted { model, lora, adapter });
    let scaling = shape.rope_scaling.as_ref();
    let rotary = rotary::table(shape.head_dim, shape.rope_theta, scaling, &sequence.positions);
    let mut x = embed(&model.embedding, &sequence.tokens);
    let mut blocks = vec![];
    for layer in 0..shape.layers {
        let made = adapted.block_forward(layer, x, &rotary, &sequence.documents)?;
        x = add(&made.middle, &made.down.y);
        blocks.push(made);
    }
    let (places, targets) = sequence.targets();
    let h = shape.hidden;
    let last: Vec<f32> = places.iter().flat_map(|t| x[t * h..(t + 1) * h].iter().copied()).collect();
    let final_norm = norm::forward(&last, &model.final_norm, shape.epsilon()).at(Operator::FinalNorm)?;
    let loss = loss::forward(&final_norm.y, model.head(), &targets).at(Operator::Head)?;
    Ok(SequenceForward { rotary, blocks, last, final_norm, loss })
}

/// The backward pass of `sequence`; `saved` is what the forward pass made.
///
/// # Errors
/// The first operator with a check that failed.
pub fn backward(
    model: &Model,
    lora: &Lora,
    adapter: &[f32],
    sequence: &Sequence,
    saved: &SequenceForward,
    omega: f32,
) -> Result<Gradient, Operator> {
    let (shape, adapted) = (&model.shape, Adapted { model, lora, adapter });
    let (places, targets) = sequence.targets();
    let dn = loss::backward(&saved.loss, model.head(), &targets, omega).at(Operator::HeadBackward)?;
    let made = norm::backward(&dn, &saved.last, &model.final_norm, &saved.final_norm)
        .at(Operator::FinalNormBackward)?;
    let h = shape.hidden;
    let mut dlast = vec![0.0; sequence.tokens.len() * h];
    for (row, t) in made.chunks(h).zip(places) {
        dlast[t * h..(t + 1) * h].copy_from_slice(row);
    }
    let (mut dy, mut flat, mut blocks) = (dlast.clone(), vec![0.0; adapter.len()], vec![]);
    for layer in (0..shape.layers).rev() {
        let made =
            adapted.block_backward(layer, &saved.blocks[layer], &saved.rotary, &sequence.documents, &dy)?;
        adapted.put(&mut flat, layer, &QKV, &made.qkv);
        adapted.put(&mut flat, layer, &[Target::O], &made.output);
        adapted.put(&mut flat, layer, &GATE_UP, &made.gate_up);
        adapted.put(&mut flat, layer, &[Target::Down], &made.down);
        if let Some(dx) = &made.dx {
            dy.clone_from(dx);
        }
        blocks.push(made);
    }
    blocks.reverse();
    Ok(Gradient { flat, dlast, blocks })
}
