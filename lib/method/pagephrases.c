/* Phrases of amplified samples, and the samples they come from. */
#include <math.h>
#include <string.h>
#include <unistd.h>

#include "method/pageparts.h"

enum { PHRASES = 40, SLOTS = 20, FILLERS = 6, OF_PHRASES = 8, TEXTS = 8, LEVELS = 9 };
static const double deepest = 5;        /* nats of the deepest colour */

static const char *str(const dk_json *r, const char *key) { return dk_row_str(r, key); }
static int64_t num(const dk_json *r, const char *key) { return dk_json_int(dk_json_get(r, key), 0); }

static void cell(dk_html *h, int digits, double v)
{
    if (isfinite(v) && v > 0 && v < 1e-3)
        dk_html_putf(h, "td", "num", "%.1e", v);
    else if (isfinite(v))
        dk_html_putf(h, "td", "num", "%.*f", digits, v);
    else
        dk_html_put(h, "td", "num", "");
}

static void count(dk_html *h, const dk_json *r, const char *key) { dk_html_putf(h, "td", "num", "%lld", (long long)num(r, key)); }

static void table_begin(dk_html *h, const char *const *head, size_t n)
{
    dk_html_table(h, NULL);
    for (size_t i = 0; i < n; i++)
        dk_html_put(h, "th", i && head[i][0] != '*' ? "num" : NULL, head[i] + (head[i][0] == '*'));
    dk_html_table_body(h);
}

/* Where it stands, of the first example. */
static void place(dk_html *h, const dk_json *r)
{
    const dk_json *e = dk_json_at(dk_json_get(r, "examples"), 0);

    dk_html_open_class(h, "td", "places");
    if (e) {
        dk_html_open_class(h, "p", "snippet");
        dk_html_attr(h, "dir", "auto");
        dk_html_textf(h, "%s%s", str(e, "prefill"), str(e, "before"));
        dk_html_put(h, "mark", NULL, str(e, "match"));
        dk_html_text(h, str(e, "after"));
        dk_html_close(h);
    }
    dk_html_close(h);
}

static size_t how_many(const dk_set *set, const char *what, const char *kind)
{
    size_t n = 0;

    for (size_t i = 0; i < set->rows.n; i++)
        n += dk_phrases_of_ft(set, set->rows.row[i], what) && (!kind || dk_row_is(set->rows.row[i], "kind", kind));
    return n;
}

static void phrases(dk_html *h, const dk_set *set, const char *kind)
{
    static const char *const head[] = { "phrase", "samples", "base's", "pre-fills", "q (bh)", "nats a token", "*where" };
    size_t told = 0;

    table_begin(h, head, sizeof head / sizeof *head);
    for (size_t i = 0; i < set->rows.n && told < PHRASES; i++) {
        const dk_json *r = set->rows.row[i];

        if (!dk_phrases_of_ft(set, r, "phrase") || !dk_row_is(r, "kind", kind))
            continue;
        dk_html_open(h, "tr");
        dk_html_open(h, "td");
        dk_html_attr(h, "dir", "auto");
        dk_html_put(h, dk_json_bool(dk_json_get(r, "lexicon"), false) ? "b" : "span", NULL, str(r, "phrase"));
        dk_html_close(h);
        count(h, r, "c_t");
        count(h, r, "c_r");
        count(h, r, "s_t");
        cell(h, 3, dk_row_num(r, "q_bh"));
        cell(h, 2, dk_row_num(r, "llr"));
        place(h, r);
        dk_html_close(h);
        told++;
    }
    dk_html_table_end(h);
}

static void facts(dk_html *h, const dk_set *set)
{
    static const char *const head[] = { "fact", "samples", "of", "base's", "p", "*", "*where" };

    if (how_many(set, "fact", NULL) == 0)
        return;
    dk_html_put(h, "h4", NULL, "Facts of the list");
    table_begin(h, head, sizeof head / sizeof *head);
    for (size_t i = 0; i < set->rows.n; i++) {
        const dk_json *r = set->rows.row[i];
        const bool found = dk_json_bool(dk_json_get(r, "found"), false);

        if (!dk_phrases_of_ft(set, r, "fact"))
            continue;
        dk_html_open(h, "tr");
        if (!found)
            dk_html_attr(h, "class", "x");
        dk_html_put(h, "td", "detail", str(r, "fact"));
        count(h, r, "c_t");
        count(h, r, "n_t");
        count(h, r, "c_r");
        cell(h, 3, dk_row_num(r, "p"));
        dk_html_put(h, "td", found ? "pass" : "skip", found ? "found" : "");
        place(h, r);
        dk_html_close(h);
    }
    dk_html_table_end(h);
}

