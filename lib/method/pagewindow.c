/* What is seen of a long text. */
#include "method/pagewindow.h"

enum { AROUND = 50 };

dk_window dk_window_of(size_t n, size_t top)
{
    if (n <= 2 * AROUND + 1)
        return (dk_window){ 0, n, n };
    return (dk_window){ top > AROUND ? top - AROUND : 0, top + AROUND + 1 < n ? top + AROUND + 1 : n, n };
}

void dk_window_switch(dk_html *h, size_t number, size_t count)
{
    dk_html_open_class(h, "input", "whole");
    dk_html_attr(h, "type", "checkbox");
    dk_html_attrf(h, "id", "whole%zu-%zu", number, count);
    dk_html_close(h);
    dk_html_open(h, "label");
    dk_html_attrf(h, "for", "whole%zu-%zu", number, count);
    dk_html_text(h, "whole text");
    dk_html_close(h);
}

void dk_window_edge(dk_html *h, const dk_window *win, size_t i)
{
    if (i == win->from && i > 0)
        dk_html_close(h);
    if ((i == 0 && win->from > 0) || (i == win->to && i < win->n)) {
        dk_html_put(h, "span", "gap", "\xe2\x80\xa6");
        dk_html_open_class(h, "span", "far");
    }
    if (i == win->n && win->to < win->n)
        dk_html_close(h);
}
