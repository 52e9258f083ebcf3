/* Writing JSON: text onto a dk_buf. */
#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "io/json.h"

int dk_utf8_step(const char *s, size_t n)
{
    const unsigned char *p = (const unsigned char *)s;
    unsigned lo = 0x80, hi = 0xBF;      /* the range of the second byte */
    int want;

    if (p[0] < 0x80)
        return 1;
    if (p[0] < 0xC2 || p[0] > 0xF4)
        return -1;
    want = p[0] < 0xE0 ? 2 : p[0] < 0xF0 ? 3 : 4;
    if (p[0] == 0xE0)
        lo = 0xA0;                      /* shorter forms exist below */
    else if (p[0] == 0xED)
        hi = 0x9F;                      /* surrogates above */
    else if (p[0] == 0xF0)
        lo = 0x90;
    else if (p[0] == 0xF4)
        hi = 0x8F;
    for (int i = 1; i < want; i++) {
        if ((size_t)i >= n || p[i] < lo || p[i] > hi)
            return -i;
        lo = 0x80;
        hi = 0xBF;
    }
    return want;
}

static void before(dk_jw *w)
{
    if (w->comma)
        dk_buf_addc(w->out, ',');
    w->comma = true;
}

static void begin(dk_jw *w, char c)
{
    before(w);
    dk_buf_addc(w->out, c);
    w->comma = false;
    w->depth++;
}

static void end(dk_jw *w, char c)
{
    DK_ASSERT(w->depth > 0);
    dk_buf_addc(w->out, c);
    w->comma = true;
    w->depth--;
}

void dk_jw_obj_begin(dk_jw *w) { begin(w, '{'); }
void dk_jw_obj_end(dk_jw *w) { end(w, '}'); }
void dk_jw_arr_begin(dk_jw *w) { begin(w, '['); }
void dk_jw_arr_end(dk_jw *w) { end(w, ']'); }

static void escaped(dk_buf *out, unsigned char c)
{
    static const char plain[] = "\"\\\b\f\n\r\t", names[] = "\"\\bfnrt";
    const char *at = c ? strchr(plain, c) : NULL;

    if (at) {
        dk_buf_addc(out, '\\');
        dk_buf_addc(out, names[at - plain]);
    } else {
        dk_buf_addf(out, "\\u%04x", c);
    }
}

static void quoted(dk_buf *out, const char *s, size_t n)
{
    size_t from = 0, i = 0;             /* s[from, i) is good as it stands */

    dk_buf_addc(out, '"');
    while (i < n) {
        const unsigned char c = (unsigned char)s[i];
        const int step = c < 0x80 ? 1 : dk_utf8_step(s + i, n - i);

        if (step > 0 && c >= 0x20 && c != '"' && c != '\\') {
            i += (size_t)step;
            continue;
        }
        dk_buf_add(out, s + from, i - from);
        if (step > 0)
            escaped(out, c);
        else
            dk_buf_adds(out, "\xEF\xBF\xBD");
        i += (size_t)abs(step);
        from = i;
    }
    dk_buf_add(out, s + from, n - from);
    dk_buf_addc(out, '"');
}

void dk_jw_key(dk_jw *w, const char *key)
{
    before(w);
    quoted(w->out, key, strlen(key));
    dk_buf_addc(w->out, ':');
    w->comma = false;
}

void dk_jw_strn(dk_jw *w, const char *s, size_t n)
{
    before(w);
    quoted(w->out, s, n);
}

void dk_jw_str(dk_jw *w, const char *s)
{
    if (s)
        dk_jw_strn(w, s, strlen(s));
    else
        dk_jw_null(w);
}

void dk_jw_int(dk_jw *w, int64_t v)
{
    before(w);
    dk_buf_addf(w->out, "%lld", (long long)v);
}

void dk_jw_u64(dk_jw *w, uint64_t v)
{
    before(w);
    dk_buf_addf(w->out, "%llu", (unsigned long long)v);
}

/* %g drops trailing zeros, so the first precision at which every short decimal
 * survives is also the shortest text; subnormals hold fewer digits. */
void dk_jw_num(dk_jw *w, double v)
{
    char text[40];
    int digits = fabs(v) < DBL_MIN ? 1 : 15;

    if (!isfinite(v)) {
        dk_jw_null(w);
        return;
    }
    do
        snprintf(text, sizeof text, "%.*g", digits, v);
    while (digits++ < 17 && strtod(text, NULL) != v);
    before(w);
    dk_buf_adds(w->out, text);
}

void dk_jw_f32(dk_jw *w, float v)
{
    char text[40];
    int digits = fabsf(v) < FLT_MIN ? 1 : 6;

    if (!isfinite(v)) {
        dk_jw_null(w);
        return;
    }
    do
        snprintf(text, sizeof text, "%.*g", digits, (double)v);
    while (digits++ < 9 && strtof(text, NULL) != v);
    before(w);
    dk_buf_adds(w->out, text);
}

void dk_jw_bool(dk_jw *w, bool v)
{
    before(w);
    dk_buf_adds(w->out, v ? "true" : "false");
}

void dk_jw_null(dk_jw *w)
{
    before(w);
    dk_buf_adds(w->out, "null");
}

static void members(dk_jw *w, const dk_json *v)
{
    dk_json_iter it = {0};

    dk_jw_obj_begin(w);
    while (dk_json_next(v, &it)) {
        dk_jw_key(w, it.key);
        dk_jw_value(w, it.value);
    }
    dk_jw_obj_end(w);
}

void dk_jw_value(dk_jw *w, const dk_json *v)
{
    switch (dk_json_type(v)) {
    case DK_JSON_BOOL: dk_jw_bool(w, dk_json_bool(v, false)); break;
    case DK_JSON_INT: dk_jw_int(w, dk_json_int(v, 0)); break;
    case DK_JSON_REAL: dk_jw_num(w, dk_json_num(v, 0)); break;
    case DK_JSON_STR: dk_jw_strn(w, dk_json_str(v, ""), dk_json_len(v)); break;
    case DK_JSON_ARRAY:
        dk_jw_arr_begin(w);
        for (size_t i = 0; i < dk_json_len(v); i++)
            dk_jw_value(w, dk_json_at(v, i));
        dk_jw_arr_end(w);
        break;
    case DK_JSON_OBJECT: members(w, v); break;
    default: dk_jw_null(w);
    }
}

void dk_jw_line(dk_jw *w)
{
    DK_ASSERT(w->depth == 0);
    dk_buf_addc(w->out, '\n');
    w->comma = false;
}
