/* Components: how much of the variance each holds, the tokens at their ends, and
 * the texts that lie farthest along them. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "method/pageexamples.h"
#include "method/pagelens.h"
#include "method/pageparts.h"
#include "method/pageplot.h"

enum { KEEP = 2, CHIPS = 8, BARS = 20, MAX_PLACES = 16, PROMPTS = 4, WAYS = 25 };
/* What the texts of all layers and data sets may take, in equal parts. */
enum { MAX_BYTES = 2 << 20 };

/* --- variances ------------------------------------------------------------------- */
struct curve { double *x, *ratio, *sum; size_t n; };

static struct curve curve_of(const dk_jsonl *t, const dk_place *at)
{
    struct curve c = { dk_xcalloc(t->n + 1, sizeof(double)), dk_xcalloc(t->n + 1, sizeof(double)), dk_xcalloc(t->n + 1, sizeof(double)), 0 };

    for (size_t i = 0; i < t->n; i++) {
        if (!dk_at_place(t->row[i], at))
            continue;
        c.x[c.n] = (double)c.n + 1;
        c.ratio[c.n] = 100 * dk_row_num(t->row[i], "ratio");
        c.sum[c.n++] = 100 * dk_row_num(t->row[i], "cumulative");
    }
    return c;
}

static void curve_free(struct curve *c)
{
    dk_free(c->x);
    dk_free(c->ratio);
    dk_free(c->sum);
}

/* Over the components from 1 on, of the finetune and of the nulls. */
static void variance(const dk_page *p, const dk_place *at, bool sums)
{
    const dk_stat_tables *s = &p->s->stat;
    struct curve c[DK_STAT_SETS + 1];
    const size_t lanes = s->n_null + 1;
    char *name = dk_xasprintf("%s.L%02d.%s", sums ? "variance_cumulative" : "variance", at->layer, at->site);
    char *title = dk_xasprintf("%s, layer %d", sums ? "Share of the variance in the first components" : "Share of the variance by component", at->layer);
    dk_plot_key key[DK_STAT_SETS + 1];
    double top = 1, last = 2;

    for (size_t l = 0; l < lanes; l++) {
        c[l] = curve_of(l ? &s->null[l - 1].rows : &s->component, at);
        key[l] = (dk_plot_key){ dk_page_hue(p, l ? s->null[l - 1].name : "ft"), l ? s->null[l - 1].name : dk_summary_lane(p->s, "ft") };
        last = fmax(last, (double)c[l].n);
        for (size_t i = 0; i < c[l].n; i++)
            top = isfinite(c[l].ratio[i]) ? fmax(top, c[l].ratio[i]) : top;
    }
    last = sums ? pow(10, ceil(log10(last))) : fmin(last, BARS);
    {
        dk_plot plot = { .h = p->h, .title = title, .x_name = sums ? "first components" : "component, from 1",
                         .y_name = "% of the variance", .x0 = 1, .x1 = last, .y1 = sums ? 100 : top, .whole_x = 1, .log_x = sums,
                         .pictures = p->pictures, .name = name, .key = key, .n_keys = lanes };

        dk_html_open(p->h, "figure");
        dk_plot_begin(&plot);
        for (size_t l = lanes; l-- > 0;) {
            const char *hue = key[l].class;
            const size_t n = sums || c[l].n < BARS ? c[l].n : BARS;

            dk_plot_line(&plot, hue, c[l].x, sums ? c[l].sum : c[l].ratio, n);
            for (size_t i = 0; !sums && i < n; i++) {
                char tip[96];

                snprintf(tip, sizeof tip, "%s, component %zu: %.3g%%", key[l].name, i + 1, c[l].ratio[i]);
                dk_plot_point(&plot, hue, c[l].x[i], c[l].ratio[i], tip);
            }
        }
        dk_plot_end(&plot);
        dk_html_put(p->h, "figcaption", NULL, sums ? "What the first components hold together." : "What each of the first components holds.");
        dk_html_close(p->h);
    }
    for (size_t l = 0; l < lanes; l++)
        curve_free(&c[l]);
    dk_free(name);
    dk_free(title);
}

