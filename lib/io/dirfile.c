/* Direction files. */
#include "io/dirfile.h"

#include <fnmatch.h>
#include <math.h>
#include <string.h>

/* --- writing ---------------------------------------------------------------- */
int dk_dirs_create(dk_h5 **f, const char *path, const dk_tokens *t, dk_h5 *from, const dk_provenance *prov, dk_err *err)
{
    int rc = dk_h5_create(f, path, "dk-directions", prov, err);

    if (rc < 0)
        return rc;
    if (t)
        rc = dk_tokens_put_corpus(*f, t, err);
    if (rc == 0 && from)
        rc = dk_h5_copy_models(*f, from, err);
    if (rc < 0)
        dk_h5_close(f);
    return rc;
}

static int put_column(dk_h5 *f, const char *group, const char *name, dk_h5_type type, uint64_t n,
                      uint64_t d, const void *v, dk_err *err)
{
    const uint64_t dim[2] = { n, d };
    char *path = dk_xasprintf("%s/%s", group, name);
    int rc = dk_h5_write(f, path, type, d ? 2 : 1, dim, v, err);

    dk_free(path);
    return rc;
}

static int put_names(dk_h5 *f, const char *group, const dk_dir_set *s, dk_err *err)
{
    char *path = dk_xasprintf("%s/name", group);
    int rc = dk_h5_write_strs(f, path, s->name, s->n, err);

    dk_free(path);
    return rc;
}

int dk_dirs_put(dk_h5 *f, const dk_dir_set *s, dk_err *err)
{
    char *g;
    int rc;

    if ((rc = dk_lane_name_check(s->what, err)) < 0 || (rc = dk_lane_name_check(s->site, err)) < 0)
        return rc;
    g = dk_xasprintf("/dirs/L%02d/%s/%s", s->layer, s->site, s->what);
    if ((rc = dk_h5_group(f, g, err)) == 0 &&
        (rc = dk_h5_put_int(f, g, "layer", DK_H5_I32, s->layer, err)) == 0 &&
        (rc = dk_h5_put_str(f, g, "site", s->site, err)) == 0 &&
        (rc = dk_h5_put_str(f, g, "what", s->what, err)) == 0 &&
        (rc = dk_h5_put_str(f, g, "source", s->source, err)) == 0 &&
        (rc = dk_h5_put_str(f, g, "unit", s->unit, err)) == 0 &&
        (rc = isnan(s->act_norm) ? 0
            : dk_h5_put_real(f, g, "act_norm", DK_H5_F64, s->act_norm, err)) == 0 &&
        (rc = put_column(f, g, "vector", DK_H5_F32, s->n, s->d, s->vector, err)) == 0 &&
        (rc = put_names(f, g, s, err)) == 0 &&
        (rc = put_column(f, g, "position", DK_H5_I32, s->n, 0, s->position, err)) == 0 &&
        (rc = put_column(f, g, "norm", DK_H5_F64, s->n, 0, s->norm, err)) == 0)
        rc = put_column(f, g, "count", DK_H5_U64, s->n, 0, s->count, err);
    dk_free(g);
    return rc;
}

int dk_dirs_commit(dk_h5 **f, size_t n, dk_err *err) { return dk_h5_commit(f, n, 0, NULL, err); }

/* --- reading ---------------------------------------------------------------- */
struct dk_dirs {
    dk_h5 *file;
    dk_tokens corpus;
    size_t n;
    dk_dir_set *set;
};

static int wrong(const dk_dirs *d, const char *path, const char *why, dk_err *err)
{
    return dk_fail(err, DK_EFORMAT, "%s: %s %s", dk_h5_path(d->file), path, why);
}

static void free_set(dk_dir_set *s)
{
    for (size_t i = 0; s->name && i < s->n; i++)
        dk_free((char *)s->name[i]);
    dk_free((char **)s->name);
    dk_free((char *)s->site);
    dk_free((char *)s->what);
    dk_free((char *)s->source);
    dk_free((char *)s->unit);
    dk_free((float *)s->vector);
    dk_free((int32_t *)s->position);
    dk_free((double *)s->norm);
    dk_free((uint64_t *)s->count);
}

static int get_str(dk_h5 *f, const char *g, const char *name, const char **out, dk_err *err)
{
    char *s = NULL;
    int rc = dk_h5_get_str(f, g, name, &s, err);

    *out = s;
    return rc;
}

static int get_attrs(dk_h5 *f, const char *g, dk_dir_set *s, dk_err *err)
{
    int64_t layer = 0;
    int rc;

    s->act_norm = NAN;
    if ((rc = dk_h5_get_int(f, g, "layer", &layer, err)) == 0 &&
        (rc = get_str(f, g, "site", &s->site, err)) == 0 &&
        (rc = get_str(f, g, "what", &s->what, err)) == 0 &&
        (rc = get_str(f, g, "source", &s->source, err)) == 0 &&
        (rc = get_str(f, g, "unit", &s->unit, err)) == 0 && dk_h5_has_attr(f, g, "act_norm"))
        rc = dk_h5_get_real(f, g, "act_norm", &s->act_norm, err);
    s->layer = (int)layer;
    return rc;
}

static int get_column(dk_dirs *d, const char *g, const char *name, dk_h5_type type, size_t n, void *out,
                      dk_err *err)
{
    char *path = dk_xasprintf("%s/%s", g, name);
    dk_h5_data info;
    int rc = dk_h5_read_all(d->file, path, type, out, &info, err);

    if (rc == 0 && (info.rank != 1 || info.dim[0] != n))
        rc = wrong(d, path, "does not have one value for each vector", err);
    dk_free(path);
    return rc;
}

