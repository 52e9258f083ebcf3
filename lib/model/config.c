/* What all sources of a configuration share: sensible values, in one place,
 * and the description of a configuration as a line of a table. */
#include "model/config.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "model/arch.h"

enum { MAX_SIZE = 1 << 24, MAX_POSITIONS = INT32_MAX };

void dk_model_config_set_name(dk_model_config *cfg, const char *name)
{
    size_t n = 0;

    for (; *name && n + 1 < sizeof cfg->name; name++)
        if ((unsigned char)*name >= 0x20 && *name != 0x7F)
            cfg->name[n++] = *name;
    cfg->name[n] = 0;
}

dk_shown dk_show(const char *name)
{
    dk_shown t = {{0}};

    for (size_t i = 0; name[i] && i + 1 < sizeof t.s; i++)
        t.s[i] = (unsigned char)name[i] < 0x20 || name[i] == 0x7F ? '?' : name[i];
    return t;
}

void dk_model_config_name_after(dk_model_config *cfg, const char *path)
{
    size_t n = strlen(path), from;
    char *part;

    while (n > 1 && path[n - 1] == '/')
        n--;
    for (from = n; from > 0 && path[from - 1] != '/'; from--)
        ;
    part = dk_xstrndup(path + from, n - from);
    dk_model_config_set_name(cfg, part);
    dk_free(part);
}

void dk_model_config_add_eos(dk_model_config *cfg, int64_t id)
{
    if (id < 0 || (size_t)id >= cfg->vocab || cfg->n_eos == DK_MAX_EOS)
        return;
    for (size_t i = 0; i < cfg->n_eos; i++)
        if (cfg->eos[i] == id)
            return;
    cfg->eos[cfg->n_eos++] = (int)id;
}

void dk_model_config_set_bos(dk_model_config *cfg, int64_t id)
{
    cfg->bos = id >= 0 && (size_t)id < cfg->vocab ? (int)id : -1;
}

/* --- layers -------------------------------------------------------------------- */
void dk_model_config_slide(dk_model_config *c, size_t layer)
{
    if (layer < DK_LAYERS_MAX)
        c->sliding[layer / 8] |= (uint8_t)(1u << layer % 8);
}

static bool slides(const dk_model_config *c, size_t layer)
{
    return c->sliding[layer / 8] >> layer % 8 & 1;
}

size_t dk_layer_window(const dk_model_config *c, size_t layer)
{
    return slides(c, layer) ? c->window : 0;
}

const dk_rope_spec *dk_layer_rope(const dk_model_config *c, size_t layer)
{
    return slides(c, layer) ? &c->rope_local : &c->rope;
}

/* --- sensible values ------------------------------------------------------------- */
static int in_range(const char *what, size_t v, size_t hi, const char *path, dk_err *err)
{
    return v >= 1 && v <= hi ? 0 : dk_fail(err, DK_EFORMAT, "%s: %s is %zu, expected 1 to %zu", path,
                                           what, v, hi);
}

static int check_rope(const dk_rope_spec *r, const char *path, dk_err *err)
{
    if (!(r->theta >= 1 && r->theta < 1e12))
        return dk_fail(err, DK_EFORMAT, "%s: rope_theta is %g", path, r->theta);
    if (r->kind == DK_ROPE_PLAIN || r->kind == DK_ROPE_FACTORS)
        return 0;
    if (!(r->factor >= 1 && r->factor < 1e6))
        return dk_fail(err, DK_EFORMAT, "%s: the RoPE scaling factor is %g", path, r->factor);
    if (r->kind == DK_ROPE_LINEAR)
        return 0;
    if (!(r->low > 0 && r->high > r->low && r->high < 1e6 && r->original >= 1 && r->original <= MAX_POSITIONS))
        return dk_fail(err, DK_EFORMAT, "%s: %s RoPE scaling with factors %g and %g and %.15g original "
                       "positions", path, r->kind == DK_ROPE_YARN ? "yarn" : "llama3", r->low, r->high, r->original);
    if (r->kind == DK_ROPE_YARN && !(r->theta > 1 && r->attention > 0 && r->attention < 1e3))
        return dk_fail(err, DK_EFORMAT, "%s: yarn RoPE scaling with base %g and attention factor %g", path,
                       r->theta, r->attention);
    return 0;
}

static int check_numbers(const dk_model_config *c, const char *path, dk_err *err)
{
    if (!(c->norm_eps > 0 && c->norm_eps < 1))
        return dk_fail(err, DK_EFORMAT, "%s: the epsilon of the norms is %g", path, c->norm_eps);
    if (!(c->attn_scale > 0 && c->attn_scale <= 1))
        return dk_fail(err, DK_EFORMAT, "%s: attention scores are scaled by %g", path, c->attn_scale);
    if (!(c->attn_softcap >= 0 && c->attn_softcap < 1e6 && c->final_softcap >= 0 && c->final_softcap < 1e6))
        return dk_fail(err, DK_EFORMAT, "%s: soft caps of %g and %g", path, c->attn_softcap, c->final_softcap);
    if (c->learned_positions)
        return 0;
    if (check_rope(&c->rope, path, err) < 0)
        return DK_EFORMAT;
    return c->window ? check_rope(&c->rope_local, path, err) : 0;
}

int dk_model_config_check(const dk_model_config *c, const char *path, dk_err *err)
{
    const struct { const char *what; size_t v, hi; } sizes[] = {
        { "the number of layers", c->n_layers, DK_LAYERS_MAX }, { "the hidden size", c->d_model, 1 << 20 },
        { "the number of heads", c->n_heads, 4096 },
        { "the number of key-value heads", c->n_kv_heads, 4096 },
        { "the head size", c->head_dim, 4096 }, { "the MLP width", c->d_ff, MAX_SIZE },
        { "the vocabulary size", c->vocab, MAX_SIZE },
        { "the number of positions", c->max_positions, MAX_POSITIONS },
    };

    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
        if (in_range(sizes[i].what, sizes[i].v, sizes[i].hi, path, err) < 0)
            return DK_EFORMAT;
    if (c->n_heads % c->n_kv_heads)
        return dk_fail(err, DK_EFORMAT, "%s: %zu heads cannot share %zu key-value heads", path,
                       c->n_heads, c->n_kv_heads);
    if (c->head_dim % 2 && !c->learned_positions)
        return dk_fail(err, DK_EFORMAT, "%s: the head size %zu is odd", path, c->head_dim);
    if (c->window > MAX_POSITIONS)
        return dk_fail(err, DK_EFORMAT, "%s: a window of %zu tokens", path, c->window);
    return check_numbers(c, path, err);
}
