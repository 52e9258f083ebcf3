/* Which n-grams are phrases: counted, scored, sifted. */
#include "method/phrases.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "io/textfile.h"
#include "num/infer.h"
#include "text/words.h"

enum { LEAST_SAMPLES = 4, LEAST_PREFILLS = 2, MEMO = 1 << 20 };

struct work {
    const dk_phrase_set *s;
    dk_phrase_list *l;
    dk_gram_marks marks;
    dk_buf phrase;
    dk_phrase_table table;
};

static uint32_t as_it_is(const dk_phrase_word *w) { return w->id; }

/* --- which are tested ---------------------------------------------------------------- */
/* A selection that does not look at which side a sample is on. */
static void select_gram(void *user, size_t n, size_t lo, size_t hi)
{
    struct work *w = user;
    dk_phrase p = { .lo = lo, .hi = hi, .words = (uint32_t)n };

    if (hi - lo < LEAST_SAMPLES)
        return;
    p.count = dk_gram_count_of(&w->l->grams, w->s, &w->marks, w->l->target, lo, hi);
    if (p.count.c_t + p.count.c_r >= LEAST_SAMPLES && p.count.prefills >= LEAST_PREFILLS)
        dk_buf_add(&w->phrase, &p, sizeof p);
}

static uint32_t hash(const uint32_t *id, size_t n)
{
    uint64_t h = 14695981039346656037u + n;

    for (size_t i = 0; i < n; i++)
        h = (h ^ id[i]) * 1099511628211u ^ h >> 31;
    return (uint32_t)(h ^ h >> 32);
}

/* Its place in the table, or where it would be entered. */
static uint32_t *place(const dk_phrase_table *t, const uint32_t *id, size_t n)
{
    uint32_t at = hash(id, n) & t->mask;

    for (; t->place[at]; at = (at + 1) & t->mask) {
        const dk_phrase *p = &t->phrase[t->place[at] - 1];

        if (p->words == n && memcmp(dk_phrase_ids(t->grams, p), id, n * sizeof *id) == 0)
            break;
    }
    return &t->place[at];
}

int dk_phrase_table_make(dk_phrase_table *t, const dk_phrase *phrase, size_t n, const dk_grams *g, dk_err *err)
{
    size_t cap = 16;
    int rc = n < UINT32_MAX / 4 ? 0 : dk_fail(err, DK_EDATA, "there are too many n-grams");

    while (cap < 2 * n)
        cap *= 2;
    *t = (dk_phrase_table){ .mask = (uint32_t)(cap - 1), .phrase = phrase, .grams = g };
    if (rc == 0)
        rc = dk_alloc(&t->place, cap, sizeof *t->place, "phrases", err);
    for (size_t i = 0; rc == 0 && i < n; i++)
        *place(t, dk_phrase_ids(g, &phrase[i]), phrase[i].words) = (uint32_t)i + 1;
    return rc;
}

void dk_phrase_table_free(dk_phrase_table *t) { dk_free(t->place); }

void dk_phrase_keep_maximal(dk_phrase *phrase, size_t n_phrases, const dk_phrase_table *t)
{
    for (uint32_t n = DK_PHRASE_WORDS; n > 1; n--)
        for (size_t i = 0; i < n_phrases; i++) {
            const dk_phrase *p = &phrase[i];

            if (p->words != n || !p->listed)
                continue;
            for (size_t m = 1; m < n; m++)
                for (size_t at = 0; at + m <= n; at++) {
                    const uint32_t k = *place(t, dk_phrase_ids(t->grams, p) + at, m);

                    if (k && p->count.c_t >= .8 * phrase[k - 1].count.c_t)
                        phrase[k - 1].listed = false;
                }
        }
}

