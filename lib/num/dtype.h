/* Compute dtypes of the matrix products.  Everything else is f32. */
#ifndef DK_NUM_DTYPE_H
#define DK_NUM_DTYPE_H

typedef enum dk_dtype { DK_F32, DK_BF16 } dk_dtype;

static inline const char *dk_dtype_name(dk_dtype t) { return t == DK_BF16 ? "bf16" : "f32"; }

#endif
