/* Attention: ragged batches, windows, soft caps, grouped heads, the cache, one query
 * a sequence, differences. */
#include "cutest.h"

struct batch {
    std::vector<uint32_t> offset, past, slot, piece_seq, piece_row;
    size_t lanes;
    bool cached;

    batch(size_t n_lanes, const std::vector<uint32_t> &lengths, const std::vector<uint32_t> &pasts)
        : lanes(n_lanes), cached(!pasts.empty())
    {
        offset.push_back(0);
        for (size_t s = 0; s < lengths.size(); s++) {
            offset.push_back(offset[s] + lengths[s]);
            for (uint32_t i = 0; i < lengths[s]; i += DK_CU_QUERIES) {
                piece_seq.push_back((uint32_t)s);
                piece_row.push_back(i);
            }
            past.push_back(cached ? pasts[s] : 0);
            slot.push_back((uint32_t)(lengths.size() - 1 - s));
        }
    }
    size_t n_seq() const { return offset.size() - 1; }
    size_t rows() const { return offset.back(); }
    uint32_t longest() const
    {
        uint32_t n = 0;

        for (size_t s = 0; s < n_seq(); s++)
            n = std::max(n, past[s] + offset[s + 1] - offset[s]);
        return n;
    }
};

template <class T> struct same_size : mem<T> {
    explicit same_size(const std::vector<T> &v) : mem<T>(v.size()) { this->set(v); }
};

struct shape { uint32_t n_heads, n_kv, hd, window; float softcap; };

/* Everything of one attention: inputs, the cache, what the CPU gives. */
struct scene {
    const batch &b;
    shape sh;
    size_t wide, ldo, ldk, capacity;
    same_size<uint32_t> offset, past, slot, piece_seq, piece_row;
    mem<float> qkv, out, k, v;
    dk_cu_rag rag;
    dk_cu_attend a;

    scene(const batch &of, shape s)
        : b(of), sh(s), wide((s.n_heads + 2 * s.n_kv) * s.hd), ldo(s.n_heads * s.hd), ldk(s.n_kv * s.hd),
          capacity(of.longest() + 1), offset(b.offset), past(b.past), slot(b.slot), piece_seq(b.piece_seq),
          piece_row(b.piece_row), qkv(b.lanes * b.rows() * wide), out(b.lanes * b.rows() * ldo, 9),
          k(b.cached ? b.lanes * b.n_seq() * capacity * ldk : 0), v(k.n)
    {
        randomize(qkv);
        randomize(k);
        randomize(v);
        rag = dk_cu_rag();
        rag.n_lanes = (uint32_t)b.lanes;
        rag.rows = (uint32_t)b.rows();
        rag.n_seq = (uint32_t)b.n_seq();
        rag.n_pieces = (uint32_t)b.piece_seq.size();
        rag.offset = offset.p;
        rag.past = b.cached ? past.p : NULL;
        rag.slot = b.cached ? slot.p : NULL;
        rag.steps = b.cached;
        rag.piece_seq = piece_seq.p;
        rag.piece_row = piece_row.p;
        a = dk_cu_attend();
        a.n_heads = s.n_heads;
        a.n_kv = s.n_kv;
        a.hd = s.hd;
        a.scale = 1 / sqrtf((float)s.hd);
        a.softcap = s.softcap;
        a.window = s.window;
        a.qkv = qkv.p;
        a.out = out.p;
        a.k_cache = b.cached ? k.p : NULL;
        a.v_cache = b.cached ? v.p : NULL;
        a.n_slots = (uint32_t)b.n_seq();
        a.capacity = (uint32_t)capacity;
    }
    size_t row(size_t lane, size_t s) const { return lane * b.rows() + b.offset[s]; }
    size_t length(size_t s) const { return b.offset[s + 1] - b.offset[s]; }
    size_t cache_at(size_t lane, size_t s) const { return (lane * b.n_seq() + b.slot[s]) * capacity * ldk; }

    /* What the cache must be once the batch is appended. */
    std::vector<float> appended(const mem<float> &cache, size_t column) const
    {
        std::vector<float> c = cache.copy();

        for (size_t l = 0; b.cached && l < b.lanes; l++)
            for (size_t s = 0; s < b.n_seq(); s++)
                for (size_t i = 0; i < length(s); i++)
                    memcpy(&c[cache_at(l, s) + (b.past[s] + i) * ldk], qkv.p + (row(l, s) + i) * wide + column,
                           ldk * sizeof(float));
        return c;
    }
    std::vector<float> reference(const std::vector<float> &ck, const std::vector<float> &cv) const
    {
        std::vector<float> want(out.n), work(dk_attend_work(capacity + 8, sh.hd) + 64);

        for (size_t l = 0; l < b.lanes; l++)
            for (size_t s = 0; s < b.n_seq(); s++)
                for (size_t h = 0; h < sh.n_heads; h++) {
                    const size_t kv = h / (sh.n_heads / sh.n_kv) * sh.hd, n = length(s);
                    const float *q = qkv.p + row(l, s) * wide;
                    const float *pk = q + sh.n_heads * sh.hd + kv, *pv = pk + ldk;

                    if (b.cached) {
                        pk = &ck[cache_at(l, s) + kv];
                        pv = &cv[cache_at(l, s) + kv];
                    }
                    dk_attend_local(&want[row(l, s) * ldo + h * sh.hd], ldo, q + h * sh.hd, wide, pk,
                                    b.cached ? ldk : wide, pv, b.cached ? ldk : wide, n, b.past[s] + n, sh.hd, a.scale,
                                    sh.softcap, sh.window, work.data());
                }
        return want;
    }
};

