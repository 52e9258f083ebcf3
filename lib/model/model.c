/* Loading a weight set: tensor by tensor, so that only the packed copy stays. */
#include "model/model.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "base/mem.h"
#include "model/rope.h"
#include "model/tensors.h"
#include "num/half.h"
#include "num/kernels.h"

enum { MAX_PARTS = 3 };

/* Several tensors packed as one matrix, their rows one under the other. */
struct parts {
    const dk_checkpoint *file;
    size_t n;
    char name[MAX_PARTS][128];
    size_t rows[MAX_PARTS];
    const dk_adapter_module *merge[MAX_PARTS];  /* NULL: nothing */
    float factor;                               /* of the merges */
    const float *instead;                       /* of the (one) tensor's rows; NULL: the file's */
};

/* rows += s B A, for n rows from row0 on. */
static void merge_rows(float *rows, const dk_adapter_module *m, size_t row0, size_t n, float factor)
{
    dk_lowrank_out(rows, m->in, m->b + row0 * m->r, m->r, m->a, m->in, n, m->r, m->in, m->scale * factor);
}

static int read_rows(const struct parts *p, size_t i, float *out, size_t row0, size_t n, size_t cols,
                     dk_err *err)
{
    int rc = 0;

    if (p->instead)
        memcpy(out, p->instead + row0 * cols, n * cols * sizeof *out);
    else
        rc = dk_checkpoint_rows(p->file, p->name[i], out, row0, n, err);
    if (rc == 0 && !dk_all_finite(out, n * cols))
        return dk_fail(err, DK_ENUM, "tensor %s holds NaN or infinity", p->name[i]);
    if (rc == 0 && p->merge[i])
        merge_rows(out, p->merge[i], row0, n, p->factor);
    return rc;
}

static int part_rows(void *arg, float *out, size_t row0, size_t n, dk_err *err)
{
    const struct parts *p = arg;
    size_t cols = 0, total = 0, first = 0;
    int rc = 0;

    for (size_t i = 0; rc == 0 && n > 0 && i < p->n; i++) {
        dk_checkpoint_find(p->file, p->name[i], &total, &cols);
        if (row0 < first + p->rows[i]) {
            const size_t skip = row0 - first, left = p->rows[i] - skip;
            const size_t take = n < left ? n : left;

            rc = read_rows(p, i, out, skip, take, cols, err);
            out += take * cols;
            row0 += take;
            n -= take;
        }
        first += p->rows[i];
    }
    return rc;
}

/* most: rows of a single part beyond these are left out. */
static int pack_parts(dk_weight **w, const dk_model *m, struct parts *p, size_t most, dk_err *err)
{
    size_t rows = 0, cols = 0;
    int rc;

    p->file = m->file;
    for (size_t i = 0; i < p->n; i++) {
        if (!dk_checkpoint_find(m->file, p->name[i], &p->rows[i], &cols))
            return dk_fail(err, DK_EFORMAT, "%s: no tensor %s", dk_checkpoint_path(m->file), p->name[i]);
        p->rows[i] = p->rows[i] < most ? p->rows[i] : most;
        rows += p->rows[i];
    }
    rc = dk_device()->ops->weight_pack(dk_device(), w, rows, cols, m->dtype, part_rows, p, err);
    if (rc < 0)
        dk_err_prefix(err, "%s", dk_checkpoint_path(m->file));
    dk_checkpoint_drop(m->file);
    return rc;
}

/* The maps of a product, in the order of their columns. */
static size_t maps_of(const dk_model_config *c, dk_group g, dk_linear which[MAX_PARTS])
{
    static const struct { dk_group group; dk_linear which; } order[] = {
        { DK_GROUP_QKV, DK_LINEAR_Q }, { DK_GROUP_QKV, DK_LINEAR_K }, { DK_GROUP_QKV, DK_LINEAR_V },
        { DK_GROUP_QKV, DK_LINEAR_QKV }, { DK_GROUP_O, DK_LINEAR_O }, { DK_GROUP_GATE_UP, DK_LINEAR_GATE },
        { DK_GROUP_GATE_UP, DK_LINEAR_UP }, { DK_GROUP_DOWN, DK_LINEAR_DOWN }
    };
    size_t n = 0;

    for (size_t i = 0; i < sizeof order / sizeof *order; i++)
        if (order[i].group == g && dk_linear_path(c, order[i].which))
            which[n++] = order[i].which;
    return n;
}

