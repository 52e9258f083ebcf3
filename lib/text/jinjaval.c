/* Values: making, comparing, going through. */
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "text/jinjadef.h"
#include "text/utf8.h"

/* --- the context ---------------------------------------------------------------- */
void dk_jfail(dk_jx *x, const char *fmt, ...)
{
    char text[900];
    va_list ap;
    int n;

    va_start(ap, fmt);
    n = vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    if (n >= (int)sizeof text)          /* cut within a character */
        text[dk_utf8_valid(text, sizeof text - 1)] = 0;
    for (char *p = text; *p; p++)       /* a template's words may hold line ends; a message is one line */
        *p = (unsigned char)*p < ' ' || *p == 0x7F ? ' ' : *p;
    dk_fail(x->err, DK_EDATA, "%s, line %u: %s", x->name, x->line, text);
    longjmp(x->jump, 1);
}

void *dk_jget(dk_jx *x, size_t n)
{
    void *p = dk_arena_get(&x->arena, n);

    if (!p)
        dk_jfail(x, "it needs more than %zu MiB of memory", x->arena.limit >> 20);
    return p;
}

void dk_jwork(dk_jx *x, uint64_t steps)
{
    x->work += steps;
    if (x->work > x->work_limit)
        dk_jfail(x, "it does not end within %llu steps", (unsigned long long)x->work_limit);
}

void dk_jenter(dk_jx *x)
{
    if (++x->depth > DK_J_DEPTH)
        dk_jfail(x, "it nests deeper than %d levels", DK_J_DEPTH);
}

/* --- making --------------------------------------------------------------------- */
bool dk_span_is(dk_span s, const char *word)
{
    return s.n == strlen(word) && memcmp(s.s, word, s.n) == 0;
}

bool dk_span_same(dk_span a, dk_span b) { return a.n == b.n && (a.n == 0 || memcmp(a.s, b.s, a.n) == 0); }
dk_jv dk_jnone(void) { return (dk_jv){ .kind = DK_J_NONE }; }
dk_jv dk_jbool(bool b) { return (dk_jv){ .kind = DK_J_BOOL, .b = b }; }
dk_jv dk_jint(int64_t i) { return (dk_jv){ .kind = DK_J_INT, .i = i }; }
dk_jv dk_jfloat(double f) { return (dk_jv){ .kind = DK_J_FLOAT, .f = f }; }

dk_jv dk_jundef(dk_jx *x, dk_span name, const char *of, bool element)
{
    dk_jhint *h = dk_jget(x, sizeof *h);

    *h = (dk_jhint){ name, of, element, false };
    return (dk_jv){ .kind = DK_J_UNDEF, .hint = h };
}

dk_jv dk_jempty(dk_jx *x, const char *message)
{
    return dk_jundef(x, (dk_span){ message, strlen(message) }, NULL, true);
}

dk_jv dk_jspan(dk_jx *x, const char *s, size_t n)
{
    dk_jstr *str = dk_jget(x, sizeof *str);

    *str = (dk_jstr){ .s = s ? s : "", .n = n };
    return (dk_jv){ .kind = DK_J_STR, .str = str };
}

dk_jv dk_jlit(dk_jx *x, const char *s) { return dk_jspan(x, s, strlen(s)); }

dk_jv dk_jsub(dk_jx *x, const dk_jstr *s, size_t from, size_t to)
{
    dk_jstr *str = dk_jget(x, sizeof *str);
    dk_jinja_place *marks = s->n_marks ? dk_jget(x, s->n_marks * sizeof *marks) : NULL;

    *str = (dk_jstr){ .s = s->s + from, .n = to - from, .marks = marks, .markup = s->markup };
    for (size_t i = 0; i < s->n_marks; i++) {
        const dk_jinja_place m = s->marks[i];

        if (m.from < to && m.to > from)
            marks[str->n_marks++] = (dk_jinja_place){ m.from > from ? m.from - from : 0,
                                                      (m.to < to ? m.to : to) - from, m.mark };
    }
    dk_jwork(x, s->n_marks);
    return (dk_jv){ .kind = DK_J_STR, .str = str };
}

