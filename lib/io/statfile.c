/* Statistics: memory, sums of sums, what is read off. */
#include "io/statfile.h"

#include <math.h>
#include <string.h>

size_t dk_stat_bin(double v)
{
    const double b = v > 0 ? floor(8 * log2(v)) + 128 : 0;

    return b < 0 ? 0 : b > DK_STAT_BINS - 1 ? DK_STAT_BINS - 1 : (size_t)b;
}

/* --- memory --------------------------------------------------------------- */
int dk_sums_new(dk_sums *s, int layer, const char *site, const char *what, size_t d, size_t n_pos, dk_err *err)
{
    size_t n;
    int rc;

    *s = (dk_sums){ .layer = layer, .d = d, .n_pos = n_pos, .gram = { .d = d } };
    if ((rc = dk_lane_name_check(what, err)) < 0 || (rc = dk_lane_name_check(site, err)) < 0)
        return rc;
    s->site = dk_xstrdup(site);
    s->what = dk_xstrdup(what);
    if (!dk_mul_size(&n, n_pos, d))
        rc = dk_fail(err, DK_ENOMEM, "the statistics do not fit in memory");
    if (rc == 0) rc = dk_alloc(&s->sum, d, sizeof *s->sum, "statistics", err);
    if (rc == 0) rc = dk_alloc(&s->sumsq, d, sizeof *s->sumsq, "statistics", err);
    if (rc == 0) rc = dk_alloc(&s->doc_mean, d, sizeof *s->doc_mean, "statistics", err);
    if (rc == 0) rc = dk_alloc(&s->doc_mean_sq, d, sizeof *s->doc_mean_sq, "statistics", err);
    if (rc == 0) rc = dk_alloc(&s->min, d, sizeof *s->min, "statistics", err);
    if (rc == 0) rc = dk_alloc(&s->max, d, sizeof *s->max, "statistics", err);
    if (rc == 0) rc = dk_alloc(&s->pos_count, n_pos, sizeof *s->pos_count, "statistics", err);
    if (rc == 0) rc = dk_alloc(&s->pos_sum, n, sizeof *s->pos_sum, "statistics", err);
    if (rc == 0) rc = dk_alloc(&s->pos_norm_sum, n_pos, sizeof *s->pos_norm_sum, "statistics", err);
    if (rc < 0)
        dk_sums_free(s);
    return rc;
}

void dk_sums_free(dk_sums *s)
{
    void *const owned[] = { s->site, s->what, s->sum, s->sumsq, s->doc_mean, s->doc_mean_sq, s->min, s->max,
                            s->pos_count, s->pos_sum, s->pos_norm_sum };

    for (size_t i = 0; i < sizeof owned / sizeof *owned; i++)
        dk_free(owned[i]);
    dk_tree_free(&s->gram);
    for (size_t i = 0; i < s->n_reps; i++)
        dk_replicates_free(&s->reps[i]);
    dk_free(s->reps);
    *s = (dk_sums){0};
}

int dk_sums_replicate(dk_sums *s, size_t n_pos, uint64_t seed, dk_err *err)
{
    int rc = 0;

    s->seed = seed;
    s->reps = dk_xcalloc(n_pos + 1, sizeof *s->reps);
    while (rc == 0 && s->n_reps < n_pos + 1)
        rc = dk_replicates_new(&s->reps[s->n_reps++], s->d, err);
    return rc;
}

int dk_measure_new(dk_measure *m, const char *name, const char *unit, uint64_t seed, dk_err *err)
{
    char *copy = dk_xstrdup(name), *save = NULL;
    int rc = name[0] && name[0] != '/' ? 0 : dk_fail(err, DK_EUSAGE, "'%s' cannot name a measure", name);

    for (char *p = strtok_r(copy, "/", &save); rc == 0 && p; p = strtok_r(NULL, "/", &save))
        rc = dk_lane_name_check(p, err);
    dk_free(copy);
    memset(m, 0, sizeof *m);
    if (rc < 0)
        return rc;
    m->name = dk_xstrdup(name);
    m->unit = dk_xstrdup(unit);
    m->seed = seed;
    return 0;
}

void dk_measure_free(dk_measure *m)
{
    dk_free(m->name);
    dk_free(m->unit);
    m->name = m->unit = NULL;
}

void dk_statistics_free(dk_statistics *s)
{
    for (size_t i = 0; i < s->n_sums; i++)
        dk_sums_free(&s->sums[i]);
    for (size_t i = 0; i < s->n_measures; i++)
        dk_measure_free(&s->measure[i]);
    dk_free(s->sums);
    dk_free(s->measure);
    *s = (dk_statistics){0};
}

