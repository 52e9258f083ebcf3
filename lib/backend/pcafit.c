/* Principal components. */
#include "backend/pcafit.h"

#include <limits.h>
#include <math.h>
#include <string.h>

#include "backend/blasdyn.h"
#include "backend/eigen.h"
#include "base/mem.h"
#include "base/thread.h"
#include "num/kernel_scatter.h"

enum { BLOCK = 1024, PIECE = 64 };

struct dk_pca_fit {
    size_t d, k;
    dk_pca_plan plan;
    uint64_t n;                     /* rows that are in the sums or the model */
    size_t waiting, room;
    float *wait;                    /* [room, d] */
    double *x;                      /* exact: a block, shifted, as panels; else the matrix of an update */
    double *shift, *sum, *scatter;  /* exact: rows minus shift, their sum, their products (lower triangle) */
    double *part;                   /* [BLOCK / PIECE, d] sums of the pieces of a block */
    dk_pca model;                   /* in batches */
};

/* --- making and freeing -------------------------------------------------------- */
void dk_pca_free(dk_pca *p)
{
    dk_free(p->mean);
    dk_free(p->var);
    dk_free(p->vector);
    dk_free(p->value);
    dk_free(p->singular);
    *p = (dk_pca){0};
}

static int doubles(double **out, size_t a, size_t b, dk_err *err)
{
    size_t n;

    if (!dk_mul_size(&n, a, b))
        return dk_fail(err, DK_ENOMEM, "components of this size do not fit in memory");
    return dk_alloc(out, n, sizeof **out, "principal components", err);
}

static int new_model(dk_pca *p, size_t d, size_t k, dk_err *err)
{
    int rc;

    *p = (dk_pca){ .d = d, .k = k, .squares = NAN };
    if ((rc = doubles(&p->mean, d, 1, err)) == 0 && (rc = doubles(&p->var, d, 1, err)) == 0 &&
        (rc = doubles(&p->vector, k, d, err)) == 0 && (rc = doubles(&p->value, k, 1, err)) == 0)
        rc = doubles(&p->singular, k, 1, err);
    return rc;
}

static size_t panels(size_t d) { return (d + DK_PANEL - 1) / DK_PANEL; }

/* Of a panel with room for a few rows more, so that the same row of all panels does not meet in one set of the cache. */
enum { PANEL_SIZE = (BLOCK + 3) * DK_PANEL };

static int new_exact(dk_pca_fit *f, dk_err *err)
{
    int rc;

    f->room = BLOCK;
    if ((rc = doubles(&f->x, panels(f->d), PANEL_SIZE, err)) == 0 && (rc = doubles(&f->shift, f->d, 1, err)) == 0 &&
        (rc = doubles(&f->sum, f->d, 1, err)) == 0 && (rc = doubles(&f->part, BLOCK / PIECE, f->d, err)) == 0)
        rc = doubles(&f->scatter, f->d, f->d, err);
    return rc;
}

/* Room for a batch and the rows by which it is known that it is not the last. */
static int new_batches(dk_pca_fit *f, dk_err *err)
{
    size_t rows;
    int rc;

    if (f->plan.batch < f->k)
        return dk_fail(err, DK_EUSAGE, "a batch of %zu rows does not give %zu components", f->plan.batch, f->k);
    f->room = f->plan.batch + f->k;
    rows = f->room + f->k + 1;
    if (rows > INT_MAX)
        return dk_fail(err, DK_EUSAGE, "a batch of %zu rows is too large", f->plan.batch);
    if ((rc = doubles(&f->x, rows, f->d, err)) == 0)
        rc = new_model(&f->model, f->d, f->k, err);
    return rc;
}

int dk_pca_fit_new(dk_pca_fit **out, size_t d, const dk_pca_plan *plan, dk_err *err)
{
    dk_pca_fit *f = dk_xcalloc(1, sizeof *f);
    size_t n = 0;
    int rc;

    f->d = d;
    f->k = plan->k && plan->k < d ? plan->k : d;
    f->plan = *plan;
    *out = f;
    if (d == 0 || d > INT_MAX / 2)
        rc = dk_fail(err, DK_EFORMAT, "rows of %zu values have no components", d);
    else if ((rc = dk_blas_load(err)) == 0)
        rc = plan->batch ? new_batches(f, err) : new_exact(f, err);
    if (rc == 0)
        rc = dk_mul_size(&n, f->room, d) ? dk_alloc(&f->wait, n, sizeof *f->wait, "rows of a batch", err)
                                         : dk_fail(err, DK_ENOMEM, "a batch does not fit in memory");
    if (rc < 0)
        dk_pca_fit_free(out);
    return rc;
}

