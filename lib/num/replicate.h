/* Replicates of sums of vectors over documents, for intervals and p of the length
 * of their mean where the documents are not at hand any more: those of the
 * bootstrap, and those of the sign-flip test.
 *
 * All are integers, in units of 2^-24, so they can be added in any order.  Weights
 * and signs are those of num/resample.h, and so are the results, but for the
 * rounding to these units. */
#ifndef DK_NUM_REPLICATE_H
#define DK_NUM_REPLICATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "num/resample.h"

typedef struct dk_replicates {
    size_t d;
    uint64_t *boot_count;           /* [DK_BOOT] rows */
    int64_t *boot_sum;              /* [DK_BOOT, d] */
    int64_t *flip_sum;              /* [DK_FLIPS + 1, d] of the documents' means; the first: as they are */
} dk_replicates;

int dk_replicates_new(dk_replicates *r, size_t d, dk_err *err);
void dk_replicates_free(dk_replicates *r);
/* No sum runs over: of so many rows with values up to most. */
bool dk_replicates_fit(double most, uint64_t rows);
/* Whether they can be of so many. */
bool dk_replicates_good(const dk_replicates *r, double most, uint64_t rows);

/* Documents with numbers doc[n], sums x [n, d] of rows[n] rows each (0: left out). */
int dk_replicates_add(dk_replicates *r, const double *x, const size_t *rows, const uint64_t *doc, size_t n, uint64_t seed,
                      dk_err *err);
void dk_replicates_join(dk_replicates *to, const dk_replicates *from);
/* Of the length of `mean` [d], as dk_mean_length; fewer than two documents: NaN. */
int dk_replicates_length(dk_length *out, const dk_replicates *r, const double *mean, uint64_t docs, dk_err *err);

#endif
