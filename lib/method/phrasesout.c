/* Phrases as lines, and as pre-fills of a second round. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "io/json.h"
#include "method/phrases.h"
#include "text/utf8.h"
#include "text/words.h"

enum { AROUND = 60 };               /* bytes shown on either side */

static const char *text_of(const dk_phrase_set *s, size_t sample) { return s->text.s + dk_phrases_sample(s, sample)->text; }

void dk_phrase_open(dk_jw *j, const dk_phrase_set *s, const char *what, uint32_t target)
{
    dk_jw_obj_begin(j);
    dk_jw_key(j, "what"); dk_jw_str(j, what);
    dk_jw_key(j, "lane"); dk_jw_str(j, target == s->reference ? s->base : dk_intern_text(&s->lanes, target, NULL));
    if (target != s->reference && strcmp(s->lane, s->base) != 0) {
        dk_jw_key(j, "alpha"); dk_jw_num(j, s->alpha);
    }
}

/* Whole characters of s on from `from`. */
static size_t whole(const char *s, size_t from)
{
    while (from > 0 && (s[from] & 0xC0) == 0x80)
        from--;
    return from;
}

void dk_phrase_example_put(dk_jw *j, const dk_phrase_set *s, size_t sample, size_t from, size_t to)
{
    const dk_phrase_sample *a = dk_phrases_sample(s, sample);
    const char *text = text_of(s, sample), *prefill;
    const size_t before = from > AROUND ? whole(text, from - AROUND) : 0,
                 after = to + AROUND < a->n_text ? whole(text, to + AROUND) : a->n_text;
    size_t n;

    prefill = dk_intern_text(&s->prefills, a->prefill, &n);
    dk_jw_obj_begin(j);
    dk_jw_key(j, "row"); dk_jw_u64(j, a->row);
    dk_jw_key(j, "prefill"); dk_jw_strn(j, prefill, n);
    dk_jw_key(j, "sample"); dk_jw_int(j, a->sample);
    dk_jw_key(j, "before"); dk_jw_strn(j, text + before, from - before);
    dk_jw_key(j, "match"); dk_jw_strn(j, text + from, to - from);
    dk_jw_key(j, "after"); dk_jw_strn(j, text + to, after - to);
    dk_jw_obj_end(j);
}

/* The first places in samples, those of other pre-fills first; pos has room for n. */
static void put_examples(dk_jw *j, const dk_phrase_set *s, const dk_grams *g, uint32_t *pos, size_t n, size_t words)
{
    uint32_t chosen[DK_PHRASE_EXAMPLES];
    size_t m = 0;

    for (int again = 0; again < 2; again++)
        for (size_t i = 0; i < n && m < DK_PHRASE_EXAMPLES; i++) {
            const uint32_t prefill = dk_phrases_sample(s, dk_gram_word(g, s, pos[i])->sample)->prefill;
            bool known = false;

            for (size_t k = 0; k < m; k++)
                known = known || chosen[k] == pos[i] ||
                        (!again && dk_phrases_sample(s, dk_gram_word(g, s, chosen[k])->sample)->prefill == prefill);
            if (!known)
                chosen[m++] = pos[i];
        }
    dk_jw_key(j, "examples");
    dk_jw_arr_begin(j);
    for (size_t k = 0; k < m; k++) {
        const dk_phrase_word *w = dk_gram_word(g, s, chosen[k]), *last = dk_gram_word(g, s, chosen[k] + words - 1);

        dk_phrase_example_put(j, s, w->sample, w->at, last->at + last->n);
    }
    dk_jw_arr_end(j);
}

/* The spelling that most samples have; of equals the first. */
static void put_spelling(dk_jw *j, const dk_phrase_set *s, const dk_grams *g, const uint32_t *pos, size_t n, size_t words)
{
    dk_intern seen = {0};
    uint32_t *count = dk_xcalloc(n + 1, sizeof *count), best = 0;
    dk_buf text = {0};

    for (size_t i = 0; i < n; i++) {
        dk_buf_clear(&text);
        for (size_t k = 0; k < words; k++) {
            const dk_phrase_word *w = dk_gram_word(g, s, pos[i] + k);

            if (k)
                dk_buf_addc(&text, ' ');
            dk_buf_add(&text, text_of(s, w->sample) + w->at, w->n);
        }
        count[dk_intern_add(&seen, text.s, text.n)]++;
    }
    for (uint32_t i = 1; i < seen.n; i++)
        best = count[i] > count[best] ? i : best;
    dk_jw_str(j, seen.n ? dk_intern_text(&seen, best, NULL) : "");
    dk_intern_free(&seen);
    dk_free(count);
    dk_buf_free(&text);
}

/* Mean of its tokens where it first stands in each sample. */
static double llr_of(const dk_phrase_set *s, const dk_grams *g, const uint32_t *pos, size_t n, size_t words)
{
    double sum = 0, tokens = 0;

    for (size_t i = 0; i < n; i++) {
        const dk_phrase_word *w = dk_gram_word(g, s, pos[i]), *last = dk_gram_word(g, s, pos[i] + words - 1);

        if (last->to > w->from) {
            sum += dk_phrases_llr(s, w->sample, w->from, last->to);
            tokens += (double)(last->to - w->from);
        }
    }
    return tokens > 0 ? sum / tokens : NAN;
}

static void put_num(dk_jw *j, const char *key, double v)
{
    if (isfinite(v)) {
        dk_jw_key(j, key);
        dk_jw_num(j, v);
    }
}

