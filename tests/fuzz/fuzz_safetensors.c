/* safetensors files: open and touch every value. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "io/safetensors.h"

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
    dk_safetensors *s = NULL;
    dk_err err = {0};
    float out = 0;
    unsigned sum = 0;

    if (dk_safetensors_open_mem(&s, p, n, "fuzz", &err) < 0) {
        if (s || !strstr(err.msg, "fuzz"))
            abort();
        return 0;
    }
    for (size_t i = 0; i < dk_safetensors_n(s); i++) {
        const dk_st_tensor *t = dk_safetensors_at(s, i);

        if (strcmp(dk_safetensors_find(s, t->name)->name, t->name) != 0)
            abort();
        for (size_t k = 0; k < t->bytes; k++)
            sum += t->data[k];
        for (size_t k = 0; t->format && k < t->n; k++)
            dk_dequant(t->format, &out, t->data + k * t->format->bytes, 1);
    }
    (void)dk_safetensors_meta(s, "format", NULL);
    dk_safetensors_close(&s);
    return sum == 0xFFFFFFFFu ? -1 : 0;
}
