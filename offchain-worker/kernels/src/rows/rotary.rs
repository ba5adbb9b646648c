//! Rotation of queries and keys by their position (SPEC.md, sections 5 and 6).

use super::per_isa;

per_isa! {
    /// Rotates the heads of one token in place: `x` is `[heads, head_dim]`; `cos` and `sin` are the token's row of the
    /// table, `[head_dim / 2]`.
    pub fn forward<'a>(x: &'a mut [f32], cos: &'a [f32], sin: &'a [f32]) -> () {
        each_head(x, cos, sin, |u, v, c, s| ((u * c) - (v * s), (v * c) + (u * s)));
    }

    /// Rotates the gradients of one token's heads back, in place; shapes as in [`forward`].
    pub fn backward<'a>(x: &'a mut [f32], cos: &'a [f32], sin: &'a [f32]) -> () {
        each_head(x, cos, sin, |u, v, c, s| ((u * c) + (v * s), (v * c) - (u * s)));
    }
}

#[inline(always)]
fn each_head(
    x: &mut [f32],
    cos: &[f32],
    sin: &[f32],
    rotate: impl Fn(f32, f32, f32, f32) -> (f32, f32) + Copy,
) {
    let half = cos.len();
    assert!(half > 0 && sin.len() == half && x.len().is_multiple_of(2 * half), "rotation of whole heads");
    for head in x.chunks_exact_mut(2 * half) {
        let (first, second) = head.split_at_mut(half);
        for (((u, v), c), s) in first.iter_mut().zip(second).zip(cos).zip(sin) {
            (*u, *v) = rotate(*u, *v, *c, *s);
        }
    }
}
