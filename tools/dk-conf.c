/* dk-conf: what the configuration comes to, and where each value comes from.
 * `make` is for pipelines: it adds what the graph needs to know (which files,
 * which data sets, which nulls) to the plain values. */
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "base/parse.h"
#include "cli/registry.h"
#include "cli/suggest.h"
#include "cli/tool.h"

struct params { const char *configs, *site, *prefix; };

static const dk_opt opts[] = {
    DK_PATH(struct params, 0, "configs", configs, NULL, "read configurations from this folder"),
    DK_PATH(struct params, 0, "site", site, NULL,
            "read this site file (\"\" for none) instead of ~/.config/dk/site.yaml"),
    DK_STR(struct params, 'p', "prefix", prefix, "conf", "make: begin every variable with TEXT."),
    DK_END
};

/* ---- list and check ---------------------------------------------------- */

static const char *const groups[] = { "organism", "model", "method", "dataset" };
enum { N_GROUPS = sizeof groups / sizeof *groups };

/* "organisms" or "organism"; NULL if there is no such group. */
static const char *group_named(const char *word)
{
    for (size_t i = 0; i < N_GROUPS; i++) {
        const size_t n = strlen(groups[i]);

        if (strncmp(word, groups[i], n) == 0 && (word[n] == 0 || strcmp(word + n, "s") == 0))
            return groups[i];
    }
    return NULL;
}

static void list_line(const dk_conf_places *at, const char *group, const char *name)
{
    dk_conf *c = NULL;
    char key[64];
    const char *text = NULL;

    snprintf(key, sizeof key, "%s.%s", group,
             strcmp(group, "organism") == 0 ? "description" : strcmp(group, "model") == 0 ? "model_id" : "id");
    if (strcmp(group, "method") != 0 && dk_conf_load_one(&c, at, group, name, NULL) == 0)
        text = dk_conf_text(c, key);
    if (text)
        printf("  %-16s %s\n", name, text);
    else
        printf("  %s\n", name);
    dk_conf_free(&c);
}

static int list(const dk_conf_places *at, int n, char **words, dk_err *err)
{
    const char *only = n > 0 ? group_named(words[0]) : NULL;

    if (n > 1 || (n == 1 && !only))
        return dk_fail(err, DK_EUSAGE, "list takes one of organisms, models, methods, datasets; "
                       "not '%s'", words[n - 1]);
    for (size_t i = 0; i < N_GROUPS; i++) {
        dk_buf names = {0};
        int rc;

        if (only && only != groups[i])
            continue;
        if ((rc = dk_conf_names(&names, at, groups[i], err)) < 0)
            return rc;
        if (!only)
            printf("%ss\n", groups[i]);
        for (char *p = names.s ? strtok(names.s, "\n") : NULL; p; p = strtok(NULL, "\n"))
            if (only)
                puts(p);
            else
                list_line(at, groups[i], p);
        dk_buf_free(&names);
    }
    return 0;
}

/* Every organism with each of its models, and every data set. */
static int check(const dk_conf_places *at, dk_err *err)
{
    static const char *const group[] = { "organism", "dataset", "model" };
    size_t n_ok = 0;
    int rc = 0;

    for (size_t g = 0; rc == 0 && g < 3; g++) {
        dk_buf names = {0};
        char *save = NULL;

        rc = dk_conf_names(&names, at, group[g], err);
        for (char *p = names.s ? strtok_r(names.s, "\n", &save) : NULL; rc == 0 && p;
             p = strtok_r(NULL, "\n", &save)) {
            dk_conf *c = NULL;
            char *word = dk_xasprintf("organism=%s", p);

            rc = g == 0 ? dk_conf_load(&c, at, 1, &word, err)
                        : dk_conf_load_one(&c, at, group[g], p, err);
            dk_conf_free(&c);
            dk_free(word);
            n_ok += rc == 0;
        }
        dk_buf_free(&names);
    }
    if (rc == 0)
        printf("%zu configurations are valid\n", n_ok);
    return rc;
}

