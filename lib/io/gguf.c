/* The GGUF reader.  A cursor walks the mapped bytes; it hands out nothing
 * before the size was compared with what is left, and counts are bounded by
 * what is left before memory is taken for them. */
#include "io/gguf.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"
#include "io/mapfile.h"

enum { U8, I8, U16, I16, U32, I32, F32, BOOL, STR, ARRAY, U64, I64, F64, N_TYPES };
enum { MAX_NAME = 255, MAX_KEY = 65535, MIN_KV = 8 + 1 + 4 + 1, MIN_TENSOR = 8 + 1 + 4 + 8 + 4 + 8 };

static const uint8_t widths[N_TYPES] = { 1, 1, 2, 2, 4, 4, 4, 1, 0, 0, 8, 8, 8 };

struct dk_gguf_kv {
    char *key;
    bool is_array;
    uint32_t type;          /* of the elements */
    size_t n;
    const uint8_t *raw;     /* n elements, except for strings */
    dk_gguf_str *strs;
    char *text;             /* a scalar string, terminated */
};

struct dk_gguf {
    dk_mapfile *map;
    dk_gguf_kv *kv;
    dk_gguf_tensor *tensor;
    size_t n_kv, n_tensors;
    uint32_t *kv_order, *tensor_order;      /* sorted by name */
};

typedef struct cursor {
    const uint8_t *p, *start, *end;
    const char *file;
    dk_err *err;
} cursor;

static size_t left(const cursor *c) { return (size_t)(c->end - c->p); }

static int cut_short(cursor *c, const char *what)
{
    return dk_fail(c->err, DK_EFORMAT, "%s ends inside %s (%zu bytes in all); the download or copy "
                   "is incomplete", c->file, what, (size_t)(c->end - c->start));
}

static int take(cursor *c, void *out, size_t n, const char *what)
{
    if (left(c) < n)
        return cut_short(c, what);
    memcpy(out, c->p, n);
    c->p += n;
    return 0;
}

static int take_str(cursor *c, dk_gguf_str *s, const char *what)
{
    uint64_t n = 0;

    if (take(c, &n, 8, what) < 0)
        return DK_EFORMAT;
    if (n > left(c))
        return dk_fail(c->err, DK_EFORMAT, "%s: %s claims %llu bytes, %zu are left", c->file, what,
                       (unsigned long long)n, left(c));
    *s = (dk_gguf_str){ (const char *)c->p, (size_t)n };
    c->p += n;
    return 0;
}

/* Keys and tensor names appear in messages: no control characters. */
static int take_name(cursor *c, char **out, size_t max, const char *what)
{
    dk_gguf_str s = {0};

    if (take_str(c, &s, what) < 0)
        return DK_EFORMAT;
    if (s.n == 0 || s.n > max)
        return dk_fail(c->err, DK_EFORMAT, "%s: %s of %zu bytes (1 to %zu are allowed)", c->file,
                       what, s.n, max);
    for (size_t i = 0; i < s.n; i++)
        if ((unsigned char)s.s[i] < 0x20 || s.s[i] == 0x7F)
            return dk_fail(c->err, DK_EFORMAT, "%s: %s with control characters", c->file, what);
    *out = dk_xstrndup(s.s, s.n);
    return 0;
}

static int take_strings(cursor *c, dk_gguf_kv *kv)
{
    int rc;

    if (kv->n > left(c) / 8)
        return dk_fail(c->err, DK_EFORMAT, "%s: %s claims %zu strings, more than the file can hold",
                       c->file, kv->key, kv->n);
    rc = dk_alloc(&kv->strs, kv->n, sizeof *kv->strs, "strings of a GGUF file", c->err);
    for (size_t i = 0; rc == 0 && i < kv->n; i++)
        rc = take_str(c, &kv->strs[i], kv->key);
    if (rc == 0 && !kv->is_array)
        kv->text = dk_xstrndup(kv->strs[0].s, kv->strs[0].n);
    return rc;
}

