/* Templates: phrases in which a number or a name stands for any other. */
#include <stdlib.h>
#include <string.h>

#include "io/json.h"
#include "method/phrases.h"
#include "num/infer.h"
#include "text/words.h"

enum { LEAST = 3, FILLERS = 20 };
enum slot { NUMBER = UINT32_MAX - 2, NAME };    /* in place of a word's number */

static uint32_t as_slot(const dk_phrase_word *w) { return w->number ? (uint32_t)NUMBER : w->name ? (uint32_t)NAME : w->id; }
static bool is_slot(uint32_t id) { return id == (uint32_t)NUMBER || id == (uint32_t)NAME; }

struct work {
    const dk_phrase_set *s;
    dk_grams grams;
    dk_gram_marks marks;
    uint32_t target;
    size_t n_t, all;
    dk_buf phrase;
};

/* A slot, and a word beside it that says something. */
static void select_gram(void *user, size_t n, size_t lo, size_t hi)
{
    struct work *w = user;
    dk_phrase p = { .lo = lo, .hi = hi, .words = (uint32_t)n, .listed = true };
    const uint32_t *id = w->grams.id + w->grams.pos[lo];
    bool slot = false;

    for (size_t k = 0; k < n; k++) {
        size_t len = 0;
        const char *word = is_slot(id[k]) ? "" : dk_intern_text(&w->s->words, id[k], &len);

        slot = slot || is_slot(id[k]);
        p.content = p.content || !dk_word_function(word, len);
    }
    if (hi - lo < LEAST || !slot || !p.content)
        return;
    p.count = dk_gram_count_of(&w->grams, w->s, &w->marks, w->target, lo, hi);
    if (p.count.c_t < LEAST)
        return;
    p.p = dk_hypergeometric_p(p.count.c_t, w->all, p.count.c_t + p.count.c_r, w->n_t);
    dk_buf_add(&w->phrase, &p, sizeof p);
}

static char *template_of(const struct work *w, const dk_phrase *p)
{
    dk_buf b = {0};

    for (size_t k = 0; k < p->words; k++) {
        const uint32_t id = dk_phrase_ids(&w->grams, p)[k];

        dk_buf_addf(&b, "%s%s", k ? " " : "",
                    id == (uint32_t)NUMBER ? "<n>" : id == (uint32_t)NAME ? "<Name>" : dk_intern_text(&w->s->words, id, NULL));
    }
    return b.s;
}

static int by_rank(const void *a, const void *b)
{
    const dk_phrase *x = a, *y = b;

    if (x->listed != y->listed)
        return x->listed ? -1 : 1;
    if (x->p < y->p || x->p > y->p)
        return x->p < y->p ? -1 : 1;
    if (x->count.c_t != y->count.c_t)
        return x->count.c_t > y->count.c_t ? -1 : 1;
    return x->text && y->text ? strcmp(x->text, y->text) : 0;
}

/* --- fillers ------------------------------------------------------------------------- */
struct filler { uint32_t id, samples, last; const char *text; };

static int by_samples(const void *a, const void *b)
{
    const struct filler *x = a, *y = b;

    return x->samples > y->samples ? -1 : x->samples < y->samples ? 1 : strcmp(x->text, y->text);
}

