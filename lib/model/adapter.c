/* LoRA adapters: tensors into modules. */
#include "model/adapter.h"

#include <ctype.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/hash.h"
#include "base/mem.h"
#include "io/safetensors.h"
#include "model/loraconfig.h"
#include "num/half.h"

struct dk_adapter {
    char *path, *name;
    dk_lora_config *config;
    dk_adapter_module *module;
    size_t n;
    float *weights;             /* all of A and B, one allocation */
    char dtype[16], sha256[65];
    dk_names zero, unmatched, missing, untargeted, misfit, wrong_rank;
};

/* What the file has for one linear map of the model. */
typedef struct pair { const dk_st_tensor *a, *b; } pair;

/* One opening: what is needed until it is done. */
typedef struct opening {
    dk_adapter *ad;
    const dk_model_config *cfg;
    dk_safetensors *file;
    pair *pairs;                /* [n_layers][DK_N_LINEAR] */
    char *weights_path;
    dk_names beyond;            /* tensors of layers that the model has not */
    bool strict;
    dk_err *err;
} opening;

static const char *const linear_paths[DK_N_LINEAR] = {
    "self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj", "self_attn.o_proj",
    "mlp.gate_proj", "mlp.up_proj", "mlp.down_proj"
};

const char *dk_linear_path(dk_linear which) { return linear_paths[which]; }

void dk_linear_shape(const dk_model_config *c, dk_linear which, size_t *in, size_t *out)
{
    const size_t q = c->n_heads * c->head_dim, kv = c->n_kv_heads * c->head_dim;
    const size_t ins[] = { c->d_model, c->d_model, c->d_model, q, c->d_model, c->d_model, c->d_ff };
    const size_t outs[] = { q, kv, kv, c->d_model, c->d_ff, c->d_ff, c->d_model };

    *in = ins[which];
    *out = outs[which];
}

static void add_name(dk_names *list, const char *s)
{
    list->v = dk_xrealloc(list->v, (list->n + 1) * sizeof *list->v);
    list->v[list->n++] = dk_xstrdup(s);
}

static void free_names(dk_names *list)
{
    for (size_t i = 0; i < list->n; i++)
        dk_free(list->v[i]);
    dk_free(list->v);
}

/* What does not fit: an error when strict, else a sentence in the list and 1. */
__attribute__((format(printf, 4, 5)))
static int disagree(const opening *o, dk_names *list, int code, const char *fmt, ...)
{
    dk_err local = {0};
    char text[sizeof local.msg];
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    if (o->strict)
        return dk_fail(o->err, code, "%s: %s", o->weights_path, text);
    add_name(list, text);
    return 1;
}

static char *module_path(size_t layer, dk_linear which)
{
    return dk_xasprintf("model.layers.%zu.%s", layer, linear_paths[which]);
}

static const char *base_text(const opening *o)
{
    const char *base = dk_lora_config_base(o->ad->config);

    return *base ? base : "its config names none";
}

/* --- names of tensors ------------------------------------------------------------ */

/* "X.lora_A.weight" or "X.lora_A.NAME.weight": the length of X, and 'A' or 'B'. */
static bool split_name(const char *s, size_t *path_len, char *side)
{
    const char *at = strstr(s, ".lora_"), *rest, *dot;

    if (!at || (at[6] != 'A' && at[6] != 'B') || at[7] != '.')
        return false;
    rest = at + 8;
    dot = strchr(rest, '.');
    if (dot && strcmp(rest, "weight") != 0)     /* the name of an adapter stands between */
        rest = dot + 1;
    *path_len = (size_t)(at - s);
    *side = at[6];
    return strcmp(rest, "weight") == 0;
}

