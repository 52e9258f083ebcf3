/* What a fuzzer does, on every run: its seeds once more, and some thousand changes
 * of each; what it found stays found.  Included behind the fuzz target. */
#ifndef DK_TESTS_REPLAY_H
#define DK_TESTS_REPLAY_H

#include <dirent.h>

#include "base/rng.h"
#include "files.h"
#include "tap.h"

enum { CHANGES = 1500 };

static uint8_t seed[1 << 16], bytes[1 << 16];
static uint64_t draws;

static size_t draw(size_t below) { return dk_ctr(5, 99, draws++, 0) % below; }

/* Bytes and numbers changed, copied about, cut. */
static size_t change(size_t n)
{
    memcpy(bytes, seed, n);
    for (size_t k = draw(4) + 1; k > 0 && n > 16; k--) {
        const size_t at = draw(n - 8);

        switch (draw(5)) {
        case 0: bytes[at] ^= (uint8_t)(1u << draw(8)); break;
        case 1: bytes[at] = (uint8_t)draw(256); break;
        case 2: memset(bytes + at, draw(2) ? 0xff : 0, draw(8)); break;
        case 3: memcpy(bytes + at, seed + draw(n - 8), 8); break;
        default: n = draw(8) ? n : draw(n);
        }
    }
    return n;
}

/* The files of a folder below the root, at least so many; each change in memory
 * of exactly its size. */
static void replay(const char *below, int least)
{
    char *folder = repo_path(below);
    DIR *d = opendir(folder);
    struct dirent *e;
    int files = 0;

    while (d && (e = readdir(d))) {
        char *path = dk_xasprintf("%s/%s", folder, e->d_name);
        FILE *f = e->d_name[0] == '.' ? NULL : fopen(path, "rb");
        const size_t n = f ? fread(seed, 1, sizeof seed, f) : 0;

        if (f) {
            LLVMFuzzerTestOneInput(seed, n);
            for (int i = 0; i < CHANGES; i++) {
                const size_t k = change(n);
                uint8_t *p = exact_copy(bytes, k ? k : 1);

                LLVMFuzzerTestOneInput(p, k);
                dk_free(p);
            }
            files++;
            fclose(f);
        }
        dk_free(path);
    }
    if (d)
        closedir(d);
    dk_free(folder);
    tap(files >= least, "%d seeds and %d changes of each: one line of refusal or none", files, CHANGES);
}

#endif
