//! RMSNorm (SPEC.md, sections 5 and 6), with the mantissas that the projection after it takes.

use super::lanes::{magnitude, max_magnitude, sum_products, Grid};
use super::{per_isa, Failed, NotFinite};
use crate::Width;

/// What is known of a row after its norm.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Normed {
    /// Σ q² over the row's own mantissas.
    pub square_sum: i64,
    /// s, the scale of the row's own mantissas.
    pub input_scale: f32,
    /// ρ, what the row is multiplied by.
    pub rho: f32,
    /// The scale of the output's mantissas.
    pub scale: f32,
}

per_isa! {
    /// y_i = (x_i × ρ) × w_i as wide mantissas: `x`, `w` and `q` are `[n]`.
    ///
    /// # Errors
    /// An element of x (the norm's own check) or of y (that of the projection after it) is infinite or NaN.
    pub fn forward<'a>(x: &'a [f32], w: &'a [f32], eps: f32, q: &'a mut [i16]) -> Result<Normed, Failed> {
        assert!(x.len() == w.len() && x.len() == q.len(), "norm of a row");
        let input = Grid::of(max_magnitude(x), Width::Wide).map_err(|_| Failed::First)?;
        let (square_sum, rho) = root(x, input, eps);
        let y = |x: &f32, w: &f32| (x * rho) * w;
        let largest = x.iter().zip(w).fold(0, |max, (x, w)| max.max(magnitude(y(x, w))));
        let output = Grid::of(largest, Width::Wide).map_err(|_| Failed::Second)?;
        for ((q, x), w) in q.iter_mut().zip(x).zip(w) {
            *q = output.mantissa(y(x, w));
        }
        Ok(Normed { square_sum, input_scale: input.scale, rho, scale: output.scale })
    }

    /// y_i = (x_i × ρ) × w_i in place: `x` and `w` are `[n]`. For heads of queries and keys that have a norm of their own,
    /// and for whoever wants the reals. Returns ρ.
    ///
    /// # Errors
    /// An element of x is infinite or NaN.
    pub fn in_place<'a>(x: &'a mut [f32], w: &'a [f32], eps: f32) -> Result<f32, NotFinite> {
        assert_eq!(x.len(), w.len(), "norm of a row in place");
        let input = Grid::of(max_magnitude(x), Width::Wide)?;
        let (_, rho) = root(x, input, eps);
        for (x, w) in x.iter_mut().zip(w) {
            *x = (*x * rho) * w;
        }
        Ok(rho)
    }

    /// The gradient of the norm's input, into `dx`: all are `[n]`; `x` and `rho` are those of the forward pass.
    ///
    /// # Errors
    /// An element of x or of dy × w is infinite or NaN.
    pub fn backward<'a>(
        dy: &'a [f32], x: &'a [f32], w: &'a [f32], rho: f32, dx: &'a mut [f32],
    ) -> Result<(), NotFinite> {
        gradient(dy, x, w, rho, dx, |new, _| new)
    }

    /// As [`backward`], with the residual's gradient added: `dx` holds it at the start.
    ///
    /// # Errors
    /// An element of x or of dy × w is infinite or NaN.
    pub fn backward_residual<'a>(
        dy: &'a [f32], x: &'a [f32], w: &'a [f32], rho: f32, dx: &'a mut [f32],
    ) -> Result<(), NotFinite> {
        gradient(dy, x, w, rho, dx, |new, residual| new + residual)
    }
}

/// Σ q² and ρ of a row.
#[inline(always)]
fn root(x: &[f32], grid: Grid, eps: f32) -> (i64, f32) {
    let square_sum = sum_products(x.len(), |i| {
        let q = grid.integer(x[i]);
        q.wrapping_mul(q)
    });
    let mean = ((square_sum as f32 * grid.scale) * grid.scale) * (1.0 / x.len() as f32);
    (square_sum, 1.0 / (mean + eps).sqrt())
}

#[inline(always)]
fn gradient(
    dy: &[f32],
    x: &[f32],
    w: &[f32],
    rho: f32,
    dx: &mut [f32],
    store: impl Fn(f32, f32) -> f32,
) -> Result<(), NotFinite> {
    let n = x.len();
    assert!(n == w.len() && n == dy.len() && n == dx.len(), "gradient of a norm");
    let (dy, w) = (&dy[..n], &w[..n]);
    let (mut largest_x, mut largest_g) = (0, 0);
    for i in 0..n {
        largest_x = largest_x.max(magnitude(x[i]));
        largest_g = largest_g.max(magnitude(dy[i] * w[i]));
    }
    let of_x = Grid::of(largest_x, Width::Wide)?;
    let of_g = Grid::of(largest_g, Width::Wide)?;
    let sum = sum_products(n, |i| of_g.integer(dy[i] * w[i]).wrapping_mul(of_x.integer(x[i])));
    let d = ((sum as f32 * of_g.scale) * of_x.scale) * (1.0 / n as f32);
    let c = ((rho * rho) * rho) * d;
    for (((dx, dy), x), w) in dx.iter_mut().zip(dy).zip(x).zip(w) {
        *dx = store(((dy * w) * rho) - (x * c), *dx);
    }
    Ok(())
}
