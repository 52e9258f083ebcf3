/* Checks of the engine itself, on a few tokens: A5, E1, E2, L1 .. L5.  One pass
 * with all taps is compared with what else should give the same. */
#include <math.h>
#include <string.h>

#include "method/checkrun.h"
#include "num/kernels.h"

enum { MOST = 16, LEAST = 4 };              /* tokens of a sequence */

struct engine {
    dk_check *c;
    size_t n, lane[DK_MAX_LANES];           /* of the pair, in order of the passes */
    size_t rows, layers, d, vocab;          /* rows: of one sequence */
    uint32_t ids[3 * MOST];                 /* one sequence, another, the first again */
    dk_runner *runner;
    float *out, *in, *att, *mlp;            /* [lane][layers, of out + 1][rows, d] */
    float *x[DK_MAX_LANES], *y[DK_MAX_LANES], *y0[DK_MAX_LANES];
                                            /* A5: what goes into the module's product, what comes
                                             * out of it, what in the base */
    float *logits, *again;                  /* [lane][vocab], of the last row */
    float *other;                           /* out of a later pass, of twice the rows */
};

static float *at(const struct engine *e, float *x, size_t steps, size_t k, size_t i)
{
    return x + (k * steps + i) * e->rows * e->d;
}

/* --- passes -------------------------------------------------------------------------- */
struct taps { size_t n; dk_tap *t; };

static void add_tap(struct taps *to, int layer, size_t lane, dk_site site, float *out)
{
    to->t = dk_xrealloc(to->t, (to->n + 1) * sizeof *to->t);
    to->t[to->n++] = (dk_tap){ .layer = layer, .lane = lane, .out = out, .site = site };
}

/* The residual stream of every lane: to [lane][layers + 1][rows, d]. */
static void tap_stream(const struct engine *e, struct taps *to, float *out, size_t rows)
{
    for (size_t i = 0; i < e->n * (e->layers + 1); i++)
        add_tap(to, (int)(i % (e->layers + 1)) - 1, i / (e->layers + 1), DK_SITE_OUT, out + i * rows * e->d);
}

static dk_site site_of(const dk_adapter_module *m)
{
    switch (m->which) {
    case DK_LINEAR_O:       return DK_SITE_O;
    case DK_LINEAR_GATE:
    case DK_LINEAR_UP:      return DK_SITE_GATE_UP;
    case DK_LINEAR_DOWN:    return DK_SITE_DOWN;
    default:                return DK_SITE_QKV;
    }
}

static const dk_adapter_module *module_of(const struct engine *e, size_t k)
{
    return dk_check_powerless(e->c, e->lane[k]) ? NULL : e->c->lane[e->lane[k]].module;
}

static void tap_module(const struct engine *e, struct taps *to, size_t k)
{
    const dk_adapter_module *m = module_of(e, k);

    if (!m)
        return;
    add_tap(to, m->layer, k, (dk_site)(site_of(m) - 1), e->x[k]);
    add_tap(to, m->layer, k, site_of(m), e->y[k]);
    add_tap(to, m->layer, 0, site_of(m), e->y0[k]);
}

/* logits: of that row of the pass, or NULL. */
static int forward(struct engine *e, dk_pass *pass, struct taps *taps, size_t row, float *logits, dk_err *err)
{
    int rc;

    pass->last_layer = -1;
    pass->taps = taps->t;
    pass->n_taps = taps->n;
    rc = dk_runner_forward(e->runner, pass, err);
    if (rc == 0 && logits)
        rc = dk_runner_logits(e->runner, &row, 1, logits, err);
    dk_free(taps->t);
    return rc;
}

static int whole(struct engine *e, dk_err *err)
{
    const size_t offset[] = { 0, e->rows };
    dk_pass pass = { .batch = { 1, offset, e->ids } };
    struct taps taps = {0};

    tap_stream(e, &taps, e->out, e->rows);
    for (size_t k = 0; k < e->n; k++) {
        for (size_t i = 0; i < e->layers; i++) {
            add_tap(&taps, (int)i, k, DK_SITE_IN, at(e, e->in, e->layers, k, i));
            add_tap(&taps, (int)i, k, DK_SITE_ATTN_ADD, at(e, e->att, e->layers, k, i));
            add_tap(&taps, (int)i, k, DK_SITE_MLP_ADD, at(e, e->mlp, e->layers, k, i));
        }
        tap_module(e, &taps, k);
    }
    return forward(e, &pass, &taps, e->rows - 1, e->logits, err);
}

