/* Calls: arguments, functions that every template has, macros, methods of
 * lists, dicts and loops. */
#include <stdio.h>
#include <string.h>

#include "text/jinjadef.h"

enum { LONGEST_RANGE = 100000 };        /* as in Jinja's sandbox */

/* --- arguments ---------------------------------------------------------------------- */
static void add_plain(dk_jx *x, dk_jargs *a, dk_jv v)
{
    dk_jv *more = dk_jget(x, (a->n + 1) * sizeof *more);

    if (a->n)
        memcpy(more, a->v, a->n * sizeof *more);
    a->v = more;
    a->v[a->n++] = v;
    dk_jwork(x, a->n);
}

static void add_named(dk_jx *x, dk_jargs *a, dk_span name, dk_jv v)
{
    dk_span *names = dk_jget(x, (a->n_named + 1) * sizeof *names);
    dk_jv *named = dk_jget(x, (a->n_named + 1) * sizeof *named);

    for (size_t i = 0; i < a->n_named; i++) {
        if (dk_span_same(a->names[i], name))
            dk_jfail(x, "got multiple values for keyword argument '%.*s'", (int)(name.n < 60 ? name.n : 60), name.s);
        names[i] = a->names[i];
        named[i] = a->named[i];
    }
    names[a->n_named] = name;
    named[a->n_named++] = v;
    a->names = names;
    a->named = named;
    dk_jwork(x, a->n_named);
}

dk_jargs dk_jargs_of(dk_jx *x, const dk_jnode *list)
{
    dk_jargs a = {0};

    for (; list; list = list->next) {
        const dk_jv v = dk_jeval(x, list->a);

        if (list->op == DK_JARG_PLAIN) {
            add_plain(x, &a, v);
        } else if (list->op == DK_JARG_NAMED) {
            add_named(x, &a, list->name, v);
        } else if (list->op == DK_JARG_LIST) {
            const dk_jseq *s = dk_jiter(x, v);

            for (size_t i = 0; i < s->n; i++)
                add_plain(x, &a, s->v[i]);
        } else {
            if (v.kind != DK_J_DICT)
                dk_jfail(x, "argument after ** must be a mapping, not %s", dk_jtype_name(v));
            for (size_t i = 0; i < v.dict->n; i++) {
                const dk_jstr *key = dk_jstr_of(x, v.dict->pair[i].key, "keywords");

                add_named(x, &a, (dk_span){ key->s, key->n }, v.dict->pair[i].value);
            }
        }
    }
    return a;
}

const dk_jv *dk_jarg(dk_jx *x, const dk_jargs *a, size_t i, const char *name)
{
    (void)x;
    if (i < a->n)
        return &a->v[i];
    for (size_t k = 0; *name && k < a->n_named; k++)
        if (dk_span_is(a->names[k], name))
            return &a->named[k];
    return NULL;
}

void dk_jargs_check(dk_jx *x, const dk_jargs *a, const char *what, const char *const *names)
{
    size_t n = 0;

    while (names[n])
        n++;
    if (a->n > n)
        dk_jfail(x, "%s takes at most %zu arguments (%zu given)", what, n, a->n);
    for (size_t k = 0; k < a->n_named; k++) {
        size_t i = 0;

        while (i < n && !dk_span_is(a->names[k], names[i]))
            i++;
        if (i == n)
            dk_jfail(x, "%s got an unexpected keyword argument '%.*s'", what,
                     (int)(a->names[k].n < 60 ? a->names[k].n : 60), a->names[k].s);
        if (i < a->n)
            dk_jfail(x, "%s got multiple values for argument '%s'", what, names[i]);
    }
}

/* --- functions ----------------------------------------------------------------------- */
struct dk_jfunc {
    const char *name;
    dk_jv (*call)(dk_jx *, const dk_jargs *);       /* NULL: Jinja has it, dk has not */
};