static void number(dk_html *h, bool percent, double v)
{
    dk_html_open_class(h, "td", "num");
    if (isfinite(v))
        dk_html_textf(h, percent ? "%.1f%%" : "%.4g", percent ? 100 * v : v);
    dk_html_close(h);
}

static void ninety(const dk_page *p, const char *name, const dk_jsonl *t, const dk_place *at)
{
    const size_t n = dk_components_for(t, at, 0.9), all = dk_components(t, at);

    if (n)
        dk_html_textf(p->h, "%s: 90%% of the variance in %zu of %zu components. ", name, n, all);
    else if (all)
        dk_html_textf(p->h, "%s: %zu components, less than 90%% of the variance. ", name, all);
}

/* The shares that the first 1, 10, 50, 100 and all hold. */
static void shares(const dk_page *p, const dk_place *at)
{
    static const size_t first[] = { 1, 10, 50, 100, SIZE_MAX };
    const dk_stat_tables *s = &p->s->stat;
    dk_html *h = p->h;

    dk_html_table(h, NULL);
    dk_html_put(h, "th", NULL, "% of the variance in the first");
    for (size_t i = 0; i < sizeof first / sizeof *first; i++)
        first[i] == SIZE_MAX ? dk_html_put(h, "th", "num", "all") : dk_html_putf(h, "th", "num", "%zu", first[i]);
    dk_html_put(h, "th", "num", "components");
    dk_html_put(h, "th", "num", "for 90%");
    dk_html_put(h, "th", "num", "for 95%");
    dk_html_put(h, "th", "num", "total variance");
    dk_html_table_body(h);
    for (size_t l = 0; l <= s->n_null; l++) {
        const dk_jsonl *t = l ? &s->null[l - 1].rows : &s->component;
        const size_t n = dk_components(t, at), ninety = dk_components_for(t, at, 0.9), most = dk_components_for(t, at, 0.95);

        dk_html_open(h, "tr");
        dk_html_open(h, "td");
        dk_page_lane(p, l ? s->null[l - 1].name : "ft", "");
        dk_html_close(h);
        for (size_t i = 0; i < sizeof first / sizeof *first; i++)
            number(h, true, first[i] <= n || first[i] == SIZE_MAX ? dk_components_share(t, at, first[i]) : NAN);
        number(h, false, (double)n);
        number(h, false, ninety ? (double)ninety : NAN);
        number(h, false, most ? (double)most : NAN);
        number(h, false, dk_row_num(dk_component(t, at, 0), "total_variance"));
        dk_html_close(h);
    }
    dk_html_table_end(h);
}

/* --- the first components ---------------------------------------------------------- */
static void chips(const dk_page *p, const dk_place *at, size_t c, bool inverse)
{
    const dk_json *r;

    dk_html_open_class(p->h, "td", inverse ? "chips against" : "chips for");
    for (size_t i = 0; i < CHIPS && (r = dk_component_token(&p->s->stat, at, c, inverse, i)); i++)
        dk_page_lens_row(p, r);
    dk_html_close(p->h);
}

/* With its interval over texts below it. */
static void rms(dk_html *h, const dk_stat_tables *s, const dk_place *at, size_t c, const char *lane)
{
    double lo, hi;
    const double v = dk_component_rms(s, at, c, lane, &lo, &hi);

    dk_html_open_class(h, "td", "num");
    if (isfinite(v))
        dk_html_textf(h, "%.4g", v);
    if (isfinite(lo) && isfinite(hi))
        dk_html_putf(h, "div", "more", "%.4g to %.4g", lo, hi);
    dk_html_close(h);
}

