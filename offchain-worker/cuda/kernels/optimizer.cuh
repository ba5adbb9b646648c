// The norm of the gradient, clipping, AdamW and sums, over flat vectors: any number of blocks.

#define FLAT(i, n) for (u64 i = (u64)BLOCK_X * THREADS + t; i < (n); i += (u64)GRID_X * THREADS)

struct LargestOf {
    const f32 *g;
    u32 *largest; // zero at first
    u64 n;
};
KERNEL(largest_of, LargestOf) {
    EACH(t) {
        u32 own = 0;
        FLAT(i, p.n) own = most(own, magnitude(p.g[i]));
        raise(p.largest, own);
    }
}

// Σ int(g × 2^(16 − E))² for the largest magnitude that was found; below 2^64 for up to 2^29 elements.
struct SquareSum {
    const f32 *g;
    const u32 *largest;
    u64 *sum; // zero at first
    u64 n;
};
struct SquareShared {
    i64 part[AX_MAX_THREADS];
};
KERNEL(square_sum, SquareSum) {
    SHARED(SquareShared, s);
    const f32 factor = pow2(16 - exponent(*p.largest));
    PHASE(t) {
        u64 own = 0;
        FLAT(i, p.n) {
            const i64 q = to_i32(mul(p.g[i], factor));
            own += (u64)(q * q);
        }
        s.part[t] = (i64)own;
    }
    const u64 all = (u64)total(s.part);
    EACH(t) {
        if (t == 0) gain(p.sum, all);
    }
}

struct Scale {
    f32 *g;
    u64 n;
    f32 kappa;
};
KERNEL(scale, Scale) {
    EACH(t) {
        FLAT(i, p.n) p.g[i] = mul(p.g[i], p.kappa);
    }
}

struct Add {
    f32 *x;
    const f32 *y;
    u64 n;
};
KERNEL(add_to, Add) {
    EACH(t) {
        FLAT(i, p.n) p.x[i] = add(p.x[i], p.y[i]);
    }
}

struct AdamW {
    f32 *theta;
    const f32 *g;
    f32 *m, *v;
    u64 n;
    Fault fault;
    f32 beta1, one_minus_beta1, beta2, one_minus_beta2, epsilon, c1, c2, learning_rate, decay;
};
KERNEL(adamw, AdamW) {
    EACH(t) {
        FLAT(i, p.n) {
            const f32 g = p.g[i];
            const f32 m = add(mul(p.m[i], p.beta1), mul(g, p.one_minus_beta1));
            const f32 v = add(mul(p.v[i], p.beta2), mul(mul(g, g), p.one_minus_beta2));
            const f32 u = quot(mul(m, p.c1), add(root(mul(v, p.c2)), p.epsilon));
            const f32 theta = sub(mul(p.theta[i], p.decay), mul(p.learning_rate, u));
            p.m[i] = m;
            p.v[i] = v;
            p.theta[i] = theta;
            note(p.fault, 0, !finite(magnitude(theta)));
        }
    }
}
