/* A long text shows what is around its highest token, and the rest at the flick
 * of a switch; where it is cut stands a mark. */
#ifndef DK_METHOD_PAGEWINDOW_H
#define DK_METHOD_PAGEWINDOW_H

#include "method/pagehtml.h"

typedef struct dk_window { size_t from, to, n; } dk_window;     /* shown of n tokens at first */

dk_window dk_window_of(size_t n, size_t top);
/* Before the tokens, where some are not shown; the two numbers name it. */
void dk_window_switch(dk_html *h, size_t number, size_t count);
/* Before token i, and behind the last with i = n: what is outside stands in spans. */
void dk_window_edge(dk_html *h, const dk_window *win, size_t i);

#endif
