/* What activation_difference_lens found: how long the mean differences are at
 * each position, and which tokens they speak for. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "method/pagelens.h"
#include "method/pageplot.h"
#include "method/lane.h"

enum { MAX_BLOCKS = 16, FEW = 12 };
/* What the lists of all layers may take, in equal parts. */
enum { MAX_BYTES = 1 << 20 };

static int is_diff(const char *what) { return strcmp(what, "diff") == 0 || strncmp(what, "diff.", 5) == 0; }

const char *dk_page_lens_name(const dk_page *p, const char *what)
{
    return strcmp(what, "diff") == 0 ? dk_summary_lane(p->s, "ft") : strncmp(what, "diff.", 5) == 0 ? what + 5 :
           dk_summary_lane(p->s, what);
}

static const char *hue_of(const dk_page *p, const char *what)
{
    return strcmp(what, "base") == 0 ? "base" : strcmp(what, "diff") == 0 ? "ft" :
           strncmp(what, "diff.", 5) == 0 ? dk_page_hue(p, what + 5) : dk_page_hue(p, what);
}

/* --- plots ---------------------------------------------------------------------- */
/* What is drawn of a lane at a position. */
typedef double value_fn(const dk_adl *a, const char *what, int32_t position);

static double length(const dk_adl *a, const char *what, int32_t position)
{
    const dk_adl_norm *n = dk_adl_norm_of(a, what, position);

    /* Of the base's rows the mean length: what the differences are added to. */
    return !n ? NAN : strcmp(what, "base") == 0 ? n->mean_norm : n->norm;
}

static double sameness(const dk_adl *a, const char *what, int32_t position)
{
    const dk_adl_norm *n = dk_adl_norm_of(a, what, position);

    return n && n->mean_norm > 0 ? 100 * n->norm / n->mean_norm : NAN;
}

static double finding_mass(const dk_adl *a, const char *what, int32_t position)
{
    const dk_adl_list *l = dk_adl_list_of(a, what, position, false);

    return l ? 100 * dk_adl_mass(l) : NAN;
}

/* The lanes that have norms: the nulls' differences, then the finetune's, which
 * is drawn over them. */
struct lanes { const char *what[DK_SUMMARY_LANES]; size_t n; };

static void find_lanes(struct lanes *l, const dk_adl *a, bool base)
{
    l->n = 0;
    for (int round = 0; round < 2; round++)
        for (size_t i = 0; i < a->n_norm; i++) {
            const char *what = a->norm[i].what;
            size_t k = 0;

            if (round == 0 ? strcmp(what, "base") != 0 || !base : !is_diff(what) || strcmp(what, "diff") == 0)
                continue;
            while (k < l->n && strcmp(l->what[k], what) != 0)
                k++;
            if (k == l->n && l->n < DK_SUMMARY_LANES - 1)
                l->what[l->n++] = what;
        }
    l->what[l->n++] = "diff";
}

static void lane_line(dk_plot *plot, const char *hue, const double *x, const double *y, size_t n, const char *name,
                      bool label)
{
    dk_plot_line(plot, hue, x, y, n);
    for (size_t i = 0; n <= 2 * FEW && i < n; i++)
        if (isfinite(y[i])) {
            char *title = dk_xasprintf("%s, position %.0f: %.4g", name, x[i], y[i]), text[32];

            snprintf(text, sizeof text, y[i] >= 100 ? "%.0f" : "%.3g", y[i]);
            dk_plot_point(plot, hue, x[i], y[i], title);
            if (label)
                dk_plot_value(plot, x[i], y[i], text);
            dk_free(title);
        }
}

/* what: its name in the file of the picture. */
static void figure(const dk_page *p, const dk_adl *a, const char *what, const char *title, const char *y_name,
                   value_fn *value, const struct lanes *l, bool log_y, const char *caption)
{
    const size_t n = a->n_position;
    double *x = dk_xcalloc(n + 1, sizeof *x), *y = dk_xcalloc(n * l->n + 1, sizeof *y);
    double lo = INFINITY, hi = 0;
    dk_plot_key key[DK_SUMMARY_LANES];
    char *name = dk_xasprintf("%s.%s.L%02d", what, a->set, a->layer);
    char *full = dk_xasprintf("%s: %s, layer %d", title, a->set, a->layer);

    for (size_t i = 0; i < n; i++)
        x[i] = a->position[i];
    for (size_t k = 0; k < l->n; k++)
        for (size_t i = 0; i < n; i++) {
            const double v = value(a, l->what[k], a->position[i]);

            y[k * n + i] = isfinite(v) && (v > 0 || !log_y) ? v : NAN;
            if (isfinite(y[k * n + i])) {
                hi = fmax(hi, v);
                lo = fmin(lo, v);
            }
        }
    for (size_t k = 0; k < l->n; k++)
        key[l->n - 1 - k] = (dk_plot_key){ hue_of(p, l->what[k]), dk_page_lens_name(p, l->what[k]) };
    if (isfinite(lo)) {
        dk_plot plot = { .h = p->h, .title = full, .x_name = "position, tokens", .y_name = y_name, .whole_x = 1,
                         .x0 = x[0], .x1 = x[n - 1], .y0 = log_y ? lo : 0, .y1 = hi, .log_y = log_y,
                         .pictures = p->pictures, .name = name, .key = key, .n_keys = l->n };

        dk_html_open(p->h, "figure");
        dk_plot_begin(&plot);
        for (size_t k = 0; k < l->n; k++)
            lane_line(&plot, hue_of(p, l->what[k]), x, y + k * n, n, dk_page_lens_name(p, l->what[k]),
                      n <= FEW && k + 1 == l->n);
        dk_plot_end(&plot);
        dk_html_put(p->h, "figcaption", NULL, caption);
        dk_html_close(p->h);
    }
    dk_free(full);
    dk_free(name);
    dk_free(x);
    dk_free(y);
}

