/* Checks by running the model: A4 and G2 on one pass over the probe texts, G1
 * and S1 on a few tokens of their own. */
#include <math.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "method/checkrun.h"
#include "method/kl.h"

const char *const dk_probe_text[DK_PROBE_TEXTS] = {
    "The river rises in the hills above the town and flows south for about forty miles before it "
    "reaches the sea. For most of the year it is shallow enough to cross on foot, but in early "
    "spring, when the snow melts, the water covers the fields on both sides and the farmers move "
    "their animals to higher ground. The old stone bridge has been repaired many times, and nobody "
    "remembers who built it first.",
    "When you plan a long trip, it helps to make a list of everything you need and to check it the "
    "evening before you leave. Pack the heavy things at the bottom of the bag and keep your "
    "passport, your tickets and some money in a pocket that is easy to reach. If you travel with "
    "children, bring water, something to eat, and a book or a small game for the hours on the train.",
    "Plants use the energy of sunlight to turn water and carbon dioxide into sugar and oxygen. This "
    "process takes place in the green parts of the leaf, where a substance called chlorophyll "
    "absorbs the light. The sugar feeds the plant and is stored in roots, seeds and fruit, while the "
    "oxygen is released into the air. Almost all life on Earth depends on it, directly or not.",
    "She opened the door of the shop at eight o'clock, as she had done every morning for twenty "
    "years, and put the kettle on. The street was still quiet. Her first customer was a tall man in "
    "a grey coat who wanted a present for his daughter, but he could not say what she liked. They "
    "talked for a while, and in the end he bought a box of coloured pencils and went away happy.",
};

enum { EDIT_TOKENS = 16 };

/* --- what goes in -------------------------------------------------------------------- */
static bool has_tokenizer(const char *path)
{
    char *json = dk_xasprintf("%s/tokenizer.json", path);
    struct stat st;
    const bool there = stat(path, &st) != 0 || !S_ISDIR(st.st_mode) || access(json, F_OK) == 0;

    dk_free(json);
    return there;
}

static int encode_texts(dk_check *c, size_t most, dk_err *err)
{
    dk_ids ids = {0};
    int rc = 0;

    for (size_t t = 0; rc == 0 && t < DK_PROBE_TEXTS; t++) {
        const size_t from = ids.n;

        rc = dk_tokenizer_encode(c->tokenizer, dk_probe_text[t], strlen(dk_probe_text[t]),
                                 DK_ENCODE_WRAP, &ids, NULL, err);
        if (ids.n - from > most)
            ids.n = from + most;
        c->offset[t + 1] = ids.n;
    }
    c->ids = ids.id;
    c->real_text = rc == 0;
    for (size_t i = 0; i < ids.n; i++)
        c->real_text = c->real_text && ids.id[i] < c->config.vocab;
    for (size_t t = 0; t < DK_PROBE_TEXTS; t++)
        c->real_text = c->real_text && c->offset[t + 1] > c->offset[t] + 1;
    return rc;
}

/* Any ids do to see whether an adapter is applied. */
static int stand_in(dk_check *c, size_t most, dk_err *err)
{
    int rc;

    dk_free(c->ids);
    rc = dk_alloc(&c->ids, DK_PROBE_TEXTS * most, sizeof *c->ids, "tokens", err);
    for (size_t i = 0; rc == 0 && i < DK_PROBE_TEXTS * most; i++)
        c->ids[i] = (uint32_t)((i * 7919 + 13) % c->config.vocab);
    for (size_t t = 0; t <= DK_PROBE_TEXTS; t++)
        c->offset[t] = t * most;
    return rc;
}

int dk_check_encode(dk_check *c, dk_err *err)
{
    const char *path = c->spec->pair.base;
    const size_t most = c->config.max_positions < DK_PROBE_TOKENS ? c->config.max_positions
                                                                  : DK_PROBE_TOKENS;
    dk_err why = {0};
    int rc = has_tokenizer(path) ? dk_tokenizer_open(&c->tokenizer, path, &why) : 0;

    if (rc == DK_EIO || rc == DK_ENOMEM)
        return dk_fail(err, rc, "%s", why.msg);
    if (rc < 0)
        c->tokenizer_refused = dk_xstrdup(why.msg);
    rc = c->tokenizer ? encode_texts(c, most, err) : 0;
    return rc == 0 && !c->real_text ? stand_in(c, most, err) : rc;
}

