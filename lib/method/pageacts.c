/* Activations: how long they are and how far from the base's, as tables, plots
 * and texts. */
#include <math.h>
#include <string.h>
#include <unistd.h>

#include "method/pageexamples.h"
#include "method/pagelens.h"
#include "method/pageparts.h"
#include "method/pagerows.h"

enum { KEEP = 3, MAX_PLACES = 16, CHIPS = 8 };
/* What the texts of all data sets may take, in equal parts. */
enum { MAX_BYTES = 1 << 20 };

static void number(dk_html *h, double v)
{
    if (isfinite(v))
        dk_html_putf(h, "td", "num", "%.4g", v);
    else
        dk_html_put(h, "td", "num", "");
}

/* --- the table ------------------------------------------------------------------- */
static void lane_row(const dk_page *p, const dk_stat_table *t, const dk_place *at, const char *lane)
{
    const dk_json *r = dk_norm_row(t, at, "norm_diff", lane), *of = dk_json_get(r, "per_token_statistics");
    const double v = dk_row_num(r, "value"), lo = dk_row_num(r, "lo"), hi = dk_row_num(r, "hi");
    const double base = dk_row_num(dk_norm_row(t, at, "norm", "base"), "value");
    const double ft = dk_row_num(dk_norm_row(t, at, "norm_diff", "ft"), "value");
    dk_html *h = p->h;

    dk_html_open(h, "tr");
    dk_html_put(h, "td", NULL, t->name);
    dk_html_open(h, "td");
    dk_page_lane(p, lane, "");
    dk_html_close(h);
    dk_html_putf(h, "td", "num", "%d", at->layer);
    number(h, v);
    if (isfinite(lo) && isfinite(hi))
        dk_html_putf(h, "td", "num", "%.4g to %.4g", lo, hi);
    else
        dk_html_put(h, "td", "num", "");
    if (strcmp(lane, "ft") != 0 && isfinite(ft / v))
        dk_html_putf(h, "td", "num", "%.2f", ft / v);
    else
        dk_html_put(h, "td", "num", "");
    number(h, 100 * v / base);
    number(h, dk_row_num(dk_norm_row(t, at, "cos_dist", lane), "value"));
    number(h, dk_row_num(of, "median"));
    number(h, dk_row_num(of, "percentile_95"));
    number(h, dk_row_num(of, "max"));
    dk_html_close(h);
}

static void table(const dk_page *p)
{
    static const char *const head[] = { "data set", "lane", "layer", "difference", "95% interval", "finetune / it",
                                        "% of base's", "cosine distance", "median", "95%", "largest" };
    const dk_stat_tables *s = &p->s->stat;
    dk_html *h = p->h;

    dk_html_table(h, NULL);
    for (size_t i = 0; i < sizeof head / sizeof *head; i++)
        dk_html_put(h, "th", i > 1 ? "num" : NULL, head[i]);
    dk_html_table_body(h);
    for (size_t k = 0; k < s->n_norms; k++) {
        dk_place at[DK_STAT_PLACES];
        const size_t n = dk_norm_places(&s->norms[k], at);

        for (size_t i = 0; i < n; i++) {
            const char *lane[DK_SUMMARY_LANES];
            const size_t lanes = dk_norm_lanes(&s->norms[k], &at[i], lane, DK_SUMMARY_LANES);

            for (size_t l = 0; l < lanes; l++)
                lane_row(p, &s->norms[k], &at[i], lane[l]);
        }
    }
    dk_html_table_end(h);
}

