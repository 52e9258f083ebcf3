/* JSON: the one home of jansson.  Reading gives a tree of borrowed values;
 * writing appends text to a dk_buf.
 *
 * Accepted: RFC 8259, any value at the top, at most 2048 levels, valid UTF-8,
 * "\u0000" inside strings.  Refused: a key that occurs twice in one object,
 * integers beyond 64 bits, lone surrogates. */
#ifndef DK_IO_JSON_H
#define DK_IO_JSON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/mem.h"

typedef struct dk_json dk_json;

typedef enum dk_json_kind {
    DK_JSON_NONE,           /* no value: the v of every accessor may be NULL */
    DK_JSON_NULL, DK_JSON_BOOL, DK_JSON_INT, DK_JSON_REAL, DK_JSON_STR, DK_JSON_ARRAY,
    DK_JSON_OBJECT
} dk_json_kind;

/* name stands in the message, with the line: "config.json:12: ...".  The tree
 * copies what it needs of text.  DK_EFORMAT. */
int dk_json_parse(dk_json **root, const char *text, size_t n, const char *name, dk_err *err);
/* The whole file at path; "-" is standard input.  DK_EIO, DK_EFORMAT. */
int dk_json_load(dk_json **root, const char *path, dk_err *err);
/* The same, and an integer beyond 64 bits makes all numbers reals: published
 * tokenizer configurations have 1e30 written out. */
int dk_json_load_big(dk_json **root, const char *path, dk_err *err);
void dk_json_free(dk_json **root);

/* Borrowed: valid until the root is freed. */
dk_json_kind dk_json_type(const dk_json *v);
const dk_json *dk_json_get(const dk_json *v, const char *key);  /* NULL: absent, or v no object */
const dk_json *dk_json_at(const dk_json *v, size_t i);          /* NULL: outside, or v no array */
size_t dk_json_len(const dk_json *v);       /* of an array, object or string (bytes), else 0 */

/* def when v is NULL or of another type.  A whole real (8.0) counts as an int,
 * an int as a number; nothing else converts. */
const char *dk_json_str(const dk_json *v, const char *def);     /* length: dk_json_len */
int64_t dk_json_int(const dk_json *v, int64_t def);
double dk_json_num(const dk_json *v, double def);
bool dk_json_bool(const dk_json *v, bool def);
bool dk_json_is_null(const dk_json *v);     /* the value null; false for NULL */

/* Members in file order: dk_json_iter it = {0}; while (dk_json_next(v, &it)) ... */
typedef struct dk_json_iter {
    const char *key;
    size_t key_len;
    const dk_json *value;
    void *place;
} dk_json_iter;
bool dk_json_next(const dk_json *obj, dk_json_iter *it);

/* The writer.  One value, compact ({"a":1,"b":[2,3]}), onto out; it adds the
 * commas.  Start with dk_jw w = { .out = &buf }. */
typedef struct dk_jw {
    dk_buf *out;
    bool comma;
    int depth;
} dk_jw;

void dk_jw_obj_begin(dk_jw *w);
void dk_jw_obj_end(dk_jw *w);
void dk_jw_arr_begin(dk_jw *w);
void dk_jw_arr_end(dk_jw *w);
void dk_jw_key(dk_jw *w, const char *key);
/* Invalid UTF-8 becomes U+FFFD, one for each maximal invalid piece. */
void dk_jw_str(dk_jw *w, const char *s);                /* NULL writes null */
void dk_jw_strn(dk_jw *w, const char *s, size_t n);
void dk_jw_int(dk_jw *w, int64_t v);
void dk_jw_u64(dk_jw *w, uint64_t v);
void dk_jw_num(dk_jw *w, double v);     /* the shortest decimal that reads back as v; */
void dk_jw_f32(dk_jw *w, float v);      /* ... as v in f32; NaN and infinities: null */
void dk_jw_bool(dk_jw *w, bool v);
void dk_jw_null(dk_jw *w);
void dk_jw_value(dk_jw *w, const dk_json *v);           /* a parsed value; NULL writes null */
void dk_jw_line(dk_jw *w);              /* ends a line of JSON lines, after the outermost end */

/* Bytes of the UTF-8 character at s (n > 0 bytes left), or minus the length of
 * the maximal invalid piece there (Unicode 3.9, table 3-7). */
int dk_utf8_step(const char *s, size_t n);

#endif
