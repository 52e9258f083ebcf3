#include "method/scorepatch.h"

#include <string.h>

#include "base/mem.h"

enum { AT_ONCE = 32 };

struct dk_patch {
    dk_runner *r;
    const dk_score_plan *plan;
    size_t n_lanes, d, rows, most, at_once;
    bool diff;                  /* states of lanes 1 .. are differences to lane 0 */
    dk_kv *kv;                  /* slot 0: the prompt without its last token */
    float *state;               /* [lane][most, d] of the batch */
    float *own;                 /* [lane][d] of the prompt's last token */
    float *added;               /* [lane][at_once, d] */
    dk_tap tap[DK_MAX_LANES];
    dk_edit *edit;
    size_t *offset, *slot;
    uint32_t *ids;
};

void dk_patch_free(dk_patch **pp)
{
    dk_patch *p = *pp;

    if (!p)
        return;
    dk_kv_free(&p->kv);
    dk_free(p->state);
    dk_free(p->own);
    dk_free(p->added);
    dk_free(p->edit);
    dk_free(p->offset);
    dk_free(p->slot);
    dk_free(p->ids);
    dk_free(p);
    *pp = NULL;
}

static int read_into(dk_patch *p, dk_pass *pass, float *to, size_t ld, dk_err *err)
{
    for (size_t l = 0; l < p->n_lanes; l++)
        p->tap[l] = (dk_tap){ .layer = p->plan->layer, .lane = l, .out = to + l * ld, .diff = p->diff && l > 0 };
    pass->taps = p->tap;
    pass->n_taps = p->n_lanes;
    pass->last_layer = p->plan->layer;
    return dk_runner_forward(p->r, pass, err);
}

/* The prompt but for its last token in slot 0 and, behind it, that token's own state. */
static int run_prompt(dk_patch *p, dk_err *err)
{
    const size_t n = p->plan->n_prompt, whole[] = { 0, n - 1 }, one[] = { 0, 1 }, first = 0, second = 1;
    dk_pass pass = { .batch = { 1, whole, p->plan->prompt }, .last_layer = -1, .kv = p->kv };
    dk_pass last = { .batch = { 1, one, p->plan->prompt + n - 1 }, .kv = p->kv, .steps = true };
    int rc;

    dk_kv_map(p->kv, &first, 1);
    rc = dk_runner_forward(p->r, &pass, err);
    if (rc < 0)
        return rc;
    for (size_t i = 0; i < p->at_once; i++)
        dk_kv_copy(p->kv, 0, i + 1, n - 1);
    dk_kv_map(p->kv, &second, 1);
    return read_into(p, &last, p->own, p->d, err);
}

int dk_patch_new(dk_patch **out, dk_runner *r, const dk_pair *pair, const dk_score_plan *plan, size_t most_rows,
                 dk_err *err)
{
    dk_patch *p = dk_xcalloc(1, sizeof *p);
    const dk_model_config *c = &pair->model->config;
    int rc;

    *out = NULL;
    *p = (dk_patch){ .r = r, .plan = plan, .n_lanes = pair->n_lanes, .d = c->d_model, .most = most_rows,
                     .diff = pair->diff, .at_once = most_rows < AT_ONCE ? most_rows : AT_ONCE };
    DK_ASSERT(plan->n_prompt > 1);
    rc = dk_kv_new(&p->kv, c, p->n_lanes, p->at_once + 1, plan->n_prompt, err);
    if (rc == 0) rc = dk_alloc(&p->state, p->n_lanes * most_rows * p->d, sizeof(float), "states to patch", err);
    if (rc == 0) rc = dk_alloc(&p->own, p->n_lanes * p->d, sizeof(float), "states to patch", err);
    if (rc == 0) rc = dk_alloc(&p->added, p->n_lanes * p->at_once * p->d, sizeof(float), "states to patch", err);
    p->edit = dk_xcalloc(p->n_lanes * p->at_once, sizeof *p->edit);
    p->offset = dk_xcalloc(p->at_once + 1, sizeof *p->offset);
    p->slot = dk_xcalloc(p->at_once, sizeof *p->slot);
    p->ids = dk_xcalloc(p->at_once, sizeof *p->ids);
    for (size_t i = 0; i < p->at_once; i++) {
        p->offset[i + 1] = i + 1;
        p->slot[i] = i + 1;
        p->ids[i] = plan->prompt[plan->n_prompt - 1];
    }
    if (rc == 0)
        rc = run_prompt(p, err);
    if (rc < 0)
        dk_patch_free(&p);
    *out = p;
    return rc;
}

int dk_patch_read(dk_patch *p, const dk_pass *batch, dk_err *err)
{
    dk_pass pass = *batch;

    p->rows = batch->batch.offset[batch->batch.n_seq];
    return read_into(p, &pass, p->state, p->rows * p->d, err);
}

size_t dk_patch_rows(const dk_patch *p, size_t n) { return n < p->at_once ? n : p->at_once; }

int dk_patch_forward(dk_patch *p, const size_t *rows, size_t n, dk_err *err)
{
    dk_pass pass = { .batch = { n, p->offset, p->ids }, .edits = p->edit, .n_edits = p->n_lanes * n, .last_layer = -1,
                     .kv = p->kv, .steps = true };

    for (size_t l = 0; l < p->n_lanes; l++)
        for (size_t i = 0; i < n; i++) {
            float *to = p->added + (l * n + i) * p->d;
            const float *from = p->state + (l * p->rows + rows[i]) * p->d;

            for (size_t j = 0; j < p->d; j++)
                to[j] = from[j] - p->own[l * p->d + j];
            p->edit[l * n + i] = (dk_edit){ .layer = p->plan->layer, .lane = l, .vector = to, .strength = 1, .row0 = i,
                                            .n_rows = 1 };
        }
    for (size_t i = 0; i < n; i++)      /* what the last use left behind the prompt goes */
        dk_kv_copy(p->kv, i + 1, i + 1, p->plan->n_prompt - 1);
    dk_kv_map(p->kv, p->slot, n);
    return dk_runner_forward(p->r, &pass, err);
}
