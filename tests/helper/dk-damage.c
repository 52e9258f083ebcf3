/* Breaks a file and looks at what a tool makes of it.
 *
 *   dk-damage cuts FILE COMMAND...              FILE at several lengths
 *   dk-damage flips N FROM TO FILE COMMAND...   one of N bits between two bytes;
 *                                               TO 0 is the end of FILE
 *
 * A cut file must be refused: status 1 to 3, one line on standard error that
 * begins with the tool's name and names FILE, and nothing new in this folder.
 * A flipped one is refused so, or read (and files named out* are removed).
 * Prints "FOUND TRIED", ends with 1 after the first complaint.  FILE is whole again at the end. */
#include <dirent.h>
#include <fcntl.h>
#include <libgen.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/mem.h"

enum { SECONDS = 120 };     /* and it hangs */

static const char *file;
static char *whole;
static size_t size;

static void put(const char *bytes, size_t n)
{
    FILE *f = fopen(file, "w");

    if (!f || fwrite(bytes, 1, n, f) != n || fclose(f) != 0) {
        perror(file);
        exit(2);
    }
}

static int bad(const char *how, const char *what, const char *text)
{
    put(whole, size);
    fprintf(stderr, "%s, %s: %s: %s\n", file, how, what, text);
    exit(1);
}

static size_t entries(bool clean)
{
    DIR *d = opendir(".");
    struct dirent *e;
    size_t n = 0;

    while ((e = readdir(d)))
        if (!clean || strncmp(e->d_name, "out", 3) != 0 || unlink(e->d_name) != 0)
            n++;
    closedir(d);
    return n;
}

/* The status, or -1 with what a signal did; its standard error is in text. */
static int start(char **command, char *text, size_t room)
{
    FILE *f = tmpfile();
    int status, fd = fileno(f);
    size_t n;
    pid_t pid = fork();

    if (pid == 0) {
        alarm(SECONDS);
        dup2(open("/dev/null", O_WRONLY), 1);
        dup2(fd, 2);
        execvp(command[0], command);
        _exit(127);
    }
    waitpid(pid, &status, 0);
    rewind(f);
    n = fread(text, 1, room - 1, f);
    text[n] = 0;
    fclose(f);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

/* Was it refused? */
static bool tried(char **command, bool must, const char *how)
{
    char text[4096], *line;
    char *name = dk_xstrdup(file), *tool = dk_xstrdup(command[0]), *start_of = dk_xasprintf("%s: error: ", basename(tool));
    const size_t before = entries(false);
    const int status = start(command, text, sizeof text);

    if (status < 0 || status > 3)
        bad(how, status < 0 ? strsignal(-status) : "an unknown status", text);
    if (status == 0 && must)
        bad(how, "not refused", text);
    if (status == 0)
        entries(true);
    else {
        line = strchr(text, '\n');
        if (!line || line[1] || strncmp(text, start_of, strlen(start_of)) != 0)
            bad(how, "not one line", text);
        if (!strstr(text, basename(name)))
            bad(how, "not named", text);
        if (entries(false) != before)
            bad(how, "something was left behind", text);
    }
    dk_free(name);
    dk_free(tool);
    dk_free(start_of);
    return status != 0;
}

static void read_whole(void)
{
    struct stat st;
    FILE *f = fopen(file, "r");

    if (!f || stat(file, &st) != 0) {
        perror(file);
        exit(2);
    }
    size = (size_t)st.st_size;
    whole = dk_xmalloc(size + 1);
    if (fread(whole, 1, size, f) != size)
        exit(2);
    fclose(f);
}

static size_t cuts(char **command)
{
    const size_t at[] = { 0, 1, 9, size / 10, size / 2, size * 9 / 10, size - 2 };
                                                        /* the last byte may be a newline */
    const size_t n = sizeof at / sizeof *at;
    char how[64];

    for (size_t i = 0; i < n; i++) {
        put(whole, at[i]);
        snprintf(how, sizeof how, "cut to %zu bytes", at[i]);
        tried(command, true, how);
    }
    printf("%zu %zu\n", n, n);
    return n;
}

static void flips(size_t n, size_t from, size_t to, char **command)
{
    size_t found = 0;
    char how[64];

    to = to && to < size ? to : size;
    for (size_t i = 0; i < n; i++) {
        const size_t at = from + (to - from - 1) * i / (n > 1 ? n - 1 : 1);

        whole[at] ^= (char)(1 << i % 8);
        put(whole, size);
        whole[at] ^= (char)(1 << i % 8);
        snprintf(how, sizeof how, "bit %zu of byte %zu", i % 8, at);
        found += tried(command, false, how);
    }
    printf("%zu %zu\n", found, n);
}

int main(int argc, char **argv)
{
    const bool cut = argc > 3 && strcmp(argv[1], "cuts") == 0;

    if (!cut && (argc < 7 || strcmp(argv[1], "flips") != 0)) {
        fprintf(stderr, "usage: dk-damage cuts FILE COMMAND... | flips N FROM TO FILE COMMAND...\n");
        return 2;
    }
    file = argv[cut ? 2 : 5];
    read_whole();
    if (cut)
        cuts(argv + 3);
    else
        flips(strtoul(argv[2], NULL, 10), strtoul(argv[3], NULL, 10), strtoul(argv[4], NULL, 10), argv + 6);
    put(whole, size);
    dk_free(whole);
    return 0;
}
