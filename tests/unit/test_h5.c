/* The HDF5 layer: equal bytes, content ids, hostile files, failing disks.
 * "test_h5 make DIR" writes the samples of tests/data/h5 again. */
#include <errno.h>
#include <fcntl.h>
#include <hdf5.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "base/outfile.h"
#include "h5make.h"
#include "io/h5.h"
#include "io/h5info.h"
#include "tap.h"

static char *dir;

static char *in_dir(const char *name) { return dk_xasprintf("%s/%s", dir, name); }

/* --- hostile files: a good one, changed through the plain library ------------ */
typedef void change(hid_t file);

static void set_str(hid_t f, const char *obj, const char *name, const char *value)
{
    const hid_t t = H5Tcopy(H5T_C_S1), s = H5Screate(H5S_SCALAR);
    hid_t a;

    H5Tset_size(t, strlen(value));
    H5Tset_cset(t, H5T_CSET_UTF8);
    H5Adelete_by_name(f, obj, name, H5P_DEFAULT);
    a = H5Acreate_by_name(f, obj, name, t, s, H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT);
    H5Awrite(a, t, value);
    H5Aclose(a);
    H5Sclose(s);
    H5Tclose(t);
}

static void set_int(hid_t f, const char *obj, const char *name, long long value)
{
    const hid_t a = H5Aopen_by_name(f, obj, name, H5P_DEFAULT, H5P_DEFAULT);

    H5Awrite(a, H5T_NATIVE_LLONG, &value);
    H5Aclose(a);
}

/* A dataset u32[n] with this creation list. */
static void add_data(hid_t f, hid_t list, hsize_t n, hid_t type)
{
    const hid_t s = H5Screate_simple(1, &n, NULL);
    const hid_t d = H5Dcreate2(f, "/rows/extra", type, s, H5P_DEFAULT, list, H5P_DEFAULT);

    if (d >= 0)
        H5Dclose(d);
    H5Sclose(s);
}

static void put(hid_t f, const char *path, hsize_t at, hid_t type, long long value)
{
    const hid_t d = H5Dopen2(f, path, H5P_DEFAULT), from = H5Dget_space(d);
    const hsize_t one = 1;
    const hid_t to = H5Screate_simple(1, &one, NULL);

    H5Sselect_hyperslab(from, H5S_SELECT_SET, &at, NULL, &one, NULL);
    H5Dwrite(d, type, to, from, H5P_DEFAULT, &value);
    H5Sclose(to);
    H5Sclose(from);
    H5Dclose(d);
}

