/* Which files of a repository a model needs.  Pickles are never among them:
 * reading one can run any code. */
#ifndef DK_IO_HUBPICK_H
#define DK_IO_HUBPICK_H

#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"

typedef struct dk_hublist { size_t n; char **v; } dk_hublist;

void dk_hublist_add(dk_hublist *l, const char *name);
bool dk_hublist_has(const dk_hublist *l, const char *name);
void dk_hublist_free(dk_hublist *l);

/* A relative path that stays below its folder, without control characters. */
bool dk_hub_path_ok(const char *path);
bool dk_hub_is_weights(const char *path);       /* by name: safetensors or GGUF */

typedef struct dk_hubwish {
    const char *repo;           /* for messages */
    const char *inside;         /* "", a folder of the repository, or one GGUF file */
    size_t n_include;           /* patterns (fnmatch) instead of the usual files */
    char *const *include;
} dk_hubwish;

typedef struct dk_hubpick {
    dk_hublist small, weights;  /* paths in the repository, in the order to fetch */
    char *index;                /* NULL, or the one of small that names the weights */
    bool adapter, tokenizer;    /* a PEFT adapter; all to tokenize with is there */
} dk_hubpick;

/* files: all that the repository holds.  DK_EDATA with the reason when that
 * is no model that can be read. */
int dk_hubpick_from(dk_hubpick *p, const dk_hublist *files, const dk_hubwish *w, dk_err *err);
/* Reads the index at path, the local copy of p->index, into p->weights. */
int dk_hubpick_shards(dk_hubpick *p, const char *path, dk_err *err);
void dk_hubpick_free(dk_hubpick *p);

#endif
