/* Expressions: values of syntax trees. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "text/jinjadef.h"
#include "text/utf8.h"

/* --- members ------------------------------------------------------------------------ */
static dk_jv bound(dk_jx *x, dk_jv self, dk_span name)
{
    dk_jbound *b = dk_jget(x, sizeof *b);

    *b = (dk_jbound){ self, name };
    return (dk_jv){ .kind = DK_J_BOUND, .bound = b };
}

static bool listed(dk_span name, const char *const *words)
{
    for (; *words; words++)
        if (dk_span_is(name, *words))
            return true;
    return false;
}

/* Whether Python's object has such a method; jinjacall.c knows which of them work. */
static bool has_method(dk_jv v, dk_span name)
{
    static const char *const dict[] = { "items", "keys", "values", "get", "copy", "clear", "fromkeys", "pop",
                                        "popitem", "setdefault", "update", NULL };
    static const char *const list[] = { "append", "clear", "copy", "count", "extend", "index", "insert", "pop",
                                        "remove", "reverse", "sort", NULL };
    static const char *const tuple[] = { "count", "index", NULL };
    static const char *const range[] = { "count", "index", "start", "stop", "step", NULL };
    static const char *const number[] = { "as_integer_ratio", "bit_count", "bit_length", "conjugate", "denominator",
                                          "fromhex", "from_bytes", "hex", "imag", "is_integer", "numerator", "real",
                                          "to_bytes", NULL };
    static const char *const macro[] = { "arguments", "caller", "catch_kwargs", "catch_varargs", NULL };

    switch (v.kind) {
    case DK_J_STR: return dk_jstr_has(name);
    case DK_J_DICT: return listed(name, dict);
    case DK_J_SEQ:
        return v.seq->flavour == DK_J_LIST ? listed(name, list) : v.seq->flavour == DK_J_TUPLE
               ? listed(name, tuple) : v.seq->flavour == DK_J_RANGE && listed(name, range);
    case DK_J_BOOL: case DK_J_INT: case DK_J_FLOAT: return listed(name, number);
    case DK_J_MACRO: return listed(name, macro);
    default: return false;
    }
}

static const char *object_name(dk_jx *x, dk_jv v)
{
    static const char *const fixed[] = {
        [DK_J_NONE] = "None", [DK_J_BOOL] = "bool object", [DK_J_INT] = "int object",
        [DK_J_FLOAT] = "float object", [DK_J_STR] = "str object", [DK_J_DICT] = "dict object",
        [DK_J_LOOP] = "jinja2.runtime.LoopContext object", [DK_J_MACRO] = "jinja2.runtime.Macro object"
    };
    dk_jb b = { .x = x };

    if (v.kind < sizeof fixed / sizeof *fixed && fixed[v.kind])
        return fixed[v.kind];
    dk_jb_addf(&b, "%s object", dk_jtype_name(v));
    dk_jb_add(&b, "", 1);
    return b.s;
}

static dk_jv loop_member(dk_jx *x, dk_jv v, dk_span name)
{
    const dk_jloop *l = v.loop;
    const size_t n = l->items->n;

    if (dk_span_is(name, "index"))
        return dk_jint((int64_t)l->at + 1);
    if (dk_span_is(name, "index0"))
        return dk_jint((int64_t)l->at);
    if (dk_span_is(name, "revindex"))
        return dk_jint((int64_t)(n - l->at));
    if (dk_span_is(name, "revindex0"))
        return dk_jint((int64_t)(n - l->at) - 1);
    if (dk_span_is(name, "first"))
        return dk_jbool(l->at == 0);
    if (dk_span_is(name, "last"))
        return dk_jbool(l->at + 1 == n);
    if (dk_span_is(name, "length"))
        return dk_jint((int64_t)n);
    if (dk_span_is(name, "depth"))
        return dk_jint((int64_t)l->depth + 1);
    if (dk_span_is(name, "depth0"))
        return dk_jint((int64_t)l->depth);
    if (dk_span_is(name, "previtem"))
        return l->at > 0 ? l->items->v[l->at - 1] : dk_jempty(x, "there is no previous item");
    if (dk_span_is(name, "nextitem"))
        return l->at + 1 < n ? l->items->v[l->at + 1] : dk_jempty(x, "there is no next item");
    if (dk_span_is(name, "cycle") || dk_span_is(name, "changed"))
        return bound(x, v, name);
    return dk_jundef(x, name, object_name(x, v), false);
}

