/* Rates of passes and of decoding, and beside each pass what the matrix products
 * alone reach at the same shapes in the same run.  Minimum of several runs.
 *
 * usage: bench_pass [-s SHARE] MODEL ADAPTER [NULL-ADAPTER]    (threads: all cores)
 *
 * One line a measurement: NAME SHAPE RATE [PERCENT of the products alone].  Tokens
 * of the texts a second; of decoding, tokens that come out.  SHARE (1: 4096 tokens
 * in a pass, .25: 1024) makes the passes shorter by fewer sequences. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/mem.h"
#include "base/rng.h"
#include "base/thread.h"
#include "method/kl.h"
#include "method/topk.h"
#include "model/pair.h"

enum { MAX_ROWS = 4096, REPEATS = 2, TOP = 100, PROMPT = 64, STEPS = 32 };

static uint32_t ids[MAX_ROWS];
static size_t offset[MAX_ROWS + 1];

static double smaller(double a, double b) { return a < b ? a : b; }

static void cut(size_t n_seq, size_t len)
{
    for (size_t i = 0; i <= n_seq; i++)
        offset[i] = i * len;
}

/* All products of the blocks before stop and of the head over rows rows, nothing
 * between them; seconds. */
static double products(const dk_model *m, size_t rows, size_t stop, size_t head_rows, dk_err *err)
{
    const dk_model_config *c = &m->config;
    const size_t widest = c->d_ff > c->d_model ? c->d_ff : c->d_model, strip = dk_weight_strip_max(m->head);
    const size_t each = DK_BLOCK_ROWS_MAX * strip;
    float *x = NULL, *y = NULL, *tile = NULL;
    dk_lhs *lhs = NULL;
    double best = 1e9;
    int rc = dk_alloc(&x, rows * widest, sizeof *x, "a bench", err);

    if (rc == 0) rc = dk_alloc(&y, dk_padded_rows(rows) * 2 * c->d_ff, sizeof *y, "a bench", err);
    if (rc == 0) rc = dk_alloc(&tile, (size_t)dk_threads() * each, sizeof *tile, "a bench", err);
    if (rc == 0) rc = dk_lhs_new(&lhs, rows, widest, m->dtype, err);
    for (size_t i = 0; rc == 0 && i < rows * widest; i++)
        x[i] = (float)dk_uniform(dk_mix(i)) - 0.5f;
    for (int r = 0; rc == 0 && r < REPEATS; r++) {
        const double t0 = dk_now();

        for (size_t l = 0; rc == 0 && l < stop; l++)
            for (int i = 0; rc == 0 && i < DK_N_GROUPS; i++) {
                const dk_weight *w = m->layer[l].w[i];

                dk_lhs_set(lhs, x, dk_weight_cols(w), rows, dk_weight_cols(w));
                rc = dk_product(y, dk_weight_rows(w), lhs, w, err);
            }
        if (rc == 0 && head_rows) {
            dk_lhs_set(lhs, x, c->d_model, head_rows, c->d_model);
            #pragma omp parallel for schedule(dynamic)
            for (size_t b = 0; b < dk_lhs_blocks(lhs); b++)
                for (size_t s = 0; s < dk_weight_strips(m->head); s++)
                    dk_product_strip(tile + (size_t)dk_thread_id() * each, strip, lhs, b, m->head, s, NULL);
        }
        best = smaller(best, dk_now() - t0);
    }
    dk_lhs_free(&lhs);
    dk_free(x);
    dk_free(y);
    dk_free(tile);
    return rc == 0 ? best : -1;
}

/* A visitor that reads every logit and keeps their largest. */
static float largest[64];

static void look(void *self, const dk_tile *t)
{
    float *to = &largest[t->thread % 64];

    (void)self;
    for (size_t i = 0; i < t->rows; i++)
        for (size_t j = 0; j < t->n; j++)
            *to = t->logits[0][i * t->ld + j] > *to ? t->logits[0][i * t->ld + j] : *to;
}

static void nothing(void *self, const dk_tile *t) { (void)self, (void)t; }

enum what { BLOCKS, MIDDLE, LOGITS, KL_TOP };

