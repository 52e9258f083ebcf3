/* PEFT's configuration of a LoRA adapter. */
#include "model/loraconfig.h"

#include <ctype.h>
#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/mem.h"
#include "base/regex.h"

enum { MAX_RANK = 1 << 16, MAX_ENTRIES = 8192 };

/* target_modules, exclude_modules: nothing, suffixes, one pattern, everything. */
typedef struct choice {
    enum { NONE, LIST, PATTERN, ALL_LINEAR } kind;
    char **suffix;
    size_t n;
    dk_regex *pattern;
} choice;

typedef struct override { dk_regex *pattern; double value; } override;
typedef struct overrides { override *v; size_t n; } overrides;

struct dk_lora_config {
    char *path, *base;
    size_t r;
    double alpha;
    bool rslora;
    choice target, exclude;
    choice save;                    /* modules_to_save */
    bool by_layer;
    int64_t *layer;
    size_t n_layers;
    dk_regex **layers_pattern;      /* matches all up to the layer's number */
    size_t n_patterns;
    overrides rank, alphas;
};

/* --- what is refused --------------------------------------------------------- */

/* Ordinary files hold null, false, {} and [] for what they do not use. */
static bool is_set(const dk_json *v)
{
    switch (dk_json_type(v)) {
    case DK_JSON_NONE:
    case DK_JSON_NULL: return false;
    case DK_JSON_BOOL: return dk_json_bool(v, false);
    case DK_JSON_ARRAY:
    case DK_JSON_OBJECT: return dk_json_len(v) > 0;
    default: return true;
    }
}

static int refuse_keys(const dk_json *v, const char *path, dk_err *err)
{
    static const char *const keys[] = {
        "use_dora", "lora_bias", "ensure_weight_tying", "layer_replication", "megatron_config",
        "trainable_token_indices", "target_parameters", "alora_invocation_tokens", "arrow_config",
        "kasa_config", "monteclora_config", "velora_config", "use_bdlora", "use_qalora"
    };
    dk_json_iter it = {0};

    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++)
        if (is_set(dk_json_get(v, keys[i])))
            return dk_fail(err, DK_EDATA, "%s: %s is set, which is not supported", path, keys[i]);
    /* A variant of LoRA that is newer than this code announces itself so. */
    while (dk_json_next(v, &it))
        if (strncmp(it.key, "use_", 4) == 0 && strcmp(it.key, "use_rslora") != 0 &&
            dk_json_bool(it.value, false))
            return dk_fail(err, DK_EDATA, "%s: %.80s is set, which is not known", path, it.key);
    return 0;
}

/* These ways to start change the base matrix when the adapter is loaded. */
static int refuse_init(const dk_json *v, const char *path, dk_err *err)
{
    static const char *const kinds[] = { "pissa", "olora", "corda", "loftq", "lora_ga" };
    const char *init = dk_json_str(dk_json_get(v, "init_lora_weights"), "");

    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        if (strncasecmp(init, kinds[i], strlen(kinds[i])) == 0)
            return dk_fail(err, DK_EDATA, "%s: init_lora_weights '%.40s' changes the base weights, "
                           "which is not supported; convert the adapter to plain LoRA", path, init);
    return 0;
}

static int refuse(const dk_json *v, const char *path, dk_err *err)
{
    const char *type = dk_json_str(dk_json_get(v, "peft_type"), "LORA");
    const char *bias = dk_json_str(dk_json_get(v, "bias"), "none");
    int rc;

    if (dk_json_type(v) != DK_JSON_OBJECT)
        return dk_fail(err, DK_EFORMAT, "%s is no JSON object", path);
    if (strcmp(type, "LORA") != 0)
        return dk_fail(err, DK_EDATA, "%s: peft_type %.40s is not supported, only LORA", path, type);
    if (strcmp(bias, "none") != 0)
        return dk_fail(err, DK_EDATA, "%s: bias '%.40s' (trained biases) is not supported", path, bias);
    rc = refuse_keys(v, path, err);
    return rc < 0 ? rc : refuse_init(v, path, err);
}

/* --- reading ------------------------------------------------------------------- */
static int read_list(char ***out, size_t *n, const dk_json *v, const char *key, const char *path,
                     dk_err *err)
{
    if (dk_json_len(v) > MAX_ENTRIES)
        return dk_fail(err, DK_EFORMAT, "%s: %s has %zu entries", path, key, dk_json_len(v));
    *out = dk_xcalloc(dk_json_len(v), sizeof **out);
    for (size_t i = 0; i < dk_json_len(v); i++) {
        const char *s = dk_json_str(dk_json_at(v, i), NULL);

        if (!s)
            return dk_fail(err, DK_EFORMAT, "%s: %s holds something that is no text", path, key);
        (*out)[(*n)++] = dk_xstrdup(s);
    }
    return 0;
}

