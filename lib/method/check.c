/* The table of checks, and one run of it. */
#include "method/checkrun.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "backend/backend.h"
#include "io/json.h"

enum { BASE = 1, FINETUNES = 2 };           /* lanes that a check looks at */
enum {                                      /* what must be there before */
    WEIGHTS = 1, PASS = 2 | WEIGHTS, ENGINE = 4 | PASS
};

static const struct check {
    const char *id, *title;
    unsigned lanes, needs;
    dk_check_fn *run;
    bool asked;             /* runs only when asked for; A8 for every full finetune */
} checks[] = {
    { "T1", "texts begin with the promised BOS", BASE, 0, dk_check_t1, false },
    { "T2", "chats can be rendered, prompts begin what follows", BASE, 0, dk_check_t2, false },
    { "T3", "tokenizers of base and finetune are the same", BASE | FINETUNES, 0, dk_check_t3, false },
    { "T4", "text survives encoding", BASE, 0, dk_check_t4, false },
    { "A1", "every adapter tensor has a home", FINETUNES, 0, dk_check_a1, false },
    { "A2", "the adapter is not empty", FINETUNES, 0, dk_check_a2, false },
    { "A3", "the adapter's scale and rank are sound", FINETUNES, 0, dk_check_a3, false },
    { "A4", "the adapter is applied, where it should be", FINETUNES, PASS, dk_check_a4, false },
    { "A5", "the adapter is applied to the right size", FINETUNES, ENGINE, dk_check_a5, false },
    { "A6", "side path and merged weights agree", FINETUNES, PASS, dk_check_a6, true },
    { "A7", "the adapter survives a merge in bf16", FINETUNES, 0, dk_check_a7, true },
    { "A8", "a finetune with weights of its own differs from the base", FINETUNES, 0, dk_check_a8, true },
    { "G1", "the base gives the stored numbers", BASE, PASS, dk_check_g1, false },
    { "G2", "the loss on English text is sane", BASE | FINETUNES, PASS, dk_check_g2, false },
    { "L1", "a block reads what the last one left", BASE | FINETUNES, ENGINE, dk_check_l1, false },
    { "L2", "a block adds its attention and its MLP", BASE | FINETUNES, ENGINE, dk_check_l2, false },
    { "L3", "the last tap gives the logits", BASE | FINETUNES, ENGINE, dk_check_l3, false },
    { "L4", "an edit lands where it says", BASE | FINETUNES, ENGINE, dk_check_l4, false },
    { "L5", "relative depths are the right layers", BASE, 0, dk_check_l5, false },
    { "E1", "a row does not depend on its batch", BASE | FINETUNES, ENGINE, dk_check_e1, false },
    { "E2", "decoding with a cache equals the whole prompt", BASE | FINETUNES, ENGINE, dk_check_e2, false },
    { "S1", "edits of strength 0 change nothing", BASE | FINETUNES, WEIGHTS, dk_check_s1, false },
};
enum { N_CHECKS = sizeof checks / sizeof *checks };

void dk_check_say(dk_check_row *row, dk_check_status status, const char *fmt, ...)
{
    dk_buf text = {0};
    char line[2048];
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(line, sizeof line, fmt, ap);
    va_end(ap);
    dk_buf_adds(&text, line);
    dk_free(row->detail);
    row->detail = text.s;
    row->status = status;
}

/* --- which checks ------------------------------------------------------------------ */
static bool wanted(const dk_check_spec *s, const struct check *k, bool full)
{
    for (size_t i = 0; i < s->n_only; i++)
        if (strcmp(s->only[i], k->id) == 0 || strcmp(s->only[i], "all") == 0)
            return true;
    return s->n_only == 0 && (!k->asked || (full && k->run == dk_check_a8));
}

static int known_ids(const dk_check_spec *s, dk_err *err)
{
    dk_buf all = {0};
    int rc = 0;

    for (size_t k = 0; k < N_CHECKS; k++)
        dk_buf_addf(&all, "%s, ", checks[k].id);
    for (size_t i = 0; rc == 0 && i < s->n_only; i++) {
        size_t k = 0;

        while (k < N_CHECKS && strcmp(checks[k].id, s->only[i]) != 0)
            k++;
        if (k == N_CHECKS && strcmp(s->only[i], "all") != 0)
            rc = dk_fail(err, DK_EUSAGE, "there is no check '%s': they are %sall", s->only[i], all.s);
    }
    dk_buf_free(&all);
    return rc;
}

static unsigned needs(const dk_check_spec *s)
{
    unsigned all = 0;

    for (size_t k = 0; k < N_CHECKS; k++)
        if (wanted(s, &checks[k], false))
            all |= checks[k].needs;
    return all;
}

