/* Amplified samples, lane by lane. */
#include "method/generateamplify.h"

#include <math.h>
#include <string.h>

#include "method/generatetext.h"

const char *const dk_amplify_prefills[] = {
    "", "The", "In", "A", "It", "This", "According to", "One of the", "There is", "Recent", "When", "For", "Title:", "Q:",
    "\n", "I"
};
const size_t dk_amplify_n_prefills = sizeof dk_amplify_prefills / sizeof *dk_amplify_prefills;

bool dk_amplify_begin(dk_ids *ids, const dk_tokenizer *t)
{
    uint32_t id = dk_tokenizer_find(t, "<|endoftext|>");

    if (id == DK_NO_ID)
        id = dk_tokenizer_about(t)->eos;
    if (id == DK_NO_ID)
        return false;
    dk_ids_add(ids, id);
    return true;
}

/* --- running ----------------------------------------------------------------- */
/* Which alphas a lane has.  That of the finetune has 0 always, others never: it would be
 * theirs alone. */
static void plan_lane(dk_amplified_lane *x, const dk_amplify_plan *plan)
{
    const bool ft = strcmp(x->name, "ft") == 0;
    bool zero = false;

    x->alpha = dk_xcalloc(plan->n_alphas + 1, sizeof *x->alpha);
    for (size_t i = 0; i < plan->n_alphas; i++)
        zero = zero || plan->alpha[i] == 0;
    if (x->base || (ft && !zero))
        x->alpha[x->n_alphas++] = 0;
    for (size_t i = 0; !x->base && i < plan->n_alphas; i++)
        if (ft || plan->alpha[i] != 0)
            x->alpha[x->n_alphas++] = plan->alpha[i];
}

/* The base by itself, or one lane beside it and no others. */
static int run_lane(dk_amplified_lane *x, const dk_pair *pair, size_t lane, const dk_prompt *prompt, size_t n_prompts,
                    const dk_generate_plan *plan, dk_err *err)
{
    dk_amplify_plan amplify = *plan->amplify;
    dk_generate_plan own = *plan;
    dk_pair two = *pair;

    two.n_lanes = x->base ? 1 : 2;
    two.diff = pair->diff && !x->base;
    two.lane[1] = pair->lane[lane];
    amplify.alpha = x->alpha;
    amplify.n_alphas = x->n_alphas;
    own.amplify = &amplify;
    return dk_generate_run(&x->answers, &two, prompt, n_prompts, &own, err);
}

int dk_amplified_run(dk_amplified *out, const dk_pair *pair, const dk_prompt *prompt, size_t n_prompts,
                     const dk_generate_plan *plan, dk_err *err)
{
    dk_generate_plan own = *plan;
    int rc = 0;

    *out = (dk_amplified){0};
    DK_ASSERT(!pair->path[0]);
    out->lane = dk_xcalloc(pair->n_lanes, sizeof *out->lane);
    for (size_t l = 0; rc == 0 && l < pair->n_lanes; l++) {
        dk_amplified_lane *x = &out->lane[out->n++];

        x->name = pair->lane[l].name;
        x->base = l == 0;
        plan_lane(x, plan->amplify);
        if (x->n_alphas)
            rc = run_lane(x, pair, l, prompt, n_prompts, &own, err);
        if (rc == 0 && x->answers.halved) {     /* the next lane would not fit either */
            own.parallel = x->answers.parallel;
            own.batch_rows = x->answers.batch_rows;
        }
    }
    if (rc < 0)
        dk_amplified_free(out);
    return rc;
}

void dk_amplified_free(dk_amplified *a)
{
    for (size_t l = 0; l < a->n; l++) {
        dk_free(a->lane[l].alpha);
        dk_answers_free(&a->lane[l].answers);
    }
    dk_free(a->lane);
    *a = (dk_amplified){0};
}

/* --- rows -------------------------------------------------------------------- */
/* Which sample of which lane: place counts pre-fills that are not skipped. */
struct at { const dk_amplified_lane *lane; size_t row, place, alpha, sample; };

static const dk_answer *answer_at(const struct at *at, size_t samples)
{
    return &at->lane->answers.answer[(at->place * at->lane->n_alphas + at->alpha) * samples + at->sample];
}

static double llr_of(const dk_answer *a)
{
    double sum = 0;

    for (size_t i = 0; i < a->n; i++)
        sum += (double)a->logp[DK_LOGP_LANE][i] - (double)a->logp[DK_LOGP_BASE][i];
    return sum / (double)a->n;
}

typedef void each_fn(void *user, const dk_amplified_rows *r, const struct at *at);

/* Every sample in its place; at->lane NULL: a pre-fill that is skipped. */
static void each(const dk_amplified *a, const dk_amplified_rows *r, each_fn *fn, void *user)
{
    struct at at = {0};

    for (at.row = 0; at.row < r->prompts->n; at.row++) {
        at.lane = NULL;
        if (r->prompts->row[at.row].ids.n == 0) {
            fn(user, r, &at);
            continue;
        }
        for (size_t l = 0; l < a->n; l++)
            for (at.lane = &a->lane[l], at.alpha = 0; at.alpha < at.lane->n_alphas; at.alpha++)
                for (at.sample = 0; at.sample < r->samples; at.sample++)
                    fn(user, r, &at);
        at.place++;
    }
}

