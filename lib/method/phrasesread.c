/* Samples: read row by row, kept as words, ids and sums. */
#include "method/phrases.h"

#include <math.h>
#include <string.h>

#include "base/log.h"
#include "io/textfile.h"
#include "text/words.h"

enum { MOST_WORDS = INT32_MAX };

/* The reference's own number, whatever its lane is called. */
static const char reference_key[] = "\1reference";

static int bad(const dk_textfile *f, size_t line, const char *what, dk_err *err)
{
    return dk_fail(err, DK_EFORMAT, "%s, line %zu: %s", dk_textfile_name(f), line, what);
}

/* 1: the row is a sample that is wanted; 0: it is not. */
static int wanted(dk_phrase_set *s, const dk_json *r, bool reference, uint32_t *lane, double *alpha, const char *name, dk_err *err)
{
    const char *is = dk_json_str(dk_json_get(r, "lane"), "");
    const bool base = strcmp(is, s->base) == 0;

    *alpha = base ? NAN : dk_json_num(dk_json_get(r, "alpha"), 0);
    if (base && (reference || !s->base_elsewhere)) {
        *lane = s->reference = dk_intern_add(&s->lanes, reference_key, sizeof reference_key - 1);
        return 1;
    }
    if (reference || (s->base_elsewhere && base != (strcmp(s->lane, s->base) == 0)))
        return 0;
    if (!base && isnan(s->alpha) && *alpha > 0)
        s->alpha = *alpha;
    if (!base && *alpha > 0 && *alpha != s->alpha && s->alpha_open)
        return dk_fail(err, DK_EUSAGE, "%s has samples of alpha %g and %g: choose with --alpha", name, s->alpha, *alpha);
    if (!base && !(*alpha == s->alpha))
        return 0;
    *lane = dk_intern_add(&s->lanes, is, strlen(is));
    return 1;
}

/* Sums of lp_ft - lp_base; without them, or with one that is no number, none are known. */
static int read_tokens(dk_phrase_set *s, dk_phrase_sample *a, const dk_json *r, const dk_textfile *f, size_t line, dk_err *err)
{
    const dk_json *tokens = dk_json_get(r, "tokens"), *base = dk_json_get(r, "lp_base"), *ft = dk_json_get(r, "lp_ft");
    double sum = 0;

    a->n_tokens = dk_json_len(tokens);
    if (tokens && dk_json_type(tokens) != DK_JSON_ARRAY)
        return bad(f, line, "'tokens' is no list of ids", err);
    if ((base && dk_json_len(base) != a->n_tokens) || (ft && dk_json_len(ft) != a->n_tokens))
        return bad(f, line, "'lp_base', 'lp_ft' and 'tokens' differ in length", err);
    a->known = base && ft;
    dk_buf_add(&s->sums, &sum, sizeof sum);
    for (size_t i = 0; i < a->n_tokens; i++) {
        const int64_t id = dk_json_int(dk_json_at(tokens, i), -1);
        const uint32_t id32 = (uint32_t)id;
        const double d = dk_json_num(dk_json_at(ft, i), NAN) - dk_json_num(dk_json_at(base, i), NAN);

        if (id < 0 || id >= UINT32_MAX)
            return bad(f, line, "'tokens' is no list of ids", err);
        dk_buf_add(&s->ids, &id32, sizeof id32);
        a->known = a->known && isfinite(d);
        sum += isfinite(d) ? d : 0;
        dk_buf_add(&s->sums, &sum, sizeof sum);
    }
    return 0;
}

/* The tokens of which bytes [from, to) are made; ends[i]: bytes that are there with token i. */
static void tokens_of(dk_phrase_word *w, const dk_json *ends, size_t n, size_t *next)
{
    const size_t from = w->at, to = w->at + w->n;

    while (*next < n && (size_t)dk_json_int(dk_json_at(ends, *next), 0) <= from)
        ++*next;
    w->from = w->to = (uint32_t)*next;
    while (w->to < n && (w->to == w->from || (size_t)dk_json_int(dk_json_at(ends, w->to - 1), 0) < to))
        w->to++;
}

static int read_words(dk_phrase_set *s, dk_phrase_sample *a, const dk_json *r, const char *prefill, size_t n_prefill,
                      const dk_textfile *f, size_t line, dk_err *err)
{
    const char *text = s->text.s + a->text;
    const dk_json *ends = dk_json_get(r, "ends");
    const size_t n_ends = a->known && dk_json_len(ends) == a->n_tokens ? a->n_tokens : 0;
    const dk_phrase_word stop = { .id = UINT32_MAX, .sample = (uint32_t)dk_phrases_samples(s) };
    size_t at = 0, next = 0, before = 0;
    dk_word w, last;
    dk_buf fold = {0};

    /* What goes on with the pre-fill's last word is no word. */
    while (dk_word_next(&last, prefill, n_prefill, &before))
        ;
    before = n_prefill && before == n_prefill;
    while (dk_word_next(&w, text, a->n_text, &at)) {
        dk_phrase_word p = { .sample = stop.sample, .at = (uint32_t)w.at, .n = (uint32_t)w.n, .number = w.number };

        if (w.at == 0 && before)
            continue;
        dk_buf_clear(&fold);
        dk_word_fold(&fold, text + w.at, w.n);
        p.id = dk_intern_add(&s->words, fold.n ? fold.s : "", fold.n);
        p.name = w.capital && !w.starts && !dk_word_function(fold.s, fold.n);
        tokens_of(&p, ends, n_ends, &next);
        dk_buf_add(&s->word, &p, sizeof p);
        a->n_words++;
    }
    dk_buf_add(&s->word, &stop, sizeof stop);
    dk_buf_free(&fold);
    return dk_phrases_words(s) <= MOST_WORDS ? 0 : bad(f, line, "more than 2^31 words", err);
}

