//! Rows: mantissas, norms, rotation, the embedding, SwiGLU.

use attune_exact::{mantissa::Width, norm::inverse_width};

use super::{address, at_least, extent, threads, Check};
use crate::{
    buffer::{View, ViewMut},
    device::Device,
    error::Result,
    params,
};

/// Pieces of rows: `groups` in each of `rows` rows, of `columns` elements.
#[derive(Clone, Copy, Debug)]
pub struct Pieces {
    /// Rows.
    pub rows: usize,
    /// Pieces of a row.
    pub groups: usize,
    /// Elements of a piece.
    pub columns: usize,
}

/// Elements from row to row, and from piece to piece of a row.
#[derive(Clone, Copy, Debug)]
pub struct Strides {
    /// From row to row.
    pub row: usize,
    /// From piece to piece.
    pub group: usize,
}

impl Strides {
    /// Rows that are one piece.
    pub fn rows(row: usize) -> Self {
        Self { row, group: 0 }
    }

    fn extent(self, pieces: Pieces, columns: usize) -> usize {
        let of_groups = extent(pieces.groups, columns, self.group);
        extent(pieces.rows, of_groups, self.row)
    }
}

/// What a norm reads.
#[derive(Clone, Copy)]
pub struct Norm<'a> {
    /// `[T, H]`
    pub x: View<'a, f32>,
    /// Which rows of x, `[n]`; none for all.
    pub places: Option<View<'a, u32>>,
    /// `[H]`
    pub w: View<'a, f32>,
    /// eps.
    pub epsilon: f32,
    /// Rows that are made, n.
    pub rows: usize,
}

/// What a norm writes.
pub struct NormOut<'a> {
    /// y as wide mantissas, `[n, H]`.
    pub q: ViewMut<'a, i16>,
    /// Their scales, `[n]`.
    pub scale: ViewMut<'a, f32>,
    /// ρ, `[n]`.
    pub rho: ViewMut<'a, f32>,
    /// y, `[n, H]`, if it is wanted.
    pub y: Option<ViewMut<'a, f32>>,
}

/// What a norm's backward pass reads.
#[derive(Clone, Copy)]
pub struct NormBack<'a> {
    /// `[n, H]`
    pub dy: View<'a, f32>,
    /// The norm.
    pub norm: Norm<'a>,
    /// `[n]`
    pub rho: View<'a, f32>,
    /// Whether what dx holds is added to it.
    pub residual: bool,
}

/// Which way heads are turned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    /// As queries and keys.
    Forward,
    /// As their gradients.
    Backward,
}

/// What SwiGLU reads.
#[derive(Clone, Copy)]
pub struct Swiglu<'a> {
    /// `[n, 2 inner]`
    pub gate_up: View<'a, f32>,
    /// Width of the gate, and of up.
    pub inner: usize,
    /// n.
    pub rows: usize,
}

/// What SwiGLU's backward pass reads besides.
#[derive(Clone, Copy)]
pub struct SwigluBack<'a> {
    /// As in the forward pass.
    pub forward: Swiglu<'a>,
    /// `[n, inner]`
    pub da: View<'a, f32>,
    /// What the gradient is multiplied by before it becomes mantissas, `[2 inner]`.
    pub w: View<'a, f32>,
}

