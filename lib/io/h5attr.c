/* Attributes: scalars of the file's own types. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "io/h5stream.h"

/* --- writing -------------------------------------------------------------- */
static int put_attr(dk_h5 *f, const char *obj, const char *name, dk_h5_type t, size_t item,
                    const void *value, dk_err *err)
{
    hid_t space, type, a;
    int rc = 0;

    DK_ASSERT(f->writing);
    if (f->stream) {
        dk_h5_stream_put_attr(f, obj, name, t, item ? item : dk_h5_type_size(t), value);
        return 0;
    }
    space = H5Screate(H5S_SCALAR);
    type = dk_h5_type_id(t, item);
    a = H5Acreate_by_name(f->id, obj, name, type, space, H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT);
    if (a < 0 || H5Awrite(a, type, value) < 0)
        rc = dk_fail_h5(err, DK_EIO, "cannot write %s: attribute %s of %s", f->path, name, obj);
    if (a >= 0)
        H5Aclose(a);
    dk_h5_type_done(t, type);
    H5Sclose(space);
    return rc;
}

int dk_h5_put_str(dk_h5 *f, const char *obj, const char *name, const char *value, dk_err *err)
{
    const size_t n = value ? strlen(value) : 0;

    if (n > DK_H5_MAX_STR)
        return dk_fail(err, DK_EDATA, "%s: attribute %s of %s is longer than %d bytes", f->path,
                       name, obj, DK_H5_MAX_STR);
    return put_attr(f, obj, name, DK_H5_STR, n ? n : 1, value ? value : "", err);
}

int dk_h5_put_int(dk_h5 *f, const char *obj, const char *name, dk_h5_type type, int64_t value,
                  dk_err *err)
{
    uint8_t le[8];

    DK_ASSERT(type >= DK_H5_U8 && type <= DK_H5_I64);
    for (int i = 0; i < 8; i++)
        le[i] = (uint8_t)((uint64_t)value >> 8 * i);
    return put_attr(f, obj, name, type, 0, le, err);
}

int dk_h5_put_real(dk_h5 *f, const char *obj, const char *name, dk_h5_type type, double value,
                   dk_err *err)
{
    const float single = (float)value;

    DK_ASSERT(type == DK_H5_F32 || type == DK_H5_F64);
    return put_attr(f, obj, name, type, 0,
                    type == DK_H5_F32 ? (const void *)&single : &value, err);
}

/* --- reading -------------------------------------------------------------- */
bool dk_h5_has_attr(dk_h5 *f, const char *obj, const char *name)
{
    if (f->stream)
        return dk_h5_stream_attr(f, obj, name) != NULL;
    return H5Aexists_by_name(f->id, obj, name, H5P_DEFAULT) > 0;
}

static int copy_attr(const dk_h5_attr *from, dk_h5_type *t, size_t *item, uint8_t **value, dk_err *err)
{
    const int rc = dk_alloc(value, from->item + 1, 1, from->name, err);

    *t = from->type;
    *item = from->item;
    if (rc == 0)
        memcpy(*value, from->value, from->item);
    return rc;
}

/* The raw value of a scalar attribute, zero-terminated; *value from dk_alloc. */
static int read_attr(dk_h5 *f, hid_t a, const char *what, dk_h5_type *t, size_t *item,
                     uint8_t **value, dk_err *err)
{
    const hid_t type = H5Aget_type(a), space = H5Aget_space(a);
    int rc = 0;

    *value = NULL;
    *t = type < 0 ? DK_H5_NONE : dk_h5_type_of(type, item);
    if (space < 0 || H5Sget_simple_extent_type(space) != H5S_SCALAR)
        *t = DK_H5_NONE;
    if (*t != DK_H5_NONE && (rc = dk_alloc(value, *item + 1, 1, what, err)) == 0 &&
        H5Aread(a, type, *value) < 0)
        rc = dk_fail_h5(err, DK_EFORMAT, "%s: cannot read the attribute %s", f->path, what);
    if (type >= 0)
        H5Tclose(type);
    if (space >= 0)
        H5Sclose(space);
    return rc;
}

static int find_attr(dk_h5 *f, const char *obj, const char *name, dk_h5_type *t, size_t *item,
                     uint8_t **value, dk_err *err)
{
    char *what = dk_xasprintf("%s of %s", name, obj);
    hid_t a = H5I_INVALID_HID;
    int rc;

    *value = NULL;
    if (!dk_h5_has_attr(f, obj, name))
        rc = dk_fail(err, DK_EFORMAT, "%s: the attribute %s is missing", f->path, what);
    else if (f->stream)
        rc = copy_attr(dk_h5_stream_attr(f, obj, name), t, item, value, err);
    else if ((a = H5Aopen_by_name(f->id, obj, name, H5P_DEFAULT, H5P_DEFAULT)) < 0)
        rc = dk_fail_h5(err, DK_EFORMAT, "%s: cannot read the attribute %s", f->path, what);
    else if ((rc = read_attr(f, a, what, t, item, value, err)) == 0 && *t == DK_H5_NONE)
        rc = dk_fail(err, DK_EFORMAT, "%s: the attribute %s has an unknown type", f->path, what);
    if (a >= 0)
        H5Aclose(a);
    dk_free(what);
    if (rc < 0) {
        dk_free(*value);
        *value = NULL;
    }
    return rc;
}

int64_t dk_h5_attr_int(dk_h5_type t, const uint8_t *v)
{
    const size_t n = dk_h5_type_size(t);
    uint64_t u = 0;

    for (size_t i = 0; i < n; i++)
        u |= (uint64_t)v[i] << 8 * i;
    return t == DK_H5_I32 ? (int32_t)u : (int64_t)u;
}

