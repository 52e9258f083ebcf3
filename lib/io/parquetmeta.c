#include "io/parquetmeta.h"

#include <string.h>

#include "base/mem.h"
#include "io/thrift.h"

enum { MAX_DEPTH = 60, TAIL = 8 };      /* levels fit into seven bits */

/* ---- the columns ------------------------------------------------------- */

/* As the format numbers them: converted types, and the union of logical ones. */
static const char *converted(dk_pq_node *d, int64_t type)
{
    switch (type) {
    case 0: case 4: case 19: d->kind = DK_PQ_TEXT; return NULL;         /* UTF8, ENUM, JSON */
    case 1: case 2: case 3: d->kind = DK_PQ_LIST; return NULL;          /* a map is a list of pairs */
    case 11: case 12: case 13: case 14: d->kind = DK_PQ_UINT; return NULL;
    case 5: return "DECIMAL";
    case 6: return "DATE";
    case 7: case 8: return "TIME";
    case 9: case 10: return "TIMESTAMP";
    case 20: return "BSON";
    case 21: return "INTERVAL";
    default: return NULL;
    }
}

static bool is_signed(dk_thrift *t)
{
    dk_thrift_field f = {0};
    bool yes = true;

    while (dk_thrift_next(t, &f))
        if (f.id == 2)
            yes = dk_thrift_bool(t, &f);
        else
            dk_thrift_skip(t, &f);
    return yes;
}

static const char *logical(dk_pq_node *d, dk_thrift *t)
{
    static const char *const other[] = {
        [5] = "DECIMAL", [6] = "DATE", [7] = "TIME", [8] = "TIMESTAMP", [13] = "BSON", [14] = "UUID", [15] = "FLOAT16"
    };
    dk_thrift_field f = {0};
    const char *what = NULL;

    while (dk_thrift_next(t, &f)) {
        if (f.id == 10 && dk_thrift_enter(t, &f)) {
            if (!is_signed(t))
                d->kind = DK_PQ_UINT;
            continue;
        }
        if (f.id == 1 || f.id == 4 || f.id == 12)
            d->kind = DK_PQ_TEXT;
        else if (f.id == 2 || f.id == 3)
            d->kind = DK_PQ_LIST;
        else if (f.id == 11)
            d->kind = DK_PQ_NULL;
        else if (f.id < (int)(sizeof other / sizeof *other))
            what = other[f.id] ? other[f.id] : what;
        dk_thrift_skip(t, &f);
    }
    return what;
}

/* What a leaf's annotation leaves open follows from how it is stored. */
static void settle(dk_pq_node *d, const char *other)
{
    static const dk_pq_kind plain[] = {
        DK_PQ_TRUTH, DK_PQ_INT, DK_PQ_INT, DK_PQ_OTHER, DK_PQ_REAL, DK_PQ_REAL, DK_PQ_TEXT, DK_PQ_OTHER
    };
    const dk_pq_kind said = d->kind;

    if (d->children) {
        d->kind = said == DK_PQ_LIST ? DK_PQ_LIST : DK_PQ_GROUP;
        return;
    }
    d->kind = other ? DK_PQ_OTHER : plain[d->type];
    if (said == DK_PQ_NULL || (said == DK_PQ_UINT && d->kind == DK_PQ_INT))
        d->kind = said;
    d->other = other ? other : d->type == DK_PQ_INT96 ? "INT96" : "FIXED_LEN_BYTE_ARRAY";
}

static const char *read_node(dk_pq_node *d, dk_thrift *t)
{
    const char *other = NULL, *s;
    dk_thrift_field f = {0};
    int64_t v = 0, type = -1, width = 0, children = 0;
    size_t n;

    while (dk_thrift_next(t, &f)) {
        if (f.id == 4) {
            s = dk_thrift_text(t, &f, &n);
            dk_free(d->name);
            d->name = dk_xstrndup(s, n);
        } else if (f.id == 10 && dk_thrift_enter(t, &f)) {
            s = logical(d, t);
            other = s ? s : other;
        } else if (f.id < 1 || f.id > 6 || f.id == 10) {
            dk_thrift_skip(t, &f);
        } else {
            v = dk_thrift_int(t, &f);
            type = f.id == 1 ? v : type;
            width = f.id == 2 ? v : width;
            d->repetition = f.id == 3 ? (int)(v >= 0 && v <= 2 ? v : 9) : d->repetition;
            children = f.id == 5 ? v : children;
            s = f.id == 6 ? converted(d, v) : NULL;
            other = s ? s : other;
        }
    }
    if (t->bad || !d->name || d->repetition > DK_PQ_REPEATED || children < 0)
        return "its list of columns is damaged";
    if (children == 0 && (type < DK_PQ_BOOL || type > DK_PQ_FIXED || (type == DK_PQ_FIXED && (width < 1 || width > 1 << 20))))
        return "it has a column of an unknown type";
    d->type = children ? DK_PQ_BOOL : (dk_pq_type)type;
    d->width = (size_t)width;
    d->children = (size_t)children;
    settle(d, other);
    return NULL;
}

