/* Lists of tokens out of tables: rows of dk-mine and dk-lens that agree in what they
 * say of the list (ordering, lane, data set, topic; layer, what, position, ...). */
#ifndef DK_JUDGE_TOKENLIST_H
#define DK_JUDGE_TOKENLIST_H

#include <stdint.h>

#include "base/err.h"
#include "base/mem.h"

typedef struct dk_token_list {
    char *table;                /* name of the file, without folders */
    char *about;                /* its fields as JSON members: "ordering":"nmf","lane":"ft" */
    size_t n;
    char **token;               /* decoded text, or where that is empty the piece; never empty */
    char **piece;               /* NULL: the table has none */
    int64_t *id;                /* -1: a word of several tokens, or not told */
    double *value;
} dk_token_list;

typedef struct dk_token_lists { size_t n; dk_token_list *list; } dk_token_lists;

/* Adds the first most tokens of each list of a table.  DK_EFORMAT names file and row;
 * DK_EDATA if it has no tokens. */
int dk_token_lists_add(dk_token_lists *t, const char *path, size_t most, dk_err *err);
void dk_token_lists_free(dk_token_lists *t);

#endif
