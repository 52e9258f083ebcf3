/* dk-norms: lengths of activations and of what a finetune adds to them. */
#include <stdlib.h>
#include <string.h>

#include "base/outfile.h"
#include "cli/chatopts.h"
#include "cli/record.h"
#include "cli/tool.h"
#include "method/normsout.h"
#include "method/normsstats.h"
#include "text/chat.h"

struct params {
    const char *model, *out, *means, *table;
    dk_chat_opts chat;
    int64_t skip, positions;
};

static const dk_opt opts[] = {
    DK_INT(struct params, 0, "skip-first", skip, "0", 0, 1 << 24, "measure nothing at the first N tokens of a text"),
    DK_GROUP("mean differences"),
    DK_INT(struct params, 'n', "positions", positions, "5", 0, 4096, "at each of the first N positions"),
    DK_PATH(struct params, 'm', "model", model, NULL, "also at each token of this model's chat template"),
    DK_CHAT_OPTS(struct params),
    DK_GROUP("output"),
    DK_OUT(struct params, out, NULL, "write the values to FILE (.score.h5); -: a stream on standard output"),
    { DK_OPT_PATH, 0, "means", offsetof(struct params, means), NULL, 0, 0, NULL,
      "write the mean differences to FILE (.dir.h5)", DK_NOSTAMP, NULL },
    { DK_OPT_PATH, 0, "table", offsetof(struct params, table), NULL, 0, 0, NULL,
      "write the statistics to FILE (JSON lines), - for stdout (default without another output)", DK_NOSTAMP, NULL },
    DK_END
};

static int by_id(const void *a, const void *b)
{
    const uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

    return (x > y) - (x < y);
}

/* The ids that an empty message and the opening of an answer are rendered to, each once, ascending. */
static int template_ids(dk_ids *out, const struct params *p, const dk_tokens *t, const char *name, dk_err *err)
{
    const dk_turn turn = { .role = { "user", 4 }, .content = { "", 0 } };
    dk_chat_rules rules = {0};
    dk_rendering r = {0};
    dk_tokenizer *tok = NULL;
    dk_chat *chat = NULL;
    size_t n = 0;
    int rc = DK_CHAT_RULES(&p->chat, &rules, err);

    if (rc == 0)
        rc = dk_tokenizer_open(&tok, p->model, err);
    if (rc == 0)
        rc = dk_tokenizer_check(tok, t->tokenizer_sha256, name, p->model, err);
    if (rc == 0)
        rc = dk_chat_open(&chat, tok, &rules, err);
    if (rc == 0)
        rc = dk_chat_render(chat, &r, &turn, 1, DK_CHAT_OPEN, err);
    if (rc == 0)
        rc = dk_chat_encode(tok, &r, 0, out, NULL, err);
    if (rc == 0 && out->n)
        qsort(out->id, out->n, sizeof *out->id, by_id);
    for (size_t i = 0; rc == 0 && i < out->n; i++)
        if (i == 0 || out->id[i] != out->id[n - 1])
            out->id[n++] = out->id[i];
    out->n = n;
    dk_rendering_free(&r);
    dk_chat_close(&chat);
    dk_tokenizer_close(&tok);
    dk_chat_rules_free(&rules);
    return rc;
}

static int write_files(const struct params *p, dk_ctx *ctx, const dk_norms *m, const dk_act_input *in, dk_err *err)
{
    dk_record record;
    dk_provenance prov;
    int rc;

    dk_record_begin(&record, ctx);
    rc = dk_act_input_lineage(in, &record.inputs, err);
    prov = dk_record_end(&record);
    if (rc == 0 && p->means)
        rc = dk_norms_write_means(m, in->a, p->means, &prov, err);
    if (rc == 0 && p->out)
        rc = dk_norms_write(m, in->a, p->out, &prov, err);
    dk_record_free(&record);
    return rc;
}

/* Before the reading: can the results be kept, and beside one another? */
static int check_outputs(const char *const *path, size_t n, dk_err *err)
{
    for (size_t i = 0; i < n; i++) {
        for (size_t j = 0; path[i] && j < i; j++)
            if (path[j] && strcmp(path[i], path[j]) == 0)
                return dk_fail(err, DK_EUSAGE, "two outputs have the same name, %s", path[i]);
        if (path[i] && dk_outfile_check(path[i], err) < 0)
            return DK_EIO;
    }
    return 0;
}

/* Values token by token are not in them. */
static int table_of_stats(dk_buf *rows, const struct params *p, const dk_act_input *in, dk_err *err)
{
    const char *wants = p->out ? "-o" : p->means ? "--means (dk-mean gives them)" : p->model ? "--model" : p->skip ? "--skip-first" : NULL;

    return wants ? dk_fail(err, DK_EUSAGE, "%s has no rows, and %s needs them", in->path, wants)
                 : dk_norms_stats_table(rows, in, (size_t)p->positions, err);
}

static int table_of_rows(dk_buf *rows, const struct params *p, dk_ctx *ctx, const dk_act_input *in, bool table, dk_err *err)
{
    dk_norms m = {0};
    dk_ids ids = {0};
    int rc = p->model ? template_ids(&ids, p, dk_acts_tokens(in->a), in->path, err) : 0;

    if (rc == 0) {
        const dk_norm_plan plan = { .skip = (size_t)p->skip, .positions = (size_t)p->positions,
                                    .token = ids.id, .n_tokens = ids.n, .seed = (uint64_t)ctx->seed };

        rc = dk_norms_of(&m, in->a, &plan, err);
    }
    if (rc == 0 && table)
        rc = dk_norms_table(rows, &m, dk_acts_tokens(in->a), (size_t)p->skip, (uint64_t)ctx->seed, err);
    if (rc == 0 && (p->out || p->means))
        rc = write_files(p, ctx, &m, in, err);
    dk_free(ids.id);
    dk_norms_free(&m);
    return rc;
}

static int run(dk_ctx *ctx, const void *vp, int n, char **args, dk_err *err)
{
    const struct params *p = vp;
    const char *const table = p->table || p->out || p->means ? p->table : "-", *const path[] = { p->out, p->means, table };
    dk_act_input in = {0};
    dk_buf rows = {0};
    int rc;

    (void)n;
    if ((p->out && (rc = dk_h5_check_terminal(p->out, "", err)) < 0) ||
        (p->means && (rc = dk_h5_check_terminal(p->means, "", err)) < 0) || (rc = check_outputs(path, 3, err)) < 0)
        return rc;
    if ((rc = dk_act_input_open(&in, args[0], err)) == 0)
        dk_h5_warn_shard(in.f);
    if (rc == 0)
        rc = in.a ? table_of_rows(&rows, p, ctx, &in, table, err) : table_of_stats(&rows, p, &in, err);
    if (rc == 0 && table)
        rc = dk_outfile_write(table, rows.s, rows.n, err);
    dk_buf_free(&rows);
    dk_act_input_close(&in);
    return rc;
}

const dk_tool dk_this_tool = {
    .name = "dk-norms", .purpose = "lengths of activations, and how far a finetune's lie from the base's, token by token",
    .algo = 1, .usage = "[options] [-o FILE] ACTIVATIONS", .opts = opts,
    .params_size = sizeof(struct params), .min_args = 1, .max_args = 1, .run = run,
};
