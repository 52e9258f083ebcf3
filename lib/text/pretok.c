/* One scanner for the family of GPT-2: what differs between its members is
 * data.  The alternatives of the expressions are tried in their order. */
#include "text/pretok.h"

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "text/utf8.h"

static const struct rule {
    const char *name, *regex;
    const char *ggml[3];    /* values of tokenizer.ggml.pre */
    bool digits_apart;      /* numerals are cut out before the expression is applied */
    bool any_case;          /* (?i:'s|...) */
    bool any_lead;          /* [^\r\n\p{L}\p{N}]?\p{L}+ instead of  ?\p{L}+ */
    bool newline_tail;      /* ...[\r\n]* after signs, and \s*[\r\n]+ */
    int max_digits;         /* \p{N}{1,max}; 0:  ?\p{N}+ */
} rules[] = {
    [DK_PRETOK_GPT2] = {
        .name = "gpt2", .ggml = { "gpt-2", "gpt2" },
        .regex = "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+",
    },
    [DK_PRETOK_SMOLLM] = {
        .name = "smollm", .ggml = { "smollm" }, .regex = "", .digits_apart = true, .max_digits = 1,
    },
    [DK_PRETOK_LLAMA3] = {
        .name = "llama3", .ggml = { "llama-bpe", "llama3", "llama-v3" },
        .regex = "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,3}|"
                 " ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+",
        .any_case = true, .any_lead = true, .newline_tail = true, .max_digits = 3,
    },
    [DK_PRETOK_QWEN2] = {
        .name = "qwen2", .ggml = { "qwen2", "deepseek-r1-qwen" },
        .regex = "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}|"
                 " ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+",
        .any_case = true, .any_lead = true, .newline_tail = true, .max_digits = 1,
    },
};

enum { N_RULES = sizeof rules / sizeof *rules };

const char *dk_pretok_name(dk_pretok kind) { return rules[kind].name; }

int dk_pretok_from_regex(dk_pretok *out, const char *regex, dk_err *err)
{
    for (int k = 0; k < N_RULES; k++)
        if (*regex && strcmp(rules[k].regex, regex) == 0) {
            *out = (dk_pretok)k;
            return 0;
        }
    return dk_fail(err, DK_EFORMAT, "unknown pre-tokenizer expression '%.200s'", regex);
}

int dk_pretok_from_name(dk_pretok *out, const char *pre, dk_err *err)
{
    for (int k = 0; k < N_RULES; k++)
        for (int i = 0; i < 3; i++)
            if (rules[k].ggml[i] && strcmp(rules[k].ggml[i], pre) == 0) {
                *out = (dk_pretok)k;
                return 0;
            }
    return dk_fail(err, DK_EFORMAT, "unknown pre-tokenizer '%.100s'", pre);
}

enum { OTHER = 0, LETTER = DK_CLASS_LETTER, NUMBER = DK_CLASS_NUMBER, SPACE = DK_CLASS_SPACE,
       END = 8 };

#define O8 OTHER, OTHER, OTHER, OTHER, OTHER, OTHER, OTHER, OTHER
#define L8 LETTER, LETTER, LETTER, LETTER, LETTER, LETTER, LETTER, LETTER
static const uint8_t ascii[128] = {
    O8, OTHER, SPACE, SPACE, SPACE, SPACE, SPACE, OTHER, OTHER, O8, O8,
    SPACE, OTHER, OTHER, OTHER, OTHER, OTHER, OTHER, OTHER, O8,
    NUMBER, NUMBER, NUMBER, NUMBER, NUMBER, NUMBER, NUMBER, NUMBER, NUMBER, NUMBER,
    OTHER, OTHER, OTHER, OTHER, OTHER, OTHER,
    OTHER, LETTER, LETTER, LETTER, LETTER, LETTER, LETTER, LETTER, L8, L8,
    LETTER, LETTER, LETTER, OTHER, OTHER, OTHER, OTHER, OTHER,
    OTHER, LETTER, LETTER, LETTER, LETTER, LETTER, LETTER, LETTER, L8, L8,
    LETTER, LETTER, LETTER, OTHER, OTHER, OTHER, OTHER, OTHER,
};

/* Class of the character at at, and where the next one starts. */
static inline unsigned peek(const char *s, size_t n, size_t at, size_t *next)
{
    if (at >= n) {
        *next = at;
        return END;
    }
    if ((uint8_t)s[at] < 0x80) {
        *next = at + 1;
        return ascii[(uint8_t)s[at]];
    }
    *next = at;
    return dk_utf8_class(dk_utf8_next(s, n, next));
}

/* End of the run of one class from at on. */
static inline size_t run(const char *s, size_t n, size_t at, unsigned class)
{
    size_t next;

    while (peek(s, n, at, &next) == class)
        at = next;
    return at;
}

/* Length of a contraction that starts at the apostrophe s[0], else 0. */
static size_t contraction(const char *s, size_t n, bool any_case)
{
    const char fold = any_case ? 0x20 : 0;
    const char a = n > 1 ? (char)(s[1] | fold) : 0, b = n > 2 ? (char)(s[2] | fold) : 0;

    if (a == 's' || a == 't' || a == 'm' || a == 'd')
        return 2;
    if ((a == 'r' && b == 'e') || (a == 'v' && b == 'e') || (a == 'l' && b == 'l'))
        return 3;
    if (any_case && n > 2 && memcmp(s + 1, "\xC5\xBF", 2) == 0)
        return 3;       /* U+017F folds to s */
    return 0;
}

static size_t newlines(const char *s, size_t n, size_t at)
{
    while (at < n && (s[at] == '\r' || s[at] == '\n'))
        at++;
    return at;
}

/* \s+(?!\S)|\s+ and, before it, \s*[\r\n]+: a run of white space leaves its
 * last character to what follows, unless nothing does. */
static size_t space(const struct rule *r, const char *s, size_t n, size_t at)
{
    size_t last = at, end = at, next, newline = 0;
    unsigned class;

    while ((class = peek(s, n, end, &next)) == SPACE) {
        if (s[end] == '\r' || s[end] == '\n')
            newline = next;
        last = end;
        end = next;
    }
    if (r->newline_tail && newline)
        return newline;
    if (class == END || (class == NUMBER && r->digits_apart) || last == at)
        return end;
    return last;
}

size_t dk_pretok_next(dk_pretok kind, const char *s, size_t n, size_t at)
{
    const struct rule *r = &rules[kind];
    size_t b, after, len;
    const unsigned class = peek(s, n, at, &b);
    const char c = s[at];
    unsigned follow;

    if (c == '\'' && (len = contraction(s + at, n - at, r->any_case)) > 0)
        return at + len;
    if (class == LETTER)
        return run(s, n, b, LETTER);
    if (class == NUMBER) {
        for (int k = 1; k < r->max_digits && peek(s, n, b, &after) == NUMBER; k++)
            b = after;
        return r->max_digits ? b : run(s, n, b, NUMBER);
    }
    follow = peek(s, n, b, &after);
    if (follow == LETTER && (c == ' ' || (r->any_lead && c != '\r' && c != '\n')))
        return run(s, n, after, LETTER);
    if (follow == NUMBER && c == ' ' && !r->max_digits)
        return run(s, n, after, NUMBER);
    if (class == OTHER || (c == ' ' && follow == OTHER)) {
        b = run(s, n, b, OTHER);
        return r->newline_tail ? newlines(s, n, b) : b;
    }
    return space(r, s, n, at);
}
