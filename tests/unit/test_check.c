/* The checks that no file can break: the engine goes through wrappers that
 * spoil what it hands out, as a wrong engine would. */
#include <math.h>

#include "tap.h"
#include "files.h"
#include "gold.h"
#include "method/checkrun.h"

int __real_dk_runner_forward(dk_runner *r, const dk_pass *pass, dk_err *err);
int __wrap_dk_runner_forward(dk_runner *r, const dk_pass *pass, dk_err *err);
int __real_dk_runner_logits(dk_runner *r, const size_t *rows, size_t n, float *out, dk_err *err);
int __wrap_dk_runner_logits(dk_runner *r, const size_t *rows, size_t n, float *out, dk_err *err);
int __real_dk_model_load_merged(dk_model **out, const char *path, dk_dtype dtype, const dk_adapter *a, dk_err *err);
int __wrap_dk_model_load_merged(dk_model **out, const char *path, dk_dtype dtype, const dk_adapter *a, dk_err *err);
int __real_dk_layer_at(const dk_model_config *c, double depth);
int __wrap_dk_layer_at(const dk_model_config *c, double depth);
int __wrap_dk_check_gold_of(const dk_check_gold **out, dk_checkpoint *weights, dk_err *err);

enum pass { OTHER, PROBE, EDITED, NULL_EDITED, SITES, BATCH, CACHED };
enum how {
    SOUND, BIT, LIKE_BASE, STRETCH, ADD,        /* a tap: last bit, the base's, 1 % longer, 1 more */
    MISPLACE, MISREAD,                          /* the edit one token early; other ids */
    HEAD, UNMERGED, ROUND, GOLD, GOLD_TOP
};

static struct { enum how how; enum pass pass; dk_site site; int layer; size_t lane; } spoil;

static const dk_tap *tap_of(const dk_pass *p, int layer, size_t lane, dk_site site)
{
    for (size_t i = 0; i < p->n_taps; i++)
        if (p->taps[i].layer == layer && p->taps[i].lane == lane && p->taps[i].site == site)
            return &p->taps[i];
    return NULL;
}

static enum pass kind_of(const dk_pass *p)
{
    if (p->kv)
        return CACHED;
    if (p->batch.n_seq == 2)
        return BATCH;
    if (p->n_edits)
        return p->edits[0].strength == 0 ? NULL_EDITED : EDITED;
    if (tap_of(p, 0, 0, DK_SITE_IN))
        return SITES;
    return p->batch.n_seq == 1 && p->batch.offset[1] == DK_PROBE_TOKENS ? PROBE : OTHER;
}

static void spoil_tap(const dk_pass *p)
{
    const dk_tap *t = tap_of(p, spoil.layer, spoil.lane, spoil.site);
    const dk_tap *base = tap_of(p, spoil.layer, 0, spoil.site);
    /* The miniature: 64 wide, q, k and v 128. */
    const size_t n = p->batch.offset[p->batch.n_seq] * (spoil.site == DK_SITE_QKV ? 128 : 64);

    if (!t)
        return;
    if (spoil.how == LIKE_BASE)
        memcpy(t->out, base->out, n * sizeof *t->out);
    else if (spoil.how == BIT)
        t->out[n - 1] = nextafterf(t->out[n - 1], INFINITY);
    else if (spoil.how == ADD)
        t->out[n - 1] += 1;
    else
        for (size_t i = 0; i < n; i++)
            t->out[i] += 0.01f * (t->out[i] - base->out[i]);
}

/* A pass that does something else than it was asked for. */
static int wrong_pass(dk_runner *r, const dk_pass *p, dk_err *err)
{
    dk_edit edits[DK_MAX_LANES];
    uint32_t ids[64];
    dk_pass own = *p;

    for (size_t i = 0; i < p->n_edits; i++) {
        edits[i] = p->edits[i];
        edits[i].row0 -= spoil.how == MISPLACE;
    }
    for (size_t i = 0; i < p->batch.offset[1]; i++)
        ids[i] = p->batch.ids[i] ^ (spoil.how == MISREAD);
    own.edits = edits;
    own.batch.ids = ids;
    return __real_dk_runner_forward(r, &own, err);
}