static dk_jv range(dk_jx *x, const dk_jargs *a)
{
    static const char *const none[] = { "", "", "", NULL };
    int64_t lo = 0, hi, step = 1;
    __int128 n;
    dk_jv out;

    dk_jargs_check(x, a, "range", none);
    if (a->n == 0)
        dk_jfail(x, "range expected at least 1 argument, got 0");
    hi = dk_jwhole(x, a->v[0], "range");
    if (a->n > 1) {
        lo = hi;
        hi = dk_jwhole(x, a->v[1], "range");
    }
    if (a->n > 2)
        step = dk_jwhole(x, a->v[2], "range");
    if (step == 0)
        dk_jfail(x, "range() arg 3 must not be zero");
    n = step > 0 ? ((__int128)hi - lo + step - 1) / step : ((__int128)lo - hi - step - 1) / -(__int128)step;
    if (n > LONGEST_RANGE)
        dk_jfail(x, "Range too big. The sandbox blocks ranges larger than MAX_RANGE (%d).", LONGEST_RANGE);
    out = dk_jseq_new(x, DK_J_RANGE, n > 0 ? (size_t)n : 0);
    for (__int128 i = 0; i < n; i++)
        dk_jpush(x, out.seq, dk_jint((int64_t)(lo + i * step)));
    return out;
}

/* What dict() and namespace() are made from. */
static dk_jv make_dict(dk_jx *x, const dk_jargs *a)
{
    const dk_jv out = dk_jdict_new(x);

    if (a->n > 1)
        dk_jfail(x, "dict expected at most 1 argument, got %zu", a->n);
    if (a->n == 1 && a->v[0].kind == DK_J_DICT) {
        for (size_t i = 0; i < a->v[0].dict->n; i++)
            dk_jput(x, out.dict, a->v[0].dict->pair[i].key, a->v[0].dict->pair[i].value);
    } else if (a->n == 1) {
        const dk_jseq *s = dk_jiter(x, a->v[0]);

        for (size_t i = 0; i < s->n; i++) {
            const dk_jseq *pair = dk_jiter(x, s->v[i]);

            if (pair->n != 2)
                dk_jfail(x, "dictionary update sequence element #%zu has length %zu; 2 is required", i, pair->n);
            dk_jput(x, out.dict, pair->v[0], pair->v[1]);
        }
    }
    for (size_t i = 0; i < a->n_named; i++)
        dk_jput(x, out.dict, dk_jspan(x, a->names[i].s, a->names[i].n), a->named[i]);
    return out;
}

static dk_jv namespace(dk_jx *x, const dk_jargs *a)
{
    dk_jv out = make_dict(x, a);

    for (size_t i = 0; i < out.dict->n; i++)
        if (out.dict->pair[i].key.kind == DK_J_STR && out.dict->pair[i].key.str->n &&
            out.dict->pair[i].key.str->s[0] == '_')
            dk_jfail(x, "a namespace cannot have members whose names begin with '_'");
    out.kind = DK_J_SPACE;
    return out;
}

/* The template's own words, whatever their length. */
static dk_jv raise_exception(dk_jx *x, const dk_jargs *a)
{
    static const char *const names[] = { "message", NULL };
    const dk_jv *v = dk_jarg(x, a, 0, "message");
    const dk_jstr *s;

    dk_jargs_check(x, a, "raise_exception", names);
    if (!v)
        dk_jfail(x, "raise_exception needs a message");
    s = dk_jtext(x, *v);
    dk_jfail(x, "%.*s", (int)(s->n < 800 ? s->n : 800), s->s);
}

/* Days since 1970 to a date, by eras of 400 years that begin in March. */
static void civil(int64_t days, int *year, int *month, int *day)
{
    const int64_t z = days + 719468, era = (z >= 0 ? z : z - 146096) / 146097;
    const int doe = (int)(z - era * 146097), yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365;
    const int doy = doe - (365 * yoe + yoe / 4 - yoe / 100), mp = (5 * doy + 2) / 153;

    *day = doy - (153 * mp + 2) / 5 + 1;
    *month = mp < 10 ? mp + 3 : mp - 9;
    *year = yoe + (int)era * 400 + (*month <= 2);
}

