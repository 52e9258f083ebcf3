/* Patchscope: a token's state behind a block, put in the place of the last token
 * of a prompt, and what the model then expects.
 *
 * The rows of a text are read up to that block; for each, the prompt's last token
 * runs alone behind the cached rest, all lanes at once, each with its own state. */
#ifndef DK_METHOD_SCOREPATCH_H
#define DK_METHOD_SCOREPATCH_H

#include "method/score.h"

typedef struct dk_patch dk_patch;

/* most_rows: of a batch.  DK_EUSAGE: lanes as differences have no cache. */
int dk_patch_new(dk_patch **out, dk_runner *r, const dk_pair *pair, const dk_score_plan *plan, size_t most_rows,
                 dk_err *err);
void dk_patch_free(dk_patch **p);
/* A batch's states. */
int dk_patch_read(dk_patch *p, const dk_pass *batch, dk_err *err);
/* How many of n rows are taken at once. */
size_t dk_patch_rows(const dk_patch *p, size_t n);
/* The prompt with the states of those rows of the batch: logits are those of the
 * runner's rows 0 .. n - 1. */
int dk_patch_forward(dk_patch *p, const size_t *rows, size_t n, dk_err *err);

#endif
