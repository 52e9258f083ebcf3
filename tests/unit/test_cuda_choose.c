/* Tokens chosen on a card against the CPU's: the same ids from the same logits, every way of choosing, rows of
 * every kind, vocabularies that break tiles; on the emulation in three orders of threads.
 *
 * Where a sum of probabilities is a border of top-p but for its rounding, devices may keep one token more or less:
 * test_border bounds that.  No other pick here is near one, so all are the same. */
#include <math.h>

#include "base/rng.h"
#include "cudadev.h"

static uint64_t drawn;

static double draw(void) { return dk_uniform(dk_mix(++drawn)); }
static size_t below(size_t n) { return (size_t)(draw() * (double)n); }

/* --- rows ------------------------------------------------------------------------ */

typedef enum kind { FREE, TIES, HOLES, PEAK, FLAT, ZEROS, N_KINDS } kind;
static const char *const kinds[] = { "random", "many ties", "holes", "a peak", "all alike", "zeros of both signs" };

static float logit(kind k, size_t i)
{
    const double g = sqrt(-2 * log(1 - draw())) * cos(6.283185307179586 * draw());

    switch (k) {
    case FREE:  return (float)(3 * g);
    case TIES:  return (float)rint(4 * g) / 2;
    case HOLES: return i % 3 == 1 ? -INFINITY : (float)(2 * g);
    case PEAK:  return (float)(g + (i % 97 == 5 ? 15 : 0));
    case FLAT:  return -1.25f;
    default:    return i % 2 ? -0.0f : 0;
    }
}

/* --- picks ----------------------------------------------------------------------- */

enum { CONTEXT = 40, MOST = 64, SHARES = 24 };

struct work {
    size_t vocab, n, rows;
    float *logits;
    dk_pick pick[MOST];
    uint32_t seen[MOST][CONTEXT], end[3];
};

static void work_new(struct work *w, size_t vocab, size_t rows)
{
    *w = (struct work){ .vocab = vocab, .end = { 0, (uint32_t)(vocab / 2), UINT32_MAX } };
    w->logits = dk_xmalloc(rows * vocab * sizeof *w->logits);
}

static float *row_of(struct work *w, size_t row) { return w->logits + row * w->vocab; }

static size_t add_row(struct work *w, kind k)
{
    for (size_t i = 0; i < w->vocab; i++)
        row_of(w, w->rows)[i] = logit(k, i);
    return w->rows++;
}

/* A lane beside a base: carried or not, its logits are the base's and a little more. */
static size_t add_lane(struct work *w, size_t base, bool carried)
{
    const float *b = row_of(w, base);
    float *x = row_of(w, w->rows);

    for (size_t i = 0; i < w->vocab; i++)
        x[i] = (carried ? 0 : b[i]) + (float)rint(6 * draw() - 3) / 4;
    if (!carried && w->vocab > 3)
        x[w->vocab - 3] = -INFINITY;
    return w->rows++;
}

static dk_pick *add_pick(struct work *w, size_t row, const dk_sampling *how)
{
    dk_pick *p = &w->pick[w->n++];

    *p = (dk_pick){ .row = row, .how = *how, .uniform = draw() };
    return p;
}

/* No whole number of equal tokens is such a share. */
static const double top_p[] = { 1, .9037, .3519, 0 };
static const double temperature[] = { 0, .7, 1.5 }, min_p[] = { 0, .15 }, penalty[] = { 1, 1.7 };
static const size_t top_k[] = { 0, 1, 7, 60 };

#define COUNT(a) (sizeof (a) / sizeof *(a))
#define TAKE(a, left) (a)[digit(&(left), COUNT(a))]

static size_t digit(size_t *left, size_t base)
{
    const size_t d = *left % base;

    *left /= base;
    return d;
}

