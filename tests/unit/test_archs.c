/* Every architecture: miniatures against the model library in f32, every block
 * and the logits; adapters on them; passes that must not differ in any bit
 * (alone and beside other lanes, whole and with a cache, by tiles and at once). */
#include <math.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/thread.h"
#include "gold.h"
#include "model/pair.h"
#include "seeded.h"
#include "tap.h"

enum { ROWS = 25, SEQS = 2, MOST_LAYERS = 8 };

static const size_t offset[SEQS + 1] = { 0, 19, ROWS };
static uint32_t ids[ROWS];
static char root[] = "/tmp/dk-archs-XXXXXX";

static const char *const cases[] = {
    "gpt2", "llama3", "llama-linear", "mistral", "ministral", "qwen2", "qwen3", "gemma2", "gemma3", "gemma3-vl",
    "mistral3", "qwen25-vl", "qwen2-gguf", "gemma2-gguf", "gemma3-gguf"
};
static const char *const in_gguf[] = { "gpt2", "qwen2-gguf", "qwen3", "gemma2-gguf", "gemma3-gguf" };
static const char *const adapted[] = { "gpt2", "llama3", "qwen2", "qwen3", "gemma2", "gemma3" };

static void read_ids(void)
{
    char path[1024];
    size_t n = 0;
    unsigned id;
    FILE *f;

    snprintf(path, sizeof path, "%s/tests/golden/archs/ids.txt", gold_root());
    f = fopen(path, "r");
    while (f && n < ROWS && fscanf(f, "%u", &id) == 1)
        ids[n++] = id;
    if (f)
        fclose(f);
    tap(n == ROWS, "two sequences of %d ids in all", ROWS);
}

/* The folder `name` of the goldens, its tensors written out, below root. */
static char *unfold(const char *name, bool lora)
{
    char *to = dk_xasprintf("%s/%s%s", root, name, lora ? "/lora" : ""), *list, *file, *command;
    bool ok;

    mkdir(to, 0777);
    list = dk_xasprintf("%s/tests/golden/archs/%s%s/tensors.txt", gold_root(), name, lora ? "/lora" : "");
    file = dk_xasprintf("%s/%s.safetensors", to, lora ? "adapter_model" : "model");
    command = dk_xasprintf("cp '%s/tests/golden/archs/%s/%s.json' '%s/'", gold_root(), name,
                           lora ? "lora/adapter_config" : "config", to);
    ok = seeded_write(list, file) && system(command) == 0;
    if (!ok)
        tap(false, "%s could not be written", file);
    dk_free(command);
    dk_free(list);
    dk_free(file);
    return to;
}

/* --- numbers ----------------------------------------------------------------------------- */

/* The largest |got - want| of a row over |want|; not a number counts as infinite. */
static double row_gap(const float *got, const float *want, size_t rows, size_t width)
{
    double worst = 0;

    for (size_t r = 0; r < rows; r++) {
        double gap = 0, size = 0;

        for (size_t i = 0; i < width; i++) {
            const double a = got[r * width + i], b = want[r * width + i];

            gap += (a - b) * (a - b);
            size += b * b;
        }
        gap = sqrt(gap / size);
        worst = gap <= worst ? worst : isnan(gap) ? INFINITY : gap;
    }
    return worst;
}

/* All rows of a lane, in one pass: stream [layers + 1][ROWS][d], logits [lanes][ROWS][vocab]. */
static int run(dk_runner *r, const dk_model_config *c, size_t lane, float *stream, float *logits, dk_err *err)
{
    dk_tap taps[MOST_LAYERS + 1];
    dk_pass pass = { .batch = { SEQS, offset, ids }, .taps = taps, .last_layer = -1 };
    int rc;

    for (size_t i = 0; stream && i <= c->n_layers; i++)
        taps[pass.n_taps++] = (dk_tap){ .layer = (int)i - 1, .lane = lane, .out = stream + i * ROWS * c->d_model };
    rc = dk_runner_forward(r, &pass, err);
    return rc < 0 ? rc : dk_runner_logits(r, NULL, 0, logits, err);
}

static float *room(size_t n)
{
    float *x = NULL;
    dk_err err = {0};

    if (dk_alloc(&x, n, sizeof *x, "a test", &err) < 0)
        abort();
    return x;
}

/* What a visitor saw, put together again. */
struct seen { float *logits[3]; size_t vocab; };

static void nothing(void *self, const dk_tile *t) { (void)self; (void)t; }

static void see(void *self, const dk_tile *t)
{
    struct seen *s = self;

    for (size_t l = 0; l < 3; l++)
        for (size_t i = 0; i < t->rows; i++)
            memcpy(s->logits[l] + (t->row0 + i) * s->vocab + t->v0, t->logits[l] + i * t->ld, t->n * sizeof(float));
}

