/* A path, or the id of a repository; nothing is fetched here. */
#include "cli/confplace.h"

#include <string.h>
#include <unistd.h>

#include "io/hub.h"

bool dk_conf_must_be_here(const dk_conf *c, const char *text)
{
    char *first = dk_xstrndup(text, strcspn(text, "/")), *top = dk_conf_path(c, *first ? first : "/");
    const bool must = text[0] == '/' || text[0] == '.' || (strchr(text, '/') && access(top, F_OK) == 0);

    dk_free(first);
    dk_free(top);
    return must;
}

int dk_conf_place(char **path, char **hub, const dk_conf *c, const char *key, const char *text, dk_err *err)
{
    const dk_hub_options cache = { .offline = true };

    *hub = NULL;
    *path = dk_conf_path(c, text);
    if (access(*path, F_OK) == 0)
        return 0;
    dk_free(*path);
    *path = NULL;
    if (dk_conf_must_be_here(c, text) || !dk_hub_is_id(text))
        return dk_fail(err, DK_EUSAGE, "%s: there is no local path '%s'", key, text);
    if (dk_hub_fetch(path, text, &cache, NULL) < 0)
        *hub = dk_xstrdup(text);
    return 0;
}
