//! What one lane of a row does: the pinned functions again, in the form that a compiler can make vectors of.
//!
//! Each is equal to its namesake in `attune_exact` on the arguments that it names; the tests compare them.

use attune_exact::mantissa::{self, NotFinite, INFINITY_BITS};
use attune_exact::real::{C2, C3, C4, C5, C6, EXP_LOWEST, LN2_HIGH, LN2_LOW, LOG2E};

use crate::Width;

/// 1.5 * 2^23. A real of at most 2^22 in magnitude, added to it, is rounded to an integer, ties to even, and that
/// integer stands in the low bits of the sum.
const MAGIC: f32 = 12_582_912.0;

/// As many terms below 2^16 as an i32 can add up.
const BLOCK: usize = 1 << 14;

/// `x` rounded to an integer, for |x| ≤ 2^22.
#[inline(always)]
pub(super) fn int(x: f32) -> i32 {
    (x + MAGIC).to_bits().wrapping_sub(MAGIC.to_bits()) as i32
}

/// The magnitude of `x` as its bits; signed, for the sake of machines that only compare signed integers.
#[inline(always)]
pub(super) fn magnitude(x: f32) -> i32 {
    (x.to_bits() & 0x7FFF_FFFF) as i32
}

/// The largest magnitude in `x` as bits.
#[inline(always)]
pub(super) fn max_magnitude(x: &[f32]) -> i32 {
    x.iter().fold(0, |max, x| max.max(magnitude(*x)))
}

/// Whether a magnitude is that of a number.
#[inline(always)]
pub(super) fn check(magnitude: i32) -> Result<(), NotFinite> {
    if magnitude as u32 >= INFINITY_BITS {
        return Err(NotFinite);
    }
    Ok(())
}

/// How the reals of one vector become mantissas.
#[derive(Clone, Copy)]
pub(super) struct Grid {
    /// What a real is multiplied by.
    pub(super) multiplier: f32,
    /// The largest magnitude of a mantissa.
    pub(super) limit: i16,
    /// What a mantissa is worth.
    pub(super) scale: f32,
}

impl Grid {
    /// That of a vector whose largest magnitude is `magnitude`.
    #[inline(always)]
    pub(super) fn of(magnitude: i32, width: Width) -> Result<Grid, NotFinite> {
        check(magnitude)?;
        let exponent = ((magnitude >> 23) - 127).max(mantissa::LOWEST_EXPONENT);
        let (shift, limit) = match width {
            Width::Wide => (13, 16_383),
            Width::Narrow => (10, 2_047),
        };
        Ok(Grid { multiplier: pow2(shift - exponent), limit, scale: pow2(exponent - shift) })
    }

    /// The mantissa of `x`. Its low bits are those of the sum with the magic number: rounding leaves at most 2^14.
    #[inline(always)]
    pub(super) fn mantissa(self, x: f32) -> i16 {
        let q = (x * self.multiplier + MAGIC).to_bits() as i16;
        q.clamp(-self.limit, self.limit)
    }

    /// The mantissa of `x` as an i32, for formulas that go on with it.
    #[inline(always)]
    pub(super) fn integer(self, x: f32) -> i32 {
        int(x * self.multiplier).clamp(-i32::from(self.limit), i32::from(self.limit))
    }

    /// The mantissas of `x`.
    #[inline(always)]
    pub(super) fn fill(self, x: &[f32], q: &mut [i16]) {
        for (q, x) in q.iter_mut().zip(x) {
            *q = self.mantissa(*x);
        }
    }
}

/// 2^e for e in −126..=127.
#[inline(always)]
pub(super) fn pow2(e: i32) -> f32 {
    f32::from_bits((e.wrapping_add(127) as u32) << 23)
}

/// e^x for x ≤ 0.
#[inline(always)]
pub(super) fn exp_neg(x: f32) -> f32 {
    let x = if x > EXP_LOWEST { x } else { EXP_LOWEST };
    let sum = x * LOG2E + MAGIC;
    // Exact: both are multiples of 1 below 2^24.
    let k = sum - MAGIC;
    let r = (x - k * LN2_HIGH) - k * LN2_LOW;
    let p = ((((C6 * r + C5) * r + C4) * r + C3) * r + C2) * r;
    let e = 1.0 + (r + p * r);
    // The low bits of the sum are k: shifted up, with 127 added, they are the exponent of 2^k.
    e * f32::from_bits(sum.to_bits().wrapping_add(127) << 23)
}

/// 1 / (1 + e^−g).
#[inline(always)]
pub(super) fn sigmoid(g: f32) -> f32 {
    let t = exp_neg(-g.abs());
    let d = 1.0 + t;
    // One division: the selection comes first, as it changes no bit.
    let top = if g >= 0.0 { 1.0 } else { t };
    top / d
}

/// Where `x` stands among all numbers, as an integer: x < y means key(x) < key(y).
#[inline(always)]
pub(super) fn key(x: f32) -> i32 {
    let bits = x.to_bits() as i32;
    bits ^ ((bits >> 31) as u32 >> 1) as i32
}

/// The largest of `x`. Of two zeros it is the positive one, which no formula that uses it can tell.
#[inline(always)]
pub(super) fn checked_max(x: &[f32]) -> Result<f32, NotFinite> {
    let (mut least, mut most) = (i32::MAX, i32::MIN);
    for x in x {
        let key = key(*x);
        least = least.min(key);
        most = most.max(key);
    }
    // NaN lies beyond infinity, on the side of its sign.
    if least <= key(f32::NEG_INFINITY) || most >= key(f32::INFINITY) {
        return Err(NotFinite);
    }
    Ok(f32::from_bits((most ^ ((most >> 31) as u32 >> 1) as i32) as u32))
}

/// Σ of products, each of at most 30 bits with its sign, exact. `term` gives the i-th.
///
/// The halves of the products are added up apart: so all stays in lanes of 32 bits, and one addition to 64 bits is
/// enough for thousands of terms.
#[inline(always)]
pub(super) fn sum_products(length: usize, term: impl Fn(usize) -> i32) -> i64 {
    let mut sum = 0i64;
    let mut start = 0;
    while start < length {
        let end = length.min(start + BLOCK);
        let (mut high, mut low) = (0i32, 0i32);
        for i in start..end {
            let product = term(i);
            high = high.wrapping_add(product >> 16);
            low = low.wrapping_add(product & 0xFFFF);
        }
        sum += (i64::from(high) << 16) + i64::from(low);
        start = end;
    }
    sum
}
