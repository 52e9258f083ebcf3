/* Writing HDF5.
 *
 * Datasets stay open and grow through the library's filter pipeline.  At the
 * end the content id and the hashes of the chunks are computed by reading the
 * file back, so what is committed has been read once. */
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "io/h5stream.h"
#include "io/zstdfilter.h"

/* --- groups ---------------------------------------------------------------- */
/* A creation list that keeps no times: with them two equal runs differ. */
static hid_t timeless(hid_t class)
{
    const hid_t p = H5Pcreate(class);

    if (p >= 0)
        H5Pset_obj_track_times(p, 0);
    return p;
}

static int make_group(dk_h5 *f, const char *path, dk_err *err)
{
    const hid_t list = timeless(H5P_GROUP_CREATE);
    const hid_t g = H5Gcreate2(f->id, path, H5P_DEFAULT, list, H5P_DEFAULT);
    int rc = 0;

    if (g < 0)
        rc = dk_fail_h5(err, DK_EIO, "cannot write %s: group %s", f->path, path);
    else
        H5Gclose(g);
    H5Pclose(list);
    return rc;
}

/* Makes what is missing up to, and with whole also at, the end of path.  The
 * library could do it itself, but then with times. */
static int make_groups(dk_h5 *f, const char *path, bool whole, dk_err *err)
{
    char *p = dk_xstrdup(path);
    int rc = 0;

    for (char *s = p + 1; rc == 0; s++) {
        const char kept = *s;

        if (kept && kept != '/')
            continue;
        if (!kept && !whole)
            break;
        *s = 0;
        if (f->stream)
            dk_h5_sink_group(f, p);
        else if (H5Lexists(f->id, p, H5P_DEFAULT) <= 0)
            rc = make_group(f, p, err);
        *s = kept;
        if (!kept)
            break;
    }
    dk_free(p);
    return rc;
}

int dk_h5_group(dk_h5 *f, const char *path, dk_err *err)
{
    DK_ASSERT(f->writing && path[0] == '/');
    return make_groups(f, path, true, err);
}

/* --- datasets ------------------------------------------------------------- */
void dk_h5_set_chunk_rows(dk_h5 *f, uint64_t rows) { f->chunk_rows = rows; }

/* One megabyte is what the library's default cache still holds; a column of
 * single values takes 65,536 of them. */
static uint64_t chunk_rows(const dk_h5 *f, const dk_h5_data *d)
{
    const uint64_t row = dk_h5_row_items(d) * d->item;
    uint64_t rows = DK_H5_CHUNK_ROWS;

    if (f->chunk_rows)
        return f->chunk_rows;
    while (d->rank > 1 && rows > 1 && rows * row > DK_H5_CHUNK_BYTES)
        rows /= 2;
    return rows;
}

static hid_t creation_list(const dk_h5_data *d)
{
    const hid_t p = timeless(H5P_DATASET_CREATE);
    const unsigned level = DK_ZSTD_LEVEL;
    hsize_t chunk[DK_H5_MAX_RANK];

    for (int i = 0; i < d->rank; i++)
        chunk[i] = d->chunk[i];
    H5Pset_chunk(p, d->rank, chunk);
    H5Pset_fill_time(p, H5D_FILL_TIME_ALLOC);       /* zeroed padding, always */
    if (d->item > 1)
        H5Pset_shuffle(p);
    H5Pset_filter(p, DK_ZSTD_FILTER, H5Z_FLAG_MANDATORY, 1, &level);
    return p;
}

/* bf16 is not built in: the type is committed once, under a name. */
static int commit_bf16(dk_h5 *f, dk_err *err)
{
    static const char path[] = "/types/bf16";
    hid_t list, type;
    int rc = make_groups(f, path, false, err);

    if (rc < 0 || H5Lexists(f->id, path, H5P_DEFAULT) > 0)
        return rc;
    list = timeless(H5P_DATATYPE_CREATE);
    type = H5Tcopy(dk_h5_type_id(DK_H5_BF16, 0));
    if (H5Tcommit2(f->id, path, type, H5P_DEFAULT, list, H5P_DEFAULT) < 0)
        rc = dk_fail_h5(err, DK_EIO, "cannot write %s: %s", f->path, path);
    H5Tclose(type);
    H5Pclose(list);
    return rc;
}

