/* Cases, kinds of characters, and the two ways Python formats a text. */
#include <stdio.h>
#include <string.h>

#include "text/jinjadef.h"
#include "text/utf8.h"

/* --- cases ----------------------------------------------------------------------- */

/* Marks stay on what becomes of each character. */
static void put_case(dk_jb *b, const dk_jstr *s, size_t from, size_t to, int32_t cp, dk_case how)
{
    const dk_jv piece = s->n_marks ? dk_jsub(b->x, s, from, to) : dk_jnone();
    int32_t out[3];
    const int n = dk_utf8_case(cp, how, out);
    dk_jb one = { .x = b->x };

    if (piece.kind != DK_J_STR || piece.str->n_marks == 0) {
        for (int i = 0; i < n; i++)
            dk_jb_cp(b, out[i]);
        return;
    }
    for (int i = 0; i < n; i++)
        dk_jb_cp(&one, out[i]);
    {
        const dk_jinja_place m = { 0, one.n, piece.str->marks[0].mark };
        const dk_jstr marked = { .s = one.s, .n = one.n, .n_marks = 1, .marks = &m };

        dk_jb_str(b, &marked);
    }
}

static bool cased(int32_t c) { return dk_utf8_is_upper(c) || dk_utf8_is_lower(c); }

dk_jv dk_jcase_of(dk_jx *x, const dk_jstr *s, dk_jcase how)
{
    dk_jb b = { .x = x };
    bool within = false;

    for (size_t at = 0; at < s->n;) {
        const size_t from = at;
        const int32_t c = dk_utf8_next(s->s, s->n, &at);
        const bool first = how == DK_J_CAPITAL ? from == 0 : how == DK_J_TITLE ? !within
                         : how == DK_J_SWAP && !dk_utf8_is_upper(c);

        put_case(&b, s, from, at, c, how == DK_J_UPPER || (how == DK_J_SWAP && first) ? DK_CASE_UPPER
                                     : first ? DK_CASE_TITLE : DK_CASE_LOWER);
        within = cased(c);
    }
    return dk_jb_end(&b);
}

/* The filter title: words are what blanks, hyphens and opening brackets part. */
dk_jv dk_jtitle_words(dk_jx *x, const dk_jstr *s)
{
    dk_jb b = { .x = x };
    bool start = true;

    for (size_t at = 0; at < s->n;) {
        const size_t from = at;
        const int32_t c = dk_utf8_next(s->s, s->n, &at);
        const bool parts = c == '-' || c == '(' || c == '{' || c == '[' || c == '<' || dk_utf8_blank(c);

        put_case(&b, s, from, at, c, start ? DK_CASE_UPPER : DK_CASE_LOWER);
        start = parts;
    }
    return dk_jb_end(&b);
}

bool dk_jstr_is(dk_jx *x, const dk_jstr *s, const char *what, bool *out)
{
    static const char *const kinds[] = { "isspace", "isalpha", "isdecimal", "isdigit", "isnumeric", "isalnum",
                                         "isupper", "islower", "isascii" };
    size_t k = 0;
    bool any = false, all = true;

    while (k < sizeof kinds / sizeof *kinds && strcmp(kinds[k], what) != 0)
        k++;
    if (k == sizeof kinds / sizeof *kinds)
        return false;
    dk_jbytes(x, s->n);
    for (size_t at = 0; at < s->n;) {
        const int32_t c = dk_utf8_next(s->s, s->n, &at);
        const unsigned class = dk_utf8_class(c);

        if (k == 3 && (class & DK_CLASS_NUMBER) && !dk_utf8_is_decimal(c))
            dk_jfail(x, "isdigit is not supported for this character");
        if (k == 6 || k == 7) {
            any = any || (k == 6 ? dk_utf8_is_upper(c) : dk_utf8_is_lower(c));
            all = all && !(k == 6 ? dk_utf8_is_lower(c) : dk_utf8_is_upper(c));
        } else {
            const bool yes = k == 0 ? dk_utf8_blank(c) : k == 1 ? (class & DK_CLASS_LETTER) != 0
                           : k < 4 ? dk_utf8_is_decimal(c) : k == 4 ? (class & DK_CLASS_NUMBER) != 0
                           : k == 5 ? (class & (DK_CLASS_LETTER | DK_CLASS_NUMBER)) != 0 : c < 0x80;

            any = true;
            all = all && yes;
        }
    }
    *out = all && (any || k == 8);
    return true;
}