static void soft_link(hid_t f) { H5Lcreate_soft("/rows", f, "/more", H5P_DEFAULT, H5P_DEFAULT); }
static void hard_link(hid_t f)
{
    H5Lcreate_hard(f, "/rows", f, "/rows/loop", H5P_DEFAULT, H5P_DEFAULT);
}
static void external_link(hid_t f)
{
    H5Lcreate_external("/etc/passwd", "/", f, "/more", H5P_DEFAULT, H5P_DEFAULT);
}
static void external_storage(hid_t f)
{
    const hid_t p = H5Pcreate(H5P_DATASET_CREATE);

    H5Pset_external(p, "/etc/passwd", 0, 40);
    add_data(f, p, 10, H5T_STD_U32LE);
    H5Pclose(p);
}
static void filtered(hid_t f, int filter)
{
    const hid_t p = H5Pcreate(H5P_DATASET_CREATE);
    const hsize_t chunk = 10;

    H5Pset_chunk(p, 1, &chunk);
    if (filter == 1)
        H5Pset_deflate(p, 1);
    else
        H5Pset_filter(p, filter, H5Z_FLAG_OPTIONAL, 0, NULL);
    add_data(f, p, 10, H5T_STD_U32LE);
    H5Pclose(p);
}
static void deflate_filter(hid_t f) { filtered(f, 1); }
static void unknown_filter(hid_t f) { filtered(f, 32099); }
static void big_chunk(hid_t f)
{
    const hid_t p = H5Pcreate(H5P_DATASET_CREATE);
    const hsize_t chunk = 8 << 20;

    H5Pset_chunk(p, 1, &chunk);
    add_data(f, p, 8 << 20, H5T_STD_U32LE);
    H5Pclose(p);
}
static void many_rows(hid_t f)
{
    const hid_t p = H5Pcreate(H5P_DATASET_CREATE);
    const hsize_t chunk = 10;

    H5Pset_chunk(p, 1, &chunk);
    add_data(f, p, (hsize_t)1 << 36, H5T_STD_U8LE);
    H5Pclose(p);
}
static void absurd_extent(hid_t f)
{
    const hid_t p = H5Pcreate(H5P_DATASET_CREATE);
    const hsize_t chunk = 10;

    H5Pset_chunk(p, 1, &chunk);
    add_data(f, p, (hsize_t)1 << 50, H5T_STD_U8LE);
    H5Pclose(p);
}
static void virtual_data(hid_t f)
{
    const hid_t p = H5Pcreate(H5P_DATASET_CREATE);
    const hsize_t n = 10;
    const hid_t s = H5Screate_simple(1, &n, NULL);

    H5Pset_virtual(p, s, "other.h5", "/x", s);
    add_data(f, p, n, H5T_STD_U32LE);
    H5Sclose(s);
    H5Pclose(p);
}
static void odd_type(hid_t f) { add_data(f, H5P_DEFAULT, 4, H5T_STD_U16BE); }
static void no_storage(hid_t f)
{
    const hid_t p = H5Pcreate(H5P_DATASET_CREATE);
    const hsize_t chunk = 10;

    H5Pset_chunk(p, 1, &chunk);
    add_data(f, p, 400, H5T_STD_U32LE);
    H5Pclose(p);
}
static void control_name(hid_t f)
{
    H5Gclose(H5Gcreate2(f, "/\033[31m", H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT));
}
static void wrong_id(hid_t f) { put(f, "/rows/token", 2, H5T_NATIVE_LLONG, 5); }
static void wrong_hash(hid_t f) { wrong_id(f); }
static void lost_data(hid_t f) { H5Ldelete(f, "/provenance/command", H5P_DEFAULT); }
static void big_token(hid_t f) { put(f, "/rows/token", 2, H5T_NATIVE_LLONG, 999); }
static void bad_offset(hid_t f) { put(f, "/docs/offset", 1, H5T_NATIVE_LLONG, 4000000000000); }
static void bad_docs(hid_t f) { put(f, "/docs/id", 2, H5T_NATIVE_LLONG, 1); }
static void feature(hid_t f) { set_str(f, "/", "features_required", "ft_delta"); }
static void major(hid_t f) { set_str(f, "/", "encoding-version", "2.0"); }
static void kind(hid_t f) { set_str(f, "/", "encoding-type", "dk-cakes"); }
static void unfinished(hid_t f) { set_int(f, "/", "complete", 0); }
static void more_rows(hid_t f) { set_int(f, "/", "rows", 4000); }
static void no_corpus(hid_t f) { H5Ldelete(f, "/corpus", H5P_DEFAULT); }
static void no_vocab(hid_t f) { H5Adelete_by_name(f, "/corpus", "vocab", H5P_DEFAULT); }
static void minor(hid_t f)
{
    set_str(f, "/", "encoding-version", "1.7");
    set_str(f, "/", "novelty", "x");
    H5Gclose(H5Gcreate2(f, "/more", H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT));
}

