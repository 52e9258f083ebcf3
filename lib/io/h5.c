/* HDF5: start of the library, errors, types, the list of objects. */
#include "io/h5.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "io/h5stream.h"
#include "io/zstdfilter.h"

static hid_t types[DK_H5_STR];      /* fixed-size file types by dk_h5_type */

/* --- start, errors -------------------------------------------------------- */
static hid_t float16(size_t mantissa, size_t exponent, size_t bias)
{
    const hid_t t = H5Tcopy(H5T_IEEE_F32LE);

    H5Tset_fields(t, 15, mantissa, exponent, 0, mantissa);
    H5Tset_size(t, 2);
    H5Tset_ebias(t, bias);
    return t;
}

int dk_h5_start(dk_err *err)
{
    static bool started;
    int rc;

    if (started)
        return 0;
    if ((rc = dk_h5dyn_load(err)) < 0)
        return rc;
    /* Everything is closed explicitly; the library's own clean-up at exit
     * would try once more to write a file whose disk is full. */
    H5dont_atexit();
    if (H5open() < 0)
        return dk_fail(err, DK_EIO, "the HDF5 library does not start");
    H5Eset_auto2(H5E_DEFAULT, NULL, NULL);
    H5PLset_loading_state(0);
    types[DK_H5_U8] = H5T_STD_U8LE;
    types[DK_H5_U16] = H5T_STD_U16LE;
    types[DK_H5_U32] = H5T_STD_U32LE;
    types[DK_H5_U64] = H5T_STD_U64LE;
    types[DK_H5_I32] = H5T_STD_I32LE;
    types[DK_H5_I64] = H5T_STD_I64LE;
    types[DK_H5_F32] = H5T_IEEE_F32LE;
    types[DK_H5_F64] = H5T_IEEE_F64LE;
    types[DK_H5_F16] = float16(10, 5, 15);
    types[DK_H5_BF16] = float16(7, 8, 127);
    if (H5Zregister(dk_zstd_class()) < 0)
        return dk_fail_h5(err, DK_EIO, "the HDF5 library does not take the zstd filter");
    started = true;
    return 0;
}

static herr_t innermost(unsigned n, const H5E_error2_t *e, void *vp)
{
    const char **desc = vp;

    if (n == 0 && e->desc)
        *desc = e->desc;
    return 0;
}

/* The library reports a failed system call with the time, the descriptor and
 * the address of the buffer; only the words of errno are wanted. */
static int message_of(const char *desc, const char **start)
{
    static const char key[] = "error message = '";
    const char *p = strstr(desc, key), *end;

    *start = p ? p + sizeof key - 1 : desc;
    end = strpbrk(*start, p ? "'\n" : "\n");
    return end ? (int)(end - *start) : (int)strlen(*start);
}

int dk_fail_h5(dk_err *err, int code, const char *fmt, ...)
{
    const char *desc = NULL, *start;
    char what[512];
    va_list ap;
    int n;

    va_start(ap, fmt);
    vsnprintf(what, sizeof what, fmt, ap);
    va_end(ap);
    if (dk_zstd_starved()) {
        H5Eclear2(H5E_DEFAULT);
        return dk_fail(err, DK_ENOMEM, "%s: out of memory", what);
    }
    H5Ewalk2(H5E_DEFAULT, H5E_WALK_UPWARD, innermost, &desc);
    if (!desc)
        return dk_fail(err, code, "%s", what);
    n = message_of(desc, &start);
    dk_fail(err, code, "%s: %.*s", what, n, start);
    H5Eclear2(H5E_DEFAULT);
    return code;
}

/* Opening a file, the library (1.10) follows null pointers where it lacks memory for its
 * caches, which take some megabytes: it is asked only where there is as much. */
int dk_h5_room(const char *path, dk_err *err)
{
    enum { ROOM = 2 << 20 };
    void *p;
    int rc = dk_alloc_pages(&p, ROOM, "the caches of HDF5", err);

    dk_free_pages(p, ROOM);
    return rc < 0 ? dk_err_prefix(err, "%s", path) : 0;
}

