/* Calibration on simulated lanes: a family of words that the finetune alone
 * raises is found and its theme told; what nulls raise is not.  And what a table
 * says, by hand. */
#include <math.h>
#include <stdio.h>
#include <unistd.h>

#include "base/rng.h"
#include "files.h"
#include "io/jsonl.h"
#include "method/calibrate.h"
#include "tap.h"

enum { VOCAB = 1500, DOCS = 100, ROWS = 60, NULLS = 19, FRESH = 20, FAMILY = 60, FIRST = 200 };

static dk_err err;
static char dir[] = "/tmp/dk-calibrate-XXXXXX";

/* --- a vocabulary of invented words ---------------------------------------------- */
static void word(char out[8], size_t v)
{
    static const char c[] = "bdfgklmnprtvz", w[] = "aou";
    size_t at = 0;

    for (size_t i = 0; i < 3; i++) {        /* no ending that a stem would lose */
        out[at++] = c[v % 13];
        v /= 13;
        out[at++] = w[(v + i) % 3];
    }
    out[at++] = 'k';
    out[at] = 0;
}

static bool of_family(size_t v) { return v >= FIRST && v < FIRST + 10 * FAMILY && v % 10 == 3; }

static void vocabulary(dk_tokenizer **tok, dk_lexicon **lex)
{
    dk_buf json = {0}, words = {0};
    char *path, *list;
    char w[8];

    dk_buf_adds(&json, "{\"version\": \"1.0\", \"added_tokens\": [], \"normalizer\": null, "
                "\"pre_tokenizer\": {\"type\": \"ByteLevel\", \"add_prefix_space\": false, \"trim_offsets\": true, \"use_regex\": true}, "
                "\"post_processor\": null, \"decoder\": {\"type\": \"ByteLevel\"}, \"model\": {\"type\": \"BPE\", \"vocab\": {");
    for (size_t v = 0; v < VOCAB; v++) {
        word(w, v);
        dk_buf_addf(&json, "%s\"\xC4\xA0%s\": %zu", v ? ", " : "", w, v);
        if (of_family(v))
            dk_buf_addf(&words, "%s\n", w);
    }
    dk_buf_adds(&json, "}, \"merges\": []}}");
    path = put_file(dir, "tokenizer.json", json.s, json.n);
    list = put_file(dir, "words.txt", words.s, words.n);
    if (dk_tokenizer_open(tok, path, &err) < 0 || dk_lexicon_load(lex, list, &err) < 0)
        printf("# %s\n", err.msg);
    unlink(path);
    unlink(list);
    dk_free(path);
    dk_free(list);
    dk_buf_free(&json);
    dk_buf_free(&words);
}

/* --- lanes --------------------------------------------------------------------------- */
static uint64_t draw = 17;

static double uniform(uint64_t a, uint64_t b, uint64_t c) { return dk_uniform(dk_ctr(draw, 40 + c, a, b)); }

static double normal(uint64_t a, uint64_t b, uint64_t c)
{
    return sqrt(-2 * log(1 - uniform(a, 2 * b, c))) * cos(6.283185307179586 * uniform(a, 2 * b + 1, c));
}

/* By inversion. */
static double poisson(double mean, double u)
{
    double p = exp(-mean), sum = p, k = 0;

    while (u > sum && k < 500) {
        k++;
        p *= mean / k;
        sum += p;
    }
    return k;
}

/* A lane has tastes of its own: some entries often, most a little; documents differ. */
static void lane(dk_cal *c, const char *name, uint64_t number, bool planted)
{
    dk_cal_rates *r;

    c->rates = dk_xrealloc(c->rates, (c->n_rates + 1) * sizeof *c->rates);
    r = &c->rates[c->n_rates++];
    *r = (dk_cal_rates){ .set = dk_xstrdup("s"), .lane = dk_xstrdup(name), .vocab = VOCAB, .docs = DOCS, .n = DOCS * ROWS,
                         .nn = DOCS * ROWS * (double)ROWS };
    if (dk_alloc(&r->x, VOCAB, 8, "x", &err) < 0 || dk_alloc(&r->xx, VOCAB, 8, "x", &err) < 0 || dk_alloc(&r->xn, VOCAB, 8, "x", &err) < 0)
        abort();
    for (size_t v = 0; v < VOCAB; v++) {
        const double common = .02 / (1 + (double)v / 50), own = exp(.5 * normal(number, v, 0)),
                     big = uniform(number, v, 5) < .001 ? .5 : 0, rate = common * own + big + (planted && of_family(v) ? .02 : 0);

        for (size_t d = 0; d < DOCS; d++) {
            const double x = poisson(ROWS * rate * exp(.3 * normal(number * 1000 + d, v % 7, 2) - .045),
                                     uniform(number * VOCAB + v, d, 3));

            r->x[v] += x;
            r->xx[v] += x * x;
            r->xn[v] += x * ROWS;
        }
    }
}

