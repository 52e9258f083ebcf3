/* Grades of lists of tokens: who asks whom, and the table of what came out. */
#ifndef DK_JUDGE_GRADE_H
#define DK_JUDGE_GRADE_H

#include "judge/lexical.h"
#include "judge/relevance.h"
#include "judge/tokenlist.h"

typedef struct dk_grade_plan {
    const dk_lexical *lexical;          /* NULL: a model judges */
    const char *by;                     /* lexical: whose words */
    const dk_chat_plan *chat;
    dk_relevance_subject subject;
    bool all;                           /* agreement: all rotations, else most */
    size_t rotations, batch, parallel;
} dk_grade_plan;

/* A line for each list. */
int dk_grade_tokens(dk_buf *out, const dk_token_lists *t, const dk_grade_plan *plan, dk_err *err);

#endif
