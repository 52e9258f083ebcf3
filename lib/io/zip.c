#include "io/zip.h"

#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zip.h>

#include "base/mem.h"

static int copy(FILE *f, const char *path, zip_file_t *in, uint64_t size, const char *archive,
                const char *member, dk_err *err)
{
    enum { CHUNK = 1 << 18 };
    char *buf = dk_xmalloc(CHUNK);
    uint64_t done = 0;
    zip_int64_t n = 0;
    int rc = 0;

    while (rc == 0 && (n = zip_fread(in, buf, CHUNK)) > 0) {
        done += (uint64_t)n;
        if (done > size)
            rc = dk_fail(err, DK_EFORMAT, "%s: %s is larger than the archive says", archive, member);
        else if (fwrite(buf, 1, (size_t)n, f) != (size_t)n)
            rc = dk_fail_errno(err, "cannot write %s", path);
    }
    if (rc == 0 && n < 0)
        rc = dk_fail(err, DK_EFORMAT, "%s: cannot extract %s: %s", archive, member, zip_file_strerror(in));
    else if (rc == 0 && done != size)
        rc = dk_fail(err, DK_EFORMAT, "%s: %s is cut short", archive, member);
    dk_free(buf);
    return rc;
}

static int extract(zip_t *z, const char *path, const char *archive, const char *member, dk_err *err)
{
    struct timespec times[2] = { { .tv_nsec = UTIME_OMIT }, { .tv_nsec = UTIME_OMIT } };
    zip_stat_t st;
    zip_file_t *in;
    FILE *f;
    int rc;

    if (zip_stat(z, member, 0, &st) < 0 || !(st.valid & ZIP_STAT_SIZE))
        return dk_fail(err, DK_EFORMAT, "%s holds no %s", archive, member);
    if (!(in = zip_fopen(z, member, 0)))
        return dk_fail(err, DK_EFORMAT, "cannot read %s in %s: %s", member, archive, zip_strerror(z));
    if (!(f = fopen(path, "wbe"))) {
        zip_fclose(in);
        return dk_fail_errno(err, "cannot create %s", path);
    }
    rc = copy(f, path, in, st.size, archive, member, err);
    if (rc == 0 && (fflush(f) != 0 || fsync(fileno(f)) != 0))
        rc = dk_fail_errno(err, "cannot write %s", path);
    if (rc == 0 && (st.valid & ZIP_STAT_MTIME)) {
        times[1] = (struct timespec){ .tv_sec = st.mtime };
        futimens(fileno(f), times);
    }
    if (fclose(f) != 0 && rc == 0)
        rc = dk_fail_errno(err, "cannot write %s", path);
    zip_fclose(in);
    if (rc < 0)
        unlink(path);
    return rc;
}

int dk_zip_extract(const char *path, const char *archive, const char *member, dk_err *err)
{
    int why = 0, rc;
    zip_t *z = zip_open(archive, ZIP_RDONLY, &why);

    if (!z) {
        zip_error_t e;

        zip_error_init_with_code(&e, why);
        rc = dk_fail(err, DK_EFORMAT, "cannot open %s as a zip archive: %s", archive,
                     zip_error_strerror(&e));
        zip_error_fini(&e);
        return rc;
    }
    rc = extract(z, path, archive, member, err);
    zip_discard(z);
    return rc;
}
