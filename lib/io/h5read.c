/* Values.  Chunks are fetched as stored and unpacked here, because the library
 * trusts the sizes that a damaged chunk claims; each is compared with the hash
 * that the file keeps of it. */
#include <inttypes.h>
#include <string.h>

#include "base/hash.h"
#include "io/h5stream.h"
#include "io/zstdfilter.h"

static size_t index_of(const dk_h5 *f, const char *path)
{
    size_t lo = 0, hi = f->n;

    while (lo < hi) {
        const size_t mid = (lo + hi) / 2;
        const int c = strcmp(f->obj[mid].path, path);

        if (c == 0)
            return mid;
        if (c < 0)
            lo = mid + 1;
        else
            hi = mid;
    }
    return SIZE_MAX;
}

/* Two and four bytes, the sizes of long datasets, in a form that becomes vectors. */
static void unshuffle2(uint16_t *restrict out, const uint8_t *restrict low, const uint8_t *restrict high, size_t n)
{
    for (size_t i = 0; i < n; i++)
        out[i] = (uint16_t)(low[i] | high[i] << 8);
}

static void unshuffle4(uint32_t *restrict out, const uint8_t *restrict in, size_t n)
{
    const uint8_t *a = in, *b = in + n, *c = in + 2 * n, *d = in + 3 * n;

    for (size_t i = 0; i < n; i++)
        out[i] = (uint32_t)a[i] | (uint32_t)b[i] << 8 | (uint32_t)c[i] << 16 | (uint32_t)d[i] << 24;
}

/* out is aligned for any type. */
static void unshuffle(uint8_t *out, const uint8_t *in, size_t n, size_t item)
{
    if (item == 2)
        unshuffle2((uint16_t *)(void *)out, in, in + n, n);
    else if (item == 4)
        unshuffle4((uint32_t *)(void *)out, in, n);
    for (size_t b = item == 2 || item == 4 ? item : 0; b < item; b++)
        for (size_t i = 0; i < n; i++)
            out[i * item + b] = in[b * n + i];
}

static int reserve_scratch(dk_h5 *f, size_t bytes, dk_err *err)
{
    if (f->scratch_bytes >= bytes)
        return 0;
    dk_free(f->scratch);
    f->scratch_bytes = 0;
    if (dk_alloc(&f->scratch, bytes, 1, "a chunk", err) < 0)
        return DK_ENOMEM;
    f->scratch_bytes = bytes;
    return 0;
}

/* --- hashes of chunks ------------------------------------------------------ */
static uint64_t n_chunks(const dk_h5_data *d)
{
    return d->chunk[0] ? (d->dim[0] + d->chunk[0] - 1) / d->chunk[0] : 1;
}

/* The hashes that the file keeps of dataset i, if it keeps any. */
static int load_sums(dk_h5 *f, size_t i, dk_err *err)
{
    const dk_h5_data *d = &f->obj[i].data;
    dk_h5_open_data *o = &f->open[i];
    const dk_h5_object *sums;
    char *path;
    int rc = 0;

    if (o->sums || o->no_sums)
        return 0;
    path = dk_xasprintf("/check%s", f->obj[i].path);
    sums = f->writing || strncmp(f->obj[i].path, "/check/", 7) == 0 ? NULL : dk_h5_find(f, path);
    o->no_sums = !sums || sums->kind != DK_H5_DATASET;
    if (!o->no_sums && (sums->data.rank != 2 || sums->data.dim[0] != n_chunks(d) || sums->data.dim[1] != 32))
        rc = dk_fail(err, DK_EFORMAT, "%s: %s is not a hash for each of the %" PRIu64 " chunks of %s", f->path,
                     path, n_chunks(d), f->obj[i].path);
    else if (!o->no_sums)
        rc = dk_h5_read_all(f, path, DK_H5_U8, &o->sums, NULL, err);
    dk_free(path);
    return rc;
}

