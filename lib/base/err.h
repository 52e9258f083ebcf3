/* Errors: every function that can fail returns 0 or a negative DK_E code and
 * fills a dk_err with one sentence that names the thing and the remedy.
 *
 * The library never prints an error and never exits, apart from DK_ASSERT
 * (a broken invariant) and dk_no_memory (a few bytes of bookkeeping). */
#ifndef DK_BASE_ERR_H
#define DK_BASE_ERR_H

enum {
    DK_EIO      = -1,   /* reading, writing, network */
    DK_EFORMAT  = -2,   /* a file that is not what it should be */
    DK_EDATA    = -3,   /* well-formed input that cannot be used */
    DK_EUSAGE   = -4,   /* options or configuration: exit status 2 */
    DK_ECHECK   = -5,   /* a required check did not pass: exit status 3 */
    DK_ENOMEM   = -6,
    DK_ENUM     = -7    /* numbers that stopped being finite */
};

typedef struct dk_err {
    int code;
    char msg[1024];
} dk_err;

/* Fills err (which may be NULL) and returns code.  An error that is already
 * there is kept: the first cause is the one to report. */
int dk_fail(dk_err *err, int code, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

/* The same with ": " and the text of errno appended; returns DK_EIO. */
int dk_fail_errno(dk_err *err, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));

/* Puts "what: " before the message that is there; returns err's code. */
int dk_err_prefix(dk_err *err, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));

_Noreturn void dk_assert_failed(const char *cond, const char *file, int line);
#define DK_ASSERT(cond) \
    ((cond) ? (void)0 : dk_assert_failed(#cond, __FILE__, __LINE__))

#endif