/* v.name: the object's own attribute, then its item. */
dk_jv dk_jattr(dk_jx *x, dk_jv v, dk_span name)
{
    const dk_jv *item = NULL;

    dk_jno_undef(x, v);
    if (name.n > 2 && memcmp(name.s, "__", 2) == 0)
        dk_jfail(x, "access to attribute '%.*s' of '%s' object is unsafe", (int)(name.n < 60 ? name.n : 60), name.s,
                 dk_jtype_name(v));
    if (has_method(v, name))
        return bound(x, v, name);
    if (v.kind == DK_J_LOOP)
        return loop_member(x, v, name);
    if (v.kind == DK_J_MACRO && dk_span_is(name, "name"))
        return dk_jspan(x, v.macro->name.s, v.macro->name.n);
    if (v.kind == DK_J_DICT || v.kind == DK_J_SPACE) {
        dk_jwork(x, v.dict->n / 4);
        item = dk_jmember(v.dict, name);
    }
    return item ? *item : dk_jundef(x, name, object_name(x, v), false);
}

static dk_jv no_item(dk_jx *x, dk_jv v, dk_jv key)
{
    dk_jb b = { .x = x };

    if (key.kind == DK_J_STR)
        return dk_jattr(x, v, (dk_span){ key.str->s, key.str->n });
    dk_jb_repr(&b, key);
    return dk_jundef(x, (dk_span){ b.s, b.n }, object_name(x, v), true);
}

/* v[key]: the item, then an attribute of that name. */
dk_jv dk_jitem(dk_jx *x, dk_jv v, dk_jv key)
{
    const dk_jv *item = NULL;

    dk_jno_undef(x, v);
    if (v.kind == DK_J_DICT && dk_jhashable(key))
        item = dk_jfind(x, v.dict, key);
    if (item)
        return *item;
    if ((key.kind == DK_J_INT || key.kind == DK_J_BOOL) && v.kind == DK_J_SEQ && v.seq->flavour <= DK_J_RANGE) {
        int64_t i = key.kind == DK_J_INT ? key.i : key.b;

        i += i < 0 ? (int64_t)v.seq->n : 0;
        if (i >= 0 && i < (int64_t)v.seq->n)
            return v.seq->v[i];
    } else if ((key.kind == DK_J_INT || key.kind == DK_J_BOOL) && v.kind == DK_J_STR) {
        const int64_t n = (int64_t)dk_utf8_count(v.str->s, v.str->n);
        int64_t i = key.kind == DK_J_INT ? key.i : key.b;

        dk_jbytes(x, v.str->n);
        i += i < 0 ? n : 0;
        if (i >= 0 && i < n) {
            const size_t from = dk_jchar_at(v.str, (size_t)i);
            size_t to = from;

            dk_utf8_next(v.str->s, v.str->n, &to);
            return dk_jsub(x, v.str, from, to);
        }
    }
    return no_item(x, v, key);
}

/* --- slices -------------------------------------------------------------------------- */

/* Python's rules for start, stop and step over n items; the number of them. */
static size_t slice_range(dk_jx *x, const dk_jv part[3], int64_t n, int64_t *start, int64_t *step)
{
    int64_t stop;

    *step = part[2].kind == DK_J_NONE ? 1 : dk_jwhole(x, part[2], "slice indices");
    if (*step == 0)
        dk_jfail(x, "slice step cannot be zero");
    if (*step < -n - 1 || *step > n + 1)            /* no farther than past the other end */
        *step = *step < 0 ? -n - 1 : n + 1;
    for (int k = 0; k < 2; k++) {
        int64_t at = part[k].kind == DK_J_NONE ? 0 : dk_jwhole(x, part[k], "slice indices");
        const int64_t lowest = *step < 0 ? -1 : 0, highest = *step < 0 ? n - 1 : n;

        at = at < 0 ? (at < -n ? lowest : at + n) : at;
        at = at < lowest ? lowest : at > highest ? highest : at;
        if (part[k].kind == DK_J_NONE)
            at = (k == 0) == (*step > 0) ? lowest : highest;
        if (k == 0)
            *start = at;
        else
            stop = at;
    }
    if (*step > 0)
        return stop > *start ? (size_t)((stop - *start - 1) / *step + 1) : 0;
    return stop < *start ? (size_t)((*start - stop - 1) / -*step + 1) : 0;
}

