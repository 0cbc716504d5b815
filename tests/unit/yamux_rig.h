/* yamux_rig.h: muxes joined in memory, to each other or to a test that speaks frames itself. */
#ifndef TESTS_UNIT_YAMUX_RIG_H
#define TESTS_UNIT_YAMUX_RIG_H

#include "core/loop.h"
#include "net/yamux.h"
#include "net/yamux_frame.h"
#include "tests/unit/test.h"

/* A stream and what its owner has seen. Reads everything as it comes unless `hold`. */
struct talk {
    struct side *side;
    struct stream *s; /* NULL once it was closed */
    struct buf got;
    bool hold, echo, eof;
    int error;
    unsigned drained;
};

struct side {
    struct mux *m;
    struct talk *talks[2048]; /* those opened and accepted, in order */
    size_t n;
    size_t beyond;   /* accepted when there was no place, and closed */
    bool hold, echo; /* what talks begin with */
    unsigned downs;
    int down_error;
    void (*on_accept)(struct side *side, struct talk *t);
    void (*on_down)(struct side *side);
    void (*on_event)(struct talk *t, enum stream_event event); /* before anything else */
};

struct rig {
    struct loop *loop;
    struct side a, b;
    struct stream *raw; /* instead of b, for yrig_raw */
    struct buf got;     /* what arrived there */
    bool raw_eof, raw_held;
    struct buf payload; /* of the frame that raw_next() took last */
};

/* a is the client, b the server; wire_new() says what chunk and limit are. */
void yrig_pair(struct rig *r, size_t chunk, size_t limit);
void yrig_over(struct rig *r, struct loop *loop, struct stream *ends[2]); /* takes them */
/* a is a mux of this role. Its first ping was taken off. */
void yrig_raw(struct rig *r, enum yamux_role role);
void yrig_raw_limited(struct rig *r, enum yamux_role role, size_t limit);
void yrig_end(struct rig *r);
/* Turns until nothing happens by itself any more. */
void yrig_settle(struct rig *r);

struct talk *yrig_open(struct side *side);
void talk_write(struct talk *t, size_t len); /* the bytes of yrig_byte(), from 0 */
void talk_take(struct talk *t);              /* what it holds; as DATA does without `hold` */
void talk_close(struct talk *t);
void talk_reset(struct talk *t);
uint8_t yrig_byte(size_t at);
/* The first `len` bytes are those of talk_write(). */
bool yrig_bytes_right(const struct buf *b, size_t len);

void raw_send(struct rig *r, enum yamux_type type, unsigned flags, uint32_t id, uint32_t length);
void raw_bytes(struct rig *r, size_t len);
/* A data frame with its payload. */
void raw_data(struct rig *r, unsigned flags, uint32_t id, uint32_t length);
void raw_hold(struct rig *r, bool hold); /* whether it leaves unread what arrives */
/* The next frame that arrived, with its payload in r->payload; false: none. */
bool raw_next(struct rig *r, struct yamux_header *h);
/* "type flags id length" of the next frame, as in "data SYN 1 5"; "" when there is none. */
const char *raw_text(struct rig *r);

#endif
