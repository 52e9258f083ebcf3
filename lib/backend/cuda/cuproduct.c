/* Products through cuBLASLt.
 *
 * Row-major y = x W^T is, read by columns, y' = W' x' with W' [k, n] transposed.
 * One algorithm serves all products of a (n, k, dtype) with more than SMALL rows:
 * the library's first choice for a nominal number of rows, without split sums.
 * So a row's bits do not depend on how many rows there are.  For fewer rows the
 * first algorithm chosen for few rows is taken that gives the same bits as the
 * other (compared on the weight itself); where none does, the other.
 *
 * Where the library is missing, dk_cu_product does the work. */
#include "backend/cuda/cupriv.h"

#include <string.h>

enum { SMALL = 64, NOMINAL_SMALL = 32, NOMINAL_LARGE = 2048, TRIAL_ROWS = 24, MAX_FOUND = 24, ALIGN_MAX = 16 };
static const size_t workspace_bytes = (size_t)32 << 20;

void dk_cuda_products_begin(dk_cuda *c, dk_buf *text)
{
    dk_err err = {0};
    size_t v;

    if (dk_cuda_lt_load(&c->lt, &err) < 0) {
        dk_buf_addf(text, "; products: own kernels (%s)", err.msg);
        return;
    }
    if (c->lt.cublasLtCreate(&c->lt_handle) != 0) {
        c->lt_handle = NULL;
        dk_buf_adds(text, "; products: own kernels (cuBLASLt does not start)");
        return;
    }
    if (dk_cuda_alloc(&c->dev, &c->workspace, workspace_bytes, "the product library", &err) < 0) {
        dk_fail(&c->failed, err.code, "%s", err.msg);
        return;
    }
    v = c->lt.cublasLtGetVersion();
    dk_buf_addf(text, "; products: cuBLASLt %zu.%zu.%zu", v / 10000, v / 100 % 100, v % 100);
}

void dk_cuda_products_end(dk_cuda *c)
{
    if (c->lt_handle)
        c->lt.cublasLtDestroy(c->lt_handle);
    if (c->workspace)
        cudaFree(c->workspace);
    dk_free(c->plan);
}

/* What the library wants to know of a product. */
struct shape { void *desc, *w, *x, *y; };

static void shape_free(const struct dk_lt *lt, struct shape *s)
{
    if (s->desc) lt->cublasLtMatmulDescDestroy(s->desc);
    if (s->w) lt->cublasLtMatrixLayoutDestroy(s->w);
    if (s->x) lt->cublasLtMatrixLayoutDestroy(s->x);
    if (s->y) lt->cublasLtMatrixLayoutDestroy(s->y);
}

/* Status of the library, 0: made. */
static int shape_make(const struct dk_lt *lt, struct shape *s, const dk_weight *w, size_t cols, size_t m, size_t ldx,
                      size_t ldy)
{
    const int type = w->dtype == DK_BF16 ? DK_LT_R_16BF : DK_LT_R_32F, turned = DK_LT_OP_T;
    int st;

    *s = (struct shape){0};
    st = lt->cublasLtMatmulDescCreate(&s->desc, DK_LT_COMPUTE_32F, DK_LT_R_32F);
    if (!st) st = lt->cublasLtMatmulDescSetAttribute(s->desc, DK_LT_DESC_TRANSA, &turned, sizeof turned);
    if (!st) st = lt->cublasLtMatrixLayoutCreate(&s->w, type, cols, w->n, (int64_t)w->ld);
    if (!st) st = lt->cublasLtMatrixLayoutCreate(&s->x, type, cols, m, (int64_t)ldx);
    if (!st) st = lt->cublasLtMatrixLayoutCreate(&s->y, DK_LT_R_32F, w->n, m, (int64_t)ldy);
    return st;
}

/* The largest power of two, at most ALIGN_MAX, that divides bytes from row to row. */
static size_t alignment(size_t bytes)
{
    size_t a = ALIGN_MAX;

    while (a > 1 && bytes % a)
        a /= 2;
    return a;
}

static int preference(const struct dk_lt *lt, void **pref, const struct dk_cuda_plan *p)
{
    const uint32_t none = DK_LT_REDUCTION_NONE, ax = (uint32_t)p->align_x, ay = (uint32_t)p->align_y;
    const uint32_t aw = (uint32_t)(p->dtype == DK_BF16 ? 16 : alignment(p->k * sizeof(float)));
    const uint64_t ws = workspace_bytes;
    int st = lt->cublasLtMatmulPreferenceCreate(pref);

    if (!st) st = lt->cublasLtMatmulPreferenceSetAttribute(*pref, DK_LT_PREF_WORKSPACE, &ws, sizeof ws);
    if (!st) st = lt->cublasLtMatmulPreferenceSetAttribute(*pref, DK_LT_PREF_REDUCTION, &none, sizeof none);
    if (!st) st = lt->cublasLtMatmulPreferenceSetAttribute(*pref, DK_LT_PREF_ALIGN_A, &aw, sizeof aw);
    if (!st) st = lt->cublasLtMatmulPreferenceSetAttribute(*pref, DK_LT_PREF_ALIGN_B, &ax, sizeof ax);
    if (!st) st = lt->cublasLtMatmulPreferenceSetAttribute(*pref, DK_LT_PREF_ALIGN_C, &ay, sizeof ay);
    if (!st) st = lt->cublasLtMatmulPreferenceSetAttribute(*pref, DK_LT_PREF_ALIGN_D, &ay, sizeof ay);
    return st;
}

