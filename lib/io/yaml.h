/* YAML as a tree, for configuration files.  The only home of libyaml.
 *
 * Scalars are typed as the reference toolkit's loader does: 1e-4 and 1.0e-4
 * are reals, 50_000_000 is an integer, booleans are true/false in any case,
 * null, ~ and nothing are null, and None, yes and on are plain text.  Quoted
 * scalars are always text.  One document a file; aliases, duplicate keys and
 * nesting beyond 32 levels are errors. */
#ifndef DK_IO_YAML_H
#define DK_IO_YAML_H

#include <stddef.h>

#include "base/err.h"
#include "base/mem.h"

typedef enum dk_yaml_kind {
    DK_YAML_NULL, DK_YAML_BOOL, DK_YAML_INT, DK_YAML_REAL, DK_YAML_STR, DK_YAML_SEQ, DK_YAML_MAP
} dk_yaml_kind;

typedef struct dk_yaml {
    dk_yaml_kind kind;
    char *key;              /* of a member of a map, else NULL */
    char *text;             /* of a scalar, as written */
    size_t line;            /* counted from 1 */
    size_t n;
    struct dk_yaml *item;   /* members of a map in file order, or elements */
} dk_yaml;

/* Errors are DK_EUSAGE with "FILE:LINE: ..." (DK_EIO when it cannot be read).
 * An empty file is a null node. */
int dk_yaml_read(dk_yaml **out, const char *path, dk_err *err);
int dk_yaml_parse(dk_yaml **out, const char *text, size_t n, const char *name, dk_err *err);
void dk_yaml_free(dk_yaml **y);

const dk_yaml *dk_yaml_get(const dk_yaml *map, const char *key);    /* NULL: none */
dk_yaml_kind dk_yaml_plain_kind(const char *text);      /* of an unquoted scalar */
const char *dk_yaml_kind_name(dk_yaml_kind kind);
/* The node as one line of YAML that reads back as the same value. */
void dk_yaml_flow(const dk_yaml *y, dk_buf *out);

#endif
