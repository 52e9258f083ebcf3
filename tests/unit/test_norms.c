/* Norms of activations on worked values, and what must hold of any. */
#include <math.h>

#include "h5make.h"
#include "io/json.h"
#include "method/normsout.h"
#include "tap.h"

enum { D = 4 };

static char *dir;

/* Base and finetune rows as a file; what stands for "base,ft", and so on. */
static dk_acts *file_of(const float (*base)[D], const float (*ft)[D], const size_t *len, size_t docs, const char *what)
{
    char *path = dk_xasprintf("%s/x.act.h5", dir);
    const dk_model_info model = { .arch = "llama", .kind = "base", .dtype = "f32", .d_model = D, .vocab = 99 };
    dk_tokens t = { .vocab = 99, .corpus_name = dk_xstrdup("worked"), .format = dk_xstrdup("text"),
                    .bos = dk_xstrdup("none") };
    dk_acts_writer *w;
    dk_acts *a = NULL;
    dk_err err = {0};
    float diff[64][D];
    const float *rows[3];
    size_t n = 0, sets = 0;
    int rc;

    for (size_t d = 0; d < docs; d++) {
        uint32_t id[64];

        for (size_t i = 0; i < len[d]; i++)
            id[i] = (uint32_t)(i % 3);
        dk_tokens_add_doc(&t, d, id, NULL, len[d], &err);
    }
    n = t.rows;
    for (size_t i = 0; i < n; i++)
        for (int j = 0; j < D; j++)
            diff[i][j] = ft[i][j] - base[i][j];
    rc = dk_acts_new(&w, path, &t, false, &sample_prov, &err);
    if (rc == 0) rc = dk_acts_add_model(w, "base", &model, &err);
    if (rc == 0) rc = dk_acts_add_model(w, "ft", &model, &err);
    for (int s = 0; rc == 0 && s < 3; s++) {
        static const char *const name[] = { "base", "ft", "diff" };
        const dk_act_info x = { .layer = 1, .site = "resid_post", .what = name[s], .computed_in = "f32",
                                .dtype = DK_H5_F32, .d = D };
        char *in = dk_xasprintf(",%s,", what), *mark = dk_xasprintf(",%s,", name[s]);

        if (strstr(in, mark)) {
            rc = dk_acts_add(w, &x, &err);
            rows[sets++] = s == 0 ? base[0] : s == 1 ? ft[0] : diff[0];
        }
        dk_free(in);
        dk_free(mark);
    }
    if (rc == 0) rc = dk_acts_append(w, rows, n, &err);
    if (rc == 0) rc = dk_acts_commit(&w, &err);
    if (rc == 0) rc = dk_acts_open(&a, path, &err);
    if (rc < 0) {
        tap(false, "%s", err.msg);
        exit(tap_end());
    }
    dk_tokens_free(&t);
    dk_free(path);
    return a;
}

static dk_norms measured(const float (*base)[D], const float (*ft)[D], size_t n, const char *what, size_t skip)
{
    const dk_norm_plan plan = { .skip = skip, .positions = 2 };
    dk_acts *a = file_of(base, ft, &n, 1, what);
    dk_norms m;
    dk_err err = {0};

    if (dk_norms_of(&m, a, &plan, &err) < 0) {
        tap(false, "%s", err.msg);
        exit(tap_end());
    }
    dk_acts_close(&a);      /* site and dtype are borrowed from it: not looked at here */
    return m;
}

static bool all_near(const float *got, const double *want, size_t n)
{
    bool good = true;

    for (size_t i = 0; i < n; i++)
        good = good && fabs(got[i] - want[i]) <= 1e-6;
    return good;
}

static float base_x[6][D], ft_x[6][D];

static void fixture(void)
{
    for (int i = 0; i < 6; i++)
        for (int j = 0; j < D; j++) {
            base_x[i][j] = (float)((37 * i + 101 * j + 13 * i * j) % 97 / 97.0 - 0.5);
            ft_x[i][j] = base_x[i][j] + (float)((7 * i + 5 * j + 3 * i * j) % 11 / 50.0);
        }
}

