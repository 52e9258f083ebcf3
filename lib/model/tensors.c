/* The table of tensors. */
#include "model/tensors.h"

#include <stdio.h>
#include <string.h>

enum dim { ONE, HALF_HEAD, HEAD, D, Q, KV, QKV, FF, V, CONTEXT };
enum when {
    ALWAYS, WITH_HEAD, WITH_FACTORS, WITH_QKV_BIAS, WITH_O_BIAS, WITH_MLP_BIAS, WITH_QK_NORM, TWO_NORMS,
    FOUR_NORMS
};

typedef struct row {
    dk_role role;
    const char *name, *gguf;
    enum dim rows, cols;
    enum when when;
} row;

#define W(which) (dk_role)(DK_ROLE_WEIGHT + DK_LINEAR_##which)
#define B(which) (dk_role)(DK_ROLE_BIAS + DK_LINEAR_##which)

static const row llama_like[] = {
    { DK_ROLE_EMBED, "model.embed_tokens.weight", "token_embd.weight", V, D, ALWAYS },
    { DK_ROLE_FINAL_NORM, "model.norm.weight", "output_norm.weight", ONE, D, ALWAYS },
    { DK_ROLE_HEAD, "lm_head.weight", "output.weight", V, D, WITH_HEAD },
    { DK_ROLE_FACTORS, "rope_freqs.weight", "rope_freqs.weight", ONE, HALF_HEAD, WITH_FACTORS },
    { DK_ROLE_ATTN_NORM, "input_layernorm.weight", "attn_norm.weight", ONE, D, ALWAYS },
    { W(Q), "self_attn.q_proj.weight", "attn_q.weight", Q, D, ALWAYS },
    { W(K), "self_attn.k_proj.weight", "attn_k.weight", KV, D, ALWAYS },
    { W(V), "self_attn.v_proj.weight", "attn_v.weight", KV, D, ALWAYS },
    { W(O), "self_attn.o_proj.weight", "attn_output.weight", D, Q, ALWAYS },
    { B(Q), "self_attn.q_proj.bias", "attn_q.bias", ONE, Q, WITH_QKV_BIAS },
    { B(K), "self_attn.k_proj.bias", "attn_k.bias", ONE, KV, WITH_QKV_BIAS },
    { B(V), "self_attn.v_proj.bias", "attn_v.bias", ONE, KV, WITH_QKV_BIAS },
    { B(O), "self_attn.o_proj.bias", "attn_output.bias", ONE, D, WITH_O_BIAS },
    { DK_ROLE_Q_NORM, "self_attn.q_norm.weight", "attn_q_norm.weight", ONE, HEAD, WITH_QK_NORM },
    { DK_ROLE_K_NORM, "self_attn.k_norm.weight", "attn_k_norm.weight", ONE, HEAD, WITH_QK_NORM },
    { DK_ROLE_MLP_NORM, "post_attention_layernorm.weight", "ffn_norm.weight", ONE, D, TWO_NORMS },
    { DK_ROLE_POST_ATTN_NORM, "post_attention_layernorm.weight", "post_attention_norm.weight", ONE, D,
      FOUR_NORMS },
    { DK_ROLE_MLP_NORM, "pre_feedforward_layernorm.weight", "ffn_norm.weight", ONE, D, FOUR_NORMS },
    { DK_ROLE_POST_MLP_NORM, "post_feedforward_layernorm.weight", "post_ffw_norm.weight", ONE, D, FOUR_NORMS },
    { W(GATE), "mlp.gate_proj.weight", "ffn_gate.weight", FF, D, ALWAYS },
    { W(UP), "mlp.up_proj.weight", "ffn_up.weight", FF, D, ALWAYS },
    { W(DOWN), "mlp.down_proj.weight", "ffn_down.weight", D, FF, ALWAYS },
    { B(GATE), "mlp.gate_proj.bias", "ffn_gate.bias", ONE, FF, WITH_MLP_BIAS },
    { B(UP), "mlp.up_proj.bias", "ffn_up.bias", ONE, FF, WITH_MLP_BIAS },
    { B(DOWN), "mlp.down_proj.bias", "ffn_down.bias", ONE, D, WITH_MLP_BIAS },
};

