/* Directions, strengths and places to steer by. */
#include "method/generatesteer.h"

#include <math.h>
#include <string.h>

#include "io/jsonl.h"

static const struct { const char *name; int at; } place[] = {
    { "all_tokens", DK_STEER_PROMPT | DK_STEER_GENERATED }, { "prompt_only", DK_STEER_PROMPT },
    { "generated_only", DK_STEER_GENERATED }
};

static int place_of(size_t *k, const char *name, dk_err *err)
{
    for (*k = 0; *k < sizeof place / sizeof *place; (*k)++)
        if (strcmp(place[*k].name, name) == 0)
            return 0;
    return dk_fail(err, DK_EUSAGE, "--steer-at: '%s' is none of all_tokens, prompt_only, generated_only", name);
}

/* --- scales ------------------------------------------------------------------------ */
struct scale { const dk_dir_set *set; const char *name; double max; size_t n; };

static void look(void *user, dk_json **row)
{
    struct scale *s = user;
    const dk_json *of = dk_json_get(*row, "per_token_statistics");
    const double lo = dk_json_num(dk_json_get(of, "min"), NAN), hi = dk_json_num(dk_json_get(of, "max"), NAN);

    if (strcmp(dk_json_str(dk_json_get(*row, "metric"), ""), "proj") != 0 ||
        strcmp(dk_json_str(dk_json_get(*row, "lane"), ""), "ft") != 0 ||
        strcmp(dk_json_str(dk_json_get(*row, "direction"), ""), s->name) != 0 ||
        strcmp(dk_json_str(dk_json_get(*row, "site"), ""), s->set->site) != 0 ||
        dk_json_int(dk_json_get(*row, "layer"), -1) != s->set->layer || !isfinite(lo) || !isfinite(hi))
        return;
    s->max = fmax(s->max, fmax(fabs(lo), fabs(hi)));
    s->n++;
}

/* The largest projection of the finetune's rows, over all tables; NaN: no tables. */
static int scale_of(double *out, const dk_steer_plan *p, const dk_dir_set *set, size_t i, dk_err *err)
{
    struct scale s = { .set = set, .name = set->name[i] };
    int rc = 0;

    *out = NAN;
    for (size_t k = 0; rc == 0 && k < p->n_scales; k++)
        rc = dk_jsonl_each(p->scales[k], look, &s, err);
    if (rc < 0 || p->n_scales == 0)
        return rc;
    if (s.n == 0)
        return dk_fail(err, DK_EDATA, "%s says nothing of %s at layer %d, %s", p->scales[0], s.name, set->layer, set->site);
    *out = s.max;
    return 0;
}

/* --- ways --------------------------------------------------------------------------- */
static int unit_of(float **out, dk_steering *s, const dk_dir_set *set, size_t i, dk_err *err)
{
    const float *v = set->vector + i * set->d;
    double square = 0;
    int rc = dk_alloc(out, set->d, sizeof **out, "directions", err);

    for (size_t j = 0; rc == 0 && j < set->d; j++)
        square += (double)v[j] * v[j];
    if (rc == 0 && !(square > 0))
        rc = dk_fail(err, DK_EDATA, "%s: direction %s of layer %d is zero", dk_h5_path(dk_dirs_file(s->dirs)), set->name[i],
                     set->layer);
    for (size_t j = 0; rc == 0 && j < set->d; j++)
        (*out)[j] = (float)(v[j] / sqrt(square));
    return rc;
}

