/* The two ends of a model, and what two models must have in common. */
#include <math.h>
#include <string.h>

#include "base/mem.h"
#include "model/model.h"
#include "num/half.h"
#include "num/kernels.h"

static int compare_sizes(const dk_model *a, const dk_model *b, dk_err *err)
{
    const dk_model_config *x = &a->config, *y = &b->config;
    const struct { const char *name; size_t x, y; } size[] = {
        { "layers", x->n_layers, y->n_layers }, { "residual width", x->d_model, y->d_model },
        { "heads", x->n_heads, y->n_heads }, { "key/value heads", x->n_kv_heads, y->n_kv_heads },
        { "head width", x->head_dim, y->head_dim }, { "MLP width", x->d_ff, y->d_ff },
        { "vocabulary", x->vocab, y->vocab }
    };
    const char *pa = dk_checkpoint_path(a->file), *pb = dk_checkpoint_path(b->file);

    for (size_t i = 0; i < sizeof size / sizeof *size; i++)
        if (size[i].x != size[i].y)
            return dk_fail(err, DK_EDATA, "%s and %s cannot be compared: %s %zu and %zu", pa, pb, size[i].name,
                           size[i].x, size[i].y);
    return 0;
}

/* GGUF files call a Mistral model a llama model. */
static bool same_blocks(const dk_model_config *x, const dk_model_config *y)
{
    return x->norm == y->norm && x->qk_norm == y->qk_norm && x->post_norms == y->post_norms &&
        x->gated == y->gated && x->learned_positions == y->learned_positions && x->act == y->act &&
        x->embed_scaled == y->embed_scaled && x->fused_qkv == y->fused_qkv;
}

static bool same_rope(const dk_model *a, const dk_model *b)
{
    const size_t bytes = a->config.head_dim / 2 * sizeof *a->rope;

    return a->config.learned_positions ||
        (memcmp(a->rope, b->rope, bytes) == 0 && memcmp(a->rope_local, b->rope_local, bytes) == 0 &&
         a->config.rope.attention == b->config.rope.attention);
}

int dk_model_compatible(const dk_model *a, const dk_model *b, dk_err *err)
{
    const dk_model_config *x = &a->config, *y = &b->config;
    const char *pa = dk_checkpoint_path(a->file), *pb = dk_checkpoint_path(b->file);

    if (!same_blocks(x, y) || a->dtype != b->dtype)
        return dk_fail(err, DK_EDATA, "%s (%s) and %s (%s) differ in architecture", pa, x->arch_name, pb,
                       y->arch_name);
    if (compare_sizes(a, b, err) < 0)
        return DK_EDATA;
    if (x->norm_eps != y->norm_eps || !same_rope(a, b))
        return dk_fail(err, DK_EDATA, "%s and %s differ in norm epsilon or rotary frequencies", pa, pb);
    if (x->window != y->window || memcmp(x->sliding, y->sliding, sizeof x->sliding) != 0 ||
        x->attn_scale != y->attn_scale || x->attn_softcap != y->attn_softcap || x->final_softcap != y->final_softcap)
        return dk_fail(err, DK_EDATA, "%s and %s differ in windows, scale or soft caps of attention", pa, pb);
    return 0;
}

void dk_model_norm(const dk_model_config *c, float *y, const float *x, const dk_norm *norm, size_t width)
{
    if (norm->b)
        dk_layernorm(y, x, norm->w, norm->b, width, c->norm_eps);
    else
        dk_rmsnorm(y, x, norm->w, width, c->norm_eps);
}

static int embed_row(const dk_model *m, const dk_adapter *a, float factor, float *out, uint32_t id, dk_err *err)
{
    const size_t d = m->config.d_model;
    const float *saved = a && factor != 0 ? dk_adapter_saved_embed(a) : NULL;
    int rc = 0;

    if (saved)
        memcpy(out, saved + id * d, d * sizeof *out);
    else
        rc = dk_checkpoint_rows(m->file, m->embed_name, out, id, 1, err);
    if (rc == 0 && !dk_all_finite(out, d))
        return dk_fail(err, DK_ENUM, "%s: tensor %s holds NaN or infinity", dk_checkpoint_path(m->file),
                       m->embed_name);
    return rc;
}

/* Rows += factor s B A[:, id]; both are looked up, there is no product. */
static void embed_update(float *out, const dk_adapter *a, float factor, uint32_t id)
{
    const dk_adapter_module *e = dk_adapter_embed(a);

    for (size_t j = 0; j < e->out; j++) {
        float s = 0;

        for (size_t r = 0; r < e->r; r++)
            s += e->b[j * e->r + r] * e->a[r * e->in + id];
        out[j] += s * (e->scale * factor);
    }
}

/* scale: 0, or what the row is multiplied by. */
static int embed_one(const dk_model *m, const dk_adapter *a, float factor, float scale, float *row, uint32_t id,
                     dk_err *err)
{
    const size_t d = m->config.d_model;
    int rc;

    if (id >= m->config.vocab)
        return dk_fail(err, DK_EDATA, "token id %u is outside the model's %zu ids", id, (size_t)m->config.vocab);
    rc = embed_row(m, a, factor, row, id, err);
    if (m->dtype == DK_BF16)
        dk_bf16_round_row(row, d);
    if (rc == 0 && a && dk_adapter_embed(a) && factor != 0)
        embed_update(row, a, factor, id);
    for (size_t j = 0; scale != 0 && j < d; j++)
        row[j] *= scale;
    if (scale != 0 && m->dtype == DK_BF16)
        dk_bf16_round_row(row, d);
    return rc;
}

int dk_model_embed(const dk_model *m, const dk_adapter *a, float factor, float *out, const uint32_t *ids,
                   size_t n, dk_err *err)
{
    float scale = m->config.embed_scaled ? (float)sqrt((double)m->config.d_model) : 0;
    size_t bad = n;
    dk_err first = {0};

    if (m->dtype == DK_BF16)
        dk_bf16_round_row(&scale, 1);
    #pragma omp parallel for schedule(static) if (n > 64)
    for (size_t i = 0; i < n; i++) {
        dk_err local = {0};

        if (embed_one(m, a, factor, scale, out + i * m->config.d_model, ids[i], &local) < 0) {
            #pragma omp critical(dk_embed)
            if (i < bad) {
                bad = i;
                first = local;
            }
        }
    }
    return bad < n ? dk_fail(err, first.code, "%s", first.msg) : 0;
}
