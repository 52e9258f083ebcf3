/* Statistics of rows on the CPU. */
#include "backend/cpudev.h"

#include <string.h>

#include "backend/blasdyn.h"
#include "base/mem.h"

enum { COLUMNS = 64 };

/* Sums of n columns: those of all rows, and those of the row's position (NULL: none are kept). */
struct columns { dk_exact *sum, *sumsq; float *min, *max; };

static void add_row(const struct columns *restrict c, dk_exact *restrict by_pos, const float *restrict x, size_t n)
{
    for (size_t j = 0; j < n; j++) {
        const dk_exact e = dk_exact_of(x[j]);

        c->sum[j] += e;
        c->sumsq[j] += dk_exact_of((double)x[j] * x[j]);
        if (by_pos)
            by_pos[j] += e;
    }
    for (size_t j = 0; j < n; j++) {
        c->min[j] = x[j] < c->min[j] ? x[j] : c->min[j];
        c->max[j] = x[j] > c->max[j] ? x[j] : c->max[j];
    }
}

/* Columns j0 .. j0 + n - 1. */
static void add_columns(const dk_row_sums *a, size_t j0, size_t n)
{
    const struct columns c = { a->sum + j0, a->sumsq + j0, a->min + j0, a->max + j0 };
    dk_exact before[COLUMNS];
    const float *x = a->x + j0;

    if (a->first && a->doc[a->n_docs] > 0) {
        memcpy(c.min, x, n * sizeof *x);
        memcpy(c.max, x, n * sizeof *x);
    }
    for (size_t doc = 0; doc < a->n_docs; doc++) {
        const size_t len = a->doc[doc + 1] - a->doc[doc];

        memcpy(before, c.sum, n * sizeof *before);
        for (size_t r = 0; r < len; r++, x += a->width) {
            const size_t pos = a->pos[a->doc[doc] + r];

            add_row(&c, pos < a->n_pos ? a->pos_sum + pos * a->width + j0 : NULL, x, n);
        }
        for (size_t j = 0; len && j < n; j++) {
            const double sum = dk_exact_double(c.sum[j] - before[j]), mean = sum / (double)len;

            if (a->doc_sum)
                a->doc_sum[doc * a->width + j0 + j] = sum;
            a->doc_mean[j0 + j] += dk_exact_of(mean);
            a->doc_mean_sq[j0 + j] += dk_exact_of(mean * mean);
        }
    }
}

int dk_cpu_row_sums(dk_dev *dev, const dk_row_sums *a, dk_err *err)
{
    (void)dev;
    (void)err;
#pragma omp parallel for schedule(dynamic)
    for (size_t j0 = 0; j0 < a->width; j0 += COLUMNS)
        add_columns(a, j0, a->width - j0 < COLUMNS ? a->width - j0 : COLUMNS);
    return 0;
}

static void products(double *out, const float *own, const float *base, const float *diff, size_t width)
{
    double p[DK_ROW_PRODUCTS] = {0};

    for (size_t j = 0; j < width; j++) {
        p[DK_ROW_OWN] += (double)own[j] * own[j];
        if (base) {
            const float e = diff ? diff[j] : own[j] - base[j];

            p[DK_ROW_BASE] += (double)base[j] * base[j];
            p[DK_ROW_BOTH] += (double)base[j] * own[j];
            p[DK_ROW_DIFF] += (double)e * e;
        }
    }
    memcpy(out, p, sizeof p);
}

int dk_cpu_row_products(dk_dev *dev, double *out, const float *own, const float *base, const float *diff, size_t rows,
                        size_t width, dk_err *err)
{
    (void)dev;
    (void)err;
#pragma omp parallel for
    for (size_t r = 0; r < rows; r++)
        products(out + r * DK_ROW_PRODUCTS, own + r * width, base ? base + r * width : NULL,
                 diff ? diff + r * width : NULL, width);
    return 0;
}

int dk_cpu_scatter(dk_dev *dev, double *c, const float *x, size_t n, size_t width, dk_err *err)
{
    struct cpu *cpu = (struct cpu *)dev;
    int rc = dk_blas_load(err);

    if (rc == 0 && n * width > cpu->wide_room) {
        dk_free(cpu->wide);
        rc = dk_alloc(&cpu->wide, n * width, sizeof *cpu->wide, "products of activations", err);
        cpu->wide_room = rc == 0 ? n * width : 0;
    }
    if (rc < 0 || n == 0)
        return rc;
#pragma omp parallel for
    for (size_t i = 0; i < n * width; i++)
        cpu->wide[i] = x[i];
    dk_blas_products(c, cpu->wide, n, width, DK_UPPER);
    return 0;
}
