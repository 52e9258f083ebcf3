/* The summary of one organism's results: what was compared, how far the
 * finetune is from the base beside its null, what it raises, what it answers.
 *
 * Reads RESULTS/pair.json, check.jsonl, kl/SET.jsonl, answers.jsonl,
 * diff_mining/SET.top_k_occurring.jsonl and the .time notes; whatever is not
 * there is left out. */
#ifndef DK_METHOD_SUMMARY_H
#define DK_METHOD_SUMMARY_H

#include "base/err.h"
#include "base/mem.h"

typedef struct dk_summary dk_summary;

int dk_summary_load(dk_summary **out, const char *results, dk_err *err);
void dk_summary_free(dk_summary **s);
/* For people, width columns wide. */
void dk_summary_text(const dk_summary *s, size_t width, dk_buf *out);
/* The same numbers as one JSON object. */
void dk_summary_json(const dk_summary *s, dk_buf *out);

/* A token that a null raises at no less than this share of the finetune's rate
 * is no finding. */
#define DK_SUMMARY_SHARED 0.2

#endif
