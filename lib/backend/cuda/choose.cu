/* The next token from rows of logits (num/sample.h, num/amplify.h): a block a pick.
 *
 * Weights are integers, exp((z - max) / temperature) in units so small that a whole
 * vocabulary's sum fits, so sums depend on no order and a draw repeats.  Nothing is
 * sorted and nothing is kept beside the logits: where top-k and top-p end is searched
 * for by reading the row again with several bounds at a time, the token drawn by
 * summing ever smaller parts of the vocabulary.
 *
 * Keys order tokens: the least is the likeliest.  -infinity is no token. */
#include "backend/cuda/lse.cuh"

typedef unsigned long long u64;

/* --- logits ----------------------------------------------------------------------- */

/* A row as the model has it (own), or as it is drawn from: num/amplify.c, with its roundings. */
struct source {
    const float *x, *base;          /* base NULL: x by itself */
    size_t vocab;
    float alpha, low;               /* what the model finds below low is no token */
    bool carried, own, vec;
};

DK_DEVICE float logit(const source &s, float a, float b)
{
    const float x = s.carried ? b + a : a;

    if (s.own)
        return x;
    if (x < s.low || x == -dk_inf())
        return -dk_inf();
    /* A fused multiply-add would round once. */
    return s.base ? __fadd_rn(x, __fmul_rn(s.alpha, s.carried ? a : x - b)) : x;
}

/* Those of the ids from i on; none behind end. */
DK_DEVICE dk_four four(const source &s, size_t i, size_t end, bool vec)
{
    dk_four f = dk_load4(s.x, i, end, vec && i < end, -dk_inf()), g = {};

    if (s.base)
        g = dk_load4(s.base, i, end, vec && i < end, 0);
    DK_UNROLL
    for (int u = 0; u < 4; u++)
        f.v[u] = logit(s, f.v[u], g.v[u]);
    return f;
}

DK_DEVICE float logit_of(const source &s, size_t id) { return logit(s, s.x[id], s.base ? s.base[id] : 0); }

/* f(id, logit) for the ids from .. end - 1, shared out among so many threads, of which
 * this is me; ids behind them have no token. */
template <class F>
DK_DEVICE void walk(const source &s, size_t from, size_t end, unsigned me, unsigned threads, const F &f)
{
    const bool vec = s.vec && from % 4 == 0 && end % 4 == 0;

    for (size_t at = from; at < end; at += EACH * threads) {
        dk_four z[EACH / 4];

        DK_UNROLL
        for (int h = 0; h < EACH / 4; h++)      /* all are on their way before the first is looked at */
            z[h] = four(s, at + 4 * (h * threads + me), end, vec);
        DK_UNROLL
        for (int i = 0; i < EACH; i++)
            f(at + 4 * (i / 4 * threads + me) + i % 4, z[i / 4].v[i % 4]);
    }
}

DK_DEVICE double lse_of(const source &s)
{
    return row_lse(s.vocab, [&](size_t i) { return four(s, i, s.vocab, s.vec); });
}

DK_DEVICE uint32_t key_of(float z) { return ~ordered(z + 0.0f); }       /* -0 is 0 */
DK_DEVICE float logit_at(uint32_t key) { return unordered(~key); }

/* --- a row at first sight ----------------------------------------------------------- */

/* id: the likeliest, of the least key; last: the largest key of a token. */
struct outline { uint32_t id, key, last; u64 live; bool bad; };

/* The least of each over the block, in all threads. */
template <class T, int N> DK_DEVICE void block_least(T (&v)[N])
{
    __shared__ T part[N][WARPS];

    for (int i = 0; i < N; i++) {
        DK_UNROLL
        for (int d = 16; d; d /= 2)
            v[i] = dk_min(v[i], __shfl_xor_sync(DK_ALL_LANES, v[i], d));
        if (threadIdx.x % 32 == 0)
            part[i][threadIdx.x / 32] = v[i];
    }
    __syncthreads();
    for (int i = 0; i < N; i++)
        for (unsigned w = 0; w < WARPS; w++)
            v[i] = dk_min(v[i], part[i][w]);
    __syncthreads();                /* before the next least */
}

DK_DEVICE outline look(const source &s)
{
    u64 end[2] = { ~0ull, ~0ull }, count[2] = { 0, 0 };
    outline o;

    walk(s, 0, s.vocab, threadIdx.x, THREADS, [&](size_t i, float z) {
        const u64 entry = (u64)key_of(z) << 32 | i;

        count[1] += z != z;
        if (z > -dk_inf()) {
            count[0]++;
            end[0] = dk_min(end[0], entry);
            end[1] = dk_min(end[1], ~entry);
        }
    });
    block_least(end);
    dk_block_sums(count);
    o.id = (uint32_t)end[0];
    o.key = (uint32_t)(end[0] >> 32);
    o.last = (uint32_t)(~end[1] >> 32);
    o.live = count[0];
    o.bad = count[1] || count[0] == 0 || !dk_finite(logit_at(o.key));
    return o;
}

