/* The single tokens at which KL is highest, one of each text. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "method/pagetext.h"

enum { SHOWN = 10, MORE = 40, BEFORE = 12, AFTER = 6, LIKELY = 3 };

struct place { float kl; size_t row, doc; };

static int by_kl(const void *va, const void *vb)
{
    const struct place *a = va, *b = vb;

    return a->kl != b->kl ? (a->kl < b->kl ? 1 : -1) : a->row < b->row ? -1 : a->row > b->row;
}

/* The highest of each text, in order. */
static size_t find(const dk_map *w, struct place *place)
{
    const dk_tokens *t = w->s->t;
    size_t n = 0;

    for (size_t d = 0; d < t->docs; d++) {
        struct place best = { .kl = -1, .doc = d };

        for (size_t i = t->offset[d]; i < t->offset[d + 1]; i++)
            if (w->s->kl[0][i] > best.kl) {
                best.kl = w->s->kl[0][i];
                best.row = i;
            }
        if (best.kl >= 0)
            place[n++] = best;
    }
    qsort(place, n, sizeof *place, by_kl);
    return n;
}

static void run(const dk_map *w, const char *element, size_t from, size_t to)
{
    dk_buf text = {0};

    if (from >= to)
        return;
    dk_tokenizer_decode(w->p->tok, w->s->t->token + from, to - from, false, &text);
    if (element)
        dk_html_open(w->p->h, element);
    dk_html_lines(w->p->h, text.n ? text.s : "", text.n);
    if (element)
        dk_html_close(w->p->h);
    dk_buf_free(&text);
}

static void snippet(const dk_map *w, const struct place *at)
{
    const size_t first = w->s->t->offset[at->doc], end = w->s->t->offset[at->doc + 1];
    const size_t from = at->row - first > BEFORE ? at->row - BEFORE : first, next = at->row + 1;

    dk_html_open_class(w->p->h, "td", "places");
    dk_html_open_class(w->p->h, "p", "snippet");
    dk_html_attr(w->p->h, "dir", "auto");
    dk_html_attrf(w->p->h, "title", "text %llu, position %u", (unsigned long long)w->s->t->id[at->doc],
                  w->s->t->pos[at->row]);
    if (from > first)
        dk_html_text(w->p->h, "\xe2\x80\xa6");
    run(w, NULL, from, at->row);
    run(w, "mark", at->row, next);
    run(w, "u", next, next < end ? next + 1 : next);
    run(w, NULL, next < end ? next + 1 : end, end - at->row > AFTER + 2 ? next + 1 + AFTER : end);
    if (end - at->row > AFTER + 2)
        dk_html_text(w->p->h, "\xe2\x80\xa6");
    dk_html_close(w->p->h);
    dk_html_close(w->p->h);
}

/* What a lane holds likeliest there. */
static void likely(const dk_map *w, size_t lane)
{
    dk_html *h = w->p->h;
    dk_buf b = {0};

    dk_html_open_class(h, "td", "likely");
    dk_html_attr(h, "data-l", dk_summary_lane(w->p->s, w->lens[lane]));
    for (size_t j = 0; j < w->k && j < LIKELY; j++) {
        dk_buf_clear(&b);
        dk_map_token(w->p, &b, w->id[lane][j]);
        dk_buf_addf(&b, "\xc2\xa0%.0f%%", 100 * exp((double)w->logp[lane][j]));
        dk_html_put(h, "span", NULL, b.s);
        dk_html_text(h, " ");
    }
    dk_html_close(h);
    dk_buf_free(&b);
}

static int row(dk_map *w, const struct place *at, dk_err *err)
{
    dk_html *h = w->p->h;
    int rc = dk_map_likely(w, at->row, 1, err);

    if (rc < 0)
        return rc;
    dk_html_open(h, "tr");
    dk_html_open_class(h, "td", "num");
    dk_html_open(h, "i");
    dk_html_attrf(h, "class", "heat f%d", dk_map_level(w, at->kl));
    dk_html_textf(h, "%.2f", (double)at->kl);
    dk_html_close(h);
    dk_html_close(h);
    for (size_t l = 1; l < w->s->n; l++) {
        dk_html_open_class(h, "td", "num");
        dk_html_attr(h, "data-l", w->s->lane[l]);
        dk_html_textf(h, "%.2f", (double)w->s->kl[l][at->row]);
        dk_html_close(h);
    }
    snippet(w, at);
    for (size_t l = 0; l < w->lens_n; l++)
        likely(w, l);
    dk_html_close(h);
    return 0;
}

static int table(dk_map *w, const struct place *place, size_t n, dk_err *err)
{
    dk_html *h = w->p->h;
    int rc = 0;

    dk_html_table(h, "peaks");
    dk_html_put(h, "th", "num", "KL, nats");
    for (size_t l = 1; l < w->s->n; l++)
        dk_html_put(h, "th", "num", w->s->lane[l]);
    dk_html_put(h, "th", "places", "place");
    for (size_t l = 0; l < w->lens_n; l++)
        dk_html_putf(h, "th", "likely", "likeliest next, %s", dk_summary_lane(w->p->s, w->lens[l]));
    dk_html_table_body(h);
    for (size_t i = 0; rc == 0 && i < n; i++)
        rc = row(w, &place[i], err);
    dk_html_table_end(h);
    return rc;
}

int dk_map_places(dk_map *w, dk_err *err)
{
    struct place *place = dk_xcalloc(w->s->t->docs + 1, sizeof *place);
    const size_t n = find(w, place), shown = n < SHOWN ? n : SHOWN, more = n < MORE ? n : MORE;
    dk_html *h = w->p->h;
    int rc;

    dk_html_putf(h, "h4", NULL, "The single tokens with the highest KL, one a text (%zu of %zu texts)", more, n);
    dk_html_put(h, "p", "note", "KL of the prediction that follows the marked token; underlined is what the text goes on with.");
    rc = table(w, place, shown, err);
    if (rc == 0 && more > shown) {
        dk_html_open(h, "details");
        dk_html_putf(h, "summary", NULL, "%zu more", more - shown);
        rc = table(w, place + shown, more - shown, err);
        dk_html_close(h);
    }
    dk_free(place);
    return rc;
}
