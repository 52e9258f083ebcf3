/* Uncertainty over documents: the bootstrap, the sign-flip test, and the
 * standard error of a rate.  Weights and signs depend on (seed, replicate,
 * document number) alone, so no order and no thread count changes a result. */
#ifndef DK_NUM_RESAMPLE_H
#define DK_NUM_RESAMPLE_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/rng.h"

/* Replicates of each; the smallest p of the sign-flip test is 1 / 1000. */
enum { DK_BOOT = 1000, DK_FLIPS = 999 };

/* An interval over fewer documents is too narrow: of 95% over 50 about 90% hold. */
enum { DK_FEW_DOCS = 100 };

/* Interval of sum x / sum n over documents: Poisson(1) weights, the 2.5% and
 * 97.5% order statistics.  Fewer than two documents: NaN. */
int dk_bootstrap_ratio(double *lo, double *hi, const double *x, const double *n,
                       const uint64_t *doc, size_t docs, uint64_t seed, dk_err *err);
/* The same of any statistic, given its value in each replicate: x is sorted,
 * values that are not finite are left out. */
void dk_replicate_interval(double *lo, double *hi, double *x, size_t n);

/* Poisson(1): 0 .. 14. */
int dk_poisson1(uint64_t u);
/* A document's weight in replicate b of the bootstrap, its sign in flip b: flip 0 is the data. */
static inline int dk_boot_weight(uint64_t seed, uint64_t b, uint64_t doc)
{
    return dk_poisson1(dk_ctr(seed, DK_STREAM_BOOTSTRAP, b, doc));
}
static inline int dk_flip_sign(uint64_t seed, uint64_t b, uint64_t doc)
{
    return b && dk_ctr(seed, DK_STREAM_SIGNFLIP, b, doc) >> 63 ? -1 : 1;
}

/* p of the hypothesis that base and finetune could change places: the length of
 * the mean of d [docs, dim], one row a document, among those with random signs.
 * Entries are rounded to 2^-24, which makes every sum exact; DK_ENUM where they
 * are too large for that.  Fewer than two documents: NaN. */
int dk_signflip_p(double *p, const double *d, const uint64_t *doc, size_t docs, size_t dim, uint64_t seed, dk_err *err);

/* What signs say of two halves: those with a plus and those with a minus.  From the
 * squared lengths of the sum as it is and with signs, and the product of the two,
 * the cosine of the halves' sums; NaN: one of them is nothing. */
double dk_halves_cosine(double plain, double flipped, double product);

/* The length of a mean of vectors, from sums over documents [docs, dim] of n[i]
 * rows each.  Documents without rows are left out; fewer than two: NaN. */
typedef struct dk_length {
    double lo, hi;                  /* its interval: that of the mean's component along itself */
    double p;                       /* of the sign-flip test of the documents' means */
    double halves;                  /* cosine of the means of two halves of the documents, in the mean over the
                                     * halves that the flips make; NaN: no flip made two */
} dk_length;
int dk_mean_length(dk_length *out, const double *sum, const double *n, const uint64_t *doc, size_t docs, size_t dim,
                   uint64_t seed, dk_err *err);

/* The mean of own - other over the rows of documents where both are finite: its
 * interval, and p of the sign-flip test of the documents' means.  docs 0 with
 * value NaN: there are none. */
typedef struct dk_change { double value, lo, hi, p; size_t docs; } dk_change;
int dk_mean_change(dk_change *out, const float *own, const float *other, const uint64_t *offset, const uint64_t *doc,
                   size_t docs, uint64_t seed, dk_err *err);

/* Sums over documents of a count x among n positions, and its rate with the
 * standard error of a ratio; fewer than two documents: NaN. */
typedef struct dk_rate_sums { double x, xx, xn, n, nn; size_t docs; } dk_rate_sums;
double dk_rate(double *se, const dk_rate_sums *s);

#endif
