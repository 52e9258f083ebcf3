/* Memory.  Small bookkeeping goes through dk_x*: out of memory there ends the
 * process (status 1, one line, no temporary file left).  Anything whose size comes
 * from data goes through dk_alloc, which checks the product of sizes and reports what
 * the memory was for. */
#ifndef DK_BASE_MEM_H
#define DK_BASE_MEM_H

#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"

_Noreturn void dk_no_memory(const char *what);  /* what: "" or what it was for, with a space in front */
void *dk_xmalloc(size_t bytes);                 /* never NULL; not zeroed */
void *dk_xcalloc(size_t n, size_t bytes);       /* never NULL; zeroed */
void *dk_xrealloc(void *p, size_t bytes);
char *dk_xstrdup(const char *s);
char *dk_xstrndup(const char *s, size_t n);
char *dk_xasprintf(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/* *out = n * size zeroed bytes, aligned to 64, released with dk_free.
 * n * size == 0 gives a valid pointer.  "what" completes "out of memory for". */
int dk_alloc(void *out, size_t n, size_t size, const char *what, dk_err *err);
/* Whole pages, large ones where there are any, zero, resident once touched. */
int dk_alloc_pages(void *out, size_t bytes, const char *what, dk_err *err);
void dk_free_pages(void *p, size_t bytes);
void dk_free(void *p);                          /* any pointer from above; NULL is fine */

/* *out = a * b; false on overflow. */
bool dk_mul_size(size_t *out, size_t a, size_t b);

/* Peak resident memory of this process in bytes (VmHWM), 0 if unknown. */
size_t dk_peak_rss(void);

/* A growing byte string; s is always zero-terminated once something was added. */
typedef struct dk_buf {
    char *s;
    size_t n, cap;
} dk_buf;

void dk_buf_add(dk_buf *b, const void *p, size_t n);
void dk_buf_adds(dk_buf *b, const char *s);
void dk_buf_addc(dk_buf *b, char c);
void dk_buf_addf(dk_buf *b, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void dk_buf_addclean(dk_buf *b, const char *s);  /* '?' for each control byte: for terminals */
void dk_buf_clear(dk_buf *b);                   /* keeps the memory */
void dk_buf_free(dk_buf *b);

#endif
