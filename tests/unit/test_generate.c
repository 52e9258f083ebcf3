/* Generation: against the reference's greedy answers, and against itself (the
 * cache, the batch, the threads change no bit). */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/thread.h"
#include "gold.h"
#include "io/json.h"
#include "method/generate.h"
#include "tap.h"

static char *below_root(const char *path) { return dk_xasprintf("%s/%s", gold_root(), path); }

static void open_pair(dk_pair *p, const char *base, const char *ft, dk_dtype dtype)
{
    dk_err err = {0};
    const dk_pair_spec spec = { .base = base, .ft = ft, .dtype = dtype == DK_BF16 ? "bf16" : "f32", .with_head = 1 };

    if (dk_pair_open(p, &spec, &err) < 0) {
        tap(false, "%s", err.msg);
        exit(tap_end());
    }
}

static dk_generate_plan greedy(size_t max_new)
{
    return (dk_generate_plan){ .sampling = { .top_p = 1 }, .seed = 42, .samples = 1, .max_new = max_new,
                               .batch_rows = 64, .parallel = 8 };
}

/* --- the reference's answers ------------------------------------------------ */
struct gold {
    size_t n_prompt, n;
    uint32_t prompt[256], id[256];
    float margin[256];
};

static size_t ids_of(const dk_json *a, uint32_t *out)
{
    for (size_t i = 0; i < dk_json_len(a); i++)
        out[i] = (uint32_t)dk_json_int(dk_json_at(a, i), -1);
    return dk_json_len(a);
}

static size_t read_gold(struct gold *g, const char *file, size_t most)
{
    size_t n, rows = 0;
    char *text = gold_read(file, 1, &n);
    dk_err err = {0};

    for (char *line = strtok(text, "\n"); line && rows < most; line = strtok(NULL, "\n")) {
        struct gold *r = &g[rows++];
        dk_json *j = NULL;

        if (dk_json_parse(&j, line, strlen(line), file, &err) < 0)
            exit(tap(false, "%s", err.msg));
        r->n_prompt = ids_of(dk_json_get(j, "prompt_ids"), r->prompt);
        r->n = ids_of(dk_json_get(j, "ids"), r->id);
        for (size_t i = 0; i < r->n; i++)
            r->margin[i] = (float)dk_json_num(dk_json_at(dk_json_get(j, "margins"), i), 0);
        dk_json_free(&j);
    }
    dk_free(text);
    return rows;
}

/* Rows come in twos: base and cake_bake of the same prompt. */
static void reference(const char *file, double penalty)
{
    enum { MOST = 16 };
    struct gold *gold = dk_xcalloc(MOST, sizeof *gold);
    const size_t rows = read_gold(gold, file, MOST), n = rows / 2;
    char *ft = below_root("data/organisms/cake_bake/adapter");
    const char *model = getenv("DK_TEST_MODEL");
    dk_prompt prompt[MOST];
    dk_generate_plan plan = greedy(gold[0].n);
    dk_answers a = {0};
    dk_pair p = {0};
    dk_err err = {0};

    plan.sampling.repetition_penalty = penalty;
    open_pair(&p, model ? model : "DK_TEST_MODEL is not set", ft, DK_F32);
    for (size_t i = 0; i < n; i++)
        prompt[i] = (dk_prompt){ gold[2 * i].prompt, gold[2 * i].n_prompt };
    tap(dk_generate_run(&a, &p, prompt, n, &plan, &err) == 0 && n > 0, "%zu prompts in %zu lanes %s", n, p.n_lanes, err.msg);
    for (size_t i = 0; i < rows && i < a.n; i++) {
        size_t same = 0;

        while (same < gold[i].n && same < a.answer[i].n && a.answer[i].id[same] == gold[i].id[same])
            same++;
        tap(same == gold[i].n || gold[i].margin[same] < 1e-3f, "prompt %zu, lane %s, penalty %g: the reference's %zu greedy ids (%zu equal)",
            i / 2 + 1, p.lane[i % 2].name, penalty, gold[i].n, same);
    }
    tap_note("%.0f tokens/s, %.2f s for the prompts", (double)a.n_tokens / a.decode_seconds, a.prompt_seconds);
    dk_answers_free(&a);
    dk_pair_close(&p);
    dk_free(gold);
    dk_free(ft);
}

