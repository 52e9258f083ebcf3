/* Runs CUDA kernels on the CPU: blocks one after the other, the threads of a
 * block as fibers, barriers and shuffles as waits.  Included in place of the
 * CUDA headers where DK_CUEMU is set (lib/backend/cuda/device.cuh).
 *
 * A warp runs until all its lanes wait for the block or have returned, then the
 * next one; within a warp each lane runs to the next thing that all wait for.
 * The order of warps and lanes is emu::order's: a kernel whose result depends on
 * it lacks a barrier.  Warp operations are for whole warps: blocks are multiples
 * of 32 threads.  Shared memory asked for at launch has exactly its size and
 * starts as rubbish; __shared__ variables keep what the last block left.
 * Barriers are told apart by their line.
 *
 * Not seen here: missing fences, coalescing, what a card does with one warp's
 * lanes in step. */
#ifndef CUEMU_H
#define CUEMU_H

#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <memory>
#include <mutex>
#include <vector>
#if !defined(__x86_64__)
#include <ucontext.h>
#endif

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/common_interface_defs.h>
#define EMU_START(save, low, n) __sanitizer_start_switch_fiber(save, low, n)
#define EMU_FINISH(save, low, n) __sanitizer_finish_switch_fiber(save, low, n)
#else
#define EMU_START(save, low, n) ((void)0)
#define EMU_FINISH(save, low, n) ((void)0)
#endif

#define __global__
#define __device__
#define __host__
#define __constant__
#define __forceinline__ inline
#define __launch_bounds__(...)
#define __shared__ static       /* one block at a time, so static is block-wide */

struct dim3 {
    unsigned x, y, z;
    dim3(unsigned a = 1, unsigned b = 1, unsigned c = 1) : x(a), y(b), z(c) {}
};
struct alignas(8) float2 { float x, y; };
struct alignas(16) float4 { float x, y, z, w; };
struct alignas(8) uint2 { uint32_t x, y; };
struct alignas(16) uint4 { uint32_t x, y, z, w; };
struct alignas(16) double2 { double x, y; };
inline float2 make_float2(float x, float y) { return { x, y }; }
inline float4 make_float4(float x, float y, float z, float w) { return { x, y, z, w }; }
inline uint2 make_uint2(uint32_t x, uint32_t y) { return { x, y }; }
inline uint4 make_uint4(uint32_t x, uint32_t y, uint32_t z, uint32_t w) { return { x, y, z, w }; }

/* Where a program has this function, each launch asks it first: what is not 0 is
 * the launch's error, and the kernel does not run. */
extern "C" __attribute__((weak)) int dk_cuemu_launch(void);

