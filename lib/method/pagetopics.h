/* Parts of a page about diff mining, each of one file of rows. */
#ifndef DK_METHOD_PAGETOPICS_H
#define DK_METHOD_PAGETOPICS_H

#include "method/pageparts.h"

void dk_page_topics(const dk_page *p, const dk_set *set);       /* SET.nmf */
void dk_page_positions(const dk_page *p, const dk_set *set);    /* SET.positions */
void dk_page_windows(const dk_page *p, const dk_set *set);      /* SET.windows */

#endif