dk_jv dk_jseq_new(dk_jx *x, dk_jflavour flavour, size_t cap)
{
    dk_jseq *s = dk_jget(x, sizeof *s);

    *s = (dk_jseq){ .flavour = flavour, .cap = cap, .v = cap ? dk_jget(x, cap * sizeof *s->v) : NULL };
    return (dk_jv){ .kind = DK_J_SEQ, .seq = s };
}

void dk_jpush(dk_jx *x, dk_jseq *s, dk_jv v)
{
    dk_jwork(x, 1);
    if (s->n == s->cap) {
        const size_t cap = s->cap ? 2 * s->cap : 4;
        dk_jv *more = dk_jget(x, cap * sizeof *more);

        if (s->n)
            memcpy(more, s->v, s->n * sizeof *more);
        s->v = more;
        s->cap = cap;
    }
    s->v[s->n++] = v;
}

dk_jv dk_jdict_new(dk_jx *x)
{
    return (dk_jv){ .kind = DK_J_DICT, .dict = dk_jget(x, sizeof(dk_jdict)) };
}

bool dk_jhashable(dk_jv v)
{
    if (v.kind == DK_J_DICT || v.kind == DK_J_SPACE)
        return false;
    if (v.kind != DK_J_SEQ || v.seq->flavour == DK_J_GENERATOR || v.seq->flavour == DK_J_RANGE)
        return true;
    if (v.seq->flavour != DK_J_TUPLE)
        return false;
    for (size_t i = 0; i < v.seq->n; i++)
        if (!dk_jhashable(v.seq->v[i]))
            return false;
    return true;
}

const dk_jv *dk_jfind(dk_jx *x, const dk_jdict *d, dk_jv key)
{
    dk_jwork(x, d->n / 4 + 1);
    for (size_t i = 0; i < d->n; i++)
        if (d->pair[i].key.kind == DK_J_STR && key.kind == DK_J_STR
                ? d->pair[i].key.str->n == key.str->n &&
                  memcmp(d->pair[i].key.str->s, key.str->s, key.str->n) == 0
                : dk_jequal(x, d->pair[i].key, key))
            return &d->pair[i].value;
    return NULL;
}

const dk_jv *dk_jmember(const dk_jdict *d, dk_span key)
{
    for (size_t i = 0; i < d->n; i++)
        if (d->pair[i].key.kind == DK_J_STR &&
            dk_span_same((dk_span){ d->pair[i].key.str->s, d->pair[i].key.str->n }, key))
            return &d->pair[i].value;
    return NULL;
}

void dk_jput(dk_jx *x, dk_jdict *d, dk_jv key, dk_jv value)
{
    dk_jv *old;

    if (!dk_jhashable(key))
        dk_jfail(x, "unhashable type: '%s'", dk_jtype_name(key));
    if ((old = (dk_jv *)dk_jfind(x, d, key)) != NULL) {
        *old = value;
        return;
    }
    if (d->n == d->cap) {
        const size_t cap = d->cap ? 2 * d->cap : 4;
        struct dk_jpair *more = dk_jget(x, cap * sizeof *more);

        if (d->n)
            memcpy(more, d->pair, d->n * sizeof *more);
        d->pair = more;
        d->cap = cap;
    }
    d->pair[d->n++] = (struct dk_jpair){ key, value };
}

