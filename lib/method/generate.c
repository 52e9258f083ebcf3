/* The decode loop. */
#include "method/generatework.h"

#include <string.h>

#include "backend/product.h"
#include "model/budget.h"
#include "text/utf8.h"

enum { NONE = -1 };
static const size_t cache_limit = (size_t)1 << 30;      /* bytes of keys and values */

const char *dk_finish_name(dk_finish f)
{
    static const char *const name[] = { "length", "eos", "stop", "loop" };

    return name[f];
}

/* NULL: as it is. */
static const dk_steer *steer_of(const dk_gen *g, const dk_gen_slot *s)
{
    const size_t way = s->unit % g->n_ways;

    return way ? &g->plan->steer[way - 1] : NULL;
}

/* --- steering ---------------------------------------------------------------- */
/* The edits of a pass: of n sequences in g->map, whose rows begin at g->offset. */
static void add_edits(dk_gen *g, dk_pass *pass, size_t n, int at)
{
    pass->edits = g->edit;
    pass->n_edits = 0;
    for (size_t i = 0; g->plan->n_steer && i < n; i++) {
        const dk_steer *s = steer_of(g, &g->slot[g->map[i]]);

        for (size_t l = 0; s && (s->at & at) && l < g->n_lanes; l++)
            g->edit[pass->n_edits++] = (dk_edit){ .layer = s->layer, .lane = l, .vector = s->vector, .strength = s->strength,
                                                  .row0 = g->offset[i], .n_rows = g->offset[i + 1] - g->offset[i] };
    }
}

/* --- prompts ---------------------------------------------------------------- */
/* Fills one pass with pieces of the prompts of slots[*first ..]; done: those
 * whose prompt it completes, with their last rows in g->last. */
