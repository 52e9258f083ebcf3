/* Opening a pair. */
#include "model/pair.h"

#include <string.h>
#include <unistd.h>

#include "backend/backend.h"
#include "base/log.h"
#include "base/mem.h"
#include "io/h5meta.h"
#include "model/budget.h"

int dk_dtype_parse(dk_dtype *out, const char *name, const dk_model_config *c, dk_err *err)
{
    if (strcmp(name, "f32") == 0)
        *out = DK_F32;
    else if (strcmp(name, "bf16") == 0)
        *out = DK_BF16;
    else if (strcmp(name, "auto") == 0)
        *out = strcmp(c->dtype, "bfloat16") == 0 || strcmp(c->dtype, "BF16") == 0 ? DK_BF16 : DK_F32;
    else
        return dk_fail(err, DK_EUSAGE, "dtype '%s' is none of auto, f32, bf16", name);
    return 0;
}

static int add_lane(dk_pair *p, const char *name, size_t len, const char *path, dk_err *err)
{
    if (p->n_lanes == DK_MAX_LANES)
        return dk_fail(err, DK_EUSAGE, "more than %d lanes", DK_MAX_LANES);
    for (size_t i = 0; i < p->n_lanes; i++)
        if (strlen(p->lane[i].name) == len && strncmp(p->lane[i].name, name, len) == 0)
            return dk_fail(err, DK_EUSAGE, "two lanes are called '%s'", p->lane[i].name);
    p->lane[p->n_lanes].name = dk_xstrndup(name, len);
    p->lane[p->n_lanes].factor = 1;
    p->path[p->n_lanes++] = path;
    return dk_lane_name_check(p->lane[p->n_lanes - 1].name, err);
}

static int name_lanes(dk_pair *p, const dk_pair_spec *s, dk_err *err)
{
    int rc = add_lane(p, "base", 4, NULL, err);

    if (rc == 0 && s->ft)
        rc = add_lane(p, "ft", 2, s->ft, err);
    for (size_t i = 0; rc == 0 && i < s->n_nulls; i++) {
        const char *eq = strchr(s->nulls[i], '=');

        if (!eq || eq == s->nulls[i] || !eq[1])
            return dk_fail(err, DK_EUSAGE, "null '%s' is not of the form NAME=PATH", s->nulls[i]);
        rc = add_lane(p, s->nulls[i], (size_t)(eq - s->nulls[i]), eq + 1, err);
    }
    return rc;
}

static int keep_lane(dk_pair *p, const dk_pair *from, const char *name, dk_err *err)
{
    for (size_t i = 0; i < from->n_lanes; i++)
        if (strcmp(from->lane[i].name, name) == 0)
            return add_lane(p, name, strlen(name), from->path[i], err);
    return dk_fail(err, DK_EUSAGE, "no lane is called '%s'", name);
}

/* Keeps the wanted lanes, in the wanted order. */
static int select_lanes(dk_pair *p, const dk_pair_spec *s, dk_err *err)
{
    const dk_pair old = *p;
    int rc = 0;

    if (!s->lanes || s->n_wanted == 0)
        return 0;
    *p = (dk_pair){0};
    for (size_t w = 0; rc == 0 && w < s->n_wanted; w++)
        rc = keep_lane(p, &old, s->lanes[w], err);
    for (size_t i = 0; i < old.n_lanes; i++)
        dk_free((void *)(size_t)old.lane[i].name);
    return rc;
}

int dk_pair_name(dk_pair *p, const dk_pair_spec *s, dk_err *err)
{
    int rc;

    *p = (dk_pair){0};
    rc = name_lanes(p, s, err);
    if (rc == 0)
        rc = select_lanes(p, s, err);
    if (rc < 0)
        dk_pair_close(p);
    return rc;
}

static bool holds(const char *folder, const char *name)
{
    char *path = dk_xasprintf("%s/%s", folder, name);
    const bool there = access(path, F_OK) == 0;

    dk_free(path);
    return there;
}

bool dk_is_adapter(const char *path)
{
    return holds(path, "adapter_config.json") || holds(path, "adapter_model.safetensors");
}

bool dk_stored_otherwise(const dk_checkpoint *a, const dk_checkpoint *b, const char **x, const char **y)
{
    for (size_t i = 0; i < dk_checkpoint_n(a); i++) {
        const char *name = dk_checkpoint_name_at(a, i);
        size_t rows, cols;

        if (!dk_checkpoint_find(a, name, &rows, &cols) || rows == 1)
            continue;
        *x = dk_checkpoint_type(a, name);
        *y = dk_checkpoint_type(b, name);
        if (*x && *y && strcmp(*x, *y) != 0)
            return true;
    }
    return false;
}

/* A finetune with weights of its own, in the base's dtype. */
static int open_full(dk_pair *p, size_t lane, const dk_model_how *how, dk_err *err)
{
    dk_model **m = &p->full[lane];
    const char *x, *y;
    char a[65], b[65];
    int rc;

    rc = dk_model_open(m, p->path[lane], how, err);
    if (rc == 0)
        rc = dk_model_compatible(p->model, *m, err);
    if (rc == 0)
        rc = dk_checkpoint_sha256(p->model->file, a, err);
    if (rc == 0)
        rc = dk_checkpoint_sha256((*m)->file, b, err);
    if (rc < 0)
        return rc;
    if (strcmp(a, b) == 0) {        /* the lane is the base, and shares its products */
        dk_log(DK_WARN, "%s: the same weights as the base: identical", p->path[lane]);
        return 0;
    }
    p->lane[lane].model = *m;
    if (dk_stored_otherwise(p->model->file, (*m)->file, &x, &y))
        dk_log(DK_WARN, "%s is stored as %s, the base as %s: part of the difference is rounding", p->path[lane], y, x);
    return 0;
}

