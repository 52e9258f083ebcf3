/* Numbers of known models, for G1.  They are the engine's own, in f32, from a
 * build that agreed with the model library on these weights (test_forward):
 * what they guard is that nothing has changed since. */
#include <string.h>

#include "method/checkrun.h"

static const dk_check_gold stored[] = {
    {   /* SmolLM2-135M-Instruct.Q4_1.gguf, the first tokens of the first probe text */
        "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53", 30, 576, 49152, 32,
        { 504, 4626, 13685, 281, 260, 12610, 2120, 260, 3102, 284, 8634, 4203, 327, 563, 14510, 4158,
          1092, 357, 9732, 260, 3426, 30, 1068, 768, 282, 260, 713, 357, 314, 12120, 2001, 288 },
        { 29, 282, 288, 260, 6376, 28, 28, 3102, 282, 260, 1187, 4259, 253, 216, 4158, 1092, 7880, 30124,
          260, 3426, 30, 378, 260, 282, 260, 3444, 28, 314, 253, 284, 288, 325 },
        { -0.86548f, -1.88902f, -1.87792f, -0.86133f, -2.62624f, -1.39754f, -1.02493f, -1.63505f,
          -0.80900f, -1.68190f, -1.45332f, -0.90660f, -1.18399f, -0.30283f, -0.75136f, -0.74799f,
          -1.84865f, -1.36635f, -0.13889f, -0.40521f, -0.28315f, -1.92646f, -1.87646f, -0.09952f,
          -0.67405f, -1.99797f, -0.78981f, -0.79500f, -1.08743f, -0.84883f, -0.78786f, -1.72145f } },
};

int dk_check_gold_of(const dk_check_gold **out, dk_checkpoint *weights, dk_err *err)
{
    const dk_model_config *c = dk_checkpoint_config(weights);
    char sum[65] = "";
    int rc = 0;

    *out = NULL;
    for (size_t i = 0; rc == 0 && !*out && i < sizeof stored / sizeof *stored; i++) {
        const dk_check_gold *g = &stored[i];

        if (g->n_layers != c->n_layers || g->d_model != c->d_model || g->vocab != c->vocab)
            continue;
        rc = dk_checkpoint_sha256(weights, sum, err);
        if (rc == 0 && strcmp(sum, g->sha256) == 0)
            *out = g;
    }
    return rc;
}