void dk_pca_fit_free(dk_pca_fit **fp)
{
    dk_pca_fit *f = fp ? *fp : NULL;

    if (!f)
        return;
    dk_free(f->wait);
    dk_free(f->x);
    dk_free(f->shift);
    dk_free(f->sum);
    dk_free(f->scatter);
    dk_free(f->part);
    dk_pca_free(&f->model);
    dk_free(f);
    *fp = NULL;
}

/* --- small words ------------------------------------------------------------------ */
/* The largest entry is positive; of equal ones the first. */
void dk_pca_orient(double *v, size_t d)
{
    size_t at = 0;

    for (size_t j = 1; j < d; j++)
        if (fabs(v[j]) > fabs(v[at]))
            at = j;
    if (v[at] < 0)
        for (size_t j = 0; j < d; j++)
            v[j] = 0 - v[j];        /* no negative zeros */
}

/* Rows that are all the same have a variance that is nothing but rounding. */
static int check_variance(const dk_pca *p, dk_err *err)
{
    double mean = 0, var = 0;

    for (size_t j = 0; j < p->d; j++) {
        mean += p->mean[j] * p->mean[j];
        var += p->var[j];
    }
    return var > 1e-28 * mean ? 0 : dk_fail(err, DK_EDATA, "all %ju rows are the same: there are no components",
                                            (uintmax_t)p->n);
}

/* --- exact -------------------------------------------------------------------------- */
/* The products of the columns of panel i with those of panel j, at and left of it. */
static void add_pair(dk_pca_fit *f, size_t i, size_t j, size_t n)
{
    const size_t d = f->d, row = i * DK_PANEL, col = j * DK_PANEL;
    double out[DK_PANEL * DK_PANEL];

    dk_scatter_pair(out, f->x + i * PANEL_SIZE, f->x + j * PANEL_SIZE, n);
    for (size_t r = 0; r < DK_PANEL && row + r < d; r++)
        for (size_t c = 0; c < DK_PANEL && col + c < d; c++)
            f->scatter[(row + r) * d + col + c] += out[r * DK_PANEL + c];
}

/* Shifted by the first rows' mean, so that a large mean costs no digits. */
static void add_block(dk_pca_fit *f, const float *rows, size_t n)
{
    const size_t d = f->d, side = panels(d), pairs = side * (side + 1) / 2;

    if (f->n == 0) {
        for (size_t i = 0; i < n; i++)
            for (size_t j = 0; j < d; j++)
                f->shift[j] += rows[i * d + j];
        for (size_t j = 0; j < d; j++)
            f->shift[j] /= (double)n;
    }
#pragma omp parallel
    {
#pragma omp for
        for (size_t r = 0; r < n; r += PIECE)
            dk_scatter_pack(f->x + r * DK_PANEL, PANEL_SIZE, f->part + r / PIECE * d, rows + r * d, f->shift,
                            n - r < PIECE ? n - r : PIECE, d);
#pragma omp for schedule(dynamic)
        for (size_t t = 0; t < pairs; t++) {
            size_t i = 0, j = t;

            while (j > i)
                j -= ++i;
            add_pair(f, i, j, n);
        }
    }
    for (size_t r = 0; r < n; r += PIECE)
        for (size_t j = 0; j < d; j++)
            f->sum[j] += f->part[r / PIECE * d + j];
    f->n += n;
}

/* Of the symmetric matrix that m is the lower triangle of: the sum of its squared eigenvalues. */
static double squares(const double *m, size_t d)
{
    double sum = 0;

    for (size_t i = 0; i < d; i++) {
        for (size_t j = 0; j < i; j++)
            sum += 2 * m[i * d + j] * m[i * d + j];
        sum += m[i * d + i] * m[i * d + i];
    }
    return sum;
}

