/* Activation and direction files: what is written comes back rounded to nearest
 * even, whatever pieces it came in; what does not fit is refused. */
#include <math.h>

#include "h5make.h"
#include "io/actfile.h"
#include "io/dirfile.h"
#include "num/half.h"
#include "tap.h"

enum { ROWS = 1300, D = 576, SETS = 3 };        /* two chunks of 512 rows of bf16, and a part */

static float act[SETS][ROWS * D], back[ROWS * D];

static void fill(void)
{
    uint32_t x = 1;

    for (int s = 0; s < SETS; s++)
        for (int i = 0; i < ROWS * D; i++) {
            x = x * 1664525u + 1013904223u;
            act[s][i] = (float)(int32_t)x * (s == 2 ? 1e-9f : 1e-7f);
        }
    act[0][0] = 1.00390625f;            /* between two bf16, to the even one */
    act[0][1] = 1.01171875f;
}

static int write_acts(const char *path, dk_h5_type dtype, const size_t *pieces, dk_err *err)
{
    static const char *const what[SETS] = { "base", "ft", "diff" };
    static const dk_model_info base = { .arch = "llama", .kind = "base", .dtype = "f32", .n_layers = 30,
                                        .d_model = D, .vocab = 999, .weights_sha256 = "w" };
    dk_acts_writer *w;
    dk_tokens t;
    int rc;

    sample_tokens(&t, ROWS - 5);
    rc = dk_acts_new(&w, path, &t, false, &sample_prov, err);
    dk_tokens_free(&t);
    if (rc < 0)
        return rc;
    rc = dk_acts_add_model(w, "base", &base, err);
    for (int s = 0; rc == 0 && s < SETS; s++) {
        const dk_act_info a = { .layer = 7, .site = "resid_post", .what = what[s], .computed_in = "f32",
                                .dtype = dtype, .d = D };

        rc = dk_acts_add(w, &a, err);
    }
    for (size_t at = 0; rc == 0 && *pieces; at += *pieces++) {
        const float *rows[SETS] = { act[0] + at * D, act[1] + at * D, act[2] + at * D };

        rc = dk_acts_append(w, rows, *pieces, err);
    }
    if (rc == 0)
        return dk_acts_commit(&w, err);
    dk_acts_abandon(&w);
    return rc;
}

static float stored(float v, dk_h5_type t)
{
    return t == DK_H5_BF16 ? dk_bf16_f32(dk_f32_bf16(v)) : t == DK_H5_F16 ? dk_f16_f32(dk_f32_f16(v)) : v;
}

static void test_round_trip(const char *path, const char *name)
{
    static const size_t whole[] = { ROWS, 0 };
    const dk_h5_type dtype = dk_act_dtype(name);
    const dk_act_info *x;
    dk_acts *a = NULL;
    dk_err err = {0};
    double sum = 0;
    int bad = 0;

    if (!tap(write_acts(path, dtype, whole, &err) == 0 && dk_acts_open(&a, path, &err) == 0,
             "%s: written and opened %s", name, err.msg))
        return;
    tap(dk_acts_n(a) == SETS && dk_acts_tokens(a)->rows == ROWS && dk_acts_tokens(a)->docs == 3 &&
        strcmp(dk_acts_at(a, 1)->what, "diff") == 0, "%s: datasets and tokens", name);
    x = dk_acts_find(a, 7, "resid_post", "ft");
    tap(x && x->dtype == dtype && x->d == D && x->scale == 1 && strcmp(x->computed_in, "f32") == 0 &&
        !dk_acts_find(a, 8, "resid_post", "ft") && !dk_acts_find(a, 7, "resid_pre", "ft"),
        "%s: attributes", name);
    tap(dk_acts_read(a, x, 0, ROWS, back, &err) == 0, "%s: all rows are read", name);
    for (int i = 0; i < ROWS * D; i++) {
        bad += back[i] != stored(act[1][i], dtype);
        sum += (double)back[i] * back[i];
    }
    tap(bad == 0, "%s: %d of %d values differ", name, bad, ROWS * D);
    tap(fabs(x->norm_rms / sqrt(sum / ROWS) - 1) < 1e-12, "%s: norm_rms %g", name, x->norm_rms);
    x = dk_acts_find(a, 7, "resid_post", "base");
    tap(dk_acts_read(a, x, 511, 2, back, &err) == 0 && back[0] == stored(act[0][511 * D], dtype) &&
        back[D] == stored(act[0][512 * D], dtype), "%s: rows across a chunk's end", name);
    tap(dk_acts_read(a, x, ROWS - 1, 2, back, NULL) == DK_EDATA, "%s: rows beyond the end are refused", name);
    dk_acts_close(&a);
}

