/* frame_watch.h: finds the messages among frames (PROTOCOLS, section 1) that pass by, in whatever pieces; data is
 * not looked at, and nothing but one message's text is kept. No I/O. */
#ifndef BROKER_FRAME_WATCH_H
#define BROKER_FRAME_WATCH_H

#include "core/message.h"

#define FRAME_WATCH_MESSAGE_MAX 65536u /* bytes: those that pass here are small */

/* Zeroed is ready. */
struct frame_watch {
    uint8_t header[4];
    size_t have;     /* of the header */
    uint32_t left;   /* of the payload */
    struct buf text; /* a message so far */
    bool is_begun;   /* its first byte has come */
    bool is_message;
};
void frame_watch_fini(struct frame_watch *w);

typedef void frame_watch_fn(void *arg, const struct message *m);
/* 0; or -1: these are no frames, or a message is none, or too long. */
int frame_watch(struct frame_watch *w, const uint8_t *data, size_t len, frame_watch_fn *fn,
                void *arg);
/* Whether another frame can be put in here. */
bool frame_watch_is_between(const struct frame_watch *w);

#endif
