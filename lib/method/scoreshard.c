/* Cutting shards. */
#include "method/scoreshard.h"

#include <string.h>

#include "base/mem.h"
#include "base/parse.h"

enum { MOST = 100000, PART_TOKENS = 10000000 };

int dk_shard_parse(dk_shard *s, const char *text, dk_err *err)
{
    const char *slash = text ? strchr(text, '/') : NULL;
    int64_t index, count;
    char *copy;
    int rc;

    *s = (dk_shard){0};
    if (!text || !*text)
        return 0;
    if (!slash)
        return dk_fail(err, DK_EUSAGE, "--shard: '%s' is no I/N, such as 0/4", text);
    copy = dk_xstrndup(text, (size_t)(slash - text));
    if ((rc = dk_parse_int(&count, slash + 1, 1, MOST, "--shard: the number of shards", err)) == 0 &&
        (rc = dk_parse_int(&index, copy, 0, count - 1, "--shard: a shard, from 0", err)) == 0)
        *s = (dk_shard){ (uint32_t)index, (uint32_t)count };
    dk_free(copy);
    return rc;
}

static bool begins(const dk_tokens *t, size_t d, uint64_t unit) { return d == 0 || t->id[d] / unit != t->id[d - 1] / unit; }

static void move(void *p, size_t from, size_t n, size_t size)
{
    if (n)
        memmove(p, (char *)p + from * size, n * size);
}

void dk_docs_keep(dk_tokens *t, size_t a, size_t b)
{
    const size_t row = t->docs ? t->offset[a] : 0, rows = t->docs ? t->offset[b] - row : 0;

    if (t->docs == 0)
        return;
    move(t->id, a, b - a, sizeof *t->id);
    for (size_t d = 0; d <= b - a; d++)
        t->offset[d] = t->offset[a + d] - row;
    move(t->token, row, rows, sizeof *t->token);
    move(t->pos, row, rows, sizeof *t->pos);
    move(t->flags, row, rows, sizeof *t->flags);
    t->docs = b - a;
    t->rows = rows;
}

int dk_shard_cut(dk_tokens *t, dk_shard s, uint64_t unit, uint64_t *first, uint64_t *end, dk_err *err)
{
    size_t groups = 0, seen = 0, a = t->docs, b = t->docs;

    if (first)
        *first = 0;
    if (end)
        *end = UINT64_MAX;
    if (s.count == 0)
        return 0;
    for (size_t d = 0; d < t->docs; d++)
        groups += begins(t, d, unit);
    if (groups < s.count)
        return dk_fail(err, DK_EDATA, "there are %zu groups of %llu document numbers, too few for %u shards", groups,
                       (unsigned long long)unit, s.count);
    for (size_t d = 0; d < t->docs; d++) {
        if (!begins(t, d, unit))
            continue;
        if (seen == groups * s.index / s.count)
            a = d;
        if (seen == groups * (s.index + (size_t)1) / s.count)
            b = d;
        seen++;
    }
    if (first && s.index > 0)
        *first = t->id[a] / unit;
    if (end && b < t->docs)
        *end = t->id[b] / unit;
    dk_docs_keep(t, a, b);
    return 0;
}

size_t dk_budget_docs(const dk_tokens *t, uint64_t budget, size_t batch)
{
    uint64_t part = 0, done = 0;

    for (size_t d = 0; budget && d < t->docs; d++) {
        const bool look = batch == 0 || (d + 1) % batch == 0;

        part += t->offset[d + 1] - t->offset[d];
        if (look && (batch == 0 || part > PART_TOKENS)) {
            done += part;
            part = 0;
            if (batch == 0 ? done >= budget : done > budget)
                return d + 1;
        }
    }
    return t->docs;
}
