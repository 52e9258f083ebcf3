/* Every statistic beside its nulls. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "method/pageparts.h"
#include "num/resample.h"

static void num_cell(dk_html *h, double v)
{
    if (isfinite(v))
        dk_html_putf(h, "td", "num", "%.3g", v);
    else
        dk_html_put(h, "td", "num", "");
}

/* "p 0.05", "p_lexicon 1e-9", "ratio 1.3". */
static void p_cell(dk_html *h, const dk_json *r)
{
    static const char *const key[] = { "p_null", "p_lexicon", "ratio" };
    static const char *const name[] = { "p", "p", "ratio" };
    size_t k = 0;

    while (k < 3 && !isfinite(dk_row_num(r, key[k])))
        k++;
    if (k < 3)
        dk_html_putf(h, "td", "num", "%s %.2g", name[k], dk_row_num(r, key[k]));
    else
        dk_html_put(h, "td", "num", "");
}

static void row(dk_html *h, const dk_json *r)
{
    const dk_json *null = dk_json_get(r, "null");
    const int64_t layer = dk_json_int(dk_json_get(r, "layer"), -1);
    const double of = dk_row_num(r, "of"), lo = dk_row_num(r, "lo"), hi = dk_row_num(r, "hi");
    dk_buf tip = {0};
    dk_json_iter it = {0};

    while (dk_json_next(dk_json_get(null, "values"), &it))
        dk_buf_addf(&tip, "%s%s %.3g", tip.n ? "\n" : "", it.key, dk_json_num(it.value, NAN));
    dk_html_open(h, "tr");
    dk_html_put(h, "td", NULL, dk_row_str(r, "method"));
    dk_html_put(h, "td", NULL, dk_row_str(r, "statistic"));
    dk_html_put(h, "td", NULL, dk_row_str(r, "dataset_id"));
    if (layer >= 0)
        dk_html_putf(h, "td", "num", "%lld", (long long)layer);
    else
        dk_html_put(h, "td", "num", "");
    if (dk_json_get(r, "position"))
        dk_html_putf(h, "td", "num", "%lld", (long long)dk_json_int(dk_json_get(r, "position"), 0));
    else if (dk_json_get(r, "component"))
        dk_html_putf(h, "td", "num", "pc_%lld%s", (long long)dk_json_int(dk_json_get(r, "component"), 0),
                     dk_json_bool(dk_json_get(r, "inverse"), false) ? ", other end" : "");
    else
        dk_html_put(h, "td", "num", "");
    if (isfinite(of))
        dk_html_putf(h, "td", "num", "%.0f of %.0f", dk_row_num(r, "value"), of);
    else
        num_cell(h, dk_row_num(r, "value"));
    if (isfinite(lo) && isfinite(hi))
        dk_html_putf(h, "td", "num", "%.3g to %.3g%s", lo, hi, dk_row_num(r, "docs") < DK_FEW_DOCS ? " (few)" : "");
    else
        dk_html_put(h, "td", "num", "");
    num_cell(h, dk_row_num(r, "p_any"));
    dk_html_open_class(h, "td", "num");
    if (tip.n)
        dk_html_attr(h, "title", tip.s);
    if (isfinite(dk_row_num(null, "median")))
        dk_html_textf(h, "%.3g / %.3g", dk_row_num(null, "median"), dk_row_num(null, "q95"));
    else
        for (size_t i = 0; i < tip.n; i++)
            dk_html_textn(h, tip.s[i] == '\n' ? ", " : tip.s + i, tip.s[i] == '\n' ? 2 : 1);
    dk_html_close(h);
    num_cell(h, dk_row_num(r, "visible"));
    p_cell(h, r);
    dk_html_put(h, "td", NULL, dk_row_str(r, "verdict"));
    dk_html_close(h);
    dk_buf_free(&tip);
}

/* The nulls, from the first row that has them. */
static const dk_json *nulls_of(const dk_summary *s)
{
    for (size_t i = 0; i < s->calibration.n; i++)
        if (dk_json_get(dk_json_get(s->calibration.row[i], "null"), "kind"))
            return dk_json_get(s->calibration.row[i], "null");
    return NULL;
}

