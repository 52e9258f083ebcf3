/* Keys and values of past tokens, for decoding: one slot for each sequence,
 * lane and layer, [capacity, KV hd] each, in memory of the device. */
#ifndef DK_MODEL_KVCACHE_H
#define DK_MODEL_KVCACHE_H

#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"
#include "model/config.h"

typedef struct dk_kv dk_kv;

int dk_kv_new(dk_kv **out, const dk_model_config *c, size_t n_lanes, size_t n_seq,
              size_t capacity, dk_err *err);
void dk_kv_free(dk_kv **kv);

/* The next pass has n sequences, in the slots map[0 .. n-1]. */
void dk_kv_map(dk_kv *kv, const size_t *map, size_t n);
/* Of sequence s of the pass: tokens that are there; room in all. */
size_t dk_kv_length(const dk_kv *kv, size_t s);
size_t dk_kv_capacity(const dk_kv *kv);
size_t dk_kv_slots(const dk_kv *kv);
size_t dk_kv_slot(const dk_kv *kv, size_t s);   /* of sequence s of the pass */
/* What a layer has, of the device: [lane][slot][capacity][KV hd]. */
void dk_kv_layer(const dk_kv *kv, size_t layer, float **k, float **v);
/* What lane 0 got behind the tokens that are there, n of sequence s, in the first so many
 * layers: to all lanes, or zeros. */
void dk_kv_spread(dk_kv *kv, size_t layers, size_t s, size_t n, bool zero);
/* After the pass: n tokens more are there. */
void dk_kv_grow(dk_kv *kv, size_t s, size_t n);

/* The first n tokens of slot from, in all lanes, become what slot to holds.
 * n 0 empties it. */
void dk_kv_copy(dk_kv *kv, size_t from, size_t to, size_t n);

#endif