static int read_choice(choice *c, const dk_json *v, const char *key, const char *path, dk_err *err)
{
    const char *text = dk_json_str(v, NULL);

    if (!v || dk_json_is_null(v))
        return 0;
    if (dk_json_type(v) == DK_JSON_ARRAY) {
        c->kind = LIST;
        return read_list(&c->suffix, &c->n, v, key, path, err);
    }
    if (!text)
        return dk_fail(err, DK_EFORMAT, "%s: %s is neither a list nor text", path, key);
    if (strcasecmp(text, "all-linear") == 0) {
        c->kind = ALL_LINEAR;
        return 0;
    }
    c->kind = PATTERN;
    if (dk_regex_new(&c->pattern, text, err) < 0)
        return dk_err_prefix(err, "%s: %s", path, key);
    return 0;
}

/* PEFT: re.match(rf"(.*\.)?({key})$", module); the first key that matches. */
static int read_overrides(overrides *o, const dk_json *v, const char *key, const char *path,
                          dk_err *err)
{
    dk_json_iter it = {0};

    if (dk_json_len(v) > MAX_ENTRIES)
        return dk_fail(err, DK_EFORMAT, "%s: %s has %zu entries", path, key, dk_json_len(v));
    o->v = dk_xcalloc(dk_json_type(v) == DK_JSON_OBJECT ? dk_json_len(v) : 0, sizeof *o->v);
    while (dk_json_type(v) == DK_JSON_OBJECT && dk_json_next(v, &it)) {
        char *pattern = dk_xasprintf("\\A(.*\\.)?(%s)$", it.key);
        override *one = &o->v[o->n++];
        const int rc = dk_regex_new(&one->pattern, pattern, err);

        dk_free(pattern);
        one->value = dk_json_num(it.value, NAN);
        if (rc < 0)
            return dk_err_prefix(err, "%s: %s", path, key);
        if (!isfinite(one->value))
            return dk_fail(err, DK_EFORMAT, "%s: %s of '%.80s' is no number", path, key, it.key);
    }
    return 0;
}

static int read_layers(dk_lora_config *c, const dk_json *v, dk_err *err)
{
    const bool list = dk_json_type(v) == DK_JSON_ARRAY;
    const size_t n = list ? dk_json_len(v) : 1;

    if (!v || dk_json_is_null(v) || n == 0)
        return 0;
    if (c->target.kind == PATTERN || c->target.kind == ALL_LINEAR)
        return dk_fail(err, DK_EDATA, "%s: layers_to_transform needs target_modules to be a list",
                       c->path);
    if (n > MAX_ENTRIES)
        return dk_fail(err, DK_EFORMAT, "%s: layers_to_transform has %zu entries", c->path, n);
    c->by_layer = true;
    c->layer = dk_xcalloc(n, sizeof *c->layer);
    for (size_t i = 0; i < n; i++) {
        c->layer[c->n_layers++] = dk_json_int(list ? dk_json_at(v, i) : v, -1);
        if (c->layer[i] < 0)
            return dk_fail(err, DK_EFORMAT, "%s: layers_to_transform holds something that is no layer",
                           c->path);
    }
    return 0;
}

static int add_layers_pattern(dk_lora_config *c, const char *name, dk_err *err)
{
    char *pattern = dk_xasprintf("\\A.*\\.%s\\.(?=\\d+\\.)", name);
    const int rc = dk_regex_new(&c->layers_pattern[c->n_patterns], pattern, err);

    dk_free(pattern);
    if (rc < 0)
        return dk_err_prefix(err, "%s: layers_pattern", c->path);
    c->n_patterns++;
    return 0;
}

static int read_layers_pattern(dk_lora_config *c, const dk_json *v, dk_err *err)
{
    const bool list = dk_json_type(v) == DK_JSON_ARRAY;
    const size_t n = list ? dk_json_len(v) : dk_json_len(v) > 0;
    int rc = 0;

    if (n > MAX_ENTRIES)
        return dk_fail(err, DK_EFORMAT, "%s: layers_pattern has %zu entries", c->path, n);
    c->layers_pattern = dk_xcalloc(n + 1, sizeof *c->layers_pattern);
    for (size_t i = 0; rc == 0 && i < n; i++) {
        const char *name = dk_json_str(list ? dk_json_at(v, i) : v, NULL);

        if (!name)
            return dk_fail(err, DK_EFORMAT, "%s: layers_pattern is no text", c->path);
        rc = add_layers_pattern(c, name, err);
    }
    if (rc == 0 && n == 0)      /* any name of a list of blocks */
        rc = add_layers_pattern(c, "[^.]*", err);
    return rc;
}

