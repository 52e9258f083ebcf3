/* Weights that are too many for the card: they lie in page-locked host memory and
 * come over a stream of their own, into two places for each size (so two blocks
 * of a model are on the card at a time).  What follows a weight was learnt in the
 * pass before: the AHEAD next ones come while it is multiplied.
 *
 * The stream of copies waits for the product that used a place last, the stream
 * of products for the copy; the host waits for neither. */
#include "backend/cuda/cupriv.h"

#include <string.h>

enum { AHEAD = 4, PLACES = 2 };

void dk_cuda_stay(dk_dev *dev, size_t bytes) { dk_cuda_of(dev)->stays = bytes; }

bool dk_cuda_stays(dk_cuda *c, size_t bytes)
{
    if (c->stays == SIZE_MAX)
        return true;
    if (bytes > c->stays) {
        c->stays = 0;               /* later blocks do not overtake: what streams is one run */
        return false;
    }
    c->stays -= bytes;
    return true;
}

static int host_memory(dk_cuda *c, void **p, size_t bytes, dk_err *err)
{
    const int code = cudaMallocHost(p, bytes);

    if (code == DK_CUDA_ERR_MEMORY) {
        *p = NULL;
        cudaGetLastError();
        return dk_fail(err, DK_ENOMEM, "out of memory: %.3f GB of page-locked memory for weights", (double)bytes * 1e-9);
    }
    return dk_cuda_check(c, code, "asking for page-locked memory", err);
}

int dk_cuda_stream_new(dk_cuda *c, dk_weight *w, dk_err *err)
{
    int rc = dk_cuda_ready(c, err);

    if (rc == 0 && !c->copies)
        rc = dk_cuda_check(c, cudaStreamCreateWithFlags(&c->copies, DK_CUDA_STREAM_APART), "making a stream", err);
    if (rc == 0)
        rc = host_memory(c, &w->host, dk_cuda_weight_bytes(w), err);
    if (rc < 0)
        return rc;
    c->streamed = dk_xrealloc(c->streamed, (c->n_streamed + 1) * sizeof(dk_weight *));
    c->streamed[c->n_streamed++] = w;
    return 0;
}

static void forget(dk_cuda *c, const dk_weight *w)
{
    for (size_t i = 0; i < c->n_slots; i++)
        if (c->slot[i].holds == w)
            c->slot[i].holds = NULL;
}

void dk_cuda_stream_drop(dk_cuda *c, dk_weight *w)
{
    if (!w->host)
        return;
    dk_cuda_note(c, cudaStreamSynchronize(c->copies), "waiting for weights");
    forget(c, w);
    for (size_t i = 0; i < c->n_streamed; i++) {
        if (c->streamed[i]->next == w)
            c->streamed[i]->next = NULL;
        if (c->streamed[i] == w)
            c->streamed[i--] = c->streamed[--c->n_streamed];
    }
    c->last = c->last == w ? NULL : c->last;
    dk_cuda_note(c, cudaFreeHost(w->host), "giving memory back");
    w->host = NULL;
}

/* --- places ---------------------------------------------------------------------- */
static struct dk_cuda_slot *slot_of(dk_cuda *c, const dk_weight *w)
{
    for (size_t i = 0; i < c->n_slots; i++)
        if (c->slot[i].holds == w)
            return &c->slot[i];
    return NULL;
}

static int new_slot(dk_cuda *c, size_t bytes, dk_err *err)
{
    struct dk_cuda_slot s = { .bytes = bytes };
    int rc = dk_cuda_alloc(&c->dev, &s.d, bytes, "a layer on its way", err);

    if (rc == 0)
        rc = dk_cuda_check(c, cudaEventCreateWithFlags(&s.here, DK_CUDA_EVENT_PLAIN), "making an event", err);
    if (rc == 0)
        rc = dk_cuda_check(c, cudaEventCreateWithFlags(&s.done, DK_CUDA_EVENT_PLAIN), "making an event", err);
    if (rc < 0) {
        dk_cuda_release(&c->dev, s.d);
        if (s.here)
            cudaEventDestroy(s.here);
        return rc;
    }
    c->slot = dk_xrealloc(c->slot, (c->n_slots + 1) * sizeof *c->slot);
    c->slot[c->n_slots++] = s;
    return 0;
}

static bool among(const dk_weight *w, const dk_weight *const *keep, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (keep[i] == w)
            return true;
    return false;
}

/* The oldest place of the weight's size that holds none of keep; *at: n_slots where there is none. */
static int place_for(dk_cuda *c, const dk_weight *w, const dk_weight *const *keep, size_t n, size_t *at, dk_err *err)
{
    const size_t bytes = dk_cuda_weight_bytes(w);
    size_t places = 0;
    int rc = 0;

    *at = SIZE_MAX;
    for (size_t i = 0; i < c->n_slots; i++) {
        const struct dk_cuda_slot *s = &c->slot[i];

        if (s->bytes != bytes)
            continue;
        places++;
        if (!(s->holds && among(s->holds, keep, n)) && (*at == SIZE_MAX || s->used < c->slot[*at].used))
            *at = i;
    }
    if (places < PLACES) {
        *at = c->n_slots;
        rc = new_slot(c, bytes, err);
    }
    return rc;
}

