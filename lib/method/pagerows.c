/* Histograms and curves along the texts. */
#include "method/pagerows.h"

#include <math.h>
#include <string.h>

#include "method/pageplot.h"
#include "num/stats.h"

enum { BINS_A_DECADE = 10, FINE_BINS = 40, MAX_POINTS = 128, STEEP = 20 };

int dk_page_read(dk_scores *file, const char *score, const char *lane, float **out, dk_err *err)
{
    char *name = dk_xasprintf("%s/%s", score, lane);
    const dk_score_info *i = dk_scores_find(file, name, false);
    int rc = 0;

    *out = NULL;
    if (i && i->kind == DK_SCORE_DENSE && i->k == 1 && i->rows == dk_scores_tokens(file)->rows) {
        rc = dk_alloc(out, i->rows, sizeof **out, "scores", err);
        if (rc == 0)
            rc = dk_scores_read(file, name, 0, i->rows, *out, err);
    }
    dk_free(name);
    return rc;
}

static size_t keys_of(const dk_page *p, const dk_page_rows *r, dk_plot_key *key)
{
    for (size_t l = 0; l < r->n; l++)
        key[l] = (dk_plot_key){ dk_page_hue(p, r->lane[l]), dk_summary_lane(p->s, r->lane[l]) };
    return r->n;
}

/* --- how it is spread ------------------------------------------------------------ */
/* Bins of one width: in decades, or from the lowest value to the highest. */
struct bins { double *edge, *share, from, width, top; size_t n; bool decades; };

static void range_of(const dk_page_rows *r, double *lo, double *hi)
{
    *lo = INFINITY;
    *hi = -INFINITY;
    for (size_t l = 0; l < r->n; l++)
        for (size_t i = 0; i < r->t->rows; i++) {
            const double v = r->v[l][i];

            if (isfinite(v) && (r->with_sign || v > 0)) {
                *lo = fmin(*lo, v);
                *hi = fmax(*hi, v);
            }
        }
}

/* What is not farther from the middle half of some lane's values than 1.5 times its width. */
static void bulk_of(const dk_stats *of, size_t n, double *lo, double *hi)
{
    *lo = INFINITY;
    *hi = -INFINITY;
    for (size_t l = 0; l < n; l++) {
        const double reach = 1.5 * (of[l].p75 - of[l].p25);

        if (of[l].n == 0)
            continue;
        *lo = fmin(*lo, fmax(of[l].p25 - reach, of[l].min));
        *hi = fmax(*hi, fmin(of[l].p75 + reach, of[l].max));
    }
}

static void lay_out_evenly(struct bins *b, double lo, double hi)
{
    b->n = FINE_BINS;
    b->from = lo < hi ? lo : lo - 0.5;
    b->width = lo < hi ? (hi - lo) / FINE_BINS : 1.0 / FINE_BINS;
}

static void lay_out(struct bins *b, const dk_page_rows *r)
{
    double lo, hi;
    int lowest, highest;

    range_of(r, &lo, &hi);
    b->decades = !r->with_sign;
    if (r->with_sign) {
        lay_out_evenly(b, lo, hi);
        return;
    }
    highest = hi > 0 && isfinite(hi) ? (int)ceil(log10(hi)) : 0;
    lowest = r->lowest ? r->lowest : lo <= hi ? (int)floor(log10(lo)) : highest - 1;
    if (r->lowest)
        highest = highest > 4 ? 4 : highest;
    else
        lowest = lowest < highest - 6 ? highest - 6 : lowest;
    highest = highest <= lowest ? lowest + 1 : highest;
    b->width = 1.0 / (highest - lowest < 4 && !r->lowest ? FINE_BINS / (highest - lowest) : BINS_A_DECADE);
    b->from = lowest;
    b->n = (size_t)lround((highest - lowest) / b->width);
}

/* What is outside belongs to the first or last bin, or of a bulk to none. */
static void count(struct bins *b, const dk_page_rows *r, size_t lane, bool bulk)
{
    double *share = b->share + lane * b->n;
    size_t n = 0;

    for (size_t i = 0; i < r->t->rows; i++)
        n += isfinite(r->v[lane][i]);
    for (size_t i = 0; i < r->t->rows; i++) {
        const double v = r->v[lane][i], at = ((b->decades ? log10(fmax(v, 1e-30)) : v) - b->from) / b->width;
        const size_t k = !(at > 0) ? 0 : at >= (double)b->n ? b->n - 1 : (size_t)at;

        if (!isfinite(v) || (bulk && (at < -1e-9 || at > (double)b->n + 1e-9)))
            continue;
        share[k] += 100.0 / (double)n;
        b->top = fmax(b->top, share[k]);
    }
}

