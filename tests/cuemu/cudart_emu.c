/* The CUDA runtime as the host side uses it, on host memory.
 *
 * Memory of the card is malloc'ed, each piece with its exact size, and begins as
 * NaN.  Copies between host and card are kept back until something waits for them
 * or a kernel runs on their stream, so that a buffer used too early holds the wrong
 * bytes.  Kernels run at once, on the first stream; a copy of another one into what
 * a product has read is refused unless its stream has waited for that product.
 * Host buffers of copies must be page-locked, and ranges must lie within one piece.
 *
 * Faults, from the environment:
 *   DK_CUEMU_NONE=driver|old|card|image|kind|memory|heldmemory   what is not there
 *   DK_CUEMU_MEMORY=N    bytes of the card (default 16 GB)
 *   DK_CUEMU_OOM=N       the N-th cudaMalloc or cudaMallocHost finds no memory; N+: nor does any after it
 *   DK_CUEMU_LAUNCH=N    the N-th launch fails
 *   DK_CUEMU_LOST=N      from the N-th call on the card is gone
 *   DK_CUEMU_COUNT=FILE  calls, launches, allocations and bytes that came to the host are written there at the end */
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "backend/cuda/curt.h"
#include "cudart_emu.h"

enum { MAX_PIECES = 65536, MAX_QUEUED = 4096, MAX_STREAMS = 2, ERR_INVALID = 1, ERR_LAUNCH = 719, ERR_LOST = 46 };

struct piece { char *p; size_t n; int pinned; long read; };     /* read: the launch of the last product that did */
/* A copy, or (to NULL) waiting for another stream to be at a place. */
struct copy { char *to; const char *from; size_t to_pitch, pitch, width, height; struct CUstream_st *s; size_t at; };
struct CUstream_st {
    struct copy queue[MAX_QUEUED];
    size_t n_queued, n_done;            /* of all time; n_done <= n_queued */
    long seen;                          /* launches that it has waited for */
    int made;
};
struct CUevent_st { struct CUstream_st *s; size_t at; long launches; };

static struct piece piece[MAX_PIECES];
static const size_t fill_most = (size_t)16 << 20;       /* of one: each device has a work space of 32 MB */
static size_t n_pieces, used;
static struct CUstream_st stream[MAX_STREAMS];
static long calls, launches, mallocs, fetched;
static int last_error;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static long number(const char *name, long none)
{
    const char *s = getenv(name);

    return s && *s ? strtol(s, NULL, 10) : none;
}

static int missing(const char *what)
{
    const char *s = getenv("DK_CUEMU_NONE");

    return s && strcmp(s, what) == 0;
}

static void die(const char *what)
{
    fprintf(stderr, "cudart_emu: %s\n", what);
    abort();
}

__attribute__((destructor)) static void write_counts(void)
{
    const char *path = getenv("DK_CUEMU_COUNT");
    FILE *f = path && calls ? fopen(path, "w") : NULL;

    if (f) {
        fprintf(f, "%ld calls %ld launches %ld mallocs %zu pieces %ld fetched\n", calls, launches, mallocs, n_pieces, fetched);
        fclose(f);
    }
}

/* Every call begins here: the error that it ends with, or 0. */
static int enter(void)
{
    calls++;
    if (calls >= number("DK_CUEMU_LOST", 1L << 62))
        return last_error = ERR_LOST;
    return 0;
}

static struct piece *holder(const void *p, size_t n, int pinned)
{
    for (size_t i = 0; i < n_pieces; i++)
        if ((const char *)p >= piece[i].p && (const char *)p + n <= piece[i].p + piece[i].n)
            return piece[i].pinned == pinned ? &piece[i] : NULL;
    return NULL;
}

static void *add_piece(size_t n, int pinned)
{
    char *p = malloc(n ? n : 1);

    if (!p || n_pieces == MAX_PIECES)
        die("no room for a piece");
    memset(p, 0xFF, n <= fill_most ? n : fill_most);
    piece[n_pieces++] = (struct piece){ p, n, pinned, 0 };
    return p;
}

static void drop_piece(void *p, int pinned)
{
    struct piece *k = p ? holder(p, 0, pinned) : NULL;

    if (!p)
        return;
    if (!k || k->p != p)
        die("memory given back that was not asked for");
    if (!pinned)
        used -= k->n;
    free(k->p);
    *k = piece[--n_pieces];
}

long dk_cuemu_launches(void) { return launches; }

