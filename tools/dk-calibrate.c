/* dk-calibrate: statistics of a finetune beside those of nulls. */
#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "base/outfile.h"
#include "cli/tool.h"
#include "method/calibrate.h"
#include "text/corpus.h"

struct params {
    const char *model, *lane, *texts, *column, *neutral, *words, *out;
    dk_strs nulls;
    int64_t stems, docs, list;
};

static const dk_opt opts[] = {
    DK_STR(struct params, 'l', "lane", lane, "ft", "whose statistics; every other lane but base is a null"),
    DK_LIST(struct params, 'n', "null", nulls, NULL, "further nulls, NAME=FILE: in FILE that lane is a null too (repeat the option)"),
    DK_GROUP("the lexicon test"),
    DK_PATH(struct params, 'm', "model", model, NULL, "the model whose tokenizer made the ids"),
    DK_PATH(struct params, 0, "texts", texts, NULL, "the finetuning texts: their words mark the lists"),
    DK_STR(struct params, 0, "column", column, NULL, "the column of --texts that holds the text"),
    DK_PATH(struct params, 0, "neutral", neutral, NULL, "neutral texts: what the lexicon stands out from, and how frequent tokens are"),
    DK_PATH(struct params, 0, "words", words, NULL, "a lexicon of your own, words in a file, instead of --texts"),
    DK_INT(struct params, 0, "stems", stems, "200", 1, 1000000, "the lexicon: the N word stems that mark the texts most"),
    DK_INT(struct params, 0, "max-samples", docs, "10000", 0, 1e15, "of the first N documents of each; 0: all"),
    DK_GROUP("output"),
    DK_INT(struct params, 0, "list", list, "100", 0, 1 << 24, "list N vocabulary entries that are raised beyond the nulls"),
    DK_OUT(struct params, out, "-", "write the table to FILE (JSON lines)"),
    DK_END
};

/* How often each id occurs in the neutral texts. */
static int count_neutral(uint32_t **out, size_t *vocab, dk_tokenizer *tok, const struct params *p, dk_err *err)
{
    const dk_corpus_rules rules = { .max_docs = (size_t)p->docs };
    const dk_tokens *t = NULL;
    dk_corpus *c = NULL;
    int rc = dk_corpus_open(&c, tok, &rules, err);

    if (rc == 0) rc = dk_corpus_add(c, p->neutral, err);
    if (rc == 0) rc = dk_corpus_finish(c, &t, err);
    if (rc == 0) rc = dk_alloc(out, t->vocab, sizeof **out, "frequencies", err);
    for (size_t i = 0; rc == 0 && i < t->rows; i++)
        (*out)[t->token[i]]++;
    if (rc == 0)
        *vocab = t->vocab;
    dk_corpus_close(&c);
    return rc;
}

static int open_words(dk_cal_words *w, dk_tokenizer **tok, dk_lexicon **lex, uint32_t **count, const struct params *p,
                      const dk_cal *c, dk_err *err)
{
    const dk_lexicon_from from = { p->words, p->texts, p->column, p->neutral, (size_t)p->stems, (size_t)p->docs };
    int rc = p->model ? dk_tokenizer_open(tok, p->model, err) : 0;

    if (rc == 0 && *tok && *c->tokenizer_sha256)
        rc = dk_tokenizer_check(*tok, c->tokenizer_sha256, "the score files", p->model, err);
    if (rc == 0)
        rc = dk_lexicon_open(lex, &from, err);
    if (rc == 0 && *tok && p->neutral)
        rc = count_neutral(count, &w->vocab, *tok, p, err);
    w->tok = *tok;
    w->lexicon = *lex;
    w->count = *count;
    return rc;
}

static int add_files(dk_cal *c, const struct params *p, int n, char **args, dk_err *err)
{
    int rc = 0;

    for (int i = 0; rc == 0 && i < n; i++)
        rc = dk_cal_add(c, args[i], NULL, err);
    for (size_t i = 0; rc == 0 && i < p->nulls.n; i++) {
        const char *eq = strchr(p->nulls.v[i], '=');
        char *name;

        if (!eq || eq == p->nulls.v[i] || !eq[1])
            return dk_fail(err, DK_EUSAGE, "null '%s' is not of the form NAME=FILE", p->nulls.v[i]);
        name = dk_xstrndup(p->nulls.v[i], (size_t)(eq - p->nulls.v[i]));
        rc = strcmp(name, p->lane) == 0 || strcmp(name, "base") == 0
            ? dk_fail(err, DK_EUSAGE, "a null cannot be called '%s'", name) : dk_cal_add(c, eq + 1, name, err);
        dk_free(name);
    }
    return rc;
}

static int check_options(const struct params *p, dk_err *err)
{
    if (p->texts && p->words)
        return dk_fail(err, DK_EUSAGE, "--texts and --words: one lexicon at a time");
    if ((p->texts || p->words) && !p->model)
        return dk_fail(err, DK_EUSAGE, "the lexicon test needs the model, for its tokens: --model");
    if (p->texts && !p->neutral)
        return dk_fail(err, DK_EUSAGE, "--texts needs --neutral, texts that they stand out from");
    return dk_outfile_check(p->out, err);
}

static int run(dk_ctx *ctx, const void *vp, int n, char **args, dk_err *err)
{
    const struct params *p = vp;
    dk_cal c = { .lane = p->lane, .seed = (uint64_t)ctx->seed };
    dk_cal_words w = { .list = (size_t)p->list };
    dk_tokenizer *tok = NULL;
    dk_lexicon *lex = NULL;
    uint32_t *count = NULL;
    dk_buf table = {0};
    int rc = check_options(p, err);

    if (rc == 0)
        rc = add_files(&c, p, n, args, err);
    if (rc == 0)
        rc = open_words(&w, &tok, &lex, &count, p, &c, err);
    if (rc == 0 && lex)
        dk_log(DK_INFO, "a lexicon of %zu stems: %s, %s, ...", dk_lexicon_n(lex), dk_lexicon_at(lex, 0),
               dk_lexicon_at(lex, dk_lexicon_n(lex) > 1 ? 1 : 0));
    if (rc == 0)
        rc = dk_cal_table(&table, &c, &w, err);
    if (rc == 0)
        rc = dk_outfile_write(p->out, table.s, table.n, err);
    dk_buf_free(&table);
    dk_free(count);
    dk_lexicon_free(&lex);
    dk_tokenizer_close(&tok);
    dk_cal_free(&c);
    return rc;
}

const dk_tool dk_this_tool = {
    .name = "dk-calibrate", .purpose = "put the nulls' values, p and q beside the statistics of a finetune",
    .algo = 2, .usage = "[options] [-o FILE] FILE...", .opts = opts,
    .params_size = sizeof(struct params), .min_args = 1, .max_args = -1, .run = run,
};
