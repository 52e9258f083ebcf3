/* Filters that take or make lists. */
#include <string.h>

#include "text/jinjadef.h"

/* --- members by name: "a.b.0" ---------------------------------------------------------- */
static dk_jv part(dk_jx *x, dk_jv v, const char *s, size_t n)
{
    bool digits = n > 0 && n < 10;
    int64_t i = 0;

    for (size_t k = 0; k < n; k++) {
        digits = digits && s[k] >= '0' && s[k] <= '9';
        i = digits ? i * 10 + s[k] - '0' : 0;
    }
    return dk_jitem(x, v, digits ? dk_jint(i) : dk_jspan(x, s, n));
}

/* by NULL or none: v itself; otherwise: what stands for undefined, or NULL. */
static dk_jv member(dk_jx *x, dk_jv v, const dk_jv *by, const dk_jv *otherwise)
{
    if (!by || by->kind == DK_J_NONE)
        return v;
    if (by->kind != DK_J_STR)
        return dk_jitem(x, v, *by);
    for (size_t from = 0; from <= by->str->n;) {
        const char *dot = memchr(by->str->s + from, '.', by->str->n - from);
        const size_t to = dot ? (size_t)(dot - by->str->s) : by->str->n;

        v = part(x, v, by->str->s + from, to - from);
        if (v.kind == DK_J_UNDEF && otherwise && otherwise->kind != DK_J_NONE)
            v = *otherwise;
        from = to + 1;
    }
    return v;
}

static bool flag(dk_jx *x, const dk_jargs *a, size_t i, const char *name)
{
    const dk_jv *v = dk_jarg(x, a, i, name);

    return v && dk_jtrue(x, *v);
}

static dk_jv folded(dk_jx *x, dk_jv v, bool fold)
{
    return fold && v.kind == DK_J_STR ? dk_jcase_of(x, v.str, DK_J_LOWER) : v;
}

/* --- order -------------------------------------------------------------------------------- */

/* Merges keys and items together, stable; reverse keeps equal items in order too. */
static void merge_sort(dk_jx *x, dk_jv *key, dk_jv *item, size_t n, bool reverse, dk_jv *k, dk_jv *v)
{
    const size_t half = n / 2;
    size_t i = 0, j = half, at = 0;

    if (n < 2)
        return;
    merge_sort(x, key, item, half, reverse, k, v);
    merge_sort(x, key + half, item + half, n - half, reverse, k, v);
    while (i < half || j < n) {
        bool right = i == half;

        if (i < half && j < n) {
            const int d = reverse ? dk_jorder(x, key[i], key[j], "<") : dk_jorder(x, key[j], key[i], "<");

            right = d == -1;
        }
        k[at] = right ? key[j] : key[i];
        v[at++] = right ? item[j++] : item[i++];
    }
    memcpy(key, k, n * sizeof *k);
    memcpy(item, v, n * sizeof *v);
}

static void sort_by(dk_jx *x, dk_jv *key, dk_jv *item, size_t n, bool reverse)
{
    dk_jv *k = dk_jget(x, (n + 1) * sizeof *k), *v = dk_jget(x, (n + 1) * sizeof *v);

    merge_sort(x, key, item, n, reverse, k, v);
}

static dk_jv sort(dk_jx *x, dk_jv v, const dk_jargs *a)
{
    static const char *const names[] = { "reverse", "case_sensitive", "attribute", NULL };
    const dk_jseq *s = dk_jiter(x, v);
    const dk_jv *by = dk_jarg(x, a, 2, "attribute"), out = dk_jseq_new(x, DK_J_LIST, s->n);
    dk_jv *key = dk_jget(x, (s->n + 1) * sizeof *key);

    dk_jargs_check(x, a, "sort", names);
    if (by && by->kind == DK_J_STR && memchr(by->str->s, ',', by->str->n))
        dk_jfail(x, "sort by several attributes is not supported");
    for (size_t i = 0; i < s->n; i++) {
        key[i] = folded(x, member(x, s->v[i], by, NULL), !flag(x, a, 1, "case_sensitive"));
        dk_jpush(x, out.seq, s->v[i]);
    }
    sort_by(x, key, out.seq->v, s->n, flag(x, a, 0, "reverse"));
    return out;
}