/* Of the sizes the first that says what would have been seen: mean KL, where it is measured. */
static const dk_json *visible_of(const dk_summary *s)
{
    for (size_t i = 0; i < s->calibration.n; i++)
        if (dk_row_is(s->calibration.row[i], "kind", "size") && isfinite(dk_row_num(s->calibration.row[i], "visible")))
            return s->calibration.row[i];
    return NULL;
}

void dk_page_seen(const dk_page *p)
{
    const dk_json *null = nulls_of(p->s), *visible = visible_of(p->s);
    const size_t docs = dk_summary_docs(p->s);
    const int64_t m = null ? dk_json_int(dk_json_get(null, "m"), 0) : (int64_t)p->n_lanes - 1;
    dk_buf value = {0}, more = {0};

    if (docs == 0 && !null)
        return;
    if (docs)
        dk_buf_addf(&value, "%zu document%s, ", docs, docs == 1 ? "" : "s");
    if (m > 0)
        dk_buf_addf(&value, "%lld null%s", (long long)m, m == 1 ? "" : "s");
    else
        dk_buf_adds(&value, "no null");
    if (null)
        dk_buf_addf(&more, "%s. ", dk_row_str(null, "kind"));
    if (visible)
        dk_buf_addf(&more, "The smallest effect that would have been seen: %s %s on %s %.2g above the nulls\xe2\x80\x99 median",
                    dk_row_str(visible, "method"), dk_row_str(visible, "statistic"), dk_row_str(visible, "dataset_id"),
                    dk_row_num(visible, "visible"));
    else
        dk_buf_adds(&more, m > 0 ? "Fewer than five nulls do not tell how small an effect would have been seen"
                                 : "Nothing tells how small an effect would have been seen");
    if (docs && docs < DK_FEW_DOCS)
        dk_buf_adds(&more, ". Intervals over so few documents are too narrow");
    dk_page_card(p->h, "Seen over", "value words", value.s, more.s);
    dk_buf_free(&value);
    dk_buf_free(&more);
}

static void table(dk_html *h, const dk_summary *s, const char *kind)
{
    static const char *const head[] = { "method", "statistic", "data set", "layer", "position", "value", "95% interval", "p any",
                                        "nulls: median / 95%", "visible from", "p", "verdict" };

    dk_html_open_class(h, "div", "scroll");
    dk_html_open(h, "table");
    dk_html_open(h, "tr");
    for (size_t i = 0; i < sizeof head / sizeof *head; i++)
        dk_html_put(h, "th", NULL, head[i]);
    dk_html_close(h);
    for (size_t i = 0; i < s->calibration.n; i++)
        if (dk_row_statistic(s->calibration.row[i]) && dk_row_is(s->calibration.row[i], "kind", kind))
            row(h, s->calibration.row[i]);
    dk_html_close(h);
    dk_html_close(h);
}

void dk_page_calibration(const dk_page *p)
{
    const dk_json *null = nulls_of(p->s);
    dk_html *h = p->h;

    if (!dk_summary_calibrated(p->s))
        return;
    dk_html_open(h, "section");
    dk_html_attr(h, "id", "nulls");
    dk_html_put(h, "h2", NULL, "Beside the nulls");
    dk_html_open(h, "p");
    if (null)
        dk_html_textf(h, "%lld null%s: %s. ", (long long)dk_json_int(dk_json_get(null, "m"), 0),
                      dk_json_int(dk_json_get(null, "m"), 0) == 1 ? "" : "s", dk_row_str(null, "kind"));
    else
        dk_html_text(h, "No null ran beside the finetune: nothing here is calibrated. ");
    dk_html_text(h, "With five nulls or more p is the share of nulls that reach the value, never below one over their number "
                 "plus one; with fewer there is the ratio to the largest. An excess over the nulls' median smaller than "
                 "\xe2\x80\x9cvisible from\xe2\x80\x9d would not have been seen. An interval marked (few) is over fewer than 100 "
                 "documents, and too narrow. p any asks only whether base and finetune "
                 "differ at all.");
    dk_html_close(h);
    dk_html_put(h, "h3", NULL, "Content");
    table(h, p->s, "content");
    dk_html_put(h, "h3", NULL, "Size, of which nothing is claimed");
    table(h, p->s, "size");
    dk_html_close(h);
}
