/* promote.h: QUIC for a session that has begun over ssh.
 *
 * The agent is looked for at several addresses at once: where ssh is connected to, at those that it
 * names, and at those of the host's name, which a jump host may hide. Whoever answers first, with the session's key, is
 * taken. While nobody does the session stays on ssh, and it is tried again. */
#ifndef MASTER_PROMOTE_H
#define MASTER_PROMOTE_H

#include <stdbool.h>
#include <stdint.h>

#include "applets/service/session.h"
#include "core/message.h"
#include "net/resolve.h"
#include "net/ssh_host.h"

struct master;

/* One handshake under way. */
struct attempt {
    struct master *master;
    struct mux *mux; /* NULL: free */
};

struct promotion {
    uint16_t port; /* the agent's; 0: it has none, or has not been heard */
    struct quic_addr places[SESSION_PEERS];
    size_t n;
    struct attempt attempts[SESSION_PEERS];
    unsigned begun;      /* handshakes, since … */
    uint64_t counted_ms; /* … then */
    struct loop_timer again;
    char *hostname; /* what ssh connects to; NULL: not known */
    struct ssh_host *ask;
    struct resolve *resolve;
    bool told; /* that UDP does not get through */
};

void promote_init(struct master *m);
/* HelloAck: where the agent is. */
void promote_learn(struct master *m, const struct message *ack);
/* Tries now, unless QUIC is there already, or being tried: the network may be another one. */
void promote_try(struct master *m);
/* What there is to say about it was said. */
void promote_hinted(struct master *m);
/* Tries soon: the connection that there was has ended. */
void promote_again(struct master *m);
/* What is known of this session's agent is forgotten. */
void promote_stop(struct master *m);
void promote_fini(struct master *m);

#endif
