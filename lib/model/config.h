/* What a model is: its architecture and sizes, from config.json or from the
 * metadata of a GGUF file.  Every value is range-checked, so that the rest of
 * the code may multiply and divide without looking. */
#ifndef DK_MODEL_CONFIG_H
#define DK_MODEL_CONFIG_H

#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"
#include "io/gguf.h"
#include "io/json.h"

/* Known by name; only DK_ARCH_LLAMA is accepted so far. */
typedef enum dk_arch {
    DK_ARCH_LLAMA, DK_ARCH_MISTRAL, DK_ARCH_QWEN2, DK_ARCH_QWEN3, DK_ARCH_QWEN25_VL, DK_ARCH_GEMMA2,
    DK_ARCH_GEMMA3, DK_ARCH_GPT2
} dk_arch;

typedef enum dk_rope_kind {
    DK_ROPE_PLAIN,
    DK_ROPE_LINEAR,         /* positions divided by rope_factor */
    DK_ROPE_LLAMA3,         /* by wavelength: factor, low, high, original */
    DK_ROPE_FACTORS         /* the tensor rope_freqs.weight [head_dim / 2] divides the frequencies */
} dk_rope_kind;

typedef enum dk_act { DK_ACT_SILU, DK_ACT_GELU_TANH, DK_ACT_GELU } dk_act;

enum { DK_MAX_EOS = 16 };

typedef struct dk_model_config {
    dk_arch arch;
    char arch_name[64];     /* as the file says it: "LlamaForCausalLM", "llama" */
    char name[128];         /* for people: general.name, or the last part of the path */
    size_t n_layers, d_model, n_heads, n_kv_heads, head_dim, d_ff, vocab, max_positions;
    double rms_eps, rope_theta;
    dk_rope_kind rope_kind;
    double rope_factor, rope_low_freq, rope_high_freq;
    size_t rope_original;   /* positions before llama3 scaling */
    bool tied;              /* lm_head is the embedding */
    bool qkv_bias, o_bias, mlp_bias, qk_norm;
    dk_act act;
    size_t window;          /* 0: full attention */
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

#endif