static void put_time(dk_jb *b, char c, int64_t now)
{
    static const char *const months[] = { "January", "February", "March", "April", "May", "June", "July", "August",
                                          "September", "October", "November", "December" };
    static const char *const days[] = { "Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday" };
    static const int before[] = { 0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334 };
    const int64_t date = (now >= 0 ? now : now - 86399) / 86400;
    const int sec = (int)(now - date * 86400), h = sec / 3600, week = (int)(((date + 4) % 7 + 7) % 7);
    int y, m, d;

    civil(date, &y, &m, &d);
    switch (c) {
    case 'Y': dk_jb_addf(b, "%d", y); break;
    case 'y': dk_jb_addf(b, "%02d", y % 100); break;
    case 'm': dk_jb_addf(b, "%02d", m); break;
    case 'd': dk_jb_addf(b, "%02d", d); break;
    case 'e': dk_jb_addf(b, "%2d", d); break;
    case 'j': dk_jb_addf(b, "%03d", before[m - 1] + d + (m > 2 && y % 4 == 0 && (y % 100 != 0 || y % 400 == 0))); break;
    case 'H': dk_jb_addf(b, "%02d", h); break;
    case 'I': dk_jb_addf(b, "%02d", h % 12 ? h % 12 : 12); break;
    case 'M': dk_jb_addf(b, "%02d", sec / 60 % 60); break;
    case 'S': dk_jb_addf(b, "%02d", sec % 60); break;
    case 'p': dk_jb_adds(b, h < 12 ? "AM" : "PM"); break;
    case 'B': dk_jb_adds(b, months[m - 1]); break;
    case 'b': case 'h': dk_jb_add(b, months[m - 1], 3); break;
    case 'A': dk_jb_adds(b, days[week]); break;
    case 'a': dk_jb_add(b, days[week], 3); break;
    case 'w': dk_jb_addf(b, "%d", week); break;
    case 'F': dk_jb_addf(b, "%d-%02d-%02d", y, m, d); break;
    case 'T': dk_jb_addf(b, "%02d:%02d:%02d", h, sec / 60 % 60, sec % 60); break;
    case '%': dk_jb_adds(b, "%"); break;
    default: dk_jfail(b->x, "strftime_now: %%%c is not supported", c);
    }
}

static dk_jv strftime_now(dk_jx *x, const dk_jargs *a)
{
    static const char *const names[] = { "format", NULL };
    const dk_jv *v = dk_jarg(x, a, 0, "format");
    dk_jb b = { .x = x };
    const dk_jstr *s;

    dk_jargs_check(x, a, "strftime_now", names);
    s = v ? dk_jstr_of(x, *v, "strftime_now's format") : NULL;
    if (!s)
        dk_jfail(x, "strftime_now needs a format");
    for (size_t i = 0; i < s->n; i++) {
        if (s->s[i] == '%' && i + 1 < s->n)
            put_time(&b, s->s[++i], x->now);
        else
            dk_jb_sub(&b, s, i, i + 1);
    }
    return dk_jb_end(&b);
}

static const struct dk_jfunc functions[] = {
    { "range", range }, { "dict", make_dict }, { "namespace", namespace }, { "raise_exception", raise_exception },
    { "strftime_now", strftime_now }, { "lipsum", NULL }, { "cycler", NULL }, { "joiner", NULL }
};

const struct dk_jfunc *dk_jglobal(dk_span name)
{
    for (size_t i = 0; i < sizeof functions / sizeof *functions; i++)
        if (dk_span_is(name, functions[i].name))
            return &functions[i];
    return NULL;
}

/* --- methods --------------------------------------------------------------------------- */
static dk_jv pairs(dk_jx *x, const dk_jdict *d, dk_jflavour flavour)
{
    const dk_jv out = dk_jseq_new(x, flavour, d->n);

    for (size_t i = 0; i < d->n; i++) {
        dk_jv item = flavour == DK_J_VALUES ? d->pair[i].value : d->pair[i].key;

        if (flavour == DK_J_ITEMS) {
            item = dk_jseq_new(x, DK_J_TUPLE, 2);
            dk_jpush(x, item.seq, d->pair[i].key);
            dk_jpush(x, item.seq, d->pair[i].value);
        }
        dk_jpush(x, out.seq, item);
    }
    return out;
}

