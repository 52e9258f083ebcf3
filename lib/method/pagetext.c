/* Texts, token by token, coloured by divergence. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "method/pagetext.h"
#include "method/pagewindow.h"
#include "text/utf8.h"

enum { FIRST = 16, HIGHEST = 8, MAX_LIST = 4096 };
/* What the texts of all data sets may take, in equal parts. */
enum { MAX_BYTES = 1536 << 10 };

struct ranked { double mean; size_t doc; };

static int by_mean(const void *va, const void *vb)
{
    const struct ranked *a = va, *b = vb;

    return a->mean != b->mean ? (a->mean < b->mean ? 1 : -1) : a->doc < b->doc ? -1 : a->doc > b->doc;
}

static int by_value(const void *va, const void *vb)
{
    const float a = *(const float *)va, b = *(const float *)vb;

    return a < b ? -1 : a > b;
}

static double mean_of(const dk_page_scores *s, size_t lane, size_t doc)
{
    double sum = 0;

    for (uint64_t i = s->t->offset[doc]; i < s->t->offset[doc + 1]; i++)
        sum += s->kl[lane][i];
    return sum / (double)(s->t->offset[doc + 1] - s->t->offset[doc]);
}

/* The 99th percentile of the finetune's KL, rounded up to a tenth. */
static int scale_of(dk_map *w, dk_err *err)
{
    const size_t n = w->s->t->rows;
    float *v = NULL;
    int rc = dk_alloc(&v, n, sizeof *v, "colours", err);

    if (rc < 0)
        return rc;
    memcpy(v, w->s->kl[0], n * sizeof *v);
    qsort(v, n, sizeof *v, by_value);
    w->scale = ceil(fmax(v[(n - 1) * 99 / 100], 0.01) * 10) / 10;
    dk_free(v);
    return 0;
}

/* --- what stands where one points ------------------------------------------------ */
void dk_map_token(const dk_page *p, dk_buf *b, uint32_t id)
{
    dk_buf text = {0};
    const dk_span bytes = dk_tokenizer_bytes(p->tok, id);

    dk_buf_adds(b, "\xe2\x80\x9c");
    dk_utf8_clean(&text, bytes.s ? bytes.s : "", bytes.s ? bytes.n : 0);
    for (size_t i = 0; i < text.n; i++)
        if (text.s[i] == '\n')
            dk_buf_adds(b, "\xe2\x8f\x8e");
        else
            dk_buf_addc(b, text.s[i]);
    dk_buf_adds(b, "\xe2\x80\x9d");
    dk_buf_free(&text);
}

static void tip_values(dk_map *w, const char *what, float *const *v, const float *base, size_t row)
{
    dk_buf *b = &w->tip;
    int any = 0;

    for (size_t l = 0; l <= w->s->n; l++) {
        const float *from = l == 0 ? base : v[l - 1];

        if (!from || !isfinite(from[row]))
            continue;
        dk_buf_addf(b, "%s %s %.3g", any ? "," : what, l == 0 ? "base" : dk_summary_lane(w->p->s, w->s->lane[l - 1]),
                    (double)from[row]);
        any = 1;
    }
    if (any)
        dk_buf_addc(b, '\n');
}

static void tip_of(dk_map *w, size_t row, size_t at, size_t next)
{
    dk_buf *b = &w->tip;

    dk_buf_clear(b);
    dk_buf_adds(b, "after ");
    dk_map_token(w->p, b, w->s->t->token[row]);
    if (next) {
        dk_buf_adds(b, " comes ");
        dk_map_token(w->p, b, w->s->t->token[row + 1]);
    }
    dk_buf_addf(b, "\nposition %u, id %u\n", w->s->t->pos[row], w->s->t->token[row]);
    tip_values(w, "KL:", w->s->kl, NULL, row);
    tip_values(w, "log p of it:", w->s->logp, w->s->logp_base, row);
    for (size_t l = 0; l < w->lens_n && at < DK_MAP_TEXT; l++) {
        dk_buf_addf(b, "likeliest, %s:", dk_summary_lane(w->p->s, w->lens[l]));
        for (size_t j = 0; j < w->k && j < DK_MAP_LIKELY; j++) {
            dk_buf_adds(b, j ? ", " : " ");
            dk_map_token(w->p, b, w->id[l][at * w->k + j]);
            dk_buf_addf(b, " %.0f%%", 100 * exp((double)w->logp[l][at * w->k + j]));
        }
        dk_buf_addc(b, '\n');
    }
    while (b->n && b->s[b->n - 1] == '\n')
        b->s[--b->n] = 0;
}

