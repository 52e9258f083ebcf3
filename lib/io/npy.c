/* .npy: a magic, a header that is a Python literal, the values. */
#include "io/npy.h"

#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>

#include "base/mem.h"
#include "base/outfile.h"

struct dk_npy {
    dk_outfile *out;
    FILE *f;
    char *path;
    uint64_t left;          /* bytes */
};

static int head(FILE *f, const char *descr, int rank, const uint64_t *dim)
{
    dk_buf h = {0};
    uint8_t start[10] = { 0x93, 'N', 'U', 'M', 'P', 'Y', 1, 0 };
    bool good;

    dk_buf_addf(&h, "{'descr': '%s', 'fortran_order': False, 'shape': (", descr);
    for (int i = 0; i < rank; i++)
        dk_buf_addf(&h, "%s%" PRIu64 "%s", i ? " " : "", dim[i], i < rank - 1 || rank == 1 ? "," : "");
    dk_buf_adds(&h, "), }");
    while ((sizeof start + h.n + 1) % 64 != 0)
        dk_buf_addc(&h, ' ');
    dk_buf_addc(&h, '\n');
    start[8] = (uint8_t)h.n;
    start[9] = (uint8_t)(h.n >> 8);
    good = fwrite(start, sizeof start, 1, f) == 1 && fwrite(h.s, h.n, 1, f) == 1;
    dk_buf_free(&h);
    return good ? 0 : -1;
}

int dk_npy_create(dk_npy **out, const char *path, const char *descr, int rank, const uint64_t *dim,
                  dk_err *err)
{
    dk_npy *n = dk_xcalloc(1, sizeof *n);
    int rc;

    DK_ASSERT(rank >= 0 && rank <= DK_NPY_MAX_RANK && descr[2] >= '1' && descr[2] <= '8');
    n->path = dk_xstrdup(path);
    n->left = (uint64_t)(descr[2] - '0');
    for (int i = 0; i < rank; i++)
        n->left *= dim[i];
    if ((rc = dk_outfile_new(&n->out, path, err)) == 0 &&
        (rc = dk_outfile_stream(n->out, &n->f, err)) == 0 && head(n->f, descr, rank, dim) < 0)
        rc = dk_fail_errno(err, "cannot write %s", path);
    if (rc < 0)
        dk_npy_abandon(&n);
    *out = n;
    return rc;
}

int dk_npy_append(dk_npy *n, const void *p, size_t bytes, dk_err *err)
{
    DK_ASSERT(bytes <= n->left);
    n->left -= bytes;
    return bytes && fwrite(p, bytes, 1, n->f) != 1 ? dk_fail_errno(err, "cannot write %s", n->path) : 0;
}

int dk_npy_commit(dk_npy **np, dk_err *err)
{
    dk_npy *n = *np;
    int rc;

    DK_ASSERT(n->left == 0);
    rc = dk_outfile_commit(&n->out, err);
    dk_npy_abandon(np);
    return rc;
}

void dk_npy_abandon(dk_npy **n)
{
    if (!*n)
        return;
    dk_outfile_abandon(&(*n)->out);
    dk_free((*n)->path);
    dk_free(*n);
    *n = NULL;
}

int dk_npy_write(const char *path, const char *descr, int rank, const uint64_t *dim, const void *p,
                 dk_err *err)
{
    size_t bytes = (size_t)(descr[2] - '0');
    dk_npy *n;
    int rc = dk_npy_create(&n, path, descr, rank, dim, err);

    for (int i = 0; i < rank; i++)
        bytes *= dim[i];
    if (rc == 0 && (rc = dk_npy_append(n, p, bytes, err)) == 0)
        rc = dk_npy_commit(&n, err);
    dk_npy_abandon(&n);
    return rc;
}
