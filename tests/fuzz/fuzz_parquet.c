/* Parquet files: every row, of all columns and of those that data sets have. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "io/parquet.h"

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

enum { MAX_ROWS = 300, MAX_BYTES = 1 << 22 };

/* One line says why, and names the file. */
static void look_at(const dk_err *err)
{
    if (!strstr(err->msg, "fuzz") || strchr(err->msg, '\n'))
        abort();
}

static void rows(dk_parquet *f)
{
    size_t bytes = 0;
    dk_buf row = {0};
    dk_err err = {0};
    int rc = 1;

    for (int i = 0; rc == 1 && i < MAX_ROWS && bytes < MAX_BYTES; i++) {
        dk_buf_clear(&row);
        if ((rc = dk_parquet_next(f, &row, &err)) == 1 && (row.s[0] != '{' || row.s[row.n - 1] != '}' || memchr(row.s, '\n', row.n)))
            abort();
        bytes += row.n;
    }
    if (rc < 0)
        look_at(&err);
    dk_buf_free(&row);
}

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
    static const char *const column[] = { NULL, "text", "messages" };

    for (int i = 0; i < 3; i++) {
        dk_parquet *f = NULL;
        dk_err err = {0};
        int rc = dk_parquet_open_mem(&f, p, n, "fuzz", &err);

        if (rc == 0 && column[i])
            rc = dk_parquet_choose(f, column[i], &err);
        if (rc == 0)
            rows(f);
        else
            look_at(&err);
        dk_parquet_close(&f);
    }
    return 0;
}
