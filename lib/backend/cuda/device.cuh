/* What all kernels share: the two ways in which they are compiled, sums over
 * warps and blocks, loads of four.
 *
 * The kernels are CUDA C++ in two spellings of its own: DK_LAUNCH and
 * DK_DYN_SHARED.  With DK_CUEMU they are plain C++, run by tests/cuemu/cuemu.h;
 * so nothing here may change its meaning with __CUDA_ARCH__. */
#ifndef DK_BACKEND_CUDA_DEVICE_CUH
#define DK_BACKEND_CUDA_DEVICE_CUH

#include <stddef.h>
#include <stdint.h>

#ifdef DK_CUEMU
#include "cuemu.h"
#define DK_UNROLL
#define DK_DYN_SHARED(T, name) T *name = reinterpret_cast<T *>(emu::dyn)
#define DK_LAUNCH(kernel, grid, block, shared, stream, ...) \
    ((void)(stream), emu::launch(grid, block, shared, [&] { kernel(__VA_ARGS__); }))
template <class K> static int dk_allow_shared(K *, size_t) { return 0; }
#else
#include <cuda_runtime.h>
#define DK_UNROLL _Pragma("unroll")
#define DK_DYN_SHARED(T, name) extern __shared__ __align__(16) unsigned char dk_dyn_shared[]; \
    T *name = reinterpret_cast<T *>(dk_dyn_shared)
#define DK_LAUNCH(kernel, grid, block, shared, stream, ...) \
    (kernel<<<(grid), (block), (shared), (cudaStream_t)(stream)>>>(__VA_ARGS__), (int)cudaGetLastError())
/* More than 48 KB of shared memory has to be asked for. */
template <class K> static int dk_allow_shared(K *kernel, size_t bytes)
{
    return bytes <= 48 << 10 ? 0 : (int)cudaFuncSetAttribute((const void *)kernel,
                                        cudaFuncAttributeMaxDynamicSharedMemorySize, (int)bytes);
}
#endif

#include "backend/cuda/kernels.h"

#define DK_DEVICE __device__ static __forceinline__
#define DK_ALL_LANES 0xffffffffu
#define DK_INVALID_VALUE 1          /* cudaErrorInvalidValue */

static inline unsigned dk_blocks(size_t n, size_t each) { return (unsigned)((n + each - 1) / each); }

/* Rows that a kernel's grid.y walks over in steps of its size. */
static inline unsigned dk_grid_y(size_t n) { return (unsigned)(n < 65535 ? n : 65535); }

static inline bool dk_fours(const void *p) { return p == NULL || (uintptr_t)p % 16 == 0; }

DK_DEVICE float dk_inf() { return __uint_as_float(0x7f800000u); }
DK_DEVICE float dk_nan() { return __uint_as_float(0x7fc00000u); }
DK_DEVICE bool dk_finite(float x) { return (__float_as_uint(x) & 0x7f800000u) != 0x7f800000u; }
template <class T> DK_DEVICE T dk_min(T a, T b) { return a < b ? a : b; }
template <class T> DK_DEVICE T dk_max(T a, T b) { return a > b ? a : b; }

/* Four values from p[i] on: at once where vec says that all fours of the array
 * are whole and aligned, else one by one, fill behind the n-th.  The same values
 * in the same lanes, so sums do not depend on it. */
struct dk_four { float v[4]; };

DK_DEVICE dk_four dk_load4(const float *p, size_t i, size_t n, bool vec, float fill)
{
    dk_four r;

    if (vec) {
        const float4 f = *reinterpret_cast<const float4 *>(p + i);

        r.v[0] = f.x;
        r.v[1] = f.y;
        r.v[2] = f.z;
        r.v[3] = f.w;
    } else {
        DK_UNROLL
        for (int u = 0; u < 4; u++)
            r.v[u] = i + u < n ? p[i + u] : fill;
    }
    return r;
}

