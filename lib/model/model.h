/* A weight set, packed for products: the base model, one copy for all lanes. */
#ifndef DK_MODEL_MODEL_H
#define DK_MODEL_MODEL_H

#include <stddef.h>
#include <stdint.h>

#include "backend/backend.h"
#include "base/err.h"
#include "model/adapter.h"
#include "model/checkpoint.h"
#include "model/config.h"

/* The products of a block, in order; maps that share an input are one product. */
typedef enum dk_group { DK_GROUP_QKV, DK_GROUP_O, DK_GROUP_GATE_UP, DK_GROUP_DOWN, DK_N_GROUPS } dk_group;

/* b NULL: none; w NULL: no such norm.  on: the same for the device. */
typedef struct dk_norm { float *w, *b; dk_norm_args on; } dk_norm;

typedef struct dk_layer {
    dk_norm attn_norm, mlp_norm;            /* [d], of what goes in */
    dk_norm post_attn_norm, post_mlp_norm;  /* [d], of what comes out, where the architecture has them */
    dk_norm q_norm, k_norm;                 /* [hd], likewise */
    dk_weight *w[DK_N_GROUPS];              /* QKV [(H + 2 KV) hd, d]: q, k, v one under the other;
                                             * O [d, H hd]; GATE_UP [2 ff or ff, d]; DOWN [d, ff] */
    float *bias[DK_N_GROUPS];               /* NULL: none; zeros for the maps that have none */
    const float *bias_on[DK_N_GROUPS];      /* the same for the device */
} dk_layer;

typedef struct dk_model {
    dk_checkpoint *file;            /* stays open: embedding rows are read on demand */
    dk_model_config config;         /* vocab: as many as are in use */
    dk_dtype dtype;
    dk_layer *layer;
    dk_norm final_norm;             /* [d] */
    float *rope, *rope_local;       /* [head_dim / 2] rotary frequencies; local: of layers with a window */
    float *positions;               /* [max_positions, d], where they are learned */
    dk_weight *head;                /* [vocab, d] */
    char embed_name[128], head_name[128];
} dk_model;

typedef struct dk_model_how {
    dk_dtype dtype;
    bool with_blocks, with_head;    /* without: for taps alone; for dk_model_unembed alone */
    size_t vocab;                   /* only the first so many ids; 0: all */
    const dk_adapter *merge;        /* into the blocks, in f32 and then rounded as dtype wants; or NULL */
    bool streamed;                  /* only the first so many bytes of the blocks stay on the device */
    size_t stays;
} dk_model_how;

/* path: what dk_checkpoint_open takes. */
int dk_model_open(dk_model **out, const char *path, const dk_model_how *how, dk_err *err);
/* with_head false: no unembedding (for taps alone), which saves its memory and loading. */
int dk_model_load(dk_model **out, const char *path, dk_dtype dtype, int with_head, dk_err *err);
/* The blocks with an adapter merged into them; without unembedding. */
int dk_model_load_merged(dk_model **out, const char *path, dk_dtype dtype, const dk_adapter *a,
                         dk_err *err);
/* The final norm and the unembedding alone: for dk_model_unembed. */
int dk_model_load_head(dk_model **out, const char *path, dk_dtype dtype, dk_err *err);
void dk_model_free(dk_model **m);

/* The unembedding as an adapter leaves it (saved anew, low-rank): its own copy. */
int dk_model_pack_head(dk_weight **out, const dk_model *m, const dk_adapter *a, float factor, dk_err *err);

/* Whether lanes of both can run side by side: the same architecture and sizes
 * (and dtype); otherwise one sentence that names the first difference. */
int dk_model_compatible(const dk_model *a, const dk_model *b, dk_err *err);

/* What enters the first block but for positions: embedding rows of the ids, as
 * adapter a (or NULL) at a factor has them, scaled and rounded as architecture
 * and dtype want: out [n, d]. */
int dk_model_embed(const dk_model *m, const dk_adapter *a, float factor, float *out, const uint32_t *ids,
                   size_t n, dk_err *err);

/* y = the norm of x, both [width]. */
void dk_model_norm(const dk_model_config *c, float *y, const float *x, const dk_norm *norm, size_t width);

/* out [n (room for dk_padded_rows(n)), vocab] = x w^T, both on the host; w NULL: the model's own head. */
int dk_model_times_head(const dk_model *m, const dk_weight *w, const float *x, size_t n, float *out, dk_err *err);
/* Logits of n vectors of the residual stream, x [n, d]: final norm, then times
 * sign, then unembedding, without soft cap.  out [n (room for dk_padded_rows(n)), vocab]. */
int dk_model_unembed(const dk_model *m, const float *x, size_t n, float sign, float *out, dk_err *err);

#endif
