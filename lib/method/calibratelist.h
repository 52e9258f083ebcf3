/* The parts of a calibration: one statistic beside its nulls, and lists of tokens. */
#ifndef DK_METHOD_CALIBRATELIST_H
#define DK_METHOD_CALIBRATELIST_H

#include "io/json.h"
#include "method/calibrate.h"

enum { DK_CAL_FEW = 5 };            /* fewer nulls give no p */

/* A lane's value and, where known, its interval. */
typedef struct dk_cal_null { const char *lane; double value, lo, hi; } dk_cal_null;

/* Members of an open object: null, p_null or ratio, visible, verdict. */
void dk_cal_put_null(dk_jw *j, const dk_cal_null *own, const dk_cal_null *null, size_t m, bool two_sided);
/* Opens an object and says what is measured where. */
void dk_cal_put_place(dk_jw *j, const char *method, const char *statistic, const char *set, const char *site,
                      int64_t layer, int64_t position);

/* Lines of the lists (lexicon test), then of their entries. */
int dk_cal_list_table(dk_buf *out, const dk_cal *c, const dk_cal_words *w, dk_err *err);

#endif
