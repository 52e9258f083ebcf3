/* Nulls of finetunes with weights of their own: a checkpoint that is the base and
 * what the finetune adds to it, turned.  Tensor by tensor, so that memory does not
 * grow with the number of layers. */
#ifndef DK_METHOD_NULLFULL_H
#define DK_METHOD_NULLFULL_H

#include <stdbool.h>

#include "method/null.h"
#include "model/checkpoint.h"

typedef struct dk_null_full {
    dk_checkpoint *base, *ft;       /* ft: a directory; their mapped pages are given back */
    dk_null_kind kind;              /* not DK_NULL_HAAR */
    uint64_t seed, index;
    dk_null_inputs *in;             /* of whitened or matched ones, else NULL */
    bool match;                     /* each map adds as much as the finetune's, as dk_null_match has it */
    const char *const *meta;        /* as in io/stwrite.h */
    double least, most;             /* out: of the factors of matching; 1: none */
} dk_null_full;

/* Whether they fit together: DK_EDATA. */
int dk_null_full_check(const dk_null_full *n, dk_err *err);
/* Writes the finetune's configuration and tokenizer, then model.safetensors, f32, into the folder. */
int dk_null_full_write(dk_null_full *n, const char *folder, dk_err *err);

#endif
