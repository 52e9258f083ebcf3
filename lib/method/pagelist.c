/* The tokens that the directions speak for: a table of the most telling, and
 * lists for every position, lane and sign. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "method/pagelens.h"

enum { TELLING = 2, ROWS = 10, LISTED = 10, LEVELS = 9, MAX_ASKED = 64 };

/* From 0.1% to 100%, in steps of one ratio. */
static int level(double p)
{
    const double v = p > 0 ? LEVELS * (1 + log10(p) / 3) : 0;

    return !(v > 0) ? 0 : v >= LEVELS ? LEVELS : (int)(v + 0.5);
}

/* An empty one, which has no bytes of its own, as a box. */
static void show(dk_html *h, const char *token)
{
    const char *s = *token ? token : "\xe2\x96\xaf";

    dk_html_line(h, s, strlen(s));
}

void dk_page_lens_token(const dk_page *p, const dk_adl_token *t, bool shared)
{
    dk_html *h = p->h;
    dk_buf tip = {0};

    dk_buf_addf(&tip, "rank %lld, %.3g%%\nid %lld, %s", (long long)t->rank, 100 * t->value, (long long)t->id, t->piece);
    if (t->null_lane)
        dk_buf_addf(&tip, "\n%s: %.3g%%, rank %lld", t->null_lane, 100 * t->null, (long long)t->null_rank);
    dk_html_open(h, "i");
    dk_html_attrf(h, "class", "f%d%s", level(t->value), shared ? " x" : "");
    dk_html_attr(h, "tabindex", "0");
    dk_html_attr(h, "data-t", tip.s);
    show(h, t->token);
    dk_html_close(h);
    dk_html_text(h, " ");
    dk_buf_free(&tip);
}

void dk_page_lens_row(const dk_page *p, const dk_json *row)
{
    const double null = dk_row_null(row);
    const dk_adl_token t = {
        .token = (char *)dk_row_str(row, "token"), .piece = (char *)dk_row_str(row, "piece"),
        .id = dk_json_int(dk_json_get(row, "id"), -1), .rank = dk_json_int(dk_json_get(row, "rank"), 0),
        .value = dk_row_num(row, "value"), .null = null < 0 ? NAN : null
    };

    dk_page_lens_token(p, &t, !dk_adl_finding(&t));
}

static void position_name(dk_html *h, const char *element, const char *class, int32_t at)
{
    if (at == DK_ADL_ALL)
        dk_html_put(h, element, class, "all rows");
    else
        dk_html_putf(h, element, class, "%d", at);
}

/* --- the most telling positions, in figures ---------------------------------------- */
static void percent(dk_html *h, double v)
{
    dk_html_open_class(h, "td", "num");
    if (isfinite(v))
        dk_html_textf(h, v >= 0.001 ? "%.1f%%" : "%.2g%%", 100 * v);
    dk_html_close(h);
}

static void ranked(const dk_page *p, const dk_adl_list *l, const char *what)
{
    dk_html *h = p->h;
    bool nulls = false;

    for (size_t i = 0; i < l->n; i++)
        nulls |= l->token[i].null_lane != NULL;
    dk_html_open(h, "figure");
    dk_html_open(h, "figcaption");
    if (l->position == DK_ADL_ALL)
        dk_html_textf(h, "All rows, %s", what);
    else
        dk_html_textf(h, "Position %d, %s", l->position, what);
    dk_html_close(h);
    dk_html_table(h, NULL);
    dk_html_put(h, "th", "num", "rank");
    dk_html_put(h, "th", NULL, "token");
    dk_html_put(h, "th", "num id", "id");
    dk_html_put(h, "th", "num", "probability");
    if (nulls)
        dk_html_put(h, "th", "num", "null's, rank");
    dk_html_table_body(h);
    for (size_t i = 0; i < l->n && i < ROWS; i++) {
        const dk_adl_token *t = &l->token[i];

        dk_html_open(h, "tr");
        if (nulls && !dk_adl_finding(t))
            dk_html_attr(h, "class", "x");
        dk_html_putf(h, "td", "num", "%lld", (long long)t->rank);
        dk_html_open(h, "td");
        dk_html_open_class(h, "code", "token");
        dk_html_attr(h, "dir", "auto");
        show(h, t->token);
        dk_html_close(h);
        dk_html_close(h);
        dk_html_putf(h, "td", "num id", "%lld", (long long)t->id);
        percent(h, t->value);
        if (nulls && t->null_lane)
            dk_html_putf(h, "td", "num", t->null >= 0.001 ? "%.1f%%, %lld" : "%.2g%%, %lld", 100 * t->null,
                         (long long)t->null_rank);
        else if (nulls)
            dk_html_put(h, "td", "num", "");
        dk_html_close(h);
    }
    dk_html_table_end(h);
    dk_html_close(h);
}

