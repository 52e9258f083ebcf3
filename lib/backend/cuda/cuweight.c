/* Weights on the card, and the left sides of products.
 *
 * A weight is filled chunk by chunk: threads take rows from the source and round
 * them into a page-locked buffer while the one before is on its way.  One that does
 * not stay on the card is filled where it lies (custream.c). */
#include "backend/cuda/cupriv.h"

#include <omp.h>
#include <string.h>

#include "num/half.h"

enum { ROWS = 16 };     /* that a thread asks the source for at once */
static const size_t chunk = (size_t)8 << 20;

static size_t each(dk_dtype t) { return t == DK_BF16 ? 2 : 4; }

/* Rows of bf16 begin at multiples of 16 bytes. */
static size_t stride(size_t k, dk_dtype t) { return t == DK_BF16 ? (k + 7) / 8 * 8 : k; }

static void narrow(uint16_t *to, const float *from, size_t k, size_t ld)
{
    for (size_t i = 0; i < k; i++)
        to[i] = dk_f32_bf16(from[i]);
    for (size_t i = k; i < ld; i++)
        to[i] = 0;
}

struct source { dk_row_source *rows; void *arg; float *work; };      /* work [thread][ROWS, k] */

/* Rows row0 .. row0 + n - 1 of w, as the card holds them. */
static int fill(char *to, const dk_weight *w, const struct source *src, size_t row0, size_t n, dk_err *err)
{
    int failed = 0;

    #pragma omp parallel for schedule(dynamic) reduction(| : failed)
    for (size_t i = 0; i < n; i += ROWS) {
        const size_t rows = n - i < ROWS ? n - i : ROWS;
        float *work = src->work + (size_t)omp_get_thread_num() * ROWS * w->k;
        dk_err local = {0};

        if (w->dtype == DK_F32)
            work = (float *)(void *)(to + i * w->ld * sizeof(float));
        if (src->rows(src->arg, work, row0 + i, rows, &local) < 0) {
            failed = 1;
            #pragma omp critical(dk_cuda_fill)
            dk_fail(err, local.code, "%s", local.msg);
            continue;
        }
        for (size_t r = 0; w->dtype == DK_BF16 && r < rows; r++)
            narrow((uint16_t *)(void *)(to + (i + r) * w->ld * 2), work + r * w->k, w->k, w->ld);
    }
    return failed ? (err && err->code ? err->code : DK_EDATA) : 0;
}

static int send(dk_cuda *c, const dk_weight *w, const struct source *src, dk_err *err)
{
    const size_t row = w->ld * each(w->dtype), step = row < chunk ? chunk / row : 1;
    int rc = 0;

    if (w->host)
        return fill(w->host, w, src, 0, w->n, err);
    for (size_t r = 0, i = 0; rc == 0 && r < w->n; r += step, i++) {
        struct dk_cuda_pin *pin = &c->pin[i % DK_CUDA_PINS];
        const size_t n = w->n - r < step ? w->n - r : step;

        rc = dk_cuda_pin_take(c, pin, n * row, err);
        if (rc == 0)
            rc = fill(pin->p, w, src, r, n, err);
        if (rc == 0)
            rc = dk_cuda_check(c, cudaMemcpyAsync((char *)w->d + r * row, pin->p, n * row, DK_CUDA_TO_DEVICE,
                                                  c->stream), "copying weights to the card", err);
        if (rc == 0)
            rc = dk_cuda_pin_mark(c, pin, err);
    }
    return rc;
}

int dk_cuda_weight_pack(dk_dev *dev, dk_weight **out, size_t n, size_t k, dk_dtype dtype, dk_row_source *src,
                        void *arg, dk_err *err)
{
    dk_cuda *c = dk_cuda_of(dev);
    dk_weight *w = dk_xcalloc(1, sizeof *w);
    struct source s = { src, arg, NULL };
    size_t bytes;
    int rc = 0;

    *w = (dk_weight){ .n = n, .k = k, .ld = stride(k, dtype), .dtype = dtype };
    if (!dk_mul_size(&bytes, n, w->ld * each(dtype)))
        rc = dk_fail(err, DK_ENOMEM, "a weight of %zu x %zu does not fit in memory", n, k);
    if (rc == 0)
        rc = dk_cuda_stays(c, bytes) ? dk_cuda_alloc(dev, &w->d, bytes, "the weights", err) : dk_cuda_stream_new(c, w, err);
    if (rc == 0 && dtype == DK_BF16)
        rc = dk_alloc(&s.work, (size_t)omp_get_max_threads() * ROWS * k, sizeof(float), "rows of a weight", err);
    if (rc == 0)
        rc = send(c, w, &s, err);
    dk_free(s.work);
    if (rc < 0)
        dk_cuda_weight_free(dev, &w);
    else
        c->bf16 = c->bf16 || dtype == DK_BF16;
    *out = w;
    return rc;
}

void dk_cuda_weight_free(dk_dev *dev, dk_weight **w)
{
    if (*w) {
        dk_cuda_weight_drop_sides(dev, *w);
        dk_cuda_stream_drop(dk_cuda_of(dev), *w);
        dk_cuda_release(dev, (*w)->d);
        dk_free(*w);
        *w = NULL;
    }
}

int dk_cuda_lhs_new(dk_dev *dev, dk_lhs **out, size_t max_rows, size_t max_k, dk_dtype dtype, dk_err *err)
{
    dk_lhs *x = dk_xcalloc(1, sizeof *x);
    size_t bytes;
    int rc = 0;

    *x = (dk_lhs){ .max_rows = max_rows, .max_k = max_k, .dtype = dtype };
    if (!dk_mul_size(&bytes, max_rows, stride(max_k, DK_BF16) * 2))
        rc = dk_fail(err, DK_ENOMEM, "the batch does not fit in memory");
    if (rc == 0 && dtype == DK_BF16)
        rc = dk_cuda_alloc(dev, &x->data, bytes, "the rows of a batch", err);
    if (rc < 0)
        dk_cuda_lhs_free(dev, &x);
    *out = x;
    return rc;
}

void dk_cuda_lhs_free(dk_dev *dev, dk_lhs **x)
{
    if (*x) {
        dk_cuda_release(dev, (*x)->data);
        dk_free(*x);
        *x = NULL;
    }
}

void dk_cuda_lhs_set(dk_dev *dev, dk_lhs *lhs, const float *x, size_t ldx, size_t m, size_t k)
{
    dk_cuda *c = dk_cuda_of(dev);

    DK_ASSERT(m <= lhs->max_rows && k <= lhs->max_k);
    lhs->m = m;
    lhs->k = k;
    lhs->x = lhs->dtype == DK_BF16 ? lhs->data : x;
    lhs->ld = lhs->dtype == DK_BF16 ? stride(k, DK_BF16) : ldx;
    if (lhs->dtype != DK_BF16 || m == 0)
        return;
    if (lhs->ld != k)
        dk_cuda_zero(dev, lhs->data, m * lhs->ld * 2);
    dk_cuda_note(c, dk_cu_to_bf16(c->stream, lhs->data, lhs->ld, x, ldx, m, k), "rounding to bf16");
}
