/* The kernels of the CUDA backend, run on the CPU, against lib/num. */
#include <stdarg.h>

#include "cutest.h"
#include "../unit/tap.h"

bool check(bool good, const char *fmt, ...)
{
    char text[400];
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    return tap(good, "%s", text);
}

name::name(const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
}

int main()
{
    test_rows();
    test_place();
    test_products();
    test_heads();
    test_topk();
    test_attention();
    test_rowstats();
    return tap_end();
}