static void run_until(struct CUstream_st *s, size_t end)
{
    while (s->n_done < end) {
        const struct copy *c = &s->queue[s->n_done++ % MAX_QUEUED];

        if (!c->to)
            run_until(c->s, c->at);
        for (size_t y = 0; c->to && y < c->height; y++)
            memcpy(c->to + y * c->to_pitch, c->from + y * c->pitch, c->width);
    }
}

static struct copy *append(struct CUstream_st *s)
{
    if (s->n_queued - s->n_done == MAX_QUEUED)
        run_until(s, s->n_queued);
    return &s->queue[s->n_queued++ % MAX_QUEUED];
}

void dk_cudart_emu_flush(void) { run_until(&stream[0], stream[0].n_queued); }

static void flush_all(void)
{
    for (int i = 0; i < MAX_STREAMS; i++)
        run_until(&stream[i], stream[i].n_queued);
}

void dk_cudart_emu_read(const void *p)
{
    struct piece *k = holder(p, 1, 0);

    if (!k)
        die("a product reads what is not on the card");
    k->read = launches;
}

int dk_cuemu_launch(void)
{
    if (enter())
        return ERR_LOST;
    if (missing("image"))
        return DK_CUDA_ERR_NO_IMAGE;
    if (++launches == number("DK_CUEMU_LAUNCH", 0))
        return ERR_LAUNCH;
    dk_cudart_emu_flush();
    return 0;
}

int cudaDriverGetVersion(int *version)
{
    calls = launches = mallocs = fetched = 0;         /* a device is being opened: faults count from here */
    for (size_t i = 0; i < n_pieces; i++)
        piece[i].read = 0;
    *version = missing("driver") ? 0 : missing("old") ? 11040 : 13000;
    return 0;
}

int cudaGetDeviceCount(int *n)
{
    *n = 0;
    if (missing("driver") || missing("old"))
        return DK_CUDA_ERR_OLD_DRIVER;
    if (missing("card"))
        return DK_CUDA_ERR_NO_DEVICE;
    *n = 2;
    return enter();
}

int cudaSetDevice(int card) { return card < 0 || card > 1 ? ERR_INVALID : enter(); }

int cudaDeviceGetAttribute(int *value, int attribute, int card)
{
    (void)card;
    *value = attribute == DK_CUDA_CC_MAJOR ? (missing("kind") ? 7 : 9) : attribute == DK_CUDA_CC_MINOR ? 0 : -1;
    return enter();
}

int cudaGetDeviceProperties(void *prop, int card)
{
    snprintf(prop, 256, "Emulated card %d", card);
    return enter();
}

int cudaMemGetInfo(size_t *avail, size_t *total)
{
    *total = (size_t)number("DK_CUEMU_MEMORY", 16000000000L);
    *avail = used < *total ? *total - used : 0;
    return enter();
}

const char *cudaGetErrorString(int code)
{
    return code == 0 ? "no error" : code == ERR_LAUNCH ? "unspecified launch failure"
         : code == ERR_LOST ? "CUDA-capable device(s) is/are busy or unavailable"
         : code == DK_CUDA_ERR_MEMORY ? "out of memory" : "some other error";
}

int cudaGetLastError(void)
{
    const int e = last_error;

    last_error = 0;
    return e;
}

static int out_of_memory(void)
{
    const char *s = getenv("DK_CUEMU_OOM");
    const long n = number("DK_CUEMU_OOM", 0);

    mallocs++;
    return n && (mallocs == n || (mallocs > n && strchr(s, '+')));
}

int cudaMalloc(void **p, size_t bytes)
{
    *p = NULL;
    if (enter())
        return ERR_LOST;
    if (out_of_memory() || missing("memory") ||
        used + bytes > (size_t)number("DK_CUEMU_MEMORY", 16000000000L))
        return last_error = DK_CUDA_ERR_MEMORY;
    *p = add_piece(bytes, 0);
    used += bytes;
    return 0;
}

int cudaFree(void *p)
{
    flush_all();
    drop_piece(p, 0);
    return enter();
}

int cudaMallocHost(void **p, size_t bytes)
{
    *p = NULL;
    if (enter())
        return ERR_LOST;
    if (out_of_memory() || missing("heldmemory"))
        return last_error = DK_CUDA_ERR_MEMORY;
    *p = add_piece(bytes, 1);
    return 0;
}

int cudaFreeHost(void *p)
{
    flush_all();
    drop_piece(p, 1);
    return enter();
}