static int take_value(cursor *c, dk_gguf_kv *kv)
{
    uint64_t n = 1;

    if (take(c, &kv->type, 4, kv->key) < 0)
        return DK_EFORMAT;
    if (kv->type == ARRAY) {
        kv->is_array = true;
        if (take(c, &kv->type, 4, kv->key) < 0 || take(c, &n, 8, kv->key) < 0)
            return DK_EFORMAT;
        if (kv->type == ARRAY)
            return dk_fail(c->err, DK_EFORMAT, "%s: %s is an array of arrays, which is not supported",
                           c->file, kv->key);
    }
    if (kv->type >= N_TYPES)
        return dk_fail(c->err, DK_EFORMAT, "%s: %s has the unknown value type %u", c->file, kv->key,
                       kv->type);
    kv->n = (size_t)n;
    if (kv->type == STR)
        return take_strings(c, kv);
    if (n > left(c) / widths[kv->type])
        return dk_fail(c->err, DK_EFORMAT, "%s: %s claims %llu elements, more than the file can hold",
                       c->file, kv->key, (unsigned long long)n);
    kv->raw = c->p;
    c->p += n * widths[kv->type];
    return 0;
}

static int take_shape(cursor *c, dk_gguf_tensor *t, size_t *n)
{
    uint32_t n_dims = 0;

    if (take(c, &n_dims, 4, t->name) < 0)
        return DK_EFORMAT;
    if (n_dims < 1 || n_dims > 4)
        return dk_fail(c->err, DK_EFORMAT, "%s: tensor %s has %u dimensions (1 to 4 are allowed)",
                       c->file, t->name, n_dims);
    t->n_dims = n_dims;
    *n = 1;
    for (unsigned i = 0; i < 4; i++) {
        uint64_t d = 1;

        if (i < n_dims && take(c, &d, 8, t->name) < 0)
            return DK_EFORMAT;
        if (d == 0 || d > INT64_MAX || !dk_mul_size(n, *n, (size_t)d) || *n > INT64_MAX)
            return dk_fail(c->err, DK_EFORMAT, "%s: tensor %s has an impossible shape (dimension %u "
                           "is %llu)", c->file, t->name, i, (unsigned long long)d);
        t->dims[i] = (size_t)d;
    }
    return 0;
}

static int take_tensor(cursor *c, dk_gguf_tensor *t, uint64_t *offset)
{
    uint32_t type = 0;
    size_t n = 0;

    if (take_name(c, &t->name, MAX_NAME, "a tensor name") < 0 || take_shape(c, t, &n) < 0 ||
        take(c, &type, 4, t->name) < 0 || take(c, offset, 8, t->name) < 0)
        return DK_EFORMAT;
    t->format = dk_qformat_of((int)type);
    if (!t->format) {
        const char *known = dk_gguf_type_name((int)type);

        return dk_fail(c->err, DK_EFORMAT, "%s: tensor %s has type %s%s (%u), which this build does "
                       "not read", c->file, t->name, known ? "" : "unknown", known ? known : "",
                       type);
    }
    if (t->dims[0] % t->format->block)
        return dk_fail(c->err, DK_EFORMAT, "%s: tensor %s: rows of %zu are no multiple of the %zu of "
                       "%s", c->file, t->name, t->dims[0], t->format->block, t->format->name);
    if (!dk_mul_size(&t->bytes, n / t->format->block, t->format->bytes))
        return dk_fail(c->err, DK_EFORMAT, "%s: tensor %s is impossibly large", c->file, t->name);
    return 0;
}

/* --- sorted order: look-up by name, and duplicates side by side --------- */
static int by_key(const void *a, const void *b, void *kv)
{
    const dk_gguf_kv *k = kv;

    return strcmp(k[*(const uint32_t *)a].key, k[*(const uint32_t *)b].key);
}

static int by_name(const void *a, const void *b, void *tensor)
{
    const dk_gguf_tensor *t = tensor;

    return strcmp(t[*(const uint32_t *)a].name, t[*(const uint32_t *)b].name);
}

static int by_place(const void *a, const void *b, void *tensor)
{
    const dk_gguf_tensor *t = tensor;
    const uint8_t *x = t[*(const uint32_t *)a].data, *y = t[*(const uint32_t *)b].data;

    return (x > y) - (x < y);
}