static const row gpt2_like[] = {
    { DK_ROLE_EMBED, "transformer.wte.weight", "token_embd.weight", V, D, ALWAYS },
    { DK_ROLE_POSITIONS, "transformer.wpe.weight", "position_embd.weight", CONTEXT, D, ALWAYS },
    { DK_ROLE_FINAL_NORM, "transformer.ln_f.weight", "output_norm.weight", ONE, D, ALWAYS },
    { DK_ROLE_FINAL_NORM_BIAS, "transformer.ln_f.bias", "output_norm.bias", ONE, D, ALWAYS },
    { DK_ROLE_HEAD, "lm_head.weight", "output.weight", V, D, WITH_HEAD },
    { DK_ROLE_ATTN_NORM, "ln_1.weight", "attn_norm.weight", ONE, D, ALWAYS },
    { DK_ROLE_ATTN_NORM_BIAS, "ln_1.bias", "attn_norm.bias", ONE, D, ALWAYS },
    { W(QKV), "attn.c_attn.weight", "attn_qkv.weight", QKV, D, ALWAYS },
    { B(QKV), "attn.c_attn.bias", "attn_qkv.bias", ONE, QKV, WITH_QKV_BIAS },
    { W(O), "attn.c_proj.weight", "attn_output.weight", D, Q, ALWAYS },
    { B(O), "attn.c_proj.bias", "attn_output.bias", ONE, D, WITH_O_BIAS },
    { DK_ROLE_MLP_NORM, "ln_2.weight", "ffn_norm.weight", ONE, D, ALWAYS },
    { DK_ROLE_MLP_NORM_BIAS, "ln_2.bias", "ffn_norm.bias", ONE, D, ALWAYS },
    { W(UP), "mlp.c_fc.weight", "ffn_up.weight", FF, D, ALWAYS },
    { B(UP), "mlp.c_fc.bias", "ffn_up.bias", ONE, FF, WITH_MLP_BIAS },
    { W(DOWN), "mlp.c_proj.weight", "ffn_down.weight", D, FF, ALWAYS },
    { B(DOWN), "mlp.c_proj.bias", "ffn_down.bias", ONE, D, WITH_MLP_BIAS },
};

static const row *table(const dk_model_config *c, size_t *n)
{
    *n = c->fused_qkv ? sizeof gpt2_like / sizeof *gpt2_like : sizeof llama_like / sizeof *llama_like;
    return c->fused_qkv ? gpt2_like : llama_like;
}

static size_t size_of(const dk_model_config *c, enum dim d)
{
    switch (d) {
    case HALF_HEAD: return c->head_dim / 2;
    case HEAD: return c->head_dim;
    case D: return c->d_model;
    case Q: return c->n_heads * c->head_dim;
    case KV: return c->n_kv_heads * c->head_dim;
    case QKV: return (c->n_heads + 2 * c->n_kv_heads) * c->head_dim;
    case FF: return c->d_ff;
    case V: return c->vocab;
    case CONTEXT: return c->max_positions;
    default: return 1;
    }
}

static bool wanted(const dk_model_config *c, enum when when)
{
    switch (when) {
    case WITH_HEAD: return !c->tied;
    case WITH_FACTORS: return c->rope.kind == DK_ROPE_FACTORS;
    case WITH_QKV_BIAS: return c->qkv_bias;
    case WITH_O_BIAS: return c->o_bias;
    case WITH_MLP_BIAS: return c->mlp_bias;
    case WITH_QK_NORM: return c->qk_norm;
    case TWO_NORMS: return !c->post_norms;
    case FOUR_NORMS: return c->post_norms;
    default: return true;
    }
}

static bool is_norm(dk_role r)
{
    return r == DK_ROLE_FINAL_NORM || (r >= DK_ROLE_ATTN_NORM && r <= DK_ROLE_POST_MLP_NORM);
}

size_t dk_needs(dk_need out[DK_MAX_NEEDS], const dk_model_config *c)
{
    size_t n, k = 0;
    const row *r = table(c, &n);

    for (size_t i = 0; i < n; i++) {
        const bool map = r[i].role >= DK_ROLE_WEIGHT && r[i].role < DK_ROLE_BIAS;
        const bool q_or_k = r[i].role == W(Q) || r[i].role == W(K) || r[i].role == B(Q) || r[i].role == B(K);

        if (wanted(c, r[i].when))
            out[k++] = (dk_need){
                .role = r[i].role, .name = r[i].name, .gguf = r[i].gguf, .rows = size_of(c, r[i].rows),
                .cols = size_of(c, r[i].cols), .of_layer = r[i].role >= DK_ROLE_ATTN_NORM,
                .paired = c->arch == DK_ARCH_LLAMA && q_or_k, .stored_transposed = c->transposed && map,
                .stored_offset = c->norm == DK_NORM_RMS_OFFSET && is_norm(r[i].role)
            };
    }
    return k;
}

