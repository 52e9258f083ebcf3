/* Text from values: building it with its marks, str, repr, JSON. */
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "text/jinjadef.h"
#include "text/utf8.h"

/* --- building ------------------------------------------------------------------- */
static void *grow(dk_jx *x, void *p, size_t n, size_t more)
{
    void *new = dk_arena_grow(&x->arena, p, n, more);

    if (!new)
        dk_jfail(x, "it needs more than %zu MiB of memory", x->arena.limit >> 20);
    return new;
}

void dk_jb_add(dk_jb *b, const char *s, size_t n)
{
    dk_jbytes(b->x, n);
    if (n > b->cap - b->n) {
        const size_t cap = b->n + n < 2 * b->cap ? 2 * b->cap : b->n + n < 16 ? 16 : b->n + n;

        b->s = grow(b->x, b->s, b->cap, cap);
        b->cap = cap;
    }
    if (n)
        memcpy(b->s + b->n, s, n);
    b->n += n;
}

void dk_jb_adds(dk_jb *b, const char *s) { dk_jb_add(b, s, strlen(s)); }

void dk_jb_addf(dk_jb *b, const char *fmt, ...)
{
    char text[256];
    va_list ap;
    int n;

    va_start(ap, fmt);
    n = vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    dk_jb_add(b, text, (size_t)n < sizeof text ? (size_t)n : sizeof text - 1);
}

static void mark(dk_jb *b, size_t from, size_t to, uint32_t which)
{
    if (b->n_marks && b->marks[b->n_marks - 1].to == from && b->marks[b->n_marks - 1].mark == which) {
        b->marks[b->n_marks - 1].to = to;
        return;
    }
    if (b->n_marks == b->cap_marks) {
        const size_t cap = b->cap_marks ? 2 * b->cap_marks : 4;

        b->marks = grow(b->x, b->marks, b->cap_marks * sizeof *b->marks, cap * sizeof *b->marks);
        b->cap_marks = cap;
    }
    b->marks[b->n_marks++] = (dk_jinja_place){ from, to, which };
}

void dk_jb_sub(dk_jb *b, const dk_jstr *s, size_t from, size_t to)
{
    const size_t base = b->n;

    for (size_t i = 0; i < s->n_marks; i++) {
        const dk_jinja_place m = s->marks[i];
        const size_t lo = m.from > from ? m.from : from, hi = m.to < to ? m.to : to;

        if (lo < hi)
            mark(b, base + lo - from, base + hi - from, m.mark);
    }
    dk_jwork(b->x, s->n_marks);
    dk_jb_add(b, s->s + from, to - from);
}

void dk_jb_str(dk_jb *b, const dk_jstr *s) { dk_jb_sub(b, s, 0, s->n); }

dk_jv dk_jb_end(dk_jb *b)
{
    dk_jstr *s = dk_jget(b->x, sizeof *s);

    *s = (dk_jstr){ .s = b->s ? b->s : "", .n = b->n, .n_marks = b->n_marks, .marks = b->marks };
    return (dk_jv){ .kind = DK_J_STR, .str = s };
}

void dk_jb_cp(dk_jb *b, int32_t cp)
{
    char s[4];
    size_t n = 0;

    if (cp < 0x80)
        s[n++] = (char)cp;
    else if (cp < 0x800)
        s[n++] = (char)(0xC0 | cp >> 6);
    else if (cp < 0x10000)
        s[n++] = (char)(0xE0 | cp >> 12);
    else
        s[n++] = (char)(0xF0 | cp >> 18);
    for (int shift = cp < 0x80 ? -6 : cp < 0x800 ? 0 : cp < 0x10000 ? 6 : 12; shift >= 0; shift -= 6)
        s[n++] = (char)(0x80 | (cp >> shift & 0x3F));
    dk_jb_add(b, s, n);
}

/* --- str and repr -------------------------------------------------------------------- */

/* The shortest digits that read back, placed as Python places them. */
void dk_jfloat_text(double f, char out[40])
{
    char digits[40], *e;
    int exp, prec = 1;

    if (isnan(f) || isinf(f)) {
        snprintf(out, 40, isnan(f) ? "nan" : f < 0 ? "-inf" : "inf");
        return;
    }
    do
        snprintf(digits, sizeof digits, "%.*e", prec - 1, f);
    while (strtod(digits, NULL) != f && prec++ < 17);
    e = strchr(digits, 'e');
    exp = (int)strtol(e + 1, NULL, 10);
    if (exp < -4 || exp >= 16) {
        snprintf(out, 40, "%.*s%se%c%02d", (int)(e - digits), digits, "", exp < 0 ? '-' : '+', abs(exp));
        return;
    }
    snprintf(out, 40, "%.*f", prec - 1 - exp > 0 ? prec - 1 - exp : 1, f);
}

