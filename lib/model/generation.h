/* generation_config.json: what a model's makers sample with. */
#ifndef DK_MODEL_GENERATION_H
#define DK_MODEL_GENERATION_H

#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"

typedef struct dk_generation {
    bool sample;                /* do_sample; false: greedy */
    double temperature;         /* 1 where the file has none, and so on: the */
    size_t top_k;               /* defaults of the model library: 50, */
    double top_p, min_p, repetition_penalty;    /* 1, 0, 1 */
} dk_generation;

/* From DIR/generation_config.json.  DK_EIO (a GGUF file has none beside it),
 * DK_EFORMAT, DK_EDATA for values out of range. */
int dk_generation_load(dk_generation *g, const char *dir, dk_err *err);

#endif
