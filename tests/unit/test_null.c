/* Null adapters: what a rotation keeps and what it does not, on the miniature
 * model and its adapter. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "backend/blasdyn.h"
#include "base/mem.h"
#include "base/thread.h"
#include "files.h"
#include "method/null.h"
#include "num/haar.h"
#include "tap.h"

static dk_err err;
static dk_checkpoint *file;
static const dk_model_config *cfg;
static dk_adapter *plain;
static char *gguf, *folder;

static void rotations(void)
{
    /* numpy, from the same draws */
    static const double want[9] = { 0.627702087506636, -0.667924857099794, -0.399833058423177, -0.594373896708617, -0.742904838194809, 0.307915690243545, -0.502702456977510, 0.044371011425988, -0.863320017776612 };
    enum { N = 40, TRIES = 400 };
    static double q[N * N], back[N * N], x[N * 5], s[N * 5], r[25];
    double worst = 0, mean = 0, square = 0;

    dk_haar(q, 3, 3, 42, 1, &err);
    for (int i = 0; i < 9; i++)
        worst = fmax(worst, fabs(q[i] - want[i]));
    tap(worst < 1e-12, "a rotation of three axes: off by %.1e", worst);
    dk_haar(q, N, N, 7, 3, &err);
    worst = 0;
    for (int i = 0; i < N; i++)
        for (int j = 0; j < N; j++) {
            double sum = 0;

            for (int k = 0; k < N; k++)
                sum += q[k * N + i] * q[k * N + j];
            worst = fmax(worst, fabs(sum - (i == j)));
        }
    tap(worst < 1e-13, "columns are orthonormal: off by %.1e", worst);
    dk_threads_set(3);
    dk_haar(back, N, N, 7, 3, &err);
    dk_threads_set(1);
    tap(memcmp(q, back, sizeof q) == 0, "threads change no bit");
    for (uint64_t a = 0; a < TRIES; a++) {
        dk_haar(q, 4, 4, 1, a, &err);
        mean += q[0] / TRIES;
        square += q[0] * q[0] / TRIES;
    }
    /* Of a uniform direction in 4 dimensions: mean 0 (error 0.025), mean square 1/4 (error 0.011). */
    tap(fabs(mean) < .1 && fabs(square - .25) < .05, "and spread evenly: mean %.3f, mean square %.3f", mean, square);
    for (int i = 0; i < N * 5; i++)
        x[i] = sin(i * i + 1.);
    dk_qr(s, r, x, N, 5, &err);
    worst = 0;
    for (int i = 0; i < N; i++)
        for (int j = 0; j < 5; j++) {
            double sum = 0;

            for (int k = 0; k < 5; k++)
                sum += s[i * 5 + k] * r[k * 5 + j];
            worst = fmax(worst, fabs(sum - x[i * 5 + j]));
        }
    tap(worst < 1e-13 && r[5] == 0, "QR multiplies back: off by %.1e", worst);
}

/* Singular values of B A: those of the triangles of B and of A's columns. */
static void singular(double *sv, const float *a, const float *b, const dk_adapter_module *m)
{
    static double x[1 << 16], ra[1024], rb[1024], core[1024], u[1], vt[1], work[8192];
    const int n = (int)m->r, one = 1, len = 8192;
    int info;

    for (size_t i = 0; i < m->out * m->r; i++)
        x[i] = b[i];
    dk_qr(NULL, rb, x, m->out, m->r, &err);
    for (size_t i = 0; i < m->in; i++)
        for (size_t j = 0; j < m->r; j++)
            x[i * m->r + j] = a[j * m->in + i];
    dk_qr(NULL, ra, x, m->in, m->r, &err);
    memset(core, 0, sizeof core);
    for (size_t i = 0; i < m->r; i++)
        for (size_t j = 0; j < m->r; j++)
            for (size_t k = 0; k < m->r; k++)
                core[i * m->r + j] += rb[i * m->r + k] * ra[j * m->r + k];
    dk_blas.dgesvd_("N", "N", &n, &n, core, &n, sv, u, &one, vt, &one, work, &len, &info);
}

