/* One pass of a pair over a token file: batches, lanes, head visitors. */
#ifndef DK_METHOD_SCORE_H
#define DK_METHOD_SCORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "io/tokfile.h"
#include "method/lens.h"
#include "method/topk.h"
#include "model/pair.h"

typedef struct dk_score_plan {
    double temperature;
    int kl;                 /* KL and log-probabilities of the next token */
    int reverse;            /* with kl: KL(base || lane) too */
    size_t top_k;           /* lists of the difference and vocabulary sums; 0: none */
    size_t lens_k;          /* the likeliest next tokens of every lane; 0: none */
    size_t batch_rows;      /* tokens of one lane in a pass; longer documents go alone */
    size_t max_vocab;       /* of lists and sums: ids from there on are not looked at; 0: all */
    const uint32_t *watched;    /* ids whose difference is kept at every row */
    size_t n_watched;
    const size_t *skip;     /* [documents] rows at the start of each that are read, not scored; NULL: none */
    /* Logits not of the last block but of this one's output through the final norm
     * (no cap), or of a prompt whose last token has that output in its place. */
    bool early;
    int layer;
    const uint32_t *prompt;
    size_t n_prompt;        /* 0: no prompt */
} dk_score_plan;

/* Results for all rows that are scored, by lane (lane 0, the base, has only
 * logp).  Owned; dk_score_free. */
typedef struct dk_score {
    size_t n_lanes, rows, k, lens_k, vocab;
    size_t n_watched;
    const uint32_t *watched_id;         /* the plan's */
    float *watched[DK_MAX_LANES];       /* [rows, n_watched] differences */
    float *kl[DK_MAX_LANES];            /* [rows] */
    float *reverse[DK_MAX_LANES];       /* [rows] */
    float *logp[DK_MAX_LANES];          /* [rows]; NaN in a document's last row */
    dk_topk_lists topk[DK_MAX_LANES];   /* [rows, k] */
    dk_topk_vocab sums[DK_MAX_LANES];   /* [vocab] */
    dk_lens_list lens[DK_MAX_LANES];    /* [rows, lens_k] */
    double seconds;                     /* of the passes alone */
} dk_score;

int dk_score_run(dk_score *out, const dk_pair *pair, const dk_tokens *tokens,
                 const dk_score_plan *plan, dk_err *err);
void dk_score_free(dk_score *s);

/* No documents, but of the same corpus and tokenizer. */
void dk_tokens_like(dk_tokens *out, const dk_tokens *in);
/* Keeps the first max_docs documents (0: all), each cut to max_tokens (0: not
 * cut), then drops those with fewer than min_tokens tokens. */
int dk_tokens_trim(dk_tokens *out, const dk_tokens *in, size_t max_docs, size_t max_tokens,
                   size_t min_tokens, dk_err *err);
/* The documents first .. last - 1 of one pass, at most budget rows in all (or
 * one document): returns last, and the first row of each in offset. */
size_t dk_tokens_batch(const dk_tokens *t, size_t first, size_t budget, size_t *offset);
/* Rows that such passes need at most. */
size_t dk_tokens_batch_most(const dk_tokens *t, size_t budget);

#endif
