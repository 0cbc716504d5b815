/* wire.h: two streams joined back to back in memory, for tests of what runs over a stream. */
#ifndef TESTS_UNIT_WIRE_H
#define TESTS_UNIT_WIRE_H

#include "core/stream.h"

/* What one end writes arrives at the other, at most `chunk` bytes in a turn of the loop, and
 * only once what came before was consumed. An end has no room while `limit` bytes wait. */
void wire_new(struct loop *loop, size_t chunk, size_t limit, struct stream *ends[2]);

#endif
