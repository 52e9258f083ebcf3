/* Facts: whose names and numbers all occur in one sample. */
#include <string.h>

#include "io/jsonl.h"
#include "method/phrases.h"
#include "num/infer.h"
#include "text/words.h"

enum { MOST_GROUPS = 64, MOST_ALTERNATIVES = 1024 };

/* An alternative: words that follow each other. */
struct alternative { size_t n; int64_t id[DK_PHRASE_WORDS]; };

struct dk_facts {
    char *path;
    dk_jsonl rows;
};

static int bad(const dk_facts *f, size_t i, const char *what, dk_err *err)
{
    return dk_fail(err, DK_EFORMAT, "%s, fact %zu: %s", f->path, i + 1, what);
}

/* A lone text is a group of one. */
static size_t group_size(const dk_json *group) { return dk_json_type(group) == DK_JSON_STR ? 1 : dk_json_len(group); }
static const dk_json *group_at(const dk_json *group, size_t i) { return dk_json_type(group) == DK_JSON_STR ? group : dk_json_at(group, i); }

static size_t words_of(struct alternative *a, const dk_json *text, const dk_intern *words)
{
    const char *s = dk_json_str(text, "");
    size_t at = 0;
    dk_buf fold = {0};
    dk_word w;

    *a = (struct alternative){0};
    while (dk_word_next(&w, s, dk_json_len(text), &at)) {
        dk_buf_clear(&fold);
        dk_word_fold(&fold, s + w.at, w.n);
        if (a->n < DK_PHRASE_WORDS)
            a->id[a->n] = words ? dk_intern_find(words, fold.s, fold.n) : 0;
        a->n++;
    }
    dk_buf_free(&fold);
    return a->n;
}

static int check(const dk_facts *f, size_t i, dk_err *err)
{
    const dk_json *r = f->rows.row[i], *need = dk_json_get(r, "need");
    struct alternative a;

    if (dk_json_type(dk_json_get(r, "fact")) != DK_JSON_STR)
        return bad(f, i, "it has no text 'fact'", err);
    if (dk_json_type(need) != DK_JSON_ARRAY || dk_json_len(need) == 0 || dk_json_len(need) > MOST_GROUPS)
        return bad(f, i, "'need' is no list of 1 to 64 groups", err);
    if (dk_json_get(r, "within") && dk_json_int(dk_json_get(r, "within"), -1) < 0)
        return bad(f, i, "'within' is no number of words", err);
    for (size_t g = 0; g < dk_json_len(need); g++) {
        const dk_json *group = dk_json_at(need, g);

        if (group_size(group) == 0 || group_size(group) > MOST_ALTERNATIVES)
            return bad(f, i, "a group of 'need' is no list of texts", err);
        for (size_t k = 0; k < group_size(group); k++) {
            const size_t n = words_of(&a, group_at(group, k), NULL);

            if (n == 0 || n > DK_PHRASE_WORDS)
                return bad(f, i, "an alternative is no text of one to six words", err);
        }
    }
    return 0;
}

int dk_facts_load(dk_facts **out, const char *path, dk_err *err)
{
    dk_facts *f = dk_xcalloc(1, sizeof *f);
    int rc = dk_jsonl_load(&f->rows, path, err);

    f->path = dk_xstrdup(path);
    if (rc == 0 && f->rows.n == 0)
        rc = dk_fail(err, DK_EDATA, "%s holds no facts", path);
    for (size_t i = 0; rc == 0 && i < f->rows.n; i++)
        rc = check(f, i, err);
    if (rc < 0)
        dk_facts_free(&f);
    *out = f;
    return rc;
}

void dk_facts_free(dk_facts **fp)
{
    dk_facts *f = *fp;

    if (!f)
        return;
    dk_jsonl_free(&f->rows);
    dk_free(f->path);
    dk_free(f);
    *fp = NULL;
}

size_t dk_facts_n(const dk_facts *f) { return f->rows.n; }

/* --- matching ---------------------------------------------------------------------- */
/* All alternatives of a fact, group after group. */
struct fact {
    struct alternative *alternative;
    size_t n, end[MOST_GROUPS], groups, within;
};

static void resolve(struct fact *x, const dk_json *r, const dk_intern *words)
{
    const dk_json *need = dk_json_get(r, "need");

    *x = (struct fact){ .groups = dk_json_len(need), .within = (size_t)dk_json_int(dk_json_get(r, "within"), 0) };
    for (size_t g = 0; g < x->groups; g++) {
        const dk_json *group = dk_json_at(need, g);

        x->alternative = dk_xrealloc(x->alternative, (x->n + group_size(group)) * sizeof *x->alternative);
        for (size_t k = 0; k < group_size(group); k++)
            words_of(&x->alternative[x->n++], group_at(group, k), words);
        x->end[g] = x->n;
    }
}