/* --- one architecture ---------------------------------------------------------------------- */
static void against_gold(const char *name, const dk_model *m, dk_runner *r, float *logits)
{
    const dk_model_config *c = &m->config;
    const size_t n_stream = (c->n_layers + 1) * ROWS * c->d_model, n_logits = ROWS * c->vocab;
    char path[200];
    float *stream = room(n_stream), *want;
    double worst = 0, gap;
    dk_err err = {0};
    size_t n;

    snprintf(path, sizeof path, "archs/%s/gold.f32", name);
    want = gold_read(path, sizeof *want, &n);
    if (!tap(n == n_stream + n_logits && c->n_layers <= MOST_LAYERS && run(r, c, 0, stream, logits, &err) == 0,
             "%s runs %s", name, err.msg))
        return;
    for (size_t i = 0; i <= c->n_layers; i++)
        worst = fmax(worst, row_gap(stream + i * ROWS * c->d_model, want + i * ROWS * c->d_model, ROWS, c->d_model));
    gap = row_gap(logits, want + n_stream, ROWS, c->vocab);
    tap(worst <= 3e-6 && gap <= 3e-6, "%s: residual stream within %.1e, logits within %.1e", name, worst, gap);
    dk_free(want);
    dk_free(stream);
}

/* The first sequence in steps of 7, 1, 1, 4, 6 tokens: over the end of every window. */
static void with_cache(const char *name, const dk_model *m, dk_runner *r, const float *whole)
{
    const size_t cut[] = { 0, 7, 8, 9, 13, 19 }, slot = 0, vocab = m->config.vocab;
    float *logits = room(dk_padded_rows(ROWS) * vocab);
    dk_kv *kv = NULL;
    dk_err err = {0};
    size_t same = 0;
    int rc = dk_kv_new(&kv, &m->config, 1, 1, 19, &err);

    dk_kv_map(kv, &slot, 1);
    for (size_t i = 0; rc == 0 && i < 5; i++) {
        const size_t at[] = { 0, cut[i + 1] - cut[i] };
        dk_pass pass = { .batch = { 1, at, ids + cut[i] }, .last_layer = -1, .kv = kv };

        rc = dk_runner_forward(r, &pass, &err);
        if (rc == 0)
            rc = dk_runner_logits(r, NULL, 0, logits, &err);
        same += rc == 0 && memcmp(logits, whole + cut[i] * vocab, at[1] * vocab * sizeof *logits) == 0;
    }
    tap(same == 5, "%s: in steps with a cache, equal in every bit %s", name, err.msg);
    dk_kv_free(&kv);
    dk_free(logits);
}

/* Three lanes in one pass: the base, it again, and the same weights as a set of their own. */
static void in_lanes(const char *name, const char *path, const dk_model *m, const float *whole)
{
    const size_t n = ROWS * m->config.vocab, vocab = m->config.vocab;
    dk_model *own = NULL;
    dk_runner *r = NULL;
    float *logits = room(dk_padded_rows(3 * ROWS) * vocab);
    struct seen s = { .vocab = vocab };
    const dk_visitor vis = { &s, nothing, see, nothing, NULL };
    dk_err err = {0};
    bool same = true;
    int rc = dk_model_load(&own, path, DK_F32, 1, &err);
    const dk_lane lanes[] = { { "a", NULL, 1, NULL }, { "b", NULL, 1, NULL }, { "c", NULL, 1, own } };

    for (size_t l = 0; l < 3; l++)
        s.logits[l] = room(n);
    if (rc == 0) rc = dk_runner_new(&r, m, lanes, 3, ROWS, &err);
    if (rc == 0) rc = run(r, &m->config, 0, NULL, logits, &err);
    if (rc == 0) rc = dk_runner_head(r, NULL, 0, &vis, 1, &err);
    for (size_t l = 0; l < 3; l++)
        same &= memcmp(logits + l * n, whole, n * sizeof *logits) == 0 && memcmp(s.logits[l], whole, n * sizeof *logits) == 0;
    tap(rc == 0 && same, "%s: in three lanes, two weight sets, at once and by tiles, equal in every bit %s", name, err.msg);
    for (size_t l = 0; l < 3; l++)
        dk_free(s.logits[l]);
    dk_free(logits);
    dk_runner_free(&r);
    dk_model_free(&own);
}