/* --- L1, L2 -------------------------------------------------------------------------- */
static void compare_in(struct engine *e, size_t k)
{
    dk_check_engine *to = &e->c->engine[e->lane[k]];

    for (size_t i = e->layers; i-- > 0;) {
        const size_t bad = dk_check_differing(at(e, e->in, e->layers, k, i),
                                              at(e, e->out, e->layers + 1, k, i), e->rows * e->d);

        to->in.n += bad;
        if (bad)
            to->in.layer = (int)i;
    }
}

/* |out - in - attention - MLP| of a row over |out|. */
static double gap_of_sum(const float *out, const float *in, const float *att, const float *mlp, size_t d)
{
    double gap = 0, size = 0;

    for (size_t j = 0; j < d; j++) {
        const double g = (double)out[j] - (double)in[j] - (double)att[j] - (double)mlp[j];

        gap += g * g;
        size += (double)out[j] * (double)out[j];
    }
    return gap == 0 ? 0 : sqrt(gap / size);
}

static void compare_sum(struct engine *e, size_t k)
{
    dk_check_engine *to = &e->c->engine[e->lane[k]];

    for (size_t i = 0; i < e->layers; i++)
        for (size_t r = 0; r < e->rows; r++) {
            const size_t row = r * e->d;
            const double gap = gap_of_sum(at(e, e->out, e->layers + 1, k, i + 1) + row,
                                          at(e, e->in, e->layers, k, i) + row,
                                          at(e, e->att, e->layers, k, i) + row,
                                          at(e, e->mlp, e->layers, k, i) + row, e->d);

            if (gap > to->sum.gap) {
                to->sum.gap = gap;
                to->sum.layer = (int)i;
            }
        }
}

/* --- L3 ------------------------------------------------------------------------------ */
/* Final norm, unembedding and soft cap of a lane's last row, each with its own weights. */
static int one_head(struct engine *e, size_t k, float *norm, dk_err *err)
{
    const dk_lane *lane = &e->c->pair.lane[e->lane[k]];
    const dk_model *m = lane->model ? lane->model : e->c->pair.model;
    dk_weight *own = NULL;
    int rc = 0;

    dk_model_norm(&m->config, norm, at(e, e->out, e->layers + 1, k, e->layers) + (e->rows - 1) * e->d,
                  &m->final_norm, e->d);
    if (lane->adapter && dk_adapter_changes_head(lane->adapter))
        rc = dk_model_pack_head(&own, m, lane->adapter, lane->factor, err);
    if (rc == 0)
        rc = dk_model_times_head(m, own, norm, 1, e->again, err);
    if (rc == 0 && m->config.final_softcap > 0)
        dk_softcap(e->again, e->vocab, (float)m->config.final_softcap);
    dk_device()->ops->weight_free(dk_device(), &own);
    return rc;
}

static int compare_head(struct engine *e, dk_err *err)
{
    float *norm = dk_xcalloc(e->d, sizeof *norm);
    int rc = 0;

    for (size_t k = 0; rc == 0 && k < e->n; k++) {
        rc = one_head(e, k, norm, err);
        if (rc == 0)
            e->c->engine[e->lane[k]].head = dk_check_differing(e->again, e->logits + k * e->vocab, e->vocab);
    }
    dk_free(norm);
    return rc;
}

/* --- A5 ------------------------------------------------------------------------------ */
/* |s B A x| of one row, in double. */
static double norm_of_update(const dk_adapter_module *m, const float *x)
{
    double *t = dk_xcalloc(m->r, sizeof *t), norm = 0;

    for (size_t j = 0; j < m->r; j++)
        for (size_t i = 0; i < m->in; i++)
            t[j] += (double)m->a[j * m->in + i] * (double)x[i];
    for (size_t o = 0; o < m->out; o++) {
        double y = 0;

        for (size_t j = 0; j < m->r; j++)
            y += (double)m->b[o * m->r + j] * t[j];
        norm += y * y;
    }
    dk_free(t);
    return fabs((double)m->scale) * sqrt(norm);
}

