/* Memory of the card and what goes there and back.  Copies pass through
 * page-locked buffers, in chunks, two at a time. */
#include "backend/cuda/cupriv.h"

#include <string.h>

static const size_t chunk = (size_t)4 << 20;

static size_t least(size_t a, size_t b) { return a < b ? a : b; }

int dk_cuda_alloc(dk_dev *dev, void **d, size_t bytes, const char *what, dk_err *err)
{
    dk_cuda *c = dk_cuda_of(dev);
    size_t avail = 0, total = 0;
    int rc = dk_cuda_ready(c, err), code;

    *d = NULL;
    if (rc < 0)
        return rc;
    code = cudaMalloc(d, bytes ? bytes : 1);
    if (code == DK_CUDA_OK)
        return 0;
    *d = NULL;
    cudaGetLastError();             /* or the next launch would report it */
    if (code != DK_CUDA_ERR_MEMORY)
        return dk_cuda_check(c, code, what, err);
    dk_cuda_memory(dev, &avail, &total);
    return dk_fail(err, DK_ENOMEM, "out of memory on the card: %.1f MB for %s, %.0f MB of %.0f MB are free",
                   (double)bytes * 1e-6, what, (double)avail * 1e-6, (double)total * 1e-6);
}

void dk_cuda_release(dk_dev *dev, void *d)
{
    if (d)
        dk_cuda_note(dk_cuda_of(dev), cudaFree(d), "giving memory back");
}

int dk_cuda_room(dk_cuda *c, void *d, enum dk_cuda_room which, size_t bytes, const char *what, dk_err *err)
{
    struct dk_cuda_buf *b = &c->room[which];
    int rc = dk_cuda_ready(c, err);

    if (rc == 0 && bytes > b->room) {
        dk_cuda_release(&c->dev, b->p);
        *b = (struct dk_cuda_buf){0};
        rc = dk_cuda_alloc(&c->dev, &b->p, bytes, what, err);
        b->room = rc == 0 ? bytes : 0;
    }
    memcpy(d, &b->p, sizeof b->p);
    return rc;
}

int dk_cuda_pin_take(dk_cuda *c, struct dk_cuda_pin *pin, size_t bytes, dk_err *err)
{
    int rc = 0;

    if (pin->queued)
        rc = dk_cuda_check(c, cudaEventSynchronize(pin->done), "waiting for a copy", err);
    pin->queued = false;
    if (rc == 0 && !pin->done)
        rc = dk_cuda_check(c, cudaEventCreateWithFlags(&pin->done, DK_CUDA_EVENT_PLAIN), "making an event", err);
    if (rc == 0 && bytes > pin->room) {
        int code;

        if (pin->p)
            cudaFreeHost(pin->p);
        pin->p = NULL;
        pin->room = 0;
        code = cudaMallocHost(&pin->p, bytes);
        if (code == DK_CUDA_ERR_MEMORY) {
            pin->p = NULL;
            cudaGetLastError();
            return dk_fail(err, DK_ENOMEM, "out of memory: %.3f GB of page-locked memory", (double)bytes * 1e-9);
        }
        rc = dk_cuda_check(c, code, "asking for page-locked memory", err);
        pin->room = rc == 0 ? bytes : 0;
    }
    return rc;
}

int dk_cuda_pin_mark(dk_cuda *c, struct dk_cuda_pin *pin, dk_err *err)
{
    const int rc = dk_cuda_check(c, cudaEventRecord(pin->done, c->stream), "recording an event", err);

    pin->queued = rc == 0;
    return rc;
}

static void pin_free(struct dk_cuda_pin *pin)
{
    if (pin->p)
        cudaFreeHost(pin->p);
    if (pin->done)
        cudaEventDestroy(pin->done);
    *pin = (struct dk_cuda_pin){0};
}

void dk_cuda_memory_end(dk_cuda *c)
{
    for (size_t i = 0; i < DK_CUDA_PINS; i++)
        pin_free(&c->pin[i]);
    for (size_t i = 0; i < DK_CUDA_SMALL_PINS; i++)
        pin_free(&c->small[i]);
    for (size_t i = 0; i < DK_CUDA_LATER; i++)
        pin_free(&c->later[i].pin);
    pin_free(&c->results);
    for (size_t i = 0; i < DK_CUDA_N_ROOMS; i++)
        if (c->room[i].p)
            cudaFree(c->room[i].p);
}

