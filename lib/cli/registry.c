/* Settings are a flat list in file order; there are a few hundred, so a linear
 * search is quicker than anything that has to be built first. */
#include "cli/registry.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "cli/confword.h"
#include "cli/registrypriv.h"

const dk_setting *dk_conf_find(const dk_conf *c, const char *key)
{
    for (size_t i = 0; i < c->n; i++)
        if (strcmp(c->item[i].key, key) == 0)
            return &c->item[i];
    return NULL;
}

struct choice { char *organism, *model, *method; };

static void choose(struct choice *ch, const char *key, const char *value)
{
    char **slot = strcmp(key, "organism") == 0 ? &ch->organism
        : strcmp(key, "model") == 0 ? &ch->model
        : strcmp(key, "method") == 0 ? &ch->method : NULL;

    if (slot) {
        dk_free(*slot);
        *slot = dk_xstrdup(value);
    }
}

/* The words that choose files, from the site file and the command line. */
static int choices(struct choice *ch, const dk_yaml *site, int n, char *const *words, dk_err *err)
{
    for (size_t i = 0; site && i < site->n; i++)
        if (site->item[i].kind == DK_YAML_STR)
            choose(ch, site->item[i].key, site->item[i].text);
    for (int i = 0; i < n; i++) {
        dk_confword w;

        if (dk_confword_parse(&w, words[i], err) < 0)
            return err ? err->code : DK_EUSAGE;
        if (w.value)
            choose(ch, w.key, w.value);
        dk_confword_free(&w);
    }
    return 0;
}

/* Those named, "all", or (NULL) those whose graphs are built. */
static int put_methods(dk_conf *c, const char *wanted, dk_err *err)
{
    const bool all = wanted && strcmp(wanted, "all") == 0;
    dk_buf list = {0};
    char *save = NULL;
    int rc = 0;

    if (wanted && !all)
        dk_buf_adds(&list, wanted);
    else
        rc = dk_conf_list(&list, c->dir, "method", err);
    for (char *p = list.s ? strtok_r(list.s, ",\n", &save) : NULL; rc == 0 && p;
         p = strtok_r(NULL, ",\n", &save)) {
        if (!wanted && (rc = dk_conf_schema(c, p, err)) == 0 && !dk_conf_built(c, p))
            dk_conf_schema_drop(c);
        else if (rc == 0)
            rc = dk_conf_put_file(c, "method", p, p, DK_FROM_DEFAULT, err);
    }
    dk_buf_free(&list);
    return rc;
}

const char *dk_conf_unbuilt(const dk_conf *c)
{
    for (size_t i = 0; i < c->n_schema; i++)
        if (!dk_conf_built(c, c->schema[i].group))
            return c->schema[i].group;
    return NULL;
}

/* model=PATH: a model that has no file in configs/. */
static int put_model_path(dk_conf *c, const char *path, dk_err *err)
{
    const struct dk_conf_source src = { c, DK_FROM_COMMAND, NULL, "model", err };
    const char *base = strrchr(path, '/') + 1;
    dk_yaml name = { .kind = DK_YAML_STR }, id = { .kind = DK_YAML_STR };
    int rc = dk_conf_schema(c, "model", err);

    if (rc < 0)
        return rc;
    name.text = dk_xstrdup(*base ? base : "model");
    id.text = dk_xstrdup(path);
    if (strlen(name.text) > 5 && strcmp(name.text + strlen(name.text) - 5, ".gguf") == 0)
        name.text[strlen(name.text) - 5] = 0;
    rc = dk_conf_put(&src, "model.name", &name, dk_conf_rule(c, "model.name"));
    if (rc == 0)
        rc = dk_conf_put(&src, "model.model_id", &id, dk_conf_rule(c, "model.model_id"));
    dk_free(name.text);
    dk_free(id.text);
    return rc;
}

