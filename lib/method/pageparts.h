/* The parts of the page: each writes its section, or nothing where it has
 * nothing to show. */
#ifndef DK_METHOD_PAGEPARTS_H
#define DK_METHOD_PAGEPARTS_H

#include <stdint.h>

#include "io/scorefile.h"
#include "method/pagehtml.h"
#include "method/pageplot.h"
#include "method/summary.h"
#include "text/tokenizer.h"

typedef struct dk_page {
    dk_html *h;
    const dk_summary *s;
    dk_tokenizer *tok;              /* NULL: there is none, for this reason: */
    const char *why_no_tok;
    const char *lane[DK_SUMMARY_LANES];     /* those with KL, the finetune first */
    size_t n_lanes;
    const char *other[DK_SUMMARY_LANES];    /* lanes of activations and components that have no KL */
    size_t n_other;
    dk_set ranked[DK_SUMMARY_SETS];         /* diff_mining/SET.ORDERING.jsonl */
    size_t n_ranked;
    dk_pictures *pictures;          /* where plots go too; NULL: nowhere */
    bool has_texts;                 /* set by dk_page_texts */
} dk_page;

/* The scores of one data set. */
typedef struct dk_page_scores {
    dk_scores *file;
    const dk_tokens *t;
    char *path;
    size_t n;                                   /* lanes of the page that are in the file */
    const char *lane[DK_SUMMARY_LANES];
    size_t which[DK_SUMMARY_LANES];             /* their numbers in the page */
    float *kl[DK_SUMMARY_LANES];                /* [rows] */
    float *logp[DK_SUMMARY_LANES], *logp_base;  /* [rows]; NULL: not there */
} dk_page_scores;

/* kl/SET.score.h5; s->file NULL when it is not there. */
int dk_page_scores_open(dk_page_scores *s, const dk_page *p, const char *set, dk_err *err);
void dk_page_scores_close(dk_page_scores *s);

void dk_page_style(dk_html *h);
/* The <style> of a picture that stands alone. */
void dk_page_style_svg(dk_html *h);
int dk_page_kl(const dk_page *p, dk_err *err);
int dk_page_texts(dk_page *p, dk_err *err);
void dk_page_tokens(const dk_page *p);
void dk_page_lens(const dk_page *p);
int dk_page_activations(const dk_page *p, dk_err *err);
int dk_page_components(const dk_page *p, dk_err *err);
int dk_page_phrases(const dk_page *p, dk_err *err);
void dk_page_answers(const dk_page *p);
void dk_page_calibration(const dk_page *p);
/* The first box: over what, beside what, and the smallest effect that would have been seen. */
void dk_page_seen(const dk_page *p);
void dk_page_card(dk_html *h, const char *what, const char *class, const char *value, const char *more);
void dk_page_checks(const dk_page *p);
int dk_page_files(const dk_page *p, dk_err *err);

/* The class that gives a lane its colour: "base", "ft", "n1", "n2", ... */
const char *dk_page_hue(const dk_page *p, const char *lane);
/* The lane's colour and name, and what follows them. */
void dk_page_lane(const dk_page *p, const char *lane, const char *after);
/* Button i of a group (PREFIX NUMBER) that shows what stands in .one.cI behind it. */
void dk_page_choice(dk_html *h, const char *prefix, size_t number, size_t i, bool checked, const char *label);
/* A legend of the lanes that have KL. */
void dk_page_legend(const dk_page *p);

#endif