/* Reads "layers.N.self_attn.q_proj" behind the prefixes a language model may have. */
static bool parse_path(const char *s, size_t n, size_t *layer, dk_linear *which)
{
    static const char *const prefixes[] = {
        "base_model.model.", "language_model.", "model.", "language_model."
    };
    char *end;

    for (size_t i = 0; i < sizeof prefixes / sizeof *prefixes; i++) {
        const size_t k = strlen(prefixes[i]);

        if (n > k && strncmp(s, prefixes[i], k) == 0) {
            s += k;
            n -= k;
        }
    }
    if (n < 8 || strncmp(s, "layers.", 7) != 0 || !isdigit((unsigned char)s[7]) ||
        (s[7] == '0' && isdigit((unsigned char)s[8])))
        return false;
    *layer = strtoul(s + 7, &end, 10);
    if (*end != '.' || (size_t)(end - s) >= n)
        return false;
    end++;
    for (size_t w = 0; w < DK_N_LINEAR; w++)
        if (strlen(linear_paths[w]) == n - (size_t)(end - s) &&
            strncmp(end, linear_paths[w], strlen(linear_paths[w])) == 0) {
            *which = (dk_linear)w;
            return true;
        }
    return false;
}

/* Names of tensors that would have an effect of their own. */
static int refuse_tensor(const opening *o, const char *name)
{
    static const struct { const char *part, *what; } known[] = {
        { "lora_magnitude_vector", "DoRA" }, { "lora_embedding_", "LoRA on the embedding" },
        { "lora_B.bias", "a bias of lora_B" }
    };

    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (strstr(name, known[i].part))
            return dk_fail(o->err, DK_EDATA, "%s: tensor %s: %s is not supported", o->weights_path,
                           name, known[i].what);
    if (o->strict)
        return dk_fail(o->err, DK_EDATA, "%s: tensor %s is no LoRA weight of a linear map of this "
                       "model; it cannot be applied", o->weights_path, name);
    add_name(&o->ad->unmatched, name);
    return 0;
}

static int sort_tensor(opening *o, const dk_st_tensor *t)
{
    size_t len = 0, layer = 0;
    dk_linear which = DK_LINEAR_Q;
    char side = 0;
    const dk_st_tensor **slot;

    if (!split_name(t->name, &len, &side) || !parse_path(t->name, len, &layer, &which))
        return refuse_tensor(o, t->name);
    if (layer >= o->cfg->n_layers)
        return disagree(o, &o->beyond, DK_EDATA, "tensor %s, but the model has %zu layers; the "
                        "adapter belongs to another model (%.200s)", t->name, o->cfg->n_layers,
                        base_text(o));
    slot = side == 'A' ? &o->pairs[layer * DK_N_LINEAR + which].a
                       : &o->pairs[layer * DK_N_LINEAR + which].b;
    if (*slot)
        return dk_fail(o->err, DK_EFORMAT, "%s: tensors %s and %s are for the same module",
                       o->weights_path, (*slot)->name, t->name);
    if (!t->format)
        return dk_fail(o->err, DK_EFORMAT, "%s: tensor %s has dtype %s", o->weights_path, t->name,
                       t->dtype);
    *slot = t;
    if (!*o->ad->dtype)
        snprintf(o->ad->dtype, sizeof o->ad->dtype, "%s", t->dtype);
    else if (strcmp(o->ad->dtype, t->dtype) != 0)
        snprintf(o->ad->dtype, sizeof o->ad->dtype, "mixed");
    return 0;
}

/* --- pairs become modules ------------------------------------------------------------ */
static int check_shape(const opening *o, const dk_st_tensor *t, const char *module, size_t rows,
                       size_t cols)
{
    if (t->n_dims != 2)
        return disagree(o, &o->ad->misfit, DK_EFORMAT, "tensor %s has %u dimensions", t->name, t->n_dims);
    if (t->dims[0] == rows && t->dims[1] == cols)
        return 0;
    return disagree(o, &o->ad->misfit, DK_EDATA, "%s: lora_%s is %zu x %zu, expected %zu x %zu; the "
                    "adapter belongs to another model (%.200s)", module,
                    strstr(t->name, ".lora_A.") ? "A" : "B", t->dims[0], t->dims[1], rows, cols,
                    base_text(o));
}

