/* What storing activations costs on real ones: bytes for a token of a pair, and
 * time beside the same passes without a file, and beside their products alone.
 *
 * usage: bench_store MODEL ADAPTER TOKENS   (threads: all cores) */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "base/mem.h"
#include "base/rng.h"
#include "base/thread.h"
#include "io/actfile.h"
#include "method/score.h"
#include "model/pair.h"
#include "pairbench.h"

enum { ROWS = 1024, REPEATS = 2, KINDS = 4 };

struct cost { double wall, cpu, write_cpu, write_wall; long bytes; };

/* What of a pair is stored. */
struct kind { const char *name; int base, ft, delta, diff; };
static const struct kind kinds[KINDS] = {
    { "base and difference", 1, 0, 0, 1 }, { "difference alone", 0, 0, 0, 1 },
    { "base and ft", 1, 1, 0, 0 }, { "base and ft as a delta", 1, 1, 1, 0 }
};

static int open_store(dk_acts_writer **w, const char *path, const struct kind *k, const dk_tokens *t, int layer,
                      size_t d, dk_err *err)
{
    const struct { int wanted; const char *what; int delta; } set[] = {
        { k->base, "base", 0 }, { k->ft, "ft", k->delta }, { k->diff, "diff", 0 }
    };
    int rc = dk_acts_new(w, path, t, k->delta, NULL, err);

    for (int i = 0; rc == 0 && i < 3; i++) {
        const dk_act_info a = { .layer = layer, .site = "resid_post", .what = set[i].what, .computed_in = "bf16",
                                .dtype = DK_H5_BF16, .delta = set[i].delta, .d = d };

        if (set[i].wanted)
            rc = dk_acts_add(*w, &a, err);
    }
    return rc;
}

/* All passes over t up to the layer, stored as k says or (NULL) not at all. */
static int run(const dk_pair *p, const dk_tokens *t, int layer, const char *path, const struct kind *k,
               struct cost *c, dk_err *err)
{
    const size_t d = p->model->config.d_model, most = dk_tokens_batch_most(t, ROWS);
    size_t *offset = dk_xcalloc(t->docs + 1, sizeof *offset);
    float *x[3] = { NULL, NULL, NULL };
    dk_acts_writer *w = NULL;
    dk_runner *r = NULL;
    double t0, c0;
    int rc = 0;

    *c = (struct cost){0};
    for (int i = 0; rc == 0 && i < 3; i++)
        rc = dk_alloc(&x[i], most * d, sizeof(float), "a bench", err);
    if (rc == 0)
        rc = dk_runner_new(&r, p->model, p->lane, 2, most, err);
    if (rc == 0 && k)
        rc = open_store(&w, path, k, t, layer, d, err);
    t0 = dk_now();
    c0 = cpu();
    for (size_t first = 0, last; rc == 0 && first < t->docs; first = last) {
        const dk_tap taps[2] = { { layer, 0, x[0], DK_SITE_OUT, false }, { layer, 1, x[1], DK_SITE_OUT, false } };
        dk_pass pass = { .taps = taps, .n_taps = 2, .last_layer = layer };
        size_t rows, n = 0;
        const float *set[3];

        last = dk_tokens_batch(t, first, ROWS, offset);
        rows = t->offset[last] - t->offset[first];
        pass.batch = (dk_batch){ last - first, offset, t->token + t->offset[first] };
        if ((rc = dk_runner_forward(r, &pass, err)) < 0 || !k)
            continue;
        for (size_t i = 0; i < rows * d; i++)
            x[2][i] = x[1][i] - x[0][i];
        if (k->base) set[n++] = x[0];
        if (k->ft) set[n++] = x[1];
        if (k->diff) set[n++] = x[2];
        c->write_cpu -= cpu();
        c->write_wall -= dk_now();
        rc = dk_acts_append(w, set, rows, err);
        c->write_cpu += cpu();
        c->write_wall += dk_now();
    }
    c->write_cpu -= cpu();
    c->write_wall -= dk_now();
    if (rc == 0 && k)
        rc = dk_acts_commit(&w, err);
    c->write_cpu += cpu();
    c->write_wall += dk_now();
    c->wall = dk_now() - t0;
    c->cpu = cpu() - c0;
    dk_acts_abandon(&w);
    dk_runner_free(&r);
    for (int i = 0; i < 3; i++)
        dk_free(x[i]);
    dk_free(offset);
    return rc;
}

