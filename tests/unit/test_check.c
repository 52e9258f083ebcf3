/* The checks that no file can break: every pass goes through a wrapper that
 * spoils what the engine hands out, as a wrong engine would. */
#include <math.h>

#include "tap.h"
#include "files.h"
#include "method/check.h"

int __real_dk_runner_forward(dk_runner *r, const dk_pass *pass, dk_err *err);
int __wrap_dk_runner_forward(dk_runner *r, const dk_pass *pass, dk_err *err);

/* What to spoil: taps of a layer and lane, in passes with or without edits.
 * like_base: the tap becomes the base's, else its last value changes by one bit. */
static struct { bool on, like_base, edited; int layer; size_t lane; } spoil;

static const dk_tap *tap_of(const dk_pass *p, int layer, size_t lane)
{
    for (size_t i = 0; i < p->n_taps; i++)
        if (p->taps[i].layer == layer && p->taps[i].lane == lane)
            return &p->taps[i];
    return NULL;
}

int __wrap_dk_runner_forward(dk_runner *r, const dk_pass *p, dk_err *err)
{
    const int rc = __real_dk_runner_forward(r, p, err);
    const dk_tap *t = tap_of(p, spoil.layer, spoil.lane), *base = tap_of(p, spoil.layer, 0);
    const size_t n = p->batch.offset[p->batch.n_seq] * 64;      /* the miniature's width */

    if (rc < 0 || !spoil.on || !t || spoil.edited != (p->n_edits > 0))
        return rc;
    if (spoil.like_base)
        memcpy(t->out, base->out, n * sizeof *t->out);
    else
        t->out[n - 1] = nextafterf(t->out[n - 1], INFINITY);
    return rc;
}

/* Status of the row of a check, and its sentence. */
static const dk_check_row *row_of(const dk_check_report *r, const char *id, const char *lane)
{
    for (size_t i = 0; i < r->n; i++)
        if (strcmp(r->row[i].id, id) == 0 && strcmp(r->row[i].lane, lane) == 0)
            return &r->row[i];
    return NULL;
}

static dk_check_report checked(void)
{
    static char *only[] = { "A4", "S1" };
    char *base = repo_path("tests/golden/mini/mini.gguf");
    char *ft = repo_path("tests/golden/mini/lora-pattern");     /* touches layer 1 alone */
    const dk_check_spec spec = { .pair = { .base = base, .ft = ft, .dtype = "f32", .with_head = 1 },
                                 .only = only, .n_only = 2 };
    dk_check_report r = {0};
    dk_err err = {0};

    if (dk_check_run(&r, &spec, &err) < 0)
        tap_note("%s", err.msg);
    dk_free(base);
    dk_free(ft);
    return r;
}

/* Exactly one row fails, that one, and says so. */
static void fails(const char *id, const char *lane, const char *says)
{
    dk_check_report r = checked();
    const dk_check_row *row = row_of(&r, id, lane);

    tap(dk_check_count(&r, DK_CHECK_FAIL) == 1 && row && row->status == DK_CHECK_FAIL &&
        strstr(row->detail, says), "%s, lane %s: %s", id, lane, row ? row->detail : "no row");
    dk_check_free(&r);
}

int main(void)
{
    dk_check_report r = checked();

    tap(r.n == 3 && dk_check_count(&r, DK_CHECK_PASS) == 3, "a sound engine passes");
    dk_check_free(&r);

    spoil.on = true;
    spoil.layer = 0;
    spoil.lane = 1;
    fails("A4", "ft", "the output of layer 0 differs from the base");
    spoil.layer = 1;
    spoil.like_base = true;
    fails("A4", "ft", "changes nothing");

    spoil.like_base = false;
    spoil.edited = true;
    fails("S1", "ft", "factor 0");
    spoil.lane = 2;
    fails("S1", "ft", "factor 1");
    spoil.layer = -1;
    fails("S1", "ft", "factor 1");
    return tap_end();
}
