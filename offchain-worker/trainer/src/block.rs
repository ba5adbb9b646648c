//! Loss and gradient of an adapter by a hand-written backward pass.
//!
//! Automatic differentiation keeps every intermediate value. Here the forward pass of a block keeps its input, the
//! rotated queries, keys and values, the attention's output, and gate and up; all else is cheap to compute again. The
//! backward pass then writes each matrix's gradient straight into its place in the flat gradient. Half the memory, and
//! fewer passes over it; [`crate::gradient`] is the plain reference that tests compare with.
//!
//! Throughout, `n` is the number of positions of the batch (rows × length), `s` the adapter's scale, and `dx` the
//! gradient of the loss with respect to `x`.

use tch::Tensor;

use crate::{
    batch::Batch,
    lora::{Adapter, LayerAdapter, LowRank, Target},
    loss,
    model::{Layer, Model},
    Result,
};

const QKV: [Target; 3] = [Target::Q, Target::K, Target::V];
const GATE_UP: [Target; 2] = [Target::Gate, Target::Up];

/// What the forward pass of one block keeps for the backward pass.
struct Saved {
    /// The block's input, `[n, hidden]`.
    x: Tensor,
    /// Rotated queries and keys, and values, side by side: `[n, query + 2 * kv]`.
    qkv: Tensor,
    /// The attention's output, `[rows, heads, length, head_dim]`, and the log-sum-exp that its backward pass needs.
    mixed: Tensor,
    logsumexp: Tensor,
    /// The residual stream between the two halves, `[n, hidden]`.
    middle: Tensor,
    /// Gate and up side by side, `[n, 2 * intermediate]`.
    gate_up: Tensor,
    /// `s x Aᵀ` at each projection, `[n, rank × parts]`.
    low: [Tensor; 4],
}

/// Adds the gradient of `weight` times the batch's loss to `gradient` (views made by [`Adapter::views`]), and returns the
/// loss summed over the batch's loss-bearing tokens, in nats.
///
/// # Errors
/// A failure of libtorch.
pub fn accumulate(
    model: &Model,
    adapter: &Adapter,
    batch: &Batch,
    weight: f64,
    gradient: &[LayerAdapter],
) -> Result<f64> {
    if batch.loss_tokens == 0 {
        return Ok(0.0);
    }
    let _no_grad = tch::no_grad_guard();
    let pass = Pass::new(model, adapter, batch)?;
    let tokens = batch.tokens.f_reshape([-1])?;
    let mut x = Tensor::f_embedding(&model.embedding, &tokens, -1, false, false)?;
    let mut kept = Vec::with_capacity(model.layers.len());
    for (index, layer) in model.layers.iter().enumerate() {
        let (out, saved) = pass.forward(layer, adapter.layer(index), x)?;
        kept.push(saved);
        x = out;
    }
    // Only positions that bear loss go through the last norm and the output projection.
    let last = x.f_index_select(0, &batch.loss_places)?;
    let eps = model.spec.rms_norm_eps;
    let (hidden, scale) = normalise(&last, &model.norm, eps)?;
    let loss = loss::with_gradient(&hidden, &batch.targets, &model.head, weight, false)?;
    let dlast = normalise_backward(loss.hidden_gradient, &last, &model.norm, &scale)?;
    let mut dx = x.f_zero_()?;
    let _ = dx.f_index_copy_(0, &batch.loss_places, &dlast)?;
    for (index, layer) in model.layers.iter().enumerate().rev() {
        let saved = kept.pop().expect("one was kept for each block, qed");
        // Nothing below the first block is trained.
        let below = index > 0;
        dx = pass.backward(layer, adapter.layer(index), &gradient[index], saved, dx, below)?;
    }
    Ok(loss.sum)
}

/// RMSNorm, and the factor `1 / sqrt(mean(x²) + eps)` of each row, `[n, 1]`.
fn normalise(x: &Tensor, weight: &Tensor, eps: f64) -> Result<(Tensor, Tensor)> {
    let mut mean = x.f_square()?.f_mean_dim(-1, true, None)?;
    let scale = mean.f_add_scalar_(eps)?.f_rsqrt_()?;
    Ok((x.f_mul(&scale)?.f_mul_(weight)?, scale))
}

/// The gradient with respect to `x` of RMSNorm, from that with respect to its output.
fn normalise_backward(mut dy: Tensor, x: &Tensor, weight: &Tensor, scale: &Tensor) -> Result<Tensor> {
    // y = x·r·w with r = (mean(x²) + eps)^(-1/2), so dx = r·(dy·w) − x·r³·mean((dy·w)·x).
    let mut dy = dy.f_mul_(weight)?;
    let along = dy.f_mul(x)?.f_mean_dim(-1, true, None)?;
    let along = along.f_mul(&scale.f_square()?)?.f_mul_(scale)?;
    Ok(dy.f_mul_(scale)?.f_sub_(&x.f_mul(&along)?)?)
}

