/* dk-conf: what the configuration comes to, and where each value comes from.
 * `make` is for pipelines: it adds what the graph needs to know (which files,
 * which data sets, which nulls) to the plain values. */
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/parse.h"
#include "cli/confadd.h"
#include "cli/confcheck.h"
#include "cli/confmake.h"
#include "cli/confpair.h"
#include "cli/confsets.h"
#include "cli/registry.h"
#include "cli/suggest.h"
#include "cli/tool.h"
#include "io/json.h"
#include "model/config.h"

struct params { const char *configs, *site, *prefix, *adapter, *name, *dir; };

static const dk_opt opts[] = {
    DK_PATH(struct params, 0, "configs", configs, NULL, "read configurations from this folder"),
    DK_PATH(struct params, 0, "site", site, NULL,
            "read this site file (\"\" for none) instead of ~/.config/dk/site.yaml"),
    DK_STR(struct params, 'p', "prefix", prefix, "conf", "make: begin every variable with TEXT."),
    DK_PATH(struct params, 0, "adapter", adapter, NULL, "add: the folder of a PEFT adapter"),
    DK_STR(struct params, 0, "name", name, NULL, "add: what to call the organism [the folder's name]"),
    DK_PATH(struct params, 0, "dir", dir, NULL,
            "add: write NAME.yaml to this folder instead of organism/ of the configurations"),
    DK_END
};

/* ---- list and check ---------------------------------------------------- */

static const char *const groups[] = { "organism", "model", "method", "dataset", "amplification" };
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

static void list_line(const dk_conf_places *at, const char *group, const char *name, int width)
{
    dk_conf *c = NULL;
    char key[64];
    const char *text = NULL;

    snprintf(key, sizeof key, "%s.%s", group, strcmp(group, "model") == 0 ? "model_id"
             : strcmp(group, "dataset") == 0 ? "id" : "description");
    if (dk_conf_load_one(&c, at, group, name, NULL) == 0)
        text = strcmp(group, "method") != 0 ? dk_conf_text(c, key)
            : dk_conf_unbuilt(c) ? "(not built yet)" : NULL;
    if (text && strcmp(text, "???") == 0)
        text = "(the first that the organism has a finetune of)";
    if (text)
        printf("  %-*s %s\n", width, name, text);
    else
        printf("  %s\n", name);
    dk_conf_free(&c);
}

static int list(const dk_conf_places *at, int n, char **words, dk_err *err)
{
    const char *only = n > 0 ? group_named(words[0]) : NULL;

    if (n > 1 || (n == 1 && !only))
        return dk_fail(err, DK_EUSAGE, "list takes one of organisms, models, methods, datasets, "
                       "amplifications; not '%s'", words[n - 1]);
    for (size_t i = 0; i < N_GROUPS; i++) {
        dk_buf names = {0};
        int rc, width = 0;

        if (only && only != groups[i])
            continue;
        if ((rc = dk_conf_names(&names, at, groups[i], err)) < 0)
            return rc;
        if (!only)
            printf("%ss\n", groups[i]);
        for (const char *p = names.s; p && *p; p += strcspn(p, "\n") + 1)
            if ((int)strcspn(p, "\n") > width)
                width = (int)strcspn(p, "\n");
        for (char *p = names.s ? strtok(names.s, "\n") : NULL; p; p = strtok(NULL, "\n"))
            if (only)
                puts(p);
            else
                list_line(at, groups[i], p, width);
        dk_buf_free(&names);
    }
    return 0;
}

/* Known gaps and problems, one a line. */
static int check(const dk_conf_places *at, dk_err *err)
{
    dk_confcheck k;
    int rc = dk_conf_check(&k, at, err);

    if (rc == 0) {
        fputs(k.notes.s ? k.notes.s : "", stdout);
        fputs(k.problems.s ? k.problems.s : "", stdout);
        if (k.n_problems)
            rc = dk_fail(err, DK_EUSAGE, "%zu problem%s; %zu configurations are valid", k.n_problems,
                         k.n_problems == 1 ? "" : "s", k.n_valid);
        else
            printf("%zu configurations are valid\n", k.n_valid);
    }
    dk_confcheck_free(&k);
    return rc;
}

