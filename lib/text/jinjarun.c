/* Statements, scopes, and the way in: running a template. */
#include <string.h>

#include "text/jinjadef.h"

enum { MEMORY = 512 << 20, WORK = 50000000 };
static const int64_t default_now = 1721952000;      /* 26 July 2024 */

struct dk_jinja_run {
    dk_jx x;
    const dk_jinja *t;
    dk_err why;
    dk_jscope globals;
    dk_jv messages;
};

/* How a list of statements ended. */
typedef enum ending { NORMAL, BREAK, CONTINUE } ending;

static ending run(dk_jx *x, const dk_jnode *n);

/* --- scopes --------------------------------------------------------------------------- */
void dk_jset(dk_jx *x, dk_jscope *s, dk_span name, dk_jv v)
{
    struct dk_jvar *var = s->vars;

    while (var && !dk_span_same(var->name, name))
        var = var->next;
    if (!var) {
        var = dk_jget(x, sizeof *var);
        var->name = name;
        var->next = s->vars;
        s->vars = var;
    }
    var->v = v;
}

dk_jv dk_jlookup(dk_jx *x, dk_span name)
{
    const struct dk_jfunc *f;

    for (const dk_jscope *s = x->scope; s; s = s->up)
        for (const struct dk_jvar *var = s->vars; var; var = var->next)
            if (dk_span_same(var->name, name))
                return var->v;
    if ((f = dk_jglobal(name)) != NULL)
        return (dk_jv){ .kind = DK_J_FUNC, .func = f };
    return dk_jundef(x, name, NULL, false);
}

static dk_jscope *push(dk_jx *x)
{
    dk_jscope *s = dk_jget(x, sizeof *s);

    s->up = x->scope;
    x->scope = s;
    return s;
}

static void assign(dk_jx *x, const dk_jnode *target, dk_jv v)
{
    dk_jseq *s;
    dk_jv space;
    size_t i = 0, n = 0;

    if (target->type == DK_N_NAME) {
        dk_jset(x, x->scope, target->name, v);
        return;
    }
    if (target->type == DK_N_NSREF) {
        space = dk_jlookup(x, target->a->name);
        if (space.kind != DK_J_SPACE)
            dk_jfail(x, "cannot assign attribute on non-namespace object");
        if (target->name.n && target->name.s[0] == '_')
            dk_jfail(x, "a namespace cannot have members whose names begin with '_'");
        dk_jput(x, space.dict, dk_jspan(x, target->name.s, target->name.n), v);
        return;
    }
    s = dk_jiter(x, v);
    for (const dk_jnode *t = target->list; t; t = t->next)
        n++;
    if (s->n != n)
        dk_jfail(x, s->n < n ? "not enough values to unpack (expected %zu, got %zu)"
                             : "too many values to unpack (expected %zu, got %zu)", n, s->n);
    for (const dk_jnode *t = target->list; t; t = t->next)
        assign(x, t->b, s->v[i++]);
}

/* --- statements ------------------------------------------------------------------------- */

/* What body writes, as a text; it has a scope of its own. */
static dk_jv capture(dk_jx *x, const dk_jnode *body)
{
    dk_jb b = { .x = x }, *out = x->out;
    dk_jscope *before = x->scope;
    const bool captured = x->captured;

    push(x);
    x->out = &b;
    x->captured = true;
    run(x, body);
    x->out = out;
    x->captured = captured;
    x->scope = before;
    return dk_jb_end(&b);
}

dk_jv dk_jrun_macro(dk_jx *x, const dk_jmacro *m, const dk_jargs *a)
{
    (void)a;
    return capture(x, m->node->body);
}

static dk_jseq *chosen(dk_jx *x, const dk_jnode *n, dk_jv items)
{
    dk_jseq *all = dk_jiter(x, items), *some;
    dk_jscope *before = x->scope;

    if (!n->c)
        return all;
    some = dk_jseq_new(x, DK_J_LIST, 0).seq;
    for (size_t i = 0; i < all->n; i++) {
        push(x);
        assign(x, n->a, all->v[i]);
        if (dk_jtrue(x, dk_jeval(x, n->c)))
            dk_jpush(x, some, all->v[i]);
        x->scope = before;
    }
    return some;
}

static ending go_through(dk_jx *x, const dk_jnode *n, dk_jv items, size_t depth)
{
    dk_jloop *l = dk_jget(x, sizeof *l);
    dk_jscope *before = x->scope;
    ending how = NORMAL;

    *l = (dk_jloop){ .node = n, .scope = before, .depth = depth, .items = chosen(x, n, items) };
    for (l->at = 0; l->at < l->items->n && how != BREAK; l->at++) {
        dk_jwork(x, 1);
        push(x);
        dk_jset(x, x->scope, (dk_span){ "loop", 4 }, (dk_jv){ .kind = DK_J_LOOP, .loop = l });
        x->line = n->line;
        assign(x, n->a, l->items->v[l->at]);
        how = run(x, n->body);
        x->scope = before;
    }
    if (l->items->n == 0 && n->orelse) {
        push(x);
        how = run(x, n->orelse);
        x->scope = before;
        return how;
    }
    return NORMAL;
}

