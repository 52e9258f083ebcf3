/* Template text to tokens, by the rules of Jinja's own lexer: what a sign
 * beside a tag strips, and what trim_blocks and lstrip_blocks strip. */
#include <stdlib.h>
#include <string.h>

#include "text/jinjadef.h"
#include "text/utf8.h"

typedef struct lexer {
    dk_jx *x;
    const char *s;
    size_t n, at;
    uint32_t line;
    bool line_start;            /* the last tag took its line end along */
    char close[DK_J_DEPTH];     /* brackets still open, as what closes them */
    size_t n_close;
    size_t cap;
} lexer;

static void add(lexer *l, dk_jtok t)
{
    dk_jx *x = l->x;

    if (x->n_tok == l->cap) {
        dk_jtok *more = dk_jget(x, (l->cap ? 2 * l->cap : 256) * sizeof *more);

        if (x->n_tok)
            memcpy(more, x->tok, x->n_tok * sizeof *more);
        x->tok = more;
        l->cap = l->cap ? 2 * l->cap : 256;
    }
    x->tok[x->n_tok++] = t;
}

static void move(lexer *l, size_t to)
{
    for (; l->at < to; l->at++)
        l->line += l->s[l->at] == '\n';
    l->x->line = l->line;
}

static bool here(const lexer *l, size_t at, const char *what)
{
    const size_t k = strlen(what);

    return k <= l->n - at && memcmp(l->s + at, what, k) == 0;
}

/* "%}", "-%}" with the space behind it, "+%}"; a plain end takes a line end
 * along where trim says so.  0: no end here, else where it ends. */
static size_t tag_end(const lexer *l, size_t at, const char *end, bool plus, bool trim)
{
    const bool minus = here(l, at, "-");

    if (minus || (plus && here(l, at, "+"))) {
        if (!here(l, at + 1, end))
            return 0;
        return minus ? dk_utf8_lstrip(l->s, at + 3, l->n) : at + 3;
    }
    if (!here(l, at, end))
        return 0;
    return at + 2 + (trim && here(l, at + 2, "\n"));
}

/* Text before a tag that bears sign. */
static void data(lexer *l, size_t from, size_t to, char sign, bool variable)
{
    size_t end = to;

    if (sign == '-') {
        end = dk_utf8_rstrip(l->s, from, to);
    } else if (sign != '+' && !variable) {
        size_t at = to;

        while (at > from && l->s[at - 1] != '\n')
            at--;
        if ((at > from || l->line_start) && dk_utf8_lstrip(l->s, at, to) == to)
            end = at;
    }
    if (end > from)
        add(l, (dk_jtok){ .kind = DK_T_DATA, .line = l->line, .s = { l->s + from, end - from } });
}

static char sign_at(const lexer *l, size_t at)
{
    return at < l->n && (l->s[at] == '-' || l->s[at] == '+') ? l->s[at] : 0;
}

static void ends(lexer *l, size_t to)
{
    move(l, to);
    l->line_start = to > 0 && l->s[to - 1] == '\n';
}

/* {% raw %} at p: whether it is one; what it holds becomes data. */
static bool raw(lexer *l, size_t p)
{
    const char sign = sign_at(l, p + 2);
    size_t at = dk_utf8_lstrip(l->s, p + 2 + (sign != 0), l->n), end;

    if (!here(l, at, "raw"))
        return false;
    at = dk_utf8_lstrip(l->s, at + 3, l->n);
    if (!(end = tag_end(l, at, "%}", false, false)))
        return false;
    data(l, l->at, p, sign, false);
    ends(l, end);
    for (at = end; at < l->n; at++) {
        char inner;
        size_t word, stop;

        if (!here(l, at, "{%"))
            continue;
        inner = sign_at(l, at + 2);
        word = dk_utf8_lstrip(l->s, at + 2 + (inner != 0), l->n);
        if (!here(l, word, "endraw"))
            continue;
        if (!(stop = tag_end(l, dk_utf8_lstrip(l->s, word + 6, l->n), "%}", true, true)))
            continue;
        data(l, end, at, inner, false);
        ends(l, stop);
        return true;
    }
    dk_jfail(l->x, "{%% raw %%} is not closed");
}

static void comment(lexer *l, size_t p)
{
    const size_t from = p + 2 + (sign_at(l, p + 2) != 0);

    data(l, l->at, p, sign_at(l, p + 2), false);
    move(l, p);
    for (size_t at = from; at < l->n; at++) {
        const size_t end = tag_end(l, at, "#}", true, true);

        if (end) {
            ends(l, end);
            return;
        }
    }
    dk_jfail(l->x, "a comment is not closed");
}

/* --- literals ------------------------------------------------------------------- */
static int hex(lexer *l, const char *s, size_t n, size_t digits)
{
    int v = 0;

    if (n < digits)
        dk_jfail(l->x, "a string has a truncated escape");
    for (size_t i = 0; i < digits; i++) {
        const char c = s[i] | 32;

        if (!((s[i] >= '0' && s[i] <= '9') || (c >= 'a' && c <= 'f')) || v > 0x10FFFF)
            dk_jfail(l->x, "a string has a bad escape");
        v = v * 16 + (s[i] <= '9' ? s[i] - '0' : c - 'a' + 10);
    }
    return v;
}

