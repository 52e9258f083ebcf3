/* Divergence: the table of means, the histogram and the curve over positions. */
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "method/pageparts.h"
#include "method/pageplot.h"

enum { BINS_A_DECADE = 10, MAX_POINTS = 128 };

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
    dk_html_open(h, "span");
    dk_html_attrf(h, "class", "key %s", dk_page_hue(p, lane));
    dk_html_close(h);
    dk_html_text(h, dk_summary_lane(p->s, lane));
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
        "data set", "lane", "mean KL", "95% interval", "", "finetune / it", "median", "75%", "largest", "texts",
        "tokens"
    };
    dk_html *h = p->h;
    double max = 0;

    for (size_t k = 0; k < p->s->n_kl; k++)
        for (size_t i = 0; i < p->s->kl[k].rows.n; i++) {
            const dk_json *r = p->s->kl[k].rows.row[i];

            max = fmax(max, fmax(dk_row_num(r, "value"), dk_row_num(r, "hi")));
        }
    dk_html_open_class(h, "div", "scroll");
    dk_html_open(h, "table");
    dk_html_open(h, "thead");
    dk_html_open(h, "tr");
    for (size_t i = 0; i < sizeof head / sizeof *head; i++)
        dk_html_put(h, "th", i == 4 ? "wide" : i > 1 ? "num" : NULL, head[i]);
    dk_html_close(h);
    dk_html_close(h);
    dk_html_open(h, "tbody");
    for (size_t k = 0; k < p->s->n_kl; k++)
        for (size_t l = 0; l < p->n_lanes; l++)
            table_row(p, &p->s->kl[k], p->lane[l], max);
    dk_html_close(h);
    dk_html_close(h);
    dk_html_close(h);
}

/* --- plots ------------------------------------------------------------------------ */
static size_t keys_of(const dk_page *p, const dk_page_scores *s, dk_plot_key *key)
{
    for (size_t l = 0; l < s->n; l++)
        key[l] = (dk_plot_key){ dk_page_hue(p, s->lane[l]), dk_summary_lane(p->s, s->lane[l]) };
    return s->n;
}

static int histogram(const dk_page *p, const dk_page_scores *s, const char *set, dk_err *err)
{
    double top = 0, max = 0, *edge = NULL, *share = NULL;
    char *title = dk_xasprintf("Share of positions by KL on %s", set), *name = dk_xasprintf("kl.%s", set);
    dk_plot_key key[DK_SUMMARY_LANES];
    int lowest = -4, highest, rc = 0;
    size_t bins = 0;

    for (size_t l = 0; l < s->n; l++)
        for (size_t i = 0; i < s->t->rows; i++)
            max = fmax(max, s->kl[l][i]);
    highest = max > 0 && isfinite(max) ? (int)ceil(log10(max)) : 0;
    highest = highest <= lowest ? lowest + 1 : highest > 4 ? 4 : highest;
    bins = (size_t)(highest - lowest) * BINS_A_DECADE;
    rc = dk_alloc(&edge, bins + 1, sizeof *edge, "a histogram", err);
    if (rc == 0)
        rc = dk_alloc(&share, bins * s->n, sizeof *share, "a histogram", err);
    for (size_t b = 0; rc == 0 && b <= bins; b++)
        edge[b] = pow(10, lowest + (double)b / BINS_A_DECADE);
    for (size_t l = 0; rc == 0 && l < s->n; l++)
        for (size_t i = 0; i < s->t->rows; i++) {
            const double at = (log10(fmax(s->kl[l][i], 1e-30)) - lowest) * BINS_A_DECADE;
            const size_t b = !(at > 0) ? 0 : at >= (double)bins ? bins - 1 : (size_t)at;

            share[l * bins + b] += 100.0 / (double)s->t->rows;
            top = fmax(top, share[l * bins + b]);
        }
    if (rc == 0) {
        dk_plot plot = { .h = p->h, .title = title, .x_name = "KL, nats (below 0.0001: first bar)",
                         .y_name = "% of positions", .x0 = edge[0], .x1 = edge[bins], .y1 = top, .log_x = 1,
                         .pictures = p->pictures, .name = name, .key = key, .n_keys = keys_of(p, s, key) };

        dk_plot_begin(&plot);
        for (size_t l = s->n; l-- > 0;)
            dk_plot_steps(&plot, dk_page_hue(p, s->lane[l]), edge, share + l * bins, bins);
        dk_plot_end(&plot);
    }
    dk_free(title);
    dk_free(name);
    dk_free(edge);
    dk_free(share);
    return rc;
}

