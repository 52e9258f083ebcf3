/* Settings are a flat list in file order; there are a few hundred, so a linear
 * search is quicker than anything that has to be built first. */
#include "cli/registry.h"

#include <dirent.h>
#include <errno.h>
#include <fnmatch.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "base/parse.h"
#include "cli/confplace.h"
#include "cli/confword.h"
#include "cli/schema.h"
#include "cli/suggest.h"

#define UNSET "???"     /* must be given a value before it is read */

struct schema { char *group; dk_yaml *tree; };

struct dk_conf {
    char *dir;
    size_t n_schema, n;
    struct schema schema[32];
    dk_setting *item;
};

/* A source of values: what is being put where. */
struct source { dk_conf *c; enum dk_origin origin; const char *file, *prefix; dk_err *err; };

/* ---- places ------------------------------------------------------------ */

static char *own_configs(void)
{
    static const char *const rel[] = { "../../configs", "../share/dk/configs" };
    char exe[PATH_MAX];
    const ssize_t n = readlink("/proc/self/exe", exe, sizeof exe - 1);

    exe[n > 0 ? n : 0] = 0;
    if (strrchr(exe, '/'))
        *strrchr(exe, '/') = 0;
    for (size_t i = 0; *exe && i < 2; i++) {
        char *dir = dk_xasprintf("%s/%s", exe, rel[i]), *real = realpath(dir, NULL);

        dk_free(dir);
        if (real) {
            dir = dk_xstrdup(real);
            free(real);
            return dir;
        }
    }
    return dk_xstrdup("configs");
}

static char *configs_dir(const dk_conf_places *at)
{
    const char *env = getenv("DK_CONFIGS");

    if (at && at->configs)
        return dk_xstrdup(at->configs);
    return env && *env ? dk_xstrdup(env) : own_configs();
}

static char *site_file(const dk_conf_places *at)
{
    const char *xdg = getenv("XDG_CONFIG_HOME"), *home = getenv("HOME");
    char *path = NULL;

    if (at && at->site)
        return *at->site ? dk_xstrdup(at->site) : NULL;
    if (xdg && *xdg)
        path = dk_xasprintf("%s/dk/site.yaml", xdg);
    else if (home)
        path = dk_xasprintf("%s/.config/dk/site.yaml", home);
    if (path && access(path, F_OK) != 0) {
        dk_free(path);
        path = NULL;
    }
    return path;
}

static int by_name(const struct dirent **a, const struct dirent **b)
{
    return strcmp((*a)->d_name, (*b)->d_name);
}

static int is_yaml(const struct dirent *d)
{
    const char *dot = strrchr(d->d_name, '.');

    return d->d_name[0] != '.' && dot && strcmp(dot, ".yaml") == 0;
}

static int names(dk_buf *out, const char *dir, const char *group, dk_err *err)
{
    char *path = dk_xasprintf("%s/%s", dir, group);
    struct dirent **list = NULL;
    const int n = scandir(path, &list, is_yaml, by_name);
    int rc = 0;

    for (int i = 0; i < n; i++) {
        dk_buf_add(out, list[i]->d_name, strlen(list[i]->d_name) - 5);
        dk_buf_addc(out, '\n');
        free(list[i]);
    }
    free(list);
    if (n < 0 && errno == ENOENT && access(dir, F_OK) == 0)
        rc = 0;         /* a group that this folder does without */
    else if (n < 0)
        rc = dk_fail_errno(err, "cannot list %s", path);
    dk_free(path);
    return rc;
}

int dk_conf_names(dk_buf *out, const dk_conf_places *at, const char *group, dk_err *err)
{
    char *dir = configs_dir(at);
    const int rc = names(out, dir, group, err);

    dk_free(dir);
    return rc;
}

char *dk_conf_group_dir(const dk_conf_places *at, const char *group)
{
    char *dir = configs_dir(at), *sub = dk_xasprintf("%s/%s", dir, group);

    dk_free(dir);
    return sub;
}

/* ---- schema ------------------------------------------------------------ */