/* ---- show and get ------------------------------------------------------ */

/* FILE:LINE, relative to the folder we are in. */
static const char *near_here(const char *where)
{
    static char cwd[PATH_MAX];
    const size_t n = (*cwd || getcwd(cwd, sizeof cwd)) ? strlen(cwd) : 0;

    return n && strncmp(where, cwd, n) == 0 && where[n] == '/' ? where + n + 1 : where;
}

static int show(const dk_conf *c)
{
    for (size_t i = 0; i < dk_conf_size(c); i++) {
        const dk_setting *s = dk_conf_at(c, i);
        const dk_yaml v = { .kind = s->kind, .text = s->text };
        dk_buf b = {0};

        dk_buf_addf(&b, "%s: ", s->key);
        if (s->kind < DK_YAML_SEQ)
            dk_yaml_flow(&v, &b);
        else
            dk_buf_adds(&b, s->text);
        printf("%-50s # %s%s%s%s\n", b.s, dk_conf_origin_name(s->origin), *s->where ? ", " : "",
               near_here(s->where), s->fixed ? ", fixed" : "");
        dk_buf_free(&b);
    }
    return 0;
}

/* ---- json -------------------------------------------------------------- */

static void json_text(const char *s)
{
    putchar('"');
    for (; *s; s++)
        if (*s == '"' || *s == '\\')
            printf("\\%c", *s);
        else if ((unsigned char)*s < 0x20)
            printf("\\u%04x", *s);
        else
            putchar(*s);
    putchar('"');
}

/* Digits may be grouped in YAML, and a real may begin with a dot. */
static void json_number(const char *s)
{
    double x = 0;
    char bare[64];
    size_t n = 0;

    for (; *s && n + 1 < sizeof bare; s++)
        if (*s != '_')
            bare[n++] = *s;
    bare[n] = 0;
    if (strspn(bare, "-0123456789") == n)
        fputs(bare, stdout);
    else if (dk_parse_real(&x, bare, -1e300, 1e300, "", NULL) == 0)
        printf("%.17g", x);
    else
        json_text(bare);
}

static void json_value(const dk_yaml *y)
{
    if (y->kind == DK_YAML_SEQ) {
        putchar('[');
        for (size_t i = 0; i < y->n; i++) {
            fputs(i ? ", " : "", stdout);
            json_value(&y->item[i]);
        }
        putchar(']');
    } else if (y->kind == DK_YAML_NULL)
        fputs("null", stdout);
    else if (y->kind == DK_YAML_BOOL)
        fputs(y->text[0] == 't' || y->text[0] == 'T' ? "true" : "false", stdout);
    else if (y->kind == DK_YAML_INT || y->kind == DK_YAML_REAL)
        json_number(y->text);
    else
        json_text(y->text);
}

/* One flat object, keys in the order of show. */
static int json(const dk_conf *c)
{
    for (size_t i = 0; i < dk_conf_size(c); i++) {
        const dk_setting *s = dk_conf_at(c, i);
        const dk_yaml v = { .kind = s->kind, .text = s->text };

        fputs(i ? ",\n " : "{", stdout);
        json_text(s->key);
        fputs(": ", stdout);
        json_value(s->list ? s->list : &v);
    }
    puts("}");
    return 0;
}

/* ---- make -------------------------------------------------------------- */

static void make_value(const char *s, dk_buf *out)
{
    for (; *s; s++)
        if (*s == '$')
            dk_buf_adds(out, "$$");
        else if (*s == '#')
            dk_buf_adds(out, "\\#");
        else
            dk_buf_addc(out, *s == '\n' ? ' ' : *s);
}

static void var(dk_buf *out, const char *prefix, const char *name, const char *value)
{
    dk_buf_addf(out, "%s.%s := ", prefix, name);
    make_value(value ? value : "", out);
    dk_buf_addc(out, '\n');
}

