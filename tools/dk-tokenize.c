/* dk-tokenize: text files to token files. */
#include <string.h>

#include "base/parse.h"
#include "cli/chatopts.h"
#include "cli/record.h"
#include "cli/tool.h"
#include "io/h5meta.h"
#include "text/corpus.h"
#include "text/shuffle.h"
#include "text/tokenizer.h"

struct params {
    const char *model, *out, *format, *column, *name;
    int64_t max_samples, max_tokens, fixed_tokens, min_tokens;
    bool no_special, json_lines, shuffle, roundtrip;
    dk_strs replace;
    dk_chat_opts chat;
};

#define P struct params
static const dk_opt opts[] = {
    DK_GROUP("input and output"),
    DK_PATH  (P, 'm', "model",        model,        NULL,   "take the tokenizer from FILE: a GGUF, a tokenizer.json or a folder with one"),
    DK_OUT   (P,                      out,          NULL,   "write the tokens to FILE (.tok.h5); -: a stream on standard output"),
    { DK_OPT_FLAG, 0, "json-lines", offsetof(P, json_lines), "false", 0, 0, NULL,
      "with -o -: as JSON lines, to be read by people and jq", DK_NOSTAMP, NULL },
    DK_CHOICE(P, 'f', "format",       format,       "auto", "auto|text|chat", "what a row is; auto: a chat if it has messages and no text"),
    DK_STR   (P, 0,   "column",       column,       NULL,   "name of the column with the text (--format chat: with the messages)"),
    DK_STR   (P, 0,   "name",         name,         NULL,   "call the data set NAME instead of after its files"),
    DK_GROUP("chats"),
    DK_CHAT_OPTS(P),
    DK_GROUP("which documents, how long"),
    DK_INT_KEY(P, 'n', "max-samples", max_samples,  "0", 0, 1e15,    "preprocessing.max_samples_per_dataset", "keep the first N documents; 0: all"),
    DK_FLAG  (P, 0,   "shuffle",      shuffle,      "take the rows in the order that --seed puts them into, as numpy and the datasets library do"),
    DK_INT_KEY(P, 0,  "max-tokens",   max_tokens,   "1024", 0, 1e9,  "preprocessing.context_len", "cut documents after N tokens; 0: nowhere"),
    DK_INT   (P, 0,   "min-tokens",   min_tokens,   "1", 0, 1e9,     "drop documents with fewer tokens"),
    DK_INT   (P, 0,   "fixed-tokens", fixed_tokens, "0", 0, 1e8,     "keep exactly N tokens of each document that has so many; 0: off"),
    DK_FLAG  (P, 0,   "no-special",   no_special,   "read the names of special tokens in documents as ordinary text"),
    DK_GROUP("as the reference toolkit does"),
    DK_FLAG  (P, 0,   "roundtrip",    roundtrip,    "encode and cut texts, decode them, and encode what comes out"),
    DK_LIST  (P, 0,   "replace-tokens", replace,    NULL, "OLD=NEW: in place of the token OLD put NEW, everywhere"),
    DK_END
};

static int tokenize(dk_ctx *ctx, const struct params *p, const dk_tokenizer_info *info,
                    dk_corpus *c, int n, char **text, dk_err *err)
{
    static char *std[] = { "-" };
    const dk_tokens *tokens = NULL;
    dk_record record;
    dk_provenance prov;
    int rc = 0;

    dk_record_begin(&record, ctx);
    /* The digest of the tokenizer, not of the gigabytes it may come with. */
    dk_inputs_add(&record.inputs, "tokenizer", p->model, info->sha256, 0);
    if (n == 0) {
        n = 1;
        text = std;
    }
    if (p->shuffle)
        rc = dk_corpus_add_shuffled(c, (size_t)n, text, (size_t)p->max_samples, (uint64_t)ctx->seed, err);
    for (int i = 0; rc == 0 && i < n && (p->shuffle || !dk_corpus_full(c)); i++)
        if (p->shuffle || (rc = dk_corpus_add(c, text[i], err)) == 0)
            rc = dk_inputs_add_file(&record.inputs, "text", text[i], err);
    prov = dk_record_end(&record);
    if (rc == 0)
        rc = dk_corpus_finish(c, &tokens, err);
    if (rc == 0)
        rc = p->json_lines ? dk_tokens_write_json(tokens, &prov, err) : dk_tokens_write(tokens, p->out, &prov, err);
    dk_record_free(&record);
    return rc;
}