/* --- plots ------------------------------------------------------------------------ */
/* One score of these lanes; NULL where the file lacks it. */
static int one_plot(const dk_page *p, dk_scores *file, const dk_place *at, const char *metric, const char *const *lane,
                    size_t n, dk_page_rows *r, bool along, const char *caption, dk_err *err)
{
    char *score = dk_xasprintf("%s/L%02d/%s", metric, at->layer, at->site);
    char *name = dk_xasprintf("%s.L%02d.%s", metric, at->layer, at->site);
    float *v[DK_SUMMARY_LANES] = {0};
    int rc = 0;

    r->t = dk_scores_tokens(file);
    r->name = name;
    r->n = 0;
    for (size_t l = 0; rc == 0 && l < n; l++) {
        rc = dk_page_read(file, score, lane[l], &v[r->n], err);
        if (v[r->n]) {
            r->lane[r->n] = lane[l];
            r->v[r->n] = v[r->n];
            r->n++;
        }
    }
    if (rc == 0 && r->n && r->t->rows) {
        if (along)
            dk_page_along(p, r, caption);
        else
            rc = dk_page_spread(p, r, caption, err);
    }
    for (size_t l = 0; l < DK_SUMMARY_LANES; l++)
        dk_free(v[l]);
    dk_free(score);
    dk_free(name);
    return rc;
}

static int plots(const dk_page *p, const dk_stat_table *t, const dk_place *at, dk_scores *file, dk_err *err)
{
    const char *lane[DK_SUMMARY_LANES], *whole[DK_SUMMARY_LANES] = { "base" };
    const size_t n = dk_norm_lanes(t, at, lane, DK_SUMMARY_LANES);
    dk_page_rows diff = { .set = t->name, .what = "difference", .unit = "norm" };
    dk_page_rows cos = { .set = t->name, .what = "cosine distance", .unit = "1 - cosine" };
    dk_page_rows norm = { .set = t->name, .what = "length", .unit = "norm" };
    dk_page_rows part = { .set = t->name, .what = "relative difference", .unit = "share of both lengths" };
    size_t m = 1;
    int rc;

    for (size_t l = 0; l < n && m < DK_SUMMARY_LANES; l++)
        whole[m++] = lane[l];
    dk_html_open_class(p->h, "p", "legend");
    for (size_t l = 0; l < m; l++) {
        dk_html_open(p->h, "span");
        dk_html_attrf(p->h, "class", "key %s", dk_page_hue(p, whole[l]));
        dk_html_close(p->h);
        dk_html_textf(p->h, "%s ", dk_summary_lane(p->s, whole[l]));
    }
    dk_html_close(p->h);
    dk_html_open_class(p->h, "div", "pair two");
    rc = one_plot(p, file, at, "norm_diff", lane, n, &diff, false, "How long the differences to the base's rows are.", err);
    if (rc == 0)
        rc = one_plot(p, file, at, "norm_diff", lane, n, &diff, true, "Their mean along the text; the band is 1.96 standard errors.", err);
    if (rc == 0)
        rc = one_plot(p, file, at, "cos_dist", lane, n, &cos, false, "How far rows are turned away from the base's.", err);
    if (rc == 0)
        rc = one_plot(p, file, at, "norm", whole, m, &norm, false, "How long the rows themselves are.", err);
    if (rc == 0)
        rc = one_plot(p, file, at, "relative", lane, n, &part, false, "The difference, by the lengths of both rows together.", err);
    if (rc == 0)
        rc = one_plot(p, file, at, "norm", whole, m, &norm, true, "The rows' mean length along the text.", err);
    dk_html_close(p->h);
    return rc;
}

/* --- mean differences ----------------------------------------------------------------- */
static const dk_json *mean_row(const dk_stat_table *t, const dk_place *at, const char *lane, const char *name)
{
    for (size_t i = 0; i < t->rows.n; i++) {
        const dk_json *r = t->rows.row[i];

        if (dk_at_place(r, at) && dk_row_is(r, "metric", "mean_diff") && dk_row_is(r, "lane", lane) && dk_row_is(r, "name", name))
            return r;
    }
    return NULL;
}

