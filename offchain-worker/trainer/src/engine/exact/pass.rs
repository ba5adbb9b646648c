//! Forward and backward pass of a micro-batch (SPEC.md, sections 5 and 6).
//!
//! The forward pass of a block keeps its input, the rotated queries, keys and values, the attention's output, the
//! residual stream between its halves, gate and up, and the low-rank values; the backward pass computes all else again.
//! `n` is the number of tokens of the micro-batch: its sequences times their length.

use attune_exact::{
    fault::{Backward, Forward, Operator},
    rotary::Rotary,
};
use attune_kernels::rows::{
    norm::{self, Normed},
    parallel::{self, each, Turn},
    quantise, Failed, NotFinite,
};

use super::{
    attention::{self, HeadGradients, Heads},
    frozen::{Frozen, Layer},
    head,
    projection::{Group, Machine, Place, Quantised},
    sequences::Sequence,
};

/// What a pass is over.
pub(super) struct Pass<'a> {
    pub(super) machine: &'a Machine,
    pub(super) model: &'a Frozen,
    pub(super) heads: Heads,
    /// Flat parameters, and per block the places of q, k, v, o, gate, up, down in them; none for the bare model.
    pub(super) adapter: Option<(&'a [f32], &'a [Vec<Place>])>,
    /// Rank and σ.
    pub(super) lora: (usize, f32),
    /// Cosines and sines of positions 0, 1, 2, ...
    pub(super) rotary: &'a Rotary,
    /// Of equal length.
    pub(super) sequences: &'a [Sequence<'a>],
}

/// What a block's forward pass keeps; tables of reals by row.
struct Saved {
    /// The block's input, `[n, hidden]`.
    x: Vec<f32>,
    /// ρ of the input norm, `[n]`.
    rho: Vec<f32>,
    /// Rotated queries and keys, and values, side by side, `[n, query + 2 kv]`.
    qkv: Vec<f32>,
    /// The attention's output, `[n, query]`.
    mixed: Vec<f32>,
    /// The residual stream between the halves, `[n, hidden]`.
    middle: Vec<f32>,
    /// ρ of the second norm, `[n]`.
    post_rho: Vec<f32>,
    /// `[n, 2 intermediate]`
    gate_up: Vec<f32>,
    /// Low-rank values of qkv, output, gate-up and down.
    low: [Vec<f32>; 4],
}

/// Names the operator that a check failed in.
trait At<T> {
    fn at(self, operator: Operator) -> Result<T, Operator>;
}

impl<T> At<T> for Result<T, NotFinite> {
    fn at(self, operator: Operator) -> Result<T, Operator> {
        self.map_err(|NotFinite| operator)
    }
}

/// Which places of a block's adapter belong to which group.
const QKV: std::ops::Range<usize> = 0..3;
const OUTPUT: std::ops::Range<usize> = 3..4;
const GATE_UP: std::ops::Range<usize> = 4..6;
const DOWN: std::ops::Range<usize> = 6..7;

impl<'a> Pass<'a> {
    fn length(&self) -> usize {
        self.sequences.first().map_or(0, |sequence| sequence.tokens.len())
    }

    fn tokens(&self) -> usize {
        self.sequences.len() * self.length()
    }

    fn hidden(&self) -> usize {
        self.model.norm.len()
    }

    fn eps(&self) -> f32 {
        self.model.spec.rms_norm_eps as f32
    }

