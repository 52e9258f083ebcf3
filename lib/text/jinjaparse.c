/* Statements, and the way in: a template as a tree. */
#include <string.h>

#include "text/jinjadef.h"
#include "text/utf8.h"

struct dk_jinja {
    dk_arena arena;
    char *name;
    dk_jnode *body;
    bool generation;
};

enum { PARSE_MEMORY = 256 << 20 };

static dk_jnode *statements(dk_jx *x, const char *const *ends);

/* {% word %}: whether one of the ends opens here (x->at is on the word). */
static bool at_end(dk_jx *x, const char *const *ends)
{
    for (size_t i = 0; ends && ends[i]; i++)
        if (dk_jat_name(x, ends[i]))
            return true;
    return false;
}

static void block_end(dk_jx *x)
{
    if (dk_jpeek(x)->kind != DK_T_BLOCK_END)
        dk_junexpected(x);
    x->at++;
}

/* The body of a statement, up to {% end %}; stands behind the word that ends it. */
static dk_jnode *body(dk_jx *x, const char *const *ends, const char **which)
{
    dk_jnode *n;

    dk_jskip_op(x, ":");
    block_end(x);
    n = statements(x, ends);
    for (size_t i = 0; ends[i]; i++)
        if (dk_jskip_name(x, ends[i])) {
            *which = ends[i];
            return n;
        }
    dk_jfail(x, "the template ends before {%% %s %%}", ends[0]);
}

static dk_jnode *plain_body(dk_jx *x, const char *end)
{
    const char *const ends[] = { end, NULL };
    const char *which;

    return body(x, ends, &which);
}

static void can_assign(dk_jx *x, const dk_jnode *n)
{
    if (n->type == DK_N_NAME || n->type == DK_N_NSREF)
        return;
    if (n->type != DK_N_TUPLE)
        dk_jfail(x, "only names, members of namespaces and lists of these can be set");
    for (const dk_jnode *i = n->list; i; i = i->next)
        can_assign(x, i->b);
}

static dk_jnode *target(dk_jx *x, dk_jstop stop)
{
    dk_jnode *n = dk_jtuple(x, true, true, stop, false);

    can_assign(x, n);
    return n;
}

/* --- one function for each tag; x->at is behind its word ------------------------------- */

/* a: targets; b: what is gone through; c: the condition; flag: recursive. */
static dk_jnode *parse_for(dk_jx *x)
{
    static const char *const ends[] = { "endfor", "else", NULL };
    dk_jnode *n = dk_jnew(x, DK_N_FOR);
    const char *which;

    n->a = target(x, DK_STOP_IN);
    if (!dk_jskip_name(x, "in"))
        dk_junexpected(x);
    n->b = dk_jtuple(x, false, false, DK_STOP_RECURSIVE, false);
    if (dk_jskip_name(x, "if"))
        n->c = dk_jexpr(x, true);
    n->flag = dk_jskip_name(x, "recursive");
    x->loops++;
    n->body = body(x, ends, &which);
    x->loops--;
    if (strcmp(which, "else") == 0)
        n->orelse = plain_body(x, "endfor");
    return n;
}

/* a: the condition; orelse: what follows, another IF for an elif. */
static dk_jnode *parse_if(dk_jx *x)
{
    static const char *const ends[] = { "endif", "elif", "else", NULL };
    dk_jnode *first = dk_jnew(x, DK_N_IF), *n = first;

    for (;;) {
        const char *which;

        n->a = dk_jtuple(x, false, false, DK_STOP_NONE, false);
        n->body = body(x, ends, &which);
        if (strcmp(which, "endif") == 0)
            return first;
        if (strcmp(which, "else") == 0) {
            n->orelse = plain_body(x, "endif");
            return first;
        }
        n = n->orelse = dk_jnew(x, DK_N_IF);
        n->flag = true;                 /* an elif */
    }
}

