/* KL, log-probabilities, sums over rows for each id. */
#include "cutest.h"

static const size_t vocabs[] = { 1, 2, 5, 127, 2048, 4096, 4099, 5000 };

/* exp's relative error of 2e-7 here and there weighs terms that are mean-free: the
 * result is off by at most 1e-6 of itself and of the standard deviation of p - q;
 * see the tests of the CPU's. */
static void kl_rows(size_t vocab, double size, float inv_t, bool known)
{
    enum { ROWS = 3 };
    mem<float> p(ROWS * vocab), q(ROWS * vocab), d(ROWS * vocab), kl(ROWS, 9), lp(ROWS, 9), lq(ROWS, 9);
    mem<uint32_t> next(ROWS);
    std::vector<float> want(ROWS), wp(ROWS), wq(ROWS);

    randomize(q, 4);
    randomize(d, size);
    for (size_t i = 0; i < p.n; i++)
        p[i] = q[i] + d[i];
    for (size_t i = 0; i < ROWS; i++) {
        const size_t at = i * vocab;
        dk_kl_row r;

        next[i] = i == 1 ? UINT32_MAX : (uint32_t)((vocab - 1) * i / 2);
        dk_kl_begin(&r);
        if (known)
            dk_kl_tile_diff(&r, q.p + at, d.p + at, vocab, inv_t);
        else
            dk_kl_tile(&r, p.p + at, q.p + at, vocab, inv_t);
        want[i] = (float)dk_kl_end(&r);
        wp[i] = i == 1 ? NAN : (float)((double)(p[at + next[i]] * inv_t) - dk_lse_end(&r.p));
        wq[i] = i == 1 ? NAN : (float)((double)(q[at + next[i]] * inv_t) - dk_lse_end(&r.q));
    }
    const name what("KL of %zu ids, differences of %g%s, 1/T %g", vocab, size, known ? " known" : "", (double)inv_t);
    const float *pp = known ? NULL : p.p, *pd = known ? d.p : NULL;

    compare(orders(kl, [&] { return dk_cu_kl_logp(NULL, kl.p, NULL, NULL, pp, q.p, pd, NULL, inv_t, ROWS, vocab); }), kl, want,
            1e-6 * fmin(size, size * size), 2e-6, what);
    const bool same = orders(lp, [&] {
        return dk_cu_kl_logp(NULL, kl.p, lp.p, lq.p, pp, q.p, pd, next.p, inv_t, ROWS, vocab);
    });
    check(same && isnan(lp[1]) && isnan(lq[1]), "%s: no next id, no probability", what.text);
    lp[1] = lq[1] = wp[1] = wq[1] = 0;
    compare(same, lp, wp, 4e-7, 2 * EPS, name("%s: logp", what.text));
    compare(same, lq, wq, 4e-7, 2 * EPS, name("%s: logp of the base", what.text));
    if (known)
        return;
    const bool alone = orders(lp, [&] { return dk_cu_logp(NULL, lp.p, p.p, next.p, inv_t, ROWS, vocab); });

    check(isnan(lp[1]), "%s: no next id, no probability by itself", what.text);
    lp[1] = 0;
    compare(alone, lp, wp, 4e-7, 2 * EPS, name("%s: logp by itself", what.text));
}

/* Ids that are excluded, and damage. */
static void infinities()
{
    enum { V = 2500, N = 7 };
    mem<float> p(N * V), q(N * V), kl(N, 9);
    float *const a = p.p, *const b = q.p;

    randomize(q, 2);
    for (size_t i = 0; i < p.n; i++)
        p[i] = q[i] + gauss(.5);
    a[0 * V + 7] = b[0 * V + 7] = -INFINITY;
    a[1 * V + 2100] = -INFINITY;
    b[2 * V + 2100] = -INFINITY;
    a[3 * V + V - 1] = NAN;
    b[4 * V] = INFINITY;
    for (size_t i = 0; i < V; i++)
        a[5 * V + i] = -INFINITY;
    a[6 * V + 11] += 90;                /* beyond what phi can hold */
    const bool same = orders(kl, [&] { return dk_cu_kl_logp(NULL, kl.p, NULL, NULL, a, b, NULL, NULL, 1, N, V); });

    for (size_t i = 0; i < N; i++) {
        dk_kl_row r;

        dk_kl_begin(&r);
        dk_kl_tile(&r, a + i * V, b + i * V, V, 1);
        const double want = dk_kl_end(&r);

        check(same && (isnan(want) ? isnan(kl[i]) : isinf(want) ? kl[i] == (float)want
                                                    : fabs((double)kl[i] - want) <= 1e-6 * want),
              "excluded ids and damage, case %zu: %g for %g", i, (double)kl[i], want);
    }
}

