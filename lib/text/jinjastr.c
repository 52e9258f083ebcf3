/* The methods of Python's str that templates call. */
#include <string.h>

#include "text/jinjadef.h"
#include "text/utf8.h"

static const char no[] = "";

/* Optional argument; None counts as not given. */
static const dk_jv *given(dk_jx *x, const dk_jargs *a, size_t i, const char *name)
{
    const dk_jv *v = dk_jarg(x, a, i, name);

    return v && v->kind != DK_J_NONE ? v : NULL;
}

static const dk_jstr *needed(dk_jx *x, const dk_jargs *a, size_t i, const char *what)
{
    const dk_jv *v = dk_jarg(x, a, i, no);

    if (!v)
        dk_jfail(x, "%s needs %zu argument%s", what, i + 1, i ? "s" : "");
    return dk_jstr_of(x, *v, what);
}

static int64_t number(dk_jx *x, const dk_jargs *a, size_t i, const char *name, int64_t otherwise)
{
    const dk_jv *v = dk_jarg(x, a, i, name);

    return v ? dk_jwhole(x, *v, name) : otherwise;
}

/* --- stripping ------------------------------------------------------------------- */
static bool among(const dk_jstr *chars, const char *s, size_t n)
{
    for (size_t at = 0; at < chars->n;) {
        const size_t from = at;

        dk_utf8_next(chars->s, chars->n, &at);
        if (at - from == n && memcmp(chars->s + from, s, n) == 0)
            return true;
    }
    return false;
}

dk_jv dk_jstrip(dk_jx *x, const dk_jstr *s, const dk_jstr *chars, bool left, bool right)
{
    size_t from = 0, to = s->n;

    dk_jbytes(x, chars ? chars->n : 0);
    if (!chars) {
        from = left ? dk_utf8_lstrip(s->s, 0, to) : 0;
        to = right ? dk_utf8_rstrip(s->s, from, to) : to;
        return dk_jsub(x, s, from, to);
    }
    while (left && from < to) {
        size_t next = from;

        dk_utf8_next(s->s, to, &next);
        if (!among(chars, s->s + from, next - from))
            break;
        dk_jbytes(x, chars->n);
        from = next;
    }
    while (right && to > from) {
        size_t at = to - 1;

        while (at > from && ((uint8_t)s->s[at] & 0xC0) == 0x80)
            at--;
        if (!among(chars, s->s + at, to - at))
            break;
        dk_jbytes(x, chars->n);
        to = at;
    }
    return dk_jsub(x, s, from, to);
}

static dk_jv strip_by(dk_jx *x, const dk_jstr *s, const dk_jargs *a, bool left, bool right)
{
    const dk_jv *chars = given(x, a, 0, no);

    return dk_jstrip(x, s, chars ? dk_jstr_of(x, *chars, "strip arg") : NULL, left, right);
}

static dk_jv strip(dk_jx *x, const dk_jstr *s, const dk_jargs *a) { return strip_by(x, s, a, true, true); }
static dk_jv lstrip(dk_jx *x, const dk_jstr *s, const dk_jargs *a) { return strip_by(x, s, a, true, false); }
static dk_jv rstrip(dk_jx *x, const dk_jstr *s, const dk_jargs *a) { return strip_by(x, s, a, false, true); }

static dk_jv removeprefix(dk_jx *x, const dk_jstr *s, const dk_jargs *a)
{
    const dk_jstr *p = needed(x, a, 0, "removeprefix");

    return dk_jsub(x, s, p->n <= s->n && memcmp(s->s, p->s, p->n) == 0 ? p->n : 0, s->n);
}

static dk_jv removesuffix(dk_jx *x, const dk_jstr *s, const dk_jargs *a)
{
    const dk_jstr *p = needed(x, a, 0, "removesuffix");

    return dk_jsub(x, s, 0, p->n <= s->n && memcmp(s->s + s->n - p->n, p->s, p->n) == 0 ? s->n - p->n : s->n);
}

/* --- splitting ------------------------------------------------------------------- */
static size_t find_in(dk_jx *x, const dk_jstr *s, size_t from, size_t to, const dk_jstr *what)
{
    const char *p = what->n <= to - from ? memmem(s->s + from, to - from, what->s, what->n) : NULL;

    dk_jbytes(x, (p ? (size_t)(p - s->s) : to) - from);
    return p ? (size_t)(p - s->s) : SIZE_MAX;
}