static int get_names(dk_dirs *d, const char *g, dk_dir_set *s, dk_err *err)
{
    char *path = dk_xasprintf("%s/name", g), **name = NULL;
    size_t n = 0;
    int rc = dk_h5_read_strs(d->file, path, &name, &n, err);

    if (rc == 0 && n != s->n) {
        rc = wrong(d, path, "does not have one name for each vector", err);
        for (size_t i = 0; i < n; i++)
            dk_free(name[i]);
        dk_free(name);
        name = NULL;
    }
    s->name = (const char *const *)name;
    dk_free(path);
    return rc;
}

static int get_vectors(dk_dirs *d, const char *g, dk_dir_set *s, dk_err *err)
{
    char *path = dk_xasprintf("%s/vector", g);
    dk_h5_data info;
    int rc = dk_h5_read_all(d->file, path, DK_H5_F32, &s->vector, &info, err);

    if (rc == 0 && (info.rank != 2 || info.dim[1] == 0))
        rc = wrong(d, path, "is no list of vectors", err);
    if (rc == 0) {
        s->n = info.dim[0];
        s->d = info.dim[1];
        for (size_t i = 0; rc == 0 && i < s->n * s->d; i++)
            if (!isfinite(s->vector[i]))
                rc = wrong(d, path, "has values that are NaN or infinite", err);
    }
    dk_free(path);
    return rc;
}

static int add_set(dk_dirs *d, const char *g, dk_err *err)
{
    dk_dir_set s = {0};
    int rc;

    if ((rc = get_attrs(d->file, g, &s, err)) == 0 && (rc = get_vectors(d, g, &s, err)) == 0 &&
        (rc = get_names(d, g, &s, err)) == 0 &&
        (rc = get_column(d, g, "position", DK_H5_I32, s.n, &s.position, err)) == 0 &&
        (rc = get_column(d, g, "norm", DK_H5_F64, s.n, &s.norm, err)) == 0)
        rc = get_column(d, g, "count", DK_H5_U64, s.n, &s.count, err);
    if (rc < 0) {
        free_set(&s);
        return rc;
    }
    d->set = dk_xrealloc(d->set, (d->n + 1) * sizeof *d->set);
    d->set[d->n++] = s;
    return 0;
}

int dk_dirs_open(dk_dirs **out, const char *path, dk_err *err)
{
    dk_dirs *d = dk_xcalloc(1, sizeof *d);
    int rc = dk_h5_open(&d->file, path, "dk-directions", err);

    if (rc == 0 && dk_h5_find(d->file, "/corpus"))
        rc = dk_tokens_get_corpus(d->file, &d->corpus, err);
    for (size_t i = 0; rc == 0 && i < dk_h5_count(d->file); i++) {
        const dk_h5_object *o = dk_h5_at(d->file, i);

        if (o->kind == DK_H5_GROUP && strncmp(o->path, "/dirs/", 6) == 0 &&
            dk_h5_has_attr(d->file, o->path, "what"))
            rc = add_set(d, o->path, err);
    }
    if (rc == 0 && d->n == 0)
        rc = dk_fail(err, DK_EFORMAT, "%s holds no directions", path);
    if (rc == 0)
        rc = dk_h5_finish(d->file, err);
    if (rc < 0)
        dk_dirs_close(&d);
    *out = d;
    return rc;
}

void dk_dirs_close(dk_dirs **dp)
{
    dk_dirs *d = dp ? *dp : NULL;

    if (!d)
        return;
    for (size_t i = 0; i < d->n; i++)
        free_set(&d->set[i]);
    dk_free(d->set);
    dk_tokens_free(&d->corpus);
    dk_h5_close(&d->file);
    dk_free(d);
    *dp = NULL;
}

dk_h5 *dk_dirs_file(dk_dirs *d) { return d->file; }
const dk_tokens *dk_dirs_corpus(const dk_dirs *d) { return &d->corpus; }
size_t dk_dirs_n(const dk_dirs *d) { return d->n; }
const dk_dir_set *dk_dirs_at(const dk_dirs *d, size_t i) { return &d->set[i]; }

const dk_dir_set *dk_dirs_find(const dk_dirs *d, int layer, const char *site, const char *what)
{
    for (size_t i = 0; i < d->n; i++)
        if (d->set[i].layer == layer && strcmp(d->set[i].site, site) == 0 &&
            strcmp(d->set[i].what, what) == 0)
            return &d->set[i];
    return NULL;
}

/* --- choosing ------------------------------------------------------------------- */
const char *dk_dir_what(const dk_dirs *d, const dk_dir_choice *c)
{
    for (size_t i = 0; !c->what && i < d->n; i++)
        if (strcmp(d->set[i].what, "diff") == 0)
            return "diff";
    return c->what ? c->what : d->set[0].what;
}

bool dk_dir_set_meant(const dk_dirs *d, const dk_dir_choice *c, const dk_dir_set *s)
{
    bool yes = c->n_layers == 0;

    for (size_t i = 0; !yes && i < c->n_layers; i++)
        yes = c->layer[i] == s->layer;
    return yes && strcmp(s->what, dk_dir_what(d, c)) == 0;
}

bool dk_dir_meant(const dk_dir_choice *c, const dk_dir_set *s, size_t i)
{
    bool yes = c->n_names == 0;

    for (size_t k = 0; !yes && k < c->n_names; k++)
        yes = fnmatch(c->name[k], s->name[i], 0) == 0;
    return yes && i < s->n && (c->first == 0 || i < c->first);
}
