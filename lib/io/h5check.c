/* Checks.  All is read before anything is looked at: reading compares hashes, so
 * damage is named by its place and not by what it makes of a number. */
#include "io/h5check.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "io/actfile.h"
#include "io/dirfile.h"
#include "io/scorefile.h"
#include "io/statfile.h"
#include "io/tokfile.h"

enum { BLOCK = 1024 };      /* rows at a time */

/* --- what every check does -------------------------------------------------- */
/* The content id leaves the provenance out. */
static int read_rest(dk_h5 *f, dk_err *err)
{
    static const char *const path[] = { "/provenance/command", "/provenance/inputs" };
    int rc = 0;

    for (int i = 0; rc == 0 && i < 2; i++) {
        char *text = NULL;

        rc = dk_h5_read_text(f, path[i], &text, err);
        dk_free(text);
    }
    return rc;
}

static int check_tokens(dk_h5 *f, dk_err *err)
{
    dk_tokens t = {0};
    int rc = 0;

    if (dk_h5_find(f, "/rows/token"))
        rc = dk_tokens_get(f, &t, err);
    else if (strcmp(dk_h5_root_of(f)->encoding, "dk-tokens") == 0)
        rc = dk_fail(err, DK_EFORMAT, "%s has no /rows/token", dk_h5_path(f));
    dk_tokens_free(&t);
    return rc;
}

/* --- scores ------------------------------------------------------------------- */
static int check_sparse(dk_scores *s, const char *name, dk_err *err)
{
    uint64_t *indptr;
    uint32_t *index;
    float *value;
    int rc = dk_scores_read_sparse(s, name, &indptr, &index, &value, err);

    dk_free(indptr);
    dk_free(index);
    dk_free(value);
    return rc;
}

/* KL is not below 0 but for rounding, a log-probability not above it. */
static int check_range(dk_scores *s, const dk_score_info *x, double lo, double hi, const char *path,
                       dk_err *err)
{
    float *v;
    int rc = dk_alloc(&v, BLOCK, x->k * sizeof *v, x->name, err);

    for (size_t at = 0; rc == 0 && at < x->rows; at += BLOCK) {
        const size_t n = x->rows - at < BLOCK ? x->rows - at : BLOCK;

        rc = dk_scores_read(s, x->name, at, n, v, err);
        for (size_t i = 0; rc == 0 && i < n * x->k; i++)
            if (v[i] < lo || v[i] > hi)
                rc = dk_fail(err, DK_EDATA, "%s: /scores/%s is %g in row %zu; it cannot be %s", path, x->name,
                             (double)v[i], at + i / x->k, v[i] < lo ? "negative" : "positive");
    }
    dk_free(v);
    return rc;
}

static int check_index(dk_scores *s, const dk_score_info *x, const char *path, dk_err *err)
{
    const uint32_t vocab = dk_scores_tokens(s)->vocab;
    uint32_t *id;
    int rc = dk_alloc(&id, BLOCK, x->k * sizeof *id, x->name, err);

    for (size_t at = 0; rc == 0 && at < x->rows; at += BLOCK) {
        const size_t n = x->rows - at < BLOCK ? x->rows - at : BLOCK;

        rc = dk_scores_read_index(s, x->name, at, n, id, err);
        for (size_t i = 0; rc == 0 && i < n * x->k; i++)
            if (id[i] >= vocab)
                rc = dk_fail(err, DK_EDATA, "%s: /scores/%s names the token %" PRIu32 " in row %zu, outside "
                             "the vocabulary of %" PRIu32, path, x->name, id[i], at + i / x->k, vocab);
    }
    dk_free(id);
    return rc;
}

static int check_scores(const char *path, bool deep, dk_err *err)
{
    dk_scores *s;
    int rc = dk_scores_open(&s, path, err);

    for (size_t i = 0; rc == 0 && i < dk_scores_n(s); i++) {
        const dk_score_info *x = dk_scores_at(s, i);

        if (x->kind == DK_SCORE_SPARSE)
            rc = check_sparse(s, x->name, err);
        else if (deep && x->kind == DK_SCORE_INDEX)
            rc = check_index(s, x, path, err);
        else if (deep && x->kind == DK_SCORE_DENSE && strncmp(x->name, "kl/", 3) == 0)
            rc = check_range(s, x, -1e-4, INFINITY, path, err);
        else if (deep && x->kind == DK_SCORE_DENSE && strncmp(x->name, "logp/", 5) == 0)
            rc = check_range(s, x, -INFINITY, 1e-4, path, err);
    }
    dk_scores_close(&s);
    return rc;
}

/* --- activations --------------------------------------------------------------- */
/* The norm in the attributes is that of the rows, and a difference is not 0
 * everywhere unless nothing was changed. */
