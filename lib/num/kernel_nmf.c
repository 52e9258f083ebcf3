#include "num/kernel_nmf.h"

#include <math.h>
#include <string.h>

#include "num/simd.h"

typedef double d4 __attribute__((vector_size(32)));
typedef double d4u __attribute__((vector_size(32), aligned(8), may_alias));
typedef long long i4 __attribute__((vector_size(32)));

enum { CHUNK = 64, STRIP = 512, WIDEST = 16 };

#define LOAD(p) ((d4)*(const d4u *)(p))

DK_CLONES
void dk_nmf_power(double *x, size_t n, double e)
{
    if (e == -1)
        for (size_t i = 0; i < n; i++) x[i] = 1 / x[i];
    else if (e == 0.5)
        for (size_t i = 0; i < n; i++) x[i] = sqrt(x[i]);
    else if (e == -0.5)
        for (size_t i = 0; i < n; i++) x[i] = 1 / sqrt(x[i]);
    else if (e == 2)
        for (size_t i = 0; i < n; i++) x[i] = x[i] * x[i];
    else if (e == 0)
        for (size_t i = 0; i < n; i++) x[i] = 1;
    else if (e != 1)
        for (size_t i = 0; i < n; i++) x[i] = pow(x[i], e);
}

/* Products of one row with n <= CHUNK others, four at a time; u has room for three more. */
DK_INLINE void dots(double *restrict u, const double *mine, const double *other, const uint32_t *index, size_t n,
                    size_t width, double eps)
{
    for (size_t i = 0; i < n; i += 4) {
        d4 p[4], a, b;

        for (size_t k = 0; k < 4; k++) {
            const double *o = other + (size_t)index[i + k < n ? i + k : n - 1] * width;

            p[k] = LOAD(mine) * LOAD(o);
            for (size_t j = 4; j < width; j += 4)
                p[k] += LOAD(mine + j) * LOAD(o + j);
        }
        a = __builtin_shuffle(p[0], p[1], (i4){ 0, 4, 2, 6 }) + __builtin_shuffle(p[0], p[1], (i4){ 1, 5, 3, 7 });
        b = __builtin_shuffle(p[2], p[3], (i4){ 0, 4, 2, 6 }) + __builtin_shuffle(p[2], p[3], (i4){ 1, 5, 3, 7 });
        *(d4u *)(u + i) = (d4u)(__builtin_shuffle(a, b, (i4){ 0, 1, 4, 5 }) +
                                __builtin_shuffle(a, b, (i4){ 2, 3, 6, 7 }) + eps);
    }
}

/* sum += q[i] other[index[i]], in two halves so that additions overlap. */
DK_INLINE void add_rows(d4 *restrict sum, const double *q, const double *other, const uint32_t *index, size_t n,
                        size_t width)
{
    size_t i = 0;

    for (; i + 2 <= n; i += 2)
        for (size_t j = 0; j < width / 4; j++) {
            sum[j] += q[i] * LOAD(other + (size_t)index[i] * width + j * 4);
            sum[WIDEST / 4 + j] += q[i + 1] * LOAD(other + (size_t)index[i + 1] * width + j * 4);
        }
    for (; i < n; i++)
        for (size_t j = 0; j < width / 4; j++)
            sum[j] += q[i] * LOAD(other + (size_t)index[i] * width + j * 4);
}

DK_INLINE void sparse(double *restrict out, const dk_nmf_side *m, const double *mine, const double *other,
                      size_t width, double e, double eps, size_t from, size_t to)
{
    double u[CHUNK + 4], q[CHUNK];

    for (size_t r = from; r < to; r++) {
        d4 sum[WIDEST / 2] = {0};

        for (uint64_t at = m->at[r]; at < m->at[r + 1]; at += CHUNK) {
            const size_t n = m->at[r + 1] - at < CHUNK ? m->at[r + 1] - at : CHUNK;

            if (e == 0) {
                for (size_t i = 0; i < n; i++)
                    q[i] = (double)m->value[at + i];
            } else {
                dots(u, mine + r * width, other, m->index + at, n, width, eps);
                dk_nmf_power(u, n, e);
                for (size_t i = 0; i < n; i++)
                    q[i] = (double)m->value[at + i] * u[i];
            }
            add_rows(sum, q, other, m->index + at, n, width);
        }
        for (size_t j = 0; j < width / 4; j++)
            *(d4u *)(out + r * width + j * 4) = (d4u)(sum[j] + sum[WIDEST / 4 + j]);
    }
}

