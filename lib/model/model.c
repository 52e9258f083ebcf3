/* Loading a weight set: tensor by tensor, so that only the packed copy stays. */
#include "model/model.h"

#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "base/mem.h"
#include "model/rope.h"
#include "num/half.h"
#include "num/kernels.h"

enum { MAX_PARTS = 3 };

/* Several tensors packed as one matrix, their rows one under the other. */
struct parts {
    dk_checkpoint *file;
    size_t n;
    char name[MAX_PARTS][128];
    size_t rows[MAX_PARTS];
    const dk_adapter_module *merge[MAX_PARTS];  /* NULL: nothing */
};

/* rows += s B A, for n rows from row0 on. */
static void merge_rows(float *rows, const dk_adapter_module *m, size_t row0, size_t n)
{
    dk_lowrank_out(rows, m->in, m->b + row0 * m->r, m->r, m->a, n, m->r, m->in, m->scale);
}

static int part_rows(void *arg, float *out, size_t row0, size_t n, dk_err *err)
{
    const struct parts *p = arg;
    size_t cols = 0, total = 0, first = 0;
    int rc = 0;

    for (size_t i = 0; rc == 0 && n > 0 && i < p->n; i++) {
        if (!dk_checkpoint_find(p->file, p->name[i], &total, &cols))
            return dk_fail(err, DK_EFORMAT, "%s: no tensor %s", dk_checkpoint_path(p->file), p->name[i]);
        if (row0 < first + p->rows[i]) {
            const size_t skip = row0 - first, left = p->rows[i] - skip;
            const size_t take = n < left ? n : left;

            rc = dk_checkpoint_rows(p->file, p->name[i], out, skip, take, err);
            if (rc == 0 && p->merge[i])
                merge_rows(out, p->merge[i], skip, take);
            out += take * cols;
            row0 += take;
            n -= take;
        }
        first += p->rows[i];
    }
    return rc;
}

static int pack_parts(dk_weight **w, dk_model *m, struct parts *p, dk_err *err)
{
    size_t rows = 0, cols = 0;
    int rc;

    p->file = m->file;
    for (size_t i = 0; i < p->n; i++) {
        if (!dk_checkpoint_find(m->file, p->name[i], &p->rows[i], &cols))
            return dk_fail(err, DK_EFORMAT, "%s: no tensor %s", dk_checkpoint_path(m->file), p->name[i]);
        rows += p->rows[i];
    }
    rc = dk_weight_pack(w, rows, cols, m->dtype, part_rows, p, err);
    if (rc < 0)
        dk_err_prefix(err, "%s: %s", dk_checkpoint_path(m->file), p->name[0]);
    dk_checkpoint_drop(m->file);
    return rc;
}

/* n linear maps of a layer, from the first on; a: what to merge, or NULL. */
static int pack(dk_weight **w, dk_model *m, int layer, dk_linear first, size_t n, const dk_adapter *a,
                dk_err *err)
{
    struct parts p = { .n = n };

    for (size_t i = 0; i < n; i++) {
        const dk_linear which = (dk_linear)((size_t)first + i);

        snprintf(p.name[i], sizeof p.name[i], "model.layers.%d.%s.weight", layer, dk_linear_path(which));
        p.merge[i] = a ? dk_adapter_find(a, layer, which) : NULL;
    }
    return pack_parts(w, m, &p, err);
}

static int pack_head(dk_model *m, dk_err *err)
{
    struct parts p = { .n = 1 };

    snprintf(p.name[0], sizeof p.name[0], "%s", m->head_name);
    return pack_parts(&m->head, m, &p, err);
}

static int vector(float **out, dk_model *m, const char *name, dk_err *err)
{
    int rc = dk_alloc(out, m->config.d_model, sizeof **out, "a norm", err);

    return rc < 0 ? rc : dk_checkpoint_rows(m->file, name, *out, 0, 1, err);
}

/* What the configuration reader knows by name and the blocks do not do yet. */
static int check_supported(const dk_model *m, dk_err *err)
{
    const dk_model_config *c = &m->config;
    const char *what = c->qkv_bias || c->o_bias || c->mlp_bias ? "biases"
        : c->qk_norm ? "norms of queries and keys" : c->window ? "sliding windows"
        : c->attn_softcap > 0 || c->final_softcap > 0 ? "soft caps"
        : c->act != DK_ACT_SILU ? "its activation function" : NULL;

    return what ? dk_fail(err, DK_EDATA, "%s: %s are not supported yet", dk_checkpoint_path(m->file), what) : 0;
}

static int load_rope(dk_model *m, dk_err *err)
{
    float *factors = NULL;
    const size_t half = m->config.head_dim / 2;
    int rc = dk_alloc(&m->rope, half, sizeof *m->rope, "rotary frequencies", err);

    if (rc == 0 && m->config.rope_kind == DK_ROPE_FACTORS) {
        rc = dk_alloc(&factors, half, sizeof *factors, "rotary factors", err);
        if (rc == 0)
            rc = dk_checkpoint_rows(m->file, "rope_freqs.weight", factors, 0, 1, err);
    }
    if (rc == 0)
        dk_rope_frequencies(m->rope, &m->config, factors);
    dk_free(factors);
    return rc;
}

