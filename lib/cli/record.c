/* Provenance of a tool's output. */
#include "cli/record.h"

#include "base/hash.h"

void dk_record_begin(dk_record *r, const dk_ctx *ctx)
{
    *r = (dk_record){0};
    dk_writer_text(ctx, &r->writer);
    dk_buf_addf(&r->command, "{\"tool\":\"%s\",\"parameters\":", ctx->tool->name);
    dk_params_json(ctx, &r->command);
    dk_buf_addc(&r->command, '}');
}

dk_provenance dk_record_end(dk_record *r)
{
    dk_sha256 *h = dk_sha256_new();

    dk_inputs_end(&r->inputs);
    dk_sha256_add(h, r->writer.s, r->writer.n + 1);
    dk_sha256_add(h, r->command.s, r->command.n + 1);
    dk_sha256_add(h, r->inputs.s, r->inputs.n);
    dk_sha256_hex(h, r->key);
    dk_sha256_free(&h);
    return (dk_provenance){ .writer = r->writer.s, .command_json = r->command.s,
                            .inputs_json = r->inputs.s, .stage_key = r->key };
}

void dk_record_free(dk_record *r)
{
    dk_buf_free(&r->writer);
    dk_buf_free(&r->command);
    dk_buf_free(&r->inputs);
}
