/* Nulls of full weights. */
#include "method/nullfull.h"

#include <math.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "backend/blasdyn.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/outfile.h"
#include "io/mapfile.h"
#include "io/stwrite.h"
#include "num/haar.h"
#include "num/half.h"

enum { BLOCK = 256 };

/* What a rotation of the residual stream does to a tensor. */
enum how {
    KEPT,           /* it has nothing to do with that: as the finetune has it */
    WRITES,         /* [d, in]: Q dW */
    READS,          /* [out, d]: dW Q^T */
    ROWS            /* rows are vectors of the stream, the whole in pieces: each turned */
};

struct tensor {
    char name[128];
    dk_role role;
    int layer;                      /* -1: of none */
    size_t rows, cols, known;       /* known: rows that the base has, too */
    bool transposed;                /* in the file */
    enum how how;
};

struct work {
    dk_null_full *n;
    const dk_model_config *cfg;     /* the finetune's */
    struct tensor *t;
    size_t n_tensors, d;
    size_t *from;                   /* [layers] of DK_NULL_LAYERS */
    double *q, *turn;               /* [d, d]; turn: of readers that are whitened */
    int turn_layer;
    bool turn_mlp;
    dk_st_writer *out;
    dk_err *err;
};

/* --- which tensors there are ------------------------------------------------------ */
static bool is_map(dk_role r) { return r >= DK_ROLE_WEIGHT && r < DK_ROLE_BIAS; }
static dk_linear map_of(dk_role r) { return (dk_linear)(r - DK_ROLE_WEIGHT); }

static enum how how_of(dk_role r)
{
    switch ((int)r) {
    case DK_ROLE_WEIGHT + DK_LINEAR_O:
    case DK_ROLE_WEIGHT + DK_LINEAR_DOWN:
        return WRITES;
    case DK_ROLE_FACTORS:
    case DK_ROLE_Q_NORM:
    case DK_ROLE_K_NORM:
        return KEPT;
    case DK_ROLE_BIAS + DK_LINEAR_O:
    case DK_ROLE_BIAS + DK_LINEAR_DOWN:
        return ROWS;
    default:
        return is_map(r) ? READS : r >= DK_ROLE_BIAS ? KEPT : ROWS;
    }
}

static void add_tensor(struct work *w, const dk_need *need, int layer)
{
    struct tensor *t = &w->t[w->n_tensors++];
    size_t rows, cols;

    *t = (struct tensor){ .role = need->role, .layer = layer, .rows = need->rows, .cols = need->cols,
                          .transposed = need->stored_transposed, .how = how_of(need->role) };
    dk_role_name(t->name, w->cfg, need->role, layer < 0 ? 0 : (size_t)layer);
    t->known = dk_checkpoint_find(w->n->base, t->name, &rows, &cols) && rows < t->rows ? rows : t->rows;
}

/* Those of no layer, then layer by layer: so inputs are asked for. */
static void list_tensors(struct work *w)
{
    dk_need need[DK_MAX_NEEDS];
    const size_t n = dk_needs(need, w->cfg);

    w->t = dk_xcalloc(n * (w->cfg->n_layers + 1), sizeof *w->t);
    for (int layer = -1; layer < (int)w->cfg->n_layers; layer++)
        for (size_t i = 0; i < n; i++)
            if (need[i].of_layer == (layer >= 0))
                add_tensor(w, &need[i], layer);
}

