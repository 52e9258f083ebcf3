/* A weight set, packed for products: the base model, one copy for all lanes. */
#ifndef DK_MODEL_MODEL_H
#define DK_MODEL_MODEL_H

#include <stddef.h>
#include <stdint.h>

#include "backend/product.h"
#include "base/err.h"
#include "model/adapter.h"
#include "model/checkpoint.h"
#include "model/config.h"

typedef struct dk_layer {
    float *attn_norm, *mlp_norm;    /* [d] */
    dk_weight *qkv;                 /* [(H + 2 KV) hd, d]: q, k, v one under the other */
    dk_weight *o;                   /* [d, H hd] */
    dk_weight *gate_up;             /* [2 ff, d] */
    dk_weight *down;                /* [d, ff] */
} dk_layer;

typedef struct dk_model {
    dk_checkpoint *file;            /* stays open: embedding rows are read on demand */
    dk_model_config config;
    dk_dtype dtype;
    dk_layer *layer;
    float *final_norm;              /* [d] */
    float *rope;                    /* [head_dim / 2] rotary frequencies */
    dk_weight *head;                /* [V, d] */
    const char *embed_name, *head_name;
} dk_model;

/* path: what dk_checkpoint_open takes.  with_head false: no unembedding (for
 * taps alone), which saves its memory and loading. */
int dk_model_load(dk_model **out, const char *path, dk_dtype dtype, int with_head, dk_err *err);
/* The blocks with an adapter merged into them, in f32 and then rounded as dtype
 * wants; without unembedding. */
int dk_model_load_merged(dk_model **out, const char *path, dk_dtype dtype, const dk_adapter *a,
                         dk_err *err);
/* The final norm and the unembedding alone: for dk_model_unembed. */
int dk_model_load_head(dk_model **out, const char *path, dk_dtype dtype, dk_err *err);
void dk_model_free(dk_model **m);

/* Whether lanes of both can run side by side: the same architecture and sizes
 * (and dtype); otherwise one sentence that names the first difference. */
int dk_model_compatible(const dk_model *a, const dk_model *b, dk_err *err);

/* Embedding rows of the ids, rounded as the dtype wants: out [n, d]. */
int dk_model_embed(const dk_model *m, float *out, const uint32_t *ids, size_t n, dk_err *err);

/* Logits of n vectors of the residual stream, x [n, d]: final norm, then times
 * sign, then unembedding.  out [n (room for dk_padded_rows(n)), vocab]. */
int dk_model_unembed(const dk_model *m, const float *x, size_t n, float sign, float *out, dk_err *err);

#endif
