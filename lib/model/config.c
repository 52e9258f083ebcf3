/* Reading model configurations.  Both sources fill the same structure; what a
 * sensible value is stands once, in check(). */
#include "model/config.h"

#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"

enum { MAX_SIZE = 1 << 24, MAX_POSITIONS = INT32_MAX };

static const struct known { const char *class, *type; dk_arch arch; } known[] = {
    { "LlamaForCausalLM", "llama", DK_ARCH_LLAMA },
    { "MistralForCausalLM", "mistral", DK_ARCH_MISTRAL },
    { "Qwen2ForCausalLM", "qwen2", DK_ARCH_QWEN2 },
    { "Qwen3ForCausalLM", "qwen3", DK_ARCH_QWEN3 },
    { "Qwen2_5_VLForConditionalGeneration", "qwen2_5_vl", DK_ARCH_QWEN25_VL },
    { "Gemma2ForCausalLM", "gemma2", DK_ARCH_GEMMA2 },
    { "Gemma3ForCausalLM", "gemma3_text", DK_ARCH_GEMMA3 },
    { "Gemma3ForConditionalGeneration", "gemma3", DK_ARCH_GEMMA3 },
    { "GPT2LMHeadModel", "gpt2", DK_ARCH_GPT2 },
};

static int set_arch(dk_model_config *cfg, const char *name, const char *path, dk_err *err)
{
    if (!name || !*name)
        return dk_fail(err, DK_EFORMAT, "%s names no architecture", path);
    snprintf(cfg->arch_name, sizeof cfg->arch_name, "%s", name);
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (strcmp(name, known[i].class) == 0 || strcmp(name, known[i].type) == 0) {
            cfg->arch = known[i].arch;
            if (cfg->arch == DK_ARCH_LLAMA)
                return 0;
            return dk_fail(err, DK_EDATA, "%s: architecture %s is not supported yet; supported: "
                           "LlamaForCausalLM", path, cfg->arch_name);
        }
    return dk_fail(err, DK_EDATA, "%s: architecture %s is not known; supported: LlamaForCausalLM",
                   path, cfg->arch_name);
}

static void set_name(dk_model_config *cfg, const char *name)
{
    size_t n = 0;

    for (; *name && n + 1 < sizeof cfg->name; name++)
        if ((unsigned char)*name >= 0x20 && *name != 0x7F)
            cfg->name[n++] = *name;
    cfg->name[n] = 0;
}

/* The last part of a path, trailing slashes aside. */
static void set_name_from_path(dk_model_config *cfg, const char *path)
{
    size_t n = strlen(path), from;
    char *part;

    while (n > 1 && path[n - 1] == '/')
        n--;
    for (from = n; from > 0 && path[from - 1] != '/'; from--)
        ;
    part = dk_xstrndup(path + from, n - from);
    set_name(cfg, part);
    dk_free(part);
}

static int in_range(const char *what, size_t v, size_t hi, const char *path, dk_err *err)
{
    return v >= 1 && v <= hi ? 0 : dk_fail(err, DK_EFORMAT, "%s: %s is %zu, expected 1 to %zu", path,
                                           what, v, hi);
}

static int check_numbers(const dk_model_config *c, const char *path, dk_err *err)
{
    if (!(c->rms_eps > 0 && c->rms_eps < 1))
        return dk_fail(err, DK_EFORMAT, "%s: the epsilon of the norms is %g", path, c->rms_eps);
    if (!(c->rope_theta >= 1 && c->rope_theta < 1e12))
        return dk_fail(err, DK_EFORMAT, "%s: rope_theta is %g", path, c->rope_theta);
    if (c->rope_kind == DK_ROPE_LINEAR || c->rope_kind == DK_ROPE_LLAMA3)
        if (!(c->rope_factor >= 1 && c->rope_factor < 1e6))
            return dk_fail(err, DK_EFORMAT, "%s: the RoPE scaling factor is %g", path,
                           c->rope_factor);
    if (c->rope_kind == DK_ROPE_LLAMA3 &&
        !(c->rope_low_freq > 0 && c->rope_high_freq > c->rope_low_freq && c->rope_high_freq < 1e6 &&
          c->rope_original >= 1 && c->rope_original <= MAX_POSITIONS))
        return dk_fail(err, DK_EFORMAT, "%s: llama3 RoPE scaling with frequency factors %g and %g and "
                       "%zu original positions", path, c->rope_low_freq, c->rope_high_freq,
                       c->rope_original);
    return 0;
}

