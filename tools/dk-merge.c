/* dk-merge: joins shards of activations, scores or statistics. */
#include <string.h>

#include "base/outfile.h"
#include "cli/tool.h"
#include "io/merge.h"
#include "io/scorefile.h"
#include "method/kltable.h"

struct params {
    const char *out, *table;
};

static const dk_opt opts[] = {
    DK_OUT(struct params, out, NULL, "write the whole to FILE; -: a stream on standard output"),
    { DK_OPT_PATH, 0, "table", offsetof(struct params, table), NULL, 0, 0, NULL,
      "of scores with KL: write their statistics to FILE, as dk-kl does (JSON lines), - for stdout", DK_NOSTAMP, NULL },
    DK_END
};

/* What a data set of the file holds of every token. */
static int read_all(float **out, dk_scores *s, const char *kind, const char *lane, dk_err *err)
{
    const size_t rows = dk_scores_tokens(s)->rows;
    char *name = dk_xasprintf("%s/%s", kind, lane);
    int rc = dk_alloc(out, rows, sizeof **out, "scores", err);

    if (rc == 0)
        rc = dk_scores_read(s, name, 0, rows, *out, err);
    dk_free(name);
    return rc;
}

static int add_row(dk_buf *rows, dk_scores *s, const char *lane, const char *base, uint64_t seed, dk_err *err)
{
    float *kl = NULL, *logp = NULL, *logp_base = NULL;
    int rc = read_all(&kl, s, "kl", lane, err);

    if (rc == 0) rc = read_all(&logp, s, "logp", lane, err);
    if (rc == 0) rc = read_all(&logp_base, s, "logp", base, err);
    if (rc == 0) rc = dk_kl_table_row(rows, lane, base, false, dk_scores_tokens(s), kl, logp, logp_base, seed, err);
    dk_free(kl);
    dk_free(logp);
    dk_free(logp_base);
    return rc;
}

/* The other direction, where it was asked for. */
static int add_reverse(dk_buf *rows, dk_scores *s, const char *lane, const char *base, uint64_t seed, dk_err *err)
{
    char *name = dk_xasprintf("kl_reverse/%s", lane);
    float *kl = NULL;
    int rc = 0;

    if (dk_scores_find(s, name, false) && (rc = read_all(&kl, s, "kl_reverse", lane, err)) == 0)
        rc = dk_kl_table_row(rows, lane, base, true, dk_scores_tokens(s), kl, NULL, NULL, seed, err);
    dk_free(kl);
    dk_free(name);
    return rc;
}

/* One line a lane, as dk-kl writes it of all documents together. */
static int add_rows(dk_buf *rows, dk_scores *s, uint64_t seed, dk_err *err)
{
    int rc = 0;

    for (int reverse = 0; rc == 0 && reverse < 2; reverse++) {
        char *lanes = NULL, *save = NULL;
        const char *base;

        rc = dk_h5_get_str(dk_scores_file(s), "/", "lanes", &lanes, err);
        base = rc == 0 ? strtok_r(lanes, ",", &save) : NULL;
        for (char *lane = base ? strtok_r(NULL, ",", &save) : NULL; rc == 0 && lane; lane = strtok_r(NULL, ",", &save))
            rc = (reverse ? add_reverse : add_row)(rows, s, lane, base, seed, err);
        dk_free(lanes);
    }
    return rc;
}

static int write_table(const struct params *p, uint64_t seed, dk_err *err)
{
    dk_scores *s = NULL;
    dk_buf rows = {0};
    int rc = dk_scores_open(&s, p->out, err);

    if (rc == 0)
        rc = add_rows(&rows, s, seed, err);
    if (rc == 0)
        rc = dk_outfile_write(p->table, rows.s ? rows.s : "", rows.n, err);
    dk_buf_free(&rows);
    dk_scores_close(&s);
    return rc;
}

static int run(dk_ctx *ctx, const void *vp, int n, char **args, dk_err *err)
{
    const struct params *p = vp;

    int rc;

    if (!p->out)
        return dk_fail(err, DK_EUSAGE, "name the file of the whole with -o");
    if (p->table && (strcmp(p->out, "-") == 0 || strcmp(p->out, p->table) == 0))
        return dk_fail(err, DK_EUSAGE, "--table needs a file of the whole, and another name than it");
    if (p->table && dk_outfile_check(p->table, err) < 0)
        return DK_EIO;
    rc = dk_merge(args, (size_t)n, p->out, err);
    return rc == 0 && p->table ? write_table(p, (uint64_t)ctx->seed, err) : rc;
}

const dk_tool dk_this_tool = {
    .name = "dk-merge", .purpose = "join shards of activations, scores or statistics, checked one by one",
    .algo = 1, .usage = "[options] -o FILE SHARD...", .opts = opts,
    .params_size = sizeof(struct params), .min_args = 1, .max_args = -1, .run = run,
};
