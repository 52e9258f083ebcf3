/* Activation files: writing. */
#include "io/actfile.h"

#include <math.h>
#include <string.h>

#include "num/half.h"

enum { PIECE_BYTES = 1 << 20, PIECE_ROWS = 65536 };

struct dataset {
    char *path;
    bool delta;
    size_t base;                    /* of a delta: which dataset it starts from */
    void *piece;                    /* [piece_rows, d] in the dtype of the store */
    double sumsq;
};

struct dk_acts_writer {
    dk_h5 *file;
    size_t rows, docs, done, fill;  /* done: written; fill: waiting in the pieces */
    size_t d, piece_rows;
    dk_h5_type dtype;
    dk_buf lanes;
    size_t n;
    struct dataset *set;
    bool begun;
};

static void release(dk_acts_writer **wp)
{
    dk_acts_writer *w = *wp;

    for (size_t i = 0; i < w->n; i++) {
        dk_free(w->set[i].path);
        dk_free(w->set[i].piece);
    }
    dk_free(w->set);
    dk_buf_free(&w->lanes);
    dk_h5_close(&w->file);
    dk_free(w);
    *wp = NULL;
}

/* bf16 bits as a number that grows with the value. */
static uint16_t ordered(uint16_t bits) { return bits & 0x8000 ? (uint16_t)~bits : (uint16_t)(bits | 0x8000); }
static uint16_t plain(uint16_t code) { return code & 0x8000 ? (uint16_t)(code & 0x7fff) : (uint16_t)~code; }

uint16_t dk_act_delta(uint16_t bits, uint16_t base)
{
    const uint16_t d = (uint16_t)(ordered(bits) - ordered(base));

    return (uint16_t)(d << 1 ^ (d & 0x8000 ? 0xffff : 0));
}

uint16_t dk_act_undelta(uint16_t delta, uint16_t base)
{
    const uint16_t d = (uint16_t)(delta >> 1 ^ (delta & 1 ? 0xffff : 0));

    return plain((uint16_t)(ordered(base) + d));
}

dk_h5_type dk_act_dtype(const char *name)
{
    return strcmp(name, "bf16") == 0 ? DK_H5_BF16 : strcmp(name, "f16") == 0 ? DK_H5_F16
         : strcmp(name, "f32") == 0 ? DK_H5_F32 : DK_H5_NONE;
}

int dk_acts_new(dk_acts_writer **out, const char *path, const dk_tokens *t, bool deltas,
                const dk_provenance *prov, dk_err *err)
{
    dk_acts_writer *w = dk_xcalloc(1, sizeof *w);
    int rc;

    w->rows = t->rows;
    w->docs = t->docs;
    if ((rc = dk_h5_create_with(&w->file, path, "dk-activations", deltas ? DK_ACT_DELTA : "", prov, err)) < 0 ||
        (rc = dk_tokens_put(w->file, t, err)) < 0)
        release(&w);
    *out = w;
    return rc;
}

int dk_acts_add_model(dk_acts_writer *w, const char *name, const dk_model_info *m, dk_err *err)
{
    int rc = dk_h5_put_model(w->file, name, m, err);

    if (rc == 0)
        dk_buf_addf(&w->lanes, "%s%s", w->lanes.n ? "," : "", name);
    return rc;
}

/* The chunk that the layer below gives such a dataset. */
static size_t piece_rows(size_t d, dk_h5_type dtype)
{
    const size_t row = d * dk_h5_type_size(dtype);
    size_t rows = PIECE_ROWS;

    while (rows > 1 && rows * row > PIECE_BYTES)
        rows /= 2;
    return rows;
}

static int put_attrs(dk_h5 *f, const char *path, const dk_act_info *a, dk_err *err)
{
    int rc;

    if ((rc = dk_h5_put_str(f, path, "encoding-type", a->delta ? "dk-rows-delta" : "dk-rows", err)) == 0 &&
        (rc = dk_h5_put_str(f, path, "encoding-version", "1.0", err)) == 0 &&
        (rc = dk_h5_put_int(f, path, "layer", DK_H5_I32, a->layer, err)) == 0 &&
        (rc = dk_h5_put_str(f, path, "site", a->site, err)) == 0 &&
        (rc = dk_h5_put_str(f, path, "what", a->what, err)) == 0 &&
        (rc = dk_h5_put_str(f, path, "dtype", dk_h5_type_name(a->dtype), err)) == 0 &&
        (rc = dk_h5_put_str(f, path, "rounding", a->dtype == DK_H5_F32 ? "none" : "rne", err)) == 0 &&
        (rc = dk_h5_put_str(f, path, "computed_in", a->computed_in, err)) == 0 &&
        (rc = a->arith ? dk_h5_put_str(f, path, "arith", a->arith, err) : 0) == 0)
        rc = dk_h5_put_real(f, path, "scale", DK_H5_F32, 1, err);
    return rc;
}

char *dk_act_path(const dk_act_info *a)
{
    return dk_xasprintf("/acts/L%02d/%s/%s", a->layer, a->site, a->what);
}

static size_t base_of(const dk_acts_writer *w, const dk_act_info *a)
{
    const dk_act_info like = { .layer = a->layer, .site = a->site, .what = "base" };
    char *path = dk_act_path(&like);
    size_t i = 0;

    while (i < w->n && strcmp(w->set[i].path, path) != 0)
        i++;
    DK_ASSERT(i < w->n && !w->set[i].delta && a->dtype == DK_H5_BF16);
    dk_free(path);
    return i;
}

