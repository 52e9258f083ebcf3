/* The one strict parser for numbers from outside: no leading blanks, no
 * trailing text, range checked.  "what" names the thing in the message. */
#ifndef DK_BASE_PARSE_H
#define DK_BASE_PARSE_H

#include <stdint.h>

#include "base/err.h"

int dk_parse_int(int64_t *out, const char *s, int64_t lo, int64_t hi, const char *what,
                 dk_err *err);      /* digits may be grouped with '_': 50_000_000 */
int dk_parse_real(double *out, const char *s, double lo, double hi, const char *what,
                  dk_err *err);     /* finite only */

#endif
