// Cross-entropy of rows of logits, and the gradient at the head's input. One block per loss-bearing token.

struct CrossEntropy {
    const f32 *logits;  // [rows, vocabulary]
    const f32 *w;       // [vocabulary], the scales of the head's channels
    const u32 *targets; // [rows]
    const u32 *places;  // [rows]: the token of the micro-batch, to know the sequence by
    i64 *loss;          // [rows]: int(ℓ × 2^24)
    i16 *q;             // [rows, vocabulary]: u as wide mantissas; none if only the loss is wanted
    f32 *scale, *zeta;  // [rows]; of u, and 1 ÷ Z
    Fault fault, backward;
    u32 vocabulary;
};
struct LossShared {
    u32 magnitude, of_u;
    i32 highest;
    i64 part[AX_MAX_THREADS];
};
KERNEL(cross_entropy, CrossEntropy) {
    SHARED(LossShared, s);
    const i64 row = BLOCK_X;
    const f32 *z = p.logits + row * p.vocabulary;
    PHASE(t) {
        if (t == 0) {
            s.magnitude = s.of_u = 0;
            s.highest = -2147483647 - 1;
        }
    }
    PHASE(t) {
        u32 own = 0;
        i32 highest = -2147483647 - 1;
        for (u32 v = t; v < p.vocabulary; v += THREADS) {
            own = most(own, magnitude(z[v]));
            highest = ordered(z[v]) > highest ? ordered(z[v]) : highest;
        }
        raise(&s.magnitude, own);
        raise_signed(&s.highest, highest);
    }
    const f32 max = unordered(s.highest);
    PHASE(t) {
        i64 sum = 0;
        u32 own = 0;
        for (u32 v = t; v < p.vocabulary; v += THREADS) {
            const f32 e = exp_neg(sub(z[v], max));
            sum += to_i32(mul(e, pow2(30)));
            own = most(own, magnitude(mul(e, p.w[v])));
        }
        s.part[t] = sum;
        raise(&s.of_u, own);
    }
    const f32 partition = mul(from_i64(total(s.part)), pow2(-30));
    const Grain g = grain(s.of_u, 0);
    EACH(t) {
        if (t == 0) {
            const f32 loss = add(sub(max, z[p.targets[row]]), ln(partition));
            p.loss[row] = to_i64(mul(loss, pow2(24)));
            p.zeta[row] = quot(1.0f, partition);
            note(p.fault, p.places[row], !finite(s.magnitude) || loss >= real(AX_LOSS_LIMIT));
            if (p.q) {
                p.scale[row] = g.scale;
                note(p.backward, p.places[row], !finite(s.of_u));
            }
        }
        if (p.q)
            for (u32 v = t; v < p.vocabulary; v += THREADS)
                p.q[row * p.vocabulary + v] = mantissa(mul(exp_neg(sub(z[v], max)), p.w[v]), g);
    }
}

// dn from the sums that the product left in its place.
struct HeadGradient {
    f32 *dn; // [rows, columns]
    const f32 *zeta;
    const i8 *q;  // [vocabulary, columns]
    const f32 *w; // [vocabulary]
    const u32 *targets;
    f32 omega;
    u32 columns;
};
KERNEL(head_gradient, HeadGradient) {
    const i64 target = p.targets[BLOCK_X];
    f32 *dn = p.dn + (i64)BLOCK_X * p.columns;
    EACH(t) {
        for (u32 i = t; i < p.columns; i += THREADS) {
            const f32 own = mul(from_i32(p.q[target * p.columns + i]), p.w[target]);
            dn[i] = mul(sub(mul(dn[i], p.zeta[BLOCK_X]), own), p.omega);
        }
    }
}
