//! The flat vectors of a step: the gradient's norm, clipping, AdamW (SPEC.md, section 7).

use attune_exact::optimizer::Scalars;

use super::lanes::{check, int, magnitude, max_magnitude, pow2};
use super::{per_isa, NotFinite};
use crate::Isa;

/// Above this many elements the sum of squares, of 34 bits each, might not fit 63 bits.
pub const LONGEST: usize = 1 << 29;

per_isa! {
    /// The largest magnitude of a part of the gradient, as bits. The largest over all parts makes the [`Exponent`].
    pub fn largest<'a>(g: &'a [f32]) -> i32 {
        max_magnitude(g)
    }

    /// Σ int(g × 2^(16−E))² over a part of the gradient.
    ///
    /// # Panics
    /// `g` is longer than [`LONGEST`].
    pub fn square_sum<'a>(g: &'a [f32], exponent: Exponent) -> u64 {
        assert!(g.len() <= LONGEST, "a gradient has at most {LONGEST} elements, found {}", g.len());
        g.iter().fold(0u64, |sum, g| {
            let q = u64::from(int(g * exponent.multiplier).unsigned_abs());
            sum.wrapping_add(q.wrapping_mul(q))
        })
    }

    /// g = g × κ.
    pub fn scale<'a>(g: &'a mut [f32], kappa: f32) -> () {
        for g in g {
            *g *= kappa;
        }
    }

    /// One step of AdamW on a part of the parameters, in place: all are `[n]`.
    ///
    /// # Errors
    /// A parameter became infinite or NaN.
    pub fn adamw<'a>(
        theta: &'a mut [f32], g: &'a [f32], m: &'a mut [f32], v: &'a mut [f32], with: Scalars,
    ) -> Result<(), NotFinite> {
        let n = theta.len();
        assert!(n == g.len() && n == m.len() && n == v.len(), "parameters, gradient and moments");
        let mut largest = 0;
        for (((theta, g), m), v) in theta.iter_mut().zip(g).zip(m).zip(v) {
            *m = (*m * with.beta1) + (g * with.one_minus_beta1);
            *v = (*v * with.beta2) + ((g * g) * with.one_minus_beta2);
            let u = (*m * with.c1) / ((*v * with.c2).sqrt() + with.epsilon);
            *theta = (*theta * with.decay) - (with.learning_rate * u);
            largest = largest.max(magnitude(*theta));
        }
        check(largest)
    }
}

/// E of the whole gradient.
#[derive(Clone, Copy, Debug)]
pub struct Exponent {
    multiplier: f32,
    unit: f64,
}

impl Exponent {
    /// From the largest magnitude's bits.
    ///
    /// # Errors
    /// They are those of infinity or NaN.
    pub fn of(largest: i32) -> Result<Exponent, NotFinite> {
        check(largest)?;
        let exponent = ((largest >> 23) - 127).max(attune_exact::mantissa::LOWEST_EXPONENT);
        let unit = f64::from_bits(((exponent - 16 + 1023) as u64) << 52);
        Ok(Exponent { multiplier: pow2(16 - exponent), unit })
    }

    /// The norm, from the sum of the squares of all parts.
    pub fn norm(self, square_sum: u64) -> f64 {
        (square_sum as f64).sqrt() * self.unit
    }
}

/// The norm of the gradient `g`, in one go.
///
/// # Errors
/// An element is infinite or NaN.
pub fn norm(isa: Isa, g: &[f32]) -> Result<f64, NotFinite> {
    let exponent = Exponent::of(largest(isa, g))?;
    Ok(exponent.norm(square_sum(isa, g, exponent)))
}
