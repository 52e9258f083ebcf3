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

/* --- what would not end -------------------------------------------------------- */
static void refused(const char *what, const char *text, const char *says, const dk_jinja_limits *limits)
{
    dk_buf out = {0};
    dk_err err = {0};

    tap(render(&out, text, strlen(text), NULL, limits, &err) == DK_EDATA && strncmp(err.msg, "T, line ", 8) == 0 &&
        strstr(err.msg, says), "%s: %s", what, err.msg);
    dk_buf_free(&out);
}

static void test_limits(void)
{
    static const struct { const char *what, *text, *says; } cases[] = {
        { "loops in loops", "{% for i in range(100000) %}{% for j in range(100000) %}{% endfor %}{% endfor %}", "line 1: it " },
        { "a macro that calls itself", "\n{% macro f() %}{{ f() }}{% endmacro %}\n{{ f() }}", "line 2: it nests deeper" },
        { "two that call each other", "{% macro f() %}{{ g() }}{% endmacro %}{% macro g() %}{{ f() }}{% endmacro %}{{ f() }}", "nests deeper" },
        { "a loop that calls itself", "{% for x in [1] recursive %}{{ loop([1]) }}{% endfor %}", "nests deeper" },
        { "a text that doubles", "{% set n = namespace(s='x') %}{% for i in range(99) %}{% set n.s = n.s + n.s %}{% endfor %}", "needs more than 8 MiB" },
        { "a list that doubles", "{% set n = namespace(s=[1]) %}{% for i in range(99) %}{% set n.s = n.s + n.s %}{% endfor %}", "needs more than 8 MiB" },
        { "a long text", "{{ 'x' * 10000000000 }}", "does not end within" },
        { "a wide field", "{{ ''|center(10000000000) }}", "does not end within" },
        { "an output that grows", "{% for i in range(100000) %}{{ '0123456789' * 100 }}{% endfor %}", "needs more than 8 MiB" },
        { "searching again and again", "{% set s = 'x' * 1000000 %}{% for i in range(100000) %}{% if 'y' in s %}{% endif %}{% endfor %}", "does not end within" },
        { "no text, many times", "{{ '' * 9223372036854775806 }}", "does not end within" },
        { "nothing, many times", "{{ [] * 9223372036854775806 }}", "does not end within" },
        { "a high power", "{{ 1.0 ** 99 }}{{ 3 ** 99 }}", "too large" },
        { "a list in itself", "{% set n = namespace() %}{% set n.a = [n] %}{{ n }}", "nests deeper" },
        { "a list in a list in a list", "{% set n = namespace(a=[]) %}{% for i in range(5000) %}{% set n.a = [n.a] %}{% endfor %}{{ n.a }}", "nests deeper" },
        { "comparing them", "{% set n = namespace(a=[], b=[]) %}{% for i in range(5000) %}{% set n.a = [n.a] %}{% set n.b = [n.b] %}{% endfor %}{{ n.a == n.b }}", "nests deeper" },
        { "as JSON", "{% set n = namespace(a=[]) %}{% for i in range(5000) %}{% set n.a = [n.a] %}{% endfor %}{{ n.a|tojson }}", "nests deeper" },
    };
    static const struct { const char *what, *before, *piece, *after; } long_ones[] = {
        { "brackets", "{{ ", "(", "" }, { "lists", "{{ ", "[", "" }, { "signs", "{{ ", "-", "1 }}" }, { "nots", "{{ ", "not ", "1 }}" },
        { "sums", "{{ 1", "+1", " }}" }, { "filters", "{{ 1", "|abs", " }}" }, { "members", "{{ a", ".b", " }}" },
        { "ifs", "", "{% if 1 %}", "" }, { "fors", "", "{% for a in b %}", "" }, { "conditions", "{{ 1", " if 1 else 1", " }}" },
        { "targets", "{% set ", "(", "a" }, { "calls", "{{ range", "(1)", " }}" }, { "powers", "{{ 1", "**1", " }}" },
    };
    const dk_jinja_limits limits = { 8 << 20, 1000000 };

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        refused(cases[i].what, cases[i].text, cases[i].says, &limits);
    for (size_t i = 0; i < sizeof long_ones / sizeof *long_ones; i++) {
        dk_buf text = {0};

        dk_buf_adds(&text, long_ones[i].before);
        for (int k = 0; k < 50000; k++)
            dk_buf_adds(&text, long_ones[i].piece);
        dk_buf_adds(&text, long_ones[i].after);
        refused(long_ones[i].what, text.s, "", &limits);
        dk_buf_free(&text);
    }
}