/* Loads schema/GROUP.yaml once. */
static int schema_need(dk_conf *c, const char *group, dk_err *err)
{
    char *path;
    int rc;

    for (size_t i = 0; i < c->n_schema; i++)
        if (strcmp(c->schema[i].group, group) == 0)
            return 0;
    DK_ASSERT(c->n_schema < sizeof c->schema / sizeof *c->schema);
    path = dk_xasprintf("%s/schema/%s.yaml", c->dir, group);
    rc = dk_yaml_read(&c->schema[c->n_schema].tree, path, err);
    dk_free(path);
    if (rc == 0)
        c->schema[c->n_schema++].group = dk_xstrdup(group);
    return rc;
}

/* Has the graph of this method been written?  Its schema must be loaded. */
static bool is_built(const dk_conf *c, const char *method)
{
    for (size_t i = 0; i < c->n_schema; i++)
        if (strcmp(c->schema[i].group, method) == 0) {
            const char *b = dk_schema_text(dk_yaml_get(c->schema[i].tree, "name"), "built");

            return !b || strcmp(b, "false") != 0;
        }
    return true;
}

static void schema_drop_last(dk_conf *c)
{
    struct schema *s = &c->schema[--c->n_schema];

    dk_free(s->group);
    dk_yaml_free(&s->tree);
}

/* The key without its group's name; NULL when it belongs to another group. */
static const char *within(const char *group, const char *key)
{
    const size_t n = strlen(group);

    if (strcmp(group, "config") == 0)
        return key;
    return strncmp(group, key, n) == 0 && key[n] == '.' ? key + n + 1 : NULL;
}

/* '*' in the schema stands for a name. */
static const dk_yaml *schema_find(const dk_conf *c, const char *key)
{
    for (size_t i = 0; i < c->n_schema; i++) {
        const char *k = within(c->schema[i].group, key);

        for (size_t j = 0; k && j < c->schema[i].tree->n; j++)
            if (fnmatch(c->schema[i].tree->item[j].key, k, 0) == 0)
                return &c->schema[i].tree->item[j];
    }
    return NULL;
}

/* ---- settings ---------------------------------------------------------- */

const dk_setting *dk_conf_find(const dk_conf *c, const char *key)
{
    for (size_t i = 0; i < c->n; i++)
        if (strcmp(c->item[i].key, key) == 0)
            return &c->item[i];
    return NULL;
}

/* Equal values: the same text, or the same number. */
static bool same_value(const char *a, const char *b)
{
    double x, y;

    if (strcasecmp(a, b) == 0)
        return true;
    return dk_parse_real(&x, a, -1e300, 1e300, "", NULL) == 0 &&
           dk_parse_real(&y, b, -1e300, 1e300, "", NULL) == 0 && x == y;
}

/* A copy of a node by way of its text. */
static int copy_list(dk_yaml **out, const dk_yaml *y, dk_err *err)
{
    dk_buf b = {0};
    int rc;

    dk_yaml_flow(y, &b);
    rc = dk_yaml_parse(out, b.s, b.n, "list", err);
    dk_buf_free(&b);
    return rc;
}

static void value_of(dk_setting *s, const dk_yaml *v)
{
    dk_buf b = {0};

    if (v->kind < DK_YAML_SEQ && v->kind != DK_YAML_NULL)
        dk_buf_adds(&b, v->text);
    else
        dk_yaml_flow(v, &b);
    dk_free(s->text);
    s->text = b.n ? dk_xstrdup(b.s) : dk_xstrdup("");
    s->kind = v->kind;
    dk_buf_free(&b);
}

/* In one line, whatever the default holds. */
static int only_default(const char *key, const char *text, const char *why, dk_err *err)
{
    dk_buf b = {0};
    int rc;

    dk_buf_addclean(&b, text);
    rc = dk_fail(err, DK_EUSAGE, "%s: only the default '%s' is accepted: %s", key, b.n ? b.s : "", why);
    dk_buf_free(&b);
    return rc;
}

