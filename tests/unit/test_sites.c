/* What the model library's hooks saw of attention and MLP in three blocks of the
 * default model, base and finetune (f32): dk-extract's sites, through a file. */
#include <math.h>

#include "gold.h"
#include "h5make.h"
#include "method/extract.h"
#include "tap.h"

enum { D = 576, TOKENS = 32, ROWS = 4, LAYERS = 3, V = 49152 };

static const char *const site[DK_MAX_SITES] = { "attn_out", "mlp_out", "resid_post", "resid_pre" };
static const int layer[LAYERS] = { 0, 14, 29 };

static dk_provenance no_provenance(void *arg)
{
    (void)arg;
    return (dk_provenance){0};
}

static int write_tokens(const char *path, dk_err *err)
{
    dk_tokens t = { .vocab = V, .format = dk_xstrdup("text"), .bos = dk_xstrdup("none") };
    size_t n;
    uint32_t *ids = gold_read("sites/ids.i32", 4, &n);
    int rc = n == TOKENS ? dk_tokens_add_doc(&t, 0, ids, NULL, n, err) : -1;

    if (rc == 0)
        rc = dk_tokens_write(&t, path, NULL, err);
    dk_tokens_free(&t);
    dk_free(ids);
    return rc;
}

/* Largest distance of a row to the wanted one, relative to its length. */
static double apart(const float *got, const float *want)
{
    double worst = 0;

    for (size_t r = 0; r < ROWS; r++) {
        double e = 0, s = 0;

        for (size_t j = 0; j < D; j++) {
            e += ((double)got[r * D + j] - want[r * D + j]) * ((double)got[r * D + j] - want[r * D + j]);
            s += (double)want[r * D + j] * want[r * D + j];
        }
        worst = fmax(worst, sqrt(e / s));
    }
    return worst;
}

/* Two implementations in f32 are some 1e-6 apart in the residual stream (forward/);
 * what a block adds is a sum of terms that partly cancel. */
static void compare(dk_acts *a, const char *what, const char *gold)
{
    char path[64];
    size_t n;
    float *want, got[ROWS * D];
    dk_err err = {0};

    snprintf(path, sizeof path, "sites/%s.f32", gold);
    want = gold_read(path, 4, &n);
    for (int s = 0; s < DK_MAX_SITES; s++) {
        double worst = 0;
        int rc = n == LAYERS * DK_MAX_SITES * ROWS * D ? 0 : -1;

        for (int l = 0; rc == 0 && l < LAYERS; l++) {
            const dk_act_info *x = dk_acts_find(a, layer[l], site[s], what);

            rc = x ? dk_acts_read(a, x, TOKENS - ROWS, ROWS, got, &err) : -1;
            worst = fmax(worst, apart(got, want + (l * DK_MAX_SITES + s) * ROWS * D));
        }
        tap(rc == 0 && worst < 2e-5, "%s of %s: within %.1e %s", site[s], what, worst, err.msg);
    }
    dk_free(want);
}

int main(void)
{
    static char *const layers[] = { (char *)"0", (char *)"14", (char *)"29" };
    char *dir = work_dir(), *tokens = dk_xasprintf("%s/t.tok.h5", dir), *out = dk_xasprintf("%s/x.act.h5", dir);
    char *ft = dk_xasprintf("%s/data/organisms/cake_bake/adapter", gold_root());
    dk_buf inputs = {0};
    const dk_extract_job job = {
        .pair = { .base = getenv("DK_TEST_MODEL"), .ft = ft, .dtype = "f32" }, .layers = layers, .n_layers = LAYERS,
        .site = { true, true, true, true }, .base = true, .ft = true, .dtype = DK_H5_F32, .batch_rows = 512,
        .tokens = tokens, .out = out, .inputs = &inputs, .provenance = no_provenance
    };
    dk_acts *a = NULL;
    dk_err err = {0};

    if (!job.pair.base) {
        tap(false, "DK_TEST_MODEL is not set");
        return tap_end();
    }
    if (tap(write_tokens(tokens, &err) == 0 && dk_extract_run(&job, &err) == 0 && dk_acts_open(&a, out, &err) == 0,
            "extracted %s", err.msg)) {
        compare(a, "base", "base");
        compare(a, "ft", "cake_bake");
    }
    dk_acts_close(&a);
    dk_buf_free(&inputs);
    remove_dir(dir);
    dk_free(tokens);
    dk_free(out);
    dk_free(ft);
    return tap_end();
}
