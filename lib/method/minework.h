/* The inside of dk_mine_table: shared by orderings (minetable.c), topics
 * (minetopics.c) and the places of tokens (mineplaces.c), by nobody else. */
#ifndef DK_METHOD_MINEWORK_H
#define DK_METHOD_MINEWORK_H

#include "method/minerate.h"
#include "method/minetable.h"

/* A place where a token stands in a top list. */
typedef struct dk_mine_place { float diff; size_t row; } dk_mine_place;

typedef struct dk_mine_row {
    dk_mined m;
    bool finding;
    const struct dk_mine_topic_row *topic;  /* NULL: not of a topic */
    double weight, share;
    size_t column;
    size_t n_places;
    dk_mine_place *place;       /* [plan->snippets], diff descending */
} dk_mine_row;

typedef struct dk_mine_topic_row { size_t topic; dk_nmf_topic stats; } dk_mine_topic_row;

typedef struct dk_mine_work {
    dk_mine_file *f;
    const dk_tokenizer *tok;
    const dk_mine_plan *plan;
    dk_words words;
    dk_mine_lists lists;        /* of the lane */
    dk_rates *rate;             /* [lanes]; NULL: the ordering has no errors */
    dk_rates_z z;
} dk_mine_work;

bool dk_mine_is_finding(const dk_mine_work *w, uint32_t id);
/* Looks for the places of n rows, at most one in a document. */
int dk_mine_find_places(const dk_mine_work *w, dk_mine_row *row, size_t n, dk_err *err);
void dk_mine_free_places(dk_mine_row *row, size_t n);
void dk_mine_put_places(dk_jw *j, const dk_mine_work *w, const dk_mine_row *row);
void dk_mine_put_row(dk_buf *out, const dk_mine_work *w, size_t rank, const dk_mine_row *row);
int dk_mine_topics(dk_buf *out, dk_mine_work *w, dk_err *err);

#endif
