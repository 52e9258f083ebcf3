/* One-pass KL and log-sum-exp. */
#include "num/kernel_kl.h"

#include <math.h>
#include <stdint.h>

#include "num/kernel_exp.h"
#include "num/simd.h"

enum { CHUNK = 256 };

void dk_lse_begin(dk_lse *s) { *s = (dk_lse){ -INFINITY, 0 }; }

/* z in units of exp(to) instead of exp(from). */
DK_INLINE double rescale(double from, double to)
{
    return from == to ? 1.0 : exp(from - to);       /* from = -inf at first: 0 */
}

DK_INLINE float row_max(const float *p, size_t n)
{
    float m = -INFINITY;

    #pragma omp simd reduction(max : m)
    for (size_t i = 0; i < n; i++)
        m = p[i] > m ? p[i] : m;
    return m;
}

DK_CLONES
static void lse_chunk(dk_lse *s, const float *restrict p, size_t n)
{
    const float m = row_max(p, n);
    float w[CHUNK];
    double z = 0;

    if (m > s->m) {
        s->z *= rescale(s->m, m);
        s->m = m;
    }
    if (s->m == -INFINITY)
        return;
    for (size_t i = 0; i < n; i++)
        w[i] = dk_exp1(p[i] - s->m);
    #pragma omp simd reduction(+ : z)
    for (size_t i = 0; i < n; i++)
        z += w[i];
    s->z += z;
}

/* phi(x) = exp(-x) - 1 + x, by its series where the difference would cancel.
 * Elsewhere the f32 exp is taken to double before the subtraction: a large phi
 * may cancel against the mean of x at the end. */
DK_INLINE double phi(double xd)
{
    const float x = (float)xd;
    const double big = (double)dk_exp1(-x) + (xd - 1.0);
    const float s = x * x * (1.0f / 2 - x * (1.0f / 6 - x * (1.0f / 24 - x * (1.0f / 120 -
                    x * (1.0f / 720 - x * (1.0f / 5040 - x * (1.0f / 40320)))))));

    return x < 0.25f && x > -0.25f ? (double)s : big;
}

/* The sums against another constant, d0 + by: with phi(x - by) =
 * expm1(by) (phi(x) - x) + phi(x) + phi(-by). */
static void rebase(dk_kl_row *r, double by)
{
    const double e = expm1(by);
    const double ph = fabs(by) < 0.25 ? phi(-by) : e - by;

    if (r->p.z > 0)
        r->phi += e * (r->phi - r->x) + ph * r->p.z;
    r->x -= by * r->p.z;
    r->d0 += by;
}

/* All values finite; raw is p - q.  The maximum of p so far is r->p.m, and d0 the difference
 * at its id: a d0 far from the differences that carry the weight would leave
 * the result as a small rest of large sums. */
DK_CLONES
static void kl_chunk(dk_kl_row *r, const float *restrict p, const double *restrict raw, size_t n)
{
    float w[CHUNK];
    double d[CHUNK], f[CHUNK];
    double z = 0, x = 0, ph = 0, lo = r->lo, hi = r->hi, d0;
    const float m = row_max(p, n);

    if (m > r->p.m) {
        const double c = rescale(r->p.m, m);
        size_t top = 0;

        r->p.z *= c;
        r->x *= c;
        r->phi *= c;
        r->p.m = m;
        while (top + 1 < n && p[top] != m)
            top++;
        rebase(r, raw[top] - r->d0);
    }
    d0 = r->d0;
    for (size_t i = 0; i < n; i++)
        d[i] = raw[i] - d0;
    for (size_t i = 0; i < n; i++) {
        w[i] = dk_exp1(p[i] - r->p.m);
        f[i] = phi(d[i]);
    }
    #pragma omp simd reduction(+ : z, x, ph) reduction(min : lo) reduction(max : hi)
    for (size_t i = 0; i < n; i++) {
        const double wi = w[i], x0 = d[i] + d0;

        z += wi;
        x += wi * d[i];
        ph += wi * f[i];
        lo = x0 < lo ? x0 : lo;
        hi = x0 > hi ? x0 : hi;
    }
    r->p.z += z;
    r->x += x;
    r->phi += ph;
    r->lo = lo;
    r->hi = hi;
}

