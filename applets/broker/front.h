/* front.h: the broker's process that faces the network: HTTP in, routed by who asks to what is theirs. */
#ifndef BROKER_FRONT_H
#define BROKER_FRONT_H

#include "applets/broker/bridge.h"
#include "applets/broker/install.h"
#include "applets/broker/lease.h"
#include "applets/broker/metrics.h"
#include "applets/broker/room.h"
#include "applets/broker/tally.h"
#include "core/limit.h"
#include "net/target.h"
#include "net/tls.h"

struct call;
struct connection;
struct activity;
struct sweep;
struct keeper;
struct oidc;
struct control;
struct listener;
struct terminal;

#define STRANGERS_EACH 1024u /* from one address, which many may share: see front_stranger() */

/* How often what may be asked. */
enum front_limit {
    LIMIT_DEFAULT, /* by user: whatever is not said otherwise */
    LIMIT_EXEC,    /* by user: what starts a command */
    LIMIT_NOBODY,  /* by address: who has not proven who they are */
    LIMIT_COUNT,
    LIMIT_NONE = LIMIT_COUNT /* as often as they like */
};

/* How long an agent is waited for whose connection lives. */
struct front_patience {
    uint32_t silence_ms; /* that nothing comes, or is taken, on a stream where something should */
    uint32_t late_ms;    /* beyond a command's time limit, which the agent keeps */
};
extern const struct front_patience front_patience;

struct front {
    struct loop *loop;
    const struct front_patience *patience;
    const char *url;   /* by which users and agents know the broker: url.h's one form */
    bool secure;       /* the URL is https: cookies go over TLS alone */
    bool behind_proxy; /* whoever connects from this machine asks for others, and says for whom */
    struct store *store;
    struct registry *registry;
    struct bridges bridges;
    struct limit *limits[LIMIT_COUNT]; /* NULL: as often as they like */
    struct oidc *oidc;                 /* NULL: API tokens alone */
    struct tls_server *tls;            /* NULL: none, or somebody else's before us */
    struct downloads *downloads;
    struct install install; /* how machines join */
    struct listener *listener;
    struct control *control;
    struct keeper *keeper;
    struct activity *activity;
    struct metrics metrics;
    struct sweep *sweep;
    struct connection *connections;
    struct tally strangers; /* connections that have proven nothing, by address */
    uint64_t told_ms;       /* when it was logged that one has too many; 0: never */
    struct call *calls;
    struct tally under_way; /* calls, by who asks */
    struct room room;       /* for what they hold */
    struct terminal *terminals;
    struct leases leases; /* of calls and terminals */
};

/* From the listener on; `bind` is where. -1 with errno. */
int front_listen(struct front *f, const struct target *bind);
/* Closes what is open; what was to be stored is. */
void front_end(struct front *f);
/* One more connection from there that has proven nothing, until it is given back to `strangers`. NULL: there are
 * too many. */
struct tally_row *front_stranger(struct front *f, const char *peer);
/* Who asks by that request's connection is known. */
void front_proven(struct front *f, const struct stream *exchange);
/* How many milliseconds `name` is to wait; 0: go on. */
uint32_t front_limit(struct front *f, enum front_limit kind, const char *name);

#endif
