/* Suffix arrays by doubling: ranks of stretches of k ids give those of 2 k. */
#include "num/suffix.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

static int by_id(const void *a, const void *b, void *user)
{
    const uint32_t *id = user, x = *(const uint32_t *)a, y = *(const uint32_t *)b;

    return id[x] != id[y] ? (id[x] > id[y]) - (id[x] < id[y]) : (x > y) - (x < y);
}

/* A stable sort of `from` by rank. */
static void by_rank(uint32_t *to, const uint32_t *from, const uint32_t *rank, uint32_t *count, size_t n, size_t ranks)
{
    memset(count, 0, (ranks + 1) * sizeof *count);
    for (size_t i = 0; i < n; i++)
        count[rank[i] + 1]++;
    for (size_t r = 0; r < ranks; r++)
        count[r + 1] += count[r];
    for (size_t i = 0; i < n; i++)
        to[count[rank[from[i]]]++] = from[i];
}

/* The rank behind position i + k; 0 behind the end, which is lower than all. */
static uint32_t behind(const uint32_t *rank, size_t i, size_t k, size_t n) { return i + k < n ? rank[i + k] + 1 : 0; }

int dk_suffix_sort(uint32_t *sa, const uint32_t *id, size_t n, dk_err *err)
{
    uint32_t *rank = NULL, *next = NULL, *order = NULL, *count = NULL;
    size_t ranks = 0;
    int rc;

    if (n >= (size_t)1 << 31)
        return dk_fail(err, DK_EDATA, "a text of %zu tokens is too long for a suffix array", n);
    rc = dk_alloc(&rank, n + 1, sizeof *rank, "a suffix array", err);
    if (rc == 0) rc = dk_alloc(&next, n + 1, sizeof *next, "a suffix array", err);
    if (rc == 0) rc = dk_alloc(&order, n + 1, sizeof *order, "a suffix array", err);
    if (rc == 0) rc = dk_alloc(&count, n + 2, sizeof *count, "a suffix array", err);
    for (size_t i = 0; rc == 0 && i < n; i++)
        sa[i] = (uint32_t)i;
    if (rc == 0 && n)
        qsort_r(sa, n, sizeof *sa, by_id, (void *)id);
    for (size_t i = 0; rc == 0 && i < n; i++) {
        ranks += i > 0 && id[sa[i]] != id[sa[i - 1]];
        rank[sa[i]] = (uint32_t)ranks;
    }
    for (size_t k = 1; rc == 0 && n && ranks + 1 < n; k *= 2) {
        size_t p = 0;

        for (size_t i = k < n ? n - k : 0; i < n; i++)
            order[p++] = (uint32_t)i;
        for (size_t i = 0; i < n; i++)
            if (sa[i] >= k)
                order[p++] = sa[i] - (uint32_t)k;
        by_rank(sa, order, rank, count, n, ranks + 1);
        ranks = 0;
        next[sa[0]] = 0;
        for (size_t i = 1; i < n; i++) {
            ranks += rank[sa[i]] != rank[sa[i - 1]] || behind(rank, sa[i], k, n) != behind(rank, sa[i - 1], k, n);
            next[sa[i]] = (uint32_t)ranks;
        }
        memcpy(rank, next, n * sizeof *rank);
    }
    dk_free(rank);
    dk_free(next);
    dk_free(order);
    dk_free(count);
    return rc;
}

static size_t common(const uint32_t *id, size_t n, size_t at, const uint32_t *q, size_t m)
{
    size_t k = 0;

    while (k < m && at + k < n && id[at + k] == q[k])
        k++;
    return k;
}

size_t dk_suffix_longest(const uint32_t *sa, const uint32_t *id, size_t n, const uint32_t *q, size_t m)
{
    size_t lo = 0, hi = n, best = 0;

    while (lo < hi) {                   /* the first suffix that is not below q */
        const size_t mid = lo + (hi - lo) / 2, k = common(id, n, sa[mid], q, m);

        best = k > best ? k : best;
        if (k == m)
            return m;
        if (sa[mid] + k == n || id[sa[mid] + k] < q[k])
            lo = mid + 1;
        else
            hi = mid;
    }
    return best;                        /* its neighbours were both looked at on the way */
}

dk_cover dk_suffix_cover(const uint32_t *sa, const uint32_t *id, size_t n, const uint32_t *q, size_t m, size_t least)
{
    dk_cover c = {0};
    size_t to = 0;                      /* covered so far up to here */

    for (size_t i = 0; i < m; i++) {
        const size_t k = dk_suffix_longest(sa, id, n, q + i, m - i);

        c.longest = k > c.longest ? k : c.longest;
        if (k >= least && i + k > to) {
            c.covered += i + k - (i > to ? i : to);
            to = i + k;
        }
    }
    return c;
}