/* --- how usual they are ---------------------------------------------------------------- */
static void count_document(struct work *w, const dk_text *parts, size_t n_parts, uint32_t *seen, uint32_t doc)
{
    dk_buf fold = {0};

    for (size_t k = 0; k < n_parts; k++) {
        uint32_t id[DK_PHRASE_WORDS];       /* the last known words */
        size_t at = 0, n = 0;
        dk_word x;

        while (dk_word_next(&x, parts[k].s, parts[k].n, &at)) {
            int64_t known;

            dk_buf_clear(&fold);
            dk_word_fold(&fold, parts[k].s + x.at, x.n);
            known = dk_intern_find(&w->s->words, fold.n ? fold.s : "", fold.n);
            if (known < 0) {
                n = 0;
                continue;
            }
            if (n == DK_PHRASE_WORDS)
                memmove(id, id + 1, --n * sizeof *id);
            id[n++] = (uint32_t)known;
            for (size_t m = 1; m <= n; m++) {
                const uint32_t p = *place(&w->table, id + n - m, m);

                if (p && seen[p - 1] != doc) {
                    seen[p - 1] = doc;
                    w->l->phrase[p - 1].background++;
                }
            }
        }
    }
    dk_buf_free(&fold);
}

static int read_background(struct work *w, const dk_phrase_plan *plan, dk_err *err)
{
    dk_textfile *f = NULL;
    uint32_t *seen = NULL;
    dk_doc d;
    int rc = plan->background ? dk_textfile_open(&f, plan->background, DK_DOC_AUTO, NULL, err) : 0;

    if (rc == 0 && f)
        rc = dk_alloc(&seen, w->l->tested, sizeof *seen, "phrases", err);
    while (rc == 0 && f && (plan->max_docs == 0 || w->l->docs < plan->max_docs) && (rc = dk_textfile_next(f, &d, err)) == 1) {
        dk_text *parts = dk_xcalloc(d.n_messages + 1, sizeof *parts);

        for (size_t i = 0; i < d.n_messages; i++)
            parts[i] = d.message[i].content;
        if (d.kind != DK_DOC_CHAT)
            parts[0] = d.text;
        count_document(w, parts, d.kind == DK_DOC_CHAT ? d.n_messages : 1, seen, (uint32_t)++w->l->docs);
        dk_free(parts);
        rc = w->l->docs < UINT32_MAX ? 0 : dk_fail(err, DK_EDATA, "%s has too many documents", plan->background);
    }
    if (rc == 0 && f && w->l->docs == 0)
        rc = dk_fail(err, DK_EDATA, "%s holds no documents", plan->background);
    dk_textfile_close(&f);
    dk_free(seen);
    return rc < 0 ? rc : 0;
}

/* --- score ------------------------------------------------------------------------------ */
static void score(dk_phrase *p, const dk_phrase_list *l)
{
    const double f = l->docs ? (double)p->background / (double)l->docs : 0, a = .5 + 10 * f, c_t = p->count.c_t,
                 c_r = p->count.c_r, n_t = (double)l->n_t, n_r = (double)l->n_r;

    p->delta = log((c_t + a) / (n_t - c_t + a)) - log((c_r + a) / (n_r - c_r + a));
    p->z = p->delta / sqrt(1 / (c_t + a) + 1 / (c_r + a));
}

/* p depends on two counts alone, which recur. */
static int find_p(dk_phrase_list *l, dk_err *err)
{
    const size_t all = l->n_t + l->n_r, wide = l->n_r + 1;
    const bool memo = l->n_t < MEMO && (l->n_t + 1) * wide <= MEMO;
    double *known = NULL, *p = NULL, *q = NULL;
    int rc = dk_alloc(&known, memo ? (l->n_t + 1) * wide : 1, sizeof *known, "p-values", err);

    if (rc == 0) rc = dk_alloc(&p, l->tested, sizeof *p, "p-values", err);
    if (rc == 0) rc = dk_alloc(&q, l->tested, sizeof *q, "p-values", err);
    for (size_t i = 0; rc == 0 && i < l->tested; i++) {
        const dk_gram_count c = l->phrase[i].count;
        double *k = &known[memo ? c.c_t * wide + c.c_r : 0];

        if (!memo || *k <= 0)
            *k = dk_hypergeometric_p(c.c_t, all, c.c_t + c.c_r, l->n_t);
        p[i] = *k;
    }
    if (rc == 0)
        rc = dk_q_bh(q, p, l->tested, err);
    for (size_t i = 0; rc == 0 && i < l->tested; i++) {
        l->phrase[i].p = p[i];
        l->phrase[i].q = q[i];
    }
    dk_free(known);
    dk_free(p);
    dk_free(q);
    return rc;
}