static void draw(const dk_page *p, const dk_page_rows *r, const struct bins *b, const dk_stats *of, const char *title,
                 const char *name, const char *x_name)
{
    dk_plot_key key[DK_SUMMARY_LANES];
    dk_plot plot = { .h = p->h, .title = title, .x_name = x_name, .y_name = "% of positions", .x0 = b->edge[0],
                     .x1 = b->edge[b->n], .y1 = b->top, .log_x = b->decades, .pictures = p->pictures, .name = name,
                     .key = key, .n_keys = keys_of(p, r, key) };

    dk_plot_begin(&plot);
    for (size_t l = r->n; l-- > 0;)
        dk_plot_steps(&plot, dk_page_hue(p, r->lane[l]), b->edge, b->share + l * b->n, b->n);
    for (size_t l = r->n; l-- > 0;)
        for (int median = 0; of[l].n && median < 2; median++)
            dk_plot_mark(&plot, dk_page_hue(p, r->lane[l]), fmax(median ? of[l].median : of[l].mean, b->edge[0]), median);
    dk_plot_end(&plot);
}

static int histogram(const dk_page *p, const dk_page_rows *r, const dk_stats *of, bool bulk, dk_err *err)
{
    char *title = dk_xasprintf("Share of positions by %s on %s%s", r->what, r->set, bulk ? ", without outliers" : "");
    char *name = dk_xasprintf("%s%s.%s", r->name, bulk ? "_bulk" : "", r->set), *x_name;
    struct bins b = {0};
    double lo, hi;
    int rc;

    if (bulk) {
        bulk_of(of, r->n, &lo, &hi);
        lay_out_evenly(&b, lo, hi);
    } else
        lay_out(&b, r);
    x_name = b.decades ? dk_xasprintf("%s, %s (below %g: first bar)", r->what, r->unit, pow(10, b.from))
                       : dk_xasprintf("%s, %s", r->what, r->unit);
    rc = dk_alloc(&b.edge, b.n + 1, sizeof *b.edge, "a histogram", err);
    if (rc == 0)
        rc = dk_alloc(&b.share, b.n * r->n, sizeof *b.share, "a histogram", err);
    for (size_t i = 0; rc == 0 && i <= b.n; i++)
        b.edge[i] = b.decades ? pow(10, b.from + (double)i * b.width) : b.from + (double)i * b.width;
    for (size_t l = 0; rc == 0 && l < r->n; l++)
        count(&b, r, l, bulk);
    if (rc == 0)
        draw(p, r, &b, of, title, name, x_name);
    dk_free(title);
    dk_free(name);
    dk_free(x_name);
    dk_free(b.edge);
    dk_free(b.share);
    return rc;
}

/* Of the finite values; n 0: there are none. */
static int stats_of(dk_stats *s, const float *v, size_t rows, dk_err *err)
{
    float *some = NULL;
    size_t n = 0;
    int rc = dk_alloc(&some, rows, sizeof *some, "values", err);

    *s = (dk_stats){0};
    for (size_t i = 0; rc == 0 && i < rows; i++)
        if (isfinite(v[i]))
            some[n++] = v[i];
    if (rc == 0 && n)
        rc = dk_stats_of(s, some, n, err);
    dk_free(some);
    return rc;
}

static size_t outside(const float *v, size_t rows, double lo, double hi)
{
    size_t n = 0;

    for (size_t i = 0; i < rows; i++)
        n += isfinite(v[i]) && (v[i] < lo || v[i] > hi);
    return n;
}

static void marks(const dk_page *p, const dk_page_rows *r, const dk_stats *of)
{
    dk_html_text(p->h, " Upright lines: mean, and dotted the median;");
    for (size_t l = 0; l < r->n; l++)
        if (of[l].n)
            dk_html_textf(p->h, "%s %s %.4g and %.4g (n = %zu)", l ? "," : "", dk_summary_lane(p->s, r->lane[l]), of[l].mean,
                          of[l].median, of[l].n);
    dk_html_text(p->h, ".");
}

static void left_out(const dk_page *p, const dk_page_rows *r, const dk_stats *of)
{
    double lo, hi;

    bulk_of(of, r->n, &lo, &hi);
    dk_html_open_class(p->h, "p", "note");
    dk_html_text(p->h, "Outliers are farther from the middle half of the values than 1.5 times its width; left out:");
    for (size_t l = 0; l < r->n; l++)
        dk_html_textf(p->h, "%s %s %zu of %zu", l ? "," : "", dk_summary_lane(p->s, r->lane[l]),
                      outside(r->v[l], r->t->rows, lo, hi), of[l].n);
    dk_html_text(p->h, ".");
    dk_html_close(p->h);
}

