/* Filters: what stands behind "|".  Those of lists are in jinjaseq.c. */
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "text/jinjadef.h"
#include "text/utf8.h"

typedef dk_jv filter(dk_jx *x, dk_jv v, const dk_jargs *a);

static const char *const no_names[] = { NULL };

static dk_jv text_case(dk_jx *x, dk_jv v, const dk_jargs *a, const char *what, dk_jcase how)
{
    dk_jargs_check(x, a, what, no_names);
    return dk_jcase_of(x, dk_jtext(x, v), how);
}

static dk_jv upper(dk_jx *x, dk_jv v, const dk_jargs *a) { return text_case(x, v, a, "upper", DK_J_UPPER); }
static dk_jv lower(dk_jx *x, dk_jv v, const dk_jargs *a) { return text_case(x, v, a, "lower", DK_J_LOWER); }
static dk_jv capitalize(dk_jx *x, dk_jv v, const dk_jargs *a)
{
    return text_case(x, v, a, "capitalize", DK_J_CAPITAL);
}

static dk_jv title(dk_jx *x, dk_jv v, const dk_jargs *a)
{
    dk_jargs_check(x, a, "title", no_names);
    return dk_jtitle_words(x, dk_jtext(x, v));
}

static dk_jv trim(dk_jx *x, dk_jv v, const dk_jargs *a)
{
    static const char *const names[] = { "chars", NULL };
    const dk_jv *chars = dk_jarg(x, a, 0, "chars");

    dk_jargs_check(x, a, "trim", names);
    return dk_jstrip(x, dk_jtext(x, v), chars && chars->kind != DK_J_NONE ? dk_jstr_of(x, *chars, "strip arg") : NULL,
                     true, true);
}

static dk_jv replace(dk_jx *x, dk_jv v, const dk_jargs *a)
{
    static const char *const names[] = { "old", "new", "count", NULL };
    const dk_jv *old = dk_jarg(x, a, 0, "old"), *new = dk_jarg(x, a, 1, "new"), *n = dk_jarg(x, a, 2, "count");

    dk_jargs_check(x, a, "replace", names);
    if (!old || !new)
        dk_jfail(x, "replace needs two texts");
    return dk_jreplace(x, dk_jtext(x, v), dk_jtext(x, *old), dk_jtext(x, *new),
                       n && n->kind != DK_J_NONE ? dk_jwhole(x, *n, "count") : -1);
}

static dk_jv string(dk_jx *x, dk_jv v, const dk_jargs *a)
{
    dk_jargs_check(x, a, "string", no_names);
    return (dk_jv){ .kind = DK_J_STR, .str = dk_jtext(x, v) };
}

static dk_jv safe(dk_jx *x, dk_jv v, const dk_jargs *a)
{
    dk_jstr *s = dk_jget(x, sizeof *s);

    dk_jargs_check(x, a, "safe", no_names);
    *s = *dk_jtext(x, v);
    s->markup = true;
    return (dk_jv){ .kind = DK_J_STR, .str = s };
}

static dk_jv escape(dk_jx *x, dk_jv v, const dk_jargs *a)
{
    const dk_jstr *s = dk_jtext(x, v);
    dk_jb b = { .x = x };
    dk_jv none = dk_jb_end(&b);

    dk_jargs_check(x, a, "escape", no_names);
    if (s->markup)
        return v;
    for (size_t i = 0; i < s->n; i++) {
        static const char from[] = "&<>'\"", *const to[] = { "&amp;", "&lt;", "&gt;", "&#39;", "&#34;" };
        const char *p = s->s[i] ? strchr(from, s->s[i]) : NULL;

        if (p)
            dk_jb_adds(&b, to[p - from]);
        else
            dk_jb_sub(&b, s, i, i + 1);
    }
    none = dk_jb_end(&b);
    return safe(x, none, a);
}

static dk_jv length(dk_jx *x, dk_jv v, const dk_jargs *a)
{
    size_t n;

    dk_jargs_check(x, a, "length", no_names);
    if (!dk_jlength(v, &n))
        dk_jfail(x, "object of type '%s' has no len()", dk_jtype_name(v));
    if (v.kind == DK_J_STR)
        dk_jbytes(x, v.str->n);
    return dk_jint((int64_t)n);
}

