/* Sums of products. */
#include "backend/gram.h"

#include <limits.h>
#include <string.h>

#include "backend/backend.h"
#include "base/mem.h"

enum { PIECE = 256 };

struct dk_gram {
    dk_dev *dev;
    size_t d, fill;
    float *x;                       /* d [PIECE, d]: rows of the block that wait */
    double *m;                      /* d [d, d]: of the block */
    bool open;
    uint64_t block;
    dk_tree tree;
};

static int no_room(size_t d, dk_err *err)
{
    return dk_fail(err, DK_ENOMEM, "products of %zu values do not fit in memory", d);
}

int dk_gram_new(dk_gram **out, size_t d, uint64_t first, dk_err *err)
{
    dk_gram *g = dk_xcalloc(1, sizeof *g);
    size_t n = 0, m = 0;
    int rc = 0;

    g->dev = dk_device();
    g->d = g->tree.d = d;
    g->tree.first = first;
    *out = g;
    if (d == 0 || d > INT_MAX / 2 || !dk_mul_size(&n, PIECE * sizeof(float), d) || !dk_mul_size(&m, d, d) ||
        !dk_mul_size(&m, m, sizeof(double)))
        rc = no_room(d, err);
    if (rc == 0)
        rc = g->dev->ops->scatter(g->dev, NULL, NULL, 0, d, err);
    if (rc == 0)
        rc = g->dev->ops->alloc(g->dev, (void **)&g->x, n, "products of activations", err);
    if (rc == 0)
        rc = g->dev->ops->alloc(g->dev, (void **)&g->m, m, "products of activations", err);
    if (rc < 0)
        dk_gram_free(out);
    return rc;
}

void dk_gram_free(dk_gram **gp)
{
    dk_gram *g = gp ? *gp : NULL;

    if (!g)
        return;
    g->dev->ops->release(g->dev, g->x);
    g->dev->ops->release(g->dev, g->m);
    dk_tree_free(&g->tree);
    dk_free(g);
    *gp = NULL;
}

static int add_products(dk_gram *g, dk_err *err)
{
    const size_t n = g->fill;

    g->fill = 0;
    return n ? g->dev->ops->scatter(g->dev, g->m, g->x, n, g->d, err) : 0;
}

static int close_leaf(dk_gram *g, dk_err *err)
{
    dk_node leaf = { .index = g->block };
    int rc = add_products(g, err);

    if (rc < 0 || !g->open)
        return rc;
    rc = dk_alloc(&leaf.m, g->d * g->d, sizeof(double), "products of activations", err);
    if (rc == 0)
        rc = g->dev->ops->get(g->dev, leaf.m, g->m, g->d * g->d * sizeof(double), err);
    for (size_t i = 1; rc == 0 && i < g->d; i++)
        memset(leaf.m + i * g->d, 0, i * sizeof(double));
    if (rc == 0)
        rc = dk_tree_push(&g->tree, leaf, err);
    if (rc < 0)
        dk_free(leaf.m);
    g->open = false;
    return rc;
}

static int open_leaf(dk_gram *g, uint64_t block, dk_err *err)
{
    const int rc = close_leaf(g, err);

    g->dev->ops->zero(g->dev, g->m, g->d * g->d * sizeof(double));
    g->open = true;
    g->block = block;
    return rc;
}

int dk_gram_add(dk_gram *g, uint64_t doc, const float *rows, size_t n, dk_err *err)
{
    const uint64_t block = doc / DK_TREE_DOCS;
    int rc = 0;

    if (n == 0)
        return 0;
    if (!g->open || g->block != block)
        rc = open_leaf(g, block, err);
    for (size_t i = 0, some; rc == 0 && i < n; i += some) {
        some = n - i < PIECE - g->fill ? n - i : PIECE - g->fill;
        g->dev->ops->copy(g->dev, g->x + g->fill * g->d, rows + i * g->d, some * g->d * sizeof(float));
        g->fill += some;
        if (g->fill == PIECE)
            rc = add_products(g, err);
    }
    return rc;
}

int dk_gram_end(dk_gram *g, uint64_t end, dk_tree *out, dk_err *err)
{
    const int rc = close_leaf(g, err);

    if (rc < 0)
        return rc;
    dk_tree_close(&g->tree, end);
    *out = g->tree;
    g->tree = (dk_tree){ .d = g->d };
    return 0;
}