/* --- the list ----------------------------------------------------------------------------- */
static void describe(const dk_phrase_set *s, const dk_phrase_list *l, dk_phrase *p, const dk_lexicon *lexicon)
{
    dk_buf text = {0};

    for (size_t k = 0; k < p->words; k++) {
        size_t n;
        const char *word = dk_intern_text(&s->words, dk_phrase_ids(&l->grams, p)[k], &n);

        dk_buf_addf(&text, "%s", k ? " " : "");
        dk_buf_add(&text, word, n);
        p->content = p->content || !dk_word_function(word, n);
        p->lexicon = p->lexicon || (lexicon && dk_lexicon_has(lexicon, word, n));
    }
    p->text = text.s;
}

static int by_rank(const void *a, const void *b)
{
    const dk_phrase *x = a, *y = b;

    if (x->listed != y->listed)
        return x->listed ? -1 : 1;
    if (!x->listed)
        return (x->lo > y->lo) - (x->lo < y->lo);
    if (x->content != y->content)
        return x->content ? -1 : 1;
    if (x->q < y->q || x->q > y->q)
        return x->q < y->q ? -1 : 1;
    if (x->z < y->z || x->z > y->z)
        return x->z > y->z ? -1 : 1;
    return strcmp(x->text, y->text);
}

size_t dk_phrase_list_count(const dk_phrase_list *l, bool content, bool lexicon, double limit)
{
    size_t n = 0;

    for (size_t i = 0; i < l->n; i++)
        n += l->phrase[i].content == content && (!lexicon || l->phrase[i].lexicon) && l->phrase[i].q <= limit;
    return n;
}

/* --- the lexicon test --------------------------------------------------------------------- */
int dk_phrase_stems_make(dk_phrase_stems *t, const dk_phrase_set *s, const dk_lexicon *lexicon, dk_err *err)
{
    dk_buf stem = {0};
    uint32_t *of = NULL, *count = NULL, *last = NULL;     /* of: [words] */
    int rc = dk_alloc(&of, s->words.n, sizeof *of, "stems", err);

    for (size_t i = 0; rc == 0 && i < s->words.n; i++) {
        size_t n;
        const char *word = dk_intern_text(&s->words, (uint32_t)i, &n);

        of[i] = UINT32_MAX;
        if (dk_word_function(word, n))
            continue;
        dk_buf_clear(&stem);
        dk_stem(&stem, word, n);
        of[i] = dk_intern_add(&t->stem, stem.n ? stem.s : "", stem.n);
    }
    if (rc == 0) rc = dk_alloc(&count, t->stem.n, sizeof *count, "stems", err);
    if (rc == 0) rc = dk_alloc(&last, t->stem.n, sizeof *last, "stems", err);
    for (size_t i = 0; rc == 0 && i < dk_phrases_words(s); i++) {
        const dk_phrase_word *w = dk_phrases_word(s, i);
        const uint32_t k = w->id == UINT32_MAX ? w->id : of[w->id];

        if (k != UINT32_MAX && last[k] != w->sample + 1) {
            last[k] = w->sample + 1;
            count[k]++;
        }
    }
    if (rc == 0)
        rc = dk_lextest_make(&t->test, count, t->stem.n, err);
    for (size_t i = 0; rc == 0 && i < s->words.n; i++) {
        size_t n;
        const char *word = dk_intern_text(&s->words, (uint32_t)i, &n);

        if (of[i] != UINT32_MAX && dk_lexicon_has(lexicon, word, n))
            dk_lextest_mark(&t->test, of[i]);
    }
    dk_buf_free(&stem);
    dk_free(of);
    dk_free(count);
    dk_free(last);
    return rc;
}

