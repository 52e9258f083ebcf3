#include "io/parquetcolumn.h"

#include <string.h>
#include <zlib.h>

#include "io/thrift.h"

enum { DATA = 0, INDEX = 1, DICTIONARY = 2, DATA_V2 = 3 };

enum { RLE = 3, MAX_PAGE = 1 << 28 };

typedef struct page {
    int64_t kind, size, packed;         /* bytes unpacked, and as they lie there */
    int64_t crc, values, encoding, def_encoding, rep_bytes, def_bytes;
    bool has_crc, described, is_packed;
    const uint8_t *p;                   /* packed bytes */
} page;

static const char damaged[] = "a page is damaged";

/* ---- the head of a page ------------------------------------------------ */

static void read_kind(page *g, int what, dk_thrift *t)
{
    dk_thrift_field f = {0};

    g->described = true;
    while (dk_thrift_next(t, &f)) {
        if (f.id == 1)
            g->values = dk_thrift_int(t, &f);
        else if (f.id == (what == 8 ? 4 : 2))
            g->encoding = dk_thrift_int(t, &f);
        else if (what == 5 && f.id == 3)
            g->def_encoding = dk_thrift_int(t, &f);
        else if (what == 8 && f.id == 5)
            g->def_bytes = dk_thrift_int(t, &f);
        else if (what == 8 && f.id == 6)
            g->rep_bytes = dk_thrift_int(t, &f);
        else if (what == 8 && f.id == 7)
            g->is_packed = dk_thrift_bool(t, &f);
        else
            dk_thrift_skip(t, &f);
    }
}

static const char *read_page(dk_pq_column *c, page *g)
{
    dk_thrift t = { c->file + c->at, c->file + c->end, false };
    dk_thrift_field f = {0};

    *g = (page){ .kind = -1, .size = -1, .packed = -1, .values = -1, .encoding = -1, .is_packed = true };
    while (dk_thrift_next(&t, &f))
        switch (f.id) {
        case 1: g->kind = dk_thrift_int(&t, &f); break;
        case 2: g->size = dk_thrift_int(&t, &f); break;
        case 3: g->packed = dk_thrift_int(&t, &f); break;
        case 4:
            g->crc = dk_thrift_int(&t, &f);
            g->has_crc = true;
            break;
        case 5:
        case 7:
        case 8:
            if (dk_thrift_enter(&t, &f))
                read_kind(g, f.id, &t);
            break;
        default: dk_thrift_skip(&t, &f);
        }
    if (t.bad || g->size < 0 || g->packed < 0 || g->packed > t.end - t.p)
        return damaged;
    if (g->size > MAX_PAGE)
        return "a page is said to be larger than 256 MiB";
    if (g->has_crc && (uint32_t)g->crc != crc32(0, t.p, (uInt)g->packed))
        return "a page is damaged: its checksum does not match";
    g->p = t.p;
    c->at = (size_t)(t.p - c->file) + (size_t)g->packed;
    return NULL;
}

/* ---- what is in it ----------------------------------------------------- */

static int width_of(int level) { return level ? 32 - __builtin_clz((unsigned)level) : 0; }

/* Levels of version 1 stand before the values, after their length. */
static const char *take_levels(dk_pq_runs *r, int level, const uint8_t **p, size_t *n)
{
    uint32_t len;

    if (level == 0) {
        dk_pq_runs_begin(r, *p, 0, 0);
        return NULL;
    }
    if (*n < 4 || (memcpy(&len, *p, 4), len > *n - 4))
        return damaged;
    dk_pq_runs_begin(r, *p + 4, len, width_of(level));
    *p += 4 + (size_t)len;
    *n -= 4 + (size_t)len;
    return NULL;
}

static const char *unpack(dk_pq_column *c, const uint8_t **p, size_t packed, size_t size, bool is_packed)
{
    const char *why;

    if (!is_packed || c->codec == DK_CODEC_NONE)
        return packed == size ? NULL : damaged;
    why = dk_unpack(c->codec, *p, packed, &c->block, size);
    *p = c->block.p;
    return why;
}

