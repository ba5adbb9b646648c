//! Cross-entropy of one token over the vocabulary (SPEC.md, sections 5 and 6).
//!
//! Z adds up int(e × 2^30), and 2^30 is too much for the magic number. But e × 2^30 = h × 2^14 + rest × 2^14, where h is
//! e × 2^16 rounded and rest what that left, both exact; as h × 2^14 is an even integer,
//! int(e × 2^30) = h × 2^14 + int(rest × 2^14), ties included.

use attune_exact::loss::LOSS_LIMIT;
use attune_exact::real::{int as whole, ln, pow2};

use super::lanes::{checked_max, exp_neg, int, magnitude, Grid};
use super::{per_isa, Failed, NotFinite};
use crate::Width;

/// As many h, of at most 2^16 each, as an i32 can add up.
const BLOCK: usize = 1 << 14;
const HIGH: f32 = 65_536.0;
const LOW: f32 = 16_384.0;
const LOW_BITS: u32 = 14;
/// 2^−30.
const UNIT: f32 = 1.0 / 1_073_741_824.0;

/// What a token's row of logits comes to.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TokenLoss {
    /// ℓ, in nats; below [`LOSS_LIMIT`].
    pub loss: f32,
    /// int(ℓ × 2^24), what is added up over a sequence.
    pub units: i64,
    /// Z, in units of 2^−30.
    pub sum: i64,
    /// ζ, 1 over the sum of the exponentials.
    pub zeta: f32,
    /// The scale of u's mantissas; 1 where they were not asked for.
    pub scale: f32,
}

per_isa! {
    /// The loss of one token, and u = e × w as wide mantissas: `z` `[V]` are the logits, overwritten with u; `w` `[V]` the
    /// output projection's scales; `q` `[V]` takes the mantissas.
    ///
    /// # Errors
    /// A logit is infinite or NaN or the loss too large (the forward check), or an element of u is infinite or NaN (the
    /// backward one).
    ///
    /// # Panics
    /// `target` is not in the vocabulary.
    pub fn with_gradient<'a>(
        z: &'a mut [f32], w: &'a [f32], target: usize, q: &'a mut [i16],
    ) -> Result<TokenLoss, Failed> {
        assert!(z.len() == w.len() && z.len() == q.len(), "logits, scales and mantissas of one vocabulary");
        let max = checked_max(z).map_err(|_| Failed::First)?;
        let wanted = z[target];
        let (mut sum, mut largest) = (0i64, 0);
        for (z, w) in z.chunks_mut(BLOCK).zip(w.chunks(BLOCK)) {
            let (mut high, mut low) = (0i32, 0i32);
            for (z, w) in z.iter_mut().zip(w) {
                let e = exp_neg(*z - max);
                let (h, l) = units(e);
                high = high.wrapping_add(h);
                low = low.wrapping_add(l);
                *z = e * w;
                largest = largest.max(magnitude(*z));
            }
            sum += (i64::from(high) << LOW_BITS) + i64::from(low);
        }
        let token = finish(max, wanted, sum).map_err(|_| Failed::First)?;
        let grid = Grid::of(largest, Width::Wide).map_err(|_| Failed::Second)?;
        grid.fill(z, q);
        Ok(TokenLoss { scale: grid.scale, ..token })
    }

    /// The loss of one token, for evaluation: `z` `[V]` are the logits.
    ///
    /// # Errors
    /// A logit is infinite or NaN, or the loss too large.
    ///
    /// # Panics
    /// `target` is not in the vocabulary.
    pub fn only<'a>(z: &'a [f32], target: usize) -> Result<TokenLoss, NotFinite> {
        let max = checked_max(z)?;
        let mut sum = 0i64;
        for z in z.chunks(BLOCK) {
            let (mut high, mut low) = (0i32, 0i32);
            for z in z {
                let (h, l) = units(exp_neg(z - max));
                high = high.wrapping_add(h);
                low = low.wrapping_add(l);
            }
            sum += (i64::from(high) << LOW_BITS) + i64::from(low);
        }
        finish(max, z[target], sum)
    }

    /// The gradient of the last norm's output of one token, in place: `dn` `[n]` holds `f32(Σ_v qu_v Q_head[v]) × s_u`;
    /// `row` `[n]` is the target's row of the output projection and `scale` its scale; `omega` is ω.
    pub fn input_gradient<'a>(dn: &'a mut [f32], zeta: f32, row: &'a [i8], scale: f32, omega: f32) -> () {
        assert_eq!(dn.len(), row.len(), "gradient of a token's hidden state");
        for (dn, q) in dn.iter_mut().zip(row) {
            *dn = ((*dn * zeta) - (f32::from(*q) * scale)) * omega;
        }
    }
}

/// int(e × 2^30) for e in 0..=1, as (h, l) with the value h × 2^14 + l.
#[inline(always)]
fn units(e: f32) -> (i32, i32) {
    let y = e * HIGH;
    let high = int(y);
    (high, int((y - high as f32) * LOW))
}

fn finish(max: f32, wanted: f32, sum: i64) -> Result<TokenLoss, NotFinite> {
    let total = sum as f32 * UNIT;
    let loss = (max - wanted) + ln(total);
    // Finite logits make no NaN.
    if loss >= LOSS_LIMIT {
        return Err(NotFinite);
    }
    Ok(TokenLoss { loss, units: whole(loss * pow2(24)), sum, zeta: 1.0 / total, scale: 1.0 })
}
