/* What each document adds to the means of a difference: from this come their
 * intervals and p of the sign-flip test. */
#ifndef DK_NUM_DOCMEANS_H
#define DK_NUM_DOCMEANS_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "num/resample.h"

typedef struct dk_doc_means dk_doc_means;

/* More bytes than this are not spent on it: then there are no intervals. */
#define DK_DOC_MEANS_MOST 1e9
/* Bytes that it takes; SIZE_MAX: more than can be counted. */
size_t dk_doc_means_bytes(size_t docs, size_t n_pos, size_t d);
int dk_doc_means_new(dk_doc_means **out, size_t docs, size_t n_pos, size_t d, dk_err *err);
void dk_doc_means_free(dk_doc_means **m);

/* The rows x [n, d] of the next document; start: of its first position, SIZE_MAX:
 * it is left out of the positions. */
void dk_doc_means_add(dk_doc_means *m, uint64_t id, const float *x, size_t n, size_t start);
/* out [n_pos + 1]: of the length of the mean at each position, then of all rows. */
int dk_doc_means_end(const dk_doc_means *m, dk_length *out, uint64_t seed, dk_err *err);

#endif