/* --- searching ---------------------------------------------------------------------- */

/* Bounds that a row is compared with in one reading: BOUNDS cut the keys lo .. hi into
 * equal parts, so that a search ends after 16 readings whatever the row is, BOUNDS the
 * logits, so that it mostly ends much sooner; the last is hi. */
enum { BOUNDS = 3, ALL = 2 * BOUNDS };

DK_DEVICE void set_bounds(uint32_t (&bound)[ALL + 1], uint32_t lo, uint32_t hi)
{
    const float top = logit_at(lo), range = logit_at(hi) - top;

    DK_UNROLL
    for (int j = 0; j < BOUNDS; j++) {
        const uint32_t k = key_of(top + range * ((float)(j + 1) / (BOUNDS + 1)));

        bound[j] = lo + (uint32_t)((u64)(hi - lo) * (j + 1) / (BOUNDS + 1));
        bound[BOUNDS + j] = k < lo ? lo : k < hi || hi == lo ? dk_min(k, hi) : hi - 1;
    }
    bound[ALL] = hi;
}

/* The first key up to which the weights of the tokens lo .. hi sum to more than a goal,
 * that is below their sum; *rest: the goal less all before that key.  weight(logit). */
template <class W, class G>
DK_DEVICE uint32_t border(u64 *rest, const source &s, uint32_t lo, uint32_t hi, const W &weight, const G &goal_of)
{
    u64 before = 0, goal = 0;

    for (bool first = true; first || lo < hi; first = false) {
        uint32_t bound[ALL + 1], from = lo, end[2] = { hi, ~lo };
        u64 sum[ALL + 1] = {}, at = before;

        set_bounds(bound, lo, hi);
        walk(s, 0, s.vocab, threadIdx.x, THREADS, [&](size_t, float z) {
            const uint32_t k = key_of(z);

            if (z > -dk_inf() && k >= lo && k <= hi) {
                const u64 w = weight(z);

                end[0] = dk_min(end[0], k);
                end[1] = dk_min(end[1], ~k);
                DK_UNROLL
                for (int j = 0; j <= ALL; j++)
                    sum[j] += k <= bound[j] ? w : 0;
            }
        });
        block_least(end);
        dk_block_sums(sum);
        if (first)
            goal = goal_of(sum[ALL]);
        for (int j = 0; j < ALL; j++) {
            if (before + sum[j] > goal) {
                hi = dk_min(hi, bound[j]);
            } else if (bound[j] >= from) {
                from = bound[j] + 1;
                at = before + sum[j];
            }
        }
        lo = dk_max(from, end[0]);          /* between tokens there is nothing to search */
        hi = dk_min(hi, ~end[1]);
        before = at;
    }
    *rest = goal - before;
    return lo;
}

/* The first id up to which the weights sum to more than a goal, that is below their
 * sum.  weight(id, logit). */
template <class W, class G> DK_DEVICE uint32_t first_above(const source &s, const W &weight, const G &goal_of)
{
    __shared__ u64 part[WARPS];
    const unsigned warp = threadIdx.x / 32;
    size_t from = 0, n = s.vocab;
    u64 goal = 0;

    for (bool first = true; first || n > 1; first = false) {
        /* A part for each warp; whole fours while there are any. */
        const size_t each = n > 4 ? (n + 4 * WARPS - 1) / (4 * WARPS) * 4 : 1;
        const size_t begin = dk_min(warp * each, n), end = dk_min(begin + each, n);
        unsigned w = 0;
        u64 sum = 0;

        walk(s, from + begin, from + end, threadIdx.x % 32, 32, [&](size_t i, float z) { sum += weight(i, z); });
        sum = dk_warp_sum(sum);
        if (threadIdx.x % 32 == 0)
            part[warp] = sum;
        __syncthreads();
        if (first) {
            for (sum = 0; w < WARPS; w++)
                sum += part[w];
            goal = goal_of(sum);
        }
        for (w = 0; w + 1 < WARPS && goal >= part[w]; w++)
            goal -= part[w];
        from += w * each;
        n = dk_min(each, n - w * each);
        __syncthreads();            /* before the next parts */
    }
    return (uint32_t)from;
}

/* --- choosing ----------------------------------------------------------------------- */

/* How likely a token is beside the likeliest, and that in units. */
struct scale { double max, temperature, unit; };

