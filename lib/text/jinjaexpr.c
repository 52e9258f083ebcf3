/* Expressions: a descent through Jinja's levels of precedence, which are not
 * quite Python's (~ binds closer than +, unary minus closer than **). */
#include <string.h>

#include "text/jinjadef.h"

dk_jnode *dk_jnew(dk_jx *x, dk_jtype type)
{
    dk_jnode *n = dk_jget(x, sizeof *n);

    n->type = type;
    n->line = dk_jpeek(x)->line;
    return n;
}

dk_jtok *dk_jpeek(dk_jx *x)
{
    dk_jtok *t = &x->tok[x->at < x->n_tok ? x->at : x->n_tok - 1];

    x->line = t->line;
    return t;
}

static bool next_is_op(dk_jx *x, const char *op)
{
    const dk_jtok *t = dk_jpeek(x) + (x->at + 1 < x->n_tok);

    return t->kind == DK_T_OP && t->op == dk_jop(op);
}

bool dk_jat_op(dk_jx *x, const char *op)
{
    const dk_jtok *t = dk_jpeek(x);

    return t->kind == DK_T_OP && t->op == dk_jop(op);
}

bool dk_jat_name(dk_jx *x, const char *name)
{
    const dk_jtok *t = dk_jpeek(x);

    return t->kind == DK_T_NAME && dk_span_is(t->s, name);
}

bool dk_jskip_op(dk_jx *x, const char *op)
{
    const bool yes = dk_jat_op(x, op);

    x->at += yes;
    return yes;
}

bool dk_jskip_name(dk_jx *x, const char *name)
{
    const bool yes = dk_jat_name(x, name);

    x->at += yes;
    return yes;
}

void dk_junexpected(dk_jx *x)
{
    const dk_jtok *t = dk_jpeek(x);

    switch (t->kind) {
    case DK_T_EOF: dk_jfail(x, "the template ends within a tag");
    case DK_T_VAR_END: dk_jfail(x, "unexpected end of an expression");
    case DK_T_BLOCK_END: dk_jfail(x, "unexpected end of a tag");
    case DK_T_INT: case DK_T_FLOAT: dk_jfail(x, "unexpected number");
    case DK_T_STR: dk_jfail(x, "unexpected text '%.*s'", (int)(t->s.n < 40 ? t->s.n : 40), t->s.s);
    default: dk_jfail(x, "unexpected '%.*s'", (int)(t->s.n < 40 ? t->s.n : 40), t->s.s ? t->s.s : "");
    }
}

void dk_jneed_op(dk_jx *x, const char *op)
{
    if (!dk_jskip_op(x, op))
        dk_junexpected(x);
}

dk_span dk_jneed_name(dk_jx *x)
{
    const dk_jtok *t = dk_jpeek(x);

    if (t->kind != DK_T_NAME)
        dk_junexpected(x);
    x->at++;
    return t->s;
}

static dk_jnode *two(dk_jx *x, dk_jtype type, uint32_t line, dk_jnode *a, dk_jnode *b)
{
    dk_jnode *n = dk_jnew(x, type);

    n->line = line;
    n->a = a;
    n->b = b;
    return n;
}

/* --- leaves -------------------------------------------------------------------- */
static dk_jnode *constant(dk_jx *x, dk_jv v)
{
    dk_jnode *n = dk_jnew(x, DK_N_CONST);

    n->value = v;
    return n;
}

static dk_jnode *name(dk_jx *x)
{
    const dk_span s = dk_jpeek(x)->s;
    dk_jnode *n = dk_jnew(x, DK_N_NAME);

    x->at++;
    n->name = s;
    x->says |= dk_span_is(s, "caller") ? DK_JSAYS_CALLER : dk_span_is(s, "varargs") ? DK_JSAYS_VARARGS
             : dk_span_is(s, "kwargs") ? DK_JSAYS_KWARGS : 0;
    if (dk_span_is(s, "true") || dk_span_is(s, "True"))
        return constant(x, dk_jbool(true));
    if (dk_span_is(s, "false") || dk_span_is(s, "False"))
        return constant(x, dk_jbool(false));
    if (dk_span_is(s, "none") || dk_span_is(s, "None"))
        return constant(x, dk_jnone());
    return n;
}

static dk_jnode *text(dk_jx *x)
{
    dk_jnode *n = dk_jnew(x, DK_N_CONST);
    dk_jb b = { .x = x };

    for (; dk_jpeek(x)->kind == DK_T_STR; x->at++)      /* neighbours are joined */
        dk_jb_add(&b, dk_jpeek(x)->s.s, dk_jpeek(x)->s.n);
    n->value = dk_jb_end(&b);
    return n;
}

