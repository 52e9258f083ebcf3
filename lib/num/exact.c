/* Reading off exact sums. */
#include "num/exact.h"

#include <stdbool.h>

typedef unsigned __int128 u128;

/* A natural number of 256 bits, low limb first. */
struct wide { uint64_t v[4]; };

static int bits_of(const struct wide *w)
{
    for (int i = 3; i >= 0; i--)
        if (w->v[i])
            return 64 * i + 64 - __builtin_clzll(w->v[i]);
    return 0;
}

static bool bit(const struct wide *w, int i) { return w->v[i / 64] >> (i % 64) & 1; }

/* The 53 highest bits, the rest rounded half to even. */
static double to_double(const struct wide *w, int scale)
{
    const int n = bits_of(w), drop = n > 53 ? n - 53 : 0;
    uint64_t m = 0;
    bool rest = false;

    for (int i = n - 1; i >= drop; i--)
        m = m << 1 | bit(w, i);
    for (int i = 0; i < drop - 1; i++)
        rest = rest || bit(w, i);
    if (drop && bit(w, drop - 1) && (rest || (m & 1)))
        m++;
    return ldexp((double)m, drop + scale);
}

static u128 size_of(dk_exact x) { return x < 0 ? -(u128)x : (u128)x; }

double dk_exact_double(dk_exact x)
{
    const u128 a = size_of(x);
    const struct wide w = { { (uint64_t)a, (uint64_t)(a >> 64) } };
    const double v = to_double(&w, -60);

    return x < 0 ? -v : v;
}

/* x times y, up to 128 bits each. */
static struct wide times(u128 x, u128 y)
{
    const uint64_t a[2] = { (uint64_t)x, (uint64_t)(x >> 64) }, b[2] = { (uint64_t)y, (uint64_t)(y >> 64) };
    struct wide r = {0};

    for (int i = 0; i < 2; i++) {
        uint64_t carry = 0;

        for (int j = 0; j < 2; j++) {
            const u128 t = (u128)a[i] * b[j] + r.v[i + j] + carry;

            r.v[i + j] = (uint64_t)t;
            carry = (uint64_t)(t >> 64);
        }
        r.v[i + 2] += carry;
    }
    return r;
}

/* w 2^60, which must fit. */
static struct wide raise(const struct wide *w)
{
    struct wide r;

    for (int i = 3; i >= 0; i--)
        r.v[i] = w->v[i] << 60 | (i ? w->v[i - 1] >> 4 : 0);
    return r;
}

/* a - b; true: it is below zero, and *out is b - a. */
static bool minus(struct wide *out, const struct wide *a, const struct wide *b)
{
    int i = 3;

    while (i > 0 && a->v[i] == b->v[i])
        i--;
    if (a->v[i] < b->v[i]) {
        minus(out, b, a);
        return true;
    }
    for (uint64_t k = 0, borrow = 0; k < 4; k++) {
        const u128 t = (u128)a->v[k] - b->v[k] - borrow;

        out->v[k] = (uint64_t)t;
        borrow = (uint64_t)(t >> 64) & 1;
    }
    return false;
}

double dk_exact_variance(dk_exact s1, dk_exact s2, uint64_t n)
{
    const struct wide square = times(size_of(s1), size_of(s1)), product = times(size_of(s2), n),
                      whole = raise(&product);
    struct wide d;

    if (n == 0)
        return NAN;
    /* Below zero only by the rounding of single values: nothing varies. */
    return minus(&d, &whole, &square) ? 0 : to_double(&d, -120) / (double)n / (double)n;
}