static const char *begin_v1(dk_pq_column *c, const page *g)
{
    const uint8_t *p = g->p;
    size_t n = (size_t)g->size;
    const char *why;

    if (c->leaf->def > 0 && g->def_encoding != RLE)
        return "its levels have an encoding that is not read";
    if ((why = unpack(c, &p, (size_t)g->packed, n, true)) || (why = take_levels(&c->reps, c->leaf->rep, &p, &n)) ||
        (why = take_levels(&c->defs, c->leaf->def, &p, &n)))
        return why;
    return dk_pq_values_begin(&c->values, c->leaf, g->encoding, p, n, &c->dictionary);
}

/* Levels of version 2 are never packed. */
static const char *begin_v2(dk_pq_column *c, const page *g)
{
    const uint8_t *p = g->p;
    size_t levels;
    const char *why;

    if (g->rep_bytes < 0 || g->def_bytes < 0 || g->rep_bytes > g->packed || g->def_bytes > g->packed - g->rep_bytes ||
        g->rep_bytes + g->def_bytes > g->size)
        return damaged;
    levels = (size_t)(g->rep_bytes + g->def_bytes);
    dk_pq_runs_begin(&c->reps, p, (size_t)g->rep_bytes, width_of(c->leaf->rep));
    dk_pq_runs_begin(&c->defs, p + g->rep_bytes, (size_t)g->def_bytes, width_of(c->leaf->def));
    p += levels;
    if ((why = unpack(c, &p, (size_t)g->packed - levels, (size_t)g->size - levels, g->is_packed)))
        return why;
    return dk_pq_values_begin(&c->values, c->leaf, g->encoding, p, (size_t)g->size - levels, &c->dictionary);
}

static const char *begin_dictionary(dk_pq_column *c, const page *g)
{
    const char *why;

    if (!g->described || c->dictionary.has || c->begun)
        return "its dictionary is damaged";
    if ((why = dk_unpack(c->codec, g->p, (size_t)g->packed, &c->dictionary.block, (size_t)g->size)))
        return why;
    return dk_pq_dictionary_begin(&c->dictionary, c->leaf, (size_t)g->size, g->values);
}

/* Until there is a page with an entry; only called when there must be one. */
static const char *next_page(dk_pq_column *c)
{
    const char *why = NULL;
    page g;

    while (!why && c->in_page == 0) {
        if (c->at >= c->end)
            return "its pages end too early";
        if ((why = read_page(c, &g)))
            return why;
        if (g.kind == DICTIONARY)
            why = begin_dictionary(c, &g);
        else if (g.kind == DATA || g.kind == DATA_V2) {
            if (!g.described || g.values < 0 || g.values > c->left)
                return damaged;
            why = g.kind == DATA ? begin_v1(c, &g) : begin_v2(c, &g);
            c->begun = true;
            c->in_page = g.values;
            c->left -= g.values;
        }
    }
    return why;
}

const char *dk_pq_column_step(dk_pq_column *c)
{
    const char *why;

    c->here = false;
    if (c->in_page == 0) {
        if (c->left == 0)
            return NULL;
        if ((why = next_page(c)))
            return why;
    }
    c->in_page--;
    c->rep = c->def = 0;
    if ((c->leaf->rep && !dk_pq_runs_next(&c->reps, &c->rep)) || (c->leaf->def && !dk_pq_runs_next(&c->defs, &c->def)) ||
        c->rep > (uint32_t)c->leaf->rep || c->def > (uint32_t)c->leaf->def)
        return "its levels are damaged";
    c->here = true;
    return NULL;
}

const char *dk_pq_column_begin(dk_pq_column *c, const dk_pq_node *leaf, const dk_pq_chunk *chunk, const uint8_t *file)
{
    *c = (dk_pq_column){ .leaf = leaf, .file = file, .codec = chunk->codec, .at = chunk->at, .end = chunk->end,
                         .left = chunk->values, .values = c->values, .dictionary = c->dictionary, .block = c->block };
    c->dictionary.has = false;
    return chunk->unread ? chunk->unread : dk_pq_column_step(c);
}

const char *dk_pq_column_value(dk_pq_column *c, dk_pq_value *v) { return dk_pq_values_next(&c->values, v); }

void dk_pq_column_free(dk_pq_column *c)
{
    dk_pq_values_free(&c->values);
    dk_pq_dictionary_free(&c->dictionary);
    dk_block_free(&c->block);
}
