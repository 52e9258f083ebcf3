/* Rates of events in amplified samples. */
#include "method/eventrate.h"

#include <math.h>
#include <string.h>

#include "base/log.h"
#include "io/json.h"
#include "io/textfile.h"
#include "num/resample.h"

/* --- numbers ----------------------------------------------------------------- */
int dk_event_rate_of(dk_event_rate *out, const double *lw, const double *hit, size_t n, uint64_t seed, dk_err *err)
{
    double *w = dk_xcalloc(n, sizeof *w), *x = dk_xcalloc(n, sizeof *x), most = -INFINITY, sum = 0, square = 0, hits = 0;
    uint64_t *place = dk_xcalloc(n, sizeof *place);
    int rc = 0;

    *out = (dk_event_rate){ .n = n, .rate = NAN, .lo = NAN, .hi = NAN };
    for (size_t i = 0; i < n; i++)
        most = fmax(most, lw[i]);
    for (size_t i = 0; i < n; i++) {
        place[i] = i;
        w[i] = exp(lw[i] - most);
        x[i] = w[i] * hit[i];
        sum += w[i];
        square += w[i] * w[i];
        hits += x[i];
        out->hits += hit[i] != 0;
    }
    out->ess = n ? sum * sum / square : 0;
    if (out->ess >= DK_RATE_LEAST) {
        out->rate = hits / sum;
        rc = dk_bootstrap_ratio(&out->lo, &out->hi, x, w, place, n, seed, err);
    }
    dk_free(w);
    dk_free(x);
    dk_free(place);
    return rc;
}

/* --- samples ----------------------------------------------------------------- */
/* Of a lane at an alpha (NaN: the base). */
struct group { char *lane; double alpha; size_t n, room; double *lw, *hit; };
struct reader { struct group *group; size_t n, greedy; const dk_event *event; };

static struct group *group_of(struct reader *r, const char *lane, double alpha)
{
    for (size_t g = 0; g < r->n; g++)
        if (strcmp(r->group[g].lane, lane) == 0 &&
            (r->group[g].alpha == alpha || (isnan(alpha) && isnan(r->group[g].alpha))))
            return &r->group[g];
    r->group = dk_xrealloc(r->group, (r->n + 1) * sizeof *r->group);
    r->group[r->n] = (struct group){ .lane = dk_xstrdup(lane), .alpha = alpha };
    return &r->group[r->n++];
}

static void add(struct group *g, double lw, bool hit)
{
    if (g->n == g->room) {
        g->room = g->room ? 2 * g->room : 64;
        g->lw = dk_xrealloc(g->lw, g->room * sizeof *g->lw);
        g->hit = dk_xrealloc(g->hit, g->room * sizeof *g->hit);
    }
    g->lw[g->n] = lw;
    g->hit[g->n++] = hit;
}

/* Anything that is cut off has no weight, so a sample may have nothing cut off. */
static int check_whole(const dk_json *row, dk_err *err)
{
    static const struct { const char *key, *option; double whole; } cut[] = {
        { "temperature", "--temperature", 1 }, { "beta", "--plausibility", 0 }, { "top_k", "--top-k", 0 },
        { "top_p", "--top-p", 1 }, { "min_p", "--min-p", 0 }, { "min_new_tokens", "--min-new-tokens", 0 }
    };

    for (size_t i = 0; i < sizeof cut / sizeof *cut; i++) {
        const double x = dk_json_num(dk_json_get(row, cut[i].key), NAN);

        if (isnan(x))
            return dk_fail(err, DK_EDATA, "no sample of dk-generate --amplify: '%s' is missing", cut[i].key);
        if (x != cut[i].whole)
            return dk_fail(err, DK_EDATA, "drawn with %s %g: rates need samples drawn with %s %g", cut[i].option, x,
                           cut[i].option, cut[i].whole);
    }
    return 0;
}

static int sum_of(double *out, const dk_json *list, size_t n, const char *key, dk_err *err)
{
    *out = 0;
    if (dk_json_type(list) != DK_JSON_ARRAY || dk_json_len(list) != n || n == 0)
        return dk_fail(err, DK_EDATA, "'%s' is no list of n_tokens numbers", key);
    for (size_t i = 0; i < n; i++)
        *out += dk_json_num(dk_json_at(list, i), NAN);
    return isfinite(*out) ? 0 : dk_fail(err, DK_EDATA, "'%s' has something that is no number", key);
}

static int event_in(bool *hit, const dk_event *e, const dk_json *text, dk_err *err)
{
    const char *s = dk_json_str(text, NULL);
    const size_t n = dk_json_len(text);
    int found;

    if (!s)
        return dk_fail(err, DK_EDATA, "no sample of dk-generate --amplify: 'text' is missing");
    if (!e->match) {
        *hit = memmem(s, n, e->text, strlen(e->text)) != NULL;
        return 0;
    }
    found = dk_regex_find(e->match, s, n, 0, NULL, NULL, err);
    *hit = found > 0;
    return found < 0 ? found : 0;
}

