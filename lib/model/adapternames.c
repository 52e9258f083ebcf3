/* LoRA adapters: the names of their tensors. */
#include "model/adapterpriv.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

/* What a tensor is of its module, and the length of the module's path:
 * "X.lora_A.weight", "X.lora_A.NAME.weight", "X.lora_embedding_A", "X.weight". */
static int split_name(const char *s, size_t *path_len)
{
    static const struct { const char *mark; int kind; bool bare; } marks[] = {
        { ".lora_A.", DK_LORA_A, false }, { ".lora_B.", DK_LORA_B, false },
        { ".lora_embedding_A", DK_LORA_A, true }, { ".lora_embedding_B", DK_LORA_B, true },
        { ".base_layer.weight", DK_LORA_SAVED, true }, { ".modules_to_save.weight", DK_LORA_SAVED, true },
        { ".weight", DK_LORA_SAVED, true }
    };

    for (size_t i = 0; i < sizeof marks / sizeof *marks; i++) {
        const char *at = strstr(s, marks[i].mark), *rest, *dot;

        if (!at)
            continue;
        *path_len = (size_t)(at - s);
        rest = at + strlen(marks[i].mark);
        if (marks[i].bare)      /* the name of an adapter may follow */
            return *rest == 0 || (*rest == '.' && marks[i].kind != DK_LORA_SAVED && !strchr(rest + 1, '.'))
                ? marks[i].kind : DK_LORA_OTHER;
        dot = strchr(rest, '.');
        if (dot && strcmp(rest, "weight") != 0)     /* the name of an adapter stands between */
            rest = dot + 1;
        return strcmp(rest, "weight") == 0 ? marks[i].kind : DK_LORA_OTHER;
    }
    return DK_LORA_OTHER;
}

/* Skips the prefixes that a language model may have. */
static const char *inner_path(const char *s, const char *end)
{
    static const char *const prefixes[] = {
        "base_model.model.", "language_model.", "model.", "transformer.", "language_model."
    };

    for (size_t i = 0; i < sizeof prefixes / sizeof *prefixes; i++) {
        const size_t k = strlen(prefixes[i]);

        if ((size_t)(end - s) > k && strncmp(s, prefixes[i], k) == 0)
            s += k;
    }
    return s;
}

/* Reads "layers.N.self_attn.q_proj"; s up to end. */
static bool parse_path(const dk_model_config *c, const char *s, const char *end, size_t *layer, dk_linear *which)
{
    const char *list = c->fused_qkv ? "h." : "layers.";
    const size_t k = strlen(list);
    char *after;

    if ((size_t)(end - s) < k + 1 || strncmp(s, list, k) != 0 || !isdigit((unsigned char)s[k]) ||
        (s[k] == '0' && isdigit((unsigned char)s[k + 1])))
        return false;
    *layer = strtoul(s + k, &after, 10);
    if (*after != '.' || after >= end)
        return false;
    after++;
    for (size_t w = 0; w < DK_N_LINEAR; w++) {
        const char *path = dk_linear_path(c, (dk_linear)w);

        if (path && strlen(path) == (size_t)(end - after) && strncmp(after, path, strlen(path)) == 0) {
            *which = (dk_linear)w;
            return true;
        }
    }
    return false;
}

static bool is_path(const char *s, const char *end, const char *path)
{
    return strlen(path) == (size_t)(end - s) && strncmp(s, path, strlen(path)) == 0;
}

dk_lora_name dk_lora_name_of(const dk_model_config *c, const char *name)
{
    static const char outer[] = "base_model.model.";
    dk_lora_name n = {0};
    size_t len = 0;
    const char *s, *end;

    n.kind = split_name(name, &len);
    if (n.kind == DK_LORA_OTHER)
        return n;
    end = name + len;
    s = inner_path(name, end);
    n.tree = strncmp(name, outer, strlen(outer)) == 0 ? strlen(outer) : 0;
    n.tree_len = (size_t)(s - name) > n.tree ? (size_t)(s - name) - n.tree : 0;
    if (is_path(s, end, c->fused_qkv ? "wte" : "embed_tokens"))
        n.place = DK_LORA_EMBED;
    else if (is_path(s, end, "lm_head"))
        n.place = DK_LORA_HEAD;
    else if (n.kind != DK_LORA_SAVED && !parse_path(c, s, end, &n.layer, &n.which))
        n.kind = DK_LORA_OTHER;
    return n;
}