DK_DEVICE double share(const scale &c, float z) { return exp(((double)z - c.max) / c.temperature); }
DK_DEVICE u64 weigh(const scale &c, double w) { return (u64)__double2ll_rn(w * c.unit); }

DK_DEVICE uint32_t draw(const source &s, const outline &o, const dk_cu_pick &p, double unit)
{
    const scale c = { (double)logit_at(o.key), p.temperature, unit };
    uint32_t key = o.last, id = 0xffffffffu;        /* the last token that is kept */
    u64 rest;

    if (p.top_k && p.top_k < o.live)
        key = border(&rest, s, o.key, key, [](float) { return (u64)1; }, [&](u64) { return p.top_k - 1; });
    if (p.top_p < 1) {
        /* Dropped, from the least likely on, is while the sum is at most limit: the last that stays is the
         * first up to which there is the rest of the weight. */
        key = border(&rest, s, o.key, key, [&](float z) { return weigh(c, share(c, z)); }, [&](u64 total) {
            const u64 limit = (u64)((1 - p.top_p) * (double)total);

            return limit < total ? total - limit - 1 : 0;
        });
        /* As many of its equals stay as the rest needs, those with the lowest ids. */
        rest /= weigh(c, share(c, logit_at(key)));
        id = first_above(s, [&](size_t, float z) { return (u64)(key_of(z) == key); }, [&](u64) { return rest; });
    }
    return first_above(s, [&](size_t i, float z) {
        const uint32_t k = key_of(z);
        double w = 0;

        if (z > -dk_inf() && (k < key || (k == key && i <= id)))
            w = share(c, z);
        return w < p.min_p ? 0 : weigh(c, w);
    }, [&](u64 total) { return (u64)(p.uniform * (double)total); });     /* 1 - 2^-53 of it is still below it */
}

static __global__ void __launch_bounds__(THREADS)
choose_rows(dk_cu_picked *out, const dk_cu_pick *picks, float *logits, size_t vocab, const uint32_t *ids,
            const uint32_t *end, size_t n_end, double unit, bool vec)
{
    const dk_cu_pick p = picks[blockIdx.x];
    const bool amplified = p.base != DK_CU_ALONE, pair = amplified && p.base != p.row;
    float *x = logits + p.row * vocab;
    source s = { x, pair ? logits + p.base * vocab : NULL, vocab, p.alpha, -dk_inf(), pair && p.carried, true, vec };
    const source base = { logits + (amplified ? p.base : p.row) * vocab, NULL, vocab, 0, 0, false, true, vec };
    double lse_base = 0, lse = 0;
    dk_cu_picked r = {};
    outline o;

    if (amplified) {
        lse_base = lse_of(base);
        lse = pair ? lse_of(s) : lse_base;      /* what the model says, before anything is kept out */
    }
    for (uint32_t i = threadIdx.x; i < p.n_seen; i += THREADS) {
        float *y = x + ids[p.seen + i];

        *y = *y < 0 ? *y * p.penalty : *y / p.penalty;
    }
    __syncthreads();
    for (size_t i = threadIdx.x; p.no_end && i < n_end; i += THREADS)
        if (end[i] < vocab)
            x[end[i]] = -dk_inf();
    __syncthreads();
    o = look(s);
    if (amplified && !o.bad) {
        s.own = false;
        s.low = __double2float_ru((double)logit_at(o.key) + p.log_beta);
        o = look(s);
    }
    r.bad = o.bad;
    if (!o.bad) {
        r.id = p.temperature == 0 ? o.id : draw(s, o, p, unit);
        if (amplified) {
            source own = s;

            own.own = true;
            r.logp[0] = (float)((double)base.x[r.id] - lse_base);
            r.logp[1] = (float)((double)logit_of(own, r.id) - lse);
            r.logp[2] = (float)((double)logit_of(s, r.id) - lse_of(s));
        }
    }
    if (threadIdx.x == 0)
        out[blockIdx.x] = r;
}

int dk_cu_choose(dk_cu_stream s, dk_cu_picked *out, const dk_cu_pick *pick, size_t n, float *logits, size_t vocab,
                 const uint32_t *ids, const uint32_t *end, size_t n_end)
{
    const bool vec = vocab % 4 == 0 && dk_fours(logits);
    double unit = 4611686018427387904.0;        /* 2^62, the most that all weights may sum to */

    if (vocab == 0 || vocab > UINT32_MAX)
        return DK_INVALID_VALUE;
    for (size_t v = 1; v < vocab; v *= 2)
        unit /= 2;
    return n ? DK_LAUNCH(choose_rows, dim3((unsigned)n), dim3(THREADS), 0, s, out, pick, logits, vocab, ids, end, n_end,
                         unit, vec) : 0;
}
