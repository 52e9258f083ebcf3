/* What the kinds of merge share; nothing else includes this. */
#ifndef DK_IO_MERGEPRIV_H
#define DK_IO_MERGEPRIV_H

#include "io/h5meta.h"
#include "io/tokfile.h"

typedef struct dk_merge_job {
    const char **path;              /* [n] by shard index; borrowed */
    size_t n;
    const char *out;
    dk_provenance prov;             /* of the whole: what all shards say */
    char *lanes;                    /* "base,ft" */
    const char *features;
    uint64_t rows, docs;            /* of all shards */
} dk_merge_job;

/* The documents of all shards, one behind the other. */
int dk_merge_tokens(dk_tokens *t, const dk_merge_job *job, dk_err *err);
/* Calls put for every model of a file, in the order of the lanes. */
int dk_merge_models(const dk_merge_job *job, int (*put)(void *to, const char *name, const dk_model_info *m, dk_err *err),
                    void *to, dk_err *err);

int dk_merge_acts(const dk_merge_job *job, dk_err *err);
int dk_merge_scores(const dk_merge_job *job, dk_err *err);
int dk_merge_stats(const dk_merge_job *job, dk_err *err);

#endif