/* --- a run --------------------------------------------------------------------------- */
/* NaN in the base is what G2 looks for. */
static int load_weights(dk_check *c, dk_dtype dtype, int with_head, dk_err *err)
{
    dk_model_how how = { .dtype = dtype, .with_blocks = true, .with_head = with_head, .vocab = c->config.vocab };
    dk_err why = {0};
    int rc = 0;

    for (size_t l = 1; rc == 0 && l < c->pair.n_lanes; l++)
        if (c->lane[l].usable)
            rc = dk_pair_vocab(&c->pair, l, c->config.vocab, &how.vocab, &why);
    if (rc == 0)
        rc = dk_model_open(&c->pair.model, c->spec->pair.base, &how, &why);
    c->config.vocab = how.vocab;
    if (rc == DK_ENUM)
        c->weights_refused = dk_xstrdup(why.msg);
    else if (rc < 0)
        return dk_fail(err, rc, "%s", why.msg);
    for (size_t l = 1; c->pair.model && l < c->pair.n_lanes; l++)
        if (c->lane[l].full && c->lane[l].usable && dk_check_load_full(c, l, &how, err) < 0)
            return err->code;
    return 0;
}

/* Adapters and tokenizer first: what does not fit is known before weights load. */
static int open_parts(dk_check *c, dk_err *err)
{
    const dk_pair_spec *s = &c->spec->pair;
    dk_checkpoint *file = NULL;
    dk_dtype dtype = DK_F32;
    int rc = dk_pair_name(&c->pair, s, err);

    if (rc == 0)
        rc = dk_device_select(s->backend ? s->backend : "cpu", err);
    if (rc == 0)
        rc = dk_checkpoint_open(&file, s->base, err);
    if (rc < 0)
        return rc;
    c->config = *dk_checkpoint_config(file);
    dk_checkpoint_close(&file);
    rc = dk_dtype_parse(&dtype, s->dtype, &c->config, err);
    c->lane[0].usable = true;
    for (size_t l = 1; rc == 0 && l < c->pair.n_lanes; l++)
        rc = dk_check_inspect(c, l, err);
    if (rc == 0)
        rc = dk_check_encode(c, err);
    if (rc == 0 && needs(c->spec) & WEIGHTS)
        rc = load_weights(c, dtype, (needs(c->spec) & PASS) == PASS, err);
    if (rc == 0 && c->pair.model && (needs(c->spec) & PASS) == PASS)
        rc = dk_check_pass(c, err);
    if (rc == 0 && c->pair.model && (needs(c->spec) & ENGINE) == ENGINE)
        rc = dk_check_try_engine(c, err);
    return rc;
}

static int run_one(dk_check *c, const struct check *k, size_t lane, dk_check_report *out, dk_err *err)
{
    dk_check_row *row;

    out->row = dk_xrealloc(out->row, (out->n + 1) * sizeof *out->row);
    row = &out->row[out->n++];
    *row = (dk_check_row){ .id = k->id, .title = k->title, .lane = dk_xstrdup(c->pair.lane[lane].name),
                           .value = NAN, .limit = NAN };
    return k->run(c, lane, row, err);
}

static void close_parts(dk_check *c)
{
    for (size_t l = 0; l < c->pair.n_lanes; l++) {
        dk_free(c->lane[l].refused);
        dk_free(c->probe[l].diff);
    }
    dk_tokenizer_close(&c->tokenizer);
    dk_free(c->tokenizer_refused);
    dk_free(c->weights_refused);
    dk_free(c->ids);
    dk_pair_close(&c->pair);
}

int dk_check_run(dk_check_report *out, const dk_check_spec *spec, dk_err *err)
{
    dk_check c = { .spec = spec };
    int rc = known_ids(spec, err);

    *out = (dk_check_report){0};
    if (rc == 0)
        rc = open_parts(&c, err);
    for (size_t k = 0; rc == 0 && k < N_CHECKS; k++)
        for (size_t l = 0; rc == 0 && l < c.pair.n_lanes; l++)
            if (wanted(spec, &checks[k], c.lane[l].full) && checks[k].lanes & (l ? FINETUNES : BASE))
                rc = run_one(&c, &checks[k], l, out, err);
    close_parts(&c);
    if (rc < 0)
        dk_check_free(out);
    return rc;
}

/* --- the report ---------------------------------------------------------------------- */
void dk_check_free(dk_check_report *r)
{
    for (size_t i = 0; i < r->n; i++) {
        dk_free(r->row[i].lane);
        dk_free(r->row[i].detail);
    }
    dk_free(r->row);
    *r = (dk_check_report){0};
}

size_t dk_check_count(const dk_check_report *r, dk_check_status status)
{
    size_t n = 0;

    for (size_t i = 0; i < r->n; i++)
        n += r->row[i].status == status;
    return n;
}

const char *dk_check_status_name(dk_check_status s)
{
    static const char *const names[] = { "pass", "warn", "fail", "skip" };

    return names[s];
}

void dk_check_row_json(dk_buf *out, const dk_check_row *row)
{
    dk_jw w = { .out = out };

    dk_jw_obj_begin(&w);
    dk_jw_key(&w, "check");
    dk_jw_str(&w, row->id);
    dk_jw_key(&w, "lane");
    dk_jw_str(&w, row->lane);
    dk_jw_key(&w, "status");
    dk_jw_str(&w, dk_check_status_name(row->status));
    dk_jw_key(&w, "value");
    dk_jw_num(&w, row->value);
    dk_jw_key(&w, "limit");
    dk_jw_num(&w, row->limit);
    dk_jw_key(&w, "detail");
    dk_jw_str(&w, row->detail);
    dk_jw_obj_end(&w);
    dk_jw_line(&w);
}