/* Make splits lists at blanks, so a path with one cannot be a prerequisite. */
static int path_var(dk_buf *out, const char *prefix, const char *name, const dk_conf *c,
                    const char *text, dk_err *err)
{
    char *path = dk_conf_path(c, text);
    int rc = 0;

    if (strpbrk(path, " \t\n:%"))
        rc = dk_fail(err, DK_EUSAGE, "'%s': make cannot handle blanks, ':' or '%%' in a path", path);
    else if (access(path, F_OK) != 0)
        rc = dk_fail(err, DK_EUSAGE, "%s: there is no local path '%s'", name, path);
    else
        var(out, prefix, name, path);
    dk_free(path);
    return rc;
}

/* set.NAME.{path,format,column}, from keys that begin with HEAD. */
static int set_vars(dk_buf *out, const char *prefix, const dk_conf *c, const char *head,
                    const char *name, dk_err *err)
{
    char key[256], var_name[256];
    const char *id, *column;
    bool chat;

    snprintf(key, sizeof key, "%s.id", head);
    if (!(id = dk_conf_text(c, key)))
        return dk_fail(err, DK_EUSAGE, "data set '%s' has no id", name);
    snprintf(key, sizeof key, "%s.is_chat", head);
    chat = dk_conf_true(c, key);
    snprintf(key, sizeof key, "%s.%s", head, chat ? "messages_column" : "text_column");
    column = dk_conf_text(c, key);
    snprintf(var_name, sizeof var_name, "set.%s.path", name);
    if (path_var(out, prefix, var_name, c, id, err) < 0)
        return err->code;
    snprintf(var_name, sizeof var_name, "set.%s.format", name);
    var(out, prefix, var_name, chat ? "chat" : "text");
    snprintf(var_name, sizeof var_name, "set.%s.column", name);
    var(out, prefix, var_name, column ? column : chat ? "messages" : "text");
    return 0;
}

struct sets { dk_buf known; };

/* Appends the names listed at KEY to *list and describes each new one. */
static int named_sets(dk_buf *out, dk_buf *list, struct sets *sets, const dk_conf_places *at,
                      const char *prefix, const dk_conf *c, const char *key, dk_err *err)
{
    const dk_setting *s = dk_conf_find(c, key);
    int rc = 0;

    for (size_t i = 0; rc == 0 && s && s->list && i < s->list->n; i++) {
        const char *name = s->list->item[i].text;
        char *mark = dk_xasprintf(" %s ", name ? name : "");
        dk_conf *d = NULL;

        if (!name)
            rc = dk_fail(err, DK_EUSAGE, "%s: expected names of data sets (dk-conf list datasets)", key);
        else if (!sets->known.s || !strstr(sets->known.s, mark)) {
            dk_buf_adds(&sets->known, mark);
            if ((rc = dk_conf_load_one(&d, at, "dataset", name, err)) < 0)
                dk_err_prefix(err, "%s", key);
            else
                rc = set_vars(out, prefix, d, "dataset", name, err);
        }
        if (rc == 0)
            dk_buf_addf(list, "%s%s", list->n ? " " : "", name);
        dk_conf_free(&d);
        dk_free(mark);
    }
    return rc;
}

static int kl_sets(dk_buf *out, struct sets *sets, const dk_conf_places *at, const char *prefix,
                   const dk_conf *c, dk_err *err)
{
    dk_buf list = {0};
    int rc = 0;

    if (dk_conf_true(c, "kl.datasets.use_training_dataset") && dk_conf_find(c, "organism.dataset.id")) {
        const char *name = dk_conf_text(c, "organism.name");

        rc = set_vars(out, prefix, c, "organism.dataset", name, err);
        dk_buf_adds(&list, name);
    }
    if (rc == 0 && dk_conf_true(c, "kl.datasets.use_pretraining_dataset"))
        rc = named_sets(out, &list, sets, at, prefix, c, "datasets.pretraining", err);
    if (rc == 0 && dk_conf_true(c, "kl.datasets.use_chat_dataset"))
        rc = named_sets(out, &list, sets, at, prefix, c, "datasets.chat", err);
    if (rc == 0)
        var(out, prefix, "kl.sets", list.s);
    dk_buf_free(&list);
    return rc;
}

