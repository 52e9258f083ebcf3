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

/* rows x panels of y; rows and panels are constants to the compiler.  x [k][rows];
 * stride: bytes from panel to panel; n: columns of y that exist. */
DK_INLINE void tile(float *restrict y, size_t ldy, const float *restrict x, const char *restrict w, size_t stride,
                    size_t k, bool first, bool narrow, const size_t rows, const size_t panels, size_t n)
{
    dk_v8 s[TILE][8];
    const bool whole = n >= panels * DK_PANEL;
    float edge[TILE][DK_PANEL] = {{0}}, *to = whole ? y : edge[0];
    const size_t ld = whole ? ldy : DK_PANEL;

    for (size_t i = 0; !whole && !first && i < rows; i++)
        memcpy(edge[i], y + i * ldy, n * sizeof(float));
    for (size_t j = 0; j < k;) {
        const size_t end = k - j < DK_PANEL_RUN ? k : j + DK_PANEL_RUN;

        #pragma GCC unroll 8
        for (size_t i = 0; i < rows; i++)
            #pragma GCC unroll 8
            for (size_t c = 0; c < 2 * panels; c++)
                s[i][c] = (dk_v8){0};
        for (; j < end; j++)
            #pragma GCC unroll 8
            for (size_t p = 0; p < panels; p++) {
                dk_v8 a, b;

                load_w(&a, &b, w + p * stride, j, narrow);
                if (panels > 1)
                    __builtin_prefetch(w + p * stride + (j + AHEAD) * DK_PANEL * (narrow ? 2 : 4));
                #pragma GCC unroll 8
                for (size_t i = 0; i < rows; i++) {
                    const float v = x[j * rows + i];

                    s[i][2 * p] += a * v;
                    s[i][2 * p + 1] += b * v;
                }
            }
        #pragma GCC unroll 8
        for (size_t i = 0; i < rows; i++)
            #pragma GCC unroll 8
            for (size_t c = 0; c < 2 * panels; c++) {
                float *at = to + i * ld + 8 * c;

                DK_STORE8(at, first ? s[i][c] : DK_LOAD8(at) + s[i][c]);
            }
        first = false;
    }
    for (size_t i = 0; !whole && i < rows; i++)
        memcpy(y + i * ldy, edge[i], n * sizeof(float));
}

/* All rows of a product, over the columns from w on and a run of k that begins at k0. */
struct piece { float *y; size_t ldy; const float *x; size_t m, k; const char *w; size_t stride, n, k0, kn; };

#define TILE_OF(rows, panels) \
    tile(p->y + i * p->ldy, p->ldy, p->x + i * p->k + (rows) * p->k0, p->w, p->stride, p->kn, p->k0 == 0, narrow, \
         (rows), (panels), p->n)

DK_INLINE void one_panel(const struct piece *p, bool narrow, const size_t most)
{
    size_t i = 0;

    for (; p->m - i >= most; i += most)
        TILE_OF(most, 1);
    switch (p->m - i) {
    case 5: TILE_OF(5, 1); break;
    case 4: TILE_OF(4, 1); break;
    case 3: TILE_OF(3, 1); break;
    case 2: TILE_OF(2, 1); break;
    case 1: TILE_OF(1, 1); break;
    default: break;
    }
}

/* Few rows: several panels at a time.  How many, 0: not so. */
DK_INLINE size_t several(const struct piece *p, bool narrow)
{
    const size_t i = 0;

    if (p->m == 1 && p->n >= 4 * DK_PANEL)
        return TILE_OF(1, 4), 4;
    if (p->m == 2 && p->n >= 2 * DK_PANEL)
        return TILE_OF(2, 2), 2;
    if (p->m == 3 && p->n >= 2 * DK_PANEL)
        return TILE_OF(3, 2), 2;
    return 0;
}

DK_INLINE void product(float *y, size_t ldy, const float *x, size_t m, const void *w, size_t n, size_t k, bool narrow,
                       float *work, const size_t most)
{
    const size_t stride = dk_panel_bytes(k, narrow), pieces = m < WIDE_FROM ? 1 : (k + DK_PANEL_K - 1) / DK_PANEL_K;
    const size_t each = ((k + pieces - 1) / pieces + DK_PANEL_RUN - 1) / DK_PANEL_RUN * DK_PANEL_RUN;
    const size_t elem = narrow ? 2 : 4;

    for (size_t k0 = 0; k0 < k; k0 += each)
        for (size_t c = 0, done; c < n; c += done * DK_PANEL) {
            const char *from = (const char *)w + c / DK_PANEL * stride + k0 * DK_PANEL * elem;
            struct piece p = { y + c, ldy, x, m, k, from, stride, n - c, k0, k - k0 < each ? k - k0 : each };

            done = most < TILE ? 0 : narrow ? several(&p, true) : several(&p, false);
            if (done)
                continue;
            done = 1;
            if (narrow && m >= WIDE_FROM) {
                for (size_t j = 0; j < p.kn; j++) {
                    dk_v8 a, b;

                    load_w(&a, &b, from, j, true);
                    store_w(work, j, &a, &b, false);
                }
                p.w = (const char *)work;
                one_panel(&p, false, most);
            } else if (narrow)
                one_panel(&p, true, most);
            else
                one_panel(&p, false, most);
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
