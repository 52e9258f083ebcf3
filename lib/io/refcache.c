/* The reference toolkit's caches. */
#include "io/refcache.h"

#include <dirent.h>
#include <endian.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "io/json.h"
#include "io/zip.h"
#include "num/dequant.h"

enum { MOST_SHARDS = 1 << 20 };

/* --- tokens ------------------------------------------------------------------- */
/* The one tensor of a file: torch.save puts its bytes into a member data/0. */
static int read_tensor(int64_t **out, size_t *n, const char *dir, const char *name, dk_err *err)
{
    char *path = dk_xasprintf("%s/%s", dir, name);
    uint8_t *bytes = NULL;
    size_t size = 0;
    int rc = dk_zip_read(&bytes, &size, path, "data", err);

    if (rc == 0 && (size == 0 || size % sizeof **out != 0))
        rc = dk_fail(err, DK_EFORMAT, "%s: its %zu bytes are no tensor of int64", path, size);
    *n = size / sizeof **out;
    if (rc == 0 && (rc = dk_alloc(out, *n, sizeof **out, "a tensor", err)) == 0)
        for (size_t i = 0; i < *n; i++) {
            memcpy(*out + i, bytes + i * sizeof **out, sizeof **out);
            (*out)[i] = (int64_t)le64toh((uint64_t)(*out)[i]);
        }
    dk_free(bytes);
    dk_free(path);
    return rc;
}

static int check_tokens(const dk_reftokens *t, dk_err *err)
{
    for (size_t i = 0; i < t->rows; i++)
        if (t->token[i] < 0 || t->token[i] >= UINT32_MAX)
            return dk_fail(err, DK_EFORMAT, "%s/tokens.pt: %lld at %zu is no token", t->dir, (long long)t->token[i], i);
    for (size_t d = 0; d < t->docs; d++)
        if (t->range[d] > t->range[d + 1])
            return dk_fail(err, DK_EFORMAT, "%s/sequence_ranges.pt: sequence %zu ends before it begins", t->dir, d);
    if (t->range[0] != 0 || (uint64_t)t->range[t->docs] != t->rows)
        return dk_fail(err, DK_EFORMAT, "%s/sequence_ranges.pt goes from %lld to %lld, but there are %zu tokens", t->dir,
                       (long long)t->range[0], (long long)t->range[t->docs], t->rows);
    return 0;
}

int dk_reftokens_read(dk_reftokens *t, const char *dir, dk_err *err)
{
    size_t n = 0;
    int rc;

    *t = (dk_reftokens){ .dir = dk_xstrdup(dir) };
    rc = read_tensor(&t->token, &t->rows, dir, "tokens.pt", err);
    if (rc == 0 && (rc = read_tensor(&t->range, &n, dir, "sequence_ranges.pt", err)) == 0) {
        t->docs = n - 1;
        rc = check_tokens(t, err);
    }
    if (rc < 0)
        dk_reftokens_free(t);
    return rc;
}

void dk_reftokens_free(dk_reftokens *t)
{
    dk_free(t->dir);
    dk_free(t->token);
    dk_free(t->range);
    *t = (dk_reftokens){0};
}

/* --- layers ------------------------------------------------------------------- */
static int ascending(const void *a, const void *b) { return *(const int *)a - *(const int *)b; }

int dk_reflayers(int **layer, size_t *n, const char *dir, dk_err *err)
{
    DIR *d = opendir(dir);
    struct dirent *e;

    *layer = NULL;
    *n = 0;
    if (!d)
        return dk_fail_errno(err, "cannot read %s", dir);
    while ((e = readdir(d))) {
        int l, end = 0;

        if (sscanf(e->d_name, "layer_%6d_out%n", &l, &end) != 1 || end == 0 || e->d_name[end] || l < 0)
            continue;
        *layer = dk_xrealloc(*layer, (*n + 1) * sizeof **layer);
        (*layer)[(*n)++] = l;
    }
    closedir(d);
    if (*n == 0)
        return dk_fail(err, DK_EDATA, "%s has no layer_N_out: it is no cache of activations", dir);
    qsort(*layer, *n, sizeof **layer, ascending);
    return 0;
}

/* --- shards ------------------------------------------------------------------- */
static int dtype_of(dk_h5_type *t, const char *name, const char *path, dk_err *err)
{
    static const struct { const char *name; dk_h5_type type; } known[] = {
        { "torch.bfloat16", DK_H5_BF16 }, { "torch.float16", DK_H5_F16 }, { "torch.float32", DK_H5_F32 }
    };

    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (strcmp(known[i].name, name) == 0) {
            *t = known[i].type;
            return 0;
        }
    return dk_fail(err, DK_EFORMAT, "%s: values of type %s are not read", path, name);
}

