/* One member out of a zip archive (a Python wheel is one). */
#ifndef DK_IO_ZIP_H
#define DK_IO_ZIP_H

#include "base/err.h"

/* Writes MEMBER of ARCHIVE to PATH, with the member's own modification time.
 * The size promised by the archive and its checksum must come out. */
int dk_zip_extract(const char *path, const char *archive, const char *member, dk_err *err);

#endif