static int add_row(struct reader *r, const dk_json *row, dk_err *err)
{
    const dk_json *lane = dk_json_get(row, "lane"), *alpha = dk_json_get(row, "alpha");
    const int64_t n = dk_json_int(dk_json_get(row, "n_tokens"), 0);
    double own = 0, drawn = 0;
    bool hit = false;
    int rc;

    if (dk_json_get(row, "skipped"))
        return 0;
    if (dk_json_num(dk_json_get(row, "temperature"), NAN) == 0) {
        r->greedy++;
        return 0;
    }
    if (!dk_json_str(lane, NULL) || (dk_json_type(alpha) == DK_JSON_NONE))
        return dk_fail(err, DK_EDATA, "no sample of dk-generate --amplify: 'lane' or 'alpha' is missing");
    rc = check_whole(row, err);
    if (rc == 0 && !dk_json_is_null(alpha))
        rc = sum_of(&own, dk_json_get(row, "lp_ft"), (size_t)n, "lp_ft", err);
    if (rc == 0 && !dk_json_is_null(alpha))
        rc = sum_of(&drawn, dk_json_get(row, "lp_amp"), (size_t)n, "lp_amp", err);
    if (rc == 0)
        rc = event_in(&hit, r->event, dk_json_get(row, "text"), err);
    if (rc == 0)
        add(group_of(r, dk_json_str(lane, ""), dk_json_num(alpha, NAN)), own - drawn, hit);
    return rc;
}

static int read_file(struct reader *r, const char *path, dk_err *err)
{
    dk_textfile *f = NULL;
    dk_doc doc;
    int rc = dk_textfile_open(&f, path, DK_DOC_ROW, NULL, err);

    while (rc == 0 && (rc = dk_textfile_next(f, &doc, err)) == 1) {
        rc = doc.kind == DK_DOC_ROW ? add_row(r, doc.row, err) : dk_fail(err, DK_EDATA, "these are no JSON lines");
        if (rc < 0)
            dk_err_prefix(err, doc.line ? "%s:%zu" : "%s", dk_textfile_name(f), doc.line);
    }
    dk_textfile_close(&f);
    return rc;
}

/* --- the table --------------------------------------------------------------- */
static int put_row(dk_buf *out, const struct group *g, uint64_t seed, dk_err *err)
{
    dk_jw w = { .out = out };
    dk_event_rate e;
    const int rc = dk_event_rate_of(&e, g->lw, g->hit, g->n, seed, err);

    if (rc < 0)
        return rc;
    dk_jw_obj_begin(&w);
    dk_jw_key(&w, "lane"); dk_jw_str(&w, g->lane);
    dk_jw_key(&w, "alpha"); dk_jw_num(&w, g->alpha);
    dk_jw_key(&w, "samples"); dk_jw_u64(&w, e.n);
    dk_jw_key(&w, "hits"); dk_jw_u64(&w, e.hits);
    dk_jw_key(&w, "ess"); dk_jw_num(&w, e.ess);
    if (isnan(e.rate)) {
        dk_jw_key(&w, "note"); dk_jw_str(&w, "not estimable");
    } else {
        dk_jw_key(&w, "rate"); dk_jw_num(&w, e.rate);
        dk_jw_key(&w, "lo"); dk_jw_num(&w, e.lo);
        dk_jw_key(&w, "hi"); dk_jw_num(&w, e.hi);
    }
    dk_jw_obj_end(&w);
    dk_jw_line(&w);
    return 0;
}

int dk_event_rate_table(dk_buf *out, char *const *path, size_t n, const dk_event *event, uint64_t seed, dk_err *err)
{
    struct reader r = { .event = event };
    int rc = 0;

    for (size_t i = 0; rc == 0 && i < n; i++)
        rc = read_file(&r, path[i], err);
    if (rc == 0 && r.greedy)
        dk_log(DK_INFO, "%zu greedy samples are left out: they were not drawn", r.greedy);
    if (rc == 0 && r.n == 0)
        rc = dk_fail(err, DK_EDATA, "%s: there are no samples in it that were drawn", path[0]);
    for (size_t g = 0; rc == 0 && g < r.n; g++)
        rc = put_row(out, &r.group[g], seed, err);
    for (size_t g = 0; g < r.n; g++) {
        dk_free(r.group[g].lane);
        dk_free(r.group[g].lw);
        dk_free(r.group[g].hit);
    }
    dk_free(r.group);
    return rc;
}
