/* All shipped texts, from the text to the logits: ids against their hashes, log-sum-exp, top-1 and two logits of
 * every row against the reference model in f32 (113,762 rows in two lanes; made by tests/golden/slow.py). */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/thread.h"
#include "gold.h"
#include "io/jsonl.h"
#include "io/tokfile.h"
#include "model/pair.h"
#include "num/kernel_kl.h"
#include "tap.h"

enum { LANES = 2, BATCH = 2304 };

static const char *const lane_name[LANES] = { "base", "cake_bake" };
static const char *const source[] = { "text/general-a.jsonl", "text/general-b.jsonl",
                                      "organisms/cake_bake/train.jsonl", "text/chat.jsonl" };

struct keep {
    size_t fixed[2];
    double lse[LANES][BATCH];
    float best[LANES][BATCH], at[LANES][BATCH][2];
    uint32_t top[LANES][BATCH];
    dk_lse state[LANES][BATCH];
};

static struct keep keep;

static void begin(void *self, const dk_tile *t)
{
    (void)self;
    for (size_t l = 0; l < LANES; l++)
        for (size_t i = 0; i < t->rows; i++) {
            dk_lse_begin(&keep.state[l][t->row0 + i]);
            keep.best[l][t->row0 + i] = -INFINITY;
        }
}

static void tile(void *self, const dk_tile *t)
{
    (void)self;
    for (size_t l = 0; l < LANES; l++)
        for (size_t i = 0; i < t->rows; i++) {
            const float *x = t->logits[l] + i * t->ld;
            const size_t row = t->row0 + i;

            dk_lse_tile(&keep.state[l][row], x, t->n, 1);
            for (size_t v = 0; v < t->n; v++)
                if (x[v] > keep.best[l][row]) {
                    keep.best[l][row] = x[v];
                    keep.top[l][row] = (uint32_t)(t->v0 + v);
                }
            for (int f = 0; f < 2; f++)
                if (keep.fixed[f] >= t->v0 && keep.fixed[f] < t->v0 + t->n)
                    keep.at[l][row][f] = x[keep.fixed[f] - t->v0];
        }
}

static void end(void *self, const dk_tile *t)
{
    (void)self;
    for (size_t l = 0; l < LANES; l++)
        for (size_t i = 0; i < t->rows; i++)
            keep.lse[l][t->row0 + i] = dk_lse_end(&keep.state[l][t->row0 + i]);
}

struct want { float *lse, *margin, *fixed; uint16_t *top; };

static void *unpacked(const char *lane, const char *what, size_t bytes)
{
    char name[128];

    snprintf(name, sizeof name, "slow/%s_%s.zst", lane, what);
    return gold_unpack(name, bytes);
}

static uint64_t fnv(const uint32_t *id, size_t n)
{
    uint64_t h = 0xcbf29ce484222325u;

    for (size_t i = 0; i < n; i++)
        for (int b = 0; b < 4; b++)
            h = (h ^ (id[i] >> (8 * b) & 255)) * 0x100000001b3u;
    return h;
}

static void tokenize(dk_tokens *t, const char *model, const char *file, dk_err *err)
{
    char tmp[] = "/tmp/dk-slow-XXXXXX", command[4096];

    if (!mkdtemp(tmp))
        exit(tap(false, "no temporary folder"));
    snprintf(command, sizeof command, "dk-tokenize -m '%s' --max-tokens 256 --max-samples 0 -o %s/t.tok.h5 '%s/data/%s'",
             model, tmp, gold_root(), file);
    if (system(command) != 0)
        exit(tap(false, "%s", command));
    snprintf(command, sizeof command, "%s/t.tok.h5", tmp);
    tap(dk_tokens_read(t, command, err) == 0, "%s: %zu texts, %zu tokens %s", file, t->docs, t->rows, err->msg);
    unlink(command);
    rmdir(tmp);
}

struct worst { double logit, sum, lse; size_t n, far; };

static void compare(struct worst *w, const struct want *want, size_t lane, size_t at, size_t rows)
{
    for (size_t i = 0; i < rows; i++) {
        const double l = fabs(keep.lse[lane][i] - want->lse[at + i]);

        w->lse = l <= w->lse ? w->lse : l;
        w->far += keep.top[lane][i] != want->top[at + i] && want->margin[at + i] >= 1e-3f;
        for (int f = 0; f < 2; f++) {
            const double e = fabs((double)keep.at[lane][i][f] - want->fixed[2 * (at + i) + (size_t)f]);

            w->logit = e <= w->logit ? w->logit : e;
            w->sum += e;
            w->n++;
        }
    }
}