int dk_map_level(const dk_map *w, double kl)
{
    const double v = kl / w->scale * DK_MAP_LEVELS;

    return !(v > 0) ? 0 : v >= DK_MAP_LEVELS ? DK_MAP_LEVELS : (int)(v + 0.5);
}

double dk_map_null(const dk_page_scores *s, size_t row)
{
    double best = 0;

    for (size_t l = 1; l < s->n; l++)
        best = fmax(best, s->kl[l][row]);
    return best;
}

/* --- texts -------------------------------------------------------------------------- */
/* The bytes of a token that complete characters, with those that earlier tokens
 * left over; what cannot become a character any more is replaced. */
void dk_map_complete(dk_buf *text, dk_buf *left, dk_span bytes, bool last)
{
    size_t whole;

    dk_buf_add(left, bytes.s ? bytes.s : "", bytes.s ? bytes.n : 0);
    whole = left->n ? dk_utf8_valid(left->s, left->n) : 0;
    if (last || left->n - whole > 3)
        whole = left->n;
    dk_utf8_clean(text, left->n ? left->s : "", whole);
    if (left->n)
        memmove(left->s, left->s + whole, left->n - whole + 1);
    left->n -= whole;
}

static void show(dk_html *h, dk_buf *left, dk_span bytes, bool last)
{
    dk_buf text = {0};

    dk_map_complete(&text, left, bytes, last);
    if (text.n == 0)
        dk_html_text(h, "\xe2\x96\xaf");
    else
        dk_html_lines(h, text.s, text.n);
    dk_buf_free(&text);
}

int dk_map_likely(dk_map *w, uint64_t first, uint64_t n, dk_err *err)
{
    char name[256];
    int rc = 0;

    for (size_t l = 0; rc == 0 && l < w->lens_n; l++) {
        snprintf(name, sizeof name, "lens/%s/index", w->lens[l]);
        rc = dk_scores_read_index(w->s->file, name, first, n, w->id[l], err);
        snprintf(name, sizeof name, "lens/%s/logp", w->lens[l]);
        if (rc == 0)
            rc = dk_scores_read(w->s->file, name, first, n, w->logp[l], err);
    }
    return rc;
}

static dk_window window_of(const dk_map *w, size_t first, size_t n)
{
    size_t top = 0;

    for (size_t i = 1; i < n; i++)
        if (w->s->kl[0][first + i] > w->s->kl[0][first + top])
            top = i;
    return dk_window_of(n, top);
}

static int text(dk_map *w, size_t doc, dk_err *err)
{
    const dk_tokens *t = w->s->t;
    dk_html *h = w->p->h;
    const size_t first = t->offset[doc], n = t->offset[doc + 1] - first, shown = n > DK_MAP_TEXT ? DK_MAP_TEXT : n;
    dk_buf left = {0};
    const dk_window win = window_of(w, first, shown);
    int rc = dk_map_likely(w, first, shown, err);

    dk_html_open_class(h, "figure", "text");
    dk_html_open(h, "figcaption");
    dk_html_textf(h, "text %llu: mean KL %.3f", (unsigned long long)t->id[doc], mean_of(w->s, 0, doc));
    for (size_t l = 1; l < w->s->n; l++)
        dk_html_textf(h, "%s%s %.3f", l == 1 ? " (" : ", ", w->s->lane[l], mean_of(w->s, l, doc));
    dk_html_text(h, w->s->n > 1 ? ")" : "");
    dk_html_close(h);
    if (win.to - win.from < shown)
        dk_window_switch(h, w->number, w->inputs++);
    dk_html_open_class(h, "p", "tokens");
    dk_html_attr(h, "dir", "auto");
    for (size_t i = 0; rc == 0 && i < shown; i++) {
        dk_window_edge(h, &win, i);
        tip_of(w, first + i, i, i + 1 < n);
        dk_html_open(h, "i");
        dk_html_attrf(h, "class", "f%d n%d", dk_map_level(w, w->s->kl[0][first + i]),
                      dk_map_level(w, dk_map_null(w->s, first + i)));
        dk_html_attr(h, "tabindex", "0");
        dk_html_attr(h, "data-t", w->tip.s);
        show(h, &left, dk_tokenizer_bytes(w->p->tok, t->token[first + i]), i + 1 == shown);
        dk_html_close(h);
    }
    if (rc == 0 && shown < n)
        dk_html_textf(h, " ... %zu more tokens", n - shown);
    if (rc == 0)
        dk_window_edge(h, &win, shown);
    dk_html_close(h);
    dk_html_close(h);
    dk_buf_free(&left);
    return rc;
}

