/* Activations that the reference toolkit has stored, base and finetune apart, as one activation file. */
#ifndef DK_METHOD_IMPORT_H
#define DK_METHOD_IMPORT_H

#include <stdbool.h>

#include "base/mem.h"
#include "io/h5.h"
#include "text/tokenizer.h"

typedef struct dk_import_job {
    const char *base, *ft;          /* folders of caches (io/refcache.h); ft NULL: none */
    const int *layer;               /* [n_layers] ascending; none: all that the folders have */
    size_t n_layers;
    bool put_base, put_ft, put_diff;    /* what is stored */
    size_t skipped;                 /* tokens at the start of each sequence that were not kept */
    dk_tokenizer *tokenizer;        /* NULL: nothing is known of the tokens but their numbers */
    const char *name, *split, *out;
    dk_buf *inputs;                 /* of the provenance */
    dk_provenance (*provenance)(void *arg);
    void *arg;
} dk_import_job;

int dk_import_run(const dk_import_job *job, dk_err *err);

#endif