static int put(const struct source *src, const char *key, const dk_yaml *v, const dk_yaml *rule)
{
    dk_conf *c = src->c;
    dk_setting *s = (dk_setting *)(size_t)dk_conf_find(c, key);
    char *where = src->file ? dk_xasprintf("%s:%zu", src->file, v->line) : dk_xstrdup("");
    const char *fixed = dk_schema_text(rule, "fixed");
    dk_setting fresh = {0};
    int rc = v->kind == DK_YAML_STR && strcmp(v->text, UNSET) == 0
        ? 0 : dk_schema_check(rule, v, key, src->err);

    value_of(&fresh, v);
    if (rc == 0 && fixed && src->origin != DK_FROM_DEFAULT && s && !same_value(s->text, fresh.text))
        rc = only_default(key, s->text, fixed, src->err);
    if (rc == 0 && v->kind == DK_YAML_SEQ)
        rc = copy_list(&fresh.list, v, src->err);
    if (rc < 0) {
        if (*where)
            dk_err_prefix(src->err, "%s", where);
        dk_free(fresh.text);
        dk_free(where);
        return rc;
    }
    if (!s) {
        c->item = dk_xrealloc(c->item, (c->n + 1) * sizeof *c->item);
        s = &c->item[c->n++];
        *s = (dk_setting){ .key = dk_xstrdup(key) };
    }
    dk_free(s->text);
    dk_free(s->where);
    dk_yaml_free(&s->list);
    s->text = fresh.text;
    s->list = fresh.list;
    s->kind = fresh.kind;
    s->where = where;
    s->origin = src->origin;
    s->fixed = fixed;
    return 0;
}

/* Every key that could have been meant, for the suggestion. */
static void offer(const dk_conf *c, dk_suggest *s)
{
    for (size_t i = 0; i < c->n; i++) {
        const char *k = c->item[i].key, *dot = strchr(k, '.'), *last = strrchr(k, '.');
        char *brief;

        dk_suggest_try(s, k);
        if (!dot || last == dot)
            continue;
        brief = dk_xasprintf("%.*s%s", (int)(dot - k), k, last);
        dk_suggest_try(s, brief);
        dk_free(brief);
    }
    for (size_t i = 0; i < c->n_schema; i++)
        for (size_t j = 0; j < c->schema[i].tree->n; j++) {
            const char *group = c->schema[i].group;
            char *full = strcmp(group, "config") == 0 ? dk_xstrdup(c->schema[i].tree->item[j].key)
                : dk_xasprintf("%s.%s", group, c->schema[i].tree->item[j].key);

            dk_suggest_try(s, full);
            dk_free(full);
        }
}

/* Is the first part of the key a method that was not asked for? */
static bool of_other_method(const dk_conf *c, const char *key)
{
    const size_t n = strcspn(key, ".");
    char *path;
    bool is;

    if (!key[n] || memchr(key, '/', n))
        return false;
    path = dk_xasprintf("%s/method/%.*s.yaml", c->dir, (int)n, key);
    is = access(path, F_OK) == 0;
    for (size_t i = 0; is && i < c->n_schema; i++)
        is = strncmp(c->schema[i].group, key, n) != 0 || c->schema[i].group[n] != 0;
    dk_free(path);
    return is;
}

static int unknown(const struct source *src, const char *key, size_t line)
{
    dk_suggest s;
    char buf[192];

    if (src->file && of_other_method(src->c, key))
        return 0;       /* a value for another run */
    if (of_other_method(src->c, key))
        return dk_fail(src->err, DK_EUSAGE, "'%s' belongs to a method that is not built yet or not "
                       "chosen; method=%.*s shows it", key, (int)strcspn(key, "."), key);
    dk_suggest_begin(&s, key);
    offer(src->c, &s);
    dk_suggest_text(&s, buf, sizeof buf);
    if (src->file)
        return dk_fail(src->err, DK_EUSAGE, "%s:%zu: there is no key '%s'%s", src->file, line, key,
                       buf);
    return dk_fail(src->err, DK_EUSAGE, "there is no key '%s'%s", key, buf);
}

/* "kl.max_samples" -> "kl.method_params.max_samples", where only one fits.
 * Returns 1 and *full, 0 if none fits, < 0 if several do. */
