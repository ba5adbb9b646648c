//! RMSNorm and its backward pass, row by row. `x`, `y`, `dy` and `dx` are `[T, H]`, `w` is `[H]`.

use alloc::vec::Vec;

use crate::{
    element,
    mantissa::{rows, wide, NotFinite, Table, Width},
};

/// What the forward pass makes.
#[derive(Clone, Debug, PartialEq)]
pub struct Forward {
    /// `[T, H]`
    pub y: Vec<f32>,
    /// Wide mantissas of the rows of x.
    pub x: Table,
    /// `[T]`
    pub rho: Vec<f32>,
}

/// `1 ÷ f32(H)`.
pub fn inverse_width(hidden: usize) -> f32 {
    1.0 / hidden as f32
}

/// y = norm(x) × w.
///
/// # Errors
/// An element of x is infinite or NaN.
pub fn forward(x: &[f32], w: &[f32], eps: f32) -> Result<Forward, NotFinite> {
    let (h, inv_h) = (w.len(), inverse_width(w.len()));
    let table = rows(x, h, Width::Wide)?;
    let (mut y, mut rho) = (Vec::with_capacity(x.len()), Vec::with_capacity(table.rows));
    for (t, row) in x.chunks(h).enumerate() {
        let factor = element::norm_rho(table.vector(t), inv_h, eps);
        y.extend(row.iter().zip(w).map(|(x, w)| element::norm(*x, factor, *w)));
        rho.push(factor);
    }
    Ok(Forward { y, x: table, rho })
}

/// dx of the norm alone; `saved` is what the forward pass made of `x`.
///
/// # Errors
/// An element of dy × w is infinite or NaN.
pub fn backward(dy: &[f32], x: &[f32], w: &[f32], saved: &Forward) -> Result<Vec<f32>, NotFinite> {
    let (h, inv_h) = (w.len(), inverse_width(w.len()));
    let mut dx = Vec::with_capacity(x.len());
    for (t, (dy, x)) in dy.chunks(h).zip(x.chunks(h)).enumerate() {
        let g: Vec<f32> = dy.iter().zip(w).map(|(dy, w)| dy * w).collect();
        let qg = wide(&g)?;
        let rho = saved.rho[t];
        let c = element::norm_c((&qg).into(), saved.x.vector(t), rho, inv_h);
        dx.extend(g.iter().zip(x).map(|(g, x)| element::norm_back(*g, rho, *x, c)));
    }
    Ok(dx)
}