    /// Loss, and its gradient if `gradient` is given: ω, and the flat gradient that each sequence adds to. Returns
    /// Σ int(ℓ × 2^24).
    ///
    /// # Errors
    /// The operator whose check failed.
    pub(super) fn run(&self, gradient: Option<(f32, &mut [f32])>) -> Result<i64, Operator> {
        let mut x = self.embed();
        let table = self.rotary_table();
        let mut saved = Vec::new();
        for (index, layer) in self.model.layers.iter().enumerate() {
            let (out, kept) = self.block_forward(index, layer, x, &table, gradient.is_some())?;
            saved.extend(kept);
            x = out;
        }
        let hidden = self.hidden();
        let places: Vec<usize> = (self.sequences.iter().enumerate())
            .flat_map(|(s, sequence)| sequence.targets.iter().map(move |(at, _)| s * self.length() + at))
            .collect();
        let targets: Vec<usize> =
            self.sequences.iter().flat_map(|s| s.targets.iter().map(|(_, target)| *target)).collect();
        let mut last = vec![0.0; places.len() * hidden];
        for (row, place) in last.chunks_mut(hidden).zip(&places) {
            row.copy_from_slice(&x[place * hidden..(place + 1) * hidden]);
        }
        drop(x);
        let (normed, rho) = self.norm(&last, &self.model.norm, Operator::FinalNorm, Operator::Head)?;
        let head = self.model.head();
        let Some((omega, gradient)) = gradient else {
            return head::loss(self.machine, head, &normed, &targets).at(Operator::Head);
        };
        let mut dlast = vec![0.0; last.len()];
        let sum = head::with_gradient(self.machine, head, &normed, &targets, omega, &mut dlast);
        let backward = |failed| if failed == Failed::First { Operator::Head } else { Operator::HeadBackward };
        let sum = sum.map_err(backward)?;
        self.final_norm_backward(&mut dlast, &last, &rho).at(Operator::FinalNormBackward)?;
        let mut dx = vec![0.0; self.tokens() * hidden];
        for (row, place) in dlast.chunks(hidden).zip(&places) {
            dx[place * hidden..(place + 1) * hidden].copy_from_slice(row);
        }
        drop((last, dlast, normed));
        for (index, layer) in self.model.layers.iter().enumerate().rev() {
            let kept = saved.pop().expect("one was kept for each block, qed");
            self.block_backward(index, layer, kept, &table, &mut dx, gradient)?;
        }
        Ok(sum)
    }

    fn embed(&self) -> Vec<f32> {
        let (embedding, hidden) = (self.model.embedding(), self.hidden());
        let mut x = vec![0.0; self.tokens() * hidden];
        let tokens = self.sequences.iter().flat_map(|sequence| sequence.tokens);
        for (x, token) in x.chunks_mut(hidden).zip(tokens) {
            let token = *token as usize;
            quantise::embedding(self.machine.isa, embedding.row(token), embedding.scales[token], x);
        }
        x
    }

    /// Cosines and sines of each token.
    fn rotary_table(&self) -> Rotary {
        let pairs = self.rotary.pairs;
        let rows = |table: &[f32]| -> Vec<f32> {
            let positions = self.sequences.iter().flat_map(|sequence| sequence.positions);
            positions.flat_map(|p| &table[*p as usize * pairs..(*p as usize + 1) * pairs]).copied().collect()
        };
        Rotary { pairs, cosine: rows(&self.rotary.cosine), sine: rows(&self.rotary.sine) }
    }

    /// The rows of a norm as mantissas, and ρ of each. A row of x that is not finite is the norm's fault, a row of y that
    /// of the operator that reads it.
    fn norm(
        &self,
        x: &[f32],
        w: &[f32],
        own: Operator,
        reader: Operator,
    ) -> Result<(Quantised, Vec<f32>), Operator> {
        let rows = x.len() / w.len();
        let mut q = vec![0; x.len()];
        let none = Normed { square_sum: 0, input_scale: 0.0, rho: 0.0, scale: 0.0 };
        let mut normed = vec![none; rows];
        let made = parallel::norm_rows(
            &self.machine.threads,
            self.machine.isa,
            x,
            w,
            self.eps(),
            &mut q,
            &mut normed,
        );
        made.map_err(|failed| if failed == Failed::First { own } else { reader })?;
        let scales = normed.iter().map(|row| row.scale).collect();
        Ok((Quantised { q, scales }, normed.iter().map(|row| row.rho).collect()))
    }

    /// The gradient of the last norm's input in place of that of its output.
    fn final_norm_backward(&self, d: &mut [f32], x: &[f32], rho: &[f32]) -> Result<(), NotFinite> {
        let (hidden, isa, w) = (self.hidden(), self.machine.isa, &self.model.norm);
        let rows = d.chunks_mut(hidden * 16).zip(x.chunks(hidden * 16)).zip(rho.chunks(16));
        each(&self.machine.threads, rows, |((d, x), rho)| {
            let mut dx = vec![0.0; hidden];
            for ((d, x), rho) in d.chunks_mut(hidden).zip(x.chunks(hidden)).zip(rho) {
                norm::backward(isa, d, x, w, *rho, &mut dx)?;
                d.copy_from_slice(&dx);
            }
            Ok(())
        })
    }

