/* Opening the device: what stands in the way is told in one line. */
#include "backend/cuda/cupriv.h"

#include <stdlib.h>
#include <string.h>

int dk_cuda_check(dk_cuda *c, int code, const char *what, dk_err *err)
{
    if (code == DK_CUDA_OK)
        return 0;
    cudaGetLastError();
    dk_fail(&c->failed, DK_EIO, "the card failed at %s: %s (CUDA error %d)", what, cudaGetErrorString(code), code);
    return dk_fail(err, DK_EIO, "the card failed at %s: %s (CUDA error %d)", what, cudaGetErrorString(code), code);
}

void dk_cuda_note(dk_cuda *c, int code, const char *what) { dk_cuda_check(c, code, what, NULL); }

int dk_cuda_ready(dk_cuda *c, dk_err *err)
{
    const dk_err e = c->failed;

    if (e.code == DK_ENOMEM)        /* that op was left out; the card is well, and there may be room for less */
        c->failed = (dk_err){0};
    return e.code == 0 ? 0 : dk_fail(err, e.code, "%s", e.msg);
}

/* How many cards there are, or why none can be used. */
static int count_cards(int *n, dk_err *err)
{
    int version = 0, code;

    cudaDriverGetVersion(&version);
    if (version == 0)
        return dk_fail(err, DK_EDATA, "no NVIDIA driver is installed");
    code = cudaGetDeviceCount(n);
    if (code == DK_CUDA_ERR_OLD_DRIVER)
        return dk_fail(err, DK_EDATA, "the NVIDIA driver is too old: it knows CUDA %d.%d", version / 1000,
                       version % 1000 / 10);
    if (code == DK_CUDA_ERR_NO_DEVICE || (code == DK_CUDA_OK && *n == 0))
        return dk_fail(err, DK_EDATA, "no card is there (or CUDA_VISIBLE_DEVICES hides all)");
    return code == DK_CUDA_OK ? 0
        : dk_fail(err, DK_EDATA, "no card can be used: %s (CUDA error %d)", cudaGetErrorString(code), code);
}

/* The first number of DK_DEVICES, "1,3": a process has one card. */
static int pick_card(int *card, int n, dk_err *err)
{
    const char *list = getenv("DK_DEVICES");
    char *end;
    long v;

    *card = 0;
    if (!list || !*list)
        return 0;
    v = strtol(list, &end, 10);
    if (end == list || (*end && *end != ',') || v < 0 || v >= n)
        return dk_fail(err, DK_EDATA, "DK_DEVICES=%.40s: cards have the numbers 0 to %d here", list, n - 1);
    *card = (int)v;
    return 0;
}

static int fail_at(int code, const char *what, dk_err *err)
{
    return code == DK_CUDA_OK ? 0
        : dk_fail(err, DK_EDATA, "%s failed: %s (CUDA error %d)", what, cudaGetErrorString(code), code);
}

static int name_card(dk_cuda *c, dk_buf *text, dk_err *err)
{
    char *prop = dk_xcalloc(1, DK_CUDA_PROP_ROOM);
    int major = 0, minor = 0;
    int rc = fail_at(cudaGetDeviceProperties(prop, c->card), "asking for the card's name", err);

    if (rc == 0)
        rc = fail_at(cudaDeviceGetAttribute(&major, DK_CUDA_CC_MAJOR, c->card), "asking for the card's kind", err);
    if (rc == 0)
        rc = fail_at(cudaDeviceGetAttribute(&minor, DK_CUDA_CC_MINOR, c->card), "asking for the card's kind", err);
    prop[255] = 0;
    if (rc == 0 && major < 8)
        rc = dk_fail(err, DK_EDATA, "%s has compute capability %d.%d: 8.0 is the least", prop, major, minor);
    if (rc == 0)
        dk_buf_addf(text, "%s (card %d, compute capability %d.%d)", prop, c->card, major, minor);
    dk_free(prop);
    return rc;
}

