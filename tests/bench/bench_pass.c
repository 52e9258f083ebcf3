/* Rates of passes and of decoding, and beside each pass what the matrix products
 * alone reach at the same shapes in the same run.  Minimum of several runs.
 *
 * usage: bench_pass [-s SHARE] [-n RUNS] [-j NAME] [-l TOKENS] [-t THREADS] MODEL ADAPTER [NULL]
 *
 * One line a measurement: NAME SHAPE RATE [PERCENT of the products alone, in time of
 * the processor: there a busy machine shows less].  Tokens of the texts a second; of
 * decoding, tokens that come out.  SHARE (1: 4096 tokens in a pass, .25: 1024) makes
 * the passes shorter by fewer sequences.  NAME, TOKENS: that measurement alone, texts of
 * that length alone. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/log.h"
#include "base/mem.h"
#include "base/rng.h"
#include "base/thread.h"
#include "method/kl.h"
#include "method/topk.h"
#include "model/pair.h"

enum { MAX_ROWS = 4096, TOP = 100, PROMPT = 64, STEPS = 32 };

static int repeats = 2;

static uint32_t ids[MAX_ROWS];
static size_t offset[MAX_ROWS + 1];

static double smaller(double a, double b) { return a < b ? a : b; }

/* Time of all threads of the process. */
static double cpu(void)
{
    struct timespec t;

    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static void cut(size_t n_seq, size_t len)
{
    for (size_t i = 0; i <= n_seq; i++)
        offset[i] = i * len;
}

/* What the products of a pass need when there is nothing between them. */
struct bare { const dk_model *m; float *x, *y, *tile; dk_lhs *lhs; };

static int bare_new(struct bare *b, const dk_model *m, size_t rows, dk_err *err)
{
    const dk_model_config *c = &m->config;
    const size_t widest = c->d_ff > c->d_model ? c->d_ff : c->d_model;
    const size_t each = DK_BLOCK_ROWS_MAX * dk_weight_strip_max(m->head);
    int rc = dk_alloc(&b->x, rows * widest, sizeof *b->x, "a bench", err);

    b->m = m;
    if (rc == 0) rc = dk_alloc(&b->y, dk_padded_rows(rows) * 2 * c->d_ff, sizeof *b->y, "a bench", err);
    if (rc == 0) rc = dk_alloc(&b->tile, (size_t)dk_threads() * each, sizeof *b->tile, "a bench", err);
    if (rc == 0) rc = dk_lhs_new(&b->lhs, rows, widest, m->dtype, err);
    for (size_t i = 0; rc == 0 && i < rows * widest; i++)
        b->x[i] = (float)dk_uniform(dk_mix(i)) - 0.5f;
    return rc;
}

static void bare_free(struct bare *b)
{
    dk_lhs_free(&b->lhs);
    dk_free(b->x);
    dk_free(b->y);
    dk_free(b->tile);
}

/* All products of the blocks before stop and of the head over rows rows. */
static int products(const struct bare *b, size_t rows, size_t stop, size_t head_rows, dk_err *err)
{
    const dk_model *m = b->m;
    const size_t strip = dk_weight_strip_max(m->head), each = DK_BLOCK_ROWS_MAX * strip;
    int rc = 0;

    for (size_t l = 0; rc == 0 && l < stop; l++)
        for (int i = 0; rc == 0 && i < DK_N_GROUPS; i++) {
            const dk_weight *w = m->layer[l].w[i];

            dk_lhs_set(b->lhs, b->x, dk_weight_cols(w), rows, dk_weight_cols(w));
            rc = dk_product(b->y, dk_weight_rows(w), b->lhs, w, err);
        }
    if (rc < 0 || head_rows == 0)
        return rc;
    dk_lhs_set(b->lhs, b->x, m->config.d_model, head_rows, m->config.d_model);
    #pragma omp parallel for schedule(dynamic)
    for (size_t k = 0; k < dk_lhs_blocks(b->lhs); k++)
        for (size_t s = 0; s < dk_weight_strips(m->head); s++)
            dk_product_strip(b->tile + (size_t)dk_thread_id() * each, strip, b->lhs, k * dk_block_rows(), dk_block_rows(), m->head, s, NULL);
    return 0;
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
    dk_visitor vis[2] = { { .begin = nothing, .tile = look, .end = nothing } };
    size_t n_vis = job->what == LOGITS;
    double best = 1e9, own = 1e9, alone = 1e9;
    struct bare bare = {0};
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
    if (rc == 0)
        rc = bare_new(&bare, p->model, rows * lanes, err);
    for (int i = 0; rc == 0 && i < repeats; i++) {
        double t0 = dk_now(), t1 = cpu();

        rc = dk_runner_forward(r, &run, err);
        if (rc == 0 && n_vis)
            rc = dk_runner_head(r, NULL, 0, vis, n_vis, err);
        best = smaller(best, dk_now() - t0);
        own = smaller(own, cpu() - t1);
        t1 = cpu();
        if (rc == 0)
            rc = products(&bare, rows * lanes, stop, n_vis ? rows * lanes : 0, err);
        alone = smaller(alone, cpu() - t1);
    }
    if (rc == 0)
        printf("%s\t%zux%zu\t%.1f\t%.0f\n", job->name, n_seq, len, (double)rows / best, 100 * alone / own);
    bare_free(&bare);
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
    return rc;
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
    for (int k = 0; rc == 0 && k < repeats; k++) {
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
        { "pair-diff-kl-top", 2, KL_TOP, 1 }, { "null-blocks", 3, BLOCKS, 0 }, { "null-diff-blocks", 3, BLOCKS, 1 },
        { "null-kl-top", 3, KL_TOP, 0 }, { "null-diff-kl-top", 3, KL_TOP, 1 }
    };
    char null[4096];
    char *nulls[] = { null };
    dk_pair_spec spec = { .dtype = "bf16", .with_head = 1, .nulls = nulls };
    const char *only = NULL;
    size_t length = 0;
    double share = .25;
    dk_pair p;
    dk_err err = {0};
    int rc, opt, threads = 0;

    while ((opt = getopt(argc, argv, "s:n:j:l:t:")) != -1)
        switch (opt) {
        case 's': share = atof(optarg); break;
        case 'n': repeats = atoi(optarg); break;
        case 'j': only = optarg; break;
        case 'l': length = (size_t)atoi(optarg); break;
        case 't': threads = atoi(optarg); break;
        default: argc = 0; break;
        }
    argc -= optind - 1;
    argv += optind - 1;
    if (argc < 3) {
        fprintf(stderr, "usage: bench_pass [-s SHARE] [-n RUNS] [-j NAME] [-l TOKENS] [-t THREADS] MODEL ADAPTER [NULL]\n");
        return 2;
    }
    spec.base = argv[1];
    spec.ft = argv[2];
    if ((spec.n_nulls = argc > 3))
        snprintf(null, sizeof null, "null=%s", argv[3]);
    dk_threads_set(threads);
    for (size_t i = 0; i < MAX_ROWS; i++)
        ids[i] = (uint32_t)(dk_mix(i) % 49000);
    rc = dk_pair_open(&p, &spec, &err);
    if (rc == 0)
        printf("kernel\t%s\t%d\n", dk_weight_kernel(p.model->layer[0].w[0]), dk_threads());
    if (rc == 0 && (!only || strcmp(only, "decode") == 0)) {
        rc = decode(&p, 32, &err);
        if (rc == 0)
            rc = decode(&p, 1, &err);
    }
    for (size_t j = 0; rc == 0 && j < sizeof jobs / sizeof *jobs; j++)
        for (size_t s = 0; rc == 0 && s < 3; s++) {
            const size_t n = (size_t)((double)shape[s][0] * share);

            if (jobs[j].n_lanes > p.n_lanes || (only && strcmp(only, jobs[j].name) != 0) || (length && shape[s][1] != length))
                continue;
            rc = pass(&p, &jobs[j], n ? n : 1, shape[s][1], &err);
        }
    if (rc < 0)
        fprintf(stderr, "bench_pass: error: %s\n", err.msg);
    else
        printf("memory\tMB\t%.0f\n", (double)dk_peak_rss() * 1e-6);
    dk_pair_close(&p);
    return rc < 0;
}
