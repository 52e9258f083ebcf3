/* The lens's part of the page: pagelens.c has the lengths, pagelist.c the lists. */
#ifndef DK_METHOD_PAGELENS_H
#define DK_METHOD_PAGELENS_H

#include "method/pageparts.h"

/* How lane or difference are called: that of the finetune by the organism's name. */
const char *dk_page_lens_name(const dk_page *p, const char *what);
/* A token that tells its numbers where one points at it; shared: a null speaks
 * for it too. */
void dk_page_lens_token(const dk_page *p, const dk_adl_token *t, bool shared);
/* The same of a row of dk-lens. */
void dk_page_lens_row(const dk_page *p, const dk_json *row);
/* Tables of the most telling positions; then every list, in room bytes. */
void dk_page_lens_lists(const dk_page *p, const dk_adl *a, size_t number, size_t room);

#endif
