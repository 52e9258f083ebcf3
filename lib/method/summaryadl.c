/* Loading what the lens of activation differences left. */
#include "method/summaryadl.h"

#include <glob.h>
#include <limits.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "io/jsonl.h"
#include "method/summary.h"
#include "method/lane.h"

struct work { dk_adl **out; size_t *n; const char *set; };

/* --- rows -------------------------------------------------------------------- */
static bool position_of(const dk_json *row, int32_t *position)
{
    const dk_json *v = dk_json_get(row, "position");
    const int64_t p = dk_json_int(v, INT64_MIN);

    *position = DK_ADL_ALL;
    if (!dk_json_is_null(v))
        *position = (int32_t)p;
    return dk_json_is_null(v) || (p > INT32_MIN && p <= INT32_MAX);
}

/* The block a row belongs to; NULL where it does not say. */
static dk_adl *block_of(struct work *w, const dk_json *row)
{
    const int64_t layer = dk_json_int(dk_json_get(row, "layer"), -1);
    const char *site = dk_row_str(row, "site");
    dk_adl *a;

    if (layer < 0 || layer > INT_MAX || !*dk_row_str(row, "what"))
        return NULL;
    for (size_t i = *w->n; i-- > 0;) {
        a = &(*w->out)[i];
        if (strcmp(a->set, w->set) == 0 && a->layer == layer && strcmp(a->site, site) == 0)
            return a;
    }
    *w->out = dk_xrealloc(*w->out, (*w->n + 1) * sizeof **w->out);
    a = &(*w->out)[(*w->n)++];
    *a = (dk_adl){ .set = dk_xstrdup(w->set), .site = dk_xstrdup(site), .layer = (int)layer };
    return a;
}

static void add_norm(void *user, dk_json **rowp)
{
    const dk_json *row = *rowp;
    int32_t position;
    dk_adl *a = block_of(user, row);

    if (!a || !position_of(row, &position))
        return;
    a->norm = dk_xrealloc(a->norm, (a->n_norm + 1) * sizeof *a->norm);
    a->norm[a->n_norm++] = (dk_adl_norm){
        .what = dk_xstrdup(dk_row_str(row, "what")), .position = position, .norm = dk_row_num(row, "norm"),
        .mean_norm = dk_row_num(row, "mean_norm"), .act_norm = dk_row_num(row, "act_norm"),
        .count = dk_row_num(row, "count")
    };
}

static dk_adl_token token_of(const dk_json *row)
{
    dk_adl_token t = {
        .token = dk_xstrdup(dk_row_str(row, "token")), .piece = dk_xstrdup(dk_row_str(row, "piece")),
        .id = dk_json_int(dk_json_get(row, "id"), -1), .rank = dk_json_int(dk_json_get(row, "rank"), 0),
        .value = dk_row_num(row, "value"), .null = NAN
    };
    dk_json_iter it = {0};

    while (dk_json_next(dk_json_get(row, "null"), &it)) {
        const double v = dk_row_num(it.value, "value");

        if (!isfinite(v) || v <= t.null)
            continue;
        t.null = v;
        t.null_rank = dk_json_int(dk_json_get(it.value, "rank"), 0);
        dk_free(t.null_lane);
        t.null_lane = dk_xstrdup(it.key);
    }
    return t;
}

static void free_token(dk_adl_token *t)
{
    dk_free(t->token);
    dk_free(t->piece);
    dk_free(t->query);
    dk_free(t->null_lane);
}

/* The list of a row: the last one, as files hold list by list. */
static dk_adl_list *list_of(dk_adl *a, const char *what, int32_t position, bool inverse)
{
    for (size_t i = a->n_list; i-- > 0;)
        if (a->list[i].position == position && a->list[i].inverse == inverse && strcmp(a->list[i].what, what) == 0)
            return &a->list[i];
    a->list = dk_xrealloc(a->list, (a->n_list + 1) * sizeof *a->list);
    a->list[a->n_list] = (dk_adl_list){ .what = dk_xstrdup(what), .position = position, .inverse = inverse };
    return &a->list[a->n_list++];
}

