/* Answers as text for people: each under its prompt and lane, written as they
 * grow; JSON lines come from generatejob.c. */
#ifndef DK_METHOD_GENERATETEXT_H
#define DK_METHOD_GENERATETEXT_H

#include <stdbool.h>
#include <stdio.h>

#include "method/generate.h"
#include "method/generatesteer.h"
#include "text/prompts.h"

/* Model output may hold anything, and a terminal must not obey it: without control characters there. */
void dk_put_text(FILE *f, bool terminal, const char *s, size_t n);

typedef struct dk_answer_text {
    FILE *f;
    bool terminal;              /* control characters are replaced */
    const dk_prompts *prompts;
    const dk_pair *pair;
    size_t samples;
    const dk_steer_name *way;   /* [n_ways] steered answers behind those that are not */
    size_t n_ways;
    size_t hold;                /* bytes kept back while an answer grows: a stop text may begin there */
    /* where it stands: */
    size_t at, shown;           /* the answer, and bytes of it that are written */
    bool open;                  /* its heading is written */
} dk_answer_text;

/* For dk_generate_plan.watch: writes what has come since the last call, in the
 * order of the answers.  An answer that grows before its turn waits. */
void dk_answer_text_watch(void *self, const dk_answers *a);

#endif
