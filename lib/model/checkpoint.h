/* A checkpoint: configuration and weights of one model, whatever its files.
 *
 * Opened from a GGUF file, or from a directory with config.json and
 * model.safetensors or the shards of model.safetensors.index.json.  Tensors go
 * by the library's names ("model.layers.3.self_attn.q_proj.weight") and come as
 * f32 in the library's row order: the q and k rows of a llama GGUF file, which
 * are stored in another order, are put back.
 *
 * At open every tensor that the architecture needs is checked for presence and
 * exact shape.  Files stay mapped until close.  All calls that take a const
 * dk_checkpoint may run in several threads at once. */
#ifndef DK_MODEL_CHECKPOINT_H
#define DK_MODEL_CHECKPOINT_H

#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"
#include "model/config.h"

typedef struct dk_checkpoint dk_checkpoint;

/* DK_EIO, DK_EFORMAT, DK_EDATA. */
int dk_checkpoint_open(dk_checkpoint **out, const char *path, dk_err *err);
void dk_checkpoint_close(dk_checkpoint **c);

const dk_model_config *dk_checkpoint_config(const dk_checkpoint *c);
const char *dk_checkpoint_path(const dk_checkpoint *c);     /* as given to open */
/* The GGUF file (for its tokenizer keys); NULL for a directory. */
const dk_gguf *dk_checkpoint_gguf(const dk_checkpoint *c);
/* Some needed tensor is stored in a quantised format. */
bool dk_checkpoint_quantised(const dk_checkpoint *c);

/* The needed tensors, sorted by name.  A vector has rows = 1.  In a tied
 * checkpoint lm_head.weight is found too, and is the embedding. */
size_t dk_checkpoint_n(const dk_checkpoint *c);
const char *dk_checkpoint_name_at(const dk_checkpoint *c, size_t i);
bool dk_checkpoint_find(const dk_checkpoint *c, const char *name, size_t *rows, size_t *cols);
const char *dk_checkpoint_type(const dk_checkpoint *c, const char *name);   /* "Q4_1"; NULL: absent */

/* out[n, cols] = rows [row0, row0 + n) as f32.  DK_EDATA when the name is
 * unknown or the rows do not exist. */
int dk_checkpoint_rows(const dk_checkpoint *c, const char *name, float *out, size_t row0, size_t n,
                       dk_err *err);

/* Gives the mapped pages back; reading again reads the files again. */
void dk_checkpoint_drop(dk_checkpoint *c);

/* What the weights are: the SHA-256 of a GGUF file; of a directory the SHA-256
 * of the lines "sum  name\n" for config.json and every weight file, sorted by
 * name.  Computed at the first call and kept. */
int dk_checkpoint_sha256(dk_checkpoint *c, char hex[65], dk_err *err);

#endif