static int all_finite(const float *p, size_t n)
{
    uint32_t bad = 0;

    for (size_t i = 0; i < n; i++) {
        uint32_t b;

        memcpy(&b, &p[i], 4);
        bad |= (b & 0x7f800000u) == 0x7f800000u;
    }
    return !bad;
}

/* Excluded ids: both -inf contributes nothing, only the finetune nothing to
 * its own sums, only the base makes the divergence infinite. */
static void with_infinities(dk_kl_row *r, const float *p, const float *q, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (isfinite(q[i]))
            lse_chunk(&r->q, q + i, 1);         /* the base's own sum, whatever the finetune is */
        if (isnan(p[i]) || isnan(q[i]) || p[i] == INFINITY || q[i] == INFINITY)
            r->bad = 1;
        else if (p[i] != -INFINITY && q[i] == -INFINITY)
            r->base_inf = 1;
        else if (p[i] != -INFINITY)
            kl_chunk(r, p + i, &(double){ (double)p[i] - (double)q[i] }, 1);
        else if (isfinite(q[i]))
            r->ft_inf = 1;
    }
}

void dk_kl_begin(dk_kl_row *r)
{
    *r = (dk_kl_row){ .p.m = -INFINITY, .q.m = -INFINITY, .lo = INFINITY, .hi = -INFINITY };
}

void dk_kl_tile(dk_kl_row *r, const float *p, const float *q, size_t n, float inv_temperature)
{
    float a[CHUNK], b[CHUNK];
    double raw[CHUNK];

    for (size_t at = 0; at < n; at += CHUNK) {
        const size_t m = n - at < CHUNK ? n - at : CHUNK;
        const float *pp = p + at, *qq = q + at;

        if (inv_temperature != 1.0f) {
            for (size_t i = 0; i < m; i++) {
                a[i] = pp[i] * inv_temperature;
                b[i] = qq[i] * inv_temperature;
            }
            pp = a;
            qq = b;
        }
        if (!all_finite(pp, m) || !all_finite(qq, m)) {
            with_infinities(r, pp, qq, m);
            continue;
        }
        for (size_t i = 0; i < m; i++)
            raw[i] = (double)pp[i] - (double)qq[i];
        kl_chunk(r, pp, raw, m);
        lse_chunk(&r->q, qq, m);
    }
}

void dk_kl_tile_diff(dk_kl_row *r, const float *q, const float *d, size_t n, float inv_temperature)
{
    float a[CHUNK], b[CHUNK];
    double raw[CHUNK];

    for (size_t at = 0; at < n; at += CHUNK) {
        const size_t m = n - at < CHUNK ? n - at : CHUNK;

        for (size_t i = 0; i < m; i++) {
            b[i] = q[at + i] * inv_temperature;
            raw[i] = (double)d[at + i] * (double)inv_temperature;
            a[i] = (float)((double)b[i] + raw[i]);
        }
        if (!all_finite(a, m) || !all_finite(b, m)) {
            r->bad = 1;         /* such logits exclude no id */
            continue;
        }
        kl_chunk(r, a, raw, m);
        lse_chunk(&r->q, b, m);
    }
}

double dk_kl_end(const dk_kl_row *r)
{
    double mean;

    if (r->bad || r->p.m == -INFINITY)
        return NAN;
    if (r->base_inf)
        return INFINITY;
    mean = r->x / r->p.z;
    if (r->ft_inf || r->hi - r->d0 > 20 || r->d0 - r->lo > 20)
        return mean + r->d0 - dk_lse_end(&r->p) + dk_lse_end(&r->q);    /* phi overflows its use */
    return mean + log1p(r->phi / r->p.z - mean);
}

void dk_lse_tile(dk_lse *s, const float *p, size_t n, float inv_temperature)
{
    float a[CHUNK];

    for (size_t at = 0; at < n; at += CHUNK) {
        const size_t m = n - at < CHUNK ? n - at : CHUNK;
        const float *pp = p + at;

        if (inv_temperature != 1.0f) {
            for (size_t i = 0; i < m; i++)
                a[i] = pp[i] * inv_temperature;
            pp = a;
        }
        lse_chunk(s, pp, m);
    }
}

double dk_lse_end(const dk_lse *s) { return s->m == -INFINITY ? -INFINITY : s->m + log(s->z); }