struct job { const char *name; size_t n_lanes; enum what what; int diff; };

static int lists_new(dk_topk_lists *l, size_t n, dk_err *err)
{
    int rc = dk_alloc(&l->top_id, n, 4, "a bench", err);

    if (rc == 0) rc = dk_alloc(&l->bottom_id, n, 4, "a bench", err);
    if (rc == 0) rc = dk_alloc(&l->top, n, 4, "a bench", err);
    if (rc == 0) rc = dk_alloc(&l->bottom, n, 4, "a bench", err);
    return rc;
}

static int pass(const dk_pair *p, const struct job *job, size_t n_seq, size_t len, dk_err *err)
{
    const size_t rows = n_seq * len, lanes = job->n_lanes, layers = p->model->config.n_layers;
    const int middle = dk_layer_at(&p->model->config, .5);
    static float kl_row[DK_MAX_LANES][MAX_ROWS], *kl_to[DK_MAX_LANES];
    const size_t stop = job->what == MIDDLE ? (size_t)middle + 1 : layers;
    dk_topk_lists lists[DK_MAX_LANES] = {{0}};
    dk_runner *r = NULL;
    dk_kl *kl = NULL;
    dk_topk *topk = NULL;
    dk_visitor vis[2] = { { NULL, nothing, look, nothing } };
    size_t n_vis = job->what == LOGITS;
    double best = 1e9, alone;
    const dk_pass run = { .batch = { n_seq, offset, ids }, .last_layer = job->what == MIDDLE ? middle : -1 };
    int rc = dk_runner_new(&r, p->model, p->lane, lanes, rows, err);

    cut(n_seq, len);
    if (rc == 0 && job->diff)
        rc = dk_runner_diff(r, err);
    for (size_t l = 0; l < lanes; l++)
        kl_to[l] = kl_row[l];
    if (rc == 0 && job->what == KL_TOP) {
        rc = dk_kl_new(&kl, lanes, 1, err);
        for (size_t l = 1; rc == 0 && l < lanes; l++)
            rc = lists_new(&lists[l], rows * TOP, err);
        if (rc == 0)
            rc = dk_topk_new(&topk, lanes, TOP, p->model->config.vocab, err);
        if (rc == 0) {
            dk_kl_target(kl, kl_to, NULL, NULL);
            dk_topk_target(topk, lists);
            vis[n_vis++] = dk_kl_visitor(kl);
            vis[n_vis++] = dk_topk_visitor(topk);
        }
    }
    for (int i = 0; rc == 0 && i < REPEATS; i++) {
        const double t0 = dk_now();

        rc = dk_runner_forward(r, &run, err);
        if (rc == 0 && n_vis)
            rc = dk_runner_head(r, NULL, 0, vis, n_vis, err);
        best = smaller(best, dk_now() - t0);
    }
    alone = rc == 0 ? products(p->model, rows * lanes, stop, n_vis ? rows * lanes : 0, err) : -1;
    if (alone > 0)
        printf("%s\t%zux%zu\t%.1f\t%.0f\n", job->name, n_seq, len, (double)rows / best, 100 * alone / best);
    fflush(stdout);
    for (size_t l = 1; l < lanes; l++) {
        dk_free(lists[l].top_id);
        dk_free(lists[l].bottom_id);
        dk_free(lists[l].top);
        dk_free(lists[l].bottom);
    }
    dk_kl_free(&kl);
    dk_topk_free(&topk);
    dk_runner_free(&r);
    return alone > 0 ? 0 : -1;
}