/* One of SHARES shares of all ways in which a lane chooses by itself; of rows of all kinds all are tried. */
static void add_alone(struct work *w, kind k, size_t share)
{
    const size_t all = COUNT(temperature) * COUNT(top_k) * COUNT(top_p) * COUNT(min_p) * COUNT(penalty) * 2;

    for (size_t i = share % SHARES; i < all; i += SHARES) {
        dk_sampling how = {0};
        size_t left = i;
        bool no_end;
        dk_pick *p;

        how.temperature = TAKE(temperature, left);
        how.top_k = TAKE(top_k, left);
        how.top_p = TAKE(top_p, left);
        how.min_p = TAKE(min_p, left);
        how.repetition_penalty = TAKE(penalty, left);
        no_end = left && w->vocab > 3;
        p = add_pick(w, add_row(w, k), &how);
        p->no_end = no_end;
        for (size_t j = 0; j < CONTEXT; j++)        /* some come again, some are beyond the vocabulary */
            w->seen[w->n - 1][j] = (uint32_t)below(w->vocab + 2);
        p->seen[0] = w->seen[w->n - 1];
        p->seen[1] = w->seen[w->n - 1] + CONTEXT / 2;
        p->n_seen[0] = p->n_seen[1] = CONTEXT / 2;
    }
}

static void add_amplified(struct work *w, kind k, size_t share)
{
    static const double alpha[] = { -1, 0, 1.5 }, beta[] = { 0, .1 };
    static const int lane[] = { 0, 1, 2 };          /* the base alone, another, one carried as a difference */
    const size_t all = COUNT(alpha) * COUNT(beta) * COUNT(lane) * COUNT(temperature) * 2 * 2 * 2;

    for (size_t i = share % SHARES; i < all; i += SHARES) {
        dk_sampling how = { .repetition_penalty = 1 };
        const size_t base = add_row(w, k);
        size_t left = i;
        dk_pick p = { .amplified = true, .base = base };
        int form = TAKE(lane, left);

        how.temperature = TAKE(temperature, left);
        how.top_k = top_k[2 * digit(&left, 2)];
        how.top_p = top_p[digit(&left, 2)];
        p.alpha = TAKE(alpha, left);
        p.beta = TAKE(beta, left);
        p.no_end = left && w->vocab > 3;
        p.carried = form == 2;
        p.row = form ? add_lane(w, base, p.carried) : base;
        p.how = how;
        p.uniform = draw();
        w->pick[w->n++] = p;
    }
}

/* --- both devices ---------------------------------------------------------------- */

static dk_pick *choose(dk_dev *dev, const struct work *w)
{
    dk_pick *p = dk_xmalloc(MOST * sizeof *p);
    float *d = up(dev, w->logits, w->rows * w->vocab);
    const dk_choose_args a = { .logits = d, .vocab = w->vocab, .pick = p, .n = w->n, .end = w->end, .n_end = COUNT(w->end) };
    dk_err err = {0};

    memcpy(p, w->pick, w->n * sizeof *p);
    must(dev->ops->choose(dev, &a, &err), &err);
    dev->ops->release(dev, d);
    return p;
}

static bool same_bits(const dk_pick *a, const dk_pick *b)
{
    return a->bad == b->bad && a->id == b->id && memcmp(a->logp, b->logp, sizeof a->logp) == 0;
}

/* Log-probabilities agree to 2^-20 and to as many digits: their sums come of f32 exponentials, which are
 * 2e-7 from the truth on each side. */
static double apart(const dk_pick *a, const dk_pick *b)
{
    double worst = 0;

    for (size_t k = 0; a->amplified && !a->bad && k < DK_N_LOGP; k++) {
        const double x = (double)a->logp[k], y = (double)b->logp[k], off = x == y ? 0 : fabs(x - y) / (0x1p-20 * (1 + fabs(y)));

        worst = off <= 1e9 ? fmax(worst, off) : INFINITY;
    }
    return worst;
}

static void (*set_order)(unsigned);

