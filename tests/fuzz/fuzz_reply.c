/* A judge's reply: labels and glosses. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "judge/relevance.h"

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
    enum { TOKENS = 5 };
    const char *text = (const char *)p;
    char *gloss[TOKENS];
    dk_label label[TOKENS], plain[TOKENS];
    size_t unknown = 0, told;

    told = dk_relevance_parse(text, n, TOKENS, label, gloss);
    if (dk_relevance_parse(text, n, TOKENS, plain, NULL) != told || memcmp(label, plain, sizeof label) != 0)
        abort();                    /* glosses change no label */
    for (size_t i = 0; i < TOKENS; i++) {
        unknown += label[i] == DK_UNKNOWN;
        if (gloss[i] && strlen(gloss[i]) > 120)
            abort();
        dk_free(gloss[i]);
    }
    if (unknown != told)
        abort();
    return 0;
}