static dk_jnode *list(dk_jx *x)
{
    dk_jnode *n = dk_jnew(x, DK_N_LIST), **tail = &n->list;

    dk_jneed_op(x, "[");
    while (!dk_jat_op(x, "]")) {
        *tail = two(x, DK_N_PAIR, dk_jpeek(x)->line, NULL, dk_jexpr(x, true));
        tail = &(*tail)->next;
        if (!dk_jat_op(x, "]"))
            dk_jneed_op(x, ",");
    }
    dk_jneed_op(x, "]");
    return n;
}

static dk_jnode *dict(dk_jx *x)
{
    dk_jnode *n = dk_jnew(x, DK_N_DICT), **tail = &n->list;

    dk_jneed_op(x, "{");
    while (!dk_jat_op(x, "}")) {
        dk_jnode *key = dk_jexpr(x, true);

        dk_jneed_op(x, ":");
        *tail = two(x, DK_N_PAIR, key->line, key, dk_jexpr(x, true));
        tail = &(*tail)->next;
        if (!dk_jat_op(x, "}"))
            dk_jneed_op(x, ",");
    }
    dk_jneed_op(x, "}");
    return n;
}

static dk_jnode *primary(dk_jx *x, bool target)
{
    const dk_jtok *t = dk_jpeek(x);
    dk_jnode *n;

    if (t->kind == DK_T_NAME) {
        n = name(x);
        if (target && n->type == DK_N_NAME && dk_jskip_op(x, ".")) {
            const dk_span of = n->name;

            n = two(x, DK_N_NSREF, n->line, n, NULL);
            n->name = dk_jneed_name(x);
            n->a->name = of;
        }
        return n;
    }
    if (t->kind == DK_T_STR)
        return text(x);
    if (t->kind == DK_T_INT || t->kind == DK_T_FLOAT) {
        n = constant(x, t->kind == DK_T_INT ? dk_jint(t->i) : dk_jfloat(t->f));
        x->at++;
        return n;
    }
    if (dk_jskip_op(x, "(")) {
        n = dk_jtuple(x, target, true, DK_STOP_NONE, true);
        dk_jneed_op(x, ")");
        return n;
    }
    if (dk_jat_op(x, "["))
        return list(x);
    if (dk_jat_op(x, "{"))
        return dict(x);
    dk_junexpected(x);
}

static bool tuple_ends(dk_jx *x, dk_jstop stop)
{
    const dk_jtokkind kind = dk_jpeek(x)->kind;

    return kind == DK_T_VAR_END || kind == DK_T_BLOCK_END || dk_jat_op(x, ")") ||
           (stop == DK_STOP_IN && dk_jat_name(x, "in")) ||
           (stop == DK_STOP_RECURSIVE && dk_jat_name(x, "recursive"));
}

dk_jnode *dk_jtuple(dk_jx *x, bool targets, bool cond, dk_jstop stop, bool parens)
{
    dk_jnode *n = dk_jnew(x, DK_N_TUPLE), **tail = &n->list;
    bool comma = false;

    dk_jenter(x);
    while (!tuple_ends(x, stop)) {
        *tail = two(x, DK_N_PAIR, dk_jpeek(x)->line, NULL, targets ? primary(x, true) : dk_jexpr(x, cond));
        tail = &(*tail)->next;
        if (!dk_jskip_op(x, ","))
            break;
        comma = true;
    }
    dk_jleave(x);
    if (comma)
        return n;
    if (n->list)
        return n->list->b;
    if (!parens)
        dk_junexpected(x);
    return n;
}

/* --- what follows a value --------------------------------------------------------- */
static dk_jnode *argument(dk_jx *x)
{
    dk_jnode *n = dk_jnew(x, DK_N_ARG);

    if (dk_jskip_op(x, "*")) {
        n->op = DK_JARG_LIST;
    } else if (dk_jskip_op(x, "**")) {
        n->op = DK_JARG_DICT;
    } else if (dk_jpeek(x)->kind == DK_T_NAME && next_is_op(x, "=")) {
        n->op = DK_JARG_NAMED;
        n->name = dk_jneed_name(x);
        x->at++;
    }
    n->a = dk_jexpr(x, true);
    return n;
}

