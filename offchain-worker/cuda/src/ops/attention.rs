//! Rows of scores.

use super::{at_least, threads, Check};
use crate::{
    buffer::{View, ViewMut},
    device::Device,
    error::Result,
    params,
};

/// Tables of scores `[sequences, heads, T, T]` (query, key), and what is visible in them.
#[derive(Clone, Copy)]
pub struct Scores<'a> {
    /// Where each query's document starts in its sequence, `[sequences, T]`.
    pub starts: View<'a, u32>,
    /// T.
    pub length: usize,
    /// Heads.
    pub heads: usize,
}

impl Scores<'_> {
    fn sequences(&self) -> usize {
        self.starts.len / self.length.max(1)
    }

    /// Rows of all tables.
    fn rows(&self) -> usize {
        self.sequences() * self.heads * self.length
    }
}

/// What the gradient of the scores is made of.
#[derive(Clone, Copy)]
pub struct ScoreGradient<'a> {
    /// P, as the scores.
    pub p: View<'a, i16>,
    /// ζ, `[sequences, heads, T]`.
    pub zeta: View<'a, f32>,
    /// dP, as the scores.
    pub dp: View<'a, f32>,
    /// Wide mantissas of dO, `[n, heads, dim]`, and their scales, `[heads, n]`.
    pub d_out: (View<'a, i16>, View<'a, f32>),
    /// Those of O.
    pub out: (View<'a, i16>, View<'a, f32>),
    /// Width of a head.
    pub dim: usize,
    /// From token to token in dO and O.
    pub row: usize,
    /// From head to head in their scales.
    pub head: usize,
    /// τ.
    pub tau: f32,
}

impl Device {
    /// P and ζ of the scores.
    ///
    /// # Errors
    /// A shape does not fit, or the driver refuses.
    pub fn softmax(
        &self,
        of: &Scores<'_>,
        scores: View<'_, f32>,
        p: ViewMut<'_, i16>,
        zeta: ViewMut<'_, f32>,
        check: Check<'_>,
    ) -> Result<()> {
        let rows = of.rows();
        at_least("scores", rows * of.length, scores.len)?;
        at_least("weights of the attention", rows * of.length, p.len)?;
        at_least("sums of weights", rows, zeta.len)?;
        let params = params::Softmax {
            scores: scores.address,
            starts: of.starts.address,
            p: p.address,
            zeta: zeta.address,
            fault: check.of_sequences(of.sequences())?,
            length: of.length as u32,
            heads: of.heads as u32,
        };
        let grid = [of.length, of.sequences() * of.heads, 1];
        // SAFETY: the extents were checked above.
        unsafe { self.launch("softmax", grid, threads(self, of.length), &params) }
    }

    /// dS as wide mantissas, and their scales t `[sequences, heads, T]`.
    ///
    /// # Errors
    /// A shape does not fit, or the driver refuses.
    pub fn score_gradient(
        &self,
        of: &Scores<'_>,
        from: &ScoreGradient<'_>,
        ds: ViewMut<'_, i16>,
        t: ViewMut<'_, f32>,
        check: Check<'_>,
    ) -> Result<()> {
        let (rows, n) = (of.rows(), of.sequences() * of.length);
        for (what, found) in
            [("weights", from.p.len), ("their gradient", from.dp.len), ("that of scores", ds.len)]
        {
            at_least(what, rows * of.length, found)?;
        }
        at_least("sums of weights", rows, from.zeta.len)?;
        at_least("scales of the scores' gradient", rows, t.len)?;
        for (q, scale) in [from.d_out, from.out] {
            at_least("rows of heads", super::extent(n, of.heads * from.dim, from.row), q.len)?;
            at_least("scales of heads", super::extent(of.heads, n, from.head), scale.len)?;
        }
        let params = params::ScoreGradient {
            p: from.p.address,
            zeta: from.zeta.address,
            dp: from.dp.address,
            d_out: from.d_out.0.address,
            out: from.out.0.address,
            d_out_scale: from.d_out.1.address,
            out_scale: from.out.1.address,
            starts: of.starts.address,
            ds: ds.address,
            t: t.address,
            row: from.row as i64,
            head: from.head as i64,
            fault: check.of_sequences(of.sequences())?,
            tau: from.tau,
            length: of.length as u32,
            heads: of.heads as u32,
            dim: from.dim as u32,
        };
        let grid = [of.length, of.sequences() * of.heads, 1];
        // SAFETY: the extents were checked above.
        unsafe { self.launch("score_gradient", grid, threads(self, of.length), &params) }
    }
}
