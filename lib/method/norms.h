/* How long activations are, and how far those of a finetune lie from the base's,
 * token by token; and the mean difference at chosen tokens. */
#ifndef DK_METHOD_NORMS_H
#define DK_METHOD_NORMS_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/mem.h"
#include "io/actfile.h"
#include "num/resample.h"

typedef struct dk_norm_plan {
    size_t skip;                    /* no values at the first positions of a text */
    size_t positions;               /* mean differences at so many first positions */
    const uint32_t *token;          /* [n_tokens] and at these tokens, wherever they stand */
    size_t n_tokens;
    uint64_t seed;                  /* of the intervals */
} dk_norm_plan;

/* Sums of the difference over the tokens chosen, skipped ones included. */
typedef struct dk_norm_mean {
    char *name;                     /* "mean_all", "mean_pos_P", "mean_token_ID" */
    int32_t position;               /* DK_NO_POSITION: of no single one */
    int64_t token;                  /* -1: of any */
    uint64_t count;
    double *sum;                    /* [d] */
    dk_length length;               /* of the mean; NaN: not known */
} dk_norm_mean;

/* What is measured, in the order of dk_norm_metric_name. */
enum { DK_NORM, DK_NORM_DIFF, DK_NORM_COS, DK_NORM_RELATIVE, DK_NORM_METRICS };
const char *dk_norm_metric_name(size_t metric);

/* One lane at one layer and site.  Values are NaN where there is none. */
typedef struct dk_norm_lane {
    int layer;
    const char *site, *computed_in;     /* borrowed from the activations */
    char *lane;                     /* "base", "ft", a null */
    size_t d;
    float *value[DK_NORM_METRICS];  /* [rows]; NULL: not measured */
    dk_norm_mean *mean;             /* [n_means] of its difference */
    size_t n_means;
    double late_norm;               /* sum over rows from the sixth position on */
    size_t n_late;
} dk_norm_lane;

typedef struct dk_norms {
    dk_norm_lane *lane;             /* by layer, site and, base first, lane */
    size_t n;
    size_t rows, docs;              /* that have values */
    size_t too_short;               /* documents without any */
} dk_norms;

/* Reads every row once, in order.  DK_EDATA: no document is long enough. */
int dk_norms_of(dk_norms *out, dk_acts *a, const dk_norm_plan *plan, dk_err *err);
void dk_norms_free(dk_norms *n);

#endif
