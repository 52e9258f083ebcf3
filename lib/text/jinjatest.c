/* Tests: what stands behind "is". */
#include <string.h>

#include "text/jinjadef.h"

static dk_jv operand(dk_jx *x, const dk_jargs *a)
{
    if (a->n != 1 || a->n_named)
        dk_jfail(x, "the test takes one operand");
    return a->v[0];
}

static bool is_case(dk_jx *x, dk_jv v, const char *what)
{
    bool out = false;

    dk_jstr_is(x, dk_jtext(x, v), what, &out);
    return out;
}

/* v modulo by is rest, as Python counts. */
static bool leaves(dk_jx *x, dk_jv v, int64_t by, double rest)
{
    const dk_jv r = dk_jbin(x, '%', v, dk_jint(by));

    return dk_jis_number(r) && dk_jnum(r) == rest;
}

static bool callable(dk_jv v)
{
    return v.kind == DK_J_MACRO || v.kind == DK_J_FUNC || v.kind == DK_J_BOUND || v.kind == DK_J_LOOP ||
           v.kind == DK_J_UNDEF;        /* Jinja's undefined can be called, and then fails */
}

static bool iterable(dk_jv v)
{
    return v.kind == DK_J_STR || v.kind == DK_J_SEQ || v.kind == DK_J_DICT || v.kind == DK_J_UNDEF ||
           v.kind == DK_J_LOOP;
}

static bool sequence(dk_jv v)
{
    return v.kind == DK_J_STR || v.kind == DK_J_DICT || v.kind == DK_J_UNDEF ||
           (v.kind == DK_J_SEQ && v.seq->flavour <= DK_J_RANGE);
}

static bool same_as(dk_jv a, dk_jv b)
{
    if (a.kind != b.kind)
        return false;
    switch (a.kind) {
    case DK_J_NONE: return true;
    case DK_J_BOOL: return a.b == b.b;
    case DK_J_INT: return a.i == b.i;
    case DK_J_FLOAT: return a.f == b.f;
    default: return a.dict == b.dict;
    }
}

typedef enum kind {
    UNKNOWN, DEFINED, UNDEFINED, NONE, BOOLEAN, TRUE, FALSE, INTEGER, FLOAT, NUMBER, STRING, MAPPING, ITERABLE,
    SEQUENCE, CALLABLE, ODD, EVEN, DIVISIBLE, UPPER, LOWER, IN, SAME, EQ, NE, LT, LE, GT, GE, FILTER, TEST, ESCAPED
} kind;

static kind find(dk_span name)
{
    static const struct { const char *name; kind kind; } names[] = {
        { "defined", DEFINED }, { "undefined", UNDEFINED }, { "none", NONE }, { "boolean", BOOLEAN },
        { "true", TRUE }, { "false", FALSE }, { "integer", INTEGER }, { "float", FLOAT }, { "number", NUMBER },
        { "string", STRING }, { "mapping", MAPPING }, { "iterable", ITERABLE }, { "sequence", SEQUENCE },
        { "callable", CALLABLE }, { "odd", ODD }, { "even", EVEN }, { "divisibleby", DIVISIBLE },
        { "upper", UPPER }, { "lower", LOWER }, { "in", IN }, { "sameas", SAME }, { "eq", EQ }, { "equalto", EQ },
        { "==", EQ }, { "ne", NE }, { "!=", NE }, { "lt", LT }, { "lessthan", LT }, { "<", LT }, { "le", LE },
        { "<=", LE }, { "gt", GT }, { "greaterthan", GT }, { ">", GT }, { "ge", GE }, { ">=", GE },
        { "filter", FILTER }, { "test", TEST }, { "escaped", ESCAPED }
    };

    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (dk_span_is(name, names[i].name))
            return names[i].kind;
    return UNKNOWN;
}

bool dk_jtest_known(dk_span name) { return find(name) != UNKNOWN; }

static bool known(dk_jx *x, dk_jv v, bool test)
{
    const dk_jstr *s = dk_jstr_of(x, v, "the name");

    return test ? dk_jtest_known((dk_span){ s->s, s->n }) : dk_jfilter_known((dk_span){ s->s, s->n });
}

static bool against(dk_jx *x, kind k, dk_jv v, dk_jv w)
{
    const char *op = k == LT ? "<" : k == LE ? "<=" : k == GT ? ">" : ">=";
    int d;

    switch (k) {
    case IN: return dk_jin(x, v, w);
    case SAME: return same_as(v, w);
    case EQ: return dk_jequal(x, v, w);
    case NE: return !dk_jequal(x, v, w);
    case DIVISIBLE: return leaves(x, v, dk_jwhole(x, w, "divisibleby"), 0);
    default:
        d = dk_jorder(x, v, w, op);
        return d != 2 && (k == LT ? d < 0 : k == LE ? d <= 0 : k == GT ? d > 0 : d >= 0);
    }
}

bool dk_jtest(dk_jx *x, dk_span name, dk_jv v, const dk_jargs *a)
{
    const kind k = find(name);

    if (k == UNKNOWN)
        dk_jfail(x, "the test '%.*s' is not supported", (int)(name.n < 60 ? name.n : 60), name.s);
    if (k == IN || k == SAME || k == DIVISIBLE || (k >= EQ && k <= GE))
        return against(x, k, v, operand(x, a));
    if (a->n || a->n_named)
        dk_jfail(x, "the test '%.*s' takes no operand", (int)name.n, name.s);
    switch (k) {
    case DEFINED: return v.kind != DK_J_UNDEF;
    case UNDEFINED: return v.kind == DK_J_UNDEF;
    case NONE: return v.kind == DK_J_NONE;
    case BOOLEAN: return v.kind == DK_J_BOOL;
    case TRUE: return v.kind == DK_J_BOOL && v.b;
    case FALSE: return v.kind == DK_J_BOOL && !v.b;
    case INTEGER: return v.kind == DK_J_INT;
    case FLOAT: return v.kind == DK_J_FLOAT;
    case NUMBER: return dk_jis_number(v);
    case STRING: return v.kind == DK_J_STR;
    case MAPPING: return v.kind == DK_J_DICT;
    case ITERABLE: return iterable(v);
    case SEQUENCE: return sequence(v);
    case CALLABLE: return callable(v);
    case ODD: return leaves(x, v, 2, 1);
    case EVEN: return leaves(x, v, 2, 0);
    case UPPER: return is_case(x, v, "isupper");
    case LOWER: return is_case(x, v, "islower");
    case ESCAPED: return v.kind == DK_J_STR && v.str->markup;
    default: return known(x, v, k == TEST);
    }
}
