/* The bootstrap, the sign-flip test, rates. */
#include "num/resample.h"

#include <math.h>
#include <string.h>

#include "base/mem.h"
#include "num/infer.h"

int dk_poisson1(uint64_t u)
{
    /* floor(2^64 P(Poisson(1) <= k)) */
    static const uint64_t t[] = {
        0x5e2d58d8b3bcdf1a, 0xbc5ab1b16779be35, 0xeb715e1dc1582dc2, 0xfb23979734a252f1,
        0xff1025f59174dc3d, 0xffd90f3ba4055e19, 0xfffa8b71fc72c913, 0xffff540c0914b3c9,
        0xffffed1f4aa8f120, 0xfffffe216e641462, 0xffffffd4d85d3183, 0xfffffffc6da262b4,
        0xffffffffba12d178, 0xfffffffffb07c64c
    };
    int w = 0;

    while (w < (int)(sizeof t / sizeof *t) && u >= t[w])
        w++;
    return w;
}

void dk_replicate_interval(double *lo, double *hi, double *x, size_t n)
{
    size_t kept = 0;
    double end[2] = { NAN, NAN };

    for (size_t i = 0; i < n; i++)
        if (isfinite(x[i]))
            x[kept++] = x[i];
    dk_sort(x, kept);
    for (int e = 0; kept > 1 && e < 2; e++)
        end[e] = dk_quantile_sorted(x, kept, e ? .975 : .025);
    *lo = end[0];
    *hi = end[1];
}

int dk_bootstrap_ratio(double *lo, double *hi, const double *x, const double *n,
                       const uint64_t *doc, size_t docs, uint64_t seed, dk_err *err)
{
    double *r = NULL;
    const int rc = dk_alloc(&r, DK_BOOT, sizeof *r, "bootstrap", err);

    *lo = *hi = NAN;
    if (rc < 0 || docs < 2) {
        dk_free(r);
        return rc;
    }
    #pragma omp parallel for schedule(static)
    for (uint64_t b = 0; b < DK_BOOT; b++) {
        double sx = 0, sn = 0;

        for (size_t i = 0; i < docs; i++) {
            const int w = dk_boot_weight(seed, b, doc[i]);

            sx += w * x[i];
            sn += w * n[i];
        }
        r[b] = sn > 0 ? sx / sn : NAN;
    }
    dk_replicate_interval(lo, hi, r, DK_BOOT);
    dk_free(r);
    return 0;
}

/* --- the sign-flip test ------------------------------------------------------- */
/* All entries in units of 2^-24: integers, and so are their sums, which double
 * holds exactly below 2^53. */
static int to_grid(double *out, const double *d, size_t docs, size_t dim, dk_err *err)
{
    for (size_t j = 0; j < dim; j++) {
        double sum = 0;

        for (size_t i = 0; i < docs; i++) {
            out[i * dim + j] = rint(d[i * dim + j] * 0x1p24);
            sum += fabs(out[i * dim + j]);
        }
        if (!(sum < 0x1p53))
            return dk_fail(err, DK_ENUM, "differences are too large (or no numbers) for the sign-flip test");
    }
    return 0;
}

static double squared_length(const double *v, size_t n)
{
    double sq = 0;

    for (size_t j = 0; j < n; j++)
        sq += v[j] * v[j];
    return sq;
}

static void flipped(double *v, const double *d, const uint64_t *doc, size_t docs, size_t dim, uint64_t seed, uint64_t b)
{
    memset(v, 0, dim * sizeof *v);
    for (size_t i = 0; i < docs; i++) {
        const double sign = dk_flip_sign(seed, b, doc[i]);

        for (size_t j = 0; j < dim; j++)
            v[j] += sign * d[i * dim + j];
    }
}

double dk_halves_cosine(double plain, double flipped, double product)
{
    const double sq = (plain + flipped) * (plain + flipped) - 4 * product * product;

    return sq > 1e-12 * plain * plain ? fmax(-1, fmin(1, (plain - flipped) / sqrt(sq))) : NAN;
}

/* Of all flips p, and the halves' cosine in the mean. */
static void judge(double *p, double *halves, const double *room, const double *plain, size_t dim)
{
    double sum = 0;
    size_t above = 0, n = 0;
    const double first = squared_length(plain, dim);

    for (size_t b = 0; b < DK_FLIPS; b++) {
        const double *v = room + b * dim, t = squared_length(v, dim);
        double product = 0, cosine;

        for (size_t j = 0; j < dim; j++)
            product += v[j] * plain[j];
        above += t >= first;
        cosine = dk_halves_cosine(first, t, product);
        if (isfinite(cosine)) {
            sum += cosine;
            n++;
        }
    }
    *p = (1 + (double)above) / (DK_FLIPS + 1);
    *halves = n ? sum / (double)n : NAN;
}

static int signflip(double *p, double *halves, const double *d, const uint64_t *doc, size_t docs, size_t dim, uint64_t seed,
                    dk_err *err)
{
    double *grid = NULL, *room = NULL;
    size_t n;
    int rc;

    *p = *halves = NAN;
    if (docs < 2 || dim == 0)
        return 0;
    if (!dk_mul_size(&n, docs, dim))
        return dk_fail(err, DK_ENOMEM, "the differences of all documents do not fit in memory");
    rc = dk_alloc(&grid, n, sizeof *grid, "the sign-flip test", err);
    if (rc == 0) rc = to_grid(grid, d, docs, dim, err);
    if (rc == 0)
        rc = dk_mul_size(&n, dim, DK_FLIPS + 1) ? dk_alloc(&room, n, sizeof *room, "the sign-flip test", err)
                                                : dk_fail(err, DK_ENOMEM, "the sign-flip test does not fit in memory");
    if (rc == 0) {
        #pragma omp parallel for schedule(static)
        for (uint64_t b = 0; b <= DK_FLIPS; b++)        /* 0: as it is */
            flipped(room + b * dim, grid, doc, docs, dim, seed, b);
        judge(p, halves, room + dim, room, dim);
    }
    dk_free(grid);
    dk_free(room);
    return rc;
}

