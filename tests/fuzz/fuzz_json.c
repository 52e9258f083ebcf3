/* JSON text: parse, write back, parse again. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "io/json.h"

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
    dk_json *v = NULL, *again = NULL;
    dk_buf a = {0}, b = {0};
    dk_jw wa = { .out = &a }, wb = { .out = &b };
    dk_err err = {0};

    if (dk_json_parse(&v, (const char *)p, n, "fuzz", &err) == 0) {
        dk_jw_value(&wa, v);
        if (dk_json_parse(&again, a.s, a.n, "again", &err) < 0)
            abort();                /* what is written can be read */
        dk_jw_value(&wb, again);
        if (a.n != b.n || memcmp(a.s, b.s, a.n) != 0)
            abort();                /* and reads as the same */
    } else if (v || !*err.msg) {
        abort();
    }
    dk_buf_clear(&a);
    wa = (dk_jw){ .out = &a };
    dk_jw_strn(&wa, (const char *)p, n);    /* any bytes make a valid string */
    dk_json_free(&again);
    if (dk_json_parse(&again, a.s, a.n, "string", &err) < 0)
        abort();
    dk_json_free(&v);
    dk_json_free(&again);
    dk_buf_free(&a);
    dk_buf_free(&b);
    return 0;
}