int dk_null_full_check(const dk_null_full *n, dk_err *err)
{
    const dk_model_config *f = dk_checkpoint_config(n->ft);
    const char *base = dk_checkpoint_path(n->base), *ft = dk_checkpoint_path(n->ft);

    if (dk_checkpoint_gguf(n->ft))
        return dk_fail(err, DK_EDATA, "%s is a GGUF file: nulls of full weights are made of a checkpoint directory", ft);
    if (dk_checkpoint_config(n->base)->tied != f->tied)
        return dk_fail(err, DK_EDATA, "of %s and %s one has an unembedding of its own, the other not", base, ft);
    if (n->kind == DK_NULL_HAAR)
        return dk_fail(err, DK_EDATA, "%s has full weights: --kind haar is made of adapters alone", ft);
    for (size_t i = 0; i < dk_checkpoint_n(n->ft); i++) {
        const char *name = dk_checkpoint_name_at(n->ft, i);
        size_t rows, cols, own_rows, own_cols;
        bool ids;

        dk_checkpoint_find(n->ft, name, &own_rows, &own_cols);
        ids = own_rows == f->vocab && own_cols == f->d_model;
        if (!dk_checkpoint_find(n->base, name, &rows, &cols) || cols != own_cols || (rows != own_rows && !ids))
            return dk_fail(err, DK_EDATA, "%s and %s differ in architecture: tensor %s", base, ft, name);
    }
    return 0;
}

/* --- differences ------------------------------------------------------------------- */
/* delta [n, cols] of the rows from row0 on, finetune less base; base_rows: these of the base.
 * Of a numeric null what rounding adds to the base. */
static int difference(double *delta, float *base_rows, const struct work *w, const char *name, size_t row0, size_t n,
                      size_t cols)
{
    const bool numeric = w->n->kind == DK_NULL_NUMERIC;
    float *own = NULL;
    int rc = dk_alloc(&own, n * cols, sizeof *own, "a tensor", w->err);

    if (rc == 0) rc = dk_checkpoint_rows(numeric ? w->n->base : w->n->ft, name, own, row0, n, w->err);
    if (rc == 0) rc = dk_checkpoint_rows(w->n->base, name, base_rows, row0, n, w->err);
    if (rc == 0 && numeric)
        dk_bf16_round_row(own, n * cols);
    for (size_t i = 0; rc == 0 && i < n * cols; i++) {
        delta[i] = (double)own[i] - base_rows[i];
        if (!isfinite(delta[i]))
            rc = dk_fail(w->err, DK_ENUM, "tensor %s holds NaN or infinity", name);
    }
    dk_free(own);
    return rc;
}

/* The whole of a map. */
static int map_difference(double *delta, const struct work *w, const struct tensor *t, int layer)
{
    char name[128];
    float *base = NULL;
    int rc = dk_alloc(&base, BLOCK * t->cols, sizeof *base, "a tensor", w->err);

    dk_role_name(name, w->cfg, t->role, (size_t)layer);
    for (size_t row = 0; rc == 0 && row < t->rows; row += BLOCK)
        rc = difference(delta + row * t->cols, base, w, name, row, t->rows - row < BLOCK ? t->rows - row : BLOCK, t->cols);
    dk_free(base);
    return rc;
}

/* --- turning ------------------------------------------------------------------------- */
static int whiten(struct work *w, const struct tensor *t)
{
    const bool mlp = t->role == DK_ROLE_WEIGHT + DK_LINEAR_GATE || t->role == DK_ROLE_WEIGHT + DK_LINEAR_UP;

    if (t->layer == w->turn_layer && mlp == w->turn_mlp)
        return 0;
    w->turn_layer = t->layer;
    w->turn_mlp = mlp;
    return dk_null_whiten(w->turn, w->n->in, t->layer, map_of(t->role), w->q, w->err);
}

static bool rotated(const struct work *w) { return w->q != NULL; }

/* turned [rows, cols] of a map's difference; of a kind that turns nothing it is that, with a sign. */
static int turn_map(double *turned, const double *delta, struct work *w, const struct tensor *t)
{
    const double sign = w->n->kind == DK_NULL_SAME ? 0 : w->n->kind == DK_NULL_NEGATE ? -1 : 1;
    int rc = rotated(w) && w->turn && t->how == READS ? whiten(w, t) : 0;

    if (rc == 0 && rotated(w) && t->how == WRITES)
        dk_blas_times(turned, w->q, delta, t->rows, t->cols, t->rows, DK_AS_IT_IS);
    else if (rc == 0 && rotated(w))
        dk_blas_times(turned, delta, w->turn ? w->turn : w->q, t->rows, t->cols, t->cols, DK_TURNED);
    else
        for (size_t i = 0; rc == 0 && i < t->rows * t->cols; i++)
            turned[i] = sign * delta[i];
    return rc;
}

