/* Normalizers, step by step between two buffers. */
#include "text/normal.h"

#include <string.h>

#include "base/regex.h"
#include "text/regexform.h"
#include "text/utf8.h"

struct step {
    dk_norm_step is;
    char *text;             /* owned: from, then to */
    dk_regex *re;
};

struct dk_normal {
    size_t n;
    struct step step[DK_MAX_STEPS];
    dk_form form[2];
};

/* The text on its way: map NULL means that it is the source. */
struct state { const char *s; size_t n; const uint32_t *map; };

void dk_form_clear(dk_form *f) { dk_buf_clear(&f->text); }

void dk_form_free(dk_form *f)
{
    dk_buf_free(&f->text);
    dk_free(f->at);
    f->at = NULL;
    f->at_cap = 0;
}

void dk_form_add(dk_form *f, const char *s, size_t n, const uint32_t *map, size_t from,
                 size_t n_from)
{
    const size_t start = f->text.n, last = n_from ? from + n_from - 1 : from;

    dk_buf_add(&f->text, s, n);
    if (!f->places)
        return;
    if (f->text.n > f->at_cap) {
        f->at_cap = f->text.n + f->text.n / 2 + 64;
        f->at = dk_xrealloc(f->at, f->at_cap * sizeof *f->at);
    }
    for (size_t i = 0; i < n; i++) {
        const size_t at = i < n_from ? from + i : last;

        f->at[start + i] = map ? map[at] : (uint32_t)at;
    }
}

/* --- Unicode forms ------------------------------------------------------- */

/* End of the part that begins at at: plain ASCII up to a character that is not
 * followed by more of it, or one character and what may compose with it. */
static size_t part_end(const char *s, size_t at, size_t to)
{
    size_t end = at;

    while (end < to && (uint8_t)s[end] < 0x80 && (end + 1 == to || (uint8_t)s[end + 1] < 0x80))
        end++;
    if (end > at)
        return end;
    for (end = at + 1; end < to && (uint8_t)s[end] >= 0x80; end++)
        ;
    return end;
}

static dk_utf8_form form_of(dk_normalizer_kind kind)
{
    return kind == DK_NORMALIZE_NFC ? DK_NFC : kind == DK_NORMALIZE_NFD ? DK_NFD
        : kind == DK_NORMALIZE_NFKC ? DK_NFKC : DK_NFKD;
}

static void add_as_is(dk_form *out, const struct state *in, size_t at, size_t end)
{
    dk_form_add(out, in->s + at, end - at, in->map, at, end - at);
}

/* A part that changes, once more in the smallest parts that go each on its own,
 * so that places stay near: with canonical forms these begin with characters
 * that compose with nothing before them. */
static void changed_part(dk_form *out, const struct state *in, size_t at, size_t to, dk_utf8_form form)
{
    const bool canonical = form == DK_NFC || form == DK_NFD;
    dk_buf part = {0};

    for (size_t end = at, next = at; at < to; at = end) {
        dk_utf8_next(in->s, to, &end);
        for (next = end; end < to; end = next)
            if (dk_utf8_starts(dk_utf8_next(in->s, to, &next)) && canonical)
                break;
        dk_buf_clear(&part);
        if (dk_utf8_to_form(&part, in->s + at, end - at, form))
            dk_form_add(out, part.s, part.n, in->map, at, end - at);
        else
            add_as_is(out, in, at, end);
    }
    dk_buf_free(&part);
}

/* Part by part: a part begins with an ASCII character, which composes with
 * nothing before it. */
static bool unicode_form(dk_form *out, const struct state *in, dk_normalizer_kind kind)
{
    const dk_utf8_form form = form_of(kind);
    dk_buf part = {0};
    bool changed = false;

    if (dk_utf8_in_form(in->s, in->n, form))
        return false;
    for (size_t at = 0, end; at < in->n; at = end) {
        end = part_end(in->s, at, in->n);
        dk_buf_clear(&part);
        if ((uint8_t)in->s[end - 1] >= 0x80 && dk_utf8_to_form(&part, in->s + at, end - at, form)) {
            changed = true;
            if (out->places)
                changed_part(out, in, at, end, form);
            else
                dk_form_add(out, part.s, part.n, in->map, at, end - at);
        } else
            add_as_is(out, in, at, end);
    }
    dk_buf_free(&part);
    return changed;
}

/* --- character by character ---------------------------------------------- */

static bool lower(dk_form *out, const struct state *in)
{
    dk_buf c = {0};
    bool changed = false;

    for (size_t at = 0, next = 0; at < in->n; at = next) {
        dk_utf8_lower(&c, dk_utf8_next(in->s, in->n, &next));
        changed |= c.n != next - at || memcmp(c.s, in->s + at, c.n) != 0;
        dk_form_add(out, c.s, c.n, in->map, at, next - at);
        dk_buf_clear(&c);
    }
    dk_buf_free(&c);
    return changed;
}

