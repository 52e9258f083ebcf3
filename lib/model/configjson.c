/* config.json, old style and new. */
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "model/arch.h"

typedef struct source {
    const dk_json *root, *v;    /* the file; its language model: the same, or text_config */
    const dk_arch_info *arch;
    const char *path;
    dk_err *err;
    int rc;                     /* the first failure */
} source;

/* --- values by key ------------------------------------------------------------- */

/* What the language model's part does not say, the file's top may. */
static const dk_json *either(const source *s, const char *key)
{
    const dk_json *v = dk_json_get(s->v, key);

    return v && !dk_json_is_null(v) ? v : dk_json_get(s->root, key);
}

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

static bool get_bool(const source *s, const char *key, bool def)
{
    return dk_json_bool(dk_json_get(s->v, key), def);
}

/* A key whose other values would change the numbers in a way that is not done here. */
static void insist(source *s, const char *key, bool def, bool want)
{
    if (get_bool(s, key, def) != want && s->rc == 0)
        s->rc = dk_fail(s->err, DK_EDATA, "%s: %s is %s, which is not supported", s->path, key,
                        want ? "false" : "true");
}

static void get_eos(dk_model_config *cfg, const dk_json *v)
{
    if (dk_json_type(v) == DK_JSON_ARRAY)
        for (size_t i = 0; i < dk_json_len(v); i++)
            dk_model_config_add_eos(cfg, dk_json_int(dk_json_at(v, i), -1));
    else
        dk_model_config_add_eos(cfg, dk_json_int(v, -1));
}

/* --- rotation -------------------------------------------------------------------- */

/* Llama-like files scale cosines and sines by what mscale says, or else by the factor. */
static double yarn_attention(source *s, const dk_json *r, double factor)
{
    const double m = get_num(s, r, "mscale", 0), all = get_num(s, r, "mscale_all_dim", 0);
    const double log_factor = factor > 1 ? 0.1 * log(factor) : 0;

    return get_num(s, r, "attention_factor",
                   m != 0 && all != 0 ? (m * log_factor + 1) / (all * log_factor + 1) : log_factor + 1);
}

/* "beta_fast": null or 0 is as good as absent to the library. */
static double beta(source *s, const dk_json *r, const char *key, double def)
{
    const double b = get_num(s, r, key, def);

    return b == 0 ? def : b;
}

static void get_section(source *s, const dk_model_config *cfg, dk_rope_spec *to, const dk_json *list)
{
    size_t sum = 0;

    if (dk_json_type(list) != DK_JSON_ARRAY || s->arch->arch != DK_ARCH_QWEN25_VL)
        return;
    for (size_t i = 0; i < 3; i++) {
        const int64_t n = dk_json_int(dk_json_at(list, i), -1);

        to->section[i] = n >= 1 && n <= 4096 ? (unsigned)n : 0;
        sum += to->section[i];
    }
    if ((dk_json_len(list) != 3 || sum != cfg->head_dim / 2) && s->rc == 0)
        s->rc = dk_fail(s->err, DK_EFORMAT, "%s: mrope_section does not divide %zu pairs into three", s->path,
                        cfg->head_dim / 2);
}