int cudaMemcpy2DAsync(void *to, size_t to_pitch, const void *from, size_t pitch, size_t width, size_t height, int kind,
                      cudaStream_t s)
{
    const size_t to_all = height ? (height - 1) * to_pitch + width : 0, all = height ? (height - 1) * pitch + width : 0;

    struct piece *k;

    if (!s || !s->made)
        die("a copy on no stream");
    if (enter())
        return ERR_LOST;
    if (width > to_pitch || width > pitch)
        return last_error = ERR_INVALID;
    if (!holder(to, to_all, kind == DK_CUDA_TO_HOST))
        die("a copy to where it must not go, or not wholly");
    if (!holder(from, all, kind == DK_CUDA_TO_DEVICE))
        die("a copy from where there is nothing, or not all");
    k = holder(to, to_all, kind == DK_CUDA_TO_HOST);
    if (s != &stream[0] && k->read > s->seen)
        die("a copy into what a product may still have to read");
    *append(s) = (struct copy){ to, from, to_pitch, pitch, width, height, NULL, 0 };
    if (kind == DK_CUDA_TO_HOST) {
        fetched += (long)(width * height);
        /* An earlier copy may still have to read what is here. */
        run_until(s, s->n_queued - 1);
        for (size_t y = 0; y < height; y++)
            memset((char *)to + y * to_pitch, 0xA5, width);
    } else if (kind == DK_CUDA_ON_DEVICE)
        run_until(s, s->n_queued);
    return 0;
}

int cudaMemcpyAsync(void *to, const void *from, size_t bytes, int kind, cudaStream_t s)
{
    return cudaMemcpy2DAsync(to, bytes, from, bytes, bytes, 1, kind, s);
}

int cudaMemset2DAsync(void *p, size_t pitch, int value, size_t width, size_t height, cudaStream_t s)
{
    if (s != &stream[0])
        die("memory cleared on no stream, or not on the first");
    if (enter())
        return ERR_LOST;
    if (width > pitch)
        return last_error = ERR_INVALID;
    if (!holder(p, height ? (height - 1) * pitch + width : 0, 0))
        die("memory cleared that is not the card's");
    dk_cudart_emu_flush();
    for (size_t y = 0; y < height; y++)
        memset((char *)p + y * pitch, value, width);
    return 0;
}

int cudaMemsetAsync(void *p, int value, size_t bytes, cudaStream_t s)
{
    return cudaMemset2DAsync(p, bytes, value, bytes, 1, s);
}

int cudaStreamCreateWithFlags(cudaStream_t *s, unsigned flags)
{
    int i = 0;

    (void)flags;
    while (i < MAX_STREAMS && stream[i].made)
        i++;
    if (i == MAX_STREAMS)
        die("too many streams");
    if (enter())
        return ERR_LOST;
    stream[i].n_queued = stream[i].n_done = 0;
    stream[i].seen = 0;
    stream[i].made = 1;
    *s = &stream[i];
    return 0;
}

int cudaStreamDestroy(cudaStream_t s)
{
    s->made = 0;
    for (size_t i = 0; s == &stream[0] && i < n_pieces; i++)
        if (piece[i].pinned)
            die("page-locked memory was not given back");
    return enter();
}

int cudaStreamSynchronize(cudaStream_t s)
{
    if (!s)
        die("no stream to wait for");
    run_until(s, s->n_queued);
    return enter();
}

int cudaStreamWaitEvent(cudaStream_t s, cudaEvent_t e, unsigned flags)
{
    (void)flags;
    if (!s || !e->s)
        die("waiting on no stream, or for an event that was never recorded");
    if (enter())
        return ERR_LOST;
    *append(s) = (struct copy){ .s = e->s, .at = e->at };
    s->seen = e->launches > s->seen ? e->launches : s->seen;
    return 0;
}

int cudaEventCreateWithFlags(cudaEvent_t *e, unsigned flags)
{
    (void)flags;
    *e = NULL;
    if (enter())
        return ERR_LOST;
    *e = calloc(1, sizeof **e);
    return *e ? 0 : DK_CUDA_ERR_MEMORY;
}

int cudaEventDestroy(cudaEvent_t e)
{
    free(e);
    return enter();
}

int cudaEventRecord(cudaEvent_t e, cudaStream_t s)
{
    if (!s)
        die("an event on no stream");
    *e = (struct CUevent_st){ s, s->n_queued, s == &stream[0] ? launches : s->seen };
    return enter();
}

int cudaEventSynchronize(cudaEvent_t e)
{
    if (!e->s)
        die("waiting for an event that was never recorded");
    pthread_mutex_lock(&lock);
    run_until(e->s, e->at);
    pthread_mutex_unlock(&lock);
    return enter();
}
