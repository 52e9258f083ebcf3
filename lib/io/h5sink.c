/* Writing a dk_h5 as a stream on standard output.
 *
 * The head names every object, so it waits until all are there (dk_h5_begin);
 * what was written before is held back and follows it. */
#include <inttypes.h>
#include <string.h>
#include <unistd.h>

#include "io/h5stream.h"
#include "io/json.h"

int dk_h5_sink_open(dk_h5 *f, dk_err *err)
{
    FILE *out;
    int rc;

    f->stream = dk_xcalloc(1, sizeof *f->stream);
    if ((rc = dk_outfile_new(&f->out, "-", err)) < 0 || (rc = dk_outfile_stream(f->out, &out, err)) < 0)
        return rc;
    f->stream->to = dk_frames_out_new(out);
    f->stream->heads = dk_sha256_new();
    return 0;
}

static size_t find(const dk_h5 *f, const char *path)
{
    size_t i = 0;

    while (i < f->n && strcmp(f->obj[i].path, path) != 0)
        i++;
    return i;
}

void dk_h5_sink_group(dk_h5 *f, const char *path)
{
    if (path[0] == '/' && path[1] && find(f, path) == f->n) {
        DK_ASSERT(!f->stream->begun);
        dk_h5_add_object(f, path, DK_H5_GROUP);
    }
}

int dk_h5_sink_dataset(dk_h5 *f, const char *path, const dk_h5_data *d, dk_err *err)
{
    const size_t row = dk_h5_row_items(d) * d->item;
    struct dk_h5_held *h;
    size_t i, sets = 0;

    DK_ASSERT(!f->stream->begun);
    for (size_t k = 0; k < f->n; k++)
        sets += f->obj[k].kind == DK_H5_DATASET;
    if (row == 0 || row > DK_FRAME_ROWS || sets >= DK_FRAME_END)
        return dk_fail(err, DK_EDATA, "%s: %s has rows too wide, or is one too many, for a stream; name a file",
                       f->path, path);
    i = dk_h5_add_object(f, path, DK_H5_DATASET);
    f->obj[i].data = *d;
    f->open[i].held = h = dk_xcalloc(1, sizeof *h);
    h->number = sets;
    h->sum = dk_h5_long(path) ? dk_sha256_new() : NULL;
    return 0;
}

/* Rows of dataset i as frames. */
static int send(dk_h5 *f, size_t i, uint64_t first, const uint8_t *rows, uint64_t n, dk_err *err)
{
    const size_t row = dk_h5_row_items(&f->obj[i].data) * f->obj[i].data.item;
    uint64_t take;
    int rc = 0;

    for (; rc == 0 && n; n -= take, first += take, rows += take * row) {
        dk_frame h = { .set = (uint32_t)f->open[i].held->number, .first = first };
        uint8_t head[DK_FRAME_HEAD];

        take = n < DK_FRAME_ROWS / row ? n : DK_FRAME_ROWS / row;
        h.rows = (uint32_t)take;
        h.bytes = (uint32_t)(take * row);
        dk_frame_pack(head, &h);
        dk_sha256_add(f->stream->heads, head, sizeof head);
        rc = dk_frames_put(f->stream->to, head, sizeof head, rows, h.bytes, err);
    }
    return rc;
}

int dk_h5_sink_append(dk_h5 *f, size_t i, const void *rows, uint64_t n, dk_err *err)
{
    struct dk_h5_held *h = f->open[i].held;
    const size_t bytes = n * dk_h5_row_items(&f->obj[i].data) * f->obj[i].data.item;
    int rc = 0;

    if (h->sum)
        dk_sha256_add(h->sum, rows, bytes);
    if (!f->stream->begun || !h->sum)
        dk_buf_add(&h->bytes, rows, bytes);
    if (f->stream->begun)
        rc = send(f, i, h->rows, rows, n, err);
    h->rows += n;
    f->obj[i].data.dim[0] = h->rows;
    return rc;
}

/* --- the head --------------------------------------------------------------- */
static void put_value(dk_jw *w, const dk_h5_attr *a)
{
    char *type = a->type == DK_H5_STR ? dk_xstrdup("str") : dk_xstrdup(dk_h5_type_name(a->type));

    dk_jw_str(w, a->name);
    dk_jw_str(w, type);
    dk_free(type);
    if (a->type == DK_H5_STR)
        dk_jw_str(w, (const char *)a->value);
    else if (a->type == DK_H5_F32 || a->type == DK_H5_F64)
        dk_jw_num(w, dk_h5_attr_real(a->type, a->value));
    else
        dk_jw_int(w, dk_h5_attr_int(a->type, a->value));
}

static void put_attrs(dk_jw *w, const dk_h5 *f, const char *obj)
{
    dk_jw_key(w, "attributes");
    dk_jw_arr_begin(w);
    for (size_t i = 0; i < f->stream->n; i++)
        if (strcmp(f->stream->attr[i].obj, obj) == 0) {
            dk_jw_arr_begin(w);
            put_value(w, &f->stream->attr[i]);
            dk_jw_arr_end(w);
        }
    dk_jw_arr_end(w);
}

static void put_group(dk_jw *w, const dk_h5 *f, const char *path)
{
    dk_jw_obj_begin(w);
    dk_jw_key(w, "path"); dk_jw_str(w, path);
    put_attrs(w, f, path);
    dk_jw_obj_end(w);
}

