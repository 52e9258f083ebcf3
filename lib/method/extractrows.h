/* Which rows are kept of those that the model saw. */
#ifndef DK_METHOD_EXTRACTROWS_H
#define DK_METHOD_EXTRACTROWS_H

#include <stdbool.h>
#include <stddef.h>

#include "io/tokfile.h"

typedef struct dk_row_rule {
    size_t skip;                    /* not the first positions of a document */
    uint8_t only, drop;             /* only with one of these flags, none with one of those; 0: any */
} dk_row_rule;

/* Adds the flag of a word: special, bos, user, assistant, template, masked. */
int dk_row_flag(uint8_t *flags, const char *word, const char *option, dk_err *err);
bool dk_row_rule_all(const dk_row_rule *r);     /* nothing is left out */
/* The rows of in that are kept, at the positions that they had; documents may lose all. */
int dk_rows_kept(dk_tokens *out, const dk_tokens *in, const dk_row_rule *r, dk_err *err);
/* Moves the kept ones of rows first .. first + n - 1 of t to the front: x [n, d]. */
void dk_rows_compact(float *x, size_t d, const dk_tokens *t, size_t first, size_t n, const dk_row_rule *r);
/* Which of them these are, counted from the first: how many. */
size_t dk_rows_list(size_t *list, const dk_tokens *t, size_t first, size_t n, const dk_row_rule *r);

#endif
