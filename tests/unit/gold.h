/* Reading golden arrays: raw little-endian files below $DK_ROOT/tests/golden. */
#ifndef DK_TESTS_GOLD_H
#define DK_TESTS_GOLD_H

#include <stdio.h>
#include <stdlib.h>

#include "base/mem.h"

__attribute__((unused))
static const char *gold_root(void)
{
    const char *r = getenv("DK_ROOT");

    return r ? r : ".";
}

/* The whole file; *n = number of items of the given size.  Ends the test when
 * the file is not there: a golden that is missing is not a pass. */
__attribute__((unused))
static void *gold_read(const char *name, size_t size, size_t *n)
{
    char path[1024];
    dk_buf b = {0};
    char block[65536];
    size_t got;
    FILE *f;

    snprintf(path, sizeof path, "%s/tests/golden/%s", gold_root(), name);
    f = fopen(path, "rb");
    if (!f) {
        printf("not ok 1 - cannot open %s\n1..1\n", path);
        exit(1);
    }
    while ((got = fread(block, 1, sizeof block, f)) > 0)
        dk_buf_add(&b, block, got);
    fclose(f);
    *n = b.n / size;
    return b.s;
}

/* So many bytes of a file that is kept compressed. */
__attribute__((unused))
static void *gold_unpack(const char *name, size_t bytes)
{
    char command[1200];
    char *p = dk_xmalloc(bytes);
    size_t n;
    FILE *f;

    snprintf(command, sizeof command, "zstd -dcq '%s/tests/golden/%s'", gold_root(), name);
    f = popen(command, "r");
    n = f ? fread(p, 1, bytes, f) : 0;
    if (!f || pclose(f) != 0 || n != bytes) {
        printf("not ok 1 - cannot unpack %s\n1..1\n", name);
        exit(1);
    }
    return p;
}

#endif