dk_jv dk_jfrom_json(dk_jx *x, const dk_json *v)
{
    dk_json_iter it = {0};
    dk_jv out;

    switch (dk_json_type(v)) {
    case DK_JSON_BOOL: return dk_jbool(dk_json_bool(v, false));
    case DK_JSON_INT: return dk_jint(dk_json_int(v, 0));
    case DK_JSON_REAL: return dk_jfloat(dk_json_num(v, 0));
    case DK_JSON_STR: return dk_jspan(x, dk_json_str(v, ""), dk_json_len(v));
    case DK_JSON_ARRAY:
        dk_jenter(x);
        out = dk_jseq_new(x, DK_J_LIST, dk_json_len(v));
        for (size_t i = 0; i < dk_json_len(v); i++)
            dk_jpush(x, out.seq, dk_jfrom_json(x, dk_json_at(v, i)));
        dk_jleave(x);
        return out;
    case DK_JSON_OBJECT:
        dk_jenter(x);
        out = dk_jdict_new(x);
        while (dk_json_next(v, &it))
            dk_jput(x, out.dict, dk_jspan(x, it.key, it.key_len), dk_jfrom_json(x, it.value));
        dk_jleave(x);
        return out;
    default: return dk_jnone();
    }
}

/* --- asking ---------------------------------------------------------------------- */
const char *dk_jtype_name(dk_jv v)
{
    static const char *const flavours[] = { "list", "tuple", "range", "dict_keys", "dict_values",
                                            "dict_items", "generator" };

    switch (v.kind) {
    case DK_J_UNDEF: return "Undefined";
    case DK_J_NONE: return "NoneType";
    case DK_J_BOOL: return "bool";
    case DK_J_INT: return "int";
    case DK_J_FLOAT: return "float";
    case DK_J_STR: return "str";
    case DK_J_SEQ: return flavours[v.seq->flavour];
    case DK_J_DICT: return "dict";
    case DK_J_SPACE: return "Namespace";
    case DK_J_MACRO: return "Macro";
    case DK_J_LOOP: return "LoopContext";
    case DK_J_FUNC: return "function";
    case DK_J_BOUND: return "builtin_function_or_method";
    }
    return "?";
}

void dk_jfail_undef(dk_jx *x, dk_jv v)
{
    const dk_jhint *h = v.hint;
    const int n = (int)(h->name.n < 200 ? h->name.n : 200);

    if (h->parameter)
        dk_jfail(x, "parameter '%.*s' was not provided", n, h->name.s);
    if (!h->of && h->element)
        dk_jfail(x, "%.*s", n, h->name.s);
    if (!h->of)
        dk_jfail(x, "'%.*s' is undefined", n, h->name.s);
    if (h->element)
        dk_jfail(x, "%s has no element %.*s", h->of, n, h->name.s);
    dk_jfail(x, "'%s' has no attribute '%.*s'", h->of, n, h->name.s);
}

void dk_jno_undef(dk_jx *x, dk_jv v)
{
    if (v.kind == DK_J_UNDEF)
        dk_jfail_undef(x, v);
}

bool dk_jis_number(dk_jv v) { return v.kind == DK_J_BOOL || v.kind == DK_J_INT || v.kind == DK_J_FLOAT; }

double dk_jnum(dk_jv v)
{
    return v.kind == DK_J_FLOAT ? v.f : v.kind == DK_J_INT ? (double)v.i : v.b ? 1 : 0;
}

static int64_t whole(dk_jv v) { return v.kind == DK_J_BOOL ? v.b : v.i; }

int64_t dk_jwhole(dk_jx *x, dk_jv v, const char *what)
{
    dk_jno_undef(x, v);
    if (v.kind != DK_J_INT && v.kind != DK_J_BOOL)
        dk_jfail(x, "%s: '%s' object cannot be interpreted as an integer", what, dk_jtype_name(v));
    return whole(v);
}

const dk_jstr *dk_jstr_of(dk_jx *x, dk_jv v, const char *what)
{
    dk_jno_undef(x, v);
    if (v.kind != DK_J_STR)
        dk_jfail(x, "%s must be str, not %s", what, dk_jtype_name(v));
    return v.str;
}

