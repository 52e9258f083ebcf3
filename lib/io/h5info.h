/* What dk-info tells about a file: a description for people, one JSON object,
 * the tree of inputs, and the check of everything that can be checked. */
#ifndef DK_IO_H5INFO_H
#define DK_IO_H5INFO_H

#include "base/err.h"
#include "base/mem.h"

typedef enum dk_info_form {
    DK_INFO_TEXT, DK_INFO_JSON, DK_INFO_LINEAGE, DK_INFO_CHECK, DK_INFO_DEEP
} dk_info_form;

/* Adds to out.  path "-" is a stream on standard input.  CHECK and DEEP
 * read all values (h5check.h). */
int dk_h5_info(dk_buf *out, const char *path, dk_info_form form, dk_err *err);

/* The same in a child process, printed to standard output: a damaged file that
 * brings the HDF5 library down is then an error like any other. */
int dk_h5_info_print(const char *path, dk_info_form form, dk_err *err);

#endif