static hid_t data_type(dk_h5 *f, dk_h5_type t, size_t item)
{
    return t == DK_H5_BF16 ? H5Topen2(f->id, "/types/bf16", H5P_DEFAULT)
                           : dk_h5_type_id(t, item);
}

static int create_data(dk_h5 *f, const char *path, const dk_h5_data *d, hid_t *out, dk_err *err)
{
    hsize_t dim[DK_H5_MAX_RANK] = { 0 }, max[DK_H5_MAX_RANK] = { H5S_UNLIMITED };
    const hid_t list = creation_list(d), access = H5Pcreate(H5P_DATASET_ACCESS);
    const hid_t type = data_type(f, d->type, d->item);
    const size_t chunk_bytes = d->chunk[0] * dk_h5_row_items(d) * d->item;
    hid_t space;
    int rc = 0;

    for (int i = 1; i < d->rank; i++)
        dim[i] = max[i] = d->dim[i];
    space = H5Screate_simple(d->rank, dim, max);
    H5Pset_chunk_cache(access, 521, chunk_bytes < DK_H5_CHUNK_BYTES ? DK_H5_CHUNK_BYTES
                                                                   : chunk_bytes, 1.0);
    *out = H5Dcreate2(f->id, path, type, space, H5P_DEFAULT, list, access);
    if (*out < 0)
        rc = dk_fail_h5(err, DK_EIO, "cannot write %s: dataset %s", f->path, path);
    H5Sclose(space);
    if (d->type == DK_H5_BF16)
        H5Tclose(type);
    H5Pclose(access);
    H5Pclose(list);
    return rc;
}

int dk_h5_dataset(dk_h5 *f, const char *path, dk_h5_type type, int rank, const uint64_t *dim,
                  dk_err *err)
{
    dk_h5_data d = { .type = type, .rank = rank, .item = dk_h5_type_size(type) };
    hid_t id = H5I_INVALID_HID;
    size_t i;
    int rc;

    DK_ASSERT(f->writing && rank >= 1 && rank <= DK_H5_MAX_RANK && d.item > 0);
    for (int k = 1; k < rank; k++)
        d.dim[k] = d.chunk[k] = dim[k];
    if (dk_h5_row_items(&d) == 0 || dk_h5_row_items(&d) > DK_H5_MAX_CHUNK / d.item)
        return dk_fail(err, DK_EDATA, "%s: rows of %s have no values or more than 16 MiB", f->path,
                       path);
    d.chunk[0] = chunk_rows(f, &d);
    rc = make_groups(f, path, false, err);
    if (f->stream)
        return dk_h5_sink_dataset(f, path, &d, err);
    if (rc == 0 && type == DK_H5_BF16)
        rc = commit_bf16(f, err);
    if (rc == 0)
        rc = create_data(f, path, &d, &id, err);
    if (rc < 0)
        return rc;
    i = dk_h5_add_object(f, path, DK_H5_DATASET);
    f->obj[i].data = d;
    f->open[i].id = id;
    return 0;
}

/* A writer's list is in the order of creation, so it is searched from the end. */
static size_t find_open(const dk_h5 *f, const char *path)
{
    size_t i = f->n;

    while (i-- > 0)
        if (strcmp(f->obj[i].path, path) == 0)
            return i;
    return SIZE_MAX;
}