/* Mean KL of each position with 1.96 standard errors over documents; many
 * positions are taken together. */
struct curve { double x[MAX_POINTS], mean[MAX_POINTS], lo[MAX_POINTS], hi[MAX_POINTS]; };

static void curve_of(struct curve *c, const dk_tokens *t, const float *kl, size_t points, uint32_t width)
{
    double n[MAX_POINTS] = {0}, sum[MAX_POINTS] = {0}, square[MAX_POINTS] = {0};

    for (size_t i = 0; i < t->rows; i++) {
        const size_t at = t->pos[i] / width;

        n[at]++;
        sum[at] += kl[i];
        square[at] += (double)kl[i] * kl[i];
    }
    for (size_t i = 0; i < points; i++) {
        const double mean = sum[i] / n[i], var = (square[i] - sum[i] * mean) / (n[i] - 1);
        const double half = n[i] > 1 ? 1.96 * sqrt(fmax(var, 0) / n[i]) : NAN;

        c->x[i] = (double)i * width + (width - 1) / 2.0;
        c->mean[i] = n[i] > 0 ? mean : NAN;
        c->lo[i] = fmax(mean - half, 0);
        c->hi[i] = n[i] > 1 ? mean + half : NAN;
        c->lo[i] = n[i] > 1 ? c->lo[i] : NAN;
    }
}

static void positions(const dk_page *p, const dk_page_scores *s, const char *set)
{
    struct curve *c = dk_xcalloc(s->n, sizeof *c);
    char *title = dk_xasprintf("Mean KL by position on %s", set), *name = dk_xasprintf("kl_position.%s", set);
    dk_plot_key key[DK_SUMMARY_LANES];
    uint32_t last = 0, width;
    size_t points;
    double top = 0;

    for (size_t i = 0; i < s->t->rows; i++)
        last = s->t->pos[i] > last ? s->t->pos[i] : last;
    width = last / MAX_POINTS + 1;
    points = last / width + 1;
    for (size_t l = 0; l < s->n; l++) {
        curve_of(&c[l], s->t, s->kl[l], points, width);
        for (size_t i = 0; i < points; i++)
            top = fmax(top, fmax(c[l].mean[i], isfinite(c[l].hi[i]) ? c[l].hi[i] : 0));
    }
    {
        dk_plot plot = { .h = p->h, .title = title, .x_name = "position in the text, tokens",
                         .y_name = "mean KL, nats", .x1 = last, .y1 = top, .whole_x = 1,
                         .pictures = p->pictures, .name = name, .key = key, .n_keys = keys_of(p, s, key) };

        dk_plot_begin(&plot);
        for (size_t l = s->n; l-- > 0;)
            dk_plot_band(&plot, dk_page_hue(p, s->lane[l]), c[l].x, c[l].lo, c[l].hi, points);
        for (size_t l = s->n; l-- > 0;)
            dk_plot_line(&plot, dk_page_hue(p, s->lane[l]), c[l].x, c[l].mean, points);
        dk_plot_end(&plot);
    }
    dk_free(title);
    dk_free(name);
    dk_free(c);
}

static int plots(const dk_page *p, const char *set, dk_err *err)
{
    dk_page_scores s;
    dk_html *h = p->h;
    int rc = dk_page_scores_open(&s, p, set, err);

    if (rc == 0 && s.file && s.n && s.t->rows) {
        dk_html_put(h, "h3", NULL, set);
        dk_page_legend(p);
        dk_html_open_class(h, "div", "pair");
        dk_html_open(h, "figure");
        rc = histogram(p, &s, set, err);
        dk_html_put(h, "figcaption", NULL, "How KL is spread over positions.");
        dk_html_close(h);
        dk_html_open(h, "figure");
        positions(p, &s, set);
        dk_html_put(h, "figcaption", NULL, "Mean KL along the text; the band is 1.96 standard errors.");
        dk_html_close(h);
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
    for (size_t k = 0; rc == 0 && k < p->s->n_kl; k++)
        rc = plots(p, p->s->kl[k].name, err);
    dk_html_close(h);
    return rc;
}
