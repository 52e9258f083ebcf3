/* The finetune of a pair: which repository, folder or file holds it. */
#ifndef DK_CLI_CONFPAIR_H
#define DK_CLI_CONFPAIR_H

#include <stdbool.h>

#include "cli/registry.h"

typedef struct dk_finetune {
    bool lora;              /* an adapter; else full weights */
    bool local;             /* repository is a path that is here */
    char *repository;       /* OWNER/NAME, or the path */
    char *subfolder;        /* inside the repository; NULL: none */
} dk_finetune;

/* The organism's finetune of MODEL called VARIANT.  An id of more than two
 * parts that is no path here names a folder inside a repository. */
int dk_conf_finetune(dk_finetune *out, const dk_conf *c, const char *model, const char *variant,
                     dk_err *err);
void dk_finetune_free(dk_finetune *f);

/* The next of the organism's pairs from setting *i on; false: there is none.
 * The caller frees both names. */
bool dk_conf_next_pair(const dk_conf *c, size_t *i, char **model, char **variant);

/* "organism model variant kind base repository subfolder" in columns for each
 * pair of the organism; "-" where there is nothing to say. */
int dk_conf_pairs(const dk_conf_places *at, const char *organism, dk_buf *out, dk_err *err);

#endif
