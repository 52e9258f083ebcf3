/* Divergence: the table of means, the histogram and the curve over positions. */
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "method/pageparts.h"
#include "method/pageplot.h"
#include "method/pagerows.h"

/* --- scores ----------------------------------------------------------------- */
static int read_rows(const dk_page_scores *s, const char *what, const char *lane, float **out, dk_err *err)
{
    char *name = dk_xasprintf("%s/%s", what, lane);
    const dk_score_info *i = dk_scores_find(s->file, name, false);
    int rc = 0;

    if (i && i->kind == DK_SCORE_DENSE && i->k == 1 && i->rows == s->t->rows) {
        rc = dk_alloc(out, i->rows, sizeof **out, "scores", err);
        if (rc == 0)
            rc = dk_scores_read(s->file, name, 0, i->rows, *out, err);
    }
    dk_free(name);
    return rc;
}

int dk_page_scores_open(dk_page_scores *s, const dk_page *p, const char *set, dk_err *err)
{
    int rc = 0;

    *s = (dk_page_scores){ .path = dk_xasprintf("%s/kl/%s.score.h5", p->s->results, set) };
    if (access(s->path, F_OK) != 0)
        return 0;
    rc = dk_scores_open(&s->file, s->path, err);
    if (rc == 0)
        s->t = dk_scores_tokens(s->file);
    if (rc == 0)
        rc = read_rows(s, "logp", "base", &s->logp_base, err);
    for (size_t i = 0; rc == 0 && i < p->n_lanes; i++) {
        s->lane[s->n] = p->lane[i];
        s->which[s->n] = i;
        rc = read_rows(s, "kl", p->lane[i], &s->kl[s->n], err);
        if (rc == 0)
            rc = read_rows(s, "logp", p->lane[i], &s->logp[s->n], err);
        if (s->kl[s->n])
            s->n++;
        else
            dk_free(s->logp[s->n]), s->logp[s->n] = NULL;
    }
    return rc;
}

void dk_page_scores_close(dk_page_scores *s)
{
    for (size_t i = 0; i < DK_SUMMARY_LANES; i++) {
        dk_free(s->kl[i]);
        dk_free(s->logp[i]);
    }
    dk_free(s->logp_base);
    dk_free(s->path);
    dk_scores_close(&s->file);
    *s = (dk_page_scores){0};
}

/* --- the table ---------------------------------------------------------------- */
static void num_cell(dk_html *h, double v)
{
    if (isfinite(v))
        dk_html_putf(h, "td", "num", "%.3f", v);
    else
        dk_html_put(h, "td", "num", "");
}

/* A mean with its interval below it. */
static void mean_cell(dk_html *h, const dk_json *g)
{
    const double v = dk_row_num(g, "value"), lo = dk_row_num(g, "lo"), hi = dk_row_num(g, "hi");

    dk_html_open_class(h, "td", "num");
    if (isfinite(v))
        dk_html_textf(h, "%.3f", v);
    if (isfinite(lo) && isfinite(hi))
        dk_html_putf(h, "div", "more", "%.3f to %.3f", lo, hi);
    dk_html_close(h);
}

/* Mean and interval on a line from 0 to max. */
static void interval(dk_html *h, const char *hue, double v, double lo, double hi, double max)
{
    dk_html_open_class(h, "td", "wide");
    dk_html_open_class(h, "svg", "interval");
    dk_html_attr(h, "viewBox", "0 0 200 14");
    dk_html_attr(h, "role", "img");
    dk_html_attrf(h, "aria-label", "%.3f", v);
    dk_html_open_class(h, "path", "grid");
    dk_html_attr(h, "d", "M0 7L200 7");
    dk_html_close(h);
    if (isfinite(lo) && isfinite(hi)) {
        dk_html_open(h, "path");
        dk_html_attrf(h, "class", "bar %s", hue);
        dk_html_attrf(h, "d", "M%.1f 7L%.1f 7", 196 * lo / max, 196 * hi / max);
        dk_html_close(h);
    }
    dk_html_open(h, "circle");
    dk_html_attrf(h, "class", "point %s", hue);
    dk_html_attrf(h, "cx", "%.1f", 196 * v / max);
    dk_html_attr(h, "cy", "7");
    dk_html_attr(h, "r", "3.5");
    dk_html_close(h);
    dk_html_close(h);
    dk_html_close(h);
}

