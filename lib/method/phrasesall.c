/* Everything about each lane, and what the nulls say of the finetune's list. */
#include <math.h>
#include <string.h>

#include "method/phrases.h"

struct lane {
    dk_phrase_list list;
    size_t found, seen;             /* facts */
    dk_buf facts;                   /* their lines */
};

struct work {
    const dk_phrase_set *s;
    const dk_phrase_plan *plan;
    const dk_phrase_more *more;
    dk_phrase_stems stems;
    struct lane *lane;
    size_t n;
};

static void put_num(dk_jw *j, const char *key, double v)
{
    if (isfinite(v)) {
        dk_jw_key(j, key);
        dk_jw_num(j, v);
    }
}

/* How its samples went: the mean llr, those that ended in a loop. */
static void put_samples(dk_jw *j, const dk_phrase_set *s, uint32_t lane)
{
    double llr = 0;
    size_t n = 0, loops = 0, known = 0;

    for (size_t i = 0; i < dk_phrases_samples(s); i++) {
        const dk_phrase_sample *a = dk_phrases_sample(s, i);

        if (a->lane != lane)
            continue;
        n++;
        loops += a->loop;
        if (isfinite(a->llr)) {
            llr += a->llr;
            known++;
        }
    }
    dk_jw_key(j, "n_t"); dk_jw_u64(j, n);
    dk_jw_key(j, "loops"); dk_jw_u64(j, loops);
    put_num(j, "llr", known ? llr / (double)known : NAN);
}

static void put_test(dk_jw *j, const struct work *w, const struct lane *l)
{
    const dk_phrase_list *p = &l->list;
    size_t most = 0;

    dk_jw_key(j, "lexicon_phrases"); dk_jw_u64(j, dk_phrase_list_count(p, true, true, w->plan->limit));
    dk_jw_key(j, "value"); dk_jw_u64(j, p->hits);
    dk_jw_key(j, "of"); dk_jw_u64(j, p->of);
    dk_jw_key(j, "p_lexicon"); dk_jw_num(j, p->p_lexicon);
    dk_jw_key(j, "stems");
    dk_jw_arr_begin(j);
    for (size_t i = 0; i < p->of; i++)
        dk_jw_str(j, dk_intern_text(&w->stems.stem, p->top[i], NULL));
    dk_jw_arr_end(j);
    for (size_t i = 1; i < w->n; i++)
        most = w->lane[i].list.hits > most ? w->lane[i].list.hits : most;
    if (l == w->lane) {
        dk_jw_key(j, "verdict");
        dk_jw_str(j, w->n == 1 ? "not calibrated" : p->p_lexicon <= .05 && p->hits > most ? "above null" : "within null");
    }
}

static void put_lane(dk_buf *out, const struct work *w, const struct lane *l)
{
    const dk_phrase_list *p = &l->list;
    dk_jw j = { .out = out };

    dk_phrase_open(&j, w->s, "lane", p->target);
    put_samples(&j, w->s, p->target);
    dk_jw_key(&j, "n_r"); dk_jw_u64(&j, p->n_r);
    dk_jw_key(&j, "prefills"); dk_jw_u64(&j, w->s->prefills.n);
    dk_jw_key(&j, "tested"); dk_jw_u64(&j, p->tested);
    dk_jw_key(&j, "limit"); dk_jw_num(&j, w->plan->limit);
    dk_jw_key(&j, "content"); dk_jw_u64(&j, dk_phrase_list_count(p, true, false, w->plan->limit));
    dk_jw_key(&j, "style"); dk_jw_u64(&j, dk_phrase_list_count(p, false, false, w->plan->limit));
    dk_jw_key(&j, "content_01"); dk_jw_u64(&j, dk_phrase_list_count(p, true, false, .01));
    if (w->plan->lexicon)
        put_test(&j, w, l);
    if (w->more->facts) {
        dk_jw_key(&j, "facts"); dk_jw_u64(&j, dk_facts_n(w->more->facts));
        dk_jw_key(&j, "facts_seen"); dk_jw_u64(&j, l->seen);
        dk_jw_key(&j, "facts_found"); dk_jw_u64(&j, l->found);
    }
    if (l == w->lane && w->n > 1) {
        dk_jw_key(&j, "null");
        dk_jw_obj_begin(&j);
        for (size_t i = 1; i < w->n; i++) {
            const struct lane *o = &w->lane[i];

            dk_jw_key(&j, dk_intern_text(&w->s->lanes, o->list.target, NULL));
            dk_jw_obj_begin(&j);
            dk_jw_key(&j, "content"); dk_jw_u64(&j, dk_phrase_list_count(&o->list, true, false, w->plan->limit));
            dk_jw_key(&j, "content_01"); dk_jw_u64(&j, dk_phrase_list_count(&o->list, true, false, .01));
            if (w->plan->lexicon) {
                dk_jw_key(&j, "value"); dk_jw_u64(&j, o->list.hits);
                dk_jw_key(&j, "p_lexicon"); dk_jw_num(&j, o->list.p_lexicon);
            }
            if (w->more->facts) {
                dk_jw_key(&j, "facts_found"); dk_jw_u64(&j, o->found);
            }
            dk_jw_obj_end(&j);
        }
        dk_jw_obj_end(&j);
    }
    dk_jw_obj_end(&j);
    dk_jw_line(&j);
}