impl Device {
    /// Mantissas of pieces of x, times `times` `[columns]` where that is given.
    ///
    /// # Errors
    /// A shape does not fit, or the driver refuses.
    #[allow(clippy::too_many_arguments)]
    pub fn quantise_rows(
        &self,
        pieces: Pieces,
        (x, x_at): (View<'_, f32>, Strides),
        times: Option<View<'_, f32>>,
        width: Width,
        (q, q_at): (ViewMut<'_, i16>, Strides),
        (scale, scale_at): (ViewMut<'_, f32>, Strides),
        check: Check<'_>,
    ) -> Result<()> {
        at_least("rows to quantise", x_at.extent(pieces, pieces.columns), x.len)?;
        at_least("mantissas of rows", q_at.extent(pieces, pieces.columns), q.len)?;
        at_least("scales of rows", scale_at.extent(pieces, 1), scale.len)?;
        at_least(
            "factors of columns",
            times.map_or(0, |_| pieces.columns),
            times.map_or(0, |times| times.len),
        )?;
        let params = params::QuantiseRows {
            x: x.address,
            times: address(times),
            q: q.address,
            scale: scale.address,
            x_row: x_at.row as i64,
            x_group: x_at.group as i64,
            q_row: q_at.row as i64,
            q_group: q_at.group as i64,
            scale_row: scale_at.row as i64,
            scale_group: scale_at.group as i64,
            fault: check.fault(pieces.rows)?,
            columns: pieces.columns as u32,
            narrow: u32::from(width == Width::Narrow),
        };
        let grid = [pieces.rows, pieces.groups, 1];
        // SAFETY: the extents were checked above.
        unsafe { self.launch("quantise_rows", grid, threads(self, pieces.columns), &params) }
    }

    /// RMSNorm. A row of x that is not finite is noted by `own`, a row of y by `reader`.
    ///
    /// # Errors
    /// A shape does not fit, or the driver refuses.
    pub fn norm(&self, norm: &Norm<'_>, out: NormOut<'_>, own: Check<'_>, reader: Check<'_>) -> Result<()> {
        let (columns, rows) = (norm.w.len, norm.rows);
        let tokens = norm.check()?;
        at_least("norm: mantissas", rows * columns, out.q.len)?;
        at_least("norm: scales", rows, out.scale.len)?;
        at_least("norm: factors", rows, out.rho.len)?;
        if let Some(y) = &out.y {
            at_least("norm: output", rows * columns, y.len)?;
        }
        let params = params::NormForward {
            x: norm.x.address,
            places: address(norm.places),
            w: norm.w.address,
            q: out.q.address,
            scale: out.scale.address,
            rho: out.rho.address,
            y: out.y.map_or(0, |y| y.address),
            fault: own.fault(tokens)?,
            reader: reader.fault(tokens)?,
            inverse: inverse_width(columns),
            epsilon: norm.epsilon,
            columns: columns as u32,
            end: 0,
        };
        // SAFETY: the extents were checked above; places are the caller's own tokens.
        unsafe { self.launch("norm_forward", [rows, 1, 1], threads(self, columns), &params) }
    }

    /// The gradient of a norm's input into the same rows of `dx` `[T, H]`.
    ///
    /// # Errors
    /// A shape does not fit, or the driver refuses.
    pub fn norm_backward(&self, back: &NormBack<'_>, dx: ViewMut<'_, f32>, check: Check<'_>) -> Result<()> {
        let norm = &back.norm;
        let (columns, rows) = (norm.w.len, norm.rows);
        let tokens = norm.check()?;
        at_least("norm backwards: gradient", rows * columns, back.dy.len)?;
        at_least("norm backwards: factors", rows, back.rho.len)?;
        at_least("norm backwards: result", tokens * columns, dx.len)?;
        let params = params::NormBackward {
            dy: back.dy.address,
            x: norm.x.address,
            places: address(norm.places),
            w: norm.w.address,
            rho: back.rho.address,
            residual: if back.residual { dx.address } else { 0 },
            dx: dx.address,
            fault: check.fault(tokens)?,
            inverse: inverse_width(columns),
            columns: columns as u32,
        };
        // SAFETY: the extents were checked above; places are the caller's own tokens.
        unsafe { self.launch("norm_backward", [rows, 1, 1], threads(self, columns), &params) }
    }

    /// Turns the first `heads` heads of each row of `x` `[n, stride]` in place; the table is `[positions, pairs]`, the
    /// positions, which are below those of the table, `[n]`.
    ///
    /// # Errors
    /// A shape does not fit, or the driver refuses.
    pub fn rotate(
        &self,
        (x, stride, heads): (ViewMut<'_, f32>, usize, usize),
        (cosine, sine, pairs): (View<'_, f32>, View<'_, f32>, usize),
        positions: View<'_, u32>,
        turn: Turn,
    ) -> Result<()> {
        let rows = positions.len;
        at_least("rotation: rows", extent(rows, heads * 2 * pairs, stride), x.len)?;
        at_least("rotation: stride", heads * 2 * pairs, stride)?;
        at_least("rotation: sines", cosine.len, sine.len)?;
        let params = params::Rotate {
            x: x.address,
            cosine: cosine.address,
            sine: sine.address,
            positions: positions.address,
            x_row: stride as i64,
            heads: heads as u32,
            pairs: pairs as u32,
            backward: u32::from(turn == Turn::Backward),
            end: 0,
        };
        // SAFETY: the extents were checked above; positions lie in the table.
        unsafe { self.launch("rotate", [rows, 1, 1], threads(self, heads * pairs), &params) }
    }

    /// Rows of the embedding `q` `[V, H]` with scales `[V]` for `tokens` `[n]`, each below V.
    ///
    /// # Errors
    /// A shape does not fit, or the driver refuses.
    pub fn embed(
        &self,
        (q, scale): (View<'_, i8>, View<'_, f32>),
        tokens: View<'_, u32>,
        columns: usize,
        x: ViewMut<'_, f32>,
    ) -> Result<()> {
        at_least("embedding", scale.len * columns, q.len)?;
        at_least("embedded rows", tokens.len * columns, x.len)?;
        let params = params::Embed {
            q: q.address,
            scale: scale.address,
            tokens: tokens.address,
            x: x.address,
            columns: columns as u32,
            end: 0,
        };
        // SAFETY: the extents were checked above; tokens are below V.
        unsafe { self.launch("embed", [tokens.len, 1, 1], threads(self, columns), &params) }
    }

    /// The activation as wide mantissas `[n, inner]` with scales `[n]`, and as it is if `act` is given.
    ///
    /// # Errors
    /// A shape does not fit, or the driver refuses.
    pub fn swiglu(
        &self,
        swiglu: &Swiglu<'_>,
        (q, scale): (ViewMut<'_, i16>, ViewMut<'_, f32>),
        act: Option<ViewMut<'_, f32>>,
        check: Check<'_>,
    ) -> Result<()> {
        let Swiglu { gate_up, inner, rows } = *swiglu;
        at_least("gate and up", rows * 2 * inner, gate_up.len)?;
        at_least("activation: mantissas", rows * inner, q.len)?;
        at_least("activation: scales", rows, scale.len)?;
        at_least("activation", rows * inner, act.as_ref().map_or(usize::MAX, |act| act.len))?;
        let params = params::SwigluForward {
            gate_up: gate_up.address,
            q: q.address,
            scale: scale.address,
            act: act.map_or(0, |act| act.address),
            fault: check.fault(rows)?,
            inner: inner as u32,
            end: 0,
        };
        // SAFETY: the extents were checked above.
        unsafe { self.launch("swiglu_forward", [rows, 1, 1], threads(self, inner), &params) }
    }

    /// The gradient of gate and up times `w` as wide mantissas `[n, 2 inner]` with scales `[n]`, and as it is if `d` is
    /// given.
    ///
    /// # Errors
    /// A shape does not fit, or the driver refuses.
    pub fn swiglu_backward(
        &self,
        back: &SwigluBack<'_>,
        (q, scale): (ViewMut<'_, i16>, ViewMut<'_, f32>),
        d: Option<ViewMut<'_, f32>>,
        check: Check<'_>,
    ) -> Result<()> {
        let Swiglu { gate_up, inner, rows } = back.forward;
        at_least("gate and up", rows * 2 * inner, gate_up.len)?;
        at_least("gradient of the activation", rows * inner, back.da.len)?;
        at_least("channels of gate and up", 2 * inner, back.w.len)?;
        at_least("gradient of gate and up: mantissas", rows * 2 * inner, q.len)?;
        at_least("gradient of gate and up: scales", rows, scale.len)?;
        at_least("gradient of gate and up", rows * 2 * inner, d.as_ref().map_or(usize::MAX, |d| d.len))?;
        let params = params::SwigluBackward {
            gate_up: gate_up.address,
            da: back.da.address,
            w: back.w.address,
            q: q.address,
            scale: scale.address,
            d: d.map_or(0, |d| d.address),
            fault: check.fault(rows)?,
            inner: inner as u32,
            end: 0,
        };
        // SAFETY: the extents were checked above.
        unsafe { self.launch("swiglu_backward", [rows, 1, 1], threads(self, inner), &params) }
    }
}

impl Norm<'_> {
    /// How many rows x has at most.
    fn check(&self) -> Result<usize> {
        let tokens = self.x.len / self.w.len.max(1);
        match self.places {
            Some(places) => at_least("norm: places", self.rows, places.len)?,
            None => at_least("norm: rows", self.rows, tokens)?,
        }
        Ok(if self.places.is_some() { tokens } else { self.rows })
    }
}
