/* dk-grade: which tokens of ranked lists belong to the subject of the finetune. */
#include <string.h>

#include "base/log.h"
#include "base/outfile.h"
#include "cli/tool.h"
#include "io/mapfile.h"
#include "judge/grade.h"

struct params {
    const char *grader, *description, *agreement, *texts, *column, *neutral, *words, *model, *endpoint, *judge, *key, *cache, *out;
    int64_t tokens, stems, docs, frequent, min_count, max_tokens, rotations, batch, tries, timeout, parallel;
    bool translate, offline;
};

#define KEY "token_relevance."
#define FREE_INT(l, n, f, d, lo, hi, h) { DK_OPT_INT, l, n, offsetof(struct params, f), d, lo, hi, NULL, h, DK_NOSTAMP, NULL }

static const dk_opt opts[] = {
    DK_CHOICE(struct params, 'g', "grader", grader, "lexical", "lexical|llm", "words of the finetuning texts decide, or a language model"),
    DK_PATH(struct params, 'd', "description", description, NULL, "what the finetune taught, in words"),
    DK_INT_KEY(struct params, 'n', "num-tokens", tokens, "100", 1, 100000, KEY "k_candidate_tokens", "grade the first N tokens of each list"),
    DK_GROUP("the finetuning texts"),
    DK_PATH(struct params, 0, "texts", texts, NULL, "the finetuning texts: their words make the lexicon"),
    DK_STR(struct params, 0, "column", column, NULL, "the column of --texts that holds the text"),
    DK_PATH(struct params, 0, "neutral", neutral, NULL, "neutral texts that the lexicon stands out from"),
    DK_PATH(struct params, 0, "words", words, NULL, "a lexicon of your own, words in a file, instead of --texts"),
    DK_INT(struct params, 0, "stems", stems, "200", 1, 1000000, "the lexicon: the N word stems that mark the texts most"),
    DK_INT(struct params, 0, "max-samples", docs, "10000", 0, 1e15, "of the first N documents of each text; 0: all"),
    DK_PATH(struct params, 'm', "model", model, NULL, "the model whose tokenizer splits --texts: which tokens are frequent there"),
    DK_INT_KEY(struct params, 0, "frequent", frequent, "100", 1, 100000, KEY "frequent_tokens.num_tokens", "the N most frequent"),
    DK_INT_KEY(struct params, 0, "min-count", min_count, "10", 1, 1e15, KEY "frequent_tokens.min_count", "that occur N times or more"),
    DK_GROUP("a language model that judges"),
    { DK_OPT_STR, 0, "endpoint", offsetof(struct params, endpoint), "https://openrouter.ai/api/v1", 0, 0, NULL,
      "where it is asked: any server of OpenAI's chat completions", 0, KEY "grader.base_url" },
    { DK_OPT_STR, 'j', "judge", offsetof(struct params, judge), "openai/gpt-5-mini", 0, 0, NULL, "its name there", 0, KEY "grader.model_id" },
    { DK_OPT_PATH, 0, "key", offsetof(struct params, key), NULL, 0, 0, NULL, "a file with the key (default: $OPENROUTER_API_KEY)",
      DK_NOSTAMP, KEY "grader.api_key_path" },
    { DK_OPT_CHOICE, 0, "agreement", offsetof(struct params, agreement), "all", 0, 0, "all|majority",
      "relevant is what all rotations call so, or most", 0, KEY "agreement" },
    DK_INT_KEY(struct params, 'r', "rotations", rotations, "3", 1, 100, KEY "grader.permutations", "ask with the tokens in N rotations"),
    DK_INT_KEY(struct params, 0, "batch-size", batch, "20", 1, 1000, KEY "batch_size", "tokens of one question"),
    { DK_OPT_FLAG, 0, "translate", offsetof(struct params, translate), "false", 0, 0, NULL, "ask for English glosses too", 0,
      KEY "include_translation" },
    DK_INT_KEY(struct params, 0, "max-tokens", max_tokens, "10000", 1, 1e9, KEY "grader.max_tokens", "a reply's limit"),
    { DK_OPT_PATH, 0, "cache", offsetof(struct params, cache), NULL, 0, 0, NULL, "keep replies in a folder, and take them from there", DK_NOSTAMP, NULL },
    { DK_OPT_FLAG, 0, "offline", offsetof(struct params, offline), "false", 0, 0, NULL, "ask nobody: replies of --cache alone", DK_NOSTAMP, NULL },
    FREE_INT(0, "parallel", parallel, "8", 1, 256, "questions under way at once"),
    FREE_INT(0, "tries", tries, "3", 1, 100, "of each question, where it fails for a while"),
    FREE_INT(0, "timeout", timeout, "300", 1, 86400, "give a try up after N seconds"),
    DK_GROUP("output"),
    DK_OUT(struct params, out, "-", "write the table to FILE (JSON lines)"),
    DK_END
};