/* --- the cache changes no bit ------------------------------------------------ */
/* Logits of every position of n ids, fed at once or in pieces of given sizes. */
static float *logits_of(const dk_pair *p, const uint32_t *ids, size_t n, const size_t *pieces)
{
    const size_t v = p->model->config.vocab;
    float *out = dk_xcalloc(p->n_lanes * n * v, sizeof *out);
    float *step = dk_xcalloc(dk_padded_rows(p->n_lanes * n) * v, sizeof *step);
    dk_runner *r = NULL;
    dk_kv *kv = NULL;
    dk_err err = {0};
    int rc = dk_pair_runner(&r, p, n, &err);

    if (rc == 0 && pieces)
        rc = dk_kv_new(&kv, &p->model->config, p->n_lanes, 3, n, &err);
    if (kv)
        dk_kv_map(kv, (const size_t[]){ 2 }, 1);
    for (size_t at = 0, i = 0, k; rc == 0 && at < n; at += k, i++) {
        dk_pass pass = { .last_layer = -1, .kv = kv };

        k = pieces ? pieces[i] : n;
        pass.batch = (dk_batch){ 1, (const size_t[]){ 0, k }, ids + at };
        rc = dk_runner_forward(r, &pass, &err);
        if (rc == 0)
            rc = dk_runner_logits(r, NULL, 0, step, &err);
        for (size_t l = 0; l < p->n_lanes; l++)
            memcpy(out + (l * n + at) * v, step + l * k * v, k * v * sizeof *out);
    }
    if (rc < 0)
        tap(false, "%s", err.msg);
    dk_kv_free(&kv);
    dk_runner_free(&r);
    dk_free(step);
    return out;
}

static void cache(const dk_pair *p, const char *what)
{
    const uint32_t ids[12] = { 37, 68, 415, 265, 271, 68, 415, 3, 7, 511, 100, 12 };
    const size_t ones[12] = { 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1 }, mixed[4] = { 5, 1, 4, 2 };
    const size_t n = p->n_lanes * 12 * p->model->config.vocab;
    float *whole = logits_of(p, ids, 12, NULL), *a = logits_of(p, ids, 12, ones), *b = logits_of(p, ids, 12, mixed);
    double worst = 0;

    for (size_t i = 0; i < n; i++) {
        worst = fmax(worst, fabs((double)a[i] - whole[i]));
        worst = fmax(worst, fabs((double)b[i] - whole[i]));
    }
    tap(worst <= 1e-5, "%s: logits with the cache within %.1e of those of the whole text", what, worst);
    tap(memcmp(a, whole, n * sizeof *a) == 0 && memcmp(b, whole, n * sizeof *b) == 0, "... and equal bit for bit");
    dk_free(whole);
    dk_free(a);
    dk_free(b);
}

/* Lanes may read different ids: each as if all lanes had read its own. */
static void lane_ids(const dk_pair *p)
{
    enum { N = 5 };
    const uint32_t a[N] = { 1, 5, 9, 200, 33 }, b[N] = { 411, 7, 7, 8, 2 };
    const uint32_t *const own[2] = { a, b };
    const size_t off[] = { 0, N }, v = p->model->config.vocab;
    float *wa = logits_of(p, a, N, NULL), *wb = logits_of(p, b, N, NULL);
    float *out = dk_xcalloc(dk_padded_rows(2 * N) * v, sizeof *out);
    dk_pass pass = { .batch = { .n_seq = 1, .offset = off }, .lane_ids = own, .last_layer = -1 };
    dk_runner *r = NULL;
    dk_err err = {0};

    tap(dk_runner_new(&r, p->model, p->lane, 2, N, &err) == 0 && dk_runner_forward(r, &pass, &err) == 0 &&
        dk_runner_logits(r, NULL, 0, out, &err) == 0, "ids of their own for each lane %s", err.msg);
    tap(memcmp(out, wa, N * v * sizeof *out) == 0 &&
        memcmp(out + N * v, wb + N * v, N * v * sizeof *out) == 0, "... give each lane's own logits");
    dk_runner_free(&r);
    dk_free(out);
    dk_free(wa);
    dk_free(wb);
}

/* --- the batch changes nothing ------------------------------------------------ */
enum { PROMPTS = 7, SAMPLES = 3, NEW = 24 };

static uint32_t prompt_ids[PROMPTS][40];
static dk_prompt prompts[PROMPTS];

static void make_prompts(void)
{
    for (size_t i = 0; i < PROMPTS; i++) {
        prompts[i] = (dk_prompt){ prompt_ids[i], i == 4 ? 1 : 3 + 6 * i };
        for (size_t j = 0; j < prompts[i].n; j++)
            prompt_ids[i][j] = (uint32_t)((i * 131 + j * 37 + 11) % 500);
    }
}