/* Whole modules can be taken over at the ends of the model alone. */
static int read_save(dk_lora_config *c, const dk_json *v, dk_err *err)
{
    static const char *const ends[] = { "embed_tokens", "wte", "lm_head" };
    int rc;

    if (!is_set(v))
        return 0;
    rc = read_choice(&c->save, v, "modules_to_save", c->path, err);
    if (rc == 0 && c->save.kind != LIST)
        return dk_fail(err, DK_EFORMAT, "%s: modules_to_save is no list", c->path);
    for (size_t i = 0; rc == 0 && i < c->save.n; i++) {
        const char *dot = strrchr(c->save.suffix[i], '.'), *last = dot ? dot + 1 : c->save.suffix[i];
        bool known = false;

        for (size_t k = 0; k < sizeof ends / sizeof *ends; k++)
            known |= strcmp(last, ends[k]) == 0;
        if (!known)
            rc = dk_fail(err, DK_EDATA, "%s: modules_to_save holds '%.80s', which is not supported, only "
                         "embed_tokens (wte) and lm_head", c->path, c->save.suffix[i]);
    }
    return rc;
}

static int read_all(dk_lora_config *c, const dk_json *v, dk_err *err)
{
    const int64_t r = dk_json_get(v, "r") ? dk_json_int(dk_json_get(v, "r"), -1) : 8;
    int rc;

    c->base = dk_xstrdup(dk_json_str(dk_json_get(v, "base_model_name_or_path"), ""));
    c->rslora = dk_json_bool(dk_json_get(v, "use_rslora"), false);
    c->alpha = dk_json_get(v, "lora_alpha") ? dk_json_num(dk_json_get(v, "lora_alpha"), NAN) : 8;
    if (r < 1 || r > MAX_RANK)
        return dk_fail(err, DK_EFORMAT, "%s: the rank r is no number from 1 to %d", c->path, MAX_RANK);
    if (!isfinite(c->alpha))
        return dk_fail(err, DK_EFORMAT, "%s: lora_alpha is no number", c->path);
    c->r = (size_t)r;
    if ((rc = read_choice(&c->target, dk_json_get(v, "target_modules"), "target_modules", c->path,
                          err)) < 0 ||
        (rc = read_choice(&c->exclude, dk_json_get(v, "exclude_modules"), "exclude_modules", c->path,
                          err)) < 0 ||
        (rc = read_save(c, dk_json_get(v, "modules_to_save"), err)) < 0 ||
        (rc = read_layers(c, dk_json_get(v, "layers_to_transform"), err)) < 0 ||
        (rc = read_layers_pattern(c, dk_json_get(v, "layers_pattern"), err)) < 0 ||
        (rc = read_overrides(&c->rank, dk_json_get(v, "rank_pattern"), "rank_pattern", c->path,
                             err)) < 0)
        return rc;
    return read_overrides(&c->alphas, dk_json_get(v, "alpha_pattern"), "alpha_pattern", c->path, err);
}

int dk_lora_config_json(dk_lora_config **out, const dk_json *root, const char *path, dk_err *err)
{
    dk_lora_config *c = dk_xcalloc(1, sizeof *c);
    int rc = refuse(root, path, err);

    c->path = dk_xstrdup(path);
    if (rc == 0)
        rc = read_all(c, root, err);
    if (rc < 0)
        dk_lora_config_free(&c);
    *out = c;
    return rc;
}

int dk_lora_config_load(dk_lora_config **out, const char *path, dk_err *err)
{
    dk_json *v = NULL;
    int rc = dk_json_load(&v, path, err);

    *out = NULL;
    if (rc == 0)
        rc = dk_lora_config_json(out, v, path, err);
    dk_json_free(&v);
    return rc;
}

static void free_choice(choice *c)
{
    for (size_t i = 0; i < c->n; i++)
        dk_free(c->suffix[i]);
    dk_free(c->suffix);
    dk_regex_free(&c->pattern);
}

static void free_overrides(overrides *o)
{
    for (size_t i = 0; i < o->n; i++)
        dk_regex_free(&o->v[i].pattern);
    dk_free(o->v);
}

