/* The page: its frame, and the parts in their order. */
#include "method/page.h"

#include <ctype.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "method/pageparts.h"

const char *dk_page_hue(const dk_page *p, const char *lane)
{
    static const char *const hue[] = { "ft", "n1", "n2", "n3", "n4" };
    const size_t first = p->n_lanes ? p->n_lanes : 1;

    if (strcmp(lane, "ft") == 0)
        return hue[0];
    if (strcmp(lane, "base") == 0)
        return "base";
    for (size_t i = 1; i < p->n_lanes; i++)
        if (strcmp(p->lane[i], lane) == 0)
            return hue[i < 5 ? i : 4];
    for (size_t i = 0; i < p->n_other; i++)
        if (strcmp(p->other[i], lane) == 0)
            return hue[first + i < 5 ? first + i : 4];
    return hue[1];
}

static void add_other(dk_page *p, const char *lane)
{
    bool there = strcmp(lane, "ft") == 0 || strcmp(lane, "base") == 0;

    for (size_t i = 0; !there && i < p->n_lanes; i++)
        there = strcmp(p->lane[i], lane) == 0;
    for (size_t i = 0; !there && i < p->n_other; i++)
        there = strcmp(p->other[i], lane) == 0;
    if (!there && *lane && p->n_other < DK_SUMMARY_LANES)
        p->other[p->n_other++] = lane;
}

static void find_others(dk_page *p)
{
    const dk_stat_tables *s = &p->s->stat;

    for (size_t k = 0; k < s->n_norms; k++)
        for (size_t i = 0; i < s->norms[k].rows.n; i++)
            add_other(p, dk_row_str(s->norms[k].rows.row[i], "lane"));
    for (size_t k = 0; k < s->n_null; k++)
        add_other(p, s->null[k].name);
}

void dk_page_choice(dk_html *h, const char *prefix, size_t number, size_t i, bool checked, const char *label)
{
    dk_html_open(h, "input");
    dk_html_attrf(h, "class", "by-c%zu", i);
    dk_html_attr(h, "type", "radio");
    dk_html_attrf(h, "name", "%s%zu", prefix, number);
    dk_html_attrf(h, "id", "%s%zu-%zu", prefix, number, i);
    if (checked)
        dk_html_attr(h, "checked", "checked");
    dk_html_close(h);
    dk_html_open(h, "label");
    dk_html_attrf(h, "for", "%s%zu-%zu", prefix, number, i);
    dk_html_text(h, label);
    dk_html_close(h);
    dk_html_text(h, " ");
}

void dk_page_lane(const dk_page *p, const char *lane, const char *after)
{
    dk_html *h = p->h;

    dk_html_open(h, "span");
    dk_html_attrf(h, "class", "key %s", dk_page_hue(p, lane));
    dk_html_close(h);
    dk_html_textf(h, "%s%s", dk_summary_lane(p->s, lane), after);
}

void dk_page_legend(const dk_page *p)
{
    dk_html *h = p->h;

    dk_html_open_class(h, "p", "legend");
    for (size_t l = 0; l < p->n_lanes; l++)
        dk_page_lane(p, p->lane[l], " ");
    dk_html_close(h);
}

/* --- the top ----------------------------------------------------------------- */
void dk_page_card(dk_html *h, const char *what, const char *class, const char *value, const char *more)
{
    dk_html_open_class(h, "div", "card");
    dk_html_put(h, "p", "what", what);
    dk_html_put(h, "p", class, value);
    dk_html_put(h, "p", "more", more);
    dk_html_close(h);
}

static void kl_card(const dk_page *p, const dk_set *set)
{
    const dk_json *ft = dk_set_lane(set, p->lane[0]);
    const double v = dk_row_num(ft, "value"), lo = dk_row_num(ft, "lo"), hi = dk_row_num(ft, "hi");
    dk_buf what = {0}, value = {0}, more = {0};

    if (!isfinite(v))
        return;
    dk_buf_addf(&what, "KL on %s", set->name);
    dk_buf_addf(&value, "%.3f", v);
    if (isfinite(lo) && isfinite(hi))
        dk_buf_addf(&more, "%.3f to %.3f nats a token", lo, hi);
    else
        dk_buf_adds(&more, "nats a token");
    for (size_t l = 1; l < p->n_lanes; l++) {
        const double null = dk_row_num(dk_set_lane(set, p->lane[l]), "value");

        if (isfinite(null))
            dk_buf_addf(&more, "; %s %.3f", p->lane[l], null);
    }
    dk_page_card(p->h, what.s, "value", value.s, more.s);
    dk_buf_free(&what);
    dk_buf_free(&value);
    dk_buf_free(&more);
}