static const row *find(const dk_model_config *c, dk_role role)
{
    size_t n;
    const row *r = table(c, &n);

    for (size_t i = 0; i < n; i++)
        if (r[i].role == role && wanted(c, r[i].when))
            return &r[i];
    return NULL;
}

const char *dk_layers_prefix(const dk_model_config *c)
{
    return c->fused_qkv ? "transformer.h." : "model.layers.";
}

const char *dk_embed_path(const dk_model_config *c)
{
    return c->fused_qkv ? "transformer.wte" : "model.embed_tokens";
}

bool dk_role_name(char out[128], const dk_model_config *c, dk_role role, size_t layer)
{
    const row *r = find(c, role);

    if (!r)
        return false;
    if (role >= DK_ROLE_ATTN_NORM)
        snprintf(out, 128, "%s%zu.%s", dk_layers_prefix(c), layer, r->name);
    else
        snprintf(out, 128, "%s", r->name);
    return true;
}

const char *dk_linear_path(const dk_model_config *c, dk_linear which)
{
    static const char *const llama_paths[DK_N_LINEAR] = {
        NULL, "self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj", "self_attn.o_proj", "mlp.gate_proj",
        "mlp.up_proj", "mlp.down_proj"
    };
    static const char *const gpt2_paths[DK_N_LINEAR] = {
        "attn.c_attn", NULL, NULL, NULL, "attn.c_proj", NULL, "mlp.c_fc", "mlp.c_proj"
    };

    return c->fused_qkv ? gpt2_paths[which] : llama_paths[which];
}

void dk_linear_shape(const dk_model_config *c, dk_linear which, size_t *in, size_t *out)
{
    const size_t q = c->n_heads * c->head_dim, kv = c->n_kv_heads * c->head_dim;
    const size_t ins[] = { c->d_model, c->d_model, c->d_model, c->d_model, q, c->d_model, c->d_model, c->d_ff };
    const size_t outs[] = { q + 2 * kv, q, kv, kv, c->d_model, c->d_ff, c->d_ff, c->d_model };

    *in = ins[which];
    *out = outs[which];
}

size_t dk_linear_column(const dk_model_config *c, dk_linear which)
{
    const size_t q = c->n_heads * c->head_dim;

    switch (which) {
    case DK_LINEAR_K:  return q;
    case DK_LINEAR_V:  return q + c->n_kv_heads * c->head_dim;
    case DK_LINEAR_UP: return c->gated ? c->d_ff : 0;
    default:           return 0;
    }
}

/* --- names in files ---------------------------------------------------------------- */

/* The first of the parts that stands at the beginning of a component; NULL: none. */
static const char *first_part(const char *name, const char *const *parts, size_t n_parts)
{
    const char *at = NULL;

    for (size_t i = 0; i < n_parts; i++)
        for (const char *p = name; (p = strstr(p, parts[i])); p++)
            if ((p == name || p[-1] == '.') && (!at || p < at))
                at = p;
    return at;
}

char *dk_canonical_name(const dk_model_config *c, const char *name)
{
    /* "layers." wins over what is inside a layer, as it comes first. */
    static const char *const llama_parts[] = { "embed_tokens.", "layers.", "norm." };
    static const char *const gpt2_parts[] = { "wte.", "wpe.", "h.", "ln_f." };
    const char *head = strstr(name, "lm_head."), *at;

    if (strstr(name, "vision") || strstr(name, "visual.") || strstr(name, "multi_modal"))
        return NULL;
    if (head)
        return dk_xstrdup(head);
    at = c->fused_qkv ? first_part(name, gpt2_parts, 4) : first_part(name, llama_parts, 3);
    return at ? dk_xasprintf("%s.%s", c->fused_qkv ? "transformer" : "model", at) : dk_xstrdup(name);
}

bool dk_tensor_idle(const char *name)
{
    static const char *const ends[] = { ".rotary_emb.inv_freq", ".attn.bias", ".attn.masked_bias" };
    const size_t n = strlen(name);

    for (size_t i = 0; i < sizeof ends / sizeof *ends; i++)
        if (n > strlen(ends[i]) && strcmp(name + n - strlen(ends[i]), ends[i]) == 0)
            return true;
    return false;
}
