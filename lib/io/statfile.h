/* Statistics files (.stats.h5): sums over rows of activations, and over values
 * that every token has, instead of the rows.  Sums are exact (num/exact.h), so
 * those of shards add up to those of the whole, to the bit.
 *
 *   /stats/L14/resid_post/WHAT      vectors: activations of a lane, or a difference
 *   /measures/NAME                  values: norm/L14/resid_post/ft, kl/ft
 * dk-formats(5) has the datasets. */
#ifndef DK_IO_STATFILE_H
#define DK_IO_STATFILE_H

#include "io/actfile.h"
#include "num/exact.h"
#include "num/replicate.h"
#include "num/tree.h"

enum { DK_STAT_BINS = 256, DK_STAT_REPLICATES = DK_BOOT };

typedef struct dk_sums {
    int layer;
    char *site, *what;              /* owned, like all below */
    size_t d, n_pos;                /* width; positions that have sums of their own */
    uint64_t count, docs;           /* rows; documents that have some */
    dk_exact *sum, *sumsq;          /* [d] */
    dk_exact *doc_mean, *doc_mean_sq;   /* [d] over documents: of their means, of the squares of these */
    float *min, *max;               /* [d] */
    dk_exact norm_sum;              /* of the rows' norms */
    uint64_t norm_hist[DK_STAT_BINS];   /* dk_stat_bin of them */
    uint64_t *pos_count;            /* [n_pos] */
    dk_exact *pos_sum, *pos_norm_sum;   /* [n_pos, d], [n_pos] */
    bool products;                  /* those of the values of rows are kept: */
    dk_tree gram;
    size_t n_reps;                  /* 0, or 1 + positions that have replicates: */
    dk_replicates *reps;            /* [n_reps] of all rows; of position 0, 1, ... */
    uint64_t seed;                  /* of these */
} dk_sums;

/* One value a token, of documents with at least two. */
typedef struct dk_measure {
    char *name, *unit;
    uint64_t count, docs, hist[DK_STAT_BINS];
    float min, max;
    dk_exact sum, sumsq, doc_mean, doc_mean_sq;
    uint64_t seed;                  /* of the bootstrap over documents */
    uint64_t boot_count[DK_STAT_REPLICATES];
    dk_exact boot_sum[DK_STAT_REPLICATES];
    bool flips;                     /* these are kept: of the documents' means with signs, the first as they are */
    dk_exact flip_sum[DK_FLIPS + 1];
} dk_measure;

typedef struct dk_statistics {
    dk_sums *sums;
    size_t n_sums;
    dk_measure *measure;
    size_t n_measures;
} dk_statistics;

/* Bin floor(8 log2 v) + 128 of 0 .. 255; what is not above 0: bin 0. */
size_t dk_stat_bin(double v);

int dk_sums_new(dk_sums *s, int layer, const char *site, const char *what, size_t d, size_t n_pos, dk_err *err);
void dk_sums_free(dk_sums *s);
/* Replicates of all rows and of the first n_pos positions. */
int dk_sums_replicate(dk_sums *s, size_t n_pos, uint64_t seed, dk_err *err);
/* Of the length of the mean of all rows (position < 0), or of
 * those at a position; without replicates, or of fewer than two documents: NaN. */
int dk_sums_length(dk_length *out, const dk_sums *s, int64_t position, dk_err *err);
/* name: parts as dk_lane_name_ok has them, between slashes. */
int dk_measure_new(dk_measure *m, const char *name, const char *unit, uint64_t seed, dk_err *err);
void dk_measure_free(dk_measure *m);
void dk_statistics_free(dk_statistics *s);

const dk_sums *dk_sums_find(const dk_statistics *s, int layer, const char *site, const char *what);
const dk_measure *dk_measure_find(const dk_statistics *s, const char *name);
/* Mean and unbiased deviation of its values, or of the documents' means; NaN
 * where there are too few. */
void dk_measure_moments(const dk_measure *m, bool by_docs, double *mean, double *std);
/* 95% interval of the mean over documents, from the replicates. */
void dk_measure_interval(const dk_measure *m, double *lo, double *hi);
/* The same of the mean of a less b, two measures of the same tokens, and p of the
 * sign-flip test, as dk_mean_change; NaN: they are not, p: without sums of flips. */
void dk_measure_change(dk_change *out, const dk_measure *a, const dk_measure *b);

/* Sums that may have run over are refused: too many rows of too large values. */
int dk_sums_check(const dk_sums *s, const char *path, dk_err *err);
int dk_measure_check(const dk_measure *m, const char *path, dk_err *err);
int dk_sums_put(dk_h5 *f, const dk_sums *s, dk_err *err);
int dk_measure_put(dk_h5 *f, const dk_measure *m, dk_err *err);
/* All of a file, in byte order of the paths. */
int dk_statistics_get(dk_h5 *f, dk_statistics *s, dk_err *err);
/* Adds what another shard has, taking over its matrices; path names it. */
int dk_statistics_add(dk_statistics *to, dk_statistics *from, const char *path, dk_err *err);

#endif