/* --- types ---------------------------------------------------------------- */
size_t dk_h5_type_size(dk_h5_type t)
{
    static const uint8_t size[] = { 0, 1, 2, 4, 8, 4, 8, 2, 2, 4, 8, 0 };

    return size[t];
}

const char *dk_h5_type_name(dk_h5_type t)
{
    static const char *const name[] = { "none", "u8", "u16", "u32", "u64", "i32", "i64", "f16",
                                        "bf16", "f32", "f64", "str" };

    return name[t];
}

hid_t dk_h5_type_id(dk_h5_type t, size_t item)
{
    hid_t id;

    if (t != DK_H5_STR)
        return types[t];
    id = H5Tcopy(H5T_C_S1);
    H5Tset_size(id, item ? item : 1);
    H5Tset_cset(id, H5T_CSET_UTF8);
    H5Tset_strpad(id, H5T_STR_NULLPAD);
    return id;
}

void dk_h5_type_done(dk_h5_type t, hid_t id)
{
    if (t == DK_H5_STR)
        H5Tclose(id);
}

dk_h5_type dk_h5_type_of(hid_t type, size_t *item)
{
    *item = H5Tget_size(type);
    for (int t = DK_H5_U8; t < DK_H5_STR; t++)
        if (H5Tequal(type, types[t]) > 0)
            return (dk_h5_type)t;
    if (H5Tget_class(type) == H5T_STRING && H5Tis_variable_str(type) == 0 && *item > 0 &&
        *item <= DK_H5_MAX_STR)
        return DK_H5_STR;
    return DK_H5_NONE;
}

uint64_t dk_h5_row_items(const dk_h5_data *d)
{
    uint64_t n = 1;

    for (int i = 1; i < d->rank; i++)
        n *= d->dim[i];
    return n;
}

/* --- objects -------------------------------------------------------------- */
size_t dk_h5_add_object(dk_h5 *f, const char *path, dk_h5_kind kind)
{
    if (f->n == f->cap) {
        f->cap = f->cap ? 2 * f->cap : 32;
        f->obj = dk_xrealloc(f->obj, f->cap * sizeof *f->obj);
        f->open = dk_xrealloc(f->open, f->cap * sizeof *f->open);
    }
    f->obj[f->n] = (dk_h5_object){ .path = dk_xstrdup(path), .kind = kind };
    f->open[f->n] = (dk_h5_open_data){ .id = H5I_INVALID_HID, .raw_index = UINT64_MAX };
    return f->n++;
}

void dk_h5_drop_objects(dk_h5 *f)
{
    for (size_t i = 0; i < f->n; i++) {
        if (f->open[i].id >= 0)
            H5Dclose(f->open[i].id);
        dk_free(f->open[i].raw);
        dk_h5_held_free(&f->open[i].held);
        dk_free(f->open[i].sums);
        dk_free((char *)f->obj[i].path);
    }
    dk_free(f->obj);
    dk_free(f->open);
    f->obj = NULL;
    f->open = NULL;
    f->n = f->cap = 0;
}

void dk_h5_free(dk_h5 **fp)
{
    dk_h5 *f = *fp;
    dk_h5_root *r = &f->root;
    char *owned[] = { r->encoding, r->version, r->features, r->role, r->content_id,
                      r->stage_key, r->writer, f->path };

    for (size_t i = 0; i < sizeof owned / sizeof *owned; i++)
        dk_free(owned[i]);
    dk_free(f->scratch);
    dk_h5_stream_free(f);
    dk_outfile_abandon(&f->out);
    dk_free(f);
    *fp = NULL;
}

void dk_h5_close(dk_h5 **fp)
{
    if (!fp || !*fp)
        return;
    dk_h5_drop_objects(*fp);
    if ((*fp)->id >= 0)
        H5Fclose((*fp)->id);
    if (!(*fp)->stream)
        H5Eclear2(H5E_DEFAULT);
    dk_h5_free(fp);
}
