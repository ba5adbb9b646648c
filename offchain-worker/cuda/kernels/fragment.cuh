// One step of the tensor cores: c += a · bᵀ with a [16 rows, 32 k's], b [8 columns, 32 k's] of 8-bit integers, c [16, 8] of
// 32-bit ones, spread over the 32 lanes of a warp ("Matrix fragments for mma.m16n8k32" of the PTX manual).
//
// The one idea: where a lane's registers lie is said once, by the index functions here. They fill the fragments, they say
// which output a lane owns, on a GPU and on the host; and the host's stand-in for the instruction is written from the
// manual's own formulas, so that the two are checked against each other without a GPU. Four 8-bit values share a register:
// four consecutive k's, the first lowest. `word` counts such fours.

// Register `i` of 4 of a.
FN u32 a_row(u32 lane, u32 i) { return lane / 4 + 8 * (i % 2); }
FN u32 a_word(u32 lane, u32 i) { return lane % 4 + 4 * (i / 2); }
// Register `i` of 2 of b.
FN u32 b_column(u32 lane) { return lane / 4; }
FN u32 b_word(u32 lane, u32 i) { return lane % 4 + 4 * i; }
// Register `i` of 4 of c.
FN u32 c_row(u32 lane, u32 i) { return lane / 4 + 8 * (i / 2); }
FN u32 c_column(u32 lane, u32 i) { return 2 * (lane % 4) + i % 2; }

#if defined(__CUDACC_RTC__)

// c + Σ a_i b_i over four pairs of 8-bit integers.
FN i32 dp4a(u32 a, u32 b, i32 c) { return __dp4a((i32)a, (i32)b, c); }

#if __CUDA_ARCH__ >= 800
FN void mma(i32 *c, const u32 *a, const u32 *b) {
    asm volatile("mma.sync.aligned.m16n8k32.row.col.s32.s8.s8.s32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
                 : "+r"(c[0]), "+r"(c[1]), "+r"(c[2]), "+r"(c[3])
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}
#else
// Turing's step is a quarter of it: 8 rows, 16 k's.
FN void quarter(i32 *c, u32 a, u32 b) {
    asm volatile("mma.sync.aligned.m8n8k16.row.col.s32.s8.s8.s32 {%0,%1}, {%2}, {%3}, {%0,%1};"
                 : "+r"(c[0]), "+r"(c[1])
                 : "r"(a), "r"(b));
}
FN void mma(i32 *c, const u32 *a, const u32 *b) {
    quarter(c, a[0], b[0]);
    quarter(c, a[2], b[1]);
    quarter(c + 2, a[1], b[0]);
    quarter(c + 2, a[3], b[1]);
}
#endif

#else

FN i32 byte_of(u32 word, u32 i) { return (i8)(word >> (8 * i)); }
FN i32 dp4a(u32 a, u32 b, i32 c) {
    for (u32 i = 0; i < 4; ++i) c += byte_of(a, i) * byte_of(b, i);
    return c;
}

// The registers of 32 lanes; see the manual for the formulas: `group` is its groupID, `member` its threadID_in_group, and
// the index of a value counts the 8-bit values of a lane.
struct HostStep {
    i8 a[16][32], b[8][32];
    i32 c[16][8];
};
FN void host_mma(i32 *const *c, const u32 *const *a, const u32 *const *b) {
    HostStep s;
    for (u32 lane = 0; lane < 32; ++lane) {
        const u32 group = lane >> 2, member = lane & 3;
        for (u32 i = 0; i < 16; ++i) {
            const u32 row = i < 4 || (i >= 8 && i < 12) ? group : group + 8;
            const u32 column = member * 4 + (i & 3) + (i >= 8 ? 16 : 0);
            s.a[row][column] = (i8)byte_of(a[lane][i / 4], i % 4);
        }
        for (u32 i = 0; i < 8; ++i)
            s.b[group][member * 4 + (i & 3) + (i >= 4 ? 16 : 0)] = (i8)byte_of(b[lane][i / 4], i % 4);
        for (u32 i = 0; i < 4; ++i) s.c[i < 2 ? group : group + 8][member * 2 + (i & 1)] = c[lane][i];
    }
    for (u32 row = 0; row < 16; ++row)
        for (u32 column = 0; column < 8; ++column)
            for (u32 k = 0; k < 32; ++k) s.c[row][column] += (i32)s.a[row][k] * (i32)s.b[column][k];
    for (u32 lane = 0; lane < 32; ++lane)
        for (u32 i = 0; i < 4; ++i) c[lane][i] = s.c[(lane >> 2) + (i < 2 ? 0 : 8)][(lane & 3) * 2 + (i & 1)];
}

#endif