_Noreturn static void no_method(dk_jx *x, const dk_jbound *b)
{
    static const char *const changing[] = { "append", "clear", "extend", "insert", "pop", "remove", "reverse", "sort",
                                            "popitem", "setdefault", "update" };

    for (size_t i = 0; i < sizeof changing / sizeof *changing; i++)
        if (dk_span_is(b->name, changing[i]))
            dk_jfail(x, "access to attribute '%s' of '%s' object is unsafe.", changing[i], dk_jtype_name(b->self));
    dk_jfail(x, "'%.*s' of a %s is not supported", (int)(b->name.n < 60 ? b->name.n : 60), b->name.s,
             dk_jtype_name(b->self));
}

static dk_jv dict_method(dk_jx *x, const dk_jbound *b, const dk_jargs *a)
{
    static const char *const none[] = { NULL }, *const get[] = { "", "", NULL };
    const dk_jv *v;

    if (dk_span_is(b->name, "get")) {
        dk_jargs_check(x, a, "get", get);
        if (a->n == 0)
            dk_jfail(x, "get expected at least 1 argument, got 0");
        if (!dk_jhashable(a->v[0]))
            dk_jfail(x, "unhashable type: '%s'", dk_jtype_name(a->v[0]));
        v = dk_jfind(x, b->self.dict, a->v[0]);
        return v ? *v : a->n > 1 ? a->v[1] : dk_jnone();
    }
    if (dk_span_is(b->name, "items") || dk_span_is(b->name, "keys") || dk_span_is(b->name, "values")) {
        dk_jargs_check(x, a, "the method", none);
        return pairs(x, b->self.dict, b->name.s[0] == 'i' ? DK_J_ITEMS : b->name.s[0] == 'k' ? DK_J_KEYS : DK_J_VALUES);
    }
    if (dk_span_is(b->name, "copy"))
        return b->self;
    no_method(x, b);
}

static dk_jv list_method(dk_jx *x, const dk_jbound *b, const dk_jargs *a)
{
    const dk_jseq *s = b->self.seq;
    int64_t n = 0;

    if (dk_span_is(b->name, "copy"))
        return b->self;
    if ((!dk_span_is(b->name, "count") && !dk_span_is(b->name, "index")) || a->n != 1 || a->n_named)
        no_method(x, b);
    for (size_t i = 0; i < s->n; i++)
        if (dk_jequal(x, s->v[i], a->v[0])) {
            n++;
            if (dk_span_is(b->name, "index"))
                return dk_jint((int64_t)i);
        }
    if (dk_span_is(b->name, "index"))
        dk_jfail(x, "the value is not in the list");
    return dk_jint(n);
}

static dk_jv loop_method(dk_jx *x, const dk_jbound *b, const dk_jargs *a)
{
    dk_jloop *l = b->self.loop;
    dk_jv now;
    bool changed;

    if (dk_span_is(b->name, "cycle")) {
        if (a->n == 0)
            dk_jfail(x, "no items for cycling given");
        return a->v[l->at % a->n];
    }
    now = dk_jseq_new(x, DK_J_TUPLE, a->n);
    for (size_t i = 0; i < a->n; i++)
        dk_jpush(x, now.seq, a->v[i]);
    changed = !l->has_changed || !dk_jequal(x, l->changed, now);
    l->has_changed = true;
    l->changed = now;
    return dk_jbool(changed);
}

static dk_jv method(dk_jx *x, const dk_jbound *b, const dk_jargs *a)
{
    switch (b->self.kind) {
    case DK_J_STR: return dk_jstr_call(x, b->self, b->name, a);
    case DK_J_DICT: return dict_method(x, b, a);
    case DK_J_SEQ: return list_method(x, b, a);
    case DK_J_LOOP: return loop_method(x, b, a);
    default: no_method(x, b);
    }
}

