//! Cross-entropy over the vocabulary, and its gradient at the head's input. Only loss-bearing tokens come here: `n` rows.

use alloc::vec::Vec;

use crate::{
    element,
    mantissa::{rows, wide, NotFinite, Width},
    real::{exp_neg, int, pow2},
    weights::Frozen,
};

/// A token's loss at or above this is a fault; it keeps the integer sum of any sequence far within 63 bits.
pub const LOSS_LIMIT: f32 = 65_536.0;

/// What the forward pass makes.
#[derive(Clone, Debug, PartialEq)]
pub struct Forward {
    /// Σ int(ℓ × 2^24).
    pub sum: i64,
    /// ℓ, `[n]`.
    pub losses: Vec<f32>,
    /// e, `[n, V]`.
    pub exponentials: Vec<f32>,
    /// Z, `[n]`.
    pub partitions: Vec<i64>,
}

/// The loss of the rows of `normed` `[n, H]` with `targets` `[n]`; `head` is `[V, H]`.
///
/// # Errors
/// An element of `normed` or a logit is infinite or NaN, or a loss is not below [`LOSS_LIMIT`].
pub fn forward(normed: &[f32], head: &Frozen, targets: &[u32]) -> Result<Forward, NotFinite> {
    let x = rows(normed, head.inputs, Width::Wide)?;
    let mut all = Forward { sum: 0, losses: Vec::new(), exponentials: Vec::new(), partitions: Vec::new() };
    for (t, target) in targets.iter().enumerate() {
        let logits: Vec<f32> = (0..head.outputs).map(|v| element::base(x.vector(t), head.row(v))).collect();
        if logits.iter().any(|z| !z.is_finite()) {
            return Err(NotFinite);
        }
        let max = logits.iter().fold(f32::NEG_INFINITY, |max, z| if *z > max { *z } else { max });
        let first = all.exponentials.len();
        all.exponentials.extend(logits.iter().map(|z| exp_neg(z - max)));
        let z = all.exponentials[first..].iter().map(|e| element::partition_term(*e)).sum();
        let loss = element::token_loss(max, logits[*target as usize], z);
        // The logits are finite, so the loss is not NaN; it may be infinite.
        if loss >= LOSS_LIMIT {
            return Err(NotFinite);
        }
        all.sum += int(loss * pow2(24));
        all.losses.push(loss);
        all.partitions.push(z);
    }
    Ok(all)
}

/// dn `[n, H]`: the gradient of ω times the sum of the losses at the head's input.
///
/// # Errors
/// An element of e × w is infinite or NaN.
pub fn backward(saved: &Forward, head: &Frozen, targets: &[u32], omega: f32) -> Result<Vec<f32>, NotFinite> {
    let columns = head.columns();
    let mut dn = Vec::with_capacity(targets.len() * head.inputs);
    for (t, e) in saved.exponentials.chunks(head.outputs).enumerate() {
        let u: Vec<f32> = e.iter().zip(&head.scales).map(|(e, w)| e * w).collect();
        let u = wide(&u)?;
        let zeta = 1.0 / element::partition(saved.partitions[t]);
        let target = head.row(targets[t] as usize);
        for (i, column) in columns.iter().enumerate() {
            let own = element::embedded(target.values[i], target.scale);
            dn.push(element::loss_back((&u).into(), column, zeta, own, omega));
        }
    }
    Ok(dn)
}