static void compare_size(struct engine *e, size_t k)
{
    const dk_adapter_module *m = module_of(e, k);
    dk_check_engine *to = &e->c->engine[e->lane[k]];
    double size = 0, want = 0, whole_size = 0;
    size_t width, col;

    if (!m)
        return;
    width = dk_site_width(&e->c->config, site_of(m));
    col = dk_linear_column(&e->c->config, m->which);
    for (size_t r = 0; r < e->rows; r++) {
        const float *y = e->y[k] + r * width + col, *y0 = e->y0[k] + r * width + col;
        double own = 0, all = 0;

        for (size_t i = 0; i < m->out; i++) {
            own += ((double)y[i] - (double)y0[i]) * ((double)y[i] - (double)y0[i]);
            all += (double)y[i] * (double)y[i];
        }
        size += sqrt(own);
        whole_size += sqrt(all);
        want += norm_of_update(m, e->x[k] + r * m->in);
    }
    to->size = size / (double)e->rows;
    to->want = want / (double)e->rows;
    to->floor = 0x1p-25 * whole_size / want;
}

/* --- E1 ------------------------------------------------------------------------------ */
/* Two sequences in one pass; the first sequence is the one at row0. */
static int compare_batch(struct engine *e, const uint32_t *ids, size_t row0, const char *how, dk_err *err)
{
    const size_t offset[] = { 0, e->rows, 2 * e->rows }, each = e->rows * e->d;
    dk_pass pass = { .batch = { 2, offset, ids } };
    struct taps taps = {0};
    int rc;

    tap_stream(e, &taps, e->other, 2 * e->rows);
    rc = forward(e, &pass, &taps, row0 + e->rows - 1, e->again, err);
    for (size_t k = 0; rc == 0 && k < e->n; k++) {
        dk_check_engine *to = &e->c->engine[e->lane[k]];
        size_t bad = dk_check_differing(e->again + k * e->vocab, e->logits + k * e->vocab, e->vocab);

        for (size_t i = 0; i <= e->layers; i++)
            bad += dk_check_differing(e->other + (k * (e->layers + 1) + i) * 2 * each + row0 * e->d,
                                      at(e, e->out, e->layers + 1, k, i), each);
        if (bad && !to->batch.n)
            to->batch.how = how;
        to->batch.n += bad;
    }
    return rc;
}

/* --- L4 ------------------------------------------------------------------------------ */
static double rms(const float *x, size_t n)
{
    double sum = 0;

    for (size_t i = 0; i < n; i++)
        sum += (double)x[i] * (double)x[i];
    return sqrt(sum / (double)n);
}

/* Which rows of which layers change, against which should: those that see the
 * edited one, in as many steps as there are layers between. */
static void compare_edited(struct engine *e, size_t k, int layer, size_t pos)
{
    dk_check_engine *to = &e->c->engine[e->lane[k]];
    size_t last = pos;

    to->edit.at = pos;
    for (size_t i = 0; i <= e->layers; i++) {
        const int here = (int)i - 1;
        const size_t window = here > layer ? dk_layer_window(&e->c->config, (size_t)here) : 1;

        last = window ? last + window - 1 : e->rows;
        for (size_t r = 0; r < e->rows; r++) {
            const bool should = here >= layer && r >= pos && r <= last;
            const bool changed = dk_check_differing(at(e, e->other, e->layers + 1, k, i) + r * e->d,
                                                    at(e, e->out, e->layers + 1, k, i) + r * e->d, e->d) > 0;

            if (changed == should)
                continue;
            if (to->edit.n++ == 0) {
                to->edit.layer = here;
                to->edit.pos = r;
                to->edit.changed = changed;
            }
        }
    }
}

static int edit_layer(const dk_check *c) { return ((int)c->config.n_layers - 1) / 2; }

static int try_edit(struct engine *e, dk_err *err)
{
    const size_t offset[] = { 0, e->rows }, pos = e->rows / 2;
    const int layer = edit_layer(e->c);
    dk_edit edits[DK_MAX_LANES];
    dk_pass pass = { .batch = { 1, offset, e->ids }, .edits = edits, .n_edits = e->n };
    float *ones = dk_xcalloc(e->d, sizeof *ones);       /* 1, -1, ...: a LayerNorm takes a mean away */
    struct taps taps = {0};
    int rc;

    for (size_t j = 0; j < e->d; j++)
        ones[j] = j % 2 ? -1 : 1;
    for (size_t k = 0; k < e->n; k++)
        edits[k] = (dk_edit){ layer, k, ones, 0, pos, 1 };
    for (size_t k = 0; k < e->n; k++)
        edits[k].strength = (float)rms(at(e, e->out, e->layers + 1, k, (size_t)layer + 1) + pos * e->d, e->d);
    tap_stream(e, &taps, e->other, e->rows);
    rc = forward(e, &pass, &taps, 0, NULL, err);
    for (size_t k = 0; rc == 0 && k < e->n; k++)
        compare_edited(e, k, layer, pos);
    dk_free(ones);
    return rc;
}

