#include "base/permute.h"

typedef unsigned __int128 u128;

typedef struct pcg {
    u128 state, inc;
    uint64_t spare;
    int has;
} pcg;

/* ---- from a seed to a state -------------------------------------------- */

static uint32_t hash(uint32_t v, uint32_t *c)
{
    v ^= *c;
    *c *= 0x931E8875u;
    v *= *c;
    return v ^ v >> 16;
}

static uint32_t mix(uint32_t x, uint32_t y)
{
    const uint32_t z = 0xCA01F9DDu * x - 0x4973F715u * y;

    return z ^ z >> 16;
}

static void seed_words(uint64_t seed, uint64_t v[4])
{
    uint32_t pool[4], word[8], c = 0x43B0D7E5u;

    for (int i = 0; i < 4; i++)
        pool[i] = hash(i < 2 ? (uint32_t)(seed >> 32 * i) : 0, &c);
    for (int i = 0; i < 4; i++)
        for (int j = 0; j < 4; j++)
            if (i != j)
                pool[j] = mix(pool[j], hash(pool[i], &c));
    c = 0x8B51F9DDu;
    for (int i = 0; i < 8; i++) {
        word[i] = pool[i % 4] ^ c;
        c *= 0x58F38DEDu;
        word[i] *= c;
        word[i] ^= word[i] >> 16;
    }
    for (int i = 0; i < 4; i++)
        v[i] = word[2 * i] | (uint64_t)word[2 * i + 1] << 32;
}

/* ---- numbers ----------------------------------------------------------- */

static void step(pcg *g)
{
    g->state = g->state * ((u128)2549297995355413924u << 64 | 4865540595714422341u) + g->inc;
}

static uint64_t next64(pcg *g)
{
    uint64_t x;
    int by;

    step(g);
    x = (uint64_t)(g->state >> 64) ^ (uint64_t)g->state;
    by = (int)(g->state >> 122);
    return x >> by | x << (-by & 63);
}

/* The low half of a fresh one, then its high half. */
static uint32_t next32(pcg *g)
{
    if (!g->has)
        g->spare = next64(g);
    else
        g->spare >>= 32;
    g->has = !g->has;
    return (uint32_t)g->spare;
}

static pcg begin(uint64_t seed)
{
    uint64_t v[4];
    pcg g = {0};

    seed_words(seed, v);
    g.inc = ((u128)v[2] << 64 | v[3]) << 1 | 1;
    step(&g);
    g.state += (u128)v[0] << 64 | v[1];
    step(&g);
    return g;
}

void dk_permute(uint64_t seed, uint32_t *out, uint32_t n)
{
    pcg g = begin(seed);

    for (uint32_t i = 0; i < n; i++)
        out[i] = i;
    for (uint32_t i = n; i-- > 1;) {
        const uint32_t mask = UINT32_MAX >> __builtin_clz(i);
        uint32_t j, kept;

        while ((j = next32(&g) & mask) > i)
            ;
        kept = out[i];
        out[i] = out[j];
        out[j] = kept;
    }
}
