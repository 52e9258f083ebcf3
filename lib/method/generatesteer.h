/* The ways to steer that a command line asks for: directions of a file times
 * strengths times places. */
#ifndef DK_METHOD_GENERATESTEER_H
#define DK_METHOD_GENERATESTEER_H

#include "io/dirfile.h"
#include "io/json.h"
#include "method/generate.h"
#include "model/model.h"

typedef struct dk_steer_plan {
    const char *dirs;               /* a direction file; NULL: nothing is steered */
    dk_dir_choice which;
    const double *strength;         /* [n_strengths] */
    size_t n_strengths;
    char *const *at;                /* [n_at] "all_tokens", "prompt_only", "generated_only" */
    size_t n_at;
    char *const *scales;            /* [n_scales] tables of dk-encode: what a strength of 1 is; none: a length of 1 */
    size_t n_scales;
} dk_steer_plan;

/* What a way is called in the table. */
typedef struct dk_steer_name {
    const char *direction, *mode;   /* borrowed */
    int layer;
    double strength, scale;         /* what was asked for; the largest projection, NaN: none was asked for */
} dk_steer_name;

typedef struct dk_steering {
    dk_steer *of;                   /* [n] by direction, strength, place */
    dk_steer_name *name;            /* [n] */
    size_t n;
    dk_dirs *dirs;
    float **unit;                   /* the directions at length 1 */
    size_t n_units;
} dk_steering;

int dk_steering_load(dk_steering *s, const dk_steer_plan *plan, dk_err *err);
/* Do they fit the model? */
int dk_steering_check(const dk_steering *s, const dk_steer_plan *plan, const dk_model *m, dk_err *err);
void dk_steering_free(dk_steering *s);

/* Members of a row: which way it was steered; NULL: as it is. */
void dk_steering_members(dk_jw *w, const dk_steer_name *n);

#endif