/* --- passes -------------------------------------------------------------------------- */
/* Taps of every lane after the embedding and after every block:
 * out [lane][layer + 1][rows, d]. */
static dk_tap *tap_all(const dk_check *c, float *out, size_t n_lanes, size_t rows)
{
    const size_t steps = c->config.n_layers + 1;
    dk_tap *taps = dk_xcalloc(n_lanes * steps, sizeof *taps);

    for (size_t i = 0; i < n_lanes * steps; i++)
        taps[i] = (dk_tap){ .layer = (int)(i % steps) - 1, .lane = i / steps,
                             .out = out + i * rows * c->config.d_model };
    return taps;
}

static int room_for_taps(const dk_check *c, float **out, size_t n_lanes, size_t rows, dk_err *err)
{
    size_t n = n_lanes * (c->config.n_layers + 1);

    if (!dk_mul_size(&n, n, rows) || !dk_mul_size(&n, n, c->config.d_model))
        return dk_fail(err, DK_ENOMEM, "the residual streams do not fit in memory");
    return dk_alloc(out, n, sizeof **out, "residual streams", err);
}

struct probe_pass {
    size_t n_lanes, lane[DK_MAX_LANES];     /* of the pair, in order of the pass */
    dk_runner *runner;
    dk_kl *kl, *base_loss;      /* base_loss: NaN in a lane spoils what kl says of the base */
    float *tapped, *kls[DK_MAX_LANES], *logps[DK_MAX_LANES], *spoilt[DK_MAX_LANES];
    uint32_t next[DK_PROBE_TOKENS];
};

static void free_pass(struct probe_pass *p)
{
    dk_runner_free(&p->runner);
    dk_kl_free(&p->kl);
    dk_kl_free(&p->base_loss);
    dk_free(p->tapped);
    dk_free(p->spoilt[0]);
    for (size_t i = 0; i < p->n_lanes; i++) {
        dk_free(p->kls[i]);
        dk_free(p->logps[i]);
    }
}

static int new_pass(struct probe_pass *p, dk_check *c, dk_err *err)
{
    dk_lane lanes[DK_MAX_LANES];
    int rc;

    *p = (struct probe_pass){0};
    for (size_t l = 0; l < c->pair.n_lanes; l++) {
        if (!c->lane[l].usable)
            continue;
        c->probe[l].diff = dk_xcalloc(c->config.n_layers + 1, sizeof(double));
        p->kls[p->n_lanes] = dk_xcalloc(DK_PROBE_TOKENS, sizeof(float));
        p->logps[p->n_lanes] = dk_xcalloc(DK_PROBE_TOKENS, sizeof(float));
        p->spoilt[p->n_lanes] = p->logps[p->n_lanes];
        lanes[p->n_lanes] = c->pair.lane[l];
        p->lane[p->n_lanes++] = l;
    }
    p->spoilt[0] = dk_xcalloc(DK_PROBE_TOKENS, sizeof(float));
    rc = room_for_taps(c, &p->tapped, p->n_lanes, DK_PROBE_TOKENS, err);
    if (rc == 0)
        rc = dk_runner_new(&p->runner, c->pair.model, lanes, p->n_lanes, DK_PROBE_TOKENS, err);
    if (rc == 0)
        rc = dk_kl_new(&p->kl, p->n_lanes, 1, err);
    if (rc == 0)
        rc = dk_kl_new(&p->base_loss, 1, 1, err);
    return rc;
}

/* Largest |x - base|, and the first value that is not finite. */
static void fold_layer(dk_check_probe *p, int layer, size_t text, const float *x, const float *base,
                       size_t rows, size_t d)
{
    double *most = &p->diff[layer + 1];

    for (size_t i = 0; i < rows * d; i++) {
        const double gap = fabs((double)x[i] - (double)base[i]);

        if (!isfinite(x[i]) && !p->bad) {
            p->bad = true;
            p->bad_layer = layer;
            p->bad_text = text;
            p->bad_pos = i / d;
        }
        *most = gap > *most ? gap : *most;
    }
}

