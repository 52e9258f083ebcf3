/* The key/value cache. */
#include "model/kvcache.h"

#include <string.h>

#include "backend/backend.h"
#include "base/mem.h"

struct dk_kv {
    size_t n_layers, n_lanes, n_seq, capacity, width;
    float *k, *v;               /* [layer][lane][slot][capacity][width] */
    size_t *length, *map;       /* [slot]; [sequence of the pass] */
};

int dk_kv_new(dk_kv **out, const dk_model_config *c, size_t n_lanes, size_t n_seq,
              size_t capacity, dk_err *err)
{
    dk_kv *kv = dk_xcalloc(1, sizeof *kv);
    dk_dev *dev = dk_device();
    size_t n;
    int rc = 0;

    *kv = (dk_kv){ .n_layers = c->n_layers, .n_lanes = n_lanes, .n_seq = n_seq,
                   .capacity = capacity, .width = c->n_kv_heads * c->head_dim };
    kv->length = dk_xcalloc(n_seq, sizeof *kv->length);
    kv->map = dk_xcalloc(n_seq, sizeof *kv->map);
    if (!dk_mul_size(&n, kv->n_layers * n_lanes, n_seq) || !dk_mul_size(&n, n, capacity) ||
        !dk_mul_size(&n, n, kv->width))
        rc = dk_fail(err, DK_ENOMEM, "the key/value cache does not fit in memory");
    if (rc == 0 && !dk_mul_size(&n, n, sizeof *kv->k))
        rc = dk_fail(err, DK_ENOMEM, "the key/value cache does not fit in memory");
    if (rc == 0)
        rc = dev->ops->alloc(dev, (void **)&kv->k, n, "the key cache", err);
    if (rc == 0)
        rc = dev->ops->alloc(dev, (void **)&kv->v, n, "the value cache", err);
    if (rc < 0)
        dk_kv_free(&kv);
    *out = kv;
    return rc;
}

void dk_kv_free(dk_kv **kv)
{
    dk_dev *dev = dk_device();

    if (!*kv)
        return;
    dev->ops->release(dev, (*kv)->k);
    dev->ops->release(dev, (*kv)->v);
    dk_free((*kv)->length);
    dk_free((*kv)->map);
    dk_free(*kv);
    *kv = NULL;
}

void dk_kv_map(dk_kv *kv, const size_t *map, size_t n)
{
    DK_ASSERT(n <= kv->n_seq);
    memcpy(kv->map, map, n * sizeof *map);
}

size_t dk_kv_length(const dk_kv *kv, size_t s) { return kv->length[kv->map[s]]; }
size_t dk_kv_capacity(const dk_kv *kv) { return kv->capacity; }
void dk_kv_grow(dk_kv *kv, size_t s, size_t n) { kv->length[kv->map[s]] += n; }

size_t dk_kv_slots(const dk_kv *kv) { return kv->n_seq; }
size_t dk_kv_slot(const dk_kv *kv, size_t s) { return kv->map[s]; }

void dk_kv_layer(const dk_kv *kv, size_t layer, float **k, float **v)
{
    const size_t at = layer * kv->n_lanes * kv->n_seq * kv->capacity * kv->width;

    *k = kv->k + at;
    *v = kv->v + at;
}

void dk_kv_spread(dk_kv *kv, size_t layers, size_t s, size_t n, bool zero)
{
    const size_t lane = kv->n_seq * kv->capacity * kv->width, bytes = n * kv->width * sizeof *kv->k;
    const size_t slot = (kv->map[s] * kv->capacity + kv->length[kv->map[s]]) * kv->width;
    dk_dev *dev = dk_device();

    for (size_t i = 0; i < layers * kv->n_lanes; i++) {
        const size_t to = i * lane + slot, from = i / kv->n_lanes * kv->n_lanes * lane + slot;

        if (to == from)
            continue;
        for (int v = 0; v < 2; v++) {
            float *cache = v ? kv->v : kv->k;

            if (zero)
                dev->ops->zero(dev, cache + to, bytes);
            else
                dev->ops->copy(dev, cache + to, cache + from, bytes);
        }
    }
}

void dk_kv_copy(dk_kv *kv, size_t from, size_t to, size_t n)
{
    const size_t each = kv->capacity * kv->width;
    dk_dev *dev = dk_device();

    DK_ASSERT(from < kv->n_seq && to < kv->n_seq && (n == 0 || n <= kv->length[from]));
    for (size_t i = 0; from != to && i < kv->n_layers * kv->n_lanes; i++) {
        const size_t a = (i * kv->n_seq + from) * each, b = (i * kv->n_seq + to) * each;

        dev->ops->copy(dev, kv->k + b, kv->k + a, n * kv->width * sizeof *kv->k);
        dev->ops->copy(dev, kv->v + b, kv->v + a, n * kv->width * sizeof *kv->v);
    }
    kv->length[to] = n;
}
