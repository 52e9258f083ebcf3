/* Read-only mappings. */
#include "io/mapfile.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"

int dk_mapfile_open(dk_mapfile **out, const char *path, dk_err *err)
{
    struct stat st;
    void *p = NULL;
    int rc = 0;
    const int fd = open(path, O_RDONLY | O_CLOEXEC);

    *out = NULL;
    if (fd < 0)
        return dk_fail_errno(err, "cannot open %s", path);
    if (fstat(fd, &st) < 0)
        rc = dk_fail_errno(err, "cannot read %s", path);
    else if (!S_ISREG(st.st_mode))
        rc = dk_fail(err, DK_EIO, "%s is not a regular file", path);
    else if (st.st_size > 0) {
        p = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
        if (p == MAP_FAILED)
            rc = dk_fail_errno(err, "cannot map %s", path);
    }
    close(fd);
    if (rc == 0) {
        dk_mapfile *m = dk_xcalloc(1, sizeof *m);

        m->n = (size_t)st.st_size;
        m->p = m->n ? p : (const uint8_t *)"";
        m->path = dk_xstrdup(path);
        *out = m;
    }
    return rc;
}

void dk_mapfile_close(dk_mapfile **m)
{
    if (*m) {
        if ((*m)->n)
            munmap((void *)(uintptr_t)(*m)->p, (*m)->n);
        dk_free((*m)->path);
        dk_free(*m);
        *m = NULL;
    }
}

void dk_mapfile_drop(dk_mapfile *m)
{
    if (m->n)
        (void)madvise((void *)(uintptr_t)m->p, m->n, MADV_DONTNEED);
}