int __wrap_dk_runner_forward(dk_runner *r, const dk_pass *p, dk_err *err)
{
    const bool here = spoil.how && kind_of(p) == spoil.pass;
    int rc;

    if (here && (spoil.how == MISPLACE || spoil.how == MISREAD))
        return wrong_pass(r, p, err);
    rc = __real_dk_runner_forward(r, p, err);
    if (here && rc == 0)
        spoil_tap(p);
    return rc;
}

/* Off by the same bit wherever a row of logits is wanted. */
int __wrap_dk_runner_logits(dk_runner *r, const size_t *rows, size_t n, float *out, dk_err *err)
{
    const int rc = __real_dk_runner_logits(r, rows, n, out, err);

    if (spoil.how == HEAD)
        out[0] = nextafterf(out[0], INFINITY);
    return rc;
}

int __wrap_dk_model_load_merged(dk_model **out, const char *path, dk_dtype dtype, const dk_adapter *a, dk_err *err)
{
    return __real_dk_model_load_merged(out, path, dtype, spoil.how == UNMERGED ? NULL : a, err);
}

int __wrap_dk_layer_at(const dk_model_config *c, double depth)
{
    return spoil.how == ROUND ? (int)lround(depth * (double)(c->n_layers - 1)) : __real_dk_layer_at(c, depth);
}

/* The miniature's numbers, from the model library (tests/golden/make_mini.py). */
int __wrap_dk_check_gold_of(const dk_check_gold **out, dk_checkpoint *weights, dk_err *err)
{
    static dk_check_gold gold = { .n = 16, .id = { 331, 154, 404, 49, 74, 96, 374, 59, 219, 38, 88, 444, 428,
                                                   71, 246, 92 } };
    size_t n;
    float *logits = gold_read("mini/logits_base.f32", 512 * sizeof(float), &n);

    (void)weights;
    (void)err;
    for (size_t i = 0; i < gold.n; i++) {
        const float *x = logits + (n - gold.n + i) * 512;
        double sum = 0;

        gold.top[i] = 0;
        for (uint32_t v = 0; v < 512; v++)
            gold.top[i] = x[v] > x[gold.top[i]] ? v : gold.top[i];
        for (size_t v = 0; v < 512; v++)
            sum += exp((double)x[v] - (double)x[gold.top[i]]);
        gold.logp[i] = (float)-log(sum);
    }
    gold.logp[3] += spoil.how == GOLD ? 0.01f : 0;
    gold.top[5] ^= spoil.how == GOLD_TOP;
    dk_free(logits);
    *out = &gold;
    return 0;
}

/* --- runs ---------------------------------------------------------------------------- */
/* Status of the row of a check, and its sentence. */
static const dk_check_row *row_of(const dk_check_report *r, const char *id, const char *lane)
{
    for (size_t i = 0; i < r->n; i++)
        if (strcmp(r->row[i].id, id) == 0 && strcmp(r->row[i].lane, lane) == 0)
            return &r->row[i];
    return NULL;
}

static dk_check_report checked(void)
{
    static char *only[] = { "A4", "A5", "A6", "E1", "E2", "G1", "L1", "L2", "L3", "L4", "L5", "S1" };
    char *base = repo_path("tests/golden/mini/mini.gguf");
    char *ft = repo_path("tests/golden/mini/lora-pattern");     /* touches layer 1 alone */
    const dk_check_spec spec = { .pair = { .base = base, .ft = ft, .dtype = "f32", .with_head = 1 },
                                 .only = only, .n_only = sizeof only / sizeof *only };
    dk_check_report r = {0};
    dk_err err = {0};

    if (dk_check_run(&r, &spec, &err) < 0)
        tap_note("%s", err.msg);
    dk_free(base);
    dk_free(ft);
    return r;
}

