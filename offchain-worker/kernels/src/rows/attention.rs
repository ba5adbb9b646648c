//! One query's row of attention (SPEC.md, sections 5 and 6).

use std::ops::Range;

use super::lanes::{checked_max, exp_neg, int, magnitude, Grid};
use super::{per_isa, NotFinite};
use crate::Width;

/// As many P, of 14 bits each, as an i32 can add up.
const BLOCK: usize = 1 << 16;

/// What is known of a row of scores after its softmax.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Softmax {
    /// m, the largest visible score.
    pub max: f32,
    /// Z = Σ P.
    pub sum: i64,
    /// ζ = 1 ÷ Z.
    pub zeta: f32,
}

/// What the gradient of a query's scores needs besides rows.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Query {
    /// ζ of the forward pass.
    pub zeta: f32,
    /// D, the product of the query's output and its gradient.
    pub d: f32,
    /// τ = 1 ÷ √head_dim.
    pub tau: f32,
}

per_isa! {
    /// P of one query: `scores` `[n]` are S against all keys, of which `visible` count; `p` `[n or more]` is 0 elsewhere.
    /// Scores that are invisible are not read.
    ///
    /// # Errors
    /// A visible score is infinite or NaN.
    ///
    /// # Panics
    /// No key is visible, or `visible` lies outside of the row.
    pub fn softmax<'a>(
        scores: &'a [f32], visible: Range<usize>, p: &'a mut [i16],
    ) -> Result<Softmax, NotFinite> {
        assert!(!visible.is_empty(), "a query sees itself");
        let scores = &scores[visible.clone()];
        let max = checked_max(scores)?;
        let p = within(p, visible);
        let mut sum = 0i64;
        for (p, scores) in p.chunks_mut(BLOCK).zip(scores.chunks(BLOCK)) {
            let mut part = 0i32;
            for (p, score) in p.iter_mut().zip(scores) {
                let share = int(exp_neg(score - max) * 16_383.0);
                *p = share as i16;
                part = part.wrapping_add(share);
            }
            sum += i64::from(part);
        }
        Ok(Softmax { max, sum, zeta: 1.0 / sum as f32 })
    }

    /// The gradient of one query's scores as wide mantissas, 0 where invisible: `p` `[n or more]` is that of the forward
    /// pass, `dp` `[n]` is dP, overwritten with dS where visible; `q` is `[n or more]`. Returns the scale.
    ///
    /// # Errors
    /// An element of dS is infinite or NaN.
    ///
    /// # Panics
    /// `visible` lies outside of a row.
    pub fn score_gradient<'a>(
        p: &'a [i16], dp: &'a mut [f32], visible: Range<usize>, with: Query, q: &'a mut [i16],
    ) -> Result<f32, NotFinite> {
        let (p, dp) = (&p[visible.clone()], &mut dp[visible.clone()]);
        let mut largest = 0;
        for (dp, p) in dp.iter_mut().zip(p) {
            *dp = ((f32::from(*p) * with.zeta) * (*dp - with.d)) * with.tau;
            largest = largest.max(magnitude(*dp));
        }
        let grid = Grid::of(largest, Width::Wide)?;
        grid.fill(dp, within(q, visible));
        Ok(grid.scale)
    }
}

/// The part of a row that `visible` names; the rest becomes 0.
#[inline(always)]
fn within(row: &mut [i16], visible: Range<usize>) -> &mut [i16] {
    row[..visible.start].fill(0);
    row[visible.end..].fill(0);
    &mut row[visible]
}
