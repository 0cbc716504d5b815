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
    bool answered; /* what goes wrong can but cut off what was begun */
    /* inside */
    struct loop_timer look;
    uint64_t since_ms; /* the agent is waited for since then; 0: it is not */
    uint64_t more_ms;  /* that it may take besides the front's patience */
    size_t room;       /* of its stream by then */
    struct store_call *awaiting;
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
void transfer_lost(struct transfer *t);
/* All of it is done, and nothing is answered yet: 204, once that is kept. */
void transfer_done(struct transfer *t);

/* Who is waited for now: the agent, or the client, whose time HTTP's server keeps. `moved`: bytes have, since the
 * last time. Where the agent does nothing for too long the call ends as if the place were gone, by
 * timeout. */
void transfer_await(struct transfer *t, bool agent, bool moved);
/* So many bytes were sent, and it is to say now that they are on its disk. */
void transfer_await_disk(struct transfer *t, uint64_t bytes);

#endif