static void test_pieces(const char *dir)
{
    static const size_t whole[] = { ROWS, 0 }, parts[] = { 1, 511, 1, 700, 87, 0 };
    char *a = dk_xasprintf("%s/a.act.h5", dir), *b = dk_xasprintf("%s/b.act.h5", dir);
    dk_err err = {0};

    tap(write_acts(a, DK_H5_BF16, whole, &err) == 0 && write_acts(b, DK_H5_BF16, parts, &err) == 0 &&
        same_file(a, b), "the same bytes whatever the pieces %s", err.msg);
    dk_free(a);
    dk_free(b);
}

static void test_refused(const char *path)
{
    static const size_t few[] = { ROWS - 1, 0 }, many[] = { ROWS, 1, 0 }, whole[] = { ROWS, 0 };
    const float kept = act[1][5 * D + 3];
    dk_err err = {0};

    tap(write_acts(path, DK_H5_BF16, few, &err) == DK_EDATA && strstr(err.msg, "1299 of 1300"), "missing rows");
    err = (dk_err){0};
    tap(write_acts(path, DK_H5_BF16, many, &err) == DK_EDATA, "too many rows: %s", err.msg);
    act[1][5 * D + 3] = NAN;
    err = (dk_err){0};
    tap(write_acts(path, DK_H5_F32, whole, &err) == DK_ENUM && strstr(err.msg, "row 5"), "NaN: %s", err.msg);
    act[1][5 * D + 3] = 70000;
    err = (dk_err){0};
    tap(write_acts(path, DK_H5_F16, whole, &err) == DK_ENUM && strstr(err.msg, "f16"), "%s", err.msg);
    act[1][5 * D + 3] = kept;
    tap(access(path, F_OK) != 0, "nothing is left");
}

/* A file that the writer might not make: rows of two values, said to be of this
 * layer. */
static int write_odd(const char *path, int layer, const float *v, dk_err *err)
{
    static const char set[] = "/acts/L07/resid_post/base";
    const uint64_t dim[2] = { 5, 2 };
    dk_tokens t;
    dk_h5 *f;
    int rc;

    sample_tokens(&t, 0);
    if ((rc = dk_h5_create(&f, path, "dk-activations", NULL, err)) == 0 && (rc = dk_tokens_put(f, &t, err)) == 0 &&
        (rc = dk_h5_write(f, set, DK_H5_F32, 2, dim, v, err)) == 0 &&
        (rc = dk_h5_put_int(f, set, "layer", DK_H5_I32, layer, err)) == 0 &&
        (rc = dk_h5_put_str(f, set, "site", "resid_post", err)) == 0 &&
        (rc = dk_h5_put_str(f, set, "what", "base", err)) == 0 &&
        (rc = dk_h5_put_real(f, set, "norm_rms", DK_H5_F64, 1, err)) == 0)
        rc = dk_h5_commit(&f, t.rows, t.docs, NULL, err);
    dk_tokens_free(&t);
    return rc;
}

