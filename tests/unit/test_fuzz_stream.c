/* The seeds of the stream fuzzer once more, and some thousand changes of each:
 * what the fuzzer found stays found. */
#include "../fuzz/fuzz_stream.c"
#include "replay.h"

int main(void)
{
    replay("tests/fuzz/stream", 5);
    return tap_end();
}
