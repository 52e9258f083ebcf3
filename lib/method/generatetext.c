/* Answers as running text. */
#include "method/generatetext.h"

#include "text/utf8.h"

void dk_put_text(FILE *f, bool terminal, const char *s, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        const unsigned char c = (unsigned char)s[i];

        if (terminal && ((c < 32 && c != '\n' && c != '\t') || c == 127))
            fputs("\xEF\xBF\xBD", f);
        else
            fputc(c, f);
    }
}

static void heading(dk_answer_text *t)
{
    const size_t lanes = t->pair->n_lanes, lane = t->at % lanes, sample = t->at / lanes % t->samples;
    const size_t unit = t->at / lanes / t->samples, way = unit % (t->n_ways + 1);
    const dk_prompt_row *row = &t->prompts->row[unit / (t->n_ways + 1)];

    if (lane == 0 && sample == 0 && way == 0) {
        fputs(t->at ? "\n> " : "> ", t->f);
        dk_put_text(t->f, t->terminal, row->text.s, row->text.n);
        fputc('\n', t->f);
    }
    fprintf(t->f, "\n[%s", t->pair->lane[lane].name);
    if (way) {
        const dk_steer_name *n = &t->way[way - 1];

        fprintf(t->f, ", layer %d %s %+g, %s", n->layer, n->direction, n->strength, n->mode);
    }
    if (t->samples > 1)
        fprintf(t->f, ", sample %zu", sample + 1);
    fputs("]\n", t->f);
    t->open = true;
    t->shown = 0;
}

/* How much of an answer nothing can change any more: whole characters, and all
 * of it when it is done. */
static size_t settled(const dk_answer_text *t, const dk_answer *a)
{
    const size_t n = a->text.n > t->hold ? a->text.n - t->hold : 0;
    size_t at = t->shown;

    if (a->done)
        return a->text.n;
    for (size_t next = at; at < n; at = next) {
        const bool bad = dk_utf8_next(a->text.s, a->text.n, &next) < 0;

        if (next > n || (bad && next == a->text.n))     /* its other bytes may follow */
            break;
    }
    return at;
}

void dk_answer_text_watch(void *self, const dk_answers *a)
{
    dk_answer_text *t = self;

    for (; t->at < a->n; t->at++) {
        const dk_answer *x = &a->answer[t->at];
        dk_buf clean = {0};
        size_t end;

        if (!t->open && x->n == 0 && !x->done)
            break;
        if (!t->open)
            heading(t);
        end = settled(t, x);
        if (end > t->shown) {
            dk_utf8_clean(&clean, x->text.s + t->shown, end - t->shown);
            dk_put_text(t->f, t->terminal, clean.s, clean.n);
            t->shown = end;
        }
        dk_buf_free(&clean);
        if (!x->done)
            break;
        fputc('\n', t->f);
        t->open = false;
    }
    fflush(t->f);
}
