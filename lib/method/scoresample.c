#include "method/scoresample.h"

#include <string.h>

#include "base/mem.h"
#include "method/score.h"

enum { MAX_START = 512 };       /* tokens before an answer */

/* Each text's windows, and the text of them. */
static int windows(dk_samples *s, const dk_tokens *all, const dk_samples_plan *plan, dk_err *err)
{
    const size_t w = plan->window, stride = plan->stride ? plan->stride : w;
    uint32_t *token = NULL;
    uint8_t *flags = NULL;
    int rc = 0;

    for (size_t d = 0; rc == 0 && d < all->docs && (!plan->max_samples || s->fed.docs < plan->max_samples); d++) {
        const size_t from = all->offset[d], n = all->offset[d + 1] - from, row0 = s->own.rows;
        const size_t most = n < w ? 0 : (n - w) / stride + 1;
        const size_t left = plan->max_samples ? plan->max_samples - s->fed.docs : most;
        const size_t k = most < left ? most : left;

        if (k == 0)
            continue;
        rc = dk_alloc(&token, k * w, sizeof *token, "windows", err);
        if (rc == 0)
            rc = dk_alloc(&flags, k * w, sizeof *flags, "windows", err);
        for (size_t i = 0; rc == 0 && i < k; i++) {
            memcpy(token + i * w, all->token + from + i * stride, w * sizeof *token);
            memcpy(flags + i * w, all->flags + from + i * stride, w * sizeof *flags);
            rc = dk_tokens_add_doc(&s->fed, all->id[d], token + i * w, flags + i * w, w, err);
        }
        if (rc == 0)
            rc = dk_tokens_add_doc(&s->own, all->id[d], token, flags, k * w, err);
        for (size_t i = 0; rc == 0 && i < k * w; i++)
            s->own.pos[row0 + i] = (uint32_t)(i % w);
        dk_free(token);
        dk_free(flags);
        token = NULL;
        flags = NULL;
    }
    s->kept = &s->own;
    return rc;
}

/* Chats with an answer that is long enough, not too far from the start. */
static int answers(dk_samples *s, const dk_tokens *all, const dk_samples_plan *plan, dk_err *err)
{
    int rc = dk_alloc(&s->skip, all->docs, sizeof *s->skip, "samples", err);

    for (size_t d = 0; rc == 0 && d < all->docs && (!plan->max_samples || s->fed.docs < plan->max_samples); d++) {
        const size_t from = all->offset[d], n = all->offset[d + 1] - from, row0 = s->own.rows;
        size_t start = 0, end;

        while (start < n && !(all->flags[from + start] & DK_TOK_ASSISTANT))
            start++;
        end = plan->max_tokens ? start + plan->max_tokens : n;
        if (start == n || start > MAX_START || start < plan->before || end > n)
            continue;
        s->skip[s->fed.docs] = start - plan->before;
        rc = dk_tokens_add_doc(&s->fed, all->id[d], all->token + from, all->flags + from, end, err);
        start -= plan->before;
        if (rc == 0)
            rc = dk_tokens_add_doc(&s->own, all->id[d], all->token + from + start, all->flags + from + start, end - start, err);
        for (size_t i = 0; rc == 0 && i < end - start; i++)
            s->own.pos[row0 + i] = (uint32_t)(start + i);
    }
    s->kept = &s->own;
    return rc;
}

int dk_samples_make(dk_samples *s, const dk_tokens *all, const dk_samples_plan *plan, const char *path, dk_err *err)
{
    const bool chat = all->format && strcmp(all->format, "chat") == 0;
    int rc;

    *s = (dk_samples){ .kept = &s->fed };
    if (plan->window && chat && plan->answers)
        return dk_fail(err, DK_EUSAGE, "%s holds chats, whose answers have no windows", path);
    if (!plan->window && !(chat && plan->answers)) {
        rc = dk_tokens_trim(&s->fed, all, plan->max_samples, plan->max_tokens, plan->min_tokens, err);
        if (rc == 0 && s->fed.docs == 0)
            rc = dk_fail(err, DK_EDATA, "%s: no document has at least %zu tokens", path, plan->min_tokens);
        return rc;
    }
    dk_tokens_like(&s->fed, all);
    dk_tokens_like(&s->own, all);
    rc = plan->window ? windows(s, all, plan, err) : answers(s, all, plan, err);
    if (rc == 0 && s->fed.docs == 0 && plan->window)
        rc = dk_fail(err, DK_EDATA, "%s: no document has a window of %zu tokens", path, plan->window);
    else if (rc == 0 && s->fed.docs == 0)
        rc = dk_fail(err, DK_EDATA, "%s: no chat has an answer of %zu tokens with %zu before it, and at most %d", path,
                     plan->max_tokens ? plan->max_tokens : 1, plan->before, (int)MAX_START);
    return rc;
}

void dk_samples_free(dk_samples *s)
{
    dk_tokens_free(&s->fed);
    dk_tokens_free(&s->own);
    dk_free(s->skip);
    *s = (dk_samples){0};
}
