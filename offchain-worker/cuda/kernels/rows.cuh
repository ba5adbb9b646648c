// Rows as mantissas, norms, rotation, the embedding. One block per row.

struct Largest {
    u32 magnitude;
};

// Mantissas of `groups` (BLOCK_Y) pieces of each row (BLOCK_X), each piece with a scale of its own.
struct QuantiseRows {
    const f32 *x;
    const f32 *times; // [columns], or none
    i16 *q;
    f32 *scale;
    i64 x_row, x_group, q_row, q_group, scale_row, scale_group;
    Fault fault;
    u32 columns, narrow;
};
KERNEL(quantise_rows, QuantiseRows) {
    SHARED(Largest, s);
    const i64 row = BLOCK_X, group = BLOCK_Y;
    const f32 *x = p.x + row * p.x_row + group * p.x_group;
    i16 *q = p.q + row * p.q_row + group * p.q_group;
    PHASE(t) {
        if (t == 0) s.magnitude = 0;
    }
    PHASE(t) {
        u32 own = 0;
        for (u32 i = t; i < p.columns; i += THREADS) own = most(own, magnitude(p.times ? mul(x[i], p.times[i]) : x[i]));
        raise(&s.magnitude, own);
    }
    const Grain g = grain(s.magnitude, p.narrow);
    PHASE(t) {
        for (u32 i = t; i < p.columns; i += THREADS) q[i] = mantissa(p.times ? mul(x[i], p.times[i]) : x[i], g);
        if (t == 0) {
            p.scale[row * p.scale_row + group * p.scale_group] = g.scale;
            note(p.fault, BLOCK_X, !finite(s.magnitude));
        }
    }
}

// y = norm(x) × w as wide mantissas, and ρ.
struct NormForward {
    const f32 *x;
    const u32 *places; // the row of x that a row is made of, or none
    const f32 *w;
    i16 *q;
    f32 *scale, *rho;
    f32 *y; // [rows, columns], or none
    Fault fault, reader; // of x, and of y
    f32 inverse, epsilon;
    u32 columns;
};
struct NormShared {
    u32 x, y;
    i64 part[AX_MAX_THREADS];
};
KERNEL(norm_forward, NormForward) {
    SHARED(NormShared, s);
    const u32 place = p.places ? p.places[BLOCK_X] : BLOCK_X;
    const f32 *x = p.x + (i64)place * p.columns;
    const i64 row = (i64)BLOCK_X * p.columns;
    PHASE(t) {
        if (t == 0) s.x = s.y = 0;
    }
    PHASE(t) {
        u32 own = 0;
        for (u32 i = t; i < p.columns; i += THREADS) own = most(own, magnitude(x[i]));
        raise(&s.x, own);
    }
    const Grain gx = grain(s.x, 0);
    PHASE(t) {
        i64 sum = 0;
        for (u32 i = t; i < p.columns; i += THREADS) {
            const i64 q = mantissa(x[i], gx);
            sum += q * q;
        }
        s.part[t] = sum;
    }
    const f32 a = from_i64(total(s.part));
    const f32 ms = mul(mul(mul(a, gx.scale), gx.scale), p.inverse);
    const f32 rho = quot(1.0f, root(add(ms, p.epsilon)));
    PHASE(t) {
        u32 own = 0;
        for (u32 i = t; i < p.columns; i += THREADS) own = most(own, magnitude(mul(mul(x[i], rho), p.w[i])));
        raise(&s.y, own);
    }
    const Grain gy = grain(s.y, 0);
    PHASE(t) {
        for (u32 i = t; i < p.columns; i += THREADS) {
            const f32 y = mul(mul(x[i], rho), p.w[i]);
            p.q[row + i] = mantissa(y, gy);
            if (p.y) p.y[row + i] = y;
        }
        if (t == 0) {
            p.scale[BLOCK_X] = gy.scale;
            p.rho[BLOCK_X] = rho;
            note(p.fault, place, !finite(s.x));
            note(p.reader, place, !finite(s.y));
        }
    }
}