static void repr_text(dk_jb *b, const dk_jstr *s)
{
    const bool quotes = memchr(s->s, '\'', s->n) && !memchr(s->s, '"', s->n);
    const char q = quotes ? '"' : '\'';

    dk_jb_add(b, &q, 1);
    for (size_t at = 0; at < s->n;) {
        const size_t from = at;
        const int32_t c = dk_utf8_next(s->s, s->n, &at);

        if (c == '\n' || c == '\r' || c == '\t')
            dk_jb_adds(b, c == '\n' ? "\\n" : c == '\r' ? "\\r" : "\\t");
        else if (c == '\\' || c == q)
            dk_jb_addf(b, "\\%c", (char)c);
        else if (dk_utf8_printable(c))
            dk_jb_sub(b, s, from, at);
        else
            dk_jb_addf(b, c < 0x100 ? "\\x%02x" : c < 0x10000 ? "\\u%04x" : "\\U%08x", (unsigned)c);
    }
    dk_jb_add(b, &q, 1);
}

static void repr_seq(dk_jb *b, const dk_jseq *s)
{
    static const char *const open[] = { "[", "(", "", "dict_keys([", "dict_values([", "dict_items([" };
    static const char *const close[] = { "]", ")", "", "])", "])", "])" };

    if (s->flavour == DK_J_GENERATOR)
        dk_jfail(b->x, "a generator has no text: make it a list with |list");
    if (s->flavour == DK_J_RANGE) {
        const int64_t step = s->n > 1 ? s->v[1].i - s->v[0].i : 1;

        if (s->n == 0 || step != 1)
            dk_jfail(b->x, "the text of this range is not supported: make it a list with |list");
        dk_jb_addf(b, "range(%lld, %lld)", (long long)s->v[0].i, (long long)s->v[s->n - 1].i + 1);
        return;
    }
    dk_jb_adds(b, open[s->flavour]);
    for (size_t i = 0; i < s->n; i++) {
        dk_jb_adds(b, i ? ", " : "");
        dk_jb_repr(b, s->v[i]);
    }
    if (s->flavour == DK_J_TUPLE && s->n == 1)
        dk_jb_adds(b, ",");
    dk_jb_adds(b, close[s->flavour]);
}

static void repr_dict(dk_jb *b, const dk_jdict *d)
{
    dk_jb_adds(b, "{");
    for (size_t i = 0; i < d->n; i++) {
        dk_jb_adds(b, i ? ", " : "");
        dk_jb_repr(b, d->pair[i].key);
        dk_jb_adds(b, ": ");
        dk_jb_repr(b, d->pair[i].value);
    }
    dk_jb_adds(b, "}");
}

void dk_jb_repr(dk_jb *b, dk_jv v)
{
    char num[40];

    dk_jenter(b->x);
    switch (v.kind) {
    case DK_J_UNDEF: dk_jb_adds(b, "Undefined"); break;
    case DK_J_NONE: dk_jb_adds(b, "None"); break;
    case DK_J_BOOL: dk_jb_adds(b, v.b ? "True" : "False"); break;
    case DK_J_INT: dk_jb_addf(b, "%lld", (long long)v.i); break;
    case DK_J_FLOAT: dk_jfloat_text(v.f, num); dk_jb_adds(b, num); break;
    case DK_J_STR: repr_text(b, v.str); break;
    case DK_J_SEQ: repr_seq(b, v.seq); break;
    case DK_J_DICT: repr_dict(b, v.dict); break;
    case DK_J_SPACE: dk_jb_adds(b, "<Namespace "); repr_dict(b, v.dict); dk_jb_adds(b, ">"); break;
    case DK_J_MACRO: dk_jb_adds(b, "<Macro '"); dk_jb_add(b, v.macro->name.s, v.macro->name.n); dk_jb_adds(b, "'>"); break;
    case DK_J_LOOP: dk_jb_addf(b, "<LoopContext %zu/%zu>", v.loop->at + 1, v.loop->items->n); break;
    default: dk_jfail(b->x, "a function has no text");
    }
    dk_jleave(b->x);
}

void dk_jb_put(dk_jb *b, dk_jv v)
{
    if (v.kind == DK_J_STR)
        dk_jb_str(b, v.str);
    else if (v.kind != DK_J_UNDEF)
        dk_jb_repr(b, v);
}

const dk_jstr *dk_jtext(dk_jx *x, dk_jv v)
{
    dk_jb b = { .x = x };

    if (v.kind == DK_J_STR)
        return v.str;
    dk_jb_put(&b, v);
    return dk_jb_end(&b).str;
}

