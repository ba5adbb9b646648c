//! Cross-entropy, and the gradient at the head's input.

use super::{address, at_least, threads, Check};
use crate::{
    buffer::{View, ViewMut},
    device::Device,
    error::Result,
    params,
};

/// Rows of logits and what they should have said.
#[derive(Clone, Copy)]
pub struct CrossEntropy<'a> {
    /// `[n, V]`
    pub logits: View<'a, f32>,
    /// Scales of the head's channels, `[V]`.
    pub w: View<'a, f32>,
    /// `[n]`, below V.
    pub targets: View<'a, u32>,
    /// The token of the micro-batch that each row belongs to, `[n]`, below `tokens`.
    pub places: View<'a, u32>,
    /// Tokens of the micro-batch.
    pub tokens: usize,
}

/// What turns the sums of u over the vocabulary into the gradient.
#[derive(Clone, Copy)]
pub struct HeadGradient<'a> {
    /// ζ, `[n]`.
    pub zeta: View<'a, f32>,
    /// The head `[V, H]` and its scales `[V]`.
    pub head: (View<'a, i8>, View<'a, f32>),
    /// `[n]`, below V.
    pub targets: View<'a, u32>,
    /// ω.
    pub omega: f32,
}

impl Device {
    /// int(ℓ × 2^24) of each row into `loss` `[n]`; and if u is wanted, its wide mantissas `[n, V]`, their scales and ζ,
    /// `[n]` each.
    ///
    /// # Errors
    /// A shape does not fit, or the driver refuses.
    pub fn cross_entropy(
        &self,
        from: &CrossEntropy<'_>,
        loss: ViewMut<'_, i64>,
        zeta: ViewMut<'_, f32>,
        u: Option<(ViewMut<'_, i16>, ViewMut<'_, f32>)>,
        (forward, backward): (Check<'_>, Check<'_>),
    ) -> Result<()> {
        let (rows, vocabulary) = (from.targets.len, from.w.len);
        at_least("logits", rows * vocabulary, from.logits.len)?;
        at_least("places", rows, from.places.len)?;
        at_least("losses", rows, loss.len)?;
        at_least("partition sums", rows, zeta.len)?;
        if let Some((q, scale)) = &u {
            at_least("gradient of the logits", rows * vocabulary, q.len)?;
            at_least("its scales", rows, scale.len)?;
        }
        let (q, scale) = u.map_or((0, 0), |(q, scale)| (q.address, scale.address));
        let params = params::CrossEntropy {
            logits: from.logits.address,
            w: from.w.address,
            targets: from.targets.address,
            places: from.places.address,
            loss: loss.address,
            q,
            scale,
            zeta: zeta.address,
            fault: forward.fault(from.tokens)?,
            backward: backward.fault(from.tokens)?,
            vocabulary: vocabulary as u32,
            end: 0,
        };
        // SAFETY: the extents were checked above; targets and places are in their ranges.
        unsafe { self.launch("cross_entropy", [rows, 1, 1], threads(self, vocabulary), &params) }
    }

    /// dn `[n, H]` in the place of the sums of u over the vocabulary.
    ///
    /// # Errors
    /// A shape does not fit, or the driver refuses.
    pub fn head_gradient(&self, from: &HeadGradient<'_>, dn: ViewMut<'_, f32>) -> Result<()> {
        let (q, w) = from.head;
        let (rows, columns) = (from.targets.len, q.len / w.len.max(1));
        at_least("partition sums", rows, from.zeta.len)?;
        at_least("gradient of the last norm", rows * columns, dn.len)?;
        let params = params::HeadGradient {
            dn: dn.address,
            zeta: from.zeta.address,
            q: address(Some(q)),
            w: w.address,
            targets: from.targets.address,
            omega: from.omega,
            columns: columns as u32,
        };
        // SAFETY: the extents were checked above; targets are below V.
        unsafe { self.launch("head_gradient", [rows, 1, 1], threads(self, columns), &params) }
    }
}
