/* Ranked tokens: findings first, then what the nulls raise too. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "method/pageparts.h"
#include "method/pageplot.h"
#include "method/pagetopics.h"
#include "method/lane.h"

enum { SHOWN = 30, PLOTTED = 50, LABELLED = 12 };

/* A rate in percent, however the ordering gives it. */
static double percent(const dk_json *row, double v) { return dk_row_chance(row) > 0 ? 100 * v : v; }

static void rate(dk_html *h, double v)
{
    dk_html_open_class(h, "td", "num rate");
    if (isfinite(v))
        dk_html_textf(h, "%.1f%%", v);
    dk_html_close(h);
}

static void difference(dk_html *h, double v)
{
    dk_html_open_class(h, "td", "num diff");
    if (isfinite(v))
        dk_html_textf(h, "%.2f", v);
    dk_html_close(h);
}

static const char *ordering_of(const dk_set *set)
{
    const char *dot = strrchr(set->name, '.');

    return dot ? dot + 1 : "";
}

static const dk_json *grades_of(const dk_page *p, const dk_set *set)
{
    const char *ordering = ordering_of(set);

    return dk_relevance_list(p->s, set->name, strlen(set->name) - strlen(ordering) - (*ordering != 0), ordering, -1);
}

/* Who called which share relevant. */
static void grades(const dk_page *p, const dk_set *set)
{
    const dk_json *g = grades_of(p, set);

    if (!g || !isfinite(dk_row_num(g, "percentage")))
        return;
    dk_html_open_class(p->h, "p", "note");
    dk_html_text(p->h, "Of the first ");
    dk_html_textf(p->h, "%lld, %.0f%%", (long long)dk_json_int(dk_json_get(g, "n"), 0), 100 * dk_row_num(g, "percentage"));
    if (isfinite(dk_row_num(g, "lo")) && isfinite(dk_row_num(g, "hi")))
        dk_html_textf(p->h, " (%.0f\xe2\x80\x93%.0f%%)", 100 * dk_row_num(g, "lo"), 100 * dk_row_num(g, "hi"));
    dk_html_text(p->h, " belong to what was taught, ");
    dk_html_put(p->h, "span", "key relevant", "");
    dk_html_textf(p->h, "by the %s%s.", dk_row_is(g, "grader", "lexical") ? "" : "judge ", dk_relevance_grader(g));
    dk_html_close(p->h);
}

/* What the token stands for is shown with its blanks. */
static void token_cell(dk_html *h, const dk_json *row, const dk_json *grades)
{
    const dk_json *t = dk_json_get(row, "token");
    const bool relevant = strcmp(dk_relevance_label(grades, row), "RELEVANT") == 0;
    const char *s = dk_json_str(t, "");

    dk_html_open_class(h, "td", "what");
    dk_html_open_class(h, "code", relevant ? "token relevant" : "token");
    dk_html_attr(h, "dir", "auto");
    dk_html_attrf(h, "title", "id %lld, %s%s", (long long)dk_json_int(dk_json_get(row, "id"), -1),
                  dk_row_str(row, "piece"), relevant ? ", relevant" : "");
    dk_html_lines(h, s, *s ? dk_json_len(t) : 0);
    dk_html_close(h);
    dk_html_close(h);
}

/* Two bars on a line from 0 to 100%: the finetune's above the highest null's. */
static void bars(dk_html *h, const dk_json *row)
{
    const double v = percent(row, dk_row_num(row, "value")), null = dk_row_null(row);

    dk_html_open_class(h, "td", "wide");
    dk_html_open_class(h, "svg", "interval");
    dk_html_attr(h, "viewBox", "0 0 100 14");
    dk_html_attr(h, "preserveAspectRatio", "none");
    dk_html_attr(h, "aria-hidden", "true");
    for (int i = 0; i < 2; i++) {
        const double at = i == 0 ? v : null < 0 ? NAN : percent(row, null);

        if (!isfinite(at))
            continue;
        dk_html_open(h, "path");
        dk_html_attrf(h, "class", "fill %s", i == 0 ? "ft" : "n1");
        dk_html_attrf(h, "d", "M0 %dH%.1fV%dH0Z", i == 0 ? 1 : 8, fmin(fmax(at, 0), 100), i == 0 ? 7 : 13);
        dk_html_close(h);
    }
    dk_html_close(h);
    dk_html_close(h);
}

