/* Data set selection. */
#include "cli/confsets.h"

#include <string.h>

#include "base/log.h"

static bool same(const char *a, const char *b) { return a && b && strcmp(a, b) == 0; }

/* Looks through all files for a variant; *elsewhere: another group has it. */
static int by_variant(char **name, bool *elsewhere, const dk_conf_places *at, const dk_buf *names,
                      const char *group, const char *entry, dk_err *err)
{
    int rc = 0;

    for (const char *p = names->s, *end; rc == 0 && !*name && p && (end = strchr(p, '\n')); p = end + 1) {
        char *one = dk_xstrndup(p, (size_t)(end - p));
        dk_conf *d = NULL;

        if ((rc = dk_conf_load_one(&d, at, "dataset", one, err)) == 0 &&
            same(dk_conf_text(d, "dataset.variant"), entry)) {
            if (same(dk_conf_text(d, "dataset.group"), group))
                *name = dk_xstrdup(one);
            else
                *elsewhere = true;
        }
        dk_conf_free(&d);
        dk_free(one);
    }
    return rc;
}

int dk_conf_set_named(char **name, const dk_conf_places *at, const char *group, const char *entry,
                      dk_err *err)
{
    char *line = dk_xasprintf("\n%s\n", entry);
    bool elsewhere = false;
    dk_buf names = {0};
    dk_conf *d = NULL;
    int rc;

    *name = NULL;
    dk_buf_addc(&names, '\n');
    rc = dk_conf_names(&names, at, "dataset", err);
    if (rc == 0 && strstr(names.s, line))
        *name = dk_xstrdup(entry);
    else if (rc == 0) {
        const dk_buf after = { names.s + 1, names.n - 1, 0 };

        rc = by_variant(name, &elsewhere, at, &after, group, entry, err);
    }
    if (rc == 0 && !*name && elsewhere)
        dk_log(DK_WARN, "there is no %s data set '%s'; left out", group, entry);
    else if (rc == 0 && !*name)     /* for its message */
        rc = dk_conf_load_one(&d, at, "dataset", entry, err);
    dk_conf_free(&d);
    dk_buf_free(&names);
    dk_free(line);
    return rc;
}

/* One line for each split of the data set whose keys begin with HEAD. */
static void record(dk_buf *out, const dk_conf *c, const char *head, const char *group,
                   const char *name)
{
    char *key[5];
    static const char *const part[5] = { "splits", "id", "subset", "messages_column", "text_column" };
    const dk_setting *splits;
    const char *text[5];
    size_t n;

    for (size_t i = 0; i < 5; i++) {
        key[i] = dk_xasprintf("%s.%s", head, part[i]);
        text[i] = dk_conf_text(c, key[i]);
    }
    splits = dk_conf_find(c, key[0]);
    n = splits && splits->list ? splits->list->n : 1;
    for (size_t i = 0; i < n; i++)
        dk_buf_addf(out, "%s\t%s\t%s\t%s\t%s\t%s\n", group, name,
                    splits && splits->list ? splits->list->item[i].text : "-", text[1] ? text[1] : "-",
                    text[2] ? text[2] : "-", text[3] ? text[3] : text[4] ? text[4] : "-");
    for (size_t i = 0; i < 5; i++)
        dk_free(key[i]);
}

/* The last key that ends so, and how many do. */
static const char *ending(const dk_conf *c, const char *what, size_t *n)
{
    const size_t len = strlen(what);
    const char *last = NULL;

    *n = 0;
    for (size_t i = 0; i < dk_conf_size(c); i++) {
        const char *key = dk_conf_at(c, i)->key;
        const size_t k = strlen(key);

        if (k > len && strcmp(key + k - len, what) == 0) {
            last = key;
            (*n)++;
        }
    }
    return last;
}

/* The switch, if one method is loaded and has it. */
static bool wants(const dk_conf *c, const char *what)
{
    size_t n_methods, n;
    const char *key = ending(c, what, &n);

    ending(c, ".requires_preprocessing", &n_methods);
    return n_methods != 1 || !key || dk_conf_true(c, key);
}

static int group_records(dk_buf *out, const dk_conf_places *at, const dk_conf *c, const char *group,
                         dk_err *err)
{
    char *key = dk_xasprintf("datasets.%s", group), *use = dk_xasprintf(".datasets.use_%s_dataset", group);
    const dk_setting *s = wants(c, use) ? dk_conf_find(c, key) : NULL;
    int rc = 0;

    for (size_t i = 0; rc == 0 && s && s->list && i < s->list->n; i++) {
        const char *entry = s->list->item[i].text;
        char *name = NULL;
        dk_conf *d = NULL;

        rc = entry ? dk_conf_set_named(&name, at, group, entry, err)
                   : dk_fail(err, DK_EUSAGE, "%s: expected names of data sets", key);
        if (rc == 0 && name && (rc = dk_conf_load_one(&d, at, "dataset", name, err)) == 0)
            record(out, d, "dataset", group, name);
        dk_conf_free(&d);
        dk_free(name);
    }
    dk_free(key);
    dk_free(use);
    return rc;
}

int dk_conf_records(const dk_conf_places *at, const dk_conf *c, dk_buf *out, dk_err *err)
{
    const char *id = dk_conf_text(c, "organism.dataset.id");
    int rc = group_records(out, at, c, "chat", err);

    if (rc == 0)
        rc = group_records(out, at, c, "pretraining", err);
    if (rc == 0 && id && wants(c, ".datasets.use_training_dataset"))
        record(out, c, "organism.dataset", "training", strrchr(id, '/') ? strrchr(id, '/') + 1 : id);
    return rc;
}
