/* Thread count. */
#include "base/thread.h"

#include <omp.h>
#include <sched.h>

void dk_threads_set(int n)
{
    cpu_set_t set;

    if (n <= 0)
        n = sched_getaffinity(0, sizeof set, &set) == 0 ? CPU_COUNT(&set) : 1;
    omp_set_num_threads(n);
    omp_set_dynamic(0);
}

int dk_threads(void) { return omp_get_max_threads(); }
int dk_thread_id(void) { return omp_get_thread_num(); }
