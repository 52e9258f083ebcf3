/* The summary of one organism's results: what was compared, how far the
 * finetune is from the base beside its null, what it raises, what it answers.
 *
 * Reads RESULTS/pair.json, check.jsonl, kl/SET.jsonl, answers.jsonl, calibration.jsonl,
 * diff_mining/SET.top_k_occurring.jsonl, SET.nmf.jsonl and SET.relevance.jsonl, contrast/ROUND.phrases.jsonl, what summaryadl.h and
 * summarystat.h name and the .time notes; whatever is not there is left out. */
#ifndef DK_METHOD_SUMMARY_H
#define DK_METHOD_SUMMARY_H

#include <stdbool.h>
#include "base/err.h"
#include "base/mem.h"
#include "io/jsonl.h"
#include "method/summaryadl.h"
#include "method/summarystat.h"

enum { DK_SUMMARY_SETS = 16, DK_SUMMARY_LANES = 16, DK_SUMMARY_TOKENS = 30 };

/* The rows of one file. */
typedef struct dk_set { char *name; dk_jsonl rows; } dk_set;

typedef struct dk_summary {
    char *results, *method;     /* NULL: all methods */
    const char *page;       /* where the page was written; NULL: nowhere.  Borrowed. */
    dk_json *pair;
    dk_jsonl check, answers, calibration;
    dk_set kl[DK_SUMMARY_SETS], mined[DK_SUMMARY_SETS], topics[DK_SUMMARY_SETS];
    size_t n_kl, n_mined, n_topics;
    dk_set phrases[DK_SUMMARY_SETS];        /* contrast/ROUND.phrases.jsonl */
    size_t n_phrases;
    dk_set relevance[DK_SUMMARY_SETS];      /* diff_mining/SET.relevance.jsonl */
    size_t n_relevance;
    dk_adl *adl;            /* by data set, layer and site */
    size_t n_adl;
    dk_stat_tables stat;
    struct { char stage[64]; double seconds; } spent[16];
    size_t n_spent;
    double seconds, peak;
} dk_summary;

/* method: only what this one left, with the checks; NULL: everything. */
int dk_summary_load(dk_summary **out, const char *results, const char *method, dk_err *err);
bool dk_summary_has(const dk_summary *s, const char *method);       /* whether it is about that one */
void dk_summary_free(dk_summary **s);
/* For people, width columns wide. */
void dk_summary_text(const dk_summary *s, size_t width, dk_buf *out);
/* The same numbers as one JSON object. */
void dk_summary_json(const dk_summary *s, dk_buf *out);

/* --- reading: "" and NaN for what is not there ------------------------------ */
const char *dk_summary_pair(const dk_summary *s, const char *key);
const char *dk_row_str(const dk_json *row, const char *key);
bool dk_row_is(const dk_json *row, const char *key, const char *value);
double dk_row_num(const dk_json *row, const char *key);
/* How a lane is called before people: the organism's name for "ft". */
const char *dk_summary_lane(const dk_summary *s, const char *lane);
/* A lane's row of divergence, or NULL. */
const dk_json *dk_set_lane(const dk_set *set, const char *lane);
const dk_json *dk_set_reverse(const dk_set *set, const char *lane);     /* of KL(base || lane) */
/* The lanes that have KL rows, the finetune first, nulls made of it (rigid_NN)
 * left out; at most DK_SUMMARY_LANES, names are borrowed. */
size_t dk_summary_lanes(const dk_summary *s, const char **lane);
/* The highest rate of a ranked token among the nulls; -1 if there is none. */
double dk_row_null(const dk_json *row);
/* What a rate is when nothing is raised: fraction_positive_diff counts signs,
 * and half of them are positive. */
double dk_row_chance(const dk_json *row);
bool dk_row_finding(const dk_json *row);
/* A row of the calibration that is a statistic, and no entry of a list; whether there is one. */
bool dk_row_statistic(const dk_json *row);
bool dk_summary_calibrated(const dk_summary *s);
/* The fewest documents that an interval of divergence, or of any statistic, is over; 0: not known. */
size_t dk_summary_docs(const dk_summary *s);
/* Its part of the text. */
void dk_summary_calibration(const dk_summary *s, size_t width, dk_buf *out);
/* The finetune's row of all its phrases, or NULL; whether a row is of the finetune. */
const dk_json *dk_phrases_lane(const dk_set *set);
bool dk_phrases_of_ft(const dk_set *set, const dk_json *row, const char *what);
/* Their part of the text, of the object. */
void dk_summary_phrases(const dk_summary *s, size_t width, dk_buf *out);
void dk_summary_phrases_json(const dk_summary *s, dk_jw *w);
/* Grades of tokens: a line about those of a data set, the object's part. */
void dk_summary_relevance(const dk_summary *s, const char *set, size_t width, dk_buf *out);
void dk_summary_relevance_json(const dk_summary *s, dk_jw *w);
/* The grades of the finetune's list of a data set (n bytes of name), ordering and topic (-1: none); or NULL. */
const dk_json *dk_relevance_list(const dk_summary *s, const char *name, size_t n, const char *ordering, int64_t topic);
/* The label of a row of that list, "" if it has none; who graded. */
const char *dk_relevance_label(const dk_json *list, const dk_json *row);
const char *dk_relevance_grader(const dk_json *list);
/* Checks that passed, warned, failed, were skipped. */
void dk_summary_checks(const dk_summary *s, size_t count[4]);
/* What the finetune is, as the checks say: its kind ("adapter", "full weights",
 * "identical") and a sentence; false where they do not. */
bool dk_summary_finetune(const dk_summary *s, const char **kind, const char **detail);
bool dk_summary_identical(const dk_summary *s);     /* it has the base's weights */

/* What glob takes for DIR/REST: only REST is a pattern.  dk_free it. */
char *dk_summary_pattern(const char *dir, const char *rest);
/* All files DIR/SUB/NAME SUFFIX, by name; at most DK_SUMMARY_SETS. */
int dk_sets_load(dk_set *sets, size_t *n, const char *dir, const char *sub, const char *suffix, dk_err *err);
void dk_sets_free(dk_set *sets, size_t n);

#endif