/* So that a flipped bit is an error wherever a file is read, not only in dk-info. */
static int check_sum(dk_h5 *f, size_t i, uint64_t c, const void *p, size_t n, dk_err *err)
{
    dk_sha256 *h;
    uint8_t sum[32];
    int rc = load_sums(f, i, err);

    if (rc < 0 || !f->open[i].sums)
        return rc;
    h = dk_sha256_new();
    dk_sha256_add(h, p, n);
    dk_sha256_raw(h, sum);
    dk_sha256_free(&h);
    if (memcmp(sum, f->open[i].sums + 32 * c, 32) != 0)
        return dk_fail(err, DK_EFORMAT, "%s: chunk %" PRIu64 " of %s is damaged: its hash is not the one in "
                       "the file", f->path, c, f->obj[i].path);
    return 0;
}

void dk_h5_unverified(dk_h5 *f)
{
    for (size_t i = 0; i < f->n; i++) {
        dk_free(f->open[i].sums);
        f->open[i].sums = NULL;
        f->open[i].no_sums = true;
    }
}

int dk_h5_check_sums(dk_h5 *f, dk_err *err)
{
    if (!dk_h5_find(f, "/check"))
        return 0;
    for (size_t i = 0; i < f->n; i++) {
        const char *path = f->obj[i].path;
        char *check = dk_xasprintf("/check%s", path);
        const bool has = dk_h5_find(f, check) != NULL;

        dk_free(check);
        if (f->obj[i].kind != DK_H5_DATASET)
            continue;
        if (strncmp(path, "/check/", 7) == 0 && !dk_h5_find(f, path + 6))
            return dk_fail(err, DK_EFORMAT, "%s: %s is gone, its hashes are there", f->path, path + 6);
        if (strncmp(path, "/check/", 7) != 0 && !has && f->obj[i].data.dim[0] && dk_h5_row_items(&f->obj[i].data))
            return dk_fail(err, DK_EFORMAT, "%s: %s has no hashes, other datasets have", f->path, path);
    }
    return 0;
}

/* --- chunks ------------------------------------------------------------------ */
/* Brings chunk number c of dataset i into open[i].raw. */
static int load_chunk(dk_h5 *f, size_t i, uint64_t c, dk_err *err)
{
    const dk_h5_data *d = &f->obj[i].data;
    dk_h5_open_data *o = &f->open[i];
    const size_t bytes = d->chunk[0] * dk_h5_row_items(d) * d->item;
    const size_t most = o->zstd ? dk_zstd_bound(bytes) : bytes;
    const hsize_t at[DK_H5_MAX_RANK] = { c * d->chunk[0] };
    uint8_t *packed, *plain;
    unsigned mask = 0;
    uint32_t read_mask = 0;
    haddr_t addr = HADDR_UNDEF;
    hsize_t size = 0;
    int rc;

    if (o->raw_index == c)
        return 0;
    o->raw_index = UINT64_MAX;
    if (H5Dget_chunk_info_by_coord(o->id, at, &mask, &addr, &size) < 0)
        return dk_fail_h5(err, DK_EFORMAT, "%s: cannot read %s", f->path, f->obj[i].path);
    if (addr == HADDR_UNDEF || mask != 0 || size == 0 || size > most || (!o->zstd && size != most))
        return dk_fail(err, DK_EFORMAT, "%s: chunk %" PRIu64 " of %s is missing or damaged",
                       f->path, c, f->obj[i].path);
    if ((rc = reserve_scratch(f, most + bytes, err)) < 0 ||
        (!o->raw && (rc = dk_alloc(&o->raw, bytes, 1, "a chunk", err)) < 0))
        return rc;
    packed = o->zstd || o->shuffle ? f->scratch : o->raw;
    plain = o->zstd ? (o->shuffle ? f->scratch + most : o->raw) : packed;
    if (H5Dread_chunk(o->id, H5P_DEFAULT, at, &read_mask, packed) < 0)
        return dk_fail_h5(err, DK_EFORMAT, "%s: cannot read %s", f->path, f->obj[i].path);
    rc = o->zstd ? dk_zstd_decode(plain, bytes, packed, size) : 0;
    if (rc == DK_ENOMEM)
        return dk_fail(err, rc, "%s: out of memory for unpacking %s", f->path, f->obj[i].path);
    if (rc < 0)
        return dk_fail(err, DK_EFORMAT, "%s: chunk %" PRIu64 " of %s does not unpack", f->path, c,
                       f->obj[i].path);
    if (o->shuffle)
        unshuffle(o->raw, plain, bytes / d->item, d->item);
    if ((rc = check_sum(f, i, c, o->raw, bytes, err)) == 0)
        o->raw_index = c;
    return rc;
}