/* a: the target; b: the value, or body with b its filters. */
static dk_jnode *parse_set(dk_jx *x)
{
    dk_jnode *n = dk_jnew(x, DK_N_SET);

    n->a = target(x, DK_STOP_NONE);
    if (dk_jskip_op(x, "=")) {
        n->b = dk_jtuple(x, false, true, DK_STOP_NONE, false);
        return n;
    }
    n->type = DK_N_SETBLOCK;
    n->b = dk_jfilters(x, NULL, false);
    n->body = plain_body(x, "endset");
    return n;
}

static dk_jnode *signature(dk_jx *x)
{
    dk_jnode *first = NULL, **tail = &first;
    bool defaults = false;

    dk_jneed_op(x, "(");
    while (!dk_jat_op(x, ")")) {
        dk_jnode *p = dk_jnew(x, DK_N_PARAM);

        p->name = dk_jneed_name(x);
        if (dk_jskip_op(x, "="))
            p->a = dk_jexpr(x, true);
        if (!p->a && defaults)
            dk_jfail(x, "a parameter without default follows one with");
        defaults = p->a != NULL;
        *tail = p;
        tail = &p->next;
        if (!dk_jat_op(x, ")"))
            dk_jneed_op(x, ",");
    }
    dk_jneed_op(x, ")");
    return first;
}

/* A function of its own: no loop around it can be left, and *says which of the
 * names that macros have without parameters are mentioned. */
static dk_jnode *macro_body(dk_jx *x, const char *end, int *says)
{
    const size_t loops = x->loops;
    const int before = x->says;
    dk_jnode *n;

    x->loops = 0;
    x->says = 0;
    n = plain_body(x, end);
    *says = x->says;
    x->loops = loops;
    x->says |= before;
    return n;
}

/* name; list: parameters. */
static dk_jnode *parse_macro(dk_jx *x)
{
    dk_jnode *n = dk_jnew(x, DK_N_MACRO);

    n->name = dk_jneed_name(x);
    n->list = signature(x);
    n->body = macro_body(x, "endmacro", &n->op);
    return n;
}

/* a: the call; list: parameters of caller. */
static dk_jnode *parse_call(dk_jx *x)
{
    dk_jnode *n = dk_jnew(x, DK_N_CALLBLOCK);

    n->name = (dk_span){ "caller", 6 };
    if (dk_jat_op(x, "("))
        n->list = signature(x);
    n->a = dk_jexpr(x, true);
    if (n->a->type != DK_N_CALL)
        dk_jfail(x, "{%% call %%} needs a call");
    n->body = macro_body(x, "endcall", &n->op);
    return n;
}

/* b: the filters. */
static dk_jnode *parse_filter(dk_jx *x)
{
    dk_jnode *n = dk_jnew(x, DK_N_FILTERBLOCK);

    n->b = dk_jfilters(x, NULL, true);
    n->body = plain_body(x, "endfilter");
    return n;
}

/* list: pairs of name and value. */
static dk_jnode *parse_with(dk_jx *x)
{
    dk_jnode *n = dk_jnew(x, DK_N_WITH), **tail = &n->list;

    while (dk_jpeek(x)->kind != DK_T_BLOCK_END) {
        dk_jnode *p = dk_jnew(x, DK_N_PAIR);

        if (n->list)
            dk_jneed_op(x, ",");
        p->name = dk_jneed_name(x);
        dk_jneed_op(x, "=");
        p->b = dk_jexpr(x, true);
        *tail = p;
        tail = &p->next;
    }
    n->body = plain_body(x, "endwith");
    return n;
}

static dk_jnode *parse_generation(dk_jx *x)
{
    dk_jnode *n = dk_jnew(x, DK_N_GENERATION);

    x->generation = true;
    n->body = macro_body(x, "endgeneration", &n->op);
    return n;
}

static dk_jnode *jump(dk_jx *x, dk_jtype type, const char *word)
{
    dk_jnode *n = dk_jnew(x, type);

    if (x->loops == 0)
        dk_jfail(x, "'%s' outside of a loop", word);
    return n;
}

static dk_jnode *parse_break(dk_jx *x) { return jump(x, DK_N_BREAK, "break"); }
static dk_jnode *parse_continue(dk_jx *x) { return jump(x, DK_N_CONTINUE, "continue"); }

