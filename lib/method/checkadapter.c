/* Checks of an adapter's files: A1, A2, A3. */
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "method/checkrun.h"

/* "x", or "x (and 3 more)". */
static void name_some(dk_buf *out, const char *what, const dk_names *list)
{
    if (list->n == 0)
        return;
    dk_buf_addf(out, "%s%s%.300s", out->n ? "; " : "", what, list->v[0]);
    if (list->n > 1)
        dk_buf_addf(out, " (and %zu more)", list->n - 1);
}

static bool is_zero(const dk_adapter *a, const dk_adapter_module *m)
{
    const dk_names *zero = dk_adapter_zero(a);

    for (size_t i = 0; i < zero->n; i++)
        if (strcmp(zero->v[i], m->path) == 0)
            return true;
    return false;
}

static void look_at_modules(dk_check_lane *l, const dk_adapter *a)
{
    bool finite = true;

    l->empty = l->no_scale = true;
    l->first = -1;
    for (size_t i = 0; i < dk_adapter_n(a); i++) {      /* in order of layers */
        const dk_adapter_module *m = dk_adapter_at(a, i);
        const bool zero = is_zero(a, m);

        finite = finite && isfinite(m->scale);
        l->no_scale = l->no_scale && m->scale == 0;
        l->empty = l->empty && zero;
        if (!zero && m->scale != 0 && l->first < 0) {
            l->first = m->layer;
            l->module = m;
        }
    }
    /* What enters the first block changes, or what leaves the last. */
    if (dk_adapter_changes_embed(a) || dk_adapter_changes_head(a)) {
        if (dk_adapter_changes_embed(a)) {
            l->first = 0;
            l->module = NULL;
        }
        l->ends = true;
        l->empty = l->no_scale = false;
    }
    l->usable = finite && dk_adapter_misfit(a)->n == 0;
}

bool dk_check_no_adapter(const dk_check *c, size_t lane, dk_check_row *row)
{
    if (c->lane[lane].full)
        dk_check_say(row, DK_CHECK_SKIP, "not applicable: the finetune has weights of its own, see A8");
    return c->lane[lane].full;
}

int dk_check_inspect(dk_check *c, size_t lane, dk_err *err)
{
    dk_check_lane *l = &c->lane[lane];
    dk_err why = {0};
    int rc;

    if (!dk_is_adapter(c->pair.path[lane]))
        return dk_check_inspect_full(c, lane, err);
    rc = dk_adapter_inspect(&c->pair.adapter[lane], c->pair.path[lane], &c->config, &why);
    /* Sound files that this model cannot use are a finding, not an error. */
    if (rc == DK_EDATA || rc == DK_ENUM)
        l->refused = dk_xstrdup(why.msg);
    else if (rc < 0)
        return dk_fail(err, rc, "%s", why.msg);
    c->pair.lane[lane].adapter = c->pair.adapter[lane];
    if (rc == 0)
        look_at_modules(l, c->pair.adapter[lane]);
    return 0;
}

int dk_check_a1(dk_check *c, size_t lane, dk_check_row *row, dk_err *err)
{
    const dk_adapter *a = c->pair.adapter[lane];
    dk_buf text = {0};
    size_t n;

    (void)err;
    if (dk_check_no_adapter(c, lane, row))
        return 0;
    if (!a) {
        dk_check_say(row, DK_CHECK_FAIL, "%s", c->lane[lane].refused);
        return 0;
    }
    name_some(&text, "", dk_adapter_misfit(a));
    if (!text.n) {      /* of another model, all else is a consequence */
        name_some(&text, "no place for tensor ", dk_adapter_unmatched(a));
        name_some(&text, "targeted, but without weights: ", dk_adapter_missing(a));
        name_some(&text, "weights, but not targeted: ", dk_adapter_untargeted(a));
    }
    n = dk_adapter_misfit(a)->n + dk_adapter_unmatched(a)->n + dk_adapter_missing(a)->n +
        dk_adapter_untargeted(a)->n;
    row->value = (double)n;
    row->limit = 0;
    if (n)
        dk_check_say(row, DK_CHECK_FAIL, "%s", text.s);
    else
        dk_check_say(row, DK_CHECK_PASS, "%zu modules, rank %zu, %s", dk_adapter_n(a),
                     dk_adapter_max_rank(a), dk_adapter_dtype(a));
    dk_buf_free(&text);
    return 0;
}