static dk_jv slice_text(dk_jx *x, const dk_jstr *s, const dk_jv part[3])
{
    const dk_jv whole = { .kind = DK_J_STR, .str = s };
    dk_jb b = { .x = x };
    dk_jseq *chars;
    int64_t start, step;
    size_t n = dk_utf8_count(s->s, s->n);

    dk_jbytes(x, s->n);
    n = slice_range(x, part, (int64_t)n, &start, &step);
    if (n == 0)
        return dk_jlit(x, "");
    if (step == 1) {
        const size_t from = dk_jchar_at(s, (size_t)start);
        const dk_jstr rest = { .s = s->s + from, .n = s->n - from };

        return dk_jsub(x, s, from, from + dk_jchar_at(&rest, n));
    }
    chars = dk_jiter(x, whole);
    for (size_t i = 0; i < n; i++)
        dk_jb_str(&b, chars->v[start + (int64_t)i * step].str);
    return dk_jb_end(&b);
}

static dk_jv slice(dk_jx *x, dk_jv v, const dk_jnode *n)
{
    const dk_jv part[3] = { n->a ? dk_jeval(x, n->a) : dk_jnone(), n->b ? dk_jeval(x, n->b) : dk_jnone(),
                            n->c ? dk_jeval(x, n->c) : dk_jnone() };
    int64_t start, step;
    size_t count;
    dk_jv out;

    x->line = n->line;
    dk_jno_undef(x, v);
    if (v.kind == DK_J_STR)
        return slice_text(x, v.str, part);
    if (v.kind != DK_J_SEQ || v.seq->flavour > DK_J_RANGE)
        dk_jfail(x, "'%s' object has no slices", dk_jtype_name(v));
    count = slice_range(x, part, (int64_t)v.seq->n, &start, &step);
    out = dk_jseq_new(x, v.seq->flavour, count);
    for (size_t i = 0; i < count; i++)
        dk_jpush(x, out.seq, v.seq->v[start + (int64_t)i * step]);
    return out;
}

/* --- operators ------------------------------------------------------------------------- */
_Noreturn static void no_operation(dk_jx *x, int op, dk_jv a, dk_jv b)
{
    const char name[3] = { (char)(op & 0xFF), (char)(op >> 8), 0 };

    if (op == '+' && a.kind == DK_J_STR)
        dk_jfail(x, "can only concatenate str (not \"%s\") to str", dk_jtype_name(b));
    dk_jfail(x, "unsupported operand type(s) for %s: '%s' and '%s'", name, dk_jtype_name(a), dk_jtype_name(b));
}

static dk_jv add_texts(dk_jx *x, const dk_jstr *a, const dk_jstr *b)
{
    dk_jb out = { .x = x };

    if (a->markup || b->markup)
        dk_jfail(x, "'+' with the result of 'safe' would escape HTML, which is not supported: use '~'");
    out.cap = a->n + b->n;
    out.s = dk_jget(x, out.cap);
    dk_jb_str(&out, a);
    dk_jb_str(&out, b);
    return dk_jb_end(&out);
}

static dk_jv add_lists(dk_jx *x, const dk_jseq *a, const dk_jseq *b)
{
    const dk_jv out = dk_jseq_new(x, a->flavour, a->n + b->n);

    for (size_t i = 0; i < a->n; i++)
        dk_jpush(x, out.seq, a->v[i]);
    for (size_t i = 0; i < b->n; i++)
        dk_jpush(x, out.seq, b->v[i]);
    return out;
}

