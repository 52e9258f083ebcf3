/* Reading JSON through jansson. */
#include "io/json.h"

#include <errno.h>
#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

/* dk_json is json_t under a name of our own; only this file knows. */
static const json_t *in(const dk_json *v) { return (const json_t *)v; }
static const dk_json *wrap(const json_t *v) { return (const dk_json *)v; }

static int parse(dk_json **root, const char *text, size_t n, const char *name, bool big, dk_err *err)
{
    const size_t flags = JSON_REJECT_DUPLICATES | JSON_DECODE_ANY | JSON_ALLOW_NUL;
    json_error_t why;
    json_t *v = json_loadb(text, n, flags, &why);

    if (!v && big && json_error_code(&why) == json_error_numeric_overflow)
        v = json_loadb(text, n, flags | JSON_DECODE_INT_AS_REAL, &why);
    *root = (dk_json *)v;
    if (v)
        return 0;
    return dk_fail(err, DK_EFORMAT, "%s:%d: not valid JSON: %s", name, why.line, why.text);
}

int dk_json_parse(dk_json **root, const char *text, size_t n, const char *name, dk_err *err)
{
    return parse(root, text, n, name, false, err);
}

static int load(dk_json **root, const char *path, bool big, dk_err *err)
{
    const bool std = strcmp(path, "-") == 0;
    FILE *f = std ? stdin : fopen(path, "re");
    char block[1 << 14];
    dk_buf text = {0};
    size_t n;
    int rc = 0;

    *root = NULL;
    if (!f)
        return dk_fail_errno(err, "cannot open %s", path);
    errno = 0;
    while ((n = fread(block, 1, sizeof block, f)) > 0)
        dk_buf_add(&text, block, n);
    if (ferror(f))
        rc = dk_fail_errno(err, "cannot read %s", path);
    if (!std)
        fclose(f);
    if (rc == 0)
        rc = parse(root, text.s ? text.s : "", text.n, path, big, err);
    dk_buf_free(&text);
    return rc;
}

int dk_json_load(dk_json **root, const char *path, dk_err *err) { return load(root, path, false, err); }

int dk_json_load_big(dk_json **root, const char *path, dk_err *err) { return load(root, path, true, err); }

void dk_json_free(dk_json **root)
{
    if (*root) {
        json_decref((json_t *)*root);
        *root = NULL;
    }
}

dk_json_kind dk_json_type(const dk_json *v)
{
    if (!v)
        return DK_JSON_NONE;
    switch (json_typeof(in(v))) {
    case JSON_NULL: return DK_JSON_NULL;
    case JSON_TRUE:
    case JSON_FALSE: return DK_JSON_BOOL;
    case JSON_INTEGER: return DK_JSON_INT;
    case JSON_REAL: return DK_JSON_REAL;
    case JSON_STRING: return DK_JSON_STR;
    case JSON_ARRAY: return DK_JSON_ARRAY;
    default: return DK_JSON_OBJECT;
    }
}

const dk_json *dk_json_get(const dk_json *v, const char *key)
{
    return wrap(json_object_get(in(v), key));
}

const dk_json *dk_json_at(const dk_json *v, size_t i) { return wrap(json_array_get(in(v), i)); }

size_t dk_json_len(const dk_json *v)
{
    switch (dk_json_type(v)) {
    case DK_JSON_STR: return json_string_length(in(v));
    case DK_JSON_ARRAY: return json_array_size(in(v));
    case DK_JSON_OBJECT: return json_object_size(in(v));
    default: return 0;
    }
}

const char *dk_json_str(const dk_json *v, const char *def)
{
    return json_is_string(in(v)) ? json_string_value(in(v)) : def;
}

int64_t dk_json_int(const dk_json *v, int64_t def)
{
    if (json_is_integer(in(v)))
        return json_integer_value(in(v));
    if (json_is_real(in(v))) {
        const double x = json_real_value(in(v));

        if (fabs(x) <= 0x1p53 && x == floor(x))
            return (int64_t)x;
    }
    return def;
}

double dk_json_num(const dk_json *v, double def)
{
    return json_is_number(in(v)) ? json_number_value(in(v)) : def;
}

bool dk_json_bool(const dk_json *v, bool def)
{
    return json_is_boolean(in(v)) ? json_is_true(in(v)) : def;
}

bool dk_json_is_null(const dk_json *v) { return json_is_null(in(v)); }

bool dk_json_next(const dk_json *obj, dk_json_iter *it)
{
    json_t *o = (json_t *)(uintptr_t)obj;   /* jansson's iterators want no const */

    it->place = it->place ? json_object_iter_next(o, it->place) : json_object_iter(o);
    if (!it->place)
        return false;
    it->key = json_object_iter_key(it->place);
    it->key_len = json_object_iter_key_len(it->place);
    it->value = wrap(json_object_iter_value(it->place));
    return true;
}