static int sorted(uint32_t **out, size_t n, int (*cmp)(const void *, const void *, void *),
                  void *base, dk_err *err)
{
    if (dk_alloc(out, n, sizeof **out, "the index of a GGUF file", err) < 0)
        return DK_ENOMEM;
    for (size_t i = 0; i < n; i++)
        (*out)[i] = (uint32_t)i;
    qsort_r(*out, n, sizeof **out, cmp, base);
    return 0;
}

static int take_pairs(cursor *c, dk_gguf *g)
{
    int rc = dk_alloc(&g->kv, g->n_kv, sizeof *g->kv, "metadata of a GGUF file", c->err);

    for (size_t i = 0; rc == 0 && i < g->n_kv; i++) {
        rc = take_name(c, &g->kv[i].key, MAX_KEY, "a metadata key");
        if (rc == 0)
            rc = take_value(c, &g->kv[i]);
    }
    if (rc == 0)
        rc = sorted(&g->kv_order, g->n_kv, by_key, g->kv, c->err);
    for (size_t i = 1; rc == 0 && i < g->n_kv; i++)
        if (by_key(&g->kv_order[i - 1], &g->kv_order[i], g->kv) == 0)
            rc = dk_fail(c->err, DK_EFORMAT, "%s: metadata key %.200s occurs twice", c->file,
                         g->kv[g->kv_order[i]].key);
    return rc;
}

/* Places the data: offsets become pointers, inside the file and apart. */
static int place(cursor *c, dk_gguf *g, const uint64_t *offsets)
{
    const int64_t align = dk_gguf_int(g, "general.alignment", 32);
    size_t from = (size_t)(c->p - c->start), room;
    uint32_t *order = NULL;
    int rc = 0;

    if (align < 1 || align > 1 << 20 || (align & (align - 1)))
        return dk_fail(c->err, DK_EFORMAT, "%s: general.alignment is %lld, no power of two up to "
                       "1048576", c->file, (long long)align);
    from = (from + (size_t)align - 1) / (size_t)align * (size_t)align;
    room = from <= (size_t)(c->end - c->start) ? (size_t)(c->end - c->start) - from : 0;
    for (size_t i = 0; i < g->n_tensors; i++) {
        dk_gguf_tensor *t = &g->tensor[i];

        if (offsets[i] % (uint64_t)align)
            return dk_fail(c->err, DK_EFORMAT, "%s: tensor %s begins at %llu, no multiple of %lld",
                           c->file, t->name, (unsigned long long)offsets[i], (long long)align);
        if (offsets[i] > room || t->bytes > room - offsets[i])
            return dk_fail(c->err, DK_EFORMAT, "%s: tensor %s (%zu bytes at %llu) lies beyond the "
                           "end of the file; the download or copy is incomplete", c->file, t->name,
                           t->bytes, (unsigned long long)offsets[i]);
        t->data = c->start + from + offsets[i];
    }
    rc = sorted(&order, g->n_tensors, by_place, g->tensor, c->err);
    for (size_t i = 1; rc == 0 && i < g->n_tensors; i++) {
        const dk_gguf_tensor *a = &g->tensor[order[i - 1]], *b = &g->tensor[order[i]];

        if (a->data + a->bytes > b->data)
            rc = dk_fail(c->err, DK_EFORMAT, "%s: tensors %s and %s overlap", c->file, a->name,
                         b->name);
    }
    dk_free(order);
    return rc;
}

static int take_tensors(cursor *c, dk_gguf *g)
{
    uint64_t *offsets = NULL;
    int rc = dk_alloc(&g->tensor, g->n_tensors, sizeof *g->tensor, "tensors of a GGUF file", c->err);

    if (rc == 0)
        rc = dk_alloc(&offsets, g->n_tensors, sizeof *offsets, "tensors of a GGUF file", c->err);
    for (size_t i = 0; rc == 0 && i < g->n_tensors; i++)
        rc = take_tensor(c, &g->tensor[i], &offsets[i]);
    if (rc == 0)
        rc = sorted(&g->tensor_order, g->n_tensors, by_name, g->tensor, c->err);
    for (size_t i = 1; rc == 0 && i < g->n_tensors; i++)
        if (by_name(&g->tensor_order[i - 1], &g->tensor_order[i], g->tensor) == 0)
            rc = dk_fail(c->err, DK_EFORMAT, "%s: tensor %s occurs twice", c->file,
                         g->tensor[g->tensor_order[i]].name);
    if (rc == 0)
        rc = place(c, g, offsets);
    dk_free(offsets);
    return rc;
}

