/* The decode loop. */
#include "method/generate.h"

#include <stdbool.h>
#include <string.h>

#include "backend/product.h"
#include "base/log.h"
#include "base/rng.h"
#include "base/thread.h"
#include "model/budget.h"
#include "text/utf8.h"

enum { NONE = -1 };
static const size_t cache_limit = (size_t)1 << 30;      /* bytes of keys and values */

/* One place in the cache.  Its prompt stays there after the sequence ended,
 * for another sample of the same prompt to copy. */
struct slot {
    size_t prompt, sample;
    bool cached;                /* the prompt's keys and values are there */
    size_t live;                /* lanes that still write; 0: free */
    size_t fed;                 /* prompt tokens that went through the model */
};

struct gen {
    const dk_generate_plan *plan;
    const dk_pair *pair;
    const dk_prompt *prompt;
    size_t n_prompts, n_seq, next_seq, n_lanes, vocab, n_slots, batch, max_rows;
    dk_answer *answer;
    dk_runner *runner;
    dk_kv *kv;
    float *logits;              /* [lane][row][vocab] */
    dk_sampler **sampler;       /* [thread] */
    struct slot *slot;
    bool *ended;                /* [slot][lane] */
    uint32_t *next;             /* [slot][lane]: last token, not yet fed */
    /* of a pass: */
    size_t *map, *offset, *last;    /* slot and first row of each sequence; rows for the head */
    uint32_t *ids;                  /* [lane][row] */
    uint32_t *drawn;                /* [row][lane] */
    dk_progress bar;
    dk_answers *out;
};

const char *dk_finish_name(dk_finish f)
{
    return f == DK_FINISH_EOS ? "eos" : f == DK_FINISH_STOP ? "stop" : "length";
}

static dk_answer *answer_of(const struct gen *g, const struct slot *s, size_t lane)
{
    return &g->answer[(s->prompt * g->plan->samples + s->sample) * g->n_lanes + lane];
}

static size_t most_new(const struct gen *g, size_t prompt)
{
    const size_t room = g->pair->model->config.max_positions - g->prompt[prompt].n;

    return room < g->plan->max_new ? room : g->plan->max_new;
}

/* --- one more token of an answer ------------------------------------------ */
static bool is_end(const dk_generate_plan *p, uint32_t id)
{
    for (size_t i = 0; i < p->n_end; i++)
        if (p->end[i] == id)
            return true;
    return false;
}

/* Bytes of a token where it stands; of the first, as a text of its own: some
 * tokenizers begin words with a space that their texts do not begin with. */
static void add_bytes(const dk_generate_plan *p, dk_answer *a, uint32_t id, dk_span bytes)
{
    if (!a->begun && bytes.s[0] == ' ' && dk_utf8_valid(bytes.s, bytes.n) == bytes.n)
        dk_tokenizer_decode(p->tokenizer, &id, 1, true, &a->text);
    else
        dk_buf_add(&a->text, bytes.s, bytes.n);
    a->begun = true;
}

/* Appends the text of id and looks for stop texts that it completes: the
 * answer is cut at the first of them. */
static bool add_text(const dk_generate_plan *p, dk_answer *a, uint32_t id)
{
    const size_t before = a->text.n;
    const dk_span bytes = dk_tokenizer_bytes(p->tokenizer, id);
    size_t cut;

    if (bytes.n == 0 || dk_tokenizer_is_special(p->tokenizer, id))
        return false;
    add_bytes(p, a, id, bytes);
    cut = a->text.n;
    for (size_t i = 0; i < p->n_stop; i++) {
        const size_t len = strlen(p->stop[i]), from = before >= len ? before - len + 1 : 0;
        const char *hit = memmem(a->text.s + from, a->text.n - from, p->stop[i], len);

        if (hit && (size_t)(hit - a->text.s) < cut)
            cut = (size_t)(hit - a->text.s);
    }
    if (cut == a->text.n)
        return false;
    a->text.n = cut;
    return true;
}

