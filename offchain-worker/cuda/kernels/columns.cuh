// Columns as mantissas, with a factor per row. The largest magnitudes are found first, by many blocks at once; then the
// mantissas are written, as the table lies or transposed. BLOCK_X counts stripes of 32 columns, BLOCK_Y chunks of rows,
// BLOCK_Z tables: `inner` of them for each sequence.

struct Table {
    i64 outer, inner; // elements from sequence to sequence, and from table to table within one
};
FN i64 place(const Table &table, u32 z, u32 inner) { return (z / inner) * table.outer + (z % inner) * table.inner; }

struct Columns {
    const f32 *x;
    const f32 *factor; // per row, or none
    u32 *largest;      // [tables, columns], zero at first
    i16 *q;
    f32 *scale; // [columns] per table
    i64 x_row, q_row;
    Table x_table, factor_table, q_table, scale_table;
    Fault fault; // `rows` is not used: the sequence is that of the table
    u32 rows, columns, inner, over, narrow, transposed, chunk;
};
FN f32 element(const Columns &p, const f32 *x, const f32 *factor, u32 row, u32 column) {
    const f32 value = x[row * p.x_row + column];
    return !factor ? value : p.over ? quot(value, factor[row]) : mul(value, factor[row]);
}
FN const f32 *factors(const Columns &p) { return p.factor ? p.factor + place(p.factor_table, BLOCK_Z, p.inner) : p.factor; }

KERNEL(column_largest, Columns) {
    const f32 *x = p.x + place(p.x_table, BLOCK_Z, p.inner), *factor = factors(p);
    const u32 end = least(p.rows, (BLOCK_Y + 1) * p.chunk);
    EACH(t) {
        const u32 column = BLOCK_X * 32 + t % 32;
        if (column < p.columns) {
            u32 own = 0;
            for (u32 row = BLOCK_Y * p.chunk + t / 32; row < end; row += THREADS / 32)
                own = most(own, magnitude(element(p, x, factor, row, column)));
            raise(p.largest + (i64)BLOCK_Z * p.columns + column, own);
        }
    }
}

struct Tile {
    i16 q[32][34];
};
KERNEL(column_mantissas, Columns) {
    SHARED(Tile, s);
    const f32 *x = p.x + place(p.x_table, BLOCK_Z, p.inner), *factor = factors(p);
    i16 *q = p.q + place(p.q_table, BLOCK_Z, p.inner);
    const u32 *largest = p.largest + (i64)BLOCK_Z * p.columns;
    const u32 start = BLOCK_Y * p.chunk, end = least(p.rows, start + p.chunk), step = THREADS / 32;
    for (u32 first = start; first < end; first += 32) {
        PHASE(t) {
            const u32 column = BLOCK_X * 32 + t % 32;
            if (column < p.columns) {
                const Grain g = grain(largest[column], p.narrow);
                for (u32 i = t / 32; i < 32 && first + i < end; i += step) {
                    const i16 value = mantissa(element(p, x, factor, first + i, column), g);
                    if (p.transposed) s.q[t % 32][i] = value;
                    else q[(first + i) * p.q_row + column] = value;
                }
            }
        }
        PHASE(t) {
            const u32 row = first + t % 32;
            if (p.transposed && row < end)
                for (u32 i = t / 32; i < 32 && BLOCK_X * 32 + i < p.columns; i += step)
                    q[(BLOCK_X * 32 + i) * p.q_row + row] = s.q[i][t % 32];
        }
    }
    EACH(t) {
        const u32 column = BLOCK_X * 32 + t;
        if (BLOCK_Y == 0 && t < 32 && column < p.columns) {
            p.scale[place(p.scale_table, BLOCK_Z, p.inner) + column] = grain(largest[column], p.narrow).scale;
            if (!finite(largest[column])) lower(p.fault.words + BLOCK_Z / p.inner, p.fault.code);
        }
    }
}
