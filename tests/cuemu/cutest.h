/* Tests of CUDA kernels on the CPU: buffers of exactly their size, each by itself,
 * so that a step beyond one is seen; every launch in three orders of threads,
 * which must give the same bytes; results against lib/num.  Without DK_CUEMU the
 * same tests run on a card, in memory that it shares with the host.
 *
 * EPS is half a unit in the last place of f32, relative: each f32 operation and
 * each rounding of a double adds at most one. */
#ifndef DK_TESTS_CUTEST_H
#define DK_TESTS_CUTEST_H

#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <algorithm>
#include <functional>
#include <vector>

#include "backend/cuda/kernels.h"
#ifdef DK_CUEMU
#include "cuemu.h"
#else
#include <cuda_runtime.h>
#endif

extern "C" {
#include "num/exact.h"
#include "num/half.h"
#include "num/kernel_kl.h"
#include "num/kernels.h"
#include "num/topheap.h"
}

constexpr double EPS = 0x1p-24;

/* tap() of the other tests, for all files of this one. */
__attribute__((format(printf, 2, 3))) bool check(bool good, const char *fmt, ...);

#ifdef DK_CUEMU
inline void *device_alloc(size_t bytes) { return malloc(bytes); }
inline void device_free(void *p) { free(p); }
inline int finished(int launched) { return launched; }
inline void set_order(unsigned order) { emu::order = order; }
#else
inline void *device_alloc(size_t bytes)
{
    void *p = NULL;

    if (cudaMallocManaged(&p, bytes ? bytes : 1) != cudaSuccess) {
        printf("Bail out! %s\n", cudaGetErrorString(cudaGetLastError()));
        exit(1);
    }
    return p;
}
inline void device_free(void *p) { cudaFree(p); }
inline int finished(int launched) { return launched ? launched : (int)cudaDeviceSynchronize(); }
inline void set_order(unsigned) {}
#endif

/* Device memory of n values: random ones about 0, or all alike. */
template <class T> struct mem {
    T *p;
    size_t n;

    explicit mem(size_t count, T fill = T()) : p(static_cast<T *>(device_alloc(count * sizeof(T)))), n(count)
    {
        for (size_t i = 0; i < n; i++)
            p[i] = fill;
    }
    mem(const mem &) = delete;
    mem &operator=(const mem &) = delete;
    ~mem() { device_free(p); }
    T &operator[](size_t i) { return p[i]; }
    std::vector<T> copy() const { return std::vector<T>(p, p + n); }
    void set(const std::vector<T> &v)
    {
        if (n)
            memcpy(p, v.data(), n * sizeof(T));
    }
};

inline uint64_t test_seed = 1;

inline double uniform()         /* in (0, 1) */
{
    test_seed = test_seed * 6364136223846793005u + 1442695040888963407u;
    return ((double)(test_seed >> 11) + 0.5) * 0x1p-53;
}
inline float gauss(double scale)
{
    const double u = uniform(), v = uniform();

    return (float)(scale * sqrt(-2 * log(u)) * cos(6.283185307179586 * v));
}
inline void randomize(mem<float> &m, double scale = 1)
{
    for (size_t i = 0; i < m.n; i++)
        m[i] = gauss(scale);
}
inline void randomize(std::vector<float> &m, double scale = 1)
{
    for (auto &x : m)
        x = gauss(scale);
}

/* Accept form: a NaN on either side is off by infinitely much. */
template <class T> double worst(const T *got, const T *want, size_t n, double atol, double rtol)
{
    double w = 0;

    for (size_t i = 0; i < n; i++) {
        const double off = fabs((double)got[i] - (double)want[i]), may = atol + rtol * fabs((double)want[i]);
        const double share = off <= 1e9 * may ? (may > 0 ? off / may : 0) : INFINITY;

        w = share > w ? share : w;
    }
    return n ? w : INFINITY;        /* nothing compared is not a pass */
}

/* What a launcher that writes to the buffer out gives in three orders of threads,
 * each time from what it was before: whether it succeeds, the same bytes. */
template <class T> bool orders(mem<T> &out, const std::function<int()> &run)
{
    const std::vector<T> before = out.copy();
    std::vector<T> first;
    bool same = true;

    for (unsigned order : { 0u, 1u, 77u }) {
        set_order(order);
        out.set(before);
        same = finished(run()) == 0 && same;
        if (order == 0)
            first = out.copy();
        same = same && memcmp(first.data(), out.p, out.n * sizeof(T)) == 0;
    }
    set_order(0);
    return same;
}

/* A comparison with its name and how near the limit it is. */
template <class T>
void compare(bool same, const mem<T> &got, const std::vector<T> &want, double atol, double rtol, const char *name)
{
    const double w = got.n == want.size() ? worst(got.p, want.data(), got.n, atol, rtol) : INFINITY;

    check(same && w <= 1, "%s: %.2f of the tolerance, %s", name, w, same ? "the same in every order" : "ORDERS DIFFER");
}

/* A name for a line. */
struct name {
    char text[160];

    __attribute__((format(printf, 2, 3))) explicit name(const char *fmt, ...);
    operator const char *() const { return text; }
};

void test_rows();
void test_place();
void test_products();
void test_heads();
void test_topk();
void test_attention();
void test_rowstats();

#endif
