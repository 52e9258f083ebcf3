/* Samples for the tests of the HDF5 layer: small token and score files, and
 * what can be done to them. */
#ifndef DK_TESTS_H5MAKE_H
#define DK_TESTS_H5MAKE_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/hash.h"
#include "base/mem.h"
#include "io/h5meta.h"
#include "io/scorefile.h"
#include "io/tokfile.h"

static const dk_provenance sample_prov = {
    .writer = "dk-test 0.1.0 algo 1", .command_json = "{\"tool\":\"dk-test\",\"k\":5}",
    .inputs_json = "[{\"role\":\"text\",\"name\":\"a.jsonl\",\"bytes\":3,\"sha256\":\"00\"}]",
    .stage_key = "key"
};

/* Three documents (the second empty) of 5 + 0 + n rows. */
__attribute__((unused))
static void sample_tokens(dk_tokens *t, size_t n)
{
    static const uint32_t head[5] = { 0, 17, 4, 4, 998 };
    static const uint8_t flags[5] = { DK_TOK_SPECIAL | DK_TOK_BOS, 0, 0, 4, 16 };
    uint32_t *long_doc = dk_xcalloc(n ? n : 1, sizeof *long_doc);

    for (size_t i = 0; i < n; i++)
        long_doc[i] = (uint32_t)(i * i % 999);
    *t = (dk_tokens){ .vocab = 999, .max_tokens = 0 };
    t->corpus_name = dk_xstrdup("a.jsonl");
    t->corpus_sha256 = dk_xstrdup("c0");
    t->split = dk_xstrdup("train");
    t->format = dk_xstrdup("text");
    t->bos = dk_xstrdup("added");
    t->tokenizer_sha256 = dk_xstrdup("t0");
    t->template_sha256 = dk_xstrdup("");
    dk_tokens_add_doc(t, 3, head, flags, 5, NULL);
    dk_tokens_add_doc(t, 4, NULL, NULL, 0, NULL);
    dk_tokens_add_doc(t, 9, long_doc, NULL, n, NULL);
    dk_free(long_doc);
}

/* The token sample of 5 + n rows at path. */
__attribute__((unused))
static int sample_file(const char *path, size_t n, dk_err *err)
{
    dk_tokens t;
    int rc;

    sample_tokens(&t, n);
    rc = dk_tokens_write(&t, path, &sample_prov, err);
    dk_tokens_free(&t);
    return rc;
}

/* A folder of its own, removed by the shell that runs the tests or by nobody. */
__attribute__((unused))
static char *work_dir(void)
{
    const char *base = getenv("TMPDIR");
    char *dir = dk_xasprintf("%s/dk-test-XXXXXX", base && *base ? base : "/tmp");

    if (!mkdtemp(dir))
        abort();
    return dir;
}

__attribute__((unused))
static void remove_dir(char *dir)
{
    char *cmd = dk_xasprintf("rm -rf '%s'", dir);

    if (system(cmd) != 0)
        abort();
    dk_free(cmd);
    dk_free(dir);
}

__attribute__((unused))
static bool same_file(const char *a, const char *b)
{
    char x[65] = "", y[65] = "y";

    return dk_sha256_file(a, x, NULL) == 0 && dk_sha256_file(b, y, NULL) == 0 &&
           strcmp(x, y) == 0;
}

#endif
