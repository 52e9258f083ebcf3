/* Regular expressions: the one home of PCRE2.  Patterns and subjects are UTF-8
 * and \w, \d, \s follow Unicode, as in Python.  A match has a step limit, so a
 * hostile pattern ends in an error and not in an endless loop.
 *
 * A compiled dk_regex is read-only; the scratch space of a match is not, so
 * threads that share a pattern each take a dk_regex of their own. */
#ifndef DK_BASE_REGEX_H
#define DK_BASE_REGEX_H

#include <stddef.h>

#include "base/err.h"

typedef struct dk_regex dk_regex;

/* DK_EDATA with the pattern and the place of the fault. */
int dk_regex_new(dk_regex **out, const char *pattern, dk_err *err);
void dk_regex_free(dk_regex **re);

/* The first match in s[start, n): returns 1 and [*from, *to), 0 when there is
 * none, or a negative code (invalid UTF-8, step limit).  from, to may be NULL. */
int dk_regex_find(dk_regex *re, const char *s, size_t n, size_t start, size_t *from, size_t *to,
                  dk_err *err);
/* 1 when the whole of s matches, 0 when not, or a negative code. */
int dk_regex_full(dk_regex *re, const char *s, size_t n, dk_err *err);

#endif