/* --- E2 ------------------------------------------------------------------------------ */
/* A half, one token, the rest. */
static int try_cache(struct engine *e, dk_err *err)
{
    const size_t slot = 0, half = e->rows / 2, cut[] = { 0, half, half + 1, e->rows };
    dk_kv *kv = NULL;
    int rc = dk_kv_new(&kv, &e->c->config, e->n, 1, e->rows, err);

    if (rc == 0)
        dk_kv_map(kv, &slot, 1);
    for (size_t i = 0; rc == 0 && i < 3; i++) {
        const size_t offset[] = { 0, cut[i + 1] - cut[i] };
        dk_pass pass = { .batch = { 1, offset, e->ids + cut[i] }, .kv = kv };
        struct taps none = {0};

        rc = forward(e, &pass, &none, offset[1] - 1, i == 2 ? e->again : NULL, err);
    }
    for (size_t k = 0; rc == 0 && k < e->n; k++) {
        double gap = 0, most = 0;

        for (size_t v = k * e->vocab; v < (k + 1) * e->vocab; v++) {
            gap = fmax(gap, fabs((double)e->again[v] - (double)e->logits[v]));
            most = fmax(most, fabs((double)e->logits[v]));
        }
        e->c->engine[e->lane[k]].cache = gap == 0 ? 0 : gap / most;
    }
    dk_kv_free(&kv);
    return rc;
}

/* --- a run --------------------------------------------------------------------------- */
static void free_engine(struct engine *e)
{
    dk_runner_free(&e->runner);
    for (size_t k = 0; k < e->n; k++) {
        dk_free(e->x[k]);
        dk_free(e->y[k]);
        dk_free(e->y0[k]);
    }
    dk_free(e->out);
    dk_free(e->in);
    dk_free(e->att);
    dk_free(e->mlp);
    dk_free(e->logits);
    dk_free(e->again);
    dk_free(e->other);
}

static int room(struct engine *e, dk_err *err)
{
    const size_t stream = e->n * (e->layers + 1) * e->rows * e->d, rows = dk_padded_rows(e->n);
    int rc = dk_alloc(&e->out, stream, sizeof(float), "residual streams", err);

    if (rc == 0) rc = dk_alloc(&e->in, stream, sizeof(float), "residual streams", err);
    if (rc == 0) rc = dk_alloc(&e->att, stream, sizeof(float), "residual streams", err);
    if (rc == 0) rc = dk_alloc(&e->mlp, stream, sizeof(float), "residual streams", err);
    if (rc == 0) rc = dk_alloc(&e->other, 2 * stream, sizeof(float), "residual streams", err);
    if (rc == 0) rc = dk_alloc(&e->logits, rows * e->vocab, sizeof(float), "logits", err);
    if (rc == 0) rc = dk_alloc(&e->again, rows * e->vocab, sizeof(float), "logits", err);
    for (size_t k = 0; rc == 0 && k < e->n; k++) {
        const dk_adapter_module *m = module_of(e, k);

        if (!m)
            continue;
        e->x[k] = dk_xcalloc(e->rows * m->in, sizeof(float));
        e->y[k] = dk_xcalloc(e->rows * dk_site_width(&e->c->config, site_of(m)), sizeof(float));
        e->y0[k] = dk_xcalloc(e->rows * dk_site_width(&e->c->config, site_of(m)), sizeof(float));
    }
    return rc;
}