dk_jv dk_jrun_loop(dk_jx *x, const dk_jloop *outer, dk_jv items)
{
    dk_jb b = { .x = x }, *out = x->out;
    dk_jscope *before = x->scope;
    const bool captured = x->captured;

    if (!outer->node->flag)
        dk_jfail(x, "The loop must have the 'recursive' marker to be called recursively.");
    x->scope = outer->scope;
    x->out = &b;
    x->captured = true;
    go_through(x, outer->node, items, outer->depth + 1);
    x->out = out;
    x->captured = captured;
    x->scope = before;
    return dk_jb_end(&b);
}

static dk_jv filtered(dk_jx *x, const dk_jnode *n, dk_jv v)
{
    dk_jargs a;

    if (!n)
        return v;
    dk_jenter(x);
    v = filtered(x, n->a, v);
    a = dk_jargs_of(x, n->list);
    x->line = n->line;
    v = dk_jfilter(x, n->name, v, &a);
    dk_jleave(x);
    return v;
}

static dk_jmacro *closure(dk_jx *x, const dk_jnode *n)
{
    dk_jmacro *m = dk_jget(x, sizeof *m);

    *m = (dk_jmacro){ n, x->scope, n->name };
    return m;
}

static void call_block(dk_jx *x, const dk_jnode *n)
{
    const dk_jv f = dk_jeval(x, n->a->a);
    dk_jargs a = dk_jargs_of(x, n->a->list);

    a.caller = closure(x, n);
    if (f.kind != DK_J_MACRO)
        dk_jfail(x, "{%% call %%} of what is no macro is not supported");
    dk_jb_put(x->out, dk_jcall(x, f, &a));
}

static ending with(dk_jx *x, const dk_jnode *n)
{
    dk_jscope *before = x->scope, *inner = dk_jget(x, sizeof *inner);
    ending how;

    inner->up = before;
    for (const dk_jnode *p = n->list; p; p = p->next)
        dk_jset(x, inner, p->name, dk_jeval(x, p->b));      /* values see the outer scope */
    x->scope = inner;
    how = run(x, n->body);
    x->scope = before;
    return how;
}

static void generation(dk_jx *x, const dk_jnode *n)
{
    const size_t from = x->out->n;
    const dk_jv text = capture(x, n->body);

    dk_jb_put(x->out, text);
    if (x->captured)
        return;                 /* where it will stand is not known */
    if (x->n_gen == x->cap_gen) {
        const size_t cap = x->cap_gen ? 2 * x->cap_gen : 8;
        dk_jinja_place *more = dk_jget(x, cap * sizeof *more);

        if (x->n_gen)
            memcpy(more, x->gen, x->n_gen * sizeof *more);
        x->gen = more;
        x->cap_gen = cap;
    }
    x->gen[x->n_gen++] = (dk_jinja_place){ from, x->out->n, 0 };
}

static ending choose(dk_jx *x, const dk_jnode *n)
{
    for (; n && n->type == DK_N_IF; n = n->orelse) {
        const dk_jv v = dk_jeval(x, n->a);

        if (dk_jtrue(x, v))
            return run(x, n->body);
        /* An else whose body begins with an if of its own is no elif. */
        if (n->orelse && !n->orelse->flag)
            return run(x, n->orelse);
    }
    return NORMAL;
}

static ending one(dk_jx *x, const dk_jnode *n)
{
    switch (n->type) {
    case DK_N_DATA: dk_jb_str(x->out, n->value.str); return NORMAL;
    case DK_N_OUTPUT: dk_jb_put(x->out, dk_jeval(x, n->a)); return NORMAL;
    case DK_N_IF: return choose(x, n);
    case DK_N_FOR: return go_through(x, n, dk_jeval(x, n->b), 0);
    case DK_N_SET: assign(x, n->a, dk_jeval(x, n->b)); return NORMAL;
    case DK_N_SETBLOCK: assign(x, n->a, filtered(x, n->b, capture(x, n->body))); return NORMAL;
    case DK_N_MACRO:
        dk_jset(x, x->scope, n->name, (dk_jv){ .kind = DK_J_MACRO, .macro = closure(x, n) });
        return NORMAL;
    case DK_N_CALLBLOCK: call_block(x, n); return NORMAL;
    case DK_N_FILTERBLOCK: dk_jb_put(x->out, filtered(x, n->b, capture(x, n->body))); return NORMAL;
    case DK_N_WITH: return with(x, n);
    case DK_N_GENERATION: generation(x, n); return NORMAL;
    case DK_N_BREAK: return BREAK;
    case DK_N_CONTINUE: return CONTINUE;
    default: dk_jfail(x, "this is no statement");
    }
}

static ending run(dk_jx *x, const dk_jnode *n)
{
    ending how = NORMAL;

    dk_jenter(x);
    for (; n && how == NORMAL; n = n->next) {
        dk_jwork(x, 1);
        x->line = n->line;
        how = one(x, n);
    }
    dk_jleave(x);
    return how;
}