static const struct hostile { const char *name; change *make; const char *says; } hostile[] = {
    { "a soft link", soft_link, "link to elsewhere" },
    { "a hard link that makes a loop", hard_link, "more than one name" },
    { "an external link", external_link, "link to elsewhere" },
    { "external storage", external_storage, "another file" },
    { "a deflate filter", deflate_filter, "unknown filter 1;" },
    { "an unknown filter", unknown_filter, "unknown filter 32099" },
    { "a chunk above 16 MiB", big_chunk, "above 16 MiB" },
    { "more rows than the file can hold", many_rows, "more rows than" },
    { "an absurd extent", absurd_extent, "absurd size" },
    { "a virtual dataset", virtual_data, "virtual" },
    { "an unknown type", odd_type, "unknown type" },
    { "a missing chunk", no_storage, "missing or damaged" },
    { "control bytes in a name", control_name, "unusable name" },
    { "values that do not have the content id", wrong_id, "content id" },
    { "values that do not have the hash of their chunk", wrong_hash, "chunk 0 of /rows/token is damaged" },
    { "a dataset that is gone and has a hash", lost_data, "/provenance/command is gone" },
    { "a token outside the vocabulary", big_token, "outside the vocabulary" },
    { "offsets that run backwards", bad_offset, "backwards" },
    { "document numbers that do not ascend", bad_docs, "must ascend" },
    { "an unknown required feature", feature, "ft_delta" },
    { "a newer major version", major, "newer dk" },
    { "an unknown kind", kind, "dk-cakes" },
    { "an unfinished file", unfinished, "not finished" },
    { "more rows promised than there are", more_rows, "promises" },
    { "no corpus", no_corpus, "no /corpus" },
    { "no vocabulary size", no_vocab, "vocab" },
};

static void make_hostile(const char *path, change *make)
{
    hid_t access = H5Pcreate(H5P_FILE_ACCESS), f;

    H5Pset_fclose_degree(access, H5F_CLOSE_STRONG);
    f = H5Fopen(path, H5F_ACC_RDWR, access);
    if (make != wrong_hash && make != lost_data)
        H5Ldelete(f, "/check", H5P_DEFAULT);    /* or they would all be found by it */
    make(f);
    H5Fclose(f);
    H5Pclose(access);
}

static void test_hostile(void)
{
    for (size_t i = 0; i < sizeof hostile / sizeof *hostile; i++) {
        char *path = in_dir("hostile.tok.h5");
        dk_buf out = {0};
        dk_err err = {0};
        int rc;

        sample_file(path, 300, NULL);
        make_hostile(path, hostile[i].make);
        rc = dk_h5_info(&out, path, DK_INFO_CHECK, &err);
        if (!tap(rc < 0 && strstr(err.msg, hostile[i].says) && strstr(err.msg, path) &&
                 !strchr(err.msg, '\n'), "refused: %s", hostile[i].name))
            tap_note("%d: %s%s", rc, err.msg, out.s ? out.s : "");
        dk_buf_free(&out);
        unlink(path);
        dk_free(path);
    }
}

static void test_minor(void)
{
    char *path = in_dir("minor.tok.h5");
    dk_tokens t;
    dk_err err = {0};

    sample_file(path, 10, NULL);
    make_hostile(path, minor);
    if (!tap(dk_tokens_read(&t, path, &err) == 0, "read: a newer minor version with additions"))
        tap_note("%s", err.msg);
    dk_tokens_free(&t);
    dk_free(path);
}

/* --- good files ----------------------------------------------------------- */
static void test_equal_bytes(void)
{
    char *a = in_dir("a.tok.h5"), *b = in_dir("deeper/b.tok.h5");
    dk_err err = {0};

    tap(sample_file(a, 70000, &err) == 0, "a token file is written");
    usleep(1100000);        /* a stored time would show */
    tap(sample_file(b, 70000, &err) == 0 && same_file(a, b), "two writes give equal bytes");
    dk_free(a);
    dk_free(b);
}

/* sha256 of the definition, computed by tests/data/h5/content_id.py. */
#define SAMPLE_ID "sha256:108d20f4eca1b0f02533bd7afc592c441c19499a1d0c6659147a207eb3f0b141"