/* Takes id into the answer of a slot's lane; ends it where it is at its end. */
static void take(struct gen *g, size_t at, size_t lane, uint32_t id)
{
    struct slot *s = &g->slot[at];
    dk_answer *a = answer_of(g, s, lane);
    bool ends = true;

    a->id[a->n++] = id;
    g->next[at * g->n_lanes + lane] = id;
    g->out->n_tokens++;
    if (is_end(g->plan, id))
        a->finish = DK_FINISH_EOS;
    else if (g->plan->tokenizer && add_text(g->plan, a, id))
        a->finish = DK_FINISH_STOP;
    else
        ends = a->n == most_new(g, s->prompt);
    if (!ends)
        return;
    a->done = true;
    g->ended[at * g->n_lanes + lane] = true;
    s->live--;
    if (!g->plan->watch)
        dk_progress_add(&g->bar, 1);
}

/* --- choosing -------------------------------------------------------------- */
static uint64_t draw_of(const struct gen *g, const struct slot *s, size_t step)
{
    return dk_ctr(g->plan->seed, DK_STREAM_SAMPLING, (uint64_t)s->sample << 32 | s->prompt, step);
}

static int not_finite(const struct gen *g, size_t slot, size_t lane, dk_err *err)
{
    const struct slot *s = &g->slot[slot];

    return dk_fail(err, DK_ENUM, "lane '%s': logits are NaN or infinite at prompt %zu, token %zu of the answer",
                   g->pair->lane[lane].name, s->prompt + 1, answer_of(g, s, lane)->n + 1);
}

/* A token for each lane of the n sequences whose last rows are in the logits. */
static int choose(struct gen *g, const size_t *slots, size_t n, dk_err *err)
{
    const size_t total = n * g->n_lanes;
    size_t bad = total;

    #pragma omp parallel for schedule(dynamic) reduction(min : bad)
    for (size_t j = 0; j < total; j++) {
        const size_t i = j / g->n_lanes, lane = j % g->n_lanes, at = slots[i];
        float *row = g->logits + (lane * n + i) * g->vocab;
        const struct slot *s = &g->slot[at];
        const dk_answer *a = answer_of(g, s, lane);
        const dk_sampling *how = &g->plan->sampling;
        dk_sampler *own = g->sampler[dk_thread_id()];

        if (g->ended[at * g->n_lanes + lane])
            continue;
        if (how->repetition_penalty > 0 && how->repetition_penalty != 1)
            dk_sampler_penalise(own, row, how->repetition_penalty, g->prompt[s->prompt].id,
                                g->prompt[s->prompt].n, a->id, a->n);
        if (dk_sampler_next(own, how, row, dk_uniform(draw_of(g, s, a->n)), &g->drawn[j]) < 0)
            bad = j < bad ? j : bad;
    }
    if (bad < total)
        return not_finite(g, slots[bad / g->n_lanes], bad % g->n_lanes, err);
    for (size_t j = 0; j < total; j++)
        if (!g->ended[slots[j / g->n_lanes] * g->n_lanes + j % g->n_lanes])
            take(g, slots[j / g->n_lanes], j % g->n_lanes, g->drawn[j]);
    return 0;
}

/* --- prompts ---------------------------------------------------------------- */
/* Fills one pass with pieces of the prompts of slots[*first ..]; done: those
 * whose prompt it completes, with their last rows in g->last. */
static size_t fill_pass(struct gen *g, const size_t *slots, size_t n, size_t *first, size_t *done)
{
    size_t rows = 0, n_seq = 0;

    *done = 0;
    for (size_t i = *first; i < n && rows < g->batch; i++) {
        struct slot *s = &g->slot[slots[i]];
        const dk_prompt *p = &g->prompt[s->prompt];
        const size_t room = g->batch - rows, left = p->n - s->fed, k = left < room ? left : room;

        memcpy(g->ids + rows, p->id + s->fed, k * sizeof *g->ids);
        g->map[n_seq] = slots[i];
        g->offset[n_seq++] = rows;
        rows += k;
        s->fed += k;
        if (s->fed == p->n)
            g->last[(*done)++] = rows - 1;
    }
    g->offset[n_seq] = rows;
    return n_seq;
}

