/* Examples as coloured texts. */
#include "method/pageexamples.h"

#include <math.h>
#include <string.h>
#include <unistd.h>

#include "method/pagetext.h"
#include "method/pagewindow.h"

struct filter { dk_page_examples *e; int64_t keep; };

static void keep_row(void *user, dk_json **row)
{
    struct filter *f = user;
    const int64_t rank = dk_json_int(dk_json_get(*row, "rank"), 0);
    dk_jsonl *t = &f->e->rows;

    if (rank < 1 || rank > f->keep || dk_json_get(*row, "quantile"))
        return;
    t->row = dk_xrealloc(t->row, (t->n + 1) * sizeof *t->row);
    t->row[t->n++] = *row;
    *row = NULL;
}

int dk_page_examples_load(dk_page_examples *e, const dk_page *p, const char *dir, const char *set, size_t keep,
                          const dk_scores *file, dk_err *err)
{
    char *path = dk_xasprintf("%s/%s/%s.examples.jsonl", p->s->results, dir, set);
    struct filter f = { e, (int64_t)keep };
    const char *sha = file ? dk_scores_tokens(file)->tokenizer_sha256 : NULL;
    int rc = 0;

    e->known = p->tok && sha && strcmp(sha, dk_tokenizer_about(p->tok)->sha256) == 0;
    if (access(path, F_OK) == 0)
        rc = dk_jsonl_each(path, keep_row, &f, err);
    dk_free(path);
    return rc;
}

void dk_page_examples_free(dk_page_examples *e)
{
    dk_jsonl_free(&e->rows);
    *e = (dk_page_examples){0};
}

static bool in_list(const dk_json *r, const char *score, const char *by, const char *side)
{
    return dk_row_is(r, "score", score) && dk_row_is(r, "by", by) &&
           dk_row_is(r, "side", side);
}

size_t dk_page_examples_n(const dk_page_examples *e, const char *score, const char *by, const char *side)
{
    size_t n = 0;

    for (size_t i = 0; i < e->rows.n; i++)
        n += in_list(e->rows.row[i], score, by, side);
    return n;
}

/* --- one text ------------------------------------------------------------------- */
static double value_at(const dk_json *r, size_t i) { return dk_json_num(dk_json_at(dk_json_get(r, "values"), i), NAN); }

static double largest(const dk_json *r)
{
    const size_t n = dk_json_len(dk_json_get(r, "values"));
    double max = 0;

    for (size_t i = 0; i < n; i++)
        max = isfinite(value_at(r, i)) ? fmax(max, fabs(value_at(r, i))) : max;
    return max;
}

static void caption(const dk_page *p, const dk_json *r)
{
    dk_html *h = p->h;
    const int64_t copies = dk_json_int(dk_json_get(r, "copies"), 1);
    dk_json_iter it = {0};
    bool any = false;

    dk_html_open(h, "figcaption");
    dk_html_textf(h, "text %lld: ", (long long)dk_json_int(dk_json_get(r, "doc"), -1));
    if (dk_row_is(r, "by", "mean"))
        dk_html_textf(h, "mean %.4g", dk_row_num(r, "value"));
    else
        dk_html_textf(h, "%.4g at position %lld", dk_row_num(r, "value"), (long long)dk_json_int(dk_json_get(r, "pos"), -1));
    while (dk_json_next(dk_json_get(r, "null"), &it))
        if (isfinite(dk_json_num(it.value, NAN))) {
            dk_html_textf(h, "%s%s %.4g", any ? ", " : " (", it.key, dk_json_num(it.value, NAN));
            any = true;
        }
    dk_html_text(h, any ? ")" : "");
    if (copies > 1)
        dk_html_textf(h, ", %lld times in the data set", (long long)copies);
    dk_html_close(h);
}