static bool not_here(dk_check *c, size_t lane, dk_check_row *row)
{
    const dk_adapter *a = c->pair.adapter[lane];

    if (dk_check_no_adapter(c, lane, row))
        return true;
    if (a && (dk_adapter_n(a) > 0 || dk_adapter_changes_embed(a) || dk_adapter_changes_head(a)))
        return false;
    dk_check_say(row, DK_CHECK_SKIP, "the adapter does not fit, see A1");
    return true;
}

int dk_check_a2(dk_check *c, size_t lane, dk_check_row *row, dk_err *err)
{
    const dk_adapter *a = c->pair.adapter[lane];
    dk_buf text = {0};

    (void)err;
    if (not_here(c, lane, row))
        return 0;
    name_some(&text, "A or B is all zero in ", dk_adapter_zero(a));
    row->value = (double)dk_adapter_zero(a)->n;
    row->limit = 0;
    if (c->lane[lane].empty)
        dk_check_say(row, c->spec->expect_null ? DK_CHECK_WARN : DK_CHECK_FAIL, "A or B is all zero in "
                     "every one of the %zu modules: the adapter is an untrained initialisation",
                     dk_adapter_n(a));
    else if (text.n)
        dk_check_say(row, DK_CHECK_WARN, "%s", text.s);
    else
        dk_check_say(row, DK_CHECK_PASS, "%zu modules hold weights", dk_adapter_n(a));
    dk_buf_free(&text);
    return 0;
}

/* Whether the base that the adapter names lies here and is another than ours.
 * Hub ids and quantised copies cannot be compared: nothing is said then. */
static bool other_base(dk_check *c, const dk_adapter *a)
{
    const char *named = dk_adapter_base(a);
    dk_checkpoint *theirs = NULL, *ours = NULL;
    char x[65] = "", y[65] = "";
    struct stat st;
    bool differ = false;

    if (!*named || stat(named, &st) != 0)
        return false;
    if (dk_checkpoint_open(&theirs, named, NULL) == 0 &&
        dk_checkpoint_open(&ours, c->spec->pair.base, NULL) == 0 &&
        (dk_checkpoint_gguf(theirs) != NULL) == (dk_checkpoint_gguf(ours) != NULL) &&
        dk_checkpoint_sha256(theirs, x, NULL) == 0 && dk_checkpoint_sha256(ours, y, NULL) == 0)
        differ = strcmp(x, y) != 0;
    dk_checkpoint_close(&theirs);
    dk_checkpoint_close(&ours);
    return differ;
}

int dk_check_a3(dk_check *c, size_t lane, dk_check_row *row, dk_err *err)
{
    const dk_adapter *a = c->pair.adapter[lane];
    const dk_check_status null = c->spec->expect_null ? DK_CHECK_WARN : DK_CHECK_FAIL;
    dk_buf text = {0};
    const char *off = NULL;

    (void)err;
    if (not_here(c, lane, row))
        return 0;
    row->value = (double)dk_adapter_at(a, 0)->scale;
    name_some(&text, "", dk_adapter_wrong_rank(a));
    for (size_t i = 0; i < dk_adapter_n(a); i++) {
        const dk_adapter_module *m = dk_adapter_at(a, i);

        if (!isfinite(m->scale) && !text.n)
            dk_buf_addf(&text, "the scale of %s is not finite", m->path);
        if (m->scale == 0)
            off = m->path;
    }
    if (text.n)
        dk_check_say(row, DK_CHECK_FAIL, "%s", text.s);
    else if (c->lane[lane].no_scale)
        dk_check_say(row, null, "the scale is 0 (lora_alpha %g): the adapter is switched off",
                     dk_adapter_alpha(a));
    else if (off)
        dk_check_say(row, DK_CHECK_WARN, "the scale of %s is 0", off);
    else if (other_base(c, a))
        dk_check_say(row, DK_CHECK_WARN, "the adapter was trained on %.300s, whose files are not those "
                     "of this base", dk_adapter_base(a));
    else
        dk_check_say(row, DK_CHECK_PASS, "alpha %g, rank %zu%s", dk_adapter_alpha(a), dk_adapter_rank(a),
                     dk_adapter_rslora(a) ? ", alpha / sqrt(rank)" : "");
    dk_buf_free(&text);
    return 0;
}