static void test_names(void)
{
    static const struct { const char *text, *says; } cases[] = {
        { "a\n{% include 'x' %}", "T, line 2: the tag 'include' is not supported" },
        { "{% block a %}{% endblock %}", "T, line 1: the tag 'block' is not supported" },
        { "{% frob %}", "T, line 1: unknown or misplaced tag 'frob'" },
        { "\n\n{{ 1|urlize }}", "T, line 3: the filter 'urlize' is not supported" },
        { "{{ 1 is frob }}", "T, line 1: the test 'frob' is not supported" },
        { "{{\n'x'.encode() }}", "T, line 2: the method 'encode' of texts is not supported" },
        { "{{ lipsum() }}", "T, line 1: the function 'lipsum' is not supported" },
        { "{{ [1].append(2) }}", "T, line 1: access to attribute 'append' of 'list' object is unsafe." },
        { "{{ ''.__class__ }}", "T, line 1: access to attribute '__class__' of 'str' object is unsafe" },
        { "{{ ('a'|safe) + 'b' }}", "T, line 1: '+' with the result of 'safe' would escape HTML, which is not supported: use '~'" },
        { "{{ 9223372036854775807 + 1 }}", "T, line 1: a number is too large" },
        { "{{ \"\\N{DASH}\" }}", "T, line 1: named characters (\\N) are not supported" },
    };
    dk_buf out = {0};

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        dk_err err = {0};

        tap(render(&out, cases[i].text, strlen(cases[i].text), NULL, NULL, &err) == DK_EDATA &&
            strcmp(err.msg, cases[i].says) == 0, "%s: %s", cases[i].text, err.msg);
    }
    {
        dk_err err = {0};

        tap(render(&out, "a\xFF", 2, NULL, NULL, &err) == DK_EDATA && strstr(err.msg, "no valid UTF-8"), "invalid UTF-8");
        tap(render(&out, "a\0b", 3, NULL, NULL, &err) == 0 && out.n == 3, "a zero byte is text");
    }
    dk_buf_free(&out);
}

/* --- a little of what the fuzzer does, on every run ----------------------------------- */
static uint32_t next(uint64_t *x) { return (uint32_t)((*x = *x * 6364136223846793005u + 1442695040888963407u) >> 33); }

static void mutate(char *s, size_t *n, uint64_t *x)
{
    static const char *const bits[] = { "{%", "%}", "{{", "}}", "-", "|", "(", ")", "[", "]", "'", "\"", " if ", " is ", "~", "*", ":", "." };
    const char *bit = bits[next(x) % (sizeof bits / sizeof *bits)];
    const size_t at = next(x) % *n, cut = 1 + next(x) % 20, k = strlen(bit);

    switch (next(x) % 4) {
    case 0: s[at] = (char)(next(x) % 127); break;
    case 1: *n = at + 1; break;
    case 2:
        if (at + cut < *n) {
            memmove(s + at, s + at + cut, *n - at - cut);
            *n -= cut;
        }
        break;
    default: memcpy(s + at, bit, at + k <= *n ? k : 0); break;
    }
}

static void test_mutations(void)
{
    static const char *const names[] = { "smollm2", "qwen3", "mistral-small", "llama3", "gemma3", "generation" };
    const dk_jinja_limits limits = { 8 << 20, 50000 };
    static const char json[] = "{\"messages\":[{\"role\":\"user\",\"content\":\"Hi\"},{\"role\":\"assistant\",\"content\":\" Yo \"}],\"tools\":null}";
    dk_json *vars = NULL;
    size_t runs = 0, fine = 0, mute = 0;
    uint64_t x = 5;

    dk_json_parse(&vars, json, sizeof json - 1, "vars", NULL);
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        char *below = dk_xasprintf("tests/data/templates/%s.jinja", names[i]);
        dk_mapfile *m = repo_map(below);

        for (int k = 0; m && k < 400; k++) {
            char *s = exact_copy(m->p, m->n);
            size_t n = m->n;
            dk_buf out = {0};
            dk_err err = {0};

            for (uint32_t times = 1 + next(&x) % 4; times > 0; times--)
                mutate(s, &n, &x);
            runs++;
            if (render(&out, s, n, vars, &limits, &err) == 0)
                fine++;
            else
                mute += !strstr(err.msg, "T, line ") && !strstr(err.msg, "UTF-8");
            dk_buf_free(&out);
            dk_free(s);
        }
        dk_mapfile_close(&m);
        dk_free(below);
    }
    tap(runs == 2400 && fine > 100 && mute == 0, "%zu broken templates: %zu still render, %zu fail without a word", runs, fine, mute);
    dk_json_free(&vars);
}

int main(void)
{
    test_snippets();
    test_limits();
    test_names();
    test_mutations();
    return tap_end();
}