/* Levels and ends, of the node at and all below it. */
static const char *place(dk_pq_meta *m, size_t at, int def, int rep, int depth)
{
    dk_pq_node *d = &m->node[at];
    const char *why = NULL;
    size_t next = at + 1;

    if (depth > MAX_DEPTH)
        return "its columns are nested too deeply";
    d->def = def + (at > 0 && d->repetition != DK_PQ_REQUIRED);
    d->rep = rep + (at > 0 && d->repetition == DK_PQ_REPEATED);
    d->leaf = m->n_leaves;
    m->n_leaves += d->children == 0;
    for (size_t i = 0; !why && i < d->children; i++) {
        if (next >= m->n_nodes)
            return "its list of columns is damaged";
        why = place(m, next, d->def, d->rep, depth + 1);
        next = m->node[next].end;
    }
    d->end = next;
    d->leaf_end = m->n_leaves;
    return why;
}

static const char *read_schema(dk_pq_meta *m, dk_thrift *t, const dk_thrift_field *f)
{
    const size_t n = dk_thrift_structs(t, f);
    const char *why = NULL;

    if (n < 2 || m->node || dk_alloc(&m->node, n, sizeof *m->node, "the columns", NULL) < 0)
        return "its list of columns is damaged";
    m->n_nodes = n;
    for (size_t i = 0; !why && i < n; i++)
        why = read_node(&m->node[i], t);
    if (!why && m->node[0].children == 0)
        why = "its list of columns is damaged";
    if (!why)
        why = place(m, 0, 0, 0, 0);
    return why || m->node[0].end == n ? why : "its list of columns is damaged";
}

/* ---- where they lie ---------------------------------------------------- */

struct offsets { int64_t type, codec, data, dictionary, bytes; };

static void read_column(dk_pq_chunk *c, struct offsets *o, dk_thrift *t)
{
    dk_thrift_field f = {0};

    while (dk_thrift_next(t, &f))
        switch (f.id) {
        case 1: o->type = dk_thrift_int(t, &f); break;
        case 4: o->codec = dk_thrift_int(t, &f); break;
        case 5: c->values = dk_thrift_int(t, &f); break;
        case 7: o->bytes = dk_thrift_int(t, &f); break;
        case 9: o->data = dk_thrift_int(t, &f); break;
        case 11: o->dictionary = dk_thrift_int(t, &f); break;
        default: dk_thrift_skip(t, &f);
        }
}

/* size: of the part of the file that holds pages. */
static const char *read_chunk(dk_pq_chunk *c, const dk_pq_node *leaf, dk_thrift *t, size_t size)
{
    struct offsets o = { -1, -1, -1, -1, -1 };
    dk_thrift_field f = {0};
    bool has = false;
    int64_t at;

    c->values = -1;
    while (dk_thrift_next(t, &f))
        if (f.id == 3 && dk_thrift_enter(t, &f)) {
            read_column(c, &o, t);
            has = true;
        } else {
            if (f.id == 1)
                c->unread = "it lies in another file";
            else if (f.id == 8 || f.id == 9)
                c->unread = "it is encrypted";
            dk_thrift_skip(t, &f);
        }
    if (t->bad)
        return "its footer is damaged";
    if (!has || c->unread) {
        c->unread = c->unread ? c->unread : "it is not described";
        return NULL;
    }
    at = o.dictionary > 0 && o.dictionary < o.data ? o.dictionary : o.data;
    if (o.type != (int64_t)leaf->type || c->values < 0)
        return "its columns do not fit together";
    if (c->values == 0)                 /* of no row: then there may be no page */
        return NULL;
    if (at < 4 || o.bytes < 0 || (uint64_t)at > size || (uint64_t)o.bytes > size - (uint64_t)at)
        return "a column lies outside of it: it was cut, or is damaged";
    c->codec = (dk_codec)o.codec;
    c->unread = dk_codec_unread(o.codec);
    c->at = (size_t)at;
    c->end = (size_t)(at + o.bytes);
    return NULL;
}

