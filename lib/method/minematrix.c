#include "method/minematrix.h"

#include "base/mem.h"
#include "text/tokspec.h"

/* Where the entries come from. */
struct lists {
    const dk_tokens *t;
    const uint32_t *id, *group;
    const float *value;
    size_t k;
    bool binary;
};

static uint32_t token_of(const struct lists *l, size_t at)
{
    return l->group ? l->group[l->id[at]] : l->id[at];
}

/* column[token] = number + 1, by first meeting. */
static void number_columns(dk_mine_matrix *out, const struct lists *l, uint32_t *column, size_t batch)
{
    for (size_t d = 0; d < l->t->docs; d += batch) {
        const size_t end = d + batch < l->t->docs ? d + batch : l->t->docs;

        for (size_t j = 0; j < l->k; j++)
            for (size_t r = l->t->offset[d]; r < l->t->offset[end]; r++) {
                const uint32_t token = token_of(l, r * l->k + j);

                if (token == DK_NO_ID || column[token])
                    continue;
                out->token[out->m.cols] = token;
                column[token] = (uint32_t)++out->m.cols;
            }
    }
}

/* The row's entry of a column, which may be there from another token of the group. */
static void add_entry(dk_nmf_matrix *m, uint64_t first, uint64_t *n, uint32_t col, float v, bool grouped, bool binary)
{
    uint64_t i = grouped ? first : *n;

    while (i < *n && m->col[i] != col)
        i++;
    if (i < *n) {
        m->value[i] = binary ? 1 : m->value[i] + v;
        return;
    }
    m->col[*n] = col;
    m->value[(*n)++] = v;
}

int dk_mine_matrix_new(dk_mine_matrix *out, const dk_tokens *t, const uint32_t *id, const float *value, size_t k,
                       size_t vocab, const uint32_t *group, bool binary, size_t batch, dk_err *err)
{
    const struct lists l = { t, id, group, value, k, binary };
    uint32_t *column = NULL;
    uint64_t n = 0;
    size_t most;
    int rc = dk_mul_size(&most, t->rows, k) ? 0 : dk_fail(err, DK_ENOMEM, "the matrix does not fit in memory");

    *out = (dk_mine_matrix){ .m.rows = t->rows };
    for (size_t i = 0; rc == 0 && i < most; i++)
        if (id[i] >= vocab)
            rc = dk_fail(err, DK_EDATA, "a list has id %u, beyond a vocabulary of %zu", id[i], vocab);
    if (rc == 0) rc = dk_alloc(&column, vocab, sizeof *column, "columns", err);
    if (rc == 0) rc = dk_alloc(&out->token, vocab, sizeof *out->token, "columns", err);
    if (rc == 0) rc = dk_alloc(&out->m.at, t->rows + 1, sizeof *out->m.at, "a matrix", err);
    if (rc == 0) rc = dk_alloc(&out->m.col, most, sizeof *out->m.col, "a matrix", err);
    if (rc == 0) rc = dk_alloc(&out->m.value, most, sizeof *out->m.value, "a matrix", err);
    if (rc == 0)
        number_columns(out, &l, column, batch);
    for (size_t r = 0; rc == 0 && r < t->rows; r++) {
        for (size_t j = 0; j < k; j++) {
            const uint32_t token = token_of(&l, r * k + j);
            const float v = binary ? 1 : value[r * k + j];

            if (token != DK_NO_ID && v > 0)
                add_entry(&out->m, out->m.at[r], &n, column[token] - 1, v, group != NULL, binary);
        }
        out->m.at[r + 1] = n;
    }
    dk_free(column);
    if (rc < 0)
        dk_mine_matrix_free(out);
    return rc;
}

void dk_mine_matrix_free(dk_mine_matrix *m)
{
    dk_free(m->token);
    dk_free(m->m.at);
    dk_free(m->m.col);
    dk_free(m->m.value);
    *m = (dk_mine_matrix){0};
}
