/* guest_ask.h: one question to a guest agent, on a connection of its own, and its answer. */
#ifndef NET_GUEST_ASK_H
#define NET_GUEST_ASK_H

#include "core/message.h"
#include "net/guest_dial.h"

struct guest_answer {
    const struct message *message; /* for the time of the call; NULL: see `error` */
    int error;       /* of the dial; ECONNRESET: it ended before the answer; EPROTO: what came
                      * is no message; ETIMEDOUT */
    bool connected;  /* the dial had succeeded */
    uint64_t rtt_us; /* from the question's last byte to the answer's */
};

/* An Error of the agent's is an answer like any other. */
typedef void guest_answer_fn(void *arg, const struct guest_answer *answer);

struct guest_question {
    struct draft request; /* freed */
    uint64_t limit_ms;    /* for all of it; 0: GUEST_DIAL_MS for the dial, then none */
    guest_answer_fn *fn;
    void *arg;
};

/* Never calls back before it returned. */
struct guest_ask;
struct guest_ask *guest_ask(struct loop *loop, const struct guest_place *place,
                            const struct guest_question *question);
/* Forgets it: no callback. Not to be called after the callback. */
void guest_ask_cancel(struct guest_ask *a);

#endif
