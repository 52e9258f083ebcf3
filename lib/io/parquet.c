/* Rows from columns: each entry of a column says how deep it goes (def) and at
 * which list it goes on (rep); columns below one list must agree on both. */
#include "io/parquet.h"

#include <string.h>

#include "io/json.h"
#include "io/mapfile.h"
#include "io/parquetcolumn.h"

enum { MAX_ROW = 1 << 28, KEPT = 1 << 24 };     /* bytes of a row as JSON; of rows until the file's pages are given back */

struct dk_parquet {
    dk_mapfile *map;
    const uint8_t *p;
    size_t n;
    char *name;
    dk_pq_meta meta;
    bool *used;                 /* [meta.n_nodes] */
    bool chosen;                /* somebody asked for columns */
    size_t group;               /* the next row group */
    int64_t left;               /* rows to come of this one */
    uint64_t row;               /* rows handed out */
    size_t seen;                /* bytes of them since pages were given back */
    dk_pq_column *column;       /* [meta.n_leaves] */
};

static const char apart[] = "its columns do not fit together";

/* ---- opening ----------------------------------------------------------- */

int dk_parquet_open_mem(dk_parquet **out, const uint8_t *p, size_t n, const char *name, dk_err *err)
{
    dk_parquet *f = dk_xcalloc(1, sizeof *f);
    int rc = dk_pq_meta_read(&f->meta, p, n, name, err);

    *out = f;
    f->p = p;
    f->n = n;
    f->name = dk_xstrdup(name);
    if (rc == 0 && (rc = dk_alloc(&f->used, f->meta.n_nodes, sizeof *f->used, "the columns", err)) == 0)
        rc = dk_alloc(&f->column, f->meta.n_leaves, sizeof *f->column, "the columns", err);
    if (rc < 0)
        dk_parquet_close(out);
    return rc;
}

int dk_parquet_open(dk_parquet **out, const char *path, dk_err *err)
{
    dk_mapfile *map = NULL;
    int rc = dk_mapfile_open(&map, path, err);

    *out = NULL;
    if (rc == 0)
        rc = dk_parquet_open_mem(out, map->p, map->n, path, err);
    if (rc == 0)
        (*out)->map = map;
    else
        dk_mapfile_close(&map);
    return rc;
}

void dk_parquet_close(dk_parquet **fp)
{
    dk_parquet *f = *fp;

    if (!f)
        return;
    for (size_t i = 0; f->column && i < f->meta.n_leaves; i++)
        dk_pq_column_free(&f->column[i]);
    dk_free(f->column);
    dk_free(f->used);
    dk_pq_meta_free(&f->meta);
    dk_mapfile_close(&f->map);
    dk_free(f->name);
    dk_free(f);
    *fp = NULL;
}

uint64_t dk_parquet_rows(const dk_parquet *f) { return (uint64_t)f->meta.n_rows; }

/* ---- which columns ----------------------------------------------------- */

/* The node of a column of the row; 0: there is none. */
static size_t named(const dk_parquet *f, const char *column)
{
    for (size_t d = 1; d < f->meta.n_nodes; d = f->meta.node[d].end)
        if (strcmp(f->meta.node[d].name, column) == 0)
            return d;
    return 0;
}

bool dk_parquet_has(const dk_parquet *f, const char *column) { return named(f, column) != 0; }

/* Those below at that can be read, and what leads to them. */
static bool use(dk_parquet *f, size_t at)
{
    const dk_pq_node *d = &f->meta.node[at];
    bool any = d->children == 0 && d->kind != DK_PQ_OTHER;

    for (size_t c = at + 1; c < d->end; c = f->meta.node[c].end)
        any = use(f, c) || any;
    return f->used[at] = any;
}

int dk_parquet_choose(dk_parquet *f, const char *column, dk_err *err)
{
    const size_t at = named(f, column);

    f->chosen = true;
    if (at == 0)
        return dk_fail(err, DK_EDATA, "%s: no column '%s'", f->name, column);
    if (!use(f, at))
        return dk_fail(err, DK_EDATA, "%s: column '%s' holds values of type %s, which are not read", f->name, column,
                       f->meta.node[at].other ? f->meta.node[at].other : "no such kind");
    return 0;
}

/* ---- values ------------------------------------------------------------ */

static void put_text(dk_buf *out, const char *s, size_t n)
{
    size_t from = 0;

    dk_buf_addc(out, '"');
    for (size_t i = 0; i < n; i++)
        if ((unsigned char)s[i] < 32 || s[i] == '"' || s[i] == '\\') {
            dk_buf_add(out, s + from, i - from);
            if (s[i] == '\n')
                dk_buf_adds(out, "\\n");
            else if ((unsigned char)s[i] < 32)
                dk_buf_addf(out, "\\u%04x", (unsigned)s[i]);
            else {
                dk_buf_addc(out, '\\');
                dk_buf_addc(out, s[i]);
            }
            from = i + 1;
        }
    dk_buf_add(out, s + from, n - from);
    dk_buf_addc(out, '"');
}