static void mean_name(const dk_page *p, const dk_json *r, bool known)
{
    const dk_json *position = dk_json_get(r, "position"), *id = dk_json_get(r, "token_id");
    dk_buf b = {0};

    if (!dk_json_is_null(position) && position)
        dk_buf_addf(&b, "position %lld", (long long)dk_json_int(position, -1));
    else if (!dk_json_is_null(id) && id) {
        const int64_t n = dk_json_int(id, -1);

        dk_buf_addf(&b, "token %lld ", (long long)n);
        if (known && n >= 0 && n <= UINT32_MAX) {
            const dk_span bytes = dk_tokenizer_bytes(p->tok, (uint32_t)n);

            dk_buf_add(&b, bytes.s ? bytes.s : "", bytes.s ? bytes.n : 0);
        }
    } else
        dk_buf_adds(&b, "all tokens");
    dk_html_open(p->h, "td");
    dk_html_line(p->h, b.s, b.n);
    dk_html_close(p->h);
    dk_buf_free(&b);
}

/* Its length, and where it is known the interval over texts. */
static void mean_length(dk_html *h, const dk_json *r)
{
    const double v = dk_row_num(r, "norm"), lo = dk_row_num(r, "lo"), hi = dk_row_num(r, "hi");

    if (!isfinite(lo) || !isfinite(hi)) {
        number(h, v);
        return;
    }
    dk_html_open_class(h, "td", "num");
    dk_html_textf(h, "%.4g (%.4g to %.4g)", v, lo, hi);
    dk_html_close(h);
}

/* What it speaks for; what a null's speaks for too is grey. */
static void mean_tokens(const dk_page *p, const dk_jsonl *lens, const dk_place *at, const char *name)
{
    const dk_json *r;

    dk_html_open_class(p->h, "td", "chips for");
    for (size_t i = 0; i < CHIPS && (r = dk_lens_token(lens, at, "diff", name, false, i)); i++)
        dk_page_lens_row(p, r);
    dk_html_close(p->h);
}

static void means(const dk_page *p, size_t k, const dk_place *at, bool known)
{
    const dk_stat_table *t = &p->s->stat.norms[k];
    const dk_jsonl *lens = &p->s->stat.norm_lens[k];
    const char *lane[DK_SUMMARY_LANES];
    const size_t n = dk_norm_lanes(t, at, lane, DK_SUMMARY_LANES);
    dk_html *h = p->h;

    if (n == 0 || !mean_row(t, at, lane[0], "mean_all"))
        return;
    dk_html_open(h, "details");
    dk_html_put(h, "summary", NULL, "Mean differences: of all tokens, of the first positions, of the tokens of the chat template");
    dk_html_table(h, "components");
    dk_html_put(h, "th", NULL, "of");
    dk_html_put(h, "th", "num", "tokens");
    for (size_t l = 0; l < n; l++)
        dk_html_putf(h, "th", "num", "%s: length", dk_summary_lane(p->s, lane[l]));
    if (lens->n)
        dk_html_put(h, "th", NULL, n > 1 ? "speaks for (grey: a null's, too)" : "speaks for");
    dk_html_table_body(h);
    for (size_t i = 0; i < t->rows.n; i++) {
        const dk_json *r = t->rows.row[i];
        const char *name = dk_row_str(r, "name");

        if (r != mean_row(t, at, lane[0], name))
            continue;
        dk_html_open(h, "tr");
        mean_name(p, r, known);
        dk_html_putf(h, "td", "num", "%.0f", fmax(dk_row_num(r, "count"), 0));
        for (size_t l = 0; l < n; l++)
            mean_length(h, mean_row(t, at, lane[l], name));
        if (lens->n)
            mean_tokens(p, lens, at, name);
        dk_html_close(h);
    }
    dk_html_table_end(h);
    dk_html_close(h);
}