DK_DEVICE void dk_store4(float *p, size_t i, size_t n, bool vec, const dk_four &r)
{
    if (vec) {
        *reinterpret_cast<float4 *>(p + i) = make_float4(r.v[0], r.v[1], r.v[2], r.v[3]);
    } else {
        DK_UNROLL
        for (int u = 0; u < 4; u++)
            if (i + u < n)
                p[i + u] = r.v[u];
    }
}

/* The sum over a warp, in all its lanes. */
template <class T> DK_DEVICE T dk_warp_sum(T v)
{
    DK_UNROLL
    for (int d = 16; d; d /= 2)
        v += __shfl_xor_sync(DK_ALL_LANES, v, d);
    return v;
}

DK_DEVICE float dk_warp_max(float v)
{
    DK_UNROLL
    for (int d = 16; d; d /= 2)
        v = dk_max(v, __shfl_xor_sync(DK_ALL_LANES, v, d));
    return v;
}

/* N sums over a block of one dimension, in all its threads. */
template <class T, int N> DK_DEVICE void dk_block_sums(T (&v)[N])
{
    __shared__ T part[N][32];
    const unsigned warp = threadIdx.x / 32, warps = blockDim.x / 32;

    DK_UNROLL
    for (int i = 0; i < N; i++)
        v[i] = dk_warp_sum(v[i]);
    __syncthreads();                /* a sum before this one may still be read */
    if (threadIdx.x % 32 == 0)
        DK_UNROLL
        for (int i = 0; i < N; i++)
            part[i][warp] = v[i];
    __syncthreads();
    DK_UNROLL
    for (int i = 0; i < N; i++) {
        v[i] = 0;
        for (unsigned w = 0; w < warps; w++)
            v[i] += part[i][w];
    }
}

DK_DEVICE float dk_bf16_up(uint16_t h) { return __uint_as_float((uint32_t)h << 16); }

/* Two values rounded to bf16, to nearest even, lo in the lower half. */
DK_DEVICE uint32_t dk_bf16_pair(float lo, float hi)
{
#ifdef DK_CUEMU
    const uint32_t a = __float_as_uint(lo), b = __float_as_uint(hi);
    const uint32_t x = lo != lo ? 0x7fff : (a + 0x7fffu + (a >> 16 & 1)) >> 16;
    const uint32_t y = hi != hi ? 0x7fff : (b + 0x7fffu + (b >> 16 & 1)) >> 16;

    return x | y << 16;
#else
    uint32_t r;

    asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(r) : "f"(hi), "f"(lo));
    return r;
#endif
}

/* Four values of a row of n, rounded; vec: the row is whole and aligned fours. */
DK_DEVICE void dk_store4_bf16(uint16_t *p, size_t i, size_t n, bool vec, const dk_four &r)
{
    const uint2 two = make_uint2(dk_bf16_pair(r.v[0], r.v[1]), dk_bf16_pair(r.v[2], r.v[3]));

    if (vec)
        *reinterpret_cast<uint2 *>(p + i) = two;
    else
        for (int u = 0; u < 4 && i + u < n; u++)
            p[i + u] = (uint16_t)((u < 2 ? two.x : two.y) >> (u % 2 * 16));
}

/* Where a kernel writes rows: f32, or (packed) bf16, ld values from row to row,
 * zeros behind the row's own. */
struct dk_rows_out { float *y; uint16_t *packed; size_t ld; };

DK_DEVICE void dk_out4(const dk_rows_out &o, size_t row, size_t i, size_t n, bool vec, const dk_four &r)
{
    if (o.packed)
        dk_store4_bf16(o.packed + row * o.ld, i, n, vec, r);
    else
        dk_store4(o.y + row * n, i, n, vec, r);
}

/* Fours of a row may be stored at once. */
static inline bool dk_out_fours(const dk_rows_out &o)
{
    return o.packed ? o.ld % 4 == 0 && (uintptr_t)o.packed % 8 == 0 : dk_fours(o.y);
}

#endif
