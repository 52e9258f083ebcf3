/* What fetching models and data sets share: the parts of an id, what the
 * environment says, and the first questions to a hub. */
#ifndef DK_IO_HUBREPO_H
#define DK_IO_HUBREPO_H

#include <stdbool.h>

#include "io/hubside.h"
#include "io/json.h"

typedef struct dk_hubrepo {
    char *inside;               /* of the id: "", or a path in the repository */
    bool offline;               /* asked for, or HF_HUB_OFFLINE */
    dk_hubside side;
} dk_hubrepo;

/* Also when it fails, h is to be closed. */
int dk_hubrepo_open(dk_hubrepo *h, const char *id, bool data, bool offline, dk_err *err);
void dk_hubrepo_close(dk_hubrepo *h);

/* Reads the environment; before anything is asked. */
int dk_hubrepo_connect(dk_hubrepo *h, const dk_http_limits *limits, dk_err *err);
int dk_hubrepo_ask(dk_hubrepo *h, const char *url, dk_json **root, dk_err *err);
/* The commit of an answer, which becomes the repository's. */
int dk_hubrepo_commit(dk_hubrepo *h, const dk_json *root, dk_err *err);
int dk_hubrepo_add(const dk_hubrepo *h, dk_hublist *files, const dk_json *name, dk_err *err);
/* Notes which commit the revision is. */
int dk_hubrepo_keep(dk_hubrepo *h, dk_err *err);

#endif
