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

int dk_st_write(const char *path, const dk_st_out *t, size_t n, const char *const *meta, dk_err *err)
{
    dk_outfile *o = NULL;
    dk_buf head = {0};
    FILE *f = NULL;
    uint64_t len;
    int rc = dk_outfile_new(&o, path, err);

    if (rc == 0)
        rc = dk_outfile_stream(o, &f, err);
    put_header(&head, t, n, meta);
    len = head.n;
    if (rc == 0 && (fwrite(&len, sizeof len, 1, f) != 1 || fwrite(head.s, 1, head.n, f) != head.n))
        rc = dk_fail_errno(err, "cannot write %s", path);
    for (size_t i = 0; rc == 0 && i < n; i++)
        if (fwrite(t[i].data, sizeof(float), elements(&t[i]), f) != elements(&t[i]))
            rc = dk_fail_errno(err, "cannot write %s", path);
    dk_buf_free(&head);
    if (rc == 0)
        return dk_outfile_commit(&o, err);
    dk_outfile_abandon(&o);
    return rc;
}
