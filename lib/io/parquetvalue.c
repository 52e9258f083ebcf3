#include "io/parquetvalue.h"

#include <string.h>

#include "io/thrift.h"

enum { PLAIN = 0, PLAIN_DICTIONARY = 2, RLE = 3, DELTA = 5, DELTA_LENGTH = 6, DELTA_TEXT = 7, RLE_DICTIONARY = 8 };

static const char ended[] = "its values end too early", damaged[] = "its values are damaged";

enum { MAX_TEXT = 1 << 28 };            /* bytes of one value */

/* The width bits at bit of p, least significant first; the caller knows that
 * they are there. */
static uint64_t bits(const uint8_t *p, uint64_t bit, int width)
{
    uint64_t v = 0;
    int got = 0;

    p += bit / 8;
    for (int shift = (int)(bit % 8); got < width; shift = 0) {
        v |= (uint64_t)(*p++ >> shift) << got;
        got += 8 - shift;
    }
    return width == 64 ? v : v & ((UINT64_C(1) << width) - 1);
}

/* ---- runs -------------------------------------------------------------- */

void dk_pq_runs_begin(dk_pq_runs *r, const uint8_t *p, size_t n, int width)
{
    *r = (dk_pq_runs){ .p = p, .end = p + n, .width = width };
}

static bool next_run(dk_pq_runs *r)
{
    const size_t bytes = (size_t)(r->width + 7) / 8;
    dk_thrift t;
    uint64_t head;

    if (r->packed)                      /* the last one may be cut behind the values that count */
        r->p += r->at * (uint64_t)r->width / 8;
    t = (dk_thrift){ r->p, r->end, false };
    head = dk_thrift_varint(&t);
    r->p = t.p;
    r->packed = head & 1;
    r->at = 0;
    r->left = head >> 1;
    if (t.bad || r->left > UINT32_MAX)
        return false;
    if (r->packed) {
        r->left *= 8;
        return true;
    }
    if ((size_t)(r->end - r->p) < bytes)
        return false;
    r->value = 0;
    for (size_t i = 0; i < bytes; i++)
        r->value |= (uint32_t)*r->p++ << 8 * i;
    return true;
}

bool dk_pq_runs_next(dk_pq_runs *r, uint32_t *v)
{
    while (r->left == 0)
        if (!next_run(r)) {
            r->p = r->end;
            r->packed = false;
            return false;
        }
    if (r->packed) {
        const uint64_t bit = r->at * (uint64_t)r->width;

        if ((bit + (uint64_t)r->width + 7) / 8 > (uint64_t)(r->end - r->p))
            return false;
        r->value = (uint32_t)bits(r->p, bit, r->width);
    }
    r->at++;
    r->left--;
    *v = r->value;
    return true;
}

/* ---- differences ------------------------------------------------------- */

/* The next block: its least difference and the widths of its parts. */
static bool next_block(dk_pq_delta *d)
{
    dk_thrift t = { d->p, d->end, false };

    d->least = (uint64_t)dk_thrift_zigzag(&t);
    if (t.bad || d->minis > (uint64_t)(t.end - t.p))
        return false;
    d->widths = t.p;
    d->p = t.p + d->minis;
    d->mini = 0;
    return true;
}

/* The next part of a block that holds values: d->p is where its bits begin. */
static bool next_mini(dk_pq_delta *d)
{
    if (d->mini == d->minis && !next_block(d))
        return false;
    d->width = d->widths[d->mini++];
    d->at = 0;
    return d->width <= 64;
}

static uint64_t mini_bytes(const dk_pq_delta *d) { return d->per_mini * (uint64_t)d->width / 8; }

bool dk_pq_delta_begin(dk_pq_delta *d, const uint8_t *p, size_t n)
{
    dk_thrift t = { p, p + n, false };
    uint64_t block;

    *d = (dk_pq_delta){ .end = p + n, .first = true };
    block = dk_thrift_varint(&t);
    d->minis = dk_thrift_varint(&t);
    d->left = dk_thrift_varint(&t);
    d->value = (uint64_t)dk_thrift_zigzag(&t);
    d->p = t.p;
    d->mini = d->minis;
    if (t.bad || block == 0 || block > 1 << 24 || d->minis == 0 || d->minis > block || block % d->minis ||
        block / d->minis % 8 || d->left > UINT32_MAX)
        return false;
    d->per_mini = d->at = block / d->minis;
    return true;
}

