#include "io/zip.h"

#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
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

static int open_archive(zip_t **z, const char *archive, dk_err *err)
{
    zip_error_t e;
    int why = 0, rc;

    if ((*z = zip_open(archive, ZIP_RDONLY, &why)))
        return 0;
    zip_error_init_with_code(&e, why);
    rc = dk_fail(err, DK_EFORMAT, "cannot open %s as a zip archive: %s", archive, zip_error_strerror(&e));
    zip_error_fini(&e);
    return rc;
}

int dk_zip_extract(const char *path, const char *archive, const char *member, dk_err *err)
{
    zip_t *z;
    int rc = open_archive(&z, archive, err);

    if (rc < 0)
        return rc;
    rc = extract(z, path, archive, member, err);
    zip_discard(z);
    return rc;
}

/* --- into memory ---------------------------------------------------------------- */
static bool lies_in(const char *name, const char *folder)
{
    const char *slash = strrchr(name, '/');
    const size_t n = strlen(folder);

    return slash && slash[1] && (size_t)(slash - name) >= n && memcmp(slash - n, folder, n) == 0 &&
           (slash - n == name || slash[-(ptrdiff_t)n - 1] == '/');
}

/* The place of the one that lies there. */
static int only_one(zip_t *z, zip_uint64_t *at, const char *archive, const char *folder, dk_err *err)
{
    size_t found = 0;

    for (zip_int64_t i = 0; i < zip_get_num_entries(z, 0); i++) {
        const char *name = zip_get_name(z, (zip_uint64_t)i, 0);

        if (name && lies_in(name, folder)) {
            *at = (zip_uint64_t)i;
            found++;
        }
    }
    return found == 1 ? 0 : dk_fail(err, DK_EFORMAT, "%s has %zu members in its folder '%s', where one is expected", archive,
                                    found, folder);
}

/* The checksum is compared at the end: so one byte more is asked for. */
static int read_member(zip_t *z, zip_uint64_t at, uint8_t **out, size_t *n, const char *archive, dk_err *err)
{
    zip_stat_t st;
    zip_file_t *in;
    zip_int64_t got = 0;
    size_t done = 0;
    int rc;

    if (zip_stat_index(z, at, 0, &st) < 0 || !(st.valid & ZIP_STAT_SIZE) || st.size > PTRDIFF_MAX - 1)
        return dk_fail(err, DK_EFORMAT, "%s does not say how large %s is", archive, zip_get_name(z, at, 0));
    if ((rc = dk_alloc(out, st.size + 1, 1, archive, err)) < 0)
        return rc;
    if (!(in = zip_fopen_index(z, at, 0)))
        return dk_fail(err, DK_EFORMAT, "cannot read %s in %s: %s", st.name, archive, zip_strerror(z));
    while (done <= st.size && (got = zip_fread(in, *out + done, st.size + 1 - done)) > 0)
        done += (size_t)got;
    if (got < 0)
        rc = dk_fail(err, DK_EFORMAT, "cannot read %s in %s: %s", st.name, archive, zip_file_strerror(in));
    else if (done != st.size)
        rc = dk_fail(err, DK_EFORMAT, "%s: %s is not as large as the archive says", archive, st.name);
    zip_fclose(in);
    *n = done;
    return rc;
}

int dk_zip_read(uint8_t **out, size_t *n, const char *archive, const char *folder, dk_err *err)
{
    zip_uint64_t at = 0;
    zip_t *z;
    int rc = open_archive(&z, archive, err);

    *out = NULL;
    *n = 0;
    if (rc < 0)
        return rc;
    if ((rc = only_one(z, &at, archive, folder, err)) == 0 && (rc = read_member(z, at, out, n, archive, err)) < 0) {
        dk_free(*out);
        *out = NULL;
    }
    zip_discard(z);
    return rc;
}