static dk_jnode *arguments(dk_jx *x)
{
    dk_jnode *first = NULL, **tail = &first;
    int before = DK_JARG_PLAIN;

    dk_jneed_op(x, "(");
    while (!dk_jat_op(x, ")")) {
        *tail = argument(x);
        if ((*tail)->op < before || ((*tail)->op == before && before >= DK_JARG_LIST))
            dk_jfail(x, "the arguments of a call are in no valid order");
        before = (*tail)->op;
        tail = &(*tail)->next;
        if (!dk_jat_op(x, ")"))
            dk_jneed_op(x, ",");
    }
    dk_jneed_op(x, ")");
    return first;
}

/* In brackets: an index, or a slice with its three parts in a, b, c. */
static dk_jnode *subscript(dk_jx *x)
{
    dk_jnode *n = dk_jnew(x, DK_N_SLICE), *only = NULL;

    if (!dk_jat_op(x, ":"))
        only = dk_jexpr(x, true);
    if (!dk_jskip_op(x, ":"))
        return only;
    n->a = only;
    if (!dk_jat_op(x, ":") && !dk_jat_op(x, "]"))
        n->b = dk_jexpr(x, true);
    if (dk_jskip_op(x, ":") && !dk_jat_op(x, "]"))
        n->c = dk_jexpr(x, true);
    return n;
}

static dk_jnode *postfix(dk_jx *x, dk_jnode *n)
{
    for (;;) {
        const uint32_t line = dk_jpeek(x)->line;

        if (dk_jskip_op(x, ".")) {
            const dk_jtok *t = dk_jpeek(x);

            if (t->kind == DK_T_INT) {
                n = two(x, DK_N_ITEM, line, n, constant(x, dk_jint(t->i)));
                x->at++;
            } else {
                n = two(x, DK_N_ATTR, line, n, NULL);
                n->name = dk_jneed_name(x);
            }
        } else if (dk_jskip_op(x, "[")) {
            n = two(x, DK_N_ITEM, line, n, subscript(x));
            dk_jneed_op(x, "]");
        } else if (dk_jat_op(x, "(")) {
            n = two(x, DK_N_CALL, line, n, NULL);
            n->list = arguments(x);
        } else {
            return n;
        }
    }
}

static dk_span dotted(dk_jx *x)
{
    dk_span s = dk_jneed_name(x);
    dk_jb b = { .x = x };

    if (!dk_jat_op(x, "."))
        return s;
    dk_jb_add(&b, s.s, s.n);
    while (dk_jskip_op(x, ".")) {
        s = dk_jneed_name(x);
        dk_jb_adds(&b, ".");
        dk_jb_add(&b, s.s, s.n);
    }
    return (dk_span){ b.s, b.n };
}

dk_jnode *dk_jfilters(dk_jx *x, dk_jnode *of, bool inlined)
{
    while (inlined || dk_jskip_op(x, "|")) {
        of = two(x, DK_N_FILTER, dk_jpeek(x)->line, of, NULL);
        of->name = dotted(x);
        if (dk_jat_op(x, "("))
            of->list = arguments(x);
        inlined = false;
    }
    return of;
}

static bool starts_operand(dk_jx *x)
{
    switch (dk_jpeek(x)->kind) {
    case DK_T_STR: case DK_T_INT: case DK_T_FLOAT: return true;
    case DK_T_NAME: return !dk_jat_name(x, "else") && !dk_jat_name(x, "or") && !dk_jat_name(x, "and");
    default: return dk_jat_op(x, "[") || dk_jat_op(x, "{");
    }
}

static dk_jnode *test(dk_jx *x, dk_jnode *of)
{
    dk_jnode *n = two(x, DK_N_TEST, dk_jpeek(x)->line, of, NULL);
    const bool negated = dk_jskip_name(x, "not");

    n->name = dotted(x);
    if (dk_jat_op(x, "(")) {
        n->list = arguments(x);
    } else if (starts_operand(x)) {
        if (dk_jat_name(x, "is"))
            dk_jfail(x, "tests cannot be chained with 'is'");
        n->list = dk_jnew(x, DK_N_ARG);
        n->list->a = postfix(x, primary(x, false));
    }
    return negated ? two(x, DK_N_NOT, n->line, n, NULL) : n;
}

static dk_jnode *unary(dk_jx *x, bool filters)
{
    const uint32_t line = dk_jpeek(x)->line;
    dk_jnode *n;

    dk_jenter(x);
    if (dk_jskip_op(x, "-"))
        n = two(x, DK_N_NEG, line, unary(x, false), NULL);
    else if (dk_jskip_op(x, "+"))
        n = two(x, DK_N_POS, line, unary(x, false), NULL);
    else
        n = primary(x, false);
    n = postfix(x, n);
    while (filters) {
        const uint32_t at = dk_jpeek(x)->line;

        if (dk_jat_op(x, "|")) {
            n = dk_jfilters(x, n, false);
        } else if (dk_jskip_name(x, "is")) {
            n = test(x, n);
        } else if (dk_jat_op(x, "(")) {
            n = two(x, DK_N_CALL, at, n, NULL);
            n->list = arguments(x);
        } else {
            break;
        }
    }
    dk_jleave(x);
    return n;
}