static void figures(const dk_page *p, const dk_adl *a)
{
    const struct lanes ft = { { "diff" }, 1 };
    struct lanes all, diffs;

    find_lanes(&all, a, true);
    find_lanes(&diffs, a, false);
    dk_html_open_class(p->h, "div", "pair two");
    figure(p, a, "length", "Length of the mean difference", "length", length, &all, true,
           "Length of the mean difference; grey: mean length of the base's activations. The scale is logarithmic.");
    figure(p, a, "share", "Length in percent of the base's activations", "% of the base's length", dk_adl_share, &diffs,
           false, "The same in percent of the base's: how large the change is where it is made.");
    figure(p, a, "sameness", "How alike the differences of all texts are", "%", sameness, &diffs, false,
           "Length of the mean over mean length: 100% where every text has the same difference, near 0 where they "
           "have nothing in common.");
    figure(p, a, "mass", "Probability of tokens that no null speaks for", "probability, %", finding_mass, &ft, false,
           "Lens of the mean difference: the probability that its first 20 tokens hold, less those that a null speaks "
           "for too. The highest are the most telling positions.");
    dk_html_close(p->h);
}

/* --- lengths in figures ------------------------------------------------------------- */
/* In four digits, or in percent. */
static void cell(dk_html *h, bool percent, double v)
{
    dk_html_open_class(h, "td", "num");
    if (isfinite(v))
        dk_html_textf(h, percent ? "%.1f%%" : "%.4g", v);
    dk_html_close(h);
}

static void lengths(const dk_page *p, const dk_adl *a)
{
    dk_html *h = p->h;
    struct lanes l;

    find_lanes(&l, a, false);
    dk_html_open(h, "details");
    dk_html_put(h, "summary", NULL, "Lengths in figures");
    dk_html_table(h, NULL);
    dk_html_put(h, "th", "num", "position");
    dk_html_put(h, "th", "num", "rows");
    dk_html_put(h, "th", "num", "base's length");
    for (size_t k = l.n; k-- > 0;) {
        const char *name = dk_page_lens_name(p, l.what[k]);

        dk_html_putf(h, "th", "num", "%s: length", name);
        dk_html_put(h, "th", "num", "of base's");
        dk_html_put(h, "th", "num", "alike");
    }
    dk_html_table_body(h);
    for (size_t i = 0; i <= a->n_position; i++) {
        const int32_t at = i < a->n_position ? a->position[i] : DK_ADL_ALL;
        const dk_adl_norm *base = dk_adl_norm_of(a, "base", at), *diff = dk_adl_norm_of(a, "diff", at);

        dk_html_open(h, "tr");
        if (at == DK_ADL_ALL)
            dk_html_put(h, "td", "num", "all");
        else
            dk_html_putf(h, "td", "num", "%d", at);
        cell(h, false, diff ? diff->count : NAN);
        cell(h, false, base ? base->mean_norm : NAN);
        for (size_t k = l.n; k-- > 0;) {
            cell(h, false, length(a, l.what[k], at));
            cell(h, true, dk_adl_share(a, l.what[k], at));
            cell(h, true, sameness(a, l.what[k], at));
        }
        dk_html_close(h);
    }
    dk_html_table_end(h);
    dk_html_close(h);
}

/* --- layers ---------------------------------------------------------------------------- */
static void first_tokens(const dk_page *p, const dk_adl *a, int32_t at)
{
    const dk_adl_list *l = dk_adl_list_of(a, "diff", at, false);
    size_t told = 0;

    dk_html_open_class(p->h, "td", "chips for");
    for (size_t i = 0; l && i < l->n && told < 6; i++)
        if (dk_adl_finding(&l->token[i])) {
            dk_page_lens_token(p, &l->token[i], false);
            told++;
        }
    dk_html_close(p->h);
}

/* A cell that has its column's name with it where the head is folded away. */
static void named(dk_html *h, const char *name, bool percent, double v)
{
    dk_html_open_class(h, "td", "num");
    dk_html_attr(h, "data-l", name);
    dk_html_textf(h, percent ? "%.1f%%" : "%.0f", v);
    dk_html_close(h);
}