/* The same from a difference that is zero everywhere: exactly 0. */
static void equal()
{
    enum { V = 5003 };
    mem<float> p(V), kl(1, 9), zero(V);

    randomize(p, 4);
    check(finished(dk_cu_kl_logp(NULL, kl.p, NULL, NULL, p.p, p.p, NULL, NULL, 1, 1, V)) == 0 && kl[0] == 0, "a row against itself: %g", (double)kl[0]);
    check(finished(dk_cu_kl_logp(NULL, kl.p, NULL, NULL, NULL, p.p, zero.p, NULL, 1, 1, V)) == 0 && kl[0] == 0, "no difference: %g", (double)kl[0]);
}

static void less_lse(size_t vocab, size_t k)
{
    mem<float> p(2 * vocab), v(2 * k);
    std::vector<float> want;

    randomize(p, 5);
    randomize(v, 5);
    want = v.copy();
    for (size_t i = 0; i < 2; i++) {
        dk_lse l;

        dk_lse_begin(&l);
        dk_lse_tile(&l, p.p + i * vocab, vocab, 1);
        for (size_t j = 0; j < k; j++)
            want[i * k + j] = (float)((double)want[i * k + j] - dk_lse_end(&l));
    }
    compare(orders(v, [&] { return dk_cu_less_lse(NULL, v.p, k, p.p, 2, vocab); }), v, want, 4e-7, 2 * EPS,
            name("%zu values less the log-sum of %zu", k, vocab));
}

/* Integers: equal. */
static void sums(size_t rows, size_t vocab, bool base)
{
    mem<float> p(rows * vocab), q(rows * vocab);
    mem<int64_t> sum(vocab, 5);
    mem<int32_t> positive(vocab, 2);
    mem<int> bad(1);
    std::vector<int64_t> want = sum.copy();
    std::vector<int32_t> above = positive.copy();

    randomize(p, 3);
    randomize(q, 3);
    for (size_t i = 0; i < p.n; i++) {
        const double d = (double)p[i] - (base ? (double)q[i] : 0);

        want[i % vocab] += (int64_t)nearbyint(d * 0x1p30);
        above[i % vocab] += p[i] - (base ? q[i] : 0) > 0;
    }
    const float *pq = base ? q.p : NULL;
    const bool same = orders(sum, [&] {
        positive.set(std::vector<int32_t>(vocab, 2));
        return dk_cu_vocab_sums(NULL, sum.p, positive.p, bad.p, p.p, pq, rows, vocab);
    });

    check(same && memcmp(sum.p, want.data(), vocab * 8) == 0 && memcmp(positive.p, above.data(), vocab * 4) == 0 && !bad[0],
          "sums of %zu rows of %zu ids%s", rows, vocab, base ? "" : " without a base");
    for (float wrong : { NAN, 1048576.0f, -INFINITY }) {
        bad[0] = 0;
        p[p.n - 1] = wrong;
        q[p.n - 1] = 0;
        finished(dk_cu_vocab_sums(NULL, sum.p, positive.p, bad.p, p.p, pq, rows, vocab));
        check(bad[0] == 1, "a difference of %g is told", (double)wrong);
    }
}

static void counts()
{
    mem<uint32_t> id(1000);
    mem<int64_t> count(37, 3);
    std::vector<int64_t> want = count.copy();

    for (size_t i = 0; i < id.n; i++)
        want[id[i] = (uint32_t)(uniform() * 37)]++;
    compare(orders(count, [&] { return dk_cu_count(NULL, count.p, id.p, id.n); }), count, want, 0, 0, "counts of ids");
}

void test_heads()
{
    for (size_t v : vocabs)
        for (double size : { 1e-4, .3, 3. }) {
            kl_rows(v, size, v % 2 ? 1 : .5f, false);
            kl_rows(v, size, v % 2 ? .7f : 1, true);
        }
    infinities();
    equal();
    less_lse(1, 1);
    less_lse(4097, 9);
    less_lse(516, 600);
    sums(1, 1, true);
    sums(9, 257, true);
    sums(3, 300, false);
    counts();
}
