/* Sums of matrices in a fixed order: a binary tree over blocks of documents.
 *
 * Node (level, i) is the sum of nodes (level - 1, 2i) and (level - 1, 2i + 1);
 * one that is not there adds nothing.  So the sum of everything does not depend
 * on where the blocks were cut into shards: a shard keeps the nodes that lie
 * wholly inside it, and joining shards adds up those that are left. */
#ifndef DK_NUM_TREE_H
#define DK_NUM_TREE_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

enum { DK_TREE_DOCS = 16 };         /* documents of a leaf: their numbers divided by it */

typedef struct dk_node {
    uint32_t level;
    uint64_t index;
    double *m;                      /* [d, d], on and above the diagonal; from dk_alloc */
} dk_node;

typedef struct dk_tree {
    size_t d;
    uint64_t first;                 /* leaves before this one belong to another shard */
    size_t n, cap;
    dk_node *node;                  /* ascending; owned */
} dk_tree;

/* Takes a node that lies behind all that are there, and adds up what is then complete. */
int dk_tree_push(dk_tree *t, dk_node node, dk_err *err);
/* No leaf before end will come any more; UINT64_MAX: none at all, and what began
 * with the first leaf is then one node that stands for everything. */
void dk_tree_close(dk_tree *t, uint64_t end);
void dk_tree_free(dk_tree *t);      /* keeps d and first */
/* The leaves [*from, *to) below a node; false: they are none. */
int dk_node_leaves(const dk_node *n, uint64_t *from, uint64_t *to);

#endif