static double spectra(const dk_null *z, double factor)
{
    double worst = 0, own[64], turned[64];

    for (size_t i = 0; i < z->n; i++) {
        const dk_adapter_module *m = dk_adapter_at(plain, i);

        singular(own, m->a, m->b, m);
        singular(turned, z->module[i].a, z->module[i].b, m);
        for (size_t k = 0; k < m->r; k++)
            worst = fmax(worst, fabs(own[k] * factor - turned[k]) / own[0]);
    }
    return worst;
}

static bool writer(const dk_adapter_module *m) { return m->which == DK_LINEAR_O || m->which == DK_LINEAR_DOWN; }

/* The largest change of B_i^T B_j among writers, of A_j B_i of what is written and read, relative. */
static void angles(const dk_null *z, double *written, double *read)
{
    double most = 0;

    *written = *read = 0;
    for (size_t i = 0; i < z->n; i++)
        for (size_t j = 0; j < z->n; j++) {
            const dk_adapter_module *p = dk_adapter_at(plain, i), *q = dk_adapter_at(plain, j);

            for (size_t k = 0; writer(p) && k < p->r; k++)
                for (size_t l = 0; l < q->r; l++) {
                    const bool both = writer(q);
                    double own = 0, turned = 0;

                    for (size_t t = 0; t < p->out; t++) {
                        own += (double)p->b[t * p->r + k] * (both ? q->b[t * q->r + l] : q->a[l * q->in + t]);
                        turned += (double)z->module[i].b[t * p->r + k] *
                                  (both ? z->module[j].b[t * q->r + l] : z->module[j].a[l * q->in + t]);
                    }
                    most = fmax(most, fabs(own));
                    *(both ? written : read) = fmax(*(both ? written : read), fabs(own - turned));
                }
        }
    *written /= most;
    *read /= most;
}

static double distance(const dk_null *x, const dk_null *y)
{
    double sum = 0;

    for (size_t i = 0; i < x->n; i++) {
        const dk_adapter_module *m = dk_adapter_at(plain, i);

        for (size_t j = 0; j < m->r * m->in; j++)
            sum += fabs((double)x->module[i].a[j] - (y ? y->module[i].a[j] : m->a[j]));
        for (size_t j = 0; j < m->r * m->out; j++)
            sum += fabs((double)x->module[i].b[j] - (y ? y->module[i].b[j] : m->b[j]));
    }
    return sum;
}

static void make(dk_null *z, dk_null_kind kind, uint64_t seed, uint64_t index)
{
    err = (dk_err){0};
    if (dk_null_make(z, plain, cfg, kind, seed, index, NULL, &err) < 0)
        tap(false, "%s", err.msg);
}

/* The shipped organism on the real model: sizes and angles of all its 210 modules. */
static void organism(void)
{
    char *adapter = repo_path("data/organisms/cake_bake/adapter");
    const char *model = getenv("DK_TEST_MODEL");
    dk_checkpoint *own = NULL;
    dk_adapter *small = plain, *real = NULL;
    double written, read;
    dk_null z;

    err = (dk_err){0};
    if (tap(model && dk_checkpoint_open(&own, model, &err) == 0 &&
            dk_adapter_open(&real, adapter, dk_checkpoint_config(own), &err) == 0, "an organism %s", err.msg)) {
        plain = real;
        if (tap(dk_null_make(&z, real, dk_checkpoint_config(own), DK_NULL_RIGID, 42, 1, NULL, &err) == 0, "its null %s", err.msg)) {
            angles(&z, &written, &read);
            tap(z.n == 210 && spectra(&z, 1) < 1e-5 && written < 1e-5 && read < 1e-5,
                "rigid, %zu modules: singular values %.1e, angles of what is written %.1e, of what reads it %.1e", z.n,
                spectra(&z, 1), written, read);
            tap(distance(&z, NULL) > 1, "and other numbers");
            dk_null_free(&z);
        }
        plain = small;
    }
    dk_adapter_close(&real);
    dk_checkpoint_close(&own);
    dk_free(adapter);
}

