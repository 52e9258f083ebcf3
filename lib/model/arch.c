/* The table of architectures. */
#include "model/arch.h"

#include <string.h>

#define LLAMA_LIKE .norm = DK_NORM_RMS, .act = DK_ACT_SILU, .gated = true
#define GEMMA_LIKE .norm = DK_NORM_RMS_OFFSET, .act = DK_ACT_GELU_TANH, .gated = true, .post_norms = true, \
                   .embed_scaled = true, .scalar = true, .softcaps = true, .tied = true

static const dk_arch_info known[] = {
    { DK_ARCH_LLAMA, "LlamaForCausalLM", "llama", "llama", NULL, LLAMA_LIKE },
    { DK_ARCH_MISTRAL, "MistralForCausalLM", "mistral", NULL, NULL, LLAMA_LIKE, .window = DK_WINDOW_ALL },
    { DK_ARCH_MINISTRAL, "MinistralForCausalLM", "ministral", NULL, NULL, LLAMA_LIKE,
      .window = DK_WINDOW_ALL },
    { DK_ARCH_MISTRAL3, "Mistral3ForConditionalGeneration", "mistral3", NULL, "mistral", LLAMA_LIKE,
      .window = DK_WINDOW_ALL },
    { DK_ARCH_QWEN2, "Qwen2ForCausalLM", "qwen2", "qwen2", NULL, LLAMA_LIKE, .qkv_bias = true,
      .window = DK_WINDOW_UPPER },
    { DK_ARCH_QWEN25_VL, "Qwen2_5_VLForConditionalGeneration", "qwen2_5_vl", NULL, "qwen2_5_vl_text",
      LLAMA_LIKE, .qkv_bias = true, .window = DK_WINDOW_UPPER },
    { DK_ARCH_QWEN3, "Qwen3ForCausalLM", "qwen3", "qwen3", NULL, LLAMA_LIKE, .qk_norm = true,
      .window = DK_WINDOW_UPPER },
    { DK_ARCH_GEMMA2, "Gemma2ForCausalLM", "gemma2", "gemma2", NULL, GEMMA_LIKE, .window = DK_WINDOW_EVEN },
    { DK_ARCH_GEMMA3, "Gemma3ForCausalLM", "gemma3_text", "gemma3", NULL, GEMMA_LIKE, .qk_norm = true,
      .local_rope = true, .sparse = true, .window = DK_WINDOW_PATTERN },
    { DK_ARCH_GEMMA3_VL, "Gemma3ForConditionalGeneration", "gemma3", NULL, "gemma3_text", GEMMA_LIKE,
      .qk_norm = true, .local_rope = true, .sparse = true, .window = DK_WINDOW_PATTERN },
    { DK_ARCH_GPT2, "GPT2LMHeadModel", "gpt2", "gpt2", NULL, .norm = DK_NORM_LAYER, .act = DK_ACT_GELU_TANH,
      .gpt2_keys = true, .learned_positions = true, .fused_qkv = true, .transposed = true, .qkv_bias = true,
      .tied = true },
};

enum { N_KNOWN = sizeof known / sizeof *known };

int dk_arch_find(const dk_arch_info **out, const char *name, bool gguf, const char *path, dk_err *err)
{
    dk_buf names = {0};
    int rc;

    if (!name || !*name)
        return dk_fail(err, DK_EFORMAT, "%s names no architecture", path);
    for (size_t i = 0; i < N_KNOWN; i++)
        if (gguf ? known[i].gguf && strcmp(name, known[i].gguf) == 0
                 : strcmp(name, known[i].class) == 0 || strcmp(name, known[i].type) == 0) {
            *out = &known[i];
            return 0;
        }
    for (size_t i = 0; i < N_KNOWN; i++)
        if (!gguf || known[i].gguf)
            dk_buf_addf(&names, "%s%s", names.n ? ", " : "", gguf ? known[i].gguf : known[i].class);
    rc = dk_fail(err, DK_EDATA, "%s: architecture %s is not known; supported: %s", path, dk_show(name).s,
                 names.s);
    dk_buf_free(&names);
    return rc;
}

const dk_arch_info *dk_arch_of(dk_arch arch)
{
    for (size_t i = 0; i < N_KNOWN; i++)
        if (known[i].arch == arch)
            return &known[i];
    DK_ASSERT(false);
    return NULL;
}

void dk_arch_apply(dk_model_config *c, const dk_arch_info *a)
{
    c->arch = a->arch;
    c->norm = a->norm;
    c->act = a->act;
    c->learned_positions = a->learned_positions;
    c->fused_qkv = a->fused_qkv;
    c->transposed = a->transposed;
    c->gated = a->gated;
    c->qkv_bias = a->qkv_bias;
    c->o_bias = c->mlp_bias = a->gpt2_keys;
    c->qk_norm = a->qk_norm;
    c->post_norms = a->post_norms;
    c->embed_scaled = a->embed_scaled;
    c->tied = a->tied;
}
