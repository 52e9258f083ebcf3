/* The metadata of a GGUF file. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "model/arch.h"

typedef struct source {
    const dk_gguf *g;
    const dk_arch_info *arch;
    const char *path;
    dk_err *err;
    char key[128];
    int rc;                     /* the first failure */
} source;

static const char *key_of(source *s, const char *suffix)
{
    snprintf(s->key, sizeof s->key, "%.60s.%s", s->arch->gguf, suffix);
    return s->key;
}

/* def 0: required.  Negative numbers and lists are refused. */
static size_t get_size(source *s, const char *suffix, size_t def)
{
    const dk_gguf_kv *kv = dk_gguf_get(s->g, key_of(s, suffix));
    const int64_t v = dk_gguf_int(s->g, s->key, -1);

    if (s->rc == 0 && !kv && def == 0)
        s->rc = dk_fail(s->err, DK_EFORMAT, "%s has no %s", s->path, s->key);
    else if (s->rc == 0 && kv && v < 0)
        s->rc = dk_fail(s->err, DK_EFORMAT, "%s: %s is no single whole number", s->path, s->key);
    return kv ? (size_t)(v < 0 ? 0 : v) : def;
}

static double get_num(source *s, const char *suffix, double def)
{
    return dk_gguf_num(s->g, key_of(s, suffix), def);
}

static void get_sizes(source *s, dk_model_config *c)
{
    const dk_gguf_tensor *embd = dk_gguf_find(s->g, "token_embd.weight");
    size_t value_dim, rope_dim, experts;

    c->n_layers = get_size(s, "block_count", 0);
    c->d_model = get_size(s, "embedding_length", 0);
    c->d_ff = get_size(s, "feed_forward_length", 0);
    c->max_positions = get_size(s, "context_length", 0);
    c->n_heads = get_size(s, "attention.head_count", 0);
    c->n_kv_heads = get_size(s, "attention.head_count_kv", c->n_heads ? c->n_heads : 1);
    c->vocab = get_size(s, "vocab_size", embd ? embd->dims[1] : 0);
    if (s->rc < 0)
        return;
    c->head_dim = c->n_heads == 0 || c->d_model % c->n_heads ? 0 : c->d_model / c->n_heads;
    c->head_dim = get_size(s, "attention.key_length", c->head_dim);
    value_dim = get_size(s, "attention.value_length", c->head_dim);
    rope_dim = get_size(s, "rope.dimension_count", c->head_dim);
    experts = get_size(s, "expert_count", SIZE_MAX);
    if (s->rc == 0 && (value_dim != c->head_dim || (rope_dim != c->head_dim && !c->learned_positions)))
        s->rc = dk_fail(s->err, DK_EDATA, "%s: heads of %zu with values of %zu and rotation of %zu are not "
                        "supported", s->path, c->head_dim, value_dim, rope_dim);
    if (s->rc == 0 && experts != SIZE_MAX && experts > 0)
        s->rc = dk_fail(s->err, DK_EDATA, "%s: a mixture of %zu experts is not supported", s->path, experts);
}

static void get_rope(source *s, dk_model_config *c)
{
    const char *kind = dk_gguf_str_of(s->g, key_of(s, "rope.scaling.type"), "linear");
    const double old = get_num(s, "rope.scale_linear", 1);
    dk_rope_spec *r = &c->rope;

    r->theta = get_num(s, "rope.freq_base", 10000);
    r->factor = get_num(s, "rope.scaling.factor", old);
    if (r->factor == 0)         /* some writers mean "none" */
        r->factor = 1;
    if (dk_gguf_find(s->g, "rope_freqs.weight"))
        r->kind = DK_ROPE_FACTORS;
    else if (strcmp(kind, "none") == 0 || r->factor == 1)
        r->kind = DK_ROPE_PLAIN;
    else if (strcmp(kind, "linear") == 0)
        r->kind = DK_ROPE_LINEAR;
    else if (strcmp(kind, "yarn") == 0) {
        r->kind = DK_ROPE_YARN;
        r->original = get_num(s, "rope.scaling.original_context_length", (double)c->max_positions);
        r->low = get_num(s, "rope.scaling.yarn_beta_slow", 1);
        r->high = get_num(s, "rope.scaling.yarn_beta_fast", 32);
        r->attention = get_num(s, "rope.scaling.attn_factor", 1) * (0.1 * log(fmax(r->factor, 1)) + 1);
        r->whole = true;
    } else if (s->rc == 0)
        s->rc = dk_fail(s->err, DK_EDATA, "%s: RoPE scaling '%s' is not supported", s->path, dk_show(kind).s);
    c->rope_local = *r;
    if (s->arch->local_rope)
        c->rope_local = (dk_rope_spec){ .theta = get_num(s, "rope.freq_base_swa", 10000), .factor = 1 };
}