static int add_direction(dk_steering *s, const dk_steer_plan *p, const dk_dir_set *set, size_t i, dk_err *err)
{
    const size_t more = p->n_strengths * p->n_at;
    float *v = NULL;
    double scale;
    int rc = scale_of(&scale, p, set, i, err);

    if (rc < 0)
        return rc;
    rc = unit_of(&v, s, set, i, err);
    s->unit = dk_xrealloc(s->unit, (s->n_units + 1) * sizeof(float *));
    s->unit[s->n_units++] = v;
    s->of = dk_xrealloc(s->of, (s->n + more) * sizeof *s->of);
    s->name = dk_xrealloc(s->name, (s->n + more) * sizeof *s->name);
    for (size_t k = 0; rc == 0 && k < p->n_strengths; k++)
        for (size_t a = 0; rc == 0 && a < p->n_at; a++) {
            const double strength = p->strength[k] * (isnan(scale) ? 1 : scale);
            size_t at;

            if ((rc = place_of(&at, p->at[a], err)) < 0)
                break;
            s->of[s->n] = (dk_steer){ .layer = set->layer - (strcmp(set->site, "resid_pre") == 0), .vector = v,
                                      .strength = (float)strength, .at = place[at].at };
            s->name[s->n++] = (dk_steer_name){ .direction = set->name[i], .mode = place[at].name, .layer = set->layer,
                                               .strength = p->strength[k], .scale = scale };
        }
    return rc;
}

int dk_steering_load(dk_steering *s, const dk_steer_plan *p, dk_err *err)
{
    int rc = p->dirs ? dk_dirs_open(&s->dirs, p->dirs, err) : 0;
    size_t at;

    for (size_t a = 0; rc == 0 && p->dirs && a < p->n_at; a++)
        rc = place_of(&at, p->at[a], err);
    for (size_t k = 0; rc == 0 && s->dirs && k < dk_dirs_n(s->dirs); k++) {
        const dk_dir_set *set = dk_dirs_at(s->dirs, k);

        if (!dk_dir_set_meant(s->dirs, &p->which, set))
            continue;
        if (strcmp(set->site, "resid_post") != 0 && strcmp(set->site, "resid_pre") != 0)
            rc = dk_fail(err, DK_EDATA, "%s: layer %d has directions of %s: only the residual stream is steered", p->dirs,
                         set->layer, set->site);
        for (size_t i = 0; rc == 0 && i < set->n; i++)
            if (dk_dir_meant(&p->which, set, i))
                rc = add_direction(s, p, set, i, err);
    }
    if (rc == 0 && p->dirs && s->n == 0)
        rc = dk_fail(err, DK_EDATA, "%s has no such directions of %s", p->dirs, dk_dir_what(s->dirs, &p->which));
    return rc;
}

int dk_steering_check(const dk_steering *s, const dk_steer_plan *p, const dk_model *m, dk_err *err)
{
    const dk_model_config *c = &m->config;

    for (size_t k = 0; s->dirs && k < dk_dirs_n(s->dirs); k++) {
        const dk_dir_set *set = dk_dirs_at(s->dirs, k);

        if (set->d != c->d_model)
            return dk_fail(err, DK_EDATA, "%s has directions of %zu values, the model rows of %zu", p->dirs, set->d,
                           (size_t)c->d_model);
    }
    for (size_t i = 0; i < s->n; i++)
        if (s->of[i].layer >= (int)c->n_layers)
            return dk_fail(err, DK_EDATA, "%s has directions of layer %d, the model %zu layers", p->dirs, s->of[i].layer,
                           (size_t)c->n_layers);
    return 0;
}

void dk_steering_free(dk_steering *s)
{
    for (size_t i = 0; i < s->n_units; i++)
        dk_free(s->unit[i]);
    dk_free(s->unit);
    dk_free(s->of);
    dk_free(s->name);
    dk_dirs_close(&s->dirs);
    *s = (dk_steering){0};
}

void dk_steering_members(dk_jw *w, const dk_steer_name *n)
{
    dk_jw_key(w, "is_baseline"); dk_jw_bool(w, !n);
    dk_jw_key(w, "steering_mode"); dk_jw_str(w, n ? n->mode : "baseline");
    dk_jw_key(w, "layer");
    if (n)
        dk_jw_int(w, n->layer);
    else
        dk_jw_null(w);
    dk_jw_key(w, "direction");
    if (n)
        dk_jw_str(w, n->direction);
    else
        dk_jw_null(w);
    dk_jw_key(w, "steering_factor_percentage"); dk_jw_num(w, n ? n->strength : 0);
    dk_jw_key(w, "max_act"); dk_jw_num(w, n ? n->scale : NAN);
    dk_jw_key(w, "steering_factor"); dk_jw_num(w, !n ? 0 : isnan(n->scale) ? n->strength : n->strength * n->scale);
}
