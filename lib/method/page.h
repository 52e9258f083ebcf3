/* RESULTS as one page of HTML that needs nothing else: what the summary tells,
 * plots of the divergence, texts coloured by it, every ranked token, and what
 * the files were made of.
 *
 * Equal results give equal bytes: nothing in it depends on time or place. */
#ifndef DK_METHOD_PAGE_H
#define DK_METHOD_PAGE_H

#include "base/err.h"
#include "base/mem.h"
#include "method/pageplot.h"
#include "method/summary.h"

/* model: whose tokenizer made the ids; NULL: the one that pair.json names, and
 * if it is not there, or another, no texts are shown.
 * pictures: gets the plots too; NULL: not wanted. */
int dk_page_html(const dk_summary *s, const char *model, dk_buf *out, dk_pictures *pictures, dk_err *err);

#endif