bool dk_jlength(dk_jv v, size_t *n)
{
    *n = 0;
    switch (v.kind) {
    case DK_J_UNDEF: return true;
    case DK_J_STR: *n = dk_utf8_count(v.str->s, v.str->n); return true;
    case DK_J_SEQ: *n = v.seq->n; return v.seq->flavour != DK_J_GENERATOR;
    case DK_J_DICT: *n = v.dict->n; return true;
    case DK_J_LOOP: *n = v.loop->items->n; return true;
    default: return false;
    }
}

bool dk_jtrue(dk_jx *x, dk_jv v)
{
    (void)x;
    switch (v.kind) {
    case DK_J_UNDEF: case DK_J_NONE: return false;
    case DK_J_BOOL: return v.b;
    case DK_J_INT: return v.i != 0;
    case DK_J_FLOAT: return v.f != 0;
    case DK_J_STR: return v.str->n > 0;
    case DK_J_SEQ: return v.seq->flavour == DK_J_GENERATOR || v.seq->n > 0;
    case DK_J_DICT: return v.dict->n > 0;
    case DK_J_LOOP: return v.loop->items->n > 0;
    default: return true;
    }
}

static bool same_numbers(dk_jv a, dk_jv b)
{
    if (a.kind != DK_J_FLOAT && b.kind != DK_J_FLOAT)
        return whole(a) == whole(b);
    return dk_jnum(a) == dk_jnum(b);
}

static bool same_dicts(dk_jx *x, const dk_jdict *a, const dk_jdict *b)
{
    if (a->n != b->n)
        return false;
    for (size_t i = 0; i < a->n; i++) {
        const dk_jv *other = dk_jfind(x, b, a->pair[i].key);

        if (!other || !dk_jequal(x, a->pair[i].value, *other))
            return false;
    }
    return true;
}

static bool same_seqs(dk_jx *x, const dk_jseq *a, const dk_jseq *b)
{
    if (a == b)
        return true;
    if (a->flavour != b->flavour || a->flavour == DK_J_GENERATOR || a->flavour == DK_J_VALUES || a->n != b->n)
        return false;
    for (size_t i = 0; i < a->n; i++)
        if (!dk_jequal(x, a->v[i], b->v[i]))
            return false;
    return true;
}

bool dk_jequal(dk_jx *x, dk_jv a, dk_jv b)
{
    bool same;

    dk_jwork(x, 1);
    if (dk_jis_number(a) && dk_jis_number(b))
        return same_numbers(a, b);
    if (a.kind != b.kind)
        return false;
    dk_jenter(x);
    switch (a.kind) {
    case DK_J_UNDEF: case DK_J_NONE: same = true; break;
    case DK_J_STR:
        same = a.str->n == b.str->n && memcmp(a.str->s, b.str->s, a.str->n) == 0;
        if (same)
            dk_jbytes(x, a.str->n);
        break;
    case DK_J_SEQ: same = same_seqs(x, a.seq, b.seq); break;
    case DK_J_DICT: same = same_dicts(x, a.dict, b.dict); break;
    case DK_J_BOUND: same = dk_span_same(a.bound->name, b.bound->name) && dk_jequal(x, a.bound->self, b.bound->self); break;
    default: same = a.dict == b.dict; break;
    }
    dk_jleave(x);
    return same;
}

_Noreturn static void no_order(dk_jx *x, dk_jv a, dk_jv b, const char *op)
{
    dk_jfail(x, "'%s' not supported between instances of '%s' and '%s'", op, dk_jtype_name(a), dk_jtype_name(b));
}

/* NaN is neither below nor above: 2, which is none of the answers. */
static int number_order(dk_jv a, dk_jv b)
{
    if (a.kind != DK_J_FLOAT && b.kind != DK_J_FLOAT)
        return (whole(a) > whole(b)) - (whole(a) < whole(b));
    if (isnan(dk_jnum(a)) || isnan(dk_jnum(b)))
        return 2;
    return (dk_jnum(a) > dk_jnum(b)) - (dk_jnum(a) < dk_jnum(b));
}

