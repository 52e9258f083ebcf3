/* Statistics of rows: what is exact has the bits of num/exact.h, what is summed in
 * double in the order of the values those of a loop. */
#include "cutest.h"

/* Values of many sizes, some equal, some zero, both zeros. */
static void spread(mem<float> &x)
{
    for (size_t i = 0; i < x.n; i++) {
        const unsigned kind = (unsigned)(uniform() * 8);

        x[i] = kind == 0 ? 0.0f : kind == 1 ? -0.0f : kind == 2 ? 0.1f
             : (float)ldexp(gauss(1), (int)(uniform() * 40) - 30);
    }
}

struct want {
    std::vector<dk_exact> sum, sumsq, mean, mean_sq;
    std::vector<float> min, max;

    explicit want(size_t d) : sum(d), sumsq(d), mean(d), mean_sq(d), min(d), max(d) {}
};

static void by_hand(want &w, const mem<float> &x, const std::vector<uint32_t> &doc, size_t d)
{
    for (size_t j = 0; j < d; j++) {
        bool any = false;

        for (size_t k = 0; k + 1 < doc.size(); k++) {
            dk_exact sum = 0;
            double mean;

            for (size_t r = doc[k]; r < doc[k + 1]; r++) {
                const float v = x.p[r * d + j];

                sum += dk_exact_of(v);
                w.sumsq[j] += dk_exact_of((double)v * v);
                w.min[j] = !any || v < w.min[j] ? v : w.min[j];
                w.max[j] = !any || v > w.max[j] ? v : w.max[j];
                any = true;
            }
            if (doc[k + 1] == doc[k])
                continue;
            mean = dk_exact_double(sum) / (doc[k + 1] - doc[k]);
            w.sum[j] += sum;
            w.mean[j] += dk_exact_of(mean);
            w.mean_sq[j] += dk_exact_of(mean * mean);
        }
    }
}

template <class T> static bool same(const mem<T> &a, const std::vector<T> &b)
{
    return a.n == b.size() && memcmp(a.p, b.data(), a.n * sizeof(T)) == 0;
}

/* All documents at once, or one after the other. */
static void columns(const std::vector<uint32_t> &lengths, size_t d, size_t step)
{
    std::vector<uint32_t> doc(1, 0);

    for (uint32_t n : lengths)
        doc.push_back(doc.back() + n);
    const size_t docs = lengths.size(), rows = doc.back();
    mem<float> x(rows * d), low(d, NAN), high(d, NAN), dlow(step * d), dhigh(step * d);
    mem<dk_cu_exact> sum(d), sumsq(d), mean(d), mean_sq(d), dsum(step * d), dsumsq(step * d);
    mem<uint32_t> at(docs + 1);
    mem<double> rounded(step * d, -1);
    const dk_cu_doc_sums part = { dsum.p, dsumsq.p, dlow.p, dhigh.p, docs % 2 ? rounded.p : NULL };
    const dk_cu_column_sums all = { sum.p, sumsq.p, mean.p, mean_sq.p, low.p, high.p };
    want w(d);
    bool good = true;

    spread(x);
    at.set(doc);
    by_hand(w, x, doc, d);
    for (size_t k = 0; k < docs; k += step) {
        const size_t n = std::min(step, docs - k);

        good = orders(dsum, [&] { return dk_cu_doc_sums_of(NULL, &part, x.p, at.p + k, n, d); }) && good;
        for (size_t i = 0; i < n * d; i++)
            good = good && rounded[i] == (docs % 2 ? dk_exact_double(dsum[i]) : -1);
        for (unsigned order : { 1u, 77u, 0u }) {        /* the last one stays */
            const auto s = sum.copy(), q = sumsq.copy(), m = mean.copy(), v = mean_sq.copy();
            const auto lo = low.copy(), hi = high.copy();

            set_order(order);
            good = finished(dk_cu_add_docs(NULL, &all, &part, at.p + k, n, d)) == 0 && good;
            if (order == 0)
                break;
            sum.set(s), sumsq.set(q), mean.set(m), mean_sq.set(v), low.set(lo), high.set(hi);
        }
    }
    check(good && same(sum, w.sum) && same(sumsq, w.sumsq), "%zu documents of %zu columns: sums are exact", docs, d);
    check(good && same(mean, w.mean) && same(mean_sq, w.mean_sq), "%zu documents of %zu columns: means are those of the CPU",
          docs, d);
    check(good && same(low, w.min) && same(high, w.max), "%zu documents of %zu columns: least and largest", docs, d);
}