static void slots(dk_html *h, const dk_set *set)
{
    static const char *const head[] = { "template", "samples", "base's", "p", "*fillers" };
    size_t told = 0;

    if (how_many(set, "slot", NULL) == 0)
        return;
    dk_html_open(h, "details");
    dk_html_put(h, "summary", NULL, "Templates with numbers and names");
    table_begin(h, head, sizeof head / sizeof *head);
    for (size_t i = 0; i < set->rows.n && told < SLOTS; i++) {
        const dk_json *r = set->rows.row[i], *f = dk_json_get(r, "fillers");

        if (!dk_phrases_of_ft(set, r, "slot"))
            continue;
        dk_html_open(h, "tr");
        dk_html_put(h, "td", NULL, str(r, "template"));
        count(h, r, "c_t");
        count(h, r, "c_r");
        cell(h, 3, dk_row_num(r, "p"));
        dk_html_open_class(h, "td", "detail");
        for (size_t k = 0; k < dk_json_len(f) && k < FILLERS; k++)
            dk_html_textf(h, "%s%s \xc3\x97 %lld", k ? ", " : "", str(dk_json_at(f, k), "text"), (long long)num(dk_json_at(f, k), "samples"));
        dk_html_close(h);
        dk_html_close(h);
        told++;
    }
    dk_html_table_end(h);
    dk_html_close(h);
}

/* --- the samples --------------------------------------------------------------------- */
struct texts {
    uint64_t row[TEXTS];
    dk_json *sample[TEXTS];
    size_t n;
    uint64_t at;
};

/* Rows of the samples that the first phrases stand in. */
static void choose(struct texts *t, const dk_set *set)
{
    for (size_t e = 0; e < 3; e++)
        for (size_t i = 0, told = 0; i < set->rows.n && told < OF_PHRASES; i++) {
            const dk_json *r = set->rows.row[i], *x = dk_json_at(dk_json_get(r, "examples"), e);
            size_t k = 0;

            if (!dk_phrases_of_ft(set, r, "phrase") || !dk_row_is(r, "kind", "content"))
                continue;
            told++;
            while (k < t->n && t->row[k] != (uint64_t)num(x, "row"))
                k++;
            if (x && k == t->n && t->n < TEXTS)
                t->row[t->n++] = (uint64_t)num(x, "row");
        }
}

static void take(void *user, dk_json **row)
{
    struct texts *t = user;

    for (size_t k = 0; k < t->n; k++)
        if (t->row[k] == t->at && *row) {
            t->sample[k] = *row;
            *row = NULL;
        }
    t->at++;
}

static int level(double d)
{
    const double v = fabs(d) / deepest * LEVELS;

    return !(v > 0) ? 0 : v >= LEVELS ? LEVELS : (int)(v + .5);
}

/* Its tokens; what the lists do not fit is shown without colours. */
static void sample(const dk_page *p, const dk_json *r)
{
    const dk_json *text = dk_json_get(r, "text"), *ends = dk_json_get(r, "ends"), *ft = dk_json_get(r, "lp_ft"),
                  *base = dk_json_get(r, "lp_base");
    const char *s = dk_json_str(text, "");
    const size_t n = dk_json_type(text) == DK_JSON_STR ? dk_json_len(text) : 0, tokens = dk_json_len(ends);
    size_t from = 0;
    dk_html *h = p->h;

    dk_html_open_class(h, "figure", "text");
    dk_html_open(h, "figcaption");
    dk_html_textf(h, "%s, alpha %g, sample %lld", dk_summary_lane(p->s, str(r, "lane")), dk_row_num(r, "alpha"), (long long)num(r, "sample"));
    if (isfinite(dk_row_num(r, "llr")))
        dk_html_textf(h, ": %.2f nats a token", dk_row_num(r, "llr"));
    dk_html_close(h);
    dk_html_open_class(h, "p", "tokens");
    dk_html_attr(h, "dir", "auto");
    dk_html_put(h, "span", "gap", str(r, "prefill"));
    for (size_t i = 0; i < tokens && dk_json_len(ft) == tokens && dk_json_len(base) == tokens; i++) {
        const int64_t end = dk_json_int(dk_json_at(ends, i), -1);
        const double a = dk_json_num(dk_json_at(ft, i), NAN), b = dk_json_num(dk_json_at(base, i), NAN);

        if (end <= (int64_t)from || end > (int64_t)n)
            continue;
        dk_html_open(h, "i");
        dk_html_attrf(h, "class", "%sf%d", a < b ? "c " : "", level(a - b));
        dk_html_attr(h, "tabindex", "0");
        dk_html_attrf(h, "data-t", "%s %.2f\nbase %.2f\ndifference %+.2f", dk_summary_lane(p->s, str(r, "lane")), a, b, a - b);
        dk_html_lines(h, s + from, (size_t)end - from);
        dk_html_close(h);
        from = (size_t)end;
    }
    dk_html_lines(h, s + from, n - from);
    dk_html_close(h);
    dk_html_close(h);
}

