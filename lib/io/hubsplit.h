/* Which files of a repository hold a split of a data set: those that its card
 * (README.md) names, or, without a word there, those whose names say so. */
#ifndef DK_IO_HUBSPLIT_H
#define DK_IO_HUBSPLIT_H

#include <stddef.h>

#include "base/err.h"
#include "io/hubpick.h"

typedef struct dk_hubsplit {
    const char *repo;           /* for messages */
    const char *inside;         /* "", a folder of the repository, or one file of it */
    const char *subset;         /* or NULL */
    const char *split;
} dk_hubsplit;

/* files: all of the repository, sorted; card: the text of README.md, or NULL.
 * out gets paths in the order of their rows.  DK_EDATA with the reason. */
int dk_hubsplit_pick(dk_hublist *out, const dk_hublist *files, const char *card, size_t n, const dk_hubsplit *w,
                     dk_err *err);

/* By the name: JSON lines, text or parquet, compressed or not. */
bool dk_hub_is_rows(const char *path);

/* Does the path match as in a shell, with "**" for any number of folders? */
bool dk_hub_glob(const char *pattern, const char *path);

#endif
