/* frame.h: length-prefixed frames: u32 length | payload, length <= FRAME_LIMIT. */
#ifndef CORE_FRAME_H
#define CORE_FRAME_H

#include <stddef.h>
#include <stdint.h>

#include "core/buf.h"
#include "core/stream.h"

#define FRAME_LIMIT (4u << 20) /* bytes of payload, unless the reader says otherwise */

/* A payload's first byte tells what it is: '{' a message, else data for that channel. */
enum { CHANNEL_STDIN = 0, CHANNEL_STDOUT = 1, CHANNEL_STDERR = 2 };

/* Collects one frame after the other. Zeroed is ready. */
struct frame_reader {
    struct buf part; /* header and payload so far: no more is allocated than has come */
    uint32_t limit;  /* bytes of payload; 0: FRAME_LIMIT */
};

void frame_reader_fini(struct frame_reader *r);

enum frame_status { FRAME_MORE, FRAME_READY, FRAME_BAD };

struct frame {
    const uint8_t *payload; /* inside the reader; valid until its next call */
    size_t len;
};

/* Takes bytes from in[*len], at most what the current frame lacks, and sets *len to how many
 * it took. BAD: longer than the limit, or empty; nothing good can follow. */
enum frame_status frame_feed(struct frame_reader *r, const uint8_t *in, size_t *len,
                             struct frame *out);
/* The same from a stream's waiting bytes, consuming exactly the frame's. */
enum frame_status frame_read(struct frame_reader *r, struct stream *s, struct frame *out);
/* After BAD, of which no more than the header was taken: how long the frame says it is. With a limit that
 * allows for that the reader goes on. */
uint32_t frame_due(const struct frame_reader *r);

/* Writes a frame's header alone: whoever calls it then writes exactly that many bytes. */
void frame_begin(struct stream *s, size_t len);
/* Writes one frame. `len` is 1 to what the peer takes. */
void frame_write(struct stream *s, const void *payload, size_t len);
/* Writes a data frame; len 0 is the channel's end of file. len < FRAME_LIMIT. */
void frame_write_data(struct stream *s, uint8_t channel, const void *data, size_t len);

#endif