/* *pairs is to be freed. */
static int replacements(dk_corpus_rules *rules, uint32_t (**pairs)[2], const dk_strs *text, dk_err *err)
{
    int rc = 0;

    *pairs = dk_xcalloc(text->n + 1, sizeof **pairs);
    for (size_t i = 0; rc == 0 && i < text->n; i++) {
        const char *eq = strchr(text->v[i], '=');
        char *old = dk_xstrndup(text->v[i], eq ? (size_t)(eq - text->v[i]) : 0);
        int64_t from = 0, to = 0;

        rc = eq ? dk_parse_int(&from, old, 0, UINT32_MAX - 1, "--replace-tokens", err)
                : dk_fail(err, DK_EUSAGE, "--replace-tokens: '%s' is no OLD=NEW", text->v[i]);
        if (rc == 0)
            rc = dk_parse_int(&to, eq + 1, 0, UINT32_MAX - 1, "--replace-tokens", err);
        (*pairs)[i][0] = (uint32_t)from;
        (*pairs)[i][1] = (uint32_t)to;
        for (size_t k = 0; rc == 0 && k < i; k++)
            if ((*pairs)[k][0] == (*pairs)[i][0])
                rc = dk_fail(err, DK_EUSAGE, "--replace-tokens: %u is there twice", (*pairs)[i][0]);
        dk_free(old);
    }
    rules->replace = (const uint32_t (*)[2])*pairs;
    rules->n_replace = text->n;
    return rc;
}

static int run(dk_ctx *ctx, const void *vp, int n, char **text, dk_err *err)
{
    const struct params *p = vp;
    dk_chat_rules chat = {0};
    dk_corpus_rules rules = {
        .kind = strcmp(p->format, "chat") == 0 ? DK_DOC_CHAT
            : strcmp(p->format, "text") == 0 ? DK_DOC_TEXT : DK_DOC_AUTO,
        .column = p->column, .name = p->name, .max_docs = (size_t)p->max_samples,
        .max_tokens = (size_t)p->max_tokens, .min_tokens = (size_t)p->min_tokens,
        .fixed_tokens = (size_t)p->fixed_tokens, .no_special = p->no_special, .roundtrip = p->roundtrip, .chat = &chat,
    };
    uint32_t (*replace)[2] = NULL;
    dk_tokenizer *tok = NULL;
    dk_corpus *corpus = NULL;
    int rc;

    if (!p->model || !p->out)
        return dk_fail(err, DK_EUSAGE, "%s", p->model ? "an output is needed: -o FILE"
                       : "a model is needed: -m FILE");
    if (p->json_lines && strcmp(p->out, "-") != 0)
        return dk_fail(err, DK_EUSAGE, "--json-lines goes to standard output: -o -");
    if (!p->json_lines && (rc = dk_h5_check_terminal(p->out, ", or see them with --json-lines", err)) < 0)
        return rc;
    if ((rc = replacements(&rules, &replace, &p->replace, err)) == 0 && (rc = DK_CHAT_RULES(&p->chat, &chat, err)) == 0 &&
        (rc = dk_tokenizer_open(&tok, p->model, err)) == 0 &&
        (rc = dk_corpus_open(&corpus, tok, &rules, err)) == 0)
        rc = tokenize(ctx, p, dk_tokenizer_about(tok), corpus, n, text, err);
    dk_corpus_close(&corpus);
    dk_tokenizer_close(&tok);
    dk_chat_rules_free(&chat);
    dk_free(replace);
    return rc;
}

const dk_tool dk_this_tool = {
    .name = "dk-tokenize", .purpose = "turn texts and chats into token files", .algo = 2,
    .usage = "[options] -m MODEL -o FILE.tok.h5 [TEXT...]", .opts = opts,
    .params_size = sizeof(struct params), .min_args = 0, .max_args = -1, .run = run,
};