static void put_set(dk_jw *w, const dk_h5 *f, size_t i)
{
    const dk_h5_data *d = &f->obj[i].data;
    const struct dk_h5_held *h = f->open[i].held;

    dk_jw_obj_begin(w);
    dk_jw_key(w, "path"); dk_jw_str(w, f->obj[i].path);
    dk_jw_key(w, "type"); dk_jw_str(w, dk_h5_type_name(d->type));
    if (d->type == DK_H5_STR) {
        dk_jw_key(w, "bytes");
        dk_jw_u64(w, d->item);
    }
    dk_jw_key(w, "shape");
    dk_jw_arr_begin(w);
    dk_jw_u64(w, h->declared > h->rows ? h->declared : h->rows);
    for (int k = 1; k < d->rank; k++)
        dk_jw_u64(w, d->dim[k]);
    dk_jw_arr_end(w);
    put_attrs(w, f, f->obj[i].path);
    dk_jw_obj_end(w);
}

static void put_head(dk_buf *out, const dk_h5 *f)
{
    dk_jw w = { .out = out };

    dk_jw_obj_begin(&w);
    dk_jw_key(&w, "groups");
    dk_jw_arr_begin(&w);
    put_group(&w, f, "/");
    for (size_t i = 0; i < f->n; i++)
        if (f->obj[i].kind == DK_H5_GROUP)
            put_group(&w, f, f->obj[i].path);
    dk_jw_arr_end(&w);
    dk_jw_key(&w, "datasets");
    dk_jw_arr_begin(&w);
    for (size_t i = 0; i < f->n; i++)
        if (f->obj[i].kind == DK_H5_DATASET)
            put_set(&w, f, i);
    dk_jw_arr_end(&w);
    dk_jw_obj_end(&w);
}

int dk_h5_sink_begin(dk_h5 *f, uint64_t rows, uint64_t docs, dk_err *err)
{
    dk_buf head = {0};
    int rc;

    DK_ASSERT(!f->stream->begun);
    if ((rc = dk_h5_put_int(f, "/", "rows", DK_H5_U64, (int64_t)rows, err)) < 0 ||
        (rc = dk_h5_put_int(f, "/", "docs", DK_H5_U64, (int64_t)docs, err)) < 0)
        return rc;
    put_head(&head, f);
    dk_sha256_add(f->stream->heads, head.s, head.n);
    rc = head.n > DK_FRAME_TEXT ? dk_fail(err, DK_EDATA, "%s: too many datasets for a stream; name a file", f->path)
                                : dk_frames_put(f->stream->to, head.s, head.n, NULL, 0, err);
    dk_buf_free(&head);
    f->stream->begun = true;
    for (size_t i = 0; rc == 0 && i < f->n; i++)
        if (f->obj[i].kind == DK_H5_DATASET) {
            struct dk_h5_held *h = f->open[i].held;

            rc = send(f, i, 0, (const uint8_t *)h->bytes.s, h->rows, err);
            if (h->sum)
                dk_buf_free(&h->bytes);
        }
    return rc;
}

/* --- the end ------------------------------------------------------------------ */
static void put_late(dk_jw *w, const dk_h5 *f)
{
    dk_jw_key(w, "attributes");
    dk_jw_arr_begin(w);
    for (size_t i = 0; i < f->stream->n; i++)
        if (f->stream->attr[i].late) {
            dk_jw_arr_begin(w);
            dk_jw_str(w, f->stream->attr[i].obj);
            put_value(w, &f->stream->attr[i]);
            dk_jw_arr_end(w);
        }
    dk_jw_arr_end(w);
}

static void put_end(dk_buf *out, dk_h5 *f, const char *id)
{
    dk_jw w = { .out = out };
    char hex[65];

    dk_jw_obj_begin(&w);
    put_late(&w, f);
    dk_jw_key(&w, "rows");
    dk_jw_obj_begin(&w);
    for (size_t i = 0; i < f->n; i++)
        if (f->obj[i].kind == DK_H5_DATASET) {
            dk_jw_key(&w, f->obj[i].path);
            dk_jw_u64(&w, f->open[i].held->rows);
        }
    dk_jw_obj_end(&w);
    dk_sha256_hex(f->stream->heads, hex);
    dk_jw_key(&w, "content_id"); dk_jw_str(&w, id);
    dk_jw_key(&w, "heads_sha256"); dk_jw_str(&w, hex);
    dk_jw_obj_end(&w);
}

int dk_h5_sink_commit(dk_h5 *f, char id[DK_CONTENT_ID_LEN], dk_err *err)
{
    dk_frame last = { .set = DK_FRAME_END };
    uint8_t head[DK_FRAME_HEAD];
    dk_buf text = {0};
    int rc;

    dk_h5_sort_objects(f);
    for (size_t i = 0; i < f->n; i++)
        if (f->obj[i].kind == DK_H5_DATASET && f->open[i].held->declared > f->open[i].held->rows)
            return dk_fail(err, DK_EDATA, "%s: %s misses rows", f->path, f->obj[i].path);
    if ((rc = dk_h5_content_id(f, id, NULL, err)) < 0)
        return rc;
    put_end(&text, f, id);
    last.bytes = (uint32_t)text.n;
    dk_frame_pack(head, &last);
    rc = dk_frames_put(f->stream->to, head, sizeof head, text.s, text.n, err);
    dk_buf_free(&text);
    return rc;
}
