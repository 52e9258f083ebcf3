/* Lists of tokens. */
#include "judge/tokenlist.h"

#include <math.h>
#include <string.h>

#include "io/jsonl.h"

struct reader {
    dk_token_lists *to;
    const char *path, *table;
    size_t first, most, row, last;
    dk_err *err;
    int rc;
};

static void add_fields(dk_buf *out, const dk_json *row)
{
    static const char *const field[] = { "ordering", "lane", "dataset_id", "topic", "layer", "site", "what", "name", "position",
                                         "inverse" };

    for (size_t i = 0; i < sizeof field / sizeof *field; i++) {
        const dk_json *v = dk_json_get(row, field[i]);
        dk_jw j = { .out = out };

        if (!v)
            continue;
        dk_buf_addf(out, "%s\"%s\":", out->n ? "," : "", field[i]);
        dk_jw_value(&j, v);
    }
}

/* Most rows belong to the list of the row before. */
static dk_token_list *list_of(struct reader *r, const char *about)
{
    dk_token_lists *t = r->to;

    if (r->last < t->n && r->last >= r->first && strcmp(t->list[r->last].about, about) == 0)
        return &t->list[r->last];
    for (r->last = r->first; r->last < t->n; r->last++)
        if (strcmp(t->list[r->last].about, about) == 0)
            return &t->list[r->last];
    t->list = dk_xrealloc(t->list, (t->n + 1) * sizeof *t->list);
    t->list[t->n] = (dk_token_list){ .table = dk_xstrdup(r->table), .about = dk_xstrdup(about) };
    return &t->list[t->n++];
}

static void add_token(dk_token_list *l, const dk_json *row, const char *token, const char *piece, double value)
{
    l->token = dk_xrealloc(l->token, (l->n + 1) * sizeof *l->token);
    l->piece = dk_xrealloc(l->piece, (l->n + 1) * sizeof *l->piece);
    l->id = dk_xrealloc(l->id, (l->n + 1) * sizeof *l->id);
    l->value = dk_xrealloc(l->value, (l->n + 1) * sizeof *l->value);
    l->token[l->n] = dk_xstrdup(*token ? token : piece);
    l->piece[l->n] = piece ? dk_xstrdup(piece) : NULL;
    l->id[l->n] = dk_json_int(dk_json_get(row, "id"), -1);
    l->value[l->n++] = value;
}

static int take(struct reader *r, const dk_json *row)
{
    const char *token = dk_json_str(dk_json_get(row, "token"), NULL), *piece = dk_json_str(dk_json_get(row, "piece"), NULL);
    const double value = dk_json_num(dk_json_get(row, "value"), NAN);
    dk_token_list *l;
    dk_buf about = {0};

    if (dk_json_get(row, "query") || dk_json_int(dk_json_get(row, "rank"), 1) == 0)
        return 0;               /* asked for, in no list; a topic's own line */
    if (!token || (!*token && (!piece || !*piece)))
        return dk_fail(r->err, DK_EFORMAT, "%s: object %zu has no token: a table of dk-mine or dk-lens is expected", r->path, r->row);
    if (!isfinite(value))
        return dk_fail(r->err, DK_EFORMAT, "%s: object %zu: the token has no value", r->path, r->row);
    add_fields(&about, row);
    l = list_of(r, about.n ? about.s : "");
    dk_buf_free(&about);
    if (l->n < r->most)
        add_token(l, row, token, piece, value);
    return 0;
}

static void each(void *user, dk_json **row)
{
    struct reader *r = user;

    r->row++;
    if (r->rc == 0)
        r->rc = take(r, *row);
}

int dk_token_lists_add(dk_token_lists *t, const char *path, size_t most, dk_err *err)
{
    const char *slash = strrchr(path, '/');
    struct reader r = { .to = t, .path = path, .table = slash ? slash + 1 : path, .first = t->n, .last = t->n, .most = most, .err = err };
    int rc = dk_jsonl_each(path, each, &r, err);

    rc = rc == 0 ? r.rc : rc;
    return rc == 0 && t->n == r.first ? dk_fail(err, DK_EDATA, "%s has no tokens", path) : rc;
}

void dk_token_lists_free(dk_token_lists *t)
{
    for (size_t l = 0; l < t->n; l++) {
        dk_token_list *k = &t->list[l];

        for (size_t i = 0; i < k->n; i++) {
            dk_free(k->token[i]);
            dk_free(k->piece[i]);
        }
        dk_free(k->token);
        dk_free(k->piece);
        dk_free(k->id);
        dk_free(k->value);
        dk_free(k->table);
        dk_free(k->about);
    }
    dk_free(t->list);
    *t = (dk_token_lists){0};
}
