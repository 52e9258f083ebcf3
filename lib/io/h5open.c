/* Opening HDF5 as if every file were hostile.
 *
 * The whole file is walked: only plain groups, datasets of known types in
 * chunks or in one piece inside the file, and attributes remain after that. */
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "io/h5stream.h"
#include "io/zstdfilter.h"

enum { MAJOR = 1, MAX_LINKS = 10000 };

static const uint64_t max_extent = (uint64_t)1 << 40, max_bytes = (uint64_t)1 << 46;

/* --- the walk ------------------------------------------------------------- */
static int refuse(const dk_h5 *f, const char *path, const char *why, dk_err *err)
{
    return dk_fail(err, DK_EFORMAT, "%s: %s %s; not read from a dk file", f->path, path, why);
}

/* A file being written may be longer than what was committed. */
int dk_h5_clip(const dk_h5 *f, const char *path, dk_h5_data *d, dk_err *err)
{
    uint64_t rows;

    if (strncmp(path, "/rows/", 6) == 0 || strncmp(path, "/acts/", 6) == 0)
        rows = f->root.rows;
    else if (strcmp(path, "/docs/id") == 0)
        rows = f->root.docs;
    else if (strcmp(path, "/docs/offset") == 0)
        rows = f->root.docs + 1;
    else
        return 0;
    if (d->dim[0] < rows)
        return dk_fail(err, DK_EFORMAT, "%s: %s has %" PRIu64 " entries, the file promises %"
                       PRIu64, f->path, path, d->dim[0], rows);
    d->dim[0] = rows;
    return 0;
}

static int check_extent(const dk_h5 *f, const char *path, hid_t id, dk_h5_data *d, dk_err *err)
{
    const hid_t space = H5Dget_space(id);
    hsize_t dim[DK_H5_MAX_RANK];
    uint64_t bytes = d->item;
    int rc = 0;

    if (space < 0 || H5Sget_simple_extent_type(space) != H5S_SIMPLE ||
        (d->rank = H5Sget_simple_extent_ndims(space)) < 1 || d->rank > DK_H5_MAX_RANK ||
        H5Sget_simple_extent_dims(space, dim, NULL) < 0)
        rc = refuse(f, path, "has no shape of 1 to 4 dimensions", err);
    for (int i = 0; rc == 0 && i < d->rank; i++) {
        d->dim[i] = dim[i];
        if (dim[i] > max_extent || __builtin_mul_overflow(bytes, dim[i], &bytes) ||
            bytes > max_bytes)
            rc = refuse(f, path, "has an absurd size", err);
    }
    if (space >= 0)
        H5Sclose(space);
    return rc;
}

static int check_filters(const dk_h5 *f, const char *path, hid_t list, const dk_h5_data *d,
                         dk_h5_open_data *o, dk_err *err)
{
    const int n = H5Pget_nfilters(list);
    char why[64];

    for (int i = 0; i < n; i++) {
        unsigned flags, cd[8] = {0};
        size_t n_cd = 8;
        const H5Z_filter_t id = H5Pget_filter2(list, (unsigned)i, &flags, &n_cd, cd, 0, NULL,
                                               NULL);

        if (id == H5Z_FILTER_SHUFFLE && i == 0 && n_cd == 1 && cd[0] == d->item)
            o->shuffle = true;
        else if (id == DK_ZSTD_FILTER && i == n - 1)
            o->zstd = true;
        else {
            snprintf(why, sizeof why, "uses the unknown filter %d", (int)id);
            return refuse(f, path, why, err);
        }
    }
    return n < 0 ? refuse(f, path, "has unreadable filters", err) : 0;
}

