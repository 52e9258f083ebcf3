/* The identity of a tokenizer. */
#ifndef DK_TEXT_TOKDIGEST_H
#define DK_TEXT_TOKDIGEST_H

#include "text/tokspec.h"

/* SHA-256 of what decides which ids a text gets, and of nothing else: the same
 * whichever file it came from.  The canonical text has lines "name number" and,
 * for each spelling, its length, a colon and the spelling. */
void dk_tokdigest(const dk_tokenizer_spec *spec, char hex[65]);

#endif