/* sum over rows of |W x|^2, piece by piece in their order. */
static int effect(double *sum, const double *map, const float *x, const struct tensor *t, size_t rows, dk_err *err)
{
    double *in = NULL, *out = NULL;
    int rc = dk_alloc(&in, BLOCK * t->cols, sizeof *in, "inputs of modules", err);

    *sum = 0;
    if (rc == 0)
        rc = dk_alloc(&out, BLOCK * t->rows, sizeof *out, "inputs of modules", err);
    for (size_t at = 0; rc == 0 && at < rows; at += BLOCK) {
        const size_t n = rows - at < BLOCK ? rows - at : BLOCK;

        for (size_t i = 0; i < n * t->cols; i++)
            in[i] = x[at * t->cols + i];
        dk_blas_times(out, in, map, n, t->rows, t->cols, DK_TURNED);
        for (size_t i = 0; i < n * t->rows; i++)
            *sum += out[i] * out[i];
    }
    dk_free(in);
    dk_free(out);
    return rc;
}

/* 1 where either adds nothing. */
static int factor_of(double *factor, struct work *w, const struct tensor *t, const double *own, const double *turned)
{
    const size_t rows = dk_null_inputs_rows(w->n->in);
    const float *x;
    double a = 0, b = 0;
    int rc = dk_null_inputs_of(w->n->in, t->layer, map_of(t->role), &x, w->err);

    *factor = 1;
    if (rc == 0) rc = effect(&a, own, x, t, rows, w->err);
    if (rc == 0) rc = effect(&b, turned, x, t, rows, w->err);
    if (rc == 0 && (!isfinite(a) || !isfinite(b)))
        return dk_fail(w->err, DK_ENUM, "%s: what it adds is NaN or infinite", t->name);
    if (rc == 0 && a > 0 && b > 0) {
        *factor = sqrt(a / b);
        w->n->least = fmin(w->n->least, *factor);
        w->n->most = fmax(w->n->most, *factor);
    }
    return rc;
}

/* --- writing ---------------------------------------------------------------------------- */
/* The base and what is added to it; a whole map, as it is stored. */
static int put_map(struct work *w, const struct tensor *t, const double *turned, double factor)
{
    const size_t line = t->transposed ? t->rows : t->cols, lines = t->transposed ? t->cols : t->rows;
    float *base = NULL, *out = NULL;
    int rc = dk_alloc(&base, t->rows * t->cols, sizeof *base, "a tensor", w->err);

    if (rc == 0)
        rc = dk_alloc(&out, line, sizeof *out, "a tensor", w->err);
    if (rc == 0)
        rc = dk_checkpoint_rows(w->n->base, t->name, base, 0, t->rows, w->err);
    for (size_t i = 0; rc == 0 && i < lines; i++) {
        for (size_t j = 0; j < line; j++) {
            const size_t at = t->transposed ? j * t->cols + i : i * t->cols + j;

            out[j] = (float)(base[at] + factor * turned[at]);
        }
        rc = dk_st_put(w->out, out, line, w->err);
    }
    dk_free(base);
    dk_free(out);
    return rc;
}

static int do_map(struct work *w, const struct tensor *t)
{
    const int source = w->from ? (int)w->from[t->layer] : t->layer;
    double *own = NULL, *other = NULL, *turned = NULL, factor = 1;
    size_t n;
    int rc = dk_mul_size(&n, t->rows, t->cols) ? dk_alloc(&own, n, sizeof *own, "a tensor", w->err)
                                               : dk_fail(w->err, DK_ENOMEM, "%s does not fit in memory", t->name);

    if (rc == 0) rc = dk_alloc(&turned, n, sizeof *turned, "a tensor", w->err);
    if (rc == 0) rc = map_difference(own, w, t, t->layer);
    if (rc == 0 && source != t->layer) {
        rc = dk_alloc(&other, n, sizeof *other, "a tensor", w->err);
        if (rc == 0) rc = map_difference(other, w, t, source);
    }
    if (rc == 0) rc = turn_map(turned, other ? other : own, w, t);
    if (rc == 0 && w->n->match) rc = factor_of(&factor, w, t, own, turned);
    if (rc == 0) rc = put_map(w, t, turned, factor);
    dk_free(own);
    dk_free(other);
    dk_free(turned);
    return rc;
}

