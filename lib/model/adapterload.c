/* LoRA adapters: tensors into modules. */
#include "model/adapterpriv.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/hash.h"
#include "base/mem.h"
#include "io/safetensors.h"
#include "num/half.h"

/* What the file has for one linear map of the model. */
typedef struct pair { const dk_st_tensor *a, *b; } pair;

/* One opening: what is needed until it is done. */
typedef struct opening {
    dk_adapter *ad;
    const dk_model_config *cfg;
    dk_safetensors *file;
    pair *pairs;                /* [n_layers][DK_N_LINEAR] */
    pair embed, head;
    const dk_st_tensor *saved_embed, *saved_head;
    char *tree;                 /* what stands before "layers." in the file's paths; NULL: none seen */
    char *weights_path;
    dk_names beyond;            /* tensors of layers that the model has not */
    bool strict;
    dk_err *err;
} opening;

static void add_name(dk_names *list, const char *s)
{
    list->v = dk_xrealloc(list->v, (list->n + 1) * sizeof *list->v);
    list->v[list->n++] = dk_xstrdup(s);
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

static char *module_path(const dk_model_config *c, size_t layer, dk_linear which)
{
    return dk_xasprintf("%s%zu.%s", dk_layers_prefix(c), layer, dk_linear_path(c, which));
}

/* The path as the library that wrote the file knows it, for the patterns of the config. */
static char *tree_path(const opening *o, const char *path)
{
    const char *inside = strstr(path, o->cfg->fused_qkv ? "h." : "layers.");

    return o->tree && inside ? dk_xasprintf("%s%s", o->tree, inside) : dk_xstrdup(path);
}

static const char *base_text(const opening *o)
{
    const char *base = dk_lora_config_base(o->ad->config);

    return *base ? base : "its config names none";
}

/* --- tensors take their places ---------------------------------------------------- */

/* Names of tensors that would have an effect of their own. */
static int refuse_tensor(const opening *o, const char *name)
{
    static const struct { const char *part, *what; } known[] = {
        { "lora_magnitude_vector", "DoRA" }, { "lora_B.bias", "a bias of lora_B" }
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

/* Which place a tensor takes; NULL with 0: refused or noted, or 1 where it goes beyond the model. */
static int place_of(opening *o, const dk_st_tensor *t, const dk_st_tensor ***slot)
{
    const dk_lora_name n = dk_lora_name_of(o->cfg, t->name);
    pair *to;

    *slot = NULL;
    if (n.kind == DK_LORA_OTHER || (n.kind == DK_LORA_SAVED && n.place == DK_LORA_LAYER))
        return refuse_tensor(o, t->name);
    if (n.place == DK_LORA_LAYER && n.layer >= o->cfg->n_layers)
        return disagree(o, &o->beyond, DK_EDATA, "tensor %s, but the model has %zu layers; the "
                        "adapter belongs to another model (%.200s)", t->name, o->cfg->n_layers,
                        base_text(o));
    if (n.place == DK_LORA_LAYER && !o->tree)
        o->tree = dk_xstrndup(t->name + n.tree, n.tree_len);
    if (n.kind == DK_LORA_SAVED) {
        *slot = n.place == DK_LORA_EMBED ? &o->saved_embed : &o->saved_head;
        return 0;
    }
    to = n.place == DK_LORA_EMBED ? &o->embed : n.place == DK_LORA_HEAD ? &o->head
       : &o->pairs[n.layer * DK_N_LINEAR + n.which];
    *slot = n.kind == DK_LORA_A ? &to->a : &to->b;
    return 0;
}

static int sort_tensor(opening *o, const dk_st_tensor *t)
{
    const dk_st_tensor **slot;
    const int rc = place_of(o, t, &slot);

    if (rc != 0 || !slot)
        return rc;
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
static int check_shape(const opening *o, const dk_st_tensor *t, const char *module, const char *side,
                       size_t rows, size_t cols)
{
    if (t->n_dims != 2)
        return disagree(o, &o->ad->misfit, DK_EFORMAT, "tensor %s has %u dimensions", t->name, t->n_dims);
    if (t->dims[0] == rows && t->dims[1] == cols)
        return 0;
    return disagree(o, &o->ad->misfit, DK_EDATA, "%s: lora_%s is %zu x %zu, expected %zu x %zu; the "
                    "adapter belongs to another model (%.200s)", module,
                    side, t->dims[0], t->dims[1], rows, cols,
                    base_text(o));
}

/* 1: the pair is no module of this model. */
static int check_pair(const opening *o, const pair *p, dk_adapter_module *m)
{
    double scale = 0;
    char *path;
    int rc;

    if (!p->a || !p->b)
        return disagree(o, &o->ad->misfit, DK_EFORMAT, "%s has lora_%s but no lora_%s", m->path,
                        p->a ? "A" : "B", p->a ? "B" : "A");
    path = tree_path(o, m->path);
    rc = dk_lora_config_scale(o->ad->config, path, &m->r, &scale, o->err);
    dk_free(path);
    if (rc < 0)
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
    if ((rc = check_shape(o, p->a, m->path, "A", m->r, m->in)) != 0)
        return rc;
    return check_shape(o, p->b, m->path, "B", m->out, m->r);
}

/* Whether what the config says of a module agrees with what is there. */
static int check_claim(opening *o, const char *path, bool there)
{
    char *tree = tree_path(o, path);
    const int targeted = dk_lora_config_targets(o->ad->config, tree, o->err);

    dk_free(tree);
    if (targeted < 0)
        return dk_err_prefix(o->err, "%s", o->ad->path);
    if (targeted != there)
        add_name(there ? &o->ad->untargeted : &o->ad->missing, path);
    return 0;
}

static int find_modules(opening *o)
{
    dk_adapter *ad = o->ad;
    const size_t slots = o->cfg->n_layers * DK_N_LINEAR;
    int rc = dk_alloc(&ad->module, slots, sizeof *ad->module, "modules of an adapter", o->err);

    for (size_t i = 0; rc == 0 && i < slots; i++) {
        const dk_linear which = (dk_linear)(i % DK_N_LINEAR);
        const bool there = o->pairs[i].a || o->pairs[i].b;
        char *path;

        if (!dk_linear_path(o->cfg, which))
            continue;
        path = module_path(o->cfg, i / DK_N_LINEAR, which);
        rc = check_claim(o, path, there);
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

/* A matrix [ids, d] of the vocabulary that the adapter was trained with. */
static int check_ids(opening *o, const dk_st_tensor *t, size_t ids, size_t d)
{
    if (t->n_dims != 2 || t->dims[1] != d)
        return disagree(o, &o->ad->misfit, DK_EDATA, "tensor %s is no matrix of width %zu; the adapter belongs to "
                        "another model (%.200s)", t->name, d, base_text(o));
    if (ids == 0)
        return disagree(o, &o->ad->misfit, DK_EFORMAT, "tensor %s is empty", t->name);
    o->ad->vocab = ids < o->ad->vocab ? ids : o->ad->vocab;
    return 0;
}

/* The module of the embedding or the unembedding.  1: what is saved does not fit. */
static int find_end(opening *o, dk_adapter_module *m, pair *p, const dk_st_tensor *saved, const char *path,
                    bool embed)
{
    const size_t d = o->cfg->d_model;
    const bool there = p->a || p->b;
    const dk_st_tensor *by_id = embed ? p->a : p->b;    /* whose size is the vocabulary's */
    size_t ids = saved && saved->n_dims == 2 ? saved->dims[0] : o->cfg->vocab;
    int rc = 0;

    if (saved && (rc = check_ids(o, saved, ids, d)) != 0)
        return rc;
    if (there || !saved)
        rc = check_claim(o, path, there);
    if (rc != 0 || !there)
        return rc < 0 ? rc : 0;
    if (!saved && by_id && by_id->n_dims == 2 && by_id->dims[embed ? 1 : 0] < ids)
        ids = by_id->dims[embed ? 1 : 0];
    *m = (dk_adapter_module){ .path = dk_xstrdup(path), .in = embed ? ids : d, .out = embed ? d : ids };
    rc = check_pair(o, p, m);
    if (rc == 0 && ids < o->ad->vocab)
        o->ad->vocab = ids;
    if (rc != 0) {
        dk_free(m->path);
        *m = (dk_adapter_module){0};
    }
    return rc < 0 ? rc : 0;
}

static int find_ends(opening *o)
{
    dk_adapter *ad = o->ad;
    int rc;

    ad->vocab = o->cfg->vocab;
    rc = find_end(o, &ad->embed, &o->embed, o->saved_embed, dk_embed_path(o->cfg), true);
    if (rc > 0)
        o->saved_embed = NULL;
    if (rc >= 0)
        rc = find_end(o, &ad->head, &o->head, o->saved_head, "lm_head", false);
    if (rc > 0)
        o->saved_head = NULL;
    if (rc < 0)
        return rc;
    if (dk_lora_config_saves(ad->config, dk_embed_path(o->cfg)) && !o->saved_embed)
        add_name(&ad->missing, dk_embed_path(o->cfg));
    if (dk_lora_config_saves(ad->config, "lm_head") && !o->saved_head)
        add_name(&ad->missing, "lm_head");
    /* Loaded over a tied model, a saved embedding is the unembedding too, unless
     * it is a module of its own. */
    ad->head_follows = o->saved_embed && !o->saved_head && o->cfg->tied &&
                       !dk_lora_config_saves(ad->config, dk_embed_path(o->cfg));
    return 0;
}

/* Shapes say more than layers: sentences about layers come last. */
static void append_beyond(opening *o)
{
    for (size_t i = 0; i < o->beyond.n; i++)
        add_name(&o->ad->misfit, o->beyond.v[i]);
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
    return dk_all_finite(out, t->n) ? 0 : dk_fail(o->err, DK_ENUM, "%s: tensor %s holds NaN or infinity",
                                               o->weights_path, t->name);
}

static int load_pair(opening *o, dk_adapter_module *m, const pair *p, float **w)
{
    float *a = *w, *b = *w + p->a->n;
    int rc;

    *w = b + p->b->n;
    m->a = a;
    m->b = b;
    rc = load_tensor(o, a, p->a);
    if (rc == 0)
        rc = load_tensor(o, b, p->b);
    if (rc == 0 && (all_zero(a, p->a->n) || all_zero(b, p->b->n)))
        add_name(&o->ad->zero, m->path);
    return rc;
}

static int load_saved(const opening *o, float **out, const dk_st_tensor *t)
{
    int rc;

    if (!t)
        return 0;
    rc = dk_alloc(out, t->n, sizeof **out, "a saved module", o->err);
    return rc < 0 ? rc : load_tensor(o, *out, t);
}

static size_t room_of(const dk_adapter_module *m) { return m->r * (m->in + m->out); }

static int load_modules(opening *o)
{
    dk_adapter *ad = o->ad;
    size_t total = room_of(&ad->embed) + room_of(&ad->head);
    float *w;
    int rc;

    for (size_t i = 0; i < ad->n; i++)
        total += room_of(&ad->module[i]);
    rc = dk_alloc(&ad->weights, total, sizeof *w, "the weights of an adapter", o->err);
    w = ad->weights;
    for (size_t i = 0; rc == 0 && i < ad->n; i++)
        rc = load_pair(o, &ad->module[i], &o->pairs[(size_t)ad->module[i].layer * DK_N_LINEAR +
                                                    ad->module[i].which], &w);
    if (rc == 0 && ad->embed.path)
        rc = load_pair(o, &ad->embed, &o->embed, &w);
    if (rc == 0 && ad->head.path)
        rc = load_pair(o, &ad->head, &o->head, &w);
    if (rc == 0)
        rc = load_saved(o, &ad->saved_embed, o->saved_embed);
    return rc < 0 ? rc : load_saved(o, &ad->saved_head, o->saved_head);
}

static int agree(const opening *o)
{
    const dk_names *no = &o->ad->missing, *extra = &o->ad->untargeted;

    if (o->ad->n == 0 && o->ad->misfit.n == 0 && !o->embed.a && !o->head.a && !o->saved_embed && !o->saved_head)
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
    if (rc == 0)
        rc = find_ends(o);
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
    for (size_t i = 0; i < o.beyond.n; i++)
        dk_free(o.beyond.v[i]);
    dk_free(o.beyond.v);
    dk_free(o.tree);
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