/* --- formatting ---------------------------------------------------------------------- */
size_t dk_jchar_at(const dk_jstr *s, size_t chars) { return dk_utf8_prefix(s->s, s->n, chars); }

/* side: -1 text to the left, 1 to the right, 0 centred as str.center does. */
dk_jv dk_jcenter(dk_jx *x, const dk_jstr *s, int64_t width, dk_span fill, int side)
{
    const int64_t n = (int64_t)dk_utf8_count(s->s, s->n), pad = width > n ? width - n : 0;
    const int64_t left = side < 0 ? 0 : side > 0 ? pad : pad / 2 + (pad & width & 1);
    dk_jb b = { .x = x };

    for (int64_t i = 0; i < left; i++)
        dk_jb_add(&b, fill.s, fill.n);
    dk_jb_str(&b, s);
    for (int64_t i = left; i < pad; i++)
        dk_jb_add(&b, fill.s, fill.n);
    return dk_jb_end(&b);
}

typedef struct directive {
    bool left, zero, plus, space, alt;
    int width, precision;
    char kind;
} directive;

static size_t small_number(dk_jx *x, const dk_jstr *s, size_t at, int *out)
{
    *out = 0;
    while (at < s->n && s->s[at] >= '0' && s->s[at] <= '9') {
        *out = *out * 10 + s->s[at++] - '0';
        if (*out > 9999)
            dk_jfail(x, "a width in a format is too large");
    }
    return at;
}

/* Behind the '%' (and the name); returns where the directive ends. */
static size_t directive_at(dk_jx *x, const dk_jstr *s, size_t at, directive *d)
{
    *d = (directive){ .precision = -1 };
    for (; at < s->n && s->s[at] && strchr("-0+ #", s->s[at]); at++) {
        d->left = d->left || s->s[at] == '-';
        d->zero = d->zero || s->s[at] == '0';
        d->plus = d->plus || s->s[at] == '+';
        d->space = d->space || s->s[at] == ' ';
        d->alt = d->alt || s->s[at] == '#';
    }
    at = small_number(x, s, at, &d->width);
    if (at < s->n && s->s[at] == '.')
        at = small_number(x, s, at + 1, &d->precision);
    if (at >= s->n)
        dk_jfail(x, "incomplete format");
    d->kind = s->s[at];
    if (!d->kind || !strchr("diusrxXofFeEgG%", d->kind) || d->alt)
        dk_jfail(x, "unsupported format character '%c'", d->kind);
    return at + 1;
}

static void put_number(dk_jb *b, const directive *d, dk_jv v)
{
    const bool real = strchr("fFeEgG", d->kind) != NULL;
    char fmt[32], out[400];

    if (!dk_jis_number(v))
        dk_jfail(b->x, "%%%c format: a number is required, not %s", d->kind, dk_jtype_name(v));
    if (v.kind == DK_J_FLOAT && strchr("xXo", d->kind))
        dk_jfail(b->x, "%%%c format: an integer is required, not float", d->kind);
    if (d->precision > 100 || d->width > 300 || (real && (dk_jnum(v) > 1e100 || dk_jnum(v) < -1e100)))
        dk_jfail(b->x, "a number is too long to be formatted");
    snprintf(fmt, sizeof fmt, "%%%s%s%s%s*.*%s%c", d->left ? "-" : "", d->zero ? "0" : "", d->plus ? "+" : "",
             d->space ? " " : "", real ? "" : "ll", d->kind == 'u' || d->kind == 'i' ? 'd' : d->kind);
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
    if (real)
        snprintf(out, sizeof out, fmt, d->width, d->precision, dk_jnum(v));
    else
        snprintf(out, sizeof out, fmt, d->width, d->precision,
                 v.kind == DK_J_FLOAT ? (long long)v.f : v.kind == DK_J_INT ? (long long)v.i : (long long)v.b);
#pragma GCC diagnostic pop
    dk_jb_adds(b, out);
}

