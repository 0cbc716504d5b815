/* agent_error.h: what an agent's Error says to who asked. */
#ifndef BROKER_AGENT_ERROR_H
#define BROKER_AGENT_ERROR_H

#include "applets/broker/activity.h"
#include "applets/broker/call.h"
#include "core/message.h"

struct agent_error {
    enum api_error api;
    enum activity_outcome outcome;
    const char *text; /* the message's own, or static */
};

/* Of a message of type Error. */
struct agent_error agent_error_of(const struct message *m);

#endif