/* The file says neither which layers have the window nor how scores are scaled
 * in the largest models: that goes with the architecture. */
static void get_attention(source *s, dk_model_config *c)
{
    const bool largest = (c->arch == DK_ARCH_GEMMA2 && c->n_layers == 46) ||
                         (c->arch == DK_ARCH_GEMMA3 && c->n_layers == 62);
    const size_t scalar = largest && c->n_heads ? c->d_model / c->n_heads : c->head_dim;
    const bool caps = c->arch == DK_ARCH_GEMMA2;

    c->attn_scale = scalar ? 1 / sqrt((double)scalar) : 0;
    if (!s->arch->softcaps)
        return;
    c->attn_softcap = get_num(s, "attn_logit_softcapping", caps ? 50 : 0);
    c->final_softcap = get_num(s, "final_logit_softcapping", caps ? 30 : 0);
    c->window = get_size(s, "attention.sliding_window", 4096);
    for (size_t i = 0; c->window && i < c->n_layers && i < DK_LAYERS_MAX; i++)
        if (s->arch->window == DK_WINDOW_EVEN ? i % 2 == 0 : (i + 1) % 6 != 0)
            dk_model_config_slide(c, i);
}

/* The type that holds most of the values. */
static void get_dtype(dk_model_config *c, const dk_gguf *g)
{
    const dk_qformat *best = NULL;
    size_t count[DK_Q_BF16 + 1] = {0};

    for (size_t i = 0; i < dk_gguf_n_tensors(g); i++) {
        const dk_gguf_tensor *t = dk_gguf_tensor_at(g, i);
        size_t *n = &count[t->format->type];

        *n += t->bytes / t->format->bytes * t->format->block;
        if (!best || *n > count[best->type])
            best = t->format;
    }
    snprintf(c->dtype, sizeof c->dtype, "%s", best ? best->name : "");
}

int dk_model_config_gguf(dk_model_config *cfg, const dk_gguf *g, const char *path, dk_err *err)
{
    const char *arch = dk_gguf_str_of(g, "general.architecture", NULL);
    source s = { .g = g, .path = path, .err = err };

    *cfg = (dk_model_config){ .bos = -1 };
    dk_model_config_set_name(cfg, dk_gguf_str_of(g, "general.name", ""));
    if (!*cfg->name)
        dk_model_config_name_after(cfg, path);
    s.rc = dk_arch_find(&s.arch, arch, true, path, err);
    if (s.rc < 0)
        return s.rc;
    snprintf(cfg->arch_name, sizeof cfg->arch_name, "%s", arch);
    dk_arch_apply(cfg, s.arch);
    cfg->transposed = false;
    get_sizes(&s, cfg);
    if (s.rc == 0 && !cfg->learned_positions)
        get_rope(&s, cfg);
    if (s.rc == 0)
        get_attention(&s, cfg);
    if (s.rc < 0)
        return s.rc;
    cfg->norm_eps = cfg->norm == DK_NORM_LAYER ? get_num(&s, "attention.layer_norm_epsilon", 1e-5)
                                               : get_num(&s, "attention.layer_norm_rms_epsilon", 1e-6);
    cfg->tied = !dk_gguf_find(g, "output.weight");
    if (!s.arch->gpt2_keys) {
        cfg->qkv_bias = dk_gguf_find(g, "blk.0.attn_q.bias") != NULL;
        cfg->o_bias = dk_gguf_find(g, "blk.0.attn_output.bias") != NULL;
        cfg->mlp_bias = dk_gguf_find(g, "blk.0.ffn_up.bias") != NULL;
    }
    dk_model_config_set_bos(cfg, dk_gguf_int(g, "tokenizer.ggml.bos_token_id", -1));
    dk_model_config_add_eos(cfg, dk_gguf_int(g, "tokenizer.ggml.eos_token_id", -1));
    dk_model_config_add_eos(cfg, dk_gguf_int(g, "tokenizer.ggml.eot_token_id", -1));
    get_dtype(cfg, g);
    return dk_model_config_check(cfg, path, err);
}