static size_t fill_pass(dk_gen *g, const size_t *slots, size_t n, size_t *first, size_t *done)
{
    size_t rows = 0, n_seq = 0;

    *done = 0;
    for (size_t i = *first; i < n && rows < g->batch; i++) {
        dk_gen_slot *s = &g->slot[slots[i]];
        const dk_prompt *p = &g->prompt[dk_gen_prompt(g, s)];
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
static int read_prompts(dk_gen *g, const size_t *slots, size_t n, dk_err *err)
{
    int rc = 0;

    for (size_t first = 0, done; rc == 0 && first < n; first += done) {
        const size_t n_seq = fill_pass(g, slots, n, &first, &done);
        dk_pass pass = { .batch = { n_seq, g->offset, g->ids }, .last_layer = -1, .kv = g->kv };

        add_edits(g, &pass, n_seq, DK_STEER_PROMPT);
        dk_kv_map(g->kv, g->map, n_seq);
        rc = dk_runner_forward(g->runner, &pass, err);
        if (rc == 0 && done)
            rc = dk_runner_carried(g->runner, g->last, done, g->logits, err);
        if (rc == 0 && done)
            rc = dk_gen_choose(g, slots + first, done, err);
        for (size_t i = first; i < first + done; i++)
            g->slot[slots[i]].cached = true;
    }
    return rc;
}

/* Whether two units have the same keys and values at their prompts. */
static bool akin(const dk_gen *g, size_t a, size_t b)
{
    return g->plan->amplify ? a / g->n_ways == b / g->n_ways : a == b;
}

/* A slot that holds the keys and values of the unit's prompt, or NONE. */
static long holder(const dk_gen *g, size_t unit)
{
    for (size_t i = 0; i < g->n_slots; i++)
        if (g->slot[i].cached && akin(g, g->slot[i].unit, unit))
            return (long)i;
    return NONE;
}

/* Puts the next sequence into a free slot. */
static void seat(dk_gen *g, size_t at)
{
    dk_gen_slot *s = &g->slot[at];
    const size_t unit = g->next_seq / g->plan->samples;

    *s = (dk_gen_slot){ .unit = unit, .sample = g->next_seq % g->plan->samples,
                        .cached = s->cached && akin(g, s->unit, unit), .live = g->n_writers };
    for (size_t w = 0; w < g->n_writers; w++)
        g->ended[at * g->n_writers + w] = false;
    g->next_seq++;
}

/* Begins the prompts of n slots.  Where one is cached, only its last token is
 * left to feed, for the logits. */
static int begin(dk_gen *g, const size_t *slots, size_t n, dk_err *err)
{
    for (size_t i = 0; i < n; i++) {
        dk_gen_slot *s = &g->slot[slots[i]];
        const long from = holder(g, s->unit);

        s->fed = from == NONE ? 0 : g->prompt[dk_gen_prompt(g, s)].n - 1;
        dk_kv_copy(g->kv, from == NONE ? slots[i] : (size_t)from, slots[i], s->fed);
    }
    return read_prompts(g, slots, n, err);
}

/* Fills the free slots.  Further samples of a prompt follow when the first has
 * been read: then they are copies. */
static int admit(dk_gen *g, dk_err *err)
{
    size_t *lead = dk_xcalloc(g->n_slots, sizeof *lead), *follow = dk_xcalloc(g->n_slots, sizeof *follow);
    int rc = 0;

    for (size_t n = 1, m; rc == 0 && n > 0;) {
        n = m = 0;
        for (size_t i = 0; i < g->n_slots && g->next_seq < g->n_seq; i++) {
            if (g->slot[i].live)
                continue;
            seat(g, i);
            if (n && akin(g, g->slot[lead[n - 1]].unit, g->slot[i].unit))
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
/* The last token of every writer through the model, and the next one.  A lane
 * that has ended repeats its last token into its own cache, which nobody reads. */
static int step(dk_gen *g, dk_err *err)
{
    const uint32_t *lane_ids[DK_MAX_LANES];
    dk_pass pass = { .lane_ids = g->plan->amplify ? NULL : lane_ids, .last_layer = -1, .kv = g->kv,
                     .steps = true };
    size_t n = 0;
    int rc;

    for (size_t i = 0; i < g->n_slots; i++)
        if (g->slot[i].live)
            g->map[n++] = i;
    for (size_t w = 0; w < g->n_writers; w++) {
        lane_ids[w] = g->ids + w * n;
        for (size_t i = 0; i < n; i++)
            g->ids[w * n + i] = g->next[g->map[i] * g->n_writers + w];
    }
    for (size_t i = 0; i <= n; i++)
        g->offset[i] = i;
    if (n == 0)
        return 0;
    pass.batch = (dk_batch){ .n_seq = n, .offset = g->offset, .ids = g->ids };
    add_edits(g, &pass, n, DK_STEER_GENERATED);
    dk_kv_map(g->kv, g->map, n);
    rc = dk_runner_forward(g->runner, &pass, err);
    if (rc == 0)
        rc = dk_runner_carried(g->runner, NULL, 0, g->logits, err);
    if (rc == 0)
        rc = dk_gen_choose(g, g->map, n, err);
    g->out->n_steps++;
    return rc;
}

static bool any_live(const dk_gen *g)
{
    for (size_t i = 0; i < g->n_slots; i++)
        if (g->slot[i].live)
            return true;
    return false;
}

static int loop(dk_gen *g, dk_err *err)
{
    int rc = 0;

    if (!g->plan->watch)        /* or texts and bar would share the terminal */
        dk_progress_begin(&g->bar, "generate", "answers", (double)(g->n_seq * g->n_writers));
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
static int check(const dk_gen *g, size_t *longest, dk_err *err)
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
static size_t slots_for(const dk_gen *g, size_t capacity)
{
    const dk_model_config *c = &g->pair->model->config;
    const size_t each = c->n_layers * g->n_lanes * c->n_kv_heads * c->head_dim * capacity * 2 * sizeof(float);
    const double left = g->pair->free_bytes / 2;        /* the other half is for the rows of a pass */
    const size_t limit = left < (double)cache_limit ? (size_t)left : cache_limit;
    size_t n = g->plan->parallel < g->n_seq ? g->plan->parallel : g->n_seq;

    return n * each <= limit ? n : limit / each > 1 ? limit / each : 1;
}

static int room(dk_gen *g, size_t longest, dk_err *err)
{
    const size_t context = g->pair->model->config.max_positions;
    const size_t capacity = g->plan->max_new < context - longest ? longest + g->plan->max_new : context;
    dk_dev *dev = dk_device();
    size_t n = 0, all = 0;
    int rc;

    for (size_t i = 0; i < g->n_prompts; i++)
        all += g->prompt[i].n;
    n = slots_for(g, capacity);
    g->n_slots = g->out->parallel = n < g->most_slots ? n : g->most_slots;
    g->batch = dk_pair_wish(g->plan->batch_rows);
    g->batch = g->batch < g->pair->most_rows / 2 ? g->batch : g->pair->most_rows / 2;
    g->batch = g->batch < all ? g->batch : all;     /* room that no prompt fills would only be cleared */
    g->batch = g->out->batch_rows = g->batch < g->most_batch ? g->batch : g->most_batch;
    g->max_rows = g->batch > g->n_slots ? g->batch : g->n_slots;
    g->slot = dk_xcalloc(g->n_slots, sizeof *g->slot);
    g->map = dk_xcalloc(g->n_slots, sizeof *g->map);
    g->last = dk_xcalloc(g->n_slots, sizeof *g->last);
    g->offset = dk_xcalloc(g->n_slots + 1, sizeof *g->offset);
    g->ended = dk_xcalloc(g->n_slots * g->n_writers, sizeof *g->ended);
    g->next = dk_xcalloc(g->n_slots * g->n_writers, sizeof *g->next);
    g->pick = dk_xcalloc(g->n_slots * g->n_writers, sizeof *g->pick);
    g->chooser = dk_xcalloc(g->n_slots * g->n_writers, sizeof *g->chooser);
    g->edit = dk_xcalloc(g->n_slots * g->n_lanes, sizeof *g->edit);
    rc = dk_alloc(&g->ids, g->max_rows * g->n_writers, sizeof *g->ids, "a batch", err);
    if (rc == 0)
        rc = dk_pair_runner(&g->runner, g->pair, g->max_rows, err);
    if (rc == 0)
        rc = dk_kv_new(&g->kv, &g->pair->model->config, g->n_lanes, g->n_slots, capacity, err);
    if (rc == 0 && (!dk_mul_size(&n, dev->ops->padded_rows(dev, g->n_slots * g->n_lanes), g->vocab) ||
                    !dk_mul_size(&n, n, sizeof *g->logits)))
        rc = dk_fail(err, DK_ENOMEM, "the logits of a step do not fit in memory");
    return rc == 0 ? dev->ops->alloc(dev, (void **)&g->logits, n, "the logits of a step", err) : rc;
}

static int answer_room(const dk_gen *g, dk_answer *a, size_t most, dk_err *err)
{
    int rc = dk_alloc(&a->id, most, sizeof *a->id, "answers", err);

    for (size_t k = 0; rc == 0 && g->plan->amplify && k < DK_N_LOGP; k++)
        rc = dk_alloc(&a->logp[k], most, sizeof *a->logp[k], "answers", err);
    if (rc == 0 && g->plan->amplify)
        rc = dk_alloc(&a->text_end, most, sizeof *a->text_end, "answers", err);
    return rc;
}

static int answers_room(dk_gen *g, dk_err *err)
{
    dk_answers *a = g->out;
    size_t per;
    int rc;

    if (!dk_mul_size(&per, g->plan->samples, g->n_writers) || !dk_mul_size(&per, per, g->n_ways) ||
        !dk_mul_size(&a->n, g->n_prompts, per))
        return dk_fail(err, DK_ENOMEM, "the answers do not fit in memory");
    rc = dk_alloc(&a->answer, a->n, sizeof *a->answer, "answers", err);
    if (rc < 0)
        a->n = 0;
    for (size_t i = 0; rc == 0 && i < a->n; i++)
        rc = answer_room(g, &a->answer[i], dk_gen_most_new(g, i / per), err);
    g->answer = a->answer;
    g->n_seq = g->n_prompts * g->n_ways * g->plan->samples;
    return rc;
}

/* What becomes of places in a text when it is mended: those amid a character move to its beginning. */
static void move_ends(size_t *end, size_t n, const dk_buf *raw)
{
    size_t i = 0, clean = 0;

    for (size_t at = 0, from = 0; i < n && from < raw->n; from = at) {
        const bool bad = dk_utf8_next(raw->s, raw->n, &at) < 0;

        for (; i < n && end[i] < at; i++)
            end[i] = clean;
        clean += bad ? 3 : at - from;           /* U+FFFD */
    }
    for (; i < n; i++)
        end[i] = clean;
}

/* A character may come in several tokens, so texts are mended when whole. */
static void clean_texts(dk_answers *a)
{
    for (size_t i = 0; i < a->n; i++) {
        dk_buf raw = a->answer[i].text;

        a->answer[i].text = (dk_buf){0};
        dk_utf8_clean(&a->answer[i].text, raw.s, raw.n);
        if (a->answer[i].text_end)
            move_ends(a->answer[i].text_end, a->answer[i].n, &raw);
        dk_buf_free(&raw);
    }
}

static void release(dk_gen *g)
{
    dk_dev *dev = dk_device();

    dk_runner_free(&g->runner);
    dk_kv_free(&g->kv);
    dev->ops->release(dev, g->logits);
    dk_free(g->slot);
    dk_free(g->map);
    dk_free(g->last);
    dk_free(g->offset);
    dk_free(g->ended);
    dk_free(g->next);
    dk_free(g->pick);
    dk_free(g->chooser);
    dk_free(g->edit);
    dk_free(g->ids);
}

/* All sequences, with room for no more than g->most_slots and g->most_batch.  What an attempt before has
 * written is written again: a draw depends on no other sequence. */
static int attempt(const dk_gen *all, size_t longest, dk_err *err)
{
    dk_gen g = *all;
    int rc;

    g.out->n_tokens = g.out->n_steps = 0;
    g.out->prompt_seconds = g.out->decode_seconds = 0;
    for (size_t i = 0; i < g.out->n; i++) {
        dk_answer *a = &g.answer[i];

        a->n = 0;
        a->finish = DK_FINISH_LENGTH;
        a->begun = a->done = false;
        dk_buf_clear(&a->text);
    }
    rc = room(&g, longest, err);
    if (rc == 0)
        rc = loop(&g, err);
    release(&g);
    return rc;
}

/* Whether there is to be another attempt, with half the room. */
static bool halve(dk_gen *g, dk_err *err)
{
    g->most_slots = g->out->parallel;
    g->most_batch = g->out->batch_rows;
    if (!dk_pair_halve_answers(&g->most_slots, &g->most_batch, err))
        return false;
    g->out->halved = true;
    return true;
}

int dk_generate_run(dk_answers *out, const dk_pair *pair, const dk_prompt *prompt, size_t n_prompts,
                    const dk_generate_plan *plan, dk_err *err)
{
    dk_gen g = { .plan = plan, .pair = pair, .prompt = prompt, .n_prompts = n_prompts,
                     .n_ways = plan->amplify ? plan->amplify->n_alphas : plan->n_steer + 1, .n_lanes = pair->n_lanes,
                     .n_writers = plan->amplify ? 1 : pair->n_lanes, .vocab = pair->model->config.vocab,
                     .most_slots = SIZE_MAX, .most_batch = SIZE_MAX, .out = out };
    size_t longest = 0;
    int rc;

    DK_ASSERT(plan->samples > 0 && plan->max_new > 0 && plan->parallel > 0);
    DK_ASSERT(!plan->amplify || (pair->n_lanes <= 2 && plan->n_steer == 0 && plan->amplify->n_alphas > 0));
    *out = (dk_answers){0};
    rc = n_prompts ? check(&g, &longest, err) : dk_fail(err, DK_EDATA, "there are no prompts");
    if (rc == 0)
        rc = answers_room(&g, err);
    if (rc == 0)
        do
            rc = attempt(&g, longest, err);
        while (rc < 0 && halve(&g, err));
    clean_texts(out);
    if (rc < 0)
        dk_answers_free(out);
    return rc;
}

void dk_answers_free(dk_answers *a)
{
    for (size_t i = 0; i < a->n; i++) {
        dk_free(a->answer[i].id);
        for (size_t k = 0; k < DK_N_LOGP; k++)
            dk_free(a->answer[i].logp[k]);
        dk_free(a->answer[i].text_end);
        dk_buf_free(&a->answer[i].text);
    }
    dk_free(a->answer);
    *a = (dk_answers){0};
}
