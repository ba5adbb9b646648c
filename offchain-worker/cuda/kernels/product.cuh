// Products of integers with scales: the sums of `attune-kernels`' product, and its epilogue to the letter.
//
//   sum[m][n] = Σ_k left[m][k] · right[n][k]                   exactly
//   y = RN(sum) · (row_scale[m] · column_scale[n])             or  (RN(sum) · row_scale[m]) / divisor[n]
//   y = y · constant,  y + bias[n],  y + second products,  residual[m][n] + y,  out + y      where there is such a thing
//
// A block makes a tile of 128 rows by 64 columns, 64 k's at a time. Its warps stand 4 by 2 over it, each with 32 by 32
// outputs: 2 by 4 fragments. Sums are those of slices, in 32 bits: with M16 on the right, high·high, both mixed ones
// together, low·low; with a weight on the right, high and low. A mixed sum grows by at most 2·128·127 a step, so 65,536
// steps fit; a deeper product (`DEEP`) empties its sums into 64 bits in time.
//
// A second product is narrow by narrow: high slices are in -16..=15, low ones in 0..=127, so 128 · high·high + mixed fits
// 32 bits, as low·low does, up to 32,768 deep (36,832 and 16,129 a step). Those two are kept, and joined in 64 bits: exact
// for any rank that there is, in one register more for each output than a sum of 32 bits.

#define TILE_ROWS 128u
#define TILE_COLUMNS 64u
#define TILE_DEPTH 64u
#define TILE_WORDS (TILE_DEPTH / 4)
#define PITCH 20u // words from row to row in shared memory: 8 rows of 4 words fall on 32 different banks
#define PRODUCT_THREADS 256u
#define SPILL 65536u
#define SECONDS 3

enum Flag { TRANSPOSED = 1, ACCUMULATE = 2, DIVIDE = 4, CONSTANT = 8 };
// What a causal mask lets a tile leave out, rows being queries, columns keys; or depth being one of them.
enum Causal { EVERYTHING, TILES_OF_THE_PAST, DEPTH_UP_TO_ROWS, DEPTH_FROM_COLUMNS };

struct Second {
    Operand left, right; // of `right`, row 0 is column `from`
    Factors rows, columns;
    u32 from, to, depth, unused;
};
struct Product {
    Operand left, right;
    Factors row_scale, column_scale;
    const f32 *bias;
    const f32 *residual;
    f32 *out;
    i64 residual_row, out_row, out_outer, out_inner;
    Second second[SECONDS];
    u32 seconds, rows, columns, depth, inner, flags, causal;
    f32 constant;
};

struct Slices {
    u32 left[2][TILE_ROWS][PITCH];
    u32 right[2][TILE_COLUMNS][PITCH];
};
struct Staged {
    u64 left[TILE_ROWS * TILE_WORDS / PRODUCT_THREADS];
    u64 right[TILE_COLUMNS * TILE_WORDS / PRODUCT_THREADS];
};
// A lane's part of 2 by 4 fragments.
template <class T> struct Spread {
    T v[2][4][4];
};
template <int SETS> struct Sums {
    Spread<i32> set[SETS];
};
struct Fragments {
    u32 a[2][2][4]; // [slice][fragment][register]
    u32 b[2][4][2];
};

// Which row and column of the tile output (i, j, c) of a thread is.
FN u32 tile_row(u32 t, u32 i, u32 c) { return t / 32 % 4 * 32 + i * 16 + c_row(t % 32, c); }
FN u32 tile_column(u32 t, u32 j, u32 c) { return t / 128 * 32 + j * 8 + c_column(t % 32, c); }

// Quad `unit` of a tile of `count` rows: neighbours lie side by side in memory.
FN u32 unit_row(const Operand &o, u32 unit, u32 count) { return o.transposed ? unit % count : unit / TILE_WORDS; }
FN u32 unit_word(const Operand &o, u32 unit, u32 count) { return o.transposed ? unit / count : unit % TILE_WORDS; }

// Whether any output of a thread's warp is one of the product's: a low rank leaves most warps without.
struct Extent {
    u32 rows, columns; // from the tile's first on
};
FN bool busy(const Extent &extent, u32 t) { return t / 32 % 4 * 32 < extent.rows && t / 128 * 32 < extent.columns; }

struct Place {
    u32 row, column; // of the tile
    Extent extent;
    u32 rows, columns, depth;
    i64 left, right; // of the batch
};

