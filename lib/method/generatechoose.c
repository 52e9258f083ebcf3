/* The next token of every writer, and when an answer ends. */
#include <string.h>

#include "base/rng.h"
#include "method/generatework.h"
#include "text/utf8.h"

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

/* Whether the last 3 n tokens are one block of n three times, for an n of least or more. */
static bool loops(const uint32_t *id, size_t n_ids, size_t least)
{
    for (size_t n = least; n && n <= n_ids / 3; n++)
        if (memcmp(id + n_ids - 2 * n, id + n_ids - 3 * n, 2 * n * sizeof *id) == 0)
            return true;
    return false;
}

size_t dk_gen_most_new(const dk_gen *g, size_t prompt)
{
    const size_t room = g->pair->model->config.max_positions - g->prompt[prompt].n;

    return room < g->plan->max_new ? room : g->plan->max_new;
}

/* Takes what was drawn into the answer of a slot's writer; ends it where it is at its end. */
static void take(dk_gen *g, size_t at, size_t writer, const dk_pick *drawn)
{
    const dk_amplify_plan *amplify = g->plan->amplify;
    dk_gen_slot *s = &g->slot[at];
    dk_answer *a = dk_gen_answer(g, s, writer);
    bool ends = true;

    for (size_t k = 0; amplify && k < DK_N_LOGP; k++)
        a->logp[k][a->n] = drawn->logp[k];
    a->id[a->n++] = drawn->id;
    g->next[at * g->n_writers + writer] = drawn->id;
    g->out->n_tokens++;
    if (is_end(g->plan, drawn->id))
        a->finish = DK_FINISH_EOS;
    else if (g->plan->tokenizer && add_text(g->plan, a, drawn->id))
        a->finish = DK_FINISH_STOP;
    else if (amplify && loops(a->id, a->n, amplify->loop))
        a->finish = DK_FINISH_LOOP;
    else
        ends = a->n == dk_gen_most_new(g, dk_gen_prompt(g, s));
    if (a->text_end)
        a->text_end[a->n - 1] = a->text.n;
    if (!ends)
        return;
    a->done = true;
    g->ended[at * g->n_writers + writer] = true;
    s->live--;
    if (!g->plan->watch)
        dk_progress_add(&g->bar, 1);
}

/* --- choosing -------------------------------------------------------------- */
static double draw_of(const dk_gen *g, const dk_gen_slot *s, size_t step)
{
    return dk_uniform(dk_ctr(g->plan->seed, DK_STREAM_SAMPLING, (uint64_t)s->sample << 32 | dk_gen_prompt(g, s), step));
}

static int not_finite(const dk_gen *g, size_t slot, size_t writer, dk_err *err)
{
    const dk_gen_slot *s = &g->slot[slot];
    const size_t lane = g->plan->amplify ? g->n_lanes - 1 : writer;

    return dk_fail(err, DK_ENUM, "lane '%s': logits are NaN or infinite at prompt %zu, token %zu of the answer",
                   g->pair->lane[lane].name, dk_gen_prompt(g, s) + 1, dk_gen_answer(g, s, writer)->n + 1);
}

/* What the writer of a slot's sequence chooses from; n sequences have logits, this one is the i-th. */
static dk_pick pick_of(const dk_gen *g, const dk_gen_slot *s, size_t writer, size_t i, size_t n)
{
    const dk_amplify_plan *p = g->plan->amplify;
    const dk_prompt *prompt = &g->prompt[dk_gen_prompt(g, s)];
    const dk_answer *a = dk_gen_answer(g, s, writer);
    dk_pick pick = { .row = writer * n + i, .how = g->plan->sampling, .uniform = draw_of(g, s, a->n),
                     .seen = { prompt->id, a->id }, .n_seen = { prompt->n, a->n } };

    if (!p)
        return pick;
    pick.amplified = true;
    pick.base = i;
    pick.row = (g->n_lanes - 1) * n + i;
    pick.carried = g->pair->diff;
    pick.no_end = a->n < p->min_new;
    pick.alpha = p->alpha[s->unit % g->n_ways];
    pick.beta = p->beta;
    if (s->sample < p->greedy)
        pick.how.temperature = 0;
    return pick;
}

int dk_gen_choose(dk_gen *g, const size_t *slots, size_t n, dk_err *err)
{
    dk_dev *dev = dk_device();
    dk_choose_args args = { .logits = g->logits, .vocab = g->vocab, .pick = g->pick, .end = g->plan->end,
                            .n_end = g->plan->n_end };
    int rc;

    for (size_t j = 0; j < n * g->n_writers; j++) {
        const size_t i = j / g->n_writers, writer = j % g->n_writers;

        if (g->ended[slots[i] * g->n_writers + writer])
            continue;
        g->chooser[args.n] = j;
        g->pick[args.n++] = pick_of(g, &g->slot[slots[i]], writer, i, n);
    }
    rc = dev->ops->choose(dev, &args, err);
    if (rc < 0)
        return rc;
    for (size_t k = 0; k < args.n; k++)
        if (g->pick[k].bad)
            return not_finite(g, slots[g->chooser[k] / g->n_writers], g->chooser[k] % g->n_writers, err);
    for (size_t k = 0; k < args.n; k++)
        take(g, slots[g->chooser[k] / g->n_writers], g->chooser[k] % g->n_writers, &g->pick[k]);
    return 0;
}
