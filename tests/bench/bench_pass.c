/* Tokens per second of the passes, as a share of what the matrix products alone
 * reach at the same shapes in the same run.
 *
 * usage: bench_pass MODEL ADAPTER [NULL-ADAPTER]   (threads: all cores) */
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

enum { MAX_ROWS = 4096, REPEATS = 3 };

static uint32_t ids[MAX_ROWS];
static size_t offset[MAX_ROWS + 1];

static double smaller(double a, double b) { return a < b ? a : b; }

/* All products of one pass over rows rows of every lane, nothing between them. */
static double products(const dk_model *m, size_t rows, size_t head_rows, dk_err *err)
{
    const dk_model_config *c = &m->config;
    const size_t widest = c->d_ff > c->d_model ? c->d_ff : c->d_model;
    float *x = NULL, *y = NULL, *tile = NULL;
    dk_lhs *lhs = NULL;
    double best = 1e9;
    int rc = dk_alloc(&x, rows * widest, sizeof *x, "a bench", err);

    if (rc == 0) rc = dk_alloc(&y, dk_padded_rows(rows) * 2 * c->d_ff, sizeof *y, "a bench", err);
    if (rc == 0) rc = dk_alloc(&tile, (size_t)dk_threads() * DK_BLOCK_ROWS_MAX * dk_weight_strip_max(m->head), sizeof *tile, "a bench", err);
    if (rc == 0) rc = dk_lhs_new(&lhs, rows, widest, m->dtype, err);
    for (size_t i = 0; rc == 0 && i < rows * widest; i++)
        x[i] = (float)dk_uniform(dk_mix(i)) - 0.5f;
    for (int r = 0; rc == 0 && r < REPEATS; r++) {
        const double t0 = dk_now();

        for (size_t l = 0; rc == 0 && l < c->n_layers; l++) {
            const dk_weight *w[] = { m->layer[l].w[0], m->layer[l].w[1], m->layer[l].w[2], m->layer[l].w[3] };

            for (int i = 0; rc == 0 && i < 4; i++) {
                dk_lhs_set(lhs, x, dk_weight_cols(w[i]), rows, dk_weight_cols(w[i]));
                rc = dk_product(y, dk_weight_rows(w[i]), lhs, w[i], err);
            }
        }
        dk_lhs_set(lhs, x, c->d_model, head_rows, c->d_model);
        #pragma omp parallel for schedule(dynamic)
        for (size_t b = 0; b < dk_lhs_blocks(lhs); b++)
            for (size_t s = 0; s < dk_weight_strips(m->head); s++)
                dk_product_strip(tile + (size_t)dk_thread_id() * DK_BLOCK_ROWS_MAX * dk_weight_strip_max(m->head),
                                 dk_weight_strip_max(m->head), lhs, b, m->head, s, NULL);
        best = smaller(best, dk_now() - t0);
    }
    dk_lhs_free(&lhs);
    dk_free(x);
    dk_free(y);
    dk_free(tile);
    return rc == 0 ? best : -1;
}

struct work { const char *name; int kl; size_t top_k; };

