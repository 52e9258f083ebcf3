/* Reading JSON lines. */
#include "io/jsonl.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int dk_jsonl_each(const char *path, dk_jsonl_fn *each, void *user, dk_err *err)
{
    char *line = NULL, where[600];
    size_t cap = 0, number = 0;
    ssize_t n;
    int rc = 0;
    FILE *f = fopen(path, "re");

    if (!f)
        return dk_fail_errno(err, "cannot open %s", path);
    while (rc == 0 && (n = getline(&line, &cap, f)) >= 0) {
        dk_json *v = NULL;

        number++;
        if (strspn(line, " \t\r\n") == (size_t)n)
            continue;
        snprintf(where, sizeof where, "%.500s, row %zu", path, number);
        rc = dk_json_parse(&v, line, (size_t)n, where, err);
        if (rc == 0 && dk_json_type(v) != DK_JSON_OBJECT)
            rc = dk_fail(err, DK_EFORMAT, "%s: no JSON object", where);
        if (rc == 0)
            each(user, &v);
        dk_json_free(&v);
    }
    if (rc == 0 && ferror(f))
        rc = dk_fail_errno(err, "cannot read %s", path);
    free(line);
    fclose(f);
    return rc;
}

static void keep(void *user, dk_json **row)
{
    dk_jsonl *t = user;

    t->row = dk_xrealloc(t->row, (t->n + 1) * sizeof *t->row);
    t->row[t->n++] = *row;
    *row = NULL;
}

int dk_jsonl_load(dk_jsonl *t, const char *path, dk_err *err)
{
    int rc;

    *t = (dk_jsonl){0};
    rc = dk_jsonl_each(path, keep, t, err);
    if (rc < 0)
        dk_jsonl_free(t);
    return rc;
}

void dk_jsonl_free(dk_jsonl *t)
{
    for (size_t i = 0; i < t->n; i++)
        dk_json_free(&t->row[i]);
    dk_free(t->row);
    *t = (dk_jsonl){0};
}
