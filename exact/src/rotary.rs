//! Rotary positions: the table, the rotation of queries and keys, and its backward pass.
//!
//! The table is made in binary64 and rounded once; angles are counted in turns, so that reducing them is a subtraction.

use alloc::vec::Vec;

use crate::{
    element,
    real64::{cos64, exp64, ln64, sin64, TWO_PI},
};

/// Rope scaling of the Llama 3.1 family: long wavelengths are stretched, short ones kept, those between blended.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Llama3 {
    /// By how much long wavelengths are stretched.
    pub factor: f64,
    /// Wavelengths above `original_context / low_frequency_factor` are stretched in full.
    pub low_frequency_factor: f64,
    /// Wavelengths below `original_context / high_frequency_factor` are kept.
    pub high_frequency_factor: f64,
    /// The context that the model was first trained with, in tokens.
    pub original_context: f64,
}

/// Cosines and sines of a sequence.
#[derive(Clone, Debug, PartialEq)]
pub struct Rotary {
    /// head_dim / 2.
    pub pairs: usize,
    /// `[T, pairs]`
    pub cosine: Vec<f32>,
    /// `[T, pairs]`
    pub sine: Vec<f32>,
}

/// The angle per position of each pair, in radians, `[head_dim / 2]`.
pub fn inverse_frequencies(head_dim: usize, theta: f64, scaling: Option<&Llama3>) -> Vec<f64> {
    let plain = |j: usize| exp64(-((2 * j) as f64 / head_dim as f64) * ln64(theta));
    (0..head_dim / 2).map(|j| scaling.map_or(plain(j), |scaling| scaled(plain(j), scaling))).collect()
}

fn scaled(inv: f64, scaling: &Llama3) -> f64 {
    let Llama3 { factor, low_frequency_factor: low, high_frequency_factor: high, original_context } =
        *scaling;
    let wavelength = TWO_PI / inv;
    if wavelength > original_context / low {
        return inv / factor;
    }
    if wavelength < original_context / high {
        return inv;
    }
    let smooth = (original_context / wavelength - low) / (high - low);
    ((1.0 - smooth) * (inv / factor)) + (smooth * inv)
}

/// The table of `positions` `[T]`.
pub fn table(head_dim: usize, theta: f64, scaling: Option<&Llama3>, positions: &[u32]) -> Rotary {
    let inverse = inverse_frequencies(head_dim, theta, scaling);
    let (mut cosine, mut sine) = (Vec::new(), Vec::new());
    for position in positions {
        for inv in &inverse {
            let turns = f64::from(*position) * (inv / TWO_PI);
            cosine.push(cos64(turns) as f32);
            sine.push(sin64(turns) as f32);
        }
    }
    Rotary { pairs: head_dim / 2, cosine, sine }
}

impl Rotary {
    /// Rotates `x`, `[T, heads * head_dim]`.
    pub fn rotate(&self, x: &[f32]) -> Vec<f32> {
        self.apply(x, element::rotated)
    }

    /// The gradient of `x` from that of its rotation.
    pub fn rotate_back(&self, dx: &[f32]) -> Vec<f32> {
        self.apply(dx, element::rotated_back)
    }

    fn apply(&self, x: &[f32], pair: fn(f32, f32, f32, f32) -> (f32, f32)) -> Vec<f32> {
        let (tokens, mut y) = (self.cosine.len() / self.pairs, x.to_vec());
        let width = x.len() / tokens;
        for (t, row) in y.chunks_mut(width).enumerate() {
            for head in row.chunks_mut(2 * self.pairs) {
                for j in 0..self.pairs {
                    let (c, s) = (self.cosine[t * self.pairs + j], self.sine[t * self.pairs + j]);
                    (head[j], head[self.pairs + j]) = pair(head[j], head[self.pairs + j], c, s);
                }
            }
        }
        y
    }
}
