/* The base model is the one of the catalogue whose model_id the adapter names. */
#include "cli/confadd.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/outfile.h"
#include "io/json.h"

/* The catalogue's name of the model with this id. */
static int model_named(char **model, const dk_conf_places *at, const char *id, dk_err *err)
{
    dk_buf names = {0};
    char *save = NULL;
    int rc = dk_conf_names(&names, at, "model", err);

    *model = NULL;
    for (char *p = names.s ? strtok_r(names.s, "\n", &save) : NULL; rc == 0 && p && !*model;
         p = strtok_r(NULL, "\n", &save)) {
        dk_conf *m = NULL;
        const char *have = dk_conf_load_one(&m, at, "model", p, NULL) == 0
            ? dk_conf_text(m, "model.model_id") : NULL;

        if (have && strcmp(have, id) == 0)
            *model = dk_xstrdup(p);
        dk_conf_free(&m);
    }
    dk_buf_free(&names);
    if (rc == 0 && !*model)
        rc = dk_fail(err, DK_EUSAGE, "no model of the catalogue has the id '%s', the adapter's base; "
                     "write configs/model/NAME.yaml with 'name: NAME' and 'model_id: %s' first", id, id);
    return rc;
}

static int base_model(char **model, const dk_conf_places *at, const char *adapter, dk_err *err)
{
    char *path = dk_xasprintf("%s/adapter_config.json", adapter);
    dk_json *root = NULL;
    const char *id;
    int rc = dk_json_load(&root, path, err);

    *model = NULL;
    if (rc == 0) {
        id = dk_json_str(dk_json_get(root, "base_model_name_or_path"), NULL);
        rc = id && *id ? model_named(model, at, id, err)
            : dk_fail(err, DK_EFORMAT, "%s does not name its base model", path);
    }
    dk_json_free(&root);
    dk_free(path);
    return rc;
}

static bool plain_name(const char *s)
{
    return *s && *s != '-' && strspn(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-") ==
                               strlen(s);
}

static void quoted(dk_buf *out, const char *key, const char *text)
{
    dk_yaml v = { .kind = DK_YAML_STR, .text = dk_xstrdup(text) };

    dk_buf_adds(out, key);
    dk_yaml_flow(&v, out);
    dk_buf_addc(out, '\n');
    dk_free(v.text);
}

/* Whole or not at all, and never over a file that is there: written aside,
 * then linked. */
static int write_new(const char *path, const dk_buf *text, dk_err *err)
{
    char *aside = dk_xasprintf("%s.%ld.tmp", path, (long)getpid());
    int rc = dk_outfile_write(aside, text->s, text->n, err);

    if (rc == 0 && link(aside, path) != 0)
        rc = access(path, F_OK) == 0
            ? dk_fail(err, DK_EUSAGE, "%s is there already; choose another --name", path)
            : dk_fail_errno(err, "cannot write %s", path);
    unlink(aside);
    dk_free(aside);
    return rc;
}

int dk_conf_add(char **path, const dk_conf_places *at, const char *adapter, const char *name,
                const char *dir, dk_err *err)
{
    char *real = realpath(adapter, NULL), *model = NULL, *into, *what;
    dk_buf text = {0};
    int rc;

    *path = NULL;
    if (!real)
        return dk_fail_errno(err, "cannot read the adapter %s", adapter);
    if (!name)
        name = strrchr(real, '/') + 1;
    if (!plain_name(name))
        rc = dk_fail(err, DK_EUSAGE, "'%s' is no name for an organism (letters, digits, '_' and '-'); "
                     "give one with --name", name);
    else
        rc = base_model(&model, at, real, err);
    if (rc == 0) {
        into = dir ? dk_xstrdup(dir) : dk_conf_group_dir(at, "organism");
        *path = dk_xasprintf("%s/%s.yaml", into, name);
        what = dk_xasprintf("LoRA adapter of %s.", model);
        quoted(&text, "# Made by dk-conf add.\nname: ", name);
        quoted(&text, "type: General\ndescription: ", what);
        dk_buf_addf(&text, "finetuned_models:\n  %s:\n    default:\n", model);
        quoted(&text, "      adapter_id: ", real);
        rc = write_new(*path, &text, err);
        dk_free(into);
        dk_free(what);
    }
    if (rc < 0) {
        dk_free(*path);
        *path = NULL;
    }
    dk_buf_free(&text);
    dk_free(model);
    free(real);
    return rc;
}
