/* safetensors: u64 header length, a JSON header, then the data. */
#include "io/stwrite.h"

#include <stdint.h>
#include <stdio.h>

#include "base/mem.h"
#include "base/outfile.h"
#include "io/json.h"

static size_t elements(const dk_st_out *t)
{
    size_t n = 1;

    for (unsigned i = 0; i < t->n_dims; i++)
        n *= t->dims[i];
    return n;
}

static void put_header(dk_buf *head, const dk_st_out *t, size_t n, const char *const *meta)
{
    dk_jw w = { .out = head };
    size_t at = 0;

    dk_jw_obj_begin(&w);
    dk_jw_key(&w, "__metadata__");
    dk_jw_obj_begin(&w);
    dk_jw_key(&w, "format"); dk_jw_str(&w, "pt");
    for (; meta && meta[0]; meta += 2) {
        dk_jw_key(&w, meta[0]);
        dk_jw_str(&w, meta[1]);
    }
    dk_jw_obj_end(&w);
    for (size_t i = 0; i < n; i++) {
        dk_jw_key(&w, t[i].name);
        dk_jw_obj_begin(&w);
        dk_jw_key(&w, "dtype"); dk_jw_str(&w, "F32");
        dk_jw_key(&w, "shape");
        dk_jw_arr_begin(&w);
        for (unsigned k = 0; k < t[i].n_dims; k++)
            dk_jw_u64(&w, t[i].dims[k]);
        dk_jw_arr_end(&w);
        dk_jw_key(&w, "data_offsets");
        dk_jw_arr_begin(&w);
        dk_jw_u64(&w, at);
        at += elements(&t[i]) * sizeof(float);
        dk_jw_u64(&w, at);
        dk_jw_arr_end(&w);
        dk_jw_obj_end(&w);
    }
    dk_jw_obj_end(&w);
    while (head->n % 8)
        dk_buf_addc(head, ' ');
}

struct dk_st_writer { dk_outfile *o; FILE *f; char *path; size_t left; };

int dk_st_begin(dk_st_writer **out, const char *path, const dk_st_out *t, size_t n, const char *const *meta, dk_err *err)
{
    dk_st_writer *w = dk_xcalloc(1, sizeof *w);
    dk_buf head = {0};
    uint64_t len;
    int rc = dk_outfile_new(&w->o, path, err);

    w->path = dk_xstrdup(path);
    if (rc == 0)
        rc = dk_outfile_stream(w->o, &w->f, err);
    put_header(&head, t, n, meta);
    for (size_t i = 0; i < n; i++)
        w->left += elements(&t[i]);
    len = head.n;
    if (rc == 0 && (fwrite(&len, sizeof len, 1, w->f) != 1 || fwrite(head.s, 1, head.n, w->f) != head.n))
        rc = dk_fail_errno(err, "cannot write %s", path);
    dk_buf_free(&head);
    *out = w;
    if (rc < 0)
        dk_st_abandon(out);
    return rc;
}

int dk_st_put(dk_st_writer *w, const float *x, size_t n, dk_err *err)
{
    DK_ASSERT(n <= w->left);
    w->left -= n;
    return fwrite(x, sizeof *x, n, w->f) == n ? 0 : dk_fail_errno(err, "cannot write %s", w->path);
}

int dk_st_commit(dk_st_writer **wp, dk_err *err)
{
    int rc;

    DK_ASSERT((*wp)->left == 0);
    rc = dk_outfile_commit(&(*wp)->o, err);
    dk_st_abandon(wp);
    return rc;
}

void dk_st_abandon(dk_st_writer **wp)
{
    if (!*wp)
        return;
    dk_outfile_abandon(&(*wp)->o);
    dk_free((*wp)->path);
    dk_free(*wp);
    *wp = NULL;
}

int dk_st_write(const char *path, const dk_st_out *t, size_t n, const char *const *meta, dk_err *err)
{
    dk_st_writer *w = NULL;
    int rc = dk_st_begin(&w, path, t, n, meta, err);

    for (size_t i = 0; rc == 0 && i < n; i++)
        rc = dk_st_put(w, t[i].data, elements(&t[i]), err);
    if (rc == 0)
        return dk_st_commit(&w, err);
    dk_st_abandon(&w);
    return rc;
}