static int check_rows(dk_acts *a, const dk_act_info *x, bool changed, dk_err *err)
{
    const size_t rows = dk_acts_tokens(a)->rows;
    const char *path = dk_h5_path(dk_acts_file(a));
    double sum = 0, rms;
    float *v;
    int rc = dk_alloc(&v, BLOCK, x->d * sizeof *v, "activations", err);

    for (size_t at = 0; rc == 0 && at < rows; at += BLOCK) {
        const size_t n = rows - at < BLOCK ? rows - at : BLOCK;

        rc = dk_acts_read(a, x, at, n, v, err);
        for (size_t i = 0; rc == 0 && i < n * x->d; i++)
            sum += (double)v[i] * v[i];
    }
    dk_free(v);
    if (rc < 0 || rows == 0)
        return rc;
    rms = sqrt(sum / (double)rows) / fabs((double)x->scale);
    if (!(fabs(rms - x->norm_rms) <= 1e-5 * (rms + x->norm_rms)))
        return dk_fail(err, DK_EDATA, "%s: L%02d/%s/%s: the rows have the norm %g, its norm_rms is %g", path,
                       x->layer, x->site, x->what, rms, x->norm_rms);
    if (changed && sum == 0 && strcmp(x->what, "diff") == 0)
        return dk_fail(err, DK_EDATA, "%s: L%02d/%s: the finetune does not differ from the base", path,
                       x->layer, x->site);
    return 0;
}

static int check_acts(dk_h5 *f, dk_err *err)
{
    dk_model_info ft = {0};
    dk_acts *a = NULL;
    bool changed = false;
    int rc = 0;

    if (dk_h5_find(f, "/models/ft") && (rc = dk_h5_get_model(f, "ft", &ft, err)) == 0) {
        changed = strcmp(ft.kind, "none") != 0;
        dk_model_info_free(&ft);
    }
    if (rc == 0)
        rc = dk_acts_open(&a, dk_h5_path(f), err);
    for (size_t i = 0; rc == 0 && i < dk_acts_n(a); i++)
        rc = check_rows(a, dk_acts_at(a, i), changed, err);
    dk_acts_close(&a);
    return rc;
}

/* --- directions ------------------------------------------------------------------ */
static int check_dirs(const char *path, dk_err *err)
{
    dk_dirs *d;
    int rc = dk_dirs_open(&d, path, err);

    for (size_t i = 0; rc == 0 && i < dk_dirs_n(d); i++) {
        const dk_dir_set *s = dk_dirs_at(d, i);

        for (size_t k = 0; rc == 0 && k < s->n; k++) {
            double sum = 0;

            for (size_t j = 0; j < s->d; j++)
                sum += (double)s->vector[k * s->d + j] * s->vector[k * s->d + j];
            if (!(fabs(sqrt(sum) - s->norm[k]) <= 1e-5 * (sqrt(sum) + s->norm[k])))
                rc = dk_fail(err, DK_EDATA, "%s: L%02d/%s/%s: the vector %.80s has the length %g, its norm "
                             "is %g", path, s->layer, s->site, s->what, s->name[k], sqrt(sum), s->norm[k]);
        }
    }
    dk_dirs_close(&d);
    return rc;
}

/* Both forms of a sum agree, counts add up. */
static int check_stats(dk_h5 *f, dk_err *err)
{
    dk_statistics s;
    const int rc = dk_statistics_get(f, &s, err);

    dk_statistics_free(&s);
    return rc;
}

int dk_h5_check(dk_h5 *f, bool deep, char id[DK_CONTENT_ID_LEN], dk_err *err)
{
    const dk_h5_root *r = dk_h5_root_of(f);
    const char *path = dk_h5_path(f);
    int rc;

    if ((rc = dk_h5_check_sums(f, err)) < 0 || (rc = dk_h5_content_id(f, id, NULL, err)) < 0 ||
        (rc = read_rest(f, err)) < 0 || (rc = check_tokens(f, err)) < 0)
        return rc;
    if (strcmp(r->encoding, "dk-scores") == 0)
        rc = check_scores(path, deep, err);
    else if (deep && strcmp(r->encoding, "dk-activations") == 0)
        rc = check_acts(f, err);
    else if (strcmp(r->encoding, "dk-directions") == 0)
        rc = check_dirs(path, err);
    else if (strcmp(r->encoding, "dk-statistics") == 0)
        rc = check_stats(f, err);
    if (rc == 0 && strcmp(id, r->content_id) != 0)
        rc = dk_fail(err, DK_EFORMAT, "%s: the values have content id %s, the file says %.80s", path, id,
                     r->content_id);
    return rc;
}
