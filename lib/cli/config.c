/* Walks the tree of a -c file and hands each value over with its full key. */
#include "cli/config.h"

#include <stdio.h>

#include "base/mem.h"
#include "io/yaml.h"

struct walk { const char *path; dk_config_set *set; void *arg; dk_err *err; };

static int visit(const struct walk *w, const dk_yaml *y, const char *key)
{
    char *where = dk_xasprintf("%s:%zu", w->path, y->line);
    int rc = 0;

    if (y->kind == DK_YAML_MAP)
        for (size_t i = 0; rc == 0 && i < y->n; i++) {
            char *full = dk_xasprintf("%s%s%s", key, *key ? "." : "", y->item[i].key);

            rc = visit(w, &y->item[i], full);
            dk_free(full);
        }
    else if (y->kind == DK_YAML_SEQ)
        for (size_t i = 0; rc == 0 && i < y->n; i++)
            rc = y->item[i].kind < DK_YAML_SEQ ? visit(w, &y->item[i], key)
                : dk_fail(w->err, DK_EUSAGE, "%s: expected a plain value", where);
    else
        rc = w->set(w->arg, key, y->text, where, w->err);
    dk_free(where);
    return rc;
}

int dk_config_read(const char *path, dk_config_set *set, void *arg, dk_err *err)
{
    struct walk w = { path, set, arg, err };
    dk_yaml *y = NULL;
    int rc = dk_yaml_read(&y, path, err);

    if (rc == 0 && y->kind != DK_YAML_NULL && y->kind != DK_YAML_MAP)
        rc = dk_fail(err, DK_EUSAGE, "%s:%zu: expected 'key: value' lines", path, y->line);
    else if (rc == 0 && y->kind == DK_YAML_MAP)
        rc = visit(&w, y, "");
    dk_yaml_free(&y);
    return rc;
}
