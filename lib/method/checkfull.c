/* A finetune with weights of its own: opening it, comparing its tensors with
 * the base's, A8, and what A4 is for it. */
#include <stdio.h>
#include <string.h>

#include "method/checkrun.h"

enum { ROWS = 64 };             /* of a matrix, compared at once */

int dk_check_inspect_full(dk_check *c, size_t lane, dk_err *err)
{
    dk_check_lane *l = &c->lane[lane];
    dk_checkpoint *file = NULL;
    dk_err why = {0};
    const int rc = dk_checkpoint_open(&file, c->pair.path[lane], &why);

    dk_checkpoint_close(&file);
    /* Sound files of another kind of model are a finding, not an error. */
    if (rc == DK_EDATA)
        l->refused = dk_xstrdup(why.msg);
    else if (rc < 0)
        return dk_fail(err, rc, "%s", why.msg);
    l->full = true;
    l->usable = rc == 0;
    l->first = -1;
    return 0;
}

int dk_check_load_full(dk_check *c, size_t lane, const dk_model_how *how, dk_err *err)
{
    dk_check_lane *l = &c->lane[lane];
    dk_model **m = &c->pair.full[lane];
    dk_err why = {0};
    int rc = dk_model_open(m, c->pair.path[lane], how, &why);

    if (rc == 0)
        rc = dk_model_compatible(c->pair.model, *m, &why);
    if (rc == 0)
        c->pair.lane[lane].model = *m;
    else if (rc == DK_EDATA || rc == DK_ENUM) {
        l->refused = dk_xstrdup(why.msg);
        l->usable = false;
    } else
        return dk_fail(err, rc, "%s", why.msg);
    return 0;
}

/* --- tensors ------------------------------------------------------------------------- */
/* The layer of a tensor: the number in its name; -1 for the embedding, behind
 * the last for what follows the blocks. */
static int layer_of(const char *name, size_t n_layers)
{
    for (const char *p = name; *p; p += strcspn(p, "."), p += *p == '.') {
        const size_t n = strcspn(p, "."), digits = strspn(p, "0123456789");
        int layer = 0;

        if (n == 0 || digits != n || n > 6)
            continue;
        for (size_t i = 0; i < n; i++)
            layer = 10 * layer + (p[i] - '0');
        return layer;
    }
    return strstr(name, "embed") || strstr(name, ".wte.") || strstr(name, ".wpe.") ? -1 : (int)n_layers;
}

/* Whether two tensors of one shape hold the same values. */
static int same_values(bool *same, const dk_checkpoint *x, const dk_checkpoint *y, const char *name,
                       size_t rows, size_t cols, dk_err *err)
{
    float *a = dk_xcalloc(ROWS * cols, sizeof *a), *b = dk_xcalloc(ROWS * cols, sizeof *b);
    int rc = 0;

    *same = true;
    for (size_t i = 0; rc == 0 && *same && i < rows; i += ROWS) {
        const size_t n = rows - i < ROWS ? rows - i : ROWS;

        rc = dk_checkpoint_rows(x, name, a, i, n, err);
        if (rc == 0)
            rc = dk_checkpoint_rows(y, name, b, i, n, err);
        *same = rc == 0 && memcmp(a, b, n * cols * sizeof *a) == 0;
    }
    dk_free(a);
    dk_free(b);
    return rc;
}

/* A row for each id; dk_pair_vocab tells where their numbers differ. */
static bool by_id(const char *name)
{
    return strstr(name, "embed_tokens.") || strstr(name, ".wte.") || strstr(name, "lm_head.");
}

static int compare_tensor(dk_check_tally *t, const dk_checkpoint *base, const dk_checkpoint *own,
                          const char *name, dk_err *err)
{
    const size_t n_layers = dk_checkpoint_config(base)->n_layers;
    const int layer = layer_of(name, n_layers);
    size_t rows, cols, own_rows, own_cols;
    bool same = false;
    int rc = 0;

    t->n++;
    dk_checkpoint_find(base, name, &rows, &cols);
    if (!dk_checkpoint_find(own, name, &own_rows, &own_cols))
        own_rows = own_cols = 0;
    if (by_id(name) && own_rows > 0)        /* of the ids that both have */
        rows = own_rows = own_rows < rows ? own_rows : rows;
    if (own_rows != rows || own_cols != cols)
        t->lacking++;
    else
        rc = same_values(&same, base, own, name, rows, cols, err);
    t->equal += same;
    if (same)
        return rc;
    t->maps += rows > 1 && layer >= 0 && layer < (int)n_layers;
    if (t->first < -1 || layer < t->first)
        t->first = layer;
    return rc;
}

/* Once for a lane; both files are read whole. */
int dk_check_compare(dk_check *c, size_t lane, dk_err *err)
{
    static const char head[] = "lm_head.weight";
    dk_check_tally *t = &c->lane[lane].tally;
    dk_checkpoint *base = NULL, *own = NULL;
    const char *x, *y;
    size_t rows, cols;
    int rc;

    if (t->n || !c->lane[lane].full)
        return 0;
    t->first = -2;
    rc = dk_checkpoint_open(&base, c->spec->pair.base, err);
    if (rc == 0)
        rc = dk_checkpoint_open(&own, c->pair.path[lane], err);
    for (size_t i = 0; rc == 0 && i < dk_checkpoint_n(base); i++)
        rc = compare_tensor(t, base, own, dk_checkpoint_name_at(base, i), err);
    /* A tied base has no such tensor of its own. */
    if (rc == 0 && dk_checkpoint_config(base)->tied && !dk_checkpoint_config(own)->tied &&
        dk_checkpoint_find(base, head, &rows, &cols))
        rc = compare_tensor(t, base, own, head, err);
    if (rc == 0 && dk_stored_otherwise(base, own, &x, &y))
        snprintf(t->types, sizeof t->types, "stored as %s, the base as %s: part of the difference is rounding",
                 y, x);
    dk_checkpoint_close(&base);
    dk_checkpoint_close(&own);
    return rc;
}

