/* The matrix that topics are made of: positions x tokens, from top lists.
 *
 * Rows are positions in order.  Columns come in the order in which tokens are
 * first met, by batches of documents: first all tokens of rank 1 in the batch,
 * then those of rank 2, as the reference toolkit collects them in its batches.  Entries are logit differences where they are positive, or 1 for
 * everything in a list. */
#ifndef DK_METHOD_MINEMATRIX_H
#define DK_METHOD_MINEMATRIX_H

#include <stdbool.h>

#include "io/tokfile.h"
#include "num/nmf.h"

enum { DK_MINE_BATCH = 16 };     /* the reference toolkit's */

typedef struct dk_mine_matrix {
    dk_nmf_matrix m;
    uint32_t *token;            /* [cols]: the token, or its group */
} dk_mine_matrix;

/* id, value [rows, k]; ids below vocab.  group [vocab], or NULL: the token by
 * which each counts, DK_NO_ID to leave it out.  The values of a group's tokens
 * in one row are added up (binary: they are one entry). */
int dk_mine_matrix_new(dk_mine_matrix *out, const dk_tokens *t, const uint32_t *id, const float *value, size_t k,
                       size_t vocab, const uint32_t *group, bool binary, size_t batch, dk_err *err);
void dk_mine_matrix_free(dk_mine_matrix *m);

#endif