static void test_content_id(void)
{
    static const uint64_t rows[] = { 0, 1, 7, 1000, 200000 };
    char ids[5][DK_CONTENT_ID_LEN], memory[DK_CONTENT_ID_LEN];
    char *path = in_dir("chunks.tok.h5");
    bool same = true;
    dk_tokens t;

    sample_tokens(&t, 300);
    dk_tokens_content_id(&t, memory, NULL);
    for (int i = 0; i < 5; i++) {
        dk_h5 *f;

        memset(ids[i], 0, sizeof ids[i]);
        if (dk_h5_create(&f, path, "dk-tokens", &sample_prov, NULL) < 0)
            break;
        dk_h5_set_chunk_rows(f, rows[i]);
        dk_tokens_put(f, &t, NULL);
        dk_h5_commit(&f, t.rows, t.docs, ids[i], NULL);
        same = same && strcmp(ids[i], memory) == 0;
    }
    tap(same, "the content id does not depend on chunks, and memory has the same");
    if (!tap(strcmp(memory, SAMPLE_ID) == 0, "the content id is that of the definition"))
        tap_note("%s", memory);
    t.token[3] ^= 1;
    dk_tokens_content_id(&t, ids[0], NULL);
    tap(strcmp(memory, ids[0]) != 0, "another token, another content id");
    dk_tokens_free(&t);
    dk_free(path);
}

/* Every type, several ranks, appended in pieces across chunk borders. */
static void test_types(void)
{
    enum { N = 1000, K = 3 };
    static const dk_h5_type type[] = { DK_H5_U8, DK_H5_U32, DK_H5_U64, DK_H5_I32, DK_H5_I64,
                                       DK_H5_F16, DK_H5_BF16, DK_H5_F32, DK_H5_F64 };
    static uint8_t data[N * K * 2 * 8], back[sizeof data];
    const uint64_t dim[3] = { 0, K, 2 };
    char *path = in_dir("types.h5");
    dk_h5 *f;
    dk_err err = {0};
    bool good = true;

    for (size_t i = 0; i < sizeof data; i++)
        data[i] = (uint8_t)(i * 2654435761u >> 13);
    dk_h5_create(&f, path, "dk-activations", NULL, &err);
    dk_h5_set_chunk_rows(f, 64);
    for (int i = 0; i < 9; i++)
        for (int rank = 1; rank <= 3; rank++) {
            char *name = dk_xasprintf("/x/%s/r%d", dk_h5_type_name(type[i]), rank);
            const size_t row = (rank == 1 ? 1 : rank == 2 ? K : 2 * K) * dk_h5_type_size(type[i]);

            good = good && dk_h5_dataset(f, name, type[i], rank, dim, &err) == 0;
            for (size_t at = 0, n = 1; good && at < N; at += n, n = at + 37 > N ? N - at : 37)
                good = dk_h5_append(f, name, data + at * row, n, &err) == 0;
            dk_free(name);
        }
    dk_h5_put_int(f, "/x", "big", DK_H5_U64, INT64_MAX, &err);
    dk_h5_put_int(f, "/x", "small", DK_H5_I32, -7, &err);
    dk_h5_put_real(f, "/x", "real", DK_H5_F32, 0.5, &err);
    if (!tap(good && dk_h5_commit(&f, 0, 0, NULL, &err) == 0, "datasets of every type are written"))
        tap_note("%s", err.msg);
    good = dk_h5_open(&f, path, NULL, &err) == 0;
    for (int i = 0; good && i < 9; i++)
        for (int rank = 1; good && rank <= 3; rank++) {
            char *name = dk_xasprintf("/x/%s/r%d", dk_h5_type_name(type[i]), rank);
            const size_t row = (rank == 1 ? 1 : rank == 2 ? K : 2 * K) * dk_h5_type_size(type[i]);

            good = dk_h5_read(f, name, type[i], 0, N, back, &err) == 0 &&
                   memcmp(data, back, N * row) == 0 &&
                   dk_h5_read(f, name, type[i], 63, 130, back, &err) == 0 &&
                   memcmp(data + 63 * row, back, 130 * row) == 0 &&
                   dk_h5_read(f, name, type[i], N, 0, back, &err) == 0;
            dk_free(name);
        }
    if (!tap(good, "and come back, whole and in pieces"))
        tap_note("%s", err.msg);
    if (f) {
        int64_t big = 0, small = 0;
        double real = 0;

        tap(dk_h5_get_int(f, "/x", "big", &big, &err) == 0 && big == INT64_MAX &&
            dk_h5_get_int(f, "/x", "small", &small, &err) == 0 && small == -7 &&
            dk_h5_get_real(f, "/x", "real", &real, &err) == 0 && real == 0.5,
            "attributes come back");
        tap(dk_h5_read(f, "/x/u8/r1", DK_H5_U8, 999, 2, back, NULL) < 0 &&
            dk_h5_read(f, "/x/u8/r1", DK_H5_U8, UINT64_MAX, 2, back, NULL) < 0 &&
            dk_h5_read(f, "/x/u8/r1", DK_H5_U32, 0, 1, back, NULL) < 0 &&
            dk_h5_read(f, "/x/no", DK_H5_U8, 0, 1, back, NULL) < 0,
            "refused: rows outside, another type, another name");
    }
    dk_h5_close(&f);
    dk_free(path);
}

