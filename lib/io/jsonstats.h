/* Summary statistics as a member of a table's row (dk-formats(5)). */
#ifndef DK_IO_JSONSTATS_H
#define DK_IO_JSONSTATS_H

#include <stdbool.h>

#include "io/json.h"
#include "io/statfile.h"
#include "num/stats.h"

/* tail: also the percentiles 90, 95 and 99. */
void dk_jw_stats(dk_jw *w, const char *key, const dk_stats *s, bool tail);

/* Of a measure: value with its interval and the number of documents, and what sums
 * tell of those statistics. */
void dk_jw_measure(dk_jw *w, const dk_measure *m);

#endif
