/* The map of a data set: pagetext.c has the texts, pageplaces.c the table of the
 * single tokens at which KL is highest, pagepicture.c one text as a picture. */
#ifndef DK_METHOD_PAGETEXT_H
#define DK_METHOD_PAGETEXT_H

#include "method/pageparts.h"

enum { DK_MAP_LEVELS = 9, DK_MAP_TEXT = 1024, DK_MAP_LIKELY = 5 };

typedef struct dk_map {
    const dk_page *p;
    dk_page_scores *s;
    size_t number;              /* of the data set */
    double scale;               /* KL of the deepest colour */
    size_t k;                   /* likely tokens kept for each lane; 0: none */
    size_t lens_n;
    const char *lens[DK_SUMMARY_LANES];
    uint32_t *id[DK_SUMMARY_LANES];
    float *logp[DK_SUMMARY_LANES];      /* [DK_MAP_TEXT, k] of the rows at hand */
    size_t inputs;              /* switches so far, for their names */
    dk_buf tip;
} dk_map;

/* Fetches the likely tokens of n <= DK_MAP_TEXT rows. */
int dk_map_likely(dk_map *w, uint64_t first, uint64_t n, dk_err *err);
/* 0 to DK_MAP_LEVELS */
int dk_map_level(const dk_map *w, double kl);
/* The highest KL of the nulls; 0: there are none. */
double dk_map_null(const dk_page_scores *s, size_t row);
/* Appends a token between quotation marks. */
void dk_map_token(const dk_page *p, dk_buf *b, uint32_t id);
/* Appends the characters that a token completes; what is left of one stays in
 * left.  last: nothing follows. */
void dk_map_complete(dk_buf *text, dk_buf *left, dk_span bytes, bool last);
/* A text as a picture: text.SET. */
void dk_map_picture(const dk_map *w, const char *set, size_t doc);
int dk_map_places(dk_map *w, dk_err *err);

#endif