static void test_strs(void)
{
    static const char *const s[] = { "ab", "", "caf\303\251", "longest of all" };
    char *path = in_dir("strs.h5"), **back;
    size_t n;
    dk_h5 *f;
    bool good;

    dk_h5_create(&f, path, "dk-directions", NULL, NULL);
    dk_h5_write_strs(f, "/dirs/L03/name", s, 4, NULL);
    good = dk_h5_commit(&f, 0, 0, NULL, NULL) == 0 && dk_h5_open(&f, path, NULL, NULL) == 0 &&
           dk_h5_read_strs(f, "/dirs/L03/name", &back, &n, NULL) == 0 && n == 4;
    for (size_t i = 0; good && i < 4; i++) {
        good = strcmp(s[i], back[i]) == 0;
        dk_free(back[i]);
    }
    tap(good, "texts of a fixed length come back");
    if (good)
        dk_free(back);
    dk_h5_close(&f);
    dk_free(path);
}

static void test_truncated(void)
{
    char *path = in_dir("cut.tok.h5"), *whole = in_dir("whole.tok.h5");
    struct stat st;
    size_t accepted = 0, tried = 0;

    sample_file(whole, 300, NULL);
    stat(whole, &st);
    for (off_t n = 0; n < st.st_size; n += n < 64 ? 1 : 97) {
        char *cmd = dk_xasprintf("head -c %ld '%s' > '%s'", (long)n, whole, path);
        dk_buf out = {0};

        tried += system(cmd) == 0;
        accepted += dk_h5_info(&out, path, DK_INFO_CHECK, NULL) == 0;
        dk_buf_free(&out);
        dk_free(cmd);
    }
    tap(accepted == 0 && tried > 50, "refused: %zu cut files", tried);
    dk_free(path);
    dk_free(whole);
}

/* Where chunk c of a column lies in the file. */
static void chunk_place(const char *path, const char *data, hsize_t c, haddr_t *at, hsize_t *bytes)
{
    const hid_t f = H5Fopen(path, H5F_ACC_RDONLY, H5P_DEFAULT), d = H5Dopen2(f, data, H5P_DEFAULT),
                s = H5Dget_space(d);
    hsize_t offset[1];
    unsigned mask;

    H5Dget_chunk_info(d, s, c, offset, &mask, at, bytes);
    H5Sclose(s);
    H5Dclose(d);
    H5Fclose(f);
}