static int take_header(cursor *c, dk_gguf *g)
{
    char magic[4] = "";
    uint32_t version = 0;
    uint64_t n_tensors = 0, n_kv = 0;

    if (left(c) < 4 || memcmp(c->p, "GGUF", 4) != 0)
        return dk_fail(c->err, DK_EFORMAT, "%s is not a GGUF file", c->file);
    if (take(c, magic, 4, "the header") < 0 || take(c, &version, 4, "the header") < 0)
        return DK_EFORMAT;
    if ((version & 0xFFFF) == 0 && version)
        return dk_fail(c->err, DK_EFORMAT, "%s is a big-endian GGUF file; convert it to "
                       "little-endian", c->file);
    if (version < 2 || version > 3)
        return dk_fail(c->err, DK_EFORMAT, "%s is GGUF version %u; this build reads 2 and 3", c->file,
                       version);
    if (take(c, &n_tensors, 8, "the header") < 0 || take(c, &n_kv, 8, "the header") < 0)
        return DK_EFORMAT;
    if (n_kv > left(c) / MIN_KV || n_tensors > left(c) / MIN_TENSOR || n_kv > UINT32_MAX ||
        n_tensors > UINT32_MAX)
        return dk_fail(c->err, DK_EFORMAT, "%s claims %llu metadata pairs and %llu tensors, more than "
                       "its %zu bytes can hold", c->file, (unsigned long long)n_kv,
                       (unsigned long long)n_tensors, (size_t)(c->end - c->start));
    g->n_kv = (size_t)n_kv;
    g->n_tensors = (size_t)n_tensors;
    return 0;
}

int dk_gguf_open_mem(dk_gguf **out, const void *p, size_t n, const char *name, dk_err *err)
{
    dk_gguf *g = dk_xcalloc(1, sizeof *g);
    cursor c = { .p = p, .start = p, .end = (const uint8_t *)p + n, .file = name, .err = err };
    int rc = take_header(&c, g);

    if (rc == 0)
        rc = take_pairs(&c, g);
    if (rc == 0)
        rc = take_tensors(&c, g);
    if (rc < 0)
        dk_gguf_close(&g);
    *out = g;
    return rc;
}

int dk_gguf_open(dk_gguf **out, const char *path, dk_err *err)
{
    dk_mapfile *map = NULL;
    int rc;

    *out = NULL;
    if ((rc = dk_mapfile_open(&map, path, err)) < 0)
        return rc;
    rc = dk_gguf_open_mem(out, map->p, map->n, path, err);
    if (rc == 0)
        (*out)->map = map;
    else
        dk_mapfile_close(&map);
    return rc;
}

void dk_gguf_close(dk_gguf **gp)
{
    dk_gguf *g = *gp;

    if (!g)
        return;
    for (size_t i = 0; g->kv && i < g->n_kv; i++) {
        dk_free(g->kv[i].key);
        dk_free(g->kv[i].strs);
        dk_free(g->kv[i].text);
    }
    for (size_t i = 0; g->tensor && i < g->n_tensors; i++)
        dk_free(g->tensor[i].name);
    dk_free(g->kv);
    dk_free(g->tensor);
    dk_free(g->kv_order);
    dk_free(g->tensor_order);
    dk_mapfile_close(&g->map);
    dk_free(g);
    *gp = NULL;
}

void dk_gguf_drop(dk_gguf *g)
{
    if (g->map)
        dk_mapfile_drop(g->map);
}

bool dk_gguf_is(const char *path)
{
    char magic[4] = "";
    const int fd = open(path, O_RDONLY | O_CLOEXEC);
    const ssize_t n = fd < 0 ? 0 : read(fd, magic, 4);

    if (fd >= 0)
        close(fd);
    return n == 4 && memcmp(magic, "GGUF", 4) == 0;
}

/* --- accessors ----------------------------------------------------------- */
size_t dk_gguf_n_tensors(const dk_gguf *g) { return g->n_tensors; }
const dk_gguf_tensor *dk_gguf_tensor_at(const dk_gguf *g, size_t i) { return &g->tensor[i]; }

