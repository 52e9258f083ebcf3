/* Non-negative factors of a sparse matrix: V [rows, cols] near H W^T, by
 * multiplicative updates for the beta-divergence (2: squared error, 1:
 * Kullback-Leibler), W first, then H with the new W, as torchnmf 0.3.5 does.
 *
 * Factors are kept and summed in double, in an order that depends on no number
 * of threads.  Beta 1 and 2 touch only the entries that are there; the others
 * need every element of H W^T, one row at a time, and are refused where the
 * matrix is too large for that. */
#ifndef DK_NUM_NMF_H
#define DK_NUM_NMF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

/* Rows of entries (column, value > 0); columns of a row in any order, each once. */
typedef struct dk_nmf_matrix {
    size_t rows, cols;
    uint64_t *at;               /* [rows + 1] */
    uint32_t *col;
    float *value;
} dk_nmf_matrix;

typedef struct dk_nmf_plan {
    size_t topics;
    double beta;
    /* Adds weight * (the other topics' entries of a row) to what both factors are
     * divided by, and goes on for all iterations. */
    bool orthogonal;
    double weight;
    size_t iterations;          /* at most; 0: 200 */
    double tolerance;           /* of the loss over ten iterations, in the first loss; 0: 1e-4 */
    uint64_t seed;              /* of the first start; the next has the next seed */
    size_t starts;              /* 0: 1 */
    const float *w0, *h0;       /* [cols, topics], [rows, topics]: start here instead */
} dk_nmf_plan;

/* How one start ended. */
typedef struct dk_nmf_start {
    uint64_t seed;
    size_t iterations;
    double loss;                /* sqrt(2 D) */
    double explained;           /* 1 - |V - H W^T|^2 / |V|^2 */
    double agreement;           /* mean cosine of its topics and those of the best start */
} dk_nmf_start;

typedef struct dk_nmf {
    size_t rows, cols, topics, starts, best;
    dk_nmf_start *start;        /* [starts] */
    double *w, *h;              /* [cols, topics], [rows, topics], of the start with the least loss */
} dk_nmf;

/* DK_EUSAGE: a plan that cannot be; DK_EDATA: no entries, or too large. */
int dk_nmf_fit(dk_nmf *out, const dk_nmf_matrix *v, const dk_nmf_plan *plan, dk_err *err);
void dk_nmf_free(dk_nmf *f);

typedef struct dk_nmf_topic {
    double mass;                /* sum of H's column times sum of W's; 0: an empty topic */
    double prevalence;          /* share of rows to which the topic gives most */
    double concentration;       /* 1 - entropy of W's column / ln cols */
} dk_nmf_topic;

/* topic[topics], cosine[topics, topics]: of W's columns, NaN for empty ones. */
int dk_nmf_topics(const dk_nmf *f, dk_nmf_topic *topic, double *cosine, dk_err *err);

#endif