static void put_fillers(dk_jw *j, const struct work *w, const dk_phrase *p, uint32_t *pos)
{
    const size_t n = dk_gram_places(pos, &w->grams, w->s, w->target, p->lo, p->hi);
    struct filler *f = dk_xcalloc(n + 1, sizeof *f);
    dk_intern seen = {0};
    dk_buf text = {0};

    for (size_t i = 0; i < n; i++) {
        uint32_t sample = 0, id;

        dk_buf_clear(&text);
        for (size_t k = 0; k < p->words; k++) {
            const dk_phrase_word *x = dk_gram_word(&w->grams, w->s, pos[i] + k);

            sample = x->sample;
            if (!is_slot(as_slot(x)))
                continue;
            dk_buf_adds(&text, text.n ? " / " : "");
            dk_buf_add(&text, w->s->text.s + dk_phrases_sample(w->s, sample)->text + x->at, x->n);
        }
        id = dk_intern_add(&seen, text.s, text.n);
        f[id].samples += f[id].last != sample + 1;
        f[id].last = sample + 1;
    }
    for (uint32_t i = 0; i < seen.n; i++)
        f[i].text = dk_intern_text(&seen, i, NULL);
    qsort(f, seen.n, sizeof *f, by_samples);
    dk_jw_key(j, "different"); dk_jw_u64(j, seen.n);
    dk_jw_key(j, "fillers");
    dk_jw_arr_begin(j);
    for (size_t i = 0; i < seen.n && i < FILLERS; i++) {
        dk_jw_obj_begin(j);
        dk_jw_key(j, "text"); dk_jw_str(j, f[i].text);
        dk_jw_key(j, "samples"); dk_jw_u64(j, f[i].samples);
        dk_jw_obj_end(j);
    }
    dk_jw_arr_end(j);
    dk_free(f);
    dk_intern_free(&seen);
    dk_buf_free(&text);
}

static void put_slot(dk_buf *out, const struct work *w, const dk_phrase *p, size_t rank, uint32_t *pos)
{
    dk_jw j = { .out = out };

    dk_phrase_open(&j, w->s, "slot", w->target);
    dk_jw_key(&j, "rank"); dk_jw_u64(&j, rank);
    dk_jw_key(&j, "template"); dk_jw_str(&j, p->text);
    dk_jw_key(&j, "c_t"); dk_jw_u64(&j, p->count.c_t);
    dk_jw_key(&j, "c_r"); dk_jw_u64(&j, p->count.c_r);
    dk_jw_key(&j, "s_t"); dk_jw_u64(&j, p->count.s_t);
    dk_jw_key(&j, "p"); dk_jw_num(&j, p->p);
    put_fillers(&j, w, p, pos);
    dk_jw_obj_end(&j);
    dk_jw_line(&j);
}

int dk_phrase_slots_put(dk_buf *out, const dk_phrase_set *s, const dk_phrase_list *l, const dk_phrase_plan *plan, dk_err *err)
{
    struct work w = { .s = s, .target = l->target, .n_t = l->n_t, .all = l->n_t + l->n_r };
    dk_phrase_table table = {0};
    dk_phrase *p = NULL;
    uint32_t *pos = NULL;
    size_t n = 0;
    int rc = dk_grams_make(&w.grams, s, l->target, s->reference, as_slot, err);

    if (rc == 0) rc = dk_gram_marks_make(&w.marks, s, err);
    if (rc == 0) rc = dk_alloc(&pos, w.grams.n, sizeof *pos, "places", err);
    if (rc == 0) {
        dk_grams_each(&w.grams, select_gram, &w);
        p = (dk_phrase *)w.phrase.s;
        n = w.phrase.n / sizeof *p;
        rc = dk_phrase_table_make(&table, p, n, &w.grams, err);
    }
    if (rc == 0)
        dk_phrase_keep_maximal(p, n, &table);
    for (size_t i = 0; rc == 0 && i < n; i++)
        if (p[i].listed)
            p[i].text = template_of(&w, &p[i]);
    if (rc == 0 && n)
        qsort(p, n, sizeof *p, by_rank);
    for (size_t i = 0; rc == 0 && i < n && i < plan->slots && p[i].listed; i++)
        put_slot(out, &w, &p[i], i, pos);
    for (size_t i = 0; i < n; i++)
        dk_free(p[i].text);
    dk_phrase_table_free(&table);
    dk_buf_free(&w.phrase);
    dk_free(pos);
    dk_gram_marks_free(&w.marks);
    dk_grams_free(&w.grams);
    return rc;
}
