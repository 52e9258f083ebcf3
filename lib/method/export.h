/* What a dk file holds as .npy and JSON, under the names that the reference
 * toolkit gives to the same things (dk-info(1) has the list). */
#ifndef DK_METHOD_EXPORT_H
#define DK_METHOD_EXPORT_H

#include "base/err.h"
#include "io/tokfile.h"
#include "text/tokenizer.h"

/* Fills the folder dir, which must be missing or empty and appears whole.  path
 * "-" is a token stream.  tok: spells the ids of vocabulary statistics; NULL:
 * they stay numbers. */
int dk_export(const char *path, const char *dir, const dk_tokenizer *tok, dk_err *err);

/* --- what its own files share ------------------------------------------------ */
/* text as the name of a file or folder; dk_free it. */
char *dk_export_word(const char *text);
/* tokens.npy and sequence_ranges.npy. */
int dk_export_tokens(const dk_tokens *t, const char *dir, dk_err *err);
int dk_export_acts(const char *path, const char *dir, dk_err *err);
int dk_export_dirs(const char *path, const char *dir, dk_err *err);
int dk_export_scores(const char *path, const char *dir, const dk_tokenizer *tok, dk_err *err);

#endif