static int mining_sets(dk_buf *out, struct sets *sets, const dk_conf_places *at, const char *prefix,
                       const dk_conf *c, dk_err *err)
{
    const dk_setting *o = dk_conf_find(c, "diff_mining.token_ordering.method");
    dk_buf list = {0}, orders = {0};
    int rc = named_sets(out, &list, sets, at, prefix, c, "diff_mining.datasets", err);

    for (size_t i = 0; o && o->list && i < o->list->n; i++)
        dk_buf_addf(&orders, "%s%s", i ? " " : "", o->list->item[i].text);
    if (rc == 0) {
        var(out, prefix, "diff_mining.sets", list.s);
        var(out, prefix, "diff_mining.orderings", orders.s);
    }
    dk_buf_free(&list);
    dk_buf_free(&orders);
    return rc;
}

/* The adapter of organism NAME (NULL: the one configured) for this model. */
static const char *adapter_of(const dk_conf *c, const char *model, const char *variant)
{
    char *key = dk_xasprintf("organism.finetuned_models.%s.%s.adapter_id", model, variant);
    const char *text = dk_conf_text(c, key);

    dk_free(key);
    return text;
}

/* A null without an adapter for this model is left out, and said so. */
static int null_vars(dk_buf *out, const dk_conf_places *at, const char *prefix, const dk_conf *c,
                     dk_err *err)
{
    const dk_setting *s = dk_conf_find(c, "organism.nulls");
    const char *model = dk_conf_text(c, "model.name"), *self = dk_conf_text(c, "organism.name");
    dk_buf list = {0};
    int rc = 0;

    for (size_t i = 0; rc == 0 && s && s->list && i < s->list->n; i++) {
        const char *name = s->list->item[i].text, *id;
        char *var_name = dk_xasprintf("null.%s", name ? name : "");
        dk_conf *d = NULL;

        if (name && strcmp(name, self) != 0 &&
            (rc = dk_conf_load_one(&d, at, "organism", name, err)) == 0) {
            if (!(id = adapter_of(d, model, "default")))
                dk_log(DK_WARN, "null %s has no adapter for %s; left out", name, model);
            else if ((rc = path_var(out, prefix, var_name, c, id, err)) == 0)
                dk_buf_addf(&list, "%s%s", list.n ? " " : "", name);
        }
        dk_conf_free(&d);
        dk_free(var_name);
    }
    if (rc == 0)
        var(out, prefix, "nulls", list.s);
    dk_buf_free(&list);
    return rc;
}

static int model_vars(dk_buf *out, const char *prefix, const dk_conf *c, dk_err *err)
{
    const char *model = dk_conf_text(c, "model.name"), *id;
    char *path = NULL;
    bool must_fetch;
    int rc = dk_conf_model_path(c, NULL, &path, &must_fetch, err);

    if (rc < 0)
        return rc;
    if (strpbrk(path, " \t\n:%"))
        rc = dk_fail(err, DK_EUSAGE, "'%s': make cannot handle blanks, ':' or '%%' in a path", path);
    var(out, prefix, "model", model);
    var(out, prefix, "model.path", path);
    var(out, prefix, "model.fetch", must_fetch ? model : "");
    dk_free(path);
    if (rc == 0 && !(id = adapter_of(c, model, dk_conf_text(c, "organism_variant"))))
        rc = dk_fail(err, DK_EUSAGE, "organism '%s' on '%s' is a full finetune; the graph runs "
                     "adapters so far", dk_conf_text(c, "organism.name"), model);
    else if (rc == 0)
        rc = path_var(out, prefix, "adapter", c, id, err);
    return rc;
}