static dk_jv dictsort(dk_jx *x, dk_jv v, const dk_jargs *a)
{
    static const char *const names[] = { "case_sensitive", "by", "reverse", NULL };
    const dk_jv *by = dk_jarg(x, a, 1, "by");
    const bool value = by && by->kind == DK_J_STR && dk_span_is((dk_span){ by->str->s, by->str->n }, "value");
    dk_jv out, *key;

    dk_jargs_check(x, a, "dictsort", names);
    dk_jno_undef(x, v);
    if (v.kind != DK_J_DICT)
        dk_jfail(x, "dictsort needs a dict, not %s", dk_jtype_name(v));
    if (by && !value && !(by->kind == DK_J_STR && dk_span_is((dk_span){ by->str->s, by->str->n }, "key")))
        dk_jfail(x, "You can only sort by either \"key\" or \"value\"");
    out = dk_jseq_new(x, DK_J_LIST, v.dict->n);
    key = dk_jget(x, (v.dict->n + 1) * sizeof *key);
    for (size_t i = 0; i < v.dict->n; i++) {
        const struct dk_jpair *p = &v.dict->pair[i];
        const dk_jv item = dk_jseq_new(x, DK_J_TUPLE, 2);

        dk_jpush(x, item.seq, p->key);
        dk_jpush(x, item.seq, p->value);
        dk_jpush(x, out.seq, item);
        key[i] = folded(x, value ? p->value : p->key, !flag(x, a, 0, "case_sensitive"));
    }
    sort_by(x, key, out.seq->v, v.dict->n, flag(x, a, 2, "reverse"));
    return out;
}

static dk_jv extreme(dk_jx *x, dk_jv v, const dk_jargs *a, bool most)
{
    static const char *const names[] = { "case_sensitive", "attribute", NULL };
    const dk_jseq *s = dk_jiter(x, v);
    const dk_jv *by = dk_jarg(x, a, 1, "attribute");
    const bool fold = !flag(x, a, 0, "case_sensitive");
    dk_jv best, key;
    size_t at = 0;

    dk_jargs_check(x, a, most ? "max" : "min", names);
    if (s->n == 0)
        return dk_jempty(x, "No aggregated item, sequence was empty.");
    best = folded(x, member(x, s->v[0], by, NULL), fold);
    for (size_t i = 1; i < s->n; i++) {
        key = folded(x, member(x, s->v[i], by, NULL), fold);
        if (dk_jorder(x, key, best, most ? ">" : "<") == (most ? 1 : -1)) {
            best = key;
            at = i;
        }
    }
    return s->v[at];
}

static dk_jv min(dk_jx *x, dk_jv v, const dk_jargs *a) { return extreme(x, v, a, false); }
static dk_jv max(dk_jx *x, dk_jv v, const dk_jargs *a) { return extreme(x, v, a, true); }

static dk_jv unique(dk_jx *x, dk_jv v, const dk_jargs *a)
{
    static const char *const names[] = { "case_sensitive", "attribute", NULL };
    const dk_jseq *s = dk_jiter(x, v);
    const dk_jv out = dk_jseq_new(x, DK_J_GENERATOR, 0), seen = dk_jdict_new(x);

    dk_jargs_check(x, a, "unique", names);
    for (size_t i = 0; i < s->n; i++) {
        const dk_jv key = folded(x, member(x, s->v[i], dk_jarg(x, a, 1, "attribute"), NULL),
                                 !flag(x, a, 0, "case_sensitive"));

        if (!dk_jhashable(key))
            dk_jfail(x, "unhashable type: '%s'", dk_jtype_name(key));
        if (dk_jfind(x, seen.dict, key))
            continue;
        dk_jput(x, seen.dict, key, dk_jnone());
        dk_jpush(x, out.seq, s->v[i]);
    }
    return out;
}

