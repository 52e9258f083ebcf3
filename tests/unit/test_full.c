/* A finetune with full weights as lanes: the miniature with an adapter merged
 * into its weights gives what the adapter beside them gives, in one pass and in
 * generation-like passes; the rotary scalings against worked frequencies. */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/thread.h"
#include "gold.h"
#include "io/actfile.h"
#include "io/json.h"
#include "method/extract.h"
#include "method/score.h"
#include "model/rope.h"
#include "tap.h"

static char mini[1024], plain[1024], dir[] = "/tmp/dk-full-XXXXXX", merged[1100];

/* W + s B A, in f32. */
static void merge(float *w, const dk_adapter *a, const char *name)
{
    for (size_t i = 0; i < dk_adapter_n(a); i++) {
        const dk_adapter_module *m = dk_adapter_at(a, i);
        char full[256];

        snprintf(full, sizeof full, "%s.weight", m->path);
        if (strcmp(full, name) != 0)
            continue;
        for (size_t o = 0; o < m->out; o++)
            for (size_t k = 0; k < m->in; k++) {
                double s = 0;

                for (size_t r = 0; r < m->r; r++)
                    s += (double)m->b[o * m->r + r] * m->a[r * m->in + k];
                w[o * m->in + k] += (float)(m->scale * s);
            }
    }
}

/* All tensors of the miniature as one f32 safetensors file. */
static bool write_merged(const dk_checkpoint *c, const dk_adapter *a, dk_err *err)
{
    dk_buf head = {0}, body = {0};
    char path[1200];
    uint64_t n;
    bool ok;
    FILE *f;

    dk_buf_addc(&head, '{');
    for (size_t i = 0; i < dk_checkpoint_n(c); i++) {
        const char *name = dk_checkpoint_name_at(c, i);
        size_t rows, cols;
        float *w;

        if (!dk_checkpoint_find(c, name, &rows, &cols) || dk_alloc(&w, rows * cols, 4, "a tensor", err) < 0 ||
            dk_checkpoint_rows(c, name, w, 0, rows, err) < 0)
            return false;
        merge(w, a, name);
        dk_buf_addf(&head, "%s\"%s\":{\"dtype\":\"F32\",\"shape\":[", head.n > 1 ? "," : "", name);
        if (strstr(name, "norm"))
            dk_buf_addf(&head, "%zu", cols);
        else
            dk_buf_addf(&head, "%zu,%zu", rows, cols);
        dk_buf_addf(&head, "],\"data_offsets\":[%zu,%zu]}", body.n, body.n + rows * cols * 4);
        dk_buf_add(&body, w, rows * cols * 4);
        dk_free(w);
    }
    dk_buf_addc(&head, '}');
    while (head.n % 8)
        dk_buf_addc(&head, ' ');
    n = head.n;
    snprintf(path, sizeof path, "%s/model.safetensors", merged);
    f = fopen(path, "wb");
    ok = f && fwrite(&n, 8, 1, f) == 1 && fwrite(head.s, 1, head.n, f) == head.n && fwrite(body.s, 1, body.n, f) == body.n;
    ok = f && fclose(f) == 0 && ok;
    dk_buf_free(&head);
    dk_buf_free(&body);
    return ok;
}

static bool make_merged(dk_err *err)
{
    dk_checkpoint *c = NULL;
    dk_adapter *a = NULL;
    char command[3000];
    bool ok;

    if (!mkdtemp(dir))
        return false;
    snprintf(merged, sizeof merged, "%s/merged", dir);
    mkdir(merged, 0777);
    snprintf(command, sizeof command, "cp '%s/config.json' '%s/'", mini, merged);
    ok = system(command) == 0 && dk_checkpoint_open(&c, mini, err) == 0 &&
         dk_adapter_open(&a, plain, dk_checkpoint_config(c), err) == 0 && write_merged(c, a, err);
    dk_adapter_close(&a);
    dk_checkpoint_close(&c);
    return ok;
}

static void tokens_of(dk_tokens *t)
{
    const uint32_t ids[] = { 3, 77, 500, 12, 9, 300, 44, 44, 2, 181, 3, 260, 7 };
    dk_err err = {0};

    t->vocab = 512;
    dk_tokens_add_doc(t, 0, ids, NULL, 13, &err);
    dk_tokens_add_doc(t, 1, ids + 4, NULL, 7, &err);
    dk_tokens_add_doc(t, 2, ids + 1, NULL, 1, &err);
}

