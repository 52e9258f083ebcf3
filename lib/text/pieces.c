/* Pre-tokenizers, one within the other: each piece of a step goes through the
 * next before the step goes on. */
#include "text/pieces.h"

#include <string.h>

#include "base/regex.h"
#include "text/regexform.h"
#include "text/utf8.h"

struct part { size_t from, to; bool match; };

struct step {
    dk_cut_step is;
    char *text;
    dk_regex *re;
    struct part *part;      /* scratch */
    size_t n_part, cap;
    dk_form form;           /* scratch: a piece with another text */
};

struct dk_pieces {
    size_t n;
    struct step step[DK_MAX_STEPS];
};

/* What does not change on the way. */
struct walk { dk_pieces *p; bool places; dk_piece_fn *fn; void *arg; dk_err *err; };

/* A piece on its way. */
struct piece { const char *s; size_t from, to; const uint32_t *map; bool begin; };

static int go(const struct walk *w, size_t k, struct piece in);

/* --- matches and gaps ---------------------------------------------------- */

static void add_part(struct step *st, size_t from, size_t to, bool match)
{
    if (st->n_part == st->cap) {
        st->cap = st->cap ? 2 * st->cap : 64;
        st->part = dk_xrealloc(st->part, st->cap * sizeof *st->part);
    }
    st->part[st->n_part++] = (struct part){ from, to, match != st->is.invert };
}

static int regex_parts(struct step *st, const char *s, size_t n, dk_err *err)
{
    dk_regex_place place = {0};
    size_t at = 0, from = 0, to = 0;
    int rc;

    while ((rc = dk_regex_next(st->re, s, n, &place, &from, &to, err)) > 0) {
        if (at < from)
            add_part(st, at, from, false);
        add_part(st, from, to, true);
        at = to;
    }
    if (at < n)
        add_part(st, at, n, false);
    return rc;
}

static void text_parts(struct step *st, const char *s, size_t n)
{
    const char *hit;
    size_t at = 0;

    while (at < n && (hit = memmem(s + at, n - at, st->is.text.s, st->is.text.n)) != NULL) {
        const size_t from = (size_t)(hit - s);

        if (at < from)
            add_part(st, at, from, false);
        add_part(st, from, at = from + st->is.text.n, true);
    }
    if (at < n)
        add_part(st, at, n, false);
}

static void class_parts(struct step *st, const char *s, size_t n, unsigned class)
{
    size_t at = 0;

    for (size_t c = 0, next = 0; c < n; c = next)
        if (dk_utf8_class(dk_utf8_next(s, n, &next)) == class) {
            if (at < c)
                add_part(st, at, c, false);
            add_part(st, c, at = next, true);
        }
    if (at < n)
        add_part(st, at, n, false);
}

/* Joins matches with what is before or after them, or with each other. */
static void join(struct step *st)
{
    const dk_cut_behavior how = st->is.behavior;
    struct part *p = st->part;
    bool before = false;
    size_t n = 0;

    if (how == DK_CUT_WITH_NEXT) {      /* from the end, which then lies at the end */
        size_t first = st->n_part;

        for (size_t i = st->n_part; i-- > 0;) {
            const struct part c = p[i];

            if (c.match && !before && first < st->n_part)
                p[first].from = c.from;
            else
                p[--first] = c;
            before = c.match;
        }
        st->n_part -= first;
        memmove(p, p + first, st->n_part * sizeof *p);
        return;
    }
    for (size_t i = 0; i < st->n_part; i++) {
        const struct part c = p[i];
        const bool joins = how == DK_CUT_WITH_PREVIOUS ? c.match && !before : c.match == before;

        if (how == DK_CUT_REMOVED ? c.match : joins && n > 0 && how != DK_CUT_ISOLATED) {
            if (how != DK_CUT_REMOVED)
                p[n - 1].to = c.to;
        } else
            p[n++] = c;
        before = c.match;
    }
    st->n_part = n;
}

static int split(const struct walk *w, size_t k, struct piece in)
{
    struct step *st = &w->p->step[k];
    const char *s = in.s + in.from;
    const size_t n = in.to - in.from;
    int rc = 0;

    st->n_part = 0;
    if (st->is.kind == DK_CUT_REGEX)
        rc = regex_parts(st, s, n, w->err);
    else if (st->is.kind == DK_CUT_TEXT)
        text_parts(st, s, n);
    else
        class_parts(st, s, n, st->is.kind == DK_CUT_DIGITS ? DK_CLASS_NUMBER : DK_CLASS_SPACE);
    if (rc == 0)
        join(st);
    for (size_t i = 0; rc == 0 && i < st->n_part; i++) {
        const struct part c = st->part[i];

        if (c.from < c.to)
            rc = go(w, k + 1, (struct piece){ in.s, in.from + c.from, in.from + c.to, in.map,
                                              in.begin && c.from == 0 });
    }
    return rc;
}

/* --- steps that write ---------------------------------------------------- */