static void swap(dk_cal_rates *a, dk_cal_rates *b)
{
    const dk_cal_rates t = *a;

    *a = *b;
    *b = t;
}

static void free_rates(dk_cal_rates *r)
{
    dk_free(r->set); dk_free(r->lane); dk_free(r->x); dk_free(r->xx); dk_free(r->xn);
}

static void name_of(char out[32], size_t i) { snprintf(out, 32, "rigid_%02zu", i); }

static const dk_json *row_of(const dk_jsonl *t, const char *statistic)
{
    for (size_t i = 0; i < t->n; i++)
        if (strcmp(dk_json_str(dk_json_get(t->row[i], "statistic"), ""), statistic) == 0)
            return t->row[i];
    return NULL;
}

static int table(dk_jsonl *t, const dk_cal *c, const dk_cal_words *w)
{
    dk_buf out = {0};
    char *path;
    int rc = dk_cal_table(&out, c, w, &err);

    *t = (dk_jsonl){0};
    if (rc < 0) {
        dk_buf_free(&out);
        return rc;
    }
    path = put_file(dir, "t.jsonl", out.s, out.n);
    rc = dk_jsonl_load(t, path, &err);
    unlink(path);
    dk_free(path);
    dk_buf_free(&out);
    return rc;
}

static double num(const dk_json *r, const char *key) { return dk_json_num(dk_json_get(r, key), NAN); }
static const char *str(const dk_json *r, const char *key) { return dk_json_str(dk_json_get(r, key), ""); }

/* The finetune against `nulls` nulls. */
static void begin(dk_cal *c, uint64_t number, bool planted, size_t nulls)
{
    char name[32];

    *c = (dk_cal){ .lane = "ft", .seed = 42, .vocab = VOCAB };
    dk_alloc(&c->count, VOCAB, sizeof *c->count, "x", &err);
    for (size_t v = 0; v < VOCAB; v++)
        c->count[v] = (uint32_t)(VOCAB - v);
    lane(c, "ft", number, planted);
    dk_cal_new_row(c, "diff_mining", "mean_top_value", "s", "ft")->value = 1;
    for (size_t i = 0; i < nulls; i++) {
        name_of(name, i + 1);
        lane(c, name, i + 1, false);
    }
}

static void families(const dk_tokenizer *tok, const dk_lexicon *lex)
{
    const dk_cal_words w = { .tok = tok, .lexicon = lex, .list = VOCAB };
    dk_cal c;
    dk_jsonl t;
    size_t found = 0, wrong = 0, passed = 0, listed = 0;
    const dk_json *test, *count;

    begin(&c, 500, true, NULLS);
    if (!tap(table(&t, &c, &w) == 0, "a table %s", err.msg))
        return;
    for (size_t i = 0; i < t.n; i++)
        if (strcmp(str(t.row[i], "statistic"), "rate") == 0) {
            listed++;
            found += of_family((size_t)num(t.row[i], "id")) && num(t.row[i], "fdr_td") <= .05;
            wrong += !of_family((size_t)num(t.row[i], "id"));
        }
    test = row_of(&t, "lexicon_beyond_null");
    count = row_of(&t, "tokens");
    tap(found >= 50, "19 nulls: %zu of a family of 60 have fdr_td .05 or less", found);
    tap(wrong <= .15 * (double)listed && num(count, "value") == (double)listed && strcmp(str(count, "by"), "fdr_td") == 0,
        "of %zu entries listed %zu are others", listed, wrong);
    tap(test && num(test, "p_lexicon") < 1e-6 && strcmp(str(test, "verdict"), "above null") == 0, "their theme: %g of 20, p %.1e",
        num(test, "value"), num(test, "p_lexicon"));
    dk_jsonl_free(&t);
    dk_cal_free(&c);

    begin(&c, 500, true, 2);
    found = listed = 0;
    if (tap(table(&t, &c, &w) == 0, "two nulls"))
        for (size_t i = 0; i < t.n; i++)
            if (strcmp(str(t.row[i], "statistic"), "rate") == 0) {
                listed++;
                found += of_family((size_t)num(t.row[i], "id")) && num(t.row[i], "q_bh") <= .05 &&
                         isnan(num(t.row[i], "fdr_td")) && isnan(num(t.row[i], "p_pool")) && *str(t.row[i], "against");
            }
    test = row_of(&t, "lexicon_beyond_null");
    tap(found >= 30 && test && num(test, "p_lexicon") < 1e-6, "%zu of %zu entries with q_bh .05 are of the family, p of the theme %.1e", found,
        listed, num(test, "p_lexicon"));
    dk_jsonl_free(&t);
    dk_cal_free(&c);

    begin(&c, 99, false, NULLS);
    for (size_t k = 0; k < FRESH; k++) {
        lane(&c, "ft", 100 + k, false);
        swap(&c.rates[0], &c.rates[--c.n_rates]);       /* the one before goes */
        free_rates(&c.rates[c.n_rates]);
        if (table(&t, &c, &w) == 0)
            passed += num(row_of(&t, "lexicon_beyond_null"), "p_lexicon") <= .05;
        dk_jsonl_free(&t);
    }
    dk_cal_free(&c);
    tap(passed <= 1, "%zu of %d fresh nulls have a theme", passed, FRESH);
}

