/* Topics: tokens that are raised at the same positions. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "io/json.h"
#include "method/minematrix.h"
#include "method/minework.h"

/* Weights below it say nothing. */
static const double least = 1e-6;

struct topics {
    dk_mine_work *w;
    dk_mine_matrix m;
    dk_nmf f;
    dk_nmf_topic *stats;
    double *cosine;
};

struct entry { double weight; size_t col; };

static int by_weight(const void *va, const void *vb)
{
    const struct entry *a = va, *b = vb;

    return a->weight != b->weight ? (a->weight > b->weight ? -1 : 1) : a->col < b->col ? -1 : a->col > b->col;
}

/* How often two of a topic's first tokens are raised at the same position, on average. */
static double coherence(const struct topics *t, const dk_mine_row *row, size_t n)
{
    enum { FIRST = 20 };
    const dk_nmf_matrix *m = &t->m.m;
    uint8_t *slot = dk_xcalloc(m->cols + 1, 1);
    size_t pairs = 0;

    n = n < FIRST ? n : FIRST;
    for (size_t i = 0; i < n; i++)
        slot[row[i].column] = 1;
    for (size_t r = 0; r < m->rows; r++) {
        size_t here = 0;

        for (uint64_t i = m->at[r]; i < m->at[r + 1]; i++)
            here += slot[m->col[i]];
        pairs += here * (here - (here > 0)) / 2;
    }
    dk_free(slot);
    return n < 2 ? NAN : (double)pairs / ((double)(n * (n - 1) / 2) * (double)m->rows);
}

static void put_starts(dk_jw *j, const dk_nmf *f)
{
    dk_jw_key(j, "starts");
    dk_jw_arr_begin(j);
    for (size_t s = 0; s < f->starts; s++) {
        dk_jw_obj_begin(j);
        dk_jw_key(j, "seed"); dk_jw_u64(j, f->start[s].seed);
        dk_jw_key(j, "iterations"); dk_jw_u64(j, f->start[s].iterations);
        dk_jw_key(j, "loss"); dk_jw_num(j, f->start[s].loss);
        dk_jw_key(j, "explained"); dk_jw_num(j, f->start[s].explained);
        dk_jw_key(j, "agreement"); dk_jw_num(j, f->start[s].agreement);
        dk_jw_obj_end(j);
    }
    dk_jw_arr_end(j);
}

/* The line of a topic. */
static void put_topic(dk_buf *out, const struct topics *t, size_t k, const dk_mine_row *row, size_t n)
{
    const dk_nmf_plan *p = &t->w->plan->nmf;
    const dk_nmf_start *best = &t->f.start[t->f.best];
    dk_jw j = { .out = out };

    dk_jw_obj_begin(&j);
    dk_jw_key(&j, "rank"); dk_jw_u64(&j, 0);
    dk_jw_key(&j, "topic"); dk_jw_u64(&j, k);
    dk_jw_key(&j, "topics"); dk_jw_u64(&j, t->f.topics);
    dk_jw_key(&j, "tokens"); dk_jw_u64(&j, n);
    dk_jw_key(&j, "mass"); dk_jw_num(&j, t->stats[k].mass);
    dk_jw_key(&j, "prevalence"); dk_jw_num(&j, t->stats[k].prevalence);
    dk_jw_key(&j, "concentration"); dk_jw_num(&j, t->stats[k].concentration);
    dk_jw_key(&j, "coherence"); dk_jw_num(&j, coherence(t, row, n));
    dk_jw_key(&j, "cosine");
    dk_jw_arr_begin(&j);
    for (size_t i = 0; i < t->f.topics; i++)
        dk_jw_num(&j, t->cosine[k * t->f.topics + i]);
    dk_jw_arr_end(&j);
    dk_jw_key(&j, "loss"); dk_jw_num(&j, best->loss);
    dk_jw_key(&j, "explained"); dk_jw_num(&j, best->explained);
    put_starts(&j, &t->f);
    dk_jw_key(&j, "mode"); dk_jw_str(&j, t->w->plan->binary ? "binary_occurrence" : "logit_diff_magnitude");
    dk_jw_key(&j, "beta"); dk_jw_num(&j, p->beta);
    dk_jw_key(&j, "orthogonal"); dk_jw_bool(&j, p->orthogonal);
    if (p->orthogonal) {
        dk_jw_key(&j, "orthogonal_weight"); dk_jw_num(&j, p->weight);
    }
    dk_jw_key(&j, "columns"); dk_jw_u64(&j, t->f.cols);
    dk_jw_key(&j, "entries"); dk_jw_u64(&j, t->m.m.at[t->m.m.rows]);
    dk_jw_key(&j, "ordering"); dk_jw_str(&j, dk_ordering_name(DK_ORDER_NMF));
    dk_jw_key(&j, "lane"); dk_jw_str(&j, t->w->f->lane[0].name);
    dk_jw_key(&j, "dataset_id"); dk_jw_str(&j, t->w->f->t->corpus_name);
    dk_jw_key(&j, "positions"); dk_jw_u64(&j, t->w->f->t->rows);
    dk_jw_obj_end(&j);
    dk_jw_line(&j);
}

