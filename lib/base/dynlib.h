/* A shared library that is loaded at first use: those that drag many others
 * in would cost every start of every tool more than its own work. */
#ifndef DK_BASE_DYNLIB_H
#define DK_BASE_DYNLIB_H

#include <stddef.h>

#include "base/err.h"

/* A name in the library, and where in the caller's table its address goes. */
typedef struct dk_dynlib_name { const char *name; size_t at; } dk_dynlib_name;

/* Loads soname for the rest of the process and fills the table with all names.
 * package is what to install when it is missing. */
int dk_dynlib_load(const char *soname, const char *package, const dk_dynlib_name *name, size_t n,
                   void *table, dk_err *err);

#endif
