/* Sums over documents, a thousand times. */
#include "num/replicate.h"

#include <math.h>

#include "base/mem.h"

int dk_replicates_new(dk_replicates *r, size_t d, dk_err *err)
{
    size_t n;
    int rc = dk_mul_size(&n, DK_BOOT, d) ? 0 : dk_fail(err, DK_ENOMEM, "the replicates do not fit in memory");

    *r = (dk_replicates){ .d = d };
    if (rc == 0) rc = dk_alloc(&r->boot_count, DK_BOOT, sizeof *r->boot_count, "replicates", err);
    if (rc == 0) rc = dk_alloc(&r->boot_sum, n, sizeof *r->boot_sum, "replicates", err);
    if (rc == 0) rc = dk_alloc(&r->flip_sum, n, sizeof *r->flip_sum, "replicates", err);
    if (rc < 0)
        dk_replicates_free(r);
    return rc;
}

void dk_replicates_free(dk_replicates *r)
{
    dk_free(r->boot_count);
    dk_free(r->boot_sum);
    dk_free(r->flip_sum);
    *r = (dk_replicates){0};
}

/* A weight is below 16: 2^4 2^24 most rows < 2^63. */
bool dk_replicates_fit(double most, uint64_t rows) { return most * (double)rows < 0x1p35; }

bool dk_replicates_good(const dk_replicates *r, double most, uint64_t rows)
{
    const double limit = 0x1p28 * most * (double)rows + 16 * (double)rows;
    bool good = true;

    for (size_t b = 0; b < DK_BOOT; b++)
        good = good && r->boot_count[b] / 16 <= rows;
    for (size_t i = 0; good && i < DK_BOOT * r->d; i++)
        good = fabs((double)r->boot_sum[i]) <= limit && fabs((double)r->flip_sum[i]) <= limit;
    return good;
}

static void add_times(int64_t *restrict to, const int64_t *restrict x, int64_t w, size_t d)
{
    if (w == 1)
        for (size_t j = 0; j < d; j++)
            to[j] += x[j];
    else if (w)
        for (size_t j = 0; j < d; j++)
            to[j] += w * x[j];
}

/* Replicate by replicate: its sums stay in the nearest cache while all documents pass. */
static void add_all(dk_replicates *r, const int64_t *sum, const int64_t *mean, const size_t *rows, const uint64_t *doc,
                    size_t n, uint64_t seed)
{
    const size_t d = r->d;

    _Static_assert(DK_BOOT == DK_FLIPS + 1, "one loop for both");
    #pragma omp parallel for schedule(static)
    for (uint64_t b = 0; b < DK_BOOT; b++)
        for (size_t i = 0; i < n; i++) {
            const int w = rows[i] ? dk_boot_weight(seed, b, doc[i]) : 0;
            const int sign = dk_flip_sign(seed, b, doc[i]);

            r->boot_count[b] += (uint64_t)w * rows[i];
            add_times(r->boot_sum + b * d, sum + i * d, w, d);
            if (rows[i])
                add_times(r->flip_sum + b * d, mean + i * d, sign, d);
        }
}

int dk_replicates_add(dk_replicates *r, const double *x, const size_t *rows, const uint64_t *doc, size_t n, uint64_t seed,
                      dk_err *err)
{
    const size_t d = r->d;
    int64_t *sum = NULL, *mean = NULL;
    size_t all;
    int rc = dk_mul_size(&all, n, d) ? dk_alloc(&sum, all, sizeof *sum, "replicates", err)
                                     : dk_fail(err, DK_ENOMEM, "the replicates do not fit in memory");

    if (rc == 0)
        rc = dk_alloc(&mean, all, sizeof *mean, "replicates", err);
    for (size_t i = 0; rc == 0 && i < n; i++)
        for (size_t j = 0; rows[i] && j < d; j++) {
            sum[i * d + j] = llrint(x[i * d + j] * 0x1p24);
            mean[i * d + j] = llrint(x[i * d + j] / (double)rows[i] * 0x1p24);
        }
    if (rc == 0)
        add_all(r, sum, mean, rows, doc, n, seed);
    dk_free(sum);
    dk_free(mean);
    return rc;
}

void dk_replicates_join(dk_replicates *to, const dk_replicates *from)
{
    for (size_t b = 0; b < DK_BOOT; b++)
        to->boot_count[b] += from->boot_count[b];
    for (size_t i = 0; i < DK_BOOT * to->d; i++) {
        to->boot_sum[i] += from->boot_sum[i];
        to->flip_sum[i] += from->flip_sum[i];
    }
}

int dk_replicates_length(dk_length *out, const dk_replicates *r, const double *mean, uint64_t docs, dk_err *err)
{
    double *x = NULL, length = 0, first = 0, halves = 0;
    size_t above = 0, n = 0;
    int rc = dk_alloc(&x, DK_BOOT, sizeof *x, "bootstrap", err);

    *out = (dk_length){ NAN, NAN, NAN, NAN };
    if (rc < 0 || docs < 2) {
        dk_free(x);
        return rc;
    }
    for (size_t j = 0; j < r->d; j++)
        length += mean[j] * mean[j];
    length = sqrt(length);
    for (size_t b = 0; b < DK_BOOT; b++) {
        double along = 0, square = 0, product = 0, cosine;

        for (size_t j = 0; j < r->d; j++) {
            const double f = (double)r->flip_sum[b * r->d + j];

            along += (double)r->boot_sum[b * r->d + j] * mean[j];
            square += f * f;
            product += f * (double)r->flip_sum[j];
        }
        along = length > 0 ? along / length * 0x1p-24 : 0;
        x[b] = r->boot_count[b] ? along / (double)r->boot_count[b] : NAN;
        first = b ? first : square;
        above += b && square >= first;
        cosine = b ? dk_halves_cosine(first, square, product) : NAN;
        if (isfinite(cosine)) {
            halves += cosine;
            n++;
        }
    }
    out->p = (1 + (double)above) / (DK_FLIPS + 1);
    out->halves = n ? halves / (double)n : NAN;
    dk_replicate_interval(&out->lo, &out->hi, x, DK_BOOT);
    dk_free(x);
    return 0;
}
