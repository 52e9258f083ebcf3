/* The inside of the CUDA device: shared by its files, by nobody else. */
#ifndef DK_BACKEND_CUDA_CUPRIV_H
#define DK_BACKEND_CUDA_CUPRIV_H

#include "backend/backend.h"
#include "backend/cuda/cult.h"
#include "backend/cuda/curt.h"
#include "backend/cuda/kernels.h"
#include "base/mem.h"

/* Page-locked host memory, and when the card has done with it. */
struct dk_cuda_pin { void *p; size_t room; cudaEvent_t done; bool queued; };

/* Memory of the card that grows with what is asked for and is kept. */
enum dk_cuda_room {
    DK_CUDA_RAG, DK_CUDA_ROWS, DK_CUDA_VECTOR, DK_CUDA_NEXT, DK_CUDA_TAP, DK_CUDA_LOGITS, DK_CUDA_RESULTS,
    DK_CUDA_ATTENDED, DK_CUDA_STATS, DK_CUDA_PICKS, DK_CUDA_N_ROOMS
};
struct dk_cuda_buf { void *p; size_t room; };

/* The one algorithm for products of a shape: see cuproduct.c. */
struct dk_cuda_plan { size_t n, k, align_x, align_y; dk_dtype dtype; bool small, found; dk_lt_algo algo; };

/* Room for a weight that lies in host memory (custream.c). */
struct dk_cuda_slot {
    void *d;
    size_t bytes;
    const dk_weight *holds;             /* NULL: nothing yet */
    cudaEvent_t here, done;             /* it has come; the product with it is done */
    bool multiplied;                    /* done has been recorded */
    uint64_t used;                      /* when, for the choice of the oldest */
};

/* Results of a head on their way (cuhead.c); head NULL: of none. */
struct head;
struct dk_cuda_later { struct dk_cuda_pin pin; struct head *head; };

enum { DK_CUDA_PINS = 2, DK_CUDA_SMALL_PINS = 8, DK_CUDA_LATER = 2 };

typedef struct dk_cuda {
    dk_dev dev;                         /* first */
    int card;
    char text[512];
    cudaStream_t stream;
    dk_err failed;                      /* of an op that could not say so */
    size_t total;                       /* bytes of the card */
    struct dk_cuda_pin pin[DK_CUDA_PINS], small[DK_CUDA_SMALL_PINS], results;
    size_t next_small;
    struct dk_cuda_later later[DK_CUDA_LATER];
    size_t next_later;
    struct dk_cuda_buf room[DK_CUDA_N_ROOMS];
    /* products */
    struct dk_lt lt;
    void *lt_handle, *workspace;        /* handle NULL: own kernels */
    struct dk_cuda_plan *plan;
    size_t n_plans;
    bool bf16;                          /* a weight in bf16 has been packed */
    /* weights in host memory */
    size_t stays;                       /* bytes of what is packed next that may stay on the card */
    cudaStream_t copies;                /* on which they come; NULL: there are none */
    struct dk_cuda_slot *slot;
    dk_weight **streamed, *last;        /* all of them; the one multiplied last */
    size_t n_slots, n_streamed;
    uint64_t clock;
    /* of a pass */
    dk_cu_rag rag;
    dk_dtype pass_dtype;
    size_t side_room;                   /* columns of packed rows for side paths */
    /* of choosing */
    dk_idset seen;                      /* of a context */
} dk_cuda;

static inline dk_cuda *dk_cuda_of(dk_dev *dev) { return (dk_cuda *)(void *)dev; }

/* 0 where code is; else an error that says what was being done.  It stays with
 * the device. */
int dk_cuda_check(dk_cuda *c, int code, const char *what, dk_err *err);
/* The same for ops that cannot report. */
void dk_cuda_note(dk_cuda *c, int code, const char *what);
/* What an earlier op had to say; that it lacked memory is said once. */
int dk_cuda_ready(dk_cuda *c, dk_err *err);

/* cumem.c */
int dk_cuda_alloc(dk_dev *dev, void **d, size_t bytes, const char *what, dk_err *err);
void dk_cuda_release(dk_dev *dev, void *d);
int dk_cuda_put(dk_dev *dev, void *d, const void *host, size_t bytes, dk_err *err);
int dk_cuda_get(dk_dev *dev, void *host, const void *d, size_t bytes, dk_err *err);
void dk_cuda_copy(dk_dev *dev, void *d, const void *from, size_t bytes);
void dk_cuda_zero(dk_dev *dev, void *d, size_t bytes);
int dk_cuda_share(dk_dev *dev, const float **d, const float *host, size_t n, dk_err *err);
void dk_cuda_unshare(dk_dev *dev, const float *d);
int dk_cuda_sync(dk_dev *dev, dk_err *err);
void dk_cuda_memory(dk_dev *dev, size_t *avail, size_t *total);
void dk_cuda_memory_end(dk_cuda *c);
/* At least so many bytes; what they held is gone where they had to grow. */
int dk_cuda_room(dk_cuda *c, void *d, enum dk_cuda_room which, size_t bytes, const char *what, dk_err *err);
/* No less: what grows step by step is then seldom asked for again. */
static inline size_t dk_cuda_ample(size_t bytes)
{
    size_t n = 4096;

    while (n < bytes)
        n *= 2;
    return n;
}
/* Pinned memory of at least so many bytes that no copy uses any more. */
int dk_cuda_pin_take(dk_cuda *c, struct dk_cuda_pin *pin, size_t bytes, dk_err *err);
/* The copies queued until now use it. */
int dk_cuda_pin_mark(dk_cuda *c, struct dk_cuda_pin *pin, dk_err *err);
/* A few values, queued: host may change at once. */
int dk_cuda_send(dk_cuda *c, void *d, const void *host, size_t bytes, dk_err *err);