static int vector(float **out, const dk_model *m, dk_role role, size_t layer, size_t width, dk_err *err)
{
    char name[128];
    int rc;

    if (!dk_role_name(name, &m->config, role, layer))
        return 0;
    rc = dk_alloc(out, width, sizeof **out, "a vector", err);
    if (rc == 0)
        rc = dk_checkpoint_rows(m->file, name, *out, 0, 1, err);
    if (rc == 0 && !dk_all_finite(*out, width))
        rc = dk_fail(err, DK_ENUM, "%s: tensor %s holds NaN or infinity", dk_checkpoint_path(m->file), name);
    return rc;
}

/* w becomes 1 + w once, where it is used so. */
static int load_norm(dk_norm *n, const dk_model *m, dk_role w, dk_role b, size_t layer, size_t width, dk_err *err)
{
    int rc = vector(&n->w, m, w, layer, width, err);

    for (size_t i = 0; rc == 0 && n->w && m->config.norm == DK_NORM_RMS_OFFSET && i < width; i++)
        n->w[i] += 1;
    if (rc == 0 && b != w)
        rc = vector(&n->b, m, b, layer, width, err);
    n->on.eps = m->config.norm_eps;
    if (rc == 0 && n->w)
        rc = dk_device()->ops->share(dk_device(), &n->on.w, n->w, width, err);
    if (rc == 0 && n->b)
        rc = dk_device()->ops->share(dk_device(), &n->on.b, n->b, width, err);
    return rc;
}

static int load_bias(float **bias, const float **on, const dk_model *m, size_t layer, dk_group g, dk_err *err)
{
    dk_linear which[MAX_PARTS];
    const size_t n = maps_of(&m->config, g, which);
    size_t total = 0, in, out;
    bool any = false;
    char name[128];
    int rc = 0;

    for (size_t i = 0; i < n; i++) {
        dk_linear_shape(&m->config, which[i], &in, &out);
        any |= dk_role_name(name, &m->config, (dk_role)(DK_ROLE_BIAS + which[i]), layer);
        total += out;
    }
    if (!any)
        return 0;
    rc = dk_alloc(bias, total, sizeof **bias, "biases", err);
    for (size_t i = 0; rc == 0 && i < n; i++) {
        float *b = NULL;

        dk_linear_shape(&m->config, which[i], &in, &out);
        rc = vector(&b, m, (dk_role)(DK_ROLE_BIAS + which[i]), layer, out, err);
        if (rc == 0 && b)
            memcpy(*bias + dk_linear_column(&m->config, which[i]), b, out * sizeof *b);
        dk_free(b);
    }
    return rc == 0 ? dk_device()->ops->share(dk_device(), on, *bias, total, err) : rc;
}

static int load_group(dk_layer *l, const dk_model *m, size_t layer, dk_group g, const dk_adapter *a, dk_err *err)
{
    dk_linear which[MAX_PARTS];
    struct parts p = { .n = maps_of(&m->config, g, which), .factor = 1 };
    const int rc = load_bias(&l->bias[g], &l->bias_on[g], m, layer, g, err);

    for (size_t i = 0; i < p.n; i++) {
        dk_role_name(p.name[i], &m->config, (dk_role)(DK_ROLE_WEIGHT + which[i]), layer);
        p.merge[i] = a ? dk_adapter_find(a, (int)layer, which[i]) : NULL;
    }
    return rc < 0 ? rc : pack_parts(&l->w[g], m, &p, SIZE_MAX, err);
}

