/* Grades of lists of tokens. */
#include "judge/grade.h"

#include <math.h>
#include <string.h>

#include "base/log.h"
#include "io/json.h"
#include "num/infer.h"

/* A batch of a list in one rotation. */
struct job {
    size_t list, from, n, rotation;
    dk_label *label;                    /* [n] */
    char **gloss;                       /* [n], or NULL */
    dk_chat_reply reply;
    dk_err err;
    int rc;
};

struct work {
    const dk_token_lists *t;
    const dk_grade_plan *plan;
    struct job *job;                    /* batches of a list together, their rotations within */
    size_t n;
};

/* --- asking -------------------------------------------------------------------------- */
static void make_jobs(struct work *w)
{
    for (size_t l = 0; l < w->t->n; l++)
        for (size_t from = 0; from < w->t->list[l].n; from += w->plan->batch) {
            const size_t left = w->t->list[l].n - from, n = left < w->plan->batch ? left : w->plan->batch;

            w->job = dk_xrealloc(w->job, (w->n + w->plan->rotations) * sizeof *w->job);
            for (size_t r = 0; r < w->plan->rotations; r++)
                w->job[w->n++] = (struct job){ .list = l, .from = from, .n = n, .rotation = r, .label = dk_xcalloc(n, sizeof(dk_label)),
                                               .gloss = w->plan->subject.translate ? dk_xcalloc(n, sizeof(char *)) : NULL };
        }
}

static void free_jobs(struct work *w)
{
    for (size_t i = 0; i < w->n; i++) {
        struct job *j = &w->job[i];

        for (size_t k = 0; j->gloss && k < j->n; k++)
            dk_free(j->gloss[k]);
        dk_free(j->gloss);
        dk_free(j->label);
        dk_chat_reply_free(&j->reply);
    }
    dk_free(w->job);
}

static void do_job(struct work *w, struct job *j, dk_chat *chat)
{
    const dk_token_list *l = &w->t->list[j->list];

    j->rc = dk_relevance_ask(chat, &w->plan->subject, (const char *const *)l->token + j->from, j->n, j->rotation, j->label,
                             j->gloss, &j->reply, &j->err);
}

/* Several questions are under way at once; after a failure no new one is asked. */
static int ask_all(struct work *w, dk_err *err)
{
    const size_t threads = w->n < w->plan->parallel ? w->n : w->plan->parallel;
    dk_chat **chat = dk_xcalloc(threads + 1, sizeof *chat);
    bool failed = false;
    int rc = 0;

    for (size_t i = 0; rc == 0 && i < threads; i++)
        rc = dk_chat_new(&chat[i], w->plan->chat, err);
    if (rc == 0) {
        #pragma omp parallel for schedule(static, 1) num_threads((int)threads)
        for (size_t t = 0; t < threads; t++)
            for (size_t i = t; i < w->n; i += threads) {
                bool stop;

                #pragma omp atomic read
                stop = failed;
                if (stop)
                    break;
                do_job(w, &w->job[i], chat[t]);
                if (w->job[i].rc < 0) {
                    #pragma omp atomic write
                    failed = true;
                }
            }
    }
    for (size_t i = 0; rc == 0 && i < w->n; i++)
        if (w->job[i].rc < 0)
            rc = dk_fail(err, w->job[i].rc, "%s", w->job[i].err.msg);
    for (size_t i = 0; i < threads; i++)
        dk_chat_free(&chat[i]);
    dk_free(chat);
    return rc;
}

/* --- the table ------------------------------------------------------------------------- */
/* One list: votes [n * votes], a token's together. */
struct graded {
    const dk_token_list *l;
    size_t votes;
    dk_label *vote, *all, *most;
};

static void put_shares(dk_jw *j, const char *name, const struct graded *g, const dk_label *label)
{
    const dk_relevance_share s = dk_relevance_shares(label, g->l->value, g->l->n);

    dk_jw_key(j, name);
    dk_jw_obj_begin(j);
    dk_jw_key(j, "percentage"); dk_jw_num(j, s.percentage);
    dk_jw_key(j, "weighted_percentage"); dk_jw_num(j, s.weighted);
    dk_jw_key(j, "unknown"); dk_jw_u64(j, s.unknown);
    dk_jw_obj_end(j);
}

static void put_strings(dk_jw *j, const char *name, char *const *s, size_t n)
{
    dk_jw_key(j, name);
    dk_jw_arr_begin(j);
    for (size_t i = 0; i < n; i++)
        dk_jw_str(j, s[i]);
    dk_jw_arr_end(j);
}

static void put_labels(dk_jw *j, const dk_label *label, size_t n)
{
    dk_jw_arr_begin(j);
    for (size_t i = 0; i < n; i++)
        dk_jw_str(j, dk_label_name(label[i]));
    dk_jw_arr_end(j);
}

static void put_who(dk_jw *j, const dk_grade_plan *p)
{
    char hex[65];

    dk_jw_key(j, "grader"); dk_jw_str(j, p->lexical ? "lexical" : "llm");
    if (p->lexical) {
        dk_jw_key(j, "by"); dk_jw_str(j, p->by);
        return;
    }
    dk_relevance_prompt_hash(p->subject.translate, hex);
    dk_jw_key(j, "judge"); dk_jw_str(j, p->chat->model);
    dk_jw_key(j, "prompt_sha256"); dk_jw_str(j, hex);
    dk_jw_key(j, "agreement"); dk_jw_str(j, p->all ? "all" : "majority");
    dk_jw_key(j, "rotations"); dk_jw_u64(j, p->rotations);
    dk_jw_key(j, "batch_size"); dk_jw_u64(j, p->batch);
}