static int end_exact(dk_pca_fit *f, dk_pca *p, dk_err *err)
{
    const size_t d = f->d;
    double *w = NULL, *z = NULL, n, of, kept = 0;
    size_t k, most;
    int rc;

    if (f->waiting)
        add_block(f, f->wait, f->waiting);
    f->waiting = 0;
    if (f->n < 2)
        return dk_fail(err, DK_EDATA, "%ju row%s: components need at least 2", (uintmax_t)f->n, f->n == 1 ? "" : "s");
    n = (double)f->n;
    of = f->plan.uncentred ? n : n - 1;
    most = of < (double)d ? (size_t)of : d;         /* centred rows span one less than there are */
    k = f->k < most ? f->k : most;
    if ((rc = new_model(p, d, k, err)) < 0 || (rc = doubles(&w, d, 1, err)) < 0 || (rc = doubles(&z, k, d, err)) < 0)
        goto out;
    p->n = f->n;
    for (size_t i = 0; i < d; i++) {
        f->sum[i] /= n;
        p->mean[i] = f->shift[i] + f->sum[i];
        for (size_t j = 0; j <= i; j++)
            f->scatter[i * d + j] -= n * f->sum[i] * f->sum[j];
        p->var[i] = fmax(f->scatter[i * d + i], 0) / n;
        for (size_t j = 0; f->plan.uncentred && j <= i; j++)
            f->scatter[i * d + j] += n * p->mean[i] * p->mean[j];
        p->total += fmax(f->scatter[i * d + i], 0) / of;
    }
    p->squares = squares(f->scatter, d) / of / of;
    rc = f->plan.uncentred && p->total > 0 ? 0 : check_variance(p, err);
    if (rc < 0 || (rc = dk_eigen(w, z, f->scatter, d, k, err)) < 0)
        goto out;
    for (size_t i = 0; i < k; i++) {
        memcpy(p->vector + i * d, z + (k - 1 - i) * d, d * sizeof *z);
        dk_pca_orient(p->vector + i * d, d);
        p->singular[i] = sqrt(fmax(w[k - 1 - i], 0));
        p->value[i] = fmax(w[k - 1 - i], 0) / of;
        kept += p->value[i];
    }
    p->noise = k < most ? fmax(p->total - kept, 0) / (double)(most - k) : 0;
out:
    dk_free(w);
    dk_free(z);
    return rc;
}

/* --- in batches ------------------------------------------------------------------------ */
/* Mean and variance with m more rows whose sums are s. */
static void update_moments(dk_pca *p, const float *rows, size_t m, const double *s)
{
    const double n = (double)p->n, all = n + (double)m, r = n / (double)m;

    for (size_t j = 0; j < p->d; j++) {
        const double own = s[j] / (double)m;
        double sq = 0, rest = 0;

        for (size_t i = 0; i < m; i++) {
            const double e = rows[i * p->d + j] - own;

            sq += e * e;
            rest += e;
        }
        sq -= rest * rest / (double)m;
        if (p->n)
            sq += p->var[j] * n + r / all * (p->mean[j] * (double)m - s[j]) * (p->mean[j] * (double)m - s[j]);
        p->var[j] = sq / all;
        p->mean[j] = (p->mean[j] * n + s[j]) / all;
    }
}

/* The model's components as rows, the new rows about their own mean, and one row
 * for how far the two means are apart. */
static size_t update_matrix(dk_pca_fit *f, const float *rows, size_t m, const double *s)
{
    const dk_pca *p = &f->model;
    const size_t d = f->d, first = p->n ? f->k : 0;
    const double n = (double)p->n;

    for (size_t i = 0; i < first; i++)
        for (size_t j = 0; j < d; j++)
            f->x[i * d + j] = p->singular[i] * p->vector[i * d + j];
    for (size_t i = 0; i < m; i++)
        for (size_t j = 0; j < d; j++)
            f->x[(first + i) * d + j] = rows[i * d + j] - s[j] / (double)m;
    for (size_t j = 0; first && j < d; j++)
        f->x[(first + m) * d + j] = sqrt(n * (double)m / (n + (double)m)) * (p->mean[j] - s[j] / (double)m);
    return first ? first + m + 1 : m;
}

static int svd(double *x, size_t rows, size_t d, double *s, double *u, dk_err *err)
{
    const int m = (int)d, n = (int)rows, ask = -1, one = 1;
    double *work = NULL, want = 0, nothing = 0;
    int info = 0, lwork, rc;
    const int threads = dk_blas_alone();

    dk_blas.dgesvd_("S", "N", &m, &n, x, &m, s, u, &m, &nothing, &one, &want, &ask, &info);
    lwork = (int)want;
    if ((rc = doubles(&work, (size_t)lwork + 1, 1, err)) == 0)
        dk_blas.dgesvd_("S", "N", &m, &n, x, &m, s, u, &m, &nothing, &one, work, &lwork, &info);
    dk_threads_set(threads);
    dk_free(work);
    return rc < 0 ? rc : info == 0 ? 0 : dk_fail(err, DK_ENUM, "the singular values were not found (LAPACK's dgesvd says %d)", info);
}

