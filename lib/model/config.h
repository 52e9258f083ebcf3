/* What a model is: its architecture and sizes, from config.json or from the
 * metadata of a GGUF file.  Every value is range-checked, so that the rest of
 * the code may multiply and divide without looking. */
#ifndef DK_MODEL_CONFIG_H
#define DK_MODEL_CONFIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/mem.h"
#include "io/gguf.h"
#include "io/json.h"

typedef enum dk_arch {
    DK_ARCH_LLAMA, DK_ARCH_MISTRAL, DK_ARCH_MINISTRAL, DK_ARCH_MISTRAL3, DK_ARCH_QWEN2, DK_ARCH_QWEN3,
    DK_ARCH_QWEN25_VL, DK_ARCH_GEMMA2, DK_ARCH_GEMMA3, DK_ARCH_GEMMA3_VL, DK_ARCH_GPT2
} dk_arch;

typedef enum dk_norm_form {
    DK_NORM_RMS,            /* x / rms(x) w */
    DK_NORM_RMS_OFFSET,     /* x / rms(x) (1 + w) */
    DK_NORM_LAYER           /* (x - mean) / deviation w + b */
} dk_norm_form;

typedef enum dk_rope_kind {
    DK_ROPE_PLAIN,
    DK_ROPE_LINEAR,         /* positions divided by factor */
    DK_ROPE_LLAMA3,         /* by wavelength: factor, low, high, original */
    DK_ROPE_YARN,           /* by rotations in the original context; cosines and sines times attention */
    DK_ROPE_FACTORS         /* the tensor rope_freqs.weight [head_dim / 2] divides the frequencies */
} dk_rope_kind;

typedef struct dk_rope_spec {
    dk_rope_kind kind;
    double theta, factor;
    double low, high;       /* llama3: frequency factors; yarn: slow and fast beta */
    double attention;       /* yarn: 0.1 ln factor + 1, unless given */
    double original;        /* positions before scaling */
    bool whole;             /* yarn: the range of rotations ends at whole dimensions */
    unsigned section[3];    /* pairs turned by time, height and width; all the same for text; 0: none */
} dk_rope_spec;

typedef enum dk_act { DK_ACT_SILU, DK_ACT_GELU_TANH } dk_act;

enum { DK_MAX_EOS = 16, DK_LAYERS_MAX = 1000 };

typedef struct dk_model_config {
    dk_arch arch;
    char arch_name[64];     /* as the file says it: "LlamaForCausalLM", "llama" */
    char name[128];         /* for people: general.name, or the last part of the path */
    size_t n_layers, d_model, n_heads, n_kv_heads, head_dim, d_ff, vocab, max_positions;
    dk_norm_form norm;
    double norm_eps;
    dk_rope_spec rope;      /* unless learned_positions */
    dk_rope_spec rope_local;/* of the layers with a window */
    bool learned_positions; /* a table of max_positions rows is added to the embedding */
    bool tied;              /* lm_head is the embedding */
    bool qkv_bias, o_bias, mlp_bias;
    bool qk_norm;           /* queries and keys are normed, head by head */
    bool post_norms;        /* what attention and MLP give is normed before it is added */
    bool gated;             /* the MLP is act(gate x) (up x), else act(up x) */
    bool fused_qkv;         /* queries, keys and values are one tensor */
    bool transposed;        /* linear maps are stored [in, out] */
    bool embed_scaled;      /* embedding rows times sqrt(d_model) */
    dk_act act;
    double attn_scale;      /* scores = attn_scale q k */
    size_t window;          /* keys that a token sees in a sliding layer, itself among them */
    uint8_t sliding[DK_LAYERS_MAX / 8];     /* a bit for each layer; all 0 when window is 0 */
    double attn_softcap, final_softcap;     /* 0: none */
    int bos;                /* -1: none */
    int eos[DK_MAX_EOS];
    size_t n_eos;
    char dtype[16];         /* "bfloat16", or the type of most values of a GGUF file: "Q4_1" */
} dk_model_config;

/* DIR/config.json, and the ids of end tokens from DIR/generation_config.json
 * where that exists.  DK_EIO, DK_EFORMAT (nonsense), DK_EDATA (not supported). */
int dk_model_config_load(dk_model_config *cfg, const char *dir, dk_err *err);
/* The same from a parsed config.json; path stands in messages. */
int dk_model_config_json(dk_model_config *cfg, const dk_json *root, const char *path, dk_err *err);
int dk_model_config_gguf(dk_model_config *cfg, const dk_gguf *g, const char *path, dk_err *err);

/* A folder, a GGUF file, or the text of a config.json under any name. */
int dk_model_config_any(dk_model_config *cfg, const char *path, dk_err *err);

/* Keys that a token of this layer sees; 0: all before it. */
size_t dk_layer_window(const dk_model_config *c, size_t layer);
/* The rotation of this layer. */
const dk_rope_spec *dk_layer_rope(const dk_model_config *c, size_t layer);

/* One line of a table, columns parted by tabs: dk_model_config_columns names them. */
extern const char dk_model_config_columns[];
void dk_model_config_row(dk_buf *out, const dk_model_config *c);

#endif
