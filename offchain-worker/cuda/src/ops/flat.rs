//! Flat vectors: sums, clipping, the norm of the gradient, AdamW.

use attune_exact::{
    mantissa::exponent,
    optimizer::Scalars,
    real64::{pow2_64, sqrt64},
};

use super::{at_least, Check};
use crate::{
    buffer::{View, ViewMut},
    device::{Device, MAX_THREADS},
    error::{Error, Result},
    params,
};

/// Blocks of a kernel over a flat vector at most: some for every multiprocessor.
const BLOCKS: usize = 1024;
/// The longest gradient whose sum of squares surely fits 64 bits.
const LONGEST: usize = 1 << 29;

impl Device {
    /// Blocks and threads for `n` elements.
    fn flat(&self, n: usize) -> ([usize; 3], u32) {
        let threads = self.threads().unwrap_or(MAX_THREADS);
        ([n.div_ceil(threads as usize).min(BLOCKS), 1, 1], threads)
    }

    /// x = x + y.
    ///
    /// # Errors
    /// The lengths differ, or the driver refuses.
    pub fn add(&self, x: ViewMut<'_, f32>, y: View<'_, f32>) -> Result<()> {
        at_least("sum of two vectors", x.len, y.len)?;
        let params = params::Add { x: x.address, y: y.address, n: x.len as u64 };
        let (grid, threads) = self.flat(x.len);
        // SAFETY: the lengths were checked.
        unsafe { self.launch("add_to", grid, threads, &params) }
    }

    /// g = g × κ.
    ///
    /// # Errors
    /// The driver refuses.
    pub fn scale(&self, g: ViewMut<'_, f32>, kappa: f32) -> Result<()> {
        let params = params::Scale { g: g.address, n: g.len as u64, kappa, end: 0 };
        let (grid, threads) = self.flat(g.len);
        // SAFETY: the length is the view's.
        unsafe { self.launch("scale", grid, threads, &params) }
    }

    /// The norm of the gradient; none if an element is infinite or NaN.
    ///
    /// # Errors
    /// The gradient is too long, or the driver refuses.
    pub fn gradient_norm(&self, g: View<'_, f32>) -> Result<Option<f64>> {
        if g.len > LONGEST {
            return Err(Error::TooLarge { what: "elements of a gradient", most: LONGEST, found: g.len });
        }
        let (mut largest, mut sum) = (self.zeros::<u32>(1)?, self.zeros::<u64>(1)?);
        let (grid, threads) = self.flat(g.len);
        let of = params::LargestOf { g: g.address, largest: largest.all_mut().address, n: g.len as u64 };
        let squares = params::SquareSum {
            g: g.address,
            largest: largest.all().address,
            sum: sum.all_mut().address,
            n: g.len as u64,
        };
        // SAFETY: the length is the view's, the others hold one number each.
        unsafe {
            self.launch("largest_of", grid, threads, &of)?;
            self.launch("square_sum", grid, threads, &squares)?;
        }
        let Ok(exponent) = exponent(largest.download()?[0]) else { return Ok(None) };
        Ok(Some(sqrt64(sum.download()?[0] as f64) * pow2_64(exponent - 16)))
    }

    /// One step of AdamW over all parameters; the gradient is clipped already.
    ///
    /// # Errors
    /// The lengths differ, or the driver refuses.
    pub fn adamw(
        &self,
        theta: ViewMut<'_, f32>,
        g: View<'_, f32>,
        (m, v): (ViewMut<'_, f32>, ViewMut<'_, f32>),
        with: &Scalars,
        check: Check<'_>,
    ) -> Result<()> {
        for found in [g.len, m.len, v.len] {
            at_least("gradient and moments", theta.len, found)?;
        }
        let params = params::AdamW {
            theta: theta.address,
            g: g.address,
            m: m.address,
            v: v.address,
            n: theta.len as u64,
            fault: check.fault(1)?,
            beta1: with.beta1,
            one_minus_beta1: with.one_minus_beta1,
            beta2: with.beta2,
            one_minus_beta2: with.one_minus_beta2,
            epsilon: with.epsilon,
            c1: with.c1,
            c2: with.c2,
            learning_rate: with.learning_rate,
            decay: with.decay,
            end: 0,
        };
        let (grid, threads) = self.flat(theta.len);
        // SAFETY: the lengths were checked.
        unsafe { self.launch("adamw", grid, threads, &params) }
    }
}
