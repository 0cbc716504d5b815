/* bridge.h: the broker's end of a joined agent's connection: who it is, proven; then streams to it.
 *
 * The broker opens the first stream and says Challenge {nonce, broker}; the agent answers Join {device,
 * signature, metadata}, the broker Joined {user, agent} or Error, and that stream ends. Only then is
 * the agent in the registry, and only the broker opens streams: one that an agent opens is reset. */
#ifndef BROKER_BRIDGE_H
#define BROKER_BRIDGE_H

#include "applets/broker/registry.h"
#include "applets/broker/tally.h"
#include "core/json.h"
#include "core/stream.h"

#define BRIDGE_JOIN_MS      10000
#define BRIDGE_SILENCE_MS   15000              /* agents ping by themselves before that */
#define BRIDGE_DEAD_MS      15000              /* for the answer to a ping */
#define BRIDGE_METADATA_MAX 8192u              /* bytes of JSON */
#define BRIDGE_GROWTH_MAX   ((size_t)16 << 20) /* bytes by which windows to one user's agents grow */

/* What all connections share. */
struct bridges {
    struct loop *loop;
    struct store *store;
    struct registry *registry;
    const char *url; /* by which agents know this broker; what they sign has it */
    struct tally *strangers;
    /* An agent has joined, or one that had joined is gone; may be NULL. */
    void (*changed)(void *arg, struct agent_link *link, bool joined);
    void *arg;
    struct bridge *first; /* inside */
    struct tally joined;  /* likewise */
};

/* Takes the carrier: a stream of bytes to an agent that has proven nothing yet. It ends by itself. With
 * `user` only that user's device may join. `stranger` goes back to all->strangers once it has proven who it is,
 * or has ended; NULL is fine. */
void bridge_accept(struct bridges *all, struct stream *carrier, const char *user,
                   struct tally_row *stranger);
/* A new stream to the agent, for one request; NULL with errno. */
struct stream *bridge_open(struct agent_link *link);
/* What the agent has said of itself: an object. */
const struct json_value *bridge_metadata(struct agent_link *link);
int64_t bridge_since_s(struct agent_link *link); /* since 1970 */
/* Closes the connection of that device, joined or joining. */
void bridge_revoke(struct bridges *all, const char *device_id);
/* Closes all. */
void bridges_end(struct bridges *all);

#endif
