/* How much memory the process may still take. */
#ifndef DK_BASE_MEMINFO_H
#define DK_BASE_MEMINFO_H

/* Bytes: what the system has available without swapping, or what is left of the
 * limit of a control group (a container, a batch job), whichever is less.
 * Infinity where neither can be told. */
double dk_memory_available(void);

#endif