/// What all blocks of one pass share.
struct Pass<'a> {
    model: &'a Model,
    batch: &'a Batch,
    scale: f64,
    rank: i64,
    rows: i64,
    length: i64,
    cos: Tensor,
    sin: Tensor,
}

impl<'a> Pass<'a> {
    fn new(model: &'a Model, adapter: &Adapter, batch: &'a Batch) -> Result<Self> {
        let (rows, length) = batch.tokens.size2()?;
        let half = model.spec.head_dim / 2;
        Ok(Self {
            model,
            batch,
            scale: adapter.scale(),
            rank: i64::from(adapter.config().rank),
            rows,
            length,
            cos: batch.rotary.cos.f_narrow(2, 0, half)?,
            sin: batch.rotary.sin.f_narrow(2, 0, half)?,
        })
    }

    /// `s x Aᵀ` for the stacked matrices A of `parts`, `[n, rank × parts]`.
    fn low(&self, x: &Tensor, parts: &[&LowRank]) -> Result<Tensor> {
        Ok(x.f_mm(&stack(parts)?.f_tr()?)?.f_mul_scalar_(self.scale)?)
    }

    /// Adds `low_i B_iᵀ` to the columns of `out` that belong to part i.
    fn add_adapters(&self, out: &Tensor, low: &Tensor, parts: &[&LowRank]) -> Result<()> {
        self.by_part(out, low, parts, |part, mut columns, low| {
            let _ = columns.f_addmm_(&low, &part.b.f_tr()?)?;
            Ok(())
        })
    }

    fn by_part(
        &self,
        wide: &Tensor,
        low: &Tensor,
        parts: &[&LowRank],
        mut each: impl FnMut(&LowRank, Tensor, Tensor) -> Result<()>,
    ) -> Result<()> {
        let mut column = 0;
        for (index, part) in parts.iter().enumerate() {
            let width = part.b.size()[0];
            let low = low.f_narrow(1, index as i64 * self.rank, self.rank)?;
            each(part, wide.f_narrow(1, column, width)?, low)?;
            column += width;
        }
        Ok(())
    }

    /// The backward pass of one projection. `x` and `dy` are its input and the gradient of its output, `low` is what the
    /// forward pass kept. Adds to the gradients of A and B, and returns `dx` if it is wanted.
    fn project_backward(
        &self,
        weight: &Tensor,
        parts: &[&LowRank],
        gradient: &[&LowRank],
        (x, low, dy): (&Tensor, &Tensor, &Tensor),
        want_dx: bool,
    ) -> Result<Option<Tensor>> {
        let dlow = low.f_empty_like()?;
        // dB_i += dy_iᵀ low_i, and dlow_i = s dy_i B_i.
        self.by_part(dy, low, gradient, |gradient, dy, low| {
            let _ = gradient.b.shallow_clone().f_addmm_(&dy.f_tr()?, &low)?;
            Ok(())
        })?;
        self.by_part(dy, &dlow, parts, |part, dy, mut dlow| {
            dlow.f_copy_(&dy.f_mm(&part.b)?)?;
            Ok(())
        })?;
        let dlow = dlow.shallow_clone().f_mul_scalar_(self.scale)?;
        for (index, gradient) in gradient.iter().enumerate() {
            let dlow = dlow.f_narrow(1, index as i64 * self.rank, self.rank)?;
            let _ = gradient.a.shallow_clone().f_addmm_(&dlow.f_tr()?, x)?;
        }
        if !want_dx {
            return Ok(None);
        }
        let mut dx = dy.f_mm(weight)?;
        Ok(Some(dx.f_addmm_(&dlow, &stack(parts)?)?))
    }

    /// Turns queries and keys within `qkv`, forwards, or backwards with `sign` −1.
    fn rotate(&self, qkv: &Tensor, sign: f64) -> Result<()> {
        let spec = &self.model.spec;
        let (heads, half) = (spec.heads + spec.kv_heads, spec.head_dim / 2);
        let both = qkv.f_narrow(1, 0, heads * spec.head_dim)?;
        let both = both.f_unflatten(1, [heads, spec.head_dim])?;
        let (mut first, mut second) = (both.f_narrow(2, 0, half)?, both.f_narrow(2, half, half)?);
        let sin = if sign < 0.0 { self.sin.f_neg()? } else { self.sin.shallow_clone() };
        let (from_second, from_first) = (second.f_mul(&sin)?, first.f_mul(&sin)?);
        let _ = first.f_mul_(&self.cos)?.f_sub_(&from_second)?;
        let _ = second.f_mul_(&self.cos)?.f_add_(&from_first)?;
        Ok(())
    }

