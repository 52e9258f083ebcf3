/* The safetensors reader. */
#include "io/safetensors.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "io/json.h"
#include "io/mapfile.h"

enum { MAX_HEADER = 100 * 1000 * 1000, MAX_NAME = 1024 };

struct dk_safetensors {
    dk_mapfile *map;
    dk_json *header;
    dk_st_tensor *tensor;
    size_t n;
};

/* Where the data lies, and how to complain. */
typedef struct source {
    const uint8_t *data;
    size_t room;
    const char *file;
    dk_err *err;
} source;

static size_t item_size(const char *dtype)
{
    static const struct { const char *name; size_t bytes; } known[] = {
        { "F64", 8 }, { "F32", 4 }, { "F16", 2 }, { "BF16", 2 }, { "I64", 8 }, { "U64", 8 },
        { "I32", 4 }, { "U32", 4 }, { "I16", 2 }, { "U16", 2 }, { "I8", 1 }, { "U8", 1 },
        { "BOOL", 1 }, { "F8_E4M3", 1 }, { "F8_E5M2", 1 }
    };

    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (strcmp(dtype, known[i].name) == 0)
            return known[i].bytes;
    return 0;
}

static int check_name(const source *s, const char *name, size_t n)
{
    if (n == 0 || n > MAX_NAME)
        return dk_fail(s->err, DK_EFORMAT, "%s: a tensor name of %zu bytes (1 to %d are allowed)",
                       s->file, n, MAX_NAME);
    for (size_t i = 0; i < n; i++)
        if ((unsigned char)name[i] < 0x20 || name[i] == 0x7F)
            return dk_fail(s->err, DK_EFORMAT, "%s: a tensor name with control characters", s->file);
    return 0;
}

static int read_shape(const source *s, dk_st_tensor *t, const dk_json *shape)
{
    if (dk_json_type(shape) != DK_JSON_ARRAY || dk_json_len(shape) > DK_ST_MAX_DIMS)
        return dk_fail(s->err, DK_EFORMAT, "%s: tensor %s has no shape of up to %d dimensions",
                       s->file, t->name, DK_ST_MAX_DIMS);
    t->n = 1;
    t->n_dims = (unsigned)dk_json_len(shape);
    for (unsigned i = 0; i < DK_ST_MAX_DIMS; i++) {
        const int64_t d = i < t->n_dims ? dk_json_int(dk_json_at(shape, i), -1) : 1;

        if (d < 0 || !dk_mul_size(&t->n, t->n, (size_t)d))
            return dk_fail(s->err, DK_EFORMAT, "%s: tensor %s has an impossible shape (dimension %u "
                           "is %lld)", s->file, t->name, i, (long long)d);
        t->dims[i] = (size_t)d;
    }
    return 0;
}

static int read_place(const source *s, dk_st_tensor *t, const dk_json *span)
{
    const int64_t from = dk_json_int(dk_json_at(span, 0), -1);
    const int64_t to = dk_json_int(dk_json_at(span, 1), -1);
    const size_t item = item_size(t->dtype);

    if (dk_json_len(span) != 2 || from < 0 || to < from)
        return dk_fail(s->err, DK_EFORMAT, "%s: tensor %s has no valid data_offsets", s->file, t->name);
    if ((uint64_t)to > s->room)
        return dk_fail(s->err, DK_EFORMAT, "%s: tensor %s ends at byte %lld of %zu; the download or "
                       "copy is incomplete", s->file, t->name, (long long)to, s->room);
    if (item == 0)
        return dk_fail(s->err, DK_EFORMAT, "%s: tensor %s has the unknown dtype %.20s", s->file,
                       t->name, t->dtype);
    if (!dk_mul_size(&t->bytes, t->n, item) || t->bytes != (size_t)(to - from))
        return dk_fail(s->err, DK_EFORMAT, "%s: tensor %s: shape and dtype need %zu elements of %zu "
                       "bytes, the file gives %lld bytes", s->file, t->name, t->n, item,
                       (long long)(to - from));
    t->data = s->data + from;
    t->format = dk_qformat_named(t->dtype);
    return 0;
}

static int read_tensor(const source *s, dk_st_tensor *t, const dk_json_iter *it)
{
    const char *dtype = dk_json_str(dk_json_get(it->value, "dtype"), NULL);
    int rc = check_name(s, it->key, it->key_len);

    if (rc < 0)
        return rc;
    t->name = dk_xstrndup(it->key, it->key_len);
    if (!dtype)
        return dk_fail(s->err, DK_EFORMAT, "%s: tensor %s has no dtype", s->file, t->name);
    t->dtype = dk_xstrdup(dtype);
    rc = read_shape(s, t, dk_json_get(it->value, "shape"));
    return rc < 0 ? rc : read_place(s, t, dk_json_get(it->value, "data_offsets"));
}

