/* A text coloured token by token, as a picture of its own: letters of one width,
 * each token on its ground. */
#include <stdio.h>
#include <string.h>

#include "method/pagetext.h"
#include "text/utf8.h"

enum { COLUMNS = 88, LINES = 7, LEFT = 14, TITLE = 66, PITCH = 23 };
#define ADVANCE 7.8     /* of a letter of 13 px */

struct pen { dk_html *h; size_t line, column; bool full; };

static double x_of(const struct pen *p) { return LEFT + ADVANCE * (double)p->column; }

/* A piece of a token that stays on one line. */
static void piece(struct pen *p, const char *s, size_t n, int level)
{
    const size_t columns = dk_utf8_count(s, n);
    const double y = PITCH * (double)p->line;

    if (p->column && p->column + columns > COLUMNS) {
        p->line++;
        p->column = 0;
        piece(p, s, n, level);
        return;
    }
    p->full = p->line >= LINES;
    if (p->full || columns == 0)
        return;
    dk_html_open_class(p->h, "path", "fill ft");
    dk_html_attrf(p->h, "fill-opacity", "%.2f", 0.75 * level / DK_MAP_LEVELS);
    dk_html_attrf(p->h, "d", "M%.1f %.1fh%.1fv18h-%.1fz", x_of(p), y, ADVANCE * (double)columns, ADVANCE * (double)columns);
    dk_html_close(p->h);
    dk_html_open_class(p->h, "text", "letters");
    dk_html_attrf(p->h, "x", "%.1f", x_of(p));
    dk_html_attrf(p->h, "y", "%.1f", y + 13.5);
    dk_html_attrf(p->h, "textLength", "%.1f", ADVANCE * (double)columns);
    dk_html_attr(p->h, "lengthAdjust", "spacingAndGlyphs");
    dk_html_line(p->h, s, n);
    dk_html_close(p->h);
    p->column += columns;
}

static void token(struct pen *p, const char *s, size_t n, int level)
{
    while (n && !p->full) {
        const char *end = memchr(s, '\n', n);
        const size_t part = end ? (size_t)(end - s) : n;

        if (part)
            piece(p, s, part, level);
        if (end && !p->full && p->column) {
            p->line++;
            p->column = 0;
            p->full = p->line >= LINES;
        }
        n -= end ? part + 1 : part;
        s += end ? part + 1 : part;
    }
}

static void scale(dk_html *h, const dk_map *w)
{
    char s[64];

    for (int i = 0; i <= DK_MAP_LEVELS; i++) {
        dk_html_open_class(h, "path", "fill ft");
        dk_html_attrf(h, "fill-opacity", "%.2f", 0.75 * i / DK_MAP_LEVELS);
        dk_html_attrf(h, "d", "M%d -26h13v13h-13z", LEFT + 38 + 13 * i);
        dk_html_close(h);
    }
    dk_html_open_class(h, "text", "");
    dk_html_attrf(h, "x", "%d", LEFT);
    dk_html_attr(h, "y", "-15");
    dk_html_text(h, "KL 0");
    dk_html_close(h);
    snprintf(s, sizeof s, "%.1f nats and above, of what follows each token", w->scale);
    dk_html_open_class(h, "text", "");
    dk_html_attrf(h, "x", "%d", LEFT + 38 + 13 * (DK_MAP_LEVELS + 1) + 6);
    dk_html_attr(h, "y", "-15");
    dk_html_text(h, s);
    dk_html_close(h);
}

void dk_map_picture(const dk_map *w, const char *set, size_t doc)
{
    const dk_tokens *t = w->s->t;
    const uint64_t first = t->offset[doc], end = t->offset[doc + 1];
    dk_buf b = {0}, drawn = {0}, left = {0}, text = {0};
    dk_html inner = { .out = &drawn }, h = { .out = &b };
    struct pen pen = { .h = &inner };
    char *title = dk_xasprintf("Text %llu of %s: where %s departs from the base", (unsigned long long)t->id[doc], set,
                               dk_summary_lane(w->p->s, w->s->lane[0]));

    for (uint64_t i = first; i < end && !pen.full; i++) {
        const dk_span bytes = dk_tokenizer_bytes(w->p->tok, t->token[i]);

        dk_buf_clear(&text);
        dk_map_complete(&text, &left, bytes, i + 1 == end);
        token(&pen, text.n ? text.s : "", text.n, dk_map_level(w, w->s->kl[0][i]));
    }
    if (pen.line >= LINES)
        pen.line = LINES - 1;
    dk_svg_begin(&h, title, 2 * LEFT + ADVANCE * COLUMNS, TITLE + PITCH * (double)(pen.line + 1) + 8, -TITLE);
    dk_html_open_class(&h, "text", "heading");
    dk_html_attrf(&h, "x", "%d", LEFT);
    dk_html_attr(&h, "y", "-42");
    dk_html_text(&h, title);
    dk_html_close(&h);
    scale(&h, w);
    dk_buf_add(&b, drawn.n ? drawn.s : "", drawn.n);
    dk_html_close(&h);
    dk_pictures_add(w->p->pictures, dk_xasprintf("text.%s", set), b.s);
    dk_free(title);
    dk_buf_free(&drawn);
    dk_buf_free(&left);
    dk_buf_free(&text);
}