/* One escape at s[0] = '\\'; returns how much of s it takes. */
static size_t escape(lexer *l, dk_jb *b, const char *s, size_t n)
{
    static const char from[] = "abfnrtv\\'\"", to[] = "\a\b\f\n\r\t\v\\'\"";
    const char c = s[1], *at = c ? strchr(from, c) : NULL;
    const size_t digits = c == 'x' ? 2 : c == 'u' ? 4 : c == 'U' ? 8 : 0;
    size_t k = 1;
    int cp = 0;

    if (c == '\n')
        return 2;
    if (at) {
        dk_jb_add(b, &to[at - from], 1);
        return 2;
    }
    if (c == 'N')
        dk_jfail(l->x, "named characters (\\N) are not supported");
    if (!digits && (c < '0' || c > '7')) {
        dk_jb_add(b, s, 1);             /* no escape: the backslash stays */
        return 1;
    }
    if (digits)
        cp = hex(l, s + 2, n - 2, digits);
    for (; !digits && k < 4 && k < n && s[k] >= '0' && s[k] <= '7'; k++)
        cp = cp * 8 + s[k] - '0';
    if (cp > 0x10FFFF || (cp >= 0xD800 && cp <= 0xDFFF))
        dk_jfail(l->x, "a string has an escape that is no character");
    dk_jb_cp(b, cp);
    return digits ? 2 + digits : k;
}

static void string(lexer *l)
{
    const char quote = l->s[l->at];
    dk_jb b = { .x = l->x };
    size_t at = l->at + 1;
    const uint32_t line = l->line;

    while (at < l->n && l->s[at] != quote) {
        if (l->s[at] == '\\' && at + 1 < l->n) {
            at += escape(l, &b, l->s + at, l->n - at);
        } else {
            dk_jb_add(&b, l->s + at, 1);
            at++;
        }
    }
    if (at >= l->n)
        dk_jfail(l->x, "a string is not closed");
    move(l, at + 1);
    add(l, (dk_jtok){ .kind = DK_T_STR, .line = line, .s = { b.s ? b.s : "", b.n } });
}

static bool digit(const lexer *l, size_t at) { return at < l->n && l->s[at] >= '0' && l->s[at] <= '9'; }

static size_t digits(const lexer *l, size_t at)
{
    while (digit(l, at) || (at < l->n && l->s[at] == '_' && digit(l, at + 1)))
        at++;
    return at;
}

/* The text of a number without its underscores. */
static char *plain_number(lexer *l, size_t to)
{
    char *s = dk_jget(l->x, to - l->at + 1), *p = s;

    for (size_t i = l->at; i < to; i++)
        if (l->s[i] != '_')
            *p++ = l->s[i];
    return s;
}

static size_t based(const lexer *l, size_t at)
{
    static const char kinds[] = "xXoObB";
    const char *k = l->s[at] == '0' && at + 1 < l->n ? strchr(kinds, l->s[at + 1]) : NULL;
    const char *ok = !k || !*k ? "" : k < kinds + 2 ? "0123456789abcdefABCDEF" : k < kinds + 4 ? "01234567" : "01";
    size_t end = at + 2;

    while (*ok && end < l->n && ((l->s[end] && strchr(ok, l->s[end])) || l->s[end] == '_'))
        end++;
    return *ok && end > at + 2 ? end : 0;
}

static void number(lexer *l)
{
    size_t end = digits(l, l->at), more = end;
    const bool after_dot = l->at > 0 && l->s[l->at - 1] == '.';
    dk_jtok t = { .kind = DK_T_INT, .line = l->line };
    char *s, *rest;

    if (here(l, more, ".") && digit(l, more + 1))
        more = digits(l, more + 1);
    if (more < l->n && (l->s[more] | 32) == 'e') {
        const size_t exp = more + 1 + (sign_at(l, more + 1) != 0);

        if (digit(l, exp))
            more = digits(l, exp);
    }
    if (based(l, l->at)) {
        const char *as = l->s[l->at + 1] == 'x' || l->s[l->at + 1] == 'X' ? "x" : l->s[l->at + 1] == 'o' ||
                         l->s[l->at + 1] == 'O' ? "o" : "b";

        end = based(l, l->at);
        s = plain_number(l, end);
        t.i = strtoll(s + 2, &rest, *as == 'x' ? 16 : *as == 'o' ? 8 : 2);
    } else if (more > end && !after_dot) {
        end = more;
        t.kind = DK_T_FLOAT;
        t.f = strtod(plain_number(l, end), &rest);
    } else {
        s = plain_number(l, end);
        if (*s == '0' && strspn(s, "0") != strlen(s))
            dk_jfail(l->x, "the number '%.40s' begins with zero", s);
        t.i = strtoll(s, &rest, 10);
    }
    if (t.kind == DK_T_INT && t.i == INT64_MAX)
        dk_jfail(l->x, "a number is too large");
    move(l, end);
    add(l, t);
}

