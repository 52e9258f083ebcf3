/* replay-tokfile FILE...: the fuzz target on some files. */
#include <stdio.h>

#include "../fuzz/fuzz_tokfile.c"
#include "io/mapfile.h"

int main(int argc, char **argv)
{
    for (int i = 1; i < argc; i++) {
        dk_mapfile *m = NULL;

        if (dk_mapfile_open(&m, argv[i], NULL) < 0)
            return 1;
        LLVMFuzzerTestOneInput(m->p, m->n);
        dk_mapfile_close(&m);
        printf("%s\n", argv[i]);
    }
    return 0;
}
