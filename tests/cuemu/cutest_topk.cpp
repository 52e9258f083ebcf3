/* The k largest and smallest: exactly the CPU's lists. */
#include <algorithm>

#include "cutest.h"

static void by_sorting(std::vector<uint32_t> &id, std::vector<float> &value, const float *d, size_t vocab, size_t k,
                       bool bottom)
{
    std::vector<uint32_t> all(vocab);

    for (size_t i = 0; i < vocab; i++)
        all[i] = (uint32_t)i;
    std::stable_sort(all.begin(), all.end(), [&](uint32_t a, uint32_t b) { return bottom ? d[a] < d[b] : d[a] > d[b]; });
    for (size_t j = 0; j < k; j++) {
        id.push_back(all[j]);
        value.push_back(d[all[j]] + 0.0f);
    }
}

enum { FREE, TIES, RISING, FALLING, N_KINDS };
static const char *const kinds[] = { "random", "many ties", "rising", "falling" };

static float made(int kind, size_t i)
{
    switch (kind) {
    case FREE:      return gauss(1);
    case TIES:      return (float)(int)(uniform() * 5 - 2.5) * (uniform() < .5 ? 1 : -1);   /* -0 among them */
    case RISING:    return (float)i * .125f;
    default:        return (float)i * -.125f;
    }
}

static void lists(size_t vocab, size_t k, int kind, bool base, bool bottom)
{
    enum { ROWS = 2 };
    mem<float> p(ROWS * vocab), q(ROWS * vocab), value(ROWS * k, 9);
    mem<uint32_t> id(ROWS * k, 9);
    std::vector<float> d(p.n), values;
    std::vector<uint32_t> ids;

    for (size_t i = 0; i < p.n; i++) {
        p[i] = made(kind, i % vocab);
        q[i] = (float)(i % 3);
        d[i] = base ? p[i] - q[i] : p[i];
    }
    for (size_t r = 0; r < ROWS; r++)
        by_sorting(ids, values, &d[r * vocab], vocab, k, bottom);
    const bool same = orders(id, [&] {
        return dk_cu_topk(NULL, id.p, value.p, p.p, base ? q.p : NULL, bottom, k, ROWS, vocab);
    });

    check(same && id.copy() == ids && memcmp(value.p, values.data(), values.size() * sizeof(float)) == 0,
          "%s %zu of %zu, %s%s", bottom ? "smallest" : "largest", k, vocab, kinds[kind], base ? ", of differences" : "");

    mem<float> top(ROWS * k, 9), low(ROWS * k, 9);
    mem<uint32_t> top_id(ROWS * k, 9), low_id(ROWS * k, 9);
    const bool both = orders(top_id, [&] {
        return dk_cu_topk_both(NULL, top_id.p, top.p, low_id.p, low.p, p.p, base ? q.p : NULL, k, ROWS, vocab);
    });
    const std::vector<uint32_t> other = (bottom ? top_id : low_id).copy();

    check(both && (bottom ? low_id : top_id).copy() == ids &&
          memcmp((bottom ? low : top).p, values.data(), values.size() * sizeof(float)) == 0, "the same with both ends");
    finished(dk_cu_topk(NULL, id.p, value.p, p.p, base ? q.p : NULL, !bottom, k, ROWS, vocab));
    check(id.copy() == other && memcmp(value.p, (bottom ? top : low).p, value.n * sizeof(float)) == 0,
          "the other end by itself and with both");
}

void test_topk()
{
    lists(1, 1, FREE, false, false);
    lists(5, 5, TIES, true, true);
    for (int kind = 0; kind < N_KINDS; kind++) {
        lists(2048, 100, kind, true, kind % 2);
        lists(6151, 17, kind, false, kind % 2 == 0);
    }
    lists(9000, 1024, FREE, true, false);
    lists(5000, 1024, TIES, false, true);
    check(dk_cu_topk(NULL, NULL, NULL, NULL, NULL, 0, 1025, 1, 5000) != 0, "a list of 1025 is refused");

    mem<float> p(100, NAN), value(3, 9);
    mem<uint32_t> id(3, 9);

    p[50] = 4;
    check(finished(dk_cu_topk(NULL, id.p, value.p, p.p, NULL, 0, 3, 1, 100)) == 0 && id[0] == 50 && value[0] == 4 &&
          id[1] == 0 && isnan(value[1]) && isnan(value[2]), "what is not a number is in no list");
}
