/* Sums of products. */
#include "backend/gram.h"

#include <limits.h>
#include <string.h>

#include "backend/blasdyn.h"
#include "base/mem.h"

enum { PIECE = 256 };

struct dk_gram {
    size_t d, fill;
    double *x;                      /* [PIECE, d] rows of the block that wait */
    dk_node leaf;                   /* m NULL: none is open */
    dk_tree tree;
};

int dk_gram_new(dk_gram **out, size_t d, uint64_t first, dk_err *err)
{
    dk_gram *g = dk_xcalloc(1, sizeof *g);
    size_t n;
    int rc;

    g->d = g->tree.d = d;
    g->tree.first = first;
    *out = g;
    if (d == 0 || d > INT_MAX / 2 || !dk_mul_size(&n, PIECE, d))
        rc = dk_fail(err, DK_ENOMEM, "products of %zu values do not fit in memory", d);
    else if ((rc = dk_blas_load(err)) == 0)
        rc = dk_alloc(&g->x, n, sizeof *g->x, "products of activations", err);
    if (rc < 0)
        dk_gram_free(out);
    return rc;
}

void dk_gram_free(dk_gram **gp)
{
    dk_gram *g = gp ? *gp : NULL;

    if (!g)
        return;
    dk_free(g->x);
    dk_free(g->leaf.m);
    dk_tree_free(&g->tree);
    dk_free(g);
    *gp = NULL;
}

static void add_products(dk_gram *g)
{
    dk_blas_products(g->leaf.m, g->x, g->fill, g->d, DK_UPPER);
    g->fill = 0;
}

static int close_leaf(dk_gram *g, dk_err *err)
{
    int rc = 0;

    if (g->fill)
        add_products(g);
    for (size_t i = 1; g->leaf.m && i < g->d; i++)
        memset(g->leaf.m + i * g->d, 0, i * sizeof(double));     /* of tiles on the diagonal */
    if (g->leaf.m)
        rc = dk_tree_push(&g->tree, g->leaf, err);
    if (rc == 0)
        g->leaf.m = NULL;
    return rc;
}

static int open_leaf(dk_gram *g, uint64_t block, dk_err *err)
{
    size_t n;
    int rc = close_leaf(g, err);

    if (rc < 0)
        return rc;
    g->leaf = (dk_node){ .index = block };
    return dk_mul_size(&n, g->d, g->d) ? dk_alloc(&g->leaf.m, n, sizeof(double), "products of activations", err)
                                       : dk_fail(err, DK_ENOMEM, "products of %zu values do not fit in memory", g->d);
}

int dk_gram_add(dk_gram *g, uint64_t doc, const float *rows, size_t n, dk_err *err)
{
    const uint64_t block = doc / DK_TREE_DOCS;
    int rc = 0;

    if (n == 0)
        return 0;
    if (!g->leaf.m || g->leaf.index != block)
        rc = open_leaf(g, block, err);
    for (size_t i = 0; rc == 0 && i < n; i++) {
        for (size_t j = 0; j < g->d; j++)
            g->x[g->fill * g->d + j] = rows[i * g->d + j];
        if (++g->fill == PIECE)
            add_products(g);
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