/* f32: a score is a sum of hd terms about 1, scaled to about 1: off by 4 EPS sqrt(hd)
 * or less, which changes a weight by as much of itself; outputs are means of values
 * of at most 4.  bf16: queries, keys and values are given as such, so only weights
 * are rounded, to 2^-9 of themselves. */
static double tolerance(uint32_t hd, bool bf16) { return bf16 ? 4 * 0x1p-9 : 32 * EPS * sqrt((double)hd + 16); }

static void to_halves(mem<float> &m)
{
    for (size_t i = 0; i < m.n; i++)
        m[i] = dk_bf16_f32(dk_f32_bf16(m[i]));
}

static void attend(const batch &b, shape s, bool bf16, const char *what)
{
    scene c(b, s);
    const name title("%s, %u/%u heads of %u, window %u, cap %g, %s", what, s.n_heads, s.n_kv, s.hd, s.window,
                     (double)s.softcap, bf16 ? "bf16" : "f32");

    if (bf16) {
        to_halves(c.qkv);
        to_halves(c.k);
        to_halves(c.v);
    }
    const std::vector<float> ck = c.appended(c.k, s.n_heads * s.hd), cv = c.appended(c.v, s.n_heads * s.hd + c.ldk);

    c.a.bf16 = bf16;
    if (b.cached) {
        compare(orders(c.k, [&] { return dk_cu_cache_put(NULL, &c.rag, &c.a); }), c.k, ck, 0, 0,
                name("%s: keys put", title.text));
        compare(true, c.v, cv, 0, 0, name("%s: values put", title.text));
    }
    compare(orders(c.out, [&] { return dk_cu_attend_rows(NULL, &c.rag, &c.a); }), c.out, c.reference(ck, cv),
            tolerance(s.hd, bf16), 0, title);
}

static void differences(const batch &b, shape s, double size)
{
    scene c(b, s);
    std::vector<float> work(dk_attend_diff_work(c.capacity + 8, s.hd) + 64);
    std::vector<float> want = c.out.copy();
    const size_t ldk = b.cached ? c.ldk : c.wide;

    for (size_t i = b.rows() * c.wide; i < c.qkv.n; i++)
        c.qkv[i] *= (float)size;
    for (size_t i = c.k.n / b.lanes; i < c.k.n; i++) {
        c.k[i] *= (float)size;
        c.v[i] *= (float)size;
    }
    const std::vector<float> ck = c.appended(c.k, s.n_heads * s.hd), cv = c.appended(c.v, s.n_heads * s.hd + c.ldk);

    c.k.set(ck);
    c.v.set(cv);
    for (size_t l = 1; l < b.lanes; l++)
        for (size_t q = 0; q < b.n_seq(); q++)
            for (size_t h = 0; h < s.n_heads; h++) {
                const size_t at = h / (s.n_heads / s.n_kv) * s.hd, kv = s.n_heads * s.hd + at;
                const float *x = c.qkv.p + c.row(0, q) * c.wide, *d = c.qkv.p + c.row(l, q) * c.wide;
                dk_head_rows base = { x + h * s.hd, x + kv, x + kv + c.ldk };
                dk_head_rows diff = { d + h * s.hd, d + kv, d + kv + c.ldk };

                if (b.cached) {
                    base.k = &ck[c.cache_at(0, q) + at];
                    base.v = &cv[c.cache_at(0, q) + at];
                    diff.k = &ck[c.cache_at(l, q) + at];
                    diff.v = &cv[c.cache_at(l, q) + at];
                }
                dk_attend_diff(&want[c.row(l, q) * c.ldo + h * s.hd], c.ldo, &base, &diff, c.wide, ldk, c.length(q),
                               b.past[q] + c.length(q), s.hd, c.a.scale, s.softcap, s.window, work.data());
            }
    /* Relative to the differences, which is the point of it; a few times the sum's. */
    compare(orders(c.out, [&] { return dk_cu_attend_diff(NULL, &c.rag, &c.a); }), c.out, want,
            8 * tolerance(s.hd, false) * fmin(size, 4), 0, name("differences of %g%s, %u/%u heads of %u, window %u", size,
            b.cached ? " behind a cache" : "", s.n_heads, s.n_kv, s.hd, s.window));
}

