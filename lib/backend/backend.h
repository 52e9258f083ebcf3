/* Devices: one op table each, the same for the CPU and for what is loaded at run
 * time.  The forward pass (lib/model) is written once, in these ops.
 *
 * Pointers marked d are memory of the device: on the CPU plain memory, elsewhere
 * nothing that the host may follow.  Matrices are f32, row-major, without gaps
 * unless a leading dimension is named.  Rows of lane l of a batch of R rows are
 * rows l R .. (l + 1) R - 1.
 *
 * Packed: what an op writes for project alone may have the device's own form
 * (rounded, with room for side paths), in memory meant for f32 rows of the same
 * width and as many as were asked for with padded_rows.
 *
 * Ops are done in call order.  Those that return nothing may fail later: the
 * error stays with the device, and the next op that returns int reports it.
 * get, tap and the sums of rows wait until what they give is there; what the eyes of
 * a head want is there after sync, and until then the memory for it has to stay. */
#ifndef DK_BACKEND_BACKEND_H
#define DK_BACKEND_BACKEND_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "backend/product.h"
#include "backend/visitor.h"
#include "base/err.h"
#include "num/dtype.h"
#include "num/amplify.h"
#include "num/exact.h"
#include "num/sample.h"

typedef struct dk_dev dk_dev;

/* The tokens of a pass: host arrays, copied by begin(). */
typedef struct dk_rag {
    size_t n_lanes, rows, n_seq;    /* rows of one lane */
    const size_t *offset;           /* [n_seq + 1]: first row of each sequence */
    const size_t *pos;              /* [rows]: position in the sequence */
    const size_t *past;             /* [n_seq]: tokens of it that the cache holds; NULL: no cache */
    const size_t *slot;             /* [n_seq]: its slot in the cache */
    dk_dtype dtype;                 /* of the weights */
    size_t side_width;              /* the largest sum of low-rank widths that a project op will have */
    bool steps;                     /* rows are steps of decoding: attention of one by itself may have other bits than
                                     * that of the same row amid a prompt */
} dk_rag;

/* RMSNorm, or LayerNorm where b is there; w [width], b [width]: d. */
typedef struct dk_norm_args { const float *w, *b; double eps; } dk_norm_args;

typedef enum dk_act_form {
    DK_ACT_SILU_GATE, DK_ACT_GELU_GATE,     /* y = act(x[0 .. n)) x[n .. 2n) */
    DK_ACT_SILU_PLAIN, DK_ACT_GELU_PLAIN    /* y = act(x) */
} dk_act_form;

/* Queries and keys of rows [(n_heads + 2 n_kv) hd], in place: normed head by
 * head where q_norm.w is there, then rotated where cosines is there. */
typedef struct dk_place_args {
    size_t n_heads, n_kv, hd;
    dk_norm_args q_norm, k_norm;
    const float *cosines, *sines;   /* d [positions, hd / 2]; NULL: no rotation */
} dk_place_args;

/* Causal attention of all lanes of the batch. */
typedef struct dk_attend_args {
    size_t n_heads, n_kv, hd;
    float scale, softcap;           /* softcap 0: none */
    size_t window;                  /* a query sees the last so many keys; 0: all */
    const float *qkv;               /* d [lanes R, (n_heads + 2 n_kv) hd] */
    float *out;                     /* d [lanes R, n_heads hd] */
    /* The cache of this layer, d [lane][slot][capacity][n_kv hd]; NULL: none.  The
     * keys and values of the batch are appended first, behind past[] tokens. */
    float *k_cache, *v_cache;
    size_t n_slots, capacity;
    bool diff;                      /* lanes 1 .. are differences to lane 0, in qkv, in caches and in out */
    bool packed;                    /* out is for project */
} dk_attend_args;

/* A low-rank side path: y [m, ldy] += for each part: scale * (x At)[t0 .. t0 + r) bt,
 * columns col0 .. col0 + n. */
