/* The seeds of the fuzzer of replies once more, and some thousand changes of each:
 * what the fuzzer found stays found. */
#include <stdio.h>

#include "../fuzz/fuzz_reply.c"
#include "replay.h"

int main(void)
{
    replay("tests/fuzz/reply", 2);
    return tap_end();
}
