/* Regular expressions of tokenizer files.  They are written for Oniguruma and
 * Unicode 16; PCRE2 of this machine shall find the same.
 *
 * \s, \w, \p{L} and \p{N} are spelled out where the two differ; what cannot be
 * carried over (sets within sets, unknown escapes, flags) is refused. */
#ifndef DK_TEXT_REGEXFORM_H
#define DK_TEXT_REGEXFORM_H

#include "base/err.h"
#include "base/mem.h"
#include "base/regex.h"
#include "text/tokspec.h"

/* DK_EFORMAT names the expression. */
int dk_regex_from_tokenizer(dk_regex **out, dk_span pattern, dk_err *err);

/* All matches in turn, an empty one not directly after another.  Start with a
 * zeroed place. */
typedef struct dk_regex_place {
    size_t search, end;
    bool any;
} dk_regex_place;
int dk_regex_next(dk_regex *re, const char *s, size_t n, dk_regex_place *at, size_t *from,
                  size_t *to, dk_err *err);

#endif
