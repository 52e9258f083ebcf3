/* Normalizers: one text into another, with the way back. */
#ifndef DK_TEXT_NORMAL_H
#define DK_TEXT_NORMAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/mem.h"
#include "text/tokspec.h"

typedef struct dk_normal dk_normal;

/* A text and, where asked for, the byte of the source that each of its bytes
 * comes from.  Zero-initialise. */
typedef struct dk_form {
    dk_buf text;
    uint32_t *at;
    size_t at_cap;
    bool places;            /* at is kept */
} dk_form;

void dk_form_clear(dk_form *f);
void dk_form_free(dk_form *f);
/* Appends s[0, n), which stands for n_from bytes at from of the source: byte by
 * byte, what is too long at the last.  Through map, if that is not NULL. */
void dk_form_add(dk_form *f, const char *s, size_t n, const uint32_t *map, size_t from,
                 size_t n_from);

/* Copies what it needs of steps.  DK_EDATA for a faulty expression. */
int dk_normal_new(dk_normal **out, const dk_norm_step *steps, size_t n, dk_err *err);
void dk_normal_free(dk_normal **d);

/* 1: *form (borrowed, until the next call) is s in normal form; 0: s is in that
 * form already; negative: an expression failed.  s: valid UTF-8; with places
 * shorter than 4 GiB. */
int dk_normal_apply(dk_normal *d, const char *s, size_t n, bool places, const dk_form **form,
                    dk_err *err);

#endif
