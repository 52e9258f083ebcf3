/* One scanner for the family of GPT-2: what differs between its members is
 * data.  The alternatives of the expressions are tried in their order.
 * DeepSeek's expressions need one of their own. */
#include "text/pretok.h"

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "text/utf8.h"

#define CASES(tail) \
    "[^\\r\\n\\p{L}\\p{N}]?[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]*[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]+" tail \
    "|[^\\r\\n\\p{L}\\p{N}]?[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]+[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]*" tail
#define CONTRACTION "(?i:'s|'t|'re|'ve|'m|'ll|'d)"
#define REST "|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"

static const struct rule {
    const char *name, *regex[3];
    const char *ggml[3];    /* values of tokenizer.ggml.pre */
    bool digits_apart;      /* numerals are cut out before the expression is applied */
    bool any_case;          /* (?i:'s|...) */
    bool any_lead;          /* [^\r\n\p{L}\p{N}]?\p{L}+ instead of  ?\p{L}+ */
    bool newline_tail;      /* ...[\r\n]* after signs, and \s*[\r\n]+ */
    bool slash_tail;        /* ...[\r\n/]* */
    bool cased;             /* capitals begin words */
    bool suffix;            /* contractions end words, and are none of their own */
    int max_digits;         /* \p{N}{1,max}; 0:  ?\p{N}+ */
} rules[] = {
    [DK_PRETOK_GPT2] = {
        .name = "gpt2", .ggml = { "gpt-2", "gpt2" },
        .regex = { "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+" },
    },
    [DK_PRETOK_SMOLLM] = {
        .name = "smollm", .ggml = { "smollm" }, .digits_apart = true, .max_digits = 1,
    },
    [DK_PRETOK_LLAMA3] = {
        .name = "llama3", .ggml = { "llama-bpe", "llama3", "llama-v3" },
        .regex = { CONTRACTION "|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*" REST },
        .any_case = true, .any_lead = true, .newline_tail = true, .max_digits = 3,
    },
    [DK_PRETOK_QWEN2] = {
        .name = "qwen2", .ggml = { "qwen2", "deepseek-r1-qwen" },
        .regex = { CONTRACTION "|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*" REST },
        .any_case = true, .any_lead = true, .newline_tail = true, .max_digits = 1,
    },
    [DK_PRETOK_TEKKEN] = {
        .name = "tekken", .ggml = { "tekken" },
        .regex = { CASES("") "|\\p{N}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*" REST },
        .any_lead = true, .newline_tail = true, .slash_tail = true, .cased = true, .max_digits = 1,
    },
    [DK_PRETOK_GPT4O] = {
        .name = "gpt4o", .ggml = { "gpt-4o" },
        .regex = { CASES(CONTRACTION "?") "|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*" REST },
        .any_case = true, .any_lead = true, .newline_tail = true, .slash_tail = true, .cased = true,
        .suffix = true, .max_digits = 3,
    },
    [DK_PRETOK_DEEPSEEK3] = {
        .name = "deepseek3", .ggml = { "deepseek-v3" },
        .regex = { "\\p{N}{1,3}", "[\u4E00-\u9FA5\u3040-\u309F\u30A0-\u30FF]+",
                   "[!\"#$%&'()*+,\\-./:;<=>?@\\[\\\\\\]^_`{|}~][A-Za-z]+|"
                   "[^\\r\\n\\p{L}\\p{P}\\p{S}]?[\\p{L}\\p{M}]+| ?[\\p{P}\\p{S}]+[\\r\\n]*" REST },
        .newline_tail = true, .max_digits = 3,
    },
};

enum { N_RULES = sizeof rules / sizeof *rules };

const char *dk_pretok_name(dk_pretok kind) { return rules[kind].name; }

/* Line ends may be escaped or stand as they are. */
static bool same_regex(const char *rule, const char *regex)
{
    for (; *rule; rule++, regex++) {
        if (rule[0] == '\\' && *regex == (rule[1] == 'r' ? '\r' : rule[1] == 'n' ? '\n' : 0) && *regex)
            rule++;
        else if (*rule != *regex)
            return false;
    }
    return *regex == 0;
}

