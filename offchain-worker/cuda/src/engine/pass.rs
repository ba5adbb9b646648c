//! Forward and backward pass of a micro-batch (SPEC.md, sections 5 and 6): operators in the order of section 9.
//!
//! The forward pass of a block keeps its input, the rotated queries, keys and values, the attention's output, the residual
//! stream between its halves, gate and up, and the low-rank values; the backward pass computes all else again. `n` is the
//! number of tokens of the micro-batch.

use attune_exact::{
    fault::{Backward, Forward, Operator},
    mantissa::Width,
    model::Shape,
};

use super::{
    attention::Attention,
    frozen::{Layer, Matrix, Weights},
    head::{Head, Targets},
    projection::{Group, Place, Quantised, Saved},
    Chunks,
};
use crate::{
    buffer::Buffer,
    device::Device,
    error::Result,
    ops::{Check, Faults, Norm, NormBack, NormOut, Swiglu, SwigluBack, Turn},
};

/// Cosines and sines of all positions, `[positions, pairs]`.
pub(super) struct Table {
    pub(super) cosine: Buffer<f32>,
    pub(super) sine: Buffer<f32>,
    pub(super) pairs: usize,
}

/// What a pass is over.
pub(super) struct Pass<'a> {
    pub(super) device: &'a Device,
    pub(super) weights: &'a Weights,
    pub(super) flat: &'a Buffer<f32>,
    /// Per block, where q, k, v, o, gate, up, down lie in the flat parameters.
    pub(super) places: &'a [[Place; 7]],
    /// Rank and σ.
    pub(super) lora: (usize, f32),
    pub(super) rotary: &'a Table,
    /// Of each token: its id, its position, where its document starts in its sequence.
    pub(super) tokens: Buffer<u32>,
    pub(super) positions: Buffer<u32>,
    pub(super) starts: Buffer<u32>,
    pub(super) targets: Targets,
    /// Tokens of a sequence.
    pub(super) length: usize,
    pub(super) chunks: Chunks,
    /// Where failed checks are noted, and the first sequence of the micro-batch there.
    pub(super) faults: (&'a Faults, usize),
}

/// What a block's forward pass keeps.
struct Kept {
    x: Buffer<f32>,
    rho: Buffer<f32>,
    qkv: Buffer<f32>,
    mixed: Buffer<f32>,
    middle: Buffer<f32>,
    post_rho: Buffer<f32>,
    gate_up: Buffer<f32>,
    low: [Buffer<f32>; 4],
}

/// A matrix of a block with its bias, and which of the block's adapters are its parts.
type Part<'a> = (&'a Matrix, Option<&'a Buffer<f32>>, std::ops::Range<usize>);

fn qkv(layer: &Layer) -> Part<'_> {
    (&layer.qkv, layer.qkv_bias.as_ref(), 0..3)
}

fn output(layer: &Layer) -> Part<'_> {
    (&layer.output, None, 3..4)
}

fn gate_up(layer: &Layer) -> Part<'_> {
    (&layer.gate_up, None, 4..6)
}

fn down(layer: &Layer) -> Part<'_> {
    (&layer.down, None, 6..7)
}