void dk_phrase_stems_free(dk_phrase_stems *t)
{
    dk_intern_free(&t->stem);
    dk_lextest_free(&t->test);
}

/* The first stems of the list's content words. */
static void test(dk_phrase_list *l, const dk_phrase_set *s, const dk_phrase_stems *stems)
{
    dk_buf stem = {0};

    for (size_t i = 0; i < l->n && l->phrase[i].content; i++)
        for (size_t k = 0; k < l->phrase[i].words && l->of < DK_PHRASE_TOP; k++) {
            size_t n, j = 0;
            const char *word = dk_intern_text(&s->words, dk_phrase_ids(&l->grams, &l->phrase[i])[k], &n);
            int64_t id;

            dk_buf_clear(&stem);
            dk_stem(&stem, word, n);
            id = dk_word_function(word, n) ? -1 : dk_intern_find(&stems->stem, stem.n ? stem.s : "", stem.n);
            while (j < l->of && l->top[j] != id)
                j++;
            if (id >= 0 && j == l->of)
                l->top[l->of++] = (uint32_t)id;
        }
    dk_buf_free(&stem);
    l->hits = dk_lextest_hits(&stems->test, l->top, l->of, &l->p_lexicon);
}

int dk_phrase_list_make(dk_phrase_list *l, const dk_phrase_set *s, uint32_t target, const dk_phrase_plan *plan,
                        const dk_phrase_stems *stems, dk_err *err)
{
    struct work w = { .s = s, .l = l };
    int rc;

    *l = (dk_phrase_list){ .target = target, .n_t = dk_phrases_of(s, target), .n_r = dk_phrases_of(s, s->reference), .p_lexicon = NAN };
    rc = dk_grams_make(&l->grams, s, target, s->reference, as_it_is, err);
    if (rc == 0)
        rc = dk_gram_marks_make(&w.marks, s, err);
    if (rc == 0)
        dk_grams_each(&l->grams, select_gram, &w);
    l->phrase = (dk_phrase *)w.phrase.s;        /* aligned: it begins a block of memory */
    l->tested = w.phrase.n / sizeof *l->phrase;
    if (rc == 0) rc = dk_phrase_table_make(&w.table, l->phrase, l->tested, &l->grams, err);
    if (rc == 0) rc = read_background(&w, plan, err);
    for (size_t i = 0; rc == 0 && i < l->tested; i++)
        score(&l->phrase[i], l);
    if (rc == 0) rc = find_p(l, err);
    for (size_t i = 0; rc == 0 && i < l->tested; i++)
        l->phrase[i].listed = l->phrase[i].q <= plan->limit;
    if (rc == 0)
        dk_phrase_keep_maximal(l->phrase, l->tested, &w.table);
    for (size_t i = 0; rc == 0 && i < l->tested; i++)
        if (l->phrase[i].listed) {
            describe(s, l, &l->phrase[i], plan->lexicon);
            l->n++;
        }
    if (rc == 0 && l->tested)
        qsort(l->phrase, l->tested, sizeof *l->phrase, by_rank);
    if (rc == 0 && stems)
        test(l, s, stems);
    dk_gram_marks_free(&w.marks);
    dk_phrase_table_free(&w.table);
    return rc;
}

void dk_phrase_list_free(dk_phrase_list *l)
{
    for (size_t i = 0; i < l->tested; i++)
        dk_free(l->phrase[i].text);
    dk_free(l->phrase);
    dk_grams_free(&l->grams);
    *l = (dk_phrase_list){0};
}
