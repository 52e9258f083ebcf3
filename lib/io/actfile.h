/* Activation files (.act.h5) and streams: rows of activations beside the tokens
 * they belong to, one dataset for each layer, site and lane.
 *
 *   /acts/L14/resid_post/base       the base
 *   /acts/L14/resid_post/ft         the finetune
 *   /acts/L14/resid_post/diff       ft - base, subtracted in f32, rounded once
 * A further lane NAME stands under NAME, its difference under diff.NAME.
 *
 * A lane beside the base may be stored as a delta: what its bf16 bits are away
 * from the base's, in the order of the numbers.  That is lossless and small
 * where the two are close. */
#ifndef DK_IO_ACTFILE_H
#define DK_IO_ACTFILE_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "io/h5meta.h"
#include "io/tokfile.h"

/* Strings are borrowed by the writer, owned by the reader. */
typedef struct dk_act_info {
    int layer;                      /* 0-based block */
    const char *site;               /* "resid_pre", "resid_post", "attn_out", "mlp_out" */
    const char *what;               /* "base", "ft", "diff", NAME, "diff.NAME" */
    const char *computed_in;        /* "f32", "bf16": the matrix products behind it */
    const char *arith;              /* "plain", "difference"; NULL: not said */
    dk_h5_type dtype;               /* of the values: DK_H5_BF16, DK_H5_F16, DK_H5_F32 */
    bool delta;                     /* stored as a delta to the base of its layer and site; bf16 */
    size_t d;
    float scale;                    /* times it: the model's units; the writer's is 1 */
    double norm_rms;                /* root mean square of row norms, of what is stored; of a stream NaN */
} dk_act_info;

/* DK_H5_NONE: no such dtype.  The names are "bf16", "f16", "f32". */
dk_h5_type dk_act_dtype(const char *name);

/* The root's features_required of files with deltas. */
#define DK_ACT_DELTA "ft_delta"
/* The distance of two bf16 numbers counted in bf16 numbers, zig-zag: 0, -1, 1, -2, ... */
uint16_t dk_act_delta(uint16_t bits, uint16_t base);
uint16_t dk_act_undelta(uint16_t delta, uint16_t base);
char *dk_act_path(const dk_act_info *a);    /* in the file; dk_free it */

/* --- writing --------------------------------------------------------------
 * The rows of all datasets are appended together and written in chunks of a
 * fixed order, so that the file's bytes do not depend on the pieces they came
 * in, and memory does not depend on their number. */
typedef struct dk_acts_writer dk_acts_writer;

/* path "-": a stream on standard output.  deltas: there will be some. */
int dk_acts_new(dk_acts_writer **w, const char *path, const dk_tokens *t, bool deltas,
                const dk_provenance *prov, dk_err *err);
/* The root attribute "lanes" lists the names in the order of these calls. */
int dk_acts_add_model(dk_acts_writer *w, const char *name, const dk_model_info *m, dk_err *err);
/* Before the first rows, the base before its deltas.  All datasets of a file
 * have one d and one dtype. */
int dk_acts_add(dk_acts_writer *w, const dk_act_info *a, dk_err *err);
/* rows[dataset, in the order of dk_acts_add]: [n, d] each.  Values that are
 * not finite in the dtype of the store are an error. */
int dk_acts_append(dk_acts_writer *w, const float *const *rows, size_t n, dk_err *err);
/* Refuses datasets that miss rows; frees *w whatever the outcome. */
int dk_acts_commit(dk_acts_writer **w, dk_err *err);
void dk_acts_abandon(dk_acts_writer **w);

/* --- reading --------------------------------------------------------------
 * A stream ("-") is read in the order of the rows, those of all datasets side by
 * side: dk_acts_done lets go of what has been used, and dk_acts_finish must
 * have passed before a result is worth anything. */
typedef struct dk_acts dk_acts;

int dk_acts_open(dk_acts **a, const char *path, dk_err *err);
/* Of a file that is open; takes it over, also on failure. */
int dk_acts_from(dk_acts **a, dk_h5 **f, dk_err *err);
void dk_acts_close(dk_acts **a);
/* Borrowed until close. */
const dk_tokens *dk_acts_tokens(const dk_acts *a);
dk_h5 *dk_acts_file(dk_acts *a);
size_t dk_acts_n(const dk_acts *a);
const dk_act_info *dk_acts_at(const dk_acts *a, size_t i);      /* in byte order of the paths */
const dk_act_info *dk_acts_find(const dk_acts *a, int layer, const char *site, const char *what);
/* Rows first .. first + n in the model's units: out [n, d].  DK_ENUM where
 * they are not finite. */
int dk_acts_read(dk_acts *a, const dk_act_info *x, size_t first, size_t n, float *out, dk_err *err);
void dk_acts_done(dk_acts *a, size_t row);      /* no row before this one will be asked for */
int dk_acts_finish(dk_acts *a, dk_err *err);

#endif
