/* Statistics files (.stats.h5): sums over rows of activations that can be added
 * up, instead of the rows.  One group /stats/L14/resid_post/WHAT for each layer,
 * site and lane; dk-formats(5) has the datasets. */
#ifndef DK_IO_STATFILE_H
#define DK_IO_STATFILE_H

#include "io/actfile.h"

enum { DK_STAT_BINS = 256 };

typedef struct dk_stats {
    int layer;
    char *site, *what;              /* owned */
    size_t d, n_pos;                /* width; positions that have sums of their own */
    uint64_t count;                 /* rows */
    double *sum, *sumsq;            /* [d] */
    float *min, *max;               /* [d] */
    double norm_sum;                /* of the rows' norms */
    uint64_t norm_hist[DK_STAT_BINS];   /* by floor(8 log2 norm) + 128, clamped; norm 0: bin 0 */
    uint64_t *pos_count;            /* [n_pos] */
    double *pos_sum, *pos_norm_sum; /* [n_pos, d], [n_pos] */
} dk_stats;

int dk_stats_new(dk_stats *s, int layer, const char *site, const char *what, size_t d, size_t n_pos,
                 dk_err *err);
void dk_stats_free(dk_stats *s);
/* Rows [n, d] at these positions; sums run in double, row by row.  The number
 * of a row that is not finite, or n. */
size_t dk_stats_add(dk_stats *s, const float *rows, const uint32_t *pos, size_t n);
int dk_stats_put(dk_h5 *f, const dk_stats *s, dk_err *err);
/* All of a file, in byte order of the paths: free each, then the list. */
int dk_stats_get(dk_h5 *f, dk_stats **s, size_t *n, dk_err *err);

#endif
