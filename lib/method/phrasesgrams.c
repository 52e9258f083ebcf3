/* N-grams: one sort of all places by the six words that begin there brings equal
 * n-grams together, for every n. */
#include "method/phrases.h"

#include <stdlib.h>
#include <string.h>

static int by_words(const void *a, const void *b, void *user)
{
    const uint32_t *id = user, x = *(const uint32_t *)a, y = *(const uint32_t *)b;

    for (size_t k = 0; k < DK_PHRASE_WORDS; k++) {
        if (id[x + k] != id[y + k])
            return id[x + k] > id[y + k] ? 1 : -1;
        if (id[x + k] == UINT32_MAX)
            break;
    }
    return (x > y) - (x < y);
}

int dk_grams_make(dk_grams *g, const dk_phrase_set *s, uint32_t a, uint32_t b, dk_gram_id *as, dk_err *err)
{
    const size_t all = dk_phrases_words(s);
    int rc = dk_alloc(&g->id, all + 1, sizeof *g->id, "n-grams", err);

    if (rc == 0) rc = dk_alloc(&g->word, all + 1, sizeof *g->word, "n-grams", err);
    if (rc == 0) rc = dk_alloc(&g->pos, all + 1, sizeof *g->pos, "n-grams", err);
    if (rc == 0) rc = dk_alloc(&g->common, all + 1, 1, "n-grams", err);
    if (rc == 0) rc = dk_alloc(&g->length, all + 1, 1, "n-grams", err);
    g->n = 0;
    for (size_t i = 0; rc == 0 && i < all; i++) {
        const dk_phrase_word *w = dk_phrases_word(s, i);
        const uint32_t lane = dk_phrases_sample(s, w->sample)->lane;

        if (lane != a && lane != b)
            continue;
        g->id[g->n] = w->id == UINT32_MAX ? w->id : as(w);
        g->word[g->n] = (uint32_t)i;
        g->pos[g->n] = (uint32_t)g->n;
        g->n++;
    }
    if (rc < 0)
        return rc;
    if (g->n)
        qsort_r(g->pos, g->n, sizeof *g->pos, by_words, g->id);
    for (size_t i = 0; i < g->n; i++) {
        const uint32_t *x = g->id + g->pos[i], *y = i ? g->id + g->pos[i - 1] : x;

        while (g->length[i] < DK_PHRASE_WORDS && x[g->length[i]] != UINT32_MAX)
            g->length[i]++;
        while (i && g->common[i] < g->length[i] && x[g->common[i]] == y[g->common[i]])
            g->common[i]++;
    }
    return 0;
}

void dk_grams_free(dk_grams *g)
{
    dk_free(g->id);
    dk_free(g->word);
    dk_free(g->pos);
    dk_free(g->common);
    dk_free(g->length);
    *g = (dk_grams){0};
}

void dk_grams_each(const dk_grams *g, dk_gram_fn *fn, void *user)
{
    for (size_t n = 1; n <= DK_PHRASE_WORDS; n++)
        for (size_t i = 0, end; i < g->n; i = end) {
            for (end = i + 1; end < g->n && g->common[end] >= n;)
                end++;
            if (g->length[i] >= n)
                fn(user, n, i, end);
        }
}

/* --- counts ------------------------------------------------------------------------ */
int dk_gram_marks_make(dk_gram_marks *m, const dk_phrase_set *s, dk_err *err)
{
    int rc = dk_alloc(&m->sample, dk_phrases_samples(s), sizeof *m->sample, "counts", err);

    if (rc == 0) rc = dk_alloc(&m->target, s->prefills.n, sizeof *m->target, "counts", err);
    if (rc == 0) rc = dk_alloc(&m->any, s->prefills.n, sizeof *m->any, "counts", err);
    return rc;
}

void dk_gram_marks_free(dk_gram_marks *m)
{
    dk_free(m->sample);
    dk_free(m->target);
    dk_free(m->any);
    *m = (dk_gram_marks){0};
}

/* Whether it is not marked yet; it is afterwards. */
static bool first(uint32_t *mark, size_t i, uint32_t now)
{
    const bool is = mark[i] != now;

    mark[i] = now;
    return is;
}

dk_gram_count dk_gram_count_of(const dk_grams *g, const dk_phrase_set *s, dk_gram_marks *m, uint32_t target, size_t lo, size_t hi)
{
    dk_gram_count c = {0};

    m->now++;
    for (size_t i = lo; i < hi; i++) {
        const uint32_t sample = dk_gram_word(g, s, g->pos[i])->sample;
        const dk_phrase_sample *a = dk_phrases_sample(s, sample);

        if (!first(m->sample, sample, m->now))
            continue;
        c.prefills += first(m->any, a->prefill, m->now);
        if (a->lane == target) {
            c.c_t++;
            c.s_t += first(m->target, a->prefill, m->now);
        } else
            c.c_r++;
    }
    return c;
}

static int by_number(const void *a, const void *b)
{
    const uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

    return (x > y) - (x < y);
}

size_t dk_gram_places(uint32_t *out, const dk_grams *g, const dk_phrase_set *s, uint32_t target, size_t lo, size_t hi)
{
    size_t n = 0;

    for (size_t i = lo; i < hi; i++)
        if (dk_phrases_sample(s, dk_gram_word(g, s, g->pos[i])->sample)->lane == target)
            out[n++] = g->pos[i];
    if (n)
        qsort(out, n, sizeof *out, by_number);
    return n;
}

size_t dk_gram_firsts(uint32_t *out, const dk_grams *g, const dk_phrase_set *s, uint32_t target, size_t lo, size_t hi)
{
    const size_t n = dk_gram_places(out, g, s, target, lo, hi);
    size_t kept = 0;

    for (size_t i = 0; i < n; i++)
        if (i == 0 || dk_gram_word(g, s, out[i])->sample != dk_gram_word(g, s, out[kept - 1])->sample)
            out[kept++] = out[i];
    return kept;
}
