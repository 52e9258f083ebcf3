/* Parquet files, row by row as JSON objects.  Read are texts, whole and broken
 * numbers, truth values, structs and lists of them, in any nesting; plain,
 * dictionary and delta encodings, pages of versions 1 and 2, snappy, gzip and
 * zstd.  Dates, decimals and the like are not: such columns are left out, or
 * named when they were asked for.  A map is a list of objects with key and value. */
#ifndef DK_IO_PARQUET_H
#define DK_IO_PARQUET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/mem.h"

typedef struct dk_parquet dk_parquet;

/* DK_EIO, DK_EFORMAT.  From memory: p[n] is used until close. */
int dk_parquet_open(dk_parquet **out, const char *path, dk_err *err);
int dk_parquet_open_mem(dk_parquet **out, const uint8_t *p, size_t n, const char *name, dk_err *err);
void dk_parquet_close(dk_parquet **f);

uint64_t dk_parquet_rows(const dk_parquet *f);
bool dk_parquet_has(const dk_parquet *f, const char *column);
/* Reads only this column, and those chosen before.  Without a choice, all that
 * can be read are.  DK_EDATA: it cannot be read. */
int dk_parquet_choose(dk_parquet *f, const char *column, dk_err *err);

/* Appends the next row.  1; 0: there is none; < 0: error, which names file,
 * column and row.  Texts are as they are in the file, valid UTF-8 or not. */
int dk_parquet_next(dk_parquet *f, dk_buf *out, dk_err *err);

#endif
