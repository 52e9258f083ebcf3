/* The values of a configuration: each checked against its schema, and told from
 * which source it comes. */
#include "cli/registrypriv.h"

#include <fnmatch.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "base/parse.h"
#include "cli/schema.h"
#include "cli/suggest.h"

int dk_conf_schema(dk_conf *c, const char *group, dk_err *err)
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

bool dk_conf_built(const dk_conf *c, const char *method)
{
    for (size_t i = 0; i < c->n_schema; i++)
        if (strcmp(c->schema[i].group, method) == 0) {
            const char *b = dk_schema_text(dk_yaml_get(c->schema[i].tree, "name"), "built");

            return !b || strcmp(b, "false") != 0;
        }
    return true;
}

void dk_conf_schema_drop(dk_conf *c)
{
    struct dk_conf_schema *s = &c->schema[--c->n_schema];

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
const dk_yaml *dk_conf_rule(const dk_conf *c, const char *key)
{
    for (size_t i = 0; i < c->n_schema; i++) {
        const char *k = within(c->schema[i].group, key);

        for (size_t j = 0; k && j < c->schema[i].tree->n; j++)
            if (fnmatch(c->schema[i].tree->item[j].key, k, 0) == 0)
                return &c->schema[i].tree->item[j];
    }
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

int dk_conf_put(const struct dk_conf_source *src, const char *key, const dk_yaml *v, const dk_yaml *rule)
{
    dk_conf *c = src->c;
    dk_setting *s = (dk_setting *)(size_t)dk_conf_find(c, key);
    char *where = src->file ? dk_xasprintf("%s:%zu", src->file, v->line) : dk_xstrdup("");
    const char *fixed = dk_schema_text(rule, "fixed");
    dk_setting fresh = {0};
    int rc = v->kind == DK_YAML_STR && strcmp(v->text, DK_CONF_UNSET) == 0
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

static int unknown(const struct dk_conf_source *src, const char *key, size_t line)
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
int dk_conf_put_tree(const struct dk_conf_source *src, const dk_yaml *y, const char *key, bool brief)
{
    const dk_yaml *rule = *key ? dk_conf_rule(src->c, key) : NULL;
    char *full = NULL;
    int rc = 0;

    if (rule && (y->kind != DK_YAML_MAP || dk_schema_is(rule, "map")))
        return dk_conf_put(src, key, y, rule);
    if (y->kind == DK_YAML_MAP && y->n > 0) {
        for (size_t i = 0; rc == 0 && i < y->n; i++) {
            char *sub = dk_xasprintf("%s%s%s", key, *key ? "." : "", y->item[i].key);

            rc = dk_conf_put_tree(src, &y->item[i], sub, brief);
            dk_free(sub);
        }
        return rc;
    }
    if (brief && (rc = expand(src->c, key, &full, src->err)) > 0)
        rc = dk_conf_put(src, full, y, dk_conf_rule(src->c, full));
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
    if (dk_conf_list(&known, c->dir, group, NULL) == 0)
        for (char *k = known.s, *end; k && (end = strchr(k, '\n')); k = end + 1) {
            *end = 0;
            dk_suggest_try(&s, k);
        }
    dk_buf_free(&known);
    return dk_fail(err, DK_EUSAGE, "there is no %s '%s' in %s%s", *group ? group : "file", name,
                   c->dir, dk_suggest_text(&s, buf, sizeof buf));
}

int dk_conf_put_file(dk_conf *c, const char *group, const char *name, const char *prefix,
                    enum dk_origin origin, dk_err *err)
{
    dk_yaml *y = NULL;
    char *path = NULL;
    int rc = group_tree(&y, &path, c, group, name, err);

    if (rc == 0)
        rc = dk_conf_schema(c, *prefix ? prefix : "config", err);
    if (rc == 0 && y->kind != DK_YAML_MAP)
        rc = dk_fail(err, DK_EUSAGE, "%s: expected 'key: value' lines", path);
    for (size_t i = 0; rc == 0 && i < y->n; i++) {
        const struct dk_conf_source src = { c, origin, path, prefix, err };
        const dk_yaml *m = &y->item[i];
        char *key;

        if (strcmp(m->key, "overrides") == 0 && *prefix) {
            for (size_t j = 0; rc == 0 && origin != DK_FROM_DEFAULT && j < m->n; j++)
                rc = dk_conf_put_tree(&src, &m->item[j], m->item[j].key, true);
            continue;
        }
        key = *prefix ? dk_xasprintf("%s.%s", prefix, m->key) : dk_xstrdup(m->key);
        rc = dk_conf_put_tree(&src, m, key, false);
        dk_free(key);
    }
    dk_yaml_free(&y);
    dk_free(path);
    return rc;
}

/* Is setting i KEY, or something below it? */
static bool is_under(const dk_conf *c, const char *key, size_t i)
{
    const size_t n = strlen(key);

    return strncmp(c->item[i].key, key, n) == 0 && (c->item[i].key[n] == 0 || c->item[i].key[n] == '.');
}

void dk_setting_free(dk_setting *s)
{
    dk_free(s->key);
    dk_free(s->text);
    dk_free(s->where);
    dk_yaml_free(&s->list);
}

/* What organism and model need not have can be dropped; the rest has a value. */
int dk_conf_drop(const struct dk_conf_source *src, const char *key)
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
            dk_setting_free(&c->item[i]);
        else
            c->item[n++] = c->item[i];
    c->n = n;
    return 0;
}

int dk_conf_not_set(const struct dk_conf_source *src, const char *key)
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
