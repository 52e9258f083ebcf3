/* Multiplicative updates. */
#include "num/nmf.h"

#include <math.h>
#include <string.h>

#include "base/mem.h"
#include "num/kernel_nmf.h"
#include "num/mtnormal.h"

enum { BLOCK = 256, ITERATIONS = 200, EVERY = 10 };
static const double eps = 0x1p-23, too_large = 2e9;

/* A factor and what its update needs; the other factor's rows are this one's columns. */
struct factor {
    dk_nmf_side side;
    size_t ld;                  /* of turned */
    double *x, *num, *den;      /* [n, width] */
    double *turned;             /* [topics, ld]: x by columns; for other betas only */
    double *gram;               /* [width, width]: x^T x */
    double *total;              /* [width]: sums of the columns */
};

struct fit {
    const dk_nmf_matrix *v;
    const dk_nmf_plan *plan;
    size_t width;
    double gamma, square, entropy;      /* sum v^2; beta 1: sum v ln v - v, others: sum v^beta / (beta (beta - 1)) */
    struct factor w, h;
    uint64_t *col_at;
    uint32_t *col_row;
    float *col_value;
    double *part;               /* of blocks */
};

static size_t blocks(size_t n) { return (n + BLOCK - 1) / BLOCK; }

/* The same entries by columns; rows of a column ascend. */
static int turn(struct fit *f, dk_err *err)
{
    const dk_nmf_matrix *v = f->v;
    const uint64_t n = v->at[v->rows];
    uint64_t *next = NULL;
    int rc = dk_alloc(&f->col_at, v->cols + 1, sizeof *f->col_at, "a turned matrix", err);

    if (rc == 0) rc = dk_alloc(&f->col_row, n, sizeof *f->col_row, "a turned matrix", err);
    if (rc == 0) rc = dk_alloc(&f->col_value, n, sizeof *f->col_value, "a turned matrix", err);
    if (rc == 0) rc = dk_alloc(&next, v->cols, sizeof *next, "a turned matrix", err);
    if (rc < 0)
        return rc;
    for (uint64_t i = 0; i < n; i++)
        f->col_at[v->col[i] + 1]++;
    for (size_t c = 0; c < v->cols; c++) {
        f->col_at[c + 1] += f->col_at[c];
        next[c] = f->col_at[c];
    }
    for (size_t r = 0; r < v->rows; r++)
        for (uint64_t i = v->at[r]; i < v->at[r + 1]; i++) {
            const uint64_t to = next[v->col[i]]++;

            f->col_row[to] = (uint32_t)r;
            f->col_value[to] = v->value[i];
        }
    dk_free(next);
    return 0;
}

static bool everywhere(const dk_nmf_plan *p) { return p->beta != 1 && p->beta != 2; }

static int room(struct factor *x, size_t n, const struct fit *f, dk_err *err)
{
    size_t size;
    int rc = dk_mul_size(&size, n, f->width) ? 0 : dk_fail(err, DK_ENOMEM, "the factors do not fit in memory");

    x->side.n = n;
    x->ld = (n + 7) / 8 * 8;
    if (rc == 0) rc = dk_alloc(&x->x, size, sizeof(double), "factors", err);
    if (rc == 0) rc = dk_alloc(&x->num, size, sizeof(double), "factors", err);
    if (rc == 0) rc = dk_alloc(&x->den, size, sizeof(double), "factors", err);
    if (rc == 0) rc = dk_alloc(&x->gram, f->width * f->width, sizeof(double), "factors", err);
    if (rc == 0) rc = dk_alloc(&x->total, f->width, sizeof(double), "factors", err);
    if (rc == 0 && everywhere(f->plan))
        rc = dk_alloc(&x->turned, f->plan->topics * x->ld, sizeof(double), "factors", err);
    return rc;
}

/* Column sums and x^T x, from sums over blocks that are added in order; and x
 * by columns where that is wanted. */