int dk_h5_append(dk_h5 *f, const char *path, const void *rows, uint64_t n, dk_err *err)
{
    const size_t i = find_open(f, path);
    hsize_t start[DK_H5_MAX_RANK] = { 0 }, count[DK_H5_MAX_RANK], extent[DK_H5_MAX_RANK];
    hid_t file_space = H5I_INVALID_HID, space = H5I_INVALID_HID, type;
    dk_h5_data *d;
    int rc = 0;

    DK_ASSERT(f->writing && i != SIZE_MAX);
    if (n == 0)
        return 0;
    if (f->stream)
        return dk_h5_sink_append(f, i, rows, n, err);
    d = &f->obj[i].data;
    for (int k = 0; k < d->rank; k++)
        count[k] = extent[k] = k ? d->dim[k] : n;
    start[0] = d->dim[0];
    extent[0] = d->dim[0] + n;
    type = H5Dget_type(f->open[i].id);
    if (H5Dset_extent(f->open[i].id, extent) < 0 ||
        (file_space = H5Dget_space(f->open[i].id)) < 0 ||
        H5Sselect_hyperslab(file_space, H5S_SELECT_SET, start, NULL, count, NULL) < 0 ||
        (space = H5Screate_simple(d->rank, count, NULL)) < 0 ||
        H5Dwrite(f->open[i].id, type, space, file_space, H5P_DEFAULT, rows) < 0)
        rc = dk_fail_h5(err, DK_EIO, "cannot write %s: dataset %s", f->path, path);
    else
        d->dim[0] += n;
    if (space >= 0)
        H5Sclose(space);
    if (file_space >= 0)
        H5Sclose(file_space);
    H5Tclose(type);
    return rc;
}

int dk_h5_write(dk_h5 *f, const char *path, dk_h5_type type, int rank, const uint64_t *dim,
                const void *data, dk_err *err)
{
    int rc = dk_h5_dataset(f, path, type, rank, dim, err);

    return rc == 0 ? dk_h5_append(f, path, data, dim[0], err) : rc;
}

/* Small things stay in one unfiltered piece, so that tools without our filter
 * can show them.  width 0: one dimension. */
static int write_flat(dk_h5 *f, const char *path, dk_h5_type t, size_t item, uint64_t n,
                      uint64_t width, const void *data, dk_err *err)
{
    const hsize_t dim[2] = { n, width };
    hid_t list, space, type, d;
    int rc = make_groups(f, path, false, err);

    if (rc < 0)
        return rc;
    if (f->stream) {
        const dk_h5_data one = { .type = t, .rank = 1, .item = item };

        rc = dk_h5_sink_dataset(f, path, &one, err);
        return rc < 0 ? rc : dk_h5_append(f, path, data, n, err);
    }
    list = timeless(H5P_DATASET_CREATE);
    space = H5Screate_simple(width ? 2 : 1, dim, NULL);
    type = dk_h5_type_id(t, item);
    d = H5Dcreate2(f->id, path, type, space, H5P_DEFAULT, list, H5P_DEFAULT);
    if (d < 0 || (n && H5Dwrite(d, type, H5S_ALL, H5S_ALL, H5P_DEFAULT, data) < 0))
        rc = dk_fail_h5(err, DK_EIO, "cannot write %s: dataset %s", f->path, path);
    if (d >= 0)
        H5Dclose(d);
    dk_h5_type_done(t, type);
    H5Sclose(space);
    H5Pclose(list);
    return rc;
}

int dk_h5_write_strs(dk_h5 *f, const char *path, const char *const *s, uint64_t n, dk_err *err)
{
    size_t item = 1, len;
    char *all;
    int rc;

    for (uint64_t i = 0; i < n; i++)
        item = (len = strlen(s[i])) > item ? len : item;
    if (item > DK_H5_MAX_STR)
        return dk_fail(err, DK_EDATA, "%s: a text of %s is longer than %d bytes", f->path, path,
                       DK_H5_MAX_STR);
    if ((rc = dk_alloc(&all, n, item, path, err)) < 0)
        return rc;
    for (uint64_t i = 0; i < n; i++)
        memcpy(all + i * item, s[i], strlen(s[i]));
    rc = write_flat(f, path, DK_H5_STR, item, n, 0, all, err);
    dk_free(all);
    return rc;
}