static void worked(const char *what)
{
    static const double diff[] = { 0.2374868, 0.2424871, 0.1200000, 0.2778489, 0.1897366, 0.2315167 };
    static const double cosine[] = { 0.0232739, 0.0485294, 0.0236534, 0.1014854, 0.0596842, 0.0635887 };
    static const double base[] = { 0.8811267, 0.4867246, 0.5500751, 0.5957122, 0.4994417, 0.6475179 };
    static const double ft[] = { 0.7168090, 0.6537992, 0.5530358, 0.4413087, 0.5539723, 0.5619306 };
    static const double relative[] = { 0.1486210, 0.2126104, 0.1087833, 0.2679299, 0.1801159, 0.1914234 };
    static const double mean[] = { 0.0933333, 0.05, 0.1166667, 0.11 };
    dk_norms m = measured(base_x, ft_x, 6, what, 0);
    bool good = m.n == 2 && strcmp(m.lane[0].lane, "base") == 0 && strcmp(m.lane[1].lane, "ft") == 0;
    const dk_norm_lane *l = &m.lane[1];

    tap(good && m.rows == 6 && m.docs == 1, "%s: two lanes", what);
    tap(all_near(m.lane[0].value[DK_NORM], base, 6) && all_near(l->value[DK_NORM], ft, 6), "%s: norms", what);
    tap(!m.lane[0].value[DK_NORM_DIFF] && !m.lane[0].value[DK_NORM_COS], "%s: the base has nothing else", what);
    tap(all_near(l->value[DK_NORM_DIFF], diff, 6), "%s: norm of the difference", what);
    tap(all_near(l->value[DK_NORM_COS], cosine, 6), "%s: cosine distance", what);
    tap(all_near(l->value[DK_NORM_RELATIVE], relative, 6), "%s: relative norm", what);
    good = l->n_means == 3 && l->mean[0].count == 6 && l->mean[2].count == 1;
    for (int j = 0; j < D; j++)
        good = good && fabs(l->mean[0].sum[j] / 6 - mean[j]) <= 1e-6 &&
               fabs(l->mean[2].sum[j] - (ft_x[1][j] - base_x[1][j])) <= 1e-6;
    tap(good, "%s: mean differences, of all and of the second position", what);
    dk_norms_free(&m);
}

static double member(const dk_json *row, const char *group, const char *key)
{
    return dk_json_num(dk_json_get(dk_json_get(row, group), key), NAN);
}

/* The row of the table for the finetune's norm_diff. */
static dk_json *table_row(size_t skip)
{
    const size_t n = 6;
    const dk_norm_plan plan = { .skip = skip };
    dk_acts *a = file_of(base_x, ft_x, &n, 1, "base,ft");
    dk_norms m;
    dk_buf out = {0};
    dk_json *row = NULL;
    dk_err err = {0};

    if (dk_norms_of(&m, a, &plan, &err) < 0 || dk_norms_table(&out, &m, dk_acts_tokens(a), skip, 42, &err) < 0)
        exit(tap(false, "%s", err.msg));
    for (char *line = strtok(out.s, "\n"); line && !row; line = strtok(NULL, "\n")) {
        dk_json_parse(&row, line, strlen(line), "table", &err);
        if (strcmp(dk_json_str(dk_json_get(row, "metric"), ""), "norm_diff") != 0)
            dk_json_free(&row);
    }
    dk_buf_free(&out);
    dk_norms_free(&m);
    dk_acts_close(&a);
    return row;
}

