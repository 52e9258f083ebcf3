/* Sampling defaults of a model. */
#include "model/generation.h"

#include <sys/stat.h>

#include "base/mem.h"
#include "io/json.h"

static int number(double *out, const dk_json *root, const char *key, double def, double lo, double hi,
                  const char *path, dk_err *err)
{
    const dk_json *v = dk_json_get(root, key);

    *out = def;
    if (!v || dk_json_is_null(v))
        return 0;
    *out = dk_json_num(v, lo - 1);
    return *out >= lo && *out <= hi ? 0
        : dk_fail(err, DK_EDATA, "%s: %s is not a number from %g to %g", path, key, lo, hi);
}

static int read(dk_generation *g, const dk_json *root, const char *path, dk_err *err)
{
    double top_k;
    int rc = number(&g->temperature, root, "temperature", 1, 0, 1e6, path, err);

    g->sample = dk_json_bool(dk_json_get(root, "do_sample"), false);
    if (rc == 0) rc = number(&top_k, root, "top_k", 50, 0, 1e9, path, err);
    if (rc == 0) g->top_k = (size_t)top_k;
    if (rc == 0) rc = number(&g->top_p, root, "top_p", 1, 0, 1, path, err);
    if (rc == 0) rc = number(&g->min_p, root, "min_p", 0, 0, 1, path, err);
    if (rc == 0) rc = number(&g->repetition_penalty, root, "repetition_penalty", 1, 1e-3, 1e3, path, err);
    return rc;
}

int dk_generation_load(dk_generation *g, const char *dir, dk_err *err)
{
    char *path = dk_xasprintf("%s/generation_config.json", dir);
    struct stat st;
    dk_json *root = NULL;
    int rc;

    *g = (dk_generation){0};
    if (stat(dir, &st) == 0 && !S_ISDIR(st.st_mode))
        rc = dk_fail(err, DK_EDATA, "%s: a single file has no generation_config.json beside it", dir);
    else
        rc = dk_json_load(&root, path, err);
    if (rc == 0)
        rc = read(g, root, path, err);
    dk_json_free(&root);
    dk_free(path);
    return rc;
}