static int take_card(dk_cuda *c, dk_buf *text, dk_err *err)
{
    size_t avail = 0;
    int rc = fail_at(cudaSetDevice(c->card), "taking the card", err);

    if (rc == 0)
        rc = fail_at(cudaStreamCreateWithFlags(&c->stream, DK_CUDA_STREAM_APART), "making a stream", err);
    if (rc == 0)
        rc = fail_at(cudaMemGetInfo(&avail, &c->total), "asking for free memory", err);
    if (rc == 0)
        dk_buf_addf(text, ", %.1f GB of %.1f GB free", (double)avail * 1e-9, (double)c->total * 1e-9);
    return rc;
}

/* One kernel, to see that there is one for this card. */
static int try_kernel(dk_cuda *c, const char *card, dk_err *err)
{
    static const float in[4] = { 1, 2, 3, 4 };
    float *d = NULL, out[4] = {0};
    int rc = dk_cuda_alloc(&c->dev, (void **)&d, sizeof in, "a first kernel", err), code = 0;

    if (rc == 0)
        rc = dk_cuda_put(&c->dev, d, in, sizeof in, err);
    if (rc == 0)
        code = dk_cu_sum(c->stream, d, d, d, 1.0f, 4);
    if (code == DK_CUDA_ERR_NO_IMAGE || code == DK_CUDA_ERR_OLD_PTX) {
        cudaGetLastError();
        rc = dk_fail(err, DK_EDATA, "%s: this build holds no kernels that it and its driver can run (CUDA error %d)",
                     card, code);
    } else if (rc == 0)
        rc = dk_cuda_check(c, code, "a first kernel", err);
    if (rc == 0)
        rc = dk_cuda_get(&c->dev, out, d, sizeof out, err);
    if (rc == 0 && (out[0] != 2 || out[3] != 8))
        rc = dk_fail(err, DK_EDATA, "%s computes wrong sums", card);
    if (d)
        cudaFree(d);
    return rc;
}

static const char *describe(dk_dev *dev) { return dk_cuda_of(dev)->text; }

static void close_device(dk_dev *dev)
{
    dk_cuda *c = dk_cuda_of(dev);

    if (c->stream)
        cudaStreamSynchronize(c->stream);
    if (c->copies)
        cudaStreamSynchronize(c->copies);
    dk_cuda_heads_end(c);
    dk_cuda_products_end(c);
    dk_cuda_stream_end(c);
    dk_cuda_memory_end(c);
    if (c->stream)
        cudaStreamDestroy(c->stream);
    dk_free(c->seen.mark);
    dk_free(c);
}

static int open_device(dk_cuda *c, dk_err *err)
{
    dk_buf text = {0};
    int n = 0;
    int rc = count_cards(&n, err);

    if (rc == 0)
        rc = pick_card(&c->card, n, err);
    if (rc == 0)
        rc = name_card(c, &text, err);
    if (rc == 0)
        rc = take_card(c, &text, err);
    if (rc == 0)
        rc = try_kernel(c, text.s, err);
    if (rc == 0) {
        dk_cuda_products_begin(c, &text);
        rc = dk_cuda_ready(c, err);
    }
    if (rc == 0)
        memcpy(c->text, text.s, text.n < sizeof c->text ? text.n : sizeof c->text - 1);
    dk_buf_free(&text);
    return rc;
}

__attribute__((visibility("default")))
int dk_backend_open(dk_dev **out, int abi, dk_err *err);

int dk_backend_open(dk_dev **out, int abi, dk_err *err)
{
    static dk_ops ops;
    dk_cuda *c;
    int rc;

    *out = NULL;
    if (abi != DK_BACKEND_ABI)
        return dk_fail(err, DK_EDATA, "it belongs to another version of dk");
    ops = dk_cuda_ops;
    ops.describe = describe;
    ops.close = close_device;
    c = dk_xcalloc(1, sizeof *c);
    c->dev.ops = &ops;
    c->stays = SIZE_MAX;
    rc = open_device(c, err);
    if (rc < 0) {
        close_device(&c->dev);
        return rc;
    }
    *out = &c->dev;
    return 0;
}