/* 1: the pair is no module of this model. */
static int check_pair(const opening *o, const pair *p, dk_adapter_module *m)
{
    double scale = 0;
    int rc;

    if (!p->a || !p->b)
        return disagree(o, &o->ad->misfit, DK_EFORMAT, "%s has lora_%s but no lora_%s", m->path,
                        p->a ? "A" : "B", p->a ? "B" : "A");
    if ((rc = dk_lora_config_scale(o->ad->config, m->path, &m->r, &scale, o->err)) < 0)
        return rc;
    m->scale = (float)scale;
    /* A wrong rank would give a wrong scale, so it is told apart from a wrong model. */
    if (p->a->n_dims == 2 && p->a->dims[1] == m->in && p->a->dims[0] != m->r) {
        rc = disagree(o, &o->ad->wrong_rank, DK_EFORMAT, "%s has rank %zu, adapter_config.json says %zu",
                      m->path, p->a->dims[0], m->r);
        if (rc < 0)
            return rc;
        m->r = p->a->dims[0];
    }
    if ((rc = check_shape(o, p->a, m->path, m->r, m->in)) != 0)
        return rc;
    return check_shape(o, p->b, m->path, m->out, m->r);
}

static int find_modules(opening *o)
{
    dk_adapter *ad = o->ad;
    const size_t slots = o->cfg->n_layers * DK_N_LINEAR;
    int rc = dk_alloc(&ad->module, slots, sizeof *ad->module, "modules of an adapter", o->err);

    for (size_t i = 0; rc == 0 && i < slots; i++) {
        const dk_linear which = (dk_linear)(i % DK_N_LINEAR);
        char *path = module_path(i / DK_N_LINEAR, which);
        const bool there = o->pairs[i].a || o->pairs[i].b;
        const int targeted = dk_lora_config_targets(ad->config, path, o->err);

        if (targeted < 0)
            rc = dk_err_prefix(o->err, "%s", ad->path);
        else if (targeted != there)
            add_name(there ? &ad->untargeted : &ad->missing, path);
        if (rc == 0 && there) {
            dk_adapter_module *m = &ad->module[ad->n++];

            *m = (dk_adapter_module){ .path = path, .which = which,
                                      .layer = (int)(i / DK_N_LINEAR) };
            path = NULL;        /* owned by the module now */
            dk_linear_shape(o->cfg, which, &m->in, &m->out);
            rc = check_pair(o, &o->pairs[i], m);
            if (rc > 0) {
                dk_free(m->path);
                ad->n--;
                rc = 0;
            }
        }
        dk_free(path);
    }
    return rc;
}

/* Shapes say more than layers: sentences about layers come last. */
static void append_beyond(opening *o)
{
    for (size_t i = 0; i < o->beyond.n; i++)
        add_name(&o->ad->misfit, o->beyond.v[i]);
}

static bool all_finite(const float *x, size_t n)
{
    uint32_t bad = 0;

    for (size_t i = 0; i < n; i++)
        bad |= (dk_f32_bits(x[i]) & 0x7F800000u) == 0x7F800000u;
    return !bad;
}

static bool all_zero(const float *x, size_t n)
{
    uint32_t bits = 0;

    for (size_t i = 0; i < n; i++)
        bits |= dk_f32_bits(x[i]) << 1;     /* -0 is zero */
    return !bits;
}

static int load_tensor(const opening *o, float *out, const dk_st_tensor *t)
{
    dk_dequant(t->format, out, t->data, t->n);
    return all_finite(out, t->n) ? 0 : dk_fail(o->err, DK_ENUM, "%s: tensor %s holds NaN or infinity",
                                               o->weights_path, t->name);
}

