/* Nulls of full weights: what a rotation keeps of what was added to the
 * miniature's weights, and what it does not. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "backend/blasdyn.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/rng.h"
#include "base/thread.h"
#include "files.h"
#include "io/stwrite.h"
#include "method/nullfull.h"
#include "tap.h"

static dk_err err;
static dk_checkpoint *file, *ft;
static char *hf;
static char dir[64], folder[96], out[96];

/* A tensor of a checkpoint; rows * cols values, to be freed. */
static float *tensor(const dk_checkpoint *c, const char *name, size_t *rows, size_t *cols)
{
    float *x = NULL;

    if (!dk_checkpoint_find(c, name, rows, cols))
        return NULL;
    dk_alloc(&x, *rows * *cols, sizeof *x, "a tensor", NULL);
    dk_checkpoint_rows(c, name, x, 0, *rows, NULL);
    return x;
}

/* The miniature with noise added to every tensor, more to the maps of later layers. */
static void make_finetune(void)
{
    const size_t n = dk_checkpoint_n(file);
    dk_st_out *t = dk_xcalloc(n, sizeof *t);
    char command[400];

    for (size_t i = 0; i < n; i++) {
        size_t rows, cols;
        float *x = tensor(file, dk_checkpoint_name_at(file, i), &rows, &cols);

        for (size_t k = 0; k < rows * cols; k++)
            x[k] += .05f * (float)(dk_uniform(dk_ctr(3, 9, i, k)) - .5);
        t[i] = (dk_st_out){ .name = dk_checkpoint_name_at(file, i), .n_dims = rows > 1 ? 2 : 1,
                            .dims = { rows > 1 ? rows : cols, rows > 1 ? cols : 1, 1, 1, 1, 1, 1, 1 }, .data = x };
    }
    snprintf(command, sizeof command, "mkdir -p %s && cp %s/*.json %s", folder, hf, folder);
    if (system(command) != 0)
        tap(false, "cannot copy %s", hf);
    snprintf(command, sizeof command, "%s/model.safetensors", folder);
    tap(dk_st_write(command, t, n, NULL, &err) == 0, "a finetune %s", err.msg);
    for (size_t i = 0; i < n; i++)
        dk_free((void *)(size_t)t[i].data);
    dk_free(t);
}

/* What was added to a tensor, by its checkpoint. */
static double *added(const dk_checkpoint *c, const char *name, size_t *rows, size_t *cols)
{
    float *base = tensor(file, name, rows, cols), *own = tensor(c, name, rows, cols);
    double *d = dk_xcalloc(*rows * *cols, sizeof *d);

    for (size_t i = 0; i < *rows * *cols; i++)
        d[i] = (double)own[i] - base[i];
    dk_free(base);
    dk_free(own);
    return d;
}

static double size_of(const double *x, size_t n)
{
    double s = 0;

    for (size_t i = 0; i < n; i++)
        s += x[i] * x[i];
    return sqrt(s);
}

/* |A B - A' B'| / |A B| of what was added; each name with T in front of it is turned: of [r, c] by [c, r]. */
static double compositions(const dk_checkpoint *z, const char *left, bool turn_left, const char *right, bool turn_right)
{
    double *p[2] = { NULL, NULL }, diff = 0, all;
    size_t m = 0, n = 0;

    for (int k = 0; k < 2; k++) {
        size_t ar, ac, br, bc, inner;
        double *a = added(k ? z : ft, left, &ar, &ac), *b = added(k ? z : ft, right, &br, &bc);

        m = turn_left ? ac : ar;
        n = turn_right ? br : bc;
        inner = turn_left ? ar : ac;
        DK_ASSERT(inner == (turn_right ? bc : br));
        p[k] = dk_xcalloc(m * n, sizeof *p[k]);
        for (size_t i = 0; i < m; i++)
            for (size_t l = 0; l < inner; l++)
                for (size_t j = 0; j < n; j++)
                    p[k][i * n + j] += (turn_left ? a[l * ac + i] : a[i * ac + l]) * (turn_right ? b[j * bc + l] : b[l * bc + j]);
        dk_free(a);
        dk_free(b);
    }
    all = size_of(p[0], m * n);
    for (size_t i = 0; i < m * n; i++)
        p[0][i] -= p[1][i];
    diff = size_of(p[0], m * n);
    dk_free(p[0]);
    dk_free(p[1]);
    return diff / all;
}

/* How far what was added lies from sign times what the finetune added, relative. */
static double distance(const dk_checkpoint *z, const char *name, const char *source, double sign)
{
    size_t rows, cols;
    double *x = added(z, name, &rows, &cols), *y = added(ft, source, &rows, &cols), all = size_of(y, rows * cols), d;

    for (size_t i = 0; i < rows * cols; i++)
        x[i] -= sign * y[i];
    d = size_of(x, rows * cols) / all;
    dk_free(x);
    dk_free(y);
    return d;
}