impl<'a> Pass<'a> {
    fn shape(&self) -> &'a Shape {
        &self.weights.shape
    }

    fn n(&self) -> usize {
        self.tokens.len()
    }

    fn code(&self, operator: Operator) -> u32 {
        operator.index(self.weights.layers.len() as u32)
    }

    /// The check of an operator over the rows of the micro-batch.
    fn check(&self, operator: Operator) -> Check<'a> {
        let (faults, first) = self.faults;
        faults.check(self.code(operator), self.length).skip(first)
    }

    /// The check of an operator over what all sequences share: the first fails first.
    fn shared(&self, operator: Operator) -> Check<'a> {
        let (faults, first) = self.faults;
        faults.check(self.code(operator), 0).skip(first)
    }

    fn group(&self, index: usize, part: Part<'a>, operator: Operator) -> Group<'a> {
        let (frozen, bias, places) = part;
        Group {
            device: self.device,
            frozen,
            bias,
            flat: self.flat,
            places: &self.places[index][places],
            rank: self.lora.0,
            sigma: self.lora.1,
            check: self.check(operator),
            shared: self.shared(operator),
        }
    }

    /// Loss, and its gradient if `gradient` is given: ω, and the flat gradient that each sequence adds to. Returns
    /// Σ int(ℓ × 2^24).
    pub(super) fn run(&self, gradient: Option<(f32, &mut Buffer<f32>)>) -> Result<i64> {
        let (device, hidden) = (self.device, self.shape().hidden);
        let mut x = device.zeros::<f32>(self.n() * hidden)?;
        let embedding = &self.weights.embedding;
        let table = (embedding.values(), embedding.scales.all());
        device.embed(table, self.tokens.all(), hidden, x.all_mut())?;
        let mut kept = Vec::new();
        for (index, layer) in self.weights.layers.iter().enumerate() {
            let (out, saved) = self.block_forward(index, layer, x)?;
            if gradient.is_some() {
                kept.push(saved);
            }
            x = out;
        }
        let last = Norm {
            x: x.all(),
            places: Some(self.targets.places.all()),
            w: self.weights.norm.all(),
            epsilon: self.shape().epsilon(),
            rows: self.targets.places.len(),
        };
        let (normed, rho) = self.norm(&last, Operator::FinalNorm, Operator::Head)?;
        let head = Head {
            device,
            matrix: self.weights.head(),
            targets: &self.targets,
            tokens: self.n(),
            chunk: self.chunks.logits,
            forward: self.check(Operator::Head),
            backward: self.check(Operator::HeadBackward),
        };
        let Some((omega, gradient)) = gradient else { return head.run(&normed, None) };
        let mut dn = device.zeros::<f32>(last.rows * hidden)?;
        let sum = head.run(&normed, Some((omega, dn.all_mut())))?;
        let mut dx = device.zeros::<f32>(self.n() * hidden)?;
        let back = NormBack { dy: dn.all(), norm: last, rho: rho.all(), residual: false };
        device.norm_backward(&back, dx.all_mut(), self.check(Operator::FinalNormBackward))?;
        drop((dn, normed));
        for (index, layer) in self.weights.layers.iter().enumerate().rev() {
            let saved = kept.pop().expect("each block kept something, qed");
            self.block_backward(index, layer, saved, &mut dx, gradient)?;
        }
        Ok(sum)
    }

    fn whole<'b>(&self, x: &'b Buffer<f32>, w: &'b Buffer<f32>) -> Norm<'b> {
        Norm { x: x.all(), places: None, w: w.all(), epsilon: self.shape().epsilon(), rows: self.n() }
    }

    fn norm(&self, norm: &Norm<'_>, own: Operator, reader: Operator) -> Result<(Quantised, Buffer<f32>)> {
        let mut made = Quantised::room(self.device, norm.rows, self.shape().hidden)?;
        let mut rho = self.device.zeros(norm.rows)?;
        let out = NormOut { q: made.q.all_mut(), scale: made.scales.all_mut(), rho: rho.all_mut(), y: None };
        self.device.norm(norm, out, self.check(own), self.check(reader))?;
        Ok((made, rho))
    }

    fn attention(&self, operator: Operator) -> Attention<'_> {
        let check = self.check(operator);
        Attention {
            device: self.device,
            heads: self.shape().attention(),
            starts: &self.starts,
            length: self.length,
            chunk: self.chunks.scores,
            check,
        }
    }

    /// Turns queries and keys, or their gradients, in place.
    fn rotate(&self, x: &mut Buffer<f32>, turn: Turn) -> Result<()> {
        let shape = self.shape();
        let stride = shape.query_width() + 2 * shape.kv_width();
        let table = (self.rotary.cosine.all(), self.rotary.sine.all(), self.rotary.pairs);
        let heads = shape.heads + shape.kv_heads;
        self.device.rotate((x.all_mut(), stride, heads), table, self.positions.all(), turn)
    }

    fn activation(&self, gate_up: &Buffer<f32>, operator: Operator) -> Result<Quantised> {
        let inner = self.shape().intermediate;
        let mut act = Quantised::room(self.device, self.n(), inner)?;
        let swiglu = Swiglu { gate_up: gate_up.all(), inner, rows: self.n() };
        let out = (act.q.all_mut(), act.scales.all_mut());
        self.device.swiglu(&swiglu, out, None, self.check(operator))?;
        Ok(act)
    }

    fn wide(&self, x: &Buffer<f32>, columns: usize, operator: Operator) -> Result<Quantised> {
        let size = (self.n(), columns);
        Quantised::of(self.device, x.all(), size, None, Width::Wide, self.check(operator))
    }

    /// h = dy × w as mantissas.
    fn scaled(&self, dy: &Buffer<f32>, of: &Matrix, operator: Operator) -> Result<Quantised> {
        let size = (self.n(), of.outputs);
        let times = Some(of.scales.all());
        Quantised::of(self.device, dy.all(), size, times, Width::Wide, self.check(operator))
    }

    fn block_forward(&self, index: usize, layer: &'a Layer, x: Buffer<f32>) -> Result<(Buffer<f32>, Kept)> {
        let at = |operator| Operator::Forward(index as u32, operator);
        let (device, n, shape) = (self.device, self.n(), self.shape());
        let own = at(Forward::Qkv);
        let (normed, rho) = self.norm(&self.whole(&x, &layer.input_norm), at(Forward::InputNorm), own)?;
        let mut qkv_rows = device.zeros(n * layer.qkv.outputs)?;
        let low_qkv = self.group(index, qkv(layer), own).forward(&normed, None, qkv_rows.all_mut())?;
        self.rotate(&mut qkv_rows, Turn::Forward)?;
        let mixed = self.attention(at(Forward::Attention)).forward(&qkv_rows)?;
        let own = at(Forward::Output);
        let q = self.wide(&mixed, shape.query_width(), own)?;
        let mut middle = device.zeros(n * shape.hidden)?;
        let low_output = self.group(index, output(layer), own).forward(&q, Some(&x), middle.all_mut())?;
        let own = at(Forward::GateUp);
        let (normed, post_rho) =
            self.norm(&self.whole(&middle, &layer.post_norm), at(Forward::PostNorm), own)?;
        let mut gates = device.zeros(n * layer.gate_up.outputs)?;
        let low_gates = self.group(index, gate_up(layer), own).forward(&normed, None, gates.all_mut())?;
        let own = at(Forward::Down);
        let act = self.activation(&gates, own)?;
        let mut out = device.zeros(n * shape.hidden)?;
        let low_down = self.group(index, down(layer), own).forward(&act, Some(&middle), out.all_mut())?;
        let low = [low_qkv, low_output, low_gates, low_down];
        Ok((out, Kept { x, rho, qkv: qkv_rows, mixed, middle, post_rho, gate_up: gates, low }))
    }

    /// Takes the gradient of the block's output in `dx` to that of its input (of no meaning for the first block).
    fn block_backward(
        &self,
        index: usize,
        layer: &'a Layer,
        kept: Kept,
        dx: &mut Buffer<f32>,
        gradient: &mut Buffer<f32>,
    ) -> Result<()> {
        let at = |operator| Operator::Backward(index as u32, operator);
        let (device, n, shape, length) = (self.device, self.n(), self.shape(), self.length);
        let Kept { x, rho, qkv: qkv_rows, mixed, middle, post_rho, gate_up: gates, low } = kept;

        // Down projection and SwiGLU.
        let own = at(Backward::Down);
        let act = self.activation(&gates, own)?;
        let h = self.scaled(dx, &layer.down, own)?;
        let mut da = device.zeros::<f32>(n * shape.intermediate)?;
        let saved = Saved { x: &act, low: &low[3], h: &h };
        self.group(index, down(layer), own).backward(&saved, length, gradient, Some(da.all_mut()))?;
        drop(act);
        let own = at(Backward::GateUp);
        let mut h = Quantised::room(device, n, 2 * shape.intermediate)?;
        let forward = Swiglu { gate_up: gates.all(), inner: shape.intermediate, rows: n };
        let back = SwigluBack { forward, da: da.all(), w: layer.gate_up.scales.all() };
        device.swiglu_backward(&back, (h.q.all_mut(), h.scales.all_mut()), None, self.check(own))?;
        drop((gates, da));

        // Gate and up projections, and the second norm.
        let norm = self.whole(&middle, &layer.post_norm);
        let (normed, _) = self.norm(&norm, own, own)?;
        let mut d_normed = device.zeros::<f32>(n * shape.hidden)?;
        let saved = Saved { x: &normed, low: &low[2], h: &h };
        self.group(index, gate_up(layer), own).backward(
            &saved,
            length,
            gradient,
            Some(d_normed.all_mut()),
        )?;
        let back = NormBack { dy: d_normed.all(), norm, rho: post_rho.all(), residual: true };
        device.norm_backward(&back, dx.all_mut(), self.check(at(Backward::PostNorm)))?;

        // Output projection and attention.
        let own = at(Backward::Output);
        let h = self.scaled(dx, &layer.output, own)?;
        let q = self.wide(&mixed, shape.query_width(), own)?;
        let mut d_mixed = device.zeros::<f32>(n * shape.query_width())?;
        let saved = Saved { x: &q, low: &low[1], h: &h };
        self.group(index, output(layer), own).backward(&saved, length, gradient, Some(d_mixed.all_mut()))?;
        drop((q, h));
        let mut d_qkv = self.attention(at(Backward::Attention)).backward(&qkv_rows, &mixed, &d_mixed)?;
        drop((qkv_rows, mixed, d_mixed));
        self.rotate(&mut d_qkv, Turn::Backward)?;

        // Query, key and value projections, and the first norm.
        let own = at(Backward::Qkv);
        let h = self.scaled(&d_qkv, &layer.qkv, own)?;
        let norm = self.whole(&x, &layer.input_norm);
        let (normed, _) = self.norm(&norm, own, own)?;
        let saved = Saved { x: &normed, low: &low[0], h: &h };
        let wanted = (index > 0).then(|| d_normed.all_mut());
        self.group(index, qkv(layer), own).backward(&saved, length, gradient, wanted)?;
        if index > 0 {
            let back = NormBack { dy: d_normed.all(), norm, rho: rho.all(), residual: true };
            device.norm_backward(&back, dx.all_mut(), self.check(at(Backward::InputNorm)))?;
        }
        Ok(())
    }
}