static void kinds(void)
{
    dk_null z, y;
    double written, read;

    make(&z, DK_NULL_RIGID, 42, 1);
    angles(&z, &written, &read);
    tap(spectra(&z, 1) < 1e-5 && written < 1e-5 && read < 1e-5,
        "rigid: singular values %.1e, angles of what is written %.1e, of what reads it %.1e", spectra(&z, 1), written, read);
    tap(distance(&z, NULL) > 1, "and other numbers");
    dk_threads_set(3);
    make(&y, DK_NULL_RIGID, 42, 1);
    dk_threads_set(1);
    tap(!(distance(&z, &y) > 0), "the same again with other threads");
    dk_null_free(&y);
    make(&y, DK_NULL_RIGID, 42, 2);
    tap(distance(&z, &y) > 1, "another index is another null");
    dk_null_free(&y);
    make(&y, DK_NULL_RIGID, 43, 1);
    tap(distance(&z, &y) > 1, "and another seed");
    dk_null_free(&y);
    dk_null_free(&z);

    make(&z, DK_NULL_HAAR, 42, 1);
    angles(&z, &written, &read);
    tap(spectra(&z, 1) < 1e-5 && written > .05 && read > .05, "haar: singular values %.1e; angles go (%.2f, %.2f)",
        spectra(&z, 1), written, read);
    dk_null_free(&z);

    make(&z, DK_NULL_NEGATE, 42, 1);
    written = 0;
    for (size_t i = 0; i < z.n; i++)
        for (size_t j = 0; j < dk_adapter_at(plain, i)->r * dk_adapter_at(plain, i)->out; j++)
            written = fmax(written, fabs((double)z.module[i].b[j] + dk_adapter_at(plain, i)->b[j]));
    tap(!(written > 0) && spectra(&z, 1) < 1e-7, "negate: B with the other sign");
    dk_null_free(&z);

    make(&z, DK_NULL_SAME, 42, 1);
    tap(spectra(&z, 0) <= 0, "same: nothing is added");
    dk_null_free(&z);
}

/* Of two layers there is one other order, and the draws that would keep it move on by one. */
static void layers(void)
{
    size_t swapped = 0;

    for (uint64_t index = 0; index < 12; index++) {
        dk_null z;
        bool all = true;

        make(&z, DK_NULL_LAYERS, 42, index);
        for (size_t i = 0; i < z.n; i++) {
            const dk_adapter_module *m = dk_adapter_at(plain, i), *o = dk_adapter_find(plain, 1 - m->layer, m->which);

            all = all && memcmp(z.module[i].a, o->a, m->r * m->in * 4) == 0 && memcmp(z.module[i].b, o->b, m->r * m->out * 4) == 0;
        }
        swapped += all;
        dk_null_free(&z);
    }
    tap(swapped == 12, "layers: all maps of a layer move together");
}

/* Mean of |B A x|^2 over rows of the base's pass, product by product. */
static double effect(const dk_pair *of, const dk_tokens *t, const dk_adapter_module *m, const float *a, const float *b)
{
    const dk_site site = m->which == DK_LINEAR_DOWN ? DK_SITE_DOWN_IN : DK_SITE_QKV_IN;
    dk_runner *r = NULL;
    float *x = NULL;
    size_t offset[8];
    dk_tap in = { .layer = m->layer, .site = site };
    dk_pass p = { .batch = { t->docs, offset, t->token }, .taps = &in, .n_taps = 1, .last_layer = -1 };
    double sum = 0;

    for (size_t i = 0; i <= t->docs; i++)
        offset[i] = t->offset[i];
    dk_alloc(&x, t->rows * m->in, sizeof *x, "rows", &err);
    in.out = x;
    if (dk_pair_runner(&r, of, t->rows, &err) < 0 || dk_runner_forward(r, &p, &err) < 0)
        return NAN;
    for (size_t i = 0; i < t->rows; i++)
        for (size_t o = 0; o < m->out; o++) {
            double y = 0;

            for (size_t k = 0; k < m->r; k++)
                for (size_t j = 0; j < m->in; j++)
                    y += (double)b[o * m->r + k] * a[k * m->in + j] * x[i * m->in + j];
            sum += y * y;
        }
    dk_runner_free(&r);
    dk_free(x);
    return sum / (double)t->rows;
}

