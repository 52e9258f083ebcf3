/* What statistics cost beside the pass that they are of, and how fast rows are
 * read back, with their hashes compared and without.
 *
 * usage: bench_stats MODEL ADAPTER TOKENS   (threads: all cores; reading: one) */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "base/mem.h"
#include "base/rng.h"
#include "base/thread.h"
#include "io/actfile.h"
#include "method/extractstats.h"
#include "method/score.h"
#include "model/pair.h"
#include "pairbench.h"

enum { ROWS = 1024, REPEATS = 2, STORED = 65536 };

struct rows { float *base, *own, *diff; };
struct cost { double pass, stats; };

/* What is kept: sums; products too; replicates of the mean difference too. */
enum keep { SUMS, PRODUCTS, REPLICATES, KEEPS };

static int begin(dk_collect **c, const struct rows *x, size_t d, int layer, enum keep keep, dk_err *err)
{
    const dk_collect_plan plan = { .positions = 128, .seed = 42, .end_leaf = UINT64_MAX,
                                   .replicates = keep == REPLICATES };
    const dk_collect_lane base = { .layer = layer, .site = "resid_post", .lane = "base", .own = x->base };
    const dk_collect_lane ft = { .layer = layer, .site = "resid_post", .lane = "ft", .base = x->base, .own = x->own, .diff = x->diff };
    int rc = dk_collect_new(c, d, &plan, err);

    if (rc == 0) rc = dk_collect_rows(*c, layer, "resid_post", "base", x->base, false, false, err);
    if (rc == 0) rc = dk_collect_rows(*c, layer, "resid_post", "diff", x->diff, keep != SUMS, true, err);
    if (rc == 0) rc = dk_collect_norms(*c, &base, err);
    return rc == 0 ? dk_collect_norms(*c, &ft, err) : rc;
}

/* All of t to the layer, as dk-extract --kind stats. */
static int run(const dk_pair *p, const dk_tokens *t, int layer, enum keep keep, struct cost *c, dk_err *err)
{
    const size_t d = p->model->config.d_model, most = dk_tokens_batch_most(t, ROWS);
    size_t *offset = dk_xcalloc(t->docs + 1, sizeof *offset);
    struct rows x = {0};
    dk_collect *k = NULL;
    dk_runner *r = NULL;
    int rc = dk_alloc(&x.base, most * d, sizeof(float), "a bench", err);

    *c = (struct cost){0};
    if (rc == 0) rc = dk_alloc(&x.own, most * d, sizeof(float), "a bench", err);
    if (rc == 0) rc = dk_alloc(&x.diff, most * d, sizeof(float), "a bench", err);
    if (rc == 0) rc = dk_runner_new(&r, p->model, p->lane, 2, most, err);
    if (rc == 0) rc = begin(&k, &x, d, layer, keep, err);
    for (size_t first = 0, last; rc == 0 && first < t->docs; first = last) {
        const dk_tap taps[2] = { { layer, 0, x.base, DK_SITE_OUT, false }, { layer, 1, x.own, DK_SITE_OUT, false } };
        dk_pass pass = { .taps = taps, .n_taps = 2, .last_layer = layer };
        size_t rows;

        last = dk_tokens_batch(t, first, ROWS, offset);
        rows = t->offset[last] - t->offset[first];
        pass.batch = (dk_batch){ last - first, offset, t->token + t->offset[first] };
        c->pass -= cpu();
        rc = dk_runner_forward(r, &pass, err);
        for (size_t i = 0; i < rows * d; i++)
            x.diff[i] = x.own[i] - x.base[i];
        c->pass += cpu();
        c->stats -= cpu();
        if (rc == 0)
            rc = dk_collect_batch(k, t, first, last, "bench", err);
        c->stats += cpu();
    }
    dk_collect_free(&k);
    dk_runner_free(&r);
    dk_free(x.base);
    dk_free(x.own);
    dk_free(x.diff);
    dk_free(offset);
    return rc;
}

/* --- reading -------------------------------------------------------------------- */
/* The pair of the first rows of t, again and again. */
static int store(const char *path, const dk_tokens *t, const struct rows *x, size_t have, size_t d, dk_err *err)
{
    const dk_act_info base = { .layer = 1, .site = "resid_post", .what = "base", .computed_in = "bf16", .dtype = DK_H5_BF16, .d = d };
    dk_act_info diff = base;
    dk_acts_writer *w = NULL;
    int rc = dk_acts_new(&w, path, t, false, NULL, err);

    diff.what = "diff";
    if (rc == 0) rc = dk_acts_add(w, &base, err);
    if (rc == 0) rc = dk_acts_add(w, &diff, err);
    for (size_t at = 0; rc == 0 && at < t->rows; at += have) {
        const float *const rows[2] = { x->base, x->diff };

        rc = dk_acts_append(w, rows, t->rows - at < have ? t->rows - at : have, err);
    }
    return rc < 0 ? rc : dk_acts_commit(&w, err);
}