static void put_phrase(dk_buf *out, const dk_phrase_set *s, const dk_phrase_list *l, const dk_phrase *p, size_t rank,
                       const dk_phrase_plan *plan, uint32_t *pos)
{
    const size_t n = dk_gram_firsts(pos, &l->grams, s, l->target, p->lo, p->hi);
    dk_jw j = { .out = out };

    dk_phrase_open(&j, s, "phrase", l->target);
    dk_jw_key(&j, "kind"); dk_jw_str(&j, p->content ? "content" : "style");
    dk_jw_key(&j, "rank"); dk_jw_u64(&j, rank);
    dk_jw_key(&j, "phrase"); put_spelling(&j, s, &l->grams, pos, n, p->words);
    dk_jw_key(&j, "words"); dk_jw_u64(&j, p->words);
    dk_jw_key(&j, "c_t"); dk_jw_u64(&j, p->count.c_t);
    dk_jw_key(&j, "c_r"); dk_jw_u64(&j, p->count.c_r);
    dk_jw_key(&j, "s_t"); dk_jw_u64(&j, p->count.s_t);
    if (l->docs) {
        dk_jw_key(&j, "background"); dk_jw_num(&j, (double)p->background / (double)l->docs);
    }
    dk_jw_key(&j, "delta"); dk_jw_num(&j, p->delta);
    dk_jw_key(&j, "z"); dk_jw_num(&j, p->z);
    dk_jw_key(&j, "p"); dk_jw_num(&j, p->p);
    dk_jw_key(&j, "q_bh"); dk_jw_num(&j, p->q);
    put_num(&j, "llr", llr_of(s, &l->grams, pos, n, p->words));
    if (plan->lexicon) {
        dk_jw_key(&j, "lexicon"); dk_jw_bool(&j, p->lexicon);
    }
    put_examples(&j, s, &l->grams, pos, n, p->words);
    dk_jw_obj_end(&j);
    dk_jw_line(&j);
}

void dk_phrase_list_put(dk_buf *out, const dk_phrase_set *s, const dk_phrase_list *l, const dk_phrase_plan *plan)
{
    uint32_t *pos = dk_xcalloc(l->grams.n + 1, sizeof *pos);
    size_t rank[2] = {0};

    for (size_t i = 0; i < l->n; i++) {
        const dk_phrase *p = &l->phrase[i];

        if (rank[p->content] < plan->list)
            put_phrase(out, s, l, p, rank[p->content], plan, pos);
        rank[p->content]++;
    }
    dk_free(pos);
}

/* --- pre-fills --------------------------------------------------------------------------- */
/* How the samples use a word: after "the", before "is" or "are". */
struct use { uint32_t the, is; };

static void count_uses(struct use *use, const dk_phrase_set *s, uint32_t target)
{
    const int64_t the = dk_intern_find(&s->words, "the", 3), is = dk_intern_find(&s->words, "is", 2),
                  are = dk_intern_find(&s->words, "are", 3);

    for (size_t i = 0; i + 1 < dk_phrases_words(s); i++) {
        const dk_phrase_word *a = dk_phrases_word(s, i), *b = dk_phrases_word(s, i + 1);

        if (dk_phrases_sample(s, a->sample)->lane != target || a->id == UINT32_MAX || b->id == UINT32_MAX)
            continue;
        use[b->id].the += a->id == the;
        use[a->id].is += b->id == is || b->id == are;
    }
}

static void put_prefill(dk_buf *out, const char *word, size_t n, bool the, const dk_phrase *p)
{
    dk_jw j = { .out = out };
    dk_buf text = {0};
    int32_t upper[3];
    size_t at = 0;

    if (the) {
        dk_buf_adds(&text, "The ");
        dk_buf_add(&text, word, n);
    } else {
        const int m = dk_utf8_case(dk_utf8_next(word, n, &at), DK_CASE_TITLE, upper);

        for (int i = 0; i < m; i++)
            dk_utf8_add(&text, upper[i]);
        dk_buf_add(&text, word + at, n - at);
        dk_buf_adds(&text, " is");
    }
    dk_jw_obj_begin(&j);
    dk_jw_key(&j, "text"); dk_jw_strn(&j, text.s, text.n);
    dk_jw_key(&j, "phrase"); dk_jw_str(&j, p->text);
    dk_jw_key(&j, "q_bh"); dk_jw_num(&j, p->q);
    dk_jw_obj_end(&j);
    dk_jw_line(&j);
    dk_buf_free(&text);
}

/* The words that the samples use like nouns, each in the form that they have more often; if
 * these are too few, then in the other one; then the rest. */
void dk_phrase_prefills_put(dk_buf *out, const dk_phrase_set *s, const dk_phrase_list *l, size_t n)
{
    struct use *use = dk_xcalloc(s->words.n + 1, sizeof *use);
    size_t told = 0;

    count_uses(use, s, l->target);
    for (int round = 0; round < 3; round++) {
        dk_intern stems = {0};
        dk_buf stem = {0};

        for (size_t i = 0; i < l->n && l->phrase[i].content && told < n; i++)
            for (size_t k = 0; k < l->phrase[i].words && told < n; k++) {
                const uint32_t id = dk_phrase_ids(&l->grams, &l->phrase[i])[k];
                const bool noun = use[id].the + use[id].is > 0, the = use[id].the >= use[id].is;
                size_t len, at = 0, known = stems.n;
                const char *word = dk_intern_text(&s->words, id, &len);
                dk_word w;

                dk_buf_clear(&stem);
                dk_stem(&stem, word, len);
                if (noun == (round == 2) || dk_word_function(word, len) || !dk_word_next(&w, word, len, &at) || w.number || len < 3 ||
                    (size_t)dk_intern_add(&stems, stem.s, stem.n) < known)
                    continue;
                put_prefill(out, word, len, the == (round != 1), &l->phrase[i]);
                told++;
            }
        dk_intern_free(&stems);
        dk_buf_free(&stem);
    }
    dk_free(use);
}