template <int KIND>
FN void fetch(Staged &staged, const Operand &left, const Operand &right, const Place &at, u32 first, u32 k, u32 t) {
    UNROLL
    for (u32 i = 0; i < TILE_ROWS * TILE_WORDS / PRODUCT_THREADS; ++i) {
        const u32 unit = i * PRODUCT_THREADS + t;
        const u32 row = at.row + unit_row(left, unit, TILE_ROWS), word = unit_word(left, unit, TILE_ROWS);
        staged.left[i] = quad<M16>(left, at.left, row, k + 4 * word, at.rows, at.depth);
    }
    UNROLL
    for (u32 i = 0; i < TILE_COLUMNS * TILE_WORDS / PRODUCT_THREADS; ++i) {
        const u32 unit = i * PRODUCT_THREADS + t;
        const u32 column = at.column + unit_row(right, unit, TILE_COLUMNS), word = unit_word(right, unit, TILE_COLUMNS);
        // Columns below `first` are not the operand's: beyond all.
        const u32 own = column < first ? at.columns : column - first;
        staged.right[i] = quad<KIND>(right, at.right, own, k + 4 * word, at.columns, at.depth);
    }
}

template <int KIND>
FN void put(Slices &s, const Staged &staged, const Operand &left, const Operand &right, u32 t) {
    UNROLL
    for (u32 i = 0; i < TILE_ROWS * TILE_WORDS / PRODUCT_THREADS; ++i) {
        const u32 unit = i * PRODUCT_THREADS + t;
        const u32 row = unit_row(left, unit, TILE_ROWS), word = unit_word(left, unit, TILE_ROWS);
        s.left[0][row][word] = high_slice(staged.left[i]);
        s.left[1][row][word] = low_slice(staged.left[i]);
    }
    UNROLL
    for (u32 i = 0; i < TILE_COLUMNS * TILE_WORDS / PRODUCT_THREADS; ++i) {
        const u32 unit = i * PRODUCT_THREADS + t;
        const u32 column = unit_row(right, unit, TILE_COLUMNS), word = unit_word(right, unit, TILE_COLUMNS);
        s.right[0][column][word] = KIND == M16 ? high_slice(staged.right[i]) : (u32)staged.right[i];
        if (KIND == M16) s.right[1][column][word] = low_slice(staged.right[i]);
    }
}

// The fragments of a thread for 32 k's from word `word` on.
template <int SLICES> FN void gather(Fragments &f, const Slices &s, u32 word, u32 t) {
    const u32 lane = t % 32, row = t / 32 % 4 * 32, column = t / 128 * 32;
    UNROLL
    for (u32 slice = 0; slice < 2; ++slice) {
        UNROLL
        for (u32 i = 0; i < 2; ++i) {
            UNROLL
            for (u32 r = 0; r < 4; ++r)
                f.a[slice][i][r] = s.left[slice][row + i * 16 + a_row(lane, r)][word + a_word(lane, r)];
        }
        if (slice < SLICES) {
            UNROLL
            for (u32 j = 0; j < 4; ++j) {
                UNROLL
                for (u32 r = 0; r < 2; ++r)
                    f.b[slice][j][r] = s.right[slice][column + j * 8 + b_column(lane)][word + b_word(lane, r)];
            }
        }
    }
}

// set += left slice · right slice, for all fragments of all warps.
template <int SETS>
FN void tensor(Sums<SETS> *sums, const Fragments *f, const Extent &extent, u32 set, u32 left, u32 right) {
#if defined(__CUDACC_RTC__)
    if (!busy(extent, threadIdx.x)) return;
    UNROLL
    for (u32 i = 0; i < 2; ++i) {
        UNROLL
        for (u32 j = 0; j < 4; ++j) mma(sums->set[set].v[i][j], f->a[left][i], f->b[right][j]);
    }
#else
    for (u32 warp = 0; warp < THREADS; warp += 32)
        for (u32 i = 0; i < 2; ++i)
            for (u32 j = 0; j < 4 && busy(extent, warp); ++j) {
                i32 *c[32];
                const u32 *a[32], *b[32];
                for (u32 lane = 0; lane < 32; ++lane) {
                    c[lane] = sums[warp + lane].set[set].v[i][j];
                    a[lane] = f[warp + lane].a[left][i];
                    b[lane] = f[warp + lane].b[right][j];
                }
                host_mma(c, a, b);
            }
#endif
}

// The same by dp4a, for one thread, over a whole tile.
FN void plain(Spread<i32> &sums, const Slices &s, u32 left, u32 right, u32 t) {
    ROLL
    for (u32 word = 0; word < TILE_WORDS; ++word) {
        UNROLL
        for (u32 i = 0; i < 2; ++i) {
            UNROLL
            for (u32 j = 0; j < 4; ++j) {
                UNROLL
                for (u32 c = 0; c < 4; ++c) {
                    i32 &sum = sums.v[i][j][c];
                    sum = dp4a(s.left[left][tile_row(t, i, c)][word], s.right[right][tile_column(t, j, c)][word], sum);
                }
            }
        }
    }
}