static int peek(dk_model_config *cfg, const char *path, dk_err *err)
{
    dk_checkpoint *c = NULL;
    const int rc = dk_checkpoint_open(&c, path, err);

    if (rc == 0)
        *cfg = *dk_checkpoint_config(c);
    dk_checkpoint_close(&c);
    return rc;
}

/* Finetunes may have more ids than the base, or fewer: those that all have are compared. */
int dk_pair_vocab(const dk_pair *p, size_t lane, size_t base, size_t *vocab, dk_err *err)
{
    const char *path = p->path[lane];
    dk_model_config own = { .vocab = base };
    int rc = 0;

    if (p->adapter[lane])
        own.vocab = dk_adapter_vocab(p->adapter[lane]);
    else if (path && holds(path, ".") && !holds(path, "config.json"))
        return dk_fail(err, DK_EIO, "%s holds neither a checkpoint (config.json) nor an adapter "
                       "(adapter_config.json)", path);
    else if (path)
        rc = peek(&own, path, err);
    if (rc == 0 && own.vocab != base)
        dk_log(DK_WARN, "%s has %zu ids, the base %zu: those that both have are compared, as if there were no "
               "others", path, own.vocab, base);
    if (rc == 0 && own.vocab < *vocab)
        *vocab = own.vocab;
    return rc;
}

/* Decided before the weights are read. */
static int choose_arith(dk_pair *p, const char *arith, const dk_model_config *c, dk_err *err)
{
    const bool pick = strcmp(arith, "auto") == 0;
    dk_err why = {0};
    int rc = 0;

    if (strcmp(arith, "plain") == 0 || (pick && p->n_lanes < 2))
        return 0;
    for (size_t i = 0; rc == 0 && i < p->n_lanes; i++)
        if (p->path[i] && !p->adapter[i])
            rc = dk_fail(&why, DK_EUSAGE, "lane '%s' has weights of its own: not with full finetunes yet",
                         p->lane[i].name);
    if (rc == 0)
        rc = dk_diff_possible(c, p->lane, p->n_lanes, &why);
    p->diff = rc == 0;
    if (rc == 0 || !pick)
        return rc == 0 ? 0 : dk_fail(err, why.code, "--arith difference: %s", why.msg);
    dk_log(DK_INFO, "plain arithmetic: %s", why.msg);
    return 0;
}

int dk_pair_open(dk_pair *p, const dk_pair_spec *s, dk_err *err)
{
    dk_model_how how = { .with_blocks = true, .with_head = s->with_head != 0 };
    dk_model_config cfg;
    int rc = dk_pair_name(p, s, err);

    if (rc == 0)
        rc = dk_device_select(s->backend ? s->backend : "cpu", err);
    /* Adapters before weights: what does not fit is said within a second. */
    if (rc == 0)
        rc = peek(&cfg, s->base, err);
    if (rc == 0)
        rc = dk_dtype_parse(&how.dtype, s->dtype, &cfg, err);
    for (size_t i = 0; rc == 0 && i < p->n_lanes; i++)
        if (p->path[i] && dk_is_adapter(p->path[i])) {
            rc = dk_adapter_open(&p->adapter[i], p->path[i], &cfg, err);
            p->lane[i].adapter = p->adapter[i];
        }
    if (rc == 0)
        rc = choose_arith(p, s->arith ? s->arith : "plain", &cfg, err);
    how.vocab = rc == 0 ? cfg.vocab : 0;
    for (size_t i = 0; rc == 0 && i < p->n_lanes; i++)
        rc = dk_pair_vocab(p, i, cfg.vocab, &how.vocab, err);
    if (rc == 0)
        rc = dk_pair_budget(p, s, &cfg, how.dtype, err);
    how.streamed = p->streamed;
    how.stays = p->stays;
    if (rc == 0)
        rc = dk_model_open(&p->model, s->base, &how, err);
    for (size_t i = 0; rc == 0 && i < p->n_lanes; i++)
        if (p->path[i] && !p->adapter[i])
            rc = open_full(p, i, &how, err);
    if (rc < 0)
        dk_pair_close(p);
    return rc;
}

int dk_pair_runner(dk_runner **out, const dk_pair *p, size_t max_rows, dk_err *err)
{
    int rc = dk_runner_new(out, p->model, p->lane, p->n_lanes, max_rows, err);

    if (rc == 0 && p->diff)
        rc = dk_runner_diff(*out, err);
    if (rc < 0)
        dk_runner_free(out);
    return rc;
}

void dk_pair_close(dk_pair *p)
{
    for (size_t i = 0; i < p->n_lanes; i++) {
        dk_free((void *)(size_t)p->lane[i].name);
        dk_adapter_close(&p->adapter[i]);
        dk_model_free(&p->full[i]);
    }
    dk_model_free(&p->model);
    *p = (dk_pair){0};
}
