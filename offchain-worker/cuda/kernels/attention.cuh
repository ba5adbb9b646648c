// What attention does with a row of scores. BLOCK_X is the query, BLOCK_Y the head of a sequence: `heads` for each.

// P and ζ of visible keys, which are those from the document's start to the query itself.
struct Softmax {
    const f32 *scores; // [tables, T, T]
    const u32 *starts; // [sequences, T]: where a query's document starts in its sequence
    i16 *p;            // [tables, T, T], 0 where invisible
    f32 *zeta;         // [tables, T]
    Fault fault;       // `rows` is not used: the sequence is that of the table
    u32 length, heads;
};
struct SoftmaxShared {
    u32 magnitude;
    i32 highest;
    i64 part[AX_MAX_THREADS];
};
// Reals in the order of integers, and back.
FN i32 ordered(f32 x) {
    const i32 b = (i32)bits(x);
    return b < 0 ? b ^ 0x7FFFFFFF : b;
}
FN f32 unordered(i32 b) { return real((u32)(b < 0 ? b ^ 0x7FFFFFFF : b)); }

KERNEL(softmax, Softmax) {
    SHARED(SoftmaxShared, s);
    const u32 query = BLOCK_X, sequence = BLOCK_Y / p.heads;
    const i64 at = (i64)BLOCK_Y * p.length + query;
    const f32 *scores = p.scores + at * p.length;
    i16 *weights = p.p + at * p.length;
    const u32 start = p.starts[(i64)sequence * p.length + query];
    PHASE(t) {
        if (t == 0) {
            s.magnitude = 0;
            s.highest = -2147483647 - 1;
        }
    }
    PHASE(t) {
        u32 own = 0;
        i32 highest = -2147483647 - 1;
        for (u32 j = start + t; j <= query; j += THREADS) {
            own = most(own, magnitude(scores[j]));
            highest = ordered(scores[j]) > highest ? ordered(scores[j]) : highest;
        }
        raise(&s.magnitude, own);
        raise_signed(&s.highest, highest);
    }
    const f32 max = unordered(s.highest);
    PHASE(t) {
        i64 sum = 0;
        for (u32 j = t; j < p.length; j += THREADS) {
            const bool visible = start <= j && j <= query;
            const i32 weight = visible ? to_i32(mul(exp_neg(sub(scores[j], max)), 16383.0f)) : 0;
            weights[j] = (i16)weight;
            sum += weight;
        }
        s.part[t] = sum;
    }
    const f32 zeta = quot(1.0f, from_i64(total(s.part)));
    EACH(t) {
        if (t == 0) {
            p.zeta[at] = zeta;
            if (!finite(s.magnitude)) lower(p.fault.words + sequence, p.fault.code);
        }
    }
}

// dS as wide mantissas and their scale t, from P, ζ, dP and the rows of dO and O.
struct ScoreGradient {
    const i16 *p;
    const f32 *zeta, *dp;
    const i16 *d_out, *out; // wide mantissas; a head's row is `dim` long
    const f32 *d_out_scale, *out_scale;
    const u32 *starts;
    i16 *ds; // [tables, T, T], 0 where invisible
    f32 *t;  // [tables, T]
    i64 row;  // from token to token in d_out and out; heads lie side by side
    i64 head; // from head to head in the scales; tokens lie side by side
    Fault fault; // `rows` is not used: the sequence is that of the table
    f32 tau;
    u32 length, heads, dim;
};
struct ScoreShared {
    u32 magnitude;
    i64 part[AX_MAX_THREADS];
};
KERNEL(score_gradient, ScoreGradient) {
    SHARED(ScoreShared, s);
    const u32 query = BLOCK_X, sequence = BLOCK_Y / p.heads, head = BLOCK_Y % p.heads;
    const i64 at = (i64)BLOCK_Y * p.length + query, token = (i64)sequence * p.length + query;
    const i16 *weights = p.p + at * p.length;
    const i16 *d_out = p.d_out + token * p.row + (i64)head * p.dim, *out = p.out + token * p.row + (i64)head * p.dim;
    const f32 *dp = p.dp + at * p.length;
    i16 *ds = p.ds + at * p.length;
    const u32 start = p.starts[token];
    PHASE(t) {
        i64 sum = 0;
        for (u32 i = t; i < p.dim; i += THREADS) sum += (i64)d_out[i] * (i64)out[i];
        s.part[t] = sum;
        if (t == 0) s.magnitude = 0;
    }
    const i64 scale_at = head * p.head + token;
    const f32 d = mul(from_i64(total(s.part)), mul(p.d_out_scale[scale_at], p.out_scale[scale_at]));
    const f32 zeta = p.zeta[at];
    PHASE(t) {
        u32 own = 0;
        for (u32 j = start + t; j <= query; j += THREADS)
            own = most(own, magnitude(mul(mul(mul(from_i32(weights[j]), zeta), sub(dp[j], d)), p.tau)));
        raise(&s.magnitude, own);
    }
    const Grain g = grain(s.magnitude, 0);
    PHASE(t) {
        for (u32 j = t; j < p.length; j += THREADS) {
            const bool visible = start <= j && j <= query;
            ds[j] = visible ? mantissa(mul(mul(mul(from_i32(weights[j]), zeta), sub(dp[j], d)), p.tau), g) : (i16)0;
        }
        if (t == 0) {
            p.t[at] = g.scale;
            if (!finite(s.magnitude)) lower(p.fault.words + sequence, p.fault.code);
        }
    }
}