static int by_place(const void *a, const void *b)
{
    const dk_st_tensor *x = a, *y = b;

    return x->data != y->data ? (x->data > y->data) - (x->data < y->data)
                              : (x->bytes > y->bytes) - (x->bytes < y->bytes);
}

static int by_name(const void *a, const void *b)
{
    return strcmp(((const dk_st_tensor *)a)->name, ((const dk_st_tensor *)b)->name);
}

static int read_tensors(const source *s, dk_safetensors *st)
{
    dk_json_iter it = {0};
    int rc = dk_alloc(&st->tensor, dk_json_len(st->header), sizeof *st->tensor,
                      "tensors of a safetensors file", s->err);

    while (rc == 0 && dk_json_next(st->header, &it))
        if (strcmp(it.key, "__metadata__") != 0)
            rc = read_tensor(s, &st->tensor[st->n++], &it);
    if (rc < 0)
        return rc;
    qsort(st->tensor, st->n, sizeof *st->tensor, by_place);
    for (size_t i = 1; i < st->n; i++)
        if (st->tensor[i - 1].data + st->tensor[i - 1].bytes > st->tensor[i].data)
            return dk_fail(s->err, DK_EFORMAT, "%s: tensors %s and %s overlap", s->file,
                           st->tensor[i - 1].name, st->tensor[i].name);
    qsort(st->tensor, st->n, sizeof *st->tensor, by_name);
    return 0;
}

static int read_file(dk_safetensors *st, const uint8_t *p, size_t n, const char *name, dk_err *err)
{
    uint64_t header = 0;
    int rc;

    if (n < 8)
        return dk_fail(err, DK_EFORMAT, "%s is not a safetensors file: it has %zu bytes", name, n);
    memcpy(&header, p, 8);
    if (header > MAX_HEADER)
        return dk_fail(err, DK_EFORMAT, "%s is not a safetensors file: its header would have %llu "
                       "bytes", name, (unsigned long long)header);
    if (header > n - 8)
        return dk_fail(err, DK_EFORMAT, "%s ends inside its header (%llu bytes, %zu are there); the "
                       "download or copy is incomplete", name, (unsigned long long)header, n - 8);
    rc = dk_json_parse(&st->header, (const char *)p + 8, (size_t)header, name, err);
    if (rc == 0 && dk_json_type(st->header) != DK_JSON_OBJECT)
        rc = dk_fail(err, DK_EFORMAT, "%s: the header is no JSON object", name);
    if (rc == 0) {
        const source s = { p + 8 + header, n - 8 - (size_t)header, name, err };

        rc = read_tensors(&s, st);
    }
    return rc;
}

int dk_safetensors_open_mem(dk_safetensors **out, const void *p, size_t n, const char *name,
                            dk_err *err)
{
    dk_safetensors *st = dk_xcalloc(1, sizeof *st);
    const int rc = read_file(st, p, n, name, err);

    if (rc < 0)
        dk_safetensors_close(&st);
    *out = st;
    return rc;
}

int dk_safetensors_open(dk_safetensors **out, const char *path, dk_err *err)
{
    dk_mapfile *map = NULL;
    int rc;

    *out = NULL;
    if ((rc = dk_mapfile_open(&map, path, err)) < 0)
        return rc;
    rc = dk_safetensors_open_mem(out, map->p, map->n, path, err);
    if (rc == 0)
        (*out)->map = map;
    else
        dk_mapfile_close(&map);
    return rc;
}

void dk_safetensors_close(dk_safetensors **s)
{
    if (*s) {
        for (size_t i = 0; i < (*s)->n; i++) {
            dk_free((*s)->tensor[i].name);
            dk_free((*s)->tensor[i].dtype);
        }
        dk_free((*s)->tensor);
        dk_json_free(&(*s)->header);
        dk_mapfile_close(&(*s)->map);
        dk_free(*s);
        *s = NULL;
    }
}

void dk_safetensors_drop(dk_safetensors *s)
{
    if (s->map)
        dk_mapfile_drop(s->map);
}

size_t dk_safetensors_n(const dk_safetensors *s) { return s->n; }
const dk_st_tensor *dk_safetensors_at(const dk_safetensors *s, size_t i) { return &s->tensor[i]; }

const dk_st_tensor *dk_safetensors_find(const dk_safetensors *s, const char *name)
{
    const dk_st_tensor key = { .name = (char *)(uintptr_t)name };

    return bsearch(&key, s->tensor, s->n, sizeof key, by_name);
}

const char *dk_safetensors_meta(const dk_safetensors *s, const char *key, const char *def)
{
    return dk_json_str(dk_json_get(dk_json_get(s->header, "__metadata__"), key), def);
}