/* bf16 products: another rounding, the same model. */
static void in_bf16(const char *name, const char *path, const float *whole)
{
    const dk_lane lane = { "base", NULL, 1, NULL };
    dk_model *m = NULL;
    dk_runner *r = NULL;
    float *logits = NULL;
    dk_err err = {0};
    double gap = INFINITY;

    if (dk_model_load(&m, path, DK_BF16, 1, &err) == 0 && dk_runner_new(&r, m, &lane, 1, ROWS, &err) == 0) {
        logits = room(dk_padded_rows(ROWS) * m->config.vocab);
        if (run(r, &m->config, 0, NULL, logits, &err) == 0)
            gap = row_gap(logits, whole, ROWS, m->config.vocab);
    }
    tap(gap > 1e-5 && gap < 0.08, "%s: bf16 within %.1e of f32 %s", name, gap, err.msg);
    dk_free(logits);
    dk_runner_free(&r);
    dk_model_free(&m);
}

static void one(const char *name)
{
    const dk_lane lane = { "base", NULL, 1, NULL };
    char *path = unfold(name, false);
    dk_model *m = NULL;
    dk_runner *r = NULL;
    dk_err err = {0};

    if (dk_model_load(&m, path, DK_F32, 1, &err) < 0 || dk_runner_new(&r, m, &lane, 1, ROWS, &err) < 0) {
        tap(false, "%s: %s", name, err.msg);
    } else {
        float *logits = room(dk_padded_rows(ROWS) * m->config.vocab);

        against_gold(name, m, r, logits);
        with_cache(name, m, r, logits);
        in_lanes(name, path, m, logits);
        in_bf16(name, path, logits);
        dk_free(logits);
    }
    dk_runner_free(&r);
    dk_model_free(&m);
    dk_free(path);
}

/* The same numbers in a GGUF file. */
static void from_gguf(const char *name)
{
    const dk_lane lane = { "base", NULL, 1, NULL };
    char *path = dk_xasprintf("%s/tests/golden/archs/%s/model.gguf", gold_root(), name);
    dk_model *m = NULL;
    dk_runner *r = NULL;
    dk_err err = {0};

    if (dk_model_load(&m, path, DK_F32, 1, &err) < 0 || dk_runner_new(&r, m, &lane, 1, ROWS, &err) < 0) {
        tap(false, "%s from a GGUF file: %s", name, err.msg);
    } else {
        float *logits = room(dk_padded_rows(ROWS) * m->config.vocab);

        against_gold(name, m, r, logits);
        dk_free(logits);
    }
    dk_runner_free(&r);
    dk_model_free(&m);
    dk_free(path);
}

/* --- adapters --------------------------------------------------------------------------------- */
static void with_adapter(const char *name)
{
    char *base = dk_xasprintf("%s/%s", root, name), *lora = unfold(name, true), gold[200];
    dk_pair_spec spec = { .base = base, .ft = lora, .dtype = "f32", .with_head = 1 };
    dk_pair p;
    dk_runner *r = NULL, *alone = NULL;
    dk_err err = {0};
    float *want, *logits = NULL, *plain = NULL;
    size_t n, vocab;
    int rc = dk_pair_open(&p, &spec, &err);

    snprintf(gold, sizeof gold, "archs/%s/lora/logits.f32", name);
    want = gold_read(gold, sizeof *want, &n);
    if (rc == 0) {
        vocab = p.model->config.vocab;
        logits = room(dk_padded_rows(2 * ROWS) * vocab);
        plain = room(dk_padded_rows(ROWS) * vocab);
        rc = dk_runner_new(&r, p.model, p.lane, 2, ROWS, &err);
        if (rc == 0) rc = dk_runner_new(&alone, p.model, p.lane, 1, ROWS, &err);
        if (rc == 0) rc = run(r, &p.model->config, 1, NULL, logits, &err);
        if (rc == 0) rc = run(alone, &p.model->config, 0, NULL, plain, &err);
    }
    if (rc == 0) {
        const double gap = row_gap(logits + ROWS * vocab, want, ROWS, vocab), far = row_gap(logits, want, ROWS, vocab);

        tap(n == ROWS * vocab && gap <= 3e-6 && far > 0.02, "%s with an adapter: within %.1e of PEFT, the base is %.1g away", name, gap, far);
        tap(memcmp(plain, logits, ROWS * vocab * sizeof *plain) == 0, "%s: the base beside it is the base", name);
    } else {
        tap(false, "%s with an adapter: %s", name, err.msg);
    }
    dk_free(want);
    dk_free(logits);
    dk_free(plain);
    dk_runner_free(&r);
    dk_runner_free(&alone);
    dk_pair_close(&p);
    dk_free(lora);
    dk_free(base);
}

/* --- lanes as differences ---------------------------------------------------------------------- */

/* The logits of base and adapter from one runner. */
static int both(float *logits, const dk_pair *p, dk_err *err)
{
    dk_runner *r = NULL;
    int rc = dk_pair_runner(&r, p, ROWS, err);

    if (rc == 0)
        rc = run(r, &p->model->config, 1, NULL, logits, err);
    dk_runner_free(&r);
    return rc;
}