/* ---- pairs, records and add --------------------------------------------- */

/* The named organisms, or all. */
static int pairs(const dk_conf_places *at, int n, char **words, dk_err *err)
{
    dk_buf names = {0}, out = {0};
    char *save = NULL;
    int rc = 0;

    for (int i = 0; i < n; i++)
        dk_buf_addf(&names, "%s\n", words[i]);
    if (n == 0)
        rc = dk_conf_names(&names, at, "organism", err);
    dk_buf_adds(&out, "organism\tmodel\tvariant\tkind\tbase\trepository\tsubfolder\n");
    for (char *p = names.s ? strtok_r(names.s, "\n", &save) : NULL; rc == 0 && p;
         p = strtok_r(NULL, "\n", &save))
        rc = dk_conf_pairs(at, p, &out, err);
    if (rc == 0)
        fputs(out.s, stdout);
    dk_buf_free(&names);
    dk_buf_free(&out);
    return rc;
}

static int records(const dk_conf_places *at, const dk_conf *c, dk_err *err)
{
    dk_buf out = {0};
    int rc;

    dk_buf_adds(&out, "group\tname\tsplit\tid\tsubset\tcolumn\n");
    rc = dk_conf_records(at, c, &out, err);
    if (rc == 0)
        fputs(out.s, stdout);
    dk_buf_free(&out);
    return rc;
}

static int add(const dk_conf_places *at, const struct params *p, dk_err *err)
{
    char *path = NULL;
    int rc;

    if (!p->adapter)
        return dk_fail(err, DK_EUSAGE, "add needs --adapter PATH");
    rc = dk_conf_add(&path, at, p->adapter, p->name, p->dir, err);
    if (rc == 0)
        puts(path);
    dk_free(path);
    return rc;
}

/* ---- model --------------------------------------------------------------- */

