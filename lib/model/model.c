/* Loading a weight set: tensor by tensor, so that only the packed copy stays. */
#include "model/model.h"

#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "base/mem.h"
#include "num/half.h"

enum { MAX_PARTS = 3 };

/* Several tensors packed as one matrix, their rows one under the other. */
struct parts {
    dk_checkpoint *file;
    size_t n;
    char name[MAX_PARTS][128];
    size_t rows[MAX_PARTS];
};

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
            out += take * cols;
            row0 += take;
            n -= take;
        }
        first += p->rows[i];
    }
    return rc;
}

static int pack(dk_weight **w, dk_model *m, int layer, const char *const *names, size_t n, dk_err *err)
{
    struct parts p = { .file = m->file, .n = n };
    size_t rows = 0, cols = 0;
    int rc;

    for (size_t i = 0; i < n; i++) {
        if (layer < 0)
            snprintf(p.name[i], sizeof p.name[i], "%s", names[i]);
        else
            snprintf(p.name[i], sizeof p.name[i], "model.layers.%d.%s.weight", layer, names[i]);
        if (!dk_checkpoint_find(m->file, p.name[i], &p.rows[i], &cols))
            return dk_fail(err, DK_EFORMAT, "%s: no tensor %s", dk_checkpoint_path(m->file), p.name[i]);
        rows += p.rows[i];
    }
    rc = dk_weight_pack(w, rows, cols, m->dtype, part_rows, &p, err);
    if (rc < 0)
        dk_err_prefix(err, "%s: %s", dk_checkpoint_path(m->file), p.name[0]);
    dk_checkpoint_drop(m->file);
    return rc;
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

static int load_layer(dk_model *m, int i, dk_err *err)
{
    static const char *const qkv[] = { "self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj" };
    static const char *const o[] = { "self_attn.o_proj" };
    static const char *const gate_up[] = { "mlp.gate_proj", "mlp.up_proj" };
    static const char *const down[] = { "mlp.down_proj" };
    dk_layer *l = &m->layer[i];
    char name[128];
    int rc;

    snprintf(name, sizeof name, "model.layers.%d.input_layernorm.weight", i);
    rc = vector(&l->attn_norm, m, name, err);
    snprintf(name, sizeof name, "model.layers.%d.post_attention_layernorm.weight", i);
    if (rc == 0)
        rc = vector(&l->mlp_norm, m, name, err);
    if (rc == 0)
        rc = pack(&l->qkv, m, i, qkv, 3, err);
    if (rc == 0)
        rc = pack(&l->o, m, i, o, 1, err);
    if (rc == 0)
        rc = pack(&l->gate_up, m, i, gate_up, 2, err);
    if (rc == 0)
        rc = pack(&l->down, m, i, down, 1, err);
    return rc;
}

static int load(dk_model **out, const char *path, dk_dtype dtype, bool blocks, bool head, dk_err *err)
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
    }
    for (size_t i = 0; rc == 0 && blocks && i < m->config.n_layers; i++)
        rc = load_layer(m, (int)i, err);
    if (rc == 0 && head)
        rc = pack(&m->head, m, -1, &m->head_name, 1, err);
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
    return load(out, path, dtype, true, with_head != 0, err);
}

int dk_model_load_head(dk_model **out, const char *path, dk_dtype dtype, dk_err *err)
{
    return load(out, path, dtype, false, true, err);
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
    dk_weight_free(&m->head);
    dk_checkpoint_close(&m->file);
    dk_free(m);
    *mp = NULL;
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
