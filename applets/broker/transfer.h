/* transfer.h: what reading a file of a place's and writing one have in common. */
#ifndef BROKER_TRANSFER_H
#define BROKER_TRANSFER_H

#include "applets/broker/deed.h"
#include "core/message.h"

/* Embedded in the call's state. */
struct transfer {
    struct deed deed;
    struct call *call;
    char *path;
    struct stream *stream; /* to the place; NULL: not yet */
    struct frame_reader frames;
};

/* Of the call's parameters `path` and `agent`; then fn() as deed_begin() has it, and deed_begin()'s result. */
int transfer_begin(struct transfer *t, struct call *c, enum activity_kind kind, deed_fn *fn);
/* For abort(). What was not told before was interrupted. */
void transfer_fini(struct transfer *t);

/* Takes the place's stream. */
void transfer_open(struct transfer *t, struct stream *s, stream_fn *fn);
/* The next message, which has to be of this type. False: it has not come, or the call was answered. */
bool transfer_expect(struct transfer *t, enum message_type type, struct message *m);
/* What the agent says is no answer to this. Ends the call. */
void transfer_nonsense(struct transfer *t);
/* The place is gone: what was not answered is, what was begun to be is cut off. Ends the call. */
void transfer_lost(struct transfer *t, bool answered);

#endif