static dk_jv groupby(dk_jx *x, dk_jv v, const dk_jargs *a)
{
    static const char *const names[] = { "attribute", "default", "case_sensitive", NULL };
    const dk_jseq *s = dk_jiter(x, v);
    const dk_jv *by = dk_jarg(x, a, 0, "attribute"), *otherwise = dk_jarg(x, a, 1, "default");
    const dk_jv sorted = dk_jseq_new(x, DK_J_LIST, s->n), out = dk_jseq_new(x, DK_J_LIST, 0);
    dk_jv *key = dk_jget(x, (s->n + 1) * sizeof *key), list = dk_jnone();

    dk_jargs_check(x, a, "groupby", names);
    if (!by)
        dk_jfail(x, "groupby needs an attribute");
    for (size_t i = 0; i < s->n; i++) {
        key[i] = folded(x, member(x, s->v[i], by, otherwise), !flag(x, a, 2, "case_sensitive"));
        dk_jpush(x, sorted.seq, s->v[i]);
    }
    sort_by(x, key, sorted.seq->v, s->n, false);
    for (size_t i = 0; i < s->n; i++) {
        if (i == 0 || !dk_jequal(x, key[i], key[i - 1])) {
            const dk_jv group = dk_jseq_new(x, DK_J_TUPLE, 2);

            list = dk_jseq_new(x, DK_J_LIST, 0);
            dk_jpush(x, group.seq, member(x, sorted.seq->v[i], by, otherwise));
            dk_jpush(x, group.seq, list);
            dk_jpush(x, out.seq, group);
        }
        dk_jpush(x, list.seq, sorted.seq->v[i]);
    }
    return out;
}

/* --- selection ------------------------------------------------------------------------------ */
static dk_jargs behind(const dk_jargs *a, size_t n)
{
    dk_jargs rest = *a;

    rest.v += rest.n ? n : 0;
    rest.n -= n;
    return rest;
}

static dk_span name_of(dk_jx *x, dk_jv v)
{
    const dk_jstr *s = dk_jstr_of(x, v, "the name of a filter or test");

    return (dk_span){ s->s, s->n };
}

static dk_jv select_by(dk_jx *x, dk_jv v, const dk_jargs *a, bool attr, bool keep)
{
    const dk_jv out = dk_jseq_new(x, DK_J_GENERATOR, 0);
    dk_jargs rest = {0};
    dk_jseq *s;

    if (!dk_jtrue(x, v))            /* Jinja looks no further */
        return out;
    s = dk_jiter(x, v);
    if (attr && a->n == 0)
        dk_jfail(x, "Missing parameter for attribute name");
    if (a->n > attr)
        rest = behind(a, attr + (size_t)1);
    for (size_t i = 0; i < s->n; i++) {
        const dk_jv of = attr ? member(x, s->v[i], &a->v[0], NULL) : s->v[i];
        const bool yes = a->n > attr ? dk_jtest(x, name_of(x, a->v[attr]), of, &rest) : dk_jtrue(x, of);

        if (yes == keep)
            dk_jpush(x, out.seq, s->v[i]);
    }
    return out;
}

static dk_jv select(dk_jx *x, dk_jv v, const dk_jargs *a) { return select_by(x, v, a, false, true); }
static dk_jv reject(dk_jx *x, dk_jv v, const dk_jargs *a) { return select_by(x, v, a, false, false); }
static dk_jv selectattr(dk_jx *x, dk_jv v, const dk_jargs *a) { return select_by(x, v, a, true, true); }
static dk_jv rejectattr(dk_jx *x, dk_jv v, const dk_jargs *a) { return select_by(x, v, a, true, false); }

