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

/* One line a lane, as dk-kl writes it of all documents together. */
static int add_rows(dk_buf *rows, dk_scores *s, uint64_t seed, dk_err *err)
{
    const dk_tokens *t = dk_scores_tokens(s);
    char *lanes = NULL, *save = NULL;
    float *kl = NULL;
    int rc = dk_alloc(&kl, t->rows, sizeof *kl, "scores", err);

    if (rc == 0)
        rc = dk_h5_get_str(dk_scores_file(s), "/", "lanes", &lanes, err);
    const char *base = rc == 0 ? strtok_r(lanes, ",", &save) : NULL;
    for (char *lane = base ? strtok_r(NULL, ",", &save) : NULL; rc == 0 && lane; lane = strtok_r(NULL, ",", &save)) {
        char *name = dk_xasprintf("kl/%s", lane);

        rc = dk_scores_read(s, name, 0, t->rows, kl, err);
        if (rc == 0)
            rc = dk_kl_table_row(rows, lane, base, t, kl, seed, err);
        dk_free(name);
    }
    dk_free(lanes);
    dk_free(kl);
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