static dk_jv repeat(dk_jx *x, dk_jv what, dk_jv times)
{
    const int64_t n = times.kind == DK_J_BOOL ? times.b : times.i;
    dk_jb b = { .x = x };
    dk_jv out;

    if (what.kind == DK_J_STR) {
        for (int64_t i = 0; i < n; i++)
            dk_jb_str(&b, what.str);
        return dk_jb_end(&b);
    }
    out = dk_jseq_new(x, what.seq->flavour, 0);
    for (int64_t i = 0; i < n; i++) {
        dk_jwork(x, 1);
        for (size_t k = 0; k < what.seq->n; k++)
            dk_jpush(x, out.seq, what.seq->v[k]);
    }
    return out;
}

static dk_jv whole_power(dk_jx *x, int64_t a, int64_t b)
{
    int64_t out = 1;

    if (b < 0) {
        if (a == 0)
            dk_jfail(x, "0.0 cannot be raised to a negative power");
        return dk_jfloat(pow((double)a, (double)b));
    }
    if (a == 0 || a == 1 || a == -1)
        return dk_jint(b == 0 || a == 1 ? 1 : a == 0 ? 0 : b % 2 ? -1 : 1);
    for (; b > 0; b--)
        if (__builtin_mul_overflow(out, a, &out))
            dk_jfail(x, "a number is too large");
    return dk_jint(out);
}

static dk_jv whole_numbers(dk_jx *x, int op, int64_t a, int64_t b)
{
    int64_t out = 0;
    bool over = false;

    if (op == dk_jop("**"))
        return whole_power(x, a, b);
    if ((op == '/' || op == '%' || op == dk_jop("//")) && b == 0)
        dk_jfail(x, "division by zero");
    if (op == '/')
        return dk_jfloat((double)a / (double)b);
    if (op == '+')
        over = __builtin_add_overflow(a, b, &out);
    else if (op == '-')
        over = __builtin_sub_overflow(a, b, &out);
    else if (op == '*')
        over = __builtin_mul_overflow(a, b, &out);
    else if (a == INT64_MIN && b == -1)
        over = op != '%';
    else if (op == '%')
        out = a % b + (a % b != 0 && (a % b < 0) != (b < 0) ? b : 0);
    else
        out = a / b - (a % b != 0 && (a % b < 0) != (b < 0));
    if (over)
        dk_jfail(x, "a number is too large");
    return dk_jint(out);
}

static dk_jv real_numbers(dk_jx *x, int op, double a, double b)
{
    if ((op == '/' || op == '%' || op == dk_jop("//")) && b == 0)
        dk_jfail(x, "float division by zero");
    if (op == '+')
        return dk_jfloat(a + b);
    if (op == '-')
        return dk_jfloat(a - b);
    if (op == '*')
        return dk_jfloat(a * b);
    if (op == '/')
        return dk_jfloat(a / b);
    if (op == dk_jop("**")) {
        if (a < 0 && b != floor(b))
            dk_jfail(x, "complex numbers are not supported");
        return dk_jfloat(pow(a, b));
    }
    {
        double rest = fmod(a, b);

        if (rest != 0 && (rest < 0) != (b < 0))
            rest += b;
        return dk_jfloat(op == '%' ? rest : round((a - rest) / b));
    }
}

/* text % values: one value, a tuple of them, or a mapping. */
static dk_jv percent(dk_jx *x, const dk_jstr *s, dk_jv v)
{
    dk_jargs a = { .n = 1, .v = &v };

    if (s->markup)
        dk_jfail(x, "'%%' with the result of 'safe' is not supported");
    if (v.kind == DK_J_SEQ && v.seq->flavour == DK_J_TUPLE)
        a = (dk_jargs){ .n = v.seq->n, .v = v.seq->v };
    else if ((v.kind == DK_J_DICT || v.kind == DK_J_SEQ || v.kind == DK_J_UNDEF) && !memchr(s->s, '%', s->n))
        a.n = 0;                    /* need not be used */
    if (v.kind == DK_J_DICT && memchr(s->s, '(', s->n)) {
        a = (dk_jargs){ .n_named = v.dict->n, .names = dk_jget(x, v.dict->n * sizeof *a.names),
                        .named = dk_jget(x, v.dict->n * sizeof *a.named) };
        for (size_t i = 0; i < v.dict->n; i++) {
            const dk_jstr *key = dk_jtext(x, v.dict->pair[i].key);

            a.names[i] = (dk_span){ key->s, key->n };
            a.named[i] = v.dict->pair[i].value;
        }
    }
    return dk_jformat(x, s, &a);
}