/* Exactly one row fails, that one, and says so. */
static void fails(const char *id, const char *lane, const char *says)
{
    dk_check_report r = checked();
    const dk_check_row *row = row_of(&r, id, lane);
    const bool good = dk_check_count(&r, DK_CHECK_FAIL) == 1 && row && row->status == DK_CHECK_FAIL &&
                      strstr(row->detail, says);

    tap(good, "%s, lane %s: %s", id, lane, row ? row->detail : "no row");
    for (size_t i = 0; !good && i < r.n; i++)
        if (r.row[i].status == DK_CHECK_FAIL)
            tap_note("fails: %s, lane %s: %s", r.row[i].id, r.row[i].lane, r.row[i].detail);
    dk_check_free(&r);
}

static void tap_fails(enum pass pass, enum how how, dk_site site, int layer, size_t lane, const char *id,
                      const char *says)
{
    spoil.pass = pass;
    spoil.how = how;
    spoil.site = site;
    spoil.layer = layer;
    spoil.lane = lane;
    fails(id, lane ? "ft" : "base", says);
}

static void engine_fails(enum how how, enum pass pass, const char *id, const char *lane, const char *says)
{
    spoil.how = how;
    spoil.pass = pass;
    fails(id, lane, says);
}

/* What is wrong in every lane: rows of this check fail, and of no other. */
static void all_lanes_fail(enum how how, enum pass pass, const char *id, const char *says)
{
    dk_check_report r;
    size_t n = 0;

    spoil.how = how;
    spoil.pass = pass;
    r = checked();
    for (size_t i = 0; i < r.n; i++)
        n += r.row[i].status == DK_CHECK_FAIL && strcmp(r.row[i].id, id) == 0 && strstr(r.row[i].detail, says);
    tap(n == 2 && dk_check_count(&r, DK_CHECK_FAIL) == 2, "%s, both lanes: %s", id, row_of(&r, id, "ft")->detail);
    dk_check_free(&r);
}

int main(void)
{
    dk_check_report r = checked();

    tap(r.n == 19 && dk_check_count(&r, DK_CHECK_PASS) == 19, "a sound engine passes");
    dk_check_free(&r);

    tap_fails(PROBE, BIT, DK_SITE_OUT, 0, 1, "A4", "the output of layer 0 differs from the base");
    tap_fails(PROBE, LIKE_BASE, DK_SITE_OUT, 1, 1, "A4", "changes nothing");
    tap_fails(SITES, STRETCH, DK_SITE_QKV, 1, 1, "A5", "but s B A x is");
    tap_fails(SITES, BIT, DK_SITE_IN, 1, 1, "L1", "what layer 1 reads is not what the layer before it left");
    tap_fails(SITES, BIT, DK_SITE_IN, 0, 0, "L1", "what layer 0 reads is not what the embedding gave");
    tap_fails(SITES, ADD, DK_SITE_ATTN_ADD, 0, 0, "L2", "layer 0 adds something else");
    tap_fails(SITES, ADD, DK_SITE_MLP_ADD, 1, 1, "L2", "layer 1 adds something else");
    tap_fails(EDITED, BIT, DK_SITE_OUT, -1, 1, "L4", "changes what is behind layer -1 at token 15");
    tap_fails(EDITED, BIT, DK_SITE_OUT, 0, 0, "L4", "changes what is behind layer 0 at token 15");
    tap_fails(BATCH, BIT, DK_SITE_OUT, 1, 1, "E1", "behind another");
    tap_fails(NULL_EDITED, BIT, DK_SITE_OUT, 1, 1, "S1", "factor 0");
    spoil.lane = 2;
    fails("S1", "ft", "factor 1");
    spoil.layer = -1;
    fails("S1", "ft", "factor 1");

    engine_fails(UNMERGED, OTHER, "A6", "ft", "two different models");
    engine_fails(ROUND, OTHER, "L5", "base", "0.5 is layer 1");
    engine_fails(HEAD, OTHER, "L3", "base", "1 of 512 differ");
    engine_fails(GOLD, OTHER, "G1", "base", "differ by up to 0.01");
    engine_fails(GOLD_TOP, OTHER, "G1", "base", "after 1 of 16 tokens another id");

    all_lanes_fail(MISPLACE, EDITED, "L4", "changes what is behind layer 0 at token 7");
    all_lanes_fail(MISREAD, CACHED, "E2", "are not those of the whole prompt");
    return tap_end();
}
