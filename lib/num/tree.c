/* The tree of sums. */
#include "num/tree.h"

#include "base/mem.h"

enum { ROOT = 58 };                 /* the level of everything: no shift runs over */

int dk_node_leaves(const dk_node *n, uint64_t *from, uint64_t *to)
{
    if (n->level > ROOT || n->index >= (UINT64_C(1) << ROOT) >> n->level)
        return 0;
    *from = n->index << n->level;
    *to = (n->index + 1) << n->level;
    return 1;
}

static bool siblings(const dk_node *a, const dk_node *b)
{
    return a->level == b->level && a->index % 2 == 0 && a->index + 1 == b->index;
}

static void up(dk_node *n)
{
    n->level++;
    n->index /= 2;
}

/* One step at the end of the list: add two up, or pass one on whose sibling cannot
 * come any more.  false: nothing is left to do. */
static bool settle(dk_tree *t, uint64_t end)
{
    dk_node *last = t->n ? &t->node[t->n - 1] : NULL;

    if (!last)
        return false;
    if (t->n > 1 && siblings(&t->node[t->n - 2], last)) {
        double *sum = t->node[t->n - 2].m;

        for (size_t i = 0; i < t->d; i++)
            for (size_t j = i; j < t->d; j++)
                sum[i * t->d + j] += last->m[i * t->d + j];
        dk_free(last->m);
        up(&t->node[--t->n - 1]);
        return true;
    }
    if (last->level == ROOT || (last->index % 2 ? (last->index - 1) << last->level < t->first
                                                : (last->index + 2) << last->level > end))
        return false;
    up(last);
    return true;
}

void dk_tree_close(dk_tree *t, uint64_t end)
{
    while (settle(t, end))
        ;
}

int dk_tree_push(dk_tree *t, dk_node node, dk_err *err)
{
    uint64_t from, to, last_from, last_to = 0;

    if (!dk_node_leaves(&node, &from, &to) ||
        (t->n && (!dk_node_leaves(&t->node[t->n - 1], &last_from, &last_to) || last_to > from)) || from < t->first)
        return dk_fail(err, DK_EDATA, "blocks of documents are out of order, or there twice");
    dk_tree_close(t, from);
    if (t->n == t->cap) {
        t->cap = t->cap ? 2 * t->cap : 8;
        t->node = dk_xrealloc(t->node, t->cap * sizeof *t->node);
    }
    t->node[t->n++] = node;
    dk_tree_close(t, to);
    return 0;
}

void dk_tree_free(dk_tree *t)
{
    for (size_t i = 0; i < t->n; i++)
        dk_free(t->node[i].m);
    dk_free(t->node);
    t->node = NULL;
    t->n = t->cap = 0;
}