/* r: rope_scaling, or what stands in its place; NULL: plain. */
static void get_scaling(source *s, const dk_model_config *cfg, dk_rope_spec *to, const dk_json *r, double theta)
{
    const char *kind = dk_json_str(dk_json_get(r, "rope_type"), dk_json_str(dk_json_get(r, "type"), "default"));

    to->theta = get_num(s, r, "rope_theta", theta);
    to->factor = get_num(s, r, "factor", 1);
    get_section(s, cfg, to, dk_json_get(r, "mrope_section"));
    /* Three position streams of an image-text model are one for text. */
    if (strcmp(kind, "default") == 0 || (strcmp(kind, "mrope") == 0 && s->arch->arch == DK_ARCH_QWEN25_VL))
        to->kind = DK_ROPE_PLAIN;
    else if (strcmp(kind, "linear") == 0)
        to->kind = DK_ROPE_LINEAR;
    else if (strcmp(kind, "llama3") == 0) {
        to->kind = DK_ROPE_LLAMA3;
        to->low = get_num(s, r, "low_freq_factor", 1);
        to->high = get_num(s, r, "high_freq_factor", 4);
        to->original = get_num(s, r, "original_max_position_embeddings", 0);
    } else if (strcmp(kind, "yarn") == 0) {
        to->kind = DK_ROPE_YARN;
        to->original = get_num(s, r, "original_max_position_embeddings", (double)cfg->max_positions);
        if (!dk_json_get(r, "factor") || dk_json_is_null(dk_json_get(r, "factor")))
            to->factor = (double)cfg->max_positions / to->original;
        to->low = beta(s, r, "beta_slow", 1);
        to->high = beta(s, r, "beta_fast", 32);
        to->attention = yarn_attention(s, r, to->factor);
        to->whole = dk_json_bool(dk_json_get(r, "truncate"), true);
    } else if (s->rc == 0) {
        s->rc = dk_fail(s->err, DK_EDATA, "%s: RoPE scaling '%s' is not supported", s->path, dk_show(kind).s);
    }
    if (get_num(s, r, "partial_rotary_factor", 1) != 1 && s->rc == 0)
        s->rc = dk_fail(s->err, DK_EDATA, "%s: partial_rotary_factor is not supported", s->path);
}

/* Old files have rope_theta and rope_scaling, new ones rope_parameters: one, or
 * one for each kind of layer. */
static void get_rope(source *s, dk_model_config *cfg)
{
    const dk_json *now = dk_json_get(s->v, "rope_parameters"), *old = dk_json_get(s->v, "rope_scaling");
    const dk_json *full = dk_json_get(now, "full_attention"), *local = dk_json_get(now, "sliding_attention");
    const bool by_layer = full || local, is_new = dk_json_type(now) == DK_JSON_OBJECT;
    const double theta = get_num(s, s->v, "rope_theta", s->arch->local_rope ? 1e6 : 1e4);

    if (get_num(s, s->v, "partial_rotary_factor", 1) != 1 && s->rc == 0)
        s->rc = dk_fail(s->err, DK_EDATA, "%s: partial_rotary_factor is not supported", s->path);
    get_scaling(s, cfg, &cfg->rope, by_layer ? full : is_new ? now : old, theta);
    if (by_layer)
        get_scaling(s, cfg, &cfg->rope_local, local, s->arch->local_rope ? 1e4 : theta);
    else if (s->arch->local_rope)
        get_scaling(s, cfg, &cfg->rope_local, NULL, get_num(s, s->v, "rope_local_base_freq", 1e4));
    else
        cfg->rope_local = cfg->rope;
}

/* --- windows ----------------------------------------------------------------------- */
static void slide_listed(source *s, dk_model_config *cfg, const dk_json *types)
{
    if (dk_json_len(types) != cfg->n_layers && s->rc == 0)
        s->rc = dk_fail(s->err, DK_EFORMAT, "%s: layer_types has %zu entries for %zu layers", s->path,
                        dk_json_len(types), cfg->n_layers);
    for (size_t i = 0; s->rc == 0 && i < cfg->n_layers; i++) {
        const char *type = dk_json_str(dk_json_at(types, i), "");

        if (strcmp(type, "sliding_attention") == 0)
            dk_model_config_slide(cfg, i);
        else if (strcmp(type, "full_attention") != 0)
            s->rc = dk_fail(s->err, DK_EDATA, "%s: layer type '%s' is not supported", s->path,
                            dk_show(type).s);
    }
}

