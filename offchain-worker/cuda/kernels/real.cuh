// The pinned functions of binary32 (exact/SPEC.md, section 4) and mantissas (section 2). Constants come by their bits from
// the reference's own (`AX_` macros).

FN f32 pow2(i32 e) { return real((u32)(e + 127) << 23); }

// e^x for x <= 0.
FN f32 exp_neg(f32 x) {
    x = x > real(AX_EXP_LOWEST) ? x : real(AX_EXP_LOWEST);
    const i32 k = to_i32(mul(x, real(AX_LOG2E)));
    const f32 kf = from_i32(k);
    const f32 r = sub(sub(x, mul(kf, real(AX_LN2_HIGH))), mul(kf, real(AX_LN2_LOW)));
    f32 s = add(mul(real(AX_C6), r), real(AX_C5));
    s = add(mul(s, r), real(AX_C4));
    s = add(mul(s, r), real(AX_C3));
    s = add(mul(s, r), real(AX_C2));
    const f32 e = add(1.0f, add(r, mul(mul(s, r), r)));
    return mul(e, pow2(k));
}

FN f32 sigmoid(f32 g) {
    const f32 t = exp_neg(real(bits(g) | 0x80000000u));
    const f32 d = add(1.0f, t);
    return g >= 0.0f ? quot(1.0f, d) : quot(t, d);
}

// The natural logarithm of a finite x >= 1.
FN f32 ln(f32 x) {
    const u32 mask = (1u << 23) - 1, b = bits(x), fraction = b & mask;
    const u32 halved = fraction >= (AX_SQRT2 & mask) ? 1 : 0;
    const f32 k = from_i32((i32)((b >> 23) + halved) - 127);
    const f32 f = sub(real(((127 - halved) << 23) | fraction), 1.0f);
    const f32 s = quot(f, add(2.0f, f));
    const f32 z = mul(s, s);
    f32 r = add(real(AX_L3), mul(z, real(AX_L4)));
    r = add(real(AX_L2), mul(z, r));
    r = mul(z, add(real(AX_L1), mul(z, r)));
    const f32 low = sub(mul(s, sub(f, r)), mul(k, real(AX_LN2_LOW)));
    return add(mul(k, real(AX_LN2_HIGH)), sub(f, low));
}

// The magnitude of x as bits, whose order is that of the magnitudes, with infinity and NaN above all.
FN u32 magnitude(f32 x) { return bits(x) & 0x7FFFFFFFu; }
FN bool finite(u32 magnitude) { return magnitude < AX_INFINITY_BITS; }

// The exponent E of a vector with this largest magnitude.
FN i32 exponent(u32 magnitude) {
    const i32 e = (i32)(magnitude >> 23) - 127;
    return e > AX_LOWEST_EXPONENT ? e : AX_LOWEST_EXPONENT;
}

// How a vector becomes mantissas.
struct Grain {
    f32 factor; // what an element is multiplied by
    f32 scale;  // what a mantissa stands for
    i32 limit;
};
FN Grain grain(u32 magnitude, u32 narrow) {
    const i32 up = (narrow ? AX_NARROW_SHIFT : AX_WIDE_SHIFT) - exponent(magnitude);
    return Grain{pow2(up), pow2(-up), narrow ? AX_NARROW_LIMIT : AX_WIDE_LIMIT};
}
FN i16 mantissa(f32 x, const Grain &g) {
    const i32 q = to_i32(mul(x, g.factor));
    return (i16)(q > g.limit ? g.limit : q < -g.limit ? -g.limit : q);
}

// Σ of the parts that the threads of a block left in `part`, one each; THREADS is a power of two.
FN i64 total(i64 *part) {
    for (u32 half = THREADS / 2; half > 0; half /= 2) {
        PHASE(t) {
            if (t < half) part[t] += part[t + half];
        }
    }
    return part[0];
}

// Where a failed check is noted: one word per sequence, which keeps the lowest index of an operator.
struct Fault {
    u32 *words;
    u32 code;
    u32 rows; // rows of a sequence; 0 if all belong to the first
};
FN void note(const Fault &fault, u32 row, bool failed) {
    if (failed) lower(fault.words + (fault.rows ? row / fault.rows : 0), fault.code);
}
