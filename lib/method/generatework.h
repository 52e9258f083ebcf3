/* The inside of dk_generate_run: shared by the loop (generate.c) and what chooses
 * tokens (generatechoose.c), by nobody else. */
#ifndef DK_METHOD_GENERATEWORK_H
#define DK_METHOD_GENERATEWORK_H

#include "backend/backend.h"
#include "base/log.h"
#include "method/generate.h"

/* One place in the cache.  Its prompt stays there after the sequence ended,
 * for another sample of the same prompt to copy. */
typedef struct dk_gen_slot {
    size_t unit, sample;        /* unit: a prompt in one way: as it is, steered, amplified by an alpha */
    bool cached;                /* the prompt's keys and values are there */
    size_t live;                /* writers that still write; 0: free */
    size_t fed;                 /* prompt tokens that went through the model */
} dk_gen_slot;

/* A writer is who continues a sequence: each lane by itself, or, amplified, all
 * lanes as one. */
typedef struct dk_gen {
    const dk_generate_plan *plan;
    const dk_pair *pair;
    const dk_prompt *prompt;
    size_t n_prompts, n_ways, n_seq, next_seq, n_lanes, n_writers, vocab, n_slots, batch, max_rows;
    size_t most_slots, most_batch;  /* of n_slots, of batch: less where a device had no memory */
    dk_answer *answer;
    dk_runner *runner;
    dk_kv *kv;
    float *logits;              /* of the device, [lane][row][vocab] */
    dk_gen_slot *slot;
    bool *ended;                /* [slot][writer] */
    uint32_t *next;             /* [slot][writer]: last token, not yet fed */
    /* of a pass: */
    size_t *map, *offset, *last;    /* slot and first row of each sequence; rows for the head */
    uint32_t *ids;                  /* [writer][row] */
    dk_pick *pick;                  /* [slot x writer]: of those that still write */
    size_t *chooser;                /* [slot x writer]: row x writers + writer of a pick */
    dk_edit *edit;                  /* [slot][lane] */
    dk_progress bar;
    dk_answers *out;
} dk_gen;

static inline size_t dk_gen_prompt(const dk_gen *g, const dk_gen_slot *s) { return s->unit / g->n_ways; }

static inline dk_answer *dk_gen_answer(const dk_gen *g, const dk_gen_slot *s, size_t writer)
{
    return &g->answer[(s->unit * g->plan->samples + s->sample) * g->n_writers + writer];
}

/* The longest answer that a prompt leaves room for. */
size_t dk_gen_most_new(const dk_gen *g, size_t prompt);

/* A token for each writer of the n sequences whose last rows are in the logits. */
int dk_gen_choose(dk_gen *g, const size_t *slots, size_t n, dk_err *err);

#endif
