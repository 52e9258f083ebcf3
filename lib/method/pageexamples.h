/* The texts where a score is highest, each token coloured by its value: lists of
 * dk-examples on the page. */
#ifndef DK_METHOD_PAGEEXAMPLES_H
#define DK_METHOD_PAGEEXAMPLES_H

#include "method/pageparts.h"

typedef struct dk_page_examples {
    dk_jsonl rows;              /* the first of each list */
    bool known;                 /* the ids are those of the page's tokenizer */
    size_t number, inputs;      /* for the names of switches */
} dk_page_examples;

/* DIR/SET.examples.jsonl below the results, of each list the first `keep`; no rows where it is not there.
 * file: the scores they are of, which say whose the ids are; NULL: not known. */
int dk_page_examples_load(dk_page_examples *e, const dk_page *p, const char *dir, const char *set, size_t keep,
                          const dk_scores *file, dk_err *err);
void dk_page_examples_free(dk_page_examples *e);
/* How many texts a list has here. */
size_t dk_page_examples_n(const dk_page_examples *e, const char *score, const char *by, const char *side);
/* One list under its title; nothing where it has no rows.  A page longer than `end` gets no more texts. */
void dk_page_examples_put(const dk_page *p, dk_page_examples *e, const char *title, const char *score, const char *by,
                          const char *side, size_t end);

#endif
