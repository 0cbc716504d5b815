/* talk.h: a request on a connection of its own whose answer is more than one message. */
#ifndef SERVICE_TALK_H
#define SERVICE_TALK_H

#include "applets/service/visit.h"
#include "core/message.h"

struct talk {
    struct visit *visit;
    struct draft request;  /* until it is sent */
    void *dial;            /* until it is connected */
    struct stream *stream; /* from then on */
    struct frame_reader frames;
    stream_fn *fn; /* the stream's owner, told OPEN once the request is sent */
    void *arg;
};

/* Takes the request. Where there is no connection to be had, that ends the visit. */
void talk_start(struct talk *t, struct draft *request, stream_fn *fn, void *arg);
/* Resets what is left. A zeroed one, and twice, is fine. */
void talk_fini(struct talk *t);

/* The next frame. False: none now, or the visit ended because it was bad. */
bool talk_frame(struct talk *t, struct frame *f);
/* The message in a frame. False: the visit ended because there was none. */
bool talk_message(struct talk *t, const struct frame *f, struct message *m);
/* The next message, which has to be of this type. False: none now, or the visit ended: with the
 * agent's reason where it was an Error. */
bool talk_expect(struct talk *t, enum message_type type, struct message *m);
/* Ends the visit with an Error's text, or because the message is no answer to this. */
void talk_refused(struct talk *t, const struct message *m);

/* Moves bytes as there is room. Returns how many, at most `max`. */
uint64_t talk_pass(struct stream *from, struct stream *to, uint64_t max);

#endif
