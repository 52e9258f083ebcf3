/* Jinja from inside: values, syntax trees, and the context that parsing and
 * running share.  Included by lib/text/jinja*.c alone.
 *
 * Errors leave by longjmp to dk_jinja_parse or dk_jinja_render: everything lies
 * in one arena, so nothing is lost, and an expression need not be checked after
 * each of its parts. */
#ifndef DK_TEXT_JINJADEF_H
#define DK_TEXT_JINJADEF_H

#include <setjmp.h>

#include "base/arena.h"
#include "text/jinja.h"

/* --- values -------------------------------------------------------------------- */
typedef enum dk_jkind {
    DK_J_UNDEF, DK_J_NONE, DK_J_BOOL, DK_J_INT, DK_J_FLOAT, DK_J_STR, DK_J_SEQ, DK_J_DICT,
    DK_J_SPACE,             /* namespace(): the one value that can be changed */
    DK_J_MACRO, DK_J_LOOP, DK_J_FUNC, DK_J_BOUND
} dk_jkind;

/* Text, and which parts of it are marked. */
typedef struct dk_jstr {
    const char *s;
    size_t n, n_marks;
    const dk_jinja_place *marks;
    bool markup;            /* from |safe: plus and % would escape what they join it with */
} dk_jstr;

typedef struct dk_jv {
    dk_jkind kind;
    union {
        bool b;
        int64_t i;
        double f;
        const dk_jstr *str;
        struct dk_jseq *seq;
        struct dk_jdict *dict;          /* DICT, SPACE */
        const struct dk_jhint *hint;    /* UNDEF */
        const struct dk_jmacro *macro;
        struct dk_jloop *loop;
        const struct dk_jfunc *func;
        const struct dk_jbound *bound;
    };
} dk_jv;

typedef enum dk_jflavour {
    DK_J_LIST, DK_J_TUPLE, DK_J_RANGE, DK_J_KEYS, DK_J_VALUES, DK_J_ITEMS,
    DK_J_GENERATOR          /* has no length, is true, can be gone through once */
} dk_jflavour;

typedef struct dk_jseq {
    dk_jflavour flavour;
    bool used;
    size_t n, cap;
    dk_jv *v;
} dk_jseq;

typedef struct dk_jdict {
    size_t n, cap;
    struct dk_jpair { dk_jv key, value; } *pair;
} dk_jdict;

/* What an undefined value would have been: a variable, or a member of an object. */
typedef struct dk_jhint {
    dk_span name;
    const char *of;         /* "dict object", or NULL */
    bool element;           /* name is the repr of a key; without of: the whole message */
    bool parameter;         /* of a macro, not given */
} dk_jhint;

typedef struct dk_jmacro {
    const struct dk_jnode *node;
    struct dk_jscope *scope;
    dk_span name;
} dk_jmacro;

typedef struct dk_jloop {
    const struct dk_jnode *node;
    struct dk_jscope *scope;            /* around the loop */
    dk_jseq *items;
    size_t at, depth;
    bool has_changed;
    dk_jv changed;
} dk_jloop;

/* A method and its object. */
typedef struct dk_jbound {
    dk_jv self;
    dk_span name;
} dk_jbound;

/* --- syntax -------------------------------------------------------------------- */
typedef enum dk_jtype {
    /* expressions */
    DK_N_CONST, DK_N_NAME, DK_N_TUPLE, DK_N_LIST, DK_N_DICT, DK_N_PAIR, DK_N_ATTR, DK_N_ITEM,
    DK_N_SLICE, DK_N_CALL, DK_N_FILTER, DK_N_TEST, DK_N_ARG, DK_N_BIN, DK_N_NEG, DK_N_POS,
    DK_N_NOT, DK_N_AND, DK_N_OR, DK_N_CONCAT, DK_N_COMPARE, DK_N_OPERAND, DK_N_COND,
    DK_N_NSREF,
    /* statements */
    DK_N_DATA, DK_N_OUTPUT, DK_N_IF, DK_N_FOR, DK_N_SET, DK_N_SETBLOCK, DK_N_MACRO, DK_N_PARAM,
    DK_N_CALLBLOCK, DK_N_FILTERBLOCK, DK_N_WITH, DK_N_GENERATION, DK_N_BREAK, DK_N_CONTINUE
} dk_jtype;

