/* Text in columns: UTF-8, one column a code point; control characters and line
 * breaks become blanks, so that a model's output cannot move the cursor. */
#ifndef DK_METHOD_WRAP_H
#define DK_METHOD_WRAP_H

#include <stddef.h>

#include "base/mem.h"

/* In a text: a blank at which no line is broken. */
#define DK_HARD_BLANK '\x1f'

/* Lines of at most width columns; the first begins with indent, the others
 * with as many blanks.  max_lines > 0: cut with "...". */
void dk_wrap(dk_buf *out, const char *text, const char *indent, size_t width, size_t max_lines);

/* "    ... before | token >> next | after ..." in one line: at that place the
 * finetune raises token, the text goes on with next. */
void dk_snippet_line(dk_buf *out, const char *before, const char *token, const char *next,
                     const char *after, size_t width);

#endif
