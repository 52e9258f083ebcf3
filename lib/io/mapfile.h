/* A file mapped read-only.  A file that someone shortens while it is mapped
 * kills the reader (SIGBUS): checkpoints are not edited in place. */
#ifndef DK_IO_MAPFILE_H
#define DK_IO_MAPFILE_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

typedef struct dk_mapfile {
    const uint8_t *p;       /* n bytes; a valid pointer also when n is 0 */
    size_t n;
    char *path;
} dk_mapfile;

int dk_mapfile_open(dk_mapfile **out, const char *path, dk_err *err);   /* DK_EIO */
void dk_mapfile_close(dk_mapfile **m);
/* Gives the pages back; what is read again comes from the file again. */
void dk_mapfile_drop(dk_mapfile *m);

#endif
