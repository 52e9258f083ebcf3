/* Patchscope with its cached prompt, beside a pass over the whole prompt for every
 * row, the last token's state replaced; and what a lens of the last block is. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/thread.h"
#include "gold.h"
#include "method/score.h"
#include "tap.h"

enum { V = 512, ROWS = 41 };

static const uint32_t prompt[] = { 300, 42, 7, 99, 300, 12, 450, 31 };
enum { N_PROMPT = sizeof prompt / sizeof *prompt };

static dk_pair pair;
static dk_err err;

static void open_pair(void)
{
    char base[1024], ft[1024];
    dk_pair_spec spec = { .base = base, .ft = ft, .dtype = "f32", .with_head = 1 };

    snprintf(base, sizeof base, "%s/tests/golden/mini/mini.gguf", gold_root());
    snprintf(ft, sizeof ft, "%s/tests/golden/mini/lora-plain", gold_root());
    if (dk_pair_open(&pair, &spec, &err) < 0)
        exit(tap(false, "%s", err.msg));
}

static dk_tokens texts(void)
{
    static const size_t length[] = { 17, 3, 21 };
    dk_tokens t = { .vocab = V };
    uint32_t ids[ROWS];
    size_t at = 0;

    for (uint32_t i = 0; i < ROWS; i++)
        ids[i] = (i * 97 + 11) % V;
    for (size_t d = 0; d < 3; at += length[d++])
        dk_tokens_add_doc(&t, d, ids + at, NULL, length[d], &err);
    return t;
}

/* out [row][V]: the difference of the lanes' logits behind the prompt. */
static void slowly(float *out, const dk_tokens *t, int layer)
{
    const size_t d = pair.model->config.d_model, one[] = { 0, N_PROMPT }, last = N_PROMPT - 1;
    float *state[2], *own = dk_xcalloc(2 * N_PROMPT * d, sizeof *own), *add = dk_xcalloc(2 * d, sizeof *add);
    float *logits = dk_xcalloc(64 * V, sizeof *logits);
    dk_tap tap_of[2];
    dk_edit edit[2];
    dk_runner *r = NULL;
    dk_pass p = { .batch = { t->docs, t->offset, t->token }, .taps = tap_of, .n_taps = 2, .last_layer = -1 };

    if (dk_pair_runner(&r, &pair, ROWS, &err) < 0)
        exit(tap(false, "%s", err.msg));
    for (size_t l = 0; l < 2; l++) {
        state[l] = dk_xcalloc(ROWS * d, sizeof(float));
        tap_of[l] = (dk_tap){ .layer = layer, .lane = l, .out = state[l] };
    }
    dk_runner_forward(r, &p, &err);
    p.batch = (dk_batch){ 1, one, prompt };
    for (size_t l = 0; l < 2; l++)
        tap_of[l].out = own + l * N_PROMPT * d;
    dk_runner_forward(r, &p, &err);
    p.n_taps = 0;
    p.edits = edit;
    p.n_edits = 2;
    for (size_t i = 0; i < ROWS; i++) {
        for (size_t l = 0; l < 2; l++) {
            for (size_t j = 0; j < d; j++)
                add[l * d + j] = state[l][i * d + j] - own[(l * N_PROMPT + last) * d + j];
            edit[l] = (dk_edit){ .layer = layer, .lane = l, .vector = add + l * d, .strength = 1, .row0 = last, .n_rows = 1 };
        }
        dk_runner_forward(r, &p, &err);
        dk_runner_logits(r, &last, 1, logits, &err);
        for (size_t v = 0; v < V; v++)
            out[i * V + v] = logits[V + v] - logits[v];
    }
    dk_runner_free(&r);
    dk_free(state[0]);
    dk_free(state[1]);
    dk_free(own);
    dk_free(add);
    dk_free(logits);
}