/* Lanes that can be run, and two sequences of the same length. */
static void choose(struct engine *e, dk_lane *lanes)
{
    dk_check *c = e->c;
    const size_t n = c->offset[1], m = c->offset[2] - c->offset[1];

    e->layers = c->config.n_layers;
    e->d = c->config.d_model;
    e->vocab = c->config.vocab;
    e->rows = n < m ? n : m;
    e->rows = e->rows < MOST ? e->rows : MOST;
    for (size_t l = 0; l < c->pair.n_lanes; l++)
        if (!dk_check_unfit(c, l)) {
            lanes[e->n] = c->pair.lane[l];
            e->lane[e->n++] = l;
        }
    for (size_t i = 0; i < e->rows; i++) {
        e->ids[i] = e->ids[2 * e->rows + i] = c->ids[i];
        e->ids[e->rows + i] = c->ids[c->offset[1] + i];
    }
}

int dk_check_try_engine(dk_check *c, dk_err *err)
{
    struct engine e = { .c = c };
    dk_lane lanes[DK_MAX_LANES];
    int rc;

    choose(&e, lanes);
    if (dk_check_unfit(c, 0) || e.rows < LEAST)
        return 0;
    rc = room(&e, err);
    if (rc == 0)
        rc = dk_runner_new(&e.runner, c->pair.model, lanes, e.n, 2 * e.rows, err);
    if (rc == 0)
        rc = whole(&e, err);
    for (size_t k = 0; rc == 0 && k < e.n; k++) {
        compare_in(&e, k);
        compare_sum(&e, k);
        compare_size(&e, k);
    }
    if (rc == 0) rc = compare_head(&e, err);
    if (rc == 0) rc = compare_batch(&e, e.ids, 0, "before another", err);
    if (rc == 0) rc = compare_batch(&e, e.ids + e.rows, e.rows, "behind another", err);
    if (rc == 0) rc = try_edit(&e, err);
    if (rc == 0) rc = try_cache(&e, err);
    c->tried = rc == 0;
    free_engine(&e);
    return rc;
}

/* --- rows ---------------------------------------------------------------------------- */
static bool skipped(const dk_check *c, size_t lane, dk_check_row *row)
{
    const char *why = dk_check_unfit(c, lane);

    if (!why && !c->tried)
        why = "the model's context is too short";
    if (why)
        dk_check_say(row, DK_CHECK_SKIP, "%s", why);
    return why != NULL;
}

int dk_check_a5(dk_check *c, size_t lane, dk_check_row *row, dk_err *err)
{
    const dk_check_engine *e = &c->engine[lane];
    const char *why = dk_check_powerless(c, lane);
    const double limit = c->tried && c->pair.model->dtype == DK_BF16 ? 1e-3 : 1e-5;

    (void)err;
    if (dk_check_no_adapter(c, lane, row))
        return 0;
    if (why) {
        dk_check_say(row, DK_CHECK_SKIP, "%s", why);
        return 0;
    }
    if (skipped(c, lane, row))
        return 0;
    if (!c->lane[lane].module) {
        dk_check_say(row, DK_CHECK_SKIP, "no module of the adapter reads what the base reads");
        return 0;
    }
    if (!(e->floor < 0.5)) {
        dk_check_say(row, DK_CHECK_SKIP, "the update of %s is too small beside the module's output to be "
                     "measured", c->lane[lane].module->path);
        return 0;
    }
    row->value = fabs(e->size / e->want - 1);
    row->limit = fmax(limit, e->floor);
    if (row->value <= row->limit)
        dk_check_say(row, DK_CHECK_PASS, "%s adds a vector of length %.6g on average, as its A and B say",
                     c->lane[lane].module->path, e->size);
    else
        dk_check_say(row, DK_CHECK_FAIL, "%s adds a vector of length %.6g on average, but s B A x is %.6g long",
                     c->lane[lane].module->path, e->size, e->want);
    return 0;
}

int dk_check_l1(dk_check *c, size_t lane, dk_check_row *row, dk_err *err)
{
    const dk_check_engine *e = &c->engine[lane];

    (void)err;
    if (skipped(c, lane, row))
        return 0;
    row->value = (double)e->in.n;
    row->limit = 0;
    if (e->in.n)
        dk_check_say(row, DK_CHECK_FAIL, "what layer %d reads is not what %s: %zu values differ", e->in.layer,
                     e->in.layer ? "the layer before it left" : "the embedding gave", e->in.n);
    else
        dk_check_say(row, DK_CHECK_PASS, "%zu layers, equal in every bit", c->config.n_layers);
    return 0;
}

