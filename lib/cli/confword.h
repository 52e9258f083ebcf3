/* A word of the command line that sets, adds or drops a key. */
#ifndef DK_CLI_CONFWORD_H
#define DK_CLI_CONFWORD_H

#include "base/err.h"

enum dk_how {
    DK_SET,     /* KEY=VALUE */
    DK_ADD,     /* +KEY=VALUE: an error if the key is set */
    DK_FORCE,   /* ++KEY=VALUE: in either case */
    DK_DROP     /* ~KEY */
};

typedef struct dk_confword {
    enum dk_how how;
    char *key;              /* without the "diffing.method." that users carry over */
    const char *value;      /* borrowed from the word; NULL for DK_DROP */
} dk_confword;

/* DK_EUSAGE when the word has none of these forms. */
int dk_confword_parse(dk_confword *out, const char *word, dk_err *err);
void dk_confword_free(dk_confword *w);

#endif