static bool stands(const struct alternative *a, const dk_phrase_word *w, size_t left)
{
    for (size_t k = 0; k < a->n; k++)
        if (k >= left || a->id[k] < 0 || w[k].id != a->id[k])
            return false;
    return true;
}

/* Where group g begins at or behind `from` and ends before `to`; SIZE_MAX: nowhere. */
static size_t find_group(const struct fact *x, size_t g, const dk_phrase_word *w, size_t from, size_t to)
{
    for (size_t i = from; i < to; i++)
        for (size_t k = g ? x->end[g - 1] : 0; k < x->end[g]; k++)
            if (stands(&x->alternative[k], w + i, to - i))
                return i;
    return SIZE_MAX;
}

/* *from, *to: the words it stands in; of groups that may be anywhere the first one's. */
static bool holds(const struct fact *x, const dk_phrase_set *s, const dk_phrase_sample *a, size_t *from, size_t *to)
{
    const dk_phrase_word *w = dk_phrases_word(s, a->word);
    bool all = true;

    for (size_t g = x->groups; x->within == 0 && all && g-- > 0;) {
        *from = find_group(x, g, w, 0, a->n_words);
        *to = *from + 1;
        all = *from != SIZE_MAX;
    }
    if (x->within == 0)
        return all;
    for (size_t i = 0; i < a->n_words; i++) {       /* the window that begins with the first of its words */
        const size_t end = a->n_words - i > x->within ? i + x->within : a->n_words;
        bool here = false;

        all = true;
        for (size_t g = 0; all && g < x->groups; g++) {
            const size_t at = find_group(x, g, w, i, end);

            all = at != SIZE_MAX;
            here = here || at == i;
        }
        if (all && here) {
            *from = i;
            *to = end;
            return true;
        }
    }
    return false;
}

void dk_facts_put(dk_buf *out, const dk_facts *f, const dk_phrase_set *s, uint32_t target, size_t *found, size_t *seen)
{
    const size_t n_t = dk_phrases_of(s, target), n_r = dk_phrases_of(s, s->reference);
    const double limit = .01 / (double)f->rows.n;

    *found = *seen = 0;
    for (size_t i = 0; i < f->rows.n; i++) {
        const dk_json *r = f->rows.row[i];
        size_t c[2] = {0}, from = 0, to = 1, example[DK_PHRASE_EXAMPLES][3], n = 0;
        dk_jw j = { .out = out };
        struct fact x;
        double p, lo, hi;

        resolve(&x, r, &s->words);
        for (size_t k = 0; k < dk_phrases_samples(s); k++) {
            const dk_phrase_sample *a = dk_phrases_sample(s, k);
            const bool own = a->lane == target;

            if ((!own && a->lane != s->reference) || !holds(&x, s, a, &from, &to))
                continue;
            c[own]++;
            if (own && n < DK_PHRASE_EXAMPLES) {
                const dk_phrase_word *w = dk_phrases_word(s, a->word);

                example[n][0] = k;
                example[n][1] = w[from].at;
                example[n++][2] = w[to - 1].at + w[to - 1].n;
            }
        }
        p = dk_hypergeometric_p(c[1], n_t + n_r, c[0] + c[1], n_t);
        dk_wilson(&lo, &hi, c[1], n_t);
        *found += p <= limit;
        *seen += c[1] > 0;
        dk_phrase_open(&j, s, "fact", target);
        if (dk_json_get(r, "id")) {
            dk_jw_key(&j, "id"); dk_jw_value(&j, dk_json_get(r, "id"));
        }
        dk_jw_key(&j, "fact"); dk_jw_value(&j, dk_json_get(r, "fact"));
        dk_jw_key(&j, "c_t"); dk_jw_u64(&j, c[1]);
        dk_jw_key(&j, "n_t"); dk_jw_u64(&j, n_t);
        dk_jw_key(&j, "lo"); dk_jw_num(&j, lo);
        dk_jw_key(&j, "hi"); dk_jw_num(&j, hi);
        dk_jw_key(&j, "c_r"); dk_jw_u64(&j, c[0]);
        dk_jw_key(&j, "n_r"); dk_jw_u64(&j, n_r);
        dk_jw_key(&j, "p"); dk_jw_num(&j, p);
        dk_jw_key(&j, "limit"); dk_jw_num(&j, limit);
        dk_jw_key(&j, "found"); dk_jw_bool(&j, p <= limit);
        dk_jw_key(&j, "examples");
        dk_jw_arr_begin(&j);
        for (size_t k = 0; k < n; k++)
            dk_phrase_example_put(&j, s, example[k][0], example[k][1], example[k][2]);
        dk_jw_arr_end(&j);
        dk_jw_obj_end(&j);
        dk_jw_line(&j);
        dk_free(x.alternative);
    }
}