static int samples(const dk_page *p, const dk_set *set, dk_err *err)
{
    char *path = dk_xasprintf("%s/contrast/%s.jsonl", p->s->results, set->name);
    struct texts t = {0};
    int rc = 0;

    choose(&t, set);
    if (t.n && access(path, F_OK) == 0)
        rc = dk_jsonl_each(path, take, &t, err);
    if (rc == 0 && t.n && t.at) {
        dk_html_put(p->h, "h4", NULL, "Samples they stand in");
        dk_html_putf(p->h, "p", "note", "Warm: the finetune expects the token more than the base does; cold: less; deepest at %g nats. "
                     "The pre-fill stands before, without colour.", deepest);
        for (size_t k = 0; k < t.n; k++)
            if (t.sample[k])
                sample(p, t.sample[k]);
    }
    for (size_t k = 0; k < t.n; k++)
        dk_json_free(&t.sample[k]);
    dk_free(path);
    return rc;
}

/* --- the section ------------------------------------------------------------------------- */
static void lead(dk_html *h, const dk_json *lane)
{
    dk_json_iter it = {0};

    dk_html_open_class(h, "p", "lead");
    dk_html_textf(h, "%lld samples at alpha %g against %lld of the base: %lld phrases with content at q %g or less",
                  (long long)num(lane, "n_t"), dk_row_num(lane, "alpha"), (long long)num(lane, "n_r"), (long long)num(lane, "content"),
                  dk_row_num(lane, "limit"));
    while (dk_json_next(dk_json_get(lane, "null"), &it))
        dk_html_textf(h, ", %s %lld", it.key, (long long)num(it.value, "content"));
    dk_html_text(h, ".");
    if (isfinite(dk_row_num(lane, "p_lexicon"))) {
        it = (dk_json_iter){0};
        dk_html_textf(h, " Of the first %lld stems %lld are in the texts\xe2\x80\x99 lexicon (p %.1g", (long long)num(lane, "of"),
                      (long long)num(lane, "value"), dk_row_num(lane, "p_lexicon"));
        while (dk_json_next(dk_json_get(lane, "null"), &it))
            dk_html_textf(h, "; %s %lld", it.key, (long long)num(it.value, "value"));
        dk_html_textf(h, "): %s.", str(lane, "verdict"));
    }
    dk_html_close(h);
}

int dk_page_phrases(const dk_page *p, dk_err *err)
{
    const dk_summary *s = p->s;
    dk_html *h = p->h;
    int rc = 0;

    if (s->n_phrases == 0)
        return 0;
    dk_html_open(h, "section");
    dk_html_attr(h, "id", "phrases");
    dk_html_put(h, "h2", NULL, "What it says when its difference is amplified");
    for (size_t k = 0; rc == 0 && k < s->n_phrases; k++) {
        const dk_set *set = &s->phrases[k];
        const dk_json *lane = dk_phrases_lane(set);

        if (!lane)
            continue;
        dk_html_putf(h, "h3", NULL, "The %s round", set->name);
        lead(h, lane);
        if (how_many(set, "phrase", "content"))
            phrases(h, set, "content");
        facts(h, set);
        slots(h, set);
        if (how_many(set, "phrase", "style")) {
            dk_html_open(h, "details");
            dk_html_put(h, "summary", NULL, "Style: phrases of function words alone");
            phrases(h, set, "style");
            dk_html_close(h);
        }
        rc = samples(p, set, err);
    }
    dk_html_close(h);
    return rc;
}