namespace emu {
enum wait { RUN, BLOCK_BARRIER, WARP_BARRIER, DONE };
enum { SLOT = 32, INVALID_VALUE = 1, INVALID_CONFIGURATION = 9 };

struct fiber {
#if defined(__x86_64__)
    void *sp = nullptr;
#else
    ucontext_t ctx;
#endif
    char *stack = nullptr;
    void *fake = nullptr;
    dim3 tid;
    unsigned lin = 0;
    wait state = RUN;
    uint64_t site = 0;
    bool vote = false;              /* what it says at a __syncthreads_or */
    unsigned turn = 0;              /* which slot the next exchange takes */
    alignas(16) char slot[2][SLOT];
};

#if defined(__SANITIZE_ADDRESS__)
constexpr size_t STACK = 256 << 10;
#else
constexpr size_t STACK = 64 << 10;
#endif
constexpr size_t SHARED_MAX = 99 << 10;     /* of the smaller cards from compute capability 8.0 on */

inline unsigned order;              /* 0: ascending, 1: descending, else shuffled every round */
inline uint64_t launches;

/* For tests that load a library of kernels. */
extern "C" __attribute__((visibility("default"), used)) inline void dk_cuemu_order(unsigned way) { order = way; }
inline dim3 grid, block, bid;
inline std::vector<fiber> fibers;
inline std::vector<std::unique_ptr<char[]>> stacks;     /* kept between launches */
inline fiber *cur;
inline fiber home;
inline const void *home_low;
inline size_t home_size;
inline void (*body)(const void *);
inline const void *body_arg;
inline char *dyn;
inline unsigned random_state;
inline bool voted;                  /* what the last barrier of the block was told by any thread */

[[noreturn]] inline void fail(const char *what)
{
    fprintf(stderr, "cuemu: block (%u,%u,%u) thread (%u,%u,%u): %s\n", bid.x, bid.y, bid.z, cur ? cur->tid.x : 0,
            cur ? cur->tid.y : 0, cur ? cur->tid.z : 0, what);
    abort();
}

/* Saves what a call must keep, and goes on where the other one left. */
#if defined(__x86_64__)
__attribute__((naked, noinline)) inline void swap(void **, void *)
{
    __asm__("pushq %rbp\n\tpushq %rbx\n\tpushq %r12\n\tpushq %r13\n\tpushq %r14\n\tpushq %r15\n\t"
            "movq %rsp, (%rdi)\n\tmovq %rsi, %rsp\n\t"
            "popq %r15\n\tpopq %r14\n\tpopq %r13\n\tpopq %r12\n\tpopq %rbx\n\tpopq %rbp\n\tret");
}
inline void go(fiber &from, fiber &to) { swap(&from.sp, to.sp); }
inline void prepare(fiber &f, void (*entry)())
{
    void **top = (void **)(f.stack + STACK);

    top[-1] = nullptr;
    memcpy(&top[-2], &entry, sizeof entry);
    memset(&top[-8], 0, 6 * sizeof *top);
    f.sp = top - 8;
}
#else
inline void go(fiber &from, fiber &to) { swapcontext(&from.ctx, &to.ctx); }
inline void prepare(fiber &f, void (*entry)())
{
    getcontext(&f.ctx);
    f.ctx.uc_stack.ss_sp = f.stack;
    f.ctx.uc_stack.ss_size = STACK;
    f.ctx.uc_link = nullptr;
    makecontext(&f.ctx, entry, 0);
}
#endif

inline void leave([[maybe_unused]] bool last)       /* the last time, its fake stack is dropped */
{
    fiber *f = cur;

    EMU_START(last ? nullptr : &f->fake, home_low, home_size);
    go(*f, home);
    EMU_FINISH(f->fake, &home_low, &home_size);
}

inline void entry()
{
    EMU_FINISH(nullptr, &home_low, &home_size);
    body(body_arg);
    cur->state = DONE;
    leave(true);
}

inline void resume(fiber &f)
{
    cur = &f;
    EMU_START(&home.fake, f.stack, STACK);
    go(home, f);
    EMU_FINISH(home.fake, nullptr, nullptr);
}

inline void wait_at(wait w, uint64_t site)
{
    cur->state = w;
    cur->site = site;
    leave(false);
}

inline int wait_or(bool vote, uint64_t site)
{
    cur->vote = vote;
    wait_at(BLOCK_BARRIER, site);
    cur->vote = false;
    return voted;
}

/* Whether the lanes of a warp wait for each other and may go on. */
inline bool release_warp(unsigned w)
{
    unsigned waiting = 0;

    for (unsigned l = 0; l < 32; l++)
        waiting += fibers[w + l].state == WARP_BARRIER;
    if (waiting == 0)
        return false;
    for (unsigned l = 0; l < 32; l++) {
        cur = &fibers[w + l];
        if (cur->state == DONE)
            fail("returned, and others of its warp wait for it");
        if (cur->state != WARP_BARRIER || cur->site != fibers[w].site)
            fail("waits elsewhere than others of its warp");
    }
    for (unsigned l = 0; l < 32; l++)
        fibers[w + l].state = RUN;
    return true;
}

inline void release_block(unsigned n)
{
    voted = false;
    for (unsigned i = 0; i < n; i++) {
        cur = &fibers[i];
        if (cur->state == DONE)
            fail("__syncthreads() not reached by every thread of the block");
        if (cur->site != fibers[0].site)
            fail("threads wait at different __syncthreads()");
        cur->state = RUN;
        voted |= cur->vote;
    }
}

/* The i-th of n in this round's order. */
inline unsigned pick(unsigned i, unsigned n, unsigned from)
{
    return order == 0 ? i : order == 1 ? n - 1 - i : from & 1 ? (i + from / 2) % n : n - 1 - (i + from / 2) % n;
}
inline unsigned draw() { return order < 2 ? 0 : (random_state = random_state * 1664525u + 1013904223u) >> 8; }

inline void run_warp(unsigned w)
{
    do {
        const unsigned from = draw();

        for (unsigned l = 0; l < 32; l++) {
            fiber &f = fibers[w + pick(l, 32, from)];

            if (f.state == RUN)
                resume(f);
        }
    } while (release_warp(w));
}

inline void run_block(unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        fibers[i].state = RUN;
        fibers[i].turn = 0;
        fibers[i].vote = false;
        prepare(fibers[i], entry);
    }
    for (unsigned left = n; left;) {
        const unsigned from = draw();

        for (unsigned w = 0; w < n / 32; w++)
            run_warp(pick(w, n / 32, from) * 32);
        left = 0;
        for (unsigned i = 0; i < n; i++)
            left += fibers[i].state != DONE;
        if (left)
            release_block(n);
    }
}

