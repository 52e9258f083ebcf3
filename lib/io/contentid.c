/* The content id of a file that is open. */
#include "io/contentid.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "io/h5stream.h"

void dk_content_name(dk_sha256 *h, const char *name, const char *value)
{
    dk_sha256_add(h, name, strlen(name));
    dk_sha256_add(h, "=", 1);
    if (value)
        dk_sha256_add(h, value, strlen(value));
    dk_sha256_add(h, "\n", 1);
}

void dk_content_data(dk_sha256 *h, const char *path, const dk_h5_data *d)
{
    dk_buf line = {0};

    dk_buf_addf(&line, "%s %s", path, dk_h5_type_name(d->type));
    if (d->type == DK_H5_STR)
        dk_buf_addf(&line, "%zu", d->item);
    for (int i = 0; i < d->rank; i++)
        dk_buf_addf(&line, "%c%" PRIu64, i ? 'x' : ' ', d->dim[i]);
    dk_buf_addc(&line, '\n');
    dk_sha256_add(h, line.s, line.n);
    dk_buf_free(&line);
}

void dk_content_end(dk_sha256 **h, char id[DK_CONTENT_ID_LEN])
{
    char hex[65];

    dk_sha256_hex(*h, hex);
    dk_sha256_free(h);
    snprintf(id, DK_CONTENT_ID_LEN, "sha256:%s", hex);
}

static int attr_line(dk_h5 *f, dk_sha256 *h, const char *obj, const char *name, const char *attr,
                     dk_err *err)
{
    char *value = NULL, *key = dk_xasprintf("%s.%s", name, attr);
    int rc = dk_h5_has_attr(f, obj, attr) ? dk_h5_get_str(f, obj, attr, &value, err) : 0;

    if (rc == 0)
        dk_content_name(h, key, value);
    dk_free(key);
    dk_free(value);
    return rc;
}

static int add_model(dk_h5 *f, dk_sha256 *h, const char *obj, dk_err *err)
{
    static const char *const attr[] = { "weights_sha256", "adapter_sha256", "tokenizer_sha256",
                                        "template_sha256" };
    int rc = 0;

    for (size_t i = 0; rc == 0 && i < sizeof attr / sizeof *attr; i++)
        rc = attr_line(f, h, obj, strrchr(obj, '/') + 1, attr[i], err);
    return rc;
}

/* base and ft first, then the further lanes as they are sorted. */
static int add_models(dk_h5 *f, dk_sha256 *h, dk_err *err)
{
    static const char *const first[] = { "/models/base", "/models/ft" };
    int rc = 0;

    for (size_t k = 0; rc == 0 && k < 2; k++)
        if (dk_h5_find(f, first[k]))
            rc = add_model(f, h, first[k], err);
    for (size_t i = 0; rc == 0 && i < dk_h5_count(f); i++) {
        const char *path = dk_h5_at(f, i)->path;

        if (strncmp(path, "/models/", 8) == 0 && !strchr(path + 8, '/') &&
            strcmp(path, first[0]) != 0 && strcmp(path, first[1]) != 0)
            rc = add_model(f, h, path, err);
    }
    return rc;
}

static bool below(const char *path, const char *folder)
{
    return strncmp(path, folder, strlen(folder)) == 0;
}

/* What describes the run, or is derived from the rest, stays out. */
static bool counts(const char *path)
{
    return !below(path, "/provenance/") && !below(path, "/check/") && !below(path, "/shards/");
}

static void add_sum(dk_buf *sums, dk_sha256 **h)
{
    uint8_t raw[32];

    dk_sha256_raw(*h, raw);
    dk_sha256_free(h);
    dk_buf_add(sums, raw, sizeof raw);
}

/* The chunk that was read last is still there as it was unpacked. */
static int sum_chunk(dk_h5 *f, const dk_h5_object *o, uint64_t chunk, dk_buf *sums, dk_err *err)
{
    const void *p;
    size_t n;
    int rc = dk_h5_chunk(f, o->path, chunk, &p, &n, err);

    if (rc == 0) {
        dk_sha256 *one = dk_sha256_new();

        dk_sha256_add(one, p, n);
        add_sum(sums, &one);
    }
    return rc;
}

/* Of long datasets the SHA-256 stands for the values: the sum of a stream that
 * brings several at once can be taken as they come. */
static void add_own(dk_h5 *f, dk_sha256 *h, dk_sha256 **own, const char *path)
{
    uint8_t raw[32];

    if (!dk_h5_is_stream(f))
        dk_sha256_raw(*own, raw);
    dk_sha256_add(h, dk_h5_is_stream(f) ? dk_h5_stream_sum(f, path) : raw, sizeof raw);
    dk_sha256_free(own);
}

/* h NULL: the values do not belong to the content.  sums NULL: nobody asks. */
static int add_data(dk_h5 *f, dk_sha256 *h, const dk_h5_object *o, dk_buf *sums, dk_err *err)
{
    dk_sha256 *whole = NULL, *own = h && dk_h5_long(o->path) ? dk_sha256_new() : NULL;
    size_t row = o->data.item, step;
    uint8_t *block = NULL;
    int rc = 0;

    for (int i = 1; i < o->data.rank; i++)
        row *= o->data.dim[i];
    if (h)
        dk_content_data(h, o->path, &o->data);
    if (row == 0 || o->data.dim[0] == 0 || (own && dk_h5_is_stream(f)))
        goto out;
    /* A whole number of chunks at a time, so that each is unpacked once. */
    step = o->data.chunk[0] ? o->data.chunk[0] : ((size_t)1 << 20) / row + 1;
    if ((rc = dk_alloc(&block, step, row, o->path, err)) < 0)
        goto out;
    if (sums && !o->data.chunk[0])
        whole = dk_sha256_new();
    for (uint64_t at = 0; rc == 0 && at < o->data.dim[0]; at += step) {
        const uint64_t n = o->data.dim[0] - at < step ? o->data.dim[0] - at : step;

        if ((rc = dk_h5_read(f, o->path, o->data.type, at, n, block, err)) < 0)
            break;
        if (h)
            dk_sha256_add(own ? own : h, block, n * row);
        if (whole)
            dk_sha256_add(whole, block, n * row);
        else if (sums)
            rc = sum_chunk(f, o, at / step, sums, err);
    }
    if (whole)
        add_sum(sums, &whole);
out:
    if (own)
        add_own(f, h, &own, o->path);
    dk_free(block);
    return rc;
}

int dk_h5_content_id(dk_h5 *f, char id[DK_CONTENT_ID_LEN], dk_buf *sums, dk_err *err)
{
    dk_sha256 *h = dk_sha256_new();
    int rc;

    dk_content_name(h, "encoding-version", dk_h5_root_of(f)->version);
    rc = add_models(f, h, err);
    if (rc == 0) {
        if (dk_h5_find(f, "/corpus"))
            rc = attr_line(f, h, "/corpus", "corpus", "sha256", err);
        else
            dk_content_name(h, "corpus.sha256", NULL);
    }
    for (size_t i = 0; rc == 0 && i < dk_h5_count(f); i++) {
        const dk_h5_object *o = dk_h5_at(f, i);

        if (o->kind == DK_H5_DATASET && !below(o->path, "/check/") && (sums || counts(o->path)))
            rc = add_data(f, counts(o->path) ? h : NULL, o, sums ? &sums[i] : NULL, err);
    }
    if (rc == 0)
        dk_content_end(&h, id);
    dk_sha256_free(&h);
    return rc;
}
