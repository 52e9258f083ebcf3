/* JSON lines: tables and samples. */
#ifndef DK_IO_JSONL_H
#define DK_IO_JSONL_H

#include "io/json.h"

typedef struct dk_jsonl {
    size_t n;
    dk_json **row;
} dk_jsonl;

/* Every row is an object; blank lines are passed over.  Errors name the file and
 * the row. */
int dk_jsonl_load(dk_jsonl *t, const char *path, dk_err *err);
void dk_jsonl_free(dk_jsonl *t);

/* Row by row, for tables of which little is kept: each may take *row, and then
 * sets it to NULL. */
typedef void dk_jsonl_fn(void *user, dk_json **row);
int dk_jsonl_each(const char *path, dk_jsonl_fn *each, void *user, dk_err *err);

#endif