static bool same_answers(const dk_answers *a, size_t at, const dk_answers *b, size_t from, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        const dk_answer *x = &a->answer[at + i], *y = &b->answer[from + i];

        if (x->n != y->n || x->finish != y->finish || memcmp(x->id, y->id, x->n * sizeof *x->id) != 0 ||
            x->text.n != y->text.n || (x->text.n && memcmp(x->text.s, y->text.s, x->text.n) != 0))
            return false;
    }
    return true;
}

static dk_answers answers(const dk_pair *p, const dk_prompt *pr, size_t n, const dk_generate_plan *plan)
{
    dk_answers a = {0};
    dk_err err = {0};

    if (dk_generate_run(&a, p, pr, n, plan, &err) < 0)
        tap(false, "%s", err.msg);
    return a;
}

static void batches(const dk_pair *p, const dk_tokenizer *tok, double temperature)
{
    static const uint32_t end[] = { 2, 17, 90, 130, 300, 401, 18, 19, 20, 21 };
    dk_generate_plan plan = greedy(NEW);
    const size_t per = SAMPLES * p->n_lanes;
    dk_answers all, other;
    size_t ended = 0, differ = 0;
    bool same = true;

    plan.sampling.temperature = temperature;
    plan.samples = SAMPLES;
    plan.tokenizer = tok;
    plan.end = end;
    plan.n_end = 10;
    all = answers(p, prompts, PROMPTS, &plan);
    for (size_t i = 0; i < all.n; i++) {
        ended += all.answer[i].finish == DK_FINISH_EOS;
        differ += i % p->n_lanes && !same_answers(&all, i, &all, i - 1, 1);
    }
    tap(all.n == PROMPTS * per && (temperature == 0 || (ended > 0 && ended < all.n && differ > 0)),
        "temperature %g: %zu answers, %zu ended early, %zu differ between lanes", temperature, all.n, ended, differ);
    for (size_t parallel = 1; parallel <= 30; parallel += 1 + parallel / 2) {
        plan.parallel = parallel;
        plan.batch_rows = 1 + 9 * parallel;
        dk_threads_set(parallel % 2 ? 1 : 2);
        other = answers(p, prompts, PROMPTS, &plan);
        same = same && other.n == all.n && same_answers(&all, 0, &other, 0, all.n);
        dk_answers_free(&other);
    }
    dk_threads_set(2);
    tap(same, "... the same one by one or together, in pieces, with 1 or 2 threads");
    plan.samples = 1;
    other = answers(p, prompts, 1, &plan);
    tap(same_answers(&all, 0, &other, 0, p->n_lanes), "... the first prompt's first sample alone");
    plan.seed++;
    dk_answers_free(&other);
    other = answers(p, prompts, 1, &plan);
    tap((temperature == 0) == same_answers(&all, 0, &other, 0, p->n_lanes), "... another seed: %s",
        temperature == 0 ? "the same" : "another answer");
    dk_answers_free(&other);
    dk_answers_free(&all);
}

/* One lane: the sequence by itself, without the other lane to wait for. */
static void one_lane(const dk_pair *p, const char *base, const char *ft)
{
    dk_pair q = {0};
    dk_generate_plan plan = greedy(NEW);
    char *only = "ft";
    const dk_pair_spec spec = { .base = base, .ft = ft, .lanes = &only, .n_wanted = 1, .dtype = "f32", .with_head = 1 };
    dk_answers two, one;
    dk_err err = {0};
    bool same = true;

    plan.sampling.temperature = 0.8;
    tap(dk_pair_open(&q, &spec, &err) == 0, "the second lane alone %s", err.msg);
    two = answers(p, prompts, PROMPTS, &plan);
    one = answers(&q, prompts, PROMPTS, &plan);
    for (size_t i = 0; i < PROMPTS; i++)
        same = same && same_answers(&two, 2 * i + 1, &one, i, 1);
    tap(same, "... writes what it writes beside the base");
    dk_answers_free(&one);
    dk_answers_free(&two);
    dk_pair_close(&q);
}