int dk_signflip_p(double *p, const double *d, const uint64_t *doc, size_t docs, size_t dim, uint64_t seed, dk_err *err)
{
    double halves;

    return signflip(p, &halves, d, doc, docs, dim, seed, err);
}

/* --- lengths of means --------------------------------------------------------- */
/* The documents that have rows: sums along the direction of the mean, means of their own. */
struct docs { double *along, *rows, *mean; uint64_t *id; size_t n; };

static void gather(struct docs *g, const double *sum, const double *n, const uint64_t *doc, size_t docs, size_t dim,
                   const double *u)
{
    for (size_t i = 0; i < docs; i++) {
        if (n[i] <= 0)
            continue;
        g->along[g->n] = 0;
        for (size_t j = 0; j < dim; j++) {
            g->along[g->n] += sum[i * dim + j] * u[j];
            g->mean[g->n * dim + j] = sum[i * dim + j] / n[i];
        }
        g->rows[g->n] = n[i];
        g->id[g->n++] = doc[i];
    }
}

int dk_mean_length(dk_length *out, const double *sum, const double *n, const uint64_t *doc, size_t docs, size_t dim,
                   uint64_t seed, dk_err *err)
{
    struct docs g = {0};
    double *u = NULL, length;
    size_t all;
    int rc = dk_mul_size(&all, docs, dim) ? 0 : dk_fail(err, DK_ENOMEM, "the documents' means do not fit in memory");

    *out = (dk_length){ NAN, NAN, NAN, NAN };
    if (rc == 0) rc = dk_alloc(&u, dim, sizeof *u, "documents' means", err);
    if (rc == 0) rc = dk_alloc(&g.along, docs, sizeof *g.along, "documents' means", err);
    if (rc == 0) rc = dk_alloc(&g.rows, docs, sizeof *g.rows, "documents' means", err);
    if (rc == 0) rc = dk_alloc(&g.id, docs, sizeof *g.id, "documents' means", err);
    if (rc == 0) rc = dk_alloc(&g.mean, all, sizeof *g.mean, "documents' means", err);
    for (size_t i = 0; rc == 0 && i < docs; i++)
        for (size_t j = 0; n[i] > 0 && j < dim; j++)
            u[j] += sum[i * dim + j];
    if (rc == 0) {
        length = sqrt(squared_length(u, dim));
        for (size_t j = 0; length > 0 && j < dim; j++)
            u[j] /= length;
        gather(&g, sum, n, doc, docs, dim, u);
        rc = dk_bootstrap_ratio(&out->lo, &out->hi, g.along, g.rows, g.id, g.n, seed, err);
    }
    if (rc == 0)
        rc = signflip(&out->p, &out->halves, g.mean, g.id, g.n, dim, seed, err);
    dk_free(u);
    dk_free(g.along);
    dk_free(g.rows);
    dk_free(g.id);
    dk_free(g.mean);
    return rc;
}

int dk_mean_change(dk_change *out, const float *own, const float *other, const uint64_t *offset, const uint64_t *doc,
                   size_t docs, uint64_t seed, dk_err *err)
{
    double *sum = NULL, *n = NULL, *mean = NULL, total = 0, rows = 0;
    uint64_t *id = NULL;
    int rc = dk_alloc(&sum, docs, sizeof *sum, "a mean change", err);

    *out = (dk_change){ NAN, NAN, NAN, NAN, 0 };
    if (rc == 0) rc = dk_alloc(&n, docs, sizeof *n, "a mean change", err);
    if (rc == 0) rc = dk_alloc(&mean, docs, sizeof *mean, "a mean change", err);
    if (rc == 0) rc = dk_alloc(&id, docs, sizeof *id, "a mean change", err);
    for (size_t d = 0; rc == 0 && d < docs; d++) {
        double s = 0, k = 0;

        for (size_t i = offset[d]; i < offset[d + 1]; i++)
            if (isfinite(own[i]) && isfinite(other[i])) {
                s += (double)own[i] - other[i];
                k++;
            }
        if (k <= 0)
            continue;
        sum[out->docs] = s;
        n[out->docs] = k;
        mean[out->docs] = s / k;
        id[out->docs++] = doc[d];
        total += s;
        rows += k;
    }
    if (rc == 0 && out->docs) {
        out->value = total / rows;
        rc = dk_bootstrap_ratio(&out->lo, &out->hi, sum, n, id, out->docs, seed, err);
    }
    if (rc == 0)
        rc = dk_signflip_p(&out->p, mean, id, out->docs, 1, seed, err);
    dk_free(sum);
    dk_free(n);
    dk_free(mean);
    dk_free(id);
    return rc;
}

/* --- rates -------------------------------------------------------------------- */
double dk_rate(double *se, const dk_rate_sums *s)
{
    const double r = s->n > 0 ? s->x / s->n : NAN, docs = (double)s->docs;
    const double sq = s->xx - 2 * r * s->xn + r * r * s->nn;

    if (se)
        *se = s->docs > 1 ? sqrt(docs / (docs - 1) * fmax(sq, 0)) / s->n : NAN;
    return r;
}