inline std::mutex busy;

template <class K> int launch(dim3 g, dim3 b, size_t shared, const K &k)
{
    const std::lock_guard<std::mutex> lock(busy);
    const unsigned n = b.x * b.y * b.z;
    const int refused = dk_cuemu_launch ? dk_cuemu_launch() : 0;

    if (refused)
        return refused;
    if (!n || n > 1024 || n % 32 || shared > SHARED_MAX || !g.x || !g.y || !g.z || g.x > 0x7fffffffu || g.y > 65535 ||
        g.z > 65535) {
        fprintf(stderr, "cuemu: a launch of (%u,%u,%u) blocks of %u threads with %zu bytes\n", g.x, g.y, g.z, n, shared);
        return INVALID_CONFIGURATION;
    }
    launches++;
    grid = g;
    block = b;
    body = [](const void *arg) { (*static_cast<const K *>(arg))(); };
    body_arg = &k;
    while (stacks.size() < n)
        stacks.emplace_back(new char[STACK]);
    if (fibers.size() < n)
        fibers.resize(n);
    for (unsigned i = 0; i < n; i++) {
        fibers[i].stack = stacks[i].get();
        fibers[i].lin = i;
        fibers[i].tid = dim3(i % b.x, i / b.x % b.y, i / (b.x * b.y));
    }
    random_state = order;
    dyn = static_cast<char *>(malloc(shared));
    for (unsigned z = 0; z < g.z; z++)
        for (unsigned y = 0; y < g.y; y++)
            for (unsigned x = 0; x < g.x; x++) {
                bid = dim3(x, y, z);
                memset(dyn, 0xA5, shared);
                run_block(n);
            }
    free(dyn);
    cur = nullptr;
    return 0;
}

/* Shows the bytes at mine to the whole warp; the warp's fibers, whose slot[turn]
 * holds theirs.  The next exchange takes the other slots, and nobody is there
 * before all have left this one. */
inline const fiber *exchange(const void *mine, size_t bytes, uint64_t site, unsigned *turn)
{
    *turn = cur->turn;
    memcpy(cur->slot[*turn], mine, bytes);
    cur->turn ^= 1;
    wait_at(WARP_BARRIER, site);
    return &fibers[cur->lin & ~31u];
}

template <class T> T shuffle(unsigned mask, T v, unsigned from, uint64_t site)
{
    unsigned turn;

    static_assert(sizeof(T) <= SLOT);
    if (mask != 0xffffffffu)
        fail("a shuffle of part of a warp");
    const fiber *warp = exchange(&v, sizeof v, site, &turn);
    if (from < 32)
        memcpy(&v, warp[from].slot[turn], sizeof v);
    return v;
}

inline unsigned ballot(unsigned mask, bool v, uint64_t site)
{
    unsigned turn, bits = 0;
    const char c = v;

    if (mask != 0xffffffffu)
        fail("a vote of part of a warp");
    const fiber *warp = exchange(&c, 1, site, &turn);
    for (unsigned l = 0; l < 32; l++)
        bits |= (unsigned)warp[l].slot[turn][0] << l;
    return bits;
}

template <class T> T reduce_max(unsigned mask, T v, uint64_t site)
{
    unsigned turn;

    if (mask != 0xffffffffu)
        fail("a reduction of part of a warp");
    const fiber *warp = exchange(&v, sizeof v, site, &turn);
    for (unsigned l = 0; l < 32; l++) {
        T u;

        memcpy(&u, warp[l].slot[turn], sizeof u);
        v = u > v ? u : v;
    }
    return v;
}

inline float bf16(uint32_t bits)
{
    const uint32_t u = bits << 16;
    float f;

    memcpy(&f, &u, sizeof f);
    return f;
}

/* mma.sync.m16n8k16 of bf16, as the PTX manual lays its fragments out: with g =
 * lane / 4 and t = lane % 4, a holds rows g and g + 8 in columns 2t, 2t + 1 and
 * then 8 further on, b rows 2t, 2t + 1 and 8 further down of column g, c and d
 * columns 2t, 2t + 1 of rows g and g + 8. */
inline void mma_bf16(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2], uint64_t site)
{
    const unsigned lane = cur->lin & 31, g = lane / 4, t = lane % 4;
    uint32_t all[6] = { a[0], a[1], a[2], a[3], b[0], b[1] };
    unsigned turn;
    const fiber *warp = exchange(all, sizeof all, site, &turn);

    for (unsigned i = 0; i < 4; i++) {
        const unsigned row = g + i / 2 * 8, col = 2 * t + i % 2;

        for (unsigned k = 0; k < 16; k++) {
            uint32_t x, y;
            const unsigned ra = row / 8 + k / 8 * 2, rb = 4 + k / 8, half = k % 2 * 16;

            memcpy(&x, warp[row % 8 * 4 + k % 8 / 2].slot[turn] + 4 * ra, 4);
            memcpy(&y, warp[col * 4 + k % 8 / 2].slot[turn] + 4 * rb, 4);
            d[i] += bf16(x >> half & 0xffff) * bf16(y >> half & 0xffff);
        }
    }
}

