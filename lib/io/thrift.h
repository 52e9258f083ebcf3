/* Thrift's compact protocol, read from memory: how parquet describes itself.
 * Nothing is read past the end; from the first thing that cannot be, `bad` is
 * set and every call gives 0, "" or false. */
#ifndef DK_IO_THRIFT_H
#define DK_IO_THRIFT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct dk_thrift {
    const uint8_t *p, *end;
    bool bad;
} dk_thrift;

enum { DK_THRIFT_TRUE = 1, DK_THRIFT_FALSE = 2, DK_THRIFT_BINARY = 8, DK_THRIFT_LIST = 9, DK_THRIFT_STRUCT = 12 };

/* The fields of a struct: dk_thrift_field f = {0}; while (dk_thrift_next(t, &f)) ...
 * The value of each must then be read, entered or skipped. */
typedef struct dk_thrift_field { int id, type; } dk_thrift_field;
bool dk_thrift_next(dk_thrift *t, dk_thrift_field *f);

int64_t dk_thrift_int(dk_thrift *t, const dk_thrift_field *f);
bool dk_thrift_bool(dk_thrift *t, const dk_thrift_field *f);
const char *dk_thrift_text(dk_thrift *t, const dk_thrift_field *f, size_t *n);     /* borrowed from the bytes */
/* Before the fields of a struct; the number of structs in a list of them, of
 * which each takes a byte or more. */
bool dk_thrift_enter(dk_thrift *t, const dk_thrift_field *f);
size_t dk_thrift_structs(dk_thrift *t, const dk_thrift_field *f);
void dk_thrift_skip(dk_thrift *t, const dk_thrift_field *f);

/* What the format also uses outside of structs. */
uint64_t dk_thrift_varint(dk_thrift *t);
int64_t dk_thrift_zigzag(dk_thrift *t);

#endif
