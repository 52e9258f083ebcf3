/* Components of twelve worked rows, and how far the rows lie along them: what
 * the reference toolkit keeps as scores of its examples. */
#include <math.h>

#include "h5make.h"
#include "method/encode.h"
#include "method/pca.h"
#include "tap.h"

enum { D = 4, LEN = 6, DOCS = 2, N = LEN * DOCS };

static char *dir;

static void stop(const dk_err *err)
{
    tap(false, "%s", err->msg);
    exit(tap_end());
}

/* Differences of a pair as a file: two texts of six tokens. */
static dk_acts *file_of(const float (*diff)[D])
{
    char *path = dk_xasprintf("%s/x.act.h5", dir);
    const dk_model_info model = { .arch = "llama", .kind = "base", .dtype = "f32", .d_model = D, .vocab = 99 };
    const dk_act_info x = { .layer = 1, .site = "resid_post", .what = "diff", .computed_in = "f32", .dtype = DK_H5_F32, .d = D };
    const uint32_t id[LEN] = { 1, 2, 3, 4, 5, 6 };
    const float *rows[] = { diff[0] };
    dk_tokens t = { .vocab = 99, .corpus_name = dk_xstrdup("worked"), .format = dk_xstrdup("text"), .bos = dk_xstrdup("none") };
    dk_acts_writer *w;
    dk_acts *a = NULL;
    dk_err err = {0};
    int rc;

    for (size_t d = 0; d < DOCS; d++)
        dk_tokens_add_doc(&t, d, id, NULL, LEN, &err);
    rc = dk_acts_new(&w, path, &t, false, &sample_prov, &err);
    if (rc == 0) rc = dk_acts_add_model(w, "base", &model, &err);
    if (rc == 0) rc = dk_acts_add_model(w, "ft", &model, &err);
    if (rc == 0) rc = dk_acts_add(w, &x, &err);
    if (rc == 0) rc = dk_acts_append(w, rows, N, &err);
    if (rc == 0) rc = dk_acts_commit(&w, &err);
    if (rc == 0) rc = dk_acts_open(&a, path, &err);
    if (rc < 0)
        stop(&err);
    dk_tokens_free(&t);
    dk_free(path);
    return a;
}

/* Its components; all projections on them. */
static dk_pca_place *fit(const float (*diff)[D], bool negate, dk_encoding *e)
{
    char *path = dk_xasprintf("%s/x.dir.h5", dir);
    const dk_pca_job job = { .what = "diff", .negate = negate };
    const dk_encode_plan plan = {0};
    dk_acts *a = file_of(diff);
    dk_pca_place *p = NULL;
    dk_dirs *dirs = NULL;
    dk_err err = {0};
    size_t n = 0;
    int rc = dk_pca_of(&p, &n, &a, 1, &job, &err);

    if (rc == 0) rc = dk_pca_write(p, n, dk_acts_file(a), dk_acts_tokens(a), path, &sample_prov, &err);
    dk_acts_close(&a);
    a = file_of(diff);
    if (rc == 0) rc = dk_dirs_open(&dirs, path, &err);
    if (rc == 0) rc = dk_encode(e, a, dirs, &plan, &err);
    if (rc < 0 || n != 1 || p->pca.k != D || e->n != D)
        stop(&err);
    dk_dirs_close(&dirs);
    dk_acts_close(&a);
    dk_free(path);
    return p;
}

static void done(dk_pca_place *p, dk_encoding *e)
{
    dk_pca_places_free(p, 1);
    dk_encoding_free(e);
}

static float x[N][D];

static void fixture(void)
{
    for (int i = 0; i < N; i++)
        for (int j = 0; j < D; j++)
            x[i][j] = (float)((37 * i + 101 * j + 13 * i * j) % 97 / 97.0 - 0.5);
}

static double most(const float *v, size_t doc, double sign)
{
    double best = -INFINITY;

    for (size_t i = doc * LEN; i < (doc + 1) * LEN; i++)
        best = fmax(best, sign * v[i]);
    return best;
}

static void worked(void)
{
    static const double top[DOCS][D] = { { 0.3539892, 0.2051499, 0.3293864, 0.1173306 }, { 0.4849209, 0.3695002, 0.4835395, 0.4774681 } };
    static const double bottom[DOCS][D] = { { 0.7227572, 0.6971557, 0.3999196, 0.3903441 }, { 0.4162005, 0.3958911, 0.1861230, 0.3412502 } };
    static const double first[D] = { -0.7227572, 0.1475940, -0.2681778, 0.0273158 };
    static const double farthest[D] = { 0.7227572, 0.6971557, 0.4835395, 0.4774681 };
    dk_encoding e = {0};
    dk_pca_place *p = fit(x, false, &e);
    bool good = true, ends = true, row = true, reach = true;

    for (size_t c = 0; c < D; c++) {
        double far = 0;

        good = good && strcmp(e.of[c].lane, "ft") == 0;
        for (size_t d = 0; d < DOCS; d++) {
            ends = ends && fabs(most(e.of[c].value, d, 1) - top[d][c]) < 1e-6 && fabs(most(e.of[c].value, d, -1) - bottom[d][c]) < 1e-6;
            far = fmax(far, fmax(most(e.of[c].value, d, 1), most(e.of[c].value, d, -1)));
        }
        row = row && fabs(e.of[c].value[0] - first[c]) < 1e-6;
        reach = reach && fabs(far - farthest[c]) < 1e-6;
    }
    tap(good && row, "the first row along each of four components");
    tap(ends, "the largest and the smallest of either text");
    tap(reach, "the farthest, which strengths of steering are parts of");
    done(p, &e);
}

/* Base minus finetune, a constant added to every difference, a factor, other order. */
static void same(const char *what, const float (*y)[D], bool negate, double scale, double turn)
{
    dk_encoding e = {0}, f = {0};
    dk_pca_place *p = fit(x, false, &e), *q = fit(y, negate, &f);
    bool ratios = true, vectors = true, ends = true;

    for (size_t c = 0; c < D; c++) {
        ratios = ratios && fabs(q->pca.value[c] / p->pca.value[c] / (scale * scale) - 1) < 1e-5;
        for (size_t j = 0; j < D; j++)
            vectors = vectors && fabs(q->pca.vector[c * D + j] - p->pca.vector[c * D + j]) < 1e-5;
        for (size_t i = 0; i < N; i++)
            ends = ends && fabs(f.of[c].value[i] - turn * scale * e.of[c].value[i]) < 1e-5;
    }
    tap(ratios && vectors && ends, "%s: variances, components, projections", what);
    done(p, &e);
    done(q, &f);
}

int main(void)
{
    float y[N][D];

    dir = work_dir();
    fixture();
    worked();
    same("base minus finetune", x, true, 1, -1);
    for (int i = 0; i < N; i++)
        for (int j = 0; j < D; j++)
            y[i][j] = x[i][j] + (float)(3 - j);
    same("a constant more in every row", y, false, 1, 1);
    for (int i = 0; i < N; i++)
        for (int j = 0; j < D; j++)
            y[i][j] = x[i][j] * 2.5f;
    same("a factor", y, false, 2.5, 1);
    remove_dir(dir);
    return tap_end();
}
