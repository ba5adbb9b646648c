//! The pinned functions of binary32 (SPEC.md, section 4).
//!
//! The one idea: +, −, ×, ÷ are the same on every machine that follows IEEE-754, so a function made of them in a fixed
//! order is too. Nothing here calls a library; the square root, which `core` does not have, is done on integers and
//! correctly rounded, as IEEE-754 wants it.
//!
//! The coefficients are minimax polynomials (Remez), made for this project: each was rounded to binary32 in turn, from the
//! lowest, and the ones above it fitted again to what was left. Constants are given by their bits.

/// 1 / ln 2.
pub const LOG2E: f32 = f32::from_bits(0x3FB8_AA3B);
/// ln 2 to 15 significant bits, so that its product with an integer below 512 in magnitude is exact.
pub const LN2_HIGH: f32 = f32::from_bits(0x3F31_7200);
/// ln 2 − [`LN2_HIGH`].
pub const LN2_LOW: f32 = f32::from_bits(0x35BF_BE8E);
/// Where [`exp_neg`] stops falling.
pub const EXP_LOWEST: f32 = f32::from_bits(0xC2AE_0000);
/// Of [`exp_neg`]: the coefficient of r², about 1/2.
pub const C2: f32 = f32::from_bits(0x3EFF_FFFE);
/// Of [`exp_neg`]: of r³, about 1/6.
pub const C3: f32 = f32::from_bits(0x3E2A_AA4A);
/// Of [`exp_neg`]: of r⁴, about 1/24.
pub const C4: f32 = f32::from_bits(0x3D2A_AC43);
/// Of [`exp_neg`]: of r⁵, about 1/120.
pub const C5: f32 = f32::from_bits(0x3C09_1EF8);
/// Of [`exp_neg`]: of r⁶, about 1/720.
pub const C6: f32 = f32::from_bits(0x3AB5_5134);
/// √2, rounded down.
pub const SQRT2: f32 = f32::from_bits(0x3FB5_04F3);
/// Of [`ln`]: the coefficient of z, about 2/3.
pub const L1: f32 = f32::from_bits(0x3F2A_AAAA);
/// Of [`ln`]: of z², about 2/5.
pub const L2: f32 = f32::from_bits(0x3ECC_CE13);
/// Of [`ln`]: of z³, about 2/7.
pub const L3: f32 = f32::from_bits(0x3E91_EA86);
/// Of [`ln`]: of z⁴, about 2/9 and the rest of the series.
pub const L4: f32 = f32::from_bits(0x3E78_6500);

const FRACTION_BITS: u32 = 23;
const FRACTION_MASK: u32 = (1 << FRACTION_BITS) - 1;
const INFINITY_BITS: u32 = 0x7F80_0000;

/// The nearest integer, ties to even. Beyond 64 bits it saturates; of NaN it is 0.
pub fn int(x: f32) -> i64 {
    // From 2^23 on every binary32 is an integer; below, the part after the point is exact.
    let low = x as i64;
    if x.is_nan() || x.abs() >= 8_388_608.0 {
        return low;
    }
    let rest = (x - low as f32).abs();
    if rest > 0.5 || (rest == 0.5 && low % 2 != 0) {
        return if x < 0.0 { low - 1 } else { low + 1 };
    }
    low
}

/// 2^e for e in −126..=127, by its bits.
pub fn pow2(e: i32) -> f32 {
    debug_assert!((-126..=127).contains(&e), "2^{e} is not a normal binary32");
    f32::from_bits(((e + 127) as u32) << FRACTION_BITS)
}

/// e^x for x ≤ 0. Below −87 it is that of −87, and so it is never 0.
pub fn exp_neg(x: f32) -> f32 {
    let x = if x > EXP_LOWEST { x } else { EXP_LOWEST };
    let k = int(x * LOG2E) as i32;
    let r = (x - k as f32 * LN2_HIGH) - k as f32 * LN2_LOW;
    let p = ((((C6 * r + C5) * r + C4) * r + C3) * r + C2) * r;
    let e = 1.0 + (r + p * r);
    e * pow2(k)
}

/// 1 / (1 + e^−g).
pub fn sigmoid(g: f32) -> f32 {
    let t = exp_neg(-g.abs());
    let d = 1.0 + t;
    if g >= 0.0 {
        1.0 / d
    } else {
        t / d
    }
}

/// The natural logarithm of a finite x ≥ 1, from ln(1+f) = f − s(f − R) with s = f/(2+f) and R = 2/3 s² + 2/5 s⁴ + ...
pub fn ln(x: f32) -> f32 {
    let bits = x.to_bits();
    let fraction = bits & FRACTION_MASK;
    let halved = u32::from(fraction >= SQRT2.to_bits() & FRACTION_MASK);
    let k = ((bits >> FRACTION_BITS) + halved) as i32 - 127;
    let m = f32::from_bits(((127 - halved) << FRACTION_BITS) | fraction);
    let f = m - 1.0;
    let s = f / (2.0 + f);
    let z = s * s;
    let big_r = z * (L1 + z * (L2 + z * (L3 + z * L4)));
    k as f32 * LN2_HIGH + (f - (s * (f - big_r) - k as f32 * LN2_LOW))
}

/// The square root, correctly rounded. NaN below 0; √−0 = −0.
pub fn sqrt(x: f32) -> f32 {
    let bits = x.to_bits();
    if x.is_nan() || x == 0.0 || bits == INFINITY_BITS {
        return x;
    }
    if x < 0.0 {
        return f32::NAN;
    }
    // x = m * 2^e with m of exactly 24 bits.
    let (mut m, mut e) = ((bits & FRACTION_MASK) as u64, (bits >> FRACTION_BITS) as i32 - 150);
    if bits >> FRACTION_BITS == 0 {
        let shift = m.leading_zeros() - 40;
        (m, e) = (m << shift, -149 - shift as i32);
    } else {
        m |= 1 << FRACTION_BITS;
    }
    // m * 2^shift has 49 or 50 bits and an even exponent: its root has 25 bits, the last of which rounds. The root of a
    // number that ends in 25 zeros is never odd and exact, so there are no ties.
    let shift = if e % 2 == 0 { 26 } else { 25 };
    let root = (m << shift).isqrt();
    let exponent = (e - shift) / 2 + 1;
    let rounded = (root >> 1) + (root & 1);
    // `rounded` is 2^23..=2^24; the addition carries into the exponent where it is 2^24.
    f32::from_bits((((exponent + 149) as u32) << FRACTION_BITS) + rounded as u32)
}
