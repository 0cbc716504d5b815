/* lease.h: what a proof of who one is has opened, which lasts no longer than the proof.
 *
 * A request, a stream of events and a terminal each have a lease while a client looks. It ends when what was
 * proven is past its end, when the token is revoked, or when the user is removed: then its holder is told,
 * once, from the loop, and ends what the client sees. */
#ifndef BROKER_LEASE_H
#define BROKER_LEASE_H

#include "applets/broker/people.h"
#include "core/key.h"

struct proof {
    struct principal who;
    uint8_t token[SHA256_LEN]; /* an API token's hash; else zeros */
    int64_t until_s;           /* since 1970: nothing from then on */
};

enum lease_end { LEASE_EXPIRED, LEASE_REVOKED };
/* The same in words, which follow "the token". */
const char *lease_why(enum lease_end end);

/* Embedded in its holder; zeroed, or once it has ended, it is nobody's. */
struct lease {
    struct lease *next, **at; /* inside */
    struct proof proof;
    void (*fn)(void *arg, enum lease_end end); /* may end this one and others, and begin any */
    void *arg;
};

/* All that there are; one timer, for the next that expires. */
struct leases {
    struct lease *first;
    struct loop_timer next;
};
void leases_init(struct leases *all, struct loop *loop);
void leases_fini(struct leases *all); /* they have ended by then */

/* `fn` and `arg` are filled in. One that has begun before is that no more. */
void lease_begin(struct leases *all, struct lease *l, const struct proof *proof);
/* The holder's own end of it: nothing is told. Twice is fine. */
void lease_end(struct lease *l);
/* Ends the user's that this token has opened; with NULL all of the user's. */
void leases_revoke(struct leases *all, const struct principal *who, const uint8_t *token);

#endif