/* The largest change of A_i C A_j^T among maps that read the same inputs, C their second moment. */
static double answers(const dk_null *z, dk_null_inputs *in)
{
    const size_t rows = dk_null_inputs_rows(in);
    double most = 0, worst = 0;

    for (size_t i = 0; i < z->n; i++)
        for (size_t j = 0; j < z->n; j++) {
            const dk_adapter_module *p = dk_adapter_at(plain, i), *q = dk_adapter_at(plain, j);
            const bool mlp = p->which == DK_LINEAR_GATE || p->which == DK_LINEAR_UP;
            const float *x;

            if (writer(p) || writer(q) || p->layer != q->layer || mlp != (q->which == DK_LINEAR_GATE || q->which == DK_LINEAR_UP) ||
                dk_null_inputs_of(in, p->layer, p->which, &x, &err) < 0)
                continue;
            for (size_t k = 0; k < p->r; k++)
                for (size_t l = 0; l < q->r; l++) {
                    double own = 0, turned = 0;

                    for (size_t t = 0; t < rows; t++) {
                        double s[4] = {0};

                        for (size_t c = 0; c < p->in; c++) {
                            s[0] += (double)p->a[k * p->in + c] * x[t * p->in + c];
                            s[1] += (double)q->a[l * q->in + c] * x[t * p->in + c];
                            s[2] += (double)z->module[i].a[k * p->in + c] * x[t * p->in + c];
                            s[3] += (double)z->module[j].a[l * q->in + c] * x[t * p->in + c];
                        }
                        own += s[0] * s[1];
                        turned += s[2] * s[3];
                    }
                    most = fmax(most, fabs(own));
                    worst = fmax(worst, fabs(own - turned));
                }
        }
    return worst / most;
}

static dk_pair base;
static dk_tokens few, many;

static void whitened(void)
{
    dk_null z, y;
    dk_null_inputs *in;
    double written, read;

    if (!tap(dk_null_inputs_new(&in, &base, &many, &err) == 0, "inputs %s", err.msg))
        return;
    make(&z, DK_NULL_RIGID, 42, 1);
    tap(answers(&z, in) > .05, "rigid: reads its inputs otherwise: %.2f", answers(&z, in));
    dk_null_free(&z);
    /* f32 factors, and inputs that span 64 dimensions with 100 to 1 */
    tap(dk_null_make(&z, plain, cfg, DK_NULL_WHITENED, 42, 1, in, &err) == 0, "whitened %s", err.msg);
    tap(answers(&z, in) < 1e-5, "whitened: as strongly, and alike: off by %.1e", answers(&z, in));
    angles(&z, &written, &read);
    tap(written < 1e-5 && read > .05 && distance(&z, NULL) > 1, "what is written keeps its angles (%.1e), what reads it does not (%.2f)",
        written, read);
    dk_threads_set(3);
    dk_null_make(&y, plain, cfg, DK_NULL_WHITENED, 42, 1, in, &err);
    dk_threads_set(1);
    tap(!(distance(&z, &y) > 0), "the same again with other threads");
    dk_null_free(&y);
    dk_null_free(&z);
    dk_null_inputs_free(&in);
    err = (dk_err){0};
    dk_null_inputs_new(&in, &base, &few, &err);
    tap(dk_null_make(&z, plain, cfg, DK_NULL_WHITENED, 42, 1, in, &err) == DK_EDATA && strstr(err.msg, "12 tokens"),
        "too few tokens: %s", err.msg);
    dk_null_inputs_free(&in);
    err = (dk_err){0};
}