static void add_word(dk_buf *words, const char *token)
{
    token += strspn(token, " \n");
    if (*token)
        dk_buf_addf(words, "%s%s", words->n ? ", " : "", token);
}

static void token_card(const dk_page *p, const dk_set *set)
{
    const bool nulls = set->rows.n && dk_row_null(set->rows.row[0]) >= 0;
    dk_buf what = {0}, words = {0};
    size_t n = 0;
    char more[96];

    for (size_t i = 0; i < set->rows.n; i++)
        if (dk_row_finding(set->rows.row[i]) && n++ < 6)
            add_word(&words, dk_row_str(set->rows.row[i], "token"));
    dk_buf_addf(&what, "Raised on %s", set->name);
    snprintf(more, sizeof more, nulls ? "%zu of the %zu most raised tokens are raised by no null"
                                      : "the %zu most raised tokens", nulls ? n : set->rows.n, set->rows.n);
    dk_page_card(p->h, what.s, "value words", words.n ? words.s : "nothing", more);
    dk_buf_free(&what);
    dk_buf_free(&words);
}

/* Of the deepest layer, where the lens is nearest to what the model says. */
static void lens_card(const dk_page *p)
{
    const dk_adl *a = NULL;
    dk_buf what = {0}, words = {0};
    const dk_adl_list *l;
    int32_t at;
    size_t n = 0;

    for (size_t i = 0; i < p->s->n_adl; i++)
        if (dk_adl_telling(&p->s->adl[i], &at, 1) && (!a || p->s->adl[i].layer > a->layer))
            a = &p->s->adl[i];
    if (!a || !dk_adl_telling(a, &at, 1))
        return;
    l = dk_adl_list_of(a, "diff", at, false);
    for (size_t i = 0; i < l->n && n < 6; i++)
        if (dk_adl_finding(&l->token[i])) {
            add_word(&words, l->token[i].token);
            n++;
        }
    dk_buf_addf(&what, "Added at layer %d, position %d of %s", a->layer, at, a->set);
    dk_page_card(p->h, what.s, "value words", words.n ? words.s : "nothing", "tokens that the mean difference speaks for");
    dk_buf_free(&what);
    dk_buf_free(&words);
}

static void link_to(dk_html *h, const char *id, const char *name)
{
    dk_html_open(h, "a");
    dk_html_attrf(h, "href", "#%s", id);
    dk_html_text(h, name);
    dk_html_close(h);
    dk_html_text(h, " ");
}

static void head(const dk_page *p)
{
    const dk_summary *s = p->s;
    const char *id = dk_summary_pair(s, "model.model_id"), *kind, *detail;
    dk_html *h = p->h;
    size_t count[4];

    dk_html_open(h, "header");
    dk_html_open(h, "h1");
    dk_html_text(h, dk_summary_pair(s, "organism.name"));
    dk_html_put(h, "span", "on", " on ");
    dk_html_text(h, dk_summary_pair(s, "model.name"));
    dk_html_close(h);
    dk_html_open_class(h, "p", "lead");
    dk_html_text(h, dk_summary_pair(s, "organism.description"));
    dk_html_textf(h, " Base %s, products in %s.", *id ? id : dk_summary_pair(s, "model.name"),
                  dk_summary_pair(s, "dtype"));
    if (dk_summary_finetune(s, &kind, &detail))
        dk_html_textf(h, " %c%s: %s.", toupper((unsigned char)*kind), kind + 1, detail);
    if (p->n_lanes > 1) {
        dk_html_text(h, " Beside it:");
        for (size_t l = 1; l < p->n_lanes; l++)
            dk_html_textf(h, "%s %s", l > 1 ? "," : "", p->lane[l]);
        dk_html_text(h, ".");
    }
    dk_html_close(h);
    dk_html_open_class(h, "div", "cards");
    dk_page_seen(p);
    for (size_t m = 0; m < s->n_mined; m++)
        token_card(p, &s->mined[m]);
    lens_card(p);
    for (size_t k = 0; p->n_lanes && k < s->n_kl; k++)
        kl_card(p, &s->kl[k]);
    if (s->check.n) {
        char value[64], more[64];

        dk_summary_checks(s, count);
        snprintf(value, sizeof value, "%zu passed", count[0]);
        snprintf(more, sizeof more, "%zu warning%s, %zu failed", count[1], count[1] == 1 ? "" : "s", count[2]);
        dk_page_card(h, "Checks", "value", value, more);
    }
    dk_html_close(h);
    dk_html_open(h, "nav");
    if (p->n_ranked) link_to(h, "tokens", "Tokens");
    if (s->n_phrases) link_to(h, "phrases", "Phrases");
    if (s->answers.n) link_to(h, "answers", "Answers");
    if (s->n_adl) link_to(h, "lens", "Lens");
    if (dk_summary_calibrated(s)) link_to(h, "nulls", "Nulls");
    if (s->stat.component.n) link_to(h, "components", "Components");
    if (s->stat.n_norms) link_to(h, "activations", "Activations");
    if (p->n_lanes) link_to(h, "divergence", "Divergence");
    if (p->has_texts) link_to(h, "texts", "Texts");
    if (s->check.n) link_to(h, "checks", "Checks");
    link_to(h, "files", "Files");
    dk_html_close(h);
    dk_html_close(h);
}

