/* Mutated small files against the HDF5 layer: mutate_h5 [RUNS [SEED [FILE...]]].
 *
 * Each mutation lies in a memfd and is read by a child of its own, with limits
 * on time and memory, as a file from elsewhere would be.  Accepted is a refusal
 * or a success; a crash or a hang is counted and its bytes are kept in
 * mutate_h5.SEED.RUN.h5 (the library of Debian 12 has known ones; ours must have
 * none: the message tells whose frame is on top).  With FILEs those are read
 * instead, once each, for a debugger. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/rng.h"
#include "io/actfile.h"
#include "io/dirfile.h"
#include "io/h5info.h"
#include "io/scorefile.h"
#include "io/statfile.h"

enum { MAX_BYTES = 1 << 20, KINDS = 5 };

/* The library asks for absurd sizes and takes no for an answer. */
const char *__asan_default_options(void);
const char *__asan_default_options(void) { return "allocator_may_return_null=1"; }

static uint8_t base[KINDS][MAX_BYTES], bytes[MAX_BYTES];
static size_t base_n[KINDS];
static uint64_t seed = 1, draws;

static size_t draw(size_t below) { return dk_ctr(seed, 99, draws++, 0) % below; }

static void load(int i, const char *path)
{
    FILE *f = fopen(path, "rb");

    base_n[i] = f ? fread(base[i], 1, MAX_BYTES, f) : 0;
    if (f)
        fclose(f);
    unlink(path);
}

static void make_acts(const char *path, const dk_tokens *t, const dk_provenance *prov)
{
    const float v[12] = { 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11 }, *const rows[2] = { v, v };
    const dk_act_info a = { .layer = 3, .site = "resid_post", .what = "base", .computed_in = "f32",
                            .dtype = DK_H5_BF16, .d = 2 };
    dk_act_info b = a;
    dk_acts_writer *w;

    b.what = "diff";
    if (dk_acts_new(&w, path, t, false, prov, NULL) < 0)
        return;
    dk_acts_add_model(w, "base", &(dk_model_info){ .arch = "llama" }, NULL);
    dk_acts_add(w, &a, NULL);
    dk_acts_add(w, &b, NULL);
    dk_acts_append(w, rows, 6, NULL);
    dk_acts_commit(&w, NULL);
}

static void make_dirs(const char *path, const dk_tokens *t, const dk_provenance *prov)
{
    static const char *const name[] = { "mean_pos_0", "mean_all" };
    const float v[4] = { 0, 1, 2, 3 };
    const int32_t position[] = { 0, DK_NO_POSITION };
    const double norm[] = { 1, 2 };
    const uint64_t count[] = { 2, 6 };
    const dk_dir_set s = { .layer = 3, .site = "resid_post", .what = "diff", .source = "mean", .unit = "model",
                           .act_norm = 5, .n = 2, .d = 2, .vector = v, .name = name, .position = position,
                           .norm = norm, .count = count };
    dk_h5 *f;

    if (dk_dirs_create(&f, path, t, NULL, prov, NULL) < 0)
        return;
    dk_dirs_put(f, &s, NULL);
    dk_dirs_commit(&f, 2, NULL);
}

static void make_stats(const char *path, const dk_tokens *t, const dk_provenance *prov)
{
    dk_sums s;
    dk_measure m;
    dk_node leaf = { .index = 3 };
    dk_h5 *f;

    if (dk_h5_create(&f, path, "dk-statistics", prov, NULL) < 0)
        return;
    dk_tokens_put_corpus(f, t, NULL);
    dk_h5_put_str(f, "/", "lanes", "base", NULL);
    if (dk_sums_new(&s, 3, "resid_post", "base", 2, 2, NULL) == 0 && dk_alloc(&leaf.m, 4, sizeof(double), "a leaf", NULL) == 0) {
        s.products = true;
        dk_tree_push(&s.gram, leaf, NULL);
        dk_sums_replicate(&s, 1, 42, NULL);
        dk_sums_put(f, &s, NULL);
    }
    if (dk_measure_new(&m, "logp/ft", "nats", 42, NULL) == 0) {
        m.flips = true;
        dk_measure_put(f, &m, NULL);
    }
    dk_sums_free(&s);
    dk_measure_free(&m);
    dk_h5_commit(&f, 6, 2, NULL, NULL);
}

/* A token, a score, an activation, a direction and a statistics file, small and with every kind of object. */
static void make_bases(void)
{
    const uint32_t ids[6] = { 1, 5, 2, 4, 3, 0 };
    const float v[6] = { 0, 1, 2, 3, 4, 5 };
    const uint64_t starts[7] = { 0, 1, 1, 2, 2, 2, 2 };
    const dk_provenance prov = { .writer = "w", .command_json = "{}", .inputs_json = "[]" };
    char a[64], b[64], c[64], d[64], e[64];
    dk_tokens t = { .vocab = 6 };
    dk_scores_writer *w;

    snprintf(a, sizeof a, "/tmp/dk-fuzz-%ld.tok.h5", (long)getpid());
    snprintf(b, sizeof b, "/tmp/dk-fuzz-%ld.score.h5", (long)getpid());
    snprintf(c, sizeof c, "/tmp/dk-fuzz-%ld.act.h5", (long)getpid());
    snprintf(d, sizeof d, "/tmp/dk-fuzz-%ld.dir.h5", (long)getpid());
    snprintf(e, sizeof e, "/tmp/dk-fuzz-%ld.stats.h5", (long)getpid());
    t.format = dk_xstrdup("text");
    t.bos = dk_xstrdup("none");
    dk_tokens_add_doc(&t, 0, ids, NULL, 4, NULL);
    dk_tokens_add_doc(&t, 7, ids + 4, NULL, 2, NULL);
    dk_tokens_write(&t, a, &prov, NULL);
    if (dk_scores_new(&w, b, &t, &prov, NULL) == 0) {
        dk_scores_add_model(w, "ft", &(dk_model_info){ .arch = "llama" }, NULL);
        dk_scores_add_dense(w, "kl/ft", v, 0, &(dk_score_attr){ .unit = "nats" }, NULL);
        dk_scores_add_sparse(w, "s", starts, ids, v, 6, NULL, NULL);
        dk_scores_commit(&w, NULL);
    }
    make_acts(c, &t, &prov);
    make_dirs(d, &t, &prov);
    make_stats(e, &t, &prov);
    dk_tokens_free(&t);
    load(0, a);
    load(1, b);
    load(2, c);
    load(3, d);
    load(4, e);
}

