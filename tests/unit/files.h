/* Helpers of the tests that read files: paths of the repository and of the
 * model, whole files in memory, copies that a sanitizer can watch. */
#ifndef DK_TESTS_FILES_H
#define DK_TESTS_FILES_H

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "io/mapfile.h"

/* DK_ROOT (the repository; default: here) and what lies below it. */
__attribute__((unused))
static char *repo_path(const char *below)
{
    const char *root = getenv("DK_ROOT");

    return dk_xasprintf("%s/%s", root && *root ? root : ".", below);
}

/* NULL when the path does not open. */
__attribute__((unused))
static dk_mapfile *repo_map(const char *below)
{
    char *path = repo_path(below);
    dk_mapfile *m = NULL;

    dk_mapfile_open(&m, path, NULL);
    dk_free(path);
    return m;
}

/* Exactly n bytes, so that one too far is caught. */
__attribute__((unused))
static void *exact_copy(const void *p, size_t n)
{
    void *q = dk_xmalloc(n);

    memcpy(q, p, n);
    return q;
}

/* Writes n bytes to dir/name and returns the path. */
__attribute__((unused))
static char *put_file(const char *dir, const char *name, const void *p, size_t n)
{
    char *path = dk_xasprintf("%s/%s", dir, name);
    FILE *f = fopen(path, "wb");

    if (!f || fwrite(p, 1, n, f) != n || fclose(f) != 0)
        abort();
    return path;
}

#endif