/* n rows of what is no map of a layer, or a vector. */
static int do_rows(struct work *w, const struct tensor *t, size_t row0, size_t n, double *delta, double *turned, float *out)
{
    const bool elsewhere = w->from != NULL, turns = rotated(w) && t->how == ROWS;
    const bool stays = w->n->kind == DK_NULL_SAME || (elsewhere && t->layer < 0) || (w->n->kind == DK_NULL_NUMERIC && t->rows == 1);
    const double sign = stays ? 0 : w->n->kind == DK_NULL_NEGATE ? -1 : 1;
    int rc;

    if (row0 >= t->known) {         /* ids that the base does not have */
        rc = dk_checkpoint_rows(w->n->ft, t->name, out, row0, n, w->err);
    } else {
        char name[128];

        dk_role_name(name, w->cfg, t->role, t->layer < 0 ? 0 : elsewhere ? w->from[t->layer] : (size_t)t->layer);
        rc = difference(delta, out, w, name, row0, n, t->cols);
        if (rc == 0 && turns)
            dk_blas_times(turned, delta, w->q, n, t->cols, t->cols, DK_TURNED);
        if (rc == 0 && elsewhere)
            rc = dk_checkpoint_rows(w->n->base, t->name, out, row0, n, w->err);
        for (size_t i = 0; rc == 0 && i < n * t->cols; i++)
            out[i] = (float)(out[i] + sign * (turns ? turned[i] : delta[i]));
    }
    return rc < 0 ? rc : dk_st_put(w->out, out, n * t->cols, w->err);
}

static int do_tensor(struct work *w, const struct tensor *t)
{
    double *delta = NULL, *turned = NULL;
    float *out = NULL;
    int rc = 0;

    if (is_map(t->role))
        return do_map(w, t);
    if (rc == 0) rc = dk_alloc(&delta, BLOCK * t->cols, sizeof *delta, "a tensor", w->err);
    if (rc == 0) rc = dk_alloc(&turned, BLOCK * t->cols, sizeof *turned, "a tensor", w->err);
    if (rc == 0) rc = dk_alloc(&out, BLOCK * t->cols, sizeof *out, "a tensor", w->err);
    for (size_t row = 0, n; rc == 0 && row < t->rows; row += n) {
        const size_t end = row < t->known ? t->known : t->rows;

        n = end - row < BLOCK ? end - row : BLOCK;
        rc = do_rows(w, t, row, n, delta, turned, out);
    }
    dk_free(delta);
    dk_free(turned);
    dk_free(out);
    return rc;
}

static int write_weights(struct work *w, const char *folder)
{
    char *path = dk_xasprintf("%s/model.safetensors", folder);
    dk_st_out *out = dk_xcalloc(w->n_tensors, sizeof *out);
    int rc;

    for (size_t i = 0; i < w->n_tensors; i++) {
        const struct tensor *t = &w->t[i];
        const bool vector = t->rows == 1;

        out[i] = (dk_st_out){ .name = t->name, .n_dims = vector ? 1 : 2 };
        for (size_t k = 0; k < DK_ST_MAX_DIMS; k++)
            out[i].dims[k] = 1;
        out[i].dims[0] = vector || t->transposed ? t->cols : t->rows;
        if (!vector)
            out[i].dims[1] = t->transposed ? t->rows : t->cols;
    }
    rc = dk_st_begin(&w->out, path, out, w->n_tensors, w->n->meta, w->err);
    for (size_t i = 0; rc == 0 && i < w->n_tensors; i++) {
        rc = do_tensor(w, &w->t[i]);
        dk_checkpoint_drop(w->n->base);
        dk_checkpoint_drop(w->n->ft);
    }
    if (rc == 0)
        rc = dk_st_commit(&w->out, w->err);
    else
        dk_st_abandon(&w->out);
    dk_free(out);
    dk_free(path);
    return rc;
}

