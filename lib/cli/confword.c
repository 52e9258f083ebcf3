/* The override grammar. */
#include "cli/confword.h"

#include <string.h>

#include "base/mem.h"

/* "diffing.method.kl.x" and "diffing/method" are what users carry over. */
static const char *strip(const char *key)
{
    if (strncmp(key, "diffing.method.", 15) == 0)
        return key + 15;
    return strncmp(key, "diffing/method=", 15) == 0 ? key + 8 : key;
}

int dk_confword_parse(dk_confword *out, const char *word, dk_err *err)
{
    const enum dk_how how = word[0] == '~' ? DK_DROP : word[0] != '+' ? DK_SET
        : word[1] == '+' ? DK_FORCE : DK_ADD;
    const char *key = strip(word + (how == DK_FORCE ? 2 : how != DK_SET)), *eq = strchr(key, '=');

    *out = (dk_confword){0};
    if (how == DK_DROP ? eq || !*key : !eq || eq == key)
        return dk_fail(err, DK_EUSAGE, "'%s' is not KEY=VALUE, +KEY=VALUE, ++KEY=VALUE or ~KEY", word);
    out->how = how;
    out->key = eq ? dk_xstrndup(key, (size_t)(eq - key)) : dk_xstrdup(key);
    out->value = eq ? eq + 1 : NULL;
    return 0;
}

void dk_confword_free(dk_confword *w)
{
    dk_free(w->key);
    w->key = NULL;
}