static void add_token(void *user, dk_json **rowp)
{
    const dk_json *row = *rowp, *query = dk_json_get(row, "query");
    const int64_t rank = dk_json_int(dk_json_get(row, "rank"), 0);
    int32_t position;
    dk_adl *a = block_of(user, row);
    dk_adl_list *l;

    if (!a || !position_of(row, &position) || rank < 1 || (!query && rank > DK_ADL_KEEP))
        return;
    l = list_of(a, dk_row_str(row, "what"), position, dk_json_bool(dk_json_get(row, "inverse"), false));
    if (query) {
        l->asked = dk_xrealloc(l->asked, (l->n_asked + 1) * sizeof *l->asked);
        l->asked[l->n_asked] = token_of(row);
        l->asked[l->n_asked++].query = dk_xstrdup(dk_json_str(query, ""));
    } else if (l->n < DK_ADL_KEEP) {
        l->token = dk_xrealloc(l->token, (l->n + 1) * sizeof *l->token);
        l->token[l->n++] = token_of(row);
    }
}

/* --- a data set ------------------------------------------------------------------ */
static int by_position(const void *va, const void *vb)
{
    const int32_t a = *(const int32_t *)va, b = *(const int32_t *)vb;

    return a < b ? -1 : a > b;
}

static void find_positions(dk_adl *a)
{
    size_t n = 0;

    a->position = dk_xcalloc(a->n_norm + a->n_list + 1, sizeof *a->position);
    for (size_t i = 0; i < a->n_norm; i++)
        a->position[n++] = a->norm[i].position;
    for (size_t i = 0; i < a->n_list; i++)
        a->position[n++] = a->list[i].position;
    qsort(a->position, n, sizeof *a->position, by_position);
    for (size_t i = 0; i < n; i++)
        if (a->position[i] != DK_ADL_ALL &&
            (a->n_position == 0 || a->position[a->n_position - 1] != a->position[i]))
            a->position[a->n_position++] = a->position[i];
}

static void find_whats(dk_adl *a)
{
    static const char *const first[] = { "diff", "ft", "base" };

    for (size_t f = 0; f <= 3; f++)
        for (size_t i = 0; i < a->n_list && a->n_what < 16; i++) {
            size_t k = 0;

            if (f < 3 && strcmp(a->list[i].what, first[f]) != 0)
                continue;
            while (k < a->n_what && strcmp(a->what[k], a->list[i].what) != 0)
                k++;
            if (k == a->n_what)
                a->what[a->n_what++] = a->list[i].what;
        }
}

static int load_set(struct work *w, const char *dir, dk_err *err)
{
    static const struct { const char *suffix; dk_jsonl_fn *each; } table[] = {
        { "means", add_norm }, { "lens", add_token }
    };
    int rc = 0;

    for (size_t i = 0; rc == 0 && i < 2; i++) {
        char *rest = dk_xasprintf("activation_difference_lens/%s.%s.jsonl", w->set, table[i].suffix);
        char *path = dk_xasprintf("%s/%s", dir, rest);

        if (access(path, F_OK) == 0)
            rc = dk_jsonl_each(path, table[i].each, w, err);
        dk_free(rest);
        dk_free(path);
    }
    return rc;
}

/* The data sets, by the names of either file; glob sorts them. */
static int load(struct work *w, const char *dir, const char *suffix, const char *unless, dk_err *err)
{
    char *rest = dk_xasprintf("activation_difference_lens/*%s", suffix), *pattern = dk_summary_pattern(dir, rest);
    glob_t g = {0};
    int rc = 0;

    if (glob(pattern, 0, NULL, &g) == 0)
        for (size_t i = 0; rc == 0 && i < g.gl_pathc && i < DK_SUMMARY_SETS; i++) {
            const char *base = strrchr(g.gl_pathv[i], '/') + 1;
            char *set = dk_xstrndup(base, strlen(base) - strlen(suffix));
            char *other = unless ? dk_xasprintf("%s/activation_difference_lens/%s%s", dir, set, unless) : NULL;

            w->set = set;
            if (!other || access(other, F_OK) != 0)
                rc = load_set(w, dir, err);
            dk_free(set);
            dk_free(other);
        }
    globfree(&g);
    dk_free(rest);
    dk_free(pattern);
    return rc;
}