static void first(const dk_page *p, const dk_place *at)
{
    static const char *const head[] = { "component", "% of variance", "so far", "mean along it", "rms along it", "null's rms",
                                        "positive end", "negative end" };
    const dk_stat_tables *s = &p->s->stat;
    const char *lane;
    const bool nulls = isfinite(dk_component_null(s, at, 0, &lane)), lens = s->lens.n > 0;
    dk_html *h = p->h;
    const dk_json *r;

    dk_html_table(h, "components");
    for (size_t i = 0; i < 8; i++)
        if ((i != 5 || nulls) && (i < 6 || lens))
            dk_html_put(h, "th", i < 6 ? "num" : NULL, head[i]);
    dk_html_table_body(h);
    for (size_t c = 0; c < DK_STAT_COMPONENTS && (r = dk_component(&s->component, at, c)); c++) {
        dk_html_open(h, "tr");
        dk_html_putf(h, "td", "num", "pc_%zu", c);
        number(h, true, dk_row_num(r, "ratio"));
        number(h, true, dk_row_num(r, "cumulative"));
        number(h, false, dk_row_num(r, "mean"));
        rms(h, s, at, c, "ft");
        if (isfinite(dk_component_null(s, at, c, &lane)))
            rms(h, s, at, c, lane);
        else if (nulls)
            number(h, false, NAN);
        for (int side = 0; lens && side < 2; side++)
            chips(p, at, c, side);
        dk_html_close(h);
    }
    dk_html_table_end(h);
}

/* --- texts --------------------------------------------------------------------------- */
struct texts { dk_page_examples of[DK_STAT_SETS]; };

static bool any_of(const dk_page *p, const struct texts *x, const char *score)
{
    for (size_t k = 0; k < p->s->stat.n_proj; k++)
        if (dk_page_examples_n(&x->of[k], score, "extreme", "top") || dk_page_examples_n(&x->of[k], score, "extreme", "bottom"))
            return true;
    return false;
}

static void component_texts(const dk_page *p, struct texts *x, const char *score, size_t c, size_t end)
{
    for (size_t k = 0; k < p->s->stat.n_proj; k++)
        for (int side = 0; side < 2; side++) {
            char *title = dk_xasprintf("pc_%zu, %s: the %s end", c, p->s->stat.proj[k].name, side ? "negative" : "positive");

            dk_page_examples_put(p, &x->of[k], title, score, "extreme", side ? "bottom" : "top", end);
            dk_free(title);
        }
}

static void examples(const dk_page *p, struct texts *x, const dk_place *at, size_t group, size_t room)
{
    dk_html *h = p->h;
    char *score[DK_STAT_COMPONENTS];
    bool any = false;

    dk_html_open_class(h, "div", "map");
    for (size_t c = 0; c < DK_STAT_COMPONENTS; c++) {
        char name[32];

        score[c] = dk_xasprintf("proj/L%02d/%s/pc_%zu/ft", at->layer, at->site, c);
        if (!any_of(p, x, score[c]))
            continue;
        if (!any)
            dk_html_put(h, "span", "choose", "Texts farthest along: ");
        snprintf(name, sizeof name, "pc_%zu", c);
        dk_page_choice(h, "pca", group, c, !any, name);
        any = true;
    }
    if (any)
        dk_html_put(h, "p", "legend", "orange: towards the positive end; blue: towards the negative end; deepest: the farthest of a list");
    for (size_t c = 0; c < DK_STAT_COMPONENTS; c++) {
        dk_html_open(h, "div");
        dk_html_attrf(h, "class", "one c%zu", c);
        component_texts(p, x, score[c], c, h->out->n + room / DK_STAT_COMPONENTS);
        dk_html_close(h);
        dk_free(score[c]);
    }
    dk_html_close(h);
}

static int load_texts(struct texts *x, const dk_page *p, dk_err *err)
{
    int rc = 0;

    for (size_t k = 0; rc == 0 && k < p->s->stat.n_proj; k++) {
        const char *set = p->s->stat.proj[k].name;
        char *path = dk_xasprintf("%s/pca/%s.score.h5", p->s->results, set);
        dk_scores *file = NULL;

        if (access(path, F_OK) == 0)
            rc = dk_scores_open(&file, path, err);
        x->of[k].number = 2000 + k;
        if (rc == 0)
            rc = dk_page_examples_load(&x->of[k], p, "pca", set, KEEP, file, err);
        dk_scores_close(&file);
        dk_free(path);
    }
    return rc;
}