static void compare(char *const *nulls, size_t n, const char *what)
{
    dk_pair_spec spec = { .base = mini, .ft = plain, .nulls = nulls, .n_nulls = n, .dtype = "f32", .with_head = 1 };
    const dk_score_plan plan = { .temperature = 1, .kl = 1, .top_k = 5, .batch_rows = 16 };
    dk_tokens t = {0};
    dk_score s = {0};
    dk_pair p;
    dk_err err = {0};
    double worst = 0, size = 0;

    tokens_of(&t);
    if (dk_pair_open(&p, &spec, &err) < 0 || dk_score_run(&s, &p, &t, &plan, &err) < 0) {
        tap(false, "%s: %s", what, err.msg);
        return;
    }
    for (size_t l = 2; l < p.n_lanes; l++)
        for (size_t i = 0; i < t.rows; i++) {
            const double e = fabs((double)s.kl[l][i] - s.kl[1][i]);

            worst = e <= worst ? worst : e;
            size = s.kl[1][i] > size ? s.kl[1][i] : size;
        }
    tap(p.n_lanes == 2 + n && size > .1 && worst <= 2e-5 * size, "%s: KL up to %.2f, within %.1e of the adapter's", what, size, worst);
    dk_score_free(&s);
    dk_pair_close(&p);
    dk_tokens_free(&t);
}

static void refusals(void)
{
    dk_pair_spec spec = { .base = mini, .ft = merged, .dtype = "f32", .with_head = 1 };
    char command[6000], small[1200];
    dk_pair p;
    dk_err err = {0};

    snprintf(small, sizeof small, "%s/eps", dir);
    snprintf(command, sizeof command, "mkdir '%s' && cp '%s'/* '%s/' && sed -i 's/\"rms_norm_eps\": *[0-9e.-]*/\"rms_norm_eps\": 0.5/' '%s/config.json'",
             small, merged, small, small);
    spec.ft = small;
    tap(system(command) == 0 && dk_pair_open(&p, &spec, &err) < 0 && strstr(err.msg, "epsilon"), "another epsilon is refused: %s", err.msg);
    err = (dk_err){0};
    spec.ft = dir;
    tap(dk_pair_open(&p, &spec, &err) < 0 && strstr(err.msg, dir), "a folder that is neither: %s", err.msg);
}

/* Published values of the Llama 3 scalings. */
/* --- extraction --------------------------------------------------------------------- */
static dk_provenance no_provenance(void *arg)
{
    (void)arg;
    return (dk_provenance){0};
}

/* How far rows of the merged weights are from those of the adapter, relative to their length. */
static double apart(dk_acts *a, int layer, size_t *rows, dk_err *err)
{
    const dk_act_info *ft = dk_acts_find(a, layer, "resid_post", "ft"), *full = dk_acts_find(a, layer, "resid_post", "full");
    const size_t d = ft->d, n = dk_acts_tokens(a)->rows;
    float *x = dk_xcalloc(n * d, sizeof *x), *y = dk_xcalloc(n * d, sizeof *y);
    double worst = dk_acts_read(a, ft, 0, n, x, err) == 0 && dk_acts_read(a, full, 0, n, y, err) == 0 ? 0 : INFINITY;

    for (size_t i = 0; i < n; i++) {
        double e = 0, own = 0;

        for (size_t j = i * d; j < (i + 1) * d; j++) {
            e += ((double)x[j] - y[j]) * ((double)x[j] - y[j]);
            own += (double)x[j] * x[j];
        }
        worst = fmax(worst, sqrt(e / own));
    }
    *rows = n;
    dk_free(x);
    dk_free(y);
    return worst;
}