static bool any_reverse(const dk_page *p)
{
    for (size_t k = 0; k < p->s->n_kl; k++)
        for (size_t l = 0; l < p->n_lanes; l++)
            if (dk_set_reverse(&p->s->kl[k], p->lane[l]))
                return true;
    return false;
}

static void table_row(const dk_page *p, const dk_set *set, const char *lane, double max)
{
    dk_html *h = p->h;
    const dk_json *r = dk_set_lane(set, lane), *of = dk_json_get(r, "per_token_statistics");
    const double v = dk_row_num(r, "value"), ft = dk_row_num(dk_set_lane(set, p->lane[0]), "value");
    const double lo = dk_row_num(r, "lo"), hi = dk_row_num(r, "hi");

    if (!r)
        return;
    dk_html_open(h, "tr");
    dk_html_put(h, "td", NULL, set->name);
    dk_html_open(h, "td");
    dk_page_lane(p, lane, "");
    dk_html_close(h);
    num_cell(h, v);
    if (isfinite(lo) && isfinite(hi))
        dk_html_putf(h, "td", "num", "%.3f to %.3f", lo, hi);
    else
        dk_html_put(h, "td", "num", "");
    if (isfinite(v) && max > 0)
        interval(h, dk_page_hue(p, lane), v, lo, hi, max);
    else
        dk_html_put(h, "td", "wide", "");
    if (strcmp(lane, p->lane[0]) != 0 && isfinite(ft / v))
        dk_html_putf(h, "td", "num", "%.2f", ft / v);
    else
        dk_html_put(h, "td", "num", "");
    if (any_reverse(p))
        mean_cell(h, dk_set_reverse(set, lane));
    num_cell(h, dk_row_num(of, "median"));
    num_cell(h, dk_row_num(of, "percentile_75"));
    num_cell(h, dk_row_num(of, "max"));
    dk_html_putf(h, "td", "num", "%.0f", fmax(dk_row_num(r, "docs"), 0));
    dk_html_putf(h, "td", "num", "%.0f", fmax(dk_row_num(r, "total_tokens_processed"), 0));
    dk_html_close(h);
}

static void table(const dk_page *p)
{
    static const char *const head[] = {
        "data set", "lane", "mean KL", "95% interval", "", "finetune / it", "KL(base || it)", "median", "75%", "largest", "texts",
        "tokens"
    };
    dk_html *h = p->h;
    double max = 0;

    for (size_t k = 0; k < p->s->n_kl; k++)
        for (size_t i = 0; i < p->s->kl[k].rows.n; i++) {
            const dk_json *r = p->s->kl[k].rows.row[i];

            max = fmax(max, fmax(dk_row_num(r, "value"), dk_row_num(r, "hi")));
        }
    dk_html_table(h, "components");
    for (size_t i = 0; i < sizeof head / sizeof *head; i++)
        if (i != 6 || any_reverse(p))
            dk_html_put(h, "th", i == 4 ? "wide" : i > 1 ? "num" : NULL, head[i]);
    dk_html_table_body(h);
    for (size_t k = 0; k < p->s->n_kl; k++)
        for (size_t l = 0; l < p->n_lanes; l++)
            table_row(p, &p->s->kl[k], p->lane[l], max);
    dk_html_table_end(h);
}

/* --- kinds of token ------------------------------------------------------------------ */
static const struct { const char *key, *head; } group[] = {
    { "first", "first token" }, { "last", "last token" }, { "special", "special tokens" }, { "template", "template's words" },
    { "assistant", "assistant's text" }, { "text", "other text" },
};
enum { GROUPS = sizeof group / sizeof *group };

