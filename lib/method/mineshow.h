/* What else a score file of dk-topk tells: the distribution of top differences by
 * position, the windows of text that a lane holds more likely than the base, and
 * what a few chosen tokens do everywhere.  JSON lines, as dk-formats(5) has them. */
#ifndef DK_METHOD_MINESHOW_H
#define DK_METHOD_MINESHOW_H

#include "base/mem.h"
#include "method/minefile.h"
#include "text/tokenizer.h"

/* Gaussian kernel densities of the top lists' values at the first n positions of
 * each sample. */
int dk_mine_positions(dk_buf *out, const dk_mine_file *f, size_t n, dk_err *err);
/* Windows of so many tokens, step apart, the n with the largest log-likelihood
 * ratio; needs log-probabilities. */
int dk_mine_windows(dk_buf *out, const dk_mine_file *f, const dk_tokenizer *tok, size_t window, size_t step, size_t n,
                    dk_err *err);
/* The tokens that were watched, one by one and two by two. */
int dk_mine_shortlist(dk_buf *out, const dk_mine_file *f, const dk_tokenizer *tok, dk_err *err);

/* Whether row r, which is not the last of all, ends a sample: a document, or a window of one. */
static inline bool dk_mine_ends(const dk_tokens *t, size_t doc, size_t r)
{
    return r + 1 == t->offset[doc + 1] || t->pos[r + 1] != t->pos[r] + 1;
}

#endif