static void sums(struct fit *f, struct factor *x)
{
    const size_t w = f->width, nb = blocks(x->side.n), each = w * (w + 1);

    #pragma omp parallel for schedule(static)
    for (size_t b = 0; b < nb; b++) {
        double *s = f->part + b * each;
        const size_t to = (b + 1) * BLOCK < x->side.n ? (b + 1) * BLOCK : x->side.n;

        memset(s, 0, each * sizeof *s);
        for (size_t i = b * BLOCK; i < to; i++) {
            const double *row = x->x + i * w;

            for (size_t j = 0; j < w; j++) {
                s[j] += row[j];
                for (size_t k = 0; k < w; k++)
                    s[w + j * w + k] += row[j] * row[k];
            }
            for (size_t j = 0; x->turned && j < f->plan->topics; j++)
                x->turned[j * x->ld + i] = row[j];
        }
    }
    memset(x->total, 0, w * sizeof(double));
    memset(x->gram, 0, w * w * sizeof(double));
    for (size_t b = 0; b < nb; b++)
        for (size_t j = 0; j < w; j++) {
            x->total[j] += f->part[b * each + j];
            for (size_t k = 0; k < w; k++)
                x->gram[j * w + k] += f->part[b * each + w + j * w + k];
        }
}

/* What x[i] is divided by, but for eps. */
static void denominators(const struct fit *f, const struct factor *x, const struct factor *o, size_t from, size_t to)
{
    const size_t w = f->width;

    if (everywhere(f->plan)) {
        dk_nmf_dense(x->den, x->x, o->turned, o->side.n, o->ld, f->plan->topics, w, f->plan->beta - 1, eps, 0, from,
                     to);
        return;
    }
    for (size_t i = from; i < to; i++)
        for (size_t j = 0; j < w; j++) {
            double s = 0;

            for (size_t k = 0; f->plan->beta == 2 && k < w; k++)
                s += x->x[i * w + k] * o->gram[k * w + j];
            x->den[i * w + j] = f->plan->beta == 2 ? s : o->total[j];
        }
}

static void multiply(const struct fit *f, struct factor *x, size_t from, size_t to)
{
    const size_t w = f->width, topics = f->plan->topics;
    const bool bare = f->plan->beta == 1 && !f->plan->orthogonal;

    for (size_t i = from; i < to; i++) {
        double *row = x->x + i * w, all = 0;

        for (size_t j = 0; j < topics; j++)
            all += row[j];
        for (size_t j = 0; j < topics; j++) {
            const double penalty = f->plan->orthogonal ? f->plan->weight * (all - row[j]) : 0;
            const double den = x->den[i * w + j] + penalty + (bare ? 0 : eps), ratio = (x->num[i * w + j] + eps) / den;

            x->den[i * w + j] = den > 0 ? row[j] * (f->gamma == 1 ? ratio : pow(ratio, f->gamma)) : 0;
        }
        memcpy(row, x->den + i * w, topics * sizeof *row);
    }
}

static void update(struct fit *f, struct factor *x, const struct factor *o)
{
    const size_t nb = blocks(x->side.n);

    #pragma omp parallel for schedule(dynamic, 1)
    for (size_t b = 0; b < nb; b++) {
        const size_t from = b * BLOCK, to = from + BLOCK < x->side.n ? from + BLOCK : x->side.n;

        dk_nmf_sparse(x->num, &x->side, x->x, o->x, f->width, f->plan->beta - 2, eps, from, to);
        denominators(f, x, o, from, to);
        multiply(f, x, from, to);
    }
    sums(f, x);
}

/* <V, H W^T>, of the numerators that hold VW: nothing of them depends on H. */
static double inner(const struct fit *f)
{
    double s = 0;

    for (size_t i = 0; i < f->h.side.n * f->width; i++)
        s += f->h.num[i] * f->h.x[i];
    return s;
}

static double gram_product(const struct fit *f)
{
    double s = 0;

    for (size_t i = 0; i < f->width * f->width; i++)
        s += f->h.gram[i] * f->w.gram[i];
    return s;
}

enum sum { ENTRIES, LOGS, ALL };