    /// Views of queries, keys and values in `qkv`, each `[rows, heads, length, head_dim]`.
    fn heads(&self, qkv: &Tensor) -> Result<[Tensor; 3]> {
        let spec = &self.model.spec;
        let view = |column: i64, heads: i64| -> Result<Tensor> {
            let part = qkv.f_narrow(1, column, heads * spec.head_dim)?;
            let part = part.f_unflatten(0, [self.rows, self.length])?;
            Ok(part.f_unflatten(2, [heads, spec.head_dim])?.f_transpose(1, 2)?)
        };
        let (query, kv) = (spec.query_size(), spec.kv_size());
        Ok([view(0, spec.heads)?, view(query, spec.kv_heads)?, view(query + kv, spec.kv_heads)?])
    }

    /// Keys or values once per query head.
    fn repeated(&self, x: &Tensor) -> Result<Tensor> {
        match self.model.spec.heads / self.model.spec.kv_heads {
            1 => Ok(x.shallow_clone()),
            times => Ok(x.f_repeat_interleave_self_int(times, 1, None)?),
        }
    }

    fn flat_mixed(&self, mixed: &Tensor) -> Result<Tensor> {
        let n = self.rows * self.length;
        Ok(mixed.f_transpose(1, 2)?.f_reshape([n, self.model.spec.query_size()])?)
    }

    fn forward(&self, layer: &Layer, adapter: &LayerAdapter, x: Tensor) -> Result<(Tensor, Saved)> {
        let eps = self.model.spec.rms_norm_eps;
        let (normed, _) = normalise(&x, &layer.input_norm, eps)?;
        let parts = QKV.map(|target| adapter.get(target));
        let qkv = normed.f_linear(&layer.qkv, layer.qkv_bias.as_ref())?;
        let low_qkv = self.low(&normed, &parts)?;
        self.add_adapters(&qkv, &low_qkv, &parts)?;
        drop(normed);
        self.rotate(&qkv, 1.0)?;
        let [query, key, value] = self.heads(&qkv)?;
        let (key, value) = (self.repeated(&key)?, self.repeated(&value)?);
        let mask = Some(&self.batch.mask);
        let (mixed, logsumexp) = Tensor::f_internal_scaled_dot_product_flash_attention_for_cpu(
            &query, &key, &value, 0.0, false, mask, None,
        )?;
        let flat = self.flat_mixed(&mixed)?;
        let parts = [adapter.get(Target::O)];
        let low_o = self.low(&flat, &parts)?;
        let middle = x.f_addmm(&flat, &layer.output.f_tr()?)?;
        self.add_adapters(&middle, &low_o, &parts)?;
        let (normed, _) = normalise(&middle, &layer.post_norm, eps)?;
        let parts = GATE_UP.map(|target| adapter.get(target));
        let gate_up = normed.f_mm(&layer.gate_up.f_tr()?)?;
        let low_gu = self.low(&normed, &parts)?;
        self.add_adapters(&gate_up, &low_gu, &parts)?;
        drop(normed);
        let (gate, up) = self.halves(&gate_up)?;
        let active = gate.f_silu()?.f_mul_(&up)?;
        let parts = [adapter.get(Target::Down)];
        let low_d = self.low(&active, &parts)?;
        let out = middle.f_addmm(&active, &layer.down.f_tr()?)?;
        self.add_adapters(&out, &low_d, &parts)?;
        let low = [low_qkv, low_o, low_gu, low_d];
        Ok((out, Saved { x, qkv, mixed, logsumexp, middle, gate_up, low }))
    }

    fn halves(&self, gate_up: &Tensor) -> Result<(Tensor, Tensor)> {
        let width = self.model.spec.intermediate_size;
        Ok((gate_up.f_narrow(1, 0, width)?, gate_up.f_narrow(1, width, width)?))
    }