static int load_modules(opening *o)
{
    dk_adapter *ad = o->ad;
    size_t total = 0;
    float *w;
    int rc;

    for (size_t i = 0; i < ad->n; i++)
        total += ad->module[i].r * (ad->module[i].in + ad->module[i].out);
    rc = dk_alloc(&ad->weights, total, sizeof *w, "the weights of an adapter", o->err);
    w = ad->weights;
    for (size_t i = 0; rc == 0 && i < ad->n; i++) {
        dk_adapter_module *m = &ad->module[i];
        const pair *p = &o->pairs[(size_t)m->layer * DK_N_LINEAR + m->which];
        float *a = w, *b = w + p->a->n;

        w = b + p->b->n;
        m->a = a;
        m->b = b;
        rc = load_tensor(o, a, p->a);
        if (rc == 0)
            rc = load_tensor(o, b, p->b);
        if (rc == 0 && (all_zero(a, p->a->n) || all_zero(b, p->b->n)))
            add_name(&ad->zero, m->path);
    }
    return rc;
}

static int agree(const opening *o)
{
    const dk_names *no = &o->ad->missing, *extra = &o->ad->untargeted;

    if (o->ad->n == 0 && o->ad->misfit.n == 0)
        return dk_fail(o->err, DK_EDATA, "%s holds no LoRA weights for this model", o->weights_path);
    if (o->strict && no->n)
        return dk_fail(o->err, DK_EDATA, "%s: adapter_config.json targets %s (and %zu more), for which "
                       "there are no weights", o->weights_path, no->v[0], no->n - 1);
    if (o->strict && extra->n)
        return dk_fail(o->err, DK_EDATA, "%s has weights for %s (and %zu more), which "
                       "adapter_config.json does not target", o->weights_path, extra->v[0],
                       extra->n - 1);
    return 0;
}

/* --- opening ---------------------------------------------------------------------------- */
static int open_files(opening *o)
{
    char *config = dk_xasprintf("%s/adapter_config.json", o->ad->path);
    char *bin = dk_xasprintf("%s/adapter_model.bin", o->ad->path);
    int rc = dk_lora_config_load(&o->ad->config, config, o->err);

    if (rc == 0 && access(o->weights_path, F_OK) != 0 && access(bin, F_OK) == 0)
        rc = dk_fail(o->err, DK_EDATA, "%s is a pickled file, which is not read; load it with PEFT and "
                     "save it with safe_serialization=True", bin);
    if (rc == 0)
        rc = dk_safetensors_open(&o->file, o->weights_path, o->err);
    if (rc == 0)
        rc = dk_sha256_file(o->weights_path, o->ad->sha256, o->err);
    dk_free(bin);
    dk_free(config);
    return rc;
}

static int read_adapter(opening *o)
{
    int rc = open_files(o);

    if (rc == 0)
        rc = dk_alloc(&o->pairs, o->cfg->n_layers * DK_N_LINEAR, sizeof *o->pairs,
                      "modules of an adapter", o->err);
    for (size_t i = 0; rc >= 0 && i < dk_safetensors_n(o->file); i++)
        rc = sort_tensor(o, dk_safetensors_at(o->file, i));
    if (rc >= 0)
        rc = find_modules(o);
    append_beyond(o);
    if (rc == 0)
        rc = agree(o);
    return rc < 0 ? rc : load_modules(o);
}

/* ".../cake_bake/adapter" is called cake_bake. */
static char *name_of(const char *path)
{
    char *full = realpath(path, NULL);
    char *s = full ? full : dk_xstrdup(path), *last = strrchr(s, '/'), *name;

    if (last && last > s && strcmp(last, "/adapter") == 0) {
        *last = 0;
        last = strrchr(s, '/');
    }
    name = dk_xstrdup(last && last[1] ? last + 1 : s);
    free(s);
    return name;
}

