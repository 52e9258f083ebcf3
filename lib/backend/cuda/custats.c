/* Statistics of rows: sums are formed on the card, and only they come back. */
#include "backend/cuda/cupriv.h"

#include <math.h>
#include <string.h>

enum { CHUNK = 128 };               /* documents whose sums are on the card at once */

/* What lies where in one piece of memory. */
struct layout { size_t used; };

static size_t take(struct layout *l, size_t n, size_t each)
{
    const size_t at = l->used;

    l->used += (n * each + 255) / 256 * 256;
    return at;
}

/* Of a batch: numbers of rows, as the card reads them. */
struct numbers { uint32_t *word; size_t doc, first, list, n; };

/* Rows by position, as many positions as there are rows with one. */
static size_t by_position(struct numbers *w, const dk_row_sums *a)
{
    const size_t rows = a->doc[a->n_docs];
    size_t n_pos = 0;
    uint32_t *first = w->word + w->first, *list = w->word + w->list;

    memset(first, 0, (a->n_pos + 1) * sizeof *first);
    for (size_t r = 0; r < rows; r++)
        if (a->pos[r] < a->n_pos) {
            first[a->pos[r] + 1]++;
            n_pos = a->pos[r] + (size_t)1 > n_pos ? a->pos[r] + (size_t)1 : n_pos;
        }
    for (size_t p = 0; p < a->n_pos; p++)
        first[p + 1] += first[p];
    for (size_t r = 0; r < rows; r++)       /* first[p] becomes the end of p ... */
        if (a->pos[r] < a->n_pos)
            list[first[a->pos[r]]++] = (uint32_t)r;
    memmove(first + 1, first, a->n_pos * sizeof *first);    /* ... which is where p + 1 begins */
    first[0] = 0;
    return n_pos;
}

static int numbers_of(struct numbers *w, const dk_row_sums *a, size_t *n_pos, dk_err *err)
{
    int rc;

    *w = (struct numbers){ .first = a->n_docs + 1, .list = a->n_docs + 1 + a->n_pos + 1 };
    w->n = w->list + a->doc[a->n_docs];
    rc = dk_alloc(&w->word, w->n, sizeof *w->word, "numbers of rows", err);
    if (rc < 0)
        return rc;
    for (size_t k = 0; k <= a->n_docs; k++)
        w->word[k] = (uint32_t)a->doc[k];
    *n_pos = by_position(w, a);
    return 0;
}

/* Sums of columns and of positions on the card; they come back in one piece. */
struct sums { char *d; size_t exact[4], min, max, pos, rounded, back, doc[4], numbers, all; };

static void lay_out(struct sums *s, const dk_row_sums *a, size_t n_pos, size_t numbers)
{
    const size_t docs = a->n_docs < CHUNK ? a->n_docs : CHUNK;
    struct layout l = {0};

    for (size_t i = 0; i < 4; i++)
        s->exact[i] = take(&l, a->width, sizeof(dk_cu_exact));
    s->min = take(&l, a->width, sizeof(float));
    s->max = take(&l, a->width, sizeof(float));
    s->pos = take(&l, n_pos * a->width, sizeof(dk_cu_exact));
    s->rounded = take(&l, a->doc_sum ? a->n_docs * a->width : 0, sizeof(double));
    s->back = l.used;
    for (size_t i = 0; i < 4; i++)
        s->doc[i] = take(&l, docs * a->width, i < 2 ? sizeof(dk_cu_exact) : sizeof(float));
    s->numbers = take(&l, numbers, sizeof(uint32_t));
    s->all = l.used;
}

static dk_cu_exact *exact_at(const struct sums *s, size_t at) { return (dk_cu_exact *)(void *)(s->d + at); }
static float *float_at(const struct sums *s, size_t at) { return (float *)(void *)(s->d + at); }

static int columns(dk_cuda *c, const struct sums *s, const dk_row_sums *a, dk_err *err)
{
    dk_cu_doc_sums docs = { exact_at(s, s->doc[0]), exact_at(s, s->doc[1]), float_at(s, s->doc[2]),
                            float_at(s, s->doc[3]), NULL };
    const dk_cu_column_sums to = { exact_at(s, s->exact[0]), exact_at(s, s->exact[1]), exact_at(s, s->exact[2]),
                                   exact_at(s, s->exact[3]), float_at(s, s->min), float_at(s, s->max) };
    const uint32_t *doc = (const uint32_t *)(void *)(s->d + s->numbers);
    int rc = dk_cuda_check(c, cudaMemsetAsync(s->d, 0, s->min, c->stream), "clearing memory", err);

    if (rc == 0)                    /* NaN: nothing yet */
        rc = dk_cuda_check(c, cudaMemsetAsync(s->d + s->min, 0xFF, s->pos - s->min, c->stream), "clearing memory", err);
    for (size_t k = 0, n; rc == 0 && k < a->n_docs; k += n) {
        n = a->n_docs - k < CHUNK ? a->n_docs - k : CHUNK;
        if (a->doc_sum)
            docs.rounded = (double *)(void *)(s->d + s->rounded) + k * a->width;
        rc = dk_cuda_check(c, dk_cu_doc_sums_of(c->stream, &docs, a->x, doc + k, n, a->width), "sums of documents", err);
        if (rc == 0)
            rc = dk_cuda_check(c, dk_cu_add_docs(c->stream, &to, &docs, doc + k, n, a->width), "sums of columns", err);
    }
    return rc;
}