static size_t rfind_in(dk_jx *x, const dk_jstr *s, size_t from, size_t to, const dk_jstr *what)
{
    if (what->n > to - from)
        return SIZE_MAX;
    if (what->n == 0)
        return to;
    for (size_t at = to - what->n + 1; at-- > from;) {
        if (((uint8_t)s->s[at] & 0xC0) != 0x80 && memcmp(s->s + at, what->s, what->n) == 0)
            return at;
        dk_jbytes(x, what->n);
    }
    return SIZE_MAX;
}

static void reverse(dk_jseq *s)
{
    for (size_t i = 0; i < s->n / 2; i++) {
        const dk_jv v = s->v[i];

        s->v[i] = s->v[s->n - 1 - i];
        s->v[s->n - 1 - i] = v;
    }
}

static size_t word_end(const dk_jstr *s, size_t at)
{
    while (at < s->n) {
        size_t next = at;

        if (dk_utf8_blank(dk_utf8_next(s->s, s->n, &next)))
            break;
        at = next;
    }
    return at;
}

static size_t word_start(const dk_jstr *s, size_t to)
{
    while (to > 0) {
        size_t at = to - 1, next;

        while (at > 0 && ((uint8_t)s->s[at] & 0xC0) == 0x80)
            at--;
        next = at;
        if (dk_utf8_blank(dk_utf8_next(s->s, to, &next)))
            break;
        to = at;
    }
    return to;
}

/* At runs of white space. */
static dk_jv split_words(dk_jx *x, const dk_jstr *s, int64_t most, bool right)
{
    const dk_jv out = dk_jseq_new(x, DK_J_LIST, 0);
    size_t from = dk_utf8_lstrip(s->s, 0, s->n), to = dk_utf8_rstrip(s->s, from, s->n);

    if (!right) {
        for (to = s->n; from < to; most--) {
            const size_t end = most == 0 ? to : word_end(s, from);

            dk_jpush(x, out.seq, dk_jsub(x, s, from, end));
            from = most == 0 ? to : dk_utf8_lstrip(s->s, end, to);
        }
        return out;
    }
    for (from = 0; to > from; most--) {
        const size_t start = most == 0 ? from : word_start(s, to);

        dk_jpush(x, out.seq, dk_jsub(x, s, start, to));
        to = most == 0 ? from : dk_utf8_rstrip(s->s, from, start);
    }
    reverse(out.seq);
    return out;
}

static dk_jv split_by(dk_jx *x, const dk_jstr *s, const dk_jargs *a, bool right)
{
    const dk_jv *by = given(x, a, 0, "sep");
    int64_t most = number(x, a, 1, "maxsplit", -1);
    const dk_jv out = dk_jseq_new(x, DK_J_LIST, 0);
    const dk_jstr *sep = by ? dk_jstr_of(x, *by, "sep") : NULL;
    size_t from = 0, to = s->n, at;

    dk_jbytes(x, s->n);
    if (!sep)
        return split_words(x, s, most, right);
    if (sep->n == 0)
        dk_jfail(x, "empty separator");
    if (right) {
        for (; most != 0 && (at = rfind_in(x, s, 0, to, sep)) != SIZE_MAX; most--) {
            dk_jpush(x, out.seq, dk_jsub(x, s, at + sep->n, to));
            to = at;
        }
        dk_jpush(x, out.seq, dk_jsub(x, s, 0, to));
        reverse(out.seq);
        return out;
    }
    for (; most != 0 && (at = find_in(x, s, from, s->n, sep)) != SIZE_MAX; most--) {
        dk_jpush(x, out.seq, dk_jsub(x, s, from, at));
        from = at + sep->n;
    }
    dk_jpush(x, out.seq, dk_jsub(x, s, from, s->n));
    return out;
}

static dk_jv split(dk_jx *x, const dk_jstr *s, const dk_jargs *a) { return split_by(x, s, a, false); }
static dk_jv rsplit(dk_jx *x, const dk_jstr *s, const dk_jargs *a) { return split_by(x, s, a, true); }

static bool line_end(int32_t c)
{
    return (c >= 0x0A && c <= 0x0D) || (c >= 0x1C && c <= 0x1E) || c == 0x85 || c == 0x2028 || c == 0x2029;
}