static void get_window(source *s, dk_model_config *cfg)
{
    const dk_json *types = dk_json_get(s->v, "layer_types"), *w = dk_json_get(s->v, "sliding_window");
    const size_t pattern = get_size(s, "sliding_window_pattern", 6), upper = get_size(s, "max_window_layers", 28);
    const bool none = s->arch->window == DK_WINDOW_NONE || dk_json_is_null(w) ||
        (s->arch->window == DK_WINDOW_UPPER && !get_bool(s, "use_sliding_window", false));

    if (none || cfg->n_layers > DK_LAYERS_MAX)      /* which is refused later */
        return;
    cfg->window = get_size(s, "sliding_window", 4096);
    if ((cfg->window == 0 || pattern == 0) && s->rc == 0)
        s->rc = dk_fail(s->err, DK_EFORMAT, "%s: a sliding window of %zu tokens, pattern %zu", s->path,
                        cfg->window, pattern);
    if (dk_json_type(types) == DK_JSON_ARRAY)
        slide_listed(s, cfg, types);
    else
        for (size_t i = 0; s->rc == 0 && i < cfg->n_layers; i++)
            if (s->arch->window == DK_WINDOW_ALL || (s->arch->window == DK_WINDOW_EVEN && i % 2 == 0) ||
                (s->arch->window == DK_WINDOW_PATTERN && (i + 1) % pattern != 0) ||
                (s->arch->window == DK_WINDOW_UPPER && i >= upper))
                dk_model_config_slide(cfg, i);
}

/* --- sizes --------------------------------------------------------------------------- */
static void get_head_dim(source *s, dk_model_config *cfg, size_t def)
{
    const bool has = dk_json_type(dk_json_get(s->v, "head_dim")) == DK_JSON_INT;

    if (s->rc == 0 && !has && def == 0 && (cfg->n_heads == 0 || cfg->d_model % cfg->n_heads))
        s->rc = dk_fail(s->err, DK_EFORMAT, "%s: a hidden size of %zu does not divide into %zu heads",
                        s->path, cfg->d_model, cfg->n_heads);
    if (s->rc == 0 && def == 0)
        def = cfg->d_model / (cfg->n_heads ? cfg->n_heads : 1);
    if (s->rc == 0)
        cfg->head_dim = get_size(s, "head_dim", def);
}

static void get_sizes(source *s, dk_model_config *cfg)
{
    const bool sparse = s->arch->sparse;

    cfg->n_layers = get_size(s, "num_hidden_layers", sparse ? 26 : 0);
    cfg->d_model = get_size(s, "hidden_size", sparse ? 2304 : 0);
    cfg->n_heads = get_size(s, "num_attention_heads", sparse ? 8 : 0);
    cfg->n_kv_heads = get_size(s, "num_key_value_heads", sparse ? 4 : cfg->n_heads ? cfg->n_heads : 1);
    cfg->d_ff = get_size(s, "intermediate_size", sparse ? 9216 : 0);
    cfg->vocab = get_size(s, "vocab_size", sparse ? 262208 : 0);
    cfg->max_positions = get_size(s, "max_position_embeddings", sparse ? 131072 : s->arch->scalar ? 8192 : 2048);
    get_head_dim(s, cfg, s->arch->scalar ? 256 : s->arch->arch == DK_ARCH_QWEN3 ? 128 : 0);
    cfg->norm_eps = get_num(s, s->v, "rms_norm_eps", 1e-6);
}

static void get_gpt2_sizes(source *s, dk_model_config *cfg)
{
    cfg->n_layers = get_size(s, "n_layer", 0);
    cfg->d_model = get_size(s, "n_embd", 0);
    cfg->n_heads = cfg->n_kv_heads = get_size(s, "n_head", 0);
    cfg->d_ff = get_size(s, "n_inner", cfg->d_model <= SIZE_MAX / 4 && cfg->d_model ? 4 * cfg->d_model : 1);
    cfg->vocab = get_size(s, "vocab_size", 0);
    cfg->max_positions = get_size(s, "n_positions", get_size(s, "n_ctx", 1024));
    get_head_dim(s, cfg, 0);
    cfg->norm_eps = get_num(s, s->v, "layer_norm_epsilon", 1e-5);
    insist(s, "scale_attn_by_inverse_layer_idx", false, false);
    insist(s, "add_cross_attention", false, false);
}