static int check_chunks(const dk_h5 *f, const char *path, hid_t list, dk_h5_data *d, dk_err *err)
{
    hsize_t chunk[DK_H5_MAX_RANK];
    uint64_t bytes = d->item;

    if (H5Pget_chunk(list, d->rank, chunk) != d->rank)
        return refuse(f, path, "has chunks of another rank", err);
    for (int i = 0; i < d->rank; i++) {
        d->chunk[i] = chunk[i];
        if (chunk[i] == 0 || (i && chunk[i] != d->dim[i]))
            return refuse(f, path, "has chunks that do not hold whole rows", err);
        if (__builtin_mul_overflow(bytes, chunk[i], &bytes) || bytes > DK_H5_MAX_CHUNK)
            return refuse(f, path, "has chunks above 16 MiB", err);
    }
    /* An entry in the chunk index takes at least 8 bytes of file. */
    if (d->dim[0] / chunk[0] > f->file_bytes / 8)
        return refuse(f, path, "promises more rows than the file can hold", err);
    return 0;
}

static int check_layout(const dk_h5 *f, const char *path, hid_t id, dk_h5_data *d,
                        dk_h5_open_data *o, dk_err *err)
{
    const hid_t list = H5Dget_create_plist(id);
    const H5D_layout_t layout = list < 0 ? H5D_LAYOUT_ERROR : H5Pget_layout(list);
    int rc;

    if (layout == H5D_CHUNKED) {
        o->chunked = true;
        if ((rc = check_filters(f, path, list, d, o, err)) == 0)
            rc = check_chunks(f, path, list, d, err);
    } else if (layout != H5D_CONTIGUOUS && layout != H5D_COMPACT)
        rc = refuse(f, path, "is a virtual dataset", err);
    else if (H5Pget_external_count(list) != 0)
        rc = refuse(f, path, "keeps its values in another file", err);
    else if (d->dim[0] && H5Dget_storage_size(id) != d->dim[0] * dk_h5_row_items(d) * d->item)
        rc = refuse(f, path, "is shorter or longer than its shape", err);
    else
        rc = 0;
    if (list >= 0)
        H5Pclose(list);
    return rc;
}

static int check_data(dk_h5 *f, size_t i, hid_t id, dk_err *err)
{
    const char *path = f->obj[i].path;
    dk_h5_data *d = &f->obj[i].data;
    const hid_t type = H5Dget_type(id);
    int rc;

    d->type = type < 0 ? DK_H5_NONE : dk_h5_type_of(type, &d->item);
    if (type >= 0)
        H5Tclose(type);
    if (d->type == DK_H5_NONE)
        return refuse(f, path, "has an unknown type", err);
    if ((rc = check_extent(f, path, id, d, err)) < 0 ||
        (rc = check_layout(f, path, id, d, &f->open[i], err)) < 0)
        return rc;
    return dk_h5_clip(f, path, d, err);
}

static int check_object(dk_h5 *f, const char *path, hid_t id, H5I_type_t kind, dk_err *err)
{
    H5O_info_t info;
    size_t item;

    /* A second name would make walking endless, and hides what is what; a type
     * counts the datasets that use it as well. */
    if (H5Oget_info2(id, &info, H5O_INFO_BASIC) < 0 || (info.rc != 1 && kind != H5I_DATATYPE))
        return refuse(f, path, "has more than one name", err);
    if (f->n == DK_H5_MAX_OBJECTS)
        return refuse(f, path, "is one object too many", err);
    if (kind == H5I_DATASET)
        return check_data(f, dk_h5_add_object(f, path, DK_H5_DATASET), id, err);
    if (kind == H5I_DATATYPE && dk_h5_type_of(id, &item) != DK_H5_BF16)
        return refuse(f, path, "is an unknown type", err);
    if (kind != H5I_DATATYPE && kind != H5I_GROUP)
        return refuse(f, path, "is an unknown kind of object", err);
    dk_h5_add_object(f, path, kind == H5I_GROUP ? DK_H5_GROUP : DK_H5_NAMED_TYPE);
    return 0;
}

static int walk_group(dk_h5 *f, hid_t group, const char *prefix, int depth, dk_err *err);