static void piece(dk_html *h, const char *element, const dk_json *of, const char *key)
{
    const char *s = dk_row_str(of, key);

    if (element)
        dk_html_open(h, element);
    dk_html_lines(h, s, strlen(s));
    if (element)
        dk_html_close(h);
}

static void snippet(dk_html *h, const dk_json *row, const dk_json *p)
{
    dk_html_open_class(h, "p", "snippet");
    dk_html_attr(h, "dir", "auto");
    dk_html_attrf(h, "title", "text %lld, position %lld, logit difference %.2f",
                  (long long)dk_json_int(dk_json_get(p, "doc"), -1),
                  (long long)dk_json_int(dk_json_get(p, "pos"), -1), dk_row_num(p, "diff"));
    piece(h, NULL, p, "before");
    piece(h, "mark", row, "token");
    piece(h, "s", p, "next");
    piece(h, NULL, p, "after");
    dk_html_close(h);
}

/* The documents of the places that stand open, so that not all are of one text. */
enum { MAX_SEEN = 256 };
struct seen { int64_t doc[MAX_SEEN]; size_t n; };

static size_t first_new(const struct seen *seen, const dk_json *all, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        const int64_t doc = dk_json_int(dk_json_get(dk_json_at(all, i), "doc"), -1);
        size_t j = 0;

        while (j < seen->n && seen->doc[j] != doc)
            j++;
        if (j == seen->n)
            return i;
    }
    return 0;
}

static void snippets(dk_html *h, const dk_json *row, struct seen *seen)
{
    const dk_json *all = dk_json_get(row, "snippets");
    const size_t n = dk_json_type(all) == DK_JSON_ARRAY ? dk_json_len(all) : 0, open = first_new(seen, all, n);

    dk_html_open_class(h, "td", "places");
    if (n > 0) {
        snippet(h, row, dk_json_at(all, open));
        if (seen->n < MAX_SEEN)
            seen->doc[seen->n++] = dk_json_int(dk_json_get(dk_json_at(all, open), "doc"), -1);
    }
    if (n > 1) {
        dk_html_open(h, "details");
        dk_html_putf(h, "summary", NULL, "%zu more", n - 1);
        for (size_t i = 0; i < n; i++)
            if (i != open)
                snippet(h, row, dk_json_at(all, i));
        dk_html_close(h);
    }
    dk_html_close(h);
}

/* The lanes that stand beside the finetune's, as the first row has them. */
static const dk_json *nulls_of(const dk_set *set) { return set->rows.n ? dk_json_get(set->rows.row[0], "null") : NULL; }

static void head(const dk_page *p, const dk_set *set)
{
    dk_html *h = p->h;
    dk_json_iter it = {0};

    dk_html_open(h, "thead");
    dk_html_open(h, "tr");
    dk_html_put(h, "th", "num rank", "rank");
    dk_html_put(h, "th", "what", "token");
    dk_html_put(h, "th", "num rate", dk_summary_lane(p->s, "ft"));
    while (dk_json_next(nulls_of(set), &it))
        dk_html_put(h, "th", "num rate", it.key);
    dk_html_put(h, "th", "wide", "");
    dk_html_put(h, "th", "num diff", "logit diff.");
    it = (dk_json_iter){0};
    while (dk_json_next(nulls_of(set), &it))
        dk_html_put(h, "th", "num diff", it.key);
    dk_html_put(h, "th", "places", "places");
    dk_html_close(h);
    dk_html_close(h);
}

static void row(const dk_page *p, const dk_set *set, const dk_json *r, struct seen *seen)
{
    dk_html *h = p->h;
    dk_json_iter it = {0};

    dk_html_open(h, "tr");
    dk_html_putf(h, "td", "num rank", "%lld", (long long)dk_json_int(dk_json_get(r, "rank"), 0));
    token_cell(h, r, grades_of(p, set));
    rate(h, percent(r, dk_row_num(r, "value")));
    while (dk_json_next(nulls_of(set), &it))
        rate(h, percent(r, dk_row_num(dk_json_get(dk_json_get(r, "null"), it.key), "value")));
    bars(h, r);
    difference(h, dk_row_num(r, "avg_logit_diff"));
    it = (dk_json_iter){0};
    while (dk_json_next(nulls_of(set), &it))
        difference(h, dk_row_num(dk_json_get(dk_json_get(r, "null"), it.key), "avg_logit_diff"));
    snippets(h, r, seen);
    dk_html_close(h);
}