/* One bit of a stored chunk is another one: the message names file, dataset and chunk. */
static void test_flipped(void)
{
    char *path = in_dir("flip.tok.h5");
    size_t named = 0, hashed = 0, tried = 0;

    sample_file(path, 70000, NULL);
    for (hsize_t c = 0; c < 2; c++) {
        char *says = dk_xasprintf("%s: chunk %d of /rows/token ", path, (int)c);
        haddr_t at;
        hsize_t bytes;
        int fd;

        chunk_place(path, "/rows/token", c, &at, &bytes);
        fd = open(path, O_RDWR);
        for (hsize_t i = 0; i < 40; i++) {
            const off_t place = (off_t)(at + i * (bytes - 1) / 39);
            dk_buf out = {0};
            dk_err err = {0};
            uint8_t byte = 0;

            tried += pread(fd, &byte, 1, place) == 1;
            byte ^= 1 << i % 8;
            named += pwrite(fd, &byte, 1, place) == 1 && dk_h5_info(&out, path, DK_INFO_CHECK, &err) < 0 &&
                     strncmp(err.msg, says, strlen(says)) == 0;
            hashed += strstr(err.msg, "its hash") != NULL;
            byte ^= 1 << i % 8;
            tried -= pwrite(fd, &byte, 1, place) != 1;
            dk_buf_free(&out);
        }
        close(fd);
        dk_free(says);
    }
    if (!tap(tried == 80 && named == tried && hashed > 0, "found: a flipped bit of a chunk, by its place"))
        tap_note("%zu of %zu, %zu by the hash", named, tried, hashed);
    dk_free(path);
}

static void test_no_file(void)
{
    static const char *const bad[] = { "/", "/dev/null", "/nonexistent/x.h5", "/etc/passwd", "-" };
    bool good = true;

    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        dk_err err = {0};
        dk_h5 *f;

        good = good && dk_h5_open(&f, bad[i], NULL, &err) < 0 && !f && err.msg[0] &&
               !strchr(err.msg, '\n');
    }
    tap(good, "refused: folders, devices, other files, nothing");
}

/* --- writes that fail ----------------------------------------------------- */
static size_t entries(const char *below)
{
    char *cmd = dk_xasprintf("ls -A '%s/%s' 2>/dev/null | wc -l", dir, below);
    FILE *p = popen(cmd, "r");
    unsigned n = 99;

    if (fscanf(p, "%u", &n) != 1)
        n = 98;
    pclose(p);
    dk_free(cmd);
    return n;
}

/* What happens in a child, as waitpid tells it. */
static int in_child(void (*f)(const char *path), const char *path)
{
    int status = -1;
    const pid_t pid = (fflush(stdout), fork());

    if (pid == 0) {
        f(path);
        _exit(9);
    }
    waitpid(pid, &status, 0);
    return status;
}

static void full_disk(const char *path)
{
    const struct rlimit small = { 16384, 16384 };
    dk_err err = {0};

    dk_outfile_init();
    setrlimit(RLIMIT_FSIZE, &small);
    if (sample_file(path, 70000, &err) < 0 && strstr(err.msg, "File too large") &&
        strstr(err.msg, path) && !strchr(err.msg, '\n'))
        _exit(0);
    fprintf(stderr, "# %s\n", err.msg);
}

static void half_written(const char *path, int sig)
{
    dk_tokens t;
    dk_h5 *f;

    dk_outfile_init();
    sample_tokens(&t, 70000);
    if (dk_h5_create(&f, path, "dk-tokens", NULL, NULL) == 0 && dk_tokens_put(f, &t, NULL) == 0)
        raise(sig);
}

static void killed(const char *path) { half_written(path, SIGKILL); }
static void terminated(const char *path) { half_written(path, SIGTERM); }

