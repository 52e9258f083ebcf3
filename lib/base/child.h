/* Work on what may bring the program down, in a process of its own. */
#ifndef DK_BASE_CHILD_H
#define DK_BASE_CHILD_H

#include "base/err.h"
#include "base/mem.h"

/* Calls work(arg, &text, err) in a child process and copies text to standard
 * output when it succeeds.  A crash of the child is DK_EFORMAT; `what` is the
 * file to blame. */
int dk_in_child(int (*work)(void *arg, dk_buf *text, dk_err *err), void *arg, const char *what,
                dk_err *err);

#endif