/* --- texts -------------------------------------------------------------------------------- */
static void examples(const dk_page *p, dk_page_examples *e, const dk_place *at, size_t group, size_t end)
{
    static const struct { const char *metric, *lane, *by, *label, *title; } list[] = {
        { "norm_diff", "ft", "extreme", "largest difference", "Texts with the longest difference at one token" },
        { "norm_diff", "ft", "mean", "mean difference", "Texts with the longest difference on the mean" },
        { "cos_dist", "ft", "extreme", "largest cosine distance", "Texts with the largest cosine distance at one token" },
        { "cos_dist", "ft", "mean", "mean cosine distance", "Texts with the largest cosine distance on the mean" },
        { "norm", "base", "extreme", "base's length", "Texts with the longest row of the base" },
        { "norm", "ft", "extreme", "finetune's length", "Texts with the longest row of the finetune" },
    };
    const size_t n = sizeof list / sizeof *list;
    char *score[sizeof list / sizeof *list];
    dk_html *h = p->h;
    bool any = false;

    for (size_t i = 0; i < n; i++)
        score[i] = dk_xasprintf("%s/L%02d/%s/%s", list[i].metric, at->layer, at->site, list[i].lane);
    dk_html_open_class(h, "div", "map");
    for (size_t i = 0; i < n; i++) {
        if (dk_page_examples_n(e, score[i], list[i].by, "top") == 0)
            continue;
        if (!any)
            dk_html_put(h, "span", "choose", "Texts by: ");
        dk_page_choice(h, "acts", group, i, !any, list[i].label);
        any = true;
    }
    for (size_t i = 0; i < n; i++) {
        dk_html_open(h, "div");
        dk_html_attrf(h, "class", "one c%zu", i);
        dk_page_examples_put(p, e, list[i].title, score[i], list[i].by, "top", end);
        dk_html_close(h);
        dk_free(score[i]);
    }
    dk_html_close(h);
}

/* --- one data set --------------------------------------------------------------------------- */
static int of_set(const dk_page *p, const dk_stat_table *t, size_t k, size_t *group, dk_err *err)
{
    char *path = dk_xasprintf("%s/activation_analysis/%s.score.h5", p->s->results, t->name);
    dk_page_examples e = { .number = 1000 + k };
    dk_place at[DK_STAT_PLACES];
    const size_t all = dk_norm_places(t, at), n = all < MAX_PLACES ? all : MAX_PLACES;
    const size_t room = MAX_BYTES / p->s->stat.n_norms / (n ? n : 1);
    dk_scores *file = NULL;
    int rc = access(path, F_OK) == 0 ? dk_scores_open(&file, path, err) : 0;

    if (rc == 0)
        rc = dk_page_examples_load(&e, p, "activation_analysis", t->name, KEEP, file, err);
    for (size_t i = 0; rc == 0 && i < n; i++) {
        dk_html *h = p->h;

        dk_html_open(h, "details");
        if (k == 0 && i + 1 == n)
            dk_html_attr(h, "open", "open");
        dk_html_putf(h, "summary", "heading", "%s, layer %d, %s", t->name, at[i].layer, at[i].site);
        if (file)
            rc = plots(p, t, &at[i], file, err);
        means(p, k, &at[i], e.known);
        examples(p, &e, &at[i], (*group)++, h->out->n + room);
        dk_html_close(h);
    }
    if (n < all)
        dk_html_putf(p->h, "p", "note", "%zu more layers left out: the page would be too large.", all - n);
    dk_page_examples_free(&e);
    dk_scores_close(&file);
    dk_free(path);
    return rc;
}

int dk_page_activations(const dk_page *p, dk_err *err)
{
    const dk_stat_tables *s = &p->s->stat;
    dk_html *h = p->h;
    size_t group = 0;
    int rc = 0;

    if (s->n_norms == 0)
        return 0;
    dk_html_open(h, "section");
    dk_html_attr(h, "id", "activations");
    dk_html_put(h, "h2", NULL, "How far its activations lie from the base's");
    dk_html_put(h, "p", "lead", "Token by token, the length of the difference to the base's row, and how far the row is turned "
                "away from it; the interval is over texts. What a null shows too, any finetune does.");
    table(p);
    for (size_t k = 0; rc == 0 && k < s->n_norms; k++)
        rc = of_set(p, &s->norms[k], k, &group, err);
    dk_html_close(h);
    return rc;
}