enum { DK_LOWRANK_PARTS = 3 };
typedef struct dk_lowrank_part { size_t r, t0, col0, n; float scale; const float *bt; } dk_lowrank_part;    /* bt: d [r, n] */
typedef struct dk_lowrank_args {
    size_t m, k, rp, n_parts;       /* rp: a multiple of 8 */
    const float *at;                /* d [k, rp] */
    dk_lowrank_part part[DK_LOWRANK_PARTS];
    float *t;                       /* d [m, rp]: scratch */
} dk_lowrank_args;

/* y [m, n] = x [m, k] w^T + bias, then the side paths of some rows.  bias, plus may be
 * NULL.  What a product writes beyond m rows: see padded_rows. */
typedef struct dk_side_rows {
    size_t row0;                    /* of x and y; low.m of them */
    const float *plus;              /* d [low.m, k], packed as x is: added to x for the side path */
    dk_lowrank_args low;
} dk_side_rows;
typedef struct dk_project_args {
    float *y;
    const float *x;
    size_t m, n, k, bias_rows, n_sides; /* the bias is for the first so many rows */
    const dk_weight *w;
    const float *bias;
    const dk_side_rows *side;
    dk_lhs *lhs;                    /* room for x */
    float *whole;                   /* d: room for x + plus */
    bool packed;                    /* x was written so */
} dk_project_args;

/* Logits of normed rows x, tile by tile, through the visitors. */
typedef struct dk_head_args {
    size_t n_lanes, rows, stride, d, vocab;     /* lane l: rows l stride .. l stride + rows - 1 of x */
    const float *x;                 /* d [n_lanes stride, d] */
    const dk_weight *const *w;      /* [lane] */
    float softcap;                  /* 0: none */
    bool diff;                      /* lanes 1 .. are differences to lane 0 */
    const dk_visitor *visitor;
    size_t n_visitors;
} dk_head_args;

/* Rows of whole documents, one behind the other, whose sums are added to what
 * the host has: exact ones (num/exact.h), so that it does not matter where they are
 * formed.  Values are finite and below 2^24. */
typedef struct dk_row_sums {
    const float *x;                 /* d [rows, width] */
    size_t width, n_docs;
    const size_t *doc;              /* [n_docs + 1]: first row of each, from 0 */
    const uint32_t *pos;            /* [rows]: position in the document */
    dk_exact *sum, *sumsq;          /* [width]: of values, of their squares */
    dk_exact *doc_mean, *doc_mean_sq;   /* [width], over documents that have rows: of their means, of the squares of these */
    float *min, *max;               /* [width] */
    bool first;                     /* nothing is in min and max yet */
    size_t n_pos;
    dk_exact *pos_sum;              /* [n_pos, width]: of values of rows with that position */
    double *doc_sum;                /* set, [n_docs, width], where there are rows: of each document; or NULL */
} dk_row_sums;

/* Sums over the values of a row, in double and in their order: own own, base base,
 * own base, e e, e the difference: diff, or own - base in f32 where it is NULL. */
enum { DK_ROW_OWN, DK_ROW_BASE, DK_ROW_BOTH, DK_ROW_DIFF, DK_ROW_PRODUCTS };

/* The next token from a row of logits, as num/sample.h has it: repetition penalty, end ids, temperature and what
 * follows.  Amplified, from what num/amplify.h makes of the row and its base's: the log-probabilities of the row are
 * those it has before end ids are kept out, and nothing is penalised. */