void dk_lora_config_free(dk_lora_config **cp)
{
    dk_lora_config *c = *cp;

    if (!c)
        return;
    free_choice(&c->target);
    free_choice(&c->exclude);
    free_choice(&c->save);
    free_overrides(&c->rank);
    free_overrides(&c->alphas);
    for (size_t i = 0; i < c->n_patterns; i++)
        dk_regex_free(&c->layers_pattern[i]);
    dk_free(c->layers_pattern);
    dk_free(c->layer);
    dk_free(c->base);
    dk_free(c->path);
    dk_free(c);
    *cp = NULL;
}

const char *dk_lora_config_base(const dk_lora_config *c) { return c->base; }
size_t dk_lora_config_rank(const dk_lora_config *c) { return c->r; }
double dk_lora_config_alpha(const dk_lora_config *c) { return c->alpha; }
bool dk_lora_config_rslora(const dk_lora_config *c) { return c->rslora; }

/* --- targeting --------------------------------------------------------------------- */

static bool ends_with(const char *s, const char *end)
{
    const size_t n = strlen(s), k = strlen(end);

    return n >= k && strcmp(s + n - k, end) == 0;
}

/* 2: the module is named in full; 1: by a suffix or pattern; 0: not at all. */
static int chosen(const choice *c, const char *module, dk_err *err)
{
    const size_t n = strlen(module);
    int best = 0;

    if (c->kind == PATTERN)
        return dk_regex_full(c->pattern, module, n, err);
    if (c->kind == ALL_LINEAR)
        return strcmp(module, "lm_head") != 0 && !ends_with(module, "embed_tokens") && !ends_with(module, "wte");
    for (size_t i = 0; i < c->n; i++) {
        const size_t k = strlen(c->suffix[i]);

        if (strcmp(module, c->suffix[i]) == 0)
            best = 2;
        else if (best == 0 && k < n && module[n - k - 1] == '.' &&
                 strcmp(module + n - k, c->suffix[i]) == 0)
            best = 1;
    }
    return best;
}

static int layer_chosen(const dk_lora_config *c, const char *module, dk_err *err)
{
    for (size_t i = 0; i < c->n_patterns; i++) {
        size_t to = 0;
        const int rc = dk_regex_find(c->layers_pattern[i], module, strlen(module), 0, NULL, &to, err);

        if (rc < 0)
            return rc;
        if (rc > 0) {
            const int64_t layer = strtoll(module + to, NULL, 10);

            for (size_t k = 0; k < c->n_layers; k++)
                if (c->layer[k] == layer)
                    return 1;
            return 0;
        }
    }
    return 0;
}

bool dk_lora_config_saves(const dk_lora_config *c, const char *module)
{
    bool any = false;

    for (size_t i = 0; i < c->save.n; i++)
        any |= ends_with(module, c->save.suffix[i]);
    return any;
}

int dk_lora_config_targets(const dk_lora_config *c, const char *module, dk_err *err)
{
    /* What PEFT takes when the config names nothing; the last is GPT-2's. */
    static char *fallback[] = { "q_proj", "v_proj", "c_attn" };
    const choice def = { .kind = LIST, .suffix = fallback, .n = 3 };
    const int out = c->exclude.kind == NONE ? 0 : chosen(&c->exclude, module, err);
    const int in = out ? 0 : chosen(c->target.kind == NONE ? &def : &c->target, module, err);

    if (out < 0 || in < 0)
        return out < 0 ? out : in;
    if (in && dk_lora_config_saves(c, module))
        return 0;
    if (in == 1 && c->by_layer)
        return layer_chosen(c, module, err);
    return in > 0;
}

static int override_of(const overrides *o, const char *module, double *value, dk_err *err)
{
    for (size_t i = 0; i < o->n; i++) {
        const int rc = dk_regex_find(o->v[i].pattern, module, strlen(module), 0, NULL, NULL, err);

        if (rc > 0)
            *value = o->v[i].value;
        if (rc != 0)
            return rc < 0 ? rc : 0;
    }
    return 0;
}

int dk_lora_config_scale(const dk_lora_config *c, const char *module, size_t *r, double *scale,
                         dk_err *err)
{
    double rank = (double)c->r, alpha = c->alpha;

    if (override_of(&c->rank, module, &rank, err) < 0 ||
        override_of(&c->alphas, module, &alpha, err) < 0)
        return dk_err_prefix(err, "%s", c->path);
    if (!(rank >= 1 && rank <= MAX_RANK && rank == floor(rank)))
        return dk_fail(err, DK_EFORMAT, "%s: rank_pattern gives %s the rank %g", c->path, module, rank);
    *r = (size_t)rank;
    *scale = alpha / (c->rslora ? sqrt(rank) : rank);
    return 0;
}
