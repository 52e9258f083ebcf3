/* Any bytes as a template; what stands behind a zero byte is the text of a
 * message.  It ends within its limits, says why where it fails, and where it
 * does not its output is valid, the same again, and its places lie in order. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "text/jinja.h"
#include "text/utf8.h"

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

static void in_order(const dk_jinja_place *at, size_t n, size_t end)
{
    size_t before = 0;

    for (size_t i = 0; i < n; i++) {
        if (at[i].from < before || at[i].to < at[i].from || at[i].to > end)
            abort();
        before = at[i].to;
    }
}

static void run(const dk_jinja *t, dk_span text, const dk_json *rest, dk_buf *out, dk_err *err)
{
    const dk_jinja_limits limits = { 8 << 20, 100000 };
    dk_jinja_run *r = dk_jinja_begin(t, &limits);
    dk_jinja_output o;

    dk_jinja_set_text(r, "bos_token", (dk_span){ "<s>", 3 });
    dk_jinja_set_none(r, "tools");
    dk_jinja_set_bool(r, "add_generation_prompt", true);
    dk_jinja_set_json(r, "d", rest);
    dk_jinja_add_message(r, (dk_span){ "system", 6 }, text, 1, NULL);
    dk_jinja_add_message(r, (dk_span){ "user", 4 }, text, 2, rest);
    dk_jinja_add_message(r, (dk_span){ "assistant", 9 }, (dk_span){ "<think>\nHm.\n</think>\n\n Yes \n", 28 }, 3, rest);
    if (dk_jinja_render(r, &o, err) == 0) {
        dk_buf_add(out, o.text.s, o.text.n);
        if (dk_utf8_valid(o.text.s, o.text.n) != o.text.n)
            abort();
        in_order(o.marks, o.n_marks, o.text.n);
        in_order(o.generations, o.n_generations, o.text.n);
    } else if (strncmp(err->msg, "T, line ", 8) != 0) {
        abort();
    }
    dk_jinja_end(&r);
}

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
    static const char more[] = "{\"a\":[1,-2.5,\"x\",null,true,{\"b\":[]}],\"name\":\"n\",\"reasoning\":\"r\"}";
    const uint8_t *zero = n ? memchr(p, 0, n) : NULL;
    const size_t len = zero ? (size_t)(zero - p) : n;
    dk_buf text = {0}, one = {0}, two = {0};
    dk_json *rest = NULL;
    dk_jinja *t = NULL;
    dk_err err = {0}, again = {0};

    dk_buf_add(&text, "", 0);
    if (zero)
        dk_utf8_clean(&text, (const char *)zero + 1, n - len - 1);
    dk_json_parse(&rest, more, sizeof more - 1, "more", NULL);
    if (dk_jinja_parse(&t, (const char *)p, len, "T", &err) == 0) {
        run(t, (dk_span){ text.s, text.n }, rest, &one, &err);
        run(t, (dk_span){ text.s, text.n }, rest, &two, &again);
        if (one.n != two.n || (one.n && memcmp(one.s, two.s, one.n) != 0) || strcmp(err.msg, again.msg) != 0)
            abort();
    } else if (t || !*err.msg) {
        abort();
    }
    dk_jinja_free(&t);
    dk_json_free(&rest);
    dk_buf_free(&text);
    dk_buf_free(&one);
    dk_buf_free(&two);
    return 0;
}
