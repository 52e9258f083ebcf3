/* Launchers of the kernels (*.cu), called by the host side of the CUDA backend
 * (*.c).  All pointers are device memory.  A launcher queues its kernels on the
 * stream and returns the runtime's error code of the launch (0: none); nothing
 * is allocated and nothing waited for.  Results repeat bit for bit: no float
 * atomics, sums in a fixed order that depends on shapes alone, and the numbers
 * of a row depend on that row (in attention: its sequence) alone.
 *
 * What each one computes stands in backend/backend.h at the op of its name. */
#ifndef DK_BACKEND_CUDA_KERNELS_H
#define DK_BACKEND_CUDA_KERNELS_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct CUstream_st *dk_cu_stream;      /* cudaStream_t */

/* A batch (dk_rag), and the pieces that attention is cut into: piece i is at
 * most DK_CU_QUERIES rows of sequence piece_seq[i] from its row piece_row[i] on
 * (counted in the sequence's rows of this batch), that is a multiple of DK_CU_QUERIES;
 * no piece is empty. */
enum { DK_CU_QUERIES = 64 };
typedef struct dk_cu_rag {
    uint32_t n_lanes, rows, n_seq, n_pieces, steps;
    const uint32_t *offset, *pos, *past, *slot;     /* past, slot NULL: no cache */
    const uint32_t *piece_seq, *piece_row;
} dk_cu_rag;

typedef struct dk_cu_norm { const float *w, *b; double eps; } dk_cu_norm;

int dk_cu_add_norm(dk_cu_stream s, float *y, float *x, const float *add, dk_cu_norm norm, size_t rows, size_t width);
/* y in bf16, ld values from row to row, zeros behind width. */
int dk_cu_add_norm_packed(dk_cu_stream s, uint16_t *y, size_t ld, float *x, const float *add, dk_cu_norm norm,
                          size_t rows, size_t width);
int dk_cu_add_norm_diff(dk_cu_stream s, float *dy, const float *x, float *dx, const float *dadd, dk_cu_norm norm,
                        size_t rows, size_t width);
int dk_cu_add_norm_diff_packed(dk_cu_stream s, uint16_t *dy, size_t ld, const float *x, float *dx, const float *dadd,
                               dk_cu_norm norm, size_t rows, size_t width);
int dk_cu_add_bias(dk_cu_stream s, float *y, const float *bias, size_t rows, size_t n);
int dk_cu_gather(dk_cu_stream s, float *y, const float *x, const uint32_t *rows, size_t n, size_t width);
/* x in bf16, ldx values from row to row. */
int dk_cu_gather_bf16(dk_cu_stream s, float *y, const uint16_t *x, size_t ldx, const uint32_t *rows, size_t n,
                      size_t width);
int dk_cu_sum(dk_cu_stream s, float *y, const float *a, const float *b, float sign, size_t n);  /* a + sign b */
int dk_cu_softcap(dk_cu_stream s, float *x, const float *base, size_t n, float cap);
int dk_cu_edit(dk_cu_stream s, float *x, const float *v, float strength, size_t n_rows, size_t d);
int dk_cu_act(dk_cu_stream s, int form, float *y, const float *x, const float *base, size_t rows, size_t n);
/* y likewise, ld <= 2 n. */
int dk_cu_act_packed(dk_cu_stream s, int form, uint16_t *y, size_t ld, const float *x, const float *base, size_t rows,
                     size_t n);
/* form: dk_act_form, of the same values.  Rows of x are 2 n wide where gated. */
enum { DK_CU_SILU_GATE, DK_CU_GELU_GATE, DK_CU_SILU_PLAIN, DK_CU_GELU_PLAIN };