/* Adds what came back to what the caller has. */
static void hand_over(const struct sums *s, const char *from, const dk_row_sums *a, size_t n_pos)
{
    dk_exact *const to[4] = { a->sum, a->sumsq, a->doc_mean, a->doc_mean_sq };
    const float *low = (const float *)(const void *)(from + s->min), *high = (const float *)(const void *)(from + s->max);
    const dk_exact *pos = (const dk_exact *)(const void *)(from + s->pos);

    for (size_t i = 0; i < 4; i++) {
        const dk_exact *more = (const dk_exact *)(const void *)(from + s->exact[i]);

        for (size_t j = 0; j < a->width; j++)
            to[i][j] += more[j];
    }
    for (size_t j = 0; j < a->width; j++) {
        a->min[j] = a->first || low[j] < a->min[j] ? low[j] : a->min[j];
        a->max[j] = a->first || high[j] > a->max[j] ? high[j] : a->max[j];
    }
    for (size_t i = 0; i < n_pos * a->width; i++)
        a->pos_sum[i] += pos[i];
    for (size_t k = 0; a->doc_sum && k < a->n_docs; k++)
        if (a->doc[k + 1] > a->doc[k])
            memcpy(a->doc_sum + k * a->width, from + s->rounded + k * a->width * sizeof(double), a->width * sizeof(double));
}

int dk_cuda_row_sums(dk_dev *dev, const dk_row_sums *a, dk_err *err)
{
    dk_cuda *c = dk_cuda_of(dev);
    struct numbers w = {0};
    struct sums s = {0};
    char *back = NULL;
    size_t n_pos = 0;
    int rc = dk_cuda_ready(c, err);

    if (rc < 0 || a->width == 0 || a->doc[a->n_docs] == 0)
        return rc;
    DK_ASSERT(a->doc[a->n_docs] < UINT32_MAX);
    rc = numbers_of(&w, a, &n_pos, err);
    if (rc == 0) {
        lay_out(&s, a, n_pos, w.n);
        rc = dk_cuda_room(c, &s.d, DK_CUDA_STATS, s.all, "statistics", err);
    }
    if (rc == 0)
        rc = dk_alloc(&back, s.back, 1, "statistics", err);
    if (rc == 0)
        rc = dk_cuda_put(dev, s.d + s.numbers, w.word, w.n * sizeof *w.word, err);
    if (rc == 0)
        rc = columns(c, &s, a, err);
    if (rc == 0) {
        const uint32_t *word = (const uint32_t *)(void *)(s.d + s.numbers);

        rc = dk_cuda_check(c, dk_cu_pos_sums(c->stream, exact_at(&s, s.pos), a->x, word + w.first, word + w.list, n_pos,
                                             a->width), "sums of positions", err);
    }
    if (rc == 0)
        rc = dk_cuda_get(dev, back, s.d, s.back, err);
    if (rc == 0)
        hand_over(&s, back, a, n_pos);
    dk_free(back);
    dk_free(w.word);
    return rc;
}

int dk_cuda_row_products(dk_dev *dev, double *out, const float *own, const float *base, const float *diff, size_t rows,
                         size_t width, dk_err *err)
{
    dk_cuda *c = dk_cuda_of(dev);
    double *d = NULL;
    int rc = dk_cuda_room(c, &d, DK_CUDA_STATS, rows * DK_ROW_PRODUCTS * sizeof *d, "statistics", err);

    if (rc == 0)
        rc = dk_cuda_check(c, dk_cu_row_products(c->stream, d, own, base, diff, rows, width), "products of rows", err);
    return rc == 0 ? dk_cuda_get(dev, out, d, rows * DK_ROW_PRODUCTS * sizeof *d, err) : rc;
}

int dk_cuda_scatter(dk_dev *dev, double *to, const float *x, size_t n, size_t width, dk_err *err)
{
    dk_cuda *c = dk_cuda_of(dev);
    const int rc = dk_cuda_ready(c, err);

    return rc < 0 ? rc : dk_cuda_check(c, dk_cu_scatter(c->stream, to, x, n, width), "products of activations", err);
}
