//! The norm of the gradient, clipping, and AdamW (Loshchilov and Hutter 2017, arXiv:1711.05101), over flat vectors.

use alloc::vec::Vec;

use crate::{
    mantissa::{exponent, max_magnitude_bits, NotFinite},
    real::{int, pow2, sqrt},
    real64::{pow2_64, power, sqrt64},
};

/// The constants of AdamW.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AdamW {
    /// Decay of the first moment.
    pub beta1: f64,
    /// Decay of the second moment.
    pub beta2: f64,
    /// Added to the denominator.
    pub epsilon: f64,
    /// Decoupled weight decay, multiplied by the learning rate.
    pub weight_decay: f64,
}

/// The constants of one step, made in binary64 and rounded once.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Scalars {
    /// β1.
    pub beta1: f32,
    /// 1 − β1.
    pub one_minus_beta1: f32,
    /// β2.
    pub beta2: f32,
    /// 1 − β2.
    pub one_minus_beta2: f32,
    /// ε.
    pub epsilon: f32,
    /// 1 ÷ (1 − β1^t).
    pub c1: f32,
    /// 1 ÷ (1 − β2^t).
    pub c2: f32,
    /// Learning rate.
    pub learning_rate: f32,
    /// 1 − learning rate × weight decay.
    pub decay: f32,
}

/// What is trained, and the optimizer's moments; each of the same length.
#[derive(Clone, Debug, PartialEq)]
pub struct State {
    /// θ.
    pub adapter: Vec<f32>,
    /// m.
    pub first: Vec<f32>,
    /// v.
    pub second: Vec<f32>,
}

impl Scalars {
    /// Those of step `t`, counted from 1.
    pub fn new(config: &AdamW, learning_rate: f64, t: u64) -> Self {
        Self {
            beta1: config.beta1 as f32,
            one_minus_beta1: (1.0 - config.beta1) as f32,
            beta2: config.beta2 as f32,
            one_minus_beta2: (1.0 - config.beta2) as f32,
            epsilon: config.epsilon as f32,
            c1: (1.0 / (1.0 - power(config.beta1, t))) as f32,
            c2: (1.0 / (1.0 - power(config.beta2, t))) as f32,
            learning_rate: learning_rate as f32,
            decay: (1.0 - learning_rate * config.weight_decay) as f32,
        }
    }
}

/// The 2-norm of the flat gradient.
///
/// # Errors
/// An element is infinite or NaN.
pub fn gradient_norm(gradient: &[f32]) -> Result<f64, NotFinite> {
    let exponent = exponent(max_magnitude_bits(gradient.iter().copied()))?;
    let mut sum: u128 = 0;
    for g in gradient {
        let q = int(g * pow2(16 - exponent)).unsigned_abs();
        sum += u128::from(q * q);
    }
    Ok(sqrt64(sum as f64) * pow2_64(exponent - 16))
}

/// The factor κ that brings a gradient of norm `norm` down to `max_norm`, if it is above; a `max_norm` of 0 never clips.
pub fn clipping(norm: f64, max_norm: f64) -> Option<f32> {
    (max_norm > 0.0 && norm > max_norm).then(|| (max_norm / norm) as f32)
}

/// One element of a step: new θ, m and v.
pub fn updated(theta: f32, m: f32, v: f32, g: f32, scalars: &Scalars) -> (f32, f32, f32) {
    let m = (m * scalars.beta1) + (g * scalars.one_minus_beta1);
    let v = (v * scalars.beta2) + ((g * g) * scalars.one_minus_beta2);
    let u = (m * scalars.c1) / (sqrt(v * scalars.c2) + scalars.epsilon);
    ((theta * scalars.decay) - (scalars.learning_rate * u), m, v)
}

/// One step over all elements; `gradient` is clipped already.
///
/// # Errors
/// A new θ is infinite or NaN.
pub fn update(state: &State, gradient: &[f32], scalars: &Scalars) -> Result<State, NotFinite> {
    let (mut adapter, mut first, mut second) = (Vec::new(), Vec::new(), Vec::new());
    for (i, g) in gradient.iter().enumerate() {
        let (theta, m, v) = updated(state.adapter[i], state.first[i], state.second[i], *g, scalars);
        if !theta.is_finite() {
            return Err(NotFinite);
        }
        adapter.push(theta);
        first.push(m);
        second.push(v);
    }
    Ok(State { adapter, first, second })
}
