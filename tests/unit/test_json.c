/* JSON in and out, UTF-8 steps, regular expressions. */
#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/regex.h"
#include "io/json.h"
#include "tap.h"

static dk_json *parsed(const char *text)
{
    dk_json *v = NULL;
    dk_err err = {0};

    if (dk_json_parse(&v, text, strlen(text), "t", &err) < 0)
        tap_note("%s", err.msg);
    return v;
}

static void refused(const char *text, size_t n, const char *why)
{
    dk_json *v = NULL;
    dk_err err = {0};
    const int rc = dk_json_parse(&v, text, n, "bad.json", &err);

    tap(rc == DK_EFORMAT && !v && strncmp(err.msg, "bad.json:", 9) == 0, "refused: %s", why);
}

static void reading(void)
{
    dk_json *v = parsed("{\"a\":[1,2.5,true,null,\"x\\u0000y\",{\"k\":-3}],\"b\":8.0,\"c\":1e300}");
    const dk_json *a = dk_json_get(v, "a");
    dk_json_iter it = {0};
    char order[8] = "";

    tap(dk_json_type(v) == DK_JSON_OBJECT && dk_json_len(v) == 3 && dk_json_len(a) == 6, "shapes");
    tap(dk_json_int(dk_json_at(a, 0), 9) == 1 && dk_json_int(dk_json_at(a, 1), 9) == 9 &&
        dk_json_int(dk_json_get(v, "b"), 9) == 8 && dk_json_int(dk_json_get(v, "c"), 9) == 9,
        "integers, whole reals, defaults");
    tap(dk_json_num(dk_json_at(a, 0), 0) == 1.0 && dk_json_num(dk_json_at(a, 1), 0) == 2.5 &&
        dk_json_num(dk_json_at(a, 4), 7) == 7, "numbers");
    tap(dk_json_bool(dk_json_at(a, 2), false) && dk_json_bool(dk_json_at(a, 0), true) &&
        dk_json_is_null(dk_json_at(a, 3)) && !dk_json_is_null(NULL), "booleans and null");
    tap(dk_json_len(dk_json_at(a, 4)) == 3 && memcmp(dk_json_str(dk_json_at(a, 4), ""), "x\0y", 3) == 0,
        "a string with a NUL keeps its length");
    tap(!dk_json_get(a, "k") && !dk_json_get(NULL, "k") && !dk_json_at(a, 6) && !dk_json_at(v, 0) &&
        dk_json_type(NULL) == DK_JSON_NONE && strcmp(dk_json_str(v, "d"), "d") == 0, "absent values");
    while (dk_json_next(v, &it))
        strncat(order, it.key, it.key_len);
    tap(strcmp(order, "abc") == 0, "members come in file order");
    dk_json_free(&v);
    tap(!v, "free clears the pointer");
}

static void hostile(void)
{
    static const char good[] = "{\"a\":[1,\"\\u00e9\",{\"b\":null}],\"c\":-1.5e3}";
    char deep[9000];
    bool all = true;

    refused("", 0, "nothing");
    refused("{\"a\":1,\"a\":2}", 13, "a key twice");
    refused("[99999999999999999999]", 22, "an integer beyond 64 bits");
    refused("[\"\xff\"]", 5, "invalid UTF-8");
    refused("[\"\\ud800\"]", 10, "a lone surrogate");
    refused("[1] x", 5, "text after the value");
    refused("[NaN]", 5, "NaN");
    refused("[01]", 4, "a leading zero");
    memset(deep, '[', sizeof deep);
    refused(deep, sizeof deep, "nesting without end");
    for (size_t n = 0; n + 1 < sizeof good - 1; n++) {
        dk_json *v = NULL;
        dk_err err = {0};

        all &= dk_json_parse(&v, good, n, "cut", &err) == DK_EFORMAT && !v && err.msg[0];
    }
    tap(all, "every truncation is refused");
}

static void lines(void)
{
    dk_json *v = NULL;
    dk_err err = {0};

    dk_json_parse(&v, "{\n\"a\": 1,\n}", 11, "x.json", &err);
    tap(strncmp(err.msg, "x.json:3: ", 10) == 0, "the message names the line: %s", err.msg);
    err = (dk_err){0};
    tap(dk_json_load(&v, "/nonexistent.json", &err) == DK_EIO && strstr(err.msg, "/nonexistent.json"),
        "a missing file is named");
}

static bool writes(void (*fn)(dk_jw *), const char *want)
{
    dk_buf b = {0};
    dk_jw w = { .out = &b };
    bool good;

    fn(&w);
    good = b.s && strcmp(b.s, want) == 0;
    if (!good)
        tap_note("got %s", b.s ? b.s : "(nothing)");
    dk_buf_free(&b);
    return good;
}