static double summed(struct fit *f, enum sum what, double e)
{
    const size_t nb = blocks(f->h.side.n);
    double s = 0;

    #pragma omp parallel for schedule(dynamic, 1)
    for (size_t b = 0; b < nb; b++) {
        const size_t from = b * BLOCK, to = from + BLOCK < f->h.side.n ? from + BLOCK : f->h.side.n;

        f->part[b] = what == ALL ? dk_nmf_dense(NULL, f->h.x, f->w.turned, f->w.side.n, f->w.ld, f->plan->topics,
                                                f->width, e, eps, 1, from, to)
                                 : dk_nmf_sparse_sum(&f->h.side, f->h.x, f->w.x, f->width, e, what == LOGS, eps, from,
                                                     to);
    }
    for (size_t b = 0; b < nb; b++)
        s += f->part[b];
    return s;
}

/* VW, which the update of H leaves for beta 2 alone. */
static void project(struct fit *f)
{
    const size_t nb = blocks(f->h.side.n);

    #pragma omp parallel for schedule(dynamic, 1)
    for (size_t b = 0; b < nb; b++)
        dk_nmf_sparse(f->h.num, &f->h.side, f->h.x, f->w.x, f->width, 0, eps, b * BLOCK,
                      (b + 1) * BLOCK < f->h.side.n ? (b + 1) * BLOCK : f->h.side.n);
}

static double loss(struct fit *f)
{
    const double beta = f->plan->beta;
    double d = f->entropy;

    if (beta == 2)
        d = f->square / 2 + gram_product(f) / 2 - inner(f);
    else if (beta == 1) {
        for (size_t j = 0; j < f->width; j++)
            d += f->w.total[j] * f->h.total[j];
        d -= summed(f, LOGS, 0);
    } else if (beta == 0) {     /* zeros of V have no such divergence */
        project(f);
        d = f->square / 2 + gram_product(f) / 2 - inner(f);
    } else
        d += summed(f, ALL, beta - 1) / beta - summed(f, ENTRIES, beta - 1) / (beta - 1);
    return sqrt(2 * d);
}

static void constants(struct fit *f)
{
    const double beta = f->plan->beta;
    const uint64_t n = f->v->at[f->v->rows];

    for (uint64_t i = 0; i < n; i++) {
        const double v = (double)f->v->value[i];

        f->square += v * v;
        f->entropy += beta == 1 ? v * log(v) - v : beta == 2 || beta == 0 ? 0 : pow(v, beta) / (beta * (beta - 1));
    }
    f->gamma = beta < 1 ? 1 / (2 - beta) : beta > 2 ? 1 / (beta - 1) : 1;
}

static void fill(struct factor *x, const float *from, size_t topics, size_t width)
{
    memset(x->x, 0, x->side.n * width * sizeof(double));
    for (size_t i = 0; i < x->side.n; i++)
        for (size_t j = 0; j < topics; j++)
            x->x[i * width + j] = fabs((double)from[i * topics + j]);
}

/* W's numbers come first. */
static int begin(struct fit *f, uint64_t seed, dk_err *err)
{
    const size_t k = f->plan->topics, most = f->v->rows > f->v->cols ? f->v->rows : f->v->cols;
    float *z = NULL;
    dk_mt g;
    int rc;

    if (f->plan->w0) {
        fill(&f->w, f->plan->w0, k, f->width);
        fill(&f->h, f->plan->h0, k, f->width);
        return 0;
    }
    rc = dk_alloc(&z, most * k, sizeof *z, "the start of the factors", err);
    dk_mt_seed(&g, seed);
    for (int i = 0; rc == 0 && i < 2; i++) {
        struct factor *x = i == 0 ? &f->w : &f->h;

        dk_mt_normal(&g, z, x->side.n * k);
        fill(x, z, k, f->width);
    }
    dk_free(z);
    return rc;
}

