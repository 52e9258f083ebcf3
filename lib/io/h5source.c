/* Reading a dk_h5 from a stream.
 *
 * Frames are taken as values are asked for.  What is not long stays in memory;
 * of the long ones, what the reader has dropped goes.  Nothing that was read
 * may be trusted before dk_h5_finish has seen the end. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "io/h5stream.h"
#include "io/json.h"

static int damaged(const dk_h5 *f, const char *why, dk_err *err)
{
    return dk_fail(err, DK_EFORMAT, "%s: the stream is damaged: %s", f->path, why);
}

/* --- the head --------------------------------------------------------------- */
static dk_h5_type type_named(const char *name)
{
    for (int t = DK_H5_U8; t <= DK_H5_STR; t++)
        if (strcmp(dk_h5_type_name((dk_h5_type)t), name) == 0)
            return (dk_h5_type)t;
    return DK_H5_NONE;
}

static bool good_path(const char *path)
{
    int depth = 0;

    for (const char *s = path; *s; s++) {
        if ((unsigned char)*s < 0x20 || *s == 0x7f || (*s == '/' && (s[1] == '/' || s[1] == 0)))
            return false;
        depth += *s == '/';
    }
    return path[0] == '/' && depth <= DK_H5_MAX_DEPTH;
}

/* name, type, value from v[at] on. */
static int take_attr(dk_h5 *f, const char *obj, const dk_json *v, size_t at, dk_err *err)
{
    const char *name = dk_json_str(dk_json_at(v, at), "");
    const dk_h5_type t = type_named(dk_json_str(dk_json_at(v, at + 1), ""));
    const dk_json *value = dk_json_at(v, at + 2);
    const dk_json_kind kind = dk_json_type(value);
    uint8_t raw[8];

    if (!name[0] || dk_json_len(v) != at + 3 || dk_h5_stream_attr(f, obj, name))
        return damaged(f, "an attribute has no name, or one that another has", err);
    if (t == DK_H5_STR && kind == DK_JSON_STR && dk_json_len(value) <= DK_H5_MAX_STR) {
        const char *s = dk_json_str(value, "");

        dk_h5_stream_put_attr(f, obj, name, t, strlen(s) ? strlen(s) : 1, s);
    } else if ((t == DK_H5_F32 || t == DK_H5_F64) && (kind == DK_JSON_REAL || kind == DK_JSON_INT)) {
        const double twice = dk_json_num(value, 0);
        const float once = (float)twice;

        memcpy(raw, t == DK_H5_F64 ? (const void *)&twice : &once, dk_h5_type_size(t));
        dk_h5_stream_put_attr(f, obj, name, t, dk_h5_type_size(t), raw);
    } else if (t >= DK_H5_U8 && t <= DK_H5_I64 && kind == DK_JSON_INT) {
        const int64_t whole = dk_json_int(value, 0);

        for (int i = 0; i < 8; i++)
            raw[i] = (uint8_t)((uint64_t)whole >> 8 * i);
        dk_h5_stream_put_attr(f, obj, name, t, dk_h5_type_size(t), raw);
    } else
        return damaged(f, "an attribute has no value of its type", err);
    return 0;
}

static int take_attrs(dk_h5 *f, const char *obj, const dk_json *list, dk_err *err)
{
    int rc = 0;

    for (size_t i = 0; rc == 0 && i < dk_json_len(list); i++)
        rc = take_attr(f, obj, dk_json_at(list, i), 0, err);
    return rc;
}

static int take_shape(dk_h5 *f, dk_h5_data *d, const dk_json *v, dk_err *err)
{
    const dk_json *shape = dk_json_get(v, "shape");
    uint64_t bytes;

    d->type = type_named(dk_json_str(dk_json_get(v, "type"), ""));
    d->rank = (int)dk_json_len(shape);
    d->item = d->type == DK_H5_STR ? (size_t)dk_json_int(dk_json_get(v, "bytes"), 0) : dk_h5_type_size(d->type);
    if (d->type == DK_H5_NONE || d->item == 0 || d->item > DK_H5_MAX_STR ||
        dk_json_len(shape) < 1 || dk_json_len(shape) > DK_H5_MAX_RANK)
        return damaged(f, "a dataset of no known type or shape", err);
    bytes = d->item;
    for (int i = d->rank - 1; i >= 0; i--) {
        const int64_t n = dk_json_int(dk_json_at(shape, (size_t)i), -1);

        if (n < 0 || (i && n == 0) || n > (int64_t)1 << 40 || (i && __builtin_mul_overflow(bytes, (uint64_t)n, &bytes)) ||
            bytes > DK_FRAME_ROWS)
            return damaged(f, "a dataset of absurd size", err);
        d->dim[i] = (uint64_t)n;
    }
    return 0;
}