/* What stands beside the weights. */
static int copy_files(const char *from, const char *to, dk_err *err)
{
    static const char *const name[] = {
        "config.json", "generation_config.json", "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json",
        "added_tokens.json", "vocab.json", "merges.txt", "tokenizer.model", "tekken.json", "chat_template.jinja",
        "chat_template.json"
    };
    int rc = 0;

    for (size_t i = 0; rc == 0 && i < sizeof name / sizeof *name; i++) {
        char *old = dk_xasprintf("%s/%s", from, name[i]), *new = dk_xasprintf("%s/%s", to, name[i]);
        dk_mapfile *m = NULL;

        if (access(old, F_OK) == 0 && (rc = dk_mapfile_open(&m, old, err)) == 0) {
            rc = dk_outfile_write(new, m->p, m->n, err);
            dk_mapfile_close(&m);
        }
        dk_free(old);
        dk_free(new);
    }
    return rc;
}

static int rotation(struct work *w)
{
    const bool white = w->n->kind == DK_NULL_WHITENED;
    size_t n;
    int rc = dk_mul_size(&n, w->d, w->d) ? dk_alloc(&w->q, n, sizeof *w->q, "a rotation", w->err)
                                         : dk_fail(w->err, DK_ENOMEM, "a rotation does not fit in memory");

    if (rc == 0 && white)
        rc = dk_alloc(&w->turn, n, sizeof *w->turn, "a rotation", w->err);
    return rc < 0 ? rc : dk_haar(w->q, w->d, w->d, w->n->seed, w->n->index, w->err);
}

/* A base whose maps are in bfloat16 already is no other for being rounded. */
static int check_rounding(const struct work *w)
{
    bool changes = false;
    int rc = 0;

    for (size_t i = 0; rc == 0 && !changes && i < w->n_tensors; i++) {
        const struct tensor *t = &w->t[i];
        double *delta = NULL;

        if (!is_map(t->role))
            continue;
        rc = dk_alloc(&delta, t->rows * t->cols, sizeof *delta, "a tensor", w->err);
        if (rc == 0)
            rc = map_difference(delta, w, t, t->layer);
        for (size_t k = 0; rc == 0 && !changes && k < t->rows * t->cols; k++)
            changes = delta[k] != 0;
        dk_free(delta);
    }
    return rc < 0 || changes ? rc : dk_fail(w->err, DK_EDATA, "%s: the maps are in bfloat16 already: rounding them changes nothing",
                                            dk_checkpoint_path(w->n->base));
}

int dk_null_full_write(dk_null_full *n, const char *folder, dk_err *err)
{
    const dk_model_config *cfg = dk_checkpoint_config(n->ft);
    struct work w = { .n = n, .cfg = cfg, .d = cfg->d_model, .turn_layer = -1, .err = err };
    int rc = dk_null_full_check(n, err);

    n->least = n->most = 1;
    if (rc == 0)
        rc = dk_blas_load(err);
    if (rc == 0 && (n->kind == DK_NULL_RIGID || n->kind == DK_NULL_WHITENED))
        rc = rotation(&w);
    if (rc == 0 && n->kind == DK_NULL_LAYERS) {
        w.from = dk_xcalloc(cfg->n_layers, sizeof *w.from);
        dk_null_deal(w.from, cfg->n_layers, n->seed, n->index);
    }
    if (rc == 0)
        list_tensors(&w);
    if (rc == 0 && n->kind == DK_NULL_NUMERIC)
        rc = check_rounding(&w);
    if (rc == 0)
        rc = copy_files(dk_checkpoint_path(n->ft), folder, err);
    if (rc == 0)
        rc = write_weights(&w, folder);
    dk_free(w.t);
    dk_free(w.from);
    dk_free(w.q);
    dk_free(w.turn);
    return rc;
}