static int one(const dk_pair *p, size_t n_lanes, size_t n_seq, size_t len, const struct work *w, dk_err *err)
{
    const size_t rows = n_seq * len;
    static float kl_row[DK_MAX_LANES][MAX_ROWS];
    static float *kl_to[DK_MAX_LANES];
    dk_topk_lists lists[DK_MAX_LANES] = {{0}};
    dk_runner *r = NULL;
    dk_kl *kl = NULL;
    dk_topk *topk = NULL;
    dk_visitor vis[2];
    size_t n_vis = 0;
    double best = 1e9, alone;
    dk_pass pass = { .batch = { n_seq, offset, ids }, .last_layer = -1 };
    int rc = dk_runner_new(&r, p->model, p->lane, n_lanes, rows, err);

    for (size_t i = 0; i <= n_seq; i++)
        offset[i] = i * len;
    for (size_t l = 0; l < n_lanes; l++)
        kl_to[l] = kl_row[l];
    if (rc == 0 && w->kl) {
        rc = dk_kl_new(&kl, n_lanes, 1, err);
        if (rc == 0) {
            dk_kl_target(kl, kl_to, NULL, NULL);
            vis[n_vis++] = dk_kl_visitor(kl);
        }
    }
    for (size_t l = 1; rc == 0 && w->top_k && l < n_lanes; l++) {
        rc = dk_alloc(&lists[l].top_id, rows * w->top_k, 4, "a bench", err);
        if (rc == 0) rc = dk_alloc(&lists[l].bottom_id, rows * w->top_k, 4, "a bench", err);
        if (rc == 0) rc = dk_alloc(&lists[l].top, rows * w->top_k, 4, "a bench", err);
        if (rc == 0) rc = dk_alloc(&lists[l].bottom, rows * w->top_k, 4, "a bench", err);
    }
    if (rc == 0 && w->top_k) {
        rc = dk_topk_new(&topk, n_lanes, w->top_k, p->model->config.vocab, err);
        if (rc == 0) {
            dk_topk_target(topk, lists);
            vis[n_vis++] = dk_topk_visitor(topk);
        }
    }
    for (int i = 0; rc == 0 && i < REPEATS; i++) {
        const double t0 = dk_now();

        rc = dk_runner_forward(r, &pass, err);
        if (rc == 0 && n_vis)
            rc = dk_runner_head(r, NULL, 0, vis, n_vis, err);
        best = smaller(best, dk_now() - t0);
    }
    alone = rc == 0 ? products(p->model, rows * n_lanes, n_vis ? rows * n_lanes : 1, err) : -1;
    if (alone > 0)
        printf("%-28s %zu lane%s %3zu x %3zu tokens: %6.0f tokens/s, %6.0f rows/s, %.0f%% of the products alone\n",
               w->name, n_lanes, n_lanes > 1 ? "s" : " ", n_seq, len, (double)rows / best,
               (double)(rows * n_lanes) / best, 100 * alone / best);
    for (size_t l = 1; l < n_lanes; l++) {
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

int main(int argc, char **argv)
{
    const struct work blocks = { "blocks only", 0, 0 }, kl = { "KL", 1, 0 }, both = { "KL and top 100", 1, 100 };
    char null[4096];
    char *nulls[] = { null };
    dk_pair_spec spec = { .dtype = "bf16", .with_head = 1, .nulls = nulls, .n_nulls = argc > 3 };
    dk_pair p;
    dk_err err = {0};
    int rc;

    if (argc < 3) {
        fprintf(stderr, "usage: bench_pass MODEL ADAPTER [NULL-ADAPTER]\n");
        return 2;
    }
    spec.base = argv[1];
    spec.ft = argv[2];
    if (argc > 3)
        snprintf(null, sizeof null, "null=%s", argv[3]);
    dk_threads_set(0);
    for (size_t i = 0; i < MAX_ROWS; i++)
        ids[i] = (uint32_t)(dk_mix(i) % 49000);
    rc = dk_pair_open(&p, &spec, &err);
    if (rc == 0) {
        printf("%s, bf16, %d threads, products by %s\n", p.model->config.arch_name, dk_threads(),
               dk_weight_kernel(p.model->layer[0].w[0]));
        rc = one(&p, 1, 2, 512, &blocks, &err);
        if (rc == 0) rc = one(&p, 2, 2, 512, &blocks, &err);
        if (rc == 0) rc = one(&p, 2, 2, 512, &kl, &err);
        if (rc == 0) rc = one(&p, 2, 16, 64, &kl, &err);
        if (rc == 0) rc = one(&p, 2, 16, 64, &both, &err);
        if (rc == 0) rc = one(&p, p.n_lanes, 16, 64, &both, &err);
    }
    if (rc < 0)
        fprintf(stderr, "bench_pass: error: %s\n", err.msg);
    else
        printf("peak memory %.0f MB\n", (double)dk_peak_rss() * 1e-6);
    dk_pair_close(&p);
    return rc < 0;
}
