// How a tile of an operand comes from global memory: four consecutive k's of one row (of the left operand) or column (of
// the right one) at a time, a *quad*, held in 64 bits on its way to shared memory, and cut into 8-bit slices there.
//
// A mantissa q is 128 · (q >> 7) + (q & 127): a high slice in −128..=127 and a low one in 0..=127, for wide and narrow
// mantissas alike. A frozen weight is one slice.

enum Kind { W8, W4, M16 };

struct Operand {
    const void *data;
    const u8 *multipliers; // of W4
    i64 row;               // from stored row to stored row: elements, or bytes for W4
    i64 outer, inner;      // elements from sequence to sequence, and from one to the next in a sequence
    u32 share;             // so many in a sequence have it in common
    u32 transposed;        // stored [k, row] in place of [row, k]
    u32 groups;            // multipliers in a stored row of W4
    u32 aligned;           // quads that are stored side by side may be loaded at once
};

struct Factors {
    const f32 *data; // none: all 1
    i64 outer, inner;
    u32 share, unused;
};
FN f32 factor_at(const Factors &f, i64 batch, u32 i) { return f.data ? f.data[batch + i] : 1.0f; }
FN i64 shift(const Factors &f, u32 z, u32 inner) { return (z / inner) * f.outer + (z % inner) / f.share * f.inner; }
FN i64 shift(const Operand &o, u32 z, u32 inner) { return (z / inner) * o.outer + (z % inner) / o.share * o.inner; }

FN i32 nibble_at(const Operand &o, i64 row, u32 at) {
    const i32 byte = ((const u8 *)o.data)[row * o.row + at / 2];
    const i32 multiplier = o.multipliers[row * o.groups + at / AX_GROUP];
    return (((byte >> (4 * (at % 2))) & 15) - 8) * multiplier;
}

// One value, as the low bits of what a quad holds of it.
template <int KIND> FN u32 value_at(const Operand &o, i64 batch, u32 row, u32 k) {
    const i64 first = o.transposed ? k : row;
    const u32 at = o.transposed ? row : k;
    if (KIND == W4) return (u32)nibble_at(o, first, at) & 255;
    const i64 index = batch + first * o.row + at;
    return KIND == W8 ? (u32)((const u8 *)o.data)[index] : (u32)(((const i16 *)o.data)[index]) & 0xFFFF;
}

// The quad of k..k + 4 of `row`; zeros beyond `rows` and `depth`.
template <int KIND> FN u64 quad(const Operand &o, i64 batch, u32 row, u32 k, u32 rows, u32 depth) {
    if (row >= rows || k >= depth) return 0;
    if (o.aligned && !o.transposed && k + 4 <= depth) {
        const i64 index = batch + row * o.row + k;
        if (KIND == M16) return load_u64((const i16 *)o.data + index);
        if (KIND == W8) return load_u32((const i8 *)o.data + index);
    }
    // A group of W4 holds whole quads.
    if (KIND == W4 && !o.transposed && k + 4 <= depth) {
        const u8 *at = (const u8 *)o.data + row * o.row + k / 2;
        const i32 multiplier = o.multipliers[(i64)row * o.groups + k / AX_GROUP], packed = at[0] | at[1] << 8;
        u32 all = 0;
        UNROLL
        for (u32 i = 0; i < 4; ++i) all |= ((u32)((((packed >> (4 * i)) & 15) - 8) * multiplier) & 255) << (8 * i);
        return all;
    }
    u64 all = 0;
    UNROLL
    for (u32 i = 0; i < 4; ++i)
        if (k + i < depth) all |= (u64)value_at<KIND>(o, batch, row, k + i) << ((KIND == M16 ? 16 : 8) * i);
    return all;
}

// The slices of four mantissas.
FN u32 high_slice(u64 quad) {
    const u32 a = (u32)quad, b = (u32)(quad >> 32);
    return even_bytes(a >> 7, b >> 7);
}
FN u32 low_slice(u64 quad) {
    const u32 a = (u32)quad, b = (u32)(quad >> 32);
    return even_bytes(a & 0x007F007Fu, b & 0x007F007Fu);
}
