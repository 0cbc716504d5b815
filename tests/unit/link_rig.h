/* link_rig.h: a link whose other end is played by hand: what it says is looked at byte for
 * byte, and answered with whatever a test likes. */
#ifndef TESTS_UNIT_LINK_RIG_H
#define TESTS_UNIT_LINK_RIG_H

#include "net/link_state.h"
#include "tests/unit/probe.h"

extern const uint8_t link_rig_session[SESSION_LEN];

struct link_rig {
    struct loop *loop;
    struct link *l;
    char events[64];    /* 'U', 'D', 'L' as they came */
    enum link_event on; /* the event that `then` waits for */
    void (*then)(struct link_rig *r);
    struct probe owner; /* of the link's stream */
    struct probe peer;  /* of the carrier's other end */
};

void link_rig_init(struct link_rig *r);
/* Gives the link a new carrier, as with link_attach(); the peer is at its other end. */
void link_rig_attach(struct link_rig *r, const struct link_hello *hello);
/* A carrier, and a Hello that says how much the peer has; until LINK_UP. */
void link_rig_up(struct link_rig *r, uint64_t received);
void link_rig_fini(struct link_rig *r);

/* The peer speaks. */
void link_rig_say(struct link_rig *r, const void *bytes, size_t len);
void link_rig_hello(struct link_rig *r, const uint8_t *session, uint64_t received);
void link_rig_data(struct link_rig *r, const char *text);
void link_rig_ack(struct link_rig *r, uint64_t received);

/* The peer waits for frames, and fails the test when others come. */
void link_rig_hears_hello(struct link_rig *r, uint64_t received);
void link_rig_hears_data(struct link_rig *r, const char *text);
void link_rig_hears_ack(struct link_rig *r, uint64_t received);

#endif