/* Those that are findings, or are not: number from .. to of them. */
static void table(const dk_page *p, const dk_set *set, bool findings, size_t from, size_t to)
{
    dk_html *h = p->h;
    struct seen seen = { .n = 0 };
    size_t n = 0;

    dk_html_open_class(h, "div", "scroll");
    dk_html_open_class(h, "table", "ranked");
    head(p, set);
    dk_html_open(h, "tbody");
    for (size_t i = 0; i < set->rows.n; i++)
        if (dk_row_finding(set->rows.row[i]) == findings) {
            if (n >= from && n < to)
                row(p, set, set->rows.row[i], &seen);
            n++;
        }
    dk_html_close(h);
    dk_html_close(h);
    dk_html_close(h);
}

/* The first tokens as points: by rate and mean logit difference, or by the rates
 * of the highest null and the finetune. */
static void points_of(const dk_json *r, bool by_null, double *x, double *y)
{
    const double v = percent(r, dk_row_num(r, "value")), null = dk_row_null(r);

    *x = !by_null ? v : null < 0 ? NAN : percent(r, null);
    *y = by_null ? v : dk_row_num(r, "avg_logit_diff");
}

static void ranges(dk_plot *plot, const dk_set *set, size_t n, bool by_null)
{
    double x, y;

    plot->x0 = plot->y0 = INFINITY;
    plot->x1 = plot->y1 = -INFINITY;
    for (size_t i = 0; i < n; i++) {
        points_of(set->rows.row[i], by_null, &x, &y);
        if (!isfinite(x) || !isfinite(y))
            continue;
        plot->x0 = fmin(plot->x0, by_null ? 0 : floor(x / 5) * 5);
        plot->x1 = fmax(plot->x1, ceil(x / 5) * 5);
        plot->y0 = fmin(plot->y0, y);
        plot->y1 = fmax(plot->y1, y);
    }
    if (by_null && dk_row_chance(set->rows.row[0]) > 0)
        plot->x0 = 50;
}

static void scatter(const dk_page *p, const dk_set *set, bool by_null)
{
    static const dk_plot_key key[] = { { "ft", "a finding" }, { "none", "raised by a null too" } };
    const size_t n = set->rows.n < PLOTTED ? set->rows.n : PLOTTED;
    char *name = dk_xasprintf("tokens%s.%s", by_null ? "_null" : "", set->name);
    const int of = (int)(strrchr(set->name, '.') ? strrchr(set->name, '.') - set->name : (long)strlen(set->name));
    char *title = dk_xasprintf("Raised on %.*s, by %s: %s", of, set->name, ordering_of(set),
                               by_null ? "with the null" : "by how much");
    dk_plot plot = { .h = p->h, .title = title, .x_name = by_null ? "rate of the highest null, %" : "rate, %",
                     .y_name = by_null ? "rate, %" : "mean logit difference", .pictures = p->pictures,
                     .name = name, .key = key, .n_keys = 2 };
    double x, y;
    size_t labels = 0;

    ranges(&plot, set, n, by_null);
    if (!isfinite(plot.x0)) {
        dk_free(name);
        dk_free(title);
        return;
    }
    dk_html_open(p->h, "figure");
    dk_plot_begin(&plot);
    for (size_t i = 0; i < n; i++) {
        const dk_json *r = set->rows.row[i];
        char *t;

        points_of(r, by_null, &x, &y);
        if (!isfinite(x) || !isfinite(y))
            continue;
        t = dk_xasprintf(by_null ? "%s, rank %lld: null %.1f%%, finetune %.1f%%" : "%s, rank %lld: %.1f%%, logit difference %.2f",
                         dk_row_str(r, "token"), (long long)dk_json_int(dk_json_get(r, "rank"), 0), x, y);
        dk_plot_point(&plot, dk_row_finding(r) ? "ft" : "none", x, y, t);
        dk_free(t);
    }
    for (int finding = 1; finding >= 0; finding--)
        for (size_t i = 0; i < n && labels < LABELLED; i++) {
            const char *token = dk_row_str(set->rows.row[i], "token");

            points_of(set->rows.row[i], by_null, &x, &y);
            if (dk_row_finding(set->rows.row[i]) == finding && isfinite(x) && isfinite(y) && token[strspn(token, " \n\t")])
                labels += dk_plot_label(&plot, x, y, token + strspn(token, " "));
        }
    dk_plot_end(&plot);
    dk_html_putf(p->h, "figcaption", NULL, "The first %zu tokens: filled is a finding, hollow is raised by a null too.",
                 n);
    dk_html_close(p->h);
    dk_free(name);
    dk_free(title);
}