static int likely_begin(dk_map *w, dk_err *err)
{
    int rc = 0;

    for (size_t l = 0; rc == 0 && l <= w->s->n && w->lens_n < 2; l++) {
        const char *lane = l == 0 ? "base" : w->s->lane[l - 1];
        char *index = dk_xasprintf("lens/%s/index", lane), *logp = dk_xasprintf("lens/%s/logp", lane);
        const dk_score_info *a = dk_scores_find(w->s->file, index, false);
        const dk_score_info *b = dk_scores_find(w->s->file, logp, false);

        dk_free(index);
        dk_free(logp);
        if (!a || !b || a->k > MAX_LIST || a->kind != DK_SCORE_INDEX || b->kind != DK_SCORE_DENSE || a->k != b->k ||
            (w->lens_n && a->k != w->k) || a->rows != w->s->t->rows || b->rows != w->s->t->rows)
            continue;
        w->k = a->k;
        w->lens[w->lens_n] = lane;
        rc = dk_alloc(&w->id[w->lens_n], DK_MAP_TEXT * w->k, sizeof(uint32_t), "likely tokens", err);
        if (rc == 0)
            rc = dk_alloc(&w->logp[w->lens_n], DK_MAP_TEXT * w->k, sizeof(float), "likely tokens", err);
        w->lens_n++;
    }
    return rc;
}

/* Those documents of list that are asked for, until the page is full; returns
 * how many were left out. */
static int group(dk_map *w, const struct ranked *list, size_t n, size_t end, size_t *left_out, dk_err *err)
{
    int rc = 0;

    *left_out = 0;
    for (size_t i = 0; rc == 0 && i < n; i++) {
        if (w->p->h->out->n > end)
            (*left_out)++;
        else
            rc = text(w, list[i].doc, err);
    }
    if (*left_out)
        dk_html_putf(w->p->h, "p", "note", "%zu more left out: the page would be too large.", *left_out);
    return rc;
}

static void scale(const dk_map *w)
{
    dk_html *h = w->p->h;

    dk_html_open_class(h, "p", "legend");
    dk_html_text(h, "KL 0 ");
    for (int i = 0; i <= DK_MAP_LEVELS; i++) {
        dk_html_open(h, "i");
        dk_html_attrf(h, "class", "f%d n%d", i, i);
        dk_html_text(h, "\xc2\xa0\xc2\xa0");
        dk_html_close(h);
    }
    dk_html_textf(h, " %.1f and above", w->scale);
    dk_html_close(h);
}

/* Buttons that need no script: what they choose is a matter of style. */
static void choice(const dk_map *w, const char *set_id)
{
    dk_html *h = w->p->h;
    static const char *const value[] = { "by-ft", "by-null" };

    for (int i = 0; i < 2; i++) {
        dk_html_open_class(h, "input", value[i]);
        dk_html_attr(h, "type", "radio");
        dk_html_attr(h, "name", set_id);
        dk_html_attrf(h, "id", "%s-%s", set_id, value[i]);
        if (i == 0)
            dk_html_attr(h, "checked", "checked");
        dk_html_close(h);
        dk_html_open(h, "label");
        dk_html_attrf(h, "for", "%s-%s", set_id, value[i]);
        dk_html_text(h, i == 0 ? dk_summary_lane(w->p->s, w->s->lane[0])
                        : w->s->n == 2 ? w->s->lane[1] : "highest null");
        dk_html_close(h);
        dk_html_text(h, " ");
    }
}