/* The rows of a sequence are the same bytes alone and behind others. */
static void alone(uint32_t hd, bool bf16)
{
    const batch both(1, { 70, 33, 1 }, {}), one(1, { 33 }, {});
    const shape s = { 2, 1, hd, 0, 0 };
    scene c(both, s), d(one, s);

    c.a.bf16 = d.a.bf16 = bf16;
    memcpy(d.qkv.p, c.qkv.p + 70 * c.wide, 33 * c.wide * sizeof(float));
    check(finished(dk_cu_attend_rows(NULL, &c.rag, &c.a)) == 0 && finished(dk_cu_attend_rows(NULL, &d.rag, &d.a)) == 0 &&
          memcmp(d.out.p, c.out.p + 70 * c.ldo, d.out.n * sizeof(float)) == 0,
          "a sequence alone and in a batch, heads of %u, %s", hd, bf16 ? "bf16" : "f32");
}

/* The last row of a prompt that is cut before it, and one in the middle of another cut: the bytes of the whole. */
static void cut(uint32_t hd, uint32_t window, bool bf16)
{
    enum { N = 70, AT = 33 };
    const batch whole(1, { N }, { 0 }), last(1, { 1 }, { N - 1 }), rest(1, { N - AT }, { AT });
    const shape s = { 2, 1, hd, window, 0 };
    scene c(whole, s), d(last, s), e(rest, s);

    c.rag.steps = d.rag.steps = e.rag.steps = 0;
    c.a.bf16 = d.a.bf16 = e.a.bf16 = bf16;
    check(finished(dk_cu_cache_put(NULL, &c.rag, &c.a)) == 0 && finished(dk_cu_attend_rows(NULL, &c.rag, &c.a)) == 0, "a prompt");
    for (scene *x : { &d, &e }) {
        memcpy(x->k.p, c.k.p, c.k.n * sizeof(float));
        memcpy(x->v.p, c.v.p, c.v.n * sizeof(float));
        memcpy(x->qkv.p, c.qkv.p + (N - x->b.rows()) * c.wide, x->b.rows() * c.wide * sizeof(float));
        check(finished(dk_cu_attend_rows(NULL, &x->rag, &x->a)) == 0 &&
              memcmp(x->out.p, c.out.p + (N - x->b.rows()) * c.ldo, x->out.n * sizeof(float)) == 0,
              "its last %zu rows behind the others: the same bytes, heads of %u, window %u, %s", x->b.rows(), hd, window,
              bf16 ? "bf16" : "f32");
    }
}

void test_attention()
{
    const batch ragged(2, { 1, 31, 32, 33, 65 }, {}), longer(1, { 130 }, {}), cached(1, { 3, 40, 1 }, { 0, 65, 31 });
    const batch decode(2, { 1, 1, 1 }, { 0, 31, 70 }), small(1, { 5, 17 }, {});

    for (int bf16 = 0; bf16 < 2; bf16++) {
        attend(ragged, { 2, 1, 64, 0, 0 }, bf16, "ragged");
        attend(longer, { 3, 3, 128, 0, 0 }, bf16, "one long one");
        attend(longer, { 2, 1, 64, 37, 0 }, bf16, "a window");
        attend(ragged, { 2, 2, 80, 1, 0 }, bf16, "the narrowest window");
        attend(small, { 3, 1, 96, 0, 1.5f }, bf16, "a soft cap");
        attend(longer, { 1, 1, 256, 50, 2 }, bf16, "the widest heads");
        attend(cached, { 4, 2, 64, 0, 0 }, bf16, "behind a cache");
        attend(cached, { 4, 2, 128, 33, 0 }, bf16, "behind a cache, a window");
        attend(decode, { 3, 1, 128, 0, 0 }, bf16, "one query each");
        attend(decode, { 4, 2, 64, 20, 3 }, bf16, "one query each, a window");
        alone(64, bf16);
        cut(64, 0, bf16);
        cut(64, 21, bf16);
    }
    attend(small, { 2, 1, 2, 0, 0 }, false, "the narrowest heads");
    attend(small, { 7, 7, 66, 3, 0 }, false, "heads that are not of fours");
    attend(cached, { 2, 1, 34, 0, 0 }, false, "those behind a cache");
    attend(decode, { 2, 1, 250, 0, 0 }, false, "one query each, wide");
    for (double size : { 1e-4, .1, 8. }) {
        differences(batch(3, { 1, 16, 17 }, {}), { 2, 1, 64, 0, 0 }, size);
        differences(batch(2, { 70 }, {}), { 1, 1, 128, 19, 0 }, size);
        differences(batch(2, { 5, 33 }, {}), { 2, 2, 34, 0, 0 }, size);
        differences(batch(2, { 18 }, {}), { 2, 1, 256, 0, 0 }, size);
        differences(batch(2, { 1, 5, 1 }, { 31, 20, 70 }), { 2, 1, 64, 0, 0 }, size);
        differences(batch(3, { 1, 2 }, { 40, 0 }), { 2, 2, 34, 7, 0 }, size);
        differences(batch(2, { 5, 33 }, {}), { 2, 2, 32, 9, 1.5f }, size);
    }
    scene c(small, { 2, 1, 258, 0, 0 });
    check(dk_cu_attend_rows(NULL, &c.rag, &c.a) != 0, "heads of 258 are refused");
}
