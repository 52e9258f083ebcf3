/* SHA-256: libcrypto has the fast instructions, we have the interface. */
#include "base/hash.h"

#include <fcntl.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"

struct dk_sha256 { EVP_MD_CTX *ctx; };

dk_sha256 *dk_sha256_new(void)
{
    dk_sha256 *h = dk_xcalloc(1, sizeof *h);

    h->ctx = EVP_MD_CTX_new();
    if (!h->ctx || EVP_DigestInit_ex(h->ctx, EVP_sha256(), NULL) != 1)      /* it loads what it has at the first use */
        dk_no_memory(" for SHA-256 of libcrypto");
    return h;
}

void dk_sha256_add(dk_sha256 *h, const void *p, size_t n)
{
    DK_ASSERT(EVP_DigestUpdate(h->ctx, p, n) == 1);
}

void dk_sha256_raw(dk_sha256 *h, uint8_t out[32])
{
    unsigned n = 0;

    DK_ASSERT(EVP_DigestFinal_ex(h->ctx, out, &n) == 1 && n == 32);
}

void dk_sha256_hex(dk_sha256 *h, char hex[65])
{
    uint8_t raw[32];

    dk_sha256_raw(h, raw);
    for (int i = 0; i < 32; i++)
        snprintf(hex + 2 * i, 3, "%02x", raw[i]);
}

void dk_sha256_free(dk_sha256 **h)
{
    if (*h) {
        EVP_MD_CTX_free((*h)->ctx);
        dk_free(*h);
        *h = NULL;
    }
}

void dk_sha256_mem(const void *p, size_t n, char hex[65])
{
    dk_sha256 *h = dk_sha256_new();

    dk_sha256_add(h, p, n);
    dk_sha256_hex(h, hex);
    dk_sha256_free(&h);
}

/* Adds the rest of the file. */
static int add_file(EVP_MD_CTX *ctx, int fd, const char *path, dk_err *err)
{
    static char block[1 << 18];
    ssize_t n;

    while ((n = read(fd, block, sizeof block)) > 0)
        DK_ASSERT(EVP_DigestUpdate(ctx, block, (size_t)n) == 1);
    return n < 0 ? dk_fail_errno(err, "cannot read %s", path) : 0;
}

int dk_sha256_file(const char *path, char hex[65], dk_err *err)
{
    dk_sha256 *h;
    int rc;
    int fd = open(path, O_RDONLY | O_CLOEXEC);

    if (fd < 0)
        return dk_fail_errno(err, "cannot open %s", path);
    h = dk_sha256_new();
    if ((rc = add_file(h->ctx, fd, path, err)) == 0)
        dk_sha256_hex(h, hex);
    dk_sha256_free(&h);
    close(fd);
    return rc;
}

int dk_gitblob_file(const char *path, char hex[41], dk_err *err)
{
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    uint8_t raw[20];
    char head[32];
    struct stat st;
    int rc, fd = open(path, O_RDONLY | O_CLOEXEC);

    DK_ASSERT(ctx && EVP_DigestInit_ex(ctx, EVP_sha1(), NULL) == 1);
    if (fd < 0 || fstat(fd, &st) != 0)
        rc = dk_fail_errno(err, "cannot open %s", path);
    else {
        const int n = snprintf(head, sizeof head, "blob %lld", (long long)st.st_size);

        DK_ASSERT(EVP_DigestUpdate(ctx, head, (size_t)n + 1) == 1);
        rc = add_file(ctx, fd, path, err);
    }
    DK_ASSERT(EVP_DigestFinal_ex(ctx, raw, NULL) == 1);
    for (int i = 0; i < 20; i++)
        snprintf(hex + 2 * i, 3, "%02x", raw[i]);
    EVP_MD_CTX_free(ctx);
    if (fd >= 0)
        close(fd);
    return rc;
}