/* out [row][V], from lists that hold everything. */
static bool scored(float *out, const dk_tokens *t, dk_score_plan plan)
{
    dk_score s = {0};

    plan.temperature = 1;
    plan.top_k = V;
    plan.batch_rows = plan.batch_rows ? plan.batch_rows : 1000;
    if (dk_score_run(&s, &pair, t, &plan, &err) < 0)
        return false;
    for (size_t i = 0; i < s.rows; i++)
        for (size_t j = 0; j < V; j++)
            out[i * V + s.topk[1].top_id[i * V + j]] = s.topk[1].top[i * V + j];
    dk_score_free(&s);
    return true;
}

static double worst(const float *a, const float *b, size_t n)
{
    double w = 0;

    for (size_t i = 0; i < n; i++)
        w = fmax(w, fabs((double)a[i] - b[i]));
    return w;
}

/* Lanes as differences to the base: their states are differences, and so is what is put in their place. */
static void as_differences(const float *want, const dk_tokens *t, dk_score_plan p)
{
    float *b = dk_xcalloc(ROWS * V, sizeof *b), *c = dk_xcalloc(ROWS * V, sizeof *c);
    bool ok;

    pair.diff = true;
    ok = scored(b, t, p);
    tap(ok && worst(want, b, ROWS * V) <= 1e-4, "as differences: within %.1e %s", worst(want, b, ROWS * V), err.msg);
    p.batch_rows = 18;
    tap(scored(c, t, p) && memcmp(b, c, ROWS * V * sizeof *b) == 0, "... and batches change no bit");
    pair.lane[1].factor = 0;
    ok = scored(b, t, p);
    for (size_t i = 0; i < ROWS * V; i++)
        ok = ok && b[i] == 0;
    tap(ok, "... and the base beside itself differs in nothing");
    pair.lane[1].factor = 1;
    pair.diff = false;
    dk_free(b);
    dk_free(c);
}

int main(void)
{
    static const size_t skip[] = { 5, 0, 20 };
    dk_tokens t = texts();
    float *a = dk_xcalloc(ROWS * V, sizeof *a), *b = dk_xcalloc(ROWS * V, sizeof *b), *c = dk_xcalloc(ROWS * V, sizeof *c);
    const dk_score_plan patch = { .prompt = prompt, .n_prompt = N_PROMPT, .layer = 0 };
    dk_score_plan p = patch;
    bool ok;

    dk_threads_set(0);
    open_pair();
    slowly(a, &t, 0);
    ok = scored(b, &t, p);
    tap(ok && worst(a, b, ROWS * V) <= 1e-4 && worst(a, c, ROWS * V) > 0.1, "patched rows: within %.1e %s", worst(a, b, ROWS * V),
        err.msg);
    as_differences(a, &t, p);
    p.batch_rows = 18;
    tap(scored(c, &t, p) && memcmp(b, c, ROWS * V * sizeof *b) == 0, "batches change no bit");
    p = patch;
    p.skip = skip;
    tap(scored(c, &t, p) && memcmp(c, b + 5 * V, 15 * V * sizeof *b) == 0 && memcmp(c + 15 * V, b + 40 * V, V * sizeof *b) == 0,
        "rows that are only read change none of the others");
    p = (dk_score_plan){0};
    tap(scored(a, &t, p), "logits");
    p.skip = skip;
    tap(scored(c, &t, p) && memcmp(c, a + 5 * V, 15 * V * sizeof *a) == 0 && memcmp(c + 15 * V, a + 40 * V, V * sizeof *a) == 0,
        "... of some rows");
    p = (dk_score_plan){ .early = true, .layer = (int)pair.model->config.n_layers - 1 };
    tap(scored(b, &t, p) && memcmp(a, b, ROWS * V * sizeof *a) == 0, "a lens of the last block is the logits");
    p.layer = 0;
    tap(scored(b, &t, p) && worst(a, b, ROWS * V) > 0.1, "one of the first is not");
    p = patch;
    p.layer = (int)pair.model->config.n_layers - 1;
    ok = scored(b, &t, p);
    tap(ok && worst(a, b, ROWS * V) <= 1e-4, "a patch behind the last block is the logits: within %.1e", worst(a, b, ROWS * V));
    dk_pair_close(&pair);
    dk_tokens_free(&t);
    dk_free(a);
    dk_free(b);
    dk_free(c);
    return tap_end();
}
