/* join.h: an agent's connection to its broker, made again whenever it is lost.
 *
 * TCP, TLS, a WebSocket, yamux on it; the device proves itself, and from then on what the broker asks is
 * served as far as the policy allows. What is under way when the connection is lost ends with it:
 * nothing runs on that nobody watches. */
#ifndef AGENT_JOIN_H
#define AGENT_JOIN_H

#include "applets/agent/join_hello.h"
#include "core/loop.h"
#include "net/web_dial.h"

#define JOIN_TRY_MS     20000 /* for a connection to be made and proven */
#define JOIN_SILENCE_MS 10000 /* after so long without a byte, a ping */
#define JOIN_DEAD_MS    20000 /* and so long for its answer */

enum join_event {
    JOIN_UP,    /* user and agent are known */
    JOIN_LOST,  /* joined, or being joined: why; it is tried again */
    JOIN_ENDED, /* why; nothing follows */
};

struct join_news {
    enum join_event event;
    const char *user, *agent;
    const char *why;
};

struct join;
/* From the loop. The texts are valid until it returns. A loss is told once until it is up again. */
typedef void join_fn(void *arg, const struct join_news *news);
/* Begins at once. All of it outlives the join. */
struct join *join_new(struct loop *loop, const struct web_server *server,
                      const struct join_identity *who, join_fn *fn, void *arg);
/* Safe in the callback. Ends the connection; commands get SIGHUP, which the loop follows up. */
void join_free(struct join *j);

#endif
