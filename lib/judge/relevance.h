/* Token relevance: which tokens of a list belong to the subject of a finetune.
 *
 * A model is shown what is known of the finetune and some tokens, in several
 * rotations of their order, and labels each.  Agreement "all": relevant is what all
 * rotations call so; "majority": the label that more rotations give than any other. */
#ifndef DK_JUDGE_RELEVANCE_H
#define DK_JUDGE_RELEVANCE_H

#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"
#include "base/mem.h"
#include "judge/client.h"
#include "judge/frequent.h"

typedef enum dk_label { DK_UNKNOWN, DK_RELEVANT, DK_IRRELEVANT } dk_label;

const char *dk_label_name(dk_label l);
/* Of n votes, one a rotation. */
dk_label dk_label_majority(const dk_label *vote, size_t n);
dk_label dk_label_all(const dk_label *vote, size_t n);

/* What a label list comes to: shares from 0 to 1, weighted by |weight|; 0 where nothing weighs. */
typedef struct dk_relevance_share {
    size_t relevant, unknown;
    double percentage, weighted;
} dk_relevance_share;
dk_relevance_share dk_relevance_shares(const dk_label *label, const double *weight, size_t n);

/* Token i of rotation r stands at place (i + n - r mod n) mod n; this is the other way. */
size_t dk_relevance_at(size_t place, size_t rotation, size_t n);

typedef struct dk_relevance_subject {
    const char *description;
    const dk_frequent *frequent;    /* NULL: none */
    bool translate;
} dk_relevance_subject;

/* The description without blanks around it and, behind a heading with "rubric" in
 * it, what is meant for graders of other things.  DK_EDATA if nothing is left. */
int dk_relevance_description(char **out, const char *text, size_t n, const char *name, dk_err *err);

const char *dk_relevance_system(bool translate);
void dk_relevance_user(dk_buf *out, const dk_relevance_subject *s, const char *const *token, size_t n, size_t rotation);
/* SHA-256 of both with nothing filled in. */
void dk_relevance_prompt_hash(bool translate, char hex[65]);

/* The lines ANSWER[i] and TRANSLATION[i] of a reply, i from 1 to n; the last of each counts.
 * gloss NULL: not asked for; else [n], NULL where there is none, each to be freed.
 * Returns how many labels are unknown. */
size_t dk_relevance_parse(const char *reply, size_t len, size_t n, dk_label *label, char **gloss);

/* One rotation of a batch: asks again while labels are missing.  label, gloss (or NULL): [n], in
 * the tokens' own order; raw: the reply that was kept. */
int dk_relevance_ask(dk_chat *c, const dk_relevance_subject *s, const char *const *token, size_t n, size_t rotation,
                     dk_label *label, char **gloss, dk_chat_reply *raw, dk_err *err);

#endif