static bool is_whole(dk_jv v) { return v.kind == DK_J_INT || v.kind == DK_J_BOOL; }

dk_jv dk_jbin(dk_jx *x, int op, dk_jv a, dk_jv b)
{
    if (op == '%' && a.kind == DK_J_STR)
        return percent(x, a.str, b);
    dk_jno_undef(x, a);
    dk_jno_undef(x, b);
    if (is_whole(a) && is_whole(b))
        return whole_numbers(x, op, a.kind == DK_J_BOOL ? a.b : a.i, b.kind == DK_J_BOOL ? b.b : b.i);
    if (dk_jis_number(a) && dk_jis_number(b))
        return real_numbers(x, op, dk_jnum(a), dk_jnum(b));
    if (op == '+' && a.kind == DK_J_STR && b.kind == DK_J_STR)
        return add_texts(x, a.str, b.str);
    if (op == '+' && a.kind == DK_J_SEQ && b.kind == DK_J_SEQ && a.seq->flavour == b.seq->flavour &&
        a.seq->flavour <= DK_J_TUPLE)
        return add_lists(x, a.seq, b.seq);
    if (op == '*' && is_whole(b) && (a.kind == DK_J_STR || (a.kind == DK_J_SEQ && a.seq->flavour <= DK_J_TUPLE)))
        return repeat(x, a, b);
    if (op == '*' && is_whole(a) && (b.kind == DK_J_STR || (b.kind == DK_J_SEQ && b.seq->flavour <= DK_J_TUPLE)))
        return repeat(x, b, a);
    no_operation(x, op, a, b);
}

static bool compare_one(dk_jx *x, int op, dk_jv a, dk_jv b)
{
    const char name[3] = { (char)(op & 0xFF), (char)(op >> 8), 0 };
    int d;

    if (op == DK_JOP_IN)
        return dk_jin(x, a, b);
    if (op == DK_JOP_NOT_IN)
        return !dk_jin(x, a, b);
    if (op == dk_jop("=="))
        return dk_jequal(x, a, b);
    if (op == dk_jop("!="))
        return !dk_jequal(x, a, b);
    d = dk_jorder(x, a, b, name);
    if (d == 2)
        return false;
    return op == '<' ? d < 0 : op == '>' ? d > 0 : op == dk_jop("<=") ? d <= 0 : d >= 0;
}

static dk_jv compare(dk_jx *x, const dk_jnode *n)
{
    dk_jv left = dk_jeval(x, n->a);

    for (const dk_jnode *o = n->list; o; o = o->next) {
        const dk_jv right = dk_jeval(x, o->a);

        x->line = n->line;
        if (!compare_one(x, o->op, left, right))
            return dk_jbool(false);
        left = right;
    }
    return dk_jbool(true);
}

/* --- trees ------------------------------------------------------------------------------ */
static dk_jv sign(dk_jx *x, dk_jv v, bool negative)
{
    dk_jno_undef(x, v);
    if (!dk_jis_number(v))
        dk_jfail(x, "bad operand type for unary %c: '%s'", negative ? '-' : '+', dk_jtype_name(v));
    if (v.kind == DK_J_FLOAT)
        return dk_jfloat(negative ? -v.f : v.f);
    if (v.kind == DK_J_BOOL)
        return dk_jint(negative ? -(int64_t)v.b : v.b);
    if (negative && v.i == INT64_MIN)
        dk_jfail(x, "a number is too large");
    return dk_jint(negative ? -v.i : v.i);
}

static dk_jv gather(dk_jx *x, const dk_jnode *n, dk_jflavour flavour)
{
    const dk_jv out = dk_jseq_new(x, flavour, 0);

    for (const dk_jnode *i = n->list; i; i = i->next)
        dk_jpush(x, out.seq, dk_jeval(x, i->b));
    return out;
}

