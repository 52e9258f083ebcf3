/* UTF-8, its normalization forms, and the classes of characters that
 * pre-tokenizers ask for.
 *
 * An invalid sequence is a maximal subpart in the sense of the Unicode
 * standard (3.9, "substitution of maximal subparts"): what Python and Rust
 * replace by one U+FFFD each.  utf8proc.h has its home in utf8.c. */
#ifndef DK_TEXT_UTF8_H
#define DK_TEXT_UTF8_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/mem.h"

enum { DK_CLASS_LETTER = 1, DK_CLASS_NUMBER = 2, DK_CLASS_SPACE = 4 };

/* Finer: a letter with neither case bit is \p{Lm} or \p{Lo}. */
enum {
    DK_KIND_UPPER = 0x10,       /* \p{Lu}, \p{Lt} */
    DK_KIND_LOWER = 0x20,       /* \p{Ll} */
    DK_KIND_MARK = 0x40,        /* \p{M} */
    DK_KIND_SIGN = 0x80         /* \p{P}, \p{S} */
};

typedef struct dk_utf8_range { int32_t lo, hi; } dk_utf8_range;

typedef enum dk_utf8_form { DK_NFC, DK_NFD, DK_NFKC, DK_NFKD } dk_utf8_form;

/* Decodes at *at < n and moves *at on; -1 for an invalid sequence, which is
 * passed over as a whole. */
int32_t dk_utf8_next(const char *s, size_t n, size_t *at);
/* Length of the longest valid prefix: n if all of it is valid. */
size_t dk_utf8_valid(const char *s, size_t n);
/* Appends s with invalid sequences replaced by U+FFFD; returns how many. */
size_t dk_utf8_clean(dk_buf *out, const char *s, size_t n);
void dk_utf8_add(dk_buf *out, int32_t cp);
/* Code points in valid text; bytes taken by the first n code points of it. */
size_t dk_utf8_count(const char *s, size_t n);
size_t dk_utf8_prefix(const char *s, size_t n, size_t n_chars);

/* Whether valid text is surely in a form: false may mean that one has to look. */
bool dk_utf8_in_form(const char *s, size_t n, dk_utf8_form form);
/* Appends valid text in a form; returns false, and appends nothing, if it is in
 * that form already. */
bool dk_utf8_to_form(dk_buf *out, const char *s, size_t n, dk_utf8_form form);
/* Whether a character surely composes with nothing before it in NFC and NFD. */
bool dk_utf8_starts(int32_t cp);
/* Appends the lower case of one character: two in one case. */
void dk_utf8_lower(dk_buf *out, int32_t cp);
/* Bytes of white space at the end and at the beginning of s. */
size_t dk_utf8_spaces_before(const char *s, size_t n);
size_t dk_utf8_spaces_after(const char *s, size_t n);

/* \p{L}, \p{N} (Nd, Nl, No) or White_Space, else 0; 0 for cp < 0.  Thread-safe. */
unsigned dk_utf8_class(int32_t cp);
/* The class and the DK_KIND bits. */
unsigned dk_utf8_kind(int32_t cp);
/* The members of a class that Unicode 15 did not have. */
const dk_utf8_range *dk_utf8_newer(unsigned class, size_t *n);
/* \w of regular expressions, near enough: letters, marks, numbers, '_' and the
 * other connectors, the joiners. */
bool dk_utf8_is_word(int32_t cp);

/* What Python's str knows of a character.  Cases are those of single
 * characters, and of sharp s and the Latin ligatures; out has room for 3. */
typedef enum dk_case { DK_CASE_UPPER, DK_CASE_LOWER, DK_CASE_TITLE } dk_case;
int dk_utf8_case(int32_t cp, dk_case how, int32_t out[3]);
bool dk_utf8_is_upper(int32_t cp);          /* Lu, Lt */
bool dk_utf8_is_lower(int32_t cp);
bool dk_utf8_is_decimal(int32_t cp);        /* Nd */
bool dk_utf8_printable(int32_t cp);         /* as repr() sees it */
bool dk_utf8_blank(int32_t cp);             /* str.isspace: the separators 1C .. 1F too */
/* s between from and to without blanks at its start, at its end: where that is. */
size_t dk_utf8_lstrip(const char *s, size_t from, size_t to);
size_t dk_utf8_rstrip(const char *s, size_t from, size_t to);

#endif
