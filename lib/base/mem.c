/* Memory and the growing byte string. */
#include "base/mem.h"

#include <errno.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

/* Other libraries' handlers of exit() might want memory, so they are not run. */
_Noreturn void dk_no_memory(const char *what)
{
    fprintf(stderr, "%s: error: out of memory%s\n", program_invocation_short_name, what);
    quick_exit(1);
}

static void *must(void *p)
{
    if (!p)
        dk_no_memory("");
    return p;
}

void *dk_xmalloc(size_t bytes) { return must(malloc(bytes ? bytes : 1)); }
void *dk_xcalloc(size_t n, size_t bytes) { return must(calloc(n ? n : 1, bytes ? bytes : 1)); }
void *dk_xrealloc(void *p, size_t bytes) { return must(realloc(p, bytes ? bytes : 1)); }
char *dk_xstrdup(const char *s) { return must(strdup(s)); }
char *dk_xstrndup(const char *s, size_t n) { return must(strndup(s, n)); }

char *dk_xasprintf(const char *fmt, ...)
{
    va_list ap;
    char *s = NULL;

    va_start(ap, fmt);
    if (vasprintf(&s, fmt, ap) < 0)
        s = NULL;
    va_end(ap);
    return must(s);
}

bool dk_mul_size(size_t *out, size_t a, size_t b)
{
    return !__builtin_mul_overflow(a, b, out);
}

int dk_alloc(void *out, size_t n, size_t size, const char *what, dk_err *err)
{
    size_t bytes;
    void *p = NULL;

    *(void **)out = NULL;
    if (!dk_mul_size(&bytes, n, size) || bytes > SIZE_MAX / 2)
        return dk_fail(err, DK_ENOMEM, "%s: %zu x %zu bytes do not fit in memory", what, n, size);
    bytes = (bytes + 63) / 64 * 64;
    if (posix_memalign(&p, 64, bytes ? bytes : 64) != 0)
        return dk_fail(err, DK_ENOMEM, "out of memory: %.2f GB for %s", (double)bytes * 1e-9, what);
    memset(p, 0, bytes ? bytes : 64);
    *(void **)out = p;
    return 0;
}

/* Rounded up to large pages, and begun at one. */
enum { LARGE = 1 << 21 };

static size_t whole_pages(size_t bytes) { return (bytes + LARGE - 1) / LARGE * LARGE; }

int dk_alloc_pages(void *out, size_t bytes, const char *what, dk_err *err)
{
    const size_t n = bytes > SIZE_MAX / 2 ? 0 : whole_pages(bytes ? bytes : 1);
    char *p = n ? mmap(NULL, n + LARGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) : MAP_FAILED;
    const size_t skip = p == MAP_FAILED ? 0 : whole_pages((uintptr_t)p) - (uintptr_t)p;

    *(void **)out = NULL;
    if (p == MAP_FAILED)
        return dk_fail(err, DK_ENOMEM, "out of memory: %.2f GB for %s", (double)bytes * 1e-9, what);
    if (skip)
        munmap(p, skip);
    munmap(p + skip + n, LARGE - skip);
    madvise(p + skip, n, MADV_HUGEPAGE);
    *(void **)out = p + skip;
    return 0;
}

void dk_free_pages(void *p, size_t bytes)
{
    if (p)
        munmap(p, whole_pages(bytes ? bytes : 1));
}

void dk_free(void *p) { free(p); }

size_t dk_peak_rss(void)
{
    char line[256];
    size_t kb = 0;
    FILE *f = fopen("/proc/self/status", "re");

    while (f && fgets(line, sizeof line, f))
        if (sscanf(line, "VmHWM: %zu kB", &kb) == 1)
            break;
    if (f)
        fclose(f);
    return kb * 1024;
}

static void reserve(dk_buf *b, size_t more)
{
    if (b->n + more + 1 > b->cap) {
        b->cap = b->cap ? b->cap : 64;
        while (b->n + more + 1 > b->cap)
            b->cap *= 2;
        b->s = dk_xrealloc(b->s, b->cap);
    }
}

void dk_buf_add(dk_buf *b, const void *p, size_t n)
{
    reserve(b, n);
    if (n)
        memcpy(b->s + b->n, p, n);
    b->n += n;
    b->s[b->n] = 0;
}

void dk_buf_adds(dk_buf *b, const char *s) { dk_buf_add(b, s, strlen(s)); }
void dk_buf_addc(dk_buf *b, char c) { dk_buf_add(b, &c, 1); }

void dk_buf_addf(dk_buf *b, const char *fmt, ...)
{
    va_list ap, again;
    int n;

    va_start(ap, fmt);
    va_copy(again, ap);
    n = vsnprintf(NULL, 0, fmt, ap);
    va_end(ap);
    if (n > 0) {
        reserve(b, (size_t)n);
        vsnprintf(b->s + b->n, (size_t)n + 1, fmt, again);
        b->n += (size_t)n;
    }
    va_end(again);
}

void dk_buf_addclean(dk_buf *b, const char *s)
{
    for (; *s; s++)
        dk_buf_addc(b, (unsigned char)*s < 0x20 || *s == 0x7f ? '?' : *s);
}

void dk_buf_clear(dk_buf *b)
{
    b->n = 0;
    if (b->s)
        b->s[0] = 0;
}

void dk_buf_free(dk_buf *b)
{
    free(b->s);
    *b = (dk_buf){0};
}
