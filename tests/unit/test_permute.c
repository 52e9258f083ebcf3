/* Permutations of numpy's default generator: numpy 2.4.6,
 * python -c "import numpy; print(numpy.random.default_rng(SEED).permutation(N))". */
#include <stddef.h>

#include "base/mem.h"
#include "base/permute.h"
#include "tap.h"

static void begins(uint64_t seed, uint32_t n, const uint32_t *want, size_t k)
{
    uint32_t *a = dk_xmalloc(n * sizeof *a);
    unsigned char *seen = dk_xcalloc(n, 1);
    bool good = true, all = true;

    dk_permute(seed, a, n);
    for (size_t i = 0; i < k; i++)
        good = good && a[i] == want[i];
    for (uint32_t i = 0; i < n; i++)
        seen[a[i] < n ? a[i] : 0] = 1;
    for (uint32_t i = 0; i < n; i++)
        all = all && seen[i];
    tap(good && all, "seed %llu, %u items", (unsigned long long)seed, n);
    dk_free(a);
    dk_free(seen);
}

int main(void)
{
#define CHECK(seed, n, ...) begins(seed, n, (const uint32_t[]){ __VA_ARGS__ }, sizeof((const uint32_t[]){ __VA_ARGS__ }) / 4)
    CHECK(42, 10, 5, 6, 0, 7, 3, 2, 4, 9, 1, 8);
    CHECK(42, 1000, 978, 933, 859, 916, 127, 608, 856, 260);
    CHECK(1042, 1000, 889, 663, 160, 398, 81, 371, 38, 952);
    CHECK(42, 1000000, 97305, 228106, 970098, 780379, 966161, 368065, 189812, 982863);
    CHECK(0, 1, 0);
    CHECK(UINT64_C(0), 5, 2, 4, 3, 0, 1);
    CHECK(UINT64_C(7), 2, 0, 1);
    CHECK(UINT64_C(1099511627779), 9, 4, 2, 5, 8, 6, 3, 0, 7, 1);
    return tap_end();
}