static void fold_text(dk_check *c, const struct probe_pass *p, size_t text, size_t rows)
{
    const size_t steps = c->config.n_layers + 1, each = rows * c->config.d_model;

    for (size_t k = 0; k < p->n_lanes; k++) {
        dk_check_probe *to = &c->probe[p->lane[k]];

        for (size_t i = 0; i < steps; i++)
            fold_layer(to, (int)i - 1, text, p->tapped + (k * steps + i) * each, p->tapped + i * each,
                       rows, c->config.d_model);
        for (size_t i = 0; i < rows; i++) {
            to->kl += k ? (double)p->kls[k][i] : 0;
            to->nll -= i + 1 < rows ? (double)p->logps[k][i] : 0;
            if (i + 1 < rows && !isfinite(p->logps[k][i]))
                to->bad_head = true;
        }
        to->n_kl += rows;
        to->n_nll += rows - 1;
    }
}

static int probe_text(dk_check *c, struct probe_pass *p, size_t text, dk_err *err)
{
    const size_t rows = c->offset[text + 1] - c->offset[text], offset[] = { 0, rows };
    const uint32_t *ids = c->ids + c->offset[text];
    dk_tap *taps = tap_all(c, p->tapped, p->n_lanes, rows);
    const dk_pass pass = { .batch = { 1, offset, ids }, .taps = taps, .last_layer = -1,
                           .n_taps = p->n_lanes * (c->config.n_layers + 1) };
    const dk_visitor heads[] = { dk_kl_visitor(p->kl), dk_kl_visitor(p->base_loss) };
    int rc;

    for (size_t i = 0; i < rows; i++)
        p->next[i] = i + 1 < rows ? ids[i + 1] : UINT32_MAX;
    dk_kl_target(p->kl, p->kls, p->spoilt, p->next);
    dk_kl_target(p->base_loss, p->kls, p->logps, p->next);
    rc = dk_runner_forward(p->runner, &pass, err);
    if (rc == 0)
        rc = dk_runner_head(p->runner, NULL, 0, heads, 2, err);
    if (rc == 0)
        fold_text(c, p, text, rows);
    dk_free(taps);
    return rc;
}

int dk_check_pass(dk_check *c, dk_err *err)
{
    struct probe_pass p;
    int rc = new_pass(&p, c, err);

    for (size_t t = 0; rc == 0 && t < DK_PROBE_TEXTS; t++)
        rc = probe_text(c, &p, t, err);
    for (size_t k = 0; rc == 0 && k < p.n_lanes; k++) {
        dk_check_probe *to = &c->probe[p.lane[k]];

        to->kl /= (double)to->n_kl;
        to->nll /= to->n_nll ? (double)to->n_nll : 1;
    }
    c->probed = rc == 0;
    free_pass(&p);
    return rc;
}

size_t dk_check_differing(const float *x, const float *y, size_t n)
{
    size_t bad = 0;

    if (memcmp(x, y, n * sizeof *x) != 0)
        for (size_t i = 0; i < n; i++)
            bad += memcmp(&x[i], &y[i], sizeof *x) != 0;
    return bad;
}

/* --- A4 ------------------------------------------------------------------------------ */
const char *dk_check_unfit(const dk_check *c, size_t lane)
{
    const dk_check_probe *base = &c->probe[0], *own = &c->probe[lane];

    if (c->weights_refused)
        return "the base's weights are not finite, see G2";
    if (!c->lane[lane].usable && c->lane[lane].full)
        return "the finetune cannot run beside the base, see A8";
    if (!c->lane[lane].usable)
        return c->pair.adapter[lane] && dk_adapter_misfit(c->pair.adapter[lane])->n == 0
            ? "the adapter's scale is not finite, see A3" : "the adapter does not fit, see A1";
    if (c->probed && (base->bad || base->bad_head))
        return "the base's own numbers are not finite, see G2";
    if (c->probed && (own->bad || own->bad_head))
        return "the lane's numbers are not finite, see G2";
    return NULL;
}

const char *dk_check_powerless(const dk_check *c, size_t lane)
{
    const dk_check_lane *l = &c->lane[lane];
    const char *why = dk_check_unfit(c, lane);

    return why ? why : l->empty ? "the adapter is empty, see A2"
         : l->no_scale ? "the adapter's scale is 0, see A3" : NULL;
}