bool dk_pq_delta_next(dk_pq_delta *d, int64_t *v)
{
    uint64_t bit;

    if (d->left == 0)
        return false;
    if (!d->first) {
        if (d->at == d->per_mini) {
            d->p += d->width ? mini_bytes(d) : 0;
            d->width = 0;
            if (!next_mini(d))
                return false;
        }
        bit = d->at * (uint64_t)d->width;
        if ((bit + (uint64_t)d->width + 7) / 8 > (uint64_t)(d->end - d->p))
            return false;
        d->value += d->least + bits(d->p, bit, d->width);
        d->at++;
    }
    d->first = false;
    d->left--;
    *v = (int64_t)d->value;
    return true;
}

const uint8_t *dk_pq_delta_end(const dk_pq_delta *begun)
{
    dk_pq_delta d = *begun;
    uint64_t left = d.left ? d.left - 1 : 0;

    while (left > 0) {
        if (!next_mini(&d) || mini_bytes(&d) > (uint64_t)(d.end - d.p))
            return NULL;
        d.p += mini_bytes(&d);
        left -= left < d.per_mini ? left : d.per_mini;
    }
    return d.p;
}

/* ---- as they are ------------------------------------------------------- */

/* One value as it is; false: there are not so many bytes. */
static bool plain(const uint8_t **p, const uint8_t *end, const dk_pq_node *leaf, dk_pq_value *out)
{
    const size_t left = (size_t)(end - *p);
    uint32_t n;
    float f;
    int32_t i;

    switch (leaf->type) {
    case DK_PQ_INT32:
        if (left < 4)
            return false;
        memcpy(&i, *p, 4);
        out->i = leaf->kind == DK_PQ_UINT ? (int64_t)(uint32_t)i : i;
        *p += 4;
        return true;
    case DK_PQ_FLOAT:
        if (left < 4)
            return false;
        memcpy(&f, *p, 4);
        out->d = (double)f;
        *p += 4;
        return true;
    case DK_PQ_INT64:
    case DK_PQ_DOUBLE:
        if (left < 8)
            return false;
        memcpy(leaf->type == DK_PQ_INT64 ? (void *)&out->i : (void *)&out->d, *p, 8);
        *p += 8;
        return true;
    default:                            /* BYTES */
        if (left < 4)
            return false;
        memcpy(&n, *p, 4);
        if (n > left - 4)
            return false;
        out->s = (const char *)*p + 4;
        out->n = n;
        *p += 4 + (size_t)n;
        return true;
    }
}

/* How many bytes each value takes at least. */
static size_t least_bytes(const dk_pq_node *leaf)
{
    return leaf->type == DK_PQ_INT64 || leaf->type == DK_PQ_DOUBLE ? 8 : 4;
}

const char *dk_pq_dictionary_begin(dk_pq_dictionary *d, const dk_pq_node *leaf, size_t n, int64_t values)
{
    const uint8_t *p = d->block.p, *const end = p + n;
    dk_pq_value v = {0};

    d->has = false;
    if (leaf->type == DK_PQ_BOOL || values < 0 || (uint64_t)values > n / least_bytes(leaf))
        return "its dictionary is damaged";
    if ((size_t)values > d->cap || !d->at) {
        dk_free(d->at);
        d->cap = 0;
        if (dk_alloc(&d->at, (size_t)values + 1, sizeof *d->at, "a dictionary", NULL) < 0)
            return "out of memory for its dictionary";
        d->cap = (size_t)values;
    }
    d->n = (size_t)values;
    for (size_t i = 0; i < d->n; i++) {
        d->at[i] = (uint32_t)(p - d->block.p);
        if (!plain(&p, end, leaf, &v))
            return "its dictionary is damaged";
    }
    d->at[d->n] = (uint32_t)(p - d->block.p);
    d->has = true;
    return NULL;
}

void dk_pq_dictionary_free(dk_pq_dictionary *d)
{
    dk_block_free(&d->block);
    dk_free(d->at);
    *d = (dk_pq_dictionary){0};
}

/* ---- values of a page -------------------------------------------------- */

static bool is_dictionary(int64_t encoding) { return encoding == PLAIN_DICTIONARY || encoding == RLE_DICTIONARY; }

static const char *begin_dictionary(dk_pq_values *v)
{
    if (!v->dictionary->has)
        return "it refers to a dictionary that is not there";
    if (v->p == v->end) {               /* no value, no width */
        dk_pq_runs_begin(&v->runs, v->p, 0, 0);
        return NULL;
    }
    if (*v->p > 32)
        return damaged;
    dk_pq_runs_begin(&v->runs, v->p + 1, (size_t)(v->end - v->p) - 1, *v->p);
    return NULL;
}

/* The texts follow the lengths of all of them. */
static const char *begin_lengths(dk_pq_values *v, const uint8_t *p)
{
    if (!dk_pq_delta_begin(&v->length, p, (size_t)(v->end - p)))
        return damaged;
    p = dk_pq_delta_end(&v->length);
    v->p = p ? p : v->end;
    return p ? NULL : damaged;
}

