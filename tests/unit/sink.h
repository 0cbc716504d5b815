/* sink.h: a stream whose written bytes are there to be looked at, and which a test can put
 * bytes into with stream_deliver(). */
#ifndef TESTS_UNIT_SINK_H
#define TESTS_UNIT_SINK_H

#include "core/stream.h"

struct sink {
    struct stream s;
    struct buf out; /* what was written */
};

void sink_init(struct sink *k);
void sink_fini(struct sink *k);

#endif