static void scatters(const dk_page *p, const dk_set *set)
{
    dk_html_open_class(p->h, "div", "pair");
    scatter(p, set, false);
    scatter(p, set, true);
    dk_html_close(p->h);
}

static void one(const dk_page *p, const dk_set *set)
{
    const char *ordering = ordering_of(set);
    dk_html *h = p->h;
    size_t n = 0, others;

    for (size_t i = 0; i < set->rows.n; i++)
        n += dk_row_finding(set->rows.row[i]);
    others = set->rows.n - n;
    dk_html_open(h, "h3");
    dk_html_textf(h, "%.*s, by %s", (int)(strlen(set->name) - strlen(ordering) - (*ordering != 0)), set->name,
                  ordering);
    dk_html_close(h);
    if (set->rows.n == 0) {
        dk_html_put(h, "p", "note", "No tokens.");
        return;
    }
    if (dk_row_chance(set->rows.row[0]) > 0)
        dk_html_put(h, "p", "note", "Rate: share of positions at which the token's logit rises. Half of them would by "
                    "chance, so a null counts by what it has above 50%.");
    else
        dk_html_put(h, "p", "note", "Rate: share of positions at which the token is among the most raised.");
    grades(p, set);
    scatters(p, set);
    if (n == 0)
        dk_html_put(h, "p", NULL, "Nothing that the nulls do not raise too.");
    else
        table(p, set, true, 0, SHOWN);
    if (n > SHOWN) {
        dk_html_open(h, "details");
        dk_html_putf(h, "summary", NULL, "%zu more findings", n - SHOWN);
        table(p, set, true, SHOWN, n);
        dk_html_close(h);
    }
    if (others) {
        dk_html_open(h, "details");
        dk_html_putf(h, "summary", NULL, "Raised by both, no finding: %zu tokens", others);
        table(p, set, false, 0, others);
        dk_html_close(h);
    }
}

void dk_page_tokens(const dk_page *p)
{
    static const struct { const char *name; void (*show)(const dk_page *p, const dk_set *set); } part[] = {
        { "top_k_occurring", one }, { "nmf", dk_page_topics }, { "fraction_positive_diff", one },
        { "positions", dk_page_positions }, { "windows", dk_page_windows }
    };
    dk_html *h = p->h;
    bool nulls = false;

    if (p->n_ranked == 0)
        return;
    for (size_t i = 0; i < p->n_ranked; i++)
        nulls |= dk_json_len(nulls_of(&p->ranked[i])) > 0;
    dk_html_open(h, "section");
    dk_html_attr(h, "id", "tokens");
    dk_html_put(h, "h2", NULL, "What it raises");
    dk_html_open_class(h, "p", "lead");
    dk_html_text(h, "Tokens whose logits the finetune raises over the base's");
    if (nulls)
        dk_html_textf(h, ". One that a null raises at %g of the finetune's rate or more is no finding: it stands apart",
                      DK_LANE_SHARED);
    dk_html_text(h, ". In a place the marked token is what the finetune raises most; struck through is what the text "
                    "goes on with.");
    dk_html_close(h);
    for (size_t k = 0; k < sizeof part / sizeof *part; k++)
        for (size_t i = 0; i < p->n_ranked; i++)
            if (strcmp(ordering_of(&p->ranked[i]), part[k].name) == 0)
                part[k].show(p, &p->ranked[i]);
    dk_html_close(h);
}