static int check_options(const struct params *p, const dk_chat_plan *chat, dk_err *err)
{
    const bool llm = strcmp(p->grader, "llm") == 0;

    if (p->texts && p->words)
        return dk_fail(err, DK_EUSAGE, "--texts and --words: one lexicon at a time");
    if (p->texts && !llm && !p->neutral)
        return dk_fail(err, DK_EUSAGE, "--texts needs --neutral, texts that they stand out from");
    if (p->model && !p->texts)
        return dk_fail(err, DK_EUSAGE, "--model is for the frequent tokens of the finetuning texts: --texts");
    if (!llm && !p->texts && !p->words && !p->description)
        return dk_fail(err, DK_EUSAGE, "nothing tells what is relevant: --texts and --neutral, --words, or --description");
    if (llm && !p->description)
        return dk_fail(err, DK_EUSAGE, "a language model needs to know what the finetune taught: --description");
    if (llm && dk_chat_check(chat, err) < 0)
        return DK_EUSAGE;
    return dk_outfile_check(p->out, err);
}

static int read_description(char **out, const char *path, dk_err *err)
{
    dk_mapfile *m = NULL;
    int rc = dk_mapfile_open(&m, path, err);

    if (rc == 0 && m->n > 1 << 20)
        rc = dk_fail(err, DK_EDATA, "%s is too long for a description: it has %zu bytes", path, m->n);
    if (rc == 0)
        rc = dk_relevance_description(out, (const char *)m->p, m->n, path, err);
    dk_mapfile_close(&m);
    return rc;
}

static int find_frequent(dk_frequent *f, const struct params *p, dk_err *err)
{
    dk_tokenizer *tok = NULL;
    int rc = dk_tokenizer_open(&tok, p->model, err);

    if (rc == 0)
        rc = dk_frequent_make(f, tok, p->texts, p->column, (size_t)p->docs, (size_t)p->frequent, (size_t)p->min_count, err);
    dk_tokenizer_close(&tok);
    return rc;
}

static int find_words(dk_lexical *words, dk_lexicon **lexicon, const struct params *p, const char *description, dk_err *err)
{
    const dk_lexicon_from from = { p->words, p->texts, p->column, p->neutral, (size_t)p->stems, (size_t)p->docs };
    const int rc = dk_lexicon_open(lexicon, &from, err);

    return rc == 0 ? dk_lexical_make(words, *lexicon, description, err) : rc;
}

/* All that is given to the grader, then the lists. */
static int grade(dk_buf *table, const struct params *p, dk_grade_plan *plan, dk_chat_plan *chat, int n, char **args, dk_err *err)
{
    dk_token_lists lists = {0};
    dk_frequent frequent = {0};
    dk_lexicon *lexicon = NULL;
    dk_lexical words = {0};
    char *description = NULL, *key = NULL;
    int rc = 0;

    for (int i = 0; rc == 0 && i < n; i++)
        rc = dk_token_lists_add(&lists, args[i], (size_t)p->tokens, err);
    if (rc == 0 && p->description)
        rc = read_description(&description, p->description, err);
    if (rc == 0 && p->model)
        rc = find_frequent(&frequent, p, err);
    if (rc == 0 && strcmp(p->grader, "lexical") == 0) {
        rc = find_words(&words, &lexicon, p, description, err);
        plan->lexical = &words;
        plan->by = !p->texts && !p->words ? "description" : p->texts ? (p->description ? "texts+description" : "texts")
                                                                     : p->description ? "words+description" : "words";
    } else if (rc == 0 && !p->offline)
        rc = dk_chat_key(&key, p->key, p->endpoint, err);
    chat->key = key;
    plan->subject = (dk_relevance_subject){ .description = description, .frequent = p->model ? &frequent : NULL,
                                            .translate = p->translate };
    if (rc == 0)
        rc = dk_grade_tokens(table, &lists, plan, err);
    dk_lexical_free(&words);
    dk_lexicon_free(&lexicon);
    dk_frequent_free(&frequent);
    dk_token_lists_free(&lists);
    dk_free(description);
    dk_free(key);
    return rc;
}

static int run(dk_ctx *ctx, const void *vp, int n, char **args, dk_err *err)
{
    const struct params *p = vp;
    dk_chat_plan chat = { .endpoint = p->endpoint, .model = p->judge, .cache = p->cache, .offline = p->offline,
                          .max_tokens = p->max_tokens, .timeout_s = p->timeout, .tries = p->tries };
    dk_grade_plan plan = { .chat = &chat, .all = strcmp(p->agreement, "all") == 0, .rotations = (size_t)p->rotations,
                           .batch = (size_t)p->batch, .parallel = (size_t)p->parallel };
    dk_buf table = {0};
    int rc = check_options(p, &chat, err);

    (void)ctx;
    if (rc == 0)
        rc = grade(&table, p, &plan, &chat, n, args, err);
    if (rc == 0)
        rc = dk_outfile_write(p->out, table.s, table.n, err);
    dk_buf_free(&table);
    return rc;
}

const dk_tool dk_this_tool = {
    .name = "dk-grade", .purpose = "grade ranked tokens: which belong to the subject of the finetune",
    .algo = 1, .usage = "[options] [-o FILE] TABLE...", .opts = opts,
    .params_size = sizeof(struct params), .min_args = 1, .max_args = -1, .run = run,
};