static int read_back(const char *path, size_t d, bool verify, double *seconds, dk_err *err)
{
    uint16_t *v = NULL;
    dk_acts *a = NULL;
    int rc = dk_acts_open(&a, path, err);
    double t0 = 0;

    if (rc == 0 && !verify)
        dk_h5_unverified(dk_acts_file(a));
    if (rc == 0)
        rc = dk_alloc(&v, ROWS * d, sizeof *v, "a bench", err);
    t0 = cpu();
    for (size_t at = 0; rc == 0 && at < STORED; at += ROWS) {
        rc = dk_h5_read(dk_acts_file(a), "/acts/L01/resid_post/base", DK_H5_BF16, at, ROWS, v, err);
        if (rc == 0)
            rc = dk_h5_read(dk_acts_file(a), "/acts/L01/resid_post/diff", DK_H5_BF16, at, ROWS, v, err);
    }
    *seconds = cpu() - t0;
    dk_free(v);
    dk_acts_close(&a);
    return rc;
}

static int reading(const dk_pair *p, const dk_tokens *t, int layer, dk_err *err)
{
    const size_t d = p->model->config.d_model;
    char path[] = "/tmp/dk-bench-XXXXXX";
    size_t offset[2] = { 0, t->offset[1] < ROWS ? t->offset[1] : ROWS };
    const double bytes = 2.0 * 2 * STORED * (double)d;
    const dk_batch one = { 1, offset, t->token };
    dk_tokens many = { .vocab = t->vocab, .format = dk_xstrdup("text"), .bos = dk_xstrdup("none") };
    uint32_t *ids = dk_xcalloc(STORED, sizeof *ids);
    struct rows x = {0};
    dk_runner *r = NULL;
    int rc = dk_alloc(&x.base, ROWS * d, sizeof(float), "a bench", err);

    close(mkstemp(path));
    if (rc == 0) rc = dk_alloc(&x.own, ROWS * d, sizeof(float), "a bench", err);
    if (rc == 0) rc = dk_alloc(&x.diff, ROWS * d, sizeof(float), "a bench", err);
    if (rc == 0) rc = dk_runner_new(&r, p->model, p->lane, 2, ROWS, err);
    if (rc == 0) {
        const dk_tap taps[2] = { { layer, 0, x.base, DK_SITE_OUT, false }, { layer, 1, x.own, DK_SITE_OUT, false } };
        const dk_pass pass = { .batch = one, .taps = taps, .n_taps = 2, .last_layer = layer };

        rc = dk_runner_forward(r, &pass, err);
    }
    for (size_t i = 0; rc == 0 && i < offset[1] * d; i++)
        x.diff[i] = x.own[i] - x.base[i];
    if (rc == 0) rc = dk_tokens_add_doc(&many, 0, ids, NULL, STORED, err);
    if (rc == 0) rc = store(path, &many, &x, offset[1], d, err);
    for (int verify = 0; rc == 0 && verify < 2; verify++) {
        double best = 1e9, s;

        for (int i = 0; rc == 0 && i < 3; i++)
            if ((rc = read_back(path, d, verify, &s, err)) == 0)
                best = s < best ? s : best;
        if (rc == 0)
            printf("read:    %d rows of a pair, %s: %.2f GB/s per core, unpacked bf16\n", STORED,
                   verify ? "hashes compared" : "unverified", bytes / best * 1e-9);
    }
    unlink(path);
    dk_runner_free(&r);
    dk_tokens_free(&many);
    dk_free(ids);
    dk_free(x.base);
    dk_free(x.own);
    dk_free(x.diff);
    return rc;
}

static int bench(const dk_pair *p, const dk_tokens *t, dk_err *err)
{
    int rc = 0;

    for (enum keep keep = SUMS; rc == 0 && keep < KEEPS; keep++) {
        const int layer = dk_layer_at(&p->model->config, 0.5);
        struct cost best = { .pass = 1e9 }, c;

        for (int i = 0; rc == 0 && i < REPEATS; i++)
            if ((rc = run(p, t, layer, keep, &c, err)) == 0 && c.pass < best.pass)
                best = c;
        if (rc == 0)
            printf("stats:   pair to block %d, %s: %.1f%% of the CPU time of the pass (%.0f us/token beside %.0f)\n", layer,
                   keep == SUMS ? "sums, norms, intervals" : keep == PRODUCTS ? "products of diff too" : "replicates of its mean too", 100 * best.stats / best.pass,
                   1e6 * best.stats / (double)t->rows, 1e6 * best.pass / (double)t->rows);
    }
    if (rc == 0)
        rc = reading(p, t, dk_layer_at(&p->model->config, 0.5), err);
    return rc;
}

int main(int argc, char **argv) { return bench_of_pair("bench_stats", argc, argv, bench); }
