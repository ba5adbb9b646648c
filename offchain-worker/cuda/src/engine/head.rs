//! Output projection and cross-entropy, some tokens at a time: the full table of logits never exists.

use super::{frozen::Matrix, projection::Quantised};
use crate::{
    buffer::{Buffer, ViewMut},
    device::Device,
    error::Result,
    ops::{Check, CrossEntropy, Epilogue, HeadGradient, Operand, Scales, Tables, Target},
};

/// Rows that bear loss.
pub(crate) struct Targets {
    /// Their tokens in the micro-batch, `[n]`.
    pub(crate) places: Buffer<u32>,
    /// What should follow there, `[n]`.
    pub(crate) targets: Buffer<u32>,
}

/// The head of a micro-batch.
pub(crate) struct Head<'a> {
    pub(crate) device: &'a Device,
    pub(crate) matrix: &'a Matrix,
    pub(crate) targets: &'a Targets,
    /// Tokens of the micro-batch.
    pub(crate) tokens: usize,
    /// Logits held at a time at most, unless 16 rows alone have more.
    pub(crate) chunk: usize,
    pub(crate) forward: Check<'a>,
    pub(crate) backward: Check<'a>,
}

impl Head<'_> {
    /// Σ int(ℓ × 2^24) over the rows of `x`, the last norm's output; and with (ω, dn `[n, H]`) the gradient of the rows.
    pub(crate) fn run(&self, x: &Quantised, mut gradient: Option<(f32, ViewMut<'_, f32>)>) -> Result<i64> {
        let Matrix { outputs: vocabulary, inputs: hidden, ref scales, .. } = *self.matrix;
        let (device, rows) = (self.device, x.scales.len());
        let size = (self.chunk / vocabulary).max(16);
        let mut sum = 0;
        for from in (0..rows).step_by(size) {
            let own = from..rows.min(from + size);
            let count = own.len();
            let mut logits = device.zeros::<f32>(count * vocabulary)?;
            let left = Operand::mantissas(x.q.all().from(from * hidden), count, hidden, hidden);
            let row_scale = Scales::of(x.scales.all().range(own.clone()));
            let epilogue = Epilogue::scaled(row_scale, Scales::of(scales.all()));
            let target = Target::rows(logits.all_mut(), vocabulary);
            device.product(&left, &self.matrix.outputs(), &epilogue, target, Tables::ONE)?;
            let (mut loss, mut zeta) = (device.zeros::<i64>(count)?, device.zeros::<f32>(count)?);
            let entropy = CrossEntropy {
                logits: logits.all(),
                w: scales.all(),
                targets: self.targets.targets.all().range(own.clone()),
                places: self.targets.places.all().range(own.clone()),
                tokens: self.tokens,
            };
            let checks = (self.forward, self.backward);
            if let Some((omega, dn)) = &mut gradient {
                let mut u = Quantised::room(device, count, vocabulary)?;
                let made = Some((u.q.all_mut(), u.scales.all_mut()));
                device.cross_entropy(&entropy, loss.all_mut(), zeta.all_mut(), made, checks)?;
                let left = Operand::mantissas(u.q.all(), count, vocabulary, vocabulary);
                let epilogue = Epilogue::scaled(Scales::of(u.scales.all()), Scales::ONES);
                let mut dn = dn.again().range(own.start * hidden..own.end * hidden);
                let target = Target::rows(dn.again(), hidden);
                device.product(&left, &self.matrix.inputs(), &epilogue, target, Tables::ONE)?;
                let head = (self.matrix.values(), scales.all());
                let from = HeadGradient { zeta: zeta.all(), head, targets: entropy.targets, omega: *omega };
                device.head_gradient(&from, dn)?;
            } else {
                device.cross_entropy(&entropy, loss.all_mut(), zeta.all_mut(), None, checks)?;
            }
            // A sum of garbage, after a fault, may wrap; it is not used then.
            sum = loss.download()?.into_iter().fold(sum, i64::wrapping_add);
        }
        Ok(sum)
    }
}
