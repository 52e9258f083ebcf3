/* SHA-256: libcrypto has the fast instructions, we have the interface. */
#include "base/hash.h"

#include <fcntl.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <unistd.h>

#include "base/mem.h"

struct dk_sha256 { EVP_MD_CTX *ctx; };

dk_sha256 *dk_sha256_new(void)
{
    dk_sha256 *h = dk_xcalloc(1, sizeof *h);

    h->ctx = EVP_MD_CTX_new();
    DK_ASSERT(h->ctx && EVP_DigestInit_ex(h->ctx, EVP_sha256(), NULL) == 1);
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

int dk_sha256_file(const char *path, char hex[65], dk_err *err)
{
    static char block[1 << 18];
    dk_sha256 *h;
    ssize_t n;
    int rc = 0;
    int fd = open(path, O_RDONLY | O_CLOEXEC);

    if (fd < 0)
        return dk_fail_errno(err, "cannot open %s", path);
    h = dk_sha256_new();
    while ((n = read(fd, block, sizeof block)) > 0)
        dk_sha256_add(h, block, (size_t)n);
    if (n < 0)
        rc = dk_fail_errno(err, "cannot read %s", path);
    else
        dk_sha256_hex(h, hex);
    dk_sha256_free(&h);
    close(fd);
    return rc;
}