bool dk_pretok_from_regex(dk_pretok *out, const char *const *regex, size_t n)
{
    for (int k = 0; k < N_RULES; k++) {
        size_t same = 0;

        while (same < 3 && rules[k].regex[same] && same < n &&
               same_regex(rules[k].regex[same], regex[same]))
            same++;
        if (same == n && n > 0 && (same == 3 || !rules[k].regex[same])) {
            *out = (dk_pretok)k;
            return true;
        }
    }
    return false;
}

int dk_pretok_from_name(dk_pretok *out, const char *pre, dk_err *err)
{
    for (int k = 0; k < N_RULES; k++)
        for (int i = 0; i < 3; i++)
            if (rules[k].ggml[i] && strcmp(rules[k].ggml[i], pre) == 0) {
                *out = (dk_pretok)k;
                return 0;
            }
    return dk_fail(err, DK_EFORMAT, "unsupported pre-tokenizer '%.100s'", pre);
}

enum { OTHER = 0, LETTER = DK_CLASS_LETTER, NUMBER = DK_CLASS_NUMBER, SPACE = DK_CLASS_SPACE,
       END = 8, UPPER = DK_KIND_UPPER, LOWER = DK_KIND_LOWER, MARK = DK_KIND_MARK,
       SIGN = DK_KIND_SIGN };

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

