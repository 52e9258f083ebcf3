/* Products over panels.  A tile of y (six rows of one panel; few rows: of two or
 * four panels, so that enough sums run side by side) stays in registers while k
 * passes.  Where many rows use a panel, its piece of k is widened once. */
#include "num/panel.h"

#include <stdint.h>
#include <string.h>

#include "num/half.h"
#include "num/kernel_turn.h"
#include "num/simd.h"

enum {
    TILE = 6,           /* rows, where there are registers enough */
    WIDE_FROM = 40,     /* rows from which on widening ahead pays */
    AHEAD = 16          /* steps of k asked for early where panels are read once */
};

typedef uint32_t v8w __attribute__((vector_size(32)));

/* Columns 0..7 and 8..15 of step j.  bf16 lie in one vector of 32 bits, the later
 * eight in the upper halves: a shift and a mask widen them. */
DK_INLINE void load_w(dk_v8 *a, dk_v8 *b, const void *w, size_t j, bool narrow)
{
    if (narrow) {
        const v8w both = (v8w)DK_LOAD8((const float *)w + j * 8);

        *a = (dk_v8)(both << 16);
        *b = (dk_v8)(both & 0xFFFF0000u);
    } else {
        *a = DK_LOAD8((const float *)w + j * DK_PANEL);
        *b = DK_LOAD8((const float *)w + j * DK_PANEL + 8);
    }
}

DK_INLINE void store_w(void *w, size_t j, const dk_v8 *a, const dk_v8 *b, bool narrow)
{
    if (narrow)
        DK_STORE8((float *)w + j * 8, (dk_v8)(((v8w)*a >> 16) | ((v8w)*b & 0xFFFF0000u)));
    else {
        DK_STORE8((float *)w + j * DK_PANEL, *a);
        DK_STORE8((float *)w + j * DK_PANEL + 8, *b);
    }
}

/* All rows of a product over the columns from w on and a run of k that begins at k0.
 * Sums wait in sum [m][columns of a tile] until the last run adds them up in y: there
 * rows lie side by side, while those of y may share their places in the cache. */
struct piece {
    float *y;
    size_t ldy;
    const float *x;
    size_t m, k;
    const char *w;
    size_t stride, n, k0, kn;       /* stride: bytes from panel to panel; n: columns of y that exist */
    float *sum;
    const char *ahead;              /* what is read next of the weights, each of its lines */
    size_t ahead_lines;
};

/* Rows i .. i + rows - 1, panels of them; rows and panels are constants to the
 * compiler.  x lies [k][rows]. */
DK_INLINE void tile(const struct piece *p, size_t i0, bool narrow, const size_t rows, const size_t panels)
{
    const float *restrict x = p->x + i0 * p->k + rows * p->k0;
    const char *restrict w = p->w;
    float *restrict sum = p->sum + i0 * panels * DK_PANEL;
    float *y = p->y + i0 * p->ldy;
    const bool last = p->k0 + p->kn == p->k;
    dk_v8 s[TILE][8];

    for (size_t i = 0; last && i < rows; i++)
        __builtin_prefetch(y + i * p->ldy, 1);
    for (size_t j = 0; j < p->kn;) {
        const size_t end = p->kn - j < DK_PANEL_RUN ? p->kn : j + DK_PANEL_RUN;
        const bool first = p->k0 + j == 0, to_y = last && end == p->kn && p->n >= panels * DK_PANEL;
        float *to = to_y ? y : sum;
        const size_t ld = to_y ? p->ldy : panels * DK_PANEL;

        #pragma GCC unroll 8
        for (size_t i = 0; i < rows; i++)
            #pragma GCC unroll 8
            for (size_t c = 0; c < 2 * panels; c++)
                s[i][c] = (dk_v8){0};
        for (; j < end; j++) {
            #pragma GCC unroll 8
            for (size_t q = 0; q < panels; q++) {
                dk_v8 a, b;

                load_w(&a, &b, w + q * p->stride, j, narrow);
                if (panels > 1)
                    __builtin_prefetch(w + q * p->stride + (j + AHEAD) * DK_PANEL * (narrow ? 2 : 4));
                #pragma GCC unroll 8
                for (size_t i = 0; i < rows; i++) {
                    const float v = x[j * rows + i];

                    s[i][2 * q] += a * v;
                    s[i][2 * q + 1] += b * v;
                }
            }
        }
        #pragma GCC unroll 8
        for (size_t i = 0; i < rows; i++)
            #pragma GCC unroll 8
            for (size_t c = 0; c < 2 * panels; c++) {
                const dk_v8 all = first ? s[i][c] : DK_LOAD8(sum + (i * 2 * panels + c) * 8) + s[i][c];

                DK_STORE8(to + i * ld + 8 * c, all);
            }
    }
    for (size_t i = 0; last && p->n < panels * DK_PANEL && i < rows; i++)
        memcpy(y + i * p->ldy, sum + i * panels * DK_PANEL, p->n * sizeof *y);
}