enum { DK_PICK_LISTS = 2 };
typedef struct dk_pick {
    size_t row;                     /* its logits, or (carried) what is added to the base's; no other pick reads them */
    size_t base;                    /* amplified: the base's row, or row itself: the base alone */
    bool amplified, carried;
    bool no_end;                    /* end ids are kept out */
    double alpha, beta;
    dk_sampling how;
    double uniform;                 /* in [0, 1) */
    const uint32_t *seen[DK_PICK_LISTS];    /* host: the ids that are penalised; any may come again */
    size_t n_seen[DK_PICK_LISTS];
    /* What was chosen: */
    bool bad;                       /* NaN, +infinity or nothing else than -infinity was found; the rest is not set */
    uint32_t id;
    float logp[DK_N_LOGP];          /* amplified */
} dk_pick;
typedef struct dk_choose_args {
    float *logits;                  /* d [.., vocab]; rows of picks may be changed */
    size_t vocab;
    dk_pick *pick;
    size_t n;
    const uint32_t *end;            /* host */
    size_t n_end;
} dk_choose_args;

typedef struct dk_ops {
    const char *name;               /* "cpu", "cuda" */
    bool host;                      /* d is memory of the host */
    /* One line for people: the card and its memory. */
    const char *(*describe)(dk_dev *dev);
    void (*close)(dk_dev *dev);
    /* Memory.  alloc: d, not cleared, aligned to 256 bytes; what: for the message. */
    int (*alloc)(dk_dev *dev, void **d, size_t bytes, const char *what, dk_err *err);
    void (*release)(dk_dev *dev, void *d);      /* NULL is allowed */
    int (*put)(dk_dev *dev, void *d, const void *host, size_t bytes, dk_err *err);
    int (*get)(dk_dev *dev, void *host, const void *d, size_t bytes, dk_err *err);
    void (*copy)(dk_dev *dev, void *d, const void *from, size_t bytes);     /* d to d */
    void (*zero)(dk_dev *dev, void *d, size_t bytes);
    /* Constants: what the device reads of host memory that does not change before
     * unshare (the CPU: the memory itself). */
    int (*share)(dk_dev *dev, const float **d, const float *host, size_t n, dk_err *err);
    void (*unshare)(dk_dev *dev, const float *d);   /* NULL is allowed */
    int (*sync)(dk_dev *dev, dk_err *err);
    /* Free and whole memory in bytes; 0: not known. */
    void (*memory)(dk_dev *dev, size_t *avail, size_t *total);

    /* Products, as backend/product.h describes them; x and y: d. */
    int (*weight_pack)(dk_dev *dev, dk_weight **out, size_t n, size_t k, dk_dtype dtype, dk_row_source *src,
                       void *arg, dk_err *err);
    void (*weight_free)(dk_dev *dev, dk_weight **w);
    /* Of the weights that are packed from now on so many bytes stay in the device's memory; the others
     * lie in the host's and come when they are multiplied.  SIZE_MAX, as at first: all stay. */
    void (*stay)(dk_dev *dev, size_t bytes);
    int (*lhs_new)(dk_dev *dev, dk_lhs **out, size_t max_rows, size_t max_k, dk_dtype dtype, dk_err *err);
    void (*lhs_free)(dk_dev *dev, dk_lhs **x);
    void (*lhs_set)(dk_dev *dev, dk_lhs *lhs, const float *x, size_t ldx, size_t m, size_t k);
    int (*product)(dk_dev *dev, float *y, size_t ldy, const dk_lhs *lhs, const dk_weight *w, dk_err *err);
    const char *(*kernel)(dk_dev *dev, const dk_weight *w);     /* what multiplies it, for people */
    size_t (*padded_rows)(dk_dev *dev, size_t m);   /* rows that y must have room for */
    size_t (*head_rows)(dk_dev *dev, size_t m);     /* stride of a head's lanes of m rows */

    /* y [n, k] = rows of a weight (with its rounding): false where they cannot be had. */
    bool (*rows_of)(dk_dev *dev, float *y, const dk_weight *w, const uint32_t *rows, size_t n);     /* rows: host */
    /* Where packed rows of a width have row number row. */
    float *(*packed_row)(dk_dev *dev, float *y, size_t row, size_t width);

    /* Of a pass; what follows means its batch. */
    int (*begin)(dk_dev *dev, const dk_rag *rag, dk_err *err);
    void (*gather)(dk_dev *dev, float *y, const float *x, const size_t *rows, size_t n, size_t width);  /* rows: host */
    /* x += add (where it is there), then y = norm(x) (where y is there). */
    void (*add_norm)(dk_dev *dev, float *y, float *x, const float *add, const dk_norm_args *norm, size_t rows,
                     size_t width, bool packed);
    /* dx += dadd, then dy = norm(x + dx) - norm(x), formed without subtracting (RMSNorm only). */
    void (*add_norm_diff)(dk_dev *dev, float *dy, const float *x, float *dx, const float *dadd,
                          const dk_norm_args *norm, size_t rows, size_t width, bool packed);
    int (*project)(dk_dev *dev, const dk_project_args *a, dk_err *err);
    /* n_lanes lanes of the batch from x on; base: NULL, or (x is differences) the
     * rows of lane 0, not yet placed. */
    void (*place)(dk_dev *dev, float *x, const float *base, size_t n_lanes, const dk_place_args *a);
    int (*attend)(dk_dev *dev, const dk_attend_args *a, dk_err *err);
    /* y [rows, n]; base NULL, or (x is differences, of a gate) what they are to, [rows, 2 n]. */
    void (*act)(dk_dev *dev, dk_act_form form, float *y, const float *x, const float *base, size_t rows, size_t n,
                bool packed);
    void (*sum)(dk_dev *dev, float *y, const float *a, const float *b, float sign, size_t n);   /* y = a + sign b; y may be a */
    /* cap tanh(x / cap); base NULL, or (x is differences) what they are to, capped. */
    void (*softcap)(dk_dev *dev, float *x, const float *base, size_t n, float cap);
    /* Adds strength * v (host, [d]) to n_rows rows of x. */
    void (*edit)(dk_dev *dev, float *x, const float *v, float strength, size_t n_rows, size_t d);
    /* host = a, or a + sign b where b is there; n values. */
    int (*tap)(dk_dev *dev, float *host, const float *a, const float *b, float sign, size_t n, dk_err *err);
    int (*head)(dk_dev *dev, const dk_head_args *a, dk_err *err);
    /* Waits until the picks are there. */
    int (*choose)(dk_dev *dev, const dk_choose_args *a, dk_err *err);

    /* Statistics of rows. */
    int (*row_sums)(dk_dev *dev, const dk_row_sums *a, dk_err *err);
    /* out (host) [rows, DK_ROW_PRODUCTS]; base NULL: DK_ROW_OWN alone, the others are 0. */
    int (*row_products)(dk_dev *dev, double *out, const float *own, const float *base, const float *diff, size_t rows,
                        size_t width, dk_err *err);
    /* c d [width, width] += x^T x of x d [n, width] on and above the diagonal (below it: anything), in
     * double, rows in order; n 0 tells whether it can be done. */
    int (*scatter)(dk_dev *dev, double *c, const float *x, size_t n, size_t width, dk_err *err);
} dk_ops;

struct dk_dev { const dk_ops *ops; };     /* what else a device has stands behind it */

/* The device of this process: the CPU until another is selected. */
dk_dev *dk_device(void);
/* "cpu", "cuda", "auto"; before any model is loaded.  "auto" is the CPU where
 * there is nothing else, with one line at -v; "cuda" fails with the reason. */
int dk_device_select(const char *name, dk_err *err);

/* The CPU's table (cpu.c). */
dk_dev *dk_cpu_device(void);

/* What the shared object of a device exports as "dk_backend_open": fills *out or
 * gives the reason.  abi: DK_BACKEND_ABI of the program that loads it, which changes
 * when the table grows; what changes in any other way needs another number here. */
enum { DK_BACKEND_ABI = 1000 * 1 + (int)(sizeof(dk_ops) / sizeof(void *)) };
typedef int dk_backend_open_fn(dk_dev **out, int abi, dk_err *err);

#endif
