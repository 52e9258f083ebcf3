/* Activations or their statistics. */
#include "io/actinput.h"

#include <string.h>

int dk_act_input_open(dk_act_input *in, const char *path, dk_err *err)
{
    const char *kind;
    int rc;

    *in = (dk_act_input){ .path = path };
    if ((rc = dk_h5_open(&in->f, path, NULL, err)) < 0)
        return rc;
    kind = dk_h5_root_of(in->f)->encoding;
    if (strcmp(kind, "dk-statistics") == 0) {
        if ((rc = dk_tokens_get_corpus(in->f, &in->corpus, err)) == 0)
            rc = dk_statistics_get(in->f, &in->stats, err);
    } else if (strcmp(kind, "dk-activations") == 0) {
        rc = dk_acts_from(&in->a, &in->f, err);
        in->f = rc < 0 ? NULL : dk_acts_file(in->a);
    } else {
        rc = dk_fail(err, DK_EFORMAT, "%s holds %s, expected dk-activations or dk-statistics", dk_h5_path(in->f), kind);
    }
    return rc < 0 ? rc : dk_h5_get_str(in->f, "/", "lanes", &in->lanes, err);
}

void dk_act_input_close(dk_act_input *in)
{
    if (in->a)
        dk_acts_close(&in->a);
    else
        dk_h5_close(&in->f);
    dk_tokens_free(&in->corpus);
    dk_statistics_free(&in->stats);
    dk_free(in->lanes);
    *in = (dk_act_input){0};
}

const dk_tokens *dk_act_input_corpus(const dk_act_input *in) { return in->a ? dk_acts_tokens(in->a) : &in->corpus; }

int dk_act_input_lineage(const dk_act_input *in, dk_buf *inputs, dk_err *err)
{
    dk_buf lineage = {0};
    const int rc = dk_h5_lineage(in->f, in->a ? "activations" : "statistics", &lineage, err);

    if (rc == 0)
        dk_inputs_add_object(inputs, lineage.s);
    dk_buf_free(&lineage);
    return rc;
}