static void all_kinds(dk_jw *w)
{
    dk_jw_obj_begin(w);
    dk_jw_key(w, "a\"b");
    dk_jw_arr_begin(w);
    dk_jw_int(w, INT64_MIN);
    dk_jw_u64(w, UINT64_MAX);
    dk_jw_bool(w, true);
    dk_jw_null(w);
    dk_jw_str(w, NULL);
    dk_jw_arr_begin(w);
    dk_jw_arr_end(w);
    dk_jw_arr_end(w);
    dk_jw_key(w, "n");
    dk_jw_obj_begin(w);
    dk_jw_obj_end(w);
    dk_jw_obj_end(w);
    dk_jw_line(w);
    dk_jw_int(w, 1);
    dk_jw_line(w);
}

static void strings(dk_jw *w)
{
    dk_jw_arr_begin(w);
    dk_jw_strn(w, "\0\x1f\n\t\"\\/\x7f", 8);
    dk_jw_str(w, "\xC3\xA9\xF0\x9F\x8D\xB0");
    dk_jw_str(w, "a\xF0\x9F\x8D" "b\xFF\xC0\xAF\xED\xA0\x80" "c\xE2\x82");
    dk_jw_arr_end(w);
}

static void numbers(dk_jw *w)
{
    dk_jw_arr_begin(w);
    dk_jw_num(w, 0.1);
    dk_jw_num(w, 1.0 / 3);
    dk_jw_num(w, 1e22);
    dk_jw_num(w, 5e-324);
    dk_jw_num(w, -0.0);
    dk_jw_num(w, 123456789);
    dk_jw_num(w, NAN);
    dk_jw_num(w, INFINITY);
    dk_jw_f32(w, 0.1f);
    dk_jw_f32(w, 16777216.0f);
    dk_jw_f32(w, -INFINITY);
    dk_jw_arr_end(w);
}

static void writing(void)
{
    static const char text[] = "{\"a\":[1,-2.5,true,null,\"x\\u0000y\",{\"k\":\"\xC3\xA9\"}],\"b\":{}}";
    dk_buf b = {0};
    dk_jw w = { .out = &b };
    dk_json *v = parsed(text);
    uint64_t x = 88172645463325252u;
    bool same = true;

    tap(writes(all_kinds, "{\"a\\\"b\":[-9223372036854775808,18446744073709551615,true,null,null,[]],"
                          "\"n\":{}}\n1\n"), "every kind of value, lines");
    tap(writes(strings, "[\"\\u0000\\u001f\\n\\t\\\"\\\\/\x7f\",\"\xC3\xA9\xF0\x9F\x8D\xB0\","
                        "\"a\xEF\xBF\xBD" "b\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD"
                        "\xEF\xBF\xBD" "c\xEF\xBF\xBD\"]"), "escapes and U+FFFD as Python places it");
    tap(writes(numbers, "[0.1,0.3333333333333333,1e+22,5e-324,-0,123456789,null,null,"
                        "0.1,16777216,null]"), "shortest numbers");
    dk_jw_value(&w, v);
    tap(b.s && strcmp(b.s, text) == 0, "a parsed value writes back");
    dk_json_free(&v);
    for (int i = 0; i < 20000; i++) {
        double d;

        x ^= x << 13, x ^= x >> 7, x ^= x << 17;
        memcpy(&d, &x, sizeof d);
        dk_buf_clear(&b);
        w = (dk_jw){ .out = &b };
        dk_jw_num(&w, d);
        same &= isfinite(d) ? strtod(b.s, NULL) == d : strcmp(b.s, "null") == 0;
    }
    tap(same, "20000 random doubles read back");
    dk_buf_free(&b);
}

static void regexes(void)
{
    dk_regex *re = NULL;
    dk_err err = {0};
    size_t a = 0, b = 0;

    tap(dk_regex_new(&re, "\\p{L}+", &err) == 0 &&
        dk_regex_find(re, "12 \xC3\xA9t\xC3\xA9!", 9, 0, &a, &b, &err) == 1 && a == 3 && b == 8,
        "a Unicode match and its place");
    tap(dk_regex_find(re, "abc", 3, 3, &a, &b, &err) == 0, "no match at the end");
    tap(dk_regex_full(re, "abc", 3, &err) == 1 && dk_regex_full(re, "abc1", 4, &err) == 0, "full match");
    tap(dk_regex_find(re, "\xff", 1, 0, &a, &b, &err) < 0 && err.code == DK_EDATA, "invalid subject");
    dk_regex_free(&re);
    err = (dk_err){0};
    tap(dk_regex_new(&re, "a(b", &err) == DK_EDATA && !re && strstr(err.msg, "a(b"), "bad pattern: %s",
        err.msg);
    err = (dk_err){0};
    dk_regex_new(&re, "^(a+)+$", &err);
    tap(re && dk_regex_find(re, "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaac", 38, 0, &a, &b, &err) < 0,
        "a match without end stops: %s", err.msg);
    dk_regex_free(&re);
}

int main(void)
{
    reading();
    hostile();
    lines();
    writing();
    regexes();
    return tap_end();
}
