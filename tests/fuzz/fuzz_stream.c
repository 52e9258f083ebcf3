/* Streams, as every reader takes them.
 *
 * Bytes that begin with the magic's letters are a stream as they are, which the
 * frames' checksums guard; others are the insides of frames (u16 length and
 * bytes each), so that what lies behind the checksums is reached as well. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "io/frame.h"
#include "io/h5.h"
#include "io/h5meta.h"
#include "io/tokfile.h"

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

static void read_sets(dk_h5 *f)
{
    for (size_t i = 0; i < dk_h5_count(f); i++) {
        const dk_h5_object *o = dk_h5_at(f, i);
        uint64_t bytes = o->kind == DK_H5_DATASET ? o->data.item : 0;
        void *all = NULL;

        for (int k = 1; k < o->data.rank; k++)
            bytes *= o->data.dim[k];
        if (bytes == 0 || bytes > 1 << 20)
            continue;
        if (o->data.dim[0] < 1 << 16 && dk_h5_read_all(f, o->path, o->data.type, &all, NULL, NULL) == 0)
            dk_h5_drop(f, o->path, o->data.dim[0] / 2 + 1);
        dk_free(all);
    }
}

static void read_attrs(dk_h5 *f)
{
    int rc = 0;

    for (size_t i = 0; rc == 0; i++) {
        dk_buf name = {0}, text = {0};
        bool quoted;

        rc = dk_h5_attr_text(f, "/", i, &name, &text, &quoted, NULL);
        dk_buf_free(&name);
        dk_buf_free(&text);
    }
}

static void take(FILE *in)
{
    dk_h5 *f = NULL;
    dk_tokens t = {0};
    dk_buf lineage = {0};
    dk_err err = {0};
    int rc = dk_h5_open_stream(&f, in, "fuzz", NULL, &err);

    if (rc == 0) {
        dk_tokens_get(f, &t, NULL);
        read_attrs(f);
        read_sets(f);
        rc = dk_h5_finish(f, &err);
        dk_h5_lineage(f, "fuzz", &lineage, NULL);
    }
    if ((rc < 0) != (err.msg[0] != 0) || strchr(err.msg, '\n'))
        abort();                /* one line says why */
    dk_buf_free(&lineage);
    dk_tokens_free(&t);
    dk_h5_close(&f);
}

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
    char *text = NULL;
    size_t size = 0;
    FILE *f;

    if (n > 6 && memcmp(p, "DKSTRM", 6) == 0) {
        f = fmemopen((void *)p, n, "r");
    } else {
        FILE *out = open_memstream(&text, &size);
        dk_frames_out *o = dk_frames_out_new(out);

        for (size_t len; n >= 2; p += len, n -= len) {
            len = (size_t)p[0] | (size_t)p[1] << 8;
            p += 2;
            n -= 2;
            len = len < n ? len : n;
            if (len && dk_frames_put(o, p, len, NULL, 0, NULL) < 0)
                abort();
        }
        dk_frames_out_free(&o);
        fclose(out);
        f = fmemopen(text, size, "r");
    }
    take(f);
    fclose(f);
    free(text);
    return 0;
}