static int check(const dk_model_config *c, const char *path, dk_err *err)
{
    const struct { const char *what; size_t v, hi; } sizes[] = {
        { "the number of layers", c->n_layers, 1000 }, { "the hidden size", c->d_model, 1 << 20 },
        { "the number of heads", c->n_heads, 4096 },
        { "the number of key-value heads", c->n_kv_heads, 4096 },
        { "the head size", c->head_dim, 4096 }, { "the MLP width", c->d_ff, MAX_SIZE },
        { "the vocabulary size", c->vocab, MAX_SIZE },
        { "the number of positions", c->max_positions, MAX_POSITIONS },
    };

    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
        if (in_range(sizes[i].what, sizes[i].v, sizes[i].hi, path, err) < 0)
            return DK_EFORMAT;
    if (c->n_heads % c->n_kv_heads)
        return dk_fail(err, DK_EFORMAT, "%s: %zu heads cannot share %zu key-value heads", path,
                       c->n_heads, c->n_kv_heads);
    if (c->head_dim % 2)
        return dk_fail(err, DK_EFORMAT, "%s: the head size %zu is odd", path, c->head_dim);
    return check_numbers(c, path, err);
}

/* An id outside the vocabulary is no id. */
static void add_eos(dk_model_config *cfg, int64_t id)
{
    if (id < 0 || (size_t)id >= cfg->vocab || cfg->n_eos == DK_MAX_EOS)
        return;
    for (size_t i = 0; i < cfg->n_eos; i++)
        if (cfg->eos[i] == id)
            return;
    cfg->eos[cfg->n_eos++] = (int)id;
}

static void set_bos(dk_model_config *cfg, int64_t id)
{
    cfg->bos = id >= 0 && (size_t)id < cfg->vocab ? (int)id : -1;
}

/* --- config.json ---------------------------------------------------------- */
typedef struct source {
    const dk_json *v;
    const char *path;
    dk_err *err;
    int rc;                 /* the first failure */
} source;

/* def 0: the key is required. */
static size_t get_size(source *s, const char *key, size_t def)
{
    const dk_json *v = dk_json_get(s->v, key);
    const int64_t n = dk_json_int(v, -1);

    if (!v || dk_json_is_null(v)) {
        if (def == 0 && s->rc == 0)
            s->rc = dk_fail(s->err, DK_EFORMAT, "%s has no %s", s->path, key);
        return def;
    }
    if (n < 0 && s->rc == 0)
        s->rc = dk_fail(s->err, DK_EFORMAT, "%s: %s is no whole number", s->path, key);
    return n < 0 ? 0 : (size_t)n;
}

static double get_num(source *s, const dk_json *obj, const char *key, double def)
{
    const dk_json *v = dk_json_get(obj, key);

    if (!v || dk_json_is_null(v))
        return def;
    if (isnan(dk_json_num(v, NAN)) && s->rc == 0)
        s->rc = dk_fail(s->err, DK_EFORMAT, "%s: %s is no number", s->path, key);
    return dk_json_num(v, 0);
}

static void get_eos(dk_model_config *cfg, const dk_json *v)
{
    if (dk_json_type(v) == DK_JSON_ARRAY)
        for (size_t i = 0; i < dk_json_len(v); i++)
            add_eos(cfg, dk_json_int(dk_json_at(v, i), -1));
    else
        add_eos(cfg, dk_json_int(v, -1));
}

