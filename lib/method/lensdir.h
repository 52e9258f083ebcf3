/* Directions through the head: which tokens a vector of the residual stream
 * speaks for.
 *
 * A direction goes, as long as it is, through the model's final norm and
 * unembedding; its inverse is the normalised vector negated. */
#ifndef DK_METHOD_LENSDIR_H
#define DK_METHOD_LENSDIR_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/mem.h"
#include "io/dirfile.h"
#include "model/model.h"
#include "text/tokenizer.h"

/* Logits of some vectors, and the log of the sum of their exponentials. */
typedef struct dk_lens_view {
    size_t n, vocab;
    float *logit;           /* [n, vocab] */
    double *lse;            /* [n] */
} dk_lens_view;

/* DK_ENUM where they are not finite. */
int dk_lens_view_of(dk_lens_view *v, const dk_model *m, const float *x, size_t n, float sign, dk_err *err);
void dk_lens_view_free(dk_lens_view *v);
/* Of the distribution, in nats; and how far the logits have a few extremes rather than many
 * middling values: their fourth moment over the square of the second, less 3 (a normal's).
 * NaN: all are equal. */
double dk_lens_entropy(const dk_lens_view *v, size_t i);
double dk_lens_kurtosis(const dk_lens_view *v, size_t i);
double dk_lens_prob(const dk_lens_view *v, size_t i, uint32_t id);
/* From 1; of equal logits the lower id comes first. */
size_t dk_lens_rank(const dk_lens_view *v, size_t i, uint32_t id);
/* The k likeliest ids in order of rank: the number of them. */
size_t dk_lens_top(const dk_lens_view *v, size_t i, size_t k, uint32_t *id);

typedef struct dk_lens_plan {
    size_t k;                       /* entries of a list */
    char *const *query;             /* texts whose tokens are looked up in every list */
    size_t n_query;
    char *const *what;              /* lanes: NULL: all */
    size_t n_what;
    size_t first;                   /* directions of each lane at each layer; 0: all */
} dk_lens_plan;

/* Appends one line a token (fields: dk-formats(5)).  path names the directions. */
int dk_lens_table(dk_buf *out, const dk_model *m, dk_tokenizer *tok, const dk_dirs *d,
                  const dk_lens_plan *plan, const char *path, dk_err *err);

#endif