static void extraction(char *const *nulls)
{
    char *const layers[] = { (char *)"0", (char *)"1" };
    char *tokens = dk_xasprintf("%s/t.tok.h5", dir), *out = dk_xasprintf("%s/x.act.h5", dir);
    dk_buf inputs = {0};
    const dk_extract_job job = {
        .pair = { .base = mini, .ft = plain, .nulls = nulls, .n_nulls = 1, .dtype = "f32" }, .layers = layers, .n_layers = 2,
        .site = { false, false, true }, .base = true, .ft = true, .dtype = DK_H5_F32, .batch_rows = 16, .tokens = tokens, .out = out,
        .inputs = &inputs, .provenance = no_provenance
    };
    dk_tokens t = { .format = dk_xstrdup("text"), .bos = dk_xstrdup("none") };
    dk_acts *a = NULL;
    dk_err err = {0};

    tokens_of(&t);
    if (tap(dk_tokens_write(&t, tokens, NULL, &err) == 0 && dk_extract_run(&job, &err) == 0 && dk_acts_open(&a, out, &err) == 0,
            "rows of base, adapter and merged weights %s", err.msg))
        for (int l = 0; l < 2; l++) {
            size_t rows;
            const double e = apart(a, l, &rows, &err);

            tap(rows == 21 && e < 1e-4, "block %d: rows of the merged weights within %.1e of the adapter's %s", l, e, err.msg);
        }
    dk_acts_close(&a);
    dk_tokens_free(&t);
    dk_buf_free(&inputs);
    dk_free(tokens);
    dk_free(out);
}

static void frequencies(void)
{
    const dk_rope_spec big = { .theta = 5e5, .kind = DK_ROPE_LLAMA3, .factor = 8, .low = 1, .high = 4,
                               .original = 8192 };
    const dk_rope_spec small = { .theta = 5e5, .kind = DK_ROPE_LLAMA3, .factor = 32, .low = 1, .high = 4,
                                 .original = 8192 };
    dk_rope_spec linear = big;
    const struct { const dk_rope_spec *c; size_t t; double want; } row[] = {
        { &big, 0, 1 }, { &big, 1, 0.814617234 }, { &big, 28, 0.00321144599 }, { &big, 29, 0.00216657076 },
        { &big, 31, 0.000856751413 }, { &big, 34, 0.000178507813 }, { &big, 35, 9.55621235e-05 },
        { &big, 63, 3.06892599e-07 }, { &small, 14, 0.00321144599 }, { &small, 15, 0.00129054793 },
        { &small, 16, 0.000429556797 }, { &small, 17, 9.7082878e-05 }, { &small, 18, 1.94616382e-05 },
        { &small, 31, 9.41830673e-08 }
    };
    float inv[64], factors[64];
    double worst = 0;

    for (size_t i = 0; i < sizeof row / sizeof *row; i++) {
        dk_rope_frequencies(inv, row[i].c, row[i].c == &big ? 128 : 64, NULL);
        worst = fmax(worst, fabs(inv[row[i].t] / row[i].want - 1));
    }
    tap(worst <= 1e-6, "Llama 3 frequencies within %.1e", worst);
    linear.kind = DK_ROPE_LINEAR;
    dk_rope_frequencies(inv, &linear, 128, NULL);
    tap(fabs(inv[1] / (0.814617234 / 8) - 1) <= 1e-6, "linear scaling divides by the factor");
    linear.kind = DK_ROPE_FACTORS;
    for (size_t t = 0; t < 64; t++)
        factors[t] = t < 2 ? 2 : 1;
    dk_rope_frequencies(inv, &linear, 128, factors);
    tap(fabs(inv[1] / (0.814617234 / 2) - 1) <= 1e-6 && fabs(inv[28] / 0.00321144599 - 1) <= 1e-6, "factors of a file divide, each its own");
}

int main(void)
{
    dk_err err = {0};
    char a[1200], b[1200], command[1200];
    char *nulls[] = { a, b };

    dk_threads_set(2);
    snprintf(mini, sizeof mini, "%s/tests/golden/mini/hf", gold_root());
    snprintf(plain, sizeof plain, "%s/tests/golden/mini/lora-plain", gold_root());
    tap(make_merged(&err), "the adapter merged into f32 weights %s", err.msg);
    snprintf(a, sizeof a, "full=%s", merged);
    snprintf(b, sizeof b, "beside=%s", plain);
    compare(nulls, 1, "base, adapter, full weights");
    compare(nulls, 2, "base, adapter, full weights, adapter");
    extraction(nulls);
    refusals();
    frequencies();
    snprintf(command, sizeof command, "rm -rf '%s'", dir);
    return system(command) == 0 ? tap_end() : 1;
}