/* n sequences of PROMPT tokens each go on for STEPS greedy tokens. */
static int decode(const dk_pair *p, size_t n, dk_err *err)
{
    const size_t vocab = p->model->config.vocab;
    size_t map[64], last[64];
    uint32_t next[64];
    float *logits = NULL;
    double best = 1e9;
    dk_runner *r = NULL;
    dk_kv *kv = NULL;
    dk_pass run = { .last_layer = -1 };
    int rc = dk_runner_new(&r, p->model, p->lane, 1, n * PROMPT, err);

    if (rc == 0) rc = dk_kv_new(&kv, &p->model->config, 1, n, PROMPT + STEPS, err);
    if (rc == 0) rc = dk_alloc(&logits, dk_padded_rows(n) * vocab, sizeof *logits, "a bench", err);
    for (int k = 0; rc == 0 && k < REPEATS; k++) {
        double t0 = 0;

        for (size_t i = 0; i < n; i++) {
            map[i] = i;
            dk_kv_copy(kv, i, i, 0);
        }
        dk_kv_map(kv, map, n);
        for (int step = 0; rc == 0 && step <= STEPS; step++) {
            cut(n, step ? 1 : PROMPT);
            for (size_t i = 0; i < n; i++)
                last[i] = offset[i + 1] - 1;
            run.kv = kv;
            run.batch = (dk_batch){ n, offset, step ? next : ids };
            if (step == 1)
                t0 = dk_now();
            rc = dk_runner_forward(r, &run, err);
            if (rc == 0)
                rc = dk_runner_logits(r, last, n, logits, err);
            #pragma omp parallel for
            for (size_t i = 0; i < n; i++) {
                next[i] = 0;
                for (uint32_t v = 1; v < vocab; v++)
                    if (logits[i * vocab + v] > logits[i * vocab + next[i]])
                        next[i] = v;
            }
        }
        best = smaller(best, dk_now() - t0);
    }
    if (rc == 0)
        printf("decode\t%zu\t%.1f\n", n, (double)(n * STEPS) / best);
    fflush(stdout);
    dk_free(logits);
    dk_kv_free(&kv);
    dk_runner_free(&r);
    return rc;
}

int main(int argc, char **argv)
{
    static const size_t shape[][2] = { { 8, 512 }, { 64, 64 }, { 819, 5 } };
    static const struct job jobs[] = {
        { "one-logits", 1, LOGITS, 0 }, { "one-blocks", 1, BLOCKS, 0 }, { "pair-blocks", 2, BLOCKS, 0 },
        { "pair-diff-blocks", 2, BLOCKS, 1 }, { "pair-middle", 2, MIDDLE, 0 }, { "pair-kl-top", 2, KL_TOP, 0 },
        { "pair-diff-kl-top", 2, KL_TOP, 1 }, { "null-kl-top", 3, KL_TOP, 0 }
    };
    char null[4096];
    char *nulls[] = { null };
    dk_pair_spec spec = { .dtype = "bf16", .with_head = 1, .nulls = nulls };
    double share = .25;
    dk_pair p;
    dk_err err = {0};
    int rc;

    if (argc > 2 && strcmp(argv[1], "-s") == 0) {
        share = atof(argv[2]);
        argv += 2;
        argc -= 2;
    }
    if (argc < 3) {
        fprintf(stderr, "usage: bench_pass [-s SHARE] MODEL ADAPTER [NULL-ADAPTER]\n");
        return 2;
    }
    spec.base = argv[1];
    spec.ft = argv[2];
    if ((spec.n_nulls = argc > 3))
        snprintf(null, sizeof null, "null=%s", argv[3]);
    dk_threads_set(0);
    for (size_t i = 0; i < MAX_ROWS; i++)
        ids[i] = (uint32_t)(dk_mix(i) % 49000);
    rc = dk_pair_open(&p, &spec, &err);
    if (rc == 0)
        printf("kernel\t%s\t%d\n", dk_weight_kernel(p.model->layer[0].w[0]), dk_threads());
    if (rc == 0) rc = decode(&p, 32, &err);
    if (rc == 0) rc = decode(&p, 1, &err);
    for (size_t j = 0; rc == 0 && j < sizeof jobs / sizeof *jobs; j++)
        for (size_t s = 0; rc == 0 && s < 3 && jobs[j].n_lanes <= p.n_lanes; s++) {
            const size_t n = (size_t)((double)shape[s][0] * share);

            rc = pass(&p, &jobs[j], n ? n : 1, shape[s][1], &err);
        }
    if (rc < 0)
        fprintf(stderr, "bench_pass: error: %s\n", err.msg);
    else
        printf("memory\tMB\t%.0f\n", (double)dk_peak_rss() * 1e-6);
    dk_pair_close(&p);
    return rc < 0;
}
