/* Atomic output: a file is written beside its target under a temporary name,
 * flushed to disk, then renamed over it.  Whatever is left over at exit or on
 * SIGINT, SIGTERM, SIGHUP, SIGPIPE is removed.  So a reader, or make, sees the
 * old file or the whole new one.
 *
 * "-" as a path is standard output; it, devices and pipes are written as they
 * stand, without a temporary.  Of a link the file that it names is replaced. */
#ifndef DK_BASE_OUTFILE_H
#define DK_BASE_OUTFILE_H

#include <stdio.h>

#include "base/err.h"

typedef struct dk_outfile dk_outfile;

/* Reserves a temporary name; folders that are missing are made. */
int dk_outfile_new(dk_outfile **out, const char *path, dk_err *err);
/* The name to write to (for libraries that open files themselves). */
const char *dk_outfile_temp(const dk_outfile *o);
/* A stream opened on that name (or stdout); owned by o. */
int dk_outfile_stream(dk_outfile *o, FILE **f, dk_err *err);
/* Flush, fsync, rename; frees *o whatever the outcome. */
int dk_outfile_commit(dk_outfile **o, dk_err *err);
/* Remove the temporary; frees *o.  NULL is fine. */
void dk_outfile_abandon(dk_outfile **o);

/* Could path be written, as far as one can tell before?  For asking ahead of
 * long work; changes nothing. */
int dk_outfile_check(const char *path, dk_err *err);

/* Removes the temporaries of path that were left by processes which are gone: there is
 * none of that number here, and nobody holds a lock on the file. */
void dk_outfile_sweep(const char *path);

/* The whole of a small file at once; "-" is standard output. */
int dk_outfile_write(const char *path, const void *p, size_t n, dk_err *err);

/* Install the exit and signal handlers; called once by the main. */
void dk_outfile_init(void);

#endif