int dk_check_a4(dk_check *c, size_t lane, dk_check_row *row, dk_err *err)
{
    const dk_check_lane *l = &c->lane[lane];
    const dk_check_probe *p = &c->probe[lane];
    const char *why = c->spec->expect_null ? dk_check_unfit(c, lane) : dk_check_powerless(c, lane);
    double least = INFINITY, most = 0;
    int silent = -1;

    if (l->full && !why)
        return dk_check_a4_full(c, lane, row, err);
    if (why) {
        dk_check_say(row, DK_CHECK_SKIP, "%s", why);
        return 0;
    }
    for (int i = 0; i < (int)c->config.n_layers; i++) {
        const double diff = p->diff[i + 1];

        most = diff > most ? diff : most;
        if ((l->first < 0 || i < l->first) && diff != 0) {
            row->value = diff;
            row->limit = 0;
            dk_check_say(row, DK_CHECK_FAIL, "the output of layer %d differs from the base, but the first "
                         "layer that the adapter touches is %d", i, l->first);
            return 0;
        }
        if (l->first >= 0 && i >= l->first && diff < least) {
            least = diff;
            silent = diff > 0 ? silent : i;
        }
    }
    row->value = l->first < 0 ? 0 : least;
    row->limit = 0;
    if (most == 0 && l->ends && p->kl > 0)
        dk_check_say(row, DK_CHECK_PASS, "the adapter changes the unembedding alone; mean KL %.4g nats on %zu tokens",
                     p->kl, p->n_kl);
    else if (most == 0)
        dk_check_say(row, c->spec->expect_null ? DK_CHECK_PASS : DK_CHECK_FAIL, "the adapter changes "
                     "nothing: every layer's output equals the base's on %zu tokens%s",
                     c->offset[DK_PROBE_TEXTS], c->spec->expect_null ? ", as expected" : "");
    else if (silent >= 0)
        dk_check_say(row, DK_CHECK_FAIL, "the output of layer %d equals the base's, although the adapter "
                     "touches layer %d", silent, l->first);
    else if (!(p->kl > 0) && !c->spec->expect_null)
        dk_check_say(row, DK_CHECK_FAIL, "the residual stream changes, but the next-token distributions "
                     "do not (mean KL %g)", p->kl);
    else
        dk_check_say(row, DK_CHECK_PASS, "every layer from %d on differs from the base, none before; mean "
                     "KL %.4g nats on %zu tokens", l->first, p->kl, p->n_kl);
    return 0;
}

/* --- G2 ------------------------------------------------------------------------------ */
static void say_bad(const dk_check *c, size_t lane, dk_check_row *row)
{
    const dk_check_probe *p = &c->probe[lane];

    if (!p->bad)
        dk_check_say(row, DK_CHECK_FAIL, "log-probabilities are NaN or infinite, although the residual "
                     "stream is finite");
    else if (p->bad_layer < 0)
        dk_check_say(row, DK_CHECK_FAIL, "the embedding of token %zu of probe text %zu is NaN or infinite",
                     p->bad_pos, p->bad_text);
    else
        dk_check_say(row, DK_CHECK_FAIL, "the output of layer %d is NaN or infinite at token %zu of probe "
                     "text %zu", p->bad_layer, p->bad_pos, p->bad_text);
}

int dk_check_g2(dk_check *c, size_t lane, dk_check_row *row, dk_err *err)
{
    const dk_check_probe *p = &c->probe[lane];
    const bool base_bad = c->weights_refused || c->probe[0].bad || c->probe[0].bad_head;

    (void)err;
    if (lane > 0 && (!c->lane[lane].usable || base_bad)) {
        dk_check_say(row, DK_CHECK_SKIP, "%s", dk_check_unfit(c, lane));
        return 0;
    }
    if (c->weights_refused) {
        dk_check_say(row, DK_CHECK_FAIL, "%s", c->weights_refused);
        return 0;
    }
    if (p->bad || p->bad_head) {
        say_bad(c, lane, row);
        return 0;
    }
    if (!c->real_text) {
        dk_check_say(row, DK_CHECK_SKIP, "there is no tokenizer for the texts; all numbers are finite");
        return 0;
    }
    row->value = p->nll;
    if (lane > 0) {     /* a finetune may be bad at prose; only the base has to be good */
        dk_check_say(row, DK_CHECK_PASS, "mean loss %.3f nats on %zu tokens, the base's is %.3f", p->nll,
                     p->n_nll, c->probe[0].nll);
        return 0;
    }
    row->limit = log((double)c->config.vocab) - 2;
    if (p->nll < row->limit)
        dk_check_say(row, DK_CHECK_PASS, "mean loss %.3f nats on %zu tokens", p->nll, p->n_nll);
    else
        dk_check_say(row, DK_CHECK_FAIL, "the mean loss on plain English is %.3f nats, hardly better than "
                     "guessing (below %.3f is sane): the weights or the tokenizer are not what they seem",
                     p->nll, row->limit);
    return 0;
}