int dk_jorder(dk_jx *x, dk_jv a, dk_jv b, const char *op)
{
    size_t i = 0;
    int d = 0;

    dk_jno_undef(x, a);
    dk_jno_undef(x, b);
    dk_jwork(x, 1);
    if (dk_jis_number(a) && dk_jis_number(b))
        return number_order(a, b);
    if (a.kind == DK_J_STR && b.kind == DK_J_STR) {     /* the order of bytes is that of characters */
        const size_t n = a.str->n < b.str->n ? a.str->n : b.str->n;

        d = memcmp(a.str->s, b.str->s, n);
        dk_jbytes(x, n);
        return d ? (d > 0) - (d < 0) : (a.str->n > b.str->n) - (a.str->n < b.str->n);
    }
    if (a.kind != DK_J_SEQ || b.kind != DK_J_SEQ || a.seq->flavour != b.seq->flavour ||
        a.seq->flavour > DK_J_TUPLE)
        no_order(x, a, b, op);
    dk_jenter(x);
    while (i < a.seq->n && i < b.seq->n && dk_jequal(x, a.seq->v[i], b.seq->v[i]))
        i++;
    if (i < a.seq->n && i < b.seq->n)
        d = dk_jorder(x, a.seq->v[i], b.seq->v[i], op);
    else
        d = (a.seq->n > b.seq->n) - (a.seq->n < b.seq->n);
    dk_jleave(x);
    return d;
}

bool dk_jin(dk_jx *x, dk_jv item, dk_jv of)
{
    dk_jseq *s;

    if (of.kind == DK_J_STR) {
        if (item.kind != DK_J_STR)
            dk_jfail(x, "'in <string>' requires string as left operand, not %s", dk_jtype_name(item));
        dk_jbytes(x, of.str->n);
        return item.str->n == 0 || memmem(of.str->s, of.str->n, item.str->s, item.str->n) != NULL;
    }
    if (of.kind == DK_J_DICT) {
        if (!dk_jhashable(item))
            dk_jfail(x, "unhashable type: '%s'", dk_jtype_name(item));
        return dk_jfind(x, of.dict, item) != NULL;
    }
    if (of.kind != DK_J_SEQ && of.kind != DK_J_UNDEF)
        dk_jfail(x, "argument of type '%s' is not iterable", dk_jtype_name(of));
    s = dk_jiter(x, of);
    for (size_t i = 0; i < s->n; i++)
        if (dk_jequal(x, s->v[i], item))
            return true;
    return false;
}

/* --- going through ------------------------------------------------------------------ */
dk_jseq *dk_jiter(dk_jx *x, dk_jv v)
{
    dk_jseq *out = NULL;

    if (v.kind == DK_J_SEQ && v.seq->flavour != DK_J_GENERATOR)
        return v.seq;
    if (v.kind == DK_J_SEQ) {
        if (v.seq->used)
            return dk_jseq_new(x, DK_J_LIST, 0).seq;
        v.seq->used = true;
        return v.seq;
    }
    if (v.kind == DK_J_UNDEF)
        return dk_jseq_new(x, DK_J_LIST, 0).seq;
    if (v.kind == DK_J_LOOP)
        return v.loop->items;
    if (v.kind != DK_J_STR && v.kind != DK_J_DICT)
        dk_jfail(x, "'%s' object is not iterable", dk_jtype_name(v));
    out = dk_jseq_new(x, DK_J_LIST, v.kind == DK_J_DICT ? v.dict->n : 0).seq;
    for (size_t i = 0; v.kind == DK_J_DICT && i < v.dict->n; i++)
        dk_jpush(x, out, v.dict->pair[i].key);
    for (size_t at = 0; v.kind == DK_J_STR && at < v.str->n;) {
        const size_t from = at;

        dk_utf8_next(v.str->s, v.str->n, &at);
        dk_jpush(x, out, dk_jsub(x, v.str, from, at));
    }
    return out;
}
