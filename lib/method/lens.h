/* What each lane would say next: the k likeliest tokens at each row and their
 * log-probabilities (softmax over the whole vocabulary), as a head visitor. */
#ifndef DK_METHOD_LENS_H
#define DK_METHOD_LENS_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "backend/visitor.h"

typedef struct dk_lens dk_lens;

/* One lane's lists of the next head pass: [row, k], likeliest first, ties by id. */
typedef struct dk_lens_list {
    uint32_t *id;
    float *logp;            /* nats */
} dk_lens_list;

int dk_lens_new(dk_lens **out, size_t n_lanes, size_t k, size_t vocab, dk_err *err);
void dk_lens_free(dk_lens **l);
void dk_lens_target(dk_lens *l, const dk_lens_list *lists);     /* [lane] */
dk_visitor dk_lens_visitor(dk_lens *l);

#endif