static dk_jv map(dk_jx *x, dk_jv v, const dk_jargs *a)
{
    static const char *const names[] = { "", "default", "attribute", NULL };
    const dk_jv out = dk_jseq_new(x, DK_J_GENERATOR, 0);
    const dk_jv *by = dk_jarg(x, a, SIZE_MAX, "attribute");
    dk_jargs rest = {0};
    dk_jseq *s;

    if (!dk_jtrue(x, v))
        return out;
    s = dk_jiter(x, v);
    if (a->n == 0 && !by)
        dk_jfail(x, "map requires a filter argument");
    if (a->n == 0)
        dk_jargs_check(x, a, "map", names);
    else
        rest = behind(a, 1);
    for (size_t i = 0; i < s->n; i++)
        dk_jpush(x, out.seq, a->n ? dk_jfilter(x, name_of(x, a->v[0]), s->v[i], &rest)
                                  : member(x, s->v[i], by, dk_jarg(x, a, SIZE_MAX, "default")));
    return out;
}

/* --- one of them, all of them ----------------------------------------------------------------- */
static dk_jv first(dk_jx *x, dk_jv v, const dk_jargs *a)
{
    dk_jseq *s;

    (void)a;
    if (v.kind == DK_J_SEQ && v.seq->flavour == DK_J_GENERATOR && !v.seq->used && v.seq->n > 0) {
        const dk_jv head = v.seq->v[0];     /* the rest stays in it */

        v.seq->v++;
        v.seq->n--;
        return head;
    }
    s = dk_jiter(x, v);
    return s->n ? s->v[0] : dk_jempty(x, "No first item, sequence was empty.");
}

static dk_jv last(dk_jx *x, dk_jv v, const dk_jargs *a)
{
    dk_jseq *s;

    (void)a;
    if (v.kind == DK_J_SEQ && v.seq->flavour == DK_J_GENERATOR)
        dk_jfail(x, "'generator' object is not reversible");
    s = dk_jiter(x, v);
    return s->n ? s->v[s->n - 1] : dk_jempty(x, "No last item, sequence was empty.");
}

static dk_jv list(dk_jx *x, dk_jv v, const dk_jargs *a)
{
    const dk_jseq *s = dk_jiter(x, v);
    const dk_jv out = dk_jseq_new(x, DK_J_LIST, s->n);

    (void)a;
    for (size_t i = 0; i < s->n; i++)
        dk_jpush(x, out.seq, s->v[i]);
    return out;
}

static dk_jv reverse(dk_jx *x, dk_jv v, const dk_jargs *a)
{
    const dk_jv out = dk_jseq_new(x, DK_J_GENERATOR, 0);
    dk_jb b = { .x = x };
    dk_jseq *s;

    (void)a;
    s = dk_jiter(x, v);
    for (size_t i = s->n; i-- > 0;) {
        if (v.kind == DK_J_STR)
            dk_jb_str(&b, s->v[i].str);
        else
            dk_jpush(x, out.seq, s->v[i]);
    }
    return v.kind == DK_J_STR ? dk_jb_end(&b) : out;
}

static dk_jv items(dk_jx *x, dk_jv v, const dk_jargs *a)
{
    const dk_jv out = dk_jseq_new(x, DK_J_GENERATOR, 0);

    (void)a;
    if (v.kind != DK_J_DICT && v.kind != DK_J_UNDEF)
        dk_jfail(x, "Can only get item pairs from a mapping.");
    for (size_t i = 0; v.kind == DK_J_DICT && i < v.dict->n; i++) {
        const dk_jv item = dk_jseq_new(x, DK_J_TUPLE, 2);

        dk_jpush(x, item.seq, v.dict->pair[i].key);
        dk_jpush(x, item.seq, v.dict->pair[i].value);
        dk_jpush(x, out.seq, item);
    }
    return out;
}

