/* What each document adds to means. */
#include "num/docmeans.h"

#include <string.h>

#include "base/mem.h"

struct dk_doc_means {
    size_t most, docs, used, n_pos, d;
    double *sum, *rows;             /* [docs, d], [docs] over all rows */
    float *pos;                     /* [used, n_pos, d] */
    uint64_t *id, *used_id;
};

size_t dk_doc_means_bytes(size_t docs, size_t n_pos, size_t d)
{
    size_t a, b;

    return dk_mul_size(&a, docs, d) && dk_mul_size(&b, a, n_pos * sizeof(float) + sizeof(double)) ? b : SIZE_MAX;
}

int dk_doc_means_new(dk_doc_means **out, size_t docs, size_t n_pos, size_t d, dk_err *err)
{
    dk_doc_means *m = dk_xcalloc(1, sizeof *m);
    const size_t each = docs * d;
    int rc = dk_doc_means_bytes(docs, n_pos, d) < SIZE_MAX
        ? 0 : dk_fail(err, DK_ENOMEM, "the documents' means do not fit in memory");

    m->most = docs;
    m->n_pos = n_pos;
    m->d = d;
    if (rc == 0) rc = dk_alloc(&m->sum, each, sizeof *m->sum, "the documents' means", err);
    if (rc == 0) rc = dk_alloc(&m->rows, docs, sizeof *m->rows, "the documents' means", err);
    if (rc == 0) rc = dk_alloc(&m->pos, each * n_pos, sizeof *m->pos, "the documents' means", err);
    if (rc == 0) rc = dk_alloc(&m->id, docs, sizeof *m->id, "the documents' means", err);
    if (rc == 0) rc = dk_alloc(&m->used_id, docs, sizeof *m->used_id, "the documents' means", err);
    if (rc < 0)
        dk_doc_means_free(&m);
    *out = m;
    return rc;
}

void dk_doc_means_free(dk_doc_means **mp)
{
    dk_doc_means *m = *mp;

    if (!m)
        return;
    dk_free(m->sum);
    dk_free(m->rows);
    dk_free(m->pos);
    dk_free(m->id);
    dk_free(m->used_id);
    dk_free(m);
    *mp = NULL;
}

void dk_doc_means_add(dk_doc_means *m, uint64_t id, const float *x, size_t n, size_t start)
{
    double *sum = m->sum + m->docs * m->d;

    DK_ASSERT(m->docs < m->most);
    for (size_t i = 0; i < n; i++)
        for (size_t j = 0; j < m->d; j++)
            sum[j] += x[i * m->d + j];
    m->rows[m->docs] = (double)n;
    m->id[m->docs++] = id;
    if (start == SIZE_MAX || m->n_pos == 0)
        return;
    memcpy(m->pos + m->used * m->n_pos * m->d, x + start * m->d, m->n_pos * m->d * sizeof *x);
    m->used_id[m->used++] = id;
}

int dk_doc_means_end(const dk_doc_means *m, dk_length *out, uint64_t seed, dk_err *err)
{
    double *row = NULL, *one = NULL;
    int rc = dk_alloc(&row, m->used * m->d, sizeof *row, "the documents' means", err);

    if (rc == 0)
        rc = dk_alloc(&one, m->used, sizeof *one, "the documents' means", err);
    for (size_t k = 0; rc == 0 && k < m->n_pos; k++) {
        for (size_t i = 0; i < m->used; i++) {
            one[i] = 1;
            for (size_t j = 0; j < m->d; j++)
                row[i * m->d + j] = m->pos[(i * m->n_pos + k) * m->d + j];
        }
        rc = dk_mean_length(&out[k], row, one, m->used_id, m->used, m->d, seed, err);
    }
    if (rc == 0)
        rc = dk_mean_length(&out[m->n_pos], m->sum, m->rows, m->id, m->docs, m->d, seed, err);
    dk_free(row);
    dk_free(one);
    return rc;
}
