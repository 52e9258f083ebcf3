/* Statistics of rows while they pass: what a .stats.h5 keeps, collected batch by
 * batch.  Nothing of it depends on threads, batches or shards.  Rows are where the
 * device has them: they are summed there, and only sums come back. */
#ifndef DK_METHOD_EXTRACTSTATS_H
#define DK_METHOD_EXTRACTSTATS_H

#include <stdbool.h>

#include "io/statfile.h"

typedef struct dk_collect_plan {
    size_t positions;               /* that have sums of their own */
    uint64_t seed;                  /* of the bootstrap */
    uint64_t first_leaf, end_leaf;  /* of this shard: num/tree.h; 0 and UINT64_MAX: all */
    bool replicates;                /* of the means of differences: of all rows, */
    size_t rep_positions;           /* and of these positions */
} dk_collect_plan;

/* Where the rows of a lane at one layer and site stand in every batch: d; borrowed. */
typedef struct dk_collect_lane {
    int layer;
    const char *site, *lane;
    const float *base, *own;        /* base NULL: it is the base itself */
    const float *diff;              /* NULL: own less base */
} dk_collect_lane;

typedef struct dk_collect dk_collect;

int dk_collect_new(dk_collect **c, size_t d, const dk_collect_plan *plan, dk_err *err);
void dk_collect_free(dk_collect **c);
/* Sums of these rows (d); gram: also of the products of their values; diff: they are a difference. */
int dk_collect_rows(dk_collect *c, int layer, const char *site, const char *what, const float *rows, bool gram, bool diff,
                    dk_err *err);
/* norm, norm_diff, cos_dist and relative of the lane, as dk-norms has them. */
int dk_collect_norms(dk_collect *c, const dk_collect_lane *lane, dk_err *err);
/* A value a row, on the host; gaps: NaN is none, not an error; flips: keep what
 * the sign-flip test of its change from another one needs. */
int dk_collect_values(dk_collect *c, const char *name, const char *unit, const float *values, bool gaps, bool flips,
                      dk_err *err);

/* The rows of documents first .. last - 1 of t are now there. */
int dk_collect_batch(dk_collect *c, const dk_tokens *t, size_t first, size_t last, const char *path, dk_err *err);
/* Writes everything, in the order of the calls above. */
int dk_collect_put(dk_collect *c, dk_h5 *f, dk_err *err);

#endif