static void test_odd(const char *path)
{
    float v[5 * 2] = { 1, 2, 3, 4, 5, 6, 7, 8, 9, 10 };
    dk_acts *a = NULL;
    dk_err err = {0};

    tap(write_odd(path, 7, v, &err) == 0 && dk_acts_open(&a, path, &err) == 0 &&
        dk_acts_read(a, dk_acts_at(a, 0), 3, 2, back, &err) == 0 && back[3] == 10, "a plain one %s", err.msg);
    dk_acts_close(&a);
    tap(write_odd(path, 8, v, &err) == 0 && dk_acts_open(&a, path, &err) == DK_EFORMAT, "another layer: %s", err.msg);
    err = (dk_err){0};
    v[7] = NAN;
    err = (dk_err){0};
    tap(write_odd(path, 7, v, &err) == 0 && dk_acts_open(&a, path, &err) == 0 &&
        dk_acts_read(a, dk_acts_at(a, 0), 0, 3, back, &err) == 0 &&
        dk_acts_read(a, dk_acts_at(a, 0), 1, 3, back, &err) == DK_ENUM && strstr(err.msg, "row 3"), "%s", err.msg);
    dk_acts_close(&a);
    tap(sample_file(path, 3, NULL) == 0 && dk_acts_open(&a, path, NULL) == DK_EFORMAT && !a, "another kind of file");
}

static const float vectors[2 * 3] = { 1, 2, 2, 0, 3, 4 };

static int write_dirs(const char *path, const float *v, dk_err *err)
{
    static const char *const name[] = { "mean", "position 0" };
    static const int32_t position[] = { DK_NO_POSITION, 0 };
    static const double norm[] = { 3, 5 };
    static const uint64_t count[] = { 1300, 2 };
    dk_dir_set s = { .layer = 14, .site = "resid_post", .what = "diff", .source = "mean", .unit = "model",
                     .act_norm = 150.5, .n = 2, .d = 3, .vector = v, .name = name, .position = position,
                     .norm = norm, .count = count };
    dk_tokens t;
    dk_h5 *f;
    int rc;

    sample_tokens(&t, 3);
    rc = dk_dirs_create(&f, path, &t, NULL, &sample_prov, err);
    dk_tokens_free(&t);
    if (rc == 0)
        rc = dk_dirs_put(f, &s, err);
    s.what = "base";
    s.act_norm = NAN;
    if (rc == 0)
        rc = dk_dirs_put(f, &s, err);
    if (rc == 0)
        return dk_dirs_commit(&f, 4, err);
    dk_h5_close(&f);
    return rc;
}

static void test_dirs(const char *path)
{
    float bad[6] = { 1, 2, INFINITY, 0, 3, 4 };
    const dk_dir_set *s;
    dk_dirs *d = NULL;
    dk_err err = {0};

    if (!tap(write_dirs(path, vectors, &err) == 0 && dk_dirs_open(&d, path, &err) == 0,
             "directions are written and opened %s", err.msg))
        return;
    s = dk_dirs_find(d, 14, "resid_post", "diff");
    tap(dk_dirs_n(d) == 2 && s && s->n == 2 && s->d == 3 && memcmp(s->vector, vectors, sizeof vectors) == 0 &&
        strcmp(s->name[1], "position 0") == 0 && s->position[0] == DK_NO_POSITION && s->position[1] == 0 &&
        s->norm[1] == 5 && s->count[0] == 1300 && s->act_norm == 150.5 && strcmp(s->source, "mean") == 0,
        "and come back");
    tap(isnan(dk_dirs_at(d, 0)->act_norm) && strcmp(dk_dirs_corpus(d)->corpus_name, "a.jsonl") == 0 &&
        !dk_dirs_find(d, 14, "resid_pre", "diff"), "with their corpus; a norm may be unknown");
    dk_dirs_close(&d);
    tap(write_dirs(path, bad, &err) == 0 && dk_dirs_open(&d, path, &err) == DK_EFORMAT, "infinite: %s", err.msg);
    tap(sample_file(path, 3, NULL) == 0 && dk_dirs_open(&d, path, NULL) == DK_EFORMAT, "another kind of file");
}

int main(void)
{
    static const char *const dtype[] = { "bf16", "f16", "f32" };
    char *dir = work_dir(), *path = dk_xasprintf("%s/x.act.h5", dir), *dirs = dk_xasprintf("%s/x.dir.h5", dir);

    fill();
    tap(dk_act_dtype("f64") == DK_H5_NONE, "unknown dtypes have no type");
    test_refused(path);
    for (int i = 0; i < 3; i++)
        test_round_trip(path, dtype[i]);
    test_pieces(dir);
    test_odd(path);
    test_dirs(dirs);
    dk_free(path);
    dk_free(dirs);
    remove_dir(dir);
    return tap_end();
}
