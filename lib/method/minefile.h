/* What dk-topk left in a score file, as diff mining reads it: for each lane its
 * sums over the vocabulary, and its top lists where they are asked for. */
#ifndef DK_METHOD_MINEFILE_H
#define DK_METHOD_MINEFILE_H

#include "io/scorefile.h"
#include "method/topk.h"

enum { DK_MINE_LANES = 64 };

typedef struct dk_mine_lane { const char *name; dk_topk_vocab sums; } dk_mine_lane;

typedef struct dk_mine_file {
    dk_scores *s;               /* owned */
    const char *path;
    const dk_tokens *t;
    size_t vocab, n_lanes;
    dk_mine_lane lane[DK_MINE_LANES];   /* [0] is the one asked for */
} dk_mine_file;

/* The top lists of a lane: [rows, k]. */
typedef struct dk_mine_lists { size_t k; uint32_t *id; float *value; } dk_mine_lists;

/* DK_EDATA: no such lane, no positions. */
int dk_mine_open(dk_mine_file *f, const char *path, const char *lane, dk_err *err);
void dk_mine_close(dk_mine_file *f);
/* values false: ids only. */
int dk_mine_read_lists(dk_mine_lists *l, const dk_mine_file *f, const char *lane, const char *end, bool values,
                       dk_err *err);
void dk_mine_lists_free(dk_mine_lists *l);

#endif