/* --- operators -------------------------------------------------------------------- */
static dk_jnode *binary(dk_jx *x, dk_jnode *(*part)(dk_jx *), const char *const *ops)
{
    dk_jnode *n = part(x);

    for (;;) {
        const dk_jtok *t = dk_jpeek(x);
        size_t i = 0;

        while (ops[i] && !dk_jat_op(x, ops[i]))
            i++;
        if (!ops[i])
            return n;
        x->at++;
        n = two(x, DK_N_BIN, t->line, n, part(x));
        n->op = t->op;
    }
}

static dk_jnode *signed_value(dk_jx *x) { return unary(x, true); }

static dk_jnode *power(dk_jx *x)
{
    static const char *const ops[] = { "**", NULL };

    return binary(x, signed_value, ops);
}

static dk_jnode *product(dk_jx *x)
{
    static const char *const ops[] = { "*", "/", "//", "%", NULL };

    return binary(x, power, ops);
}

static dk_jnode *concat(dk_jx *x)
{
    dk_jnode *first = product(x), *n, **tail;

    if (!dk_jat_op(x, "~"))
        return first;
    n = dk_jnew(x, DK_N_CONCAT);
    n->list = two(x, DK_N_PAIR, first->line, NULL, first);
    tail = &n->list->next;
    while (dk_jskip_op(x, "~")) {
        *tail = two(x, DK_N_PAIR, dk_jpeek(x)->line, NULL, product(x));
        tail = &(*tail)->next;
    }
    return n;
}

static dk_jnode *sum(dk_jx *x)
{
    static const char *const ops[] = { "+", "-", NULL };

    return binary(x, concat, ops);
}

static int comparison(dk_jx *x)
{
    static const char *const ops[] = { "==", "!=", "<", "<=", ">", ">=" };

    for (size_t i = 0; i < sizeof ops / sizeof *ops; i++)
        if (dk_jskip_op(x, ops[i]))
            return dk_jop(ops[i]);
    if (dk_jskip_name(x, "in"))
        return DK_JOP_IN;
    if (dk_jat_name(x, "not") && x->at + 1 < x->n_tok && x->tok[x->at + 1].kind == DK_T_NAME &&
        dk_span_is(x->tok[x->at + 1].s, "in")) {
        x->at += 2;
        return DK_JOP_NOT_IN;
    }
    return 0;
}

static dk_jnode *compare(dk_jx *x)
{
    dk_jnode *first = sum(x), *n = NULL, **tail = NULL;
    uint32_t line = dk_jpeek(x)->line;
    int op;

    while ((op = comparison(x)) != 0) {
        if (!n) {
            n = two(x, DK_N_COMPARE, line, first, NULL);
            tail = &n->list;
        }
        *tail = two(x, DK_N_OPERAND, line, sum(x), NULL);
        (*tail)->op = op;
        tail = &(*tail)->next;
        line = dk_jpeek(x)->line;
    }
    return n ? n : first;
}

static dk_jnode *negation(dk_jx *x)
{
    const uint32_t line = dk_jpeek(x)->line;
    dk_jnode *n;

    if (!dk_jskip_name(x, "not"))
        return compare(x);
    dk_jenter(x);
    n = two(x, DK_N_NOT, line, negation(x), NULL);
    dk_jleave(x);
    return n;
}

static dk_jnode *conjunction(dk_jx *x)
{
    dk_jnode *n = negation(x);

    while (dk_jskip_name(x, "and"))
        n = two(x, DK_N_AND, n->line, n, negation(x));
    return n;
}

static dk_jnode *disjunction(dk_jx *x)
{
    dk_jnode *n = conjunction(x);

    while (dk_jskip_name(x, "or"))
        n = two(x, DK_N_OR, n->line, n, conjunction(x));
    return n;
}

/* a if b else c: the condition in a, the values in b and c (NULL: undefined). */
dk_jnode *dk_jexpr(dk_jx *x, bool cond)
{
    dk_jnode *n;

    dk_jenter(x);
    n = disjunction(x);
    while (cond && dk_jskip_name(x, "if")) {
        n = two(x, DK_N_COND, n->line, disjunction(x), n);
        if (dk_jskip_name(x, "else"))
            n->c = dk_jexpr(x, true);
    }
    dk_jleave(x);
    return n;
}