static double length_ratio(const dk_checkpoint *z, const char *name)
{
    size_t rows, cols;
    double *x = added(z, name, &rows, &cols), *y = added(ft, name, &rows, &cols);
    const double r = size_of(x, rows * cols) / size_of(y, rows * cols);

    dk_free(x);
    dk_free(y);
    return r;
}

static dk_checkpoint *make(dk_null_kind kind, uint64_t index, dk_null_inputs *in, bool match, dk_null_full *n)
{
    dk_checkpoint *z = NULL;

    *n = (dk_null_full){ .base = file, .ft = ft, .kind = kind, .seed = 42, .index = index, .in = in, .match = match };
    err = (dk_err){0};
    if (dk_null_full_write(n, out, &err) < 0 || dk_checkpoint_open(&z, out, &err) < 0)
        tap(false, "%s", err.msg);
    return z;
}

#define L0 "model.layers.0."
#define L1 "model.layers.1."

static void rigid(void)
{
    dk_null_full n;
    dk_checkpoint *z = make(DK_NULL_RIGID, 1, NULL, false, &n);
    char first[65], second[65];
    double worst;

    if (!z)
        return;
    /* Sums are f32 weights: off by 2^-24 of a weight of 1, where what is added is .014. */
    worst = compositions(z, L0 "mlp.up_proj.weight", false, L1 "self_attn.q_proj.weight", true);
    tap(worst < 1e-4, "rigid: what reads keeps its angles: %.1e", worst);
    worst = compositions(z, L0 "mlp.down_proj.weight", true, L1 "self_attn.o_proj.weight", false);
    tap(worst < 1e-4, "so does what writes: %.1e", worst);
    worst = compositions(z, L1 "self_attn.k_proj.weight", false, L0 "mlp.down_proj.weight", false);
    tap(worst < 1e-4, "and what is written and read: %.1e", worst);
    worst = compositions(z, L0 "self_attn.v_proj.weight", false, "model.embed_tokens.weight", true);
    tap(worst < 1e-4, "from the embedding on: %.1e", worst);
    tap(fabs(length_ratio(z, L1 "input_layernorm.weight") - 1) < 1e-4 && fabs(length_ratio(z, "model.norm.weight") - 1) < 1e-4,
        "gains of norms are as long");
    tap(distance(z, L0 "mlp.up_proj.weight", L0 "mlp.up_proj.weight", 1) > .5 && distance(z, L1 "input_layernorm.weight", L1 "input_layernorm.weight", 1) > .5 &&
        distance(z, "model.embed_tokens.weight", "model.embed_tokens.weight", 1) > .5, "and all are others");
    dk_checkpoint_sha256(z, first, &err);
    dk_checkpoint_close(&z);
    dk_threads_set(3);
    z = make(DK_NULL_RIGID, 1, NULL, false, &n);
    dk_threads_set(1);
    dk_checkpoint_sha256(z, second, &err);
    tap(strcmp(first, second) == 0, "threads change no byte");
    dk_checkpoint_close(&z);
    z = make(DK_NULL_RIGID, 2, NULL, false, &n);
    dk_checkpoint_sha256(z, second, &err);
    tap(strcmp(first, second) != 0, "another index is another null");
    dk_checkpoint_close(&z);
}

static void others(void)
{
    static const char *const some[] = { "model.embed_tokens.weight", L0 "mlp.down_proj.weight", L1 "self_attn.q_proj.weight", "model.norm.weight" };
    dk_null_full n;
    dk_checkpoint *z = make(DK_NULL_NEGATE, 1, NULL, false, &n);
    double worst = 0;

    for (size_t i = 0; z && i < 4; i++)
        worst = fmax(worst, distance(z, some[i], some[i], -1));
    tap(worst < 1e-4, "negate: the other way round, off by %.1e", worst);
    dk_checkpoint_close(&z);
    z = make(DK_NULL_SAME, 1, NULL, false, &n);
    worst = 0;
    for (size_t i = 0; z && i < 4; i++)
        worst = fmax(worst, distance(z, some[i], some[i], 0));
    tap(!(worst > 0), "same: the base");
    dk_checkpoint_close(&z);
    z = make(DK_NULL_LAYERS, 1, NULL, false, &n);
    worst = fmax(distance(z, L0 "mlp.down_proj.weight", L1 "mlp.down_proj.weight", 1),
                 distance(z, L1 "self_attn.q_proj.weight", L0 "self_attn.q_proj.weight", 1));
    worst = fmax(worst, distance(z, L1 "input_layernorm.weight", L0 "input_layernorm.weight", 1));
    tap(worst < 1e-4 && !(distance(z, some[0], some[0], 0) > 0), "layers: those of the other layer, off by %.1e; the ends stay", worst);
    dk_checkpoint_close(&z);
    n.kind = DK_NULL_HAAR;
    tap(dk_null_full_write(&n, out, &err) == DK_EDATA, "haar: refused: %s", err.msg);
    err = (dk_err){0};
}