/* The prompts of n slots through the model, and the first token of each. */
static int read_prompts(struct gen *g, const size_t *slots, size_t n, dk_err *err)
{
    int rc = 0;

    for (size_t first = 0, done; rc == 0 && first < n; first += done) {
        const size_t n_seq = fill_pass(g, slots, n, &first, &done);
        const dk_pass pass = { .batch = { n_seq, g->offset, g->ids }, .last_layer = -1, .kv = g->kv };

        dk_kv_map(g->kv, g->map, n_seq);
        rc = dk_runner_forward(g->runner, &pass, err);
        if (rc == 0 && done)
            rc = dk_runner_logits(g->runner, g->last, done, g->logits, err);
        if (rc == 0 && done)
            rc = choose(g, slots + first, done, err);
        for (size_t i = first; i < first + done; i++)
            g->slot[slots[i]].cached = true;
    }
    return rc;
}

/* A slot that holds the keys and values of the prompt, or NONE. */
static long holder(const struct gen *g, size_t prompt)
{
    for (size_t i = 0; i < g->n_slots; i++)
        if (g->slot[i].cached && g->slot[i].prompt == prompt)
            return (long)i;
    return NONE;
}

/* Puts the next sequence into a free slot. */
static void seat(struct gen *g, size_t at)
{
    struct slot *s = &g->slot[at];
    const size_t prompt = g->next_seq / g->plan->samples;

    *s = (struct slot){ .prompt = prompt, .sample = g->next_seq % g->plan->samples,
                        .cached = s->cached && s->prompt == prompt, .live = g->n_lanes };
    for (size_t l = 0; l < g->n_lanes; l++)
        g->ended[at * g->n_lanes + l] = false;
    g->next_seq++;
}

/* Begins the prompts of n slots.  Where one is cached, only its last token is
 * left to feed, for the logits. */
static int begin(struct gen *g, const size_t *slots, size_t n, dk_err *err)
{
    for (size_t i = 0; i < n; i++) {
        struct slot *s = &g->slot[slots[i]];
        const long from = holder(g, s->prompt);

        s->fed = from == NONE ? 0 : g->prompt[s->prompt].n - 1;
        dk_kv_copy(g->kv, from == NONE ? slots[i] : (size_t)from, slots[i], s->fed);
    }
    return read_prompts(g, slots, n, err);
}

/* Fills the free slots.  Further samples of a prompt follow when the first has
 * been read: then they are copies. */
static int admit(struct gen *g, dk_err *err)
{
    size_t *lead = dk_xcalloc(g->n_slots, sizeof *lead), *follow = dk_xcalloc(g->n_slots, sizeof *follow);
    int rc = 0;

    for (size_t n = 1, m; rc == 0 && n > 0;) {
        n = m = 0;
        for (size_t i = 0; i < g->n_slots && g->next_seq < g->n_seq; i++) {
            if (g->slot[i].live)
                continue;
            seat(g, i);
            if (n && g->slot[lead[n - 1]].prompt == g->slot[i].prompt)
                follow[m++] = i;
            else
                lead[n++] = i;
        }
        rc = begin(g, lead, n, err);
        if (rc == 0)
            rc = begin(g, follow, m, err);
    }
    dk_free(lead);
    dk_free(follow);
    return rc;
}

/* --- decoding --------------------------------------------------------------- */
/* The last token of every lane through the model, and the next one.  A lane
 * that has ended repeats its last token into its own cache, which nobody reads. */
static int step(struct gen *g, dk_err *err)
{
    const uint32_t *lane_ids[DK_MAX_LANES];
    dk_pass pass = { .lane_ids = lane_ids, .last_layer = -1, .kv = g->kv };
    size_t n = 0;
    int rc;

    for (size_t i = 0; i < g->n_slots; i++)
        if (g->slot[i].live)
            g->map[n++] = i;
    for (size_t l = 0; l < g->n_lanes; l++) {
        lane_ids[l] = g->ids + l * n;
        for (size_t i = 0; i < n; i++)
            g->ids[l * n + i] = g->next[g->map[i] * g->n_lanes + l];
    }
    for (size_t i = 0; i <= n; i++)
        g->offset[i] = i;
    if (n == 0)
        return 0;
    pass.batch = (dk_batch){ .n_seq = n, .offset = g->offset };
    dk_kv_map(g->kv, g->map, n);
    rc = dk_runner_forward(g->runner, &pass, err);
    if (rc == 0)
        rc = dk_runner_logits(g->runner, NULL, 0, g->logits, err);
    if (rc == 0)
        rc = choose(g, g->map, n, err);
    g->out->n_steps++;
    return rc;
}

