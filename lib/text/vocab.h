/* The vocabulary of a BPE model: spellings by id, ids by spelling, and which
 * two neighbours merge into what. */
#ifndef DK_TEXT_VOCAB_H
#define DK_TEXT_VOCAB_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/err.h"
#include "text/back.h"
#include "text/tokspec.h"

typedef struct dk_merge { uint64_t pair; uint32_t rank, id; } dk_merge;     /* id DK_NO_ID: empty */

typedef struct dk_vocab {
    size_t n;
    char *text;                     /* all spellings, then all bytes */
    size_t *spell_at, *bytes_at;    /* [n + 1] */
    bool *exists, *outside;         /* [n]; outside: no token of the model */
    uint32_t *names;                /* spelling -> id, open addressing */
    size_t names_mask;
    dk_merge *merges;               /* pair -> rank, id */
    size_t merges_mask;
    size_t longest;                 /* bytes of the longest spelling */
} dk_vocab;

/* back gives the bytes of spellings. */
int dk_vocab_load(dk_vocab *v, const dk_tokenizer_spec *spec, const dk_back *back, dk_err *err);
void dk_vocab_free(dk_vocab *v);

/* Id of a spelling, DK_NO_ID if there is none; the second: if the model has it. */
uint32_t dk_vocab_find(const dk_vocab *v, const char *s, size_t n);
uint32_t dk_vocab_symbol(const dk_vocab *v, const char *s, size_t n);
/* Borrowed; {NULL, 0} for an id without token. */
dk_span dk_vocab_spelling(const dk_vocab *v, uint32_t id);
dk_span dk_vocab_bytes(const dk_vocab *v, uint32_t id);

/* --- hashing, here because both sides of BPE live from it ----------------- */

static inline uint64_t dk_rd8(const char *p) { uint64_t v; memcpy(&v, p, 8); return v; }
static inline uint64_t dk_rd4(const char *p) { uint32_t v; memcpy(&v, p, 4); return v; }

static inline uint64_t dk_fold(uint64_t a, uint64_t b)
{
    const unsigned __int128 p = (unsigned __int128)a * b;

    return (uint64_t)p ^ (uint64_t)(p >> 64);
}

/* Reads the ends of the text, which overlap when it is short, so that no tail
 * loop is needed. */
static inline uint64_t dk_hash_bytes(const char *p, size_t n)
{
    uint64_t h = 0x9E3779B97F4A7C15u ^ n, a, b;

    for (; n > 16; p += 16, n -= 16)
        h = dk_fold(dk_rd8(p) ^ 0xA0761D6478BD642Fu, dk_rd8(p + 8) ^ h);
    if (n >= 8) {
        a = dk_rd8(p);
        b = dk_rd8(p + n - 8);
    } else if (n >= 4) {
        a = dk_rd4(p);
        b = dk_rd4(p + n - 4);
    } else {
        a = n ? (uint64_t)(uint8_t)p[0] << 16 | (uint64_t)(uint8_t)p[n / 2] << 8
              | (uint8_t)p[n - 1] : 0;
        b = 0;
    }
    return dk_fold(a ^ 0xE7037ED1A0B428DBu, b ^ h);
}

static inline size_t dk_merge_slot(const dk_vocab *v, uint64_t pair)
{
    size_t i = dk_fold(pair ^ 0xA0761D6478BD642Fu, 0x9E3779B97F4A7C15u) & v->merges_mask;

    while (v->merges[i].id != DK_NO_ID && v->merges[i].pair != pair)
        i = (i + 1) & v->merges_mask;
    return i;
}

static inline const dk_merge *dk_vocab_merge(const dk_vocab *v, uint32_t left, uint32_t right)
{
    const dk_merge *m = &v->merges[dk_merge_slot(v, (uint64_t)left << 32 | right)];

    return m->id == DK_NO_ID ? NULL : m;
}

#endif
