/* join_run.h: `berth agent --join`: what a person says about it, and its life. */
#ifndef AGENT_JOIN_RUN_H
#define AGENT_JOIN_RUN_H

#include "applets/service/broker_place.h"

/* NULL: not said. */
struct join_words {
    struct broker_words broker;
    const char *code; /* the device is to be enrolled first */
    const char *name;
    const char *allow;
    const char *root;
    const char *user; /* for whom it has joined before: remembered, never typed */
};

/* Until a signal ends it, or the broker does not know this device. The exit status. */
int join_run(const struct join_words *w);

#endif