/* Which fields a node uses is written where the parser makes it. */
typedef struct dk_jnode {
    dk_jtype type;
    uint32_t line;
    int op;
    bool flag;
    dk_span name;
    dk_jv value;
    struct dk_jnode *a, *b, *c;
    struct dk_jnode *list, *body, *orelse;
    struct dk_jnode *next;              /* in a list */
} dk_jnode;

/* Operators are their characters: dk_jop("<="). */
static inline int dk_jop(const char *s) { return s[0] | s[1] << 8; }
enum { DK_JOP_IN = 1, DK_JOP_NOT_IN = 2 };
/* Names that the body of a macro mentions: op of a MACRO or CALLBLOCK. */
enum { DK_JSAYS_CALLER = 1, DK_JSAYS_VARARGS = 2, DK_JSAYS_KWARGS = 4 };
enum { DK_JARG_PLAIN, DK_JARG_NAMED, DK_JARG_LIST, DK_JARG_DICT };

typedef enum dk_jtokkind {
    DK_T_EOF, DK_T_DATA, DK_T_VAR_BEGIN, DK_T_VAR_END, DK_T_BLOCK_BEGIN, DK_T_BLOCK_END,
    DK_T_NAME, DK_T_STR, DK_T_INT, DK_T_FLOAT, DK_T_OP
} dk_jtokkind;

typedef struct dk_jtok {
    dk_jtokkind kind;
    uint32_t line;
    int op;
    dk_span s;
    int64_t i;
    double f;
} dk_jtok;

/* --- the context --------------------------------------------------------------- */
typedef struct dk_jscope {
    struct dk_jscope *up;
    struct dk_jvar { dk_span name; dk_jv v; struct dk_jvar *next; } *vars;
} dk_jscope;

/* Text that grows. */
typedef struct dk_jb {
    struct dk_jx *x;
    char *s;
    size_t n, cap, n_marks, cap_marks;
    dk_jinja_place *marks;
} dk_jb;

typedef struct dk_jx {
    jmp_buf jump;
    dk_err *err;
    const char *name;
    dk_arena arena;
    uint32_t line;
    size_t depth;
    uint64_t work, work_limit;
    /* parsing */
    dk_jtok *tok;
    size_t n_tok, at, loops;
    bool generation;
    int says;               /* DK_JSAYS of the macro at hand */
    /* running */
    dk_jscope *scope;
    dk_jb *out;
    bool captured;          /* out is not the output itself */
    int64_t now;
    dk_jinja_place *gen;
    size_t n_gen, cap_gen;
} dk_jx;

/* Arguments of a call. */
typedef struct dk_jargs {
    size_t n, n_named;
    dk_jv *v;
    dk_span *names;
    dk_jv *named;
    const dk_jmacro *caller;
} dk_jargs;

enum { DK_J_DEPTH = 600 };

