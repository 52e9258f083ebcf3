/* Writing HTML: the only place where text becomes markup.  Every text, whoever
 * wrote it, goes through dk_html_text or dk_html_attr.
 *
 * The result is well-formed as XML too: attributes are quoted, elements closed.
 *
 * What a text may not do: open a tag or an entity, leave its attribute, reorder
 * the page (bidi controls), or hold what a browser does not show.  Such letters
 * are shown by name: U+202E stands as "[U+202E]", a control character as its
 * picture (U+2400 and on), bytes that are no UTF-8 as U+FFFD. */
#ifndef DK_METHOD_PAGEHTML_H
#define DK_METHOD_PAGEHTML_H

#include <stddef.h>

#include "base/mem.h"

enum { DK_HTML_DEPTH = 32 };

typedef struct dk_html {
    dk_buf *out;
    const char *open[DK_HTML_DEPTH];    /* the elements at hand, outermost first */
    int depth;
    int in_tag;                         /* the tag of the innermost awaits attributes */
} dk_html;

/* Names are literals of the program: letters, digits, '-'. */
void dk_html_open(dk_html *h, const char *name);
void dk_html_close(dk_html *h);
/* Right after open. */
void dk_html_attr(dk_html *h, const char *name, const char *value);
void dk_html_attrf(dk_html *h, const char *name, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
void dk_html_text(dk_html *h, const char *s);
void dk_html_textn(dk_html *h, const char *s, size_t n);
void dk_html_lines(dk_html *h, const char *s, size_t n);     /* shows line breaks, */
void dk_html_line(dk_html *h, const char *s, size_t n);      /* ... and makes none */
void dk_html_textf(dk_html *h, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* Open, class (NULL: none), text, close. */
void dk_html_put(dk_html *h, const char *name, const char *class, const char *s);
void dk_html_putf(dk_html *h, const char *name, const char *class, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));
/* Open with a class. */
void dk_html_open_class(dk_html *h, const char *name, const char *class);
/* A table of a class (NULL: none) that scrolls where it is too wide: opens it at its
 * head's cells; then its body; closes it. */
void dk_html_table(dk_html *h, const char *class);
void dk_html_table_body(dk_html *h);
void dk_html_table_end(dk_html *h);
/* Markup as it stands: the style sheet, the document type.  Never a text. */
void dk_html_raw(dk_html *h, const char *literal);

/* Appends s for an element's content, or for a value between double quotes.  In
 * content a line break is kept; lines: it is shown too. */
enum { DK_HTML_ATTR = 1, DK_HTML_LINES = 2 };
void dk_html_escape(dk_buf *out, const char *s, size_t n, unsigned how);

#endif