static int load_layer(dk_model *m, int i, const dk_adapter *a, dk_err *err)
{
    dk_layer *l = &m->layer[i];
    char name[128];
    int rc;

    snprintf(name, sizeof name, "model.layers.%d.input_layernorm.weight", i);
    rc = vector(&l->attn_norm, m, name, err);
    snprintf(name, sizeof name, "model.layers.%d.post_attention_layernorm.weight", i);
    if (rc == 0)
        rc = vector(&l->mlp_norm, m, name, err);
    if (rc == 0)
        rc = pack(&l->qkv, m, i, DK_LINEAR_Q, 3, a, err);
    if (rc == 0)
        rc = pack(&l->o, m, i, DK_LINEAR_O, 1, a, err);
    if (rc == 0)
        rc = pack(&l->gate_up, m, i, DK_LINEAR_GATE, 2, a, err);
    if (rc == 0)
        rc = pack(&l->down, m, i, DK_LINEAR_DOWN, 1, a, err);
    return rc;
}

static int load(dk_model **out, const char *path, dk_dtype dtype, bool blocks, bool head,
                const dk_adapter *a, dk_err *err)
{
    dk_model *m = dk_xcalloc(1, sizeof *m);
    const double t0 = dk_now();
    size_t rows, cols;
    int rc = dk_checkpoint_open(&m->file, path, err);

    *out = NULL;
    m->dtype = dtype;
    if (rc == 0) {
        m->config = *dk_checkpoint_config(m->file);
        rc = check_supported(m, err);
    }
    if (rc == 0) {
        m->layer = blocks ? dk_xcalloc(m->config.n_layers, sizeof *m->layer) : NULL;
        m->embed_name = "model.embed_tokens.weight";
        m->head_name = dk_checkpoint_find(m->file, "lm_head.weight", &rows, &cols) &&
                       !m->config.tied ? "lm_head.weight" : m->embed_name;
        rc = vector(&m->final_norm, m, "model.norm.weight", err);
        if (rc == 0)
            rc = load_rope(m, err);
    }
    for (size_t i = 0; rc == 0 && blocks && i < m->config.n_layers; i++)
        rc = load_layer(m, (int)i, a, err);
    if (rc == 0 && head)
        rc = pack_head(m, err);
    if (rc == 0)
        dk_log(DK_INFO, "%s: %zu layers, %s, loaded in %.2f s, kernel %s", path,
               blocks ? m->config.n_layers : 0, dk_dtype_name(dtype), dk_now() - t0,
               dk_weight_kernel(blocks ? m->layer[0].qkv : m->head));
    else
        dk_model_free(&m);
    *out = m;
    return rc;
}

int dk_model_load(dk_model **out, const char *path, dk_dtype dtype, int with_head, dk_err *err)
{
    return load(out, path, dtype, true, with_head != 0, NULL, err);
}

int dk_model_load_merged(dk_model **out, const char *path, dk_dtype dtype, const dk_adapter *a, dk_err *err)
{
    return load(out, path, dtype, true, false, a, err);
}

int dk_model_load_head(dk_model **out, const char *path, dk_dtype dtype, dk_err *err)
{
    return load(out, path, dtype, false, true, NULL, err);
}

void dk_model_free(dk_model **mp)
{
    dk_model *m = *mp;

    if (!m)
        return;
    for (size_t i = 0; m->layer && i < m->config.n_layers; i++) {
        dk_layer *l = &m->layer[i];

        dk_free(l->attn_norm);
        dk_free(l->mlp_norm);
        dk_weight_free(&l->qkv);
        dk_weight_free(&l->o);
        dk_weight_free(&l->gate_up);
        dk_weight_free(&l->down);
    }
    dk_free(m->layer);
    dk_free(m->final_norm);
    dk_free(m->rope);
    dk_weight_free(&m->head);
    dk_checkpoint_close(&m->file);
    dk_free(m);
    *mp = NULL;
}

int dk_model_compatible(const dk_model *a, const dk_model *b, dk_err *err)
{
    const dk_model_config *x = &a->config, *y = &b->config;
    const struct { const char *name; size_t x, y; } size[] = {
        { "layers", x->n_layers, y->n_layers }, { "residual width", x->d_model, y->d_model },
        { "heads", x->n_heads, y->n_heads }, { "key/value heads", x->n_kv_heads, y->n_kv_heads },
        { "head width", x->head_dim, y->head_dim }, { "MLP width", x->d_ff, y->d_ff },
        { "vocabulary", x->vocab, y->vocab }
    };
    const char *pa = dk_checkpoint_path(a->file), *pb = dk_checkpoint_path(b->file);

    if (x->arch != y->arch || a->dtype != b->dtype)
        return dk_fail(err, DK_EDATA, "%s and %s differ in architecture", pa, pb);
    for (size_t i = 0; i < sizeof size / sizeof *size; i++)
        if (size[i].x != size[i].y)
            return dk_fail(err, DK_EDATA, "%s and %s cannot be compared: %s %zu and %zu", pa, pb, size[i].name,
                           size[i].x, size[i].y);
    if (x->rms_eps != y->rms_eps || memcmp(a->rope, b->rope, x->head_dim / 2 * sizeof *a->rope) != 0)
        return dk_fail(err, DK_EDATA, "%s and %s differ in norm epsilon or rotary frequencies", pa, pb);
    return 0;
}

int dk_model_embed(const dk_model *m, float *out, const uint32_t *ids, size_t n, dk_err *err)
{
    const size_t d = m->config.d_model;
    int rc = 0;

    for (size_t i = 0; rc == 0 && i < n; i++) {
        if (ids[i] >= m->config.vocab)
            return dk_fail(err, DK_EDATA, "token id %u is outside the model's %zu ids", ids[i],
                           (size_t)m->config.vocab);
        rc = dk_checkpoint_rows(m->file, m->embed_name, out + i * d, ids[i], 1, err);
    }
    if (rc == 0 && m->dtype == DK_BF16)
        dk_bf16_round_row(out, n * d);
    return rc;
}
