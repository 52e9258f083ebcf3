#include "io/thrift.h"

enum { MAX_DEPTH = 32 };

enum { BYTE = 3, I16 = 4, I32 = 5, I64 = 6, DOUBLE = 7, SET = 10, MAP = 11 };

static size_t left(const dk_thrift *t) { return (size_t)(t->end - t->p); }

static bool fail(dk_thrift *t)
{
    t->bad = true;
    t->p = t->end;
    return false;
}

static uint8_t byte(dk_thrift *t)
{
    if (t->p == t->end) {
        t->bad = true;
        return 0;
    }
    return *t->p++;
}

uint64_t dk_thrift_varint(dk_thrift *t)
{
    uint64_t v = 0;

    for (int shift = 0; shift < 64; shift += 7) {
        const uint8_t b = byte(t);

        v |= (uint64_t)(b & 0x7F) << shift;
        if (!(b & 0x80))
            return t->bad ? 0 : v;
    }
    fail(t);
    return 0;
}

int64_t dk_thrift_zigzag(dk_thrift *t)
{
    const uint64_t v = dk_thrift_varint(t);

    return (int64_t)(v >> 1) ^ -(int64_t)(v & 1);
}

bool dk_thrift_next(dk_thrift *t, dk_thrift_field *f)
{
    const uint8_t head = byte(t);
    int64_t id;

    if (t->bad || head == 0)
        return false;
    f->type = head & 15;
    id = head >> 4 ? f->id + (head >> 4) : dk_thrift_zigzag(t);
    if (t->bad || id < 0 || id > INT16_MAX || f->type < DK_THRIFT_TRUE || f->type > DK_THRIFT_STRUCT)
        return fail(t);
    f->id = (int)id;
    return true;
}

int64_t dk_thrift_int(dk_thrift *t, const dk_thrift_field *f)
{
    if (f->type == BYTE)
        return (int8_t)byte(t);
    if (f->type == I16 || f->type == I32 || f->type == I64)
        return dk_thrift_zigzag(t);
    fail(t);
    return 0;
}

bool dk_thrift_bool(dk_thrift *t, const dk_thrift_field *f)
{
    if (f->type != DK_THRIFT_TRUE && f->type != DK_THRIFT_FALSE)
        return fail(t);
    return f->type == DK_THRIFT_TRUE;
}

const char *dk_thrift_text(dk_thrift *t, const dk_thrift_field *f, size_t *n)
{
    const uint64_t len = f->type == DK_THRIFT_BINARY ? dk_thrift_varint(t) : UINT64_MAX;
    const char *s = (const char *)t->p;

    *n = 0;
    if (len > left(t)) {
        fail(t);
        return "";
    }
    t->p += len;
    *n = (size_t)len;
    return s;
}

bool dk_thrift_enter(dk_thrift *t, const dk_thrift_field *f)
{
    return f->type == DK_THRIFT_STRUCT ? !t->bad : fail(t);
}

/* Every kind of element takes at least one byte. */
static size_t list_head(dk_thrift *t, int *type)
{
    const uint8_t head = byte(t);
    uint64_t n = head >> 4;

    *type = head & 15;
    if (n == 15)
        n = dk_thrift_varint(t);
    if (n > left(t)) {
        fail(t);
        n = 0;
    }
    return (size_t)n;
}

size_t dk_thrift_structs(dk_thrift *t, const dk_thrift_field *f)
{
    int type = 0;
    const size_t n = f->type == DK_THRIFT_LIST ? list_head(t, &type) : 0;

    if (f->type != DK_THRIFT_LIST || (n > 0 && type != DK_THRIFT_STRUCT)) {
        fail(t);
        return 0;
    }
    return n;
}

static void skip(dk_thrift *t, int type, bool in_list, int depth);

static void skip_struct(dk_thrift *t, int depth)
{
    dk_thrift_field f = {0};

    while (dk_thrift_next(t, &f))
        skip(t, f.type, false, depth + 1);
}

static void skip_list(dk_thrift *t, int depth)
{
    int type;
    const size_t n = list_head(t, &type);

    for (size_t i = 0; i < n && !t->bad; i++)
        skip(t, type, true, depth + 1);
}

static void skip_map(dk_thrift *t, int depth)
{
    const uint64_t n = dk_thrift_varint(t);
    const uint8_t types = n ? byte(t) : 0;

    if (n > left(t))
        fail(t);
    for (uint64_t i = 0; i < n && !t->bad; i++) {
        skip(t, types >> 4, true, depth + 1);
        skip(t, types & 15, true, depth + 1);
    }
}

static void skip(dk_thrift *t, int type, bool in_list, int depth)
{
    size_t n;

    if (depth > MAX_DEPTH) {
        fail(t);
        return;
    }
    switch (type) {
    case DK_THRIFT_TRUE:
    case DK_THRIFT_FALSE:               /* in a struct the type is the value */
        if (in_list)
            byte(t);
        break;
    case BYTE: byte(t); break;
    case I16:
    case I32:
    case I64: dk_thrift_varint(t); break;
    case DOUBLE:
        if (left(t) < 8)
            fail(t);
        else
            t->p += 8;
        break;
    case DK_THRIFT_BINARY: dk_thrift_text(t, &(dk_thrift_field){ 0, type }, &n); break;
    case DK_THRIFT_LIST:
    case SET: skip_list(t, depth); break;
    case MAP: skip_map(t, depth); break;
    case DK_THRIFT_STRUCT: skip_struct(t, depth); break;
    default: fail(t);
    }
}

void dk_thrift_skip(dk_thrift *t, const dk_thrift_field *f) { skip(t, f->type, false, 0); }