static dk_jv splitlines(dk_jx *x, const dk_jstr *s, const dk_jargs *a)
{
    const dk_jv *keep = dk_jarg(x, a, 0, "keepends"), out = dk_jseq_new(x, DK_J_LIST, 0);
    size_t from = 0;

    for (size_t at = 0; at < s->n;) {
        const size_t before = at;
        const int32_t c = dk_utf8_next(s->s, s->n, &at);

        if (!line_end(c))
            continue;
        at += c == '\r' && at < s->n && s->s[at] == '\n';
        dk_jpush(x, out.seq, dk_jsub(x, s, from, keep && dk_jtrue(x, *keep) ? at : before));
        from = at;
    }
    if (from < s->n)
        dk_jpush(x, out.seq, dk_jsub(x, s, from, s->n));
    return out;
}

static dk_jv part_by(dk_jx *x, const dk_jstr *s, const dk_jargs *a, bool right)
{
    const dk_jstr *sep = needed(x, a, 0, "partition");
    const dk_jv out = dk_jseq_new(x, DK_J_TUPLE, 3);
    size_t at;

    if (sep->n == 0)
        dk_jfail(x, "empty separator");
    at = right ? rfind_in(x, s, 0, s->n, sep) : find_in(x, s, 0, s->n, sep);
    if (at == SIZE_MAX)
        at = right ? 0 : s->n;
    else
        right = false, a = NULL;
    dk_jpush(x, out.seq, dk_jsub(x, s, 0, a ? (right ? 0 : s->n) : at));
    dk_jpush(x, out.seq, a ? dk_jlit(x, "") : dk_jsub(x, s, at, at + sep->n));
    dk_jpush(x, out.seq, dk_jsub(x, s, a ? (right ? 0 : s->n) : at + sep->n, s->n));
    return out;
}

static dk_jv partition(dk_jx *x, const dk_jstr *s, const dk_jargs *a) { return part_by(x, s, a, false); }
static dk_jv rpartition(dk_jx *x, const dk_jstr *s, const dk_jargs *a) { return part_by(x, s, a, true); }

static dk_jv join(dk_jx *x, const dk_jstr *s, const dk_jargs *a)
{
    const dk_jv *list = dk_jarg(x, a, 0, no);
    dk_jb b = { .x = x };
    dk_jseq *items;

    if (!list)
        dk_jfail(x, "join needs a list");
    items = dk_jiter(x, *list);
    for (size_t i = 0; i < items->n; i++) {
        if (i)
            dk_jb_str(&b, s);
        if (items->v[i].kind != DK_J_STR)
            dk_jfail(x, "sequence item %zu: expected str instance, %s found", i, dk_jtype_name(items->v[i]));
        dk_jb_str(&b, items->v[i].str);
    }
    return dk_jb_end(&b);
}

/* --- finding ----------------------------------------------------------------------- */

/* Bytes of the arguments start and end, which count characters.  False: start
 * lies behind the end. */
static bool window(dk_jx *x, const dk_jstr *s, const dk_jargs *a, size_t *from, size_t *to)
{
    const int64_t n = (int64_t)dk_utf8_count(s->s, s->n);
    const dk_jv *lo = given(x, a, 1, no), *hi = given(x, a, 2, no);
    int64_t start = lo ? dk_jwhole(x, *lo, "start") : 0, end = hi ? dk_jwhole(x, *hi, "end") : n;

    start = start < 0 ? (start + n < 0 ? 0 : start + n) : start;
    end = end < 0 ? (end + n < 0 ? 0 : end + n) : end > n ? n : end;
    *from = dk_jchar_at(s, (size_t)(start < n ? start : n));
    *to = dk_jchar_at(s, (size_t)end);
    dk_jbytes(x, s->n);
    return start <= end;
}

