/* Stored number formats and their values as f32.
 *
 * One table: a format is a block of so many elements in so many bytes and a
 * function.  The values are bit-equal to those of the "gguf" Python package:
 * products and sums in f32, each rounded (no contraction). */
#ifndef DK_NUM_DEQUANT_H
#define DK_NUM_DEQUANT_H

#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"

/* Values are the type numbers of GGUF, where it has one. */
typedef enum dk_qtype {
    DK_Q_NONE = -1,
    DK_Q_F32 = 0, DK_Q_F16 = 1, DK_Q_Q4_0 = 2, DK_Q_Q4_1 = 3, DK_Q_Q5_0 = 6, DK_Q_Q5_1 = 7,
    DK_Q_Q8_0 = 8, DK_Q_Q4_K = 12, DK_Q_Q5_K = 13, DK_Q_Q6_K = 14, DK_Q_F64 = 28, DK_Q_BF16 = 30
} dk_qtype;

typedef struct dk_qformat {
    dk_qtype type;
    const char *name;               /* "Q4_1" */
    size_t block, bytes;            /* elements and bytes of a block */
    bool quantised;
    /* out[n_blocks * block]; in has no alignment. */
    void (*to_f32)(float *restrict out, const void *restrict in, size_t n_blocks);
} dk_qformat;

const dk_qformat *dk_qformat_of(int type);              /* NULL: not a type this build reads */
const dk_qformat *dk_qformat_named(const char *name);
/* The name of any type number of GGUF, for messages; NULL when there is none. */
const char *dk_gguf_type_name(int type);

/* out[n] from n elements of a format; n is a multiple of f->block. */
void dk_dequant(const dk_qformat *f, float *restrict out, const void *restrict in, size_t n);

#endif
