/* What a tool of activations reads: rows, or the statistics of rows. */
#ifndef DK_IO_ACTINPUT_H
#define DK_IO_ACTINPUT_H

#include "io/statfile.h"

typedef struct dk_act_input {
    const char *path;
    dk_acts *a;                     /* NULL: statistics */
    dk_h5 *f;                       /* of either; borrowed from a */
    dk_tokens corpus;               /* of statistics */
    dk_statistics stats;
    char *lanes;                    /* "base,ft" */
} dk_act_input;

/* path is borrowed. */
int dk_act_input_open(dk_act_input *in, const char *path, dk_err *err);
void dk_act_input_close(dk_act_input *in);
const dk_tokens *dk_act_input_corpus(const dk_act_input *in);
/* Its lineage, to a list of inputs. */
int dk_act_input_lineage(const dk_act_input *in, dk_buf *inputs, dk_err *err);

#endif