/* --- the whole ------------------------------------------------------------------- */
/* A tokenizer that was asked for must be there; the one of the configuration may
 * have been left on another machine. */
static int open_tokenizer(dk_page *p, const char *model, dk_err *err)
{
    const char *path = model ? model : dk_summary_pair(p->s, "model.path");
    dk_err why = {0};
    int rc;

    p->why_no_tok = "the model that made the ids is not known (--model names it)";
    if (!*path)
        return 0;
    rc = dk_tokenizer_open(&p->tok, path, model ? err : &why);
    if (rc < 0)
        p->why_no_tok = "the model that made the ids is not at hand (--model names it)";
    return model ? rc : 0;
}

/* The head comes first and is written last: it links to what there is. */
static int parts(dk_page *p, dk_err *err)
{
    dk_buf rest = {0};
    dk_html *h = p->h, below = { .out = &rest };
    int rc;

    dk_html_open(h, "main");
    p->h = &below;
    dk_page_tokens(p);
    rc = dk_page_phrases(p, err);
    dk_page_answers(p);
    dk_page_lens(p);
    dk_page_calibration(p);
    if (rc == 0)
        rc = dk_page_components(p, err);
    if (rc == 0)
        rc = dk_page_activations(p, err);
    if (rc == 0)
        rc = dk_page_kl(p, err);
    if (rc == 0)
        rc = dk_page_texts(p, err);
    dk_page_checks(p);
    if (rc == 0)
        rc = dk_page_files(p, err);
    p->h = h;
    head(p);
    dk_buf_add(h->out, rest.n ? rest.s : "", rest.n);
    dk_html_close(h);
    dk_buf_free(&rest);
    return rc;
}

int dk_page_html(const dk_summary *s, const char *model, dk_buf *out, dk_pictures *pictures, dk_err *err)
{
    dk_html h = { .out = out };
    dk_page p = { .h = &h, .s = s, .pictures = pictures };
    int rc;

    p.n_lanes = dk_summary_lanes(s, p.lane);
    find_others(&p);
    rc = dk_summary_has(s, "diff_mining") ? dk_sets_load(p.ranked, &p.n_ranked, s->results, "diff_mining", ".jsonl", err) : 0;
    if (rc == 0)
        rc = open_tokenizer(&p, model, err);
    dk_html_raw(&h, "<!DOCTYPE html>\n");
    dk_html_open(&h, "html");
    dk_html_attr(&h, "lang", "en");
    dk_html_open(&h, "head");
    dk_html_open(&h, "meta");
    dk_html_attr(&h, "charset", "utf-8");
    dk_html_close(&h);
    dk_html_open(&h, "meta");
    dk_html_attr(&h, "name", "viewport");
    dk_html_attr(&h, "content", "width=device-width, initial-scale=1");
    dk_html_close(&h);
    dk_html_open(&h, "meta");
    dk_html_attr(&h, "name", "color-scheme");
    dk_html_attr(&h, "content", "light dark");
    dk_html_close(&h);
    dk_html_putf(&h, "title", NULL, "%s on %s", dk_summary_pair(s, "organism.name"), dk_summary_pair(s, "model.name"));
    dk_page_style(&h);
    dk_html_close(&h);
    dk_html_open(&h, "body");
    if (rc == 0)
        rc = parts(&p, err);
    dk_html_close(&h);
    dk_html_close(&h);
    dk_sets_free(p.ranked, p.n_ranked);
    dk_tokenizer_close(&p.tok);
    return rc;
}