/* Flips, random bytes, edges of integer ranges, copies of another place, cuts. */
static size_t mutate(int i)
{
    static const uint64_t edge[] = { 0, 1, 0x7f, 0xff, 0x7fff, 0xffff, 0x7fffffff, 0xffffffff,
                                     0x7fffffffffffffff, UINT64_MAX };
    size_t n = base_n[i];

    memcpy(bytes, base[i], n);
    for (size_t k = draw(4) + 1; k > 0; k--) {
        const size_t at = draw(n - 8), width = (size_t)1 << draw(4);

        switch (draw(6)) {
        case 0: case 1: bytes[at] ^= (uint8_t)(1u << draw(8)); break;
        case 2: bytes[at] = (uint8_t)draw(256); break;
        case 3: memcpy(bytes + at, &edge[draw(10)], width); break;
        case 4: memcpy(bytes + at, base[i] + draw(n - 8), width); break;
        default: n = draw(20) ? n : draw(n - 64) + 64;
        }
        if (n < 64 + 8)
            break;
    }
    return n;
}

/* As their tools read them. */
static void read_as_kind(const char *path)
{
    float x[2 * 64];
    dk_acts *a = NULL;
    dk_dirs *d = NULL;
    dk_statistics s = {0};
    dk_h5 *f = NULL;

    if (dk_acts_open(&a, path, NULL) == 0)
        for (size_t i = 0; i < dk_acts_n(a); i++)
            if (dk_acts_at(a, i)->d == 2 && dk_acts_tokens(a)->rows <= 64)
                dk_acts_read(a, dk_acts_at(a, i), 0, dk_acts_tokens(a)->rows, x, NULL);
    dk_acts_close(&a);
    dk_dirs_open(&d, path, NULL);
    dk_dirs_close(&d);
    if (dk_h5_open(&f, path, "dk-statistics", NULL) == 0)
        dk_statistics_get(f, &s, NULL);
    dk_statistics_free(&s);
    dk_h5_close(&f);
}

static void read_it(const char *path)
{
    static const dk_info_form form[] = { DK_INFO_CHECK, DK_INFO_JSON, DK_INFO_TEXT };

    for (size_t k = 0; k < 3; k++) {
        dk_buf out = {0};
        dk_err err = {0};

        dk_h5_info(&out, path, form[k], &err);
        dk_buf_free(&out);
    }
    read_as_kind(path);
}

/* 0: fine; else what waitpid said. */
static int one(size_t n)
{
    const struct rlimit seconds = { 5, 5 };
    char path[64];
    int status = 0;
    const int fd = memfd_create("fuzz", 0);
    pid_t pid;

    if (fd < 0 || write(fd, bytes, n) != (ssize_t)n)
        abort();
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    if ((pid = fork()) == 0) {
        setrlimit(RLIMIT_CPU, &seconds);
        read_it(path);
        _exit(0);
    }
    waitpid(pid, &status, 0);
    close(fd);
    return status;
}

static void keep(size_t n, uint64_t run, int status)
{
    char name[64];
    FILE *f;

    snprintf(name, sizeof name, "mutate_h5.%llu.%llu.h5", (unsigned long long)seed,
             (unsigned long long)run);
    f = fopen(name, "wb");
    if (f) {
        fwrite(bytes, 1, n, f);
        fclose(f);
    }
    fprintf(stderr, "%s: %s\n", name, WIFSIGNALED(status) ? strsignal(WTERMSIG(status))
                                                          : "sanitizer report");
}

int main(int argc, char **argv)
{
    const uint64_t runs = argc > 1 ? strtoull(argv[1], NULL, 10) : 1000;
    uint64_t bad = 0;

    if (argc > 2)
        seed = strtoull(argv[2], NULL, 10);
    for (int i = 3; i < argc; i++)
        read_it(argv[i]);
    if (argc > 3)
        return 0;
    make_bases();
    for (int i = 0; i < KINDS; i++)
        if (base_n[i] < 1000)
            return 1;
    for (uint64_t r = 0; r < runs; r++) {
        const size_t n = mutate((int)draw(KINDS));
        const int status = one(n);

        if (status) {
            keep(n, r, status);
            bad++;
        }
    }
    printf("mutate_h5: %llu files, %llu crashes or hangs\n", (unsigned long long)runs,
           (unsigned long long)bad);
    return bad != 0;
}