/* --- A4 ------------------------------------------------------------------------------ */
/* The first layer from which on the output differs from the base's; -1: none. */
static int changed_from(const dk_check *c, const dk_check_probe *p)
{
    for (int i = 0; i < (int)c->config.n_layers; i++)
        if (p->diff[i + 1] > 0)
            return i;
    return -1;
}

/* Layers from FROM on: the smallest of their largest changes, and whose. */
static double least_change(const dk_check *c, const dk_check_probe *p, int from, int *layer)
{
    double least = 0;

    *layer = from;
    for (int i = from; from >= 0 && i < (int)c->config.n_layers; i++)
        if (i == from || p->diff[i + 1] < least) {
            least = p->diff[i + 1];
            *layer = i;
        }
    return least;
}

/* Where an adapter's place is known from its modules, that of a full finetune is
 * known from its tensors. */
int dk_check_a4_full(dk_check *c, size_t lane, dk_check_row *row, dk_err *err)
{
    const dk_check_tally *t = &c->lane[lane].tally;
    const dk_check_probe *p = &c->probe[lane];
    const int from = changed_from(c, p), rc = dk_check_compare(c, lane, err);
    int silent;

    if (rc < 0)
        return rc;
    if (t->equal == t->n) {
        if (from >= 0 || p->kl != 0)
            dk_check_say(row, DK_CHECK_FAIL, "the same weights give other numbers: from layer %d on, mean KL %g nats",
                         from, p->kl);
        else
            dk_check_say(row, DK_CHECK_SKIP, "the finetune's weights are the base's, see A8");
        return 0;
    }
    row->value = least_change(c, p, from, &silent);
    row->limit = 0;
    if (from >= 0 && from < t->first)
        dk_check_say(row, DK_CHECK_FAIL, "the output of layer %d differs from the base, but the first layer whose "
                     "weights differ is %d", from, t->first);
    else if (from < 0 && !(p->kl > 0))
        dk_check_say(row, c->spec->expect_null ? DK_CHECK_PASS : t->maps ? DK_CHECK_FAIL : DK_CHECK_WARN,
                     "the finetune changes nothing: every layer's output equals the base's on %zu tokens, although "
                     "%zu tensors differ", c->offset[DK_PROBE_TEXTS], t->n - t->equal);
    else if (from >= 0 && !(row->value > 0))
        dk_check_say(row, DK_CHECK_FAIL, "the output of layer %d equals the base's, although that of layer %d "
                     "differs", silent, from);
    else if (!(p->kl > 0) && !c->spec->expect_null)
        dk_check_say(row, DK_CHECK_FAIL, "the residual stream changes, but the next-token distributions do not "
                     "(mean KL %g)", p->kl);
    else if (from < 0)
        dk_check_say(row, DK_CHECK_PASS, "the residual stream is the base's, what follows differs; mean KL %.4g "
                     "nats on %zu tokens", p->kl, p->n_kl);
    else
        dk_check_say(row, DK_CHECK_PASS, "every layer from %d on differs from the base, none before; mean KL %.4g "
                     "nats on %zu tokens", from, p->kl, p->n_kl);
    return 0;
}

/* --- A8 ------------------------------------------------------------------------------ */
int dk_check_a8(dk_check *c, size_t lane, dk_check_row *row, dk_err *err)
{
    const dk_check_lane *l = &c->lane[lane];
    const dk_check_tally *t = &l->tally;
    int rc;

    if (!l->full) {
        dk_check_say(row, DK_CHECK_SKIP, "not applicable: the finetune is an adapter");
        return 0;
    }
    if (l->refused) {
        dk_check_say(row, DK_CHECK_FAIL, "%s", l->refused);
        return 0;
    }
    if ((rc = dk_check_compare(c, lane, err)) < 0)
        return rc;
    row->value = (double)t->equal;
    row->limit = (double)t->n;
    if (t->lacking)
        dk_check_say(row, DK_CHECK_FAIL, "%zu of %zu tensors are not in the finetune, or of another shape",
                     t->lacking, t->n);
    else if (t->equal == t->n)
        dk_check_say(row, c->spec->expect_null || c->spec->allow_identical ? DK_CHECK_WARN : DK_CHECK_FAIL,
                     "identical: all %zu tensors are equal to the base's", t->n);
    else if (t->maps == 0)
        dk_check_say(row, DK_CHECK_WARN, "only embeddings or norms differ: %zu of %zu tensors are equal%s%s",
                     t->equal, t->n, *t->types ? "; " : "", t->types);
    else
        dk_check_say(row, *t->types ? DK_CHECK_WARN : DK_CHECK_PASS, "%zu of %zu tensors are equal%s%s",
                     t->equal, t->n, *t->types ? "; " : "", t->types);
    return 0;
}