static int one_start(struct fit *f, dk_nmf_start *s, dk_err *err)
{
    const size_t most = f->plan->iterations ? f->plan->iterations : ITERATIONS;
    const double tolerance = f->plan->tolerance > 0 ? f->plan->tolerance : 1e-4;
    double first, before;
    int rc = begin(f, s->seed, err);

    if (rc < 0)
        return rc;
    sums(f, &f->w);
    sums(f, &f->h);
    project(f);
    first = before = loss(f);
    while (s->iterations < most && (f->plan->orthogonal || first != 0)) {
        update(f, &f->w, &f->h);
        update(f, &f->h, &f->w);
        if (++s->iterations % EVERY || f->plan->orthogonal)
            continue;
        s->loss = loss(f);
        if ((before - s->loss) / first < tolerance)
            break;
        before = s->loss;
    }
    s->loss = loss(f);
    project(f);
    s->explained = 1 - (f->square + gram_product(f) - 2 * inner(f)) / f->square;
    return 0;
}

static void keep(double *to, const struct factor *x, size_t topics, size_t width)
{
    for (size_t i = 0; i < x->side.n; i++)
        memcpy(to + i * topics, x->x + i * width, topics * sizeof *to);
}

static double cosine_of(const double *a, const double *b, size_t i, size_t j, size_t n, size_t topics)
{
    double ab = 0, aa = 0, bb = 0;

    for (size_t c = 0; c < n; c++) {
        const double x = a[c * topics + i], y = b[c * topics + j];

        ab += x * y;
        aa += x * x;
        bb += y * y;
    }
    return aa > 0 && bb > 0 ? ab / sqrt(aa * bb) : NAN;
}

/* Each topic of a takes the nearest of b that is left, the nearest pair first. */
static double agreement(const double *a, const double *b, size_t n, size_t topics, double *cosine)
{
    double sum = 0;

    for (size_t i = 0; i < topics * topics; i++)
        cosine[i] = cosine_of(a, b, i / topics, i % topics, n, topics);
    for (size_t k = 0; k < topics; k++) {
        size_t best = topics * topics;

        for (size_t i = 0; i < topics * topics; i++)
            if (cosine[i] >= 0 && (best == topics * topics || cosine[i] > cosine[best]))
                best = i;
        if (best == topics * topics)
            break;
        sum += cosine[best];
        for (size_t i = 0; i < topics; i++)
            cosine[best / topics * topics + i] = cosine[i * topics + best % topics] = -1;
    }
    return sum / (double)topics;
}

static int check(const dk_nmf_matrix *v, const dk_nmf_plan *p, dk_err *err)
{
    const double all = (double)v->rows * (double)v->cols;

    if (p->topics < 1 || p->topics > 1024)
        return dk_fail(err, DK_EUSAGE, "topics: from 1 to 1024, not %zu", p->topics);
    if (!isfinite(p->beta) || p->beta < 0 || (p->beta == 0 && !p->orthogonal))
        return dk_fail(err, DK_EUSAGE, "beta must be above 0 for a matrix with zeros, not %g", p->beta);
    if (v->at[v->rows] == 0)
        return dk_fail(err, DK_EDATA, "no positive entries to factorise");
    if (everywhere(p) && all > too_large)
        return dk_fail(err, DK_EDATA, "beta %g needs all %.3g elements of a matrix of %zu rows and %zu columns; beta 1 "
                       "and 2 need only the %llu that are there", p->beta, all, v->rows, v->cols,
                       (unsigned long long)v->at[v->rows]);
    return 0;
}

static int prepare(struct fit *f, dk_err *err)
{
    const size_t nb = blocks(f->v->rows > f->v->cols ? f->v->rows : f->v->cols);
    int rc = turn(f, err);

    if (rc == 0) rc = room(&f->w, f->v->cols, f, err);
    if (rc == 0) rc = room(&f->h, f->v->rows, f, err);
    if (rc == 0) rc = dk_alloc(&f->part, nb * f->width, (f->width + 1) * sizeof *f->part, "sums of factors", err);
    f->w.side = (dk_nmf_side){ f->v->cols, f->col_at, f->col_row, f->col_value };
    f->h.side = (dk_nmf_side){ f->v->rows, f->v->at, f->v->col, f->v->value };
    constants(f);
    return rc;
}

static void drop(struct factor *x)
{
    dk_free(x->x);
    dk_free(x->num);
    dk_free(x->den);
    dk_free(x->gram);
    dk_free(x->total);
    dk_free(x->turned);
}

