/* Activation files: reading. */
#include <math.h>
#include <string.h>

#include "io/actfile.h"
#include "num/half.h"

struct dk_acts {
    dk_h5 *file;
    dk_tokens tokens;
    size_t n;
    dk_act_info *info;
    char **path;                    /* [n] */
    uint16_t *half, *from;          /* rows before they are widened; of the base of a delta */
    size_t half_cap;
};

static int wrong(const dk_acts *a, const char *path, const char *why, dk_err *err)
{
    return dk_fail(err, DK_EFORMAT, "%s: %s %s", dk_h5_path(a->file), path, why);
}

static int get_attrs(dk_h5 *f, const char *path, dk_act_info *x, dk_err *err)
{
    char *site = NULL, *what = NULL, *in = NULL;
    double scale = 1;
    int64_t layer = 0;
    int rc;

    if ((rc = dk_h5_get_int(f, path, "layer", &layer, err)) == 0 &&
        (rc = dk_h5_get_str(f, path, "site", &site, err)) == 0 &&
        (rc = dk_h5_get_str(f, path, "what", &what, err)) == 0 &&
        (rc = dk_h5_is_stream(f) ? 0 : dk_h5_get_real(f, path, "norm_rms", &x->norm_rms, err)) == 0 &&
        (rc = dk_h5_has_attr(f, path, "scale") ? dk_h5_get_real(f, path, "scale", &scale, err) : 0) == 0 &&
        dk_h5_has_attr(f, path, "computed_in"))
        rc = dk_h5_get_str(f, path, "computed_in", &in, err);
    x->layer = (int)layer;
    x->scale = (float)scale;
    x->site = site;
    x->what = what;
    x->computed_in = in ? in : dk_xstrdup("");
    return rc;
}

static void free_info(dk_act_info *x)
{
    dk_free((char *)x->site);
    dk_free((char *)x->what);
    dk_free((char *)x->computed_in);
}

/* The attributes must say what the path says. */
static bool path_fits(const char *path, const dk_act_info *x)
{
    char *want = dk_act_path(x);
    const bool same = strcmp(path, want) == 0;

    dk_free(want);
    return same;
}

static int add(dk_acts *a, const dk_h5_object *o, dk_err *err)
{
    const dk_h5_data *d = &o->data;
    dk_act_info x = { .dtype = d->type, .d = d->rank == 2 ? d->dim[1] : 0, .norm_rms = NAN };
    int rc;

    x.delta = d->type == DK_H5_U16 && strcmp(dk_h5_root_of(a->file)->features, DK_ACT_DELTA) == 0;
    if (x.delta)
        x.dtype = DK_H5_BF16;
    if ((x.dtype != DK_H5_BF16 && x.dtype != DK_H5_F16 && x.dtype != DK_H5_F32) || x.d == 0)
        return wrong(a, o->path, "is no matrix of bf16, f16 or f32", err);
    if (d->dim[0] < a->tokens.rows)
        return wrong(a, o->path, "has fewer rows than the tokens", err);
    rc = get_attrs(a->file, o->path, &x, err);
    if (rc == 0 && (!path_fits(o->path, &x) || !isfinite(x.scale) || x.scale <= 0))
        rc = wrong(a, o->path, "has attributes that do not fit it", err);
    if (rc < 0) {
        free_info(&x);
        return rc;
    }
    a->info = dk_xrealloc(a->info, (a->n + 1) * sizeof *a->info);
    a->path = dk_xrealloc(a->path, (a->n + 1) * sizeof *a->path);
    a->info[a->n] = x;
    a->path[a->n++] = dk_xstrdup(o->path);
    return 0;
}

/* What a delta starts from; NULL: nothing usable. */
static const dk_act_info *base_of(const dk_acts *a, const dk_act_info *x)
{
    const dk_act_info *b = dk_acts_find(a, x->layer, x->site, "base");

    return b && !b->delta && b->dtype == DK_H5_BF16 && b->d == x->d ? b : NULL;
}

int dk_acts_open(dk_acts **out, const char *path, dk_err *err)
{
    dk_h5 *f;
    const int rc = dk_h5_open(&f, path, "dk-activations", err);

    *out = NULL;
    return rc < 0 ? rc : dk_acts_from(out, &f, err);
}