int dk_cuda_put(dk_dev *dev, void *d, const void *host, size_t bytes, dk_err *err)
{
    dk_cuda *c = dk_cuda_of(dev);
    int rc = dk_cuda_ready(c, err);

    for (size_t at = 0, i = 0; rc == 0 && at < bytes; at += chunk, i++) {
        struct dk_cuda_pin *pin = &c->pin[i % DK_CUDA_PINS];
        const size_t n = least(bytes - at, chunk);

        rc = dk_cuda_pin_take(c, pin, n, err);
        if (rc < 0)
            break;
        memcpy(pin->p, (const char *)host + at, n);
        rc = dk_cuda_check(c, cudaMemcpyAsync((char *)d + at, pin->p, n, DK_CUDA_TO_DEVICE, c->stream),
                           "copying to the card", err);
        if (rc == 0)
            rc = dk_cuda_pin_mark(c, pin, err);
    }
    return rc;
}

/* Chunk i is on its way while i - 1 is copied out of its buffer. */
int dk_cuda_get(dk_dev *dev, void *host, const void *d, size_t bytes, dk_err *err)
{
    dk_cuda *c = dk_cuda_of(dev);
    const size_t chunks = (bytes + chunk - 1) / chunk;
    int rc = dk_cuda_ready(c, err);

    for (size_t i = 0; rc == 0 && i <= chunks; i++) {
        const size_t at = i * chunk;

        if (i < chunks) {
            struct dk_cuda_pin *pin = &c->pin[i % DK_CUDA_PINS];
            const size_t n = least(bytes - at, chunk);

            rc = dk_cuda_pin_take(c, pin, n, err);
            if (rc == 0)
                rc = dk_cuda_check(c, cudaMemcpyAsync(pin->p, (const char *)d + at, n, DK_CUDA_TO_HOST, c->stream),
                                   "copying from the card", err);
            if (rc == 0)
                rc = dk_cuda_pin_mark(c, pin, err);
        }
        if (rc == 0 && i > 0) {
            struct dk_cuda_pin *pin = &c->pin[(i - 1) % DK_CUDA_PINS];

            rc = dk_cuda_pin_take(c, pin, 0, err);
            if (rc == 0)
                memcpy((char *)host + at - chunk, pin->p, least(bytes - (at - chunk), chunk));
        }
    }
    return rc;
}

int dk_cuda_send(dk_cuda *c, void *d, const void *host, size_t bytes, dk_err *err)
{
    struct dk_cuda_pin *pin = &c->small[c->next_small];
    int rc;

    if (bytes == 0)
        return 0;
    c->next_small = (c->next_small + 1) % DK_CUDA_SMALL_PINS;
    rc = dk_cuda_pin_take(c, pin, dk_cuda_ample(bytes), err);
    if (rc < 0)
        return rc;
    memcpy(pin->p, host, bytes);
    rc = dk_cuda_check(c, cudaMemcpyAsync(d, pin->p, bytes, DK_CUDA_TO_DEVICE, c->stream), "copying to the card", err);
    return rc == 0 ? dk_cuda_pin_mark(c, pin, err) : rc;
}

void dk_cuda_copy(dk_dev *dev, void *d, const void *from, size_t bytes)
{
    dk_cuda *c = dk_cuda_of(dev);

    if (bytes)
        dk_cuda_note(c, cudaMemcpyAsync(d, from, bytes, DK_CUDA_ON_DEVICE, c->stream), "copying on the card");
}

void dk_cuda_zero(dk_dev *dev, void *d, size_t bytes)
{
    dk_cuda *c = dk_cuda_of(dev);

    if (bytes)
        dk_cuda_note(c, cudaMemsetAsync(d, 0, bytes, c->stream), "clearing memory");
}

int dk_cuda_share(dk_dev *dev, const float **d, const float *host, size_t n, dk_err *err)
{
    void *p = NULL;
    int rc = dk_cuda_alloc(dev, &p, n * sizeof(float), "constants of the model", err);

    if (rc == 0)
        rc = dk_cuda_put(dev, p, host, n * sizeof(float), err);
    if (rc < 0) {
        dk_cuda_release(dev, p);
        p = NULL;
    }
    *d = p;
    return rc;
}

void dk_cuda_unshare(dk_dev *dev, const float *d) { dk_cuda_release(dev, (void *)(uintptr_t)d); }

int dk_cuda_sync(dk_dev *dev, dk_err *err)
{
    dk_cuda *c = dk_cuda_of(dev);
    const int rc = dk_cuda_heads_wait(c, err);

    return rc < 0 ? rc : dk_cuda_check(c, cudaStreamSynchronize(c->stream), "the work queued on the card", err);
}

void dk_cuda_memory(dk_dev *dev, size_t *avail, size_t *total)
{
    (void)dev;
    *avail = *total = 0;
    if (cudaMemGetInfo(avail, total) != DK_CUDA_OK)
        *avail = *total = 0;
}