static const char *read_group(dk_pq_meta *m, size_t g, dk_thrift *t, size_t size)
{
    dk_pq_chunk *chunk = m->chunk + g * m->n_leaves;
    dk_thrift_field f = {0};
    const char *why = NULL;
    bool has = false;

    m->rows[g] = -1;
    while (!why && dk_thrift_next(t, &f)) {
        if (f.id == 1) {
            if (has || dk_thrift_structs(t, &f) != m->n_leaves)
                return "its columns do not fit together";
            has = true;
            for (size_t d = 1, i = 0; !why && d < m->n_nodes; d++)
                if (m->node[d].children == 0)
                    why = read_chunk(&chunk[i++], &m->node[d], t, size);
        } else if (f.id == 3)
            m->rows[g] = dk_thrift_int(t, &f);
        else
            dk_thrift_skip(t, &f);
    }
    if (!why && (t->bad || !has || m->rows[g] < 0))
        why = "its footer is damaged";
    return why;
}

static const char *read_groups(dk_pq_meta *m, dk_thrift *t, const dk_thrift_field *f, size_t size)
{
    const size_t n = dk_thrift_structs(t, f), left = (size_t)(t->end - t->p);
    const char *why = NULL;
    size_t all;

    /* Each column of each group takes a byte of the footer at least. */
    if (!m->node || m->chunk || !dk_mul_size(&all, n, m->n_leaves) || all > left)
        return "its footer is damaged";
    if (dk_alloc(&m->chunk, all, sizeof *m->chunk, "the columns", NULL) < 0 ||
        dk_alloc(&m->rows, n, sizeof *m->rows, "the columns", NULL) < 0)
        return "out of memory for its footer";
    m->n_groups = n;
    for (size_t g = 0; !why && g < n; g++)
        why = read_group(m, g, t, size);
    return why;
}

static const char *read_footer(dk_pq_meta *m, const uint8_t *p, size_t n, size_t size)
{
    dk_thrift t = { p, p + n, false };
    dk_thrift_field f = {0};
    const char *why = NULL;
    int64_t sum = 0;

    m->n_rows = -1;
    while (!why && dk_thrift_next(&t, &f))
        switch (f.id) {
        case 2: why = read_schema(m, &t, &f); break;
        case 3: m->n_rows = dk_thrift_int(&t, &f); break;
        case 4: why = read_groups(m, &t, &f, size); break;
        default: dk_thrift_skip(&t, &f);
        }
    if (why)
        return why;
    if (t.bad || !m->node || !m->chunk)
        return "its footer is damaged";
    for (size_t g = 0; g < m->n_groups; g++)
        if (__builtin_add_overflow(sum, m->rows[g], &sum))
            return "its footer is damaged";
    return sum == m->n_rows ? NULL : "its row groups do not have the rows that it counts";
}

int dk_pq_meta_read(dk_pq_meta *m, const uint8_t *p, size_t n, const char *name, dk_err *err)
{
    const char *why = NULL;
    uint32_t footer;

    *m = (dk_pq_meta){0};
    if (n < 4 || (memcmp(p, "PAR1", 4) != 0 && memcmp(p, "PARE", 4) != 0))
        return dk_fail(err, DK_EFORMAT, "%s is no parquet file", name);
    if (memcmp(p, "PARE", 4) == 0 || (n >= 4 && memcmp(p + n - 4, "PARE", 4) == 0))
        return dk_fail(err, DK_EFORMAT, "%s is an encrypted parquet file, which is not read", name);
    if (n < 4 + TAIL || memcmp(p + n - 4, "PAR1", 4) != 0)
        return dk_fail(err, DK_EFORMAT, "%s is a parquet file without its end: it was cut", name);
    memcpy(&footer, p + n - TAIL, 4);
    if (footer > n - TAIL - 4)
        return dk_fail(err, DK_EFORMAT, "%s: its footer is said to be larger than the file", name);
    why = read_footer(m, p + n - TAIL - footer, footer, n - TAIL - footer);
    if (why) {
        dk_pq_meta_free(m);
        return dk_fail(err, DK_EFORMAT, "%s: %s", name, why);
    }
    return 0;
}

void dk_pq_meta_free(dk_pq_meta *m)
{
    for (size_t i = 0; i < m->n_nodes; i++)
        dk_free(m->node[i].name);
    dk_free(m->node);
    dk_free(m->chunk);
    dk_free(m->rows);
    *m = (dk_pq_meta){0};
}