const dk_gguf_tensor *dk_gguf_find(const dk_gguf *g, const char *name)
{
    size_t lo = 0, hi = g->n_tensors;

    while (lo < hi) {
        const size_t mid = lo + (hi - lo) / 2;
        const dk_gguf_tensor *t = &g->tensor[g->tensor_order[mid]];
        const int k = strcmp(name, t->name);

        if (k == 0)
            return t;
        if (k < 0)
            hi = mid;
        else
            lo = mid + 1;
    }
    return NULL;
}

const dk_gguf_kv *dk_gguf_get(const dk_gguf *g, const char *key)
{
    size_t lo = 0, hi = g->n_kv;

    while (lo < hi) {
        const size_t mid = lo + (hi - lo) / 2;
        const dk_gguf_kv *kv = &g->kv[g->kv_order[mid]];
        const int k = strcmp(key, kv->key);

        if (k == 0)
            return kv;
        if (k < 0)
            hi = mid;
        else
            lo = mid + 1;
    }
    return NULL;
}

size_t dk_gguf_n_kv(const dk_gguf *g) { return g->n_kv; }
const dk_gguf_kv *dk_gguf_kv_at(const dk_gguf *g, size_t i) { return &g->kv[i]; }
const char *dk_gguf_kv_key(const dk_gguf_kv *kv) { return kv->key; }
bool dk_gguf_kv_is_array(const dk_gguf_kv *kv) { return kv && kv->is_array; }
size_t dk_gguf_kv_len(const dk_gguf_kv *kv) { return kv ? kv->n : 0; }
const dk_gguf_str *dk_gguf_kv_strs(const dk_gguf_kv *kv) { return kv ? kv->strs : NULL; }

int64_t dk_gguf_kv_int(const dk_gguf_kv *kv, size_t i, int64_t def)
{
    const uint8_t *p;
    uint64_t u = 0;
    unsigned width;

    if (!kv || i >= kv->n || kv->type == F32 || kv->type == BOOL || kv->type == STR ||
        kv->type == F64)
        return def;
    width = widths[kv->type];
    p = kv->raw + i * width;
    memcpy(&u, p, width);
    switch (kv->type) {
    case I8: return (int8_t)u;
    case I16: return (int16_t)u;
    case I32: return (int32_t)u;
    case U64: return u > INT64_MAX ? def : (int64_t)u;
    default: return (int64_t)u;
    }
}

double dk_gguf_kv_num(const dk_gguf_kv *kv, size_t i, double def)
{
    float f;
    double d;

    if (!kv || i >= kv->n || kv->type == BOOL || kv->type == STR)
        return def;
    if (kv->type == F32) {
        memcpy(&f, kv->raw + 4 * i, sizeof f);
        return (double)f;
    }
    if (kv->type == F64) {
        memcpy(&d, kv->raw + 8 * i, sizeof d);
        return d;
    }
    /* INT64_MIN is no size of anything, so it can mean "does not fit". */
    return dk_gguf_kv_int(kv, i, INT64_MIN) == INT64_MIN ? def
                                                         : (double)dk_gguf_kv_int(kv, i, 0);
}

bool dk_gguf_kv_bool(const dk_gguf_kv *kv, size_t i, bool def)
{
    return kv && i < kv->n && kv->type == BOOL ? kv->raw[i] != 0 : def;
}

static const dk_gguf_kv *scalar(const dk_gguf *g, const char *key)
{
    const dk_gguf_kv *kv = dk_gguf_get(g, key);

    return kv && !kv->is_array ? kv : NULL;
}

int64_t dk_gguf_int(const dk_gguf *g, const char *key, int64_t def)
{
    return dk_gguf_kv_int(scalar(g, key), 0, def);
}

double dk_gguf_num(const dk_gguf *g, const char *key, double def)
{
    return dk_gguf_kv_num(scalar(g, key), 0, def);
}

bool dk_gguf_bool(const dk_gguf *g, const char *key, bool def)
{
    return dk_gguf_kv_bool(scalar(g, key), 0, def);
}

const char *dk_gguf_str_of(const dk_gguf *g, const char *key, const char *def)
{
    const dk_gguf_kv *kv = scalar(g, key);

    return kv && kv->text ? kv->text : def;
}
