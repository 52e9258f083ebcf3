/* The arithmetic between matrix products.  Pure functions of one row or a few:
 * no allocation, no threads.  Storage and arithmetic are f32 unless said
 * otherwise; sums over a row run in double. */
#ifndef DK_NUM_KERNELS_H
#define DK_NUM_KERNELS_H

#include <stddef.h>

/* y = x / sqrt(mean(x^2) + eps) * w, all [d] (RMSNorm; Zhang and Sennrich 2019). */
void dk_rmsnorm(float *y, const float *x, const float *w, size_t d, double eps);

/* y = (x - mean) / sqrt(variance + eps) * w + b, all [d] (LayerNorm; Ba et al. 2016). */
void dk_layernorm(float *y, const float *x, const float *w, const float *b, size_t d, double eps);

/* Rotates n_heads heads of size hd in place, pairs (t, t + hd/2); cosines and
 * sines [hd/2] of the row's position. */
void dk_rope(float *x, size_t n_heads, size_t hd, const float *cosines, const float *sines);

/* y[i] = silu(gate[i]) * up[i], silu(x) = x / (1 + exp(-x)). */
void dk_silu_mul(float *y, const float *gate, const float *up, size_t n);

/* y[i] = gelu(gate[i]) * up[i] or gelu(x[i]),
 * gelu(x) = x / 2 (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3))). */
void dk_gelu_mul(float *y, const float *gate, const float *up, size_t n);
void dk_gelu(float *y, const float *x, size_t n);
void dk_silu(float *y, const float *x, size_t n);

/* x[i] += y[i] */
void dk_add(float *x, const float *y, size_t n);
/* y = a + b */
void dk_sum(float *y, const float *a, const float *b, size_t n);

/* exp for any finite x; relative error below 2e-7; underflows to 0. */
void dk_expf_row(float *y, const float *x, size_t n);

/* Causal attention of one head over one sequence.
 *   q [n_q, ldq], k and v [n_k, ldk] and [n_k, ldv], out [n_q, ldo], all of hd
 *   columns; query i sees the keys 0 .. n_k - n_q + i.
 * work: dk_attend_work(n_k, hd) floats. */
size_t dk_attend_work(size_t n_k, size_t hd);
void dk_attend(float *out, size_t ldo, const float *q, size_t ldq, const float *k, size_t ldk,
               const float *v, size_t ldv, size_t n_q, size_t n_k, size_t hd, float scale,
               float *work);
/* The same where query i sees the last `window` of those keys alone (0: all),
 * and scores pass through softcap tanh(score / softcap) (0: as they are). */
void dk_attend_local(float *out, size_t ldo, const float *q, size_t ldq, const float *k, size_t ldk,
                     const float *v, size_t ldv, size_t n_q, size_t n_k, size_t hd, float scale,
                     float softcap, size_t window, float *work);

/* Differences of results from differences of inputs (dx: what is added to x),
 * without cancellation: f(x + dx) - f(x) of dk_rmsnorm, dk_silu_mul, dk_gelu_mul, dk_attend. */
void dk_rmsnorm_diff(float *dy, const float *x, const float *dx, const float *w, size_t d, double eps);
void dk_silu_mul_diff(float *dy, const float *gate, const float *dgate, const float *up, const float *dup, size_t n);
void dk_gelu_mul_diff(float *dy, const float *gate, const float *dgate, const float *up, const float *dup, size_t n);

/* Rows of queries, keys and values of a head; their differences lie as they do. */
typedef struct dk_head_rows { const float *q, *k, *v; } dk_head_rows;

/* n_q queries and n_k keys and values as in dk_attend_local, of the base in x and what is added
 * to them in dx; ldq: of queries, ldk: of keys and values.  work: dk_attend_diff_work(n_k, hd) floats. */
size_t dk_attend_diff_work(size_t n_k, size_t hd);
void dk_attend_diff(float *dout, size_t ldo, const dk_head_rows *x, const dk_head_rows *dx, size_t ldq, size_t ldk,
                    size_t n_q, size_t n_k, size_t hd, float scale, float softcap, size_t window, float *work);

/* x[i] = softcap tanh(x[i] / softcap) */
void dk_softcap(float *x, size_t n, float softcap);
/* The same of x + d, less that of x, to d: capped is that of x. */
void dk_softcap_diff(float *d, const float *capped, size_t n, float softcap);

/* The low-rank side path, on row groups:
 *   t [m, ldt] = x [m, ldx] A^T, with at [k, rp] = A transposed, rp a multiple of 8;
 *   y [m, ldy] += scale * t [m, r] bt [r, ldb], n columns. */
void dk_lowrank_in(float *t, size_t ldt, const float *x, size_t ldx, const float *at, size_t m,
                   size_t k, size_t rp);
void dk_lowrank_out(float *y, size_t ldy, const float *t, size_t ldt, const float *bt, size_t ldb, size_t m,
                    size_t r, size_t n, float scale);

#endif
