/* Strict numbers. */
#include "base/parse.h"

#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

int dk_parse_int(int64_t *out, const char *s, int64_t lo, int64_t hi, const char *what,
                 dk_err *err)
{
    char digits[64], *end;
    size_t n = 0;
    long long v;

    for (const char *p = s; *p; p++) {
        const int sign = p == s && (*p == '-' || *p == '+');

        if (*p == '_' && p > s && isdigit((unsigned char)p[-1]) && isdigit((unsigned char)p[1]))
            continue;
        if ((!isdigit((unsigned char)*p) && !sign) || n + 1 >= sizeof digits)
            return dk_fail(err, DK_EUSAGE, "%s: '%s' is not a whole number", what, s);
        digits[n++] = *p;
    }
    digits[n] = 0;
    errno = 0;
    v = strtoll(digits, &end, 10);
    if (n == 0 || end == digits || *end)
        return dk_fail(err, DK_EUSAGE, "%s: '%s' is not a whole number", what, s);
    if (errno == ERANGE || v < lo || v > hi)
        return dk_fail(err, DK_EUSAGE, "%s: %s is outside %lld to %lld", what, s,
                       (long long)lo, (long long)hi);
    *out = v;
    return 0;
}

int dk_parse_real(double *out, const char *s, double lo, double hi, const char *what,
                  dk_err *err)
{
    char *end;
    double v;

    if (!*s || isspace((unsigned char)*s) || strpbrk(s, "xXnN"))
        return dk_fail(err, DK_EUSAGE, "%s: '%s' is not a number", what, s);
    v = strtod(s, &end);
    if (*end || !isfinite(v))
        return dk_fail(err, DK_EUSAGE, "%s: '%s' is not a number", what, s);
    if (!(v >= lo && v <= hi))
        return dk_fail(err, DK_EUSAGE, "%s: %s is outside %g to %g", what, s, lo, hi);
    *out = v;
    return 0;
}