/* --- steered answers -------------------------------------------------------------------- */
struct asked { dk_jsonl rows; size_t prompts; };

/* Answers to the first prompts. */
static void keep_answer(void *user, dk_json **row)
{
    struct asked *a = user;
    dk_jsonl *t = &a->rows;
    const char *last = t->n ? dk_row_str(t->row[t->n - 1], "prompt") : NULL;

    if (dk_json_int(dk_json_get(*row, "sample"), 0) != 0 || !dk_json_get(*row, "is_baseline"))
        return;
    a->prompts += !last || strcmp(last, dk_row_str(*row, "prompt")) != 0;
    if (a->prompts > PROMPTS)
        return;
    t->row = dk_xrealloc(t->row, (t->n + 1) * sizeof *t->row);
    t->row[t->n++] = *row;
    *row = NULL;
}

/* The short ones where they are there. */
static int load_answers(struct asked *a, const dk_page *p, dk_err *err)
{
    static const char *const profile[] = { "short", "full" };
    int rc = 0;

    for (size_t i = 0; rc == 0 && i < 2 && a->rows.n == 0; i++) {
        char *path = dk_xasprintf("%s/pca/steering.%s.jsonl", p->s->results, profile[i]);

        if (access(path, F_OK) == 0)
            rc = dk_jsonl_each(path, keep_answer, a, err);
        dk_free(path);
    }
    return rc;
}

static bool same_way(const dk_json *a, const dk_json *b)
{
    return dk_row_is(a, "prompt", dk_row_str(b, "prompt")) &&
           dk_row_is(a, "direction", dk_row_str(b, "direction")) &&
           dk_row_is(a, "steering_mode", dk_row_str(b, "steering_mode")) &&
           dk_json_int(dk_json_get(a, "layer"), -1) == dk_json_int(dk_json_get(b, "layer"), -1) &&
           dk_json_num(dk_json_get(a, "steering_factor"), 0) == dk_json_num(dk_json_get(b, "steering_factor"), 0);
}

static void answer_row(const dk_page *p, const struct asked *a, const dk_json *base)
{
    const bool plain = dk_json_bool(dk_json_get(base, "is_baseline"), false);
    const dk_json *ft = NULL;
    dk_html *h = p->h;

    for (size_t i = 0; !ft && i < a->rows.n; i++)
        if (dk_row_is(a->rows.row[i], "lane", "ft") && same_way(base, a->rows.row[i]))
            ft = a->rows.row[i];
    dk_html_open(h, "tr");
    if (plain)
        dk_html_put(h, "td", NULL, "as it is");
    else
        dk_html_putf(h, "td", NULL, "%s %+g, %s", dk_row_str(base, "direction"), dk_row_num(base, "steering_factor_percentage"),
                     dk_row_str(base, "steering_mode"));
    for (int i = 0; i < 2; i++) {
        const char *said = dk_row_str(i ? ft : base, "text");

        dk_html_open_class(h, "td", "answered");
        dk_html_attr(h, "dir", "auto");
        dk_html_line(h, said, strlen(said));
        dk_html_close(h);
    }
    dk_html_close(h);
}

static void answers(const dk_page *p, const struct asked *a, const dk_place *at)
{
    const char *prompt = NULL;
    dk_html *h = p->h;
    bool any = false;

    for (size_t i = 0; i < a->rows.n; i++)
        any = any || dk_json_int(dk_json_get(a->rows.row[i], "layer"), -1) == at->layer;
    if (!any)
        return;
    dk_html_open(h, "details");
    dk_html_putf(h, "summary", NULL, "Answers with a component added at layer %d, strengths in parts of its largest projection", at->layer);
    for (size_t i = 0, shown = 0; i < a->rows.n; i++) {
        const dk_json *r = a->rows.row[i];

        if (!dk_row_is(r, "lane", "base") || (!dk_json_bool(dk_json_get(r, "is_baseline"), false) &&
            dk_json_int(dk_json_get(r, "layer"), -1) != at->layer))
            continue;
        if (!prompt || strcmp(prompt, dk_row_str(r, "prompt")) != 0) {
            if (prompt) {
                dk_html_close(h);
                dk_html_close(h);
            }
            prompt = dk_row_str(r, "prompt");
            shown = 0;
            dk_html_put(h, "h4", NULL, prompt);
            dk_html_open_class(h, "table", "steered");
            dk_html_open(h, "thead");
            dk_html_open(h, "tr");
            dk_html_put(h, "th", NULL, "");
            dk_html_put(h, "th", NULL, "base");
            dk_html_put(h, "th", NULL, dk_summary_lane(p->s, "ft"));
            dk_html_close(h);
            dk_html_close(h);
            dk_html_open(h, "tbody");
        }
        if (shown++ < WAYS)
            answer_row(p, a, r);
    }
    if (prompt) {
        dk_html_close(h);
        dk_html_close(h);
    }
    dk_html_close(h);
}

