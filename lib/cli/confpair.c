/* Pairs are read off the keys organism.finetuned_models.MODEL.VARIANT.KIND. */
#include "cli/confpair.h"

#include <string.h>
#include <unistd.h>

static const char head[] = "organism.finetuned_models.";

/* As dk_conf_text, below one model and variant. */
static const char *field(const dk_conf *c, const char *model, const char *variant, const char *name)
{
    char *key = dk_xasprintf("%s%s.%s.%s", head, model, variant, name);
    const char *text = dk_conf_text(c, key);

    dk_free(key);
    return text;
}

int dk_conf_finetune(dk_finetune *out, const dk_conf *c, const char *model, const char *variant,
                     dk_err *err)
{
    const char *adapter = field(c, model, variant, "adapter_id"), *slash;
    const char *id = adapter ? adapter : field(c, model, variant, "model_id");
    char *path;

    *out = (dk_finetune){ .lora = adapter != NULL };
    if (!id)
        return dk_fail(err, DK_EUSAGE, "organism '%s' has no finetune '%s' of model '%s'",
                       dk_conf_text(c, "organism.name"), variant, model);
    path = dk_conf_path(c, id);
    slash = strchr(id, '/');
    slash = slash ? strchr(slash + 1, '/') : NULL;
    if (access(path, F_OK) == 0) {
        out->local = true;
        out->repository = path;
        return 0;
    }
    dk_free(path);
    out->repository = slash ? dk_xstrndup(id, (size_t)(slash - id)) : dk_xstrdup(id);
    out->subfolder = slash ? dk_xstrdup(slash + 1) : NULL;
    return 0;
}

void dk_finetune_free(dk_finetune *f)
{
    dk_free(f->repository);
    dk_free(f->subfolder);
    *f = (dk_finetune){0};
}

bool dk_conf_next_pair(const dk_conf *c, size_t *i, char **model, char **variant)
{
    for (; *i < dk_conf_size(c); (*i)++) {
        const char *key = dk_conf_at(c, *i)->key, *m = key + sizeof head - 1, *v, *end;

        if (strncmp(key, head, sizeof head - 1) != 0 || !(end = strrchr(m, '.')))
            continue;
        for (v = end; v > m && v[-1] != '.'; v--);
        if (v == m || (*i > 0 && strncmp(dk_conf_at(c, *i - 1)->key, key, (size_t)(end - key) + 1) == 0))
            continue;       /* the second key of a pair */
        *model = dk_xstrndup(m, (size_t)(v - m) - 1);
        *variant = dk_xstrndup(v, (size_t)(end - v));
        (*i)++;
        return true;
    }
    return false;
}

/* The id of a base model; NULL when the catalogue lacks it. */
static char *base_id(const dk_conf_places *at, const char *model)
{
    dk_conf *m = NULL;
    const char *id = dk_conf_load_one(&m, at, "model", model, NULL) == 0
        ? dk_conf_text(m, "model.model_id") : NULL;
    char *copy = id ? dk_xstrdup(id) : NULL;

    dk_conf_free(&m);
    return copy;
}

int dk_conf_pairs(const dk_conf_places *at, const char *organism, dk_buf *out, dk_err *err)
{
    dk_conf *c = NULL;
    char *model, *variant, *last = NULL, *base = NULL;
    size_t i = 0;
    int rc = dk_conf_load_one(&c, at, "organism", organism, err);

    while (rc == 0 && dk_conf_next_pair(c, &i, &model, &variant)) {
        dk_finetune f;

        if (!last || strcmp(last, model) != 0) {
            dk_free(base);
            dk_free(last);
            base = base_id(at, model);
            last = dk_xstrdup(model);
        }
        if ((rc = dk_conf_finetune(&f, c, model, variant, err)) == 0)
            dk_buf_addf(out, "%s\t%s\t%s\t%s\t%s\t%s\t%s\n", organism, model, variant,
                        f.lora ? "adapter" : "model", base ? base : "-", f.repository,
                        f.subfolder ? f.subfolder : "-");
        dk_finetune_free(&f);
        dk_free(model);
        dk_free(variant);
    }
    dk_free(base);
    dk_free(last);
    dk_conf_free(&c);
    return rc;
}
