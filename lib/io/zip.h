/* One member out of a zip archive (a Python wheel is one, a file of torch.save another). */
#ifndef DK_IO_ZIP_H
#define DK_IO_ZIP_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

/* Writes MEMBER of ARCHIVE to PATH, with the member's own modification time.
 * The size promised by the archive and its checksum must come out. */
int dk_zip_extract(const char *path, const char *archive, const char *member, dk_err *err);

/* The one member that ARCHIVE has in folders of this name: to be freed. */
int dk_zip_read(uint8_t **out, size_t *n, const char *archive, const char *folder, dk_err *err);

#endif
