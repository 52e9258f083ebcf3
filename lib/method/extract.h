/* Activations of a pair, layer by layer, streamed to a file: the pass ends
 * after the last layer asked for, and memory does not depend on the corpus. */
#ifndef DK_METHOD_EXTRACT_H
#define DK_METHOD_EXTRACT_H

#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"
#include "io/actfile.h"
#include "method/extractrows.h"
#include "method/scoreshard.h"
#include "model/pair.h"

enum { DK_MAX_LAYERS = 256, DK_MAX_SITES = 4 };

typedef struct dk_extract_job {
    dk_pair_spec pair;                  /* lane 0 must be the base */
    char *const *layers;                /* "14", or "0.5" of the depth */
    size_t n_layers;
    bool site[DK_MAX_SITES];            /* dk_extract_sites */
    bool base, ft, diff;                /* what is stored */
    bool ft_delta;                      /* ft as a delta to base (which is stored, too, and bf16) */
    bool stats;                         /* statistics of the rows, not they */
    size_t positions;                   /* of which they have sums of their own */
    bool gram_base, gram_ft, gram_diff; /* of which they have products */
    bool replicates;                    /* differences have them, for intervals: of all rows, */
    size_t rep_positions;               /* and of so many positions */
    bool kl;                            /* also of KL and log-probabilities: all blocks and the head are run */
    bool reverse;                       /* KL in the other direction, too */
    uint64_t seed;                      /* of the intervals */
    dk_h5_type dtype;
    size_t batch_rows;                  /* tokens of one lane in a pass */
    const char *tokens;                 /* path, or "-" */
    size_t max_docs, max_tokens;        /* 0: all */
    dk_row_rule rows;                   /* that are kept of these */
    uint64_t budget;                    /* of them in all; 0: none */
    size_t budget_batch;                /* dk_budget_docs */
    dk_shard shard;
    uint32_t shards;                    /* make all of so many, but those that are there, and join them; 0: no */
    const char *out;                    /* "-": a stream */
    dk_buf *inputs;                     /* gets what was read */
    dk_provenance (*provenance)(void *arg);     /* called when inputs is complete */
    void *arg;
} dk_extract_job;

int dk_extract_run(const dk_extract_job *job, dk_err *err);

/* One file of it. */
typedef struct dk_extract_part {
    const char *out;
    const dk_tokens *run, *kept;        /* what the model sees; the rows that are kept of it */
    uint64_t first_leaf, end_leaf;      /* of the documents' blocks: num/tree.h */
} dk_extract_part;
int dk_extract_file(const dk_extract_job *job, const dk_pair *p, const dk_extract_part *part, const dk_provenance *prov,
                    dk_err *err);

/* Block numbers, ascending, none twice: an integer is a block; a number with a
 * point, from 0.0 to 1.0, a share of the depth: trunc(x * (blocks - 1)). */
int dk_extract_layers(int out[DK_MAX_LAYERS], size_t *n, char *const *text, size_t n_text, size_t blocks,
                      dk_err *err);

/* Names of sites: attn_out, mlp_out, resid_post, resid_pre. */
int dk_extract_sites(bool wanted[DK_MAX_SITES], char *const *name, size_t n, dk_err *err);

#endif
