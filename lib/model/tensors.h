/* Which tensors an architecture has, and what they are called: in the model
 * library, in GGUF files, in checkpoints of image-text models. */
#ifndef DK_MODEL_TENSORS_H
#define DK_MODEL_TENSORS_H

#include <stdbool.h>
#include <stddef.h>

#include "model/config.h"

/* The linear maps of a block, in the order of the pass. */
typedef enum dk_linear {
    DK_LINEAR_QKV, DK_LINEAR_Q, DK_LINEAR_K, DK_LINEAR_V, DK_LINEAR_O, DK_LINEAR_GATE, DK_LINEAR_UP,
    DK_LINEAR_DOWN, DK_N_LINEAR
} dk_linear;

typedef enum dk_role {
    /* of the model */
    DK_ROLE_EMBED, DK_ROLE_POSITIONS, DK_ROLE_FINAL_NORM, DK_ROLE_FINAL_NORM_BIAS, DK_ROLE_HEAD,
    DK_ROLE_FACTORS,
    /* of a layer */
    DK_ROLE_ATTN_NORM, DK_ROLE_ATTN_NORM_BIAS, DK_ROLE_Q_NORM, DK_ROLE_K_NORM, DK_ROLE_POST_ATTN_NORM,
    DK_ROLE_MLP_NORM, DK_ROLE_MLP_NORM_BIAS, DK_ROLE_POST_MLP_NORM,
    DK_ROLE_WEIGHT,                                     /* + dk_linear */
    DK_ROLE_BIAS = DK_ROLE_WEIGHT + DK_N_LINEAR,        /* + dk_linear */
    DK_N_ROLES = DK_ROLE_BIAS + DK_N_LINEAR
} dk_role;

typedef struct dk_need {
    dk_role role;
    const char *name, *gguf;    /* of a layer: what follows the number of the layer */
    size_t rows, cols;          /* a vector has rows = 1; a map [out, in] */
    bool of_layer;
    bool paired;                /* rows of each head are in pairs (2t, 2t + 1) in a llama GGUF file */
    bool stored_transposed;     /* [in, out] in the file */
    bool stored_offset;         /* a GGUF file holds 1 + w */
} dk_need;

enum { DK_MAX_NEEDS = 32 };

/* What such a model needs; the number of needs. */
size_t dk_needs(dk_need out[DK_MAX_NEEDS], const dk_model_config *c);
/* "model.layers.3.mlp.up_proj.weight"; false where the architecture has none. */
bool dk_role_name(char out[128], const dk_model_config *c, dk_role role, size_t layer);
/* "self_attn.q_proj", NULL where the architecture has no such map. */
const char *dk_linear_path(const dk_model_config *c, dk_linear which);
/* What stands before the number of a layer: "model.layers.". */
const char *dk_layers_prefix(const dk_model_config *c);
/* The path of the embedding without ".weight". */
const char *dk_embed_path(const dk_model_config *c);
/* The sizes of a map, y[out] = W[out, in] x, and its first column in the product it is part of. */
void dk_linear_shape(const dk_model_config *c, dk_linear which, size_t *in, size_t *out);
size_t dk_linear_column(const dk_model_config *c, dk_linear which);

/* The library's own name of a tensor of a safetensors file, whatever stands
 * before it: "language_model.model.norm.weight" is "model.norm.weight".  NULL:
 * of another part (vision).  To be freed. */
char *dk_canonical_name(const dk_model_config *c, const char *stored);
/* A tensor that has no effect on the numbers (buffers that old files hold). */
bool dk_tensor_idle(const char *canonical);

#endif