static dk_jv otherwise(dk_jx *x, dk_jv v, const dk_jargs *a)
{
    static const char *const names[] = { "default_value", "boolean", NULL };
    const dk_jv *d = dk_jarg(x, a, 0, "default_value"), *boolean = dk_jarg(x, a, 1, "boolean");

    dk_jargs_check(x, a, "default", names);
    if (v.kind != DK_J_UNDEF && !(boolean && dk_jtrue(x, *boolean) && !dk_jtrue(x, v)))
        return v;
    return d ? *d : dk_jlit(x, "");
}

static dk_jv tojson(dk_jx *x, dk_jv v, const dk_jargs *a)
{
    static const char *const names[] = { "ensure_ascii", "indent", "separators", "sort_keys", NULL };
    const dk_jv *ascii = dk_jarg(x, a, 0, "ensure_ascii"), *indent = dk_jarg(x, a, 1, "indent");
    const dk_jv *parts = dk_jarg(x, a, 2, "separators"), *sorted = dk_jarg(x, a, 3, "sort_keys");
    dk_jjson how = { .ascii = ascii && dk_jtrue(x, *ascii), .sorted = sorted && dk_jtrue(x, *sorted),
                     .pretty = indent && indent->kind != DK_J_NONE };
    dk_jb b = { .x = x };

    dk_jargs_check(x, a, "tojson", names);
    how.comma = how.pretty ? (dk_span){ ",", 1 } : (dk_span){ ", ", 2 };
    how.colon = (dk_span){ ": ", 2 };
    if (how.pretty && indent->kind == DK_J_STR) {
        how.indent = (dk_span){ indent->str->s, indent->str->n };
    } else if (how.pretty) {
        const int64_t n = dk_jwhole(x, *indent, "indent");
        const dk_jstr *blank = dk_jbin(x, '*', dk_jlit(x, " "), dk_jint(n)).str;

        how.indent = (dk_span){ blank->s, blank->n };
    }
    if (parts && parts->kind != DK_J_NONE) {
        const dk_jseq *s = dk_jiter(x, *parts);
        const dk_jstr *comma, *colon;

        if (s->n != 2)
            dk_jfail(x, "tojson: separators are two texts");
        comma = dk_jstr_of(x, s->v[0], "separator");
        colon = dk_jstr_of(x, s->v[1], "separator");
        how.comma = (dk_span){ comma->s, comma->n };
        how.colon = (dk_span){ colon->s, colon->n };
    }
    dk_jb_json(&b, v, &how, 0);
    return dk_jb_end(&b);
}

static dk_jv indent(dk_jx *x, dk_jv v, const dk_jargs *a)
{
    static const char *const names[] = { "width", "first", "blank", NULL };
    const dk_jv *width = dk_jarg(x, a, 0, "width"), *f = dk_jarg(x, a, 1, "first"), *e = dk_jarg(x, a, 2, "blank");
    const dk_jstr *s = dk_jstr_of(x, v, "what is indented"), *by;
    const bool first = f && dk_jtrue(x, *f), blank = e && dk_jtrue(x, *e);
    const dk_jargs none = {0};
    dk_jv lines;
    dk_jb b = { .x = x }, text = { .x = x };

    dk_jargs_check(x, a, "indent", names);
    by = width && width->kind == DK_J_STR ? width->str
         : dk_jbin(x, '*', dk_jlit(x, " "), dk_jint(width ? dk_jwhole(x, *width, "indent") : 4)).str;
    dk_jb_str(&text, s);
    dk_jb_adds(&text, "\n");
    lines = dk_jstr_call(x, dk_jb_end(&text), (dk_span){ "splitlines", 10 }, &none);
    for (size_t i = 0; i < lines.seq->n; i++) {
        const dk_jstr *line = lines.seq->v[i].str;

        if (i)
            dk_jb_adds(&b, "\n");
        if (i == 0 ? first : blank || line->n > 0)
            dk_jb_str(&b, by);
        dk_jb_str(&b, line);
    }
    return dk_jb_end(&b);
}

