/* What several file kinds share: the list of inputs in the provenance, the
 * groups under /models, and the lineage that a file tells about itself. */
#ifndef DK_IO_H5META_H
#define DK_IO_H5META_H

#include <stdbool.h>

#include "base/err.h"
#include "base/mem.h"
#include "io/h5.h"

/* --- inputs: a JSON list, built entry by entry ---------------------------- */
/* Zero-initialise, add, end; s is then what dk_provenance.inputs_json wants. */
void dk_inputs_add(dk_buf *list, const char *role, const char *path, const char *sha256,
                   uint64_t bytes);
/* The same for a file that is there: it is hashed.  "-" and pipes: only a name. */
int dk_inputs_add_file(dk_buf *list, const char *role, const char *path, dk_err *err);
/* A ready object: the lineage of a dk file (dk_h5_lineage, dk_tokens.lineage). */
void dk_inputs_add_object(dk_buf *list, const char *object);
void dk_inputs_end(dk_buf *list);       /* an empty list is "[]" */

/* One JSON object about an open file: {"role", "content_id", "writer",
 * "inputs": its own list}.  So files carry their tree; a stream, which has no
 * name, gives the same. */
int dk_h5_lineage(dk_h5 *f, const char *role, dk_buf *out, dk_err *err);

/* --- models: /models/NAME ------------------------------------------------- */
/* NULL strings are written as "".  kind: "full", "lora", "none"; "base" for
 * the base model.  dtype: what the products were computed in.
 * backend: on which device, where that was not the CPU; else NULL. */
typedef struct dk_model_info {
    const char *arch, *kind, *dtype, *backend;
    uint32_t n_layers, d_model, vocab;
    const char *weights_sha256, *tokenizer_sha256, *template_sha256;
    const char *adapter_sha256;
    uint32_t adapter_rank;
    double adapter_scale;
} dk_model_info;

/* name: letters, digits, '.', '_', '-'. */
bool dk_lane_name_ok(const char *name);
int dk_lane_name_check(const char *name, dk_err *err);
int dk_h5_put_model(dk_h5 *f, const char *name, const dk_model_info *m, dk_err *err);
/* Strings are owned by *m: dk_model_info_free. */
int dk_h5_get_model(dk_h5 *f, const char *name, dk_model_info *m, dk_err *err);
void dk_model_info_free(dk_model_info *m);
/* All of /models of a file that is read into one that is made. */
int dk_h5_copy_models(dk_h5 *to, dk_h5 *from, dk_err *err);

#endif