/* Algorithms for m rows, best first. */
static int candidates(dk_cuda *c, dk_lt_found *found, int wanted, const struct dk_cuda_plan *p, const dk_weight *w,
                      size_t m)
{
    struct shape s;
    void *pref = NULL;
    int n = 0, st = shape_make(&c->lt, &s, w, p->k, m, p->k, w->n), good = 0;

    if (!st)
        st = preference(&c->lt, &pref, p);
    if (!st)
        st = c->lt.cublasLtMatmulAlgoGetHeuristic(c->lt_handle, s.desc, s.w, s.x, s.y, s.y, pref, wanted, found, &n);
    for (int i = 0; !st && i < n; i++)
        if (found[i].state == 0 && found[i].workspace <= workspace_bytes)
            found[good++] = found[i];
    if (pref)
        c->lt.cublasLtMatmulPreferenceDestroy(pref);
    shape_free(&c->lt, &s);
    return good;
}

static int run(dk_cuda *c, float *y, size_t ldy, const void *x, size_t ldx, size_t m, const dk_weight *w, size_t cols,
               const dk_lt_algo *algo)
{
    const float one = 1, zero = 0;
    struct shape s;
    int st = shape_make(&c->lt, &s, w, cols, m, ldx, ldy);

    if (!st)
        st = c->lt.cublasLtMatmul(c->lt_handle, s.desc, &one, w->d, s.w, x, s.x, &zero, y, s.y, y, s.y, algo,
                                  c->workspace, workspace_bytes, c->stream);
    shape_free(&c->lt, &s);
    return st;
}

/* TRIAL_ROWS rows on the card, alike in every run; values between -1/2 and 1/2. */
static int trial_rows(dk_cuda *c, void **x, const dk_weight *w, dk_err *err)
{
    const size_t n = TRIAL_ROWS * w->ld, bytes = n * (w->dtype == DK_BF16 ? 2 : 4);
    float *host = NULL;
    uint32_t s = 12345;
    int rc = dk_cuda_alloc(&c->dev, x, bytes, "comparing algorithms", err);

    if (rc == 0)
        rc = dk_alloc(&host, n, sizeof *host, "comparing algorithms", err);
    for (size_t i = 0; rc == 0 && i < n; i++) {
        uint32_t bits;

        s = s * 1664525u + 1013904223u;
        host[i] = (float)(s >> 8) * 0x1p-24f - 0.5f;
        memcpy(&bits, &host[i], 4);
        if (w->dtype == DK_BF16)        /* place i of the narrow row lies before float i */
            memcpy((char *)host + 2 * i, &(uint16_t){ (uint16_t)(bits >> 16) }, 2);
    }
    if (rc == 0)
        rc = dk_cuda_put(&c->dev, *x, host, bytes, err);
    dk_free(host);
    return rc;
}

/* Whether y and z, of the trial rows, hold the same bits. */
static bool same(dk_cuda *c, const float *y, const float *z, size_t n)
{
    const size_t bytes = n * sizeof(float);
    char *a = NULL, *b = NULL;
    dk_err err = {0};
    int rc = dk_alloc(&a, bytes, 1, "comparing algorithms", &err);

    if (rc == 0) rc = dk_alloc(&b, bytes, 1, "comparing algorithms", &err);
    if (rc == 0) rc = dk_cuda_get(&c->dev, a, y, bytes, &err);
    if (rc == 0) rc = dk_cuda_get(&c->dev, b, z, bytes, &err);
    rc = rc == 0 && memcmp(a, b, bytes) == 0;
    dk_free(a);
    dk_free(b);
    return rc;
}

