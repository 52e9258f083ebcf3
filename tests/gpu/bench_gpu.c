/* Tokens per second of a device, and the share of the bf16 product rate that it
 * reaches in the same run.
 *
 * usage: bench_gpu MODEL ADAPTER [BACKEND [SEQUENCES LENGTH]]
 *
 * Each line: what, tokens of a text a second, share of the product rate (of the
 * lanes' weights in bf16, two operations a weight and row; attention and the
 * adapters are not counted), a digest of the numbers: two runs have the same. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "backend/backend.h"
#include "base/hash.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/rng.h"
#include "base/thread.h"
#include "method/generate.h"
#include "method/score.h"

enum { REPEATS = 3, SQUARE = 8192, PROMPTS = 32, PROMPT = 64, NEW = 128 };

static double peak;         /* operations a second of the products */

static int no_rows(void *arg, float *rows, size_t row0, size_t n, dk_err *err)
{
    (void)arg;
    (void)err;
    for (size_t i = 0; i < n * SQUARE; i++)
        rows[i] = (float)((row0 * 31 + i * 7) % 255) / 255 - 0.5f;
    return 0;
}

/* SQUARE^3, the best of several. */
static int product_rate(dk_err *err)
{
    dk_dev *dev = dk_device();
    const dk_ops *ops = dev->ops;
    const size_t bytes = (size_t)SQUARE * SQUARE * sizeof(float);
    dk_weight *w = NULL;
    dk_lhs *lhs = NULL;
    void *x = NULL, *y = NULL;
    int rc = ops->weight_pack(dev, &w, SQUARE, SQUARE, DK_BF16, no_rows, NULL, err);

    if (rc == 0) rc = ops->alloc(dev, &x, bytes, "a bench", err);
    if (rc == 0) rc = ops->alloc(dev, &y, bytes, "a bench", err);
    if (rc == 0) rc = ops->lhs_new(dev, &lhs, SQUARE, SQUARE, DK_BF16, err);
    if (rc == 0) {
        float *host = dk_xmalloc(bytes);

        no_rows(NULL, host, 0, SQUARE, err);
        rc = ops->put(dev, x, host, bytes, err);
        ops->lhs_set(dev, lhs, x, SQUARE, SQUARE, SQUARE);
        dk_free(host);
    }
    for (int i = 0; rc == 0 && i < 4; i++) {
        double t0;

        rc = ops->sync(dev, err);
        t0 = dk_now();
        for (int k = 0; rc == 0 && k < 10; k++)
            rc = ops->product(dev, y, SQUARE, lhs, w, err);
        if (rc == 0)
            rc = ops->sync(dev, err);
        t0 = 10 * 2.0 * SQUARE * SQUARE * SQUARE / (dk_now() - t0);
        peak = t0 > peak ? t0 : peak;
    }
    ops->lhs_free(dev, &lhs);
    ops->weight_free(dev, &w);
    ops->release(dev, x);
    ops->release(dev, y);
    return rc;
}

static double weights(const dk_model_config *c)
{
    const double d = (double)c->d_model, q = (double)(c->n_heads * c->head_dim);

    return (double)c->n_layers * (d * (double)dk_site_width(c, DK_SITE_QKV) + d * q +
           d * (double)dk_site_width(c, DK_SITE_GATE_UP) + d * (double)c->d_ff) + d * (double)c->vocab;
}

struct work { const char *name; size_t lanes; int kl; size_t top_k, batch; };

static int one(dk_pair *p, const dk_tokens *t, const struct work *w, dk_err *err)
{
    const dk_score_plan plan = { .temperature = 1, .kl = w->kl, .top_k = w->top_k, .batch_rows = w->batch };
    const size_t all = p->n_lanes;
    double best = 1e9, used;
    size_t avail = 0, total = 0;
    dk_sha256 *h;
    char hex[65];
    int rc = 0;

    p->n_lanes = w->lanes;
    for (int i = 0; rc == 0 && i < REPEATS; i++) {
        dk_score s;

        rc = dk_score_run(&s, p, t, &plan, err);
        if (rc < 0)
            break;
        best = s.seconds < best ? s.seconds : best;
        h = dk_sha256_new();
        for (size_t l = 0; l < s.n_lanes; l++) {
            if (s.logp[l]) dk_sha256_add(h, s.logp[l], s.rows * sizeof(float));
            if (s.kl[l]) dk_sha256_add(h, s.kl[l], s.rows * sizeof(float));
            if (s.topk[l].top) dk_sha256_add(h, s.topk[l].top, s.rows * s.k * sizeof(float));
            if (s.sums[l].sum_diff) dk_sha256_add(h, s.sums[l].sum_diff, s.vocab * sizeof(double));
        }
        dk_sha256_hex(h, hex);
        dk_sha256_free(&h);
        dk_score_free(&s);
    }
    p->n_lanes = all;
    if (rc < 0)
        return rc;
    dk_device()->ops->memory(dk_device(), &avail, &total);
    used = 2 * weights(&p->model->config) * (double)(t->rows * w->lanes) / best / peak;
    printf("%-34s %8.0f tokens/s %5.1f%% of the product rate  %.12s  %.1f GB of the card\n", w->name,
           (double)t->rows / best, 100 * used, hex, (double)(total - avail) * 1e-9);
    fflush(stdout);
    return 0;
}

