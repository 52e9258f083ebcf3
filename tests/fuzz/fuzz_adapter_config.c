/* adapter_config.json: read, then ask. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "io/json.h"
#include "model/loraconfig.h"

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

static void ask(const dk_lora_config *c)
{
    static const char *const modules[] = {
        "model.layers.0.self_attn.q_proj", "model.layers.11.mlp.down_proj", "lm_head", ""
    };

    for (size_t i = 0; i < sizeof modules / sizeof *modules; i++) {
        dk_err err = {0};
        size_t r = 0;
        double scale = 0;

        (void)dk_lora_config_targets(c, modules[i], &err);
        err = (dk_err){0};
        if (dk_lora_config_scale(c, modules[i], &r, &scale, &err) == 0 && r == 0)
            abort();
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
    dk_json *v = NULL;
    dk_lora_config *c = NULL;
    dk_err err = {0};

    if (dk_json_parse(&v, (const char *)p, n, "fuzz", &err) < 0)
        return 0;
    if (dk_lora_config_json(&c, v, "fuzz", &err) == 0)
        ask(c);
    else if (c || !strstr(err.msg, "fuzz"))
        abort();
    dk_lora_config_free(&c);
    dk_json_free(&v);
    return 0;
}