/* --- whole files ---------------------------------------------------------- */
static hid_t access_list(void)
{
    const hid_t p = H5Pcreate(H5P_FILE_ACCESS);

    H5Pset_fclose_degree(p, H5F_CLOSE_STRONG);
    H5Pset_libver_bounds(p, H5F_LIBVER_EARLIEST, H5F_LIBVER_V110);
    return p;
}

static int write_head(dk_h5 *f, const char *encoding, const char *features, const dk_provenance *p,
                      dk_err *err)
{
    static const dk_provenance none = {0};
    int rc;

    p = p ? p : &none;
    if ((rc = dk_h5_put_str(f, "/", "encoding-type", encoding, err)) < 0 ||
        (rc = dk_h5_put_str(f, "/", "encoding-version", "1.0", err)) < 0 ||
        (rc = dk_h5_put_str(f, "/", "features_required", features, err)) < 0 ||
        (rc = dk_h5_put_str(f, "/", "role", strcmp(encoding, "dk-statistics") == 0 ? "stats" : "shard", err)) < 0 ||
        (rc = dk_h5_put_int(f, "/", "shard_index", DK_H5_U32, p->shard_index, err)) < 0 ||
        (rc = dk_h5_put_int(f, "/", "shard_count", DK_H5_U32, p->shard_count ? p->shard_count : 1, err)) < 0 ||
        (rc = dk_h5_put_str(f, "/", "stage_key", p->stage_key, err)) < 0 ||
        (rc = dk_h5_put_str(f, "/", "writer", p->writer, err)) < 0)
        return rc;
    if (p->command_json)
        rc = write_flat(f, "/provenance/command", DK_H5_U8, 1, strlen(p->command_json), 0,
                        p->command_json, err);
    if (rc == 0 && p->inputs_json)
        rc = write_flat(f, "/provenance/inputs", DK_H5_U8, 1, strlen(p->inputs_json), 0,
                        p->inputs_json, err);
    return rc;
}

int dk_h5_check_terminal(const char *path, const char *hint, dk_err *err)
{
    if (strcmp(path, "-") != 0 || !isatty(STDOUT_FILENO))
        return 0;
    return dk_fail(err, DK_EUSAGE, "-o -: a stream is no text and does not go to a terminal; pipe it to "
                   "another tool, or name a file%s", hint);
}

int dk_h5_create(dk_h5 **out, const char *path, const char *encoding, const dk_provenance *prov,
                 dk_err *err)
{
    return dk_h5_create_with(out, path, encoding, "", prov, err);
}

int dk_h5_create_with(dk_h5 **out, const char *path, const char *encoding, const char *features,
                      const dk_provenance *prov, dk_err *err)
{
    const bool stream = strcmp(path, "-") == 0;
    dk_h5 *f;
    hid_t create, access;
    struct stat st;
    int rc = stream ? dk_h5_check_terminal(path, "", err) : dk_h5_start(err);

    *out = NULL;
    if (rc < 0)
        return rc;
    f = dk_xcalloc(1, sizeof *f);
    f->path = dk_xstrdup(stream ? "standard output" : path);
    f->id = H5I_INVALID_HID;
    f->writing = true;
    f->root.version = dk_xstrdup("1.0");
    if (stream) {
        if ((rc = dk_h5_sink_open(f, err)) == 0)
            rc = write_head(f, encoding, features, prov, err);
        goto out;
    }
    if ((rc = dk_outfile_new(&f->out, path, err)) < 0)
        goto out;
    if (stat(dk_outfile_temp(f->out), &st) == 0 && !S_ISREG(st.st_mode)) {
        rc = dk_fail(err, DK_EIO, "cannot write %s: HDF5 needs a plain file", path);
        goto out;
    }
    if ((rc = dk_h5_room(path, err)) < 0)
        goto out;
    create = timeless(H5P_FILE_CREATE);
    access = access_list();
    f->id = H5Fcreate(dk_outfile_temp(f->out), H5F_ACC_TRUNC, create, access);
    rc = f->id < 0 ? dk_fail_h5(err, DK_EIO, "cannot write %s", path)
                   : write_head(f, encoding, features, prov, err);
    H5Pclose(create);
    H5Pclose(access);
out:
    if (rc < 0)
        dk_h5_close(&f);
    *out = f;
    return rc;
}