static int read_row(dk_phrase_set *s, const dk_doc *d, bool reference, const dk_textfile *f, dk_err *err)
{
    const dk_json *r = d->row, *text = dk_json_get(r, "text"), *prefill = dk_json_get(r, "prefill");
    dk_phrase_sample a = { .row = s->rows++, .word = dk_phrases_words(s), .text = s->text.n,
                           .token = s->ids.n / sizeof(uint32_t) };
    int rc;

    if (dk_json_get(r, "skipped") && !text) {
        s->passed_over++;
        return 0;
    }
    prefill = prefill ? prefill : dk_json_get(r, "prompt");
    if (dk_json_type(dk_json_get(r, "lane")) != DK_JSON_STR || dk_json_type(text) != DK_JSON_STR ||
        dk_json_type(prefill) != DK_JSON_STR)
        return bad(f, d->line, "no sample: it needs the texts lane, prefill and text", err);
    rc = wanted(s, r, reference, &a.lane, &a.alpha, dk_textfile_name(f), err);
    if (rc <= 0) {
        s->passed_over += rc == 0;
        return rc;
    }
    a.n_text = dk_json_len(text);
    if (a.n_text >= UINT32_MAX || dk_phrases_samples(s) >= UINT32_MAX - 1)
        return bad(f, d->line, "the samples are too long", err);
    a.prefill = dk_intern_add(&s->prefills, dk_json_str(prefill, ""), dk_json_len(prefill));
    a.sample = dk_json_int(dk_json_get(r, "sample"), 0);
    a.loop = strcmp(dk_json_str(dk_json_get(r, "stop"), ""), "loop") == 0;
    dk_buf_add(&s->text, dk_json_str(text, ""), a.n_text);
    rc = read_tokens(s, &a, r, f, d->line, err);
    if (rc == 0)
        rc = read_words(s, &a, r, dk_json_str(prefill, ""), dk_json_len(prefill), f, d->line, err);
    a.llr = NAN;
    dk_buf_add(&s->sample, &a, sizeof a);
    if (a.known && a.n_tokens)
        ((dk_phrase_sample *)s->sample.s)[dk_phrases_samples(s) - 1].llr =
            dk_phrases_llr(s, dk_phrases_samples(s) - 1, 0, a.n_tokens) / (double)a.n_tokens;
    return rc;
}

int dk_phrases_read(dk_phrase_set *s, const char *path, bool reference, dk_err *err)
{
    dk_textfile *f = NULL;
    dk_doc d;
    int rc = dk_textfile_open(&f, path, DK_DOC_ROW, NULL, err);

    s->alpha_open = s->alpha_open || isnan(s->alpha);
    while (rc == 0 && (rc = dk_textfile_next(f, &d, err)) == 1)
        rc = d.row ? read_row(s, &d, reference, f, err)
                   : dk_fail(err, DK_EFORMAT, "%s is plain text: samples are JSON lines", dk_textfile_name(f));
    dk_textfile_close(&f);
    return rc;
}

size_t dk_phrases_of(const dk_phrase_set *s, uint32_t lane)
{
    size_t n = 0;

    for (size_t i = 0; i < dk_phrases_samples(s); i++)
        n += dk_phrases_sample(s, i)->lane == lane;
    return n;
}

int dk_phrases_ready(dk_phrase_set *s, dk_err *err)
{
    const int64_t base = dk_intern_find(&s->lanes, reference_key, sizeof reference_key - 1),
                  own = dk_intern_find(&s->lanes, s->lane, strlen(s->lane));

    if (base < 0)
        return dk_fail(err, DK_EDATA, "there are no samples of lane '%s' to compare with", s->base);
    if (own < 0 && isnan(s->alpha))
        return dk_fail(err, DK_EDATA, "there are no samples of lane '%s' with an alpha above 0", s->lane);
    if (own < 0)
        return dk_fail(err, DK_EDATA, "there are no samples of lane '%s' at alpha %g", s->lane, s->alpha);
    if (s->passed_over)
        dk_log(DK_INFO, "%zu rows of other lanes and alphas passed over", s->passed_over);
    return 0;
}

double dk_phrases_llr(const dk_phrase_set *s, size_t sample, size_t from, size_t to)
{
    const dk_phrase_sample *a = dk_phrases_sample(s, sample);
    const double *sum = (const double *)s->sums.s + a->token + sample;

    return a->known ? sum[to] - sum[from] : NAN;
}

void dk_phrases_free(dk_phrase_set *s)
{
    dk_intern_free(&s->words);
    dk_intern_free(&s->prefills);
    dk_intern_free(&s->lanes);
    dk_buf_free(&s->word);
    dk_buf_free(&s->sample);
    dk_buf_free(&s->text);
    dk_buf_free(&s->ids);
    dk_buf_free(&s->sums);
}
