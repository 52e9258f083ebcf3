/* Types, ranges and choices. */
#include "cli/schema.h"

#include <string.h>

#include "base/parse.h"

bool dk_schema_is(const dk_yaml *rule, const char *type)
{
    const dk_yaml *t = dk_yaml_get(rule, "type");

    return t && t->text && strcmp(t->text, type) == 0;
}

const char *dk_schema_text(const dk_yaml *rule, const char *name)
{
    const dk_yaml *y = dk_yaml_get(rule, name);

    return y ? y->text : NULL;
}

static bool type_fits(const dk_yaml *rule, const dk_yaml *v)
{
    if (dk_schema_is(rule, "any"))
        return v->kind != DK_YAML_MAP;
    switch (v->kind) {
    case DK_YAML_NULL: return dk_yaml_get(rule, "null") != NULL;
    case DK_YAML_BOOL: return dk_schema_is(rule, "bool");
    case DK_YAML_INT: return dk_schema_is(rule, "int") || dk_schema_is(rule, "real");
    case DK_YAML_REAL: return dk_schema_is(rule, "real");
    case DK_YAML_STR: return dk_schema_is(rule, "text");
    case DK_YAML_SEQ: return dk_schema_is(rule, "list");
    case DK_YAML_MAP: return dk_schema_is(rule, "map");
    }
    return false;
}

static bool chosen(const dk_yaml *choices, const char *text)
{
    for (size_t i = 0; i < choices->n; i++)
        if (choices->item[i].text && strcmp(choices->item[i].text, text) == 0)
            return true;
    return false;
}

static int in_choices(const dk_yaml *rule, const dk_yaml *v, const char *what, dk_err *err)
{
    const dk_yaml *choices = dk_yaml_get(rule, "choices"), *later = dk_yaml_get(rule, "later");
    const dk_yaml *bad = NULL;
    dk_buf list = {0};
    int rc;

    if (!choices || v->kind == DK_YAML_NULL)
        return 0;
    if (v->kind != DK_YAML_SEQ)
        bad = chosen(choices, v->text) ? NULL : v;
    for (size_t i = 0; v->kind == DK_YAML_SEQ && !bad && i < v->n; i++)
        if (!v->item[i].text || !chosen(choices, v->item[i].text))
            bad = &v->item[i];
    if (!bad)
        return 0;
    dk_yaml_flow(choices, &list);
    rc = dk_fail(err, DK_EUSAGE, "%s: '%s' %s %s", what, bad->text ? bad->text : "(a list)",
                 later && bad->text && chosen(later, bad->text)
                     ? "is not built yet; choose from" : "is none of", list.s);
    dk_buf_free(&list);
    return rc;
}

static int in_range(const dk_yaml *rule, const dk_yaml *v, const char *what, dk_err *err)
{
    const char *lo = dk_schema_text(rule, "min"), *hi = dk_schema_text(rule, "max");
    double x = 0, a = -1e300, b = 1e300;
    int64_t i = 0;

    if (v->kind != DK_YAML_INT && v->kind != DK_YAML_REAL)
        return 0;
    if (lo && dk_parse_real(&a, lo, -1e300, 1e300, "min", err) < 0)
        return err->code;
    if (hi && dk_parse_real(&b, hi, -1e300, 1e300, "max", err) < 0)
        return err->code;
    if (v->kind == DK_YAML_INT)
        return dk_parse_int(&i, v->text, lo ? (int64_t)a : INT64_MIN / 2,
                            hi ? (int64_t)b : INT64_MAX / 2, what, err);
    return dk_parse_real(&x, v->text, a, b, what, err);
}

static void wanted(const dk_yaml *rule, dk_buf *out)
{
    static const struct { const char *type; dk_yaml_kind kind; } t[] = {
        { "bool", DK_YAML_BOOL }, { "int", DK_YAML_INT }, { "real", DK_YAML_REAL },
        { "text", DK_YAML_STR }, { "list", DK_YAML_SEQ }, { "map", DK_YAML_MAP } };

    for (size_t i = 0; i < sizeof t / sizeof *t; i++)
        if (dk_schema_is(rule, t[i].type))
            dk_buf_adds(out, dk_yaml_kind_name(t[i].kind));
    if (dk_yaml_get(rule, "null"))
        dk_buf_adds(out, " or null");
}

int dk_schema_check(const dk_yaml *rule, const dk_yaml *v, const char *what, dk_err *err)
{
    int rc;

    if (!type_fits(rule, v)) {
        dk_buf w = {0}, is = {0};

        wanted(rule, &w);
        dk_yaml_flow(v, &is);
        rc = dk_fail(err, DK_EUSAGE, "%s: %.80s is %s, expected %s", what, is.s,
                     dk_yaml_kind_name(v->kind), w.s ? w.s : "something else");
        dk_buf_free(&w);
        dk_buf_free(&is);
        return rc;
    }
    if ((rc = in_choices(rule, v, what, err)) < 0)
        return rc;
    return in_range(rule, v, what, err);
}
