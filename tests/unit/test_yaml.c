/* YAML: scalar types, trees, and that broken text is one error. */
#include <string.h>

#include "base/mem.h"
#include "cli/suggest.h"
#include "io/yaml.h"
#include "tap.h"

static const struct { const char *text; dk_yaml_kind kind; } scalars[] = {
    { "1e-4", DK_YAML_REAL },      { "1.0e-4", DK_YAML_REAL },  { "1.", DK_YAML_REAL },
    { ".5", DK_YAML_REAL },        { "-.5e+3", DK_YAML_REAL },  { "+1.5", DK_YAML_REAL },
    { "1_0.5", DK_YAML_REAL },     { ".inf", DK_YAML_REAL },    { "-.inf", DK_YAML_REAL },
    { ".nan", DK_YAML_REAL },      { "1E5", DK_YAML_REAL },     { "0", DK_YAML_INT },
    { "50_000_000", DK_YAML_INT }, { "-1", DK_YAML_INT },       { "+7", DK_YAML_INT },
    { "true", DK_YAML_BOOL },      { "FALSE", DK_YAML_BOOL },   { "TrUe", DK_YAML_BOOL },
    { "null", DK_YAML_NULL },      { "~", DK_YAML_NULL },       { "", DK_YAML_NULL },
    { "None", DK_YAML_STR },       { "yes", DK_YAML_STR },      { "on", DK_YAML_STR },
    { "???", DK_YAML_STR },        { "1e", DK_YAML_STR },       { "e5", DK_YAML_STR },
    { "1.2.3", DK_YAML_STR },      { "0x10", DK_YAML_STR },     { "_1", DK_YAML_STR },
    { ".", DK_YAML_STR },          { "-", DK_YAML_STR },        { "1 ", DK_YAML_STR },
};

static void test_scalars(void)
{
    for (size_t i = 0; i < sizeof scalars / sizeof *scalars; i++)
        tap(dk_yaml_plain_kind(scalars[i].text) == scalars[i].kind, "'%s' is %s", scalars[i].text,
            dk_yaml_kind_name(scalars[i].kind));
}

/* Text -> tree -> one line. */
static void flow(const char *text, const char *want)
{
    dk_yaml *y = NULL;
    dk_buf b = {0};
    dk_err err = {0};

    if (dk_yaml_parse(&y, text, strlen(text), "t", &err) == 0)
        dk_yaml_flow(y, &b);
    tap(b.s && strcmp(b.s, want) == 0, "%s", want);
    if (!b.s || strcmp(b.s, want) != 0)
        tap_note("got %s %s", b.s ? b.s : "nothing", err.msg);
    dk_yaml_free(&y);
    dk_buf_free(&b);
}

static void test_flow(void)
{
    flow("a: 1\nb: [x, 'true', \"2\"]\nc: {d: ~}\n", "{a: 1, b: [x, \"true\", \"2\"], c: {d: null}}");
    flow("- \"a, b\"\n- 'c: d'\n- \"e\\nf\"\n", "[\"a, b\", \"c: d\", \"e\\nf\"]");
    flow("|\n  two\n  lines\n", "\"two\\nlines\\n\"");
    flow("", "null");
    flow("{}", "{}");
    flow("[]", "[]");
    flow("'-x'", "\"-x\"");
}

static void broken(const char *text, size_t n, const char *say)
{
    dk_yaml *y = NULL;
    dk_err err = {0};
    const int rc = dk_yaml_parse(&y, text, n, "t.yaml", &err);

    tap(rc == DK_EUSAGE && !y && strncmp(err.msg, "t.yaml:", 7) == 0 && strstr(err.msg, say),
        "refused: %s", say);
    if (!strstr(err.msg, say))
        tap_note("said '%s'", err.msg);
    dk_yaml_free(&y);
}

static void test_broken(void)
{
    char deep[200];

    memset(deep, '[', sizeof deep);
    broken(deep, sizeof deep, "nested too deeply");
    broken("a: 1\na: 2\n", 10, "stands here twice");
    broken("a: &x 1\nb: *x\n", 14, "aliases");
    broken("a: [1\n", 6, "not valid YAML");
    broken("a: 1\n---\nb: 2\n", 14, "more than one document");
    broken("[x]: 1\n", 7, "plain text");
    broken("\"a\\0b\"\n", 7, "zero byte");
    broken("a: \xff\n", 5, "not valid YAML");
}

static void test_tree(void)
{
    const char *text = "a: 1\nb:\n  - 2\n  - x: y\n";
    dk_yaml *y = NULL;
    const dk_yaml *b;

    tap(dk_yaml_parse(&y, text, strlen(text), "t", NULL) == 0, "a tree");
    b = dk_yaml_get(y, "b");
    tap(b && b->kind == DK_YAML_SEQ && b->n == 2 && b->line == 3, "members in order, with lines");
    tap(b && strcmp(dk_yaml_get(&b->item[1], "x")->text, "y") == 0, "nested members");
    tap(!dk_yaml_get(y, "c") && !dk_yaml_get(b, "x"), "what is not there");
    dk_yaml_free(&y);
}

static void suggests(const char *word, const char *known, bool want)
{
    dk_suggest s;

    dk_suggest_begin(&s, word);
    dk_suggest_try(&s, known);
    tap((s.best[0] != 0) == want, "%s %s %s", word, want ? "is near" : "is far from", known);
}

int main(void)
{
    test_scalars();
    test_flow();
    test_broken();
    test_tree();
    suggests("cnof", "conf", true);
    suggests("max_sampels", "max_samples", true);
    suggests("kl", "diff_mining", false);
    suggests("", "x", true);
    return tap_end();
}