const dk_sums *dk_sums_find(const dk_statistics *s, int layer, const char *site, const char *what)
{
    for (size_t i = 0; i < s->n_sums; i++)
        if (s->sums[i].layer == layer && strcmp(s->sums[i].site, site) == 0 && strcmp(s->sums[i].what, what) == 0)
            return &s->sums[i];
    return NULL;
}

const dk_measure *dk_measure_find(const dk_statistics *s, const char *name)
{
    for (size_t i = 0; i < s->n_measures; i++)
        if (strcmp(s->measure[i].name, name) == 0)
            return &s->measure[i];
    return NULL;
}

/* --- what is read off ------------------------------------------------------- */
void dk_measure_moments(const dk_measure *m, bool by_docs, double *mean, double *std)
{
    const uint64_t n = by_docs ? m->docs : m->count;
    const dk_exact s1 = by_docs ? m->doc_mean : m->sum, s2 = by_docs ? m->doc_mean_sq : m->sumsq;

    *mean = n ? dk_exact_double(s1) / (double)n : NAN;
    *std = n > 1 ? sqrt(dk_exact_variance(s1, s2, n) * ((double)n / (double)(n - 1))) : NAN;
}

void dk_measure_interval(const dk_measure *m, double *lo, double *hi)
{
    double r[DK_STAT_REPLICATES];

    *lo = *hi = NAN;
    if (m->docs < 2)
        return;
    for (size_t b = 0; b < DK_STAT_REPLICATES; b++)
        r[b] = m->boot_count[b] ? dk_exact_double(m->boot_sum[b]) / (double)m->boot_count[b] : NAN;
    dk_replicate_interval(lo, hi, r, DK_STAT_REPLICATES);
}

/* Both sums are linear in the documents' means: so is that of their differences. */
static double change_p(const dk_measure *a, const dk_measure *b)
{
    const dk_exact first = a->flip_sum[0] - b->flip_sum[0], length = first < 0 ? -first : first;
    size_t above = 0;

    for (size_t i = 1; i <= DK_FLIPS; i++) {
        const dk_exact t = a->flip_sum[i] - b->flip_sum[i];

        above += (t < 0 ? -t : t) >= length;
    }
    return (1 + (double)above) / (DK_FLIPS + 1);
}

void dk_measure_change(dk_change *out, const dk_measure *a, const dk_measure *b)
{
    double r[DK_STAT_REPLICATES];

    *out = (dk_change){ NAN, NAN, NAN, NAN, 0 };
    if (a->count == 0 || a->count != b->count || a->docs != b->docs || a->seed != b->seed ||
        memcmp(a->boot_count, b->boot_count, sizeof a->boot_count) != 0)
        return;
    out->value = dk_exact_double(a->sum - b->sum) / (double)a->count;
    out->docs = a->docs;
    for (size_t i = 0; i < DK_STAT_REPLICATES; i++)
        r[i] = a->boot_count[i] ? dk_exact_double(a->boot_sum[i] - b->boot_sum[i]) / (double)a->boot_count[i] : NAN;
    if (a->docs < 2)
        return;
    dk_replicate_interval(&out->lo, &out->hi, r, DK_STAT_REPLICATES);
    if (a->flips && b->flips)
        out->p = change_p(a, b);
}

int dk_sums_length(dk_length *out, const dk_sums *s, int64_t position, dk_err *err)
{
    const uint64_t docs = position < 0 ? s->docs : s->pos_count[position], rows = position < 0 ? s->count : docs;
    const dk_exact *sum = position < 0 ? s->sum : s->pos_sum + (size_t)position * s->d;
    double *mean = NULL;
    int rc;

    *out = (dk_length){ NAN, NAN, NAN, NAN };
    if (position + 1 >= (int64_t)s->n_reps || rows == 0)
        return 0;
    rc = dk_alloc(&mean, s->d, sizeof *mean, "means", err);
    for (size_t j = 0; rc == 0 && j < s->d; j++)
        mean[j] = dk_exact_double(sum[j]) / (double)rows;
    if (rc == 0)
        rc = dk_replicates_length(out, &s->reps[position + 1], mean, docs, err);
    dk_free(mean);
    return rc;
}

/* --- joining ------------------------------------------------------------------ */
int dk_sums_check(const dk_sums *s, const char *path, dk_err *err)
{
    double most = 0;

    for (size_t j = 0; j < s->d; j++)
        most = fmax(most, fmax(fabs((double)s->min[j]), fabs((double)s->max[j])));
    /* The largest sum is that of the squares: below 2^126 in units of 2^-60. */
    return most * most * (double)s->count < 0x1p66 && (!s->n_reps || dk_replicates_fit(most, s->count)) ? 0
        : dk_fail(err, DK_ENUM, "%s: L%02d/%s/%s: %llu rows with values up to %g are more than exact sums hold",
                  path, s->layer, s->site, s->what, (unsigned long long)s->count, most);
}