static int expand(const dk_conf *c, const char *key, char **full, dk_err *err)
{
    const char *dot = strchr(key, '.'), *hit = NULL;
    const size_t n = dot ? (size_t)(dot - key) + 1 : 0;

    for (size_t i = 0; dot && i < c->n; i++) {
        const char *k = c->item[i].key;
        const size_t nk = strlen(k), nt = strlen(dot);

        if (strncmp(k, key, n) != 0 || nk < nt || strcmp(k + nk - nt, dot) != 0)
            continue;
        if (hit)
            return dk_fail(err, DK_EUSAGE, "'%s' could be %s or %s; write the whole key", key, hit, k);
        hit = k;
    }
    if (hit)
        *full = dk_xstrdup(hit);
    return hit != NULL;
}

/* A member of an open map (its rule is a map) is not looked into. */
static int put_tree(const struct source *src, const dk_yaml *y, const char *key, bool brief)
{
    const dk_yaml *rule = *key ? schema_find(src->c, key) : NULL;
    char *full = NULL;
    int rc = 0;

    if (rule && (y->kind != DK_YAML_MAP || dk_schema_is(rule, "map")))
        return put(src, key, y, rule);
    if (y->kind == DK_YAML_MAP && y->n > 0) {
        for (size_t i = 0; rc == 0 && i < y->n; i++) {
            char *sub = dk_xasprintf("%s%s%s", key, *key ? "." : "", y->item[i].key);

            rc = put_tree(src, &y->item[i], sub, brief);
            dk_free(sub);
        }
        return rc;
    }
    if (brief && (rc = expand(src->c, key, &full, src->err)) > 0)
        rc = put(src, full, y, schema_find(src->c, full));
    else if (rc == 0)
        rc = unknown(src, key, y->line);
    dk_free(full);
    return rc;
}

/* Reads DIR/GROUP/NAME.yaml; the message for a wrong name lists what there is. */
static int group_tree(dk_yaml **out, char **path, const dk_conf *c, const char *group,
                      const char *name, dk_err *err)
{
    dk_buf known = {0};
    dk_suggest s;
    char buf[192];

    *path = *group ? dk_xasprintf("%s/%s/%s.yaml", c->dir, group, name)
                   : dk_xasprintf("%s/%s.yaml", c->dir, name);
    if (!strchr(name, '/') && access(*path, F_OK) == 0)
        return dk_yaml_read(out, *path, err);
    dk_suggest_begin(&s, name);
    if (names(&known, c->dir, group, NULL) == 0)
        for (char *k = known.s, *end; k && (end = strchr(k, '\n')); k = end + 1) {
            *end = 0;
            dk_suggest_try(&s, k);
        }
    dk_buf_free(&known);
    return dk_fail(err, DK_EUSAGE, "there is no %s '%s' in %s%s", *group ? group : "file", name,
                   c->dir, dk_suggest_text(&s, buf, sizeof buf));
}

/* Puts a group's file into c under PREFIX.  "overrides" of other keys count
 * only where the file was chosen for the pair, not when it is looked up. */
static int put_file(dk_conf *c, const char *group, const char *name, const char *prefix,
                    enum dk_origin origin, dk_err *err)
{
    dk_yaml *y = NULL;
    char *path = NULL;
    int rc = group_tree(&y, &path, c, group, name, err);

    if (rc == 0)
        rc = schema_need(c, *prefix ? prefix : "config", err);
    if (rc == 0 && y->kind != DK_YAML_MAP)
        rc = dk_fail(err, DK_EUSAGE, "%s: expected 'key: value' lines", path);
    for (size_t i = 0; rc == 0 && i < y->n; i++) {
        const struct source src = { c, origin, path, prefix, err };
        const dk_yaml *m = &y->item[i];
        char *key;

        if (strcmp(m->key, "overrides") == 0 && *prefix) {
            for (size_t j = 0; rc == 0 && origin != DK_FROM_DEFAULT && j < m->n; j++)
                rc = put_tree(&src, &m->item[j], m->item[j].key, true);
            continue;
        }
        key = *prefix ? dk_xasprintf("%s.%s", prefix, m->key) : dk_xstrdup(m->key);
        rc = put_tree(&src, m, key, false);
        dk_free(key);
    }
    dk_yaml_free(&y);
    dk_free(path);
    return rc;
}

