/* GGUF files: metadata and a table of tensors, mapped and borrowed.
 *
 * Little-endian: "GGUF", u32 version (2 or 3), u64 tensors, u64 pairs; pairs of
 * key, type, value; tensor infos; data from the next multiple of the alignment.
 * Everything is checked at open, so the accessors cannot fail: a key that is
 * absent or of another type gives the default.  Read-only, so thread-safe. */
#ifndef DK_IO_GGUF_H
#define DK_IO_GGUF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "num/dequant.h"

typedef struct dk_gguf dk_gguf;
typedef struct dk_gguf_kv dk_gguf_kv;

/* dims[0] varies fastest: a matrix [out, in] has dims {in, out}. */
typedef struct dk_gguf_tensor {
    char *name;
    const dk_qformat *format;
    unsigned n_dims;
    size_t dims[4];             /* unused ones are 1 */
    const uint8_t *data;
    size_t bytes;
} dk_gguf_tensor;

/* Bytes in the file: not zero-terminated. */
typedef struct dk_gguf_str {
    const char *s;
    size_t n;
} dk_gguf_str;

/* DK_EIO, or DK_EFORMAT with the file's name and what is wrong with it. */
int dk_gguf_open(dk_gguf **out, const char *path, dk_err *err);
/* The same for bytes in memory, which must outlive *out. */
int dk_gguf_open_mem(dk_gguf **out, const void *p, size_t n, const char *name, dk_err *err);
void dk_gguf_close(dk_gguf **g);
void dk_gguf_drop(dk_gguf *g);      /* gives the mapped pages back */
bool dk_gguf_is(const char *path);  /* a file that begins with the magic */

/* Tensors, in file order.  Borrowed until close. */
size_t dk_gguf_n_tensors(const dk_gguf *g);
const dk_gguf_tensor *dk_gguf_tensor_at(const dk_gguf *g, size_t i);
const dk_gguf_tensor *dk_gguf_find(const dk_gguf *g, const char *name);    /* NULL: absent */

/* Scalars.  Integers of any width (u64 beyond int64: the default) serve int
 * and num; f32 and f64 serve num; nothing else converts. */
int64_t dk_gguf_int(const dk_gguf *g, const char *key, int64_t def);
double dk_gguf_num(const dk_gguf *g, const char *key, double def);
bool dk_gguf_bool(const dk_gguf *g, const char *key, bool def);
/* Zero-terminated; a value with a zero byte inside ends there. */
const char *dk_gguf_str_of(const dk_gguf *g, const char *key, const char *def);

/* Any pair: a scalar is an array of one.  kv may be NULL (len 0). */
const dk_gguf_kv *dk_gguf_get(const dk_gguf *g, const char *key);
size_t dk_gguf_n_kv(const dk_gguf *g);
const dk_gguf_kv *dk_gguf_kv_at(const dk_gguf *g, size_t i);
const char *dk_gguf_kv_key(const dk_gguf_kv *kv);
bool dk_gguf_kv_is_array(const dk_gguf_kv *kv);
size_t dk_gguf_kv_len(const dk_gguf_kv *kv);
int64_t dk_gguf_kv_int(const dk_gguf_kv *kv, size_t i, int64_t def);
double dk_gguf_kv_num(const dk_gguf_kv *kv, size_t i, double def);
bool dk_gguf_kv_bool(const dk_gguf_kv *kv, size_t i, bool def);
/* NULL unless the elements are strings; dk_gguf_kv_len of them. */
const dk_gguf_str *dk_gguf_kv_strs(const dk_gguf_kv *kv);

#endif
