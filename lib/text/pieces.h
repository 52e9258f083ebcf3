/* Pre-tokenizers: a text into the pieces that BPE sees one by one. */
#ifndef DK_TEXT_PIECES_H
#define DK_TEXT_PIECES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "text/normal.h"
#include "text/tokspec.h"

typedef struct dk_pieces dk_pieces;

/* s[from, to) is a piece.  map: the byte of the text that each byte of s comes
 * from; NULL: the same. */
typedef int dk_piece_fn(void *arg, const char *s, size_t from, size_t to, const uint32_t *map);

/* Copies what it needs of steps.  DK_EFORMAT for a faulty expression. */
int dk_pieces_new(dk_pieces **out, const dk_cut_step *steps, size_t n, dk_err *err);
void dk_pieces_free(dk_pieces **p);

/* Calls fn for the pieces of s[from, to), none of them empty, until it returns
 * another value than 0.  begin: the whole text begins here.  What lies outside
 * of [from, to) is not looked at.  Uses scratch space of p. */
int dk_pieces_each(dk_pieces *p, const char *s, size_t from, size_t to, bool begin, bool places,
                   dk_piece_fn *fn, void *arg, dk_err *err);

#endif