/* More topics than fit in registers: in slices of WIDEST. */
static void sparse_wide(double *out, const dk_nmf_side *m, const double *mine, const double *other, size_t width,
                        double e, double eps, size_t from, size_t to)
{
    double u[CHUNK + 4];

    for (size_t r = from; r < to; r++) {
        memset(out + r * width, 0, width * sizeof *out);
        for (uint64_t at = m->at[r]; at < m->at[r + 1]; at += CHUNK) {
            const size_t n = m->at[r + 1] - at < CHUNK ? m->at[r + 1] - at : CHUNK;

            if (e != 0) {
                dots(u, mine + r * width, other, m->index + at, n, width, eps);
                dk_nmf_power(u, n, e);
            }
            for (size_t i = 0; i < n; i++) {
                const double q = (double)m->value[at + i] * (e != 0 ? u[i] : 1);
                const double *o = other + (size_t)m->index[at + i] * width;

                for (size_t j = 0; j < width; j++)
                    out[r * width + j] += q * o[j];
            }
        }
    }
}

DK_CLONES
void dk_nmf_sparse(double *out, const dk_nmf_side *m, const double *mine, const double *other, size_t width,
                   double e, double eps, size_t from, size_t to)
{
    if (width == 4)
        sparse(out, m, mine, other, 4, e, eps, from, to);
    else if (width == 8)
        sparse(out, m, mine, other, 8, e, eps, from, to);
    else if (width <= WIDEST)
        sparse(out, m, mine, other, width, e, eps, from, to);
    else
        sparse_wide(out, m, mine, other, width, e, eps, from, to);
}

DK_CLONES
double dk_nmf_sparse_sum(const dk_nmf_side *m, const double *mine, const double *other, size_t width, double e,
                         int of_log, double eps, size_t from, size_t to)
{
    double u[CHUNK + 4], sum = 0;

    for (size_t r = from; r < to; r++)
        for (uint64_t at = m->at[r]; at < m->at[r + 1]; at += CHUNK) {
            const size_t n = m->at[r + 1] - at < CHUNK ? m->at[r + 1] - at : CHUNK;

            dots(u, mine + r * width, other, m->index + at, n, width, eps);
            if (!of_log)
                dk_nmf_power(u, n, e);
            for (size_t i = 0; i < n; i++)
                sum += (double)m->value[at + i] * (of_log ? log(u[i]) : u[i]);
        }
    return sum;
}

DK_CLONES
double dk_nmf_dense(double *out, const double *mine, const double *turned, size_t n, size_t ld, size_t topics,
                    size_t width, double e, double eps, int sum, size_t from, size_t to)
{
    double u[STRIP], p[STRIP], all = 0;

    for (size_t r = from; r < to; r++) {
        if (!sum)
            memset(out + r * width, 0, width * sizeof *out);
        for (size_t c0 = 0; c0 < n; c0 += STRIP) {
            const size_t c = n - c0 < STRIP ? n - c0 : STRIP;

            for (size_t i = 0; i < c; i++)
                u[i] = eps;
            for (size_t k = 0; k < topics; k++) {
                const double h = mine[r * width + k], *t = turned + k * ld + c0;

                for (size_t i = 0; i < c; i++)
                    u[i] += h * t[i];
            }
            memcpy(p, u, c * sizeof *p);
            dk_nmf_power(p, c, e);
            for (size_t i = 0; sum && i < c; i++)
                all += p[i] * u[i];
            for (size_t k = 0; !sum && k < topics; k++) {
                const double *t = turned + k * ld + c0;
                double s[8] = {0};
                size_t i = 0;

                for (; i + 8 <= c; i += 8)
                    for (size_t j = 0; j < 8; j++)
                        s[j] += p[i + j] * t[i + j];
                for (; i < c; i++)
                    s[0] += p[i] * t[i];
                out[r * width + k] += ((s[0] + s[1]) + (s[2] + s[3])) + ((s[4] + s[5]) + (s[6] + s[7]));
            }
        }
    }
    return all;
}