/* --- the words of a table -------------------------------------------------------------- */
static void value(dk_cal *c, const char *lane, double v, double lo, double hi, bool two_sided)
{
    dk_cal_row *r = dk_cal_new_row(c, "kl", two_sided ? "logp_change" : "mean", "s", lane);

    r->value = v;
    r->lo = lo;
    r->hi = hi;
    r->two_sided = two_sided;
}

static bool says(const char *verdict, double p, double ratio, const char *kind, size_t m, const dk_cal *c)
{
    const dk_cal_words w = {0};
    dk_jsonl t;
    const dk_json *r, *null;
    bool good;

    if (table(&t, c, &w) < 0)
        return false;
    r = t.n == 1 ? t.row[0] : NULL;
    null = dk_json_get(r, "null");
    good = strcmp(str(r, "verdict"), verdict) == 0 && (isnan(p) ? isnan(num(r, "p_null")) : fabs(num(r, "p_null") - p) < 1e-12) &&
           (isnan(ratio) ? isnan(num(r, "ratio")) : fabs(num(r, "ratio") - ratio) < 1e-12) &&
           (m == 0 ? !null : num(null, "m") == (double)m && strcmp(str(null, "kind"), kind) == 0);
    if (!good)
        printf("# %s p %g ratio %g kind %s m %g\n", str(r, "verdict"), num(r, "p_null"), num(r, "ratio"), str(null, "kind"), num(null, "m"));
    dk_jsonl_free(&t);
    return good;
}

static void verdicts(void)
{
    char name[32];
    dk_cal c = { .lane = "ft" };

    value(&c, "ft", .5, .4, .6, false);
    tap(says("not calibrated", NAN, NAN, "", 0, &c), "no null");
    value(&c, "null_self", .25, .2, .3, false);
    tap(says("above null", NAN, 2, "null_self", 1, &c), "one null, intervals apart: ratio and no p");
    value(&c, "null_neutral", .3, .2, .45, false);
    tap(says("within null", NAN, .5 / .3, "null_self,null_neutral", 2, &c), "intervals that meet");
    dk_cal_free(&c);
    for (int m = 5; m <= 19; m += 14) {
        c = (dk_cal){ .lane = "ft" };
        value(&c, "ft", 20, NAN, NAN, false);
        for (size_t i = 1; i <= (size_t)m; i++) {
            name_of(name, i);
            value(&c, name, (double)i, NAN, NAN, false);
            if (i == 1)
                value(&c, name, 1000, NAN, NAN, false);         /* a lane that comes twice counts as it came first */
        }
        tap(says("above null", 1. / (m + 1), NAN, "rigid", (size_t)m, &c), "beyond all %d nulls", m);
        c.row[0].value = m;
        tap(says("within null", 2. / (m + 1), NAN, "rigid", (size_t)m, &c), "as far as the largest");
        dk_cal_free(&c);
    }
    c = (dk_cal){ .lane = "ft" };
    value(&c, "ft", -3, NAN, NAN, true);
    for (size_t i = 0; i < 5; i++) {
        name_of(name, i + 1);
        value(&c, name, (double)i / 2 - 1, NAN, NAN, true);     /* -1 .. 1 */
    }
    tap(says("above null", 1 / 6., NAN, "rigid", 5, &c), "to the other side: far is far");
    c.row[0].value = .9;
    tap(says("within null", .5, NAN, "rigid", 5, &c), "and near is near");
    dk_cal_free(&c);
    c = (dk_cal){ .lane = "ft" };
    value(&c, "ft", -.5, -.6, -.4, true);
    value(&c, "null", .2, .1, .3, true);
    tap(says("above null", NAN, 2.5, "null", 1, &c), "of few nulls sizes are compared");
    c.row[0].hi = .1;
    tap(says("within null", NAN, 2.5, "null", 1, &c), "and an interval about 0 begins there");
    dk_cal_free(&c);
    c = (dk_cal){ .lane = "ft" };
    value(&c, "null", 1, NAN, NAN, false);
    tap(table(&(dk_jsonl){0}, &c, &(dk_cal_words){0}) == DK_EDATA, "nulls alone: %s", err.msg);
    err = (dk_err){0};
    dk_cal_free(&c);
}

int main(void)
{
    dk_tokenizer *tok = NULL;
    dk_lexicon *lex = NULL;

    if (!mkdtemp(dir))
        abort();
    verdicts();
    vocabulary(&tok, &lex);
    if (tap(tok && lex, "a vocabulary %s", err.msg))
        for (size_t more = getenv("DK_SLOW") ? 5 : 1; more-- > 0; draw++)
            families(tok, lex);
    dk_lexicon_free(&lex);
    dk_tokenizer_close(&tok);
    rmdir(dir);
    return tap_end();
}