/* A group, or with shapes a dataset. */
static int take_object(dk_h5 *f, const dk_json *v, dk_h5_kind kind, dk_err *err)
{
    const char *path = dk_json_str(dk_json_get(v, "path"), "");
    const bool root = kind == DK_H5_GROUP && strcmp(path, "/") == 0;
    size_t i;
    int rc;

    if ((!root && !good_path(path)) || f->n == DK_H5_MAX_OBJECTS)
        return damaged(f, "an object without a usable name", err);
    if (!root) {
        i = dk_h5_add_object(f, path, kind);
        if (kind == DK_H5_DATASET) {
            f->open[i].held = dk_xcalloc(1, sizeof *f->open[i].held);
            f->open[i].held->number = f->stream->n_sets++;
            f->open[i].held->sum = dk_h5_long(path) ? dk_sha256_new() : NULL;
            if ((rc = take_shape(f, &f->obj[i].data, v, err)) < 0)
                return rc;
        }
    }
    return take_attrs(f, path, dk_json_get(v, "attributes"), err);
}

static int check_objects(dk_h5 *f, dk_err *err)
{
    int rc = 0;

    dk_h5_sort_objects(f);
    for (size_t i = 0; i + 1 < f->n; i++)
        if (strcmp(f->obj[i].path, f->obj[i + 1].path) == 0)
            return damaged(f, "two objects have one name", err);
    f->stream->set = dk_xcalloc(f->stream->n_sets + 1, sizeof *f->stream->set);
    for (size_t i = 0; rc == 0 && i < f->n; i++)
        if (f->obj[i].kind == DK_H5_DATASET) {
            f->stream->set[f->open[i].held->number] = i;
            rc = dk_h5_clip(f, f->obj[i].path, &f->obj[i].data, err);
        }
    return rc;
}

static int take_head(dk_h5 *f, const dk_json *head, dk_err *err)
{
    const dk_json *groups = dk_json_get(head, "groups"), *sets = dk_json_get(head, "datasets");
    const uint8_t one = 1;
    int rc = 0;

    if (dk_json_len(sets) >= DK_FRAME_END)
        return damaged(f, "too many datasets", err);
    for (size_t i = 0; rc == 0 && i < dk_json_len(groups); i++)
        rc = take_object(f, dk_json_at(groups, i), DK_H5_GROUP, err);
    for (size_t i = 0; rc == 0 && i < dk_json_len(sets); i++)
        rc = take_object(f, dk_json_at(sets, i), DK_H5_DATASET, err);
    /* A stream is complete when its end has come. */
    if (rc == 0 && !dk_h5_stream_attr(f, "/", "complete"))
        dk_h5_stream_put_attr(f, "/", "complete", DK_H5_U8, 1, &one);
    return rc;
}

int dk_h5_source_open(dk_h5 *f, FILE *in, dk_err *err)
{
    const uint8_t *p;
    dk_json *head = NULL;
    size_t n;
    int rc;

    f->stream = dk_xcalloc(1, sizeof *f->stream);
    f->stream->heads = dk_sha256_new();
    if ((rc = dk_frames_in_new(&f->stream->from, in, f->path, err)) < 0 ||
        (rc = dk_frames_get(f->stream->from, DK_FRAME_TEXT, &p, &n, err)) < 0)
        return rc;
    dk_sha256_add(f->stream->heads, p, n);
    if (dk_json_parse(&head, (const char *)p, n, f->path, NULL) < 0)
        return damaged(f, "its head is no JSON", err);
    rc = take_head(f, head, err);
    dk_json_free(&head);
    return rc;
}

int dk_h5_source_check(dk_h5 *f, dk_err *err) { return check_objects(f, err); }

/* --- rows ------------------------------------------------------------------------ */
static int take_rows(dk_h5 *f, const dk_frame *h, const uint8_t *rows, dk_err *err)
{
    const size_t i = h->set < f->stream->n_sets ? f->stream->set[h->set] : SIZE_MAX;
    const dk_h5_data *d = i == SIZE_MAX ? NULL : &f->obj[i].data;
    struct dk_h5_held *held = d ? f->open[i].held : NULL;

    if (!d || h->rows == 0 || h->bytes != h->rows * (uint64_t)dk_h5_row_items(d) * d->item ||
        h->first != held->rows || h->rows > d->dim[0] - held->rows)
        return damaged(f, "rows that do not follow those before", err);
    if (held->sum)
        dk_sha256_add(held->sum, rows, h->bytes);
    if (held->sum && f->stream->discard)
        held->base = held->rows + h->rows;
    else
        dk_buf_add(&held->bytes, rows, h->bytes);
    held->rows += h->rows;
    return 0;
}

