/* Checks of a pair before anything is computed with it: does every part of the
 * adapter have a place, does it change the model, are texts and chats encoded
 * as promised, do taps, edits, batches and caches do what they say.  What they
 * find would otherwise pass silently: a finetune that is not applied still
 * writes fluent text. */
#ifndef DK_METHOD_CHECK_H
#define DK_METHOD_CHECK_H

#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"
#include "base/mem.h"
#include "model/pair.h"

typedef enum dk_check_status {
    DK_CHECK_PASS, DK_CHECK_WARN, DK_CHECK_FAIL,
    DK_CHECK_SKIP           /* nothing to check, or another check says why not */
} dk_check_status;

typedef struct dk_check_row {
    const char *id, *title;         /* "A4", "the adapter is applied" */
    char *lane;                     /* "base", "ft", a null's name */
    dk_check_status status;
    double value, limit;            /* NaN: none */
    char *detail;                   /* one sentence, without a full stop */
} dk_check_row;

typedef struct dk_check_report {    /* zero-initialise; dk_check_free */
    size_t n;
    dk_check_row *row;
} dk_check_report;

typedef struct dk_check_spec {
    dk_pair_spec pair;              /* lanes: all */
    char *const *only;              /* ids of the checks to run, "all"; NULL: the usual ones */
    size_t n_only;
    bool expect_null;               /* a finetune without effect is no failure */
    bool allow_identical;           /* nor is one with the base's own weights */
} dk_check_spec;

/* A check that fails is a row.  An error is what keeps the checks from being
 * made: DK_EUSAGE (lanes, an unknown id), DK_EIO, DK_EFORMAT (broken files),
 * DK_EDATA (the base is of no known kind). */
int dk_check_run(dk_check_report *out, const dk_check_spec *spec, dk_err *err);
void dk_check_free(dk_check_report *r);

size_t dk_check_count(const dk_check_report *r, dk_check_status status);
const char *dk_check_status_name(dk_check_status s);
/* One line: {"check","lane","status","value","limit","detail"}. */
void dk_check_row_json(dk_buf *out, const dk_check_row *row);

/* The English texts that are run through the model, the first 64 tokens of each. */
enum { DK_PROBE_TEXTS = 4, DK_PROBE_TOKENS = 64 };
extern const char *const dk_probe_text[DK_PROBE_TEXTS];

#endif