/* For few rows: the first candidate that agrees with the plan for many. */
static void choose_small(dk_cuda *c, struct dk_cuda_plan *p, const dk_lt_algo *large, const dk_weight *w)
{
    dk_lt_found found[MAX_FOUND];
    const int n = candidates(c, found, MAX_FOUND, p, w, NOMINAL_SMALL);
    const size_t values = TRIAL_ROWS * w->n;
    void *x = NULL, *y = NULL, *z = NULL;
    dk_err err = {0};
    int rc = trial_rows(c, &x, w, &err);

    p->algo = *large;
    if (rc == 0) rc = dk_cuda_alloc(&c->dev, &y, values * sizeof(float), "comparing algorithms", &err);
    if (rc == 0) rc = dk_cuda_alloc(&c->dev, &z, values * sizeof(float), "comparing algorithms", &err);
    if (rc == 0 && run(c, y, w->n, x, w->ld, TRIAL_ROWS, w, p->k, large) == 0)
        for (int i = 0; i < n; i++)
            if (run(c, z, w->n, x, w->ld, TRIAL_ROWS, w, p->k, &found[i].algo) == 0 && same(c, y, z, values)) {
                p->algo = found[i].algo;
                break;
            }
    dk_cuda_release(&c->dev, x);
    dk_cuda_release(&c->dev, y);
    dk_cuda_release(&c->dev, z);
}

static const struct dk_cuda_plan *plan_of(dk_cuda *c, const struct dk_cuda_plan *like, const dk_weight *w)
{
    struct dk_cuda_plan made = *like;

    for (size_t i = 0; i < c->n_plans; i++) {
        const struct dk_cuda_plan *p = &c->plan[i];

        if (p->n == like->n && p->k == like->k && p->dtype == like->dtype && p->small == like->small &&
            p->align_x == like->align_x && p->align_y == like->align_y)
            return p;
    }
    if (like->small) {
        struct dk_cuda_plan large = *like;
        const struct dk_cuda_plan *p;

        large.small = false;
        p = plan_of(c, &large, w);
        made.found = p->found;
        if (p->found) {
            const dk_lt_algo algo = p->algo;

            choose_small(c, &made, &algo, w);
        }
    } else {
        dk_lt_found found[MAX_FOUND];

        made.found = candidates(c, found, MAX_FOUND, like, w, NOMINAL_LARGE) > 0;
        if (made.found)
            made.algo = found[0].algo;
    }
    c->plan = dk_xrealloc(c->plan, (c->n_plans + 1) * sizeof *c->plan);
    c->plan[c->n_plans] = made;
    return &c->plan[c->n_plans++];
}

static int multiply(dk_cuda *c, float *y, size_t ldy, const void *x, size_t ldx, size_t m, const dk_weight *w,
                    size_t cols, dk_err *err)
{
    const size_t each = w->dtype == DK_BF16 ? 2 : 4;
    struct dk_cuda_plan like = { .n = w->n, .k = cols, .align_x = alignment(ldx * each),
                                 .align_y = alignment(ldy * sizeof(float)), .dtype = w->dtype, .small = m <= SMALL };
    const struct dk_cuda_plan *p;

    /* Rows of a batch begin where the stride allows; anything else would be a surprise. */
    while (like.align_x > 1 && (uintptr_t)x % like.align_x)
        like.align_x /= 2;
    while (like.align_y > 1 && (uintptr_t)y % like.align_y)
        like.align_y /= 2;
    p = c->lt_handle ? plan_of(c, &like, w) : NULL;
    if (p && p->found) {
        const int st = run(c, y, ldy, x, ldx, m, w, cols, &p->algo);

        if (st == 0)
            return 0;
        if (st != 7 && st != 15)        /* invalid value, not supported: then as without the library */
            return dk_fail(err, DK_EIO, "a product of %zu x %zu x %zu failed (cuBLASLt status %d)", m, w->n, w->k, st);
    }
    return dk_cuda_check(c, dk_cu_product(c->stream, y, ldy, x, ldx, w->d, w->ld, m, w->n, cols, w->dtype == DK_BF16),
                         "a product", err);
}

int dk_cuda_multiply(dk_cuda *c, float *y, size_t ldy, const void *x, size_t ldx, size_t m, const dk_weight *w,
                     size_t cols, dk_err *err)
{
    dk_weight here = *w;
    int rc = dk_cuda_ready(c, err);

    if (rc < 0 || m == 0)
        return rc;
    if (w->host)
        rc = dk_cuda_fetch(c, w, &here.d, err);
    if (rc == 0)
        rc = multiply(c, y, ldy, x, ldx, m, &here, cols, err);
    return rc == 0 && w->host ? dk_cuda_fetched(c, w, err) : rc;
}

int dk_cuda_product(dk_dev *dev, float *y, size_t ldy, const dk_lhs *lhs, const dk_weight *w, dk_err *err)
{
    DK_ASSERT(lhs->k == w->k && lhs->dtype == w->dtype);
    return dk_cuda_multiply(dk_cuda_of(dev), y, ldy, lhs->x, lhs->ld, lhs->m, w, lhs->dtype == DK_BF16 ? lhs->ld : lhs->k, err);
}

const char *dk_cuda_kernel(dk_dev *dev, const dk_weight *w)
{
    (void)w;
    return dk_cuda_of(dev)->lt_handle ? "cublasLt" : "dk_cu_product";
}