/* ---- loading ----------------------------------------------------------- */

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
        rc = names(&list, c->dir, "method", err);
    for (char *p = list.s ? strtok_r(list.s, ",\n", &save) : NULL; rc == 0 && p;
         p = strtok_r(NULL, ",\n", &save)) {
        if (!wanted && (rc = schema_need(c, p, err)) == 0 && !is_built(c, p))
            schema_drop_last(c);
        else if (rc == 0)
            rc = put_file(c, "method", p, p, DK_FROM_DEFAULT, err);
    }
    dk_buf_free(&list);
    return rc;
}

const char *dk_conf_unbuilt(const dk_conf *c)
{
    for (size_t i = 0; i < c->n_schema; i++)
        if (!is_built(c, c->schema[i].group))
            return c->schema[i].group;
    return NULL;
}

/* model=PATH: a model that has no file in configs/. */
static int put_model_path(dk_conf *c, const char *path, dk_err *err)
{
    const struct source src = { c, DK_FROM_COMMAND, NULL, "model", err };
    const char *base = strrchr(path, '/') + 1;
    dk_yaml name = { .kind = DK_YAML_STR }, id = { .kind = DK_YAML_STR };
    int rc = schema_need(c, "model", err);

    if (rc < 0)
        return rc;
    name.text = dk_xstrdup(*base ? base : "model");
    id.text = dk_xstrdup(path);
    if (strlen(name.text) > 5 && strcmp(name.text + strlen(name.text) - 5, ".gguf") == 0)
        name.text[strlen(name.text) - 5] = 0;
    rc = put(&src, "model.name", &name, schema_find(c, "model.name"));
    if (rc == 0)
        rc = put(&src, "model.model_id", &id, schema_find(c, "model.model_id"));
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
        : put_file(c, "model", name, "model", DK_FROM_MODEL, err);
    dk_free(name);
    return rc;
}

/* Is setting i KEY, or something below it? */
static bool is_under(const dk_conf *c, const char *key, size_t i)
{
    const size_t n = strlen(key);

    return strncmp(c->item[i].key, key, n) == 0 && (c->item[i].key[n] == 0 || c->item[i].key[n] == '.');
}

static void setting_free(dk_setting *s)
{
    dk_free(s->key);
    dk_free(s->text);
    dk_free(s->where);
    dk_yaml_free(&s->list);
}

/* What organism and model need not have can be dropped; the rest has a value. */
static int drop(const struct source *src, const char *key)
{
    static const char *const keep[] = { "organism.name", "organism.finetuned_models", "model.name",
                                        "model.model_id" };
    dk_conf *c = src->c;
    size_t n = 0;
    bool may = strncmp(key, "organism.", 9) == 0 || strncmp(key, "model.", 6) == 0;

    for (size_t i = 0; i < sizeof keep / sizeof *keep; i++)
        may = may && strcmp(key, keep[i]) != 0;
    for (size_t i = 0; i < c->n; i++)
        n += is_under(c, key, i);
    if (n == 0)
        return unknown(src, key, 0);
    if (!may)
        return dk_fail(src->err, DK_EUSAGE, "'%s' must have a value and cannot be dropped", key);
    n = 0;
    for (size_t i = 0; i < c->n; i++)
        if (is_under(c, key, i))
            setting_free(&c->item[i]);
        else
            c->item[n++] = c->item[i];
    c->n = n;
    return 0;
}

static int not_set_yet(const struct source *src, const char *key)
{
    char *full = NULL;
    int rc = expand(src->c, key, &full, src->err);

    for (size_t i = 0; rc >= 0 && i < src->c->n; i++)
        if (is_under(src->c, full ? full : key, i))
            rc = dk_fail(src->err, DK_EUSAGE, "'%s' is set already; write %s=VALUE or ++%s=VALUE", key,
                         key, key);
    dk_free(full);
    return rc < 0 ? rc : 0;
}

