/* Threads come from OpenMP, as those of the product libraries do.  Work is cut
 * by size, never by thread count, so that results do not depend on it. */
#ifndef DK_BASE_THREAD_H
#define DK_BASE_THREAD_H

void dk_threads_set(int n);     /* 0: as many as the cores this process may use */
int dk_threads(void);
int dk_thread_id(void);         /* 0 .. dk_threads() - 1, inside a parallel region */

#endif