/* --- numbers --------------------------------------------------------------------------------- */

/* Python's float(): false for what is no number. */
static bool read_float(dk_jx *x, const dk_jstr *s, double *out)
{
    const size_t from = dk_utf8_lstrip(s->s, 0, s->n), to = dk_utf8_rstrip(s->s, from, s->n);
    char *copy = dk_jget(x, to - from + 1), *end, *p = copy;

    for (size_t i = from; i < to; i++) {
        if (s->s[i] == '_') {
            if (i == from || i + 1 == to || s->s[i - 1] < '0' || s->s[i - 1] > '9' || s->s[i + 1] < '0' || s->s[i + 1] > '9')
                return false;
            continue;
        }
        *p++ = s->s[i];
    }
    if (p == copy || memchr(copy, 0, (size_t)(p - copy)) || memchr(copy, 'x', (size_t)(p - copy)) ||
        memchr(copy, 'X', (size_t)(p - copy)) || memchr(copy, '(', (size_t)(p - copy)))
        return false;
    *out = strtod(copy, &end);
    return *end == 0;
}

static bool read_int(dk_jx *x, const dk_jstr *s, int base, int64_t *out)
{
    size_t from = dk_utf8_lstrip(s->s, 0, s->n);
    const size_t to = dk_utf8_rstrip(s->s, from, s->n);
    char *copy = dk_jget(x, to - from + 1), *end, *p = copy;

    for (size_t i = from; i < to; i++) {
        if (s->s[i] == '_' && (i == from || i + 1 == to || s->s[i - 1] == '_'))
            return false;
        if (s->s[i] != '_')
            *p++ = s->s[i];
    }
    p = copy + (*copy == '-' || *copy == '+');
    if (p[0] == '0' && ((base == 2 && (p[1] | 32) == 'b') || (base == 8 && (p[1] | 32) == 'o')))
        memmove(p, p + 2, strlen(p + 2) + 1);
    if (*p == 0 || *p == '-' || *p == '+' || (base == 0 && *p == '0'))
        return false;
    errno = 0;
    *out = strtoll(copy, &end, base);
    if (errno == ERANGE)
        dk_jfail(x, "a number is too large");
    return *end == 0;
}

static dk_jv whole_of(dk_jx *x, double f, dk_jv otherwise_value)
{
    if (isnan(f) || isinf(f))
        return otherwise_value;
    if (fabs(f) >= 9.2e18)
        dk_jfail(x, "a number is too large");
    return dk_jint((int64_t)f);
}

static dk_jv to_int(dk_jx *x, dk_jv v, const dk_jargs *a)
{
    static const char *const names[] = { "default", "base", NULL };
    const dk_jv *d = dk_jarg(x, a, 0, "default"), *base = dk_jarg(x, a, 1, "base");
    const dk_jv none = d ? *d : dk_jint(0);
    const int64_t b = base ? dk_jwhole(x, *base, "base") : 10;
    int64_t i;
    double f;

    dk_jargs_check(x, a, "int", names);
    dk_jno_undef(x, v);
    if (b != 0 && (b < 2 || b > 36))
        dk_jfail(x, "int() base must be >= 2 and <= 36, or 0");
    if (v.kind == DK_J_STR && read_int(x, v.str, (int)b, &i))
        return dk_jint(i);
    if (v.kind == DK_J_STR)
        return read_float(x, v.str, &f) ? whole_of(x, f, none) : none;
    if (v.kind == DK_J_FLOAT && isinf(v.f))
        dk_jfail(x, "cannot convert float infinity to integer");
    if (v.kind == DK_J_FLOAT)
        return whole_of(x, v.f, none);
    return v.kind == DK_J_INT ? v : v.kind == DK_J_BOOL ? dk_jint(v.b) : none;
}

static dk_jv to_float(dk_jx *x, dk_jv v, const dk_jargs *a)
{
    static const char *const names[] = { "default", NULL };
    const dk_jv *d = dk_jarg(x, a, 0, "default");
    double f;

    dk_jargs_check(x, a, "float", names);
    dk_jno_undef(x, v);
    if (dk_jis_number(v))
        return dk_jfloat(dk_jnum(v));
    if (v.kind == DK_J_STR && read_float(x, v.str, &f))
        return dk_jfloat(f);
    return d ? *d : dk_jfloat(0);
}