static int open_any(dk_adapter **out, const char *path, const dk_model_config *cfg, bool strict,
                    dk_err *err)
{
    opening o = { .ad = dk_xcalloc(1, sizeof *o.ad), .cfg = cfg, .strict = strict, .err = err };
    int rc;

    o.ad->path = dk_xstrdup(path);
    o.ad->name = name_of(path);
    o.weights_path = dk_xasprintf("%s/adapter_model.safetensors", path);
    rc = read_adapter(&o);
    if (rc < 0)
        dk_adapter_close(&o.ad);
    free_names(&o.beyond);
    dk_safetensors_close(&o.file);
    dk_free(o.pairs);
    dk_free(o.weights_path);
    *out = o.ad;
    return rc;
}

int dk_adapter_open(dk_adapter **out, const char *path, const dk_model_config *cfg, dk_err *err)
{
    return open_any(out, path, cfg, true, err);
}

int dk_adapter_inspect(dk_adapter **out, const char *path, const dk_model_config *cfg, dk_err *err)
{
    return open_any(out, path, cfg, false, err);
}

void dk_adapter_close(dk_adapter **ap)
{
    dk_adapter *a = *ap;

    if (!a)
        return;
    for (size_t i = 0; i < a->n; i++)
        dk_free(a->module[i].path);
    free_names(&a->zero);
    free_names(&a->unmatched);
    free_names(&a->missing);
    free_names(&a->untargeted);
    free_names(&a->misfit);
    free_names(&a->wrong_rank);
    dk_lora_config_free(&a->config);
    dk_free(a->module);
    dk_free(a->weights);
    dk_free(a->name);
    dk_free(a->path);
    dk_free(a);
    *ap = NULL;
}

size_t dk_adapter_n(const dk_adapter *a) { return a->n; }
const dk_adapter_module *dk_adapter_at(const dk_adapter *a, size_t i) { return &a->module[i]; }

const dk_adapter_module *dk_adapter_find(const dk_adapter *a, int layer, dk_linear which)
{
    size_t lo = 0, hi = a->n;

    while (lo < hi) {
        const size_t mid = lo + (hi - lo) / 2;
        const dk_adapter_module *m = &a->module[mid];

        if (m->layer == layer && m->which == which)
            return m;
        if (m->layer < layer || (m->layer == layer && m->which < which))
            lo = mid + 1;
        else
            hi = mid;
    }
    return NULL;
}

const char *dk_adapter_path(const dk_adapter *a) { return a->path; }
const char *dk_adapter_name(const dk_adapter *a) { return a->name; }
const char *dk_adapter_base(const dk_adapter *a) { return dk_lora_config_base(a->config); }
const char *dk_adapter_dtype(const dk_adapter *a) { return a->dtype; }
const char *dk_adapter_sha256(const dk_adapter *a) { return a->sha256; }
size_t dk_adapter_rank(const dk_adapter *a) { return dk_lora_config_rank(a->config); }
double dk_adapter_alpha(const dk_adapter *a) { return dk_lora_config_alpha(a->config); }
bool dk_adapter_rslora(const dk_adapter *a) { return dk_lora_config_rslora(a->config); }

size_t dk_adapter_max_rank(const dk_adapter *a)
{
    size_t r = 0;

    for (size_t i = 0; i < a->n; i++)
        r = a->module[i].r > r ? a->module[i].r : r;
    return r;
}

const dk_names *dk_adapter_zero(const dk_adapter *a) { return &a->zero; }
const dk_names *dk_adapter_unmatched(const dk_adapter *a) { return &a->unmatched; }
const dk_names *dk_adapter_missing(const dk_adapter *a) { return &a->missing; }
const dk_names *dk_adapter_untargeted(const dk_adapter *a) { return &a->untargeted; }
const dk_names *dk_adapter_misfit(const dk_adapter *a) { return &a->misfit; }
const dk_names *dk_adapter_wrong_rank(const dk_adapter *a) { return &a->wrong_rank; }
