/* Inputs of maps. */
#include "method/nullinputs.h"

#include <math.h>

#include "backend/blasdyn.h"
#include "backend/eigen.h"
#include "base/mem.h"
#include "method/score.h"
#include "model/budget.h"

enum { ROWS = 256, SITES = 4, BLOCK = 1024 };

static const dk_site site[SITES] = { DK_SITE_QKV_IN, DK_SITE_O_IN, DK_SITE_GATE_UP_IN, DK_SITE_DOWN_IN };

/* Bytes that inputs may take, and less where less is free. */
static const double most_bytes = 1e9;
/* Smaller eigenvalues of a second moment than this share of its largest are rounding. */
static const double least_share = 1e-10;

struct dk_null_inputs {
    const dk_pair *base;
    const dk_tokens *t;
    size_t budget;                  /* tokens of a pass */
    int first, end;                 /* layers that are there, and room for */
    size_t room;
    float **x;                      /* [room][SITES] */
};

static const dk_model_config *config(const dk_null_inputs *in) { return &in->base->model->config; }

int dk_null_inputs_new(dk_null_inputs **out, const dk_pair *base, const dk_tokens *t, dk_err *err)
{
    dk_null_inputs *in = dk_xcalloc(1, sizeof *in);
    double each = 0, fit;
    int rc = t->rows ? 0 : dk_fail(err, DK_EDATA, "there are no tokens to look at");

    *out = in;
    *in = (dk_null_inputs){ .base = base, .t = t };
    if (rc == 0)
        rc = dk_pair_rows(&in->budget, base, 0, ROWS, dk_tokens_batch_most(t, 1), err);
    for (size_t s = 0; rc == 0 && s < SITES; s++)
        each += (double)t->rows * (double)dk_site_width(config(in), site[s]) * sizeof(float);
    fit = fmin(most_bytes, base->free_bytes / 2) / each;
    in->room = rc == 0 && fit > 1 ? (size_t)fmin(fit, (double)config(in)->n_layers) : 1;
    in->x = dk_xcalloc(in->room * SITES, sizeof *in->x);
    for (size_t i = 0; rc == 0 && i < in->room * SITES; i++) {
        size_t n;

        rc = dk_mul_size(&n, t->rows, dk_site_width(config(in), site[i % SITES]))
            ? dk_alloc(&in->x[i], n, sizeof(float), "inputs of modules", err)
            : dk_fail(err, DK_ENOMEM, "the inputs of modules do not fit in memory: give fewer tokens");
    }
    if (rc < 0)
        dk_null_inputs_free(out);
    return rc;
}

void dk_null_inputs_free(dk_null_inputs **inp)
{
    dk_null_inputs *in = *inp;

    for (size_t i = 0; in && i < in->room * SITES; i++)
        dk_free(in->x[i]);
    if (in)
        dk_free(in->x);
    dk_free(in);
    *inp = NULL;
}

size_t dk_null_inputs_rows(const dk_null_inputs *in) { return in->t->rows; }

/* From this layer on, as many as there is room for. */
static int pass(dk_null_inputs *in, int layer, dk_err *err)
{
    const dk_tokens *t = in->t;
    const size_t left = config(in)->n_layers - (size_t)layer, n = in->room < left ? in->room : left;
    size_t *offset = dk_xcalloc(t->docs + 1, sizeof *offset);
    dk_tap *tap = dk_xcalloc(n * SITES, sizeof *tap);
    dk_runner *r = NULL;
    int rc = dk_pair_runner(&r, in->base, dk_tokens_batch_most(t, in->budget), err);

    in->first = layer;
    in->end = layer + (int)n;
    for (size_t first = 0, last; rc == 0 && first < t->docs; first = last) {
        dk_pass p = { .taps = tap, .n_taps = n * SITES, .last_layer = in->end - 1 };

        last = dk_tokens_batch(t, first, in->budget, offset);
        if (t->offset[last] == t->offset[first])
            continue;
        for (size_t i = 0; i < n * SITES; i++)
            tap[i] = (dk_tap){ .layer = layer + (int)(i / SITES), .site = site[i % SITES],
                               .out = in->x[i] + t->offset[first] * dk_site_width(config(in), site[i % SITES]) };
        p.batch = (dk_batch){ last - first, offset, t->token + t->offset[first] };
        rc = dk_runner_forward(r, &p, err);
    }
    if (rc < 0)
        in->end = in->first;
    dk_runner_free(&r);
    dk_free(tap);
    dk_free(offset);
    return rc;
}

