/* dk-seeded LIST FILE: the tensors of a list (tests/unit/seeded.h) as a
 * safetensors file, so that tests have models of any architecture. */
#include <stdio.h>

#include "../unit/seeded.h"

int main(int argc, char **argv)
{
    if (argc != 3) {
        fputs("usage: dk-seeded LIST FILE\n", stderr);
        return 2;
    }
    if (!seeded_write(argv[1], argv[2])) {
        fprintf(stderr, "dk-seeded: %s could not be made from %s\n", argv[2], argv[1]);
        return 1;
    }
    return 0;
}