/* "auto" is the first model that the organism has a finetune of. */
static char *first_model(const dk_conf *c)
{
    static const char head[] = "organism.finetuned_models.";

    for (size_t i = 0; i < c->n; i++)
        if (strncmp(c->item[i].key, head, sizeof head - 1) == 0) {
            const char *name = c->item[i].key + sizeof head - 1;
            const char *end = strrchr(name, '.');   /* MODEL.VARIANT.adapter_id */

            while (end > name && end[-1] != '.')
                end--;
            return end > name ? dk_xstrndup(name, (size_t)(end - name) - 1) : NULL;
        }
    return NULL;
}

static int put_model(dk_conf *c, const char *asked, dk_err *err)
{
    char *name = dk_xstrdup(asked);
    int rc;

    if (strcmp(name, "auto") == 0) {
        dk_free(name);
        name = first_model(c);
        if (!name)
            return dk_fail(err, DK_EUSAGE, "organism '%s' has no finetuned model",
                           dk_conf_text(c, "organism.name"));
    }
    rc = strchr(name, '/') && access(name, F_OK) == 0 ? put_model_path(c, name, err)
        : dk_conf_put_file(c, "model", name, "model", DK_FROM_MODEL, err);
    dk_free(name);
    return rc;
}

static int put_words(dk_conf *c, int n, char *const *words, dk_err *err)
{
    const struct dk_conf_source src = { c, DK_FROM_COMMAND, NULL, "", err };
    int rc = 0;

    for (int i = 0; rc == 0 && i < n; i++) {
        dk_confword w;
        dk_yaml *v = NULL;

        if ((rc = dk_confword_parse(&w, words[i], err)) < 0)
            break;
        if (w.how == DK_DROP)
            rc = dk_conf_drop(&src, w.key);
        else if (strcmp(w.key, "method") != 0) {
            if (w.how == DK_ADD)
                rc = dk_conf_not_set(&src, w.key);
            if (rc == 0)
                rc = dk_yaml_parse(&v, w.value, strlen(w.value), w.key, err);
            if (rc == 0)
                rc = dk_conf_put_tree(&src, v, w.key, true);
        }
        dk_yaml_free(&v);
        dk_confword_free(&w);
    }
    return rc;
}

/* Appends MODEL.VARIANT (brief: each MODEL once) of the organism's finetunes
 * whose key begins with HEAD; returns how many. */
static size_t finetunes(const dk_conf *c, const char *head, bool brief, dk_buf *out)
{
    const char *last = "";
    size_t n = 0;

    for (size_t i = 0; i < c->n; i++) {
        const char *k = c->item[i].key + sizeof "organism.finetuned_models." - 1, *end;

        if (strncmp(c->item[i].key, head, strlen(head)) != 0)
            continue;
        end = brief ? k + strcspn(k, ".") : strrchr(k, '.');
        if (brief && strncmp(k, last, (size_t)(end - k) + 1) == 0)
            continue;
        last = k;
        dk_buf_addf(out, "%s%.*s", n++ ? ", " : "", (int)(end - k), k);
    }
    return n;
}

/* The organism must have what the pair needs, and nothing may be missing. */
static int check_pair(const dk_conf *c, dk_err *err)
{
    const char *model = dk_conf_text(c, "model.name"), *variant = dk_conf_text(c, "organism_variant");
    char *of_model = dk_xasprintf("organism.finetuned_models.%s.", model ? model : "");
    char *key = dk_xasprintf("%s%s.", of_model, variant);
    dk_buf have = {0};
    int rc = 0;

    if (finetunes(c, key, false, &have) == 0) {
        if (finetunes(c, of_model, false, &have) == 0)
            finetunes(c, "organism.finetuned_models.", true, &have);
        rc = dk_fail(err, DK_EUSAGE, "organism '%s' has no finetune '%s' of model '%s'; it has %s",
                     dk_conf_text(c, "organism.name"), variant, model, have.s ? have.s : "none");
    }
    for (size_t i = 0; rc == 0 && i < c->n; i++)
        if (c->item[i].text && strcmp(c->item[i].text, DK_CONF_UNSET) == 0)
            rc = dk_fail(err, DK_EUSAGE, "'%s' has no value; write %s=VALUE", c->item[i].key,
                         c->item[i].key);
    dk_buf_free(&have);
    dk_free(of_model);
    dk_free(key);
    return rc;
}