static dk_jv join(dk_jx *x, dk_jv v, const dk_jargs *a)
{
    static const char *const names[] = { "d", "attribute", NULL };
    const dk_jv *by = dk_jarg(x, a, 0, "d");
    const dk_jstr *between = by ? dk_jtext(x, *by) : dk_jlit(x, "").str;
    dk_jseq *s = dk_jiter(x, v);
    dk_jb b = { .x = x };

    dk_jargs_check(x, a, "join", names);
    for (size_t i = 0; i < s->n; i++) {
        if (i)
            dk_jb_str(&b, between);
        dk_jb_put(&b, member(x, s->v[i], dk_jarg(x, a, 1, "attribute"), NULL));
    }
    return dk_jb_end(&b);
}

static dk_jv sum(dk_jx *x, dk_jv v, const dk_jargs *a)
{
    static const char *const names[] = { "attribute", "start", NULL };
    const dk_jv *start = dk_jarg(x, a, 1, "start");
    dk_jseq *s = dk_jiter(x, v);
    dk_jv out = start ? *start : dk_jint(0);

    dk_jargs_check(x, a, "sum", names);
    if (out.kind == DK_J_STR)
        dk_jfail(x, "sum() can't sum strings [use ''.join(seq) instead]");
    for (size_t i = 0; i < s->n; i++)
        out = dk_jbin(x, '+', out, member(x, s->v[i], dk_jarg(x, a, 0, "attribute"), NULL));
    return out;
}

static dk_jv batch(dk_jx *x, dk_jv v, const dk_jargs *a)
{
    static const char *const names[] = { "linecount", "fill_with", NULL };
    const dk_jv *size = dk_jarg(x, a, 0, "linecount"), *fill = dk_jarg(x, a, 1, "fill_with");
    const dk_jv out = dk_jseq_new(x, DK_J_GENERATOR, 0);
    dk_jseq *s = dk_jiter(x, v), *row = NULL;
    int64_t n;

    dk_jargs_check(x, a, "batch", names);
    if (!size)
        dk_jfail(x, "batch needs a size");
    n = dk_jwhole(x, *size, "batch");
    for (size_t i = 0; i < s->n; i++) {
        if (!row || (int64_t)row->n == n) {
            const dk_jv fresh = dk_jseq_new(x, DK_J_LIST, 0);

            row = fresh.seq;
            dk_jpush(x, out.seq, fresh);
        }
        dk_jpush(x, row, s->v[i]);
    }
    while (row && fill && fill->kind != DK_J_NONE && (int64_t)row->n < n)
        dk_jpush(x, row, *fill);
    return out;
}

static const struct seq_filter {
    const char *name;
    dk_jv (*call)(dk_jx *, dk_jv, const dk_jargs *);
    bool plain;             /* takes no arguments */
} filters[] = {
    { "sort", sort, false }, { "dictsort", dictsort, false }, { "min", min, false }, { "max", max, false },
    { "unique", unique, false }, { "groupby", groupby, false }, { "select", select, false },
    { "reject", reject, false }, { "selectattr", selectattr, false }, { "rejectattr", rejectattr, false },
    { "map", map, false }, { "first", first, true }, { "last", last, true }, { "list", list, true },
    { "reverse", reverse, true }, { "items", items, true }, { "join", join, false }, { "sum", sum, false },
    { "batch", batch, false }
};

static const struct seq_filter *find(dk_span name)
{
    for (size_t i = 0; i < sizeof filters / sizeof *filters; i++)
        if (dk_span_is(name, filters[i].name))
            return &filters[i];
    return NULL;
}

bool dk_jseq_filter_known(dk_span name) { return find(name) != NULL; }

bool dk_jseq_filter(dk_jx *x, dk_span name, dk_jv v, const dk_jargs *a, dk_jv *out)
{
    const struct seq_filter *f = find(name);

    if (!f)
        return false;
    if (f->plain && (a->n || a->n_named))
        dk_jfail(x, "the filter '%s' takes no arguments", f->name);
    *out = f->call(x, v, a);
    return true;
}
