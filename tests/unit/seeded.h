/* Checkpoints whose weights are counted, not kept: element i of tensor NAME is
 * offset + scale k / 64, k in -64 .. 63 from a counter generator, as
 * tests/golden/archs.py has it.  A list has a line for each tensor:
 * "NAME DTYPE OFFSET SCALE ROWS [COLS]". */
#ifndef DK_TESTS_SEEDED_H
#define DK_TESTS_SEEDED_H

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "base/rng.h"

__attribute__((unused))
static float seeded_value(uint64_t seed, uint64_t i, double offset, double scale)
{
    const int k = (int)(dk_mix(dk_mix(seed) ^ i) >> 57) - 64;

    return (float)(offset + scale * k / 64);
}

__attribute__((unused))
static uint64_t seeded_name(const char *name)
{
    uint64_t h = 0xCBF29CE484222325u;

    for (; *name; name++)
        h = (h ^ (unsigned char)*name) * 0x100000001B3u;
    return h;
}

/* Adds the tensor of a line to the header and the data of a safetensors file. */
__attribute__((unused))
static bool seeded_tensor(const char *line, dk_buf *head, dk_buf *data)
{
    char name[200], dtype[8];
    double offset, scale;
    size_t dims[2] = { 1, 1 }, n, at = data->n;
    const int got = sscanf(line, "%199s %7s %lf %lf %zu %zu", name, dtype, &offset, &scale, &dims[0], &dims[1]);

    if (got < 5)
        return false;
    n = dims[0] * dims[1];
    for (size_t i = 0; i < n; i++) {
        const float v = seeded_value(seeded_name(name), i, offset, scale);

        dk_buf_add(data, &v, sizeof v);
    }
    dk_buf_addf(head, "%c\"%s\":{\"dtype\":\"%s\",\"shape\":[%zu", head->n ? ',' : '{', name, dtype, dims[0]);
    if (got > 5)
        dk_buf_addf(head, ",%zu", dims[1]);
    dk_buf_addf(head, "],\"data_offsets\":[%zu,%zu]}", at, data->n);
    return true;
}

/* Writes the tensors of the list at `list` to the safetensors file at `path`. */
__attribute__((unused))
static bool seeded_write(const char *list, const char *path)
{
    dk_buf head = {0}, data = {0};
    char line[512];
    FILE *f = fopen(list, "r"), *to = fopen(path, "wb");
    bool ok = f && to;
    uint64_t n;

    while (ok && fgets(line, sizeof line, f))
        ok = seeded_tensor(line, &head, &data);
    dk_buf_addc(&head, '}');
    n = head.n;
    ok = ok && fwrite(&n, 8, 1, to) == 1 && fwrite(head.s, 1, head.n, to) == head.n &&
         fwrite(data.s, 1, data.n, to) == data.n;
    if (f)
        fclose(f);
    if (to)
        ok = fclose(to) == 0 && ok;
    dk_buf_free(&head);
    dk_buf_free(&data);
    return ok;
}

#endif