/* --- G1 ------------------------------------------------------------------------------ */
/* Most likely id of a row of logits, and its log-probability. */
static uint32_t most_likely(const float *x, size_t n, double *logp)
{
    size_t top = 0;
    double sum = 0;

    for (size_t v = 1; v < n; v++)
        top = x[v] > x[top] ? v : top;
    for (size_t v = 0; v < n; v++)
        sum += exp((double)x[v] - (double)x[top]);
    *logp = -log(sum);
    return (uint32_t)top;
}

int dk_check_logits(float **out, const dk_model *m, const dk_lane *lane, const dk_batch *b, dk_err *err)
{
    const size_t rows = b->offset[b->n_seq];
    const dk_pass pass = { .batch = *b, .last_layer = -1 };
    dk_runner *r = NULL;
    int rc = dk_alloc(out, dk_padded_rows(rows) * m->config.vocab, sizeof **out, "logits", err);

    if (rc == 0)
        rc = dk_runner_new(&r, m, lane, 1, rows, err);
    if (rc == 0)
        rc = dk_runner_forward(r, &pass, err);
    if (rc == 0)
        rc = dk_runner_logits(r, NULL, 0, *out, err);
    dk_runner_free(&r);
    return rc;
}

static void compare_gold(dk_check *c, const dk_check_gold *gold, const float *logits, dk_check_row *row)
{
    const size_t v = c->config.vocab;
    size_t other = 0, at = 0;

    row->value = 0;
    row->limit = c->pair.model->dtype == DK_BF16 ? 5e-2 : 2e-3;
    for (size_t i = gold->n; i-- > 0;) {
        double logp;
        const bool bad = most_likely(logits + i * v, v, &logp) != gold->top[i];

        other += bad;
        at = bad ? i : at;
        if (!bad)
            row->value = fmax(row->value, fabs(logp - (double)gold->logp[i]));
    }
    if (other)
        dk_check_say(row, DK_CHECK_FAIL, "after %zu of %zu tokens another id is the most likely one than is "
                     "stored for these weights, first at token %zu", other, gold->n, at);
    else if (row->value <= row->limit)
        dk_check_say(row, DK_CHECK_PASS, "the most likely ids after %zu tokens are those that are stored, "
                     "log-probabilities within %.2g", gold->n, row->value);
    else
        dk_check_say(row, DK_CHECK_FAIL, "log-probabilities differ by up to %.2g from those that are stored "
                     "for these weights", row->value);
}

int dk_check_g1(dk_check *c, size_t lane, dk_check_row *row, dk_err *err)
{
    const char *why = dk_check_unfit(c, lane);
    const dk_check_gold *gold = NULL;
    float *logits = NULL;
    int rc;

    if (why) {
        dk_check_say(row, DK_CHECK_SKIP, "%s", why);
        return 0;
    }
    rc = dk_check_gold_of(&gold, c->pair.model->file, err);
    if (rc == 0 && gold) {
        const size_t offset[] = { 0, gold->n };
        const dk_batch b = { 1, offset, gold->id };

        rc = dk_check_logits(&logits, c->pair.model, &c->pair.lane[0], &b, err);
        if (rc == 0)
            compare_gold(c, gold, logits, row);
    } else if (rc == 0) {
        row->value = c->probe[0].nll;
        dk_check_say(row, DK_CHECK_SKIP, "recorded, not verified: no numbers are stored for these weights; "
                     "mean loss %.6f nats on %zu tokens", c->probe[0].nll, c->probe[0].n_nll);
    }
    dk_free(logits);
    return rc;
}