/* The products of the same blocks at the same rows, nothing between them. */
static int products(const dk_model *m, size_t rows, int layer, double *wall, dk_err *err)
{
    const dk_model_config *c = &m->config;
    const size_t widest = c->d_ff > c->d_model ? c->d_ff : c->d_model;
    float *x = NULL, *y = NULL;
    dk_lhs *lhs = NULL;
    int rc = dk_alloc(&x, rows * widest, sizeof *x, "a bench", err);

    if (rc == 0) rc = dk_alloc(&y, dk_padded_rows(rows) * 2 * c->d_ff, sizeof *y, "a bench", err);
    if (rc == 0) rc = dk_lhs_new(&lhs, rows, widest, m->dtype, err);
    for (size_t i = 0; rc == 0 && i < rows * widest; i++)
        x[i] = (float)dk_uniform(dk_mix(i)) - 0.5f;
    *wall = 1e9;
    for (int r = 0; rc == 0 && r < REPEATS; r++) {
        const double t0 = dk_now();

        for (int l = 0; rc == 0 && l <= layer; l++) {
            const dk_weight *w[] = { m->layer[l].w[0], m->layer[l].w[1], m->layer[l].w[2], m->layer[l].w[3] };

            for (int i = 0; rc == 0 && i < 4; i++) {
                dk_lhs_set(lhs, x, dk_weight_cols(w[i]), rows, dk_weight_cols(w[i]));
                rc = dk_product(y, dk_weight_rows(w[i]), lhs, w[i], err);
            }
        }
        *wall = dk_now() - t0 < *wall ? dk_now() - t0 : *wall;
    }
    dk_lhs_free(&lhs);
    dk_free(x);
    dk_free(y);
    return rc;
}

/* Bytes of the whole file. */
static long stored(const char *path)
{
    FILE *f = fopen(path, "rb");
    long n = 0;

    if (f && fseek(f, 0, SEEK_END) == 0)
        n = ftell(f);
    if (f)
        fclose(f);
    return n;
}

static int bench(const dk_pair *p, const dk_tokens *t, dk_err *err)
{
    const int layer = dk_layer_at(&p->model->config, 0.5);
    const size_t d = p->model->config.d_model;
    char path[] = "/tmp/dk-bench-XXXXXX";
    struct cost bare = { .wall = 1e9 }, c;
    double alone = 0;
    int rc = 0;

    close(mkstemp(path));
    for (int i = 0; rc == 0 && i < REPEATS; i++)
        if ((rc = run(p, t, layer, path, NULL, &c, err)) == 0 && c.wall < bare.wall)
            bare = c;
    if (rc == 0)
        rc = products(p->model, 2 * ROWS, layer, &alone, err);
    alone *= (double)t->rows / ROWS;
    if (rc == 0)
        printf("extract: pair to block %d of %zu: %.0f tokens/s, %.0f%% of the products alone\n", layer,
               p->model->config.n_layers, (double)t->rows / bare.wall, 100 * alone / bare.wall);
    for (int k = 0; rc == 0 && k < KINDS; k++) {
        struct cost best = { .wall = 1e9 };

        for (int i = 0; rc == 0 && i < REPEATS; i++)
            if ((rc = run(p, t, layer, path, &kinds[k], &c, err)) == 0 && c.wall < best.wall)
                best = c;
        if (rc == 0)
            printf("store:   %-24s %.2f d bytes/token, writing %.1f%% of the CPU time (%.0f us/token), %.0f%% of the speed without\n",
                   kinds[k].name, (double)stored(path) / (double)t->rows / (double)d, 100 * best.write_cpu / best.cpu,
                   1e6 * best.write_cpu / (double)t->rows, 100 * bare.wall / best.wall);
    }
    unlink(path);
    return rc;
}

int main(int argc, char **argv) { return bench_of_pair("bench_store", argc, argv, bench); }
