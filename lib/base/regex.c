/* PCRE2 behind three calls. */
#include "base/regex.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include "base/mem.h"

/* The longest honest match in a tokenizer or an adapter takes some thousands. */
enum { STEP_LIMIT = 5000000, DEPTH_LIMIT = 100000, HEAP_KIB = 64 * 1024 };

struct dk_regex {
    pcre2_code *code;
    pcre2_match_data *data;
    pcre2_match_context *limits;
    char *pattern;
};

int dk_regex_new(dk_regex **out, const char *pattern, dk_err *err)
{
    PCRE2_SIZE at = 0;
    int why = 0;
    dk_regex *re = dk_xcalloc(1, sizeof *re);

    *out = NULL;
    re->code = pcre2_compile((PCRE2_SPTR)pattern, PCRE2_ZERO_TERMINATED,
                             PCRE2_UTF | PCRE2_UCP | PCRE2_NEVER_BACKSLASH_C, &why, &at, NULL);
    if (!re->code) {
        PCRE2_UCHAR text[160] = {0};

        pcre2_get_error_message(why, text, sizeof text);
        dk_free(re);
        return dk_fail(err, DK_EDATA, "regular expression '%.200s': %s at character %zu", pattern,
                       (const char *)text, (size_t)at);
    }
    /* Without a compiler for this CPU the interpreter serves; same answers. */
    (void)pcre2_jit_compile(re->code, PCRE2_JIT_COMPLETE);
    re->data = pcre2_match_data_create_from_pattern(re->code, NULL);
    re->limits = pcre2_match_context_create(NULL);
    DK_ASSERT(re->data && re->limits);
    pcre2_set_match_limit(re->limits, STEP_LIMIT);
    pcre2_set_depth_limit(re->limits, DEPTH_LIMIT);
    pcre2_set_heap_limit(re->limits, HEAP_KIB);
    re->pattern = dk_xstrdup(pattern);
    *out = re;
    return 0;
}

void dk_regex_free(dk_regex **re)
{
    if (*re) {
        pcre2_code_free((*re)->code);
        pcre2_match_data_free((*re)->data);
        pcre2_match_context_free((*re)->limits);
        dk_free((*re)->pattern);
        dk_free(*re);
        *re = NULL;
    }
}

static int match(dk_regex *re, const char *s, size_t n, size_t start, uint32_t flags,
                 size_t *from, size_t *to, dk_err *err)
{
    const PCRE2_SPTR subject = (PCRE2_SPTR)s;
    const PCRE2_SIZE *span;
    int k = pcre2_match(re->code, subject, n, start, flags, re->data, re->limits);

    if (k == PCRE2_ERROR_JIT_STACKLIMIT)    /* compiled code has 32 KiB of stack */
        k = pcre2_match(re->code, subject, n, start, flags | PCRE2_NO_JIT, re->data, re->limits);
    if (k == PCRE2_ERROR_NOMATCH)
        return 0;
    if (k < 0) {
        PCRE2_UCHAR text[160] = {0};

        pcre2_get_error_message(k, text, sizeof text);
        return dk_fail(err, DK_EDATA, "regular expression '%.200s': %s", re->pattern,
                       (const char *)text);
    }
    span = pcre2_get_ovector_pointer(re->data);
    if (from)
        *from = span[0];
    if (to)
        *to = span[1];
    return 1;
}

int dk_regex_find(dk_regex *re, const char *s, size_t n, size_t start, size_t *from, size_t *to,
                  dk_err *err)
{
    return match(re, s, n, start, 0, from, to, err);
}

int dk_regex_full(dk_regex *re, const char *s, size_t n, dk_err *err)
{
    return match(re, s, n, 0, PCRE2_ANCHORED | PCRE2_ENDANCHORED, NULL, NULL, err);
}