static int load(dk_conf *c, const char *site_path, const dk_yaml *site, int n, char *const *words,
                dk_err *err)
{
    struct choice ch = {0};
    int rc = dk_conf_put_file(c, "", "config", "", DK_FROM_DEFAULT, err);

    if (rc == 0)
        rc = choices(&ch, site, n, words, err);
    if (rc == 0)
        rc = put_methods(c, ch.method, err);
    if (rc == 0)
        rc = dk_conf_put_file(c, "organism", ch.organism ? ch.organism : dk_conf_text(c, "organism"),
                      "organism", DK_FROM_ORGANISM, err);
    if (rc == 0)
        rc = put_model(c, ch.model ? ch.model : dk_conf_text(c, "model"), err);
    if (rc == 0 && site && site->kind == DK_YAML_MAP) {
        const struct dk_conf_source src = { c, DK_FROM_SITE, site_path, "", err };

        rc = dk_conf_put_tree(&src, site, "", true);
    }
    if (rc == 0)
        rc = put_words(c, n, words, err);
    if (rc == 0)
        rc = check_pair(c, err);
    dk_free(ch.organism);
    dk_free(ch.model);
    dk_free(ch.method);
    return rc;
}

int dk_conf_load(dk_conf **out, const dk_conf_places *at, int n, char *const *words, dk_err *err)
{
    char *site_path = dk_conf_site_file(at);
    dk_yaml *site = NULL;
    int rc = 0;

    *out = dk_xcalloc(1, sizeof **out);
    (*out)->dir = dk_conf_dir(at);
    if (site_path)
        rc = dk_yaml_read(&site, site_path, err);
    if (rc == 0)
        rc = load(*out, site_path, site, n, words, err);
    dk_yaml_free(&site);
    dk_free(site_path);
    if (rc < 0)
        dk_conf_free(out);
    return rc;
}

int dk_conf_load_one(dk_conf **out, const dk_conf_places *at, const char *group, const char *name,
                     dk_err *err)
{
    int rc;

    *out = dk_xcalloc(1, sizeof **out);
    (*out)->dir = dk_conf_dir(at);
    rc = dk_conf_put_file(*out, group, name, strcmp(group, "method") == 0 ? name : group, DK_FROM_DEFAULT, err);
    if (rc < 0)
        dk_conf_free(out);
    return rc;
}

void dk_conf_free(dk_conf **c)
{
    if (!*c)
        return;
    for (size_t i = 0; i < (*c)->n; i++)
        dk_setting_free(&(*c)->item[i]);
    for (size_t i = 0; i < (*c)->n_schema; i++) {
        dk_free((*c)->schema[i].group);
        dk_yaml_free(&(*c)->schema[i].tree);
    }
    dk_free((*c)->item);
    dk_free((*c)->dir);
    dk_free(*c);
    *c = NULL;
}

size_t dk_conf_size(const dk_conf *c) { return c->n; }
const dk_setting *dk_conf_at(const dk_conf *c, size_t i) { return &c->item[i]; }

const char *dk_conf_text(const dk_conf *c, const char *key)
{
    const dk_setting *s = dk_conf_find(c, key);

    return s && s->kind != DK_YAML_NULL ? s->text : NULL;
}

bool dk_conf_true(const dk_conf *c, const char *key)
{
    const char *t = dk_conf_text(c, key);

    return t && strcasecmp(t, "true") == 0;
}

const char *dk_conf_origin_name(enum dk_origin o)
{
    static const char *const name[] = { "default", "organism", "model", "site file", "command line" };

    return name[o];
}