static bool any_live(const struct gen *g)
{
    for (size_t i = 0; i < g->n_slots; i++)
        if (g->slot[i].live)
            return true;
    return false;
}

static int loop(struct gen *g, dk_err *err)
{
    int rc = 0;

    if (!g->plan->watch)        /* or texts and bar would share the terminal */
        dk_progress_begin(&g->bar, "generate", "answers", (double)(g->n_seq * g->n_lanes));
    while (rc == 0 && (g->next_seq < g->n_seq || any_live(g))) {
        double t = dk_now();

        if (g->next_seq < g->n_seq)
            rc = admit(g, err);
        g->out->prompt_seconds += dk_now() - t;
        t = dk_now();
        if (rc == 0)
            rc = step(g, err);
        g->out->decode_seconds += dk_now() - t;
        if (rc == 0 && g->plan->watch)
            g->plan->watch(g->plan->user, g->out);
    }
    if (!g->plan->watch)
        dk_progress_end(&g->bar);
    return rc;
}

/* --- setting up ------------------------------------------------------------- */
static int check(const struct gen *g, size_t *longest, dk_err *err)
{
    const size_t context = g->pair->model->config.max_positions;

    *longest = 0;
    for (size_t i = 0; i < g->n_prompts; i++) {
        const size_t n = g->prompt[i].n;

        if (n == 0)
            return dk_fail(err, DK_EDATA, "prompt %zu is empty: there is nothing to continue", i + 1);
        if (n >= context)
            return dk_fail(err, DK_EDATA, "prompt %zu has %zu tokens, and the model's context holds %zu with the answer",
                           i + 1, n, context);
        *longest = n > *longest ? n : *longest;
    }
    return 0;
}

/* Sequences at once: as wished, but no more than there are, and no more than
 * the cache may hold. */
static size_t slots_for(const struct gen *g, size_t capacity)
{
    const dk_model_config *c = &g->pair->model->config;
    const size_t each = c->n_layers * g->n_lanes * c->n_kv_heads * c->head_dim * capacity * 2 * sizeof(float);
    const double left = g->pair->free_bytes / 2;        /* the other half is for the rows of a pass */
    const size_t limit = left < (double)cache_limit ? (size_t)left : cache_limit;
    size_t n = g->plan->parallel < g->n_seq ? g->plan->parallel : g->n_seq;

    return n * each <= limit ? n : limit / each > 1 ? limit / each : 1;
}

static int room(struct gen *g, size_t longest, dk_err *err)
{
    const size_t context = g->pair->model->config.max_positions;
    const size_t capacity = g->plan->max_new < context - longest ? longest + g->plan->max_new : context;
    const size_t threads = (size_t)dk_threads();
    size_t n = 0, all = 0;
    int rc;

    for (size_t i = 0; i < g->n_prompts; i++)
        all += g->prompt[i].n;
    g->n_slots = g->out->parallel = slots_for(g, capacity);
    g->batch = dk_pair_wish(g->plan->batch_rows);
    g->batch = g->batch < g->pair->most_rows / 2 ? g->batch : g->pair->most_rows / 2;
    g->batch = g->batch < all ? g->batch : all;     /* room that no prompt fills would only be cleared */
    g->max_rows = g->batch > g->n_slots ? g->batch : g->n_slots;
    g->slot = dk_xcalloc(g->n_slots, sizeof *g->slot);
    g->map = dk_xcalloc(g->n_slots, sizeof *g->map);
    g->last = dk_xcalloc(g->n_slots, sizeof *g->last);
    g->offset = dk_xcalloc(g->n_slots + 1, sizeof *g->offset);
    g->ended = dk_xcalloc(g->n_slots * g->n_lanes, sizeof *g->ended);
    g->next = dk_xcalloc(g->n_slots * g->n_lanes, sizeof *g->next);
    g->drawn = dk_xcalloc(g->n_slots * g->n_lanes, sizeof *g->drawn);
    g->sampler = dk_xcalloc(threads, sizeof(dk_sampler *));
    rc = dk_alloc(&g->ids, g->max_rows * g->n_lanes, sizeof *g->ids, "a batch", err);
    if (rc == 0)
        rc = dk_runner_new(&g->runner, g->pair->model, g->pair->lane, g->n_lanes, g->max_rows, err);
    if (rc == 0)
        rc = dk_kv_new(&g->kv, &g->pair->model->config, g->n_lanes, g->n_slots, capacity, err);
    if (rc == 0 && !dk_mul_size(&n, dk_padded_rows(g->n_slots * g->n_lanes), g->vocab))
        rc = dk_fail(err, DK_ENOMEM, "the logits of a step do not fit in memory");
    if (rc == 0)
        rc = dk_alloc(&g->logits, n, sizeof *g->logits, "the logits of a step", err);
    for (size_t i = 0; rc == 0 && i < threads; i++)
        rc = dk_sampler_new(&g->sampler[i], g->vocab, err);
    return rc;
}

