/* Packed products: equal to a double sum, and the same bits for any number of
 * rows, place of a row and number of threads. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "backend/product.h"
#include "base/mem.h"
#include "base/rng.h"
#include "base/thread.h"
#include "num/half.h"
#include "tap.h"

struct source { size_t k; uint64_t seed; };

static float value(uint64_t seed, size_t i, size_t j)
{
    return (float)dk_uniform(dk_ctr(seed, 9, i, j)) - 0.5f;
}

static int rows_of(void *arg, float *rows, size_t row0, size_t n, dk_err *err)
{
    const struct source *s = arg;

    (void)err;
    for (size_t i = 0; i < n; i++)
        for (size_t j = 0; j < s->k; j++)
            rows[i * s->k + j] = value(s->seed, row0 + i, j);
    return 0;
}

static float round_to(float x, dk_dtype t)
{
    return t == DK_BF16 ? dk_bf16_f32(dk_f32_bf16(x)) : x;
}

/* Inputs below 1/2 in size: a sum of k products rounds by at most about
 * k * 2^-24 * 1/4 times a small factor. */
static void one(size_t m, size_t n, size_t k, dk_dtype t)
{
    struct source src = { k, 5 };
    dk_err err = {0};
    dk_weight *w = NULL;
    dk_lhs *lhs = NULL;
    float *x, *y, *z;
    double worst = 0;
    bool same = true, few = true, own;

    dk_alloc(&x, m * k, 4, "x", &err);
    dk_alloc(&y, dk_padded_rows(m) * n, 4, "y", &err);
    dk_alloc(&z, (dk_padded_rows(m) + DK_BLOCK_ROWS_MAX) * n, 4, "z", &err);
    for (size_t i = 0; i < m; i++)
        for (size_t j = 0; j < k; j++)
            x[i * k + j] = value(6, i, j);
    dk_threads_set(2);
    if (dk_weight_pack(&w, n, k, t, rows_of, &src, &err) < 0 ||
        dk_lhs_new(&lhs, m, k, t, &err) < 0) {
        tap(false, "%zu x %zu x %zu: %s", m, n, k, err.msg);
        return;
    }
    own = strncmp(dk_weight_kernel(w), "panels", 6) == 0;       /* others compute blocks whole */
    dk_lhs_set(lhs, x, k, m, k);
    tap(dk_product(y, n, lhs, w, &err) == 0, "%zu x %zu x %zu %s runs", m, n, k, dk_dtype_name(t));
    for (size_t i = 0; i < m; i += 7)
        for (size_t j = 0; j < n; j += 5) {
            double s = 0;

            for (size_t c = 0; c < k; c++)
                s += (double)round_to(x[i * k + c], t) * round_to(value(5, j, c), t);
            if (!(fabs(s - y[i * n + j]) <= worst))
                worst = fabs(s - y[i * n + j]);
        }
    tap(worst <= 4e-8 * (double)k, "... within %.1e of the double sum", worst);
    dk_threads_set(1);
    for (size_t rows = 1; rows <= m && same; rows = rows < 9 ? rows + 1 : rows + 13) {
        const size_t first = (m - rows) / 2;

        dk_lhs_set(lhs, x + first * k, k, rows, k);
        same = dk_product(z, n, lhs, w, &err) == 0 && memcmp(z, y + first * n, rows * n * 4) == 0;
    }
    tap(same, "... the same bits for every number of rows, shifted, with one thread");
    for (size_t s = 0; s < dk_weight_strips(w); s++) {
        size_t first, cols;

        dk_weight_strip(w, s, &first, &cols);
        dk_lhs_set(lhs, x, k, m, k);
        for (size_t rows = m < dk_block_rows() ? m : dk_block_rows(); rows > 0; rows /= 3) {
            memset(z, 0, dk_block_rows() * dk_weight_strip_max(w) * sizeof *z);
            same = same && dk_product_strip(z, dk_weight_strip_max(w), lhs, 0, rows, w, s, &err) == 0;
            for (size_t i = 0; i < rows; i++)
                same = same && memcmp(z + i * dk_weight_strip_max(w), y + i * n + first, cols * 4) == 0;
            for (size_t i = rows + 6; own && i < dk_block_rows(); i++)
                few = few && z[i * dk_weight_strip_max(w)] == 0;
        }
    }
    tap(few, "... of a block no more rows than were asked for and a tile");
    tap(same, "... and strip by strip (%zu strips, %s)", dk_weight_strips(w), dk_weight_kernel(w));
    dk_weight_free(&w);
    dk_lhs_free(&lhs);
    dk_free(x);
    dk_free(y);
    dk_free(z);
}

int main(void)
{
    const size_t shape[][3] = { { 130, 576, 576 }, { 61, 960, 576 }, { 97, 3072, 576 }, { 50, 576, 1536 },
                                { 49, 1024, 64 }, { 7, 33, 17 }, { 1, 1, 1 }, { 53, 514, 96 } };
    dk_err err = {0};

    for (size_t i = 0; i < sizeof shape / sizeof *shape; i++) {
        one(shape[i][0], shape[i][1], shape[i][2], DK_F32);
        one(shape[i][0], shape[i][1], shape[i][2], DK_BF16);
    }
    tap(err.code == 0, "no error is left");
    return tap_end();
}