/* Shape and type of a shard; those of the first hold for all. */
static int read_meta(dk_refrows *r, size_t k, size_t *rows, dk_err *err)
{
    char *path = dk_xasprintf("%s/shard_%zu.meta", r->dir, k);
    dk_json *root = NULL;
    int rc = dk_json_load(&root, path, err);
    const dk_json *shape = dk_json_get(root, "shape");
    const int64_t n = dk_json_int(dk_json_at(shape, 0), -1), d = dk_json_int(dk_json_at(shape, 1), -1);
    dk_h5_type type = DK_H5_F32;

    if (rc == 0 && (dk_json_len(shape) != 2 || n < 0 || d < 1 || n > INT64_MAX / 8 / d))
        rc = dk_fail(err, DK_EFORMAT, "%s has no shape of rows and values", path);
    if (rc == 0)
        rc = dtype_of(&type, dk_json_str(dk_json_get(root, "dtype"), "torch.float32"), path, err);
    if (rc == 0 && ((size_t)d != r->d || (k && type != r->dtype)))
        rc = dk_fail(err, DK_EFORMAT, "%s: shape or type is not what %s says", path, k ? "the first shard" : "config.json");
    r->dtype = type;
    *rows = rc == 0 ? (size_t)n : 0;
    dk_json_free(&root);
    dk_free(path);
    return rc;
}

static int open_shard(dk_refrows *r, size_t k, dk_err *err)
{
    char *path = dk_xasprintf("%s/shard_%zu.memmap", r->dir, k);
    size_t rows, bytes;
    int rc = read_meta(r, k, &rows, err);

    if (rc == 0 && (rc = dk_mapfile_open(&r->shard[k], path, err)) == 0) {
        bytes = rows * r->d * dk_h5_type_size(r->dtype);
        r->first[k + 1] = r->first[k] + rows;
        if (r->shard[k]->n != bytes)
            rc = dk_fail(err, DK_EFORMAT, "%s has %zu bytes instead of the %zu of shard_%zu.meta: one of them is not whole", path,
                         r->shard[k]->n, bytes, k);
    }
    dk_free(path);
    return rc;
}

static int read_config(dk_refrows *r, dk_err *err)
{
    char *path = dk_xasprintf("%s/config.json", r->dir);
    dk_json *root = NULL;
    int rc = dk_json_load(&root, path, err);
    const int64_t rows = dk_json_int(dk_json_get(root, "total_size"), -1), d = dk_json_int(dk_json_get(root, "d_model"), -1),
                  shards = dk_json_int(dk_json_get(root, "shard_count"), -1);

    if (rc == 0 && (rows < 0 || d < 1 || d > INT32_MAX || shards < 0 || shards > MOST_SHARDS))
        rc = dk_fail(err, DK_EFORMAT, "%s lacks total_size, d_model or shard_count", path);
    else if (rc == 0 && dk_json_bool(dk_json_get(root, "shuffle_shards"), false))
        rc = dk_fail(err, DK_EDATA, "%s: rows of shuffled shards belong to no token", path);
    else if (rc == 0 && strcmp(dk_json_str(dk_json_get(root, "io"), "out"), "out") != 0)
        rc = dk_fail(err, DK_EDATA, "%s: only what blocks put out is read", path);
    if (rc == 0) {
        r->rows = (size_t)rows;
        r->d = (size_t)d;
        r->n_shards = (size_t)shards;
    }
    dk_json_free(&root);
    dk_free(path);
    return rc;
}

int dk_refrows_open(dk_refrows *r, const char *dir, int layer, dk_err *err)
{
    int rc;

    *r = (dk_refrows){ .dir = dk_xasprintf("%s/layer_%d_out", dir, layer) };
    if ((rc = read_config(r, err)) == 0) {
        r->shard = dk_xcalloc(r->n_shards, sizeof(dk_mapfile *));
        r->first = dk_xcalloc(r->n_shards + 1, sizeof *r->first);
    }
    for (size_t k = 0; rc == 0 && k < r->n_shards; k++)
        rc = open_shard(r, k, err);
    if (rc == 0 && r->first[r->n_shards] != r->rows)
        rc = dk_fail(err, DK_EFORMAT, "%s: the shards have %zu rows, and config.json says %zu", r->dir, r->first[r->n_shards],
                     r->rows);
    if (rc < 0)
        dk_refrows_close(r);
    return rc;
}

void dk_refrows_close(dk_refrows *r)
{
    for (size_t k = 0; r->shard && k < r->n_shards; k++)
        dk_mapfile_close(&r->shard[k]);
    dk_free(r->shard);
    dk_free(r->first);
    dk_free(r->dir);
    *r = (dk_refrows){0};
}

void dk_refrows_read(const dk_refrows *r, size_t first, size_t n, float *out)
{
    const size_t row = r->d * dk_h5_type_size(r->dtype);
    const dk_qformat *f = dk_qformat_of(r->dtype == DK_H5_BF16 ? DK_Q_BF16 : r->dtype == DK_H5_F16 ? DK_Q_F16 : DK_Q_F32);

    for (size_t k = 0; k < r->n_shards && n > 0; k++) {
        size_t some;

        if (first >= r->first[k + 1])
            continue;
        some = r->first[k + 1] - first < n ? r->first[k + 1] - first : n;
        dk_dequant(f, out, r->shard[k]->p + (first - r->first[k]) * row, some * r->d);
        out += some * r->d;
        first += some;
        n -= some;
    }
}