/* What the configurations of models say, a line each.  Weights are not looked at. */
static int models(int n, char **paths, dk_err *err)
{
    dk_buf out = {0};
    int rc = 0;

    if (n == 0)
        return dk_fail(err, DK_EUSAGE, "model needs a config.json, a checkpoint folder or a GGUF file");
    dk_buf_addf(&out, "%s\n", dk_model_config_columns);
    for (int i = 0; rc == 0 && i < n; i++) {
        dk_model_config c;

        rc = dk_model_config_any(&c, paths[i], err);
        if (rc == 0)
            dk_model_config_row(&out, &c);
    }
    if (rc == 0)
        fputs(out.s, stdout);
    dk_buf_free(&out);
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

/* Digits may be grouped in YAML, and a real may begin with a dot. */
static void json_number(dk_jw *w, const dk_yaml *y)
{
    double x = 0;
    int64_t i = 0;
    char bare[64];
    size_t n = 0;

    for (const char *s = y->text; *s && n + 1 < sizeof bare; s++)
        if (*s != '_')
            bare[n++] = *s;
    bare[n] = 0;
    if (y->kind == DK_YAML_INT && dk_parse_int(&i, bare, INT64_MIN, INT64_MAX, "", NULL) == 0)
        dk_jw_int(w, i);
    else if (dk_parse_real(&x, bare, -1e300, 1e300, "", NULL) == 0)
        dk_jw_num(w, x);
    else
        dk_jw_str(w, y->text);
}

static void json_value(dk_jw *w, const dk_yaml *y)
{
    if (y->kind == DK_YAML_SEQ) {
        dk_jw_arr_begin(w);
        for (size_t i = 0; i < y->n; i++)
            json_value(w, &y->item[i]);
        dk_jw_arr_end(w);
    } else if (y->kind == DK_YAML_MAP && y->n) {
        dk_jw_obj_begin(w);
        for (size_t i = 0; i < y->n; i++) {
            dk_jw_key(w, y->item[i].key);
            json_value(w, &y->item[i]);
        }
        dk_jw_obj_end(w);
    } else if (y->kind == DK_YAML_NULL)
        dk_jw_null(w);
    else if (y->kind == DK_YAML_BOOL)
        dk_jw_bool(w, y->text[0] == 't' || y->text[0] == 'T');
    else if (y->kind == DK_YAML_INT || y->kind == DK_YAML_REAL)
        json_number(w, y);
    else
        dk_jw_str(w, y->text);
}

/* One flat object, keys in the order of show, and then where the model lies. */
static int json(const dk_conf *c)
{
    dk_buf out = {0};
    dk_jw w = { .out = &out };
    char *model = NULL;
    bool must_fetch;

    dk_jw_obj_begin(&w);
    for (size_t i = 0; i < dk_conf_size(c); i++) {
        const dk_setting *s = dk_conf_at(c, i);
        const dk_yaml v = { .kind = s->kind, .text = s->text };

        dk_jw_key(&w, s->key);
        json_value(&w, s->list ? s->list : &v);
    }
    if (!dk_conf_text(c, "model.path") && dk_conf_model_path(c, NULL, &model, &must_fetch, NULL) == 0) {
        if (!must_fetch || dk_conf_text(c, "model.source.member")) {   /* else it is an id so far */
            dk_jw_key(&w, "model.path");
            dk_jw_str(&w, model);
        }
        dk_free(model);
    }
    dk_jw_obj_end(&w);
    puts(out.s);
    dk_buf_free(&out);
    return 0;
}

/* ---- make -------------------------------------------------------------- */

static int make(const dk_conf_places *at, const char *prefix, const dk_conf *c, dk_err *err)
{
    dk_buf out = {0};
    const int rc = dk_conf_make(at, prefix, c, &out, err);

    if (rc == 0)
        fputs(out.s, stdout);
    dk_buf_free(&out);
    return rc;
}

/* ---- run --------------------------------------------------------------- */

static int unknown_verb(const char *verb, dk_err *err)
{
    static const char *const verbs[] = { "list", "show", "get", "json", "make", "check", "pairs",
                                          "records", "add", "model" };
    dk_suggest s;
    char buf[192];

    dk_suggest_begin(&s, verb);
    for (size_t i = 0; i < sizeof verbs / sizeof *verbs; i++)
        dk_suggest_try(&s, verbs[i]);
    return dk_fail(err, DK_EUSAGE, "'%s' is none of list, show, get, json, make, check, pairs, records, "
                   "add, model%s", verb, dk_suggest_text(&s, buf, sizeof buf));
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
    if (strcmp(verb, "model") == 0)
        return models(n - 1, args + 1, err);
    if (strcmp(verb, "pairs") == 0)
        return pairs(&at, n - 1, args + 1, err);
    if ((strcmp(verb, "check") == 0 || strcmp(verb, "add") == 0) && n > 1)
        return dk_fail(err, DK_EUSAGE, "%s takes no arguments; not '%s'", verb, args[1]);
    if (strcmp(verb, "check") == 0)
        return check(&at, err);
    if (strcmp(verb, "add") == 0)
        return add(&at, p, err);
    if (strcmp(verb, "get") == 0) {
        if (n == 1)
            return dk_fail(err, DK_EUSAGE, "get takes a key first");
        key = args[1];
        n--;
        args++;
    } else if (strcmp(verb, "show") != 0 && strcmp(verb, "json") != 0 && strcmp(verb, "make") != 0 &&
               strcmp(verb, "records") != 0)
        return unknown_verb(verb, err);
    rc = dk_conf_load(&c, &at, n - 1, args + 1, err);
    if (rc == 0)
        rc = key ? get(c, key, err) : verb[0] == 's' ? show(c) : verb[0] == 'j' ? json(c)
            : verb[0] == 'r' ? records(&at, c, err) : make(&at, p->prefix, c, err);
    dk_conf_free(&c);
    return rc;
}

const dk_tool dk_this_tool = {
    .name = "dk-conf",
    .purpose = "resolve configurations; list organisms, models, methods and data sets",
    .algo = 1,
    .usage = "[options] list|check|show|json|make|get|records|pairs|model|add [WORD...]",
    .opts = opts, .params_size = sizeof(struct params), .min_args = 1, .max_args = -1, .run = run,
};