int dk_adl_load(dk_adl **out, size_t *n, const char *results, dk_err *err)
{
    struct work w = { .out = out, .n = n };
    int rc;

    *out = NULL;
    *n = 0;
    rc = load(&w, results, ".means.jsonl", NULL, err);
    if (rc == 0)
        rc = load(&w, results, ".lens.jsonl", ".means.jsonl", err);
    for (size_t i = 0; i < *n; i++) {
        find_positions(&(*out)[i]);
        find_whats(&(*out)[i]);
    }
    return rc;
}

void dk_adl_free(dk_adl *a, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        for (size_t k = 0; k < a[i].n_norm; k++)
            dk_free(a[i].norm[k].what);
        for (size_t k = 0; k < a[i].n_list; k++) {
            for (size_t t = 0; t < a[i].list[k].n; t++)
                free_token(&a[i].list[k].token[t]);
            for (size_t t = 0; t < a[i].list[k].n_asked; t++)
                free_token(&a[i].list[k].asked[t]);
            dk_free(a[i].list[k].token);
            dk_free(a[i].list[k].asked);
            dk_free(a[i].list[k].what);
        }
        dk_free(a[i].norm);
        dk_free(a[i].list);
        dk_free(a[i].position);
        dk_free(a[i].set);
        dk_free(a[i].site);
    }
    dk_free(a);
}

/* --- reading ----------------------------------------------------------------------- */
const dk_adl_list *dk_adl_list_of(const dk_adl *a, const char *what, int32_t position, bool inverse)
{
    for (size_t i = 0; i < a->n_list; i++)
        if (a->list[i].position == position && a->list[i].inverse == inverse && strcmp(a->list[i].what, what) == 0)
            return &a->list[i];
    return NULL;
}

const dk_adl_norm *dk_adl_norm_of(const dk_adl *a, const char *what, int32_t position)
{
    for (size_t i = 0; i < a->n_norm; i++)
        if (a->norm[i].position == position && strcmp(a->norm[i].what, what) == 0)
            return &a->norm[i];
    return NULL;
}

double dk_adl_share(const dk_adl *a, const char *what, int32_t position)
{
    const dk_adl_norm *of = dk_adl_norm_of(a, what, position), *base = dk_adl_norm_of(a, "base", position);

    return of && base && base->mean_norm > 0 ? 100 * of->norm / base->mean_norm : NAN;
}

bool dk_adl_finding(const dk_adl_token *t) { return !(t->null >= DK_LANE_SHARED * t->value); }

double dk_adl_mass(const dk_adl_list *l)
{
    double sum = 0;

    for (size_t i = 0; l && i < l->n; i++)
        if (dk_adl_finding(&l->token[i]) && isfinite(l->token[i].value))
            sum += l->token[i].value;
    return sum;
}

size_t dk_adl_telling(const dk_adl *a, int32_t *position, size_t n)
{
    double *mass = dk_xcalloc(a->n_position + 1, sizeof *mass);
    size_t found = 0;

    for (size_t i = 0; i < a->n_position; i++)
        mass[i] = dk_adl_mass(dk_adl_list_of(a, "diff", a->position[i], false));
    while (found < n) {
        size_t best = a->n_position;

        for (size_t i = 0; i < a->n_position; i++)
            if (mass[i] > 0 && (best == a->n_position || mass[i] > mass[best]))
                best = i;
        if (best == a->n_position)
            break;
        position[found++] = a->position[best];
        mass[best] = 0;
    }
    dk_free(mass);
    return found;
}