// One more tile of k's. Bit 0, 1, 2 of `which`: the high, mixed and low sums. M16 keeps them in a set each; of two sets, the
// first is for high and mixed. A weight has no mixed ones.
template <int KIND, bool MMA, int SETS>
FN void multiply(Sums<SETS> *sums, const Slices &s, const Extent &extent, u32 which) {
    const u32 mixed = SETS > 2 ? 1 : 0, low = SETS - 1;
    if (MMA) {
        PER_THREAD(Fragments, f);
        for (u32 word = 0; word < TILE_WORDS; word += 8) {
            EACH(t) {
                if (busy(extent, t)) gather<KIND == M16 ? 2 : 1>(MINE(f, t), s, word, t);
            }
            if (which & 1) tensor(sums, f, extent, 0, 0, 0);
            if (KIND == M16 && (which & 2)) tensor(sums, f, extent, mixed, 0, 1);
            if (KIND == M16 && (which & 2)) tensor(sums, f, extent, mixed, 1, 0);
            if (which & 4) tensor(sums, f, extent, low, 1, KIND == M16 ? 1 : 0);
        }
    } else {
        EACH(t) {
            if (!busy(extent, t)) continue;
            if (which & 1) plain(MINE(sums, t).set[0], s, 0, 0, t);
            if (KIND == M16 && (which & 2)) plain(MINE(sums, t).set[mixed], s, 0, 1, t);
            if (KIND == M16 && (which & 2)) plain(MINE(sums, t).set[mixed], s, 1, 0, t);
            if (which & 4) plain(MINE(sums, t).set[low], s, 1, KIND == M16 ? 1 : 0, t);
        }
    }
}

#define OUTPUTS(i, j, c)                                                                                               \
    UNROLL                                                                                                             \
    for (u32 i = 0; i < 2; ++i)                                                                                        \
        UNROLL for (u32 j = 0; j < 4; ++j) UNROLL for (u32 c = 0; c < 4; ++c)

FN i64 joined(const Sums<2> &sums, u32 i, u32 j, u32 c) {
    return (i64)sums.set[0].v[i][j][c] * 128 + sums.set[1].v[i][j][c];
}
FN i64 joined(const Sums<3> &sums, u32 i, u32 j, u32 c) {
    return (i64)sums.set[0].v[i][j][c] * 16384 + (i64)sums.set[1].v[i][j][c] * 128 + sums.set[2].v[i][j][c];
}
template <int SETS> FN void clear(Sums<SETS> &sums) {
    UNROLL
    for (u32 set = 0; set < SETS; ++set) {
        OUTPUTS(i, j, c) sums.set[set].v[i][j][c] = 0;
    }
}

// y = RN(sum) with its scales, from k `from` to `at.depth`.
template <int KIND, bool DEEP, bool MMA>
FN void first_product(const Product &p, Slices &s, Spread<f32> *y, const Place &at, u32 from) {
    constexpr int SETS = KIND == M16 ? 3 : 2;
    PER_THREAD(Sums<SETS>, sums);
    PER_THREAD(Staged, staged);
    PER_THREAD(Spread<i64>, deep);
    EACH(t) {
        clear(MINE(sums, t));
        if (DEEP) {
            OUTPUTS(i, j, c) MINE(deep, t).v[i][j][c] = 0;
        }
        fetch<KIND>(MINE(staged, t), p.left, p.right, at, 0, from, t);
    }
    u32 since = 0;
    for (u32 k = from; k < at.depth; k += TILE_DEPTH) {
        PHASE(t) put<KIND>(s, MINE(staged, t), p.left, p.right, t);
        EACH(t) {
            if (k + TILE_DEPTH < at.depth) fetch<KIND>(MINE(staged, t), p.left, p.right, at, 0, k + TILE_DEPTH, t);
        }
        multiply<KIND, MMA>(sums, s, at.extent, 7);
        BARRIER();
        since += TILE_DEPTH;
        if (DEEP && since == SPILL) {
            since = 0;
            EACH(t) {
                OUTPUTS(i, j, c) MINE(deep, t).v[i][j][c] += joined(MINE(sums, t), i, j, c);
                clear(MINE(sums, t));
            }
        }
    }
    const i64 rows = shift(p.row_scale, BLOCK_Z, p.inner), columns = shift(p.column_scale, BLOCK_Z, p.inner);
    EACH(t) {
        OUTPUTS(i, j, c) {
            const u32 m = at.row + tile_row(t, i, c), n = at.column + tile_column(t, j, c);
            if (m < p.rows && n < p.columns) {
                const i64 sum = joined(MINE(sums, t), i, j, c) + (DEEP ? MINE(deep, t).v[i][j][c] : 0);
                const f32 row = factor_at(p.row_scale, rows, m), column = factor_at(p.column_scale, columns, n);
                f32 x = from_i64(sum);
                x = p.flags & DIVIDE ? quot(mul(x, row), column) : mul(x, mul(row, column));
                if (p.flags & CONSTANT) x = mul(x, p.constant);
                MINE(y, t).v[i][j][c] = p.bias ? add(x, p.bias[n]) : x;
            }
        }
    }
}

