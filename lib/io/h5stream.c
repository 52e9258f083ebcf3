/* What both ends of a stream share: attributes, sums, release. */
#include "io/h5stream.h"

#include <string.h>

bool dk_h5_long(const char *path) { return strncmp(path, "/acts/", 6) == 0; }

dk_h5_attr *dk_h5_stream_attr(const dk_h5 *f, const char *obj, const char *name)
{
    for (size_t i = 0; i < f->stream->n; i++)
        if (strcmp(f->stream->attr[i].name, name) == 0 && strcmp(f->stream->attr[i].obj, obj) == 0)
            return &f->stream->attr[i];
    return NULL;
}

const dk_h5_attr *dk_h5_stream_attr_at(const dk_h5 *f, const char *obj, size_t i)
{
    const dk_h5_attr *last = NULL;

    for (size_t k = 0; k <= i; k++) {
        const dk_h5_attr *next = NULL;

        for (size_t j = 0; j < f->stream->n; j++) {
            const dk_h5_attr *a = &f->stream->attr[j];

            if (strcmp(a->obj, obj) == 0 && (!last || strcmp(a->name, last->name) > 0) &&
                (!next || strcmp(a->name, next->name) < 0))
                next = a;
        }
        if (!next)
            return NULL;
        last = next;
    }
    return last;
}

void dk_h5_stream_put_attr(dk_h5 *f, const char *obj, const char *name, dk_h5_type t, size_t item,
                           const void *value)
{
    struct dk_h5_stream *s = f->stream;
    dk_h5_attr *a;

    if (s->n == s->cap) {
        s->cap = s->cap ? 2 * s->cap : 64;
        s->attr = dk_xrealloc(s->attr, s->cap * sizeof *s->attr);
    }
    a = &s->attr[s->n++];
    *a = (dk_h5_attr){ dk_xstrdup(obj), dk_xstrdup(name), t, item, dk_xcalloc(item + 1, 1), s->begun };
    memcpy(a->value, value, item);
}

void dk_h5_held_free(struct dk_h5_held **hp)
{
    if (!*hp)
        return;
    dk_buf_free(&(*hp)->bytes);
    dk_sha256_free(&(*hp)->sum);
    dk_free(*hp);
    *hp = NULL;
}

void dk_h5_stream_free(dk_h5 *f)
{
    struct dk_h5_stream *s = f->stream;

    if (!s)
        return;
    for (size_t i = 0; i < s->n; i++) {
        dk_free(s->attr[i].obj);
        dk_free(s->attr[i].name);
        dk_free(s->attr[i].value);
    }
    dk_free(s->attr);
    dk_sha256_free(&s->heads);
    dk_frames_out_free(&s->to);
    dk_frames_in_free(&s->from);
    dk_free(s->set);
    dk_free(s);
    f->stream = NULL;
}

const uint8_t *dk_h5_stream_sum(dk_h5 *f, const char *path)
{
    for (size_t i = 0; i < f->n; i++)
        if (strcmp(f->obj[i].path, path) == 0) {
            struct dk_h5_held *h = f->open[i].held;

            if (h->sum)
                dk_sha256_raw(h->sum, h->digest);
            dk_sha256_free(&h->sum);
            return h->digest;
        }
    return NULL;
}