static dk_jv ends_by(dk_jx *x, const dk_jstr *s, const dk_jargs *a, bool start)
{
    const dk_jv *what = dk_jarg(x, a, 0, no);
    const char *name = start ? "startswith first arg" : "endswith first arg";
    size_t from, to;
    bool yes = false;

    if (!what)
        dk_jfail(x, "%s is missing", name);
    if (!window(x, s, a, &from, &to))
        return dk_jbool(false);
    for (size_t i = 0; i < (what->kind == DK_J_SEQ && what->seq->flavour == DK_J_TUPLE ? what->seq->n : 1); i++) {
        const bool tuple = what->kind == DK_J_SEQ && what->seq->flavour == DK_J_TUPLE;
        const dk_jstr *w = dk_jstr_of(x, tuple ? what->seq->v[i] : *what, name);

        yes = yes || (w->n <= to - from && memcmp(s->s + (start ? from : to - w->n), w->s, w->n) == 0);
    }
    return dk_jbool(yes);
}

static dk_jv startswith(dk_jx *x, const dk_jstr *s, const dk_jargs *a) { return ends_by(x, s, a, true); }
static dk_jv endswith(dk_jx *x, const dk_jstr *s, const dk_jargs *a) { return ends_by(x, s, a, false); }

static dk_jv find_by(dk_jx *x, const dk_jstr *s, const dk_jargs *a, bool right, bool must)
{
    const dk_jstr *what = needed(x, a, 0, "find");
    size_t from, to, at = SIZE_MAX;

    if (window(x, s, a, &from, &to))
        at = right ? rfind_in(x, s, from, to, what) : find_in(x, s, from, to, what);
    if (at == SIZE_MAX && must)
        dk_jfail(x, "substring not found");
    return dk_jint(at == SIZE_MAX ? -1 : (int64_t)dk_utf8_count(s->s, at));
}

static dk_jv find(dk_jx *x, const dk_jstr *s, const dk_jargs *a) { return find_by(x, s, a, false, false); }
static dk_jv rfind(dk_jx *x, const dk_jstr *s, const dk_jargs *a) { return find_by(x, s, a, true, false); }
static dk_jv index_of(dk_jx *x, const dk_jstr *s, const dk_jargs *a) { return find_by(x, s, a, false, true); }
static dk_jv rindex_of(dk_jx *x, const dk_jstr *s, const dk_jargs *a) { return find_by(x, s, a, true, true); }

static dk_jv count(dk_jx *x, const dk_jstr *s, const dk_jargs *a)
{
    const dk_jstr *what = needed(x, a, 0, "count");
    size_t from, to, at;
    int64_t n = 0;

    if (!window(x, s, a, &from, &to))
        return dk_jint(0);
    if (what->n == 0)
        return dk_jint((int64_t)dk_utf8_count(s->s + from, to - from) + 1);
    for (; (at = find_in(x, s, from, to, what)) != SIZE_MAX; from = at + what->n)
        n++;
    return dk_jint(n);
}

dk_jv dk_jreplace(dk_jx *x, const dk_jstr *s, const dk_jstr *old, const dk_jstr *new, int64_t most)
{
    dk_jb b = { .x = x };
    size_t from = 0, at;

    if (old->n > 0) {
        for (; most != 0 && (at = find_in(x, s, from, s->n, old)) != SIZE_MAX; most--) {
            dk_jb_sub(&b, s, from, at);
            dk_jb_str(&b, new);
            from = at + old->n;
        }
        dk_jb_sub(&b, s, from, s->n);
        return dk_jb_end(&b);
    }
    for (; most != 0; most--) {             /* between all characters */
        at = from;
        dk_jb_str(&b, new);
        if (from == s->n)
            return dk_jb_end(&b);
        dk_utf8_next(s->s, s->n, &at);
        dk_jb_sub(&b, s, from, at);
        from = at;
    }
    dk_jb_sub(&b, s, from, s->n);
    return dk_jb_end(&b);
}

static dk_jv replace(dk_jx *x, const dk_jstr *s, const dk_jargs *a)
{
    return dk_jreplace(x, s, needed(x, a, 0, "replace"), needed(x, a, 1, "replace"), number(x, a, 2, "count", -1));
}

/* --- the rest ------------------------------------------------------------------------ */
static dk_jv upper(dk_jx *x, const dk_jstr *s, const dk_jargs *a) { (void)a; return dk_jcase_of(x, s, DK_J_UPPER); }
static dk_jv lower(dk_jx *x, const dk_jstr *s, const dk_jargs *a) { (void)a; return dk_jcase_of(x, s, DK_J_LOWER); }
static dk_jv title(dk_jx *x, const dk_jstr *s, const dk_jargs *a) { (void)a; return dk_jcase_of(x, s, DK_J_TITLE); }
static dk_jv swapcase(dk_jx *x, const dk_jstr *s, const dk_jargs *a) { (void)a; return dk_jcase_of(x, s, DK_J_SWAP); }
static dk_jv capitalize(dk_jx *x, const dk_jstr *s, const dk_jargs *a)
{
    (void)a;
    return dk_jcase_of(x, s, DK_J_CAPITAL);
}