/* ldmatrix .x4 of 8 x 8 matrices of 16 bits: lane 8 i + j points at row j of
 * matrix i; a lane gets columns 2t, 2t + 1 of row g of each, or with trans rows
 * 2t, 2t + 1 of column g. */
inline void ldmatrix_x4(uint32_t (&r)[4], const void *row, bool trans, uint64_t site)
{
    const unsigned lane = cur->lin & 31, g = lane / 4, t = lane % 4;
    unsigned turn;

    if ((uintptr_t)row % 16)
        fail("ldmatrix of a row that is not aligned to 16 bytes");
    const fiber *warp = exchange(row, 16, site, &turn);
    for (unsigned i = 0; i < 4; i++) {
        uint16_t lo, hi;

        memcpy(&lo, warp[8 * i + (trans ? 2 * t : g)].slot[turn] + 2 * (trans ? g : 2 * t), 2);
        memcpy(&hi, warp[8 * i + (trans ? 2 * t + 1 : g)].slot[turn] + 2 * (trans ? g : 2 * t + 1), 2);
        r[i] = lo | (uint32_t)hi << 16;
    }
}

template <class T> T add_to(T *p, T v)
{
    const T old = *p;

    *p = old + v;
    return old;
}
}   /* namespace emu */

#define threadIdx (emu::cur->tid)
#define blockIdx (emu::bid)
#define blockDim (emu::block)
#define gridDim (emu::grid)
#define EMU_SITE ((uint64_t)__LINE__)
#define __syncthreads() emu::wait_at(emu::BLOCK_BARRIER, EMU_SITE)
#define __syncthreads_or(p) emu::wait_or((p), EMU_SITE)
#define __syncwarp() emu::wait_at(emu::WARP_BARRIER, EMU_SITE)
#define __shfl_xor_sync(m, v, d) emu::shuffle((m), (v), (emu::cur->lin & 31) ^ (unsigned)(d), EMU_SITE)
#define __shfl_down_sync(m, v, d) emu::shuffle((m), (v), (emu::cur->lin & 31) + (unsigned)(d), EMU_SITE)
#define __shfl_sync(m, v, s) emu::shuffle((m), (v), (unsigned)(s) & 31, EMU_SITE)
#define __ballot_sync(m, p) emu::ballot((m), (p), EMU_SITE)
#define __any_sync(m, p) (emu::ballot((m), (p), EMU_SITE) != 0)
#define __all_sync(m, p) (emu::ballot((m), (p), EMU_SITE) == 0xffffffffu)
#define __reduce_max_sync(m, v) emu::reduce_max((m), (v), EMU_SITE)
#define EMU_MMA_BF16(d, a, b) emu::mma_bf16((d), (a), (b), EMU_SITE)
#define EMU_LDMATRIX(r, row, trans) emu::ldmatrix_x4((r), (row), (trans), EMU_SITE)

inline int atomicAdd(int *p, int v) { return emu::add_to(p, v); }
inline unsigned atomicAdd(unsigned *p, unsigned v) { return emu::add_to(p, v); }
inline unsigned long long atomicAdd(unsigned long long *p, unsigned long long v) { return emu::add_to(p, v); }

inline int __popc(unsigned v) { return __builtin_popcount(v); }
inline int __ffs(int v) { return __builtin_ffs(v); }
inline int __clz(int v) { return v ? __builtin_clz((unsigned)v) : 32; }
inline int __clzll(long long v) { return v ? __builtin_clzll((unsigned long long)v) : 64; }
inline uint32_t __float_as_uint(float f) { uint32_t u; memcpy(&u, &f, 4); return u; }
inline float __uint_as_float(uint32_t u) { float f; memcpy(&f, &u, 4); return f; }
inline long long __double2ll_rn(double d) { return llrint(d); }
inline float __fadd_rn(float a, float b) { return a + b; }
inline float __fmul_rn(float a, float b) { return a * b; }
inline float __double2float_ru(double d)
{
    const float f = (float)d;

    return (double)f < d ? nextafterf(f, INFINITY) : f;
}
inline float __expf(float x) { return expf(x); }
inline float __fdividef(float a, float b) { return a / b; }
template <class T> T __ldg(const T *p) { return *p; }

#endif