static int read_chunked(dk_h5 *f, size_t i, uint64_t first, uint64_t n, uint8_t *out, dk_err *err)
{
    const dk_h5_data *d = &f->obj[i].data;
    const size_t row = dk_h5_row_items(d) * d->item;
    int rc;

    while (n) {
        const uint64_t c = first / d->chunk[0], skip = first % d->chunk[0];
        const uint64_t take = d->chunk[0] - skip < n ? d->chunk[0] - skip : n;

        if ((rc = load_chunk(f, i, c, err)) < 0)
            return rc;
        memcpy(out, f->open[i].raw + skip * row, take * row);
        out += take * row;
        first += take;
        n -= take;
    }
    return 0;
}

static int read_piece(dk_h5 *f, size_t i, uint64_t first, uint64_t n, void *out, dk_err *err)
{
    const dk_h5_data *d = &f->obj[i].data;
    const hid_t id = f->open[i].id, type = H5Dget_type(id), from = H5Dget_space(id);
    hsize_t start[DK_H5_MAX_RANK] = { first }, count[DK_H5_MAX_RANK] = { n };
    hid_t to;
    int rc = 0;

    for (int k = 1; k < d->rank; k++)
        count[k] = d->dim[k];
    to = H5Screate_simple(d->rank, count, NULL);
    if (to < 0 || H5Sselect_hyperslab(from, H5S_SELECT_SET, start, NULL, count, NULL) < 0 ||
        H5Dread(id, type, to, from, H5P_DEFAULT, out) < 0)
        rc = dk_fail_h5(err, DK_EFORMAT, "%s: cannot read %s", f->path, f->obj[i].path);
    if (to >= 0)
        H5Sclose(to);
    H5Sclose(from);
    H5Tclose(type);
    return rc;
}

static int open_data(dk_h5 *f, size_t i, dk_err *err)
{
    const char *path = f->obj[i].path;

    if (f->open[i].id < 0 && (f->open[i].id = H5Dopen2(f->id, path, H5P_DEFAULT)) < 0)
        return dk_fail_h5(err, DK_EFORMAT, "%s: cannot open %s", f->path, path);
    return 0;
}

int dk_h5_chunk(dk_h5 *f, const char *path, uint64_t c, const void **p, size_t *n, dk_err *err)
{
    const size_t i = index_of(f, path);
    int rc;

    DK_ASSERT(i != SIZE_MAX && f->obj[i].data.chunk[0] && f->open[i].chunked);
    if ((rc = open_data(f, i, err)) < 0 || (rc = load_chunk(f, i, c, err)) < 0)
        return rc;
    *p = f->open[i].raw;
    *n = f->obj[i].data.chunk[0] * dk_h5_row_items(&f->obj[i].data) * f->obj[i].data.item;
    return 0;
}

int dk_h5_read(dk_h5 *f, const char *path, dk_h5_type type, uint64_t first, uint64_t n, void *out,
               dk_err *err)
{
    const size_t i = index_of(f, path);
    const dk_h5_data *d;
    int rc;

    if (i == SIZE_MAX || f->obj[i].kind != DK_H5_DATASET)
        return dk_fail(err, DK_EFORMAT, "%s has no %s", f->path, path);
    d = &f->obj[i].data;
    if (d->type != type)
        return dk_fail(err, DK_EFORMAT, "%s: %s holds %s, expected %s", f->path, path,
                       dk_h5_type_name(d->type), dk_h5_type_name(type));
    if (first > d->dim[0] || n > d->dim[0] - first)
        return dk_fail(err, DK_EDATA, "%s: %s has %" PRIu64 " rows, asked for %" PRIu64 " from %"
                       PRIu64, f->path, path, d->dim[0], n, first);
    if (n == 0 || dk_h5_row_items(d) == 0)
        return 0;
    if (f->stream)
        return dk_h5_source_read(f, i, first, n, out, err);
    if ((rc = open_data(f, i, err)) < 0)
        return rc;
    if (f->open[i].chunked)
        return read_chunked(f, i, first, n, out, err);
    rc = read_piece(f, i, first, n, out, err);
    if (rc == 0 && n == d->dim[0])
        rc = check_sum(f, i, 0, out, n * dk_h5_row_items(d) * d->item, err);
    return rc;
}