static int load(dk_cuda *c, const dk_weight *w, struct dk_cuda_slot *s, dk_err *err)
{
    int rc = 0;

    s->holds = NULL;
    if (s->multiplied)
        rc = dk_cuda_check(c, cudaStreamWaitEvent(c->copies, s->done, 0), "waiting for a product", err);
    if (rc == 0)
        rc = dk_cuda_check(c, cudaMemcpyAsync(s->d, w->host, s->bytes, DK_CUDA_TO_DEVICE, c->copies),
                           "copying weights to the card", err);
    if (rc == 0)
        rc = dk_cuda_check(c, cudaEventRecord(s->here, c->copies), "recording an event", err);
    if (rc == 0) {
        s->holds = w;
        s->multiplied = false;
        s->used = ++c->clock;
    }
    return rc;
}

/* Those that followed w last time, as far as there is room for them. */
static int look_ahead(dk_cuda *c, const dk_weight *w, dk_err *err)
{
    const dk_weight *keep[AHEAD + 1] = { w };
    size_t n = 1, at;
    int rc = 0;

    for (const dk_weight *x = w->next; rc == 0 && x && n <= AHEAD && !among(x, keep, n); x = x->next) {
        keep[n++] = x;
        if (slot_of(c, x))
            continue;
        rc = place_for(c, x, keep, n, &at, err);
        if (rc == 0 && at == SIZE_MAX)
            break;
        if (rc == 0)
            rc = load(c, x, &c->slot[at], err);
    }
    return rc;
}

int dk_cuda_fetch(dk_cuda *c, const dk_weight *w, void **d, dk_err *err)
{
    struct dk_cuda_slot *s = slot_of(c, w);
    size_t at;
    int rc = 0;

    if (!s) {
        rc = place_for(c, w, NULL, 0, &at, err);
        if (rc == 0)
            rc = load(c, w, s = &c->slot[at], err);
    }
    if (rc < 0)
        return rc;
    rc = dk_cuda_check(c, cudaStreamWaitEvent(c->stream, s->here, 0), "waiting for weights", err);
    s->used = ++c->clock;
    *d = s->d;
    if (c->last && c->last != w)
        c->last->next = (dk_weight *)w;     /* which is one of c->streamed, as last is */
    c->last = (dk_weight *)w;
    return rc == 0 ? look_ahead(c, w, err) : rc;
}

int dk_cuda_fetched(dk_cuda *c, const dk_weight *w, dk_err *err)
{
    struct dk_cuda_slot *s = slot_of(c, w);
    const int rc = dk_cuda_check(c, cudaEventRecord(s->done, c->stream), "recording an event", err);

    s->multiplied = rc == 0;
    return rc;
}

/* --- changes ------------------------------------------------------------------------ */
int dk_cuda_bring(dk_cuda *c, dk_weight *w, dk_err *err)
{
    const size_t bytes = dk_cuda_weight_bytes(w);
    int rc = dk_cuda_alloc(&c->dev, &w->d, bytes, "weights that get an adapter", err);

    if (rc == 0)
        rc = dk_cuda_check(c, cudaMemcpyAsync(w->d, w->host, bytes, DK_CUDA_TO_DEVICE, c->stream),
                           "copying weights to the card", err);
    return rc;
}

int dk_cuda_take_back(dk_cuda *c, dk_weight *w, dk_err *err)
{
    const size_t bytes = dk_cuda_weight_bytes(w);
    void *p = NULL;
    int rc = host_memory(c, &p, bytes, err);

    if (rc == 0)
        rc = dk_cuda_check(c, cudaMemcpyAsync(p, w->d, bytes, DK_CUDA_TO_HOST, c->stream), "copying weights back", err);
    if (rc == 0)
        rc = dk_cuda_check(c, cudaStreamSynchronize(c->stream), "copying weights back", err);
    if (rc == 0)
        rc = dk_cuda_check(c, cudaStreamSynchronize(c->copies), "waiting for weights", err);
    if (rc < 0) {
        if (p)
            cudaFreeHost(p);
        return rc;
    }
    forget(c, w);                   /* its size may be another now */
    cudaFreeHost(w->host);
    w->host = p;
    dk_cuda_release(&c->dev, w->d);
    w->d = NULL;
    return 0;
}

void dk_cuda_stream_end(dk_cuda *c)
{
    for (size_t i = 0; i < c->n_slots; i++) {
        cudaFree(c->slot[i].d);
        cudaEventDestroy(c->slot[i].here);
        cudaEventDestroy(c->slot[i].done);
    }
    dk_free(c->slot);
    dk_free(c->streamed);
    if (c->copies)
        cudaStreamDestroy(c->copies);
}