    /// Takes the gradient of the block's output and returns that of its input (of no meaning unless `below`).
    fn backward(
        &self,
        layer: &Layer,
        adapter: &LayerAdapter,
        gradient: &LayerAdapter,
        saved: Saved,
        dx: Tensor,
        below: bool,
    ) -> Result<Tensor> {
        let Saved { x, qkv, mixed, logsumexp, middle, gate_up, low: [low_qkv, low_o, low_gu, low_d] } = saved;
        let dmiddle =
            self.feed_forward_backward(layer, adapter, gradient, (&middle, gate_up, &low_gu, &low_d), dx)?;
        drop(middle);
        let flat = self.flat_mixed(&mixed)?;
        let (parts, places) = ([adapter.get(Target::O)], [gradient.get(Target::O)]);
        let dflat = self
            .project_backward(&layer.output, &parts, &places, (&flat, &low_o, &dmiddle), true)?
            .expect("it was asked for, qed");
        let dqkv = self.attention_backward(&qkv, &mixed, &logsumexp, &dflat)?;
        drop((qkv, mixed, logsumexp, flat, dflat));
        let (normed, scale) = normalise(&x, &layer.input_norm, self.model.spec.rms_norm_eps)?;
        let (parts, places) = (QKV.map(|target| adapter.get(target)), QKV.map(|target| gradient.get(target)));
        let dnormed =
            self.project_backward(&layer.qkv, &parts, &places, (&normed, &low_qkv, &dqkv), below)?;
        match dnormed {
            None => Ok(dmiddle),
            Some(dnormed) => {
                let mut dx = normalise_backward(dnormed, &x, &layer.input_norm, &scale)?;
                Ok(dx.f_add_(&dmiddle)?)
            }
        }
    }

    /// From the gradient of the block's output to that of the residual stream between its halves.
    fn feed_forward_backward(
        &self,
        layer: &Layer,
        adapter: &LayerAdapter,
        gradient: &LayerAdapter,
        (middle, gate_up, low_gu, low_d): (&Tensor, Tensor, &Tensor, &Tensor),
        dx: Tensor,
    ) -> Result<Tensor> {
        let (gate, up) = self.halves(&gate_up)?;
        let silu = gate.f_silu()?;
        let active = silu.f_mul(&up)?;
        let (parts, places) = ([adapter.get(Target::Down)], [gradient.get(Target::Down)]);
        let dactive = self
            .project_backward(&layer.down, &parts, &places, (&active, low_d, &dx), true)?
            .expect("it was asked for, qed");
        drop(active);
        let dgate_up = gate_up.f_empty_like()?;
        let (dgate, dup) = self.halves(&dgate_up)?;
        let _ = dactive.f_mul_out(&dup, &silu)?;
        drop(silu);
        let dsilu = dactive.shallow_clone().f_mul_(&up)?;
        let _ = gate.f_silu_backward_grad_input(&dgate, &dsilu)?;
        drop((gate_up, gate, up, dactive, dsilu));
        let (normed, scale) = normalise(middle, &layer.post_norm, self.model.spec.rms_norm_eps)?;
        let (parts, places) =
            (GATE_UP.map(|target| adapter.get(target)), GATE_UP.map(|target| gradient.get(target)));
        let dnormed = self
            .project_backward(&layer.gate_up, &parts, &places, (&normed, low_gu, &dgate_up), true)?
            .expect("it was asked for, qed");
        drop((normed, dgate_up));
        let mut dmiddle = normalise_backward(dnormed, middle, &layer.post_norm, &scale)?;
        Ok(dmiddle.f_add_(&dx)?)
    }

    /// The gradient of queries, keys (both before rotation) and values, side by side, `[n, query + 2 * kv]`.
    fn attention_backward(
        &self,
        qkv: &Tensor,
        mixed: &Tensor,
        logsumexp: &Tensor,
        dflat: &Tensor,
    ) -> Result<Tensor> {
        let spec = &self.model.spec;
        let dmixed =
            dflat.f_reshape([self.rows, self.length, spec.heads, spec.head_dim])?.f_transpose(1, 2)?;
        let [query, key, value] = self.heads(qkv)?;
        let (key, value) = (self.repeated(&key)?, self.repeated(&value)?);
        let mask = Some(&self.batch.mask);
        let (dquery, dkey, dvalue) = Tensor::f_internal_scaled_dot_product_flash_attention_for_cpu_backward(
            &dmixed, &query, &key, &value, mixed, logsumexp, 0.0, false, mask, None,
        )?;
        let dqkv = qkv.f_empty_like()?;
        let [mut query_place, mut key_place, mut value_place] = self.heads(&dqkv)?;
        query_place.f_copy_(&dquery)?;
        for (place, repeated) in [(&mut key_place, dkey), (&mut value_place, dvalue)] {
            let times = spec.heads / spec.kv_heads;
            let by_group = repeated.f_unflatten(1, [spec.kv_heads, times])?;
            place.f_copy_(&by_group.f_sum_dim_intlist(2, false, None)?)?;
        }
        self.rotate(&dqkv, -1.0)?;
        Ok(dqkv)
    }
}

/// The matrices A of some parts, one above the other.
fn stack(parts: &[&LowRank]) -> Result<Tensor> {
    match parts {
        [one] => Ok(one.a.f_detach()?),
        many => Ok(Tensor::f_cat(&many.iter().map(|part| &part.a).collect::<Vec<_>>(), 0)?),
    }
}
