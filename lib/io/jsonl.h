/* JSON lines that fit in memory: tables and samples. */
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

#endif
