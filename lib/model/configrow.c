/* A configuration as a line of a table. */
#include <math.h>

#include "model/arch.h"

const char dk_model_config_columns[] =
    "model\tarchitecture\tL\td\tH/KV\thd\tff\tV\teps\trope_theta\trope_scaling\tctx\ttied\tnotes";

static void add_scaling(dk_buf *out, const dk_rope_spec *r)
{
    switch (r->kind) {
    case DK_ROPE_LINEAR: dk_buf_addf(out, "linear x%g", r->factor); break;
    case DK_ROPE_LLAMA3: dk_buf_addf(out, "llama3 x%g", r->factor); break;
    case DK_ROPE_YARN: dk_buf_addf(out, "yarn x%g", r->factor); break;
    case DK_ROPE_FACTORS: dk_buf_adds(out, "factors in the file"); break;
    default:
        if (r->section[0])
            dk_buf_addf(out, "mrope %u,%u,%u", r->section[0], r->section[1], r->section[2]);
        else
            dk_buf_addc(out, '-');
    }
}

static void add_rope(dk_buf *out, const dk_model_config *c)
{
    const bool two = dk_arch_of(c->arch)->local_rope;

    if (c->learned_positions) {
        dk_buf_adds(out, "learned positions\t-");
        return;
    }
    dk_buf_addf(out, "%.12g", c->rope.theta);
    if (two)
        dk_buf_addf(out, ", %.12g local", c->rope_local.theta);
    dk_buf_addc(out, '\t');
    add_scaling(out, &c->rope);
    if (two && c->rope.kind != DK_ROPE_PLAIN)
        dk_buf_adds(out, ", global only");
}

static void note(dk_buf *notes, const char *text)
{
    dk_buf_addf(notes, "%s%s", notes->n ? "; " : "", text);
}

static void add_notes(dk_buf *out, const dk_model_config *c)
{
    const double scalar = 1 / (c->attn_scale * c->attn_scale);
    dk_buf notes = {0}, one = {0};
    size_t sliding = 0;

    for (size_t i = 0; i < c->n_layers; i++)
        sliding += dk_layer_window(c, i) > 0;
    if (c->norm == DK_NORM_LAYER)
        note(&notes, "LayerNorm");
    if (c->qkv_bias && c->o_bias && c->mlp_bias)
        note(&notes, "biases");
    else if (c->qkv_bias)
        note(&notes, c->o_bias ? "qkvo bias" : "qkv bias");
    else if (c->mlp_bias)
        note(&notes, "MLP bias");
    if (c->qk_norm)
        note(&notes, "q/k norm");
    if (c->n_heads * c->head_dim != c->d_model) {
        dk_buf_addf(&one, "H hd = %zu", c->n_heads * c->head_dim);
        note(&notes, one.s);
    }
    if (sliding) {
        dk_buf_clear(&one);
        dk_buf_addf(&one, "window %zu on %zu of %zu layers", c->window, sliding, c->n_layers);
        note(&notes, one.s);
    }
    if (c->attn_softcap > 0 || c->final_softcap > 0) {
        dk_buf_clear(&one);
        dk_buf_addf(&one, "soft caps %g and %g", c->attn_softcap, c->final_softcap);
        note(&notes, one.s);
    }
    if (dk_arch_of(c->arch)->scalar) {
        dk_buf_clear(&one);
        dk_buf_addf(&one, "q scalar %g", round(scalar * 1e6) / 1e6);
        note(&notes, one.s);
    }
    dk_buf_adds(out, notes.n ? notes.s : "-");
    dk_buf_free(&notes);
    dk_buf_free(&one);
}

void dk_model_config_row(dk_buf *out, const dk_model_config *c)
{
    dk_buf_addf(out, "%s\t%s\t%zu\t%zu\t%zu/%zu\t%zu\t%zu\t%zu\t%g\t", c->name, c->arch_name, c->n_layers,
                c->d_model, c->n_heads, c->n_kv_heads, c->head_dim, c->d_ff, c->vocab, c->norm_eps);
    add_rope(out, c);
    dk_buf_addf(out, "\t%zu\t%s\t", c->max_positions, c->tied ? "yes" : "no");
    add_notes(out, c);
    dk_buf_addc(out, '\n');
}