/* --- one layer ------------------------------------------------------------------------- */
static void place(const dk_page *p, struct texts *x, const struct asked *a, const dk_place *at, size_t number, size_t room)
{
    const dk_stat_tables *s = &p->s->stat;
    const dk_json *r = dk_component(&s->component, at, 0);
    dk_html *h = p->h;

    dk_html_open(h, "details");
    if (number == 0)
        dk_html_attr(h, "open", "open");
    dk_html_putf(h, "summary", "heading", "layer %d, %s", at->layer, at->site);
    dk_html_open_class(h, "p", "legend");
    dk_html_textf(h, "Of %s, %.0f rows of %s. ", dk_row_str(r, "what"), fmax(dk_row_num(r, "count"), 0), dk_row_str(r, "dataset_id"));
    ninety(p, dk_summary_lane(p->s, "ft"), &s->component, at);
    for (size_t k = 0; k < s->n_null; k++)
        ninety(p, s->null[k].name, &s->null[k].rows, at);
    for (size_t l = 0; l <= s->n_null; l++)
        dk_page_lane(p, l ? s->null[l - 1].name : "ft", " ");
    dk_html_close(h);
    dk_html_open_class(h, "div", "pair");
    variance(p, at, false);
    variance(p, at, true);
    dk_html_close(h);
    shares(p, at);
    first(p, at);
    answers(p, a, at);
    examples(p, x, at, number, room);
    dk_html_close(h);
}

/* The deepest first: there the tokens tell most. */
static int deeper(const void *a, const void *b) { return ((const dk_place *)b)->layer - ((const dk_place *)a)->layer; }

int dk_page_components(const dk_page *p, dk_err *err)
{
    struct texts x = {0};
    struct asked a = {0};
    dk_place at[DK_STAT_PLACES];
    const size_t all = dk_component_places(&p->s->stat, at), n = all < MAX_PLACES ? all : MAX_PLACES;
    dk_html *h = p->h;
    int rc;

    if (n == 0)
        return 0;
    if ((rc = load_texts(&x, p, err)) == 0 && (rc = load_answers(&a, p, err)) == 0) {
        qsort(at, all, sizeof *at, deeper);
        dk_html_open(h, "section");
        dk_html_attr(h, "id", "components");
        dk_html_put(h, "h2", NULL, "Along which directions it moves them");
        dk_html_put(h, "p", "lead", "Principal components: directions along which the rows differ most from token to token, the mean "
                    "taken away. The sign of a component is that of its largest entry; where \xe2\x80\x9cmean along it\xe2\x80\x9d is "
                    "positive, the positive end is towards the finetune. Its root mean square along a component beside the null's "
                    "says whether any finetune moves there.");
        for (size_t i = 0; i < n; i++)
            place(p, &x, &a, &at[i], i, MAX_BYTES / n);
        if (n < all)
            dk_html_putf(h, "p", "note", "%zu more layers left out: the page would be too large.", all - n);
        dk_html_close(h);
    }
    for (size_t k = 0; k < DK_STAT_SETS; k++)
        dk_page_examples_free(&x.of[k]);
    dk_jsonl_free(&a.rows);
    return rc;
}