static void statistics(void)
{
    static const char *const key[] = { "mean", "std", "median", "percentile_25", "percentile_75", "percentile_90",
                                       "percentile_95", "percentile_99" };
    static const double want[] = { 0.2165127, 0.0550154, 0.2315167, 0.2001817, 0.2412371, 0.2601680, 0.2690085, 0.2760808 };
    dk_json *row = table_row(0);
    bool good = true;

    for (int i = 0; i < 8; i++)
        good = good && fabs(member(row, "per_token_statistics", key[i]) - want[i]) <= 1e-6;
    tap(good, "statistics of the difference's norm");
    dk_json_free(&row);
    row = table_row(2);
    tap(fabs(member(row, "max_per_sample_statistics", "mean") - 0.2778489) <= 1e-6 &&
        fabs(member(row, "mean_per_sample_statistics", "mean") - 0.2047756) <= 1e-6, "two skipped: maximum and mean of the text");
    tap(fabs(member(row, "per_token_statistics", "min") - 0.12) <= 1e-6 &&
        fabs(member(row, "per_token_statistics", "mean") - 0.2047756) <= 1e-6 &&
        dk_json_int(dk_json_get(row, "total_tokens_processed"), 0) == 4, "skipped tokens are no zeros");
    dk_json_free(&row);
}

static void properties(void)
{
    static const float one[3][D] = { { 1 }, { 0, 2 }, { 3, 4 } }, other[3][D] = { { 0, 1 }, { 0, -2 }, { 3, 4 } };
    static const float zero[2][D] = { { 0 } };
    dk_norms m = measured(one, other, 3, "base,ft", 0);
    const dk_norm_lane *l = &m.lane[1];

    tap(fabs(l->value[DK_NORM_DIFF][0] - sqrt(2)) < 1e-7 && l->value[DK_NORM_COS][0] == 1, "orthogonal rows");
    tap(l->value[DK_NORM_DIFF][1] == 4 && l->value[DK_NORM_COS][1] == 2 && l->value[DK_NORM_RELATIVE][1] == 1, "opposite rows");
    tap(l->value[DK_NORM_DIFF][2] == 0 && l->value[DK_NORM_COS][2] == 0 && l->value[DK_NORM_RELATIVE][2] == 0, "equal rows");
    dk_norms_free(&m);
    m = measured(zero, zero, 2, "base,ft", 0);
    tap(m.lane[1].value[DK_NORM_COS][0] == 1 && m.lane[1].value[DK_NORM_RELATIVE][0] == 0, "rows of zeros");
    dk_norms_free(&m);
    m = measured(base_x, base_x, 6, "base,ft", 0);
    tap(m.lane[1].value[DK_NORM_COS][0] == 0 && m.lane[1].value[DK_NORM_COS][5] == 0, "a finetune that is the base");
    dk_norms_free(&m);
    m = measured(base_x, ft_x, 6, "diff", 0);
    tap(m.n == 1 && !m.lane[0].value[DK_NORM] && !m.lane[0].value[DK_NORM_COS] &&
        fabs(m.lane[0].value[DK_NORM_DIFF][0] - 0.2374868) < 1e-6, "a difference alone has its norm");
    dk_norms_free(&m);
    m = measured(base_x, ft_x, 6, "ft", 0);
    tap(m.n == 1 && !m.lane[0].value[DK_NORM_DIFF] && m.lane[0].n_means == 0 && m.lane[0].value[DK_NORM], "so has a lane alone");
    dk_norms_free(&m);
}