static void put(dk_buf *out, const dk_pq_node *leaf, const dk_pq_value *v)
{
    dk_jw w = { .out = out };

    switch (leaf->kind) {
    case DK_PQ_TEXT: put_text(out, v->s, v->n); break;
    case DK_PQ_TRUTH: dk_jw_bool(&w, v->i != 0); break;
    case DK_PQ_INT: dk_jw_int(&w, v->i); break;
    case DK_PQ_UINT:
        if (v->i < 0)                   /* beyond what a reader of JSON takes for whole */
            dk_jw_num(&w, (double)(uint64_t)v->i);
        else
            dk_jw_int(&w, v->i);
        break;
    case DK_PQ_REAL:
        if (leaf->type == DK_PQ_FLOAT)
            dk_jw_f32(&w, (float)v->d);
        else
            dk_jw_num(&w, v->d);
        break;
    default: dk_jw_null(&w);
    }
}

/* ---- rows -------------------------------------------------------------- */

/* The first column that is read below a used node. */
static dk_pq_column *first_of(dk_parquet *f, size_t at)
{
    size_t d = at;

    while (f->meta.node[d].children)
        for (d++; !f->used[d]; d = f->meta.node[d].end)
            ;
    return &f->column[f->meta.node[d].leaf];
}

/* The columns below at, which all end at the level def: their entries are passed
 * over. */
static const char *pass(dk_parquet *f, size_t at, uint32_t def)
{
    const dk_pq_node *d = &f->meta.node[at];
    const char *why = NULL;

    for (size_t i = d->leaf; !why && i < d->leaf_end; i++) {
        dk_pq_column *c = &f->column[i];

        if (!c->leaf)
            continue;
        why = c->here && c->def == def ? dk_pq_column_step(c) : apart;
    }
    return why;
}

static const char *field(dk_parquet *f, size_t at, dk_buf *out);

static const char *leaf_value(dk_parquet *f, const dk_pq_node *d, dk_buf *out)
{
    dk_pq_column *c = &f->column[d->leaf];
    const char *why;
    dk_pq_value v;

    if (!c->here || c->def != (uint32_t)d->def)
        return apart;
    if ((why = dk_pq_column_value(c, &v)))
        return why;
    if (out->n + v.n > MAX_ROW)
        return "a row is larger than 256 MiB";
    put(out, d, &v);
    return dk_pq_column_step(c);
}

/* An object of the nodes first .. end - 1, siblings; at (NULL: not wanted): where it stands. */
static const char *members(dk_parquet *f, size_t first, size_t end, dk_buf *out, size_t *at)
{
    const char *why = NULL;
    bool comma = false;

    dk_buf_addc(out, '{');
    for (size_t c = first; !why && c < end; c = f->meta.node[c].end) {
        if (!f->used[c])
            continue;
        if (at)
            *at = c;
        if (comma)
            dk_buf_addc(out, ',');
        comma = true;
        put_text(out, f->meta.node[c].name, strlen(f->meta.node[c].name));
        dk_buf_addc(out, ':');
        why = field(f, c, out);
    }
    dk_buf_addc(out, '}');
    return why;
}

/* What a list's repeated node wraps: an element that may be null has a node of
 * its own below it.  The exceptions are those of old writers. */
static size_t element_of(const dk_parquet *f, size_t at)
{
    const dk_pq_node *d = &f->meta.node[at], *list = &f->meta.node[at - 1];
    const size_t n = strlen(list->name);
    const bool tuple = strncmp(d->name, list->name, n) == 0 && strcmp(d->name + n, "_tuple") == 0;

    if (list->kind != DK_PQ_LIST || list->children != 1 || d->children != 1 || strcmp(d->name, "array") == 0 || tuple)
        return at;
    return at + 1;
}

static const char *present(dk_parquet *f, size_t at, dk_buf *out);

/* Do all columns below at stand at the same: a further element, or not? */
static const char *goes_on(dk_parquet *f, size_t at, bool *more)
{
    const dk_pq_node *d = &f->meta.node[at];
    const dk_pq_column *first = first_of(f, at);

    *more = first->here && first->rep == (uint32_t)d->rep;
    for (size_t i = d->leaf; i < d->leaf_end; i++) {
        const dk_pq_column *c = &f->column[i];

        if (c->leaf && (c->here && c->rep == (uint32_t)d->rep) != *more)
            return apart;
        if (c->leaf && c->here && c->rep > (uint32_t)d->rep)
            return apart;
    }
    return NULL;
}

