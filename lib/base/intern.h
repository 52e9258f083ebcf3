/* Strings as numbers: each different one gets the next number, from 0. */
#ifndef DK_BASE_INTERN_H
#define DK_BASE_INTERN_H

#include <stddef.h>
#include <stdint.h>

#include "base/mem.h"

enum { DK_INTERN_NONE = -1 };

/* Zero-initialise. */
typedef struct dk_intern {
    dk_buf text;                /* the strings, each with its zero */
    size_t *at;                 /* [n + 1] where they begin */
    uint32_t *place;            /* [cap] number + 1, by hash; no more than half are taken */
    size_t n, cap;
} dk_intern;

uint32_t dk_intern_add(dk_intern *t, const char *s, size_t n);
/* DK_INTERN_NONE: it was never added. */
int64_t dk_intern_find(const dk_intern *t, const char *s, size_t n);
/* Zero-terminated; borrowed until the next dk_intern_add. */
const char *dk_intern_text(const dk_intern *t, uint32_t id, size_t *n);
void dk_intern_free(dk_intern *t);

#endif