/* --- the rest --------------------------------------------------------------------------- */
static void get_act(source *s, dk_model_config *cfg)
{
    const char *act = dk_json_str(dk_json_get(s->v, "hidden_activation"), NULL);

    if (!act)
        act = dk_json_str(dk_json_get(s->v, s->arch->gpt2_keys ? "activation_function" : "hidden_act"), NULL);
    if (!act)
        return;                 /* the architecture's own */
    if (strcmp(act, "silu") == 0 || strcmp(act, "swish") == 0)
        cfg->act = DK_ACT_SILU;
    else if (strcmp(act, "gelu_pytorch_tanh") == 0 || strcmp(act, "gelu_new") == 0)
        cfg->act = DK_ACT_GELU_TANH;
    else if (s->rc == 0)
        s->rc = dk_fail(s->err, DK_EDATA, "%s: activation '%s' is not supported", s->path, dk_show(act).s);
}

static void get_biases(source *s, dk_model_config *cfg)
{
    switch (s->arch->arch) {
    case DK_ARCH_LLAMA:
        cfg->mlp_bias = get_bool(s, "mlp_bias", false);
        cfg->qkv_bias = cfg->o_bias = get_bool(s, "attention_bias", false);
        break;
    case DK_ARCH_QWEN3: case DK_ARCH_GEMMA2: case DK_ARCH_GEMMA3: case DK_ARCH_GEMMA3_VL:
        cfg->qkv_bias = cfg->o_bias = get_bool(s, "attention_bias", false);
        break;
    default:                    /* the library does not look */
        break;
    }
}

static void get_attention(source *s, dk_model_config *cfg)
{
    const bool caps = s->arch->arch == DK_ARCH_GEMMA2;      /* where the file is silent */
    const double width = cfg->head_dim ? (double)cfg->head_dim : 1;
    const double scalar = s->arch->scalar ? get_num(s, s->v, "query_pre_attn_scalar", 256) : width;

    cfg->attn_scale = scalar > 0 ? 1 / sqrt(scalar) : 0;
    if (s->arch->gpt2_keys && !get_bool(s, "scale_attn_weights", true))
        cfg->attn_scale = 1;
    if (!s->arch->softcaps)
        return;
    insist(s, "use_bidirectional_attention", false, false);
    cfg->attn_softcap = get_num(s, s->v, "attn_logit_softcapping",
                                caps && !dk_json_get(s->v, "attn_logit_softcapping") ? 50 : 0);
    cfg->final_softcap = get_num(s, s->v, "final_logit_softcapping",
                                 caps && !dk_json_get(s->v, "final_logit_softcapping") ? 30 : 0);
}

static void get_rest(source *s, dk_model_config *cfg)
{
    const dk_json *top = dk_json_get(s->root, "tie_word_embeddings");
    const bool text = get_bool(s, "tie_word_embeddings", s->arch->tied);

    cfg->tied = top && s->root != s->v ? dk_json_bool(top, false) || get_bool(s, "tie_word_embeddings", false)
                                       : text;
    get_act(s, cfg);
    get_biases(s, cfg);
    get_attention(s, cfg);
    snprintf(cfg->dtype, sizeof cfg->dtype, "%s",
             dk_json_str(either(s, "dtype"), dk_json_str(either(s, "torch_dtype"), "float32")));
    if (dk_json_type(dk_json_get(s->root, "quantization_config")) == DK_JSON_OBJECT && s->rc == 0)
        s->rc = dk_fail(s->err, DK_EDATA, "%s: quantization_config is not supported; take the "
                        "unquantised checkpoint or a GGUF file", s->path);
    dk_model_config_set_bos(cfg, dk_json_int(either(s, "bos_token_id"), -1));
    get_eos(cfg, either(s, "eos_token_id"));
}