static const char *elements(dk_parquet *f, size_t at, dk_buf *out)
{
    const size_t element = element_of(f, at);
    const dk_pq_node *d = &f->meta.node[at];
    const dk_pq_column *first = first_of(f, at);
    const char *why = NULL;
    bool more = true;

    if (!first->here)
        return apart;
    dk_buf_addc(out, '[');
    if (first->def < (uint32_t)d->def)
        why = pass(f, at, (uint32_t)d->def - 1);
    else
        while (!why && more) {
            why = element == at ? present(f, at, out) : field(f, element, out);
            if (!why)
                why = goes_on(f, at, &more);
            if (!why && more)
                dk_buf_addc(out, ',');
            if (!why && out->n > MAX_ROW)
                why = "a row is larger than 256 MiB";
        }
    dk_buf_addc(out, ']');
    return why;
}

/* A node that is there. */
static const char *present(dk_parquet *f, size_t at, dk_buf *out)
{
    const dk_pq_node *d = &f->meta.node[at];

    if (d->children == 0)
        return leaf_value(f, d, out);
    if (d->kind == DK_PQ_LIST && d->children == 1 && d[1].repetition == DK_PQ_REPEATED)
        return elements(f, at + 1, out);
    return members(f, at + 1, d->end, out, NULL);
}

/* A node that may be null or a bare list, within one that is there. */
static const char *field(dk_parquet *f, size_t at, dk_buf *out)
{
    const dk_pq_node *d = &f->meta.node[at];
    const dk_pq_column *first = first_of(f, at);

    if (!first->here)
        return "its values end too early";
    if (d->repetition == DK_PQ_REPEATED)
        return elements(f, at, out);
    if (d->repetition == DK_PQ_OPTIONAL && first->def < (uint32_t)d->def) {
        dk_buf_adds(out, "null");
        return pass(f, at, (uint32_t)d->def - 1);
    }
    return present(f, at, out);
}

/* Every column that is read at the beginning of a row, or, at the last, at its end. */
static const char *aligned(const dk_parquet *f, bool last)
{
    for (size_t i = 0; i < f->meta.n_leaves; i++) {
        const dk_pq_column *c = &f->column[i];

        if (c->leaf && (last ? c->here : !c->here || c->rep != 0))
            return apart;
    }
    return NULL;
}

static const char *begin_group(dk_parquet *f, size_t *at)
{
    const dk_pq_chunk *chunk = f->meta.chunk + f->group * f->meta.n_leaves;
    const char *why = NULL;

    f->left = f->meta.rows[f->group++];
    for (size_t d = 1; !why && d < f->meta.n_nodes; d++)
        if (f->used[d] && f->meta.node[d].children == 0) {
            const size_t i = f->meta.node[d].leaf;

            *at = d;
            why = dk_pq_column_begin(&f->column[i], &f->meta.node[d], &chunk[i], f->p);
        }
    if (!why) {
        *at = 0;
        why = aligned(f, f->left == 0);
    }
    return why;
}

static const char *row(dk_parquet *f, dk_buf *out, size_t *at)
{
    const char *why = members(f, 1, f->meta.n_nodes, out, at);

    f->left--;
    if (!why) {
        *at = 0;
        why = aligned(f, f->left == 0);
    }
    return why;
}

static int refuse(const dk_parquet *f, size_t at, const char *why, dk_err *err)
{
    dk_buf column = {0};
    int rc;

    dk_buf_addclean(&column, f->meta.node[at].name);
    rc = dk_fail(err, DK_EFORMAT, "%s, row %llu: column '%.100s': %s", f->name, (unsigned long long)f->row + 1, column.s, why);
    dk_buf_free(&column);
    return rc;
}

int dk_parquet_next(dk_parquet *f, dk_buf *out, dk_err *err)
{
    const size_t before = out->n;
    const char *why = NULL;
    size_t at = 0;

    if (!f->chosen && !use(f, 0))
        return dk_fail(err, DK_EDATA, "%s has no column that can be read", f->name);
    f->chosen = true;
    while (!why && f->left == 0) {
        if (f->group == f->meta.n_groups)
            return 0;
        why = begin_group(f, &at);
    }
    if (!why)
        why = row(f, out, &at);
    if (!why) {
        f->row++;
        f->seen += out->n - before;
        if (f->map && f->seen > KEPT) {
            dk_mapfile_drop(f->map);
            f->seen = 0;
        }
        return 1;
    }
    f->left = 0;                        /* nothing more is read */
    f->group = f->meta.n_groups;
    return at ? refuse(f, at, why, err)
              : dk_fail(err, DK_EFORMAT, "%s, row %llu: %s", f->name, (unsigned long long)f->row + 1, why);
}