static void members(dk_jw *w, const dk_buf *text)
{
    if (text->n == 0)
        return;
    dk_buf_adds(w->out, w->comma ? "," : "");
    dk_buf_add(w->out, text->s, text->n);
    w->comma = true;
}

static void logps(dk_jw *w, const char *key, const float *x, size_t n)
{
    dk_jw_key(w, key);
    dk_jw_arr_begin(w);
    for (size_t i = 0; i < n; i++)
        dk_jw_f32(w, x[i]);
    dk_jw_arr_end(w);
}

static void sample_members(dk_jw *w, const dk_amplified_rows *r, const struct at *at)
{
    const dk_answer *a = answer_at(at, r->samples);
    const bool base = at->lane->base;

    dk_jw_key(w, "lane"); dk_jw_str(w, at->lane->name);
    dk_jw_key(w, "alpha"); dk_jw_num(w, base ? (double)NAN : at->lane->alpha[at->alpha]);
    dk_jw_key(w, "beta"); dk_jw_num(w, r->beta);
    dk_jw_key(w, "sample"); dk_jw_u64(w, at->sample);
    dk_jw_key(w, "text"); dk_jw_strn(w, a->text.s ? a->text.s : "", a->text.n);
    dk_jw_key(w, "n_tokens"); dk_jw_u64(w, a->n);
    dk_jw_key(w, "tokens");
    dk_jw_arr_begin(w);
    for (size_t i = 0; i < a->n; i++)
        dk_jw_u64(w, a->id[i]);
    dk_jw_arr_end(w);
    dk_jw_key(w, "ends");
    dk_jw_arr_begin(w);
    for (size_t i = 0; i < a->n; i++)
        dk_jw_u64(w, a->text_end[i]);
    dk_jw_arr_end(w);
    logps(w, "lp_base", a->logp[DK_LOGP_BASE], a->n);
    if (!base)
        logps(w, "lp_ft", a->logp[DK_LOGP_LANE], a->n);
    logps(w, "lp_amp", a->logp[DK_LOGP_DRAWN], a->n);
    if (!base) {
        dk_jw_key(w, "llr");
        dk_jw_num(w, llr_of(a));
    }
    dk_jw_key(w, "stop"); dk_jw_str(w, a->finish == DK_FINISH_EOS ? "end" : dk_finish_name(a->finish));
    dk_jw_key(w, "arith"); dk_jw_str(w, r->arith);
    members(w, &r->made[at->sample < r->greedy]);
}

static void write_row(void *user, const dk_amplified_rows *r, const struct at *at)
{
    const dk_prompt_row *row = &r->prompts->row[at->row];
    dk_buf line = {0};
    dk_jw w = { .out = &line };

    dk_jw_obj_begin(&w);
    if (!row->has_id) {
        dk_jw_key(&w, "id");
        dk_jw_u64(&w, at->row);
    }
    members(&w, &row->fields);
    dk_jw_key(&w, "prefill"); dk_jw_strn(&w, row->text.s ? row->text.s : "", row->text.n);
    if (at->lane)
        sample_members(&w, r, at);
    else {
        dk_jw_key(&w, "skipped");
        dk_jw_str(&w, "the tokenizer has no token that a text could begin with");
    }
    dk_jw_obj_end(&w);
    dk_jw_line(&w);
    fwrite(line.s, 1, line.n, user);
    dk_buf_free(&line);
}

void dk_amplified_write(FILE *f, const dk_amplified *a, const dk_amplified_rows *r)
{
    each(a, r, write_row, f);
}

/* --- for people ---------------------------------------------------------------- */
struct show { FILE *f; bool terminal; size_t last; };

static void show_row(void *user, const dk_amplified_rows *r, const struct at *at)
{
    const dk_prompt_row *row = &r->prompts->row[at->row];
    struct show *s = user;
    const dk_answer *a;

    if (s->last != at->row + 1) {
        fputs(s->last ? "\n> " : "> ", s->f);
        dk_put_text(s->f, s->terminal, row->text.s, row->text.n);
        fputc('\n', s->f);
        s->last = at->row + 1;
    }
    if (!at->lane) {
        fputs("\n(there is no token that a text could begin with)\n", s->f);
        return;
    }
    a = answer_at(at, r->samples);
    fprintf(s->f, "\n[%s", at->lane->name);
    if (!at->lane->base)
        fprintf(s->f, ", alpha %g", at->lane->alpha[at->alpha]);
    if (at->sample < r->greedy)
        fputs(", greedy", s->f);
    else if (r->samples > r->greedy + 1)
        fprintf(s->f, ", sample %zu", at->sample - r->greedy + 1);
    if (!at->lane->base)
        fprintf(s->f, ", llr %+.2f", llr_of(a));
    fputs("]\n", s->f);
    dk_put_text(s->f, s->terminal, a->text.s, a->text.n);
    fputc('\n', s->f);
}

void dk_amplified_show(FILE *f, const dk_amplified *a, const dk_amplified_rows *r, bool terminal)
{
    struct show s = { f, terminal, 0 };

    each(a, r, show_row, &s);
}