static void rewrite(struct step *st, const struct piece *in, dk_span put, bool before)
{
    const bool space = st->is.kind == DK_CUT_METASPACE;

    dk_buf_clear(&st->form.text);
    if (before)
        dk_form_add(&st->form, put.s, put.n, in->map, in->from, 0);
    for (size_t at = in->from, end; at < in->to; at = end) {
        const char *hit = space ? memchr(in->s + at, ' ', in->to - at) : NULL;

        end = hit ? (size_t)(hit - in->s) : in->to;
        dk_form_add(&st->form, in->s + at, end - at, in->map, at, end - at);
        if (hit)
            dk_form_add(&st->form, put.s, put.n, in->map, end++, 1);
    }
}

static int metaspace(const struct walk *w, size_t k, struct piece in)
{
    struct step *st = &w->p->step[k];
    const dk_span r = st->is.text;
    const char *s = in.s + in.from;
    const size_t n = in.to - in.from;
    const bool has = s[0] == ' ' || (n >= r.n && memcmp(s, r.s, r.n) == 0);
    const bool wants = st->is.scheme == DK_SCHEME_ALWAYS ||
                       (st->is.scheme == DK_SCHEME_FIRST && in.begin);
    struct piece now;
    int rc = 0;

    st->form.places = w->places;
    rewrite(st, &in, r, wants && !has);
    now = (struct piece){ st->form.text.s, 0, st->form.text.n, w->places ? st->form.at : NULL,
                          in.begin };
    for (size_t at = 0, end; rc == 0 && at < now.to; at = end) {
        const size_t skip = at + (now.to - at < r.n ? now.to - at : r.n);
        const char *hit = st->is.split ? memmem(now.s + skip, now.to - skip, r.s, r.n) : NULL;
        const char *first = at == 0 && st->is.split ? memmem(now.s, now.to, r.s, r.n) : NULL;

        /* The first piece may begin with another character, and be short. */
        if (first && first > now.s)
            hit = first;
        end = hit ? (size_t)(hit - now.s) : now.to;
        rc = go(w, k + 1, (struct piece){ now.s, at, end, now.map, now.begin && at == 0 });
    }
    return rc;
}

static int prefix(const struct walk *w, size_t k, struct piece in)
{
    struct step *st = &w->p->step[k];

    if (in.s[in.from] == ' ')
        return go(w, k + 1, in);
    st->form.places = w->places;
    rewrite(st, &in, (dk_span){ " ", 1 }, true);
    return go(w, k + 1, (struct piece){ st->form.text.s, 0, st->form.text.n,
                                        w->places ? st->form.at : NULL, in.begin });
}

/* --- all of them --------------------------------------------------------- */

static int scan(const struct walk *w, size_t k, struct piece in)
{
    const dk_pretok kind = w->p->step[k].is.scan;
    const char *s = in.s + in.from;
    const size_t n = in.to - in.from;
    int rc = 0;

    for (size_t at = 0, end; rc == 0 && at < n; at = end) {
        end = dk_pretok_next(kind, s, n, at);
        if (k + 1 == w->p->n)
            rc = w->fn(w->arg, in.s, in.from + at, in.from + end, in.map);
        else
            rc = go(w, k + 1, (struct piece){ in.s, in.from + at, in.from + end, in.map,
                                              in.begin && at == 0 });
    }
    return rc;
}

static int go(const struct walk *w, size_t k, struct piece in)
{
    if (k == w->p->n)
        return w->fn(w->arg, in.s, in.from, in.to, in.map);
    switch (w->p->step[k].is.kind) {
    case DK_CUT_SCAN:
        return scan(w, k, in);
    case DK_CUT_METASPACE:
        return metaspace(w, k, in);
    case DK_CUT_PREFIX:
        return prefix(w, k, in);
    default:
        return split(w, k, in);
    }
}

int dk_pieces_each(dk_pieces *p, const char *s, size_t from, size_t to, bool begin, bool places,
                   dk_piece_fn *fn, void *arg, dk_err *err)
{
    const struct walk w = { p, places, fn, arg, err };

    return from < to ? go(&w, 0, (struct piece){ s, from, to, NULL, begin }) : 0;
}

int dk_pieces_new(dk_pieces **out, const dk_cut_step *steps, size_t n, dk_err *err)
{
    dk_pieces *p = dk_xcalloc(1, sizeof *p);
    int rc = 0;

    DK_ASSERT(n <= DK_MAX_STEPS);
    p->n = n;
    for (size_t i = 0; rc == 0 && i < n; i++) {
        struct step *st = &p->step[i];

        st->is = steps[i];
        st->text = dk_xmalloc(steps[i].text.n + 1);
        if (steps[i].text.n)
            memcpy(st->text, steps[i].text.s, steps[i].text.n);
        st->is.text.s = st->text;
        if (st->is.kind == DK_CUT_REGEX)
            rc = dk_regex_from_tokenizer(&st->re, st->is.text, err);
    }
    if (rc < 0) {
        dk_pieces_free(&p);
        return rc;
    }
    *out = p;
    return 0;
}

void dk_pieces_free(dk_pieces **p)
{
    dk_pieces *d = *p;

    if (!d)
        return;
    for (size_t i = 0; i < d->n; i++) {
        dk_free(d->step[i].text);
        dk_free(d->step[i].part);
        dk_form_free(&d->step[i].form);
        dk_regex_free(&d->step[i].re);
    }
    dk_free(d);
    *p = NULL;
}
