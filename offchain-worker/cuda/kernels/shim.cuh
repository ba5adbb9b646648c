// One text, two compilers: NVRTC makes kernels for a GPU of it, a host compiler plain functions for the tests.
//
// The one idea: **a kernel is a list of phases**. A phase is what all threads of a block do up to the next barrier; on a
// GPU it is run once by each thread, on the host it is a loop over the threads. So:
//
//   KERNEL(name, Params)    begins a kernel; its one argument is `p`, a plain struct.
//   PHASE(t) { ... }        every thread `t` of the block runs this, then all wait for each other.
//   EACH(t) { ... }         the same without the waiting, for what touches nothing of another thread.
//   SHARED(Type, name)      memory of the block, of undefined content.
//   PER_THREAD(Type, name)  memory of each thread that outlives a phase; `MINE(name, t)` is the thread's own.
//   BLOCK_X, BLOCK_Y, BLOCK_Z, THREADS    which block this is, and its number of threads.
//
// Code between phases is run by every thread with the same values: it may depend on parameters, on the block and on shared
// memory that the next phase does not write. `break` and `return` out of a phase are not allowed, `continue` is. Functions may hold
// phases if all threads call them.
//
// Reals only meet through the functions below: one IEEE-754 operation each, rounded to nearest, never contracted.

typedef signed char i8;
typedef unsigned char u8;
typedef short i16;
typedef int i32;
typedef unsigned int u32;
typedef long long i64;
typedef unsigned long long u64;
typedef float f32;

#if defined(__CUDACC_RTC__)

#define FN static __device__ __forceinline__
#define KERNEL(name, Params) extern "C" __global__ void __launch_bounds__(AX_MAX_THREADS) name(const __grid_constant__ Params p)
#define SHARED(Type, name) __shared__ Type name
#define PER_THREAD(Type, name) Type name[1]
#define MINE(name, t) name[0]
#define BARRIER() __syncthreads()
#define EACH(t) for (u32 t = threadIdx.x, more_ = 1; (void)t, more_; more_ = 0)
#define PHASE(t) for (u32 t = threadIdx.x, more_ = 1; (void)t, more_; more_ = 0, __syncthreads())
#define UNROLL _Pragma("unroll")
#define ROLL _Pragma("unroll 1")
#define BLOCK_X blockIdx.x
#define BLOCK_Y blockIdx.y
#define BLOCK_Z blockIdx.z
#define GRID_X gridDim.x
#define THREADS blockDim.x

FN f32 add(f32 a, f32 b) { return __fadd_rn(a, b); }
FN f32 sub(f32 a, f32 b) { return __fsub_rn(a, b); }
FN f32 mul(f32 a, f32 b) { return __fmul_rn(a, b); }
FN f32 quot(f32 a, f32 b) { return __fdiv_rn(a, b); }
FN f32 root(f32 a) { return __fsqrt_rn(a); }
FN f32 from_i32(i32 i) { return __int2float_rn(i); }
FN f32 from_i64(i64 i) { return __ll2float_rn(i); }
FN i32 to_i32(f32 x) { return __float2int_rn(x); }
FN i64 to_i64(f32 x) { return __float2ll_rn(x); }
FN u32 bits(f32 x) { return __float_as_uint(x); }
FN f32 real(u32 b) { return __uint_as_float(b); }

FN void raise(u32 *at, u32 value) { atomicMax(at, value); }
FN void raise_signed(i32 *at, i32 value) { atomicMax(at, value); }
FN void lower(u32 *at, u32 value) { atomicMin(at, value); }
FN void gain(u64 *at, u64 value) { atomicAdd(at, value); }

// Aligned loads of several values.
FN u32 load_u32(const void *at) { return *(const u32 *)at; }
FN u64 load_u64(const void *at) { return *(const u64 *)at; }
// Bytes 0 and 2 of `a`, then those of `b`.
FN u32 even_bytes(u32 a, u32 b) { return __byte_perm(a, b, 0x6420); }

#else