/* cuproduct.c, cuweight.c */
void dk_cuda_products_begin(dk_cuda *c, dk_buf *text);
void dk_cuda_products_end(dk_cuda *c);
/* y [m, ldy] = x [m, ldx] W^T over cols columns, x in the dtype of W. */
int dk_cuda_multiply(dk_cuda *c, float *y, size_t ldy, const void *x, size_t ldx, size_t m, const dk_weight *w,
                     size_t cols, dk_err *err);
/* A side path that a weight has columns for (cuproject.c): whose, and A [rp, k] in bf16. */
struct dk_cuda_side {
    const float *at, *bt[DK_LOWRANK_PARTS];
    float scale[DK_LOWRANK_PARTS];
    size_t n_parts;
    void *a;
};
struct dk_weight {
    size_t n, k;                        /* first */
    size_t ld;                          /* values from row to row; bf16: zeros or side paths behind k */
    dk_dtype dtype;
    void *d;
    void *host;                         /* page-locked, instead of d; NULL: it is on the card */
    dk_weight *next;                    /* of those in host memory: which followed it last time */
    struct dk_cuda_side *side;
    size_t n_sides, side_at;            /* side_at: their first column */
};
static inline size_t dk_cuda_weight_bytes(const dk_weight *w) { return w->n * w->ld * (w->dtype == DK_BF16 ? 2 : 4); }
void dk_cuda_weight_drop_sides(dk_dev *dev, dk_weight *w);
int dk_cuda_project(dk_dev *dev, const dk_project_args *a, dk_err *err);
/* Packed rows of k values: bf16, so many from row to row, zeros behind k; 0: they
 * are f32 as ever. */
size_t dk_cuda_packed_ld(const dk_cuda *c, size_t k);
size_t dk_cuda_side_room(size_t width);
struct dk_lhs {
    size_t m, k, ld, max_rows, max_k;
    dk_dtype dtype;
    const void *x;                      /* d: f32 as given, or data */
    void *data;                         /* bf16 */
};
int dk_cuda_weight_pack(dk_dev *dev, dk_weight **out, size_t n, size_t k, dk_dtype dtype, dk_row_source *src,
                        void *arg, dk_err *err);
void dk_cuda_weight_free(dk_dev *dev, dk_weight **w);
int dk_cuda_lhs_new(dk_dev *dev, dk_lhs **out, size_t max_rows, size_t max_k, dk_dtype dtype, dk_err *err);
void dk_cuda_lhs_free(dk_dev *dev, dk_lhs **x);
void dk_cuda_lhs_set(dk_dev *dev, dk_lhs *lhs, const float *x, size_t ldx, size_t m, size_t k);
int dk_cuda_product(dk_dev *dev, float *y, size_t ldy, const dk_lhs *lhs, const dk_weight *w, dk_err *err);
const char *dk_cuda_kernel(dk_dev *dev, const dk_weight *w);

/* custream.c */
void dk_cuda_stay(dk_dev *dev, size_t bytes);
/* Whether a weight of so many bytes stays; counts it. */
bool dk_cuda_stays(dk_cuda *c, size_t bytes);
/* Host memory for a weight, which is then one of those that come when needed. */
int dk_cuda_stream_new(dk_cuda *c, dk_weight *w, dk_err *err);
void dk_cuda_stream_drop(dk_cuda *c, dk_weight *w);
/* *d: where it will be when the stream comes to what is queued next; the ones behind it are
 * asked for too.  dk_cuda_fetched: what is queued now is the last that reads it. */
int dk_cuda_fetch(dk_cuda *c, const dk_weight *w, void **d, dk_err *err);
int dk_cuda_fetched(dk_cuda *c, const dk_weight *w, dk_err *err);
/* To the card as a weight that stays (w->d), to be changed there, and back. */
int dk_cuda_bring(dk_cuda *c, dk_weight *w, dk_err *err);
int dk_cuda_take_back(dk_cuda *c, dk_weight *w, dk_err *err);
void dk_cuda_stream_end(dk_cuda *c);

/* cuhead.c */
int dk_cuda_head(dk_dev *dev, const dk_head_args *a, dk_err *err);
int dk_cuda_heads_wait(dk_cuda *c, dk_err *err);
void dk_cuda_heads_end(dk_cuda *c);     /* what has not been handed over is lost */

/* cuchoose.c */
int dk_cuda_choose(dk_dev *dev, const dk_choose_args *a, dk_err *err);

/* custats.c */
int dk_cuda_row_sums(dk_dev *dev, const dk_row_sums *a, dk_err *err);
int dk_cuda_row_products(dk_dev *dev, double *out, const float *own, const float *base, const float *diff, size_t rows,
                         size_t width, dk_err *err);
int dk_cuda_scatter(dk_dev *dev, double *c, const float *x, size_t n, size_t width, dk_err *err);

/* cuops.c: all of them. */
extern const dk_ops dk_cuda_ops;

#endif
