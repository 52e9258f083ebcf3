/* Reading /proc and the control groups. */
#include "base/meminfo.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The number after a word at the start of a line; -1: none. */
static double field(const char *path, const char *word)
{
    FILE *f = fopen(path, "r");
    const size_t n = strlen(word);
    char line[256];
    double v = -1;

    while (f && v < 0 && fgets(line, sizeof line, f))
        if (strncmp(line, word, n) == 0) {
            char *end;

            v = strtod(line + n, &end);
            v = end == line + n ? -1 : v;       /* "max" */
        }
    if (f)
        fclose(f);
    return v;
}

/* What one group leaves; infinity without a limit.  Its file cache can be dropped. */
static double group_left(const char *group)
{
    char path[4200];
    double max, now, cache;

    snprintf(path, sizeof path, "/sys/fs/cgroup%s/memory.max", group);
    max = field(path, "");
    snprintf(path, sizeof path, "/sys/fs/cgroup%s/memory.current", group);
    now = field(path, "");
    snprintf(path, sizeof path, "/sys/fs/cgroup%s/memory.stat", group);
    cache = fmax(field(path, "inactive_file "), 0) + fmax(field(path, "active_file "), 0);
    return max < 0 || now < 0 ? INFINITY : fmax(max - now + cache, 0);
}

static double groups_left(void)
{
    FILE *f = fopen("/proc/self/cgroup", "r");
    char line[4096], *group = NULL;
    double left = group_left("");

    while (f && !group && fgets(line, sizeof line, f))
        if (strncmp(line, "0::/", 4) == 0)
            group = line + 3;
    if (f)
        fclose(f);
    if (!group)
        return left;
    group[strcspn(group, "\n")] = 0;
    for (char *slash; (slash = strrchr(group, '/')) != NULL; *slash = 0)    /* itself, then those above */
        left = fmin(left, group_left(group));
    return left;
}

double dk_memory_available(void)
{
    const double kb = field("/proc/meminfo", "MemAvailable:");

    return fmin(kb < 0 ? INFINITY : kb * 1024, groups_left());
}