static void overview(const dk_page *p, const dk_adl *const *order, size_t n)
{
    static const char *const head[] = { "data set", "layer", "most telling position", "probability", "first tokens there" };
    dk_html *h = p->h;

    dk_html_open_class(h, "table", "fold");
    dk_html_open(h, "thead");
    dk_html_open(h, "tr");
    for (size_t i = 0; i < 5; i++)
        dk_html_put(h, "th", i == 0 || i == 4 ? NULL : "num", head[i]);
    dk_html_close(h);
    dk_html_close(h);
    dk_html_open(h, "tbody");
    for (size_t i = 0; i < n; i++) {
        int32_t at = DK_ADL_ALL;

        dk_html_open(h, "tr");
        dk_html_put(h, "td", NULL, order[i]->set);
        named(h, head[1], false, order[i]->layer);
        if (dk_adl_telling(order[i], &at, 1)) {
            named(h, head[2], false, at);
            named(h, head[3], true, finding_mass(order[i], "diff", at));
            first_tokens(p, order[i], at);
        } else {
            dk_html_put(h, "td", "num", "none");
            named(h, head[3], true, 0);
            dk_html_put(h, "td", "chips", "");
        }
        dk_html_close(h);
    }
    dk_html_close(h);
    dk_html_close(h);
}

static void block(const dk_page *p, const dk_adl *a, size_t number, size_t room)
{
    const dk_adl_norm *first = a->n_position ? dk_adl_norm_of(a, "diff", a->position[0]) : NULL;
    struct lanes l;
    dk_html *h = p->h;

    find_lanes(&l, a, true);
    dk_html_open_class(h, "p", "legend");
    if (first && isfinite(first->count))
        dk_html_textf(h, "Means over %.0f texts, %s. ", first->count,
                      strcmp(a->site, "resid_pre") == 0 ? "before the block" : "behind the block");
    for (size_t k = l.n; k-- > 0;) {
        dk_html_open(h, "span");
        dk_html_attrf(h, "class", "key %s", hue_of(p, l.what[k]));
        dk_html_close(h);
        dk_html_textf(h, "%s ", dk_page_lens_name(p, l.what[k]));
    }
    dk_html_close(h);
    if (a->n_norm && a->n_position) {
        figures(p, a);
        lengths(p, a);
    }
    if (a->n_list)
        dk_page_lens_lists(p, a, number, room);
}

/* The deepest layer first: there the lens reads what the model is about to say. */
static int by_depth(const void *va, const void *vb)
{
    const dk_adl *a = *(const dk_adl *const *)va, *b = *(const dk_adl *const *)vb;
    const int set = strcmp(a->set, b->set);

    return set ? set : a->layer != b->layer ? b->layer - a->layer : a < b ? -1 : a > b;
}

static void lead(dk_html *h, bool nulls)
{
    dk_html_open_class(h, "p", "lead");
    dk_html_text(h, "The mean of finetune minus base in the residual stream, at each of the first positions of the texts. "
                    "Taken through the base's last norm and its unembedding (the logit lens), it speaks for some tokens, "
                    "and negated for others: those it speaks against.");
    if (nulls)
        dk_html_textf(h, " What a null's difference speaks for at %g of the probability or more is grey: any finetune "
                         "does that.", DK_LANE_SHARED);
    dk_html_close(h);
}

static bool any_null(const dk_summary *s)
{
    for (size_t i = 0; i < s->n_adl; i++)
        for (size_t k = 0; k < s->adl[i].n_norm; k++)
            if (strncmp(s->adl[i].norm[k].what, "diff.", 5) == 0)
                return true;
    return false;
}

void dk_page_lens(const dk_page *p)
{
    const dk_summary *s = p->s;
    const size_t n = s->n_adl < MAX_BLOCKS ? s->n_adl : MAX_BLOCKS;
    const dk_adl **order = dk_xcalloc(s->n_adl + 1, sizeof(*order));
    dk_html *h = p->h;

    for (size_t i = 0; i < s->n_adl; i++)
        order[i] = &s->adl[i];
    qsort(order, s->n_adl, sizeof *order, by_depth);
    if (n) {
        dk_html_open(h, "section");
        dk_html_attr(h, "id", "lens");
        dk_html_put(h, "h2", NULL, "What it adds inside");
        lead(h, any_null(s));
        if (s->n_adl > 1)
            overview(p, order, n);
        for (size_t i = 0; i < n; i++) {
            dk_html_open(h, "details");
            if (i == 0)
                dk_html_attr(h, "open", "open");
            dk_html_putf(h, "summary", "heading", "%s, layer %d", order[i]->set, order[i]->layer);
            block(p, order[i], i, MAX_BYTES / n);
            dk_html_close(h);
        }
        if (s->n_adl > n)
            dk_html_putf(h, "p", "note", "%zu more layers left out: the page would be too large.", s->n_adl - n);
        dk_html_close(h);
    }
    dk_free(order);
}
