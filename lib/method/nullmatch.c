/* How much a module adds to its map, in the mean over tokens. */
#include <math.h>

#include "base/mem.h"
#include "method/null.h"

/* What a module and its null add, summed over rows. */
struct module { double own, turned; };

static int gram(double **g, const float *b, size_t out, size_t r, dk_err *err)
{
    const int rc = dk_alloc(g, r * r, sizeof **g, "a module's square", err);

    for (size_t i = 0; rc == 0 && i < out; i++)
        for (size_t j = 0; j < r; j++)
            for (size_t k = 0; k < r; k++)
                (*g)[j * r + k] += (double)b[i * r + j] * b[i * r + k];
    return rc;
}

/* |B A x|^2 = (A x)^T (B^T B) (A x) */
static double added(const float *a, const double *g, const float *x, size_t r, size_t in, double *y)
{
    double sum = 0;

    for (size_t j = 0; j < r; j++) {
        double s[4] = {0};
        size_t i = 0;

        for (; i + 4 <= in; i += 4)
            for (size_t c = 0; c < 4; c++)
                s[c] += (double)a[j * in + i + c] * x[i + c];
        for (; i < in; i++)
            s[0] += (double)a[j * in + i] * x[i];
        y[j] = s[0] + s[1] + s[2] + s[3];
    }
    for (size_t j = 0; j < r; j++)
        for (size_t k = 0; k < r; k++)
            sum += y[j] * g[j * r + k] * y[k];
    return sum;
}

/* Over all rows, which are added up in their order. */
static int effect(double *sum, const float *a, const float *b, const float *x, const dk_adapter_module *m, size_t rows,
                  dk_err *err)
{
    double *g = NULL, *each = NULL, *room = NULL;
    size_t all;
    int rc = dk_mul_size(&all, rows, m->r) ? dk_alloc(&room, all, sizeof *room, "inputs of modules", err)
                                           : dk_fail(err, DK_ENOMEM, "the modules do not fit in memory");

    if (rc == 0) rc = dk_alloc(&each, rows, sizeof *each, "inputs of modules", err);
    if (rc == 0) rc = gram(&g, b, m->out, m->r, err);
    if (rc == 0) {
        #pragma omp parallel for schedule(static)
        for (size_t t = 0; t < rows; t++)
            each[t] = added(a, g, x + t * m->in, m->r, m->in, room + t * m->r);
        for (size_t t = 0; t < rows; t++)
            *sum += each[t];
    }
    dk_free(g);
    dk_free(each);
    dk_free(room);
    return rc;
}

/* The factor goes into A; where either adds nothing there is none. */
static int apply(dk_null *n, const struct module *e, double *least, double *most, dk_err *err)
{
    *least = INFINITY;
    *most = 0;
    for (size_t i = 0; i < n->n; i++) {
        const dk_adapter_module *m = dk_adapter_at(n->from, i);
        const double f = sqrt(e[i].own / e[i].turned);

        if (!isfinite(e[i].own) || !isfinite(e[i].turned))
            return dk_fail(err, DK_ENUM, "%s: what it adds is NaN or infinite", m->path);
        if (!isfinite(f) || f <= 0)
            continue;
        *least = fmin(*least, f);
        *most = fmax(*most, f);
        for (size_t j = 0; j < m->r * m->in; j++)
            n->module[i].a[j] *= (float)f;
    }
    return 0;
}

int dk_null_match(dk_null *n, dk_null_inputs *in, double *least, double *most, dk_err *err)
{
    const size_t rows = dk_null_inputs_rows(in);
    struct module *e = NULL;
    double lo, hi;
    int rc = 0;

    if (n->head.a)
        return dk_fail(err, DK_EDATA, "%s changes the unembedding: --match effect does not do that", dk_adapter_path(n->from));
    e = dk_xcalloc(n->n + 1, sizeof *e);
    for (size_t i = 0; rc == 0 && i < n->n; i++) {
        const dk_adapter_module *m = dk_adapter_at(n->from, i);
        const float *x;

        rc = dk_null_inputs_of(in, m->layer, m->which, &x, err);
        if (rc == 0) rc = effect(&e[i].own, m->a, m->b, x, m, rows, err);
        if (rc == 0) rc = effect(&e[i].turned, n->module[i].a, n->module[i].b, x, m, rows, err);
    }
    if (rc == 0) rc = apply(n, e, &lo, &hi, err);
    if (rc == 0 && least) *least = lo;
    if (rc == 0 && most) *most = hi;
    dk_free(e);
    return rc;
}