int dk_h5_read_all(dk_h5 *f, const char *path, dk_h5_type type, void *out, dk_h5_data *info,
                   dk_err *err)
{
    const dk_h5_object *o = dk_h5_find(f, path);
    void *p = NULL;
    int rc;

    *(void **)out = NULL;
    if (!o || o->kind != DK_H5_DATASET)
        return dk_fail(err, DK_EFORMAT, "%s has no %s", f->path, path);
    /* What a stream promises need not come: it is awaited first. */
    if (f->stream && (rc = dk_h5_source_read(f, (size_t)(o - f->obj), o->data.dim[0], 0, NULL, err)) < 0)
        return rc;
    rc = dk_alloc(&p, o->data.dim[0] * dk_h5_row_items(&o->data), o->data.item, path, err);
    if (rc == 0)
        rc = dk_h5_read(f, path, type, 0, o->data.dim[0], p, err);
    if (rc < 0) {
        dk_free(p);
        return rc;
    }
    *(void **)out = p;
    if (info)
        *info = o->data;
    return 0;
}

int dk_h5_read_text(dk_h5 *f, const char *path, char **out, dk_err *err)
{
    const dk_h5_object *o = dk_h5_find(f, path);
    int rc;

    *out = NULL;
    if (!o)
        return 0;
    if (o->kind != DK_H5_DATASET || o->data.rank != 1)
        return dk_fail(err, DK_EFORMAT, "%s: %s is no text", f->path, path);
    if (f->stream && (rc = dk_h5_source_read(f, (size_t)(o - f->obj), o->data.dim[0], 0, NULL, err)) < 0)
        return rc;
    if ((rc = dk_alloc(out, o->data.dim[0] + 1, 1, path, err)) == 0 &&
        (rc = dk_h5_read(f, path, DK_H5_U8, 0, o->data.dim[0], *out, err)) < 0) {
        dk_free(*out);
        *out = NULL;
    }
    return rc;
}

int dk_h5_read_strs(dk_h5 *f, const char *path, char ***out, size_t *n, dk_err *err)
{
    dk_h5_data d;
    char *all, **s;
    int rc;

    *out = NULL;
    *n = 0;
    if ((rc = dk_h5_read_all(f, path, DK_H5_STR, &all, &d, err)) < 0)
        return rc;
    if (d.rank != 1)
        rc = dk_fail(err, DK_EFORMAT, "%s: %s is no list of texts", f->path, path);
    else if ((rc = dk_alloc(&s, d.dim[0], sizeof *s, path, err)) == 0) {
        for (uint64_t i = 0; i < d.dim[0]; i++)
            s[i] = dk_xstrndup(all + i * d.item, d.item);
        *out = s;
        *n = d.dim[0];
    }
    dk_free(all);
    return rc;
}

size_t dk_h5_count(const dk_h5 *f) { return f->n; }
const dk_h5_object *dk_h5_at(const dk_h5 *f, size_t i) { return &f->obj[i]; }
const char *dk_h5_path(const dk_h5 *f) { return f->path; }
const dk_h5_root *dk_h5_root_of(const dk_h5 *f) { return &f->root; }

const dk_h5_object *dk_h5_find(const dk_h5 *f, const char *path)
{
    const size_t i = index_of(f, path);

    return i == SIZE_MAX ? NULL : &f->obj[i];
}