/* --- JSON ------------------------------------------------------------------------------- */
static void json_text(dk_jb *b, const dk_jstr *s, bool ascii)
{
    dk_jb_adds(b, "\"");
    for (size_t at = 0; at < s->n;) {
        static const char from[] = "\"\\\n\r\t\f\b", to[] = "\"\\nrtfb";
        const size_t start = at;
        const int32_t c = dk_utf8_next(s->s, s->n, &at);
        const char *p = c > 0 && c < 0x80 ? strchr(from, c) : NULL;

        if (p)
            dk_jb_addf(b, "\\%c", to[p - from]);
        else if (c < 0x20 || (ascii && c > 0x7E && c < 0x10000 && c != 0x7F))
            dk_jb_addf(b, "\\u%04x", (unsigned)c);
        else if (ascii && c >= 0x10000)
            dk_jb_addf(b, "\\u%04x\\u%04x", 0xD800u + ((unsigned)(c - 0x10000) >> 10),
                       0xDC00u + ((unsigned)(c - 0x10000) & 0x3FF));
        else
            dk_jb_sub(b, s, start, at);
    }
    dk_jb_adds(b, "\"");
}

static void json_line(dk_jb *b, const dk_jjson *how, size_t level)
{
    if (!how->pretty)
        return;
    dk_jb_adds(b, "\n");
    for (size_t i = 0; i < level; i++)
        dk_jb_add(b, how->indent.s, how->indent.n);
}

static void json_float(dk_jb *b, double f)
{
    char num[40];

    dk_jfloat_text(f, num);
    dk_jb_adds(b, isnan(f) ? "NaN" : isinf(f) ? (f < 0 ? "-Infinity" : "Infinity") : num);
}

static void json_key(dk_jb *b, dk_jv key, bool ascii)
{
    dk_jjson plain = { .ascii = ascii };

    if (key.kind == DK_J_STR) {
        json_text(b, key.str, ascii);
        return;
    }
    if (key.kind != DK_J_NONE && !dk_jis_number(key))
        dk_jfail(b->x, "keys must be str, int, float, bool or None, not %s", dk_jtype_name(key));
    dk_jb_adds(b, "\"");
    dk_jb_json(b, key, &plain, 0);
    dk_jb_adds(b, "\"");
}

static int by_key(const dk_jdict *d, size_t i, size_t j, dk_jx *x)
{
    return dk_jorder(x, d->pair[i].key, d->pair[j].key, "<");
}

static void json_dict(dk_jb *b, const dk_jdict *d, const dk_jjson *how, size_t level)
{
    size_t *order = d->n ? dk_jget(b->x, d->n * sizeof *order) : NULL;

    for (size_t i = 0; i < d->n; i++) {
        size_t k = i;

        for (; how->sorted && k > 0 && by_key(d, i, order[k - 1], b->x) < 0; k--)
            order[k] = order[k - 1];
        order[k] = i;
    }
    dk_jb_adds(b, "{");
    for (size_t i = 0; i < d->n; i++) {
        if (i)
            dk_jb_add(b, how->comma.s, how->comma.n);
        json_line(b, how, level + 1);
        json_key(b, d->pair[order[i]].key, how->ascii);
        dk_jb_add(b, how->colon.s, how->colon.n);
        dk_jb_json(b, d->pair[order[i]].value, how, level + 1);
    }
    if (d->n)
        json_line(b, how, level);
    dk_jb_adds(b, "}");
}

static void json_list(dk_jb *b, const dk_jseq *s, const dk_jjson *how, size_t level)
{
    dk_jb_adds(b, "[");
    for (size_t i = 0; i < s->n; i++) {
        if (i)
            dk_jb_add(b, how->comma.s, how->comma.n);
        json_line(b, how, level + 1);
        dk_jb_json(b, s->v[i], how, level + 1);
    }
    if (s->n)
        json_line(b, how, level);
    dk_jb_adds(b, "]");
}

void dk_jb_json(dk_jb *b, dk_jv v, const dk_jjson *how, size_t level)
{
    dk_jenter(b->x);
    if (v.kind == DK_J_STR)
        json_text(b, v.str, how->ascii);
    else if (v.kind == DK_J_NONE)
        dk_jb_adds(b, "null");
    else if (v.kind == DK_J_BOOL)
        dk_jb_adds(b, v.b ? "true" : "false");
    else if (v.kind == DK_J_INT)
        dk_jb_addf(b, "%lld", (long long)v.i);
    else if (v.kind == DK_J_FLOAT)
        json_float(b, v.f);
    else if (v.kind == DK_J_DICT)
        json_dict(b, v.dict, how, level);
    else if (v.kind == DK_J_SEQ && v.seq->flavour <= DK_J_TUPLE)
        json_list(b, v.seq, how, level);
    else
        dk_jfail(b->x, "Object of type %s is not JSON serializable", dk_jtype_name(v));
    dk_jleave(b->x);
}