int dk_page_spread(const dk_page *p, const dk_page_rows *r, const char *caption, dk_err *err)
{
    dk_stats of[DK_SUMMARY_LANES];
    bool any = false;
    int rc = 0;

    for (size_t l = 0; rc == 0 && l < r->n; l++) {
        rc = stats_of(&of[l], r->v[l], r->t->rows, err);
        any = any || of[l].n;
    }
    if (rc < 0)
        return rc;
    dk_html_open(p->h, "figure");
    rc = histogram(p, r, of, false, err);
    dk_html_open(p->h, "figcaption");
    dk_html_text(p->h, caption);
    if (any)
        marks(p, r, of);
    dk_html_close(p->h);
    if (rc == 0 && any && !r->with_sign) {
        dk_html_open(p->h, "details");
        dk_html_put(p->h, "summary", NULL, "Without outliers");
        rc = histogram(p, r, of, true, err);
        left_out(p, r, of);
        dk_html_close(p->h);
    }
    dk_html_close(p->h);
    return rc;
}

/* --- along the texts --------------------------------------------------------------- */
struct curve { double x[MAX_POINTS], mean[MAX_POINTS], lo[MAX_POINTS], hi[MAX_POINTS]; };

static void curve_of(struct curve *c, const dk_page_rows *r, size_t lane, size_t points, uint32_t width)
{
    double n[MAX_POINTS] = {0}, sum[MAX_POINTS] = {0}, square[MAX_POINTS] = {0};
    const double floor_at = r->with_sign ? -INFINITY : 0;

    for (size_t i = 0; i < r->t->rows; i++) {
        const size_t at = r->t->pos[i] / width;
        const double v = r->v[lane][i];

        if (isnan(v))
            continue;
        n[at]++;
        sum[at] += v;
        square[at] += v * v;
    }
    for (size_t i = 0; i < points; i++) {
        const double mean = sum[i] / n[i], var = (square[i] - sum[i] * mean) / (n[i] - 1);
        const double half = n[i] > 1 ? 1.96 * sqrt(fmax(var, 0) / n[i]) : NAN;

        c->x[i] = (double)i * width + (width - 1) / 2.0;
        c->mean[i] = n[i] > 0 ? mean : NAN;
        c->lo[i] = n[i] > 1 ? fmax(mean - half, floor_at) : NAN;
        c->hi[i] = n[i] > 1 ? mean + half : NAN;
    }
}

void dk_page_along(const dk_page *p, const dk_page_rows *r, const char *caption)
{
    struct curve *c = dk_xcalloc(r->n, sizeof *c);
    char *title = dk_xasprintf("Mean %s by position on %s", r->what, r->set), *y_name = dk_xasprintf("mean %s, %s", r->what, r->unit);
    char *name = dk_xasprintf("%s_position.%s", r->name, r->set);
    dk_plot_key key[DK_SUMMARY_LANES];
    uint32_t last = 0, width;
    size_t points;
    double top = 0, bottom = 0, lowest = INFINITY;
    bool steep;

    for (size_t i = 0; i < r->t->rows; i++)
        last = r->t->pos[i] > last ? r->t->pos[i] : last;
    width = last / MAX_POINTS + 1;
    points = last / width + 1;
    for (size_t l = 0; l < r->n; l++) {
        curve_of(&c[l], r, l, points, width);
        for (size_t i = 0; i < points; i++) {
            if (isfinite(c[l].mean[i]) && c[l].mean[i] > 0)
                lowest = fmin(lowest, c[l].mean[i]);
            if (isfinite(c[l].mean[i]))
                top = fmax(top, fmax(c[l].mean[i], isfinite(c[l].hi[i]) ? c[l].hi[i] : 0));
            if (r->with_sign && isfinite(c[l].lo[i]))
                bottom = fmin(bottom, c[l].lo[i]);
        }
    }
    /* The first rows of a text are often many times as long as all others. */
    steep = !r->with_sign && r->lowest == 0 && isfinite(lowest) && top > STEEP * lowest;
    {
        dk_plot plot = { .h = p->h, .title = title, .x_name = "position in the text, tokens", .y_name = y_name,
                         .x1 = last, .y0 = steep ? lowest : bottom, .log_y = steep, .y1 = top, .whole_x = 1, .pictures = p->pictures, .name = name,
                         .key = key, .n_keys = keys_of(p, r, key) };

        dk_html_open(p->h, "figure");
        dk_plot_begin(&plot);
        for (size_t l = r->n; l-- > 0;)
            dk_plot_band(&plot, dk_page_hue(p, r->lane[l]), c[l].x, c[l].lo, c[l].hi, points);
        for (size_t l = r->n; l-- > 0;)
            dk_plot_line(&plot, dk_page_hue(p, r->lane[l]), c[l].x, c[l].mean, points);
        dk_plot_end(&plot);
        dk_html_put(p->h, "figcaption", NULL, caption);
        dk_html_close(p->h);
    }
    dk_free(title);
    dk_free(y_name);
    dk_free(name);
    dk_free(c);
}
