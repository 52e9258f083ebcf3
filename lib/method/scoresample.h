/* Which parts of a token file are scored: documents cut short, windows of them,
 * or the answers of chats with some positions before. */
#ifndef DK_METHOD_SCORESAMPLE_H
#define DK_METHOD_SCORESAMPLE_H

#include <stdbool.h>

#include "io/tokfile.h"

typedef struct dk_samples_plan {
    size_t max_samples;         /* 0: all */
    size_t max_tokens;          /* of each; of an answer exactly so many; 0: all there are */
    size_t min_tokens;
    size_t window, stride;      /* window 0: none; a document gives as many as it holds */
    bool answers;               /* of chats only answers, */
    size_t before;              /* and so many positions before them */
} dk_samples_plan;

/* What a model reads, a sample a document, and which rows of it are kept.  What is
 * kept is by documents again: windows of one stand one behind the other, with
 * their own positions. */
typedef struct dk_samples {
    dk_tokens fed, own;
    size_t *skip;               /* [fed.docs]; NULL: all rows are kept */
    const dk_tokens *kept;      /* of fed's rows */
} dk_samples;

int dk_samples_make(dk_samples *s, const dk_tokens *all, const dk_samples_plan *plan, const char *path, dk_err *err);
void dk_samples_free(dk_samples *s);

#endif
