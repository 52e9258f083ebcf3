/* Means of activations: at each of the first positions of the documents, and
 * over all rows; with the norms that scales are relative to. */
#ifndef DK_METHOD_MEAN_H
#define DK_METHOD_MEAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/mem.h"
#include "io/actinput.h"
#include "io/dirfile.h"
#include "num/resample.h"

/* The positions: of a text its first n tokens; of a chat n tokens from the
 * start of the first answer, position 0, and `before` ahead of it.  A document
 * that lacks one of them is left out, as is a chat whose answer starts behind
 * token 512.  n 0: as many as every document has.  With fewer, a run on texts
 * that nobody has looked at does not end here: where no document has n, as many as
 * the longest has, and chats that were all cut before an answer are texts. */
typedef struct dk_mean_plan {
    size_t n, before;
    bool fewer;
    uint64_t seed;              /* of the intervals */
} dk_mean_plan;

enum { DK_MEAN_SKIP = 5 };          /* positions that norms leave out */

/* Means of one lane at one layer: base, ft, diff, or a null's difference. */
typedef struct dk_means {
    int layer;
    char *site, *what;
    size_t d, n_pos;
    int32_t first;                  /* label of position 0 of the list */
    size_t docs, rows, all_docs;    /* behind a position; behind the whole mean, and of how many documents */
    double *pos, *whole;            /* [n_pos, d] and [d] means */
    double *pos_norm, whole_norm;   /* [n_pos] mean norms of the rows */
    double act_norm;                /* mean norm from the sixth position on; NaN: none */
    dk_length *length;              /* [n_pos + 1] of differences; the last: of the whole.  NULL: not known */
} dk_means;

/* Of every layer and site, in the file's order; of each base, ft, diff, then
 * the nulls' differences.  Free each, then the list. */
int dk_means_of(dk_means **out, size_t *n, dk_acts *a, const dk_mean_plan *plan, dk_err *err);
/* The same of a statistics file: positions that every document has; none in
 * chats; norms of what was worked out from two lanes are NaN. */
int dk_means_of_stats(dk_means **out, size_t *n, const dk_act_input *in, const dk_mean_plan *plan, dk_err *err);
void dk_means_free(dk_means *m, size_t n);

/* Writes them as directions, named mean_pos_P and mean_all. */
int dk_means_write(const dk_means *m, size_t n, dk_h5 *from, const dk_tokens *corpus, const char *path,
                   const dk_provenance *prov, dk_err *err);
/* One line a direction (fields: dk-formats(5)). */
void dk_means_table(dk_buf *out, const dk_means *m, size_t n, const char *dataset);

#endif