static int put_words(dk_conf *c, int n, char *const *words, dk_err *err)
{
    const struct source src = { c, DK_FROM_COMMAND, NULL, "", err };
    int rc = 0;

    for (int i = 0; rc == 0 && i < n; i++) {
        dk_confword w;
        dk_yaml *v = NULL;

        if ((rc = dk_confword_parse(&w, words[i], err)) < 0)
            break;
        if (w.how == DK_DROP)
            rc = drop(&src, w.key);
        else if (strcmp(w.key, "method") != 0) {
            if (w.how == DK_ADD)
                rc = not_set_yet(&src, w.key);
            if (rc == 0)
                rc = dk_yaml_parse(&v, w.value, strlen(w.value), w.key, err);
            if (rc == 0)
                rc = put_tree(&src, v, w.key, true);
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
        if (c->item[i].text && strcmp(c->item[i].text, UNSET) == 0)
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
    int rc = put_file(c, "", "config", "", DK_FROM_DEFAULT, err);

    if (rc == 0)
        rc = choices(&ch, site, n, words, err);
    if (rc == 0)
        rc = put_methods(c, ch.method, err);
    if (rc == 0)
        rc = put_file(c, "organism", ch.organism ? ch.organism : dk_conf_text(c, "organism"),
                      "organism", DK_FROM_ORGANISM, err);
    if (rc == 0)
        rc = put_model(c, ch.model ? ch.model : dk_conf_text(c, "model"), err);
    if (rc == 0 && site && site->kind == DK_YAML_MAP) {
        const struct source src = { c, DK_FROM_SITE, site_path, "", err };

        rc = put_tree(&src, site, "", true);
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
    char *site_path = site_file(at);
    dk_yaml *site = NULL;
    int rc = 0;

    *out = dk_xcalloc(1, sizeof **out);
    (*out)->dir = configs_dir(at);
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
    (*out)->dir = configs_dir(at);
    rc = put_file(*out, group, name, strcmp(group, "method") == 0 ? name : group, DK_FROM_DEFAULT, err);
    if (rc < 0)
        dk_conf_free(out);
    return rc;
}

void dk_conf_free(dk_conf **c)
{
    if (!*c)
        return;
    for (size_t i = 0; i < (*c)->n; i++)
        setting_free(&(*c)->item[i]);
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

char *dk_conf_path(const dk_conf *c, const char *text)
{
    const char *slash = strrchr(c->dir, '/');

    if (text[0] == '/' || !slash || access(text, F_OK) == 0)
        return dk_xstrdup(text);
    return dk_xasprintf("%.*s/%s", (int)(slash - c->dir), c->dir, text);
}

/* The folder that models are kept in; NULL when nothing says where. */
static char *cache_dir(void)
{
    const char *cache = getenv("DK_CACHE"), *xdg = getenv("XDG_CACHE_HOME"), *home = getenv("HOME");

    if (cache && *cache)
        return dk_xstrdup(cache);
    if (xdg && *xdg)
        return dk_xasprintf("%s/dk", xdg);
    return home && *home ? dk_xasprintf("%s/.cache/dk", home) : NULL;
}

int dk_conf_model_path(const dk_conf *c, const char *dir, char **path, bool *must_fetch, dk_err *err)
{
    const char *id = dk_conf_text(c, "model.model_id"), *name = dk_conf_text(c, "model.name");
    const char *member = dk_conf_text(c, "model.source.member"), *slash;
    char *root, *hub;
    int rc;

    *must_fetch = member != NULL;
    if (!name || !id)
        return dk_fail(err, DK_EUSAGE, "the model's configuration lacks its name or model_id");
    if (!member) {
        rc = dk_conf_place(path, &hub, c, "model.model_id", id, err);
        *must_fetch = hub != NULL;
        *path = hub ? hub : *path;
        return rc;
    }
    if (!(root = dir ? dk_xstrdup(dir) : cache_dir()))
        return dk_fail(err, DK_EUSAGE, "neither DK_CACHE, XDG_CACHE_HOME nor HOME says where models "
                       "are kept");
    slash = strrchr(member, '/');
    *path = dk_xasprintf("%s/models/%s/%s", root, name, slash ? slash + 1 : member);
    dk_free(root);
    return 0;
}