int dk_check_l2(dk_check *c, size_t lane, dk_check_row *row, dk_err *err)
{
    const dk_check_engine *e = &c->engine[lane];

    (void)err;
    if (skipped(c, lane, row))
        return 0;
    row->value = e->sum.gap;
    row->limit = 1e-5;
    if (e->sum.gap <= row->limit)
        dk_check_say(row, DK_CHECK_PASS, "%zu layers, largest gap %.2g of the stream's length",
                     c->config.n_layers, e->sum.gap);
    else
        dk_check_say(row, DK_CHECK_FAIL, "layer %d adds something else than its attention and its MLP: %.2g of "
                     "the stream's length", e->sum.layer, e->sum.gap);
    return 0;
}

int dk_check_l3(dk_check *c, size_t lane, dk_check_row *row, dk_err *err)
{
    const dk_check_engine *e = &c->engine[lane];

    (void)err;
    if (skipped(c, lane, row))
        return 0;
    row->value = (double)e->head;
    row->limit = 0;
    if (e->head)
        dk_check_say(row, DK_CHECK_FAIL, "final norm and unembedding of the last layer's output are not the "
                     "logits: %zu of %zu differ", e->head, c->config.vocab);
    else
        dk_check_say(row, DK_CHECK_PASS, "%zu logits, equal in every bit", c->config.vocab);
    return 0;
}

int dk_check_l4(dk_check *c, size_t lane, dk_check_row *row, dk_err *err)
{
    const dk_check_engine *e = &c->engine[lane];

    (void)err;
    if (skipped(c, lane, row))
        return 0;
    row->value = (double)e->edit.n;
    row->limit = 0;
    if (e->edit.n)
        dk_check_say(row, DK_CHECK_FAIL, "an edit behind layer %d at token %zu %s what is behind layer %d at "
                     "token %zu", edit_layer(c), e->edit.at, e->edit.changed ? "changes" : "does not change",
                     e->edit.layer, e->edit.pos);
    else
        dk_check_say(row, DK_CHECK_PASS, "an edit behind layer %d at token %zu changes that, later layers from "
                     "there on, and nothing else", edit_layer(c), e->edit.at);
    return 0;
}

int dk_check_l5(dk_check *c, size_t lane, dk_check_row *row, dk_err *err)
{
    const size_t last = c->config.n_layers - 1;
    dk_buf text = {0};

    (void)lane;
    (void)err;
    row->value = 0;
    row->limit = 0;
    for (size_t q = 0; q <= 4; q++) {       /* quarters are exact, in integers too */
        const int got = dk_layer_at(&c->config, (double)q / 4);

        row->value += got != (int)(q * last / 4);
        dk_buf_addf(&text, "%s%g is layer %d", q ? ", " : "", (double)q / 4, got);
    }
    dk_check_say(row, row->value > 0 ? DK_CHECK_FAIL : DK_CHECK_PASS, "%s of 0 to %zu%s", text.s, last,
                 row->value > 0 ? ": not depth times the last layer, cut off" : "");
    dk_buf_free(&text);
    return 0;
}

int dk_check_e1(dk_check *c, size_t lane, dk_check_row *row, dk_err *err)
{
    const dk_check_engine *e = &c->engine[lane];

    (void)err;
    if (skipped(c, lane, row))
        return 0;
    row->value = (double)e->batch.n;
    row->limit = 0;
    if (e->batch.n)
        dk_check_say(row, DK_CHECK_FAIL, "a sequence %s is not what it is alone: %zu values differ",
                     e->batch.how, e->batch.n);
    else
        dk_check_say(row, DK_CHECK_PASS, "alone, before and behind another sequence: equal in every bit");
    return 0;
}

int dk_check_e2(dk_check *c, size_t lane, dk_check_row *row, dk_err *err)
{
    const dk_check_engine *e = &c->engine[lane];

    (void)err;
    if (skipped(c, lane, row))
        return 0;
    row->value = e->cache;
    row->limit = c->pair.model->dtype == DK_BF16 ? 2e-2 : 1e-4;
    if (e->cache <= row->limit)
        dk_check_say(row, DK_CHECK_PASS, "logits after three steps with a cache, largest gap %.2g of the largest",
                     e->cache);
    else
        dk_check_say(row, DK_CHECK_FAIL, "logits after three steps with a cache are not those of the whole "
                     "prompt: the largest gap is %.2g of the largest", e->cache);
    return 0;
}