DK_INLINE void one_panel(const struct piece *p, bool narrow, const size_t most)
{
    const size_t tiles = (p->m + most - 1) / most, lines = (p->ahead_lines + tiles - 1) / tiles;
    const char *ahead = p->ahead;
    size_t i = 0;

    for (; p->m - i >= most; i += most) {
        for (size_t l = 0; l < lines; l++, ahead += 64)
            __builtin_prefetch(ahead, 0, 2);
        tile(p, i, narrow, most, 1);
    }
    switch (p->m - i) {
    case 5: tile(p, i, narrow, 5, 1); break;
    case 4: tile(p, i, narrow, 4, 1); break;
    case 3: tile(p, i, narrow, 3, 1); break;
    case 2: tile(p, i, narrow, 2, 1); break;
    case 1: tile(p, i, narrow, 1, 1); break;
    default: break;
    }
}

/* Few rows: several panels at a time.  How many, 0: not so. */
DK_INLINE size_t several(const struct piece *p, bool narrow)
{
    if (p->m == 1 && p->n >= 4 * DK_PANEL)
        return tile(p, 0, narrow, 1, 4), 4;
    if (p->m == 2 && p->n >= 2 * DK_PANEL)
        return tile(p, 0, narrow, 2, 2), 2;
    if (p->m == 3 && p->n >= 2 * DK_PANEL)
        return tile(p, 0, narrow, 3, 2), 2;
    return 0;
}

/* The rows of one piece of one panel; a piece that many rows use is widened first. */
DK_INLINE void multiply(struct piece *p, bool narrow, float *wide, const size_t most)
{
    if (narrow && p->m >= WIDE_FROM) {
        for (size_t j = 0; j < p->kn; j++) {
            dk_v8 a, b;

            load_w(&a, &b, p->w, j, true);
            store_w(wide, j, &a, &b, false);
        }
        p->w = (const char *)wide;
        one_panel(p, false, most);
    } else if (narrow)
        one_panel(p, true, most);
    else
        one_panel(p, false, most);
}

/* Panels outside: all of k for one of them, piece by piece, then the next. */
DK_INLINE void product(float *y, size_t ldy, const float *x, size_t m, const void *w, size_t n, size_t k, bool narrow,
                       float *work, const size_t most)
{
    const size_t stride = dk_panel_bytes(k, narrow), pieces = m < 3 * most ? 1 : (k + DK_PANEL_K - 1) / DK_PANEL_K;
    const size_t each = ((k + pieces - 1) / pieces + DK_PANEL_RUN - 1) / DK_PANEL_RUN * DK_PANEL_RUN;
    const size_t elem = narrow ? 2 : 4;

    for (size_t c = 0, done; c < n; c += done * DK_PANEL) {
        const char *panel = (const char *)w + c / DK_PANEL * stride;
        struct piece p = { y + c, ldy, x, m, k, panel, stride, n - c, 0, k, work + DK_PANEL * DK_PANEL_K, NULL, 0 };

        done = most < TILE ? 0 : narrow ? several(&p, true) : several(&p, false);
        if (done)
            continue;
        done = 1;
        for (size_t k0 = 0; k0 < k; k0 += each) {
            p.k0 = k0;
            p.kn = k - k0 < each ? k - k0 : each;
            p.w = panel + k0 * DK_PANEL * elem;
            p.ahead = p.w + p.kn * DK_PANEL * elem;
            p.ahead_lines = m >= 3 * most ? p.kn * DK_PANEL * elem / 64 : 0;
            multiply(&p, narrow, work, most);
        }
    }
}

typedef void product_fn(float *, size_t, const float *, size_t, const void *, size_t, size_t, bool, float *);
typedef bool pack_fn(void *, const float *, size_t, size_t, bool);
typedef void rows_fn(float *, const float *, size_t, size_t, size_t, bool);

DK_INLINE void round8(dk_v8 *x)
{
    const v8w u = (v8w)*x;

    *x = (dk_v8)((u + 0x7FFFu + ((u >> 16) & 1u)) & 0xFFFF0000u);
}