static int load_layer(dk_model *m, size_t i, const dk_adapter *a, dk_err *err)
{
    const size_t d = m->config.d_model, hd = m->config.head_dim;
    dk_layer *l = &m->layer[i];
    const struct { dk_norm *to; dk_role w, b; size_t width; } norms[] = {
        { &l->attn_norm, DK_ROLE_ATTN_NORM, DK_ROLE_ATTN_NORM_BIAS, d },
        { &l->mlp_norm, DK_ROLE_MLP_NORM, DK_ROLE_MLP_NORM_BIAS, d },
        { &l->post_attn_norm, DK_ROLE_POST_ATTN_NORM, DK_ROLE_POST_ATTN_NORM, d },
        { &l->post_mlp_norm, DK_ROLE_POST_MLP_NORM, DK_ROLE_POST_MLP_NORM, d },
        { &l->q_norm, DK_ROLE_Q_NORM, DK_ROLE_Q_NORM, hd }, { &l->k_norm, DK_ROLE_K_NORM, DK_ROLE_K_NORM, hd }
    };
    int rc = 0;

    for (size_t k = 0; rc == 0 && k < sizeof norms / sizeof *norms; k++)
        rc = load_norm(norms[k].to, m, norms[k].w, norms[k].b, i, norms[k].width, err);
    for (size_t g = 0; rc == 0 && g < DK_N_GROUPS; g++)
        rc = load_group(l, m, i, (dk_group)g, a, err);
    return rc;
}

static int load_rope(dk_model *m, dk_err *err)
{
    const dk_model_config *c = &m->config;
    const size_t half = c->head_dim / 2;
    float *factors = NULL;
    int rc = 0;

    if (c->learned_positions)
        return 0;
    rc = dk_alloc(&m->rope, half, sizeof *m->rope, "rotary frequencies", err);
    if (rc == 0)
        rc = dk_alloc(&m->rope_local, half, sizeof *m->rope_local, "rotary frequencies", err);
    if (rc == 0)
        rc = vector(&factors, m, DK_ROLE_FACTORS, 0, half, err);
    if (rc == 0) {
        dk_rope_frequencies(m->rope, &c->rope, c->head_dim, factors);
        dk_rope_frequencies(m->rope_local, &c->rope_local, c->head_dim, factors);
    }
    dk_free(factors);
    return rc;
}

static int load_positions(dk_model *m, dk_err *err)
{
    const dk_model_config *c = &m->config;
    char name[128];
    size_t n;
    int rc;

    if (!c->learned_positions)
        return 0;
    dk_role_name(name, c, DK_ROLE_POSITIONS, 0);
    if (!dk_mul_size(&n, c->max_positions, c->d_model))
        return dk_fail(err, DK_ENOMEM, "%s: the positions do not fit in memory", dk_checkpoint_path(m->file));
    rc = dk_alloc(&m->positions, n, sizeof *m->positions, "the positions", err);
    if (rc == 0)
        rc = dk_checkpoint_rows(m->file, name, m->positions, 0, c->max_positions, err);
    if (rc == 0 && !dk_all_finite(m->positions, n))
        rc = dk_fail(err, DK_ENUM, "%s: tensor %s holds NaN or infinity", dk_checkpoint_path(m->file), name);
    if (rc == 0 && m->dtype == DK_BF16)
        dk_bf16_round_row(m->positions, n);
    return rc;
}

int dk_model_pack_head(dk_weight **out, const dk_model *m, const dk_adapter *a, float factor, dk_err *err)
{
    struct parts p = { .n = 1, .factor = factor };

    snprintf(p.name[0], sizeof p.name[0], "%s", m->head_name);
    if (a && factor != 0) {
        p.merge[0] = dk_adapter_head(a);
        p.instead = dk_adapter_saved_head(a);
    }
    return pack_parts(out, m, &p, m->config.vocab, err);
}