static dk_jv pad_by(dk_jx *x, const dk_jstr *s, const dk_jargs *a, int side)
{
    const dk_jv *width = dk_jarg(x, a, 0, no), *fill = dk_jarg(x, a, 1, no);
    const dk_jstr *with = fill ? dk_jstr_of(x, *fill, "the fill character") : dk_jlit(x, " ").str;

    if (!width)
        dk_jfail(x, "a width is missing");
    if (dk_utf8_count(with->s, with->n) != 1)
        dk_jfail(x, "The fill character must be exactly one character long");
    return dk_jcenter(x, s, dk_jwhole(x, *width, "width"), (dk_span){ with->s, with->n }, side);
}

static dk_jv ljust(dk_jx *x, const dk_jstr *s, const dk_jargs *a) { return pad_by(x, s, a, -1); }
static dk_jv rjust(dk_jx *x, const dk_jstr *s, const dk_jargs *a) { return pad_by(x, s, a, 1); }
static dk_jv center(dk_jx *x, const dk_jstr *s, const dk_jargs *a) { return pad_by(x, s, a, 0); }

static dk_jv zfill(dk_jx *x, const dk_jstr *s, const dk_jargs *a)
{
    const size_t sign = s->n && (s->s[0] == '-' || s->s[0] == '+');
    const int64_t width = number(x, a, 0, no, 0) - (int64_t)sign;
    dk_jb b = { .x = x };

    dk_jb_sub(&b, s, 0, sign);
    dk_jb_str(&b, dk_jcenter(x, dk_jsub(x, s, sign, s->n).str, width, (dk_span){ "0", 1 }, 1).str);
    return dk_jb_end(&b);
}

static const struct method {
    const char *name;
    dk_jv (*call)(dk_jx *, const dk_jstr *, const dk_jargs *);      /* NULL: known to Python only */
} methods[] = {
    { "strip", strip }, { "lstrip", lstrip }, { "rstrip", rstrip }, { "removeprefix", removeprefix },
    { "removesuffix", removesuffix }, { "split", split }, { "rsplit", rsplit }, { "splitlines", splitlines },
    { "partition", partition }, { "rpartition", rpartition }, { "join", join }, { "startswith", startswith },
    { "endswith", endswith }, { "find", find }, { "rfind", rfind }, { "index", index_of },
    { "rindex", rindex_of }, { "count", count }, { "replace", replace }, { "upper", upper }, { "lower", lower },
    { "title", title }, { "swapcase", swapcase }, { "capitalize", capitalize }, { "ljust", ljust },
    { "rjust", rjust }, { "center", center }, { "zfill", zfill }, { "format", dk_jstr_format },
    { "casefold", NULL }, { "encode", NULL }, { "expandtabs", NULL }, { "format_map", NULL },
    { "isidentifier", NULL }, { "isprintable", NULL }, { "istitle", NULL }, { "maketrans", NULL },
    { "translate", NULL }, { "isspace", NULL }, { "isalpha", NULL }, { "isdecimal", NULL }, { "isdigit", NULL },
    { "isnumeric", NULL }, { "isalnum", NULL }, { "isupper", NULL }, { "islower", NULL }, { "isascii", NULL }
};

static const struct method *method(dk_span name)
{
    for (size_t i = 0; i < sizeof methods / sizeof *methods; i++)
        if (dk_span_is(name, methods[i].name))
            return &methods[i];
    return NULL;
}

bool dk_jstr_has(dk_span name) { return method(name) != NULL; }

dk_jv dk_jstr_call(dk_jx *x, dk_jv self, dk_span name, const dk_jargs *a)
{
    const struct method *m = method(name);
    bool yes;

    if (m->call)
        return m->call(x, self.str, a);
    if (a->n == 0 && dk_jstr_is(x, self.str, m->name, &yes))
        return dk_jbool(yes);
    dk_jfail(x, "the method '%s' of texts is not supported", m->name);
}