/* Sorts as orderings are: what a null raises too stands behind the rest. */
static size_t list(const struct topics *t, size_t k, const dk_mine_topic_row *topic, struct entry *all, dk_mine_row *row)
{
    const dk_mine_work *w = t->w;
    const size_t cols = t->f.cols, n = w->plan->n < cols ? w->plan->n : cols;
    size_t found = 0, to = 0;
    double sum = 0;

    for (size_t c = 0; c < cols; c++) {
        all[c] = (struct entry){ t->f.w[c * t->f.topics + k], c };
        sum += all[c].weight;
    }
    qsort(all, cols, sizeof *all, by_weight);
    while (found < n && all[found].weight >= least)
        found++;
    for (int round = 0; round < 2; round++)
        for (size_t i = 0; i < found; i++) {
            const uint32_t id = t->m.token[all[i].col];
            const bool finding = dk_mine_is_finding(w, id);

            if (w->plan->beside ? round == 0 : finding == (round == 0))
                row[to++] = (dk_mine_row){ .m = dk_mine_one(&w->f->lane[0].sums, id, w->f->t->rows, DK_ORDER_NMF),
                                           .finding = finding, .topic = topic, .weight = all[i].weight,
                                           .share = all[i].weight / sum, .column = all[i].col };
        }
    return to;
}

static int one_topic(dk_buf *out, const struct topics *t, size_t k, struct entry *all, dk_mine_row *row, dk_err *err)
{
    const dk_mine_topic_row topic = { k, t->stats[k] };
    const size_t n = list(t, k, &topic, all, row);
    int rc = dk_mine_find_places(t->w, row, n, err);

    if (rc == 0)
        put_topic(out, t, k, row, n);
    for (size_t i = 0; rc == 0 && i < n; i++)
        dk_mine_put_row(out, t->w, i + 1, &row[i]);
    dk_mine_free_places(row, n);
    return rc;
}

int dk_mine_topics(dk_buf *out, dk_mine_work *w, dk_err *err)
{
    struct topics t = { .w = w };
    const size_t k = w->plan->nmf.topics;
    struct entry *all = NULL;
    dk_mine_row *row = NULL;
    int rc = dk_mine_matrix_new(&t.m, w->f->t, w->lists.id, w->lists.value, w->lists.k, w->f->vocab, w->words.group,
                                w->plan->binary, DK_MINE_BATCH, err);

    if (rc == 0)
        rc = dk_nmf_fit(&t.f, &t.m.m, &w->plan->nmf, err);
    if (rc < 0)
        dk_err_prefix(err, "%s", w->f->path);
    if (rc == 0) rc = dk_alloc(&t.stats, k, sizeof *t.stats, "topics", err);
    if (rc == 0) rc = dk_alloc(&t.cosine, k * k, sizeof *t.cosine, "topics", err);
    if (rc == 0) rc = dk_alloc(&all, t.f.cols, sizeof *all, "topics", err);
    if (rc == 0) rc = dk_alloc(&row, t.f.cols, sizeof *row, "topics", err);
    if (rc == 0)
        rc = dk_nmf_topics(&t.f, t.stats, t.cosine, err);
    for (size_t i = 0; rc == 0 && i < k; i++)
        rc = one_topic(out, &t, i, all, row, err);
    dk_mine_matrix_free(&t.m);
    dk_nmf_free(&t.f);
    dk_free(t.stats);
    dk_free(t.cosine);
    dk_free(all);
    dk_free(row);
    return rc;
}