static void documents(void)
{
    static const size_t len[] = { 1, 0, 3, 2 };
    const uint32_t token[] = { 1, 77 };
    dk_norm_plan plan = { .skip = 2, .positions = 3, .token = token, .n_tokens = 2 };
    dk_acts *a = file_of(base_x, ft_x, len, 4, "base,diff");
    const float *v;
    dk_norms m;
    dk_err err = {0};
    int rc = dk_norms_of(&m, a, &plan, &err);

    tap(rc == 0 && m.rows == 1 && m.docs == 1 && m.too_short == 3, "texts without a value are counted");
    v = m.lane[1].value[DK_NORM_DIFF];
    tap(isnan(v[0]) && isnan(v[1]) && isnan(v[2]) && fabs(v[3] - 0.2778489) < 1e-6 && isnan(v[4]) && isnan(v[5]),
        "and have none");
    tap(m.lane[1].mean[0].count == 5 && m.lane[1].mean[1].count == 2 && m.lane[1].mean[3].count == 1,
        "mean differences take skipped tokens, but no text of one");
    tap(m.lane[1].mean[4].count == 2 && m.lane[1].mean[5].count == 0, "and tokens wherever they stand");
    dk_norms_free(&m);
    plan.skip = 3;
    rc = dk_norms_of(&m, a, &plan, &err);
    tap(rc == DK_EDATA && strstr(err.msg, "more than 3 tokens") && m.n == 0, "nothing left is an error");
    dk_acts_close(&a);
}

/* Ten thousand texts of 200 tokens, stored as bf16: a running mean in that type stays where it was early on. */
static void long_mean(void)
{
    enum { TEXTS = 10000, LEN = 200 };
    char *path = dk_xasprintf("%s/long.act.h5", dir);
    const dk_model_info model = { .arch = "llama", .kind = "base", .dtype = "f32", .d_model = 1, .vocab = 99 };
    const dk_act_info x = { .layer = 1, .site = "resid_post", .what = "diff", .computed_in = "f32", .dtype = DK_H5_BF16, .d = 1 };
    const dk_norm_plan plan = {0};
    dk_tokens t = { .vocab = 99, .corpus_name = dk_xstrdup("long"), .format = dk_xstrdup("text"), .bos = dk_xstrdup("none") };
    static uint32_t id[LEN];
    static float v[LEN];
    const float *rows[] = { v };
    dk_acts_writer *w = NULL;
    dk_acts *a = NULL;
    dk_norms m = {0};
    dk_err err = {0};
    int rc = 0;

    for (size_t d = 0; rc == 0 && d < TEXTS; d++)
        rc = dk_tokens_add_doc(&t, d, id, NULL, LEN, &err);
    if (rc == 0) rc = dk_acts_new(&w, path, &t, false, &sample_prov, &err);
    if (rc == 0) rc = dk_acts_add_model(w, "base", &model, &err);
    if (rc == 0) rc = dk_acts_add_model(w, "ft", &model, &err);
    if (rc == 0) rc = dk_acts_add(w, &x, &err);
    for (size_t d = 0; rc == 0 && d < TEXTS; d++) {
        for (size_t i = 0; i < LEN; i++)        /* half a unit either side of the mean, in steps that bf16 has */
            v[i] = (d < TEXTS / 2 ? 1.0f : 2.0f) + (float)((int)((37 * i + d) % 33) - 16) / 32;
        rc = dk_acts_append(w, rows, LEN, &err);
    }
    if (rc == 0) rc = dk_acts_commit(&w, &err);
    if (rc == 0) rc = dk_acts_open(&a, path, &err);
    if (rc == 0) rc = dk_norms_of(&m, a, &plan, &err);
    if (rc == 0) {
        const dk_norm_mean *all = &m.lane[m.n - 1].mean[0];

        tap(all->count == (uint64_t)TEXTS * LEN && fabs(all->sum[0] / (double)all->count - 1.5) < 1e-4, "the mean of %ju rows is %.6f",
            (uintmax_t)all->count, all->sum[0] / (double)all->count);
    } else
        tap(false, "a mean of many rows: %s", err.msg);
    dk_norms_free(&m);
    dk_acts_close(&a);
    dk_tokens_free(&t);
    unlink(path);
    dk_free(path);
}

int main(void)
{
    dir = work_dir();
    fixture();
    worked("base,ft");
    worked("base,diff");
    worked("base,ft,diff");
    statistics();
    properties();
    documents();
    long_mean();
    remove_dir(dir);
    return tap_end();
}