/* The finetune's number first, then the others as they came. */
static void find_lanes(struct work *w)
{
    const dk_phrase_set *s = w->s;
    const uint32_t own = (uint32_t)dk_intern_find(&s->lanes, s->lane, strlen(s->lane));

    w->lane = dk_xcalloc(s->lanes.n, sizeof *w->lane);
    w->lane[w->n++].list.target = own;
    for (uint32_t i = 0; i < s->lanes.n; i++)
        if (i != own && i != s->reference)
            w->lane[w->n++].list.target = i;
}

static int put_all(dk_buf *out, const struct work *w, dk_err *err)
{
    int rc = 0;

    for (size_t i = 0; rc == 0 && i < w->n; i++) {
        const struct lane *l = &w->lane[i];

        put_lane(out, w, l);
        dk_phrase_list_put(out, w->s, &l->list, w->plan);
        rc = dk_phrase_slots_put(out, w->s, &l->list, w->plan, err);
        dk_buf_add(out, l->facts.n ? l->facts.s : "", l->facts.n);
        if (w->more->corpus)
            dk_phrase_cover_put(out, w->s, l->list.target, w->more->corpus, w->more->other);
    }
    if (rc == 0 && w->more->corpus)
        dk_phrase_cover_put(out, w->s, w->s->reference, w->more->corpus, w->more->other);
    return rc;
}

int dk_phrases_report(dk_buf *out, const dk_phrase_set *s, const dk_phrase_plan *plan, const dk_phrase_more *more, dk_err *err)
{
    struct work w = { .s = s, .plan = plan, .more = more };
    int rc = plan->lexicon ? dk_phrase_stems_make(&w.stems, s, plan->lexicon, err) : 0;

    find_lanes(&w);
    w.n = more->prefills ? 1 : w.n;
    for (size_t i = 0; rc == 0 && i < w.n; i++) {
        struct lane *l = &w.lane[i];

        rc = dk_phrase_list_make(&l->list, s, l->list.target, plan, plan->lexicon ? &w.stems : NULL, err);
        if (rc == 0 && more->facts)
            dk_facts_put(&l->facts, more->facts, s, l->list.target, &l->found, &l->seen);
    }
    if (rc == 0 && more->prefills) {
        dk_phrase_prefills_put(out, s, &w.lane[0].list, more->prefills);
        if (out->n == 0)
            rc = dk_fail(err, DK_EDATA, "the samples of lane '%s' have no phrase with content: there is nothing to make pre-fills of",
                         s->lane);
    } else if (rc == 0)
        rc = put_all(out, &w, err);
    for (size_t i = 0; i < w.n; i++) {
        dk_phrase_list_free(&w.lane[i].list);
        dk_buf_free(&w.lane[i].facts);
    }
    dk_free(w.lane);
    dk_phrase_stems_free(&w.stems);
    return rc;
}