int dk_acts_from(dk_acts **out, dk_h5 **f, dk_err *err)
{
    dk_acts *a = dk_xcalloc(1, sizeof *a);
    int rc;

    a->file = *f;
    *f = NULL;
    rc = dk_tokens_get(a->file, &a->tokens, err);
    for (size_t i = 0; rc == 0 && i < dk_h5_count(a->file); i++) {
        const dk_h5_object *o = dk_h5_at(a->file, i);

        if (o->kind == DK_H5_DATASET && strncmp(o->path, "/acts/", 6) == 0)
            rc = add(a, o, err);
    }
    if (rc == 0 && a->n == 0)
        rc = dk_fail(err, DK_EFORMAT, "%s holds no activations", dk_h5_path(a->file));
    for (size_t i = 0; rc == 0 && i < a->n; i++)
        if (a->info[i].delta && !base_of(a, &a->info[i]))
            rc = wrong(a, a->path[i], "is a delta, and its base is not there", err);
    if (rc < 0)
        dk_acts_close(&a);
    *out = a;
    return rc;
}

void dk_acts_close(dk_acts **ap)
{
    dk_acts *a = ap ? *ap : NULL;

    if (!a)
        return;
    for (size_t i = 0; i < a->n; i++) {
        free_info(&a->info[i]);
        dk_free(a->path[i]);
    }
    dk_free(a->info);
    dk_free(a->path);
    dk_free(a->half);
    dk_free(a->from);
    dk_tokens_free(&a->tokens);
    dk_h5_close(&a->file);
    dk_free(a);
    *ap = NULL;
}

const dk_tokens *dk_acts_tokens(const dk_acts *a) { return &a->tokens; }
dk_h5 *dk_acts_file(dk_acts *a) { return a->file; }
size_t dk_acts_n(const dk_acts *a) { return a->n; }
const dk_act_info *dk_acts_at(const dk_acts *a, size_t i) { return &a->info[i]; }

const dk_act_info *dk_acts_find(const dk_acts *a, int layer, const char *site, const char *what)
{
    for (size_t i = 0; i < a->n; i++)
        if (a->info[i].layer == layer && strcmp(a->info[i].site, site) == 0 &&
            strcmp(a->info[i].what, what) == 0)
            return &a->info[i];
    return NULL;
}

static int reserve(dk_acts *a, size_t n, dk_err *err)
{
    int rc;

    if (n <= a->half_cap)
        return 0;
    dk_free(a->half);
    dk_free(a->from);
    a->half = a->from = NULL;
    a->half_cap = 0;
    if ((rc = dk_alloc(&a->half, n, sizeof *a->half, "rows of activations", err)) < 0 ||
        (rc = dk_alloc(&a->from, n, sizeof *a->from, "rows of activations", err)) < 0)
        return rc;
    a->half_cap = n;
    return 0;
}

static int read_half(dk_acts *a, const dk_act_info *x, const char *path, size_t first, size_t n,
                     float *out, dk_err *err)
{
    int rc;

    if ((rc = reserve(a, n * x->d, err)) < 0 ||
        (rc = dk_h5_read(a->file, path, x->delta ? DK_H5_U16 : x->dtype, first, n, a->half, err)) < 0 ||
        (x->delta && (rc = dk_h5_read(a->file, a->path[base_of(a, x) - a->info], DK_H5_BF16, first, n,
                                      a->from, err)) < 0))
        return rc;
    for (size_t i = 0; x->delta && i < n * x->d; i++)
        a->half[i] = dk_act_undelta(a->half[i], a->from[i]);
    for (size_t i = 0; i < n * x->d; i++)
        out[i] = x->dtype == DK_H5_BF16 ? dk_bf16_f32(a->half[i]) : dk_f16_f32(a->half[i]);
    return 0;
}

int dk_acts_read(dk_acts *a, const dk_act_info *x, size_t first, size_t n, float *out, dk_err *err)
{
    const char *path = a->path[x - a->info];
    int rc;

    if (first > a->tokens.rows || n > a->tokens.rows - first)
        return dk_fail(err, DK_EDATA, "%s: rows %zu to %zu are outside its %zu", dk_h5_path(a->file),
                       first, first + n, a->tokens.rows);
    rc = x->dtype == DK_H5_F32 ? dk_h5_read(a->file, path, DK_H5_F32, first, n, out, err)
                               : read_half(a, x, path, first, n, out, err);
    for (size_t i = 0; rc == 0 && i < n * x->d; i++) {
        out[i] *= x->scale;
        if (!isfinite(out[i]))
            rc = dk_fail(err, DK_ENUM, "%s: %s, row %zu: activations are NaN or infinite",
                         dk_h5_path(a->file), path, first + i / x->d);
    }
    return rc;
}

void dk_acts_done(dk_acts *a, size_t row)
{
    for (size_t i = 0; dk_h5_is_stream(a->file) && i < a->n; i++)
        dk_h5_drop(a->file, a->path[i], row);
}

int dk_acts_finish(dk_acts *a, dk_err *err) { return dk_h5_finish(a->file, err); }