static bool strip(dk_form *out, const struct state *in, const dk_norm_step *step)
{
    const size_t left = step->left ? dk_utf8_spaces_after(in->s, in->n) : 0;
    const size_t right = step->right ? dk_utf8_spaces_before(in->s + left, in->n - left) : 0;
    const size_t n = in->n - left - right;

    if (n == in->n)
        return false;
    dk_form_add(out, in->s + left, n, in->map, left, n);
    return true;
}

static bool prepend(dk_form *out, const struct state *in, dk_span what)
{
    if (in->n == 0 || what.n == 0)
        return false;
    dk_form_add(out, what.s, what.n, in->map, 0, 0);
    dk_form_add(out, in->s, in->n, in->map, 0, in->n);
    return true;
}

static bool replace_text(dk_form *out, const struct state *in, dk_span from, dk_span to)
{
    size_t at = 0;
    bool changed = false;

    while (at < in->n) {
        const char *hit = memmem(in->s + at, in->n - at, from.s, from.n);
        const size_t gap = hit ? (size_t)(hit - in->s) - at : in->n - at;

        if (!hit && !changed)
            return false;
        dk_form_add(out, in->s + at, gap, in->map, at, gap);
        at += gap;
        if (hit) {
            dk_form_add(out, to.s, to.n, in->map, at, from.n);
            at += from.n;
            changed = true;
        }
    }
    return changed;
}

static int replace_regex(dk_form *out, const struct state *in, struct step *step, dk_err *err)
{
    dk_regex_place place = {0};
    size_t at = 0, from = 0, to = 0;
    int rc, changed = 0;

    while ((rc = dk_regex_next(step->re, in->s, in->n, &place, &from, &to, err)) > 0) {
        dk_form_add(out, in->s + at, from - at, in->map, at, from - at);
        /* At an empty match, the source is the character that follows or precedes. */
        dk_form_add(out, step->is.to.s, step->is.to.n, in->map, from < in->n ? from : from - 1,
                    to - from);
        at = to;
        changed = 1;
    }
    if (rc == 0 && changed)
        dk_form_add(out, in->s + at, in->n - at, in->map, at, in->n - at);
    return rc < 0 ? rc : changed;
}

/* --- all of them --------------------------------------------------------- */

static int apply(dk_form *out, const struct state *in, struct step *step, dk_err *err)
{
    const dk_norm_step *is = &step->is;

    switch (is->kind) {
    case DK_NORMALIZE_LOWER:
        return lower(out, in);
    case DK_NORMALIZE_STRIP:
        return strip(out, in, is);
    case DK_NORMALIZE_PREPEND:
        return prepend(out, in, is->to);
    case DK_NORMALIZE_REPLACE:
        return is->regex ? replace_regex(out, in, step, err)
            : replace_text(out, in, is->from, is->to);
    default:
        return unicode_form(out, in, is->kind);
    }
}

int dk_normal_apply(dk_normal *d, const char *s, size_t n, bool places, const dk_form **form,
                    dk_err *err)
{
    struct state now = { s, n, NULL };
    int turn = 0, changed = 0;

    for (size_t i = 0; i < d->n; i++) {
        dk_form *out = &d->form[turn];
        int rc;

        dk_form_clear(out);
        out->places = places;
        if ((rc = apply(out, &now, &d->step[i], err)) < 0)
            return rc;
        if (rc == 0)
            continue;
        dk_buf_add(&out->text, "", 0);
        now = (struct state){ out->text.s, out->text.n, places ? out->at : NULL };
        *form = out;
        changed = 1;
        turn = !turn;
    }
    return changed;
}

int dk_normal_new(dk_normal **out, const dk_norm_step *steps, size_t n, dk_err *err)
{
    dk_normal *d = dk_xcalloc(1, sizeof *d);
    int rc = 0;

    DK_ASSERT(n <= DK_MAX_STEPS);
    d->n = n;
    for (size_t i = 0; rc == 0 && i < n; i++) {
        struct step *to = &d->step[i];

        to->is = steps[i];
        to->text = dk_xmalloc(steps[i].from.n + steps[i].to.n + 1);
        if (steps[i].from.n)
            memcpy(to->text, steps[i].from.s, steps[i].from.n);
        if (steps[i].to.n)
            memcpy(to->text + steps[i].from.n, steps[i].to.s, steps[i].to.n);
        to->is.from.s = to->text;
        to->is.to.s = to->text + steps[i].from.n;
        if (to->is.kind == DK_NORMALIZE_REPLACE && to->is.regex)
            rc = dk_regex_from_tokenizer(&to->re, to->is.from, err);
    }
    if (rc < 0) {
        dk_normal_free(&d);
        return rc;
    }
    *out = d;
    return 0;
}

void dk_normal_free(dk_normal **d)
{
    dk_normal *p = *d;

    if (!p)
        return;
    for (size_t i = 0; i < p->n; i++) {
        dk_free(p->step[i].text);
        dk_regex_free(&p->step[i].re);
    }
    for (int i = 0; i < 2; i++)
        dk_form_free(&p->form[i]);
    dk_free(p);
    *d = NULL;
}