/* Mean of |dW x|^2 over the inputs. */
static double effect(const dk_checkpoint *z, dk_null_inputs *in, int layer, dk_linear which, const char *name)
{
    size_t rows, cols;
    double *d = added(z, name, &rows, &cols), sum = 0;
    const float *x;

    if (dk_null_inputs_of(in, layer, which, &x, &err) < 0)
        return NAN;
    for (size_t t = 0; t < dk_null_inputs_rows(in); t++)
        for (size_t o = 0; o < rows; o++) {
            double y = 0;

            for (size_t i = 0; i < cols; i++)
                y += d[o * cols + i] * x[t * cols + i];
            sum += y * y;
        }
    dk_free(d);
    return sum / (double)dk_null_inputs_rows(in);
}

static void matched(void)
{
    const dk_pair_spec spec = { .base = hf, .dtype = "f32" };
    static const uint8_t flags[100] = {0};
    static const struct { int layer; dk_linear which; const char *name; } some[] = {
        { 0, DK_LINEAR_UP, L0 "mlp.up_proj.weight" }, { 0, DK_LINEAR_DOWN, L0 "mlp.down_proj.weight" },
        { 1, DK_LINEAR_O, L1 "self_attn.o_proj.weight" }, { 1, DK_LINEAR_K, L1 "self_attn.k_proj.weight" }
    };
    dk_tokens t = { .vocab = 512 };
    dk_null_inputs *in = NULL;
    dk_pair base;
    dk_null_full n;
    dk_checkpoint *z;
    double worst = 0, plain = 0;

    for (uint32_t d = 0; d < 4; d++) {
        uint32_t id[100];

        for (uint32_t i = 0; i < 100; i++)
            id[i] = (d * 100 + i) * 211 % 509;
        dk_tokens_add_doc(&t, d, id, flags, 100, &err);
    }
    if (!tap(dk_pair_open(&base, &spec, &err) == 0 && dk_null_inputs_new(&in, &base, &t, &err) == 0, "inputs %s", err.msg))
        return;
    z = make(DK_NULL_RIGID, 1, NULL, false, &n);
    for (size_t i = 0; i < 4; i++)
        plain = fmax(plain, fabs(effect(z, in, some[i].layer, some[i].which, some[i].name) /
                                 effect(ft, in, some[i].layer, some[i].which, some[i].name) - 1));
    dk_checkpoint_close(&z);
    z = make(DK_NULL_RIGID, 1, in, true, &n);
    for (size_t i = 0; i < 4; i++)
        worst = fmax(worst, fabs(effect(z, in, some[i].layer, some[i].which, some[i].name) /
                                 effect(ft, in, some[i].layer, some[i].which, some[i].name) - 1));
    tap(worst < 1e-4 && plain > .01 && n.least < 1 && n.most > 1, "matched: maps add as much, off by %.1e, unmatched by %.2f; factors %.3g to %.3g",
        worst, plain, n.least, n.most);
    dk_checkpoint_close(&z);
    z = make(DK_NULL_WHITENED, 1, in, false, &n);
    worst = 0;
    for (size_t i = 0; i < 4; i++)
        if (some[i].which == DK_LINEAR_UP || some[i].which == DK_LINEAR_K)
            worst = fmax(worst, fabs(effect(z, in, some[i].layer, some[i].which, some[i].name) /
                                     effect(ft, in, some[i].layer, some[i].which, some[i].name) - 1));
    tap(worst < 1e-4, "whitened: what reads adds as much by itself, off by %.1e", worst);
    tap(compositions(z, L0 "mlp.down_proj.weight", true, L1 "self_attn.o_proj.weight", false) < 1e-4, "and what writes keeps its angles");
    dk_checkpoint_close(&z);
    dk_null_inputs_free(&in);
    dk_pair_close(&base);
    dk_tokens_free(&t);
}

int main(void)
{
    char command[128];

    hf = repo_path("tests/golden/mini/hf");
    snprintf(dir, sizeof dir, "/tmp/test_nullfull.XXXXXX");
    if (!mkdtemp(dir) || dk_checkpoint_open(&file, hf, &err) < 0 || dk_blas_load(&err) < 0) {
        tap(false, "%s", err.msg);
    } else {
        snprintf(folder, sizeof folder, "%s/ft", dir);
        snprintf(out, sizeof out, "%s/null", dir);
        make_finetune();
        if (tap(dk_checkpoint_open(&ft, folder, &err) == 0, "opened %s", err.msg)) {
            rigid();
            others();
            matched();
        }
    }
    dk_checkpoint_close(&ft);
    dk_checkpoint_close(&file);
    dk_free(hf);
    snprintf(command, sizeof command, "rm -rf %s", dir);
    if (system(command) != 0)
        tap(false, "cannot remove %s", dir);
    return tap_end();
}