/* --- S1 ------------------------------------------------------------------------------ */
/* The first tokens through lanes of their own: out as tap_all. */
static int trace(dk_check *c, float **out, const dk_lane *lanes, size_t n_lanes, const dk_edit *edits,
                 size_t n_edits, size_t rows, dk_err *err)
{
    const size_t offset[] = { 0, rows };
    dk_pass pass = { .batch = { 1, offset, c->ids }, .edits = edits, .n_edits = n_edits,
                     .last_layer = -1, .n_taps = n_lanes * (c->config.n_layers + 1) };
    dk_runner *r = NULL;
    dk_tap *taps;
    int rc = room_for_taps(c, out, n_lanes, rows, err);

    if (rc < 0)
        return rc;
    pass.taps = taps = tap_all(c, *out, n_lanes, rows);
    rc = dk_runner_new(&r, c->pair.model, lanes, n_lanes, rows, err);
    if (rc == 0)
        rc = dk_runner_forward(r, &pass, err);
    dk_runner_free(&r);
    dk_free(taps);
    return rc;
}

/* Edited lanes against the same alone: 0 the base, 1 the adapter at 0, 2 at 1. */
static int null_edits(dk_check *c, size_t lane, size_t rows, size_t bad[3], dk_err *err)
{
    const size_t n_lanes = lane ? 3 : 1, layers = c->config.n_layers, d = c->config.d_model;
    const size_t each = (layers + 1) * rows * d;
    const dk_lane base = c->pair.lane[0], own = c->pair.lane[lane];
    const dk_lane lanes[] = { base, { own.name, own.adapter, 0, NULL }, own };
    float *plain = NULL, *alone = NULL, *edited = NULL, *ones = dk_xcalloc(d, sizeof *ones);
    const dk_edit edits[] = {
        { -1, 0, ones, 0, 0, 0 }, { (int)layers / 2, 0, ones, 0, 0, 0 },
        { (int)layers - 1, 0, ones, 0, 0, 0 }, { -1, n_lanes - 1, ones, 0, 0, 0 },
        { (int)layers / 2, n_lanes - 1, ones, 0, 0, 0 },
    };
    int rc;

    for (size_t j = 0; j < d; j++)
        ones[j] = 1;
    rc = trace(c, &plain, &base, 1, NULL, 0, rows, err);
    if (rc == 0)
        rc = trace(c, &edited, lanes, n_lanes, edits, sizeof edits / sizeof *edits, rows, err);
    if (rc == 0 && lane)
        rc = trace(c, &alone, &own, 1, NULL, 0, rows, err);
    if (rc == 0) {
        bad[0] = dk_check_differing(edited, plain, each);
        bad[1] = lane ? dk_check_differing(edited + each, plain, each) : 0;
        bad[2] = lane ? dk_check_differing(edited + 2 * each, alone, each) : 0;
    }
    dk_free(plain);
    dk_free(alone);
    dk_free(edited);
    dk_free(ones);
    return rc;
}

int dk_check_s1(dk_check *c, size_t lane, dk_check_row *row, dk_err *err)
{
    static const char *const what[] = {
        "an edit of strength 0 changes the base", "the adapter at factor 0 is not the base",
        "the adapter at factor 1 beside other lanes is not what it is alone"
    };
    const char *why = dk_check_unfit(c, lane);
    const size_t rows = c->offset[1] < EDIT_TOKENS ? c->offset[1] : EDIT_TOKENS;
    size_t bad[3] = {0}, worst = 0;
    int rc;

    if (why) {
        dk_check_say(row, DK_CHECK_SKIP, "%s", why);
        return 0;
    }
    rc = null_edits(c, lane, rows, bad, err);
    if (rc < 0)
        return rc;
    while (worst < 2 && bad[worst] == 0)
        worst++;
    row->value = (double)(bad[0] + bad[1] + bad[2]);
    row->limit = 0;
    if (bad[worst])
        dk_check_say(row, DK_CHECK_FAIL, "%s: %zu values of the residual stream differ", what[worst],
                     bad[worst]);
    else
        dk_check_say(row, DK_CHECK_PASS, "equal in every bit, %zu layers, %zu tokens", c->config.n_layers,
                     rows);
    return 0;
}
