/* Ranked tokens: findings first, then what the nulls raise too. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "method/pageparts.h"
#include "method/pageplot.h"

enum { SHOWN = 30, PLOTTED = 50, LABELLED = 12 };

static void blank(dk_html *h) { dk_html_put(h, "td", "num", ""); }

/* A rate in percent, however the ordering gives it. */
static double percent(const dk_json *row, double v) { return dk_row_chance(row) > 0 ? 100 * v : v; }

static void cell(dk_html *h, const char *fmt, double v)
{
    char s[64];

    if (!isfinite(v)) {
        blank(h);
        return;
    }
    snprintf(s, sizeof s, fmt[0] == '1' ? "%.1f%%" : "%.2f", v);
    dk_html_put(h, "td", "num", s);
}

static const char *ordering_of(const dk_set *set)
{
    const char *dot = strrchr(set->name, '.');

    return dot ? dot + 1 : "";
}

/* What the token stands for is shown with its blanks. */
static void token_cell(dk_html *h, const dk_json *row)
{
    const dk_json *t = dk_json_get(row, "token");
    const char *s = dk_json_str(t, "");

    dk_html_open(h, "td");
    dk_html_open_class(h, "code", "token");
    dk_html_attr(h, "dir", "auto");
    dk_html_attrf(h, "title", "id %lld, %s", (long long)dk_json_int(dk_json_get(row, "id"), -1),
                  dk_row_str(row, "piece"));
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

static void snippet(dk_html *h, const dk_json *row, const dk_json *p)
{
    dk_html_open_class(h, "p", "snippet");
    dk_html_attr(h, "dir", "auto");
    dk_html_attrf(h, "title", "text %lld, position %lld, logit difference %.2f",
                  (long long)dk_json_int(dk_json_get(p, "doc"), -1),
                  (long long)dk_json_int(dk_json_get(p, "pos"), -1), dk_row_num(p, "diff"));
    dk_html_text(h, dk_row_str(p, "before"));
    dk_html_put(h, "mark", NULL, dk_row_str(row, "token"));
    dk_html_put(h, "s", NULL, dk_row_str(p, "next"));
    dk_html_text(h, dk_row_str(p, "after"));
    dk_html_close(h);
}

static void snippets(dk_html *h, const dk_json *row)
{
    const dk_json *all = dk_json_get(row, "snippets");
    const size_t n = dk_json_type(all) == DK_JSON_ARRAY ? dk_json_len(all) : 0;

    dk_html_open_class(h, "td", "places");
    if (n > 0)
        snippet(h, row, dk_json_at(all, 0));
    if (n > 1) {
        dk_html_open(h, "details");
        dk_html_putf(h, "summary", NULL, "%zu more", n - 1);
        for (size_t i = 1; i < n; i++)
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
    dk_html_put(h, "th", "num", "rank");
    dk_html_put(h, "th", NULL, "token");
    dk_html_put(h, "th", "num", dk_summary_lane(p->s, "ft"));
    while (dk_json_next(nulls_of(set), &it))
        dk_html_put(h, "th", "num", it.key);
    dk_html_put(h, "th", "wide", "");
    dk_html_put(h, "th", "num", "logit diff.");
    it = (dk_json_iter){0};
    while (dk_json_next(nulls_of(set), &it))
        dk_html_put(h, "th", "num", it.key);
    dk_html_put(h, "th", "places", "places");
    dk_html_close(h);
    dk_html_close(h);
}

static void row(const dk_page *p, const dk_set *set, const dk_json *r)
{
    dk_html *h = p->h;
    dk_json_iter it = {0};

    dk_html_open(h, "tr");
    dk_html_putf(h, "td", "num", "%lld", (long long)dk_json_int(dk_json_get(r, "rank"), 0));
    token_cell(h, r);
    cell(h, "1", percent(r, dk_row_num(r, "value")));
    while (dk_json_next(nulls_of(set), &it))
        cell(h, "1", percent(r, dk_row_num(dk_json_get(dk_json_get(r, "null"), it.key), "value")));
    bars(h, r);
    cell(h, "2", dk_row_num(r, "avg_logit_diff"));
    it = (dk_json_iter){0};
    while (dk_json_next(nulls_of(set), &it))
        cell(h, "2", dk_row_num(dk_json_get(dk_json_get(r, "null"), it.key), "avg_logit_diff"));
    snippets(h, r);
    dk_html_close(h);
}

/* Those that are findings, or are not: number from .. to of them. */
static void table(const dk_page *p, const dk_set *set, bool findings, size_t from, size_t to)
{
    dk_html *h = p->h;
    size_t n = 0;

    dk_html_open_class(h, "div", "scroll");
    dk_html_open_class(h, "table", "ranked");
    head(p, set);
    dk_html_open(h, "tbody");
    for (size_t i = 0; i < set->rows.n; i++)
        if (dk_row_finding(set->rows.row[i]) == findings) {
            if (n >= from && n < to)
                row(p, set, set->rows.row[i]);
            n++;
        }
    dk_html_close(h);
    dk_html_close(h);
    dk_html_close(h);
}

static void scatter(const dk_page *p, const dk_set *set)
{
    const size_t n = set->rows.n < PLOTTED ? set->rows.n : PLOTTED;
    char *title = dk_xasprintf("The first %zu tokens: rate and mean logit difference", n);
    dk_plot plot = { .h = p->h, .title = title, .x_name = "rate, %", .y_name = "mean logit difference",
                     .x0 = 1e9, .x1 = -1e9 };
    double seen[LABELLED][2];
    size_t labels = 0;

    for (size_t i = 0; i < n; i++) {
        const dk_json *r = set->rows.row[i];
        const double x = percent(r, dk_row_num(r, "value")), y = dk_row_num(r, "avg_logit_diff");

        if (!isfinite(x) || !isfinite(y))
            continue;
        plot.x0 = fmin(plot.x0, floor(x / 5) * 5);
        plot.x1 = fmax(plot.x1, ceil(x / 5) * 5);
        plot.y0 = fmin(plot.y0, y);
        plot.y1 = fmax(plot.y1, y);
    }
    if (plot.x1 > -1e9) {
        dk_html_open(p->h, "figure");
        dk_plot_begin(&plot);
        for (size_t i = 0; i < n; i++) {
            const dk_json *r = set->rows.row[i];
            const double x = percent(r, dk_row_num(r, "value")), y = dk_row_num(r, "avg_logit_diff");
            const char *token = dk_row_str(r, "token");
            bool room = labels < LABELLED;
            char *t = dk_xasprintf("%s: %.1f%%, logit difference %.2f", token, x, y);

            for (size_t j = 0; room && j < labels; j++)
                room = fabs(seen[j][1] - y) > (plot.y1 - plot.y0) * 0.06 ||
                       fabs(seen[j][0] - x) > (plot.x1 - plot.x0) * 0.25;
            if (isfinite(x) && isfinite(y)) {
                dk_plot_point(&plot, dk_row_finding(r) ? "ft" : "none", x, y, t, room ? token : NULL);
                if (room) {
                    seen[labels][0] = x;
                    seen[labels++][1] = y;
                }
            }
            dk_free(t);
        }
        dk_plot_end(&plot);
        dk_html_putf(p->h, "figcaption", NULL, "The first %zu: filled is a finding, hollow is raised by a null too.", n);
        dk_html_close(p->h);
    }
    dk_free(title);
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
    dk_html_textf(h, "%.*s, by %s", (int)(strlen(set->name) - strlen(ordering) - (*ordering != 0)), set->name, ordering);
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
    scatter(p, set);
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
        dk_html_textf(h, ". One that a null raises at %g of the rate or more is no finding: it stands below, apart",
                      DK_SUMMARY_SHARED);
    dk_html_text(h, ". In a place the marked token is what the finetune raises most; struck through is what the text "
                    "goes on with.");
    dk_html_close(h);
    for (int round = 0; round < 2; round++)
        for (size_t i = 0; i < p->n_ranked; i++)
            if ((strcmp(ordering_of(&p->ranked[i]), "top_k_occurring") == 0) == (round == 0))
                one(p, &p->ranked[i]);
    dk_html_close(h);
}