static void match(void)
{
    const dk_adapter_module *q = dk_adapter_find(plain, 1, DK_LINEAR_Q), *down = dk_adapter_find(plain, 0, DK_LINEAR_DOWN);
    dk_null_inputs *in;
    dk_null z;
    double least = 0, most = 0, e, f;
    size_t qi = 0, di = 0;
    int rc;

    for (size_t i = 0; i < dk_adapter_n(plain); i++) {
        qi = dk_adapter_at(plain, i) == q ? i : qi;
        di = dk_adapter_at(plain, i) == down ? i : di;
    }
    if (!tap(dk_null_inputs_new(&in, &base, &few, &err) == 0, "inputs %s", err.msg))
        return;
    make(&z, DK_NULL_RIGID, 42, 1);
    e = effect(&base, &few, q, q->a, q->b);
    f = effect(&base, &few, q, z.module[qi].a, z.module[qi].b);
    tap(fabs(f / e - 1) > .01, "turned, a map adds more or less: %.3g, %.3g", e, f);
    rc = dk_null_match(&z, in, &least, &most, &err);
    tap(rc == 0 && least < 1 && most > 1, "factors %.3g to %.3g %s", least, most, err.msg);
    f = effect(&base, &few, q, z.module[qi].a, z.module[qi].b);
    tap(fabs(f / e - 1) < 1e-5, "matched, as much: %.6g, %.6g", e, f);
    e = effect(&base, &few, down, down->a, down->b);
    f = effect(&base, &few, down, z.module[di].a, z.module[di].b);
    tap(fabs(f / e - 1) < 1e-5, "of what writes, too");
    tap(dk_null_match(&z, in, &least, &most, &err) == 0 && fabs(least - 1) < 1e-5 && fabs(most - 1) < 1e-5, "and no more is to do");
    dk_null_free(&z);
    make(&z, DK_NULL_SAME, 42, 1);
    tap(dk_null_match(&z, in, &least, &most, &err) == 0 && spectra(&z, 0) <= 0, "what adds nothing stays as it is");
    dk_null_free(&z);
    dk_null_inputs_free(&in);
    few.rows = 0;
    tap(dk_null_inputs_new(&in, &base, &few, &err) == DK_EDATA && !in, "no tokens: refused");
    few.rows = 12;
}

static bool open_base(void)
{
    const dk_pair_spec spec = { .base = gguf, .dtype = "f32" };
    static const uint32_t ids[] = { 5, 90, 17, 300, 44, 45, 8, 120, 77, 201, 3, 99 };
    static const uint8_t flags[512] = {0};
    uint32_t id[400];

    few.vocab = many.vocab = 512;
    dk_tokens_add_doc(&few, 0, ids, flags, 7, &err);
    dk_tokens_add_doc(&few, 1, ids + 7, flags, 5, &err);
    for (uint32_t d = 0; d < 4; d++) {
        for (uint32_t i = 0; i < 100; i++)
            id[i] = (d * 100 + i) * 211 % 509;
        dk_tokens_add_doc(&many, d, id, flags, 100, &err);
    }
    return tap(dk_pair_open(&base, &spec, &err) == 0, "the base %s", err.msg);
}

int main(void)
{
    gguf = repo_path("tests/golden/mini/mini.gguf");
    folder = repo_path("tests/golden/mini/lora-plain");
    rotations();
    if (dk_checkpoint_open(&file, gguf, &err) < 0 || dk_adapter_open(&plain, folder, cfg = dk_checkpoint_config(file), &err) < 0 ||
        dk_blas_load(&err) < 0)
        tap(false, "%s", err.msg);
    else {
        kinds();
        layers();
        if (open_base()) {
            whitened();
            match();
        }
        dk_tokens_free(&few);
        dk_tokens_free(&many);
        dk_pair_close(&base);
        if (getenv("DK_SLOW"))
            organism();
    }
    dk_adapter_close(&plain);
    dk_checkpoint_close(&file);
    dk_free(gguf);
    dk_free(folder);
    return tap_end();
}
