/* From statistics of a pair and of nulls to p and q.  Three kinds of q exist, and
 * none is called by another's name: q_bh (Benjamini and Hochberg over p-values),
 * p_pool (against the pooled units of nulls) and fdr_td (target-decoy). */
#ifndef DK_NUM_INFER_H
#define DK_NUM_INFER_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

/* --- one value against those of nulls.  With at least so many they are an
 * ensemble, with a mean and a deviation; of fewer the largest is what counts. */
enum { DK_FEW_NULLS = 5 };
double dk_mean_sd(double *sd, const double *x, size_t n);      /* unbiased; n at least 2 */
/* (x - m) / sqrt(se^2 + s^2): m the nulls' mean and s their deviation, or the
 * largest and its own error.  NaN: neither has an error. */
double dk_null_z(double x, double se, double m, double s);
void dk_sort(double *x, size_t n);                             /* ascending; no NaN */
/* The lower middle of x, which is sorted by it; n 0: 0.  A deviation of few nulls is taken
 * to be no less than that of the values of its stratum. */
double dk_lower_median(double *x, size_t n);

/* p of t among m nulls: (1 + those >= t) / (m + 1); no smaller than 1 / (m + 1). */
double dk_ensemble_p(double t, const double *null, size_t m);
/* Linear between order statistics, h = (n - 1) p; x is copied.  n 0: NaN. */
double dk_quantile(const double *x, size_t n, double p);
/* The same of x [n > 0] that ascends already. */
double dk_quantile_sorted(const double *x, size_t n, double p);

/* 95% interval of k successes in n independent trials. */
void dk_wilson(double *lo, double *hi, uint64_t k, uint64_t n);

/* q_bh of n p-values; NaN stays out and NaN. */
int dk_q_bh(double *q, const double *p, size_t n, dk_err *err);
/* p_pool: (1 + null units of the stratum with z >= this unit's) / (1 + null
 * units of the stratum).  Units with z NaN get NaN, or are not counted. */
int dk_p_pool(double *p, const double *z, const uint8_t *stratum, size_t n, const double *null_z,
              const uint8_t *null_stratum, size_t n_null, dk_err *err);
/* fdr_td: of the list from a unit upwards, (1 + null units) / real units, times
 * the ratio of their numbers; monotone from the bottom, at most 1.  NaN as above. */
int dk_fdr_td(double *fdr, const double *z, size_t n, const double *null_z, size_t n_null, dk_err *err);

/* P(X >= k), X the successes among draws without replacement. */
double dk_hypergeometric_p(uint64_t k, uint64_t population, uint64_t successes, uint64_t draws);
/* The same of the sum over strata, each drawn from by itself. */
typedef struct dk_stratum { uint64_t population, successes, draws; } dk_stratum;
int dk_strata_p(double *p, uint64_t k, const dk_stratum *s, size_t n, dk_err *err);

/* P(Z >= z) of a standard normal. */
double dk_normal_p(double z);

#endif
