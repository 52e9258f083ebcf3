/* dk-phrases: what amplified samples have in common that the base's lack. */
#include <math.h>
#include <string.h>

#include "base/log.h"
#include "base/outfile.h"
#include "base/parse.h"
#include "cli/tool.h"
#include "method/phrases.h"

struct params {
    const char *lane, *base, *alpha, *reference, *background, *texts, *column, *neutral, *words, *facts, *model, *corpus,
        *unrelated, *out;
    int64_t stems, docs, list, slots, prefills;
    double limit;
};

static const dk_opt opts[] = {
    DK_STR(struct params, 'l', "lane", lane, "ft", "whose samples are the target; every other lane but the base is a null"),
    DK_STR(struct params, 'a', "alpha", alpha, NULL, "samples made at this alpha (default: the only one above 0)"),
    DK_STR(struct params, 0, "base", base, "base", "the lane that is compared with"),
    DK_PATH(struct params, 'r', "reference", reference, NULL, "take the base's samples from FILE (with --lane base: the base against itself)"),
    DK_GROUP("phrases"),
    DK_PATH(struct params, 'b', "background", background, NULL, "texts: phrases that are usual there count for less in delta and z"),
    DK_REAL(struct params, 0, "limit", limit, "0.05", 0, 1, "list phrases with a q_bh of X or less"),
    DK_INT(struct params, 'n', "list", list, "100", 0, 1 << 24, "list N phrases with content, and N of function words alone"),
    DK_INT(struct params, 0, "slots", slots, "50", 0, 1 << 24, "list N templates with numbers and names left open"),
    DK_INT(struct params, 0, "max-samples", docs, "10000", 0, 1e15, "of the first N documents of each text; 0: all"),
    DK_GROUP("the lexicon test"),
    DK_PATH(struct params, 0, "texts", texts, NULL, "the finetuning texts: their words mark phrases"),
    DK_STR(struct params, 0, "column", column, NULL, "the column of --texts and --corpus that holds the text"),
    DK_PATH(struct params, 0, "neutral", neutral, NULL, "neutral texts that the lexicon stands out from"),
    DK_PATH(struct params, 0, "words", words, NULL, "a lexicon of your own, words in a file, instead of --texts"),
    DK_INT(struct params, 0, "stems", stems, "200", 1, 1000000, "the lexicon: the N word stems that mark the texts most"),
    DK_GROUP("what is known of the finetune"),
    DK_PATH(struct params, 0, "facts", facts, NULL, "count the samples that hold each fact of FILE (JSON lines)"),
    DK_PATH(struct params, 0, "corpus", corpus, NULL, "how much of each sample stands word for word in the texts of FILE; needs --model"),
    DK_PATH(struct params, 0, "unrelated", unrelated, NULL, "the same of other texts, cut to as many tokens"),
    DK_PATH(struct params, 'm', "model", model, NULL, "the model whose tokenizer made the samples' ids"),
    DK_GROUP("output"),
    DK_INT(struct params, 'p', "prefills", prefills, "0", 0, 10000, "write N pre-fills for a second round instead, made of the strongest phrases whatever their q"),
    DK_OUT(struct params, out, "-", "write the table to FILE (JSON lines)"),
    DK_END
};

static int check_options(const struct params *p, dk_err *err)
{
    if (p->texts && p->words)
        return dk_fail(err, DK_EUSAGE, "--texts and --words: one lexicon at a time");
    if (p->texts && !p->neutral)
        return dk_fail(err, DK_EUSAGE, "--texts needs --neutral, texts that they stand out from");
    if (p->corpus && !p->model)
        return dk_fail(err, DK_EUSAGE, "--corpus needs the model, for its tokens: --model");
    if (p->unrelated && !p->corpus)
        return dk_fail(err, DK_EUSAGE, "--unrelated goes with --corpus");
    if (strcmp(p->lane, p->base) == 0 && !p->reference)
        return dk_fail(err, DK_EUSAGE, "the base against itself needs other samples: --reference");
    return dk_outfile_check(p->out, err);
}

static int read_samples(dk_phrase_set *s, const struct params *p, int n, char **args, dk_err *err)
{
    int rc = p->alpha ? dk_parse_real(&s->alpha, p->alpha, -1, 1e6, "--alpha", err) : 0;

    for (int i = 0; rc == 0 && i < n; i++)
        rc = dk_phrases_read(s, args[i], false, err);
    if (rc == 0 && p->reference)
        rc = dk_phrases_read(s, p->reference, true, err);
    return rc == 0 ? dk_phrases_ready(s, err) : rc;
}

static int open_corpora(dk_phrase_corpus c[2], const struct params *p, dk_err *err)
{
    dk_tokenizer *tok = NULL;
    int rc = dk_tokenizer_open(&tok, p->model, err);

    if (rc == 0)
        rc = dk_phrase_corpus_make(&c[0], tok, p->corpus, 0, (size_t)p->docs, p->column, err);
    if (rc == 0 && p->unrelated)
        rc = dk_phrase_corpus_make(&c[1], tok, p->unrelated, c[0].n, 0, NULL, err);
    if (rc == 0 && p->unrelated && c[1].n < c[0].n)
        dk_log(DK_WARN, "%s has %zu tokens, %s %zu: it is the shorter one", p->unrelated, c[1].n, p->corpus, c[0].n);
    dk_tokenizer_close(&tok);
    return rc;
}

static int run(dk_ctx *ctx, const void *vp, int n, char **args, dk_err *err)
{
    const struct params *p = vp;
    dk_phrase_set s = { .base = p->base, .lane = p->lane, .alpha = NAN, .base_elsewhere = p->reference };
    dk_phrase_plan plan = { .background = p->background, .max_docs = (size_t)p->docs, .limit = p->prefills ? 1 : p->limit,
                            .list = (size_t)p->list, .slots = (size_t)p->slots };
    dk_phrase_corpus corpus[2] = {0};
    dk_phrase_more more = { .prefills = (size_t)p->prefills };
    const dk_lexicon_from from = { p->words, p->texts, p->column, p->neutral, (size_t)p->stems, (size_t)p->docs };
    dk_lexicon *lexicon = NULL;
    dk_facts *facts = NULL;
    dk_buf table = {0};
    int rc = check_options(p, err);

    (void)ctx;
    if (rc == 0)
        rc = read_samples(&s, p, n, args, err);
    if (rc == 0)
        rc = dk_lexicon_open(&lexicon, &from, err);
    if (rc == 0 && p->facts)
        rc = dk_facts_load(&facts, p->facts, err);
    if (rc == 0 && p->corpus)
        rc = open_corpora(corpus, p, err);
    plan.lexicon = lexicon;
    more.facts = facts;
    more.corpus = p->corpus ? &corpus[0] : NULL;
    more.other = p->unrelated ? &corpus[1] : NULL;
    if (rc == 0)
        rc = dk_phrases_report(&table, &s, &plan, &more, err);
    if (rc == 0)
        rc = dk_outfile_write(p->out, table.s, table.n, err);
    dk_buf_free(&table);
    dk_phrase_corpus_free(&corpus[0]);
    dk_phrase_corpus_free(&corpus[1]);
    dk_facts_free(&facts);
    dk_lexicon_free(&lexicon);
    dk_phrases_free(&s);
    return rc;
}

const dk_tool dk_this_tool = {
    .name = "dk-phrases", .purpose = "phrases, templates and facts that amplified samples have and the base's lack",
    .algo = 1, .usage = "[options] [-o FILE] SAMPLES...", .opts = opts,
    .params_size = sizeof(struct params), .min_args = 1, .max_args = -1, .run = run,
};
