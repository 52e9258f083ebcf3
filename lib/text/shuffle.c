#include "text/shuffle.h"

#include <stdlib.h>
#include <string.h>

#include "base/permute.h"

enum { LEAST_PICKED = 1024 };

/* A row that a pass picks. */
typedef struct picked {
    uint32_t row;
    size_t rank;                /* in the order of the seed */
    size_t file, line;
    char *text;
    size_t n;
} picked;

typedef struct mixer {
    dk_corpus *c;
    size_t n_files;
    char *const *path;
    dk_textfile **file;         /* open, or ended: then it can still parse */
    uint32_t *order;
    uint32_t n_rows;
} mixer;

static int by_row(const void *a, const void *b)
{
    const picked *x = a, *y = b;

    return x->row < y->row ? -1 : x->row > y->row;
}

static int by_rank(const void *a, const void *b)
{
    const picked *x = a, *y = b;

    return x->rank < y->rank ? -1 : x->rank > y->rank;
}

static int count(mixer *m, dk_err *err)
{
    uint64_t all = 0, rows = 0;
    int rc = 0;

    for (size_t i = 0; rc == 0 && i < m->n_files; i++) {
        if (strcmp(m->path[i], "-") == 0)
            return dk_fail(err, DK_EUSAGE, "standard input cannot be shuffled: it is read once; give files");
        if ((rc = dk_corpus_file(m->c, &m->file[i], m->path[i], err)) == 0)
            rc = dk_textfile_count(m->file[i], &rows, err);
        dk_textfile_close(&m->file[i]);
        all += rows;
        if (rc == 0 && all > UINT32_MAX)
            rc = dk_fail(err, DK_EDATA, "%s: more than %u rows cannot be shuffled", m->path[i], UINT32_MAX);
    }
    m->n_rows = (uint32_t)all;
    return rc;
}

/* One pass over a file: keeps the rows that are picked.  *row: the next one of all
 * files, *k: the next one that is picked. */
static int read_file(mixer *m, size_t i, picked *pick, size_t n, uint32_t *row, size_t *k, dk_err *err)
{
    dk_text raw;
    int rc;

    if (m->file[i]) {
        dk_corpus_replaced(m->c, m->file[i]);
        dk_textfile_close(&m->file[i]);
    }
    rc = dk_corpus_file(m->c, &m->file[i], m->path[i], err);
    while (rc >= 0 && *k < n && (rc = dk_textfile_raw(m->file[i], &raw, err)) == 1) {
        if (pick[*k].row == *row) {
            picked *p = &pick[(*k)++];

            p->file = i;
            p->line = dk_textfile_line(m->file[i]);
            p->n = raw.n;
            if (dk_alloc(&p->text, raw.n, 1, "a document", err) < 0)
                return DK_ENOMEM;
            memcpy(p->text, raw.s, raw.n);
        }
        ++*row;
    }
    if (rc >= 0)
        dk_textfile_end(m->file[i]);
    return rc < 0 ? rc : 0;
}

static int take_all(mixer *m, const picked *pick, size_t n, dk_err *err)
{
    int rc = 0;

    for (size_t k = 0; rc == 0 && k < n && !dk_corpus_full(m->c); k++) {
        dk_textfile *f = m->file[pick[k].file];
        dk_doc d;

        rc = dk_textfile_parse(f, (dk_text){ pick[k].text, pick[k].n }, pick[k].line, &d, err);
        if (rc == 1)
            rc = dk_corpus_take(m->c, f, &d, err);
    }
    return rc;
}

/* The rows order[from, from + n). */
static int pass(mixer *m, size_t from, size_t n, dk_err *err)
{
    picked *pick = NULL;
    uint32_t row = 0;
    size_t k = 0;
    int rc = dk_alloc(&pick, n, sizeof *pick, "the rows of a pass", err);

    if (rc < 0)
        return rc;
    for (size_t i = 0; i < n; i++)
        pick[i] = (picked){ .row = m->order[from + i], .rank = i };
    qsort(pick, n, sizeof *pick, by_row);
    for (size_t i = 0; rc == 0 && i < m->n_files && k < n; i++)
        rc = read_file(m, i, pick, n, &row, &k, err);
    if (rc == 0 && k < n)
        rc = dk_fail(err, DK_EIO, "%s changed while it was read", m->path[m->n_files - 1]);
    if (rc == 0) {
        qsort(pick, n, sizeof *pick, by_rank);
        rc = take_all(m, pick, n, err);
    }
    for (size_t i = 0; i < n; i++)
        dk_free(pick[i].text);
    dk_free(pick);
    return rc;
}

int dk_corpus_add_shuffled(dk_corpus *c, size_t n, char *const *path, size_t max_docs, uint64_t seed, dk_err *err)
{
    mixer m = { .c = c, .n_files = n, .path = path, .file = dk_xcalloc(n, sizeof *m.file) };
    int rc = count(&m, err);

    for (size_t i = 0; i < n; i++)
        dk_corpus_name(c, path[i]);
    if (rc == 0 && (rc = dk_alloc(&m.order, m.n_rows, sizeof *m.order, "the order of the rows", err)) == 0)
        dk_permute(seed, m.order, m.n_rows);
    for (size_t from = 0; rc == 0 && from < m.n_rows && !dk_corpus_full(c);) {
        size_t some = max_docs ? 2 * max_docs : m.n_rows;

        some = some < LEAST_PICKED ? LEAST_PICKED : some;
        some = some < m.n_rows - from ? some : m.n_rows - from;
        rc = pass(&m, from, some, err);
        from += some;
    }
    for (size_t i = 0; i < n; i++)
        if (m.file[i]) {
            dk_corpus_replaced(c, m.file[i]);
            dk_textfile_close(&m.file[i]);
        }
    dk_free(m.file);
    dk_free(m.order);
    return rc;
}