static int update(dk_pca_fit *f, const float *rows, size_t m, dk_err *err)
{
    dk_pca *p = &f->model;
    double *sum = NULL, *s = NULL, *u = NULL, all;
    size_t z_rows, rank;
    int rc = 0;

    if (m < f->k)
        return dk_fail(err, DK_EDATA, "%zu rows do not give %zu components", m, f->k);
    if ((rc = doubles(&sum, f->d, 1, err)) == 0 && (rc = doubles(&s, f->d, 1, err)) == 0)
        rc = doubles(&u, f->d, f->d, err);
    if (rc < 0)
        goto out;
    for (size_t i = 0; i < m; i++)
        for (size_t j = 0; j < f->d; j++)
            sum[j] += rows[i * f->d + j];
    z_rows = update_matrix(f, rows, m, sum);
    rank = z_rows < f->d ? z_rows : f->d;
    if ((rc = svd(f->x, z_rows, f->d, s, u, err)) < 0)
        goto out;
    update_moments(p, rows, m, sum);
    p->n += m;
    all = (double)p->n;
    memcpy(p->vector, u, f->k * f->d * sizeof *u);
    for (size_t i = 0; i < f->k; i++) {
        dk_pca_orient(p->vector + i * f->d, f->d);
        p->singular[i] = s[i];
        p->value[i] = s[i] * s[i] / (all - 1);
    }
    p->noise = p->total = 0;
    for (size_t i = f->k; f->k < m && i < rank; i++)
        p->noise += s[i] * s[i] / (all - 1) / (double)(rank - f->k);
    for (size_t j = 0; j < f->d; j++)
        p->total += p->var[j] * all / (all - 1);
out:
    dk_free(sum);
    dk_free(s);
    dk_free(u);
    return rc;
}

static int end_batches(dk_pca_fit *f, dk_pca *p, dk_err *err)
{
    const size_t rest = f->plan.drop_last ? f->waiting - f->waiting % f->plan.batch : f->waiting;
    int rc = rest ? update(f, f->wait, rest, err) : 0;

    if (rc == 0 && f->model.n < 2)
        rc = f->plan.drop_last ? dk_fail(err, DK_EDATA, "%zu rows do not fill a batch of %zu", f->waiting, f->plan.batch)
                               : dk_fail(err, DK_EDATA, "%zu row%s: components need at least 2", f->waiting,
                                         f->waiting == 1 ? "" : "s");
    if (rc == 0 && (rc = check_variance(&f->model, err)) == 0) {
        *p = f->model;
        f->model = (dk_pca){0};
    }
    return rc;
}

/* --- rows ---------------------------------------------------------------------------------- */
static int flush(dk_pca_fit *f, dk_err *err)
{
    const size_t batch = f->plan.batch;
    int rc;

    if (!batch) {
        add_block(f, f->wait, f->waiting);
        f->waiting = 0;
        return 0;
    }
    if ((rc = update(f, f->wait, batch, err)) < 0)
        return rc;
    f->waiting -= batch;
    memmove(f->wait, f->wait + batch * f->d, f->waiting * f->d * sizeof *f->wait);
    return 0;
}

int dk_pca_fit_add(dk_pca_fit *f, const float *rows, size_t n, dk_err *err)
{
    int rc = 0;

    for (size_t m; rc == 0 && n; rows += m * f->d, n -= m) {
        m = n < f->room - f->waiting ? n : f->room - f->waiting;
        if (!f->plan.batch && m == BLOCK) {         /* a whole block need not wait */
            add_block(f, rows, BLOCK);
            continue;
        }
        memcpy(f->wait + f->waiting * f->d, rows, m * f->d * sizeof *rows);
        f->waiting += m;
        if (f->waiting == f->room)
            rc = flush(f, err);
    }
    return rc;
}

int dk_pca_fit_end(dk_pca_fit *f, dk_pca *out, dk_err *err)
{
    int rc;

    *out = (dk_pca){0};
    rc = f->plan.batch ? end_batches(f, out, err) : end_exact(f, out, err);
    if (rc < 0)
        dk_pca_free(out);
    return rc;
}

int dk_pca_of_sums(dk_pca *out, size_t d, const dk_pca_plan *plan, uint64_t n, const double *sum, const double *products,
                   dk_err *err)
{
    dk_pca_fit *f = NULL;
    int rc = dk_pca_fit_new(&f, d, plan, err);

    *out = (dk_pca){0};
    if (rc < 0)
        return rc;
    f->n = n;
    for (size_t i = 0; i < d; i++) {
        f->sum[i] = sum[i];
        for (size_t j = 0; j <= i; j++)
            f->scatter[i * d + j] = products[j * d + i];
    }
    rc = dk_pca_fit_end(f, out, err);
    dk_pca_fit_free(&f);
    return rc;
}