static void token(const dk_page *p, const dk_json *r, size_t i, double scale, dk_buf *left, bool last, dk_buf *tip)
{
    const int64_t id = dk_json_int(dk_json_at(dk_json_get(r, "ids"), i), -1);
    const double v = value_at(r, i), level = isfinite(v) && scale > 0 ? fabs(v) / scale * DK_MAP_LEVELS : 0;
    const int n = level >= DK_MAP_LEVELS ? DK_MAP_LEVELS : (int)(level + 0.5);
    dk_span bytes = {0};
    dk_html *h = p->h;
    dk_buf text = {0};

    if (id >= 0 && id <= UINT32_MAX)
        bytes = dk_tokenizer_bytes(p->tok, (uint32_t)id);
    dk_map_complete(&text, left, bytes, last);
    dk_buf_clear(tip);
    if (id >= 0 && id <= UINT32_MAX)
        dk_map_token(p, tip, (uint32_t)id);
    dk_buf_addf(tip, "\nposition %zu, id %lld\n", i, (long long)id);
    if (isfinite(v))
        dk_buf_addf(tip, "%.4g", v);
    else
        dk_buf_adds(tip, "no value");
    dk_html_open(h, "i");
    dk_html_attrf(h, "class", "f%d%s", n, v < 0 ? " c" : "");
    dk_html_attr(h, "tabindex", "0");
    dk_html_attr(h, "data-t", tip->s);
    if (text.n == 0)
        dk_html_text(h, "\xe2\x96\xaf");
    else
        dk_html_lines(h, text.s, text.n);
    dk_html_close(h);
    dk_buf_free(&text);
}

static void coloured(const dk_page *p, dk_page_examples *e, const dk_json *r, double scale)
{
    const size_t all = dk_json_len(dk_json_get(r, "ids")), n = all > DK_MAP_TEXT ? DK_MAP_TEXT : all;
    dk_buf left = {0}, tip = {0};
    dk_html *h = p->h;
    dk_window win;
    size_t top = 0;

    for (size_t i = 0; i < n; i++)
        if (fabs(value_at(r, i)) > fabs(value_at(r, top)) || !isfinite(value_at(r, top)))
            top = i;
    win = dk_window_of(n, top);
    if (win.to - win.from < n)
        dk_window_switch(h, e->number, e->inputs++);
    dk_html_open_class(h, "p", "tokens");
    dk_html_attr(h, "dir", "auto");
    for (size_t i = 0; i < n; i++) {
        dk_window_edge(h, &win, i);
        token(p, r, i, scale, &left, i + 1 == n, &tip);
    }
    if (n < all)
        dk_html_textf(h, " ... %zu more tokens", all - n);
    dk_window_edge(h, &win, n);
    dk_html_close(h);
    dk_buf_free(&left);
    dk_buf_free(&tip);
}

/* Without a tokenizer, or without values: what the table itself says. */
static void plain(const dk_page *p, const dk_json *r)
{
    dk_html *h = p->h;
    const char *part[] = { dk_row_str(r, "before"), dk_row_str(r, "token"), dk_row_str(r, "after") };

    dk_html_open_class(h, "p", "snippet");
    dk_html_attr(h, "dir", "auto");
    dk_html_line(h, part[0], strlen(part[0]));
    dk_html_open(h, "mark");
    dk_html_line(h, part[1], strlen(part[1]));
    dk_html_close(h);
    dk_html_line(h, part[2], strlen(part[2]));
    dk_html_close(h);
}

void dk_page_examples_put(const dk_page *p, dk_page_examples *e, const char *title, const char *score, const char *by,
                          const char *side, size_t end)
{
    dk_html *h = p->h;
    size_t left_out = 0;
    double scale = 0;

    for (size_t i = 0; i < e->rows.n; i++)
        if (in_list(e->rows.row[i], score, by, side))
            scale = fmax(scale, largest(e->rows.row[i]));
    if (dk_page_examples_n(e, score, by, side))
        dk_html_put(h, "h4", NULL, title);
    for (size_t i = 0; i < e->rows.n; i++) {
        const dk_json *r = e->rows.row[i];

        if (!in_list(r, score, by, side))
            continue;
        if (h->out->n > end) {
            left_out++;
            continue;
        }
        dk_html_open_class(h, "figure", "text");
        caption(p, r);
        if (e->known && dk_json_len(dk_json_get(r, "ids")) && dk_json_len(dk_json_get(r, "values")))
            coloured(p, e, r, scale);
        else
            plain(p, r);
        dk_html_close(h);
    }
    if (left_out)
        dk_html_putf(h, "p", "note", "%zu more left out: the page would be too large.", left_out);
}