static int of_set(dk_map *w, const char *name, dk_err *err)
{
    const dk_tokens *t = w->s->t;
    dk_html *h = w->p->h;
    struct ranked *list = dk_xcalloc(t->docs + 1, sizeof *list), *high = NULL;
    const size_t start = h->out->n, room = MAX_BYTES / w->p->s->n_kl;
    size_t n = 0, n_high, left_out, n_first;
    char set_id[32];
    int rc = scale_of(w, err);

    for (size_t d = 0; d < t->docs; d++)
        if (t->offset[d + 1] > t->offset[d])
            list[n++] = (struct ranked){ mean_of(w->s, 0, d), d };
    n_first = n < FIRST ? n : FIRST;
    high = dk_xcalloc(n + 1, sizeof *high);
    memcpy(high, list, n * sizeof *high);
    qsort(high, n, sizeof *high, by_mean);
    n_high = n < HIGHEST ? n : HIGHEST;
    snprintf(set_id, sizeof set_id, "map%zu", w->number);
    if (rc == 0)
        rc = likely_begin(w, err);
    if (rc == 0 && w->p->pictures && n)
        dk_map_picture(w, name, high[0].doc);
    dk_html_open_class(h, "div", "map");
    dk_html_put(h, "h3", NULL, name);
    if (w->s->n > 1) {
        dk_html_put(h, "span", "choose", "Colour: ");
        choice(w, set_id);
    }
    scale(w);
    if (rc == 0)
        rc = dk_map_places(w, err);
    dk_html_putf(h, "h4", NULL, "The %zu texts of %zu with the highest mean KL", n_high, n);
    if (rc == 0)
        rc = group(w, high, n_high, start + room / 2, &left_out, err);
    dk_html_open(h, "details");
    dk_html_putf(h, "summary", NULL, "The first %zu texts of %zu", n_first, n);
    if (rc == 0)
        rc = group(w, list, n_first, start + room, &left_out, err);
    dk_html_close(h);
    dk_html_close(h);
    dk_free(high);
    dk_free(list);
    for (size_t l = 0; l < w->lens_n; l++) {
        dk_free(w->id[l]);
        dk_free(w->logp[l]);
    }
    dk_buf_free(&w->tip);
    return rc;
}

/* Were the ids made by the tokenizer at hand? */
static int same_tokenizer(const dk_page *p, const dk_tokens *t)
{
    const char *sha = dk_tokenizer_about(p->tok)->sha256;

    return t->tokenizer_sha256 && strcmp(t->tokenizer_sha256, sha) == 0;
}

int dk_page_texts(dk_page *p, dk_err *err)
{
    dk_html *h = p->h;
    int rc = 0;

    for (size_t k = 0; rc == 0 && k < p->s->n_kl; k++) {
        dk_page_scores s;

        rc = dk_page_scores_open(&s, p, p->s->kl[k].name, err);
        if (rc == 0 && s.file && s.n && s.t->rows && s.which[0] == 0) {
            if (!p->has_texts) {
                dk_html_open(h, "section");
                dk_html_attr(h, "id", "texts");
                dk_html_put(h, "h2", NULL, "Where in the texts");
                dk_html_put(h, "p", "lead", "Each token is coloured by the divergence of the predictions that follow "
                            "it. Point at one, tap it, or step to it with the tab key, for its numbers.");
            }
            p->has_texts = true;
            if (!p->tok)
                dk_html_putf(h, "p", "note", "%s: not shown, for %s.", p->s->kl[k].name, p->why_no_tok);
            else if (!same_tokenizer(p, s.t))
                dk_html_putf(h, "p", "note", "%s: not shown, for its ids were made by another tokenizer.",
                             p->s->kl[k].name);
            else {
                dk_map w = { .p = p, .s = &s, .number = k };

                rc = of_set(&w, p->s->kl[k].name, err);
            }
        }
        dk_page_scores_close(&s);
    }
    if (p->has_texts)
        dk_html_close(h);
    return rc;
}