int dk_h5_begin(dk_h5 *f, uint64_t rows, uint64_t docs, dk_err *err)
{
    return f->stream ? dk_h5_sink_begin(f, rows, docs, err) : 0;
}

void dk_h5_expect(dk_h5 *f, const char *path, uint64_t rows)
{
    if (f->stream)
        f->open[find_open(f, path)].held->declared = rows;
}

static int commit_stream(dk_h5 *f, uint64_t rows, uint64_t docs, char id[DK_CONTENT_ID_LEN], dk_err *err)
{
    int rc = f->stream->begun ? 0 : dk_h5_sink_begin(f, rows, docs, err);

    return rc < 0 ? rc : dk_h5_sink_commit(f, id, err);
}

static int write_sums(dk_h5 *f, const dk_buf *sums, dk_err *err)
{
    int rc = 0;

    for (size_t i = 0; rc == 0 && i < f->n; i++) {
        char *path = dk_xasprintf("/check%s", f->obj[i].path);

        if (sums[i].n)
            rc = write_flat(f, path, DK_H5_U8, 1, sums[i].n / 32, 32, sums[i].s, err);
        dk_free(path);
    }
    return rc;
}

/* From here on the file is a finished one that is read back. */
static int finish(dk_h5 *f, char id[DK_CONTENT_ID_LEN], dk_err *err)
{
    dk_buf *sums;
    int rc = 0;

    /* While the datasets are open: what is still to be written of them is not lost in silence. */
    if (H5Fflush(f->id, H5F_SCOPE_GLOBAL) < 0)
        return dk_fail_h5(err, DK_EIO, "cannot write %s", f->path);
    dk_h5_drop_objects(f);
    if ((rc = dk_h5_walk(f, err)) < 0)
        return rc;
    sums = dk_xcalloc(f->n + 1, sizeof *sums);
    if ((rc = dk_h5_content_id(f, id, sums, err)) == 0)
        rc = write_sums(f, sums, err);
    for (size_t i = 0; i < f->n; i++)
        dk_buf_free(&sums[i]);
    dk_free(sums);
    dk_h5_drop_objects(f);
    return rc < 0 ? rc : dk_h5_put_str(f, "/", "content_id", id, err);
}

int dk_h5_commit(dk_h5 **fp, uint64_t rows, uint64_t docs, char content_id[DK_CONTENT_ID_LEN],
                 dk_err *err)
{
    dk_h5 *f = *fp;
    char id[DK_CONTENT_ID_LEN];
    int rc;

    DK_ASSERT(f->writing);
    f->root.rows = rows;
    f->root.docs = docs;
    if (f->stream)
        rc = commit_stream(f, rows, docs, id, err);
    else if ((rc = dk_h5_put_int(f, "/", "rows", DK_H5_U64, (int64_t)rows, err)) == 0 &&
        (rc = dk_h5_put_int(f, "/", "docs", DK_H5_U64, (int64_t)docs, err)) == 0 &&
        (rc = dk_h5_put_int(f, "/", "complete", DK_H5_U8, 1, err)) == 0)
        rc = finish(f, id, err);
    if (rc == 0 && !f->stream && H5Fflush(f->id, H5F_SCOPE_GLOBAL) < 0)
        rc = dk_fail_h5(err, DK_EIO, "cannot write %s", f->path);
    if (rc == 0 && !f->stream) {
        const herr_t closed = H5Fclose(f->id);

        f->id = H5I_INVALID_HID;
        if (closed < 0)
            rc = dk_fail_h5(err, DK_EIO, "cannot write %s", f->path);
    }
    if (rc == 0)
        rc = dk_outfile_commit(&f->out, err);
    if (rc == 0 && content_id)
        memcpy(content_id, id, sizeof id);
    dk_h5_close(fp);
    return rc;
}