/* The same picks as the CPU's; orders: and in other orders of threads the same bits. */
static void compare(const struct work *w, const char *name, bool orders)
{
    static const unsigned order[] = { 1, 77 };
    dk_pick *want = choose(cpu, w), *first = choose(gpu, w);
    size_t others = 0, unlike = 0, bad = 0;
    double far = 0;

    for (size_t i = 0; i < w->n; i++) {
        const bool same = want[i].bad ? first[i].bad : !first[i].bad && want[i].id == first[i].id;

        bad += want[i].bad;
        far = fmax(far, same ? apart(&first[i], &want[i]) : 0);
        if (!same && others++ < 3)
            tap_note("pick %zu: %u, the CPU's is %u; temperature %g, top-k %zu, top-p %g, min-p %g, %s", i, first[i].id,
                     want[i].id, w->pick[i].how.temperature, w->pick[i].how.top_k, w->pick[i].how.top_p,
                     w->pick[i].how.min_p, w->pick[i].amplified ? "amplified" : "alone");
    }
    for (size_t o = 0; set_order && orders && o < COUNT(order); o++) {
        dk_pick *again;

        set_order(order[o]);
        again = choose(gpu, w);
        for (size_t i = 0; i < w->n; i++)
            unlike += !same_bits(&again[i], &first[i]);
        dk_free(again);
    }
    if (set_order)
        set_order(0);
    if (!tap(others == 0 && unlike == 0 && far <= 1, "%zu picks of %zu tokens: %s, %zu bad", w->n, w->vocab, name, bad))
        tap_note("%zu others, %zu that depend on the order, log-probabilities %.2f of the tolerance", others, unlike, far);
    dk_free(want);
    dk_free(first);
}

static void test_vocab(size_t vocab, kind n_kinds)
{
    static size_t share;
    struct work *w = dk_xmalloc(sizeof *w);

    for (kind k = 0; k < n_kinds; k++, share++) {
        work_new(w, vocab, 2 * MOST);
        add_alone(w, k, share);
        add_amplified(w, k, share);
        compare(w, kinds[k], k == TIES);
        dk_free(w->logits);
    }
    dk_free(w);
}

/* Equal tokens of which top-p drops a whole number: one more or less, no two. */
static void test_border(void)
{
    dk_sampling how = { .temperature = 1, .top_p = .9 };
    struct work *w = dk_xmalloc(sizeof *w);
    dk_pick *a, *b;
    size_t others = 0, far = 0;

    work_new(w, 640, MOST);
    for (size_t i = 0; i < MOST; i++) {
        const size_t row = add_row(w, FLAT);

        for (size_t j = 10 * (i + 1); j < w->vocab; j++)
            row_of(w, row)[j] = -INFINITY;
        add_pick(w, row, &how)->uniform = 1 - 0x1p-53;      /* the last that is kept */
    }
    a = choose(cpu, w);
    b = choose(gpu, w);
    for (size_t i = 0; i < MOST; i++) {
        const size_t want = 9 * (i + 1), x = a[i].id, y = b[i].id;

        others += x != y;
        far += x > want || x + 1 < want || y > want || y + 1 < want;
    }
    tap(far == 0, "on a border: %zu of %d picks are others than the CPU's, all by one token at most", others, MOST);
    dk_free(a);
    dk_free(b);
    dk_free(w->logits);
    dk_free(w);
}

