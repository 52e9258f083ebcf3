/* What dk-info tells about files of weights: safetensors and GGUF. */
#ifndef DK_IO_WEIGHTINFO_H
#define DK_IO_WEIGHTINFO_H

#include <stdbool.h>

#include "base/err.h"
#include "base/mem.h"
#include "io/h5info.h"

/* Does the file begin like one?  Says nothing about the rest. */
bool dk_weights_is(const char *path);
/* Adds to out.  Only headers are read, whatever the form. */
int dk_weights_info(dk_buf *out, const char *path, dk_info_form form, dk_err *err);

#endif
