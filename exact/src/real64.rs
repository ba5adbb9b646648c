//! Scalars in binary64 (SPEC.md, section 4): what exists once per step or once per model.
//!
//! The one idea: these are so few that a plain series with divisions is fast enough, so no coefficient has to be trusted.
//! Each series stops well below the last place.

/// 1 / ln 2.
pub const LOG2E: f64 = f64::from_bits(0x3FF7_1547_652B_82FE);
/// ln 2 to 40 bits after the point, so that its product with an integer below 4096 in magnitude is exact.
pub const LN2_HIGH: f64 = f64::from_bits(0x3FE6_2E42_FEFA_4000);
/// ln 2 − [`LN2_HIGH`].
pub const LN2_LOW: f64 = f64::from_bits(0xBD48_432A_1B0E_2634);
/// 2π.
pub const TWO_PI: f64 = f64::from_bits(0x4019_21FB_5444_2D18);
/// √2.
pub const SQRT2: f64 = f64::from_bits(0x3FF6_A09E_667F_3BCD);
/// Terms of the series of [`exp64`].
pub const EXP_TERMS: u32 = 14;
/// Terms of the series of [`ln64`].
pub const LN_TERMS: u32 = 11;
/// Terms of the series of [`sin64`] and [`cos64`].
pub const TURN_TERMS: u32 = 8;

const FRACTION_BITS: u32 = 52;
const FRACTION_MASK: u64 = (1 << FRACTION_BITS) - 1;

/// The nearest integer, ties to even, of |x| below 2^51.
pub fn int64(x: f64) -> i64 {
    debug_assert!(x.abs() < 2_251_799_813_685_248.0, "{x} is too large");
    // Adding 1.5 * 2^52 leaves no room for a fraction, so the addition rounds; the subtraction is exact.
    const MAGIC: f64 = 6_755_399_441_055_744.0;
    ((x + MAGIC) - MAGIC) as i64
}

/// 2^e for e in −1022..=1023, by its bits.
pub fn pow2_64(e: i32) -> f64 {
    debug_assert!((-1022..=1023).contains(&e), "2^{e} is not a normal binary64");
    f64::from_bits(((e + 1023) as u64) << FRACTION_BITS)
}

/// e^x for x in −700..=700, as 1 + r(1 + r/2(1 + r/3(...))) times a power of two.
pub fn exp64(x: f64) -> f64 {
    let k = int64(x * LOG2E);
    let r = (x - k as f64 * LN2_HIGH) - k as f64 * LN2_LOW;
    let mut e = 1.0;
    for n in (1..=EXP_TERMS).rev() {
        e = 1.0 + (r / f64::from(n)) * e;
    }
    e * pow2_64(k as i32)
}

/// The natural logarithm of a normal x > 0, as 2s(1 + z/3 + z²/5 + ...) with s = (m − 1)/(m + 1) and z = s².
pub fn ln64(x: f64) -> f64 {
    let bits = x.to_bits();
    let fraction = bits & FRACTION_MASK;
    let halved = u64::from(fraction >= SQRT2.to_bits() & FRACTION_MASK);
    let k = ((bits >> FRACTION_BITS) + halved) as i64 - 1023;
    let m = f64::from_bits(((1023 - halved) << FRACTION_BITS) | fraction);
    let s = (m - 1.0) / (m + 1.0);
    let z = s * s;
    let mut sum = 0.0;
    for n in (1..LN_TERMS).rev() {
        sum = z * (1.0 / f64::from(2 * n + 1) + sum);
    }
    k as f64 * LN2_HIGH + ((2.0 * s) * (1.0 + sum) + k as f64 * LN2_LOW)
}

/// The quarter turn that `turns` is nearest to, and the angle from there in radians, within ±π/4.
fn quarter(turns: f64) -> (i64, f64) {
    let fraction = turns - int64(turns) as f64;
    let quarter = int64(fraction * 4.0);
    (quarter & 3, (fraction - quarter as f64 * 0.25) * TWO_PI)
}

/// x − x³/3! + ..., by y(1 − y²/(2·3)(1 − y²/(4·5)(...))).
fn sine_series(y: f64) -> f64 {
    let square = y * y;
    let mut sum = 1.0;
    for n in (1..=TURN_TERMS).rev() {
        sum = 1.0 - (square / f64::from(2 * n * (2 * n + 1))) * sum;
    }
    y * sum
}

/// 1 − x²/2! + ..., by 1 − y²/(1·2)(1 − y²/(3·4)(...)).
fn cosine_series(y: f64) -> f64 {
    let square = y * y;
    let mut sum = 1.0;
    for n in (1..=TURN_TERMS).rev() {
        sum = 1.0 - (square / f64::from((2 * n - 1) * (2 * n))) * sum;
    }
    sum
}

/// The sine of an angle in turns, of |turns| below 2^50.
pub fn sin64(turns: f64) -> f64 {
    let (quarter, y) = quarter(turns);
    match quarter {
        0 => sine_series(y),
        1 => cosine_series(y),
        2 => -sine_series(y),
        _ => -cosine_series(y),
    }
}

/// The cosine of an angle in turns, of |turns| below 2^50.
pub fn cos64(turns: f64) -> f64 {
    let (quarter, y) = quarter(turns);
    match quarter {
        0 => cosine_series(y),
        1 => -sine_series(y),
        2 => -cosine_series(y),
        _ => sine_series(y),
    }
}

/// The square root, correctly rounded. NaN below 0; √−0 = −0.
pub fn sqrt64(x: f64) -> f64 {
    let bits = x.to_bits();
    if x.is_nan() || x == 0.0 || x == f64::INFINITY {
        return x;
    }
    if x < 0.0 {
        return f64::NAN;
    }
    // x = m * 2^e with m of exactly 53 bits; see `real::sqrt` for the rounding.
    let (mut m, mut e) = (bits & FRACTION_MASK, (bits >> FRACTION_BITS) as i32 - 1075);
    if bits >> FRACTION_BITS == 0 {
        let shift = m.leading_zeros() - 11;
        (m, e) = (m << shift, -1074 - shift as i32);
    } else {
        m |= 1 << FRACTION_BITS;
    }
    let shift = if e % 2 == 0 { 54 } else { 55 };
    let root = (u128::from(m) << shift).isqrt() as u64;
    let exponent = (e - shift) / 2 + 1;
    let rounded = (root >> 1) + (root & 1);
    f64::from_bits((((exponent + 1074) as u64) << FRACTION_BITS) + rounded)
}

/// `base` to the power of `exponent` by repeated squaring, from the lowest bit.
pub fn power(base: f64, exponent: u64) -> f64 {
    let (mut result, mut square, mut rest) = (1.0, base, exponent);
    while rest > 0 {
        if rest & 1 == 1 {
            result *= square;
        }
        square *= square;
        rest >>= 1;
    }
    result
}