template <bool MMA> FN void second_product(const Product &p, const Second &second, Slices &s, Spread<f32> *y, Place at) {
    PER_THREAD(Sums<2>, sums);
    PER_THREAD(Staged, staged);
    const i64 rows = shift(second.rows, BLOCK_Z, p.inner), columns = shift(second.columns, BLOCK_Z, p.inner);
    at.left = shift(second.left, BLOCK_Z, p.inner);
    at.right = shift(second.right, BLOCK_Z, p.inner);
    at.columns = second.to - second.from;
    at.depth = second.depth;
    EACH(t) clear(MINE(sums, t));
    // High and low first, then the high ones count 128 and the mixed are added to them.
    ROLL
    for (u32 pass = 0; pass < 2; ++pass) {
        if (pass) {
            EACH(t) {
                OUTPUTS(i, j, c) MINE(sums, t).set[0].v[i][j][c] *= 128;
            }
        }
        for (u32 k = 0; k < second.depth; k += TILE_DEPTH) {
            if (!pass || second.depth > TILE_DEPTH) {
                EACH(t) fetch<M16>(MINE(staged, t), second.left, second.right, at, second.from, k, t);
                PHASE(t) put<M16>(s, MINE(staged, t), second.left, second.right, t);
            }
            multiply<M16, MMA>(sums, s, at.extent, pass ? 2 : 5);
            BARRIER();
        }
    }
    EACH(t) {
        OUTPUTS(i, j, c) {
            const u32 m = at.row + tile_row(t, i, c), n = at.column + tile_column(t, j, c);
            if (m < p.rows && second.from <= n && n < second.to) {
                const f32 row = factor_at(second.rows, rows, m);
                const f32 column = factor_at(second.columns, columns, n - second.from);
                const f32 x = mul(from_i64(joined(MINE(sums, t), i, j, c)), mul(row, column));
                MINE(y, t).v[i][j][c] = add(MINE(y, t).v[i][j][c], x);
            }
        }
    }
}

FN void store(const Product &p, const Spread<f32> &y, const Place &at, u32 t) {
    f32 *out = p.out + (BLOCK_Z / p.inner) * p.out_outer + (BLOCK_Z % p.inner) * p.out_inner;
    OUTPUTS(i, j, c) {
        const u32 m = at.row + tile_row(t, i, c), n = at.column + tile_column(t, j, c);
        if (m < p.rows && n < p.columns) {
            f32 x = y.v[i][j][c];
            if (p.residual) x = add(p.residual[m * p.residual_row + n], x);
            f32 *to = out + (p.flags & TRANSPOSED ? n * p.out_row + m : m * p.out_row + n);
            *to = p.flags & ACCUMULATE ? add(*to, x) : x;
        }
    }
}

template <int KIND, bool DEEP, bool MMA> FN void product(const Product &p) {
    SHARED(Slices, s);
    PER_THREAD(Spread<f32>, y);
    Place at{BLOCK_X * TILE_ROWS, BLOCK_Y * TILE_COLUMNS, {}, p.rows, p.columns, p.depth, 0, 0};
    at.extent = Extent{p.rows - at.row, p.columns - at.column};
    at.left = shift(p.left, BLOCK_Z, p.inner);
    at.right = shift(p.right, BLOCK_Z, p.inner);
    u32 from = 0;
    if (p.causal == TILES_OF_THE_PAST && at.column >= at.row + TILE_ROWS) return;
    if (p.causal == DEPTH_UP_TO_ROWS) at.depth = least(p.depth, at.row + TILE_ROWS);
    if (p.causal == DEPTH_FROM_COLUMNS) from = least(p.depth, at.column);
    first_product<KIND, DEEP, MMA>(p, s, y, at, from);
    for (u32 i = 0; i < p.seconds; ++i) {
        const Second &second = p.second[i];
        if (second.from < at.column + TILE_COLUMNS && at.column < second.to) second_product<MMA>(p, second, s, y, at);
    }
    EACH(t) store(p, MINE(y, t), at, t);
}

// What is deeper than SPILL and rare takes the plain ones, which are always `DEEP`.
KERNEL(product_w8, Product) { product<W8, false, true>(p); }
KERNEL(product_w4, Product) { product<W4, false, true>(p); }
KERNEL(product_m16, Product) { product<M16, false, true>(p); }
KERNEL(product_w8_deep, Product) { product<W8, true, true>(p); }
KERNEL(product_w8_dp4a, Product) { product<W8, true, false>(p); }
KERNEL(product_w4_dp4a, Product) { product<W4, true, false>(p); }
KERNEL(product_m16_dp4a, Product) { product<M16, true, false>(p); }
