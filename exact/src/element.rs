//! One output element from its operands (SPEC.md, sections 5 to 7).
//!
//! The one idea: every formula of the specification stands here once. The operators of the other modules are loops over
//! these functions, and the referee on the chain calls them with the rows and columns that a dispute opened. Names of
//! arguments are those of the specification.

use crate::{
    mantissa::{product, sum, Mantissas},
    real::{exp_neg, int, ln, pow2, sigmoid, sqrt},
};

/// A vector of integers with its scale.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Operand<'a, T> {
    /// Integers.
    pub values: &'a [T],
    /// What one of them stands for.
    pub scale: f32,
}

impl<'a> From<&'a Mantissas> for Operand<'a, i16> {
    fn from(vector: &'a Mantissas) -> Self {
        Self { values: &vector.values, scale: vector.scale }
    }
}

/// Mantissas with their scale.
pub type Vector<'a> = Operand<'a, i16>;
/// A channel of a frozen matrix.
pub type Channel<'a> = Operand<'a, i8>;

/// The product of two vectors, `f32(Σ a_k b_k) × (s_a × s_b)`.
pub fn dot<A: Copy + Into<i64>, B: Copy + Into<i64>>(a: Operand<'_, A>, b: Operand<'_, B>) -> f32 {
    product(sum(a.values, b.values), a.scale, b.scale)
}

/// Embedding: `f32(Q) × w`.
pub fn embedded(q: i8, w: f32) -> f32 {
    f32::from(q) * w
}

/// RMSNorm: ρ of a row with mantissas `x`; `inv_h` is `1 ÷ f32(H)`.
pub fn norm_rho(x: Vector<'_>, inv_h: f32, eps: f32) -> f32 {
    let ms = ((sum(x.values, x.values) as f32 * x.scale) * x.scale) * inv_h;
    1.0 / sqrt(ms + eps)
}

/// RMSNorm: y_i.
pub fn norm(x: f32, rho: f32, w: f32) -> f32 {
    (x * rho) * w
}

/// RMSNorm backwards: c of a row; `g` are the mantissas of dy × w, `x` those of the forward pass.
pub fn norm_c(g: Vector<'_>, x: Vector<'_>, rho: f32, inv_h: f32) -> f32 {
    let d = ((sum(g.values, x.values) as f32 * g.scale) * x.scale) * inv_h;
    ((rho * rho) * rho) * d
}

/// RMSNorm backwards: dx_i.
pub fn norm_back(g: f32, rho: f32, x: f32, c: f32) -> f32 {
    (g * rho) - (x * c)
}

/// Projection and logits: the frozen part of one output, `f32(Σ qx Q) × (s × w)`.
pub fn base(x: Vector<'_>, weights: Channel<'_>) -> f32 {
    dot(x, weights)
}

/// Projection: one element of the low-rank vector; `a` is a row of A.
pub fn low(x: Vector<'_>, a: Vector<'_>, sigma: f32) -> f32 {
    dot(x, a) * sigma
}

/// Projection: what the adapter adds to one output; `low` is the low-rank vector of the part, `b` a row of B.
pub fn lora(low: Vector<'_>, b: Vector<'_>) -> f32 {
    dot(low, b)
}

/// Projection: one output from its parts.
pub fn projected(base: f32, bias: Option<f32>, lora: Option<f32>) -> f32 {
    let y = bias.map_or(base, |bias| base + bias);
    lora.map_or(y, |lora| y + lora)
}

/// Projection backwards: an element of the gradient of the low-rank vector; `h` is the row over the part, `beta` a column.
pub fn low_back(h: Vector<'_>, beta: Vector<'_>, sigma: f32) -> f32 {
    dot(h, beta) * sigma
}

/// Projection backwards: dB[o, j]; `h` is column o of the mantissas of h, `lambda` column j, both over the tokens.
pub fn b_back(h: &[i16], lambda: Vector<'_>, w: f32) -> f32 {
    (sum(h, lambda.values) as f32 * lambda.scale) / w
}

/// A sum over tokens (or queries) whose left scales are folded into the right operand, `f32(Σ a_t b_t) × s_b`: dA[j, i] of a
/// projection, dK and dV of the attention.
pub fn folded(a: &[i16], b: Vector<'_>) -> f32 {
    sum(a, b.values) as f32 * b.scale
}

/// Projection backwards: dx_i; `weights` is column i of Q, `d` the row of all dlow and `alpha` column i of all A.
pub fn projection_back(h: Vector<'_>, weights: &[i8], d: Vector<'_>, alpha: Vector<'_>) -> f32 {
    (sum(h.values, weights) as f32 * h.scale) + dot(d, alpha)
}

/// Rotation of one pair.
pub fn rotated(u: f32, v: f32, c: f32, s: f32) -> (f32, f32) {
    ((u * c) - (v * s), (v * c) + (u * s))
}

/// Rotation backwards of one pair.
pub fn rotated_back(du: f32, dv: f32, c: f32, s: f32) -> (f32, f32) {
    ((du * c) + (dv * s), (dv * c) - (du * s))
}

/// Attention: the score S of a visible pair.
pub fn score(q: Vector<'_>, k: Vector<'_>, tau: f32) -> f32 {
    dot(q, k) * tau
}

/// Attention: the weight P of a visible pair, 0..=16383.
pub fn attention_weight(score: f32, max: f32) -> i16 {
    int(exp_neg(score - max) * 16_383.0) as i16
}

/// Attention: ζ of a row of weights.
pub fn attention_zeta(weights: &[i16]) -> f32 {
    let z: i64 = weights.iter().map(|p| i64::from(*p)).sum();
    1.0 / z as f32
}

/// Attention: one element of the output; `v` is a column of V over the tokens.
pub fn attended(weights: &[i16], zeta: f32, v: Vector<'_>) -> f32 {
    dot(Operand { values: weights, scale: zeta }, v)
}

/// Attention backwards: dS of a visible pair.
pub fn score_back(weight: i16, zeta: f32, dp: f32, d: f32, tau: f32) -> f32 {
    ((f32::from(weight) * zeta) * (dp - d)) * tau
}

/// SwiGLU.
pub fn swiglu(gate: f32, up: f32) -> f32 {
    (gate * sigmoid(gate)) * up
}

/// SwiGLU backwards: dgate and dup.
pub fn swiglu_back(gate: f32, up: f32, da: f32) -> (f32, f32) {
    let sg = sigmoid(gate);
    let dup = da * (gate * sg);
    let dgate = (da * up) * (sg * (1.0 + (gate * (1.0 - sg))));
    (dgate, dup)
}

/// Loss: one term of Z.
pub fn partition_term(e: f32) -> i64 {
    int(e * pow2(30))
}

/// Loss: the sum Z as a real, at least 1.
pub fn partition(z: i64) -> f32 {
    z as f32 * pow2(-30)
}

/// Loss of one token.
pub fn token_loss(max: f32, z_target: f32, z: i64) -> f32 {
    (max - z_target) + ln(partition(z))
}

/// Loss backwards: dn_i; `u` are the mantissas of e × w, `weights` is column i of Q_head, `zeta` is `1 ÷ partition(Z)`.
pub fn loss_back(u: Vector<'_>, weights: &[i8], zeta: f32, target: f32, omega: f32) -> f32 {
    (((sum(u.values, weights) as f32 * u.scale) * zeta) - target) * omega
}
