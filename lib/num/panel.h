/* Matrix products over panels: W's rows sixteen by sixteen, turned so that the
 * values of a column lie side by side, [k][16], as f32 or as bf16.
 *
 * Every sum runs over k from the first to the last: chains of DK_PANEL_RUN fused
 * multiply-adds (multiply, then add, where the CPU has no fused ones), one added
 * to the other, which rounds less than a single chain.  So a result's bits depend
 * neither on how rows and panels are cut into pieces nor on what lies beside them. */
#ifndef DK_NUM_PANEL_H
#define DK_NUM_PANEL_H

#include <stdbool.h>
#include <stddef.h>

/* Columns of a panel; steps of k that are summed by themselves; steps for which a
 * panel stays in the nearest cache. */
enum { DK_PANEL = 16, DK_PANEL_RUN = 96, DK_PANEL_K = 3 * DK_PANEL_RUN };
/* Rows of one product, and what it wants of room for them. */
enum { DK_PANEL_ROWS = 96, DK_PANEL_WORK = DK_PANEL * (DK_PANEL_K + DK_PANEL_ROWS) };

/* The instructions in use: avx2 where asked for and there, else those that every
 * CPU has.  The name of what was chosen. */
const char *dk_panel_choose(bool avx2);
bool dk_cpu_avx512(void);       /* the subset that AVX-512 product kernels need */

static inline size_t dk_panel_count(size_t n) { return (n + DK_PANEL - 1) / DK_PANEL; }
/* Bytes of a panel. */
static inline size_t dk_panel_bytes(size_t k, bool narrow) { return DK_PANEL * k * (narrow ? 2 : 4); }

/* One panel from up to 16 rows of k values, k apart; rows that are not there
 * are zeros.  narrow: rounded to bf16.  False: a value is NaN or infinite. */
bool dk_panel_pack(void *panel, const float *in, size_t n_rows, size_t k, bool narrow);

/* The left side: tiles of dk_panel_tile() rows, the last one of what is left, each
 * [k][its rows], one behind the other; this lays out one, rounded to bf16 if asked. */
size_t dk_panel_tile(void);
void dk_panel_rows(float *out, const float *x, size_t ldx, size_t m, size_t k, bool round);

/* y [m, n columns, ldy] = x (so laid out) times the panels from w on.
 * m: at most DK_PANEL_ROWS; work: DK_PANEL_WORK floats. */
void dk_panel_product(float *y, size_t ldy, const float *x, size_t m, const void *w, size_t n, size_t k, bool narrow,
                      float *work);

#endif