double dk_h5_attr_real(dk_h5_type t, const uint8_t *v)
{
    float single;
    double twice;

    memcpy(&single, v, sizeof single);
    if (t == DK_H5_F32)
        return (double)single;
    memcpy(&twice, v, sizeof twice);
    return twice;
}

int dk_h5_get_str(dk_h5 *f, const char *obj, const char *name, char **out, dk_err *err)
{
    dk_h5_type t;
    size_t item;
    uint8_t *v;
    int rc = find_attr(f, obj, name, &t, &item, &v, err);

    *out = NULL;
    if (rc == 0 && t != DK_H5_STR)
        rc = dk_fail(err, DK_EFORMAT, "%s: the attribute %s of %s is no text", f->path, name, obj);
    if (rc == 0)
        *out = dk_xstrdup((char *)v);
    dk_free(v);
    return rc;
}

int dk_h5_get_int(dk_h5 *f, const char *obj, const char *name, int64_t *out, dk_err *err)
{
    dk_h5_type t;
    size_t item;
    uint8_t *v;
    int rc = find_attr(f, obj, name, &t, &item, &v, err);

    *out = 0;
    if (rc == 0 && (t > DK_H5_I64 || (t == DK_H5_U64 && dk_h5_attr_int(t, v) < 0)))
        rc = dk_fail(err, DK_EFORMAT, "%s: the attribute %s of %s is no integer in range", f->path,
                     name, obj);
    if (rc == 0)
        *out = dk_h5_attr_int(t, v);
    dk_free(v);
    return rc;
}

int dk_h5_get_real(dk_h5 *f, const char *obj, const char *name, double *out, dk_err *err)
{
    dk_h5_type t;
    size_t item;
    uint8_t *v;
    int rc = find_attr(f, obj, name, &t, &item, &v, err);

    *out = 0;
    if (rc == 0 && t != DK_H5_F32 && t != DK_H5_F64)
        rc = dk_fail(err, DK_EFORMAT, "%s: the attribute %s of %s is no real number", f->path,
                     name, obj);
    if (rc == 0)
        *out = dk_h5_attr_real(t, v);
    dk_free(v);
    return rc;
}

/* 1 past the last one. */
static int attr_of_stream(dk_h5 *f, const char *obj, size_t i, char *name, size_t cap, dk_h5_type *t,
                          size_t *item, uint8_t **v, dk_err *err)
{
    const dk_h5_attr *a = dk_h5_stream_attr_at(f, obj, i);

    if (!a)
        return 1;
    snprintf(name, cap, "%s", a->name);
    return copy_attr(a, t, item, v, err);
}

/* Opening one by its place, the library (1.10) lists all of them first, and crashes where
 * one cannot be decoded; looking for a name that none has decodes all of them, and fails. */
static bool readable(const dk_h5 *f, const char *obj)
{
    return H5Aexists_by_name(f->id, obj, "\x01", H5P_DEFAULT) >= 0;
}

static int attr_of_file(dk_h5 *f, const char *obj, size_t i, char *name, size_t cap, dk_h5_type *t,
                        size_t *item, uint8_t **v, dk_err *err)
{
    H5O_info_t info;
    hid_t a;
    int rc;

    if (H5Oget_info_by_name2(f->id, obj, &info, H5O_INFO_NUM_ATTRS, H5P_DEFAULT) < 0 || (i == 0 && !readable(f, obj)))
        return dk_fail_h5(err, DK_EFORMAT, "%s: cannot read the attributes of %s", f->path, obj);
    if (i >= info.num_attrs)
        return 1;
    a = H5Aopen_by_idx(f->id, obj, H5_INDEX_NAME, H5_ITER_INC, i, H5P_DEFAULT, H5P_DEFAULT);
    if (a < 0 || H5Aget_name(a, cap, name) < 0)
        rc = dk_fail_h5(err, DK_EFORMAT, "%s: cannot read the attributes of %s", f->path, obj);
    else
        rc = read_attr(f, a, name, t, item, v, err);
    if (a >= 0)
        H5Aclose(a);
    return rc;
}

int dk_h5_attr_text(dk_h5 *f, const char *obj, size_t i, dk_buf *name, dk_buf *text, bool *quoted,
                    dk_err *err)
{
    char buf[256] = "";
    dk_h5_type t = DK_H5_NONE;
    size_t item;
    uint8_t *v = NULL;
    int rc = f->stream ? attr_of_stream(f, obj, i, buf, sizeof buf, &t, &item, &v, err)
                       : attr_of_file(f, obj, i, buf, sizeof buf, &t, &item, &v, err);

    if (rc == 0) {
        dk_buf_adds(name, buf);
        *quoted = t == DK_H5_STR || t == DK_H5_NONE;
        if (t == DK_H5_STR)
            dk_buf_adds(text, (char *)v);
        else if (t == DK_H5_U64)
            dk_buf_addf(text, "%" PRIu64, (uint64_t)dk_h5_attr_int(t, v));
        else if (t >= DK_H5_U8 && t <= DK_H5_I64)
            dk_buf_addf(text, "%" PRId64, dk_h5_attr_int(t, v));
        else if (t == DK_H5_F32 || t == DK_H5_F64)
            dk_buf_addf(text, "%.9g", dk_h5_attr_real(t, v));
        else
            dk_buf_adds(text, "(not shown)");
    }
    dk_free(v);
    return rc;
}
