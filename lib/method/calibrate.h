/* Calibration: the statistics of a finetune beside those of nulls.
 *
 * Statistics come from tables (dk-kl, dk-mean, dk-norms) and score files (dk-kl,
 * dk-topk); lists of tokens from score files and from the tables of dk-lens.
 * Every lane but the base and the finetune's is a null, whatever file it is in. */
#ifndef DK_METHOD_CALIBRATE_H
#define DK_METHOD_CALIBRATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/mem.h"
#include "io/json.h"
#include "num/infer.h"
#include "text/lexicon.h"
#include "text/tokenizer.h"

enum { DK_CAL_TOP = 20 };           /* tokens of a list that the lexicon test looks at */

/* One statistic of one lane.  Strings are owned; NaN: not known. */
typedef struct dk_cal_row {
    char *method, *statistic, *set, *site, *lane;
    int64_t layer;                  /* -1: of none */
    int64_t position;               /* INT32_MIN: of none */
    int64_t component;              /* -1: of none */
    bool content;                   /* else its size, of which nothing is claimed */
    bool two_sided;
    double value, lo, hi, docs, p_any;
} dk_cal_row;

/* A list of tokens of one lane, best first. */
typedef struct dk_cal_list {
    char *method, *set, *site, *lane;
    int64_t layer, position, component;
    bool inverse;                   /* of a component the other end */
    uint32_t id[DK_CAL_TOP];
    size_t n;
} dk_cal_list;

/* What is counted of a vocabulary entry: the lists of raised tokens that it stands in, among
 * all positions; or the divergence where it stands itself, in parts of the lane's mean. */
typedef enum dk_cal_unit { DK_CAL_RAISED, DK_CAL_TYPE } dk_cal_unit;

/* Rates of all vocabulary entries in one lane: sums over documents, as of dk_rate. */
typedef struct dk_cal_rates {
    dk_cal_unit unit;
    char *set, *lane;
    size_t vocab, docs;
    double n, nn;                   /* positions: the same for all entries */
    double *x, *xx, *xn;            /* [vocab] */
    double *own_n, *own_nn;         /* [vocab] of types: each one's positions */
    uint32_t *own_docs;             /* [vocab] and documents */
} dk_cal_rates;

typedef struct dk_cal {
    const char *lane;               /* the finetune's; borrowed */
    uint64_t seed;
    dk_cal_row *row;
    dk_cal_list *list;
    dk_cal_rates *rates;
    size_t n, n_lists, n_rates;
    uint32_t *count;                /* [vocab] of the ids of the texts scored: how frequent they are */
    size_t vocab;
    char tokenizer_sha256[65];      /* of the score files; "" none */
} dk_cal;

/* as_null: a file of nulls: its finetune's lane is a null too, under the name
 * `as`.  What is neither kind of file is an error; rows of tables that are no
 * statistic are passed over.  DK_EFORMAT, DK_EDATA. */
int dk_cal_add(dk_cal *c, const char *path, const char *as_null, dk_err *err);
void dk_cal_free(dk_cal *c);

/* For the parts of dk_cal_add. */
dk_cal_row *dk_cal_new_row(dk_cal *c, const char *method, const char *statistic, const char *set, const char *lane);
int dk_cal_add_scores(dk_cal *c, const char *path, const char *as_null, dk_err *err);
/* One more, of no counts yet. */
int dk_cal_new_rates(dk_cal_rates **out, dk_cal *c, dk_cal_unit unit, const char *set, const char *lane, size_t vocab,
                     dk_err *err);
/* The lane's name in this calibration; NULL: it is the base. */
const char *dk_cal_lane(const dk_cal *c, const char *lane, const char *as_null);

/* What tokens are tested against; any may be NULL or 0. */
typedef struct dk_cal_words {
    const dk_tokenizer *tok;
    const dk_lexicon *lexicon;
    const uint32_t *count;          /* [vocab] of each id in neutral texts; NULL: in those scored */
    size_t vocab;
    size_t list;                    /* entries of a list that are written */
} dk_cal_words;

/* Appends one line a statistic, list, entry (fields: dk-formats(5)). */
int dk_cal_table(dk_buf *out, const dk_cal *c, const dk_cal_words *w, dk_err *err);

/* --- parts of the table ------------------------------------------------------ */
enum { DK_CAL_FEW = DK_FEW_NULLS };  /* fewer nulls give no p */

/* A lane's value and, where known, its interval. */
typedef struct dk_cal_null { const char *lane; double value, lo, hi; } dk_cal_null;

/* Members of an open object: null, p_null or ratio, visible, verdict. */
void dk_cal_put_null(dk_jw *j, const dk_cal_null *own, const dk_cal_null *null, size_t m, bool two_sided);
/* Opens an object and says what is measured where. */
typedef struct dk_cal_place { const char *method, *set, *site; int64_t layer, position, component; } dk_cal_place;
void dk_cal_put_place(dk_jw *j, const char *statistic, const dk_cal_place *at);

/* Lines of the lists (lexicon test), then of their entries. */
int dk_cal_list_table(dk_buf *out, const dk_cal *c, const dk_cal_words *w, dk_err *err);

#endif