static int walk_link(dk_h5 *f, hid_t group, const char *name, const char *path, int depth,
                     dk_err *err)
{
    H5L_info_t link;
    H5I_type_t kind;
    hid_t id;
    int rc;

    if (H5Lget_info(group, name, &link, H5P_DEFAULT) < 0)
        return dk_fail_h5(err, DK_EFORMAT, "%s: cannot read the entry %s", f->path, path);
    if (link.type != H5L_TYPE_HARD)
        return refuse(f, path, "is a link to elsewhere", err);
    if ((id = H5Oopen(group, name, H5P_DEFAULT)) < 0)
        return dk_fail_h5(err, DK_EFORMAT, "%s: cannot open %s", f->path, path);
    kind = H5Iget_type(id);
    rc = check_object(f, path, id, kind, err);
    if (rc == 0 && kind == H5I_GROUP)
        rc = walk_group(f, id, path, depth + 1, err);
    H5Oclose(id);
    return rc;
}

static bool plain_name(const char *name)
{
    for (const char *s = name; *s; s++)
        if ((unsigned char)*s < 0x20 || *s == 0x7f || *s == '/')
            return false;
    return name[0] != 0 && strcmp(name, ".") != 0;
}

static int walk_group(dk_h5 *f, hid_t group, const char *prefix, int depth, dk_err *err)
{
    H5G_info_t info;
    int rc = 0;

    if (H5Gget_info(group, &info) < 0)
        return dk_fail_h5(err, DK_EFORMAT, "%s: cannot read the group %s/", f->path, prefix);
    if (depth > DK_H5_MAX_DEPTH || info.nlinks > MAX_LINKS)
        return dk_fail(err, DK_EFORMAT, "%s: %s/ is too deep or too large for a dk file", f->path,
                       prefix);
    for (hsize_t i = 0; rc == 0 && i < info.nlinks; i++) {
        char name[256], *path;
        const ssize_t n = H5Lget_name_by_idx(group, ".", H5_INDEX_NAME, H5_ITER_INC, i, name,
                                             sizeof name, H5P_DEFAULT);

        if (n < 0)
            return dk_fail_h5(err, DK_EFORMAT, "%s: cannot read the group %s/", f->path, prefix);
        if ((size_t)n >= sizeof name || !plain_name(name))
            return dk_fail(err, DK_EFORMAT, "%s: an entry of %s/ has an unusable name", f->path,
                           prefix);
        path = dk_xasprintf("%s/%s", prefix, name);
        rc = walk_link(f, group, name, path, depth, err);
        dk_free(path);
    }
    return rc;
}

/* Entries and their open datasets are sorted together. */
typedef struct pair { dk_h5_object obj; dk_h5_open_data open; } pair;

static int by_path(const void *a, const void *b)
{
    return strcmp(((const pair *)a)->obj.path, ((const pair *)b)->obj.path);
}

void dk_h5_sort_objects(dk_h5 *f)
{
    pair *p = dk_xmalloc((f->n + 1) * sizeof *p);

    for (size_t i = 0; i < f->n; i++)
        p[i] = (pair){ f->obj[i], f->open[i] };
    qsort(p, f->n, sizeof *p, by_path);
    for (size_t i = 0; i < f->n; i++) {
        f->obj[i] = p[i].obj;
        f->open[i] = p[i].open;
    }
    dk_free(p);
}

int dk_h5_walk(dk_h5 *f, dk_err *err)
{
    const hid_t root = H5Gopen2(f->id, "/", H5P_DEFAULT);
    struct stat st;
    int rc;

    if (f->writing && stat(dk_outfile_temp(f->out), &st) == 0)
        f->file_bytes = (uint64_t)st.st_size;
    if (root < 0)
        return dk_fail_h5(err, DK_EFORMAT, "%s: cannot read the root group", f->path);
    rc = walk_group(f, root, "", 0, err);
    H5Gclose(root);
    if (rc == 0)
        dk_h5_sort_objects(f);
    return rc;
}