/* What is not a number is told, whatever is asked for; what is only kept out is not. */
static void test_bad(size_t vocab)
{
    static const float what[] = { NAN, INFINITY, -INFINITY };
    struct work *w = dk_xmalloc(sizeof *w);
    size_t bad = 0;
    dk_pick *got;

    work_new(w, vocab, 2 * MOST);
    for (size_t i = 0; i < 24; i++) {
        dk_sampling how = { .temperature = temperature[i % 3], .top_k = top_k[i % 4], .top_p = top_p[i / 2 % 4] };
        const size_t row = add_row(w, FREE), at = below(vocab);

        for (size_t j = 0; j < vocab; j++)
            if (what[i / 8] == -INFINITY || j == at)
                row_of(w, row)[j] = what[i / 8];
        add_pick(w, row, &how);
    }
    for (size_t i = 0; i < 24; i++) {           /* in the lane, carried or not, or in the base */
        dk_sampling how = { .temperature = temperature[i % 3], .top_p = 1 };
        const size_t base = add_row(w, FREE), row = i % 4 == 3 ? base : add_lane(w, base, i % 2);
        dk_pick *p = add_pick(w, row, &how);

        p->amplified = true;
        p->base = base;
        p->carried = i % 4 != 3 && i % 2;
        p->alpha = 1.5;
        for (size_t j = 0; j < vocab; j++)
            if (i / 8 == 2 || j == below(vocab))
                row_of(w, i % 4 == 2 ? base : row)[j] = what[i / 8];
        row_of(w, row)[vocab / 3] = i / 8 == 2 ? -INFINITY : what[i / 8];
    }
    got = choose(cpu, w);
    for (size_t i = 0; i < w->n; i++)
        bad += got[i].bad;
    tap(bad > 40, "%zu of %zu rows are bad on the CPU", bad, w->n);
    dk_free(got);
    compare(w, "NaN and infinities", false);
    dk_free(w->logits);
    dk_free(w);
}

/* Nothing at all is chosen, and no end ids are there. */
static void test_none(void)
{
    dk_sampling how = { .temperature = 1, .top_p = 1 };
    struct work *w = dk_xmalloc(sizeof *w);
    dk_choose_args a = {0};
    dk_err err = {0};
    float *d;

    tap(gpu->ops->choose(gpu, &a, &err) == 0 && cpu->ops->choose(cpu, &a, &err) == 0, "no picks");
    work_new(w, 64, 1);
    add_pick(w, add_row(w, FREE), &how);
    d = up(gpu, w->logits, 64);
    a = (dk_choose_args){ .logits = d, .vocab = 64, .pick = w->pick, .n = 1 };
    tap(gpu->ops->choose(gpu, &a, &err) == 0 && w->pick[0].id < 64 && !w->pick[0].bad, "no end ids");
    gpu->ops->release(gpu, d);
    dk_free(w->logits);
    dk_free(w);
}

/* The ends of the unit interval: the first token that has weight, and the last. */
static void test_ends(void)
{
    static const double at[] = { 0, 0x1p-53, .5, 1 - 0x1p-53 };
    dk_sampling how = { .temperature = 1, .top_p = 1 };
    struct work *w = dk_xmalloc(sizeof *w);

    work_new(w, 777, 8);
    for (size_t i = 0; i < COUNT(at); i++)
        add_pick(w, add_row(w, HOLES), &how)->uniform = at[i];
    for (size_t i = 0; i < COUNT(at); i++)
        add_pick(w, add_row(w, FLAT), &how)->uniform = at[i];
    compare(w, "the ends of the interval", false);
    dk_free(w->logits);
    dk_free(w);
}

int main(void)
{
    void *so = library();
    dk_backend_open_fn *open_device;
    dk_err err = {0};

    if (!tap(so != NULL, "the library can be loaded"))
        return tap_end();
    *(void **)&open_device = dlsym(so, "dk_backend_open");
    *(void **)&set_order = dlsym(so, "dk_cuemu_order");
    tap(!emulated || set_order, "the emulation can order threads");
    cpu = dk_cpu_device();
    must(open_device(&gpu, DK_BACKEND_ABI, &err), &err);
    tap_note("%s", gpu->ops->describe(gpu));
    test_none();
    test_vocab(1, N_KINDS);
    test_vocab(31, N_KINDS);
    test_vocab(512, N_KINDS);
    test_vocab(1025, N_KINDS);
    test_vocab(49152, HOLES);
    test_border();
    test_bad(40);
    test_bad(1027);
    test_ends();
    gpu->ops->close(gpu);
    return tap_end();
}