/* Old files have rope_theta and rope_scaling, new ones rope_parameters. */
static void get_rope(source *s, dk_model_config *cfg)
{
    const dk_json *now = dk_json_get(s->v, "rope_parameters");
    const dk_json *r = dk_json_type(now) == DK_JSON_OBJECT ? now : dk_json_get(s->v, "rope_scaling");
    const char *kind = dk_json_str(dk_json_get(r, "rope_type"),
                                   dk_json_str(dk_json_get(r, "type"), "default"));
    const double old_theta = get_num(s, s->v, "rope_theta", 10000);

    cfg->rope_theta = get_num(s, r, "rope_theta", old_theta);
    cfg->rope_factor = get_num(s, r, "factor", 1);
    if (strcmp(kind, "default") == 0)
        cfg->rope_kind = DK_ROPE_PLAIN;
    else if (strcmp(kind, "linear") == 0)
        cfg->rope_kind = DK_ROPE_LINEAR;
    else if (strcmp(kind, "llama3") == 0) {
        cfg->rope_kind = DK_ROPE_LLAMA3;
        cfg->rope_low_freq = get_num(s, r, "low_freq_factor", 1);
        cfg->rope_high_freq = get_num(s, r, "high_freq_factor", 4);
        cfg->rope_original = (size_t)fmax(0, fmin(MAX_POSITIONS + 1.0,
                             get_num(s, r, "original_max_position_embeddings", 0)));
    } else if (s->rc == 0) {
        s->rc = dk_fail(s->err, DK_EDATA, "%s: RoPE scaling '%.40s' is not supported yet", s->path,
                        kind);
    }
    if (get_num(s, s->v, "partial_rotary_factor", 1) != 1 && s->rc == 0)
        s->rc = dk_fail(s->err, DK_EDATA, "%s: partial_rotary_factor is not supported yet", s->path);
}

static void get_sizes(source *s, dk_model_config *cfg)
{
    const bool has_head_dim = dk_json_type(dk_json_get(s->v, "head_dim")) == DK_JSON_INT;

    cfg->n_layers = get_size(s, "num_hidden_layers", 0);
    cfg->d_model = get_size(s, "hidden_size", 0);
    cfg->n_heads = get_size(s, "num_attention_heads", 0);
    cfg->n_kv_heads = get_size(s, "num_key_value_heads", cfg->n_heads ? cfg->n_heads : 1);
    cfg->d_ff = get_size(s, "intermediate_size", 0);
    cfg->vocab = get_size(s, "vocab_size", 0);
    cfg->max_positions = get_size(s, "max_position_embeddings", 2048);
    if (s->rc == 0 && !has_head_dim && (cfg->n_heads == 0 || cfg->d_model % cfg->n_heads))
        s->rc = dk_fail(s->err, DK_EFORMAT, "%s: a hidden size of %zu does not divide into %zu heads",
                        s->path, cfg->d_model, cfg->n_heads);
    if (s->rc == 0)
        cfg->head_dim = get_size(s, "head_dim", cfg->d_model / (cfg->n_heads ? cfg->n_heads : 1));
}

static void get_rest(source *s, dk_model_config *cfg)
{
    const char *act = dk_json_str(dk_json_get(s->v, "hidden_act"), "silu");

    cfg->rms_eps = get_num(s, s->v, "rms_norm_eps", 1e-6);
    cfg->tied = dk_json_bool(dk_json_get(s->v, "tie_word_embeddings"), false);
    cfg->qkv_bias = cfg->o_bias = dk_json_bool(dk_json_get(s->v, "attention_bias"), false);
    cfg->mlp_bias = dk_json_bool(dk_json_get(s->v, "mlp_bias"), false);
    snprintf(cfg->dtype, sizeof cfg->dtype, "%s",
             dk_json_str(dk_json_get(s->v, "dtype"),
                         dk_json_str(dk_json_get(s->v, "torch_dtype"), "float32")));
    if (strcmp(act, "silu") != 0 && strcmp(act, "swish") != 0 && s->rc == 0)
        s->rc = dk_fail(s->err, DK_EDATA, "%s: activation '%.40s' is not supported yet", s->path, act);
    if (dk_json_type(dk_json_get(s->v, "quantization_config")) == DK_JSON_OBJECT && s->rc == 0)
        s->rc = dk_fail(s->err, DK_EDATA, "%s: quantization_config is not supported; take the "
                        "unquantised checkpoint or a GGUF file", s->path);
    set_bos(cfg, dk_json_int(dk_json_get(s->v, "bos_token_id"), -1));
    get_eos(cfg, dk_json_get(s->v, "eos_token_id"));
}