int dk_acts_add(dk_acts_writer *w, const dk_act_info *a, dk_err *err)
{
    const uint64_t dim[2] = { 0, a->d };
    struct dataset s = { .delta = a->delta };
    int rc;

    DK_ASSERT(w->done == 0 && w->fill == 0 && a->d > 0);
    DK_ASSERT(w->n == 0 || (a->d == w->d && a->dtype == w->dtype));
    if ((rc = dk_lane_name_check(a->what, err)) < 0 || (rc = dk_lane_name_check(a->site, err)) < 0)
        return rc;
    s.path = dk_act_path(a);
    if (a->delta)
        s.base = base_of(w, a);
    w->d = a->d;
    w->dtype = a->dtype;
    w->piece_rows = piece_rows(a->d, a->dtype);
    if ((rc = dk_h5_dataset(w->file, s.path, a->delta ? DK_H5_U16 : a->dtype, 2, dim, err)) < 0 ||
        (rc = put_attrs(w->file, s.path, a, err)) < 0 ||
        (rc = dk_alloc(&s.piece, w->piece_rows * a->d, dk_h5_type_size(a->dtype), "a chunk of activations",
                       err)) < 0) {
        dk_free(s.path);
        return rc;
    }
    dk_h5_expect(w->file, s.path, w->rows);
    w->set = dk_xrealloc(w->set, (w->n + 1) * sizeof *w->set);
    w->set[w->n++] = s;
    return 0;
}

static int not_finite(const dk_acts_writer *w, const struct dataset *s, size_t row, float v, dk_err *err)
{
    if (isfinite(v))
        return dk_fail(err, DK_ENUM, "%s: %s, row %zu: %g is too large for %s; store bf16 or f32",
                       dk_h5_path(w->file), s->path, row, (double)v, dk_h5_type_name(w->dtype));
    return dk_fail(err, DK_ENUM, "%s: %s, row %zu: activations are NaN or infinite",
                   dk_h5_path(w->file), s->path, row);
}

/* n rows into the piece, from row w->fill on; of a delta those of its base are there. */
static int convert(dk_acts_writer *w, struct dataset *s, const float *x, size_t n, dk_err *err)
{
    const uint16_t *base = s->delta ? w->set[s->base].piece : NULL;
    const size_t d = w->d, at = w->fill * d;

    for (size_t r = 0; r < n; r++) {
        double sum = 0;

        for (size_t j = 0; j < d; j++) {
            const float v = x[r * d + j];
            float kept = v;

            if (w->dtype == DK_H5_F32) {
                ((float *)s->piece)[at + r * d + j] = v;
            } else {
                const uint16_t bits = w->dtype == DK_H5_BF16 ? dk_f32_bf16(v) : dk_f32_f16(v);

                ((uint16_t *)s->piece)[at + r * d + j] =
                    base ? dk_act_delta(bits, base[at + r * d + j]) : bits;
                kept = w->dtype == DK_H5_BF16 ? dk_bf16_f32(bits) : dk_f16_f32(bits);
            }
            if (!isfinite(kept))
                return not_finite(w, s, w->done + w->fill + r, v, err);
            sum += (double)kept * kept;
        }
        s->sumsq += sum;
    }
    return 0;
}

static int begin(dk_acts_writer *w, dk_err *err)
{
    int rc;

    if (w->begun)
        return 0;
    w->begun = true;
    rc = dk_h5_put_str(w->file, "/", "lanes", w->lanes.s ? w->lanes.s : "", err);
    return rc < 0 ? rc : dk_h5_begin(w->file, w->rows, w->docs, err);
}

static int write_pieces(dk_acts_writer *w, dk_err *err)
{
    int rc = begin(w, err);

    for (size_t i = 0; rc == 0 && i < w->n; i++)
        rc = dk_h5_append(w->file, w->set[i].path, w->set[i].piece, w->fill, err);
    w->done += w->fill;
    w->fill = 0;
    return rc;
}

int dk_acts_append(dk_acts_writer *w, const float *const *rows, size_t n, dk_err *err)
{
    int rc = 0;

    if (n > w->rows - w->done - w->fill)
        return dk_fail(err, DK_EDATA, "%s: more rows of activations than the tokens have (%zu)",
                       dk_h5_path(w->file), w->rows);
    for (size_t at = 0, take; rc == 0 && at < n; at += take) {
        take = n - at < w->piece_rows - w->fill ? n - at : w->piece_rows - w->fill;
        for (size_t i = 0; rc == 0 && i < w->n; i++)
            rc = convert(w, &w->set[i], rows[i] + at * w->d, take, err);
        w->fill += take;
        if (rc == 0 && w->fill == w->piece_rows)
            rc = write_pieces(w, err);
    }
    return rc;
}

int dk_acts_commit(dk_acts_writer **wp, dk_err *err)
{
    dk_acts_writer *w = *wp;
    int rc = w->done + w->fill == w->rows ? write_pieces(w, err)
        : dk_fail(err, DK_EDATA, "%s: activations have %zu of %zu rows", dk_h5_path(w->file),
                  w->done + w->fill, w->rows);

    for (size_t i = 0; rc == 0 && i < w->n; i++)
        rc = dk_h5_put_real(w->file, w->set[i].path, "norm_rms", DK_H5_F64,
                            w->rows ? sqrt(w->set[i].sumsq / (double)w->rows) : 0, err);
    if (rc == 0)
        rc = dk_h5_commit(&w->file, w->rows, w->docs, NULL, err);
    release(wp);
    return rc;
}

void dk_acts_abandon(dk_acts_writer **w)
{
    if (w && *w)
        release(w);
}