static int make(const dk_conf_places *at, const char *prefix, const dk_conf *c, dk_err *err)
{
    struct sets sets = {0};
    dk_buf out = {0};
    const char *probes = dk_conf_text(c, "organism.probes");
    int rc;

    for (size_t i = 0; i < dk_conf_size(c); i++)
        var(&out, prefix, dk_conf_at(c, i)->key, dk_conf_at(c, i)->text);
    rc = model_vars(&out, prefix, c, err);
    if (rc == 0)
        rc = null_vars(&out, at, prefix, c, err);
    if (rc == 0 && dk_conf_find(c, "kl.name"))
        rc = kl_sets(&out, &sets, at, prefix, c, err);
    if (rc == 0 && dk_conf_find(c, "diff_mining.name"))
        rc = mining_sets(&out, &sets, at, prefix, c, err);
    if (rc == 0 && probes)
        rc = path_var(&out, prefix, "probes", c, probes, err);
    else
        var(&out, prefix, "probes", "");
    if (rc == 0)
        fputs(out.s, stdout);
    dk_buf_free(&out);
    dk_buf_free(&sets.known);
    return rc;
}

/* ---- run --------------------------------------------------------------- */

static int unknown_verb(const char *verb, dk_err *err)
{
    static const char *const verbs[] = { "list", "show", "get", "json", "make", "check" };
    dk_suggest s;
    char buf[192];

    dk_suggest_begin(&s, verb);
    for (size_t i = 0; i < sizeof verbs / sizeof *verbs; i++)
        dk_suggest_try(&s, verbs[i]);
    return dk_fail(err, DK_EUSAGE, "'%s' is none of list, show, get, json, make, check%s", verb,
                   dk_suggest_text(&s, buf, sizeof buf));
}

static int get(const dk_conf *c, const char *key, dk_err *err)
{
    const dk_setting *s = dk_conf_find(c, key);

    if (!s)
        return dk_fail(err, DK_EUSAGE, "there is no key '%s' (see dk-conf show)", key);
    puts(s->kind == DK_YAML_NULL ? "" : s->text);
    return 0;
}

static int run(dk_ctx *ctx, const void *vp, int n, char **args, dk_err *err)
{
    const struct params *p = vp;
    const dk_conf_places at = { p->configs, p->site };
    const char *verb = args[0], *key = NULL;
    dk_conf *c = NULL;
    int rc;

    (void)ctx;
    if (strcmp(verb, "list") == 0)
        return list(&at, n - 1, args + 1, err);
    if (strcmp(verb, "check") == 0 && n == 1)
        return check(&at, err);
    if (strcmp(verb, "get") == 0 && n > 1) {
        key = args[1];
        n--;
        args++;
    } else if (strcmp(verb, "show") != 0 && strcmp(verb, "json") != 0 && strcmp(verb, "make") != 0)
        return strcmp(verb, "check") == 0 || strcmp(verb, "get") == 0
            ? dk_fail(err, DK_EUSAGE, "check takes no arguments; get takes a key first")
            : unknown_verb(verb, err);
    rc = dk_conf_load(&c, &at, n - 1, args + 1, err);
    if (rc == 0)
        rc = key ? get(c, key, err) : verb[0] == 's' ? show(c) : verb[0] == 'j' ? json(c)
            : make(&at, p->prefix, c, err);
    dk_conf_free(&c);
    return rc;
}

const dk_tool dk_this_tool = {
    .name = "dk-conf",
    .purpose = "resolve configurations; list organisms, models, methods and data sets",
    .algo = 1,
    .usage = "[options] list [GROUP] | check | show|json|make [KEY=VALUE...] | get KEY [KEY=VALUE...]",
    .opts = opts, .params_size = sizeof(struct params), .min_args = 1, .max_args = -1, .run = run,
};