static const dk_json *group_of(const dk_json *r, size_t g) { return dk_json_get(dk_json_get(r, "groups"), group[g].key); }

static bool any_group(const dk_page *p, size_t g)
{
    for (size_t k = 0; k < p->s->n_kl; k++)
        for (size_t l = 0; l < p->n_lanes; l++)
            if (group_of(dk_set_lane(&p->s->kl[k], p->lane[l]), g))
                return true;
    return false;
}

static void groups(const dk_page *p)
{
    dk_html *h = p->h;
    bool shown[GROUPS], any = false;

    for (size_t g = 0; g < GROUPS; g++)
        any |= shown[g] = any_group(p, g);
    if (!any)
        return;
    dk_html_put(h, "h3", NULL, "Mean KL by kind of token, nats");
    dk_html_table(h, "components");
    dk_html_put(h, "th", NULL, "data set");
    dk_html_put(h, "th", NULL, "lane");
    for (size_t g = 0; g < GROUPS; g++)
        if (shown[g])
            dk_html_put(h, "th", "num", group[g].head);
    dk_html_table_body(h);
    for (size_t k = 0; k < p->s->n_kl; k++)
        for (size_t l = 0; l < p->n_lanes; l++) {
            const dk_json *r = dk_set_lane(&p->s->kl[k], p->lane[l]);

            if (!r)
                continue;
            dk_html_open(h, "tr");
            dk_html_put(h, "td", NULL, p->s->kl[k].name);
            dk_html_open(h, "td");
            dk_page_lane(p, p->lane[l], "");
            dk_html_close(h);
            for (size_t g = 0; g < GROUPS; g++)
                if (shown[g])
                    mean_cell(h, group_of(r, g));
            dk_html_close(h);
        }
    dk_html_table_end(h);
    dk_html_put(h, "p", "note", "A token's KL is of the prediction that follows it. The ends of a text belong to a kind, too.");
}

/* --- plots ------------------------------------------------------------------------ */
static int plots(const dk_page *p, const char *set, dk_err *err)
{
    dk_page_scores s;
    dk_html *h = p->h;
    int rc = dk_page_scores_open(&s, p, set, err);

    if (rc == 0 && s.file && s.n && s.t->rows) {
        dk_page_rows r = { .t = s.t, .n = s.n, .name = "kl", .set = set, .what = "KL", .unit = "nats", .lowest = -4 };

        for (size_t l = 0; l < s.n; l++) {
            r.lane[l] = s.lane[l];
            r.v[l] = s.kl[l];
        }
        dk_html_put(h, "h3", NULL, set);
        dk_page_legend(p);
        dk_html_open_class(h, "div", "pair");
        rc = dk_page_spread(p, &r, "How KL is spread over positions.", err);
        dk_page_along(p, &r, "Mean KL along the text; the band is 1.96 standard errors.");
        dk_html_close(h);
    }
    dk_page_scores_close(&s);
    return rc;
}

int dk_page_kl(const dk_page *p, dk_err *err)
{
    dk_html *h = p->h;
    int rc = 0;

    if (p->n_lanes == 0)
        return 0;
    dk_html_open(h, "section");
    dk_html_attr(h, "id", "divergence");
    dk_html_put(h, "h2", NULL, "How far from the base");
    dk_html_open_class(h, "p", "lead");
    dk_html_text(h, "KL(lane || base) of the next-token distributions, in nats a token; the interval is over texts.");
    if (p->n_lanes > 1)
        dk_html_text(h, " A null is a finetune of the same size on other data: what it shows too, any finetune does. "
                        "Size alone is no finding, and a ratio has no p-value.");
    dk_html_close(h);
    table(p);
    groups(p);
    for (size_t k = 0; rc == 0 && k < p->s->n_kl; k++)
        rc = plots(p, p->s->kl[k].name, err);
    dk_html_close(h);
    return rc;
}
