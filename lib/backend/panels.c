/* How panels are kept, filled and shared out among threads. */
#include "backend/panels.h"

#include <omp.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/mem.h"
#include "num/panel.h"

enum { ROWS = DK_PANEL_ROWS, PIECES = 16, FEW_PIECES = 4, FEW = 16 };   /* rows of x that stay in a core's
                                                * cache; pieces of work for a thread, of few rows fewer */

/* Large pages that the panels of several weights share, kept until the last of
 * them is freed. */
struct dk_panel_store { char *data; size_t used, size, users; };
static const size_t store_size = (size_t)32 << 20;
static struct dk_panel_store *open_store;

/* AVX and SSE41, and nothing that is unknown, are below AVX2. */
static bool capped(const char *const *below, size_t n)
{
    const char *cap = getenv("ONEDNN_MAX_CPU_ISA");

    cap = cap ? cap : getenv("DNNL_MAX_CPU_ISA");
    for (size_t i = 0; cap && i < n; i++)
        if (strcasecmp(cap, below[i]) == 0)
            return true;
    return false;
}

bool dk_panels_wanted(const char **name)
{
    static const char *const low[] = { "SSE41", "AVX", "AVX2", "AVX2_VNNI", "AVX2_VNNI_2" };

    *name = dk_panel_choose(!capped(low, 2));
    return !dk_cpu_avx512() || capped(low, sizeof low / sizeof *low);
}

static int new_store(struct dk_panel_store **out, size_t size, dk_err *err)
{
    struct dk_panel_store *s = dk_xcalloc(1, sizeof *s);
    const int rc = dk_alloc_pages(&s->data, size, "packed weights", err);

    s->size = size;
    if (rc < 0)
        dk_free(s);
    *out = rc == 0 ? s : NULL;
    return rc;
}

static void leave(struct dk_panel_store *s)
{
    if (s && --s->users == 0) {
        if (s == open_store)
            open_store = NULL;
        dk_free_pages(s->data, s->size);
        dk_free(s);
    }
}

/* Room for a weight: in the open store, in a new one, or (large) by itself. */
static int take_room(dk_panels *p, size_t bytes, dk_err *err)
{
    struct dk_panel_store *s = open_store;

    bytes = (bytes + 63) / 64 * 64;
    if (bytes > store_size / 2) {
        if (new_store(&s, bytes, err) < 0)
            return DK_ENOMEM;
    } else if (!s || s->size - s->used < bytes) {
        if (new_store(&s, store_size, NULL) < 0 && new_store(&s, bytes, err) < 0)
            return DK_ENOMEM;
        open_store = s;
    }
    p->data = s->data + s->used;
    s->used += bytes;
    s->users++;
    p->store = s;
    return 0;
}

/* Sixteen rows: read, then turned. */
static int fill(const dk_panels *p, size_t i, size_t n, size_t k, dk_dtype dtype, float *rows, dk_row_source *src,
                void *arg, dk_err *err)
{
    const size_t first = i * DK_PANEL, have = n - first < DK_PANEL ? n - first : DK_PANEL;
    const bool narrow = dtype == DK_BF16;
    const int rc = src(arg, rows, first, have, err);

    if (rc == 0 && !dk_panel_pack((char *)p->data + i * dk_panel_bytes(k, narrow), rows, have, k, narrow))
        return dk_fail(err, DK_ENUM, "weights hold NaN or infinite values");
    return rc;
}

int dk_panels_pack(dk_panels *out, size_t n, size_t k, dk_dtype dtype, dk_row_source *src, void *arg, dk_err *err)
{
    const size_t panels = dk_panel_count(n), each = DK_PANEL * k;
    size_t bytes = 0, bad = panels;
    dk_err first = {0};
    float *rows = NULL;
    int rc;

    *out = (dk_panels){0};
    if (!dk_mul_size(&bytes, panels, dk_panel_bytes(k, dtype == DK_BF16)))
        return dk_fail(err, DK_ENOMEM, "packed weights do not fit in memory");
    rc = take_room(out, bytes, err);
    if (rc == 0)
        rc = dk_alloc(&rows, each * (size_t)omp_get_max_threads(), sizeof *rows, "rows of weights", err);
    if (rc < 0) {
        dk_panels_free(out);
        return rc;
    }
    #pragma omp parallel for schedule(dynamic, 2)
    for (size_t i = 0; i < panels; i++) {
        dk_err local = {0};

        if (fill(out, i, n, k, dtype, rows + each * (size_t)omp_get_thread_num(), src, arg, &local) < 0) {
            #pragma omp critical
            if (i < bad) {
                bad = i;
                first = local;
            }
        }
    }
    dk_free(rows);
    if (bad == panels)
        return 0;
    dk_panels_free(out);
    return dk_fail(err, first.code, "%s", first.msg);
}

void dk_panels_free(dk_panels *p)
{
    leave(p->store);
    *p = (dk_panels){0};
}

void dk_panels_part(float *y, size_t ldy, const float *x, size_t m, const dk_panels *w, size_t first, size_t n,
                    size_t k, dk_dtype dtype)
{
    const bool narrow = dtype == DK_BF16;
    float work[DK_PANEL_WORK] __attribute__((aligned(64)));

    dk_panel_product(y, ldy, x, m, (const char *)w->data + first / DK_PANEL * dk_panel_bytes(k, narrow), n, k,
                     narrow, work);
}

void dk_panels_rows(float *out, const float *x, size_t ldx, size_t m, size_t k, dk_dtype dtype)
{
    const size_t each = dk_panel_tile();

    #pragma omp parallel for schedule(static) if (m > 2 * each)     /* few: done before a thread wakes up */
    for (size_t i = 0; i < m; i += each)
        dk_panel_rows(out + i * k, x + i * ldx, ldx, m - i < each ? m - i : each, k, dtype == DK_BF16);
}

size_t dk_panels_whole(size_t rows) { return (rows + dk_panel_tile() - 1) / dk_panel_tile() * dk_panel_tile(); }

/* Blocks of rows times runs of panels, more of them than threads. */
void dk_panels_product(float *y, size_t ldy, const float *x, size_t m, const dk_panels *w, size_t n, size_t k,
                       dk_dtype dtype)
{
    const size_t panels = dk_panel_count(n), blocks = (m + ROWS - 1) / ROWS;
    const size_t pieces = (size_t)omp_get_max_threads() * (m < FEW ? FEW_PIECES : PIECES);
    const size_t wanted = (pieces + blocks - 1) / (blocks ? blocks : 1);
    const size_t unit = m == 1 || m >= FEW ? 4 : m <= 3 ? 2 : 1, share = panels / wanted / unit * unit;
    const size_t each = share ? share : unit, runs = (panels + each - 1) / each;

    #pragma omp parallel for schedule(dynamic) collapse(2)
    for (size_t b = 0; b < blocks; b++)
        for (size_t r = 0; r < runs; r++) {
            const size_t row = b * ROWS, first = r * each * DK_PANEL, left = n - first;

            dk_panels_part(y + row * ldy + first, ldy, x + row * k, m - row < ROWS ? m - row : ROWS, w, first,
                           left < each * DK_PANEL ? left : each * DK_PANEL, k, dtype);
        }
}
