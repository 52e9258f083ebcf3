/* Templates: single constructs against the goldens of Jinja itself, limits, and
 * what is refused by which name. */
#include <stdio.h>

#include "tap.h"
#include "files.h"
#include "io/json.h"
#include "text/jinja.h"

/* Renders with the members of vars as variables; 0, or the error. */
static int render(dk_buf *out, const char *text, size_t n, const dk_json *vars, const dk_jinja_limits *limits,
                  dk_err *err)
{
    dk_jinja *t = NULL;
    dk_jinja_run *r;
    dk_jinja_output o;
    dk_json_iter it = {0};
    int rc = dk_jinja_parse(&t, text, n, "T", err);

    dk_buf_clear(out);
    dk_buf_add(out, "", 0);
    if (rc < 0)
        return rc;
    r = dk_jinja_begin(t, limits);
    while (dk_json_next(vars, &it))
        dk_jinja_set_json(r, it.key, it.value);
    if ((rc = dk_jinja_render(r, &o, err)) == 0)
        dk_buf_add(out, o.text.s, o.text.n);
    dk_jinja_end(&r);
    dk_jinja_free(&t);
    return rc;
}

struct counts { const dk_json *vars; size_t n, bad, errors, bad_errors, bad_words; };

static void check_snippet(struct counts *c, const dk_json *row)
{
    const dk_json *t = dk_json_get(row, "t"), *out = dk_json_get(row, "out"), *error = dk_json_get(row, "error");
    dk_buf got = {0};
    dk_err err = {0};
    const int rc = render(&got, dk_json_str(t, ""), dk_json_len(t), c->vars, NULL, &err);
    const char *said = strstr(err.msg, ": ");

    c->n++;
    c->errors += !out;
    if (out && (rc < 0 || got.n != dk_json_len(out) || memcmp(got.s, dk_json_str(out, ""), got.n) != 0)) {
        if (c->bad++ < 40)
            tap_note("%s\n#   got  %s%s\n#   want %s", dk_json_str(t, ""), got.s, err.msg, dk_json_str(out, ""));
    } else if (!out && rc == 0) {
        if (c->bad_errors++ < 40)
            tap_note("%s\n#   got  %s\n#   want an error %s", dk_json_str(t, ""), got.s, dk_json_str(error, ""));
    } else if (!out && dk_json_str(error, NULL) && (!said || strcmp(said + 2, dk_json_str(error, "")) != 0)) {
        if (c->bad_words++ < 40)
            tap_note("%s\n#   got  %s\n#   want %s", dk_json_str(t, ""), err.msg, dk_json_str(error, ""));
    }
    dk_buf_free(&got);
}

static void test_snippets(void)
{
    dk_mapfile *m = repo_map("tests/golden/chat/snippets.jsonl");
    dk_json *vars = NULL;
    struct counts c = {0};

    if (!tap(m != NULL, "the snippets are there"))
        return;
    for (size_t at = 0; at < m->n;) {
        const uint8_t *nl = memchr(m->p + at, '\n', m->n - at);
        const size_t end = nl ? (size_t)(nl - m->p) : m->n;
        dk_json *row = NULL;

        if (dk_json_parse(&row, (const char *)m->p + at, end - at, "snippets", NULL) < 0) {
            tap(false, "row %zu of the snippets cannot be read", c.n + 2);
            break;
        }
        if (!vars) {
            vars = row;
            c.vars = dk_json_get(vars, "vars");
        } else {
            check_snippet(&c, row);
            dk_json_free(&row);
        }
        at = end + 1;
    }
    tap(c.n > 2200 && c.errors > 300, "%zu constructs, %zu of them errors", c.n, c.errors);
    tap(c.bad == 0, "what they write (%zu wrong)", c.bad);
    tap(c.bad_errors == 0, "what fails there fails here (%zu do not)", c.bad_errors);
    tap(c.bad_words == 0, "in the template's words where it says something (%zu do not)", c.bad_words);
    dk_json_free(&vars);
    dk_mapfile_close(&m);
}

int main(void)
{
    test_snippets();
    return tap_end();
}