static int take_end(dk_h5 *f, const dk_json *end, dk_err *err)
{
    const dk_json *late = dk_json_get(end, "attributes"), *rows = dk_json_get(end, "rows");
    const char *id = dk_json_str(dk_json_get(end, "content_id"), "");
    char hex[65], got[DK_CONTENT_ID_LEN];
    int rc = 0;

    dk_sha256_hex(f->stream->heads, hex);
    if (strcmp(hex, dk_json_str(dk_json_get(end, "heads_sha256"), "")) != 0)
        return damaged(f, "frames were changed, lost or added", err);
    for (size_t i = 0; i < f->n; i++)
        if (f->obj[i].kind == DK_H5_DATASET &&
            (f->open[i].held->rows != f->obj[i].data.dim[0] ||
             dk_json_int(dk_json_get(rows, f->obj[i].path), -1) != (int64_t)f->obj[i].data.dim[0]))
            return damaged(f, "rows are missing", err);
    for (size_t i = 0; rc == 0 && i < dk_json_len(late); i++) {
        const dk_json *a = dk_json_at(late, i);

        rc = take_attr(f, dk_json_str(dk_json_at(a, 0), ""), a, 1, err);
    }
    if (rc < 0 || (rc = dk_frames_done(f->stream->from, err)) < 0 ||
        (rc = dk_h5_content_id(f, got, NULL, err)) < 0)
        return rc;
    if (strcmp(got, id) != 0)
        return damaged(f, "the values do not have its content id", err);
    dk_free(f->root.content_id);
    f->root.content_id = dk_xstrdup(id);
    return 0;
}

/* One frame more. */
static int pull(dk_h5 *f, dk_err *err)
{
    const uint8_t *p;
    dk_json *end = NULL;
    dk_frame h;
    size_t n;
    int rc;

    if (f->stream->ended)
        return damaged(f, "rows are missing", err);
    if ((rc = dk_frames_get(f->stream->from, DK_FRAME_TEXT + DK_FRAME_HEAD, &p, &n, err)) < 0)
        return rc;
    if (n < DK_FRAME_HEAD)
        return damaged(f, "a frame without its head", err);
    h = dk_frame_unpack(p);
    if (h.bytes != n - DK_FRAME_HEAD || (h.set != DK_FRAME_END && h.bytes > DK_FRAME_ROWS))
        return damaged(f, "a frame of another length than its head says", err);
    if (h.set != DK_FRAME_END) {
        dk_sha256_add(f->stream->heads, p, DK_FRAME_HEAD);
        return take_rows(f, &h, p + DK_FRAME_HEAD, err);
    }
    f->stream->ended = true;
    if (dk_json_parse(&end, (const char *)p + DK_FRAME_HEAD, n - DK_FRAME_HEAD, f->path, NULL) < 0)
        return damaged(f, "its end is no JSON", err);
    rc = take_end(f, end, err);
    dk_json_free(&end);
    return rc;
}

int dk_h5_source_read(dk_h5 *f, size_t i, uint64_t first, uint64_t n, void *out, dk_err *err)
{
    const size_t row = dk_h5_row_items(&f->obj[i].data) * f->obj[i].data.item;
    struct dk_h5_held *h = f->open[i].held;
    int rc;

    while (h->rows < first + n)
        if ((rc = pull(f, err)) < 0)
            return rc;
    if (first < h->base)
        return dk_fail(err, DK_EDATA, "%s: rows %" PRIu64 " of %s have passed", f->path, first, f->obj[i].path);
    if (n && row)
        memcpy(out, h->bytes.s + (first - h->base) * row, n * row);
    return 0;
}

int dk_h5_source_finish(dk_h5 *f, dk_err *err)
{
    int rc = 0;

    f->stream->discard = true;
    while (rc == 0 && !f->stream->ended)
        rc = pull(f, err);
    return rc;
}

void dk_h5_drop(dk_h5 *f, const char *path, uint64_t row)
{
    for (size_t i = 0; f->stream && i < f->n; i++) {
        struct dk_h5_held *h = f->open[i].held;
        size_t gone;

        if (!h || !h->sum || strcmp(f->obj[i].path, path) != 0 || row <= h->base)
            continue;
        gone = (row < h->rows ? row : h->rows) - h->base;
        /* Moving what stays costs as much as what goes: at least as much must go. */
        if (2 * gone < h->rows - h->base)
            continue;
        gone *= dk_h5_row_items(&f->obj[i].data) * f->obj[i].data.item;
        if (gone)
            memmove(h->bytes.s, h->bytes.s + gone, h->bytes.n - gone);
        h->bytes.n -= gone;
        h->base = row < h->rows ? row : h->rows;
    }
}