static void put_directive(dk_jb *b, const directive *d, dk_jv v)
{
    dk_jb one = { .x = b->x };
    dk_jv text;

    if (d->kind != 's' && d->kind != 'r') {
        dk_jno_undef(b->x, v);
        put_number(b, d, v);
        return;
    }
    if (d->kind == 's')
        dk_jb_put(&one, v);
    else
        dk_jb_repr(&one, v);
    text = dk_jb_end(&one);
    if (d->precision >= 0)
        text = dk_jsub(b->x, text.str, 0, dk_jchar_at(text.str, (size_t)d->precision));
    dk_jb_str(b, dk_jcenter(b->x, text.str, d->width, (dk_span){ " ", 1 }, d->left ? -1 : 1).str);
}

static dk_jv named(dk_jx *x, const dk_jargs *a, dk_span name)
{
    for (size_t i = 0; i < a->n_named; i++)
        if (dk_span_same(a->names[i], name))
            return a->named[i];
    dk_jfail(x, "the format has no value for '%.*s'", (int)(name.n < 60 ? name.n : 60), name.s);
}

dk_jv dk_jformat(dk_jx *x, const dk_jstr *s, const dk_jargs *a)
{
    dk_jb b = { .x = x };
    size_t from = 0, used = 0;

    for (size_t at = 0; at < s->n;) {
        dk_span name = {0};
        directive d;

        if (s->s[at] != '%') {
            at++;
            continue;
        }
        dk_jb_sub(&b, s, from, at++);
        if (at < s->n && s->s[at] == '(') {
            const char *end = memchr(s->s + at, ')', s->n - at);

            if (!end)
                dk_jfail(x, "incomplete format key");
            name = (dk_span){ s->s + at + 1, (size_t)(end - s->s) - at - 1 };
            at = (size_t)(end - s->s) + 1;
        }
        from = at = directive_at(x, s, at, &d);
        if (d.kind == '%')
            dk_jb_adds(&b, "%");
        else if (name.s)
            put_directive(&b, &d, named(x, a, name));
        else if (used < a->n)
            put_directive(&b, &d, a->v[used++]);
        else
            dk_jfail(x, "not enough arguments for format string");
    }
    if (used < a->n && a->n_named == 0)
        dk_jfail(x, "not all arguments converted during string formatting");
    dk_jb_sub(&b, s, from, s->n);
    return dk_jb_end(&b);
}

/* One {field} between at and end. */
static void put_field(dk_jb *b, const dk_jstr *s, size_t at, size_t end, size_t *next, const dk_jargs *a)
{
    const size_t from = at;
    dk_jv v;
    int i;

    if (memchr(s->s + at, ':', end - at) || memchr(s->s + at, '.', end - at) ||
        memchr(s->s + at, '[', end - at) || memchr(s->s + at, '!', end - at))
        dk_jfail(b->x, "format: only {}, {0} and {name} are supported");
    at = small_number(b->x, s, at, &i);
    if (at < end) {
        v = named(b->x, a, (dk_span){ s->s + from, end - from });
    } else {
        const size_t k = at > from ? (size_t)i : (*next)++;

        if (k >= a->n)
            dk_jfail(b->x, "Replacement index %zu out of range for positional args tuple", k);
        v = a->v[k];
    }
    dk_jb_put(b, v);
}

dk_jv dk_jstr_format(dk_jx *x, const dk_jstr *s, const dk_jargs *a)
{
    dk_jb b = { .x = x };
    size_t next = 0, from = 0;

    for (size_t at = 0; at < s->n; at++) {
        const char c = s->s[at];
        const char *end = c == '{' ? memchr(s->s + at, '}', s->n - at) : NULL;

        if (c != '{' && c != '}')
            continue;
        if (at + 1 < s->n && s->s[at + 1] == c) {
            dk_jb_sub(&b, s, from, at + 1);
            from = ++at + 1;
            continue;
        }
        if (!end)
            dk_jfail(x, "Single '%c' encountered in format string", c);
        dk_jb_sub(&b, s, from, at);
        put_field(&b, s, at + 1, (size_t)(end - s->s), &next, a);
        at = (size_t)(end - s->s);
        from = at + 1;
    }
    dk_jb_sub(&b, s, from, s->n);
    return dk_jb_end(&b);
}