/* Temperature 0: the likeliest tokens. */
static int decode(dk_pair *p, size_t lanes, double temperature, double top_p, dk_err *err)
{
    static uint32_t id[PROMPTS][PROMPT];
    dk_prompt prompt[PROMPTS];
    const size_t all = p->n_lanes;
    const dk_generate_plan plan = { .sampling = { .temperature = temperature, .top_p = top_p, .repetition_penalty = 1 },
                                    .samples = 1, .max_new = NEW, .batch_rows = 4096, .parallel = PROMPTS };
    int rc = 0;

    for (size_t i = 0; i < PROMPTS; i++) {
        for (size_t k = 0; k < PROMPT; k++)
            id[i][k] = (uint32_t)(dk_mix(i * 977 + k) % p->model->config.vocab);
        prompt[i] = (dk_prompt){ id[i], PROMPT };
    }
    p->n_lanes = lanes;
    for (int i = 0; rc == 0 && i < 2; i++) {
        dk_answers a = {0};

        rc = dk_generate_run(&a, p, prompt, PROMPTS, &plan, err);
        if (rc == 0 && i == 1)
            printf("decode%s, %zu lane%s, %d sequences       %8.0f tokens/s, %.2f ms a step; prompts %.0f tokens/s\n",
                   temperature > 0 ? ", drawn" : "", lanes, lanes > 1 ? "s" : "", PROMPTS, (double)a.n_tokens / a.decode_seconds,
                   1e3 * a.decode_seconds / (double)a.n_steps, (double)(PROMPTS * PROMPT) / a.prompt_seconds);
        if (rc == 0)
            dk_answers_free(&a);
        fflush(stdout);
    }
    p->n_lanes = all;
    return rc;
}

static int random_tokens(dk_tokens *t, size_t n, size_t length, size_t vocab, dk_err *err)
{
    uint32_t *id = dk_xmalloc(length * sizeof *id);
    uint8_t *flags = dk_xcalloc(length, 1);
    int rc = 0;

    *t = (dk_tokens){ .vocab = (uint32_t)vocab };
    for (size_t d = 0; rc == 0 && d < n; d++) {
        for (size_t i = 0; i < length; i++)
            id[i] = (uint32_t)(dk_mix(d * 7919 + i + 1) % vocab);
        rc = dk_tokens_add_doc(t, d, id, flags, length, err);
    }
    dk_free(id);
    dk_free(flags);
    return rc;
}

int main(int argc, char **argv)
{
    static const struct work work[] = {
        { "one lane, log-probabilities", 1, 1, 0, 4096 }, { "pair, KL", 2, 1, 0, 4096 },
        { "pair, KL, batches of 1152", 2, 1, 0, 1152 }, { "pair, KL, batches of 16384", 2, 1, 0, 16384 },
        { "pair, top 100", 2, 0, 100, 4096 }, { "pair, KL and top 100", 2, 1, 100, 4096 } };
    dk_pair_spec spec = { .dtype = "bf16", .with_head = 1, .backend = argc > 3 ? argv[3] : "cuda" };
    dk_tokens t = {0};
    dk_pair p = {0};
    dk_err err = {0};
    double t0 = dk_now();
    int rc;

    if (argc < 3) {
        fprintf(stderr, "usage: bench_gpu MODEL ADAPTER [BACKEND [SEQUENCES LENGTH]]\n");
        return 2;
    }
    spec.base = argv[1];
    spec.ft = argv[2];
    dk_threads_set(0);
    rc = dk_pair_open(&p, &spec, &err);
    if (rc == 0) {
        printf("%s\nloaded in %.1f s\n", dk_device()->ops->describe(dk_device()), dk_now() - t0);
        rc = random_tokens(&t, argc > 4 ? strtoul(argv[4], NULL, 10) : 64, argc > 5 ? strtoul(argv[5], NULL, 10) : 512,
                           p.model->config.vocab, &err);
    }
    if (rc == 0)
        rc = product_rate(&err);
    if (rc == 0)
        printf("bf16 products of %d^3: %.0f Tflop/s\n", SQUARE, peak * 1e-12);
    for (size_t i = 0; rc == 0 && i < sizeof work / sizeof *work; i++)
        rc = one(&p, &t, &work[i], &err);
    if (rc == 0) rc = decode(&p, 1, 0, 1, &err);
    if (rc == 0) rc = decode(&p, 2, 0, 1, &err);
    if (rc == 0) rc = decode(&p, 2, .8, .95, &err);
    if (rc < 0)
        fprintf(stderr, "bench_gpu: error: %s\n", err.msg);
    dk_tokens_free(&t);
    dk_pair_close(&p);
    return rc < 0;
}