/* Ends parsing or running: "NAME, line N: ...". */
_Noreturn void dk_jfail(dk_jx *x, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void *dk_jget(dk_jx *x, size_t n);          /* zeroed; never NULL */
void dk_jwork(dk_jx *x, uint64_t steps);
static inline void dk_jbytes(dk_jx *x, size_t n) { dk_jwork(x, n / 64 + 1); }
/* Around everything that can nest. */
void dk_jenter(dk_jx *x);
static inline void dk_jleave(dk_jx *x) { x->depth--; }

/* --- jinjalex.c, jinjaparse.c, jinjaexpr.c ---------------------------------------- */
void dk_jlex(dk_jx *x, dk_span source);
const dk_jnode *dk_jinja_body(const dk_jinja *t);
const char *dk_jinja_name(const dk_jinja *t);

typedef enum dk_jstop { DK_STOP_NONE, DK_STOP_IN, DK_STOP_RECURSIVE } dk_jstop;
dk_jnode *dk_jnew(dk_jx *x, dk_jtype type);
dk_jtok *dk_jpeek(dk_jx *x);
bool dk_jat_op(dk_jx *x, const char *op);
bool dk_jat_name(dk_jx *x, const char *name);
bool dk_jskip_op(dk_jx *x, const char *op);
bool dk_jskip_name(dk_jx *x, const char *name);
void dk_jneed_op(dk_jx *x, const char *op);
dk_span dk_jneed_name(dk_jx *x);
_Noreturn void dk_junexpected(dk_jx *x);
dk_jnode *dk_jexpr(dk_jx *x, bool cond);
dk_jnode *dk_jtuple(dk_jx *x, bool targets, bool cond, dk_jstop stop, bool parens);
/* The filters after a block's opening: a chain whose innermost value is missing. */
dk_jnode *dk_jfilters(dk_jx *x, dk_jnode *of, bool inlined);

/* --- jinjaval.c ----------------------------------------------------------------- */
bool dk_span_is(dk_span s, const char *word);
bool dk_span_same(dk_span a, dk_span b);
dk_jv dk_jnone(void);
dk_jv dk_jbool(bool b);
dk_jv dk_jint(int64_t i);
dk_jv dk_jfloat(double f);
dk_jv dk_jundef(dk_jx *x, dk_span name, const char *of, bool element);
dk_jv dk_jempty(dk_jx *x, const char *message);             /* undefined, for this reason */
dk_jv dk_jspan(dk_jx *x, const char *s, size_t n);          /* a text, borrowed */
dk_jv dk_jlit(dk_jx *x, const char *s);
dk_jv dk_jsub(dk_jx *x, const dk_jstr *s, size_t from, size_t to);
dk_jv dk_jseq_new(dk_jx *x, dk_jflavour flavour, size_t cap);
void dk_jpush(dk_jx *x, dk_jseq *s, dk_jv v);
dk_jv dk_jdict_new(dk_jx *x);
void dk_jput(dk_jx *x, dk_jdict *d, dk_jv key, dk_jv value);
const dk_jv *dk_jfind(dk_jx *x, const dk_jdict *d, dk_jv key);     /* NULL: not there */
const dk_jv *dk_jmember(const dk_jdict *d, dk_span key);
bool dk_jhashable(dk_jv v);
dk_jv dk_jfrom_json(dk_jx *x, const dk_json *v);
bool dk_jtrue(dk_jx *x, dk_jv v);
bool dk_jequal(dk_jx *x, dk_jv a, dk_jv b);
int dk_jorder(dk_jx *x, dk_jv a, dk_jv b, const char *op);         /* < 0, 0, > 0 */
bool dk_jin(dk_jx *x, dk_jv item, dk_jv of);
bool dk_jis_number(dk_jv v);                /* bool, int, float */
double dk_jnum(dk_jv v);
int64_t dk_jwhole(dk_jx *x, dk_jv v, const char *what);            /* an int or fails */
const dk_jstr *dk_jstr_of(dk_jx *x, dk_jv v, const char *what);    /* a text or fails */
const char *dk_jtype_name(dk_jv v);         /* Python's: "str", "NoneType" */
_Noreturn void dk_jfail_undef(dk_jx *x, dk_jv v);
void dk_jno_undef(dk_jx *x, dk_jv v);
/* What a loop goes through; a generator is used up. */
dk_jseq *dk_jiter(dk_jx *x, dk_jv v);
bool dk_jlength(dk_jv v, size_t *n);        /* false: it has none */

/* --- jinjatext.c ---------------------------------------------------------------- */
void dk_jb_add(dk_jb *b, const char *s, size_t n);
void dk_jb_adds(dk_jb *b, const char *s);
void dk_jb_addf(dk_jb *b, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void dk_jb_str(dk_jb *b, const dk_jstr *s);
void dk_jb_sub(dk_jb *b, const dk_jstr *s, size_t from, size_t to);
void dk_jb_put(dk_jb *b, dk_jv v);          /* str(v) */
void dk_jb_repr(dk_jb *b, dk_jv v);
dk_jv dk_jb_end(dk_jb *b);
const dk_jstr *dk_jtext(dk_jx *x, dk_jv v); /* str(v) */
void dk_jb_cp(dk_jb *b, int32_t cp);
typedef struct dk_jjson {
    bool ascii, sorted, pretty;
    dk_span indent, comma, colon;
} dk_jjson;
void dk_jb_json(dk_jb *b, dk_jv v, const dk_jjson *how, size_t level);
void dk_jfloat_text(double f, char out[40]);

/* --- jinjastr.c, jinjacase.c ------------------------------------------------------- */
bool dk_jstr_has(dk_span name);             /* whether Python's str has such a method */
dk_jv dk_jstr_call(dk_jx *x, dk_jv self, dk_span name, const dk_jargs *a);
bool dk_jstr_is(dk_jx *x, const dk_jstr *s, const char *what, bool *out);     /* "isalpha", ... */
dk_jv dk_jstr_format(dk_jx *x, const dk_jstr *s, const dk_jargs *a);          /* str.format */
typedef enum dk_jcase { DK_J_UPPER, DK_J_LOWER, DK_J_TITLE, DK_J_CAPITAL, DK_J_SWAP } dk_jcase;
dk_jv dk_jcase_of(dk_jx *x, const dk_jstr *s, dk_jcase how);
dk_jv dk_jtitle_words(dk_jx *x, const dk_jstr *s);
dk_jv dk_jstrip(dk_jx *x, const dk_jstr *s, const dk_jstr *chars, bool left, bool right);
dk_jv dk_jreplace(dk_jx *x, const dk_jstr *s, const dk_jstr *old, const dk_jstr *new, int64_t most);
dk_jv dk_jformat(dk_jx *x, const dk_jstr *s, const dk_jargs *a);            /* % */
dk_jv dk_jcenter(dk_jx *x, const dk_jstr *s, int64_t width, dk_span fill, int side);
size_t dk_jchar_at(const dk_jstr *s, size_t chars);     /* byte where a character starts */

/* --- jinjaeval.c, jinjarun.c, jinjacall.c ----------------------------------------------- */
dk_jv dk_jeval(dk_jx *x, const dk_jnode *n);
dk_jv dk_jbin(dk_jx *x, int op, dk_jv a, dk_jv b);
dk_jv dk_jattr(dk_jx *x, dk_jv v, dk_span name);
dk_jv dk_jitem(dk_jx *x, dk_jv v, dk_jv key);
dk_jargs dk_jargs_of(dk_jx *x, const dk_jnode *list);
dk_jv dk_jcall(dk_jx *x, dk_jv f, const dk_jargs *a);
dk_jv dk_jrun_macro(dk_jx *x, const dk_jmacro *m, const dk_jargs *a);
dk_jv dk_jrun_loop(dk_jx *x, const dk_jloop *outer, dk_jv items);
dk_jv dk_jlookup(dk_jx *x, dk_span name);
void dk_jset(dk_jx *x, dk_jscope *s, dk_span name, dk_jv v);
const struct dk_jfunc *dk_jglobal(dk_span name);
const char *dk_jfunc_name(const struct dk_jfunc *f);

/* Argument i, or the one called name; NULL: not given. */
const dk_jv *dk_jarg(dk_jx *x, const dk_jargs *a, size_t i, const char *name);
/* Refuses more arguments, or others than in names (NULL-terminated). */
void dk_jargs_check(dk_jx *x, const dk_jargs *a, const char *what, const char *const *names);

/* --- jinjafilter.c, jinjaseq.c, jinjatest.c ---------------------------------------------- */
dk_jv dk_jfilter(dk_jx *x, dk_span name, dk_jv v, const dk_jargs *a);
bool dk_jfilter_known(dk_span name);
bool dk_jseq_filter(dk_jx *x, dk_span name, dk_jv v, const dk_jargs *a, dk_jv *out);
bool dk_jseq_filter_known(dk_span name);
bool dk_jtest(dk_jx *x, dk_span name, dk_jv v, const dk_jargs *a);
bool dk_jtest_known(dk_span name);

#endif