    /// One of a block's groups; `bias` only the first has.
    fn group(
        &self,
        index: usize,
        frozen: &'a super::frozen::Matrix,
        bias: Option<&'a [f32]>,
        places: std::ops::Range<usize>,
    ) -> Result<Group<'a>, NotFinite> {
        let (rank, sigma) = self.lora;
        let adapter = self.adapter.map(|(flat, all)| (flat, &all[index][places], rank, sigma));
        Group::new(self.machine, frozen, bias, adapter)
    }

    fn block_forward(
        &self,
        index: usize,
        layer: &'a Layer,
        x: Vec<f32>,
        table: &Rotary,
        keep: bool,
    ) -> Result<(Vec<f32>, Option<Saved>), Operator> {
        let operator = |operator| Operator::Forward(index as u32, operator);
        let (machine, n, hidden) = (self.machine, self.tokens(), self.hidden());
        let (threads, isa, heads) = (&machine.threads, machine.isa, &self.heads);
        let qkv_operator = operator(Forward::Qkv);
        let (normed, rho) = self.norm(&x, &layer.input_norm, operator(Forward::InputNorm), qkv_operator)?;
        let mut qkv = vec![0.0; n * heads.stride()];
        let low_qkv = self
            .group(index, &layer.qkv, layer.qkv_bias.as_deref(), QKV)
            .and_then(|group| group.forward(machine, &normed, None, &mut qkv))
            .at(qkv_operator)?;
        let turned = (heads.heads + heads.kv_heads) * heads.dim;
        parallel::rotate_rows(threads, isa, &mut qkv, heads.stride(), turned, table, Turn::Forward);
        let mixed = self.attention(&qkv).at(operator(Forward::Attention))?;
        let mut middle = vec![0.0; n * hidden];
        let low_output = Quantised::wide(machine, &mixed, heads.heads * heads.dim)
            .and_then(|q| {
                self.group(index, &layer.output, None, OUTPUT)?.forward(machine, &q, Some(&x), &mut middle)
            })
            .at(operator(Forward::Output))?;
        let gate_up_operator = operator(Forward::GateUp);
        let (normed, post_rho) =
            self.norm(&middle, &layer.post_norm, operator(Forward::PostNorm), gate_up_operator)?;
        let inner = layer.gate_up.outputs / 2;
        let mut gate_up = vec![0.0; n * 2 * inner];
        let low_gate_up = self
            .group(index, &layer.gate_up, None, GATE_UP)
            .and_then(|group| group.forward(machine, &normed, None, &mut gate_up))
            .at(gate_up_operator)?;
        drop(normed);
        let mut out = vec![0.0; n * hidden];
        let low_down = self
            .activation(&gate_up, inner)
            .and_then(|q| {
                self.group(index, &layer.down, None, DOWN)?.forward(machine, &q, Some(&middle), &mut out)
            })
            .at(operator(Forward::Down))?;
        let low = [low_qkv, low_output, low_gate_up, low_down];
        let saved = keep.then_some(Saved { x, rho, qkv, mixed, middle, post_rho, gate_up, low });
        Ok((out, saved))
    }

    /// The activation's rows as mantissas.
    fn activation(&self, gate_up: &[f32], inner: usize) -> Result<Quantised, NotFinite> {
        let mut act = Quantised::room(gate_up.len() / (2 * inner), inner);
        let (q, scales) = (&mut act.q, &mut act.scales);
        parallel::activation_rows(&self.machine.threads, self.machine.isa, gate_up, inner, q, scales)?;
        Ok(act)
    }

    /// The output of all heads, `[n, query]`.
    fn attention(&self, qkv: &[f32]) -> Result<Vec<f32>, NotFinite> {
        let (heads, length) = (&self.heads, self.length());
        let mut by_head = vec![0.0; self.tokens() * heads.heads * heads.dim];
        let parts = by_head.chunks_mut(length * heads.dim).enumerate();
        each(&self.machine.threads, parts, |(index, out)| {
            let (sequence, head) = (index / heads.heads, index % heads.heads);
            let qkv = &qkv[sequence * length * heads.stride()..][..length * heads.stride()];
            attention::forward(heads, qkv, &self.sequences[sequence], head, out)
        })?;
        let mut mixed = vec![0.0; by_head.len()];
        self.gather(&by_head, &mut mixed, heads.heads * heads.dim, 0);
        Ok(mixed)
    }

    /// Copies `[sequences, heads, T, dim]` to the columns of rows `[n, width]` from column `first` on.
    fn gather(&self, by_head: &[f32], out: &mut [f32], width: usize, first: usize) {
        let (heads, dim, length) = (self.heads.heads, self.heads.dim, self.length());
        let rows = out.chunks_mut(width * 16).enumerate();
        let done = each(&self.machine.threads, rows, |(part, rows)| {
            for (row, out) in rows.chunks_mut(width).enumerate() {
                let (sequence, at) = ((part * 16 + row) / length, (part * 16 + row) % length);
                for (head, out) in out[first..first + heads * dim].chunks_mut(dim).enumerate() {
                    let from = ((sequence * heads + head) * length + at) * dim;
                    out.copy_from_slice(&by_head[from..from + dim]);
                }
            }
            Ok::<(), NotFinite>(())
        });
        done.expect("a copy checks nothing, qed");
    }

    /// Takes the gradient of the block's output in `dx` to that of its input (of no meaning for the first block).
    fn block_backward(
        &self,
        index: usize,
        layer: &'a Layer,
        saved: Saved,
        table: &Rotary,
        dx: &mut [f32],
        gradient: &mut [f32],
    ) -> Result<(), Operator> {
        let operator = |operator| Operator::Backward(index as u32, operator);
        let (machine, n, hidden, length) = (self.machine, self.tokens(), self.hidden(), self.length());
        let (threads, isa, heads) = (&machine.threads, machine.isa, &self.heads);
        let (flat, _) = self.adapter.expect("only what has an adapter is trained, qed");
        let Saved { x, rho, qkv, mixed, middle, post_rho, gate_up, low } = saved;
        let [low_qkv, low_output, low_gate_up, low_down] = low;
        let recomputed = "it was finite in the forward pass, qed";

        // Down projection and SwiGLU.
        let inner = layer.gate_up.outputs / 2;
        let mut da = vec![0.0; n * inner];
        let act = self.activation(&gate_up, inner).expect(recomputed);
        let h = self.scaled(dx, &layer.down.scales).at(operator(Backward::Down))?;
        self.group(index, &layer.down, None, DOWN)
            .and_then(|group| {
                let saved = (&act, &low_down[..], &h);
                group.backward(machine, flat, saved, length, gradient, Some(&mut da))
            })
            .at(operator(Backward::Down))?;
        drop((act, low_down));
        let mut h = Quantised::room(n, 2 * inner);
        let (q, scales) = (&mut h.q, &mut h.scales);
        parallel::activation_backward_rows(threads, isa, &gate_up, &da, &layer.gate_up.scales, q, scales)
            .at(operator(Backward::GateUp))?;
        drop((gate_up, da));

        // Gate and up projections, and the second norm.
        let own = operator(Backward::GateUp);
        let (normed, _) = self.norm(&middle, &layer.post_norm, own, own)?;
        let mut dnormed = vec![0.0; n * hidden];
        self.group(index, &layer.gate_up, None, GATE_UP)
            .and_then(|group| {
                let saved = (&normed, &low_gate_up[..], &h);
                group.backward(machine, flat, saved, length, gradient, Some(&mut dnormed))
            })
            .at(own)?;
        drop((normed, h));
        parallel::norm_backward_rows(threads, isa, &dnormed, &middle, &layer.post_norm, &post_rho, dx)
            .at(operator(Backward::PostNorm))?;
        drop(middle);

        // Output projection and attention.
        let own = operator(Backward::Output);
        let query = heads.heads * heads.dim;
        let h = self.scaled(dx, &layer.output.scales).at(own)?;
        let mixed_q = Quantised::wide(machine, &mixed, query).expect(recomputed);
        let mut dmixed = vec![0.0; n * query];
        self.group(index, &layer.output, None, OUTPUT)
            .and_then(|group| {
                let saved = (&mixed_q, &low_output[..], &h);
                group.backward(machine, flat, saved, length, gradient, Some(&mut dmixed))
            })
            .at(own)?;
        drop((mixed_q, h));
        let dqkv = self.attention_backward(&qkv, &mixed, &dmixed, table).at(operator(Backward::Attention))?;
        drop((qkv, mixed, dmixed));

        // Query, key and value projections, and the first norm.
        let own = operator(Backward::Qkv);
        let h = self.scaled(&dqkv, &layer.qkv.scales).at(own)?;
        drop(dqkv);
        let (normed, _) = self.norm(&x, &layer.input_norm, own, own)?;
        let wanted = (index > 0).then_some(&mut dnormed[..]);
        self.group(index, &layer.qkv, None, QKV)
            .and_then(|group| {
                let saved = (&normed, &low_qkv[..], &h);
                group.backward(machine, flat, saved, length, gradient, wanted)
            })
            .at(own)?;
        if index > 0 {
            parallel::norm_backward_rows(threads, isa, &dnormed, &x, &layer.input_norm, &rho, dx)
                .at(operator(Backward::InputNorm))?;
        }
        Ok(())
    }

    /// h = dy × w as mantissas.
    fn scaled(&self, dy: &[f32], w: &[f32]) -> Result<Quantised, NotFinite> {
        let mut h = Quantised::room(dy.len() / w.len(), w.len());
        let (q, scales) = (&mut h.q, &mut h.scales);
        parallel::wide_times_rows(&self.machine.threads, self.machine.isa, dy, w, q, scales)?;
        Ok(h)
    }

    /// The gradient of queries, keys and values before rotation, `[n, query + 2 kv]`.
    fn attention_backward(
        &self,
        qkv: &[f32],
        mixed: &[f32],
        dmixed: &[f32],
        table: &Rotary,
    ) -> Result<Vec<f32>, NotFinite> {
        let (heads, length, machine) = (&self.heads, self.length(), self.machine);
        let (part, query, stride) = (length * heads.dim, heads.heads * heads.dim, heads.stride());
        let room = || vec![0.0f32; self.tokens() * query];
        let (mut dq, mut dk, mut dv) = (room(), room(), room());
        let parts = dq.chunks_mut(part).zip(dk.chunks_mut(part)).zip(dv.chunks_mut(part)).enumerate();
        each(&machine.threads, parts, |(index, ((dq, dk), dv))| {
            let (sequence, head) = (index / heads.heads, index % heads.heads);
            let rows = |width: usize| sequence * length * width..(sequence + 1) * length * width;
            let tables = (&qkv[rows(stride)], &mixed[rows(query)], &dmixed[rows(query)]);
            let gradients = HeadGradients { dq, dk, dv };
            attention::backward(heads, tables, &self.sequences[sequence], head, gradients)
        })?;
        // Keys and values: the shares of the query heads that they serve, in order.
        let group = heads.heads / heads.kv_heads;
        for shares in [&mut dk, &mut dv] {
            each(&machine.threads, shares.chunks_mut(part * group), |shares| {
                let (sum, rest) = shares.split_at_mut(part);
                for share in rest.chunks(part) {
                    quantise::add(machine.isa, sum, share);
                }
                Ok(())
            })?;
        }
        let mut dqkv = vec![0.0; self.tokens() * stride];
        let rows = dqkv.chunks_mut(stride * 16).enumerate();
        let dim = heads.dim;
        each(&machine.threads, rows, |(block, rows)| {
            for (row, out) in rows.chunks_mut(stride).enumerate() {
                let (sequence, at) = ((block * 16 + row) / length, (block * 16 + row) % length);
                let head_row = |head: usize| ((sequence * heads.heads + head) * length + at) * dim;
                let own = (0..heads.heads).map(|head| &dq[head_row(head)..][..dim]);
                let keys = (0..heads.kv_heads).map(|head| &dk[head_row(head * group)..][..dim]);
                let values = (0..heads.kv_heads).map(|head| &dv[head_row(head * group)..][..dim]);
                for (out, from) in out.chunks_mut(dim).zip(own.chain(keys).chain(values)) {
                    out.copy_from_slice(from);
                }
            }
            Ok(())
        })?;
        let turned = (heads.heads + heads.kv_heads) * dim;
        parallel::rotate_rows(
            &machine.threads,
            machine.isa,
            &mut dqkv,
            stride,
            turned,
            table,
            Turn::Backward,
        );
        Ok(dqkv)
    }
}