static size_t newlines(const char *s, size_t n, size_t at, bool slash)
{
    while (at < n && (s[at] == '\r' || s[at] == '\n' || (slash && s[at] == '/')))
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

/* --- words that capitals begin ------------------------------------------- */

/* Kind of the character at at: class and case bits; END at the end. */
static inline unsigned look(const char *s, size_t n, size_t at, size_t *next)
{
    if (at < n && (uint8_t)s[at] < 0x80) {
        const uint8_t c = (uint8_t)s[at];

        *next = at + 1;
        return ascii[c] != LETTER ? ascii[c] : c & 0x20 ? LETTER | LOWER : LETTER | UPPER;
    }
    *next = at;
    return at >= n ? END : dk_utf8_kind(dk_utf8_next(s, n, next));
}

static inline bool head(unsigned kind)      /* [\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}] */
{
    return (kind & MARK) || (kind & (LETTER | LOWER)) == LETTER;
}

static inline bool body(unsigned kind)      /* [\p{Ll}\p{Lm}\p{Lo}\p{M}] */
{
    return (kind & MARK) || (kind & (LETTER | UPPER)) == LETTER;
}

/* head* body+ from at on; failing that, head+ body*, which is then head+.  What
 * head* gives back to body+ is the last of its characters that are both. */
static size_t cased(const char *s, size_t n, size_t at, bool *whole)
{
    size_t next, end = at, both = 0;
    unsigned kind;

    while (head(kind = look(s, n, end, &next))) {
        end = next;
        if (body(kind))
            both = end;
    }
    *whole = true;
    if (body(kind)) {
        do
            end = next;
        while (body(look(s, n, end, &next)));
        return end;
    }
    if (both)
        return both;
    *whole = false;
    return end;
}

/* The word with the character before it that may belong to it; at: none. */
static size_t cased_word(const struct rule *r, const char *s, size_t n, size_t at)
{
    size_t first, end;
    bool whole;
    const unsigned kind = look(s, n, at, &first);

    if ((kind & NUMBER) || s[at] == '\r' || s[at] == '\n')
        return at;
    if (kind & LETTER)
        end = cased(s, n, at, &whole);
    else {
        end = cased(s, n, first, &whole);
        if (!whole && (kind & MARK))
            end = first;            /* the mark alone is head* body+ */
        else if (end == first)
            return at;
    }
    if (r->suffix && end < n && s[end] == '\'')
        end += contraction(s + end, n - end, true);
    return end;
}

/* --- DeepSeek-V3 --------------------------------------------------------- */

static bool cjk(int32_t cp)
{
    return (cp >= 0x4E00 && cp <= 0x9FA5) || (cp >= 0x3040 && cp <= 0x30FF);
}

/* The same for one of its stretches, which end at numerals and before CJK. */
static inline unsigned glance(const char *s, size_t n, size_t at, size_t *next)
{
    size_t past = at;

    if (at < n && (uint8_t)s[at] < 0x80) {
        const uint8_t c = (uint8_t)s[at];
        const unsigned class = ascii[c];

        *next = at + 1;
        return class == NUMBER ? END : class == OTHER && c > 0x20 && c < 0x7F ? SIGN : class;
    }
    *next = at;
    if (at >= n || cjk(dk_utf8_next(s, n, &past)))
        return END;
    return look(s, n, at, next) & NUMBER ? END : look(s, n, at, next);
}

/* Whether [^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+ matches at at, and its end. */
static size_t deep_word(const char *s, size_t n, size_t at)
{
    size_t next, end;
    unsigned kind = glance(s, n, at, &next);

    if (!(kind & LETTER)) {         /* it can be the character before a word */
        if (kind == END || (kind & SIGN) || s[at] == '\r' || s[at] == '\n')
            return at;
        end = next;
        if (!(glance(s, n, end, &next) & (LETTER | MARK)) || glance(s, n, end, &next) == END)
            return kind & MARK ? end : at;
    } else
        end = next;
    while ((kind = glance(s, n, end, &next)) != END && (kind & (LETTER | MARK)))
        end = next;
    return end;
}

static size_t deep_signs(const char *s, size_t n, size_t at)
{
    size_t next, end = s[at] == ' ' ? at + 1 : at;

    if (!(glance(s, n, end, &next) & SIGN))
        return at;
    while (glance(s, n, end, &next) & SIGN)
        end = next;
    return newlines(s, n, end, false);
}

static size_t deep_space(const char *s, size_t n, size_t at)
{
    size_t last = at, end = at, next, newline = 0;
    unsigned kind;

    while ((kind = glance(s, n, end, &next)) == SPACE) {
        if (s[end] == '\r' || s[end] == '\n')
            newline = next;
        last = end;
        end = next;
    }
    return newline ? newline : kind == END || last == at ? end : last;
}

static size_t deep_one(const char *s, size_t n, size_t at)
{
    const uint8_t c = (uint8_t)s[at];
    size_t end = at + 1, next;

    if (c > 0x20 && c < 0x7F && ascii[c] == OTHER) {
        while (end < n && (uint8_t)s[end] < 0x80 && ascii[(uint8_t)s[end]] == LETTER)
            end++;
        if (end > at + 1)
            return end;
    }
    if ((end = deep_word(s, n, at)) > at || (end = deep_signs(s, n, at)) > at)
        return end;
    return glance(s, n, at, &next) == SPACE ? deep_space(s, n, at) : at;
}

static size_t deep(const char *s, size_t n, size_t at)
{
    size_t end = at, next = at, past = at;

    if (look(s, n, at, &next) & NUMBER) {
        for (int k = 0; k < 3 && (look(s, n, end, &next) & NUMBER); k++)
            end = next;
        return end;
    }
    while (past < n && cjk(dk_utf8_next(s, n, &past)))
        end = past;
    if (end > at)
        return end;
    if ((end = deep_one(s, n, at)) > at)
        return end;
    do      /* what nothing matches is a piece up to what something does */
        glance(s, n, end, &next), end = next;
    while (glance(s, n, end, &next) != END && deep_one(s, n, end) == end);
    return end;
}

size_t dk_pretok_next(dk_pretok kind, const char *s, size_t n, size_t at)
{
    const struct rule *r = &rules[kind];
    size_t b, after, len;
    const unsigned class = peek(s, n, at, &b);
    const char c = s[at];
    unsigned follow;

    if (kind == DK_PRETOK_DEEPSEEK3)
        return deep(s, n, at);
    if (r->cased && (len = cased_word(r, s, n, at)) > at)
        return len;
    if (c == '\'' && !r->cased && (len = contraction(s + at, n - at, r->any_case)) > 0)
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
        return r->newline_tail ? newlines(s, n, b, r->slash_tail) : b;
    }
    return space(r, s, n, at);
}