// The gradient of a norm's input, and the residual's added to it.
struct NormBackward {
    const f32 *dy, *x;
    const u32 *places; // the row of x and dx that a row belongs to, or none
    const f32 *w, *rho;
    const f32 *residual; // as dx, or none; may be dx itself
    f32 *dx;
    Fault fault;
    f32 inverse;
    u32 columns;
};
KERNEL(norm_backward, NormBackward) {
    SHARED(NormShared, s);
    const u32 place = p.places ? p.places[BLOCK_X] : BLOCK_X;
    const f32 *dy = p.dy + (i64)BLOCK_X * p.columns, *x = p.x + (i64)place * p.columns;
    const i64 row = (i64)place * p.columns;
    PHASE(t) {
        if (t == 0) s.x = s.y = 0;
    }
    PHASE(t) {
        u32 of_x = 0, of_g = 0;
        for (u32 i = t; i < p.columns; i += THREADS) {
            of_x = most(of_x, magnitude(x[i]));
            of_g = most(of_g, magnitude(mul(dy[i], p.w[i])));
        }
        raise(&s.x, of_x);
        raise(&s.y, of_g);
    }
    const Grain gx = grain(s.x, 0), gg = grain(s.y, 0);
    PHASE(t) {
        i64 sum = 0;
        for (u32 i = t; i < p.columns; i += THREADS)
            sum += (i64)mantissa(mul(dy[i], p.w[i]), gg) * (i64)mantissa(x[i], gx);
        s.part[t] = sum;
    }
    const f32 sum = from_i64(total(s.part)), rho = p.rho[BLOCK_X];
    const f32 d = mul(mul(mul(sum, gg.scale), gx.scale), p.inverse);
    const f32 c = mul(mul(mul(rho, rho), rho), d);
    PHASE(t) {
        for (u32 i = t; i < p.columns; i += THREADS) {
            const f32 dx = sub(mul(mul(dy[i], p.w[i]), rho), mul(x[i], c));
            p.dx[row + i] = p.residual ? add(dx, p.residual[row + i]) : dx;
        }
        if (t == 0) note(p.fault, place, !finite(s.y));
    }
}

// Turns the heads of each row in place.
struct Rotate {
    f32 *x;
    const f32 *cosine, *sine; // [positions, pairs]
    const u32 *positions;     // [rows]
    i64 x_row;
    u32 heads, pairs, backward;
};
KERNEL(rotate, Rotate) {
    f32 *x = p.x + (i64)BLOCK_X * p.x_row;
    const i64 at = (i64)p.positions[BLOCK_X] * p.pairs;
    EACH(t) {
        for (u32 i = t; i < p.heads * p.pairs; i += THREADS) {
            const u32 j = i % p.pairs;
            f32 *u = x + (i64)(i / p.pairs) * 2 * p.pairs + j, *v = u + p.pairs;
            const f32 c = p.cosine[at + j], s = p.sine[at + j], a = *u, b = *v;
            *u = p.backward ? add(mul(a, c), mul(b, s)) : sub(mul(a, c), mul(b, s));
            *v = p.backward ? sub(mul(b, c), mul(a, s)) : add(mul(b, c), mul(a, s));
        }
    }
}

// Rows of the embedding.
struct Embed {
    const i8 *q;      // [V, columns]
    const f32 *scale; // [V]
    const u32 *tokens;
    f32 *x;
    u32 columns;
};
KERNEL(embed, Embed) {
    const i64 token = p.tokens[BLOCK_X];
    EACH(t) {
        for (u32 i = t; i < p.columns; i += THREADS)
            p.x[(i64)BLOCK_X * p.columns + i] = mul(from_i32(p.q[token * p.columns + i]), p.scale[token]);
    }
}