static dk_jv absolute(dk_jx *x, dk_jv v, const dk_jargs *a)
{
    dk_jargs_check(x, a, "abs", no_names);
    dk_jno_undef(x, v);
    if (!dk_jis_number(v))
        dk_jfail(x, "bad operand type for abs(): '%s'", dk_jtype_name(v));
    if (v.kind == DK_J_FLOAT)
        return dk_jfloat(fabs(v.f));
    if (v.kind == DK_J_INT && v.i == INT64_MIN)
        dk_jfail(x, "a number is too large");
    return dk_jint(v.kind == DK_J_BOOL ? v.b : v.i < 0 ? -v.i : v.i);
}

/* Python rounds the decimal value, half to even: so does printf. */
static double round_to(dk_jx *x, double f, int64_t digits)
{
    char text[400];

    if (digits > 30 || digits < -30 || fabs(f) > 1e300)
        dk_jfail(x, "round: the number or the precision is too large");
    if (digits >= 0) {
        snprintf(text, sizeof text, "%.*f", (int)digits, f);
        return strtod(text, NULL);
    }
    return nearbyint(f / pow(10, (double)-digits)) * pow(10, (double)-digits);
}

static dk_jv rounded(dk_jx *x, dk_jv v, const dk_jargs *a)
{
    static const char *const names[] = { "precision", "method", NULL };
    const dk_jv *p = dk_jarg(x, a, 0, "precision"), *m = dk_jarg(x, a, 1, "method");
    const int64_t digits = p ? dk_jwhole(x, *p, "precision") : 0;
    const dk_jstr *method = m ? dk_jstr_of(x, *m, "method") : dk_jlit(x, "common").str;
    const dk_span how = { method->s, method->n };
    double scale;

    dk_jargs_check(x, a, "round", names);
    dk_jno_undef(x, v);
    if (!dk_jis_number(v))
        dk_jfail(x, "type %s doesn't define __round__ method", dk_jtype_name(v));
    if (dk_span_is(how, "common") && v.kind != DK_J_FLOAT && digits >= 0)
        return v.kind == DK_J_BOOL ? dk_jint(v.b) : v;
    if (dk_span_is(how, "common")) {
        const double f = round_to(x, dk_jnum(v), digits);

        return v.kind == DK_J_FLOAT ? dk_jfloat(f) : dk_jint((int64_t)f);
    }
    if (!dk_span_is(how, "ceil") && !dk_span_is(how, "floor"))
        dk_jfail(x, "method must be common, ceil or floor");
    if (digits > 30 || digits < -30)
        dk_jfail(x, "round: the precision is too large");
    scale = pow(10, (double)digits);
    return dk_jfloat((dk_span_is(how, "ceil") ? ceil(dk_jnum(v) * scale) : floor(dk_jnum(v) * scale)) / scale);
}

/* --- the rest --------------------------------------------------------------------------------- */
static dk_jv attr(dk_jx *x, dk_jv v, const dk_jargs *a)
{
    const dk_jstr *s;

    if (a->n != 1 || a->n_named)
        dk_jfail(x, "attr needs a name");
    s = dk_jstr_of(x, a->v[0], "the name");
    if (v.kind == DK_J_DICT) {      /* attributes only, no items */
        const dk_jv bare = dk_jdict_new(x);

        return dk_jattr(x, bare, (dk_span){ s->s, s->n }).kind == DK_J_UNDEF
               ? dk_jundef(x, (dk_span){ s->s, s->n }, "dict object", false) : dk_jattr(x, v, (dk_span){ s->s, s->n });
    }
    return dk_jattr(x, v, (dk_span){ s->s, s->n });
}

static dk_jv format(dk_jx *x, dk_jv v, const dk_jargs *a)
{
    if (a->n && a->n_named)
        dk_jfail(x, "can't handle positional and keyword arguments at the same time");
    return dk_jformat(x, dk_jtext(x, v), a);
}