static void put_trivial(dk_jw *j, const dk_token_list *l, const dk_frequent *f)
{
    size_t k = 0;

    dk_jw_key(j, "trivial_percentage");
    for (size_t i = 0; f && i < l->n; i++)
        k += dk_frequent_has(f, l->token[i]) || (l->piece[i] && dk_frequent_has(f, l->piece[i]));
    dk_jw_num(j, f ? (double)k / (double)l->n : NAN);
}

/* A token's gloss is the first that a rotation has. */
static void put_replies(dk_jw *j, const struct work *w, size_t list)
{
    const size_t n = w->t->list[list].n;
    char **gloss = dk_xcalloc(n, sizeof *gloss);
    int64_t in = 0, out = 0;

    dk_jw_key(j, "grader_responses");
    dk_jw_arr_begin(j);
    for (size_t i = 0; i < w->n; i++) {
        const struct job *o = &w->job[i];

        if (o->list != list)
            continue;
        dk_jw_strn(j, o->reply.text.s, o->reply.text.n);
        in += o->reply.prompt_tokens;
        out += o->reply.completion_tokens;
        for (size_t k = 0; o->gloss && k < o->n; k++)
            if (!gloss[o->from + k])
                gloss[o->from + k] = o->gloss[k];
    }
    dk_jw_arr_end(j);
    if (w->plan->subject.translate)
        put_strings(j, "translations", gloss, n);
    dk_jw_key(j, "prompt_tokens"); dk_jw_int(j, in);
    dk_jw_key(j, "completion_tokens"); dk_jw_int(j, out);
    dk_free(gloss);
}

static void put_list(dk_buf *out, const struct work *w, size_t list, const struct graded *g)
{
    const dk_label *label = w->plan->all ? g->all : g->most;
    const dk_relevance_share s = dk_relevance_shares(label, g->l->value, g->l->n);
    dk_jw j = { .out = out };
    double lo, hi;

    dk_wilson(&lo, &hi, s.relevant, g->l->n);
    dk_jw_obj_begin(&j);
    dk_jw_key(&j, "table"); dk_jw_str(&j, g->l->table);
    if (*g->l->about)
        dk_buf_addf(out, ",%s", g->l->about);
    put_who(&j, w->plan);
    dk_jw_key(&j, "n"); dk_jw_u64(&j, g->l->n);
    dk_jw_key(&j, "percentage"); dk_jw_num(&j, s.percentage);
    dk_jw_key(&j, "lo"); dk_jw_num(&j, lo);
    dk_jw_key(&j, "hi"); dk_jw_num(&j, hi);
    dk_jw_key(&j, "weighted_percentage"); dk_jw_num(&j, s.weighted);
    put_trivial(&j, g->l, w->plan->subject.frequent);
    if (!w->plan->lexical) {
        put_shares(&j, "all", g, g->all);
        put_shares(&j, "majority", g, g->most);
    }
    dk_jw_key(&j, "ids");
    dk_jw_arr_begin(&j);
    for (size_t i = 0; i < g->l->n; i++)
        dk_jw_int(&j, g->l->id[i]);
    dk_jw_arr_end(&j);
    put_strings(&j, "tokens", g->l->token, g->l->n);
    dk_jw_key(&j, "labels"); put_labels(&j, label, g->l->n);
    if (!w->plan->lexical) {
        dk_jw_key(&j, "votes");
        dk_jw_arr_begin(&j);
        for (size_t i = 0; i < g->l->n; i++)
            put_labels(&j, g->vote + i * g->votes, g->votes);
        dk_jw_arr_end(&j);
        put_replies(&j, w, list);
    }
    dk_jw_obj_end(&j);
    dk_jw_line(&j);
}

static void grade_list(dk_buf *out, const struct work *w, size_t list)
{
    const dk_token_list *l = &w->t->list[list];
    struct graded g = { .l = l, .votes = w->plan->lexical ? 1 : w->plan->rotations, .all = dk_xcalloc(l->n, sizeof(dk_label)),
                        .most = dk_xcalloc(l->n, sizeof(dk_label)) };

    g.vote = dk_xcalloc(l->n * g.votes, sizeof *g.vote);
    for (size_t i = 0; w->plan->lexical && i < l->n; i++)
        g.vote[i] = dk_lexical_label(w->plan->lexical, l->token[i], strlen(l->token[i]));
    for (size_t k = 0; k < w->n; k++)
        for (size_t i = 0; w->job[k].list == list && i < w->job[k].n; i++)
            g.vote[(w->job[k].from + i) * g.votes + w->job[k].rotation] = w->job[k].label[i];
    for (size_t i = 0; i < l->n; i++) {
        g.all[i] = dk_label_all(g.vote + i * g.votes, g.votes);
        g.most[i] = dk_label_majority(g.vote + i * g.votes, g.votes);
    }
    put_list(out, w, list, &g);
    dk_free(g.vote);
    dk_free(g.all);
    dk_free(g.most);
}

int dk_grade_tokens(dk_buf *out, const dk_token_lists *t, const dk_grade_plan *plan, dk_err *err)
{
    struct work w = { .t = t, .plan = plan };
    int rc = 0;

    if (!plan->lexical) {
        make_jobs(&w);
        dk_log(DK_INFO, "%zu questions about %zu lists to %s", w.n, t->n, plan->chat->model);
        rc = ask_all(&w, err);
    }
    for (size_t i = 0; rc == 0 && i < t->n; i++)
        grade_list(out, &w, i);
    free_jobs(&w);
    return rc;
}
