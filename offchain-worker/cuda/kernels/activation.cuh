// SwiGLU with the mantissas that the next product wants. One block per row; gate and up lie side by side.

FN f32 swiglu(f32 gate, f32 up) { return mul(mul(gate, sigmoid(gate)), up); }

struct SwigluForward {
    const f32 *gate_up; // [rows, 2 inner]
    i16 *q;             // [rows, inner]
    f32 *scale;
    f32 *act; // [rows, inner], or none
    Fault fault;
    u32 inner;
};
KERNEL(swiglu_forward, SwigluForward) {
    SHARED(Largest, s);
    const f32 *gate = p.gate_up + (i64)BLOCK_X * 2 * p.inner, *up = gate + p.inner;
    const i64 row = (i64)BLOCK_X * p.inner;
    PHASE(t) {
        if (t == 0) s.magnitude = 0;
    }
    PHASE(t) {
        u32 own = 0;
        for (u32 i = t; i < p.inner; i += THREADS) own = most(own, magnitude(swiglu(gate[i], up[i])));
        raise(&s.magnitude, own);
    }
    const Grain g = grain(s.magnitude, 0);
    PHASE(t) {
        for (u32 i = t; i < p.inner; i += THREADS) {
            const f32 y = swiglu(gate[i], up[i]);
            p.q[row + i] = mantissa(y, g);
            if (p.act) p.act[row + i] = y;
        }
        if (t == 0) {
            p.scale[BLOCK_X] = g.scale;
            note(p.fault, BLOCK_X, !finite(s.magnitude));
        }
    }
}

// The gradient of gate and up, times the scales of their channels, as wide mantissas.
struct SwigluBackward {
    const f32 *gate_up; // [rows, 2 inner]
    const f32 *da;      // [rows, inner]
    const f32 *w;       // [2 inner]
    i16 *q;             // [rows, 2 inner]
    f32 *scale;
    f32 *d; // [rows, 2 inner], or none
    Fault fault;
    u32 inner;
};
struct GateUp {
    f32 gate, up;
};
FN GateUp swiglu_back(f32 gate, f32 up, f32 da) {
    const f32 s = sigmoid(gate);
    const f32 slope = mul(s, add(1.0f, mul(gate, sub(1.0f, s))));
    return GateUp{mul(mul(da, up), slope), mul(da, mul(gate, s))};
}
KERNEL(swiglu_backward, SwigluBackward) {
    SHARED(Largest, s);
    const f32 *gate = p.gate_up + (i64)BLOCK_X * 2 * p.inner, *up = gate + p.inner;
    const f32 *da = p.da + (i64)BLOCK_X * p.inner;
    const i64 row = (i64)BLOCK_X * 2 * p.inner;
    PHASE(t) {
        if (t == 0) s.magnitude = 0;
    }
    PHASE(t) {
        u32 own = 0;
        for (u32 i = t; i < p.inner; i += THREADS) {
            const GateUp d = swiglu_back(gate[i], up[i], da[i]);
            own = most(own, magnitude(mul(d.gate, p.w[i])));
            own = most(own, magnitude(mul(d.up, p.w[p.inner + i])));
        }
        raise(&s.magnitude, own);
    }
    const Grain g = grain(s.magnitude, 0);
    PHASE(t) {
        for (u32 i = t; i < p.inner; i += THREADS) {
            const GateUp d = swiglu_back(gate[i], up[i], da[i]);
            p.q[row + i] = mantissa(mul(d.gate, p.w[i]), g);
            p.q[row + p.inner + i] = mantissa(mul(d.up, p.w[p.inner + i]), g);
            if (p.d) {
                p.d[row + i] = d.gate;
                p.d[row + p.inner + i] = d.up;
            }
        }
        if (t == 0) {
            p.scale[BLOCK_X] = g.scale;
            note(p.fault, BLOCK_X, !finite(s.magnitude));
        }
    }
}