int dk_model_config_json(dk_model_config *cfg, const dk_json *root, const char *path, dk_err *err)
{
    source s = { .v = root, .path = path, .err = err };
    const char *class = dk_json_str(dk_json_at(dk_json_get(root, "architectures"), 0), NULL);

    *cfg = (dk_model_config){ .bos = -1, .rope_factor = 1 };
    set_name_from_path(cfg, path);
    if (dk_json_type(root) != DK_JSON_OBJECT)
        return dk_fail(err, DK_EFORMAT, "%s is no JSON object", path);
    s.rc = set_arch(cfg, class ? class : dk_json_str(dk_json_get(root, "model_type"), NULL), path,
                    err);
    if (s.rc == 0) {
        get_sizes(&s, cfg);
        get_rest(&s, cfg);
        get_rope(&s, cfg);
    }
    return s.rc < 0 ? s.rc : check(cfg, path, err);
}

/* The list that generation stops at takes the place of config.json's. */
static int generation_eos(dk_model_config *cfg, const char *dir, dk_err *err)
{
    char *path = dk_xasprintf("%s/generation_config.json", dir);
    dk_json *v = NULL;
    int rc = 0;

    if (access(path, F_OK) == 0)
        rc = dk_json_load(&v, path, err);
    if (rc == 0 && dk_json_get(v, "eos_token_id") &&
        !dk_json_is_null(dk_json_get(v, "eos_token_id"))) {
        cfg->n_eos = 0;
        get_eos(cfg, dk_json_get(v, "eos_token_id"));
    }
    dk_json_free(&v);
    dk_free(path);
    return rc;
}

int dk_model_config_load(dk_model_config *cfg, const char *dir, dk_err *err)
{
    char *path = dk_xasprintf("%s/config.json", dir);
    dk_json *v = NULL;
    int rc = dk_json_load(&v, path, err);

    if (rc == 0)
        rc = dk_model_config_json(cfg, v, path, err);
    if (rc == 0)
        rc = generation_eos(cfg, dir, err);
    if (rc == 0)
        set_name_from_path(cfg, dir);
    dk_json_free(&v);
    dk_free(path);
    return rc;
}

/* --- GGUF ------------------------------------------------------------------ */
static const char *key_of(char buf[128], const char *prefix, const char *suffix)
{
    snprintf(buf, 128, "%.60s.%s", prefix, suffix);
    return buf;
}

/* def 0: required.  Negative numbers and lists give 0, which check() refuses. */
static int gguf_size(size_t *out, const dk_gguf *g, const char *prefix, const char *suffix,
                     size_t def, const char *path, dk_err *err)
{
    char key[128];
    const dk_gguf_kv *kv = dk_gguf_get(g, key_of(key, prefix, suffix));
    const int64_t v = dk_gguf_int(g, key, -1);

    if (!kv && def == 0)
        return dk_fail(err, DK_EFORMAT, "%s has no %s", path, key);
    if (kv && v < 0)
        return dk_fail(err, DK_EFORMAT, "%s: %s is no single whole number", path, key);
    *out = kv ? (size_t)v : def;
    return 0;
}