/* y [m, ldy], columns col0 .. col0 + k: x [m, ldx] rounded to bf16, to nearest even. */
int dk_cu_to_bf16(dk_cu_stream s, uint16_t *y, size_t ldy, const float *x, size_t ldx, size_t m, size_t k);
/* The same, with zeros in the columns k .. ldy - 1. */
int dk_cu_pack(dk_cu_stream s, uint16_t *y, size_t ldy, const float *x, size_t ldx, size_t m, size_t k);
/* Rows of w [n, ldw] in bf16: columns col0 + j, j < r: scale bt[j, row - row0] rounded, for
 * row0 <= row < row0 + rows (bt [r, rows]). */
int dk_cu_pack_side(dk_cu_stream s, uint16_t *w, size_t ldw, const float *bt, float scale, size_t row0, size_t rows,
                    size_t col0, size_t r);
/* c [m, ldc] = a [m, lda] b [n, ldb]^T summed in f32: what is used where there is
 * no product library.  bf16: a and b hold bf16, else f32. */
int dk_cu_product(dk_cu_stream s, float *c, size_t ldc, const void *a, size_t lda, const void *b, size_t ldb,
                  size_t m, size_t n, size_t k, int bf16);

typedef struct dk_cu_place {
    uint32_t n_heads, n_kv, hd;
    dk_cu_norm q_norm, k_norm;      /* w NULL: not normed */
    const float *cosines, *sines;   /* NULL: not rotated */
} dk_cu_place;
/* base NULL, or the rows of lane 0 as they were before place. */
int dk_cu_place_rows(dk_cu_stream s, float *x, const float *base, size_t n_lanes, const dk_cu_rag *rag,
                     const dk_cu_place *a);

typedef struct dk_cu_attend {
    uint32_t n_heads, n_kv, hd;
    float scale, softcap;
    uint32_t window;
    const float *qkv;
    float *out;
    float *k_cache, *v_cache;       /* NULL: none */
    uint32_t n_slots, capacity;
    int bf16;       /* products inside attention may round their operands to bf16 (sums stay f32) */
} dk_cu_attend;
/* Appends keys and values of the batch to the cache; before attend_rows.  hd is even
 * and at most 256, else attention is refused (cudaErrorInvalidValue). */
int dk_cu_cache_put(dk_cu_stream s, const dk_cu_rag *rag, const dk_cu_attend *a);
int dk_cu_attend_rows(dk_cu_stream s, const dk_cu_rag *rag, const dk_cu_attend *a);
/* Lanes 1 .. as differences to lane 0 (num/kernel_attdiff.c); f32 throughout. */
int dk_cu_attend_diff(dk_cu_stream s, const dk_cu_rag *rag, const dk_cu_attend *a);

/* t [m, rp] = x [m, ldx] at [k, rp];  y [m, ldy] += scale t [m, r of ldt] bt [r, n]. */
int dk_cu_lowrank_in(dk_cu_stream s, float *t, const float *x, size_t ldx, const float *at, size_t m, size_t k, size_t rp);
int dk_cu_lowrank_out(dk_cu_stream s, float *y, size_t ldy, const float *t, size_t ldt, const float *bt, size_t m,
                      size_t r, size_t n, float scale);

/* --- of a head: whole rows of logits, [rows, vocab] ------------------------------
 * KL(p || q) of each row in nats as num/kernel_kl.h forms it, sums in double.
 * d: p - q where that is known by itself (p then is not read), else NULL.
 * Excluded ids (-inf) as there.
 * From the same reading logp of next[row] (no id: NaN) under p and q, where they
 * are not NULL. */
int dk_cu_kl_logp(dk_cu_stream s, float *kl, float *logp_p, float *logp_q, const float *p, const float *q,
                  const float *d, const uint32_t *next, float inv_t, size_t rows, size_t vocab);
int dk_cu_logp(dk_cu_stream s, float *logp, const float *p, const uint32_t *next, float inv_t, size_t rows, size_t vocab);
/* The k largest (end 0) or smallest (end 1) of p - q (q NULL: of p), sorted as
 * dk_eye says: id and value [rows, k].  k <= 1024.
 * Where fewer than k are numbers, id 0 and NaN follow. */
int dk_cu_topk(dk_cu_stream s, uint32_t *id, float *value, const float *p, const float *q, int end, size_t k,
               size_t rows, size_t vocab);
