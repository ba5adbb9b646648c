//! Rows as mantissas (SPEC.md, section 2), and the elementwise operators that stand between two products.

use super::lanes::{magnitude, max_magnitude, sum_products, Grid};
use super::{per_isa, NotFinite};
use crate::Width;

per_isa! {
    /// The mantissas of `x` `[n]` into `q` `[n]`; returns the scale.
    ///
    /// # Errors
    /// An element is infinite or NaN.
    pub fn row<'a>(x: &'a [f32], width: Width, q: &'a mut [i16]) -> Result<f32, NotFinite> {
        assert_eq!(x.len(), q.len(), "mantissas of a row");
        let grid = Grid::of(max_magnitude(x), width)?;
        grid.fill(x, q);
        Ok(grid.scale)
    }

    /// The wide mantissas of `x_i * w_i`, `[n]` each, into `q` `[n]`; returns the scale. With the scales of a frozen
    /// weight as `w` this is h, what a projection's backward pass starts from.
    ///
    /// # Errors
    /// A product is infinite or NaN.
    pub fn wide_times<'a>(x: &'a [f32], w: &'a [f32], q: &'a mut [i16]) -> Result<f32, NotFinite> {
        assert!(x.len() == w.len() && x.len() == q.len(), "mantissas of a row times weights");
        let largest = x.iter().zip(w).fold(0, |max, (x, w)| max.max(magnitude(x * w)));
        let grid = Grid::of(largest, Width::Wide)?;
        for ((q, x), w) in q.iter_mut().zip(x).zip(w) {
            *q = grid.mantissa(x * w);
        }
        Ok(grid.scale)
    }

    /// Σ a_i b_i of wide mantissas, `[n]` each, exact.
    pub fn dot<'a>(a: &'a [i16], b: &'a [i16]) -> i64 {
        assert_eq!(a.len(), b.len(), "product of mantissas");
        let b = &b[..a.len()];
        sum_products(a.len(), |i| i32::from(a[i]).wrapping_mul(i32::from(b[i])))
    }

    /// x = x + y, `[n]` each: a residual, or a gradient that gets another sequence's contribution.
    pub fn add<'a>(x: &'a mut [f32], y: &'a [f32]) -> () {
        assert_eq!(x.len(), y.len(), "sum of two rows");
        for (x, y) in x.iter_mut().zip(y) {
            *x += y;
        }
    }

    /// The embedding of one token: its int8 row `[n]` times the row's scale, into `x` `[n]`.
    pub fn embedding<'a>(q: &'a [i8], scale: f32, x: &'a mut [f32]) -> () {
        assert_eq!(q.len(), x.len(), "embedding of a token");
        for (x, q) in x.iter_mut().zip(q) {
            *x = f32::from(*q) * scale;
        }
    }
}