static int gguf_sizes(dk_model_config *c, const dk_gguf *g, const char *p, const char *path,
                      dk_err *err)
{
    const dk_gguf_tensor *embd = dk_gguf_find(g, "token_embd.weight");
    size_t value_dim = 0, rope_dim = 0, experts = 0;

    if (gguf_size(&c->n_layers, g, p, "block_count", 0, path, err) < 0 ||
        gguf_size(&c->d_model, g, p, "embedding_length", 0, path, err) < 0 ||
        gguf_size(&c->d_ff, g, p, "feed_forward_length", 0, path, err) < 0 ||
        gguf_size(&c->max_positions, g, p, "context_length", 0, path, err) < 0 ||
        gguf_size(&c->n_heads, g, p, "attention.head_count", 0, path, err) < 0 ||
        gguf_size(&c->n_kv_heads, g, p, "attention.head_count_kv", c->n_heads ? c->n_heads : 1, path,
                  err) < 0 ||
        gguf_size(&c->vocab, g, p, "vocab_size", embd ? embd->dims[1] : 0, path, err) < 0)
        return DK_EFORMAT;
    if (c->n_heads == 0 || c->d_model % c->n_heads)
        c->head_dim = 0;
    else
        c->head_dim = c->d_model / c->n_heads;
    if (gguf_size(&c->head_dim, g, p, "attention.key_length", c->head_dim, path, err) < 0 ||
        gguf_size(&value_dim, g, p, "attention.value_length", c->head_dim, path, err) < 0 ||
        gguf_size(&rope_dim, g, p, "rope.dimension_count", c->head_dim, path, err) < 0 ||
        gguf_size(&experts, g, p, "expert_count", SIZE_MAX, path, err) < 0)
        return DK_EFORMAT;
    if (value_dim != c->head_dim || rope_dim != c->head_dim)
        return dk_fail(err, DK_EDATA, "%s: heads of %zu with values of %zu and rotation of %zu are not "
                       "supported yet", path, c->head_dim, value_dim, rope_dim);
    if (experts != SIZE_MAX && experts > 0)
        return dk_fail(err, DK_EDATA, "%s: a mixture of %zu experts is not supported yet", path,
                       experts);
    return 0;
}

static int gguf_rope(dk_model_config *c, const dk_gguf *g, const char *p, const char *path,
                     dk_err *err)
{
    char key[128];
    const char *kind = dk_gguf_str_of(g, key_of(key, p, "rope.scaling.type"), "linear");
    const double old = dk_gguf_num(g, key_of(key, p, "rope.scale_linear"), 1);

    c->rope_theta = dk_gguf_num(g, key_of(key, p, "rope.freq_base"), 10000);
    c->rope_factor = dk_gguf_num(g, key_of(key, p, "rope.scaling.factor"), old);
    if (c->rope_factor == 0)        /* some writers mean "none" */
        c->rope_factor = 1;
    if (dk_gguf_find(g, "rope_freqs.weight"))
        c->rope_kind = DK_ROPE_FACTORS;
    else if (strcmp(kind, "none") == 0 || c->rope_factor == 1)
        c->rope_kind = DK_ROPE_PLAIN;
    else if (strcmp(kind, "linear") == 0)
        c->rope_kind = DK_ROPE_LINEAR;
    else
        return dk_fail(err, DK_EDATA, "%s: RoPE scaling '%.40s' is not supported yet", path, kind);
    return 0;
}

/* The type that holds most of the values. */
static void gguf_dtype(dk_model_config *c, const dk_gguf *g)
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
    const char *name = dk_gguf_str_of(g, "general.name", "");
    char key[128];
    int rc;

    *cfg = (dk_model_config){ .bos = -1, .rope_factor = 1 };
    set_name(cfg, name);
    if (!*cfg->name)
        set_name_from_path(cfg, path);
    if ((rc = set_arch(cfg, arch, path, err)) < 0 ||
        (rc = gguf_sizes(cfg, g, arch, path, err)) < 0 ||
        (rc = gguf_rope(cfg, g, arch, path, err)) < 0)
        return rc;
    cfg->rms_eps = dk_gguf_num(g, key_of(key, arch, "attention.layer_norm_rms_epsilon"), 1e-6);
    cfg->tied = !dk_gguf_find(g, "output.weight");
    cfg->qkv_bias = dk_gguf_find(g, "blk.0.attn_q.bias") != NULL;
    cfg->o_bias = dk_gguf_find(g, "blk.0.attn_output.bias") != NULL;
    cfg->mlp_bias = dk_gguf_find(g, "blk.0.ffn_up.bias") != NULL;
    set_bos(cfg, dk_gguf_int(g, "tokenizer.ggml.bos_token_id", -1));
    add_eos(cfg, dk_gguf_int(g, "tokenizer.ggml.eos_token_id", -1));
    add_eos(cfg, dk_gguf_int(g, "tokenizer.ggml.eot_token_id", -1));
    gguf_dtype(cfg, g);
    return check(cfg, path, err);
}