/* Both ends from one reading. */
int dk_cu_topk_both(dk_cu_stream s, uint32_t *top_id, float *top, uint32_t *bottom_id, float *bottom, const float *p,
                    const float *q, size_t k, size_t rows, size_t vocab);
/* Adds to [vocab]: sums of p - q over the rows in units of 2^-30, how many are
 * above 0; sets *bad where one is NaN or not below 2^20.  q NULL: of p. */
int dk_cu_vocab_sums(dk_cu_stream s, int64_t *sum, int32_t *positive, int *bad, const float *p, const float *q,
                     size_t rows, size_t vocab);
/* count [vocab] += how often each id stands in id [n]; ids are below vocab. */
int dk_cu_count(dk_cu_stream s, int64_t *count, const uint32_t *id, size_t n);
/* logp [rows, k] = value - ln sum exp p, p [rows, vocab]. */
int dk_cu_less_lse(dk_cu_stream s, float *value, size_t k, const float *p, size_t rows, size_t vocab);

/* One token of each of n picks (dk_pick) from logits [.., vocab]; penalised ids are seen .. seen + n_seen - 1
 * of ids, each once and below vocab. */
enum { DK_CU_ALONE = 0xFFFFFFFF };
typedef struct dk_cu_pick {
    uint32_t row, base;             /* base DK_CU_ALONE: not amplified */
    uint32_t seen, n_seen;
    uint32_t carried, no_end;
    float alpha, penalty;
    double log_beta, temperature, top_p, min_p, uniform;
    uint64_t top_k;                 /* 0: off */
} dk_cu_pick;
typedef struct dk_cu_picked { uint32_t id, bad; float logp[3]; } dk_cu_picked;  /* logp as DK_LOGP_BASE ... */
int dk_cu_choose(dk_cu_stream s, dk_cu_picked *out, const dk_cu_pick *pick, size_t n, float *logits, size_t vocab,
                 const uint32_t *ids, const uint32_t *end, size_t n_end);

/* --- statistics ------------------------------------------------------------------
 * Exact sums as num/exact.h forms them, with the same bits. */
typedef __int128 dk_cu_exact;
/* Columns of each of n_docs documents, [n_docs, width]; rows of document k are
 * doc[k] .. doc[k + 1] - 1 of x.  One without rows has zeros. */
typedef struct dk_cu_doc_sums {
    dk_cu_exact *sum, *sumsq;
    float *min, *max;
    double *rounded;                /* sum; NULL: not wanted */
} dk_cu_doc_sums;
int dk_cu_doc_sums_of(dk_cu_stream s, const dk_cu_doc_sums *to, const float *x, const uint32_t *doc, size_t n_docs,
                      size_t width);
/* Adds them to [width], with the documents' means and the squares of these; min and max are
 * NaN before the first. */
typedef struct dk_cu_column_sums {
    dk_cu_exact *sum, *sumsq, *doc_mean, *doc_mean_sq;
    float *min, *max;
} dk_cu_column_sums;
int dk_cu_add_docs(dk_cu_stream s, const dk_cu_column_sums *to, const dk_cu_doc_sums *from, const uint32_t *doc,
                   size_t n_docs, size_t width);
/* sum [n_pos, width]: row p of the rows list[first[p]] .. list[first[p + 1] - 1] of x. */
int dk_cu_pos_sums(dk_cu_stream s, dk_cu_exact *sum, const float *x, const uint32_t *first, const uint32_t *list,
                   size_t n_pos, size_t width);
/* out [rows, 4] in the order of DK_ROW_OWN ...; base, diff may be NULL. */
int dk_cu_row_products(dk_cu_stream s, double *out, const float *own, const float *base, const float *diff, size_t rows,
                       size_t width);
/* c [d, d] += x^T x of x [n, d], in double, on and above the diagonal. */
int dk_cu_scatter(dk_cu_stream s, double *c, const float *x, size_t n, size_t d);

#ifdef __cplusplus
}
#endif
#endif