static dk_jnode *parse_print(dk_jx *x)
{
    dk_jnode *n = dk_jnew(x, DK_N_OUTPUT);

    n->a = dk_jexpr(x, true);
    return n;
}

static dk_jnode *statement(dk_jx *x)
{
    static const struct { const char *word; dk_jnode *(*parse)(dk_jx *); } tags[] = {
        { "for", parse_for }, { "if", parse_if }, { "set", parse_set }, { "macro", parse_macro },
        { "call", parse_call }, { "filter", parse_filter }, { "with", parse_with },
        { "generation", parse_generation }, { "break", parse_break }, { "continue", parse_continue },
        { "print", parse_print },
    };
    static const char *const others[] = { "block", "extends", "include", "import", "from", "autoescape",
                                          "do", "trans", "debug" };
    const dk_span word = dk_jneed_name(x);

    for (size_t i = 0; i < sizeof tags / sizeof *tags; i++)
        if (dk_span_is(word, tags[i].word))
            return tags[i].parse(x);
    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        if (dk_span_is(word, others[i]))
            dk_jfail(x, "the tag '%s' is not supported", others[i]);
    dk_jfail(x, "unknown or misplaced tag '%.*s'", (int)(word.n < 40 ? word.n : 40), word.s);
}

/* Up to the end of the template, or behind the {% of one of the ends. */
static dk_jnode *statements(dk_jx *x, const char *const *ends)
{
    dk_jnode *first = NULL, **tail = &first;

    dk_jenter(x);
    while (dk_jpeek(x)->kind != DK_T_EOF) {
        const dk_jtok *t = dk_jpeek(x);
        dk_jnode *n = dk_jnew(x, DK_N_DATA);

        x->at++;
        if (t->kind == DK_T_DATA) {
            n->value = dk_jspan(x, t->s.s, t->s.n);
        } else if (t->kind == DK_T_VAR_BEGIN) {
            n->type = DK_N_OUTPUT;
            n->a = dk_jtuple(x, false, true, DK_STOP_NONE, false);
            if (dk_jpeek(x)->kind != DK_T_VAR_END)
                dk_junexpected(x);
            x->at++;
        } else {
            if (at_end(x, ends))
                break;
            n = statement(x);
            block_end(x);
        }
        *tail = n;
        tail = &n->next;
    }
    dk_jleave(x);
    return first;
}

/* --- the way in ------------------------------------------------------------------------ */
int dk_jinja_parse(dk_jinja **out, const char *text, size_t n, const char *name, dk_err *err)
{
    dk_jinja *t = dk_xcalloc(1, sizeof *t);
    dk_jx *x = dk_xcalloc(1, sizeof *x);
    dk_err why = {0};
    int rc;

    *out = NULL;
    t->name = dk_xstrdup(name);
    x->err = &why;
    x->name = t->name;
    x->arena.limit = PARSE_MEMORY;
    x->work_limit = UINT64_MAX;
    if (dk_utf8_valid(text, n) != n) {
        dk_fail(&why, DK_EDATA, "%s is no valid UTF-8", name);
    } else if (setjmp(x->jump) == 0) {
        dk_jlex(x, (dk_span){ text, n });
        t->body = statements(x, NULL);
        t->generation = x->generation;
    }
    t->arena = x->arena;
    rc = why.code;
    if (rc == 0)
        *out = t;
    else
        dk_jinja_free(&t);
    dk_free(x);
    return rc < 0 ? dk_fail(err, rc, "%s", why.msg) : 0;
}

void dk_jinja_free(dk_jinja **t)
{
    if (*t) {
        dk_arena_free(&(*t)->arena);
        dk_free((*t)->name);
        dk_free(*t);
        *t = NULL;
    }
}

bool dk_jinja_marks_generation(const dk_jinja *t) { return t->generation; }

const dk_jnode *dk_jinja_body(const dk_jinja *t) { return t->body; }
const char *dk_jinja_name(const dk_jinja *t) { return t->name; }