/* The language model of an image-text model is described on its own. */
static void find_text(source *s)
{
    const dk_json *text = dk_json_get(s->root, "text_config");
    const char *type = dk_json_str(dk_json_get(text, "model_type"), s->arch->text ? s->arch->text : "");

    s->v = s->root;
    if (!s->arch->text || dk_json_type(text) != DK_JSON_OBJECT)
        return;
    s->v = text;
    if (strcmp(type, s->arch->text) != 0)
        s->rc = dk_fail(s->err, DK_EDATA, "%s: the language model of %s is of type %s, which is not "
                        "supported; supported: %s", s->path, s->arch->class, dk_show(type).s, s->arch->text);
}

int dk_model_config_json(dk_model_config *cfg, const dk_json *root, const char *path, dk_err *err)
{
    source s = { .root = root, .path = path, .err = err };
    const char *name = dk_json_str(dk_json_at(dk_json_get(root, "architectures"), 0), NULL);

    *cfg = (dk_model_config){ .bos = -1 };
    dk_model_config_name_after(cfg, path);
    if (dk_json_type(root) != DK_JSON_OBJECT)
        return dk_fail(err, DK_EFORMAT, "%s is no JSON object", path);
    if (!name)
        name = dk_json_str(dk_json_get(root, "model_type"), NULL);
    s.rc = dk_arch_find(&s.arch, name, false, path, err);
    if (s.rc < 0)
        return s.rc;
    snprintf(cfg->arch_name, sizeof cfg->arch_name, "%s", name);
    dk_arch_apply(cfg, s.arch);
    find_text(&s);
    if (s.arch->gpt2_keys)
        get_gpt2_sizes(&s, cfg);
    else
        get_sizes(&s, cfg);
    if (s.rc == 0 && !s.arch->learned_positions)
        get_rope(&s, cfg);
    if (s.rc == 0)
        get_window(&s, cfg);
    if (s.rc == 0)
        get_rest(&s, cfg);
    return s.rc < 0 ? s.rc : dk_model_config_check(cfg, path, err);
}

/* --- files ------------------------------------------------------------------------------- */

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

static int load_gguf(dk_model_config *cfg, const char *path, dk_err *err)
{
    dk_gguf *g = NULL;
    int rc = dk_gguf_open(&g, path, err);

    if (rc == 0)
        rc = dk_model_config_gguf(cfg, g, path, err);
    dk_gguf_close(&g);
    return rc;
}

int dk_model_config_any(dk_model_config *cfg, const char *path, dk_err *err)
{
    dk_json *v = NULL;
    struct stat st;
    char *end;
    int rc;

    if (stat(path, &st) == 0 && S_ISDIR(st.st_mode))
        return dk_model_config_load(cfg, path, err);
    if (dk_gguf_is(path))
        return load_gguf(cfg, path, err);
    rc = dk_json_load(&v, path, err);
    if (rc == 0)
        rc = dk_model_config_json(cfg, v, path, err);
    /* MODEL/config.json is called MODEL, NAME.json NAME. */
    end = rc == 0 ? strrchr(cfg->name, '.') : NULL;
    if (end && strcmp(cfg->name, "config.json") == 0 && strlen(path) > strlen("/config.json")) {
        char *dir = dk_xstrndup(path, strlen(path) - strlen("/config.json"));

        dk_model_config_name_after(cfg, dir);
        dk_free(dir);
    } else if (end && end > cfg->name && strcmp(end, ".json") == 0) {
        *end = 0;
    }
    dk_json_free(&v);
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
        dk_model_config_name_after(cfg, dir);
    dk_json_free(&v);
    dk_free(path);
    return rc;
}
