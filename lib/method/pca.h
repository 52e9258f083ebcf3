/* Principal components of a lane's rows: what changes together. */
#ifndef DK_METHOD_PCA_H
#define DK_METHOD_PCA_H

#include "backend/pcafit.h"
#include "base/mem.h"
#include "io/actfile.h"
#include "io/dirfile.h"
#include "io/statfile.h"

typedef struct dk_pca_job {
    const char *what;               /* base, ft, diff, NAME, diff.NAME */
    bool negate;                    /* rows times -1 */
    bool whiten;                    /* in the base's measure; of statistics alone */
    size_t skip;                    /* rows left out at the start of each document */
    uint64_t max_rows;              /* of all files, shared out by their lengths; 0: no limit */
    const int64_t *layer;           /* only these; n_layers 0: all */
    size_t n_layers;
    bool halves;                    /* also of two halves of the documents; of rows alone */
    uint64_t seed;                  /* of the halves */
    dk_pca_plan plan;
} dk_pca_job;

enum { DK_PCA_HALVES = 5 };         /* components whose halves are compared */


/* Of one layer and site. */
typedef struct dk_pca_place {
    int layer;
    char *site, *what;
    bool negated, whitened, uncentred;
    dk_pca pca;
    double halves[DK_PCA_HALVES];   /* cosine of a component of one half to the other's first five, in the
                                     * mean of both ways; NaN: not known */
} dk_pca_place;

/* Of this place, with no components yet. */
dk_pca_place dk_pca_place_of(int layer, const char *site, const dk_pca_job *job);
/* Of all files (or one stream) together, in the order of the first one's paths.
 * Free each place, then the list. */
int dk_pca_of(dk_pca_place **out, size_t *n, dk_acts *const *files, size_t n_files, const dk_pca_job *job, dk_err *err);
/* The same of statistics files, each with the products of these rows. */
int dk_pca_of_stats(dk_pca_place **out, size_t *n, const dk_statistics *const *s, const char *const *path, size_t n_files,
                    const dk_pca_job *job, dk_err *err);
void dk_pca_places_free(dk_pca_place *p, size_t n);

/* As directions pc_0, pc_1, ... with mean and variances beside them.  corpus NULL: several. */
int dk_pca_write(const dk_pca_place *p, size_t n, dk_h5 *from, const dk_tokens *corpus, const char *path,
                 const dk_provenance *prov, dk_err *err);
/* One line a component (fields: dk-formats(5)). */
void dk_pca_table(dk_buf *out, const dk_pca_place *p, size_t n, const char *dataset);

#endif