/* --- ends ---------------------------------------------------------------------- */
static void stops(const dk_pair *p, const dk_tokenizer *tok)
{
    dk_generate_plan plan = greedy(NEW);
    dk_answers free_run, a;
    char *word;
    const dk_answer *x;
    size_t at = 0;

    plan.tokenizer = tok;
    plan.sampling.temperature = 1;
    free_run = answers(p, prompts, 1, &plan);
    x = &free_run.answer[0];
    tap(x->finish == DK_FINISH_LENGTH && x->n == NEW && x->text.n > 12, "an answer of %zu tokens: '%.30s...'", x->n, x->text.s);
    for (at = 6; at + 4 < x->text.n; at++) {        /* four plain bytes: a stop text */
        size_t k = 0;

        while (k < 4 && (unsigned char)x->text.s[at + k] < 0x80)
            k++;
        if (k == 4)
            break;
    }
    word = dk_xstrndup(x->text.s + at, 4);
    plan.stop = (const char *const[]){ "never, ever", word };
    plan.n_stop = 2;
    a = answers(p, prompts, 1, &plan);
    tap(a.answer[0].finish == DK_FINISH_STOP && a.answer[0].n < NEW && a.answer[0].text.n <= at &&
        memcmp(a.answer[0].text.s, x->text.s, a.answer[0].text.n) == 0 &&
        memcmp(a.answer[0].id, x->id, a.answer[0].n * sizeof *x->id) == 0,
        "stop text '%s': cut before it, after %zu tokens", word, a.answer[0].n);
    dk_answers_free(&a);
    plan.n_stop = 0;
    plan.end = &x->id[5];
    plan.n_end = 1;
    a = answers(p, prompts, 1, &plan);
    tap(a.answer[0].finish == DK_FINISH_EOS && a.answer[0].n >= 1 && a.answer[0].n <= 6 &&
        a.answer[0].id[a.answer[0].n - 1] == x->id[5], "an end token is the last id");
    dk_answers_free(&a);
    plan.n_end = 0;
    plan.max_new = 1;
    plan.parallel = 2;
    plan.samples = 5;
    a = answers(p, prompts, PROMPTS, &plan);
    at = 0;
    for (size_t i = 0; i < a.n; i++)
        at += a.answer[i].n == 1 && a.answer[i].finish == DK_FINISH_LENGTH;
    tap(at == a.n && a.n == 2 * 5 * PROMPTS && a.n_steps == 0, "one token each: no decode step");
    dk_answers_free(&a);
    dk_answers_free(&free_run);
    dk_free(word);
}

static void limits(const dk_pair *p)
{
    const size_t context = p->model->config.max_positions;
    uint32_t *ids = dk_xcalloc(context + 1, sizeof *ids);
    dk_generate_plan plan = greedy(100);
    dk_answers a;
    dk_err err = {0};

    a = answers(p, &(dk_prompt){ ids, context - 3 }, 1, &plan);
    tap(a.n == 2 && a.answer[0].n == 3 && a.answer[1].finish == DK_FINISH_LENGTH, "three tokens of context left: three are written");
    dk_answers_free(&a);
    tap(dk_generate_run(&a, p, &(dk_prompt){ ids, context }, 1, &plan, &err) == DK_EDATA && a.n == 0, "%s", err.msg);
    err = (dk_err){0};
    tap(dk_generate_run(&a, p, &(dk_prompt){ ids, 0 }, 1, &plan, &err) == DK_EDATA, "%s", err.msg);
    err = (dk_err){0};
    tap(dk_generate_run(&a, p, NULL, 0, &plan, &err) == DK_EDATA, "%s", err.msg);
    ids[0] = (uint32_t)p->model->config.vocab;
    err = (dk_err){0};
    tap(dk_generate_run(&a, p, &(dk_prompt){ ids, 4 }, 1, &plan, &err) == DK_EDATA && a.n == 0, "%s", err.msg);
    dk_free(ids);
}

static void miniature(void)
{
    char *base = below_root("tests/golden/mini/mini.gguf"), *ft = below_root("tests/golden/mini/lora-pattern");
    dk_pair p = {0};
    dk_tokenizer *tok = NULL;
    dk_err err = {0};

    open_pair(&p, base, ft, DK_BF16);
    cache(&p, "bf16");
    p.diff = true;
    cache(&p, "bf16, differences");
    dk_pair_close(&p);
    open_pair(&p, base, ft, DK_F32);
    p.diff = true;
    cache(&p, "f32, differences");
    p.diff = false;
    cache(&p, "f32");
    lane_ids(&p);
    make_prompts();
    tap(dk_tokenizer_open(&tok, base, &err) == 0, "the miniature's tokenizer %s", err.msg);
    batches(&p, tok, 0);
    batches(&p, tok, 1.2);
    one_lane(&p, base, ft);
    stops(&p, tok);
    limits(&p);
    dk_tokenizer_close(&tok);
    dk_pair_close(&p);
    dk_free(base);
    dk_free(ft);
}

/* The sanitizers see the same code in the miniature, in a fraction of the time. */
int main(void)
{
    dk_threads_set(2);
    miniature();
#ifdef __SANITIZE_ADDRESS__
    (void)reference;
    tap_skip("the reference's greedy answers", "under sanitizers only the miniature");
#else
    reference("greedy.jsonl", 1);
    reference("greedy_penalty.jsonl", 1.3);
#endif
    return tap_end();
}