static void telling(const dk_page *p, const dk_adl *a)
{
    int32_t at[TELLING];
    const size_t n = dk_adl_telling(a, at, TELLING);

    if (n == 0)
        return;
    dk_html_put(p->h, "h4", NULL, n > 1 ? "The most telling positions" : "The most telling position");
    dk_html_open_class(p->h, "div", "pair two");
    for (size_t i = 0; i < n; i++)
        ranked(p, dk_adl_list_of(a, "diff", at[i], false), "speaks for");
    dk_html_close(p->h);
}

/* --- tokens that were asked for ------------------------------------------------------- */
/* Where query q ranks best among the positions. */
static const dk_adl_token *best_of(const dk_adl *a, size_t q, bool inverse, int32_t *at)
{
    const dk_adl_token *best = NULL;

    for (size_t i = 0; i < a->n_position; i++) {
        const dk_adl_list *l = dk_adl_list_of(a, "diff", a->position[i], inverse);

        if (l && q < l->n_asked && (!best || l->asked[q].rank < best->rank)) {
            best = &l->asked[q];
            *at = a->position[i];
        }
    }
    return best;
}

static void asked_cells(dk_html *h, const dk_adl_token *t, int32_t at)
{
    if (!t) {
        for (int i = 0; i < 3; i++)
            dk_html_put(h, "td", "num", "");
        return;
    }
    dk_html_putf(h, "td", "num", "%lld at %d", (long long)t->rank, at);
    percent(h, t->value);
    if (t->null_lane)
        dk_html_putf(h, "td", "num", "%lld", (long long)t->null_rank);
    else
        dk_html_put(h, "td", "num", "");
}

static void asked(const dk_page *p, const dk_adl *a)
{
    static const char *const head[] = { "token", "id", "best rank, for", "probability", "null's rank there",
                                        "best rank, against", "probability", "null's rank there" };
    dk_html *h = p->h;
    const dk_adl_token *t;
    int32_t at;

    if (!best_of(a, 0, false, &at))
        return;
    dk_html_put(h, "h4", NULL, "Tokens that were asked for");
    dk_html_table(h, NULL);
    for (size_t i = 0; i < 8; i++)
        dk_html_put(h, "th", i ? "num" : NULL, head[i]);
    dk_html_table_body(h);
    for (size_t q = 0; q < MAX_ASKED && (t = best_of(a, q, false, &at)); q++) {
        dk_html_open(h, "tr");
        dk_html_open(h, "td");
        dk_html_open_class(h, "code", "token");
        show(h, t->token);
        dk_html_close(h);
        dk_html_close(h);
        dk_html_putf(h, "td", "num", "%lld", (long long)t->id);
        asked_cells(h, t, at);
        t = best_of(a, q, true, &at);
        asked_cells(h, t, at);
        dk_html_close(h);
    }
    dk_html_table_end(h);
}

/* --- every list ------------------------------------------------------------------------- */
static void list_cell(const dk_page *p, const dk_adl *a, const char *what, int32_t at, bool inverse)
{
    const dk_adl_list *l = dk_adl_list_of(a, what, at, inverse);
    dk_html *h = p->h;

    dk_html_open_class(h, "td", inverse ? "chips against" : "chips for");
    for (size_t i = 0; l && i < l->n && i < LISTED; i++)
        dk_page_lens_token(p, &l->token[i], l->token[i].null_lane && !dk_adl_finding(&l->token[i]));
    dk_html_close(h);
}