/* --- macros ----------------------------------------------------------------------------- */
static dk_jv parameter(dk_jx *x, const dk_jmacro *m, const dk_jnode *p, size_t i, const dk_jargs *a)
{
    dk_jv v;
    dk_jhint *h;

    for (size_t k = 0; k < a->n_named; k++)
        if (dk_span_same(a->names[k], p->name)) {
            if (i < a->n)
                dk_jfail(x, "macro '%.*s' got multiple values for argument '%.*s'", (int)m->name.n, m->name.s,
                         (int)p->name.n, p->name.s);
            return a->named[k];
        }
    if (i < a->n)
        return a->v[i];
    if (p->a)
        return dk_jeval(x, p->a);
    v = dk_jundef(x, p->name, NULL, false);
    h = (dk_jhint *)v.hint;
    h->parameter = true;
    return v;
}

static void extra_named(dk_jx *x, const dk_jmacro *m, const dk_jargs *a, dk_jdict *rest, bool catches)
{
    for (size_t k = 0; k < a->n_named; k++) {
        const dk_jnode *p = m->node->list;

        while (p && !dk_span_same(p->name, a->names[k]))
            p = p->next;
        if (p || dk_span_is(a->names[k], "caller"))
            continue;
        if (!catches)
            dk_jfail(x, "macro '%.*s' takes no keyword argument '%.*s'", (int)m->name.n, m->name.s,
                     (int)a->names[k].n, a->names[k].s);
        dk_jput(x, rest, dk_jspan(x, a->names[k].s, a->names[k].n), a->named[k]);
    }
}

/* Binds the arguments in the scope at hand. */
static void bind(dk_jx *x, const dk_jmacro *m, const dk_jargs *a)
{
    const dk_jv rest = dk_jseq_new(x, DK_J_TUPLE, 0), named = dk_jdict_new(x);
    const bool varargs = m->node->op & DK_JSAYS_VARARGS, kwargs = m->node->op & DK_JSAYS_KWARGS;
    const bool calls = m->node->op & DK_JSAYS_CALLER;
    size_t i = 0;

    for (const dk_jnode *p = m->node->list; p; p = p->next)
        dk_jset(x, x->scope, p->name, parameter(x, m, p, i++, a));
    if (a->n > i && !varargs)
        dk_jfail(x, "macro '%.*s' takes not more than %zu argument(s)", (int)m->name.n, m->name.s, i);
    extra_named(x, m, a, named.dict, kwargs);
    for (; i < a->n; i++)
        dk_jpush(x, rest.seq, a->v[i]);
    if (varargs)
        dk_jset(x, x->scope, (dk_span){ "varargs", 7 }, rest);
    if (kwargs)
        dk_jset(x, x->scope, (dk_span){ "kwargs", 6 }, named);
    if (a->caller && !calls)
        dk_jfail(x, "macro '%.*s' was invoked with a call block, but does not call caller", (int)m->name.n, m->name.s);
    if (calls)
        dk_jset(x, x->scope, (dk_span){ "caller", 6 }, a->caller ? (dk_jv){ .kind = DK_J_MACRO, .macro = a->caller }
                                                                   : dk_jempty(x, "No caller defined"));
}

dk_jv dk_jcall(dk_jx *x, dk_jv f, const dk_jargs *a)
{
    dk_jscope *before = x->scope;
    const uint32_t line = x->line;
    dk_jscope *inner;
    dk_jv v;

    dk_jno_undef(x, f);
    dk_jenter(x);
    if (f.kind == DK_J_FUNC) {
        if (!f.func->call)
            dk_jfail(x, "the function '%s' is not supported", f.func->name);
        v = f.func->call(x, a);
    } else if (f.kind == DK_J_BOUND) {
        v = method(x, f.bound, a);
    } else if (f.kind == DK_J_LOOP) {
        if (a->n != 1 || a->n_named)
            dk_jfail(x, "loop() takes what is to be gone through");
        v = dk_jrun_loop(x, f.loop, a->v[0]);
    } else if (f.kind == DK_J_MACRO) {
        inner = dk_jget(x, sizeof *inner);
        inner->up = f.macro->scope;
        x->scope = inner;
        bind(x, f.macro, a);
        v = dk_jrun_macro(x, f.macro, a);
        x->scope = before;
    } else {
        dk_jfail(x, "'%s' object is not callable", dk_jtype_name(f));
    }
    x->line = line;
    dk_jleave(x);
    return v;
}
