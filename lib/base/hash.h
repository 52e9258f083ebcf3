/* SHA-256 (through libcrypto) and the digests that files and stamps carry. */
#ifndef DK_BASE_HASH_H
#define DK_BASE_HASH_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

typedef struct dk_sha256 dk_sha256;

dk_sha256 *dk_sha256_new(void);
void dk_sha256_add(dk_sha256 *h, const void *p, size_t n);
void dk_sha256_hex(dk_sha256 *h, char hex[65]);     /* ends the sum */
void dk_sha256_raw(dk_sha256 *h, uint8_t out[32]);  /* ends the sum */
void dk_sha256_free(dk_sha256 **h);

void dk_sha256_mem(const void *p, size_t n, char hex[65]);
int dk_sha256_file(const char *path, char hex[65], dk_err *err);

/* What git calls a file of these bytes: SHA-1 of "blob SIZE", a zero and the file. */
int dk_gitblob_file(const char *path, char hex[41], dk_err *err);

#endif