static const char *begin_prefixes(dk_pq_values *v)
{
    const uint8_t *p = dk_pq_delta_begin(&v->prefix, v->p, (size_t)(v->end - v->p)) ? dk_pq_delta_end(&v->prefix) : NULL;

    dk_buf_clear(&v->text);
    return p ? begin_lengths(v, p) : damaged;
}

const char *dk_pq_values_begin(dk_pq_values *v, const dk_pq_node *leaf, int64_t encoding, const uint8_t *p, size_t n,
                               const dk_pq_dictionary *dictionary)
{
    const bool whole = leaf->type == DK_PQ_INT32 || leaf->type == DK_PQ_INT64;
    uint32_t len;

    *v = (dk_pq_values){ .leaf = leaf, .encoding = encoding, .p = p, .end = p + n, .dictionary = dictionary,
                         .text = v->text };
    if (encoding == PLAIN)
        return NULL;
    if (is_dictionary(encoding))
        return begin_dictionary(v);
    if (encoding == RLE && leaf->type == DK_PQ_BOOL) {
        if (n < 4 || (memcpy(&len, p, 4), len > n - 4))
            return damaged;
        dk_pq_runs_begin(&v->runs, p + 4, len, 1);
        return NULL;
    }
    if (encoding == DELTA && whole)
        return dk_pq_delta_begin(&v->length, p, n) ? NULL : damaged;
    if (encoding == DELTA_LENGTH && leaf->type == DK_PQ_BYTES)
        return begin_lengths(v, p);
    if (encoding == DELTA_TEXT && leaf->type == DK_PQ_BYTES)
        return begin_prefixes(v);
    return encoding == 9 ? "its encoding is BYTE_STREAM_SPLIT, which is not read" : "its encoding does not fit its type";
}

static const char *next_indexed(dk_pq_values *v, dk_pq_value *out)
{
    const dk_pq_dictionary *d = v->dictionary;
    const uint8_t *p;
    uint32_t i;

    if (!dk_pq_runs_next(&v->runs, &i))
        return ended;
    if (i >= d->n)
        return "a value is not in its dictionary";
    p = d->block.p + d->at[i];
    return plain(&p, d->block.p + d->at[i + 1], v->leaf, out) ? NULL : damaged;
}

static const char *next_text(dk_pq_values *v, dk_pq_value *out)
{
    int64_t n, kept = 0;

    if (!dk_pq_delta_next(&v->length, &n) || (v->encoding == DELTA_TEXT && !dk_pq_delta_next(&v->prefix, &kept)))
        return ended;
    if (n < 0 || n > v->end - v->p || kept < 0 || (uint64_t)kept > v->text.n || n + kept > MAX_TEXT)
        return damaged;
    *out = (dk_pq_value){ .s = (const char *)v->p, .n = (size_t)n };
    if (v->encoding == DELTA_TEXT) {
        v->text.n = (size_t)kept;
        dk_buf_add(&v->text, v->p, (size_t)n);
        *out = (dk_pq_value){ .s = v->text.s, .n = v->text.n };
    }
    v->p += n;
    return NULL;
}

static const char *next_bool(dk_pq_values *v, dk_pq_value *out)
{
    uint32_t i = 0;

    if (v->encoding == RLE) {
        if (!dk_pq_runs_next(&v->runs, &i))
            return ended;
    } else {
        if (v->p == v->end)
            return ended;
        i = *v->p >> v->bit & 1;
        v->bit = (v->bit + 1) % 8;
        v->p += v->bit == 0;
    }
    out->i = i;
    return NULL;
}

const char *dk_pq_values_next(dk_pq_values *v, dk_pq_value *out)
{
    *out = (dk_pq_value){0};
    if (v->leaf->type == DK_PQ_BOOL)
        return next_bool(v, out);
    if (is_dictionary(v->encoding))
        return next_indexed(v, out);
    if (v->encoding == DELTA_LENGTH || v->encoding == DELTA_TEXT)
        return next_text(v, out);
    if (v->encoding == DELTA) {
        if (!dk_pq_delta_next(&v->length, &out->i))
            return ended;
        if (v->leaf->type == DK_PQ_INT32)
            out->i = v->leaf->kind == DK_PQ_UINT ? (int64_t)(uint32_t)out->i : (int64_t)(int32_t)(uint32_t)out->i;
        return NULL;
    }
    return plain(&v->p, v->end, v->leaf, out) ? NULL : ended;
}

void dk_pq_values_free(dk_pq_values *v) { dk_buf_free(&v->text); }
