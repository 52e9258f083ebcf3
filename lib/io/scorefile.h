/* Score files (.score.h5): numbers per token row, per row and rank, or per
 * vocabulary entry, beside a copy of the tokens they belong to.
 *
 * Names are paths below /scores (or /vocab) and end in or contain a lane:
 *   kl/LANE                             KL(lane || base), nats
 *   topk/LANE/{top,bottom}/{index,value}
 *   vocab: LANE/{sum_logit_diff,count_positive,topk_pos_counts,topk_neg_counts} */
#ifndef DK_IO_SCOREFILE_H
#define DK_IO_SCOREFILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "io/h5meta.h"
#include "io/tokfile.h"

/* NULL strings are left out of the file (and NULL when read). */
typedef struct dk_score_attr {
    const char *unit;       /* "nats", "norm", "activation", "logit", "count" */
    const char *site, *what;
    const char *higher;     /* "more different" where larger means that */
    const char *end;        /* lists: "top", "bottom"; entries in rank order */
    const char *computed_in;    /* "f32", "bf16": the matrix products behind it */
    const char *arith;      /* "plain", "difference" */
    int has_layer, layer;   /* 0-based block; has_layer 0: none */
} dk_score_attr;

typedef enum dk_score_kind {
    DK_SCORE_DENSE,         /* f32[rows] or f32[rows, k] */
    DK_SCORE_INDEX,         /* u32[rows, k] */
    DK_SCORE_SPARSE,        /* indptr, index, value */
    DK_SCORE_VOCAB_I64, DK_SCORE_VOCAB_F64      /* [vocab] */
} dk_score_kind;

typedef struct dk_score_info {
    char *name;             /* "kl/ft"; for the vocabulary "ft/count_positive" */
    dk_score_kind kind;
    size_t rows, k, nnz;    /* k: row width (1 for f32[rows]); columns of a sparse one */
    dk_score_attr attr;
} dk_score_info;

/* --- writing --------------------------------------------------------------
 * The order of calls decides the bytes: always the same for equal parameters. */
typedef struct dk_scores_writer dk_scores_writer;

int dk_scores_new(dk_scores_writer **w, const char *path, const dk_tokens *t,
                  const dk_provenance *prov, dk_err *err);
/* The root attribute "lanes" lists the names in the order of these calls. */
int dk_scores_add_model(dk_scores_writer *w, const char *name, const dk_model_info *m,
                        dk_err *err);
/* All models of a file with a root attribute "lanes", in that order. */
int dk_scores_copy_models(dk_scores_writer *w, dk_h5 *from, dk_err *err);
/* v[rows * k]; k 0: one dimension.  NaN is allowed (no value for that row). */
int dk_scores_add_dense(dk_scores_writer *w, const char *name, const float *v, size_t k,
                        const dk_score_attr *a, dk_err *err);
int dk_scores_add_index(dk_scores_writer *w, const char *name, const uint32_t *v, size_t k,
                        const dk_score_attr *a, dk_err *err);
/* The same in pieces: begin, then append until all rows are there.  Several
 * may be open at once. */
int dk_scores_begin(dk_scores_writer *w, const char *name, dk_score_kind kind, size_t k,
                    const dk_score_attr *a, dk_err *err);
int dk_scores_append(dk_scores_writer *w, const char *name, const void *v, size_t n_rows,
                     dk_err *err);
/* Row r has entries indptr[r] .. indptr[r + 1]; columns below cols, ascending. */
int dk_scores_add_sparse(dk_scores_writer *w, const char *name, const uint64_t *indptr,
                         const uint32_t *index, const float *value, size_t cols,
                         const dk_score_attr *a, dk_err *err);
int dk_scores_add_vocab_i64(dk_scores_writer *w, const char *name, const int64_t *v, size_t n,
                            const dk_score_attr *a, dk_err *err);
int dk_scores_add_vocab_f64(dk_scores_writer *w, const char *name, const double *v, size_t n,
                            const dk_score_attr *a, dk_err *err);
/* Refuses scores that miss rows; frees *w whatever the outcome. */
int dk_scores_commit(dk_scores_writer **w, dk_err *err);
void dk_scores_abandon(dk_scores_writer **w);

/* --- reading -------------------------------------------------------------- */
typedef struct dk_scores dk_scores;

int dk_scores_open(dk_scores **s, const char *path, dk_err *err);
void dk_scores_close(dk_scores **s);
/* Borrowed until close. */
const dk_tokens *dk_scores_tokens(const dk_scores *s);
dk_h5 *dk_scores_file(dk_scores *s);
size_t dk_scores_n_models(const dk_scores *s);
const dk_model_info *dk_scores_model(const dk_scores *s, size_t i, const char **name);
size_t dk_scores_n(const dk_scores *s);
const dk_score_info *dk_scores_at(const dk_scores *s, size_t i);    /* in byte order */
/* vocab false: below /scores.  NULL: not there. */
const dk_score_info *dk_scores_find(const dk_scores *s, const char *name, bool vocab);

/* Rows first .. first + n; out[n * k].  The kind must fit. */
int dk_scores_read(dk_scores *s, const char *name, size_t first, size_t n, float *out,
                   dk_err *err);
int dk_scores_read_index(dk_scores *s, const char *name, size_t first, size_t n, uint32_t *out,
                         dk_err *err);
/* The whole matrix; all three arrays come from dk_alloc. */
int dk_scores_read_sparse(dk_scores *s, const char *name, uint64_t **indptr, uint32_t **index,
                          float **value, dk_err *err);
int dk_scores_read_vocab_i64(dk_scores *s, const char *name, int64_t *out, size_t n, dk_err *err);
int dk_scores_read_vocab_f64(dk_scores *s, const char *name, double *out, size_t n, dk_err *err);

#endif