#define FN static inline
#define KERNEL(name, Params)                                                                                           \
    static void name##_block(const Params &p);                                                                         \
    extern "C" void shim_##name(const u32 *grid, u32 threads, const void *params) {                                    \
        Params p;                                                                                                      \
        __builtin_memcpy(&p, params, sizeof p);                                                                        \
        host_launch(grid, threads, p, name##_block);                                                                   \
    }                                                                                                                  \
    extern "C" u64 shim_size_##name() { return sizeof(Params); }                                                       \
    static void name##_block(const Params &p)
// What was there before is made unlikely to pass for zeros.
#define SHARED(Type, name)                                                                                             \
    static thread_local Type name;                                                                                     \
    __builtin_memset((void *)&name, 0xA5, sizeof name)
#define PER_THREAD(Type, name) static thread_local Type name[AX_MAX_THREADS]
#define MINE(name, t) name[t]
#define BARRIER()
#define EACH(t) for (u32 t = 0; t < host_block.threads; ++t)
#define PHASE(t) EACH(t)
#define UNROLL
#define ROLL
#define BLOCK_X host_block.x
#define BLOCK_Y host_block.y
#define BLOCK_Z host_block.z
#define GRID_X host_block.width
#define THREADS host_block.threads

struct HostBlock {
    u32 x, y, z, width, threads;
};
static thread_local HostBlock host_block;

template <class P> static void host_launch(const u32 *grid, u32 threads, const P &p, void (*block)(const P &)) {
    for (u32 z = 0; z < grid[2]; ++z)
        for (u32 y = 0; y < grid[1]; ++y)
            for (u32 x = 0; x < grid[0]; ++x) {
                host_block = HostBlock{x, y, z, grid[0], threads};
                block(p);
            }
}

FN f32 add(f32 a, f32 b) { return a + b; }
FN f32 sub(f32 a, f32 b) { return a - b; }
FN f32 mul(f32 a, f32 b) { return a * b; }
FN f32 quot(f32 a, f32 b) { return a / b; }
FN f32 root(f32 a) { return __builtin_sqrtf(a); }
FN f32 from_i32(i32 i) { return (f32)i; }
FN f32 from_i64(i64 i) { return (f32)i; }
FN u32 bits(f32 x) {
    u32 b;
    __builtin_memcpy(&b, &x, sizeof b);
    return b;
}
FN f32 real(u32 b) {
    f32 x;
    __builtin_memcpy(&x, &b, sizeof x);
    return x;
}
// To nearest, ties to even; beyond the range it saturates, as the GPU's conversion does.
FN i64 to_i64(f32 x) {
    if (x != x) return (i64)0x8000000000000000ull;
    if (x >= 9223372036854775808.0f) return 0x7FFFFFFFFFFFFFFFll;
    if (x <= -9223372036854775808.0f) return (i64)0x8000000000000000ull;
    const i64 low = (i64)x;
    if (x >= 8388608.0f || x <= -8388608.0f) return low;
    const f32 rest = x < (f32)low ? (f32)low - x : x - (f32)low;
    if (rest > 0.5f || (rest == 0.5f && low % 2 != 0)) return x < 0.0f ? low - 1 : low + 1;
    return low;
}
FN i32 to_i32(f32 x) {
    if (x != x) return 0;
    const i64 wide = to_i64(x);
    return wide > 2147483647 ? 2147483647 : wide < -2147483647 - 1 ? -2147483647 - 1 : (i32)wide;
}

FN void raise(u32 *at, u32 value) { *at = *at > value ? *at : value; }
FN void raise_signed(i32 *at, i32 value) { *at = *at > value ? *at : value; }
FN void lower(u32 *at, u32 value) { *at = *at < value ? *at : value; }
FN void gain(u64 *at, u64 value) { *at += value; }

FN u32 load_u32(const void *at) {
    u32 v;
    __builtin_memcpy(&v, at, sizeof v);
    return v;
}
FN u64 load_u64(const void *at) {
    u64 v;
    __builtin_memcpy(&v, at, sizeof v);
    return v;
}
FN u32 even_bytes(u32 a, u32 b) {
    return (a & 255) | ((a >> 16) & 255) << 8 | (b & 255) << 16 | ((b >> 16) & 255) << 24;
}

#endif

FN u32 least(u32 a, u32 b) { return a < b ? a : b; }
FN u32 most(u32 a, u32 b) { return a > b ? a : b; }