static size_t word(const lexer *l)
{
    size_t at = l->at;

    while (at < l->n) {
        size_t next = at;

        if (!dk_utf8_is_word(dk_utf8_next(l->s, l->n, &next)))
            break;
        at = next;
    }
    return at;
}

static void bracket(lexer *l, char c)
{
    static const char pairs[] = "()[]{}";
    const char *p = strchr(pairs, c);

    if (!p)
        return;
    if ((p - pairs) % 2 == 0) {
        if (l->n_close == DK_J_DEPTH)
            dk_jfail(l->x, "brackets nest too deep");
        l->close[l->n_close++] = p[1];
    } else if (l->n_close == 0) {
        dk_jfail(l->x, "unexpected '%c'", c);
    } else if (l->close[--l->n_close] != c) {
        dk_jfail(l->x, "unexpected '%c', expected '%c'", c, l->close[l->n_close]);
    }
}

static void operator(lexer *l)
{
    static const char *const two[] = { "//", "**", "==", "!=", ">=", "<=" };
    dk_jtok t = { .kind = DK_T_OP, .line = l->line };
    size_t n = 1;

    for (size_t i = 0; i < sizeof two / sizeof *two; i++)
        if (here(l, l->at, two[i]))
            n = 2;
    if (n == 1 && (!l->s[l->at] || !strchr("+-/*%~[](){}><=.:|,;", l->s[l->at]))) {
        size_t end = l->at;

        dk_utf8_next(l->s, l->n, &end);
        dk_jfail(l->x, "unexpected character '%.*s'", (int)(end - l->at), l->s + l->at);
    }
    if (n == 1)
        bracket(l, l->s[l->at]);
    t.op = l->s[l->at] | (n == 2 ? l->s[l->at + 1] << 8 : 0);
    t.s = (dk_span){ l->s + l->at, n };
    move(l, l->at + n);
    add(l, t);
}

/* The inside of {{ }} and {% %}, with its end. */
static void inside(lexer *l, bool variable)
{
    l->n_close = 0;
    while (l->at < l->n) {
        const size_t end = l->n_close ? 0 : variable ? tag_end(l, l->at, "}}", false, false)
                                                     : tag_end(l, l->at, "%}", true, true);
        const size_t blank = dk_utf8_lstrip(l->s, l->at, l->n);

        if (end) {
            add(l, (dk_jtok){ .kind = variable ? DK_T_VAR_END : DK_T_BLOCK_END, .line = l->line });
            ends(l, end);
            return;
        }
        if (blank > l->at) {
            move(l, blank);
        } else if (digit(l, l->at)) {
            number(l);
        } else if (word(l) > l->at) {
            const dk_span s = { l->s + l->at, word(l) - l->at };

            add(l, (dk_jtok){ .kind = DK_T_NAME, .line = l->line, .s = s });
            move(l, l->at + s.n);
        } else if (l->s[l->at] == '\'' || l->s[l->at] == '"') {
            string(l);
        } else {
            operator(l);
        }
    }
    /* The end of the file: the parser says what is missing. */
}

/* Line ends become \n; the last one does not count. */
static dk_span lines(dk_jx *x, dk_span source)
{
    char *s = dk_jget(x, source.n + 1);
    size_t n = 0;

    for (size_t i = 0; i < source.n; i++) {
        const bool cr = source.s[i] == '\r';

        s[n++] = cr ? '\n' : source.s[i];
        i += cr && i + 1 < source.n && source.s[i + 1] == '\n';
    }
    if (n > 0 && s[n - 1] == '\n')
        n--;
    return (dk_span){ s, n };
}

void dk_jlex(dk_jx *x, dk_span source)
{
    const dk_span text = lines(x, source);
    lexer l = { .x = x, .s = text.s, .n = text.n, .line = 1, .line_start = true };
    size_t p;

    for (p = 0; p + 1 < l.n;) {
        const char kind = l.s[p] == '{' ? l.s[p + 1] : 0;

        if (kind != '%' && kind != '{' && kind != '#') {
            p++;
        } else if (kind == '#') {
            comment(&l, p);
            p = l.at;
        } else if (kind == '%' && raw(&l, p)) {
            p = l.at;
        } else {
            const char sign = sign_at(&l, p + 2);

            data(&l, l.at, p, sign, kind == '{');
            move(&l, p);
            add(&l, (dk_jtok){ .kind = kind == '{' ? DK_T_VAR_BEGIN : DK_T_BLOCK_BEGIN, .line = l.line });
            move(&l, p + 2 + (sign != 0));
            inside(&l, kind == '{');
            p = l.at;
        }
    }
    if (l.at < l.n)
        add(&l, (dk_jtok){ .kind = DK_T_DATA, .line = l.line, .s = { l.s + l.at, l.n - l.at } });
    move(&l, l.n);
    add(&l, (dk_jtok){ .kind = DK_T_EOF, .line = l.line });
}