static dk_jv gather_dict(dk_jx *x, const dk_jnode *n)
{
    const dk_jv out = dk_jdict_new(x);

    for (const dk_jnode *i = n->list; i; i = i->next) {
        const dk_jv key = dk_jeval(x, i->a);

        dk_jput(x, out.dict, key, dk_jeval(x, i->b));
    }
    return out;
}

static dk_jv concat(dk_jx *x, const dk_jnode *n)
{
    dk_jb b = { .x = x };

    for (const dk_jnode *i = n->list; i; i = i->next)
        dk_jb_str(&b, dk_jtext(x, dk_jeval(x, i->b)));
    return dk_jb_end(&b);
}

static dk_jv call(dk_jx *x, const dk_jnode *n)
{
    const dk_jv f = dk_jeval(x, n->a);
    const dk_jargs a = dk_jargs_of(x, n->list);

    x->line = n->line;
    return dk_jcall(x, f, &a);
}

static dk_jv filter(dk_jx *x, const dk_jnode *n)
{
    const dk_jv v = dk_jeval(x, n->a);
    const dk_jargs a = dk_jargs_of(x, n->list);

    x->line = n->line;
    return dk_jfilter(x, n->name, v, &a);
}

static dk_jv test(dk_jx *x, const dk_jnode *n)
{
    const dk_jv v = dk_jeval(x, n->a);
    const dk_jargs a = dk_jargs_of(x, n->list);

    x->line = n->line;
    return dk_jbool(dk_jtest(x, n->name, v, &a));
}

static dk_jv conditional(dk_jx *x, const dk_jnode *n)
{
    if (dk_jtrue(x, dk_jeval(x, n->a)))
        return dk_jeval(x, n->b);
    if (n->c)
        return dk_jeval(x, n->c);
    return dk_jempty(x, "the inline if-expression evaluated to false and no else section was defined");
}

static dk_jv value(dk_jx *x, const dk_jnode *n)
{
    dk_jv v, w;

    switch (n->type) {
    case DK_N_CONST: return n->value;
    case DK_N_NAME: return dk_jlookup(x, n->name);
    case DK_N_TUPLE: return gather(x, n, DK_J_TUPLE);
    case DK_N_LIST: return gather(x, n, DK_J_LIST);
    case DK_N_DICT: return gather_dict(x, n);
    case DK_N_ATTR:
        v = dk_jeval(x, n->a);
        x->line = n->line;
        return dk_jattr(x, v, n->name);
    case DK_N_ITEM:
        v = dk_jeval(x, n->a);
        if (n->b && n->b->type == DK_N_SLICE)
            return slice(x, v, n->b);
        w = dk_jeval(x, n->b);
        x->line = n->line;
        return dk_jitem(x, v, w);
    case DK_N_CALL: return call(x, n);
    case DK_N_FILTER: return filter(x, n);
    case DK_N_TEST: return test(x, n);
    case DK_N_BIN:
        v = dk_jeval(x, n->a);
        w = dk_jeval(x, n->b);
        x->line = n->line;
        return dk_jbin(x, n->op, v, w);
    case DK_N_NEG: case DK_N_POS: return sign(x, dk_jeval(x, n->a), n->type == DK_N_NEG);
    case DK_N_NOT: return dk_jbool(!dk_jtrue(x, dk_jeval(x, n->a)));
    case DK_N_AND: v = dk_jeval(x, n->a); return dk_jtrue(x, v) ? dk_jeval(x, n->b) : v;
    case DK_N_OR: v = dk_jeval(x, n->a); return dk_jtrue(x, v) ? v : dk_jeval(x, n->b);
    case DK_N_CONCAT: return concat(x, n);
    case DK_N_COMPARE: return compare(x, n);
    case DK_N_COND: return conditional(x, n);
    default: dk_jfail(x, "this cannot be evaluated");
    }
}

dk_jv dk_jeval(dk_jx *x, const dk_jnode *n)
{
    dk_jv v;

    dk_jenter(x);
    dk_jwork(x, 1);
    x->line = n->line;
    v = value(x, n);
    dk_jleave(x);
    return v;
}