int dk_nmf_fit(dk_nmf *out, const dk_nmf_matrix *v, const dk_nmf_plan *plan, dk_err *err)
{
    const size_t k = plan->topics, starts = plan->starts ? plan->starts : 1;
    struct fit f = { .v = v, .plan = plan, .width = (k + DK_NMF_PAD - 1) / DK_NMF_PAD * DK_NMF_PAD };
    double **w = dk_xcalloc(starts, sizeof *w), *cosine = NULL;
    int rc = check(v, plan, err);

    *out = (dk_nmf){ .rows = v->rows, .cols = v->cols, .topics = k, .starts = starts };
    out->start = dk_xcalloc(starts, sizeof *out->start);
    if (rc == 0) rc = prepare(&f, err);
    if (rc == 0) rc = dk_alloc(&out->h, v->rows * k, sizeof(double), "factors", err);
    if (rc == 0) rc = dk_alloc(&cosine, k * k, sizeof(double), "factors", err);
    for (size_t s = 0; rc == 0 && s < starts; s++) {
        out->start[s].seed = plan->seed + s;
        rc = one_start(&f, &out->start[s], err);
        if (rc == 0)
            rc = dk_alloc(&w[s], v->cols * k, sizeof(double), "factors", err);
        if (rc < 0)
            break;
        keep(w[s], &f.w, k, f.width);
        if (s > 0 && !(out->start[s].loss < out->start[out->best].loss))
            continue;
        out->best = s;
        keep(out->h, &f.h, k, f.width);
    }
    for (size_t s = 0; rc == 0 && s < starts; s++)
        out->start[s].agreement = agreement(w[s], w[out->best], v->cols, k, cosine);
    out->w = w[out->best];
    w[out->best] = NULL;
    for (size_t s = 0; s < starts; s++)
        dk_free(w[s]);
    dk_free(w);
    dk_free(cosine);
    drop(&f.w);
    drop(&f.h);
    dk_free(f.col_at);
    dk_free(f.col_row);
    dk_free(f.col_value);
    dk_free(f.part);
    if (rc < 0)
        dk_nmf_free(out);
    return rc;
}

void dk_nmf_free(dk_nmf *f)
{
    dk_free(f->start);
    dk_free(f->w);
    dk_free(f->h);
    *f = (dk_nmf){0};
}

/* --- what a topic is like ------------------------------------------------------ */
static double concentration(const dk_nmf *f, size_t topic, double sum)
{
    double entropy = 0;

    if (f->cols < 2)
        return 1;
    for (size_t c = 0; c < f->cols; c++) {
        const double p = fmax(f->w[c * f->topics + topic] / sum, 1e-12);

        entropy -= p * log(p);
    }
    return 1 - entropy / log((double)f->cols);
}

int dk_nmf_topics(const dk_nmf *f, dk_nmf_topic *topic, double *cosine, dk_err *err)
{
    const size_t k = f->topics;
    double *sum = NULL;
    int rc = dk_alloc(&sum, k, sizeof *sum, "sums of topics", err);

    if (rc < 0)
        return rc;
    memset(topic, 0, k * sizeof *topic);
    for (size_t c = 0; c < f->cols; c++)
        for (size_t j = 0; j < k; j++)
            sum[j] += f->w[c * k + j];
    for (size_t i = 0; i < f->rows; i++) {
        size_t best = 0;

        for (size_t j = 0; j < k; j++) {
            topic[j].mass += f->h[i * k + j];
            if (f->h[i * k + j] * sum[j] > f->h[i * k + best] * sum[best])
                best = j;
        }
        topic[best].prevalence += 1 / (double)f->rows;
    }
    for (size_t j = 0; j < k; j++) {
        topic[j].mass *= sum[j];
        topic[j].concentration = sum[j] > 0 ? concentration(f, j, sum[j]) : NAN;
        for (size_t i = 0; i < k; i++)
            cosine[j * k + i] = cosine_of(f->w, f->w, j, i, f->cols, k);
    }
    dk_free(sum);
    return 0;
}
