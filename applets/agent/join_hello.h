/* join_hello.h: the first stream of an agent's connection to its broker: Challenge, Join, then Joined or Error
 * (PROTOCOLS, section 6). */
#ifndef AGENT_JOIN_HELLO_H
#define AGENT_JOIN_HELLO_H

#include "applets/agent/device_key.h"
#include "applets/service/policy.h"
#include "core/stream.h"

/* Who joins, and where. */
struct join_identity {
    const char *url; /* of the broker, in url.h's one form */
    const struct device_key *key;
    const struct service_policy *policy;
};

enum join_outcome {
    JOIN_ACCEPTED,
    JOIN_REFUSED,   /* it does not know this device, or not any more */
    JOIN_ELSEWHERE, /* it is known by another URL, which is signed too */
    JOIN_FAILED     /* anything that another try may mend */
};

struct join_answer {
    enum join_outcome outcome;
    const char *user, *agent; /* accepted */
    const char *why;          /* else: a text for a person */
};

struct join_hello;
/* Once, from the loop, then it is gone; the texts are valid until it returns. */
typedef void join_hello_fn(void *arg, const struct join_answer *answer);
/* Takes the stream. */
struct join_hello *join_hello_new(struct stream *s, const struct join_identity *who,
                                  join_hello_fn *fn, void *arg);
/* Before the callback only. */
void join_hello_cancel(struct join_hello *h);

#endif