/* Whether a value is infinite or NaN shows in its exponent. */
DK_INLINE bool pack(void *panel, const float *in, size_t n_rows, size_t k, bool narrow)
{
    v8w bad = {0};
    uint32_t any = 0;
    size_t j = 0;

    for (; n_rows == DK_PANEL && j + 8 <= k; j += 8) {
        dk_v8 a[8], b[8];

        #pragma GCC unroll 8
        for (size_t i = 0; i < 8; i++) {
            a[i] = DK_LOAD8(in + i * k + j);
            b[i] = DK_LOAD8(in + (8 + i) * k + j);
            bad |= (v8w)((((v8w)a[i] & 0x7F800000u) == 0x7F800000u) | (((v8w)b[i] & 0x7F800000u) == 0x7F800000u));
            if (narrow) {
                round8(&a[i]);
                round8(&b[i]);
            }
        }
        dk_turn8(a);
        dk_turn8(b);
        #pragma GCC unroll 8
        for (size_t i = 0; i < 8; i++)
            store_w(panel, j + i, &a[i], &b[i], narrow);
    }
    for (; j < k; j++) {
        dk_v8 v[2] = {{0}};

        for (size_t i = 0; i < DK_PANEL; i++)
            v[i / 8][i % 8] = i < n_rows ? in[i * k + j] : 0;
        for (size_t i = 0; i < 2; i++) {
            bad |= (v8w)(((v8w)v[i] & 0x7F800000u) == 0x7F800000u);
            if (narrow)
                round8(&v[i]);
        }
        store_w(panel, j, &v[0], &v[1], narrow);
    }
    for (size_t i = 0; i < 8; i++)
        any |= bad[i];
    return any == 0;
}

/* Stores reach two values too far, onto what is stored next; the last ones do not. */
DK_INLINE void rows(float *restrict out, const float *restrict x, size_t ldx, size_t m, size_t k, bool round)
{
    size_t j = 0;

    for (; m == TILE && j + 16 <= k; j += 8) {
        dk_v8 r[8];

        #pragma GCC unroll 8
        for (size_t i = 0; i < 8; i++) {
            r[i] = DK_LOAD8(x + (i < TILE ? i : 0) * ldx + j);
            if (round)
                round8(&r[i]);
        }
        dk_turn8(r);
        #pragma GCC unroll 8
        for (size_t i = 0; i < 8; i++)
            DK_STORE8(out + (j + i) * TILE, r[i]);
    }
    for (; j < k; j++)
        for (size_t i = 0; i < m; i++)
            out[j * m + i] = round ? dk_bf16_f32(dk_f32_bf16(x[i * ldx + j])) : x[i * ldx + j];
}

#define VARIANT(name, attributes, most) \
    attributes static void product_##name(float *y, size_t ldy, const float *x, size_t m, const void *w, size_t n, \
                                          size_t k, bool narrow, float *work) \
    { product(y, ldy, x, m, w, n, k, narrow, work, most); } \
    attributes static bool pack_##name(void *panel, const float *in, size_t n_rows, size_t k, bool narrow) \
    { return pack(panel, in, n_rows, k, narrow); } \
    attributes static void rows_##name(float *out, const float *x, size_t ldx, size_t m, size_t k, bool round) \
    { rows(out, x, ldx, m, k, round); }

VARIANT(any, , 2)
static product_fn *run = product_any;
static pack_fn *turn = pack_any;
static rows_fn *lay = rows_any;
static size_t tile_rows = 2;

#if defined(__x86_64__) && defined(__GNUC__)
VARIANT(avx2, __attribute__((target("avx2,fma"))), TILE)

const char *dk_panel_choose(bool avx2)
{
    avx2 = avx2 && __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
    run = avx2 ? product_avx2 : product_any;
    turn = avx2 ? pack_avx2 : pack_any;
    lay = avx2 ? rows_avx2 : rows_any;
    tile_rows = avx2 ? TILE : 2;
    return avx2 ? "panels:avx2" : "panels:sse2";
}

bool dk_cpu_avx512(void)
{
    return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
           __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq");
}
#else
const char *dk_panel_choose(bool avx2) { return (void)avx2, "panels"; }
bool dk_cpu_avx512(void) { return false; }
#endif

void dk_panel_product(float *y, size_t ldy, const float *x, size_t m, const void *w, size_t n, size_t k, bool narrow,
                      float *work)
{
    run(y, ldy, x, m, w, n, k, narrow, work);
}

bool dk_panel_pack(void *panel, const float *in, size_t n_rows, size_t k, bool narrow)
{
    return turn(panel, in, n_rows, k, narrow);
}

size_t dk_panel_tile(void) { return tile_rows; }

void dk_panel_rows(float *out, const float *x, size_t ldx, size_t m, size_t k, bool round)
{
    lay(out, x, ldx, m, k, round);
}