static void list_row(const dk_page *p, const dk_adl *a, const char *what, int32_t at)
{
    dk_html_open(p->h, "tr");
    position_name(p->h, "th", "num", at);
    list_cell(p, a, what, at, false);
    list_cell(p, a, what, at, true);
    dk_html_close(p->h);
}

static void lists_of(const dk_page *p, const dk_adl *a, size_t k, size_t end)
{
    dk_html *h = p->h;
    size_t left_out = 0;

    dk_html_open(h, "div");
    dk_html_attrf(h, "class", "one c%zu", k);
    dk_html_open_class(h, "table", "lists");
    dk_html_open(h, "thead");
    dk_html_open(h, "tr");
    dk_html_put(h, "th", "num", "position");
    dk_html_put(h, "th", NULL, "speaks for");
    dk_html_put(h, "th", NULL, "speaks against");
    dk_html_close(h);
    dk_html_close(h);
    dk_html_open(h, "tbody");
    list_row(p, a, a->what[k], DK_ADL_ALL);
    for (size_t i = 0; i < a->n_position; i++)
        if (h->out->n < end)
            list_row(p, a, a->what[k], a->position[i]);
        else
            left_out++;
    dk_html_close(h);
    dk_html_close(h);
    if (left_out)
        dk_html_putf(h, "p", "note", "%zu more position%s left out: the page would be too large.", left_out,
                     left_out == 1 ? "" : "s");
    dk_html_close(h);
}

static void what_name(const dk_page *p, const char *what, dk_buf *out)
{
    dk_buf_clear(out);
    if (strncmp(what, "diff", 4) == 0)
        dk_buf_addf(out, "difference, %s \xe2\x88\x92 base", dk_page_lens_name(p, what));
    else
        dk_buf_adds(out, dk_page_lens_name(p, what));
}

static void choices(const dk_page *p, const dk_adl *a, size_t number)
{
    dk_html *h = p->h;
    dk_buf name = {0};

    dk_html_put(h, "span", "choose", "Lists of: ");
    for (size_t k = 0; k < a->n_what; k++) {
        dk_html_open(h, "input");
        dk_html_attrf(h, "class", "by-c%zu", k);
        dk_html_attr(h, "type", "radio");
        dk_html_attrf(h, "name", "lens%zu", number);
        dk_html_attrf(h, "id", "lens%zu-%zu", number, k);
        if (k == 0)
            dk_html_attr(h, "checked", "checked");
        dk_html_close(h);
        what_name(p, a->what[k], &name);
        dk_html_open(h, "label");
        dk_html_attrf(h, "for", "lens%zu-%zu", number, k);
        dk_html_text(h, name.s);
        dk_html_close(h);
        dk_html_text(h, " ");
    }
    dk_buf_free(&name);
}

static void scale(dk_html *h)
{
    dk_html_open_class(h, "p", "legend");
    dk_html_text(h, "probability 0.1% ");
    for (int i = 0; i <= LEVELS; i++) {
        dk_html_open(h, "i");
        dk_html_attrf(h, "class", "f%d", i);
        dk_html_text(h, "\xc2\xa0\xc2\xa0");
        dk_html_close(h);
    }
    dk_html_text(h, " 100%, log scale; blue: speaks against; grey: a null speaks for it too. Point at a token, tap it, "
                    "or step to it with the tab key, for its numbers.");
    dk_html_close(h);
}

void dk_page_lens_lists(const dk_page *p, const dk_adl *a, size_t number, size_t room)
{
    dk_html *h = p->h;
    const size_t start = h->out->n;

    telling(p, a);
    asked(p, a);
    dk_html_put(h, "h4", NULL, "Every position");
    dk_html_open_class(h, "div", "map");
    choices(p, a, number);
    scale(h);
    for (size_t k = 0; k < a->n_what; k++)
        lists_of(p, a, k, start + room * (k + 1) / a->n_what);
    dk_html_close(h);
}
