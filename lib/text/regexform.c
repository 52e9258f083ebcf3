/* Expressions from Oniguruma's syntax to PCRE2's. */
#include "text/regexform.h"

#include <string.h>

#include "text/utf8.h"

struct form {
    dk_span in;
    size_t at;
    dk_buf out;
    bool set, negated;      /* between [ and ]; [^ */
    const char *fault;
};

#define SPACES "\\x{9}-\\x{d}\\x{20}\\x{85}\\x{a0}\\x{1680}\\x{2000}-\\x{200a}\\x{2028}\\x{2029}" \
               "\\x{202f}\\x{205f}\\x{3000}"
/* Alphabetic symbols, and numerals below U+0100, which count as parts of words. */
#define WORDS  "\\p{L}\\p{M}\\p{Nd}\\p{Nl}\\p{Pc}\\x{b2}\\x{b3}\\x{b9}\\x{bc}-\\x{be}\\x{24b6}-\\x{24e9}\\x{1f130}-\\x{1f149}" \
               "\\x{1f150}-\\x{1f169}\\x{1f170}-\\x{1f189}"

/* With what Unicode 15.0 added: PCRE2 10.42 stands at 14. */
#define LETTERS "\\p{L}\\x{1123f}-\\x{11240}\\x{11f02}\\x{11f04}-\\x{11f10}\\x{11f12}-\\x{11f33}" \
                "\\x{1342f}\\x{13441}-\\x{13446}\\x{1b132}\\x{1b155}\\x{1df25}-\\x{1df2a}" \
                "\\x{1e030}-\\x{1e06d}\\x{1e4d0}-\\x{1e4eb}\\x{2b739}\\x{31350}-\\x{323af}"
#define NUMBERS "\\p{N}\\x{11f50}-\\x{11f59}\\x{1d2c0}-\\x{1d2d3}\\x{1e4f0}-\\x{1e4f9}"

static char peek(const struct form *f, size_t ahead)
{
    return f->at + ahead < f->in.n ? f->in.s[f->at + ahead] : 0;
}

static bool starts(const struct form *f, const char *what)
{
    const size_t n = strlen(what);

    return f->in.n - f->at >= n && memcmp(f->in.s + f->at, what, n) == 0;
}

/* A class that is more than one item of PCRE2's. */
static void spell(struct form *f, bool negated, const char *items, const dk_utf8_range *more, size_t n)
{
    if (!f->set)
        dk_buf_adds(&f->out, negated ? "[^" : "[");
    else if (negated)
        f->fault = "a negated class within a set";
    dk_buf_adds(&f->out, items);
    for (size_t i = 0; i < n; i++)
        dk_buf_addf(&f->out, "\\x{%x}-\\x{%x}", (unsigned)more[i].lo, (unsigned)more[i].hi);
    if (!f->set)
        dk_buf_adds(&f->out, "]");
}

static void property(struct form *f)
{
    const bool negated = peek(f, 1) == 'P';
    size_t n = 0;
    const dk_utf8_range *more;
    const char *close = memchr(f->in.s + f->at, '}', f->in.n - f->at);

    if (peek(f, 2) != '{' || !close) {
        f->fault = "a property without braces";
        return;
    }
    if (starts(f, "\\p{L}") || starts(f, "\\P{L}") || starts(f, "\\p{N}") || starts(f, "\\P{N}")) {
        const bool letter = peek(f, 3) == 'L';

        more = dk_utf8_newer(letter ? DK_CLASS_LETTER : DK_CLASS_NUMBER, &n);
        spell(f, negated, letter ? LETTERS : NUMBERS, more, n);
        f->at += 5;
        return;
    }
    if (peek(f, 3) == '^')
        f->fault = "a negated property";
    dk_buf_add(&f->out, f->in.s + f->at, (size_t)(close + 1 - f->in.s) - f->at);
    f->at = (size_t)(close + 1 - f->in.s);
}

static void escape(struct form *f)
{
    const char c = peek(f, 1);

    switch (c) {
    case 0:
        f->fault = "a backslash at the end";
        return;
    case 's': case 'S':
        spell(f, c == 'S', SPACES, NULL, 0);
        break;
    case 'w': case 'W':
        spell(f, c == 'W', WORDS, NULL, 0);
        break;
    case 'p': case 'P':
        property(f);
        return;
    case 'u': {
        const size_t hex = strspn(f->in.s + f->at + 2, "0123456789abcdefABCDEF");

        if (hex < 4) {
            f->fault = "\\u without four digits";
            return;
        }
        dk_buf_addf(&f->out, "\\x{%.4s}", f->in.s + f->at + 2);
        f->at += 6;
        return;
    }
    default:
        if (((c | 0x20) >= 'a' && (c | 0x20) <= 'z' && !strchr("nrtfvdDxb", c)) ||
            (c >= '1' && c <= '9') || (c == 'b' && f->set)) {
            f->fault = "an escape that is not known";
            return;
        }
        dk_buf_add(&f->out, f->in.s + f->at, 2);
    }
    f->at += 2;
}

static void group(struct form *f)
{
    static const char *const known[] = { "(?:", "(?=", "(?!", "(?<=", "(?<!", "(?>", "(?i:", "(?i)" };

    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (starts(f, known[i])) {
            dk_buf_adds(&f->out, known[i]);
            f->at += strlen(known[i]);
            return;
        }
    f->fault = "a group of an unknown kind";
}

static void copy(struct form *f)
{
    dk_buf_addc(&f->out, f->in.s[f->at++]);
}

static void one(struct form *f)
{
    const char c = peek(f, 0);

    if (c == '\\')
        escape(f);
    else if (f->set) {
        if (c == '[' || starts(f, "&&"))
            f->fault = "a set within a set";
        f->set = c != ']';
        copy(f);
    } else if (c == '[') {
        f->set = true;
        copy(f);
        if (peek(f, 0) == '^')
            copy(f);
        if (peek(f, 0) == ']')
            f->fault = "an empty set";
    } else if (c == '(' && peek(f, 1) == '?')
        group(f);
    else if (c == '(' && peek(f, 1) == '*')
        f->fault = "a verb";
    else
        copy(f);
}

int dk_regex_from_tokenizer(dk_regex **out, dk_span pattern, dk_err *err)
{
    struct form f = { .in = pattern };
    dk_err why = {0};

    *out = NULL;
    dk_buf_adds(&f.out, "(?m)");        /* ^ and $ are ends of lines there */
    if (pattern.n > 65536 || memchr(pattern.s, 0, pattern.n))
        f.fault = "a zero byte, or more than 64 KiB";
    while (!f.fault && f.at < pattern.n)
        one(&f);
    if (!f.fault && dk_regex_new(out, f.out.s, &why) < 0)
        f.fault = why.msg;
    if (f.fault)
        dk_fail(err, DK_EFORMAT, "the expression '%.*s' is not supported: %.200s",
                (int)(pattern.n < 200 ? pattern.n : 200), pattern.s, f.fault);
    dk_buf_free(&f.out);
    return f.fault ? DK_EFORMAT : 0;
}

int dk_regex_next(dk_regex *re, const char *s, size_t n, dk_regex_place *at, size_t *from,
                  size_t *to, dk_err *err)
{
    while (at->search <= n) {
        const int rc = dk_regex_find(re, s, n, at->search, from, to, err);

        if (rc <= 0)
            return rc;
        if (*from < *to || !at->any || *to != at->end) {
            at->search = at->end = *to;
            at->any = true;
            return 1;
        }
        if (at->search == n)
            return 0;
        dk_utf8_next(s, n, &at->search);
    }
    return 0;
}