int dk_measure_check(const dk_measure *m, const char *path, dk_err *err)
{
    const double most = fmax(fabs((double)m->min), fabs((double)m->max)), count = (double)m->count;

    /* The sum of the squares as above, and that of values with weights below 16. */
    return most * most * count < 0x1p66 && most * count < 0x1p61 ? 0
        : dk_fail(err, DK_ENUM, "%s: %s: %llu values up to %g are more than exact sums hold", path, m->name,
                  (unsigned long long)m->count, most);
}

static void add_exact(dk_exact *to, const dk_exact *from, size_t n)
{
    for (size_t i = 0; i < n; i++)
        to[i] += from[i];
}

static void add_counts(uint64_t *to, const uint64_t *from, size_t n)
{
    for (size_t i = 0; i < n; i++)
        to[i] += from[i];
}

static int add_sums(dk_sums *to, dk_sums *from, const char *path, dk_err *err)
{
    int rc = 0;

    if (to->layer != from->layer || strcmp(to->site, from->site) != 0 || strcmp(to->what, from->what) != 0 ||
        to->d != from->d || to->n_pos != from->n_pos || to->products != from->products || to->n_reps != from->n_reps ||
        to->seed != from->seed)
        return dk_fail(err, DK_EDATA, "%s: its L%02d/%s/%s is not what the other shards have", path, from->layer,
                       from->site, from->what);
    for (size_t j = 0; from->count && j < to->d; j++) {
        to->min[j] = to->count == 0 || from->min[j] < to->min[j] ? from->min[j] : to->min[j];
        to->max[j] = to->count == 0 || from->max[j] > to->max[j] ? from->max[j] : to->max[j];
    }
    to->count += from->count;
    to->docs += from->docs;
    if ((rc = dk_sums_check(to, path, err)) < 0)
        return rc;
    for (size_t i = 0; i < to->n_reps; i++)
        dk_replicates_join(&to->reps[i], &from->reps[i]);
    to->norm_sum += from->norm_sum;
    add_exact(to->sum, from->sum, to->d);
    add_exact(to->sumsq, from->sumsq, to->d);
    add_exact(to->doc_mean, from->doc_mean, to->d);
    add_exact(to->doc_mean_sq, from->doc_mean_sq, to->d);
    add_exact(to->pos_sum, from->pos_sum, to->n_pos * to->d);
    add_exact(to->pos_norm_sum, from->pos_norm_sum, to->n_pos);
    add_counts(to->norm_hist, from->norm_hist, DK_STAT_BINS);
    add_counts(to->pos_count, from->pos_count, to->n_pos);
    for (size_t i = 0; rc == 0 && i < from->gram.n; i++)
        if ((rc = dk_tree_push(&to->gram, from->gram.node[i], err)) < 0)
            dk_err_prefix(err, "%s", path);
        else
            from->gram.node[i].m = NULL;
    return rc;
}

static int add_measure(dk_measure *to, const dk_measure *from, const char *path, dk_err *err)
{
    if (strcmp(to->name, from->name) != 0 || strcmp(to->unit, from->unit) != 0 || to->seed != from->seed || to->flips != from->flips)
        return dk_fail(err, DK_EDATA, "%s: its measure %s is not what the other shards have", path, from->name);
    if (from->count) {
        to->min = to->count == 0 || from->min < to->min ? from->min : to->min;
        to->max = to->count == 0 || from->max > to->max ? from->max : to->max;
    }
    to->count += from->count;
    to->docs += from->docs;
    to->sum += from->sum;
    to->sumsq += from->sumsq;
    to->doc_mean += from->doc_mean;
    to->doc_mean_sq += from->doc_mean_sq;
    add_counts(to->hist, from->hist, DK_STAT_BINS);
    add_counts(to->boot_count, from->boot_count, DK_STAT_REPLICATES);
    add_exact(to->boot_sum, from->boot_sum, DK_STAT_REPLICATES);
    add_exact(to->flip_sum, from->flip_sum, DK_FLIPS + 1);
    return dk_measure_check(to, path, err);
}

int dk_statistics_add(dk_statistics *to, dk_statistics *from, const char *path, dk_err *err)
{
    int rc = to->n_sums == from->n_sums && to->n_measures == from->n_measures ? 0
        : dk_fail(err, DK_EDATA, "%s: it has other statistics than the other shards", path);

    for (size_t i = 0; rc == 0 && i < to->n_sums; i++)
        rc = add_sums(&to->sums[i], &from->sums[i], path, err);
    for (size_t i = 0; rc == 0 && i < to->n_measures; i++)
        rc = add_measure(&to->measure[i], &from->measure[i], path, err);
    return rc;
}
