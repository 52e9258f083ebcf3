#include "num/kernel_scatter.h"

#include <string.h>

#include "num/simd.h"

typedef double d4 __attribute__((vector_size(32)));
typedef double d4u __attribute__((vector_size(32), aligned(8), may_alias));
typedef double d8 __attribute__((vector_size(64)));
typedef double d8u __attribute__((vector_size(64), aligned(8), may_alias));

enum { STEP = 64 };                /* rows whose part of two panels stays in the first cache */

/* One row's part of one panel. */
DK_INLINE void put(double *restrict p, double *restrict sum, const float *restrict x, const double *restrict shift, size_t columns)
{
    for (size_t j = 0; j < columns; j++) {
        p[j] = x[j] - shift[j];
        sum[j] += p[j];
    }
}

DK_CLONES
void dk_scatter_pack(double *panels, size_t ld, double *sum, const float *x, const double *shift, size_t n, size_t d)
{
    memset(sum, 0, d * sizeof *sum);
    for (size_t i = 0; i < n; i++, x += d, panels += DK_PANEL) {
        double *p = panels;
        size_t j = 0;

        for (; j + DK_PANEL <= d; j += DK_PANEL, p += ld)
            put(p, sum + j, x + j, shift + j, DK_PANEL);
        if (j < d) {
            memset(p, 0, DK_PANEL * sizeof *p);
            put(p, sum + j, x + j, shift + j, d - j);
        }
    }
}

/* Some rows, with as many sums as there are registers: twelve of four, twenty-four of eight. */
DK_INLINE void narrow(double *out, const double *a, const double *b, size_t n)
{
    for (size_t i = 0; i < DK_PANEL; i += 4)
        for (size_t j = 0; j < DK_PANEL; j += 12) {
            d4 s[4][3] = {0};

            for (size_t k = 0; k < n; k++) {
                const double *l = a + k * DK_PANEL + i, *r = b + k * DK_PANEL + j;
                const d4 r0 = *(const d4u *)r, r1 = *(const d4u *)(r + 4), r2 = *(const d4u *)(r + 8);

                for (size_t v = 0; v < 4; v++) {
                    s[v][0] += l[v] * r0;
                    s[v][1] += l[v] * r1;
                    s[v][2] += l[v] * r2;
                }
            }
            for (size_t v = 0; v < 4; v++)
                for (size_t w = 0; w < 3; w++)
                    *(d4u *)(out + (i + v) * DK_PANEL + j + 4 * w) += s[v][w];
        }
}

DK_INLINE void wide(double *out, const double *a, const double *b, size_t n)
{
    for (size_t i = 0; i < DK_PANEL; i += 8) {
        d8 s[8][3] = {0};

        for (size_t k = 0; k < n; k++) {
            const double *l = a + k * DK_PANEL + i, *r = b + k * DK_PANEL;
            const d8 r0 = *(const d8u *)r, r1 = *(const d8u *)(r + 8), r2 = *(const d8u *)(r + 16);

            for (size_t v = 0; v < 8; v++) {
                s[v][0] += l[v] * r0;
                s[v][1] += l[v] * r1;
                s[v][2] += l[v] * r2;
            }
        }
        for (size_t v = 0; v < 8; v++)
            for (size_t w = 0; w < 3; w++)
                *(d8u *)(out + (i + v) * DK_PANEL + 8 * w) += s[v][w];
    }
}

typedef void steps(double *out, const double *a, const double *b, size_t n);

#define IN_STEPS(some)                                                          \
    for (size_t k = 0; k < n; k += STEP)                                        \
        some(out, a + k * DK_PANEL, b + k * DK_PANEL, n - k < STEP ? n - k : STEP)

DK_CLONES
static void in_fours(double *out, const double *a, const double *b, size_t n) { IN_STEPS(narrow); }

#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__)
__attribute__((target("arch=x86-64-v4")))
static void in_eights(double *out, const double *a, const double *b, size_t n) { IN_STEPS(wide); }

static steps *choose(void)
{
    return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512bw") &&
           __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512cd") ? in_eights : in_fours;
}
#else
static steps *choose(void) { return in_fours; }
#endif

void dk_scatter_pair(double *out, const double *a, const double *b, size_t n)
{
    memset(out, 0, DK_PANEL * DK_PANEL * sizeof *out);
    choose()(out, a, b, n);
}