static size_t site_of(dk_linear which)
{
    switch (which) {
    case DK_LINEAR_O:       return 1;
    case DK_LINEAR_GATE:
    case DK_LINEAR_UP:      return 2;
    case DK_LINEAR_DOWN:    return 3;
    default:                return 0;
    }
}

int dk_null_inputs_of(dk_null_inputs *in, int layer, dk_linear which, const float **x, dk_err *err)
{
    const int rc = layer >= in->first && layer < in->end ? 0 : pass(in, layer, err);

    *x = rc < 0 ? NULL : in->x[(size_t)(layer - in->first) * SITES + site_of(which)];
    return rc;
}

/* --- whitening -------------------------------------------------------------------- */
/* c [d, d] = sum of x x^T over rows. */
static int second_moment(double *c, const float *x, size_t rows, size_t d, dk_err *err)
{
    double *block = NULL;
    int rc = dk_alloc(&block, BLOCK * d, sizeof *block, "inputs of modules", err);

    for (size_t i = 0; rc == 0 && i < d * d; i++)
        c[i] = 0;
    for (size_t at = 0; rc == 0 && at < rows; at += BLOCK) {
        const size_t n = rows - at < BLOCK ? rows - at : BLOCK;

        for (size_t i = 0; i < n * d; i++)
            block[i] = x[at * d + i];
        dk_blas_products(c, block, n, d, DK_LOWER);
    }
    dk_free(block);
    return rc;
}

/* With C = Z^T w Z: Z^T (w_i^-1/2 (Z Q Z^T)_ij w_j^1/2) Z. */
static void turn_by(double *turn, const double *z, const double *w, const double *q, double *room, size_t d)
{
    dk_blas_times(room, q, z, d, d, d, DK_TURNED);
    dk_blas_times(turn, z, room, d, d, d, DK_AS_IT_IS);
    for (size_t i = 0; i < d; i++)
        for (size_t j = 0; j < d; j++)
            turn[i * d + j] *= sqrt(w[j] / w[i]);
    dk_blas_times(room, turn, z, d, d, d, DK_AS_IT_IS);
}

int dk_null_whiten(double *turn, dk_null_inputs *in, int layer, dk_linear which, const double *q, dk_err *err)
{
    const size_t d = config(in)->d_model, rows = in->t->rows;
    double *z = NULL, *w = NULL, *room = NULL, *back = NULL;
    const float *x;
    int rc = dk_blas_load(err);

    if (rc == 0) rc = dk_null_inputs_of(in, layer, which, &x, err);
    if (rc == 0) rc = dk_alloc(&z, d * d, sizeof *z, "a rotation", err);
    if (rc == 0) rc = dk_alloc(&room, d * d, sizeof *room, "a rotation", err);
    if (rc == 0) rc = dk_alloc(&back, d * d, sizeof *back, "a rotation", err);
    if (rc == 0) rc = dk_alloc(&w, d, sizeof *w, "a rotation", err);
    if (rc == 0) rc = second_moment(room, x, rows, d, err);
    if (rc == 0) rc = dk_eigen(w, z, room, d, d, err);
    if (rc == 0 && !(w[0] > least_share * w[d - 1]))
        rc = dk_fail(err, DK_EDATA, "%zu tokens do not tell the second moment of the %zu inputs of layer %d: a whitened null "
                     "needs more of them (--max-samples, --max-tokens)", rows, d, layer);
    if (rc == 0) {
        turn_by(turn, z, w, q, room, d);
        for (size_t i = 0; i < d; i++)
            for (size_t j = 0; j < d; j++)
                back[i * d + j] = z[j * d + i];
        dk_blas_times(turn, back, room, d, d, d, DK_AS_IT_IS);
    }
    dk_free(z);
    dk_free(w);
    dk_free(room);
    dk_free(back);
    return rc;
}