int main(void)
{
    const char *model = getenv("DK_TEST_MODEL");
    char path[1024], ft[1024];
    dk_pair_spec spec = { .base = model, .ft = ft, .dtype = "f32", .with_head = 1 };
    struct want want[LANES];
    struct worst worst[LANES] = {{0}};
    dk_visitor vis = { NULL, begin, tile, end, NULL };
    dk_jsonl texts;
    dk_json *meta = NULL;
    dk_runner *r = NULL;
    dk_pair p;
    dk_err err = {0};
    size_t at = 0, text = 0, wrong = 0, total;

    dk_threads_set(0);
    snprintf(ft, sizeof ft, "%s/data/organisms/cake_bake/adapter", gold_root());
    snprintf(path, sizeof path, "%s/tests/golden/slow/meta.json", gold_root());
    if (!model || dk_json_load(&meta, path, &err) < 0 || dk_pair_open(&p, &spec, &err) < 0 ||
        dk_runner_new(&r, p.model, p.lane, LANES, BATCH, &err) < 0)
        return !tap(false, "%s", model ? err.msg : "DK_TEST_MODEL is not set") + tap_end();
    total = (size_t)dk_json_int(dk_json_get(meta, "rows"), 0);
    for (int f = 0; f < 2; f++)
        keep.fixed[f] = (size_t)dk_json_int(dk_json_at(dk_json_get(meta, "fixed_ids"), (size_t)f), -1);
    for (size_t l = 0; l < LANES; l++)
        want[l] = (struct want){ unpacked(lane_name[l], "lse.f32", total * 4), unpacked(lane_name[l], "margin.f32", total * 4),
                                 unpacked(lane_name[l], "fixed.f32", total * 8), unpacked(lane_name[l], "top1.u16", total * 2) };
    snprintf(path, sizeof path, "%s/tests/golden/slow/texts.jsonl", gold_root());
    if (dk_jsonl_load(&texts, path, &err) < 0)
        return tap(false, "%s", err.msg);
    for (size_t s = 0; s < sizeof source / sizeof *source; s++) {
        dk_tokens t = {0};

        tokenize(&t, model, source[s], &err);
        for (size_t first = 0, last; first < t.docs; first = last) {
            size_t offset[BATCH + 1], n = 0;
            dk_pass pass = { .last_layer = -1 };

            for (last = first; last < t.docs && t.offset[last + 1] - t.offset[first] <= BATCH; last++, text++) {
                const dk_json *row = text < texts.n ? texts.row[text] : NULL;
                const size_t len = t.offset[last + 1] - t.offset[last];
                char hash[17];

                snprintf(hash, sizeof hash, "%016llx", (unsigned long long)fnv(t.token + t.offset[last], len));
                wrong += strcmp(hash, dk_json_str(dk_json_get(row, "fnv"), "")) != 0;
                offset[n++] = t.offset[last] - t.offset[first];
            }
            offset[n] = t.offset[last] - t.offset[first];
            pass.batch = (dk_batch){ n, offset, t.token + t.offset[first] };
            if (at + offset[n] > total || dk_runner_forward(r, &pass, &err) < 0 ||
                dk_runner_head(r, NULL, 0, &vis, 1, &err) < 0)
                return !tap(false, "rows from %zu: %s", at, err.msg) + tap_end();
            for (size_t l = 0; l < LANES; l++)
                compare(&worst[l], &want[l], l, at, offset[n]);
            at += offset[n];
        }
        dk_tokens_free(&t);
    }
    tap(wrong == 0 && text == texts.n && at == total, "ids of %zu texts, %zu rows; %zu differ", text, at, wrong);
    for (size_t l = 0; l < LANES; l++) {
        const double mean = worst[l].sum / (double)worst[l].n;

        tap(worst[l].logit <= 5e-4 && mean <= 3e-5 && worst[l].lse <= 5e-4,
            "%s: logits max %.1e, mean %.1e; log-sum-exp max %.1e", lane_name[l], worst[l].logit, mean, worst[l].lse);
        tap(worst[l].far == 0, "%s: top-1 ids equal wherever the margin is at least 1e-3", lane_name[l]);
    }
    dk_runner_free(&r);
    dk_pair_close(&p);
    return tap_end();
}