/* What another architecture's miniature adapter has in the linear maps of the
 * first `layers` blocks, on this one: base and difference against two lanes. */
static void as_differences(const char *name, const char *from, int layers)
{
    char *base = dk_xasprintf("%s/%s", root, name), *lora = dk_xasprintf("%s/%s-linear", root, name);
    char *gold = dk_xasprintf("%s/tests/golden/archs/%s/lora", gold_root(), from);
    char *list = dk_xasprintf("%s/tensors.txt", lora), *file = dk_xasprintf("%s/adapter_model.safetensors", lora);
    char *command = dk_xasprintf("mkdir '%s' && grep 'layers.[0-%d].*lora' '%s/tensors.txt' >'%s' && "
                                 "sed '/\"lm_head\",/d; /\"embed_tokens\",/d; s/\"lm_head\"$//' "
                                 "'%s/adapter_config.json' >'%s/adapter_config.json'",
                                 lora, layers - 1, gold, list, gold, lora);
    dk_pair_spec spec = { .base = base, .ft = lora, .dtype = "f32", .arith = "diff", .with_head = 1 };
    dk_pair p = {0};
    dk_err err = {0};
    float *diff = NULL, *plain = NULL;
    size_t vocab = 0;
    int rc = system(command) == 0 && seeded_write(list, file) ? dk_pair_open(&p, &spec, &err) : -1;

    if (rc == 0) {
        vocab = p.model->config.vocab;
        diff = room(dk_padded_rows(2 * ROWS) * vocab);
        plain = room(dk_padded_rows(2 * ROWS) * vocab);
        rc = both(diff, &p, &err);
        p.diff = false;
        if (rc == 0)
            rc = both(plain, &p, &err);
    }
    if (rc == 0) {
        const double gap = row_gap(diff + ROWS * vocab, plain + ROWS * vocab, ROWS, vocab);
        const double far = row_gap(plain, plain + ROWS * vocab, ROWS, vocab);

        tap(gap <= 3e-6 && far > 0.02 && memcmp(diff, plain, ROWS * vocab * sizeof *diff) == 0,
            "%s as base and difference: within %.1e of two lanes, the base is %.1g away", name, gap, far);
    } else {
        tap(false, "%s as base and difference: %s", name, err.msg);
    }
    dk_free(diff);
    dk_free(plain);
    dk_pair_close(&p);
    dk_free(command);
    dk_free(file);
    dk_free(list);
    dk_free(gold);
    dk_free(lora);
    dk_free(base);
}

/* What it cannot do yet is said by name, before weights are read; "auto" does without. */
static void refused(const char *name, const char *word)
{
    char *base = dk_xasprintf("%s/%s", root, name), *lora = dk_xasprintf("%s/%s/lora", root, name);
    dk_pair_spec spec = { .base = base, .ft = lora, .dtype = "f32", .arith = "diff", .with_head = 1 };
    dk_pair p;
    dk_runner *r = NULL;
    dk_err err = {0}, none = {0};
    int rc = dk_pair_open(&p, &spec, &err);

    tap(rc == DK_EUSAGE && strstr(err.msg, "--arith diff") && strstr(err.msg, word), "%s: %s", name, err.msg);
    spec.arith = "auto";
    rc = dk_pair_open(&p, &spec, &none);
    if (rc == 0)
        rc = dk_pair_runner(&r, &p, ROWS, &none);
    tap(rc == 0 && !p.diff && r, "... and plain where it may be %s", none.msg);
    dk_runner_free(&r);
    dk_pair_close(&p);
    dk_free(lora);
    dk_free(base);
}

int main(void)
{
    char command[64];

    dk_threads_set(2);
    if (!mkdtemp(root))
        return 1;
    read_ids();
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        one(cases[i]);
    for (size_t i = 0; i < sizeof in_gguf / sizeof *in_gguf; i++)
        from_gguf(in_gguf[i]);
    for (size_t i = 0; i < sizeof adapted / sizeof *adapted; i++)
        with_adapter(adapted[i]);
    as_differences("llama3", "llama3", 3);
    as_differences("qwen2", "qwen2", 3);            /* biases */
    as_differences("qwen3", "qwen3", 3);            /* normed queries and keys */
    as_differences("mistral", "llama3", 2);         /* a window */
    as_differences("gemma3", "gemma3", MOST_LAYERS);    /* a GELU gate, norms behind both halves */
    as_differences("gemma2", "gemma2", MOST_LAYERS);    /* soft caps */
    refused("gpt2", "layer norms");
    refused("llama3", "unembedding");
    refused("qwen3", "embedding");
    snprintf(command, sizeof command, "rm -r %s", root);
    tap(system(command) == 0, "cleaned up");
    return tap_end();
}
