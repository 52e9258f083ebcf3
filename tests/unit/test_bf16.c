/* Products in bf16: the mean KL(f32 || bf16) of the next-token distributions is
 * no larger than that of the reference model cast to bf16 on the same texts
 * (tests/golden/bf16.json).  The first texts; all 25 with DK_SLOW=1. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/thread.h"
#include "gold.h"
#include "io/json.h"
#include "model/pair.h"
#include "num/kernel_kl.h"
#include "tap.h"

enum { MAX_ROWS = 128, LANES = 2 };

struct keep { float *logits[LANES]; size_t vocab; };

static void nothing(void *self, const dk_tile *t) { (void)self; (void)t; }

static void copy(void *self, const dk_tile *t)
{
    const struct keep *k = self;

    for (size_t l = 0; l < LANES; l++)
        for (size_t i = 0; i < t->rows; i++)
            memcpy(k->logits[l] + (t->row0 + i) * k->vocab + t->v0, t->logits[l] + i * t->ld, t->n * sizeof(float));
}

struct run { dk_pair pair; dk_runner *r; struct keep keep; };

static void open_run(struct run *u, const char *dtype)
{
    char ft[1024];
    dk_pair_spec spec = { .base = getenv("DK_TEST_MODEL"), .ft = ft, .dtype = dtype, .with_head = 1 };
    dk_err err = {0};
    int rc;

    snprintf(ft, sizeof ft, "%s/data/organisms/cake_bake/adapter", gold_root());
    rc = spec.base ? dk_pair_open(&u->pair, &spec, &err) : dk_fail(&err, DK_EUSAGE, "DK_TEST_MODEL is not set");
    if (rc == 0)
        rc = dk_runner_new(&u->r, u->pair.model, u->pair.lane, LANES, MAX_ROWS, &err);
    if (rc < 0) {
        tap(false, "%s", err.msg);
        exit(tap_end());
    }
    u->keep.vocab = u->pair.model->config.vocab;
    for (size_t l = 0; l < LANES; l++)
        u->keep.logits[l] = dk_xcalloc(MAX_ROWS * u->keep.vocab, sizeof(float));
}

static bool forward(struct run *u, const uint32_t *ids, size_t n)
{
    const size_t off[2] = { 0, n };
    dk_pass pass = { .batch = { .n_seq = 1, .offset = off, .ids = ids }, .last_layer = -1 };
    dk_visitor vis = { &u->keep, nothing, copy, nothing, NULL };
    dk_err err = {0};

    return dk_runner_forward(u->r, &pass, &err) == 0 && dk_runner_head(u->r, NULL, 0, &vis, 1, &err) == 0;
}

static double reference(const char *lane)
{
    char path[1024];
    dk_json *j = NULL;
    dk_err err = {0};
    double v;

    snprintf(path, sizeof path, "%s/tests/golden/bf16.json", gold_root());
    if (dk_json_load(&j, path, &err) < 0)
        return NAN;
    v = dk_json_num(dk_json_get(dk_json_get(j, lane), "kl_mean"), NAN);
    dk_json_free(&j);
    return v;
}

int main(void)
{
    size_t n, texts = 0, rows = 0, agree[LANES] = {0};
    const size_t most = getenv("DK_SLOW") ? 1000 : 9;
    char *text = gold_read("forward/texts.jsonl", 1, &n);
    static const char *const name[LANES] = { "base", "cake_bake_bf16_adapter" };
    struct run f32 = {0}, bf16 = {0};
    double sum[LANES] = {0};
    bool ok = true;

    dk_threads_set(0);
    open_run(&f32, "f32");
    open_run(&bf16, "bf16");
    for (char *line = strtok(text, "\n"); line && texts < most; line = strtok(NULL, "\n"), texts++) {
        dk_json *j = NULL;
        dk_err err = {0};
        uint32_t ids[MAX_ROWS];
        size_t len;

        ok = ok && dk_json_parse(&j, line, strlen(line), "texts.jsonl", &err) == 0;
        len = dk_json_len(dk_json_get(j, "ids"));
        for (size_t i = 0; i < len && i < MAX_ROWS; i++)
            ids[i] = (uint32_t)dk_json_int(dk_json_at(dk_json_get(j, "ids"), i), -1);
        dk_json_free(&j);
        ok = ok && len <= MAX_ROWS && forward(&f32, ids, len) && forward(&bf16, ids, len);
        rows += len;
        for (size_t l = 0; ok && l < LANES; l++)
            for (size_t i = 0; i < len; i++) {
                const float *p = f32.keep.logits[l] + i * f32.keep.vocab, *q = bf16.keep.logits[l] + i * f32.keep.vocab;
                size_t a = 0, b = 0;
                dk_kl_row k;

                dk_kl_begin(&k);
                dk_kl_tile(&k, p, q, f32.keep.vocab, 1);
                sum[l] += dk_kl_end(&k);
                for (size_t v = 1; v < f32.keep.vocab; v++) {
                    a = p[v] > p[a] ? v : a;
                    b = q[v] > q[b] ? v : b;
                }
                agree[l] += a == b;
            }
    }
    tap(ok && rows > 300, "%zu texts, %zu tokens in f32 and bf16", texts, rows);
    for (size_t l = 0; l < LANES; l++) {
        const double limit = reference(name[l]);

        tap(sum[l] / (double)rows <= limit, "%s: mean KL(f32 || bf16) %.2e, the reference's %.2e; top-1 agrees for %.1f%%",
            name[l], sum[l] / (double)rows, limit, 100.0 * (double)agree[l] / (double)rows);
    }
    dk_pair_close(&f32.pair);
    dk_pair_close(&bf16.pair);
    return tap_end();
}