/* --- the way in ---------------------------------------------------------------------------- */
dk_jinja_run *dk_jinja_begin(const dk_jinja *t, const dk_jinja_limits *limits)
{
    dk_jinja_run *r = dk_xcalloc(1, sizeof *r);

    r->t = t;
    r->x.name = dk_jinja_name(t);
    r->x.err = &r->why;
    r->x.arena.limit = limits && limits->memory ? limits->memory : MEMORY;
    r->x.work_limit = limits && limits->work ? limits->work : WORK;
    r->x.now = default_now;
    return r;
}

void dk_jinja_end(dk_jinja_run **r)
{
    if (*r) {
        dk_arena_free(&(*r)->x.arena);
        dk_free(*r);
        *r = NULL;
    }
}

void dk_jinja_now(dk_jinja_run *r, int64_t seconds) { r->x.now = seconds; }

/* Setting may run out of memory too: the run then fails when it is rendered. */
static void set(dk_jinja_run *r, const char *name, dk_jv v)
{
    dk_jset(&r->x, &r->globals, (dk_span){ name, strlen(name) }, v);
}

void dk_jinja_set_none(dk_jinja_run *r, const char *name)
{
    if (!r->why.code && setjmp(r->x.jump) == 0)
        set(r, name, dk_jnone());
}

void dk_jinja_set_bool(dk_jinja_run *r, const char *name, bool v)
{
    if (!r->why.code && setjmp(r->x.jump) == 0)
        set(r, name, dk_jbool(v));
}

void dk_jinja_set_text(dk_jinja_run *r, const char *name, dk_span v)
{
    if (!r->why.code && setjmp(r->x.jump) == 0)
        set(r, name, dk_jspan(&r->x, v.s, v.n));
}

void dk_jinja_set_json(dk_jinja_run *r, const char *name, const dk_json *v)
{
    if (!r->why.code && setjmp(r->x.jump) == 0)
        set(r, name, dk_jfrom_json(&r->x, v));
}

/* The names under which reasoning comes.  The library gives it to templates under the first two. */
static const dk_json *reasoning(const dk_json *rest)
{
    static const char *const names[] = { "reasoning_content", "thinking", "reasoning" };

    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        const dk_json *v = dk_json_get(rest, names[i]);

        if (v && !dk_json_is_null(v))
            return v;
    }
    return NULL;
}

static void add_message(dk_jinja_run *r, dk_span role, dk_span content, uint32_t mark, const dk_json *rest)
{
    dk_jx *x = &r->x;
    const dk_jv m = dk_jdict_new(x);
    const dk_json *thought = reasoning(rest);
    dk_jstr *text = dk_jget(x, sizeof *text);
    dk_jinja_place *place = dk_jget(x, sizeof *place);
    dk_json_iter it = {0};

    *place = (dk_jinja_place){ 0, content.n, mark };
    *text = (dk_jstr){ .s = content.n ? content.s : "", .n = content.n, .n_marks = mark > 0 && content.n > 0,
                       .marks = place };
    if (thought)
        dk_jput(x, m.dict, dk_jlit(x, "thinking"), dk_jfrom_json(x, thought));
    while (dk_json_next(rest, &it))         /* in their order: what has no value is left out */
        if (!dk_json_is_null(it.value))
            dk_jput(x, m.dict, dk_jspan(x, it.key, it.key_len), dk_jfrom_json(x, it.value));
    dk_jput(x, m.dict, dk_jlit(x, "role"), dk_jspan(x, role.s, role.n));
    dk_jput(x, m.dict, dk_jlit(x, "content"), (dk_jv){ .kind = DK_J_STR, .str = text });
    if (thought)
        dk_jput(x, m.dict, dk_jlit(x, "reasoning_content"), dk_jfrom_json(x, thought));
    if (r->messages.kind != DK_J_SEQ)
        r->messages = dk_jseq_new(x, DK_J_LIST, 0);
    dk_jpush(x, r->messages.seq, m);
}

void dk_jinja_add_message(dk_jinja_run *r, dk_span role, dk_span content, uint32_t mark, const dk_json *rest)
{
    if (!r->why.code && setjmp(r->x.jump) == 0)
        add_message(r, role, content, mark, rest);
}

static void render(dk_jinja_run *r, dk_jb *out)
{
    dk_jx *x = &r->x;

    if (r->messages.kind == DK_J_SEQ)
        set(r, "messages", r->messages);
    x->scope = &r->globals;
    push(x);
    x->out = out;
    x->depth = 0;
    run(x, dk_jinja_body(r->t));
}

int dk_jinja_render(dk_jinja_run *r, dk_jinja_output *out, dk_err *err)
{
    dk_jb *b = dk_xcalloc(1, sizeof *b);

    b->x = &r->x;
    if (!r->why.code && setjmp(r->x.jump) == 0)
        render(r, b);
    *out = (dk_jinja_output){ { b->s ? b->s : "", b->n }, b->n_marks, r->x.n_gen, b->marks, r->x.gen };
    dk_free(b);
    return r->why.code < 0 ? dk_fail(err, r->why.code, "%s", r->why.msg) : 0;
}