int dk_model_open(dk_model **out, const char *path, const dk_model_how *how, dk_err *err)
{
    dk_model *m = dk_xcalloc(1, sizeof *m);
    dk_dev *dev = dk_device();
    const double t0 = dk_now();
    int rc = dk_checkpoint_open(&m->file, path, err);

    *out = NULL;
    m->dtype = how->dtype;
    if (rc == 0) {
        m->config = *dk_checkpoint_config(m->file);
        m->layer = how->with_blocks ? dk_xcalloc(m->config.n_layers, sizeof *m->layer) : NULL;
        dk_role_name(m->embed_name, &m->config, DK_ROLE_EMBED, 0);
        if (!dk_role_name(m->head_name, &m->config, DK_ROLE_HEAD, 0))
            memcpy(m->head_name, m->embed_name, sizeof m->head_name);
        if (how->vocab && how->vocab < m->config.vocab)
            m->config.vocab = how->vocab;
        rc = load_norm(&m->final_norm, m, DK_ROLE_FINAL_NORM, DK_ROLE_FINAL_NORM_BIAS, 0, m->config.d_model, err);
    }
    if (rc == 0)
        rc = load_rope(m, err);
    if (rc == 0 && how->with_blocks)
        rc = load_positions(m, err);
    dev->ops->stay(dev, how->streamed ? how->stays : SIZE_MAX);
    for (size_t i = 0; rc == 0 && how->with_blocks && i < m->config.n_layers; i++)
        rc = load_layer(m, i, how->merge, err);
    dev->ops->stay(dev, SIZE_MAX);
    if (rc == 0 && how->with_head)
        rc = dk_model_pack_head(&m->head, m, NULL, 0, err);
    if (rc == 0)
        dk_log(DK_INFO, "%s: %zu layers, %s, loaded in %.2f s, kernel %s", path,
               how->with_blocks ? m->config.n_layers : 0, dk_dtype_name(how->dtype), dk_now() - t0,
               dev->ops->kernel(dev, how->with_blocks ? m->layer[0].w[0] : m->head));
    else
        dk_model_free(&m);
    *out = m;
    return rc;
}

int dk_model_load(dk_model **out, const char *path, dk_dtype dtype, int with_head, dk_err *err)
{
    const dk_model_how how = { .dtype = dtype, .with_blocks = true, .with_head = with_head != 0 };

    return dk_model_open(out, path, &how, err);
}

int dk_model_load_merged(dk_model **out, const char *path, dk_dtype dtype, const dk_adapter *a, dk_err *err)
{
    const dk_model_how how = { .dtype = dtype, .with_blocks = true, .merge = a };

    return dk_model_open(out, path, &how, err);
}

int dk_model_load_head(dk_model **out, const char *path, dk_dtype dtype, dk_err *err)
{
    const dk_model_how how = { .dtype = dtype, .with_head = true };

    return dk_model_open(out, path, &how, err);
}

static void free_norm(dk_norm *n)
{
    dk_device()->ops->unshare(dk_device(), n->on.w);
    dk_device()->ops->unshare(dk_device(), n->on.b);
    dk_free(n->w);
    dk_free(n->b);
}

void dk_model_free(dk_model **mp)
{
    const dk_ops *ops = dk_device()->ops;
    dk_model *m = *mp;

    if (!m)
        return;
    for (size_t i = 0; m->layer && i < m->config.n_layers; i++) {
        dk_layer *l = &m->layer[i];

        free_norm(&l->attn_norm);
        free_norm(&l->mlp_norm);
        free_norm(&l->post_attn_norm);
        free_norm(&l->post_mlp_norm);
        free_norm(&l->q_norm);
        free_norm(&l->k_norm);
        for (size_t g = 0; g < DK_N_GROUPS; g++) {
            ops->weight_free(dk_device(), &l->w[g]);
            ops->unshare(dk_device(), l->bias_on[g]);
            dk_free(l->bias[g]);
        }
    }
    dk_free(m->layer);
    free_norm(&m->final_norm);
    dk_free(m->rope);
    dk_free(m->rope_local);
    dk_free(m->positions);
    ops->weight_free(dk_device(), &m->head);
    dk_checkpoint_close(&m->file);
    dk_free(m);
    *mp = NULL;
}