static dk_jv center(dk_jx *x, dk_jv v, const dk_jargs *a)
{
    static const char *const names[] = { "width", NULL };
    const dk_jv *width = dk_jarg(x, a, 0, "width");

    dk_jargs_check(x, a, "center", names);
    return dk_jcenter(x, dk_jtext(x, v), width ? dk_jwhole(x, *width, "width") : 80, (dk_span){ " ", 1 }, 0);
}

static dk_jv wordcount(dk_jx *x, dk_jv v, const dk_jargs *a)
{
    const dk_jstr *s = dk_jtext(x, v);
    bool within = false;
    int64_t n = 0;

    dk_jargs_check(x, a, "wordcount", no_names);
    dk_jbytes(x, s->n);
    for (size_t at = 0; at < s->n;) {
        const int32_t c = dk_utf8_next(s->s, s->n, &at);
        const bool word = c == '_' || (dk_utf8_class(c) & (DK_CLASS_LETTER | DK_CLASS_NUMBER));

        n += word && !within;
        within = word;
    }
    return dk_jint(n);
}

static dk_jv truncate_text(dk_jx *x, dk_jv v, const dk_jargs *a)
{
    static const char *const names[] = { "length", "killwords", "end", "leeway", NULL };
    const dk_jv *most = dk_jarg(x, a, 0, "length"), *kill = dk_jarg(x, a, 1, "killwords");
    const dk_jv *with = dk_jarg(x, a, 2, "end"), *slack = dk_jarg(x, a, 3, "leeway");
    const dk_jstr *s = dk_jstr_of(x, v, "what is truncated"), *end = with ? dk_jstr_of(x, *with, "end") : dk_jlit(x, "...").str;
    const int64_t limit = most ? dk_jwhole(x, *most, "length") : 255;
    const int64_t leeway = slack && slack->kind != DK_J_NONE ? dk_jwhole(x, *slack, "leeway") : 5;
    const int64_t tail = (int64_t)dk_utf8_count(end->s, end->n);
    size_t cut, space;
    dk_jb b = { .x = x };

    dk_jargs_check(x, a, "truncate", names);
    if (limit < tail || leeway < 0)
        dk_jfail(x, "truncate: the length is below that of the end, or the leeway is negative");
    if ((int64_t)dk_utf8_count(s->s, s->n) <= limit + leeway)
        return v;
    cut = space = dk_jchar_at(s, (size_t)(limit - tail));
    while (space > 0 && s->s[space - 1] != ' ')
        space--;
    if (!(kill && dk_jtrue(x, *kill)) && space > 0)
        cut = space - 1;
    dk_jb_sub(&b, s, 0, cut);
    dk_jb_str(&b, end);
    return dk_jb_end(&b);
}

static const struct { const char *name; filter *call; } filters[] = {
    { "upper", upper }, { "lower", lower }, { "capitalize", capitalize }, { "title", title }, { "trim", trim },
    { "replace", replace }, { "string", string }, { "safe", safe }, { "escape", escape }, { "e", escape },
    { "length", length }, { "count", length }, { "default", otherwise }, { "d", otherwise }, { "tojson", tojson },
    { "indent", indent }, { "int", to_int }, { "float", to_float }, { "abs", absolute }, { "round", rounded },
    { "attr", attr }, { "format", format }, { "center", center }, { "wordcount", wordcount },
    { "truncate", truncate_text }
};

bool dk_jfilter_known(dk_span name)
{
    for (size_t i = 0; i < sizeof filters / sizeof *filters; i++)
        if (dk_span_is(name, filters[i].name))
            return true;
    return dk_jseq_filter_known(name);
}

dk_jv dk_jfilter(dk_jx *x, dk_span name, dk_jv v, const dk_jargs *a)
{
    dk_jv out;

    dk_jwork(x, 1);
    for (size_t i = 0; i < sizeof filters / sizeof *filters; i++)
        if (dk_span_is(name, filters[i].name))
            return filters[i].call(x, v, a);
    if (!dk_jseq_filter(x, name, v, a, &out))
        dk_jfail(x, "the filter '%.*s' is not supported", (int)(name.n < 60 ? name.n : 60), name.s);
    return out;
}
