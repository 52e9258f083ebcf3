/* Rows that are kept. */
#include "method/extractrows.h"

#include <string.h>

#include "base/mem.h"
#include "method/score.h"

int dk_row_flag(uint8_t *flags, const char *word, const char *option, dk_err *err)
{
    static const struct { const char *word; uint8_t flag; } known[] = {
        { "special", DK_TOK_SPECIAL }, { "bos", DK_TOK_BOS }, { "user", DK_TOK_USER }, { "assistant", DK_TOK_ASSISTANT },
        { "template", DK_TOK_TEMPLATE }, { "masked", DK_TOK_MASKED }
    };

    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (strcmp(known[i].word, word) == 0) {
            *flags |= known[i].flag;
            return 0;
        }
    return dk_fail(err, DK_EUSAGE, "%s: '%s' is none of special, bos, user, assistant, template, masked", option, word);
}

bool dk_row_rule_all(const dk_row_rule *r) { return r->skip == 0 && r->only == 0 && r->drop == 0; }

static bool kept(const dk_row_rule *r, const dk_tokens *t, size_t row)
{
    return t->pos[row] >= r->skip && (r->only == 0 || (t->flags[row] & r->only)) && !(t->flags[row] & r->drop);
}

int dk_rows_kept(dk_tokens *out, const dk_tokens *in, const dk_row_rule *r, dk_err *err)
{
    uint32_t *token = NULL, *pos = NULL;
    uint8_t *flags = NULL;
    int rc = dk_alloc(&token, in->rows, sizeof *token, "tokens", err);

    dk_tokens_like(out, in);
    if (rc == 0)
        rc = dk_alloc(&pos, in->rows, sizeof *pos, "token positions", err);
    if (rc == 0)
        rc = dk_alloc(&flags, in->rows, sizeof *flags, "token flags", err);
    for (size_t d = 0; rc == 0 && d < in->docs; d++) {
        size_t n = 0;

        for (size_t i = in->offset[d]; i < in->offset[d + 1]; i++)
            if (kept(r, in, i)) {
                token[n] = in->token[i];
                pos[n] = in->pos[i];
                flags[n++] = in->flags[i];
            }
        rc = dk_tokens_add_doc(out, in->id[d], token, flags, n, err);
        if (rc == 0 && n)
            memcpy(out->pos + out->rows - n, pos, n * sizeof *pos);
    }
    dk_free(token);
    dk_free(pos);
    dk_free(flags);
    return rc;
}

void dk_rows_compact(float *x, size_t d, const dk_tokens *t, size_t first, size_t n, const dk_row_rule *r)
{
    size_t to = 0;

    for (size_t i = 0; i < n; i++) {
        if (!kept(r, t, first + i))
            continue;
        if (to != i)
            memcpy(x + to * d, x + i * d, d * sizeof *x);
        to++;
    }
}

size_t dk_rows_list(size_t *list, const dk_tokens *t, size_t first, size_t n, const dk_row_rule *r)
{
    size_t kept_n = 0;

    for (size_t i = 0; i < n; i++)
        if (kept(r, t, first + i))
            list[kept_n++] = i;
    return kept_n;
}