static int answers_room(struct gen *g, dk_err *err)
{
    dk_answers *a = g->out;
    size_t per;
    int rc;

    if (!dk_mul_size(&per, g->plan->samples, g->n_lanes) || !dk_mul_size(&a->n, g->n_prompts, per))
        return dk_fail(err, DK_ENOMEM, "the answers do not fit in memory");
    rc = dk_alloc(&a->answer, a->n, sizeof *a->answer, "answers", err);
    if (rc < 0)
        a->n = 0;
    for (size_t i = 0; rc == 0 && i < a->n; i++)
        rc = dk_alloc(&a->answer[i].id, most_new(g, i / per), sizeof(uint32_t), "answers", err);
    g->answer = a->answer;
    g->n_seq = g->n_prompts * g->plan->samples;
    return rc;
}

/* A character may come in several tokens, so texts are mended when whole. */
static void clean_texts(dk_answers *a)
{
    for (size_t i = 0; i < a->n; i++) {
        dk_buf raw = a->answer[i].text;

        a->answer[i].text = (dk_buf){0};
        dk_utf8_clean(&a->answer[i].text, raw.s, raw.n);
        dk_buf_free(&raw);
    }
}

static void release(struct gen *g)
{
    for (size_t i = 0; g->sampler && i < (size_t)dk_threads(); i++)
        dk_sampler_free(&g->sampler[i]);
    dk_free(g->sampler);
    dk_runner_free(&g->runner);
    dk_kv_free(&g->kv);
    dk_free(g->logits);
    dk_free(g->slot);
    dk_free(g->map);
    dk_free(g->last);
    dk_free(g->offset);
    dk_free(g->ended);
    dk_free(g->next);
    dk_free(g->drawn);
    dk_free(g->ids);
}

int dk_generate_run(dk_answers *out, const dk_pair *pair, const dk_prompt *prompt, size_t n_prompts,
                    const dk_generate_plan *plan, dk_err *err)
{
    struct gen g = { .plan = plan, .pair = pair, .prompt = prompt, .n_prompts = n_prompts,
                     .n_lanes = pair->n_lanes, .vocab = pair->model->config.vocab, .out = out };
    size_t longest = 0;
    int rc;

    DK_ASSERT(plan->samples > 0 && plan->max_new > 0 && plan->parallel > 0);
    *out = (dk_answers){0};
    rc = n_prompts ? check(&g, &longest, err) : dk_fail(err, DK_EDATA, "there are no prompts");
    if (rc == 0)
        rc = answers_room(&g, err);
    if (rc == 0)
        rc = room(&g, longest, err);
    if (rc == 0)
        rc = loop(&g, err);
    release(&g);
    clean_texts(out);
    if (rc < 0)
        dk_answers_free(out);
    return rc;
}

void dk_answers_free(dk_answers *a)
{
    for (size_t i = 0; i < a->n; i++) {
        dk_free(a->answer[i].id);
        dk_buf_free(&a->answer[i].text);
    }
    dk_free(a->answer);
    *a = (dk_answers){0};
}