static void test_failures(void)
{
    char *under_file = in_dir("plain/x.tok.h5"), *plain = in_dir("plain");
    char *full = in_dir("full/x.tok.h5"), *dead = in_dir("dead/x.tok.h5");
    char *term = in_dir("term/x.tok.h5"), *folder = in_dir("folder.h5");
    dk_err err = {0};
    int status;

    fclose(fopen(plain, "w"));
    tap(sample_file(under_file, 5, &err) < 0 && strstr(err.msg, plain),
        "refused: a folder that cannot be made");
    mkdir(folder, 0777);
    err = (dk_err){0};
    tap(sample_file(folder, 5, &err) < 0 && strstr(err.msg, folder), "refused: a folder as a file");
    tap(sample_file("/proc/x.tok.h5", 5, NULL) < 0, "refused: a folder that takes no files");
    status = in_child(full_disk, full);
    tap(WIFEXITED(status) && WEXITSTATUS(status) == 0, "a full disk is an error of one line");
    tap(entries("full") == 0, "and leaves nothing behind");
    status = in_child(killed, dead);
    tap(WIFSIGNALED(status) && access(dead, F_OK) < 0, "a killed writer leaves no target");
    status = in_child(terminated, term);
    tap(WIFSIGNALED(status) && entries("term") == 0, "a terminated writer leaves nothing");
    dk_free(under_file);
    dk_free(plain);
    dk_free(full);
    dk_free(dead);
    dk_free(term);
    dk_free(folder);
}

static void test_abandon(void)
{
    char *path = in_dir("kept/x.tok.h5");
    dk_h5 *f;

    sample_file(path, 5, NULL);
    dk_h5_create(&f, path, "dk-tokens", NULL, NULL);
    dk_h5_close(&f);
    tap(entries("kept") == 1 && f == NULL, "an abandoned writer leaves the old file");
    dk_free(path);
}

static void test_lineage(void)
{
    char *path = in_dir("lineage.tok.h5");
    dk_buf list = {0}, out = {0};
    dk_tokens t;

    sample_file(path, 5, NULL);
    tap(dk_tokens_read(&t, path, NULL) == 0 && strstr(t.lineage, t.content_id) &&
        strstr(t.lineage, "\"a.jsonl\"") && !strchr(t.lineage, '/') && !strstr(t.lineage, "lineage"),
        "a token file tells its lineage, without its name");
    dk_inputs_add_object(&list, t.lineage);
    tap(dk_inputs_add_file(&list, "model", path, NULL) == 0 &&
        dk_inputs_add_file(&list, "model", "/nonexistent", NULL) < 0, "inputs are hashed");
    dk_inputs_end(&list);
    tap(list.s[0] == '[' && list.s[list.n - 1] == ']' && strstr(list.s, "},{"),
        "and become one list");
    tap(dk_h5_info(&out, path, DK_INFO_LINEAGE, NULL) == 0 && strstr(out.s, "\n  a.jsonl  text"),
        "and a tree");
    dk_buf_free(&list);
    dk_buf_free(&out);
    dk_tokens_free(&t);
    dk_free(path);
}

/* --- samples for the tests of the tools -------------------------------------- */
static int make_samples(void)
{
    static const struct { const char *file, *hostile; } bad[] = {
        { "soft-link.tok.h5", "a soft link" },
        { "external-storage.tok.h5", "external storage" },
        { "unknown-filter.tok.h5", "an unknown filter" },
        { "wrong-id.tok.h5", "values that do not have the content id" },
        { "unknown-feature.tok.h5", "an unknown required feature" },
        { "newer-major.tok.h5", "a newer major version" },
        { "unknown-kind.h5", "an unknown kind" },
    };
    char *path = in_dir("sample-1.0.tok.h5");

    if (sample_file(path, 300, NULL) < 0)
        return 1;
    dk_free(path);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        for (size_t k = 0; k < sizeof hostile / sizeof *hostile; k++)
            if (strcmp(bad[i].hostile, hostile[k].name) == 0) {
                path = in_dir(bad[i].file);
                sample_file(path, 300, NULL);
                make_hostile(path, hostile[k].make);
                dk_free(path);
            }
    return 0;
}

int main(int argc, char **argv)
{
    if (argc == 3 && strcmp(argv[1], "make") == 0) {
        dir = argv[2];
        return make_samples();
    }
    dir = work_dir();
    test_equal_bytes();
    test_content_id();
    test_types();
    test_strs();
    test_hostile();
    test_minor();
    test_truncated();
    test_flipped();
    test_no_file();
    test_failures();
    test_abandon();
    test_lineage();
    remove_dir(dir);
    return tap_end();
}