static void positions(size_t rows, size_t n_pos, size_t d)
{
    std::vector<uint32_t> first(n_pos + 1, 0), list;
    mem<float> x(rows * d);
    mem<dk_cu_exact> sum(n_pos * d, -1);
    std::vector<dk_exact> total(n_pos * d, 0);

    spread(x);
    for (size_t p = 0; p < n_pos; p++) {
        for (size_t r = 0; r < rows; r++)
            if (r * 7 % (n_pos + 1) == p) {
                list.push_back((uint32_t)r);
                for (size_t j = 0; j < d; j++)
                    total[p * d + j] += dk_exact_of(x[r * d + j]);
            }
        first[p + 1] = (uint32_t)list.size();
    }
    mem<uint32_t> f(first.size()), l(list.size());
    f.set(first);
    l.set(list);
    check(orders(sum, [&] { return dk_cu_pos_sums(NULL, sum.p, x.p, f.p, l.p, n_pos, d); }) && same(sum, total),
          "sums of %zu positions of %zu columns", n_pos, d);
}

static void products(size_t rows, size_t d, bool base, bool diff)
{
    mem<float> a(rows * d), b(rows * d), e(rows * d);
    mem<double> out(rows * 4, 7);
    std::vector<double> sums(rows * 4, 0);

    randomize(a);
    randomize(b);
    randomize(e, 1e-3);
    for (size_t r = 0; r < rows; r++)
        for (size_t i = r * d; i < (r + 1) * d; i++) {
            const float x = a[i], y = b[i], z = diff ? e[i] : x - y;

            sums[4 * r] += (double)x * x;
            if (!base)
                continue;
            sums[4 * r + 1] += (double)y * y;
            sums[4 * r + 2] += (double)y * x;
            sums[4 * r + 3] += (double)z * z;
        }
    check(orders(out, [&] { return dk_cu_row_products(NULL, out.p, a.p, base ? b.p : NULL, diff ? e.p : NULL, rows, d); }) &&
          same(out, sums), "products of %zu rows of %zu%s%s", rows, d, base ? " with a base" : "",
          diff ? " and a difference" : "");
}

/* Exact products summed in double, in another order: n roundings of 2^-53. */
static void scatter(size_t n, size_t d)
{
    mem<float> x(n * d);
    mem<double> c(d * d, .5);
    std::vector<double> sums = c.copy();

    randomize(x);
    for (size_t i = 0; i < d; i++)
        for (size_t j = i; j < d; j++) {
            double s = 0;

            for (size_t r = 0; r < n; r++)
                s += (double)x[r * d + i] * (double)x[r * d + j];
            sums[i * d + j] += s;
        }
    compare(orders(c, [&] { return dk_cu_scatter(NULL, c.p, x.p, n, d); }), c, sums, 0x1p-50 * (double)(n + 2), 0,
            name("scatter of %zu rows of %zu", n, d));
}

void test_rowstats()
{
    columns({ 1 }, 1, 1);
    columns({ 3, 0, 7, 1 }, 129, 4);
    columns({ 0, 2, 5, 0, 31, 4, 1 }, 40, 2);
    columns({ 200, 3 }, 3, 2);
    positions(23, 3, 130);
    positions(5, 9, 17);
    products(1, 1, false, false);
    products(33, 65, true, false);
    products(32, 32, true, true);
    products(7, 40, false, false);
    scatter(1, 1);
    scatter(17, 65);
    scatter(33, 130);
}