/* --- opening -------------------------------------------------------------- */
/* Messages of the library about a missing or foreign file are long-winded. */
static int look(dk_h5 *f, dk_err *err)
{
    static const uint8_t magic[8] = { 0x89, 'H', 'D', 'F', '\r', '\n', 0x1a, '\n' };
    const int fd = open(f->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    uint8_t head[8];
    struct stat st;
    int rc = 0;

    if (fd < 0 || fstat(fd, &st) < 0)
        rc = dk_fail_errno(err, "cannot open %s", f->path);
    else if (!S_ISREG(st.st_mode))
        rc = dk_fail(err, DK_EIO, "cannot read %s: HDF5 needs a regular file, not a pipe or folder",
                     f->path);
    else if (pread(fd, head, sizeof head, 0) != sizeof head || memcmp(head, magic, 8) != 0)
        rc = dk_fail(err, DK_EFORMAT, "%s is no HDF5 file", f->path);
    else
        f->file_bytes = (uint64_t)st.st_size;
    if (fd >= 0)
        close(fd);
    return rc;
}

static int open_file(dk_h5 *f, dk_err *err)
{
    int rc = dk_h5_room(f->path, err);
    hid_t access;

    if (rc < 0)
        return rc;
    access = H5Pcreate(H5P_FILE_ACCESS);
    H5Pset_fclose_degree(access, H5F_CLOSE_STRONG);
    H5Pset_file_locking(access, 0, 1);      /* locks hang on network file systems */
    f->id = H5Fopen(f->path, H5F_ACC_RDONLY, access);
    if (f->id < 0)
        rc = dk_fail_h5(err, DK_EFORMAT, "cannot open %s", f->path);
    H5Pclose(access);
    return rc;
}

static int opt_str(dk_h5 *f, const char *name, char **out, dk_err *err)
{
    if (dk_h5_has_attr(f, "/", name))
        return dk_h5_get_str(f, "/", name, out, err);
    *out = dk_xstrdup("");
    return 0;
}

static int opt_u32(dk_h5 *f, const char *name, uint32_t def, uint32_t *out, dk_err *err)
{
    int64_t v = def;
    int rc = dk_h5_has_attr(f, "/", name) ? dk_h5_get_int(f, "/", name, &v, err) : 0;

    *out = (uint32_t)v;
    return rc;
}

static int read_root(dk_h5 *f, dk_err *err)
{
    dk_h5_root *r = &f->root;
    int64_t rows, docs, complete;
    int rc;

    if ((rc = dk_h5_get_str(f, "/", "encoding-type", &r->encoding, err)) < 0 ||
        (rc = dk_h5_get_str(f, "/", "encoding-version", &r->version, err)) < 0 ||
        (rc = opt_str(f, "features_required", &r->features, err)) < 0 ||
        (rc = opt_str(f, "role", &r->role, err)) < 0 ||
        (rc = opt_str(f, "stage_key", &r->stage_key, err)) < 0 ||
        (rc = opt_str(f, "writer", &r->writer, err)) < 0 ||
        (rc = opt_u32(f, "shard_index", 0, &r->shard_index, err)) < 0 ||
        (rc = opt_u32(f, "shard_count", 1, &r->shard_count, err)) < 0 ||
        (rc = dk_h5_get_int(f, "/", "rows", &rows, err)) < 0 ||
        (rc = dk_h5_get_int(f, "/", "docs", &docs, err)) < 0 ||
        (rc = dk_h5_get_int(f, "/", "complete", &complete, err)) < 0 ||
        (rc = opt_str(f, "content_id", &r->content_id, err)) < 0)
        return rc;
    if (rows < 0 || docs < 0 || (uint64_t)rows > max_extent || (uint64_t)docs > max_extent)
        return dk_fail(err, DK_EFORMAT, "%s: an absurd number of rows or documents", f->path);
    r->rows = (uint64_t)rows;
    r->docs = (uint64_t)docs;
    r->complete = complete == 1;
    return 0;
}

static int check_root(const dk_h5 *f, const char *encoding, dk_err *err)
{
    static const char *const known[] = { "dk-tokens", "dk-scores", "dk-activations",
                                         "dk-directions", "dk-dictionary", "dk-statistics" };
    const dk_h5_root *r = &f->root;
    bool found = false;
    char *end;
    long major;

    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        found = found || strcmp(r->encoding, known[i]) == 0;
    if (!found)
        return dk_fail(err, DK_EFORMAT, "%s holds '%.80s', a kind this build does not know", f->path,
                       r->encoding);
    if (encoding && strcmp(encoding, r->encoding) != 0)
        return dk_fail(err, DK_EFORMAT, "%s holds %s, expected %s", f->path, r->encoding, encoding);
    major = strtol(r->version, &end, 10);
    if (end == r->version || *end != '.' || major < 1 || major > MAJOR)
        return dk_fail(err, DK_EFORMAT, "%s is in version '%.40s' of the format, this build reads "
                       "%d; use a newer dk", f->path, r->version, MAJOR);
    if (r->features[0] && (strcmp(r->encoding, "dk-activations") != 0 || strcmp(r->features, "ft_delta") != 0))
        return dk_fail(err, DK_EFORMAT, "%s requires the feature '%.80s', which this build does "
                       "not have", f->path, r->features);
    if (!r->complete)
        return dk_fail(err, DK_EFORMAT, "%s was not finished; write it again", f->path);
    return 0;
}

int dk_h5_open_stream(dk_h5 **out, FILE *in, const char *name, const char *encoding, dk_err *err)
{
    dk_h5 *f = dk_xcalloc(1, sizeof *f);
    int rc;

    f->path = dk_xstrdup(name);
    f->id = H5I_INVALID_HID;
    if ((rc = dk_h5_source_open(f, in, err)) < 0 || (rc = read_root(f, err)) < 0 ||
        (rc = check_root(f, encoding, err)) < 0 || (rc = dk_h5_source_check(f, err)) < 0)
        dk_h5_close(&f);
    *out = f;
    return rc;
}

bool dk_h5_is_stream(const dk_h5 *f) { return f->stream != NULL; }

int dk_h5_finish(dk_h5 *f, dk_err *err) { return f->stream ? dk_h5_source_finish(f, err) : 0; }

/* What standard input is, is told by its first byte. */
static int open_stdin(dk_h5 **out, const char *encoding, dk_err *err)
{
    static const char name[] = "standard input";
    const int first = getc(stdin);

    *out = NULL;
    if (first != EOF)
        ungetc(first, stdin);
    if (first == 0x89)
        return dk_h5_open(out, "/dev/stdin", encoding, err);
    if (first == '{')
        return dk_fail(err, DK_EFORMAT, "%s: JSON lines, expected %s", name, encoding ? encoding : "a dk stream");
    return dk_h5_open_stream(out, stdin, name, encoding, err);
}

int dk_h5_open(dk_h5 **out, const char *path, const char *encoding, dk_err *err)
{
    dk_h5 *f;
    int rc;

    *out = NULL;
    if (strcmp(path, "-") == 0)
        return open_stdin(out, encoding, err);
    if ((rc = dk_h5_start(err)) < 0)
        return rc;
    f = dk_xcalloc(1, sizeof *f);
    f->path = dk_xstrdup(path);
    f->id = H5I_INVALID_HID;
    if ((rc = look(f, err)) < 0 || (rc = open_file(f, err)) < 0 || (rc = read_root(f, err)) < 0 ||
        (rc = check_root(f, encoding, err)) < 0 || (rc = dk_h5_walk(f, err)) < 0)
        dk_h5_close(&f);
    *out = f;
    return rc;
}
